#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A real gdb on real guests, on every accelerator: what a developer of a kernel does with it."""

import os
import re
import socket
import tempfile

from gdbtest import Gdb, wait_for_socket
from vmmtest import PROMPT, Skip, Suite, Vm, boot_args, check_refused, kvm_is_real

IMAGE, SYMBOLS = os.environ["VMM_DEBUGGEE"], os.environ["VMM_DEBUGGEE_SYMBOLS"]
EXIT_GOOD = 1  # isa-debug-exit: value 0
suite = Suite()
directory = tempfile.TemporaryDirectory(prefix="vmm-gdb-")
serial = 0


def new_path():
    global serial
    serial += 1
    return os.path.join(directory.name, f"gdb{serial}")


class Debuggee(Vm):
    """The guest of tests/guest/debuggee64.c, stopped before its first instruction."""

    def __init__(self, accel, *more, smp=2, stopped=True):
        if accel == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            raise Skip("/dev/kvm cannot be opened")
        self.path = new_path()
        args = ["-accel", accel, "-m", 32, "-smp", smp, "-nodefaults", "-display", "none", "-device",
                "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", IMAGE, "-gdb", f"unix:{self.path}", *more]
        super().__init__(args + (["-S"] if stopped else []), tty=False)
        wait_for_socket(self, self.path)


def on_each_accelerator(function):
    """One test for each accelerator there is."""
    for accel in ("dbt", "kvm"):
        def test(accel=accel):
            function(accel)
        test.__name__ = f"{accel}_{function.__name__}"
        suite.test(test)
    return function


def at_work(accel, gdb, vm):
    """Connected, with both CPUs at work."""
    gdb.connect(vm.path)
    gdb.do("break ap_work")
    out = gdb.do("continue")
    assert "hit Breakpoint" in out and "ap_work" in out, out
    gdb.do("delete")


def expect_in(text, *parts):
    for part in parts:
        assert part in text, f"no {part!r} in: {text}"


@on_each_accelerator
def breaks_steps_and_finishes(accel):
    with Debuggee(accel) as vm, Gdb(SYMBOLS) as gdb:
        out = gdb.connect(vm.path)
        assert "_start" in out, out
        gdb.do("break work")
        expect_in(gdb.do("continue"), "hit Breakpoint 1", "work (n=1)")
        expect_in(gdb.do("bt"), "#0  work (n=1)", "guest_main")
        gdb.do("delete")
        gdb.do("break leaf")
        expect_in(gdb.do("continue"), "leaf (n=1)")
        expect_in(gdb.do("finish"), "Run till exit", "Value returned is $1 = 3")
        expect_in(gdb.do("next"), "store(value)")
        expect_in(gdb.do("info registers rip cs eflags"), "<work+", "0x8")
        pc = gdb.value("$pc")
        gdb.do("stepi")
        assert pc < gdb.value("$pc") < pc + 16


@on_each_accelerator
def watches_a_variable(accel):
    if accel == "kvm" and kvm_is_real() is not True:
        raise Skip(f"{kvm_is_real()}: where the kernel emulates guest code it knows no data breakpoints")
    with Debuggee(accel) as vm, Gdb(SYMBOLS) as gdb:
        gdb.connect(vm.path)
        expect_in(gdb.do("watch watched"), "Hardware watchpoint 1")
        expect_in(gdb.do("continue"), "Hardware watchpoint 1: watched", "Old value = 0", "New value = 3")
        expect_in(gdb.do("continue"), "Old value = 3", "New value = 5", "store")
        gdb.do("delete")
        expect_in(gdb.do("rwatch finished"), "read watchpoint")
        expect_in(gdb.do("continue"), "read watchpoint 2: finished", "Value = 0", "guest_main")
        gdb.do("delete")
        gdb.do("awatch rounds")
        expect_in(gdb.do("continue"), "access (read/write) watchpoint 3: rounds")


@suite.test
def dbt_watches_more_than_a_cpu_could():
    with Debuggee("dbt", smp=1) as vm, Gdb(SYMBOLS) as gdb:
        gdb.connect(vm.path)
        gdb.do("set can-use-hw-watchpoints 100")
        for i in range(10, 16):
            gdb.do(f"watch buffer[{i}]")
        expect_in(gdb.do("continue"), "buffer[10]", "New value = 21")
        expect_in(gdb.do("continue"), "buffer[11]", "New value = 23")
        gdb.do("delete")
        gdb.do("watch *(char (*)[256]) &buffer[32]")
        expect_in(gdb.do("continue"), "Hardware watchpoint 7")
        assert gdb.value("buffer[32]") == 65


