# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the recipes in the documentation: what a reader is told to type.

A recipe is a fenced block of a language in LANGUAGES. Its info string says how it is run:

    ```sh test=run expect="hello"
    vmm ...
    ```

    test=run        a shell script that ends by itself, with status 0 or status=N
    test=console    on a terminal; ended by Ctrl-a x
    test=gdb        lines after "(gdb) " are typed into gdb; the VM is the recipe vm=NAME's
    test=vm         starts a VM for others, which name it; not run by itself
    test=by         run, word for word, by file=PATH,PATH...

    name=NAME       for other recipes
    after=NAME      what that recipe says is done first, in the same directory
    expect="TEXT"   is printed; several are looked for one after the other
    type="TEXT"     typed on the console, a line, when what is expected before it was printed
    needs=A,B       programs, or: root, kvm, guest, disk, tracefs, perf-events, full (only scripts/test.sh --full)

Other blocks are figures, and show no commands: COMMAND finds those that do.
"""

import os
import re
import shlex
from dataclasses import dataclass, field

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
LANGUAGES = ("sh", "bash", "console", "shell", "gdb")
KINDS = ("run", "console", "gdb", "vm", "by")
WORDS = ("test", "name", "after", "vm", "file", "status", "needs")  # at most once; expect and type may repeat
COMMAND = re.compile(r"^\s*(?:[$#] |\(gdb\) )?(?:vmm -|vmm-img \w|gdb -|gdb \S+ -ex|sudo |apt-get |scripts/\S+\.sh|meson |ninja |perf |"
                     r"bpftrace |socat |python3 |git clone)|^\s*(?:\$|\(gdb\)) ")


@dataclass
class Recipe:
    place: str      # "README.md:12"
    language: str
    text: str
    options: dict = field(default_factory=dict)
    steps: list = field(default_factory=list)  # ("expect" or "type", text), in order

    @property
    def kind(self):
        return self.options.get("test")

    def needs(self):
        return [need for need in self.options.get("needs", "").split(",") if need]


def documents():
    for folder in ("", "docs", "docs/manual"):
        for name in sorted(os.listdir(os.path.join(ROOT, folder))):
            if name.endswith(".md"):
                yield os.path.join(folder, name)


def _recipe(place, info, lines):
    words = shlex.split(info)
    recipe = Recipe(place, words[0] if words else "", "\n".join(lines) + "\n")
    for word in words[1:] if recipe.language in LANGUAGES else ():
        key, _, value = word.partition("=")
        if key in ("expect", "type"):
            recipe.steps.append((key, value))
        elif key in WORDS and key not in recipe.options:
            recipe.options[key] = value
        else:
            raise ValueError(f"{place}: '{word}' is nothing a recipe has")
    return recipe


def blocks(document):
    """Each fenced block of a document as a Recipe, and each line outside of them as (place, line)."""
    with open(os.path.join(ROOT, document), encoding="utf-8") as file:
        lines = file.read().split("\n")
    found, outside, start = [], [], None
    for number, line in enumerate(lines, 1):
        if line.startswith("```") and start is None:
            start, info, inside = number, line[3:], []
        elif line.startswith("```"):
            found.append(_recipe(f"{document}:{start}", info, inside))
            start = None
        elif start is not None:
            inside.append(line)
        else:
            outside.append((f"{document}:{number}", line))
    if start is not None:
        raise ValueError(f"{document}:{start}: this block has no end")
    return found, outside


def recipes():
    return [block for document in documents() for block in blocks(document)[0] if block.language in LANGUAGES]


def unmarked():
    """What a reader would type and no test does: (place, reason)."""
    for document in documents():
        found, outside = blocks(document)
        for block in found:
            if block.language in LANGUAGES and block.kind not in KINDS:
                yield block.place, "this recipe does not say how it is tested (tests/functional/recipes.py)"
            elif block.language not in LANGUAGES and any(COMMAND.match(line) for line in block.text.split("\n")):
                yield block.place, f"commands in a block of '{block.language}' are not tested; make it sh or gdb"
        for place, line in outside:
            if line.startswith("    ") and COMMAND.match(line):
                yield place, f"this command is in no recipe: {line.strip()}"
