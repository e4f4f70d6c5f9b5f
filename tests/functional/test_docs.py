#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every recipe in the documentation is done as it is written (recipes.py has the marks)."""

import os
import re
import shutil
import subprocess
import tempfile

import recipes
import tinyguest
from gdbtest import Gdb, wait_for_socket
from vmmtest import GUEST_DIR, PROMPT, TIMEOUT_FACTOR, VMM, Skip, Suite, Vm, guest, kvm_is_real

suite = Suite()
RECIPES = recipes.recipes()
NAMED = {recipe.options["name"]: recipe for recipe in RECIPES if "name" in recipe.options}
PATIENCE = 60  # seconds; a recipe that needs a tenth of it is slow
BUILD = os.path.dirname(os.path.abspath(VMM))


class Folder(tempfile.TemporaryDirectory):
    """Where a reader would stand: vmm in the path, a kernel, an initial RAM disk, small guests."""

    def __init__(self):
        super().__init__(prefix="vmm-docs-")
        programs = os.path.join(self.name, ".bin")
        os.mkdir(programs)
        for name in ("vmm", "vmm-img"):
            os.symlink(os.path.join(BUILD, name), os.path.join(programs, name))
        os.symlink(os.path.join(recipes.ROOT, "scripts"), os.path.join(self.name, "scripts"))
        os.symlink(os.path.join(recipes.ROOT, "tests"), os.path.join(self.name, "tests"))
        os.symlink(BUILD, os.path.join(self.name, "build"))
        self.env = dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}", HOME=self.name, VMM_GUEST_DIR=GUEST_DIR)
        bye = tinyguest.out(tinyguest.DEBUG_EXIT, 0) + tinyguest.HALT
        tinyguest.write(os.path.join(self.name, "hello.bin"), tinyguest.text("hello from the guest\n") + bye)
        tinyguest.write(os.path.join(self.name, "crash.bin"), tinyguest.TRIPLE_FAULT)
        tinyguest.write(os.path.join(self.name, "echo.bin"), tinyguest.text("ready\n") + tinyguest.ECHO)

    def provide(self, text):
        """The stock guest's files, if the text uses them."""
        for name in ("vmlinuz", "initrd.gz"):
            if re.search(rf"\b{re.escape(name)}\b", text) and not os.path.exists(os.path.join(self.name, name)):
                os.symlink(guest(name), os.path.join(self.name, name))

    def provide_disk(self):
        """A copy of the installed Debian, for recipes that write to it."""
        subprocess.run(["cp", "--sparse=always", guest("debian.img"), os.path.join(self.name, "disk.img")], check=True)


def check_needs(recipe):
    for need in recipe.needs():
        if need == "root":
            if os.geteuid() != 0:
                raise Skip("needs root")
        elif need == "kvm":
            if kvm_is_real() is not True:
                raise Skip(kvm_is_real())
        elif need == "guest":
            guest("vmlinuz")
        elif need == "disk":
            guest("debian.img")
        elif need == "tracefs":
            if not os.path.exists("/sys/kernel/tracing/uprobe_events"):
                raise Skip("the kernel's uprobes cannot be reached (/sys/kernel/tracing)")
        elif need == "perf-events":
            probe = ["perf", "stat", "-e", "cpu-clock", "true"]
            if subprocess.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
                raise Skip("perf events are not allowed here")
        elif need == "full":
            if os.environ.get("VMM_TEST_DEPTH", "full") != "full":
                raise Skip("runs with scripts/test.sh --full")
        elif not shutil.which(need):
            raise Skip(f"there is no {need} here")


def script_of(recipe):
    before = recipe.options.get("after") if recipe.language != "gdb" else None
    return (script_of(NAMED[before]) if before else "") + recipe.text


def shell(recipe, folder):
    text = script_of(recipe)
    folder.provide(text)
    return ["-c", f"cd {folder.name}; set -eu -o pipefail\n{text}"]


def check_printed(recipe, text):
    """What is expected, one after the other."""
    position = 0
    for _, expected in recipe.steps:
        assert expected in text[position:], f"no {expected!r} in: {text[-2000:]}"
        position = text.index(expected, position) + len(expected)