@suite.test
def kvm_says_how_many_watchpoints_there_are():
    with Debuggee("kvm", smp=1) as vm, Gdb(SYMBOLS) as gdb:
        gdb.connect(vm.path)
        for i in range(5):
            gdb.do(f"watch buffer[{i}]")
        out = gdb.do("continue")
        assert "Could not insert hardware watchpoint" in out, out


@on_each_accelerator
def the_guest_does_not_see_breakpoints(accel):
    with Debuggee(accel, smp=1) as vm, Gdb(SYMBOLS) as gdb:
        gdb.connect(vm.path)
        gdb.do("break work")
        gdb.do("continue")
        gdb.do("break leaf")
        for _ in range(3):
            expect_in(gdb.do("continue"), "leaf")
            expect_in(gdb.do("continue"), "work")
        assert gdb.value("rounds") >= 3
        assert gdb.value("code_changed") == 0


@on_each_accelerator
def threads_are_cpus(accel):
    with Debuggee(accel) as vm, Gdb(SYMBOLS) as gdb:
        at_work(accel, gdb, vm)
        out = gdb.do("info threads")
        expect_in(out, "Thread 1.1 (CPU#0 [running])", "Thread 1.2 (CPU#1 [running])", "ap_work")
        gdb.do("thread 2")
        expect_in(gdb.do("bt"), "ap_work", "ap_main")
        gdb.do("thread 1")
        assert "in ap_main (" not in gdb.do("bt")
        # One CPU alone is stepped, the other stands.
        gdb.do("set scheduler-locking on")
        before = gdb.value("ap_rounds")
        for _ in range(20):
            gdb.do("stepi")
        assert gdb.value("ap_rounds") == before


@on_each_accelerator
def interrupting_detaching_and_coming_back(accel):
    with Debuggee(accel, stopped=False) as vm, Gdb(SYMBOLS) as gdb:
        gdb.connect(vm.path)
        gdb.start("continue")
        expect_in(gdb.interrupt(), "SIGINT")
        rounds = gdb.value("rounds")
        expect_in(gdb.do("detach"), "detached")
        gdb.connect(vm.path)
        while gdb.value("rounds") == rounds:  # it ran meanwhile, or will
            gdb.do("detach")
            gdb.connect(vm.path)
        gdb.do("break work")
        expect_in(gdb.do("continue"), "work")
        # gdb dies without a word: what it has set goes with it.
        gdb.start("continue 1000000")
        gdb.expect("Will ignore next")
        gdb.kill()
        with Gdb(SYMBOLS) as other:
            other.connect(vm.path)
            other.do("set var finished = 1")
            expect_in(other.do("continue"), "exited with code 01")
        assert vm.wait() == EXIT_GOOD


@on_each_accelerator
def memory_and_registers_are_written(accel):
    with Debuggee(accel, smp=1) as vm, Gdb(SYMBOLS) as gdb:
        gdb.connect(vm.path)
        gdb.do("break work")
        gdb.do("continue")
        gdb.do("set var $rdi = 100")
        gdb.do("delete")
        gdb.do("break store")
        expect_in(gdb.do("continue"), "store (n=201)")
        gdb.do("set var $xmm3.v4_int32[2] = 77")
        assert gdb.value("$xmm3.v4_int32[2]") == 77
        gdb.do("set var $st2 = 1.5")
        expect_in(gdb.do("p $st2"), "1.5")
        expect_in(gdb.do("p $cr0"), "[ PE", "PG ]")
        expect_in(gdb.do("set var $cr8 = 99"), "Could not write register")
        assert gdb.value("$cr8") == 0
        gdb.do("set var buffer[3] = 0x1122334455667788")
        assert gdb.value("buffer[3]") == 0x1122334455667788
        address = gdb.value("&buffer[3]")
        assert "0x0000000000000000" not in gdb.do(f"x/gx {address}")
        expect_in(gdb.do("maintenance packet Qqemu.PhyMemMode:1"), 'received: "OK"')
        assert gdb.value("buffer[3]") == 0x1122334455667788  # mapped one to one
        expect_in(gdb.do("maintenance packet qqemu.PhyMemMode"), 'received: "1"')
        gdb.do("maintenance packet Qqemu.PhyMemMode:0")
        expect_in(gdb.do("x/x 0x123456789000"), "Cannot access memory")


