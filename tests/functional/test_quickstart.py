#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The newcomer's path: what README says to type, in a fresh clone, as it is written there.

scripts/quickstart.sh runs in a clone of this tree on this host; test_newcomer.py goes further."""

import os
import re
import shutil
import subprocess
import tempfile

from checkout import ROOT, clone
from vmmtest import PROMPT, VMM, Suite, Vm, guest

SCRIPT = os.path.join(ROOT, "scripts", "quickstart.sh")
suite = Suite()


def environment():
    guest("initrd.gz")
    return dict(os.environ, VMM=os.path.abspath(VMM))


def batch(command):
    return subprocess.run([SCRIPT, "--batch", command, "--", "-accel", "dbt"], env=environment(), capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=300)


@suite.test
def batch_prints_what_the_command_prints_and_exits_with_its_status():
    result = batch("nproc; echo oops >&2; seq 1 3; exit 42")
    assert result.returncode == 42, f"{result.returncode}: {result.stderr}"
    assert result.stdout == "2\noops\n1\n2\n3\n", repr(result.stdout)


@suite.test
def interactive_boots_to_a_shell():
    with Vm(["--smp", "1", "--", "-accel", "dbt"], program=SCRIPT, env=environment()) as vm:
        vm.expect(PROMPT, 240)
        assert vm.run("nproc") == "1"
        vm.send("exit\n")
        assert vm.wait(60) == 0
        assert vm.terminal_is_restored()


@suite.test
def readme_commands_in_a_fresh_clone():
    env = {name: value for name, value in environment().items() if name not in ("VMM", "VMM_GUEST_DIR")}
    if shutil.which("ccache"):
        env["CC"] = "ccache gcc"
    with tempfile.TemporaryDirectory(prefix="vmm-clone-") as folder:
        tree = os.path.join(folder, "vmm")
        clone(tree)
        with Vm(["-c", f"cd {tree} && scripts/quickstart.sh"], program="bash", env=env) as vm:
            vm.expect(PROMPT, 600)
            assert vm.run("nproc") == "2"
            vm.send("\x01x")
            assert vm.wait(60) == 0
            assert vm.terminal_is_restored()
        done = subprocess.run(["bash", "-c", f"cd {tree} && scripts/quickstart.sh --batch 'uname -a; nproc'"], env=env,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]
        assert re.match(r"Linux guest \S+.*\n2\n$", done.stdout), repr(done.stdout)
        left = subprocess.run(["git", "-C", tree, "status", "--porcelain"], capture_output=True, text=True, check=True)
        assert not left.stdout, f"the scripts leave files behind that git does not ignore: {left.stdout}"


suite.main()
