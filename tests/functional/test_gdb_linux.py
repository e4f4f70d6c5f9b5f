#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel developer's session: gdb and a stock Linux on the translator, from its first function to its end.

The kernel's symbols come from the kernel itself (scripts/kernel-symbols.py), so gdb knows names as it
would with the distribution's debug package. One boot, one story: each case goes on where the one before
left off."""

import os
import re
import subprocess
import sys
import tempfile

from gdbtest import Gdb, wait_for_socket
from vmmtest import PROMPT, Skip, Suite, Vm, boot_args, guest

suite = Suite()
folder = tempfile.TemporaryDirectory(prefix="vmm-gdb-linux-")
SOCKET = os.path.join(folder.name, "gdb.sock")
SYMBOLS = os.path.join(folder.name, "vmlinux.sym")
MAKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "kernel-symbols.py")
BOOT = 240  # seconds


class Story:
    """What the cases share: the VM, and gdb."""
    vm = gdb = None


def the(story_part):
    if story_part is None:
        raise Skip("a case before this one failed")
    return story_part


def expect_in(text, *parts):
    for part in parts:
        assert part in text, f"no {part!r} in: {text}"


@suite.test
def a_stock_kernel_gives_its_symbols():
    subprocess.run([sys.executable, MAKER, guest("vmlinuz"), SYMBOLS], check=True)
    with Gdb(SYMBOLS) as gdb:
        expect_in(gdb.do("info symbol start_kernel"), "start_kernel in section .text")
        expect_in(gdb.do("info symbol &system_state"), "system_state in section .data")


@suite.test
def the_kernel_breaks_at_its_first_function():
    vm = Vm(boot_args("-gdb", f"unix:{SOCKET}", "-S", accel="dbt", smp=2, append="nokaslr quiet"))
    wait_for_socket(vm, SOCKET)
    gdb = Gdb(SYMBOLS, beside=vm)
    gdb.connect(SOCKET)
    gdb.do("hbreak *start_kernel")
    expect_in(gdb.do("continue", BOOT), "Breakpoint 1", "in start_kernel ()")
    expect_in(gdb.do("info threads"), "CPU#0 [running]", "CPU#1 [halted]")
    Story.vm, Story.gdb = vm, gdb


@suite.test
def it_steps_instruction_by_instruction():
    gdb = the(Story.gdb)
    seen = {gdb.value("$pc")}
    for _ in range(5):
        gdb.do("stepi")
        seen.add(gdb.value("$pc"))
    assert len(seen) == 6, f"{len(seen) - 1} steps"
    gdb.do("nexti")
    expect_in(gdb.do("info symbol $pc"), "in section .text")


@suite.test
def a_selector_brings_its_descriptor_from_the_guests_tables():
    gdb = the(Story.gdb)
    # Linux' GDT (arch/x86/include/asm/segment.h): 18h is the kernel's data, 10h its 64-bit code.
    before = gdb.value("$ds")
    gdb.do("set var $ds = 0x18")
    assert gdb.value("$ds") == 0x18
    expect_in(gdb.do("set var $ds = 0x10000"), "Could not write register")
    expect_in(gdb.do("set var $ss = 0x2b"), "Could not write register")  # the user's: level 3
    assert gdb.value("$ss") != 0x2b
    gdb.do(f"set var $ds = {before}")
    assert gdb.value("$ds") == before


@suite.test
def a_variable_is_watched_as_it_changes():
    gdb = the(Story.gdb)
    gdb.do("delete")
    gdb.do("hbreak *rest_init")
    expect_in(gdb.do("continue", BOOT), "in rest_init ()")
    gdb.do("delete")
    expect_in(gdb.do("watch *(int *) &system_state"), "Hardware watchpoint")
    # SYSTEM_BOOTING, then SYSTEM_SCHEDULING (include/linux/kernel.h).
    expect_in(gdb.do("continue", BOOT), "Old value = 0", "New value = 1")
    gdb.do("delete")


@suite.test
def every_cpu_has_registers_of_its_own():
    gdb, vm = the(Story.gdb), the(Story.vm)
    gdb.start("continue")
    gdb.expect("Continuing.")
    vm.expect(PROMPT, BOOT)
    gdb.process.send_signal(2)
    expect_in(gdb.finish(), "SIGINT")
    gdb.do("thread 1")
    first = gdb.value("$gs_base"), gdb.value("$k_gs_base")
    expect_in(gdb.do("thread 2"), "Switching to thread 2")
    assert gdb.value("$rip") >> 63 or gdb.value("$cs") & 3, "CPU 1 is nowhere"
    assert gdb.value("$cr3") and gdb.value("$efer") & 0x400, "CPU 1 is not in long mode"
    assert (gdb.value("$gs_base"), gdb.value("$k_gs_base")) != first, "both CPUs have one per-CPU area"
    expect_in(gdb.do("info registers rip rsp eflags cr0 cr4"), "rip", "rsp", "eflags", "cr0", "cr4")
    gdb.do("thread 1")


@suite.test
def a_system_call_is_finished_and_returns_its_value():
    gdb, vm = the(Story.gdb), the(Story.vm)
    gdb.do("break *__x64_sys_getuid")
    gdb.start("continue")
    gdb.expect("Continuing.")
    vm.send("id -u; echo 'do''ne'\n")
    expect_in(gdb.finish(), "sys_getuid ()")  # it has several names
    expect_in(gdb.do("bt 2"), "#0", "sys_getuid ()", "do_syscall_64")
    expect_in(gdb.do("finish"), "do_syscall_64 ()")
    assert gdb.value("$rax") == 0, "root's number"
    gdb.do("delete")
    gdb.start("continue")
    gdb.expect("Continuing.")
    vm.expect(re.compile(r"\n0\r*\ndone"))
    gdb.process.send_signal(2)
    expect_in(gdb.finish(), "SIGINT")


@suite.test
def the_guest_runs_on_after_detach_and_stops_at_the_next_attach():
    gdb, vm = the(Story.gdb), the(Story.vm)
    expect_in(gdb.do("detach"), "detached")
    assert vm.run("echo $((6 * 7))").endswith("42")
    gdb.connect(SOCKET, "extended-remote")
    gdb.do("break *do_exit")
    gdb.start("continue")
    gdb.expect("Continuing.")
    vm.send("true & wait; echo 'on''wards'\n")
    expect_in(gdb.finish(), "in do_exit ()")
    gdb.do("delete")
    gdb.do("detach")
    gdb.do("disconnect")  # an extended connection outlives its process
    vm.expect("onwards")


@suite.test
def kill_ends_the_vm():
    gdb, vm = the(Story.gdb), the(Story.vm)
    gdb.connect(SOCKET)
    expect_in(gdb.do("kill"), "killed")
    assert vm.wait() == 0
    assert not os.path.exists(SOCKET), "the socket was left behind"
    gdb.kill()


suite.main()