@suite.test
def the_kernel_loads_its_program_over_the_wire():
    with Debuggee("dbt", smp=1) as vm, Gdb(SYMBOLS) as gdb:
        gdb.connect(vm.path)
        expect_in(gdb.do("load"), "Transfer rate")
        expect_in(gdb.do("break work"), "Breakpoint 1")
        expect_in(gdb.do("continue"), "work (n=1)")


@suite.test
def settings_of_steps_are_qemus():
    with Debuggee("dbt", smp=1) as vm, Gdb(SYMBOLS) as gdb:
        gdb.connect(vm.path)
        expect_in(gdb.do("maintenance packet qqemu.sstepbits"), "ENABLE=1,NOIRQ=2,NOTIMER=4")
        expect_in(gdb.do("maintenance packet Qqemu.sstep=0x5"), 'received: "OK"')
        expect_in(gdb.do("maintenance packet qqemu.sstep"), "0x5")


@suite.test
def monitor_commands():
    with Debuggee("dbt") as vm, Gdb(SYMBOLS) as gdb:
        gdb.connect(vm.path)
        expect_in(gdb.do("monitor help"), "info registers", "system_reset")
        expect_in(gdb.do("monitor info registers"), "EIP=", "CR3=")
        expect_in(gdb.do("monitor info cpus"), "CPU #0", "CPU #1", "waits for a start-up IPI")
        expect_in(gdb.do("monitor info mtree"), "fee00000")
        expect_in(gdb.do("monitor frobnicate"), "unknown command 'frobnicate'")
        gdb.do("break work")
        gdb.do("continue")
        rip = gdb.value("$pc")
        gdb.do("monitor system_reset")
        gdb.do("maintenance flush register-cache")
        assert gdb.value("$pc") != rip
        expect_in(gdb.do("continue"), "work (n=1)")
        gdb.do("monitor quit")
        assert vm.wait() == 0


@suite.test
def thirty_two_bit_registers_on_demand():
    with Debuggee("dbt", smp=1) as vm, Gdb() as gdb:
        gdb.connect(vm.path)
        gdb.do("monitor arch i386")
        gdb.do("unset tdesc filename")
        expect_in(gdb.do("info registers"), "eax", "eip")
        expect_in(gdb.do("show architecture"), "i386")
        gdb.do("stepi")
        expect_in(gdb.do("info registers eip"), "eip")
        gdb.do("monitor arch amd64")
        gdb.do("unset tdesc filename")
        expect_in(gdb.do("info registers"), "rax", "r15", "cr0", "efer")


@suite.test
def killing_ends_the_vm():
    with Debuggee("dbt") as vm, Gdb(SYMBOLS) as gdb:
        gdb.connect(vm.path)
        gdb.do("kill")
        assert vm.wait() == 0
        assert not os.path.exists(vm.path), "the socket was left behind"


@suite.test
def a_second_debugger_and_a_second_process_are_refused():
    with Debuggee("dbt") as vm, Gdb(SYMBOLS) as gdb, Gdb(SYMBOLS) as other:
        gdb.connect(vm.path, "extended-remote")
        expect_in(other.connect(vm.path), "another debugger is connected")
        gdb.do("detach")
        expect_in(gdb.do("attach 2"), "Attaching to process 2 failed")
        gdb.do("attach 1")
        assert gdb.value("$pc")


@suite.test
def a_flood_of_garbage_does_not_disturb_the_guest():
    with Debuggee("dbt", smp=1, stopped=False) as vm:
        with socket.socket(socket.AF_UNIX) as noise:
            noise.connect(vm.path)
            for chunk in (b"\xff" * 65536, b"$" * 65536, b"$m0,ffff#00" * 6000, b"}" * 65536 + b"#"):
                noise.sendall(chunk)
        with Gdb(SYMBOLS) as gdb:
            gdb.connect(vm.path)
            gdb.do("break work")
            expect_in(gdb.do("continue"), "work (n=")
            gdb.do("set var finished = 1")
            gdb.do("delete")
            gdb.do("detach")
        assert vm.wait() == EXIT_GOOD


