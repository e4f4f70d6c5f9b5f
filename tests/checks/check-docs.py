#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the documentation promises about itself, one TAP case per promise.

    check-docs.py SOURCE-ROOT BUILD-ROOT VMM
"""

import os
import re
import shutil
import subprocess
import sys

SOURCE, BUILD, VMM = (os.path.abspath(arg) for arg in sys.argv[1:4])
MANUAL = os.path.join(BUILD, "docs", "manual")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


class Skip(Exception):
    pass


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def markdown_files():
    for folder in ("", "docs", "docs/manual"):
        for name in sorted(os.listdir(os.path.join(SOURCE, folder))):
            if name.endswith(".md"):
                yield os.path.join(folder, name)


def run(*args):
    env = dict(os.environ, LC_ALL="C.UTF-8", ASAN_OPTIONS="detect_leaks=0")
    return subprocess.run(args, capture_output=True, text=True, env=env, timeout=60)


def option_names():
    return re.findall(r"^  -(\S+)", run(VMM, "-help").stdout, re.M)


def check_options():
    headings = re.findall(r"^### (`-.*)$", "".join(read(os.path.join(MANUAL, n)) for n in os.listdir(MANUAL)), re.M)
    sections = [name for heading in headings for name in re.findall(r"`-([^`]+)`", heading)]
    for name in option_names():
        if sections.count(name) != 1:
            yield f"-{name} has {sections.count(name)} sections in the manual"


def check_things():
    """By another way than the generator's: the first word of each line of a list."""
    text = "".join(read(os.path.join(MANUAL, name)) for name in os.listdir(MANUAL))
    for kind in ("machine", "device", "chardev", "object"):
        names = re.findall(r"^  (\S+) ", run(VMM, f"-{kind}", "help").stdout, re.M)
        if not names:
            yield f"'-{kind} help' lists nothing"
        for name in names:
            if f"property of `{name}`" not in text and f"`{name}` has no properties" not in text:
                yield f"the manual has no properties of the {kind} {name}"


def check_man_options():
    page = read(os.path.join(BUILD, "docs", "vmm.1")).replace("\\-", "-")
    for name in option_names():
        if page.count(f"\\fB-{name}\\fR") != 1:
            yield f"-{name} is {page.count(f'-{name}')} times in vmm.1"


def check_img_commands():
    """By another way than the generator's, like check_things."""
    page = read(os.path.join(BUILD, "docs", "vmm-img.1")).replace("\\-", "-")
    chapter = read(os.path.join(MANUAL, "img.md"))
    img = os.path.join(BUILD, "vmm-img")
    for name in re.findall(r"^  (\w+) ", run(img, "--help").stdout.split("\n\n")[2], re.M):
        if f"### `{name}`" not in chapter or f".SS {name}\n" not in page:
            yield f"vmm-img {name} is not in img.md or vmm-img.1"
        for form in re.findall(r"^  (-\S.*?)  ", run(img, name, "--help").stdout, re.M):
            if f"| `{form}` |" not in chapter or f"\\fB{form}\\fR" not in page:
                yield f"vmm-img {name} {form} is not in img.md or vmm-img.1"


def check_man_lint():
    if not shutil.which("groff"):
        raise Skip("there is no groff")
    for page in ("vmm.1", "vmm-img.1"):
        done = run("groff", "-man", "-ww", "-Tutf8", "-z", os.path.join(BUILD, "docs", page))
        yield from done.stderr.splitlines()


def check_directives():
    for name in os.listdir(MANUAL):
        text = read(os.path.join(MANUAL, name))
        for left in re.findall(r"<!-- (?:option|options|properties|list|img)\b.*|@[A-Z]+@", text):
            yield f"{name}: '{left}' was not replaced"


def check_links():
    for name in markdown_files():
        for target in LINK.findall(read(os.path.join(SOURCE, name))):
            if "://" not in target and not os.path.exists(os.path.join(SOURCE, os.path.dirname(name), target)):
                yield f"{name}: there is no {target}"


