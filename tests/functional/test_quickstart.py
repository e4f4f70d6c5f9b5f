#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/quickstart.sh with a vmm that is built already: a shell on the terminal, and one command."""

import os
import subprocess

from vmmtest import PROMPT, VMM, Suite, Vm, guest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "quickstart.sh")
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


suite.main()