@suite.test
def over_a_pipe():
    with Gdb(SYMBOLS) as gdb:
        command = [os.environ["VMM"], "-accel", "dbt", "-m", "32", "-nodefaults", "-display", "none", "-kernel", IMAGE,
                   "-S", "-gdb", "stdio"]
        gdb.do("target remote | " + " ".join(command))
        gdb.do("break work")
        expect_in(gdb.do("continue"), "work (n=1)")
        gdb.do("kill")


@suite.test
def tcp_and_bad_addresses():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        check_refused(["-accel", "dbt", "-kernel", IMAGE, "-gdb", f"tcp::{port}"], f"-gdb tcp::{port}:", "in use",
                      "choose another")
    check_refused(["-accel", "dbt", "-kernel", IMAGE, "-gdb", "unix:/nonexistent/gdb"], "-gdb unix:/nonexistent/gdb:",
                  "No such file or directory")
    check_refused(["-accel", "dbt", "-kernel", IMAGE, "-gdb", "ftp:x"], "-gdb ftp:x:", "tcp:[HOST]:PORT")
    check_refused(["-accel", "dbt", "-kernel", IMAGE, "-nographic", "-gdb", "stdio"], "-gdb stdio:", "-nographic")
    path = new_path()
    with Vm(["-accel", "dbt", "-m", 32, "-nodefaults", "-display", "none", "-kernel", IMAGE, "-S", "-gdb",
             f"tcp:127.0.0.1:{port}", "-pidfile", path], tty=False) as vm, Gdb(SYMBOLS) as gdb:
        wait_for_socket(vm, path)
        expect_in(gdb.connect(f"127.0.0.1:{port}"), "_start")
        gdb.do("kill")
        assert vm.wait() == 0


def kernel_symbols(vm, *names):
    """Addresses of a kernel that was booted with nokaslr."""
    text = vm.run("grep -E ' [tT] (" + "|".join(names) + ")$' /proc/kallsyms")
    symbols = {name: int(address, 16) for address, name in re.findall(r"([0-9a-f]+) [tT] (\w+)", text)}
    for name in names:
        assert symbols.get(name), f"the kernel has no {name}: {text}"
    return symbols


@suite.test
def a_booting_linux_stops_at_a_symbol():
    path = new_path()
    with Vm(boot_args("-gdb", f"unix:{path}", accel="dbt", smp=2, append="nokaslr")) as vm, \
            Gdb(beside=vm) as gdb:
        vm.expect(PROMPT, 240)
        symbols = kernel_symbols(vm, "start_kernel", "kernel_init", "do_exit")
        gdb.connect(path)
        gdb.do(f"break *{symbols['do_exit']:#x}")
        gdb.start("continue")
        gdb.expect("Continuing.")
        vm.send("true & wait\n")
        expect_in(gdb.finish(), "hit Breakpoint 1")
        assert gdb.value("$pc") == symbols["do_exit"]
        # CPU 1, which is idle or at work in the kernel.
        gdb.do("thread 2")
        assert gdb.value("$rip") >> 63 or gdb.value("$cs") & 3, "CPU 1 is nowhere"
        assert gdb.value("$cr3") and gdb.value("$efer") & 0x400
        assert gdb.value("$gs_base >> 40") or gdb.value("$k_gs_base >> 40"), "CPU 1 has no per-CPU data"
        gdb.do("delete")
        gdb.do("detach")
        assert vm.run("echo $((6 * 7))").endswith("42")
    # Now from its first C function on.
    path = new_path()
    with Vm(boot_args("-gdb", f"unix:{path}", "-S", accel="dbt", smp=2, append="nokaslr")) as vm, \
            Gdb(beside=vm) as gdb:
        wait_for_socket(vm, path)
        gdb.connect(path)
        gdb.do(f"hbreak *{symbols['start_kernel']:#x}")
        gdb.do(f"hbreak *{symbols['kernel_init']:#x}")
        expect_in(gdb.do("continue", 240), "hit Breakpoint 1")
        assert gdb.value("$pc") == symbols["start_kernel"]
        expect_in(gdb.do("info threads"), "CPU#1 [halted]")
        expect_in(gdb.do("continue", 240), "hit Breakpoint 2")
        assert gdb.value("$pc") == symbols["kernel_init"]
        for _ in range(5):
            gdb.do("stepi")
        gdb.do("delete")
        gdb.do("detach")
        vm.expect(PROMPT, 240)


suite.main()