def check_index():
    index = read(os.path.join(SOURCE, "docs", "manual", "index.md"))
    for name in os.listdir(os.path.join(SOURCE, "docs", "manual")):
        if name.endswith(".md") and name != "index.md" and f"({name})" not in index:
            yield f"index.md does not lead to {name}"
        if name.endswith(".md") and not os.path.exists(os.path.join(MANUAL, name)):
            yield f"{name} is not built; docs/manual/meson.build lists chapters"


def squeezed(text):
    return re.sub(r"\s+", " ", text).strip()


def check_quotes():
    count = 0
    for name in markdown_files():
        for path, quote in re.findall(r"^```c quote=(\S+)\n(.*?)^```$", read(os.path.join(SOURCE, name)), re.M | re.S):
            count += 1
            if squeezed(quote) not in squeezed(read(os.path.join(SOURCE, path))):
                yield f"{name}: {path} has no longer: {squeezed(quote)[:100]}"
    if not count:
        yield "no quotes were found"


def code_files():
    for top in ("src", "hw", "accel", "include"):
        for folder, _, names in os.walk(os.path.join(SOURCE, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    path = os.path.join(folder, name)
                    yield os.path.relpath(path, SOURCE), read(path)


MUTEX = re.compile(r"^\s*(?:static |extern )?(?:pthread_mutex_t|pthread_rwlock_t|pthread_spinlock_t|GMutex|GRWLock|GRecMutex)"
                   r" (\w+)[ ;=,\[]", re.M)


def check_locks():
    """Both ways: each file that has a lock is in the table, each file in the table has one."""
    rows = re.findall(r"^\| (`[^|]*) \| (\S+\.[ch]) \|", read(os.path.join(SOURCE, "docs", "locking.md")), re.M)
    named = {}
    for names, path in rows:
        named.setdefault(path, set()).update(name.split(".")[-1] for name in re.findall(r"`([^`]+)`", names))
    for path, text in code_files():
        for lock in MUTEX.findall(text):
            if lock not in named.get(path, ()):
                yield f"{path}: '{lock}' is not in the table of docs/locking.md; add what it guards and its place in the order"
    for path, names in named.items():
        if not os.path.exists(os.path.join(SOURCE, path)):
            yield f"docs/locking.md: there is no {path}"
            continue
        there = set(MUTEX.findall(read(os.path.join(SOURCE, path))))
        for name in names - there:
            yield f"docs/locking.md: {path} has no lock '{name}'"


def check_paths():
    """Files the pages name exist, also those named as an #include has them."""
    for name in markdown_files():
        if name == "docs/design.md":  # has plans and patterns in it
            continue
        for path in re.findall(r"(?<![\w/.])(?:src|hw|accel|include|tests|scripts|docs)/[\w./-]*\.(?:c|h|py|sh|md|build)\b",
                               read(os.path.join(SOURCE, name))):
            if not any(os.path.exists(os.path.join(SOURCE, top, path)) for top in ("", "include")):
                yield f"{name}: there is no {path}"


def check_recipes():
    """Here already, because tests/functional/test_docs.py runs later."""
    sys.path.insert(0, os.path.join(SOURCE, "tests", "functional"))
    import recipes
    for place, reason in recipes.unmarked():
        yield f"{place}: {reason}"


CHECKS = [
    ("every option has one section in the manual", check_options),
    ("every machine, device, backend and object has its properties in the manual", check_things),
    ("every option is in the man page", check_man_options),
    ("every command of vmm-img is in the manual and its man page", check_img_commands),
    ("the man pages have no warnings", check_man_lint),
    ("everything generated is in its place", check_directives),
    ("links lead somewhere", check_links),
    ("every chapter is built and in the index", check_index),
    ("quoted code is the source's", check_quotes),
    ("every lock is in docs/locking.md", check_locks),
    ("files that are named exist", check_paths),
    ("every recipe says how it is tested", check_recipes),
]


def main():
    failed = False
    print(f"1..{len(CHECKS)}")
    for number, (title, check) in enumerate(CHECKS, 1):
        try:
            problems, note = list(check()), ""
        except Skip as reason:
            problems, note = [], f" # SKIP {reason}"
        print(f"{'not ' if problems else ''}ok {number} - {title}{note}")
        for problem in problems:
            print(f"# {problem}")
        failed |= bool(problems)
    return failed


if __name__ == "__main__":
    sys.exit(main())
