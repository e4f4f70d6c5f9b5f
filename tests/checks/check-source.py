#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules every file of the tree keeps, one TAP case per rule: licence line, banned functions, layout.

    check-source.py SOURCE-ROOT
"""

import os
import re
import sys

CODE = (".c", ".h", ".S", ".asm", ".py", ".sh", ".inc")
LICENSED = CODE + ("meson.build", "meson_options.txt", ".rst", ".yml")
SPDX = "SPDX-License-Identifier: GPL-2.0-or-later"

# Unbounded copies, conversions that cannot fail visibly, hidden state shared between threads.
BANNED = """strcpy stpcpy strcat strncpy strncat sprintf vsprintf gets atoi atol atoll atof strtok
tmpnam tempnam mktemp alloca g_alloca system popen localtime gmtime asctime ctime rand srand
longjmp setjmp siglongjmp sigsetjmp""".split()
BANNED_RE = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(BANNED))
# Only main ends the process (and code in a child after fork).
EXIT_RE = re.compile(r"(?<![\w.>])exit\s*\(")

COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def source_files(root):
    for folder, dirs, names in os.walk(root):
        dirs[:] = sorted(d for d in dirs if not d.startswith("build") and d not in (".git", "__pycache__", ".cache"))
        for name in sorted(names):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, root), path


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def without_comments(text):
    """Comments and strings blanked; line numbers stay."""
    return COMMENT_OR_STRING.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def is_program(name):
    """Code that ends up in vmm, as against tests and scripts."""
    return name.endswith((".c", ".h")) and name.split(os.sep)[0] in ("src", "hw", "accel", "include")


def find_lines(text, pattern):
    return [(text.count("\n", 0, m.start()) + 1, m.group().strip()) for m in pattern.finditer(text)]


def check_spdx(files):
    for name, path in files:
        if name.endswith(LICENSED) and SPDX not in read(path)[:400]:
            yield f"{name}: no '{SPDX}' near the top"


def check_banned(files):
    for name, path in files:
        if is_program(name):
            for line, call in find_lines(without_comments(read(path)), BANNED_RE):
                yield f"{name}:{line}: {call} is banned"


def check_exit(files):
    for name, path in files:
        if is_program(name) and name != os.path.join("src", "main.c"):
            for line, _ in find_lines(without_comments(read(path)), EXIT_RE):
                yield f"{name}:{line}: only src/main.c may exit"


def check_guards(files):
    for name, path in files:
        if is_program(name) and name.endswith(".h") and "#ifndef" not in read(path):
            yield f"{name}: no include guard"


def check_space(files):
    for name, path in files:
        if name.endswith(CODE):
            for number, line in enumerate(read(path).split("\n"), 1):
                if line != line.rstrip() or ("\t" in line and name.endswith((".c", ".h", ".py"))):
                    yield f"{name}:{number}: a tab, or white space at the end"


RULES = [
    ("every file names its licence", check_spdx),
    ("no banned function is called", check_banned),
    ("only main exits", check_exit),
    ("every header has an include guard", check_guards),
    ("no tabs and no trailing white space", check_space),
]


def main():
    files = list(source_files(sys.argv[1]))
    failed = False
    print(f"1..{len(RULES)}")
    for number, (title, rule) in enumerate(RULES, 1):
        problems = list(rule(files))
        print(f"{'not ' if problems else ''}ok {number} - {title}")
        for problem in problems:
            print(f"# {problem}")
        failed |= bool(problems)
    return failed


if __name__ == "__main__":
    sys.exit(main())
