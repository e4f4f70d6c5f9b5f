#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every header compiles alone: it includes what it needs. One TAP case per header.

    check-headers.py SOURCE-ROOT BUILD-ROOT

The compiler and its flags are those of src/main.c in compile_commands.json.
"""

import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


def compiler_command(build):
    with open(os.path.join(build, "compile_commands.json")) as file:
        for entry in json.load(file):
            if entry["file"].endswith("src/main.c"):
                words = shlex.split(entry["command"])
                keep = [w for w in words if w.startswith(("-I", "-D", "-std", "-W", "-isystem", "-m"))]
                compiler = [w for w in words[:2] if os.path.basename(w) != "ccache"][:1]
                return compiler + keep, entry["directory"]
    sys.exit("src/main.c is not in compile_commands.json")


def headers(source):
    for top in ("include", "src", "hw", "accel"):
        for folder, _, names in os.walk(os.path.join(source, top)):
            for name in names:
                if name.endswith(".h"):
                    yield os.path.relpath(os.path.join(folder, name), source)


def main():
    source, build = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    command, directory = compiler_command(build)

    def compile_alone(name):
        text = f'#include "{os.path.join(source, name)}"\n'
        # The folder of a header's own .c file is on its search path.
        local = "-I" + os.path.join(source, os.path.dirname(name))
        return subprocess.run(command + ["-Werror", local, "-fsyntax-only", "-x", "c", "-"], input=text, text=True,
                              cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    names = sorted(headers(source))
    failed = False
    print(f"1..{len(names)}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, (name, result) in enumerate(zip(names, pool.map(compile_alone, names)), 1):
            bad = result.returncode != 0
            print(f"{'not ' if bad else ''}ok {number} - {name}")
            if bad:
                print("".join(f"# {line}\n" for line in result.stdout.splitlines()[:10]), end="")
            failed |= bad
    return failed


if __name__ == "__main__":
    sys.exit(main())