def run(recipe, folder):
    done = subprocess.run(["bash"] + shell(recipe, folder), env=folder.env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=PATIENCE * TIMEOUT_FACTOR)
    status = int(recipe.options.get("status", 0))
    assert done.returncode == status, f"status {done.returncode}, not {status}: {done.stdout[-2000:]}"
    check_printed(recipe, done.stdout)


def console(recipe, folder):
    with Vm(shell(recipe, folder), program="bash", env=folder.env) as vm:
        for step, text in recipe.steps:
            if step == "expect":
                vm.expect(text, PATIENCE)
            else:
                vm.expect(PROMPT, PATIENCE)
                vm.send(text + "\n")
        vm.send("\x01x")
        assert vm.wait() == 0, "the end's status is not 0"
        assert vm.terminal_is_restored()


def gdb_commands(recipe):
    return re.findall(r"^\(gdb\) (.*?)(?: +#.*)?$", recipe.text, re.M)


def gdb(recipe, folder):
    """The VM's command line is the named recipe's; its socket is gdb.sock."""
    text = script_of(NAMED[recipe.options["vm"]]).replace("vmm ", "exec vmm ", 1)
    folder.provide(text + recipe.text)
    if "after" in recipe.options:
        run(NAMED[recipe.options["after"]], folder)
    with Vm(["-c", f"cd {folder.name}\n{text}"], program="bash", env=folder.env) as vm:
        wait_for_socket(vm, os.path.join(folder.name, "gdb.sock"))
        with Gdb(beside=vm) as session:
            session.do(f"cd {folder.name}")
            printed = "".join(session.do(command, PATIENCE) for command in gdb_commands(recipe))
            check_printed(recipe, printed)


def by(recipe, _):
    test = ""
    for name in recipe.options["file"].split(","):
        with open(os.path.join(recipes.ROOT, name), encoding="utf-8") as file:
            test += file.read()
    for line in recipe.text.splitlines():
        command = re.sub(r"\s+#.*$", "", line).strip()
        assert command in test, f"{recipe.options['file']} does not run '{command}'"


def add(recipe):
    def test():
        check_needs(recipe)
        folder = Folder()
        with folder:
            if "disk" in recipe.needs():
                folder.provide_disk()
            {"run": run, "console": console, "gdb": gdb, "by": by}[recipe.kind](recipe, folder)

    first = next((line for line in recipe.text.splitlines() if line.strip()), "")
    test.__name__ = f"{recipe.place} {first[:60]}".replace("#", "")
    suite.test(test)


@suite.test
def every_recipe_says_how_it_is_tested():
    problems = [f"{place}: {reason}" for place, reason in recipes.unmarked()]
    assert not problems, "; ".join(problems)


@suite.test
def names_of_recipes_lead_somewhere():
    for recipe in RECIPES:
        for word in ("after", "vm"):
            name = recipe.options.get(word)
            assert name is None or name in NAMED, f"{recipe.place}: there is no recipe '{name}'"
        if recipe.kind == "vm":
            used = any(recipe.options["name"] in (r.options.get("vm"), r.options.get("after")) for r in RECIPES)
            assert used, f"{recipe.place}: nobody uses this"


@suite.test
def probes_named_in_the_documentation_exist():
    if not shutil.which("readelf"):
        raise Skip("there is no readelf")
    notes = subprocess.run(["readelf", "-n", VMM], capture_output=True, text=True, check=True).stdout
    there = set(re.findall(r"Provider: vmm\n\s*Name: (\w+)", notes))
    if not there:
        raise Skip("this build has no probes (sys/sdt.h)")
    for document in recipes.documents():
        with open(os.path.join(recipes.ROOT, document), encoding="utf-8") as file:
            for name in re.findall(r"(?:usdt:\S*:vmm:|sdt_vmm:)(\w+)", file.read()):
                assert name in there, f"{document}: there is no probe '{name}'; there are {sorted(there)}"


for each in RECIPES:
    if each.kind in ("run", "console", "gdb", "by"):
        add(each)
suite.main()
