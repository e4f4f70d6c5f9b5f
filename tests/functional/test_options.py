#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The effect of each option that tiny guests can show, and what the options that only print print."""

import os
import re
import select
import subprocess
import tempfile

import tinyguest
from tinyguest import COM1, DEBUG_EXIT, DEBUGCON, HALT, TRIPLE_FAULT, out, text
from vmmtest import ACCEL, TIMEOUT, VMM, Suite, Vm

suite = Suite()
folder = tempfile.TemporaryDirectory()
COM2 = 0x2F8
BASE = ["-accel", ACCEL, "-m", "16", "-display", "none", "-no-reboot"]


def image(name, code):
    return tinyguest.write(os.path.join(folder.name, name), code)


def run(code, *args):
    """(status, stdout, stderr) of a tiny guest."""
    result = subprocess.run([VMM] + BASE + list(args) + ["-kernel", image("guest", code)], capture_output=True,
                            text=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT)
    return result.returncode, result.stdout, result.stderr


def contents(name):
    with open(os.path.join(folder.name, name)) as file:
        return file.read()


def printed(*args):
    result = subprocess.run([VMM] + list(args), capture_output=True, text=True, timeout=TIMEOUT)
    assert result.returncode == 0, f"{args}: {result.returncode} {result.stderr}"
    assert result.stderr == "", result.stderr
    return result.stdout


@suite.test
def help_lists_options_in_groups():
    shown = printed("-help")
    for option in ("kernel", "smp", "serial", "device", "accel", "nographic"):
        assert re.search(rf"^  -{option}\b", shown, re.M), option
    assert printed("--help") == shown == printed("-h")


@suite.test
def version_is_one_line():
    assert re.fullmatch(r"vmm version \d+\.\d+\.\d+\n", printed("-version"))


@suite.test
def kinds_are_listed_by_help():
    for args, expected in (
            (("-machine", "help"), "pc"), (("-machine", "pc,help"), "acpi="), (("-accel", "help"), "dbt"),
            (("-accel", "kvm,help"), "kernel-irqchip="), (("-cpu", "help"), "qemu64"),
            (("-device", "help"), "isa-debug-exit"), (("-device", "isa-debug-exit,help"), "iobase="),
            (("-object", "help"), "memory-backend-file"), (("-object", "memory-backend-file,help"), "mem-path="),
            (("-d", "help"), "guest_errors")):
        assert expected in printed(*args), args


@suite.test
def isa_debug_exit_gives_the_status():
    """QEMU's rule: (value << 1) | 1."""
    device = ("-device", "isa-debug-exit,iobase=0xf4,iosize=4")
    assert run(out(DEBUG_EXIT, 0) + HALT, *device)[0] == 1
    assert run(out(DEBUG_EXIT, 0x10) + HALT, *device)[0] == 33


@suite.test
def devices_may_be_json():
    assert run(out(DEBUG_EXIT, 2) + HALT, "-device", '{"driver":"isa-debug-exit","iobase":244,"iosize":4}')[0] == 5


@suite.test
def debugcon_prints():
    assert run(text("debug", DEBUGCON) + TRIPLE_FAULT, "-debugcon", "stdio")[:2] == (0, "debug")


@suite.test
def serial_ports_are_taken_in_order():
    one, two = (os.path.join(folder.name, name) for name in ("one", "two"))
    status = run(text("first", COM1) + text("second", COM2) + TRIPLE_FAULT, "-serial", f"file:{one}", "-serial", f"file:{two}")[0]
    assert status == 0
    assert (contents("one"), contents("two")) == ("first", "second")


@suite.test
def serial_none_leaves_no_port():
    """in al, 3fdh reads ones where nothing answers; sent to the debug console."""
    code = b"\x66\xba\xfd\x03\xec\xe6\xe9" + TRIPLE_FAULT
    result = subprocess.run([VMM] + BASE + ["-serial", "none", "-debugcon", "stdio", "-kernel", image("guest", code)],
                            capture_output=True, timeout=TIMEOUT)
    assert result.stdout == b"\xff", result.stdout


@suite.test
def nodefaults_leaves_no_port():
    """As above; without it the port answers."""
    code = b"\x66\xba\xfd\x03\xec\xe6\xe9" + TRIPLE_FAULT
    for args, absent in ((["-nodefaults"], True), ([], False), (["-no-user-config"], False)):
        result = subprocess.run([VMM] + BASE + args + ["-debugcon", "stdio", "-kernel", image("guest", code)],
                                capture_output=True, timeout=30)
        assert (result.stdout == b"\xff") == absent, (args, result.stdout)


@suite.test
def triple_fault_is_logged_with_registers():
    path = os.path.join(folder.name, "log")
    status, _, errors = run(TRIPLE_FAULT, "-d", "cpu_reset", "-D", path)
    assert status == 0
    assert "triple fault" in errors
    assert re.search(r"^EIP=001000", contents("log"), re.M), contents("log")[-500:]


@suite.test
def stopped_machine_prints_nothing():
    with Vm(BASE + ["-S", "-serial", "stdio", "-kernel", image("guest", text("x") + HALT)], tty=False) as vm:
        assert not select.select([vm.output], [], [], 0.5)[0]
        assert vm.process.poll() is None
        vm.process.terminate()
        assert vm.wait() == 0


@suite.test
def no_shutdown_keeps_the_machine():
    """-no-reboot makes the triple fault a shutdown, -no-shutdown a stop."""
    with Vm(BASE + ["-no-shutdown", "-serial", "stdio", "-kernel", image("guest", text("x") + TRIPLE_FAULT)], tty=False) as vm:
        vm.expect("x")
        assert not select.select([vm.output], [], [], 0.5)[0]
        assert vm.process.poll() is None
        vm.process.terminate()
        assert vm.wait() == 0


@suite.test
def shared_file_backend_shows_the_guests_memory():
    """The guest writes its own marker to 3 MiB: mov dword [300000h], 'MARK'."""
    ram = os.path.join(folder.name, "ram")
    code = b"\xc7\x05\x00\x00\x30\x00MARK" + text("done") + TRIPLE_FAULT
    status, shown, errors = run(code, "-serial", "stdio", "-object",
                                f"memory-backend-file,id=ram,size=16M,mem-path={ram},share=on", "-machine", "memory-backend=ram")
    assert (status, shown) == (0, "done"), errors
    with open(ram, "rb") as file:
        file.seek(3 << 20)
        assert file.read(4) == b"MARK"
    assert os.path.getsize(ram) == 16 << 20


@suite.test
def private_file_backend_leaves_the_file_alone():
    ram = os.path.join(folder.name, "ram2")
    code = b"\xc7\x05\x00\x00\x30\x00MARK" + text("done") + TRIPLE_FAULT
    assert run(code, "-serial", "stdio", "-mem-path", ram)[:2] == (0, "done")
    with open(ram, "rb") as file:
        file.seek(3 << 20)
        assert file.read(4) == bytes(4)


@suite.test
def memfd_prealloc_makes_all_ram_resident():
    with Vm(BASE + ["-object", "memory-backend-memfd,id=r,size=16M,prealloc=on", "-machine", "memory-backend=r",
                    "-serial", "stdio", "-kernel", image("guest", text("x") + HALT)], tty=False) as vm:
        vm.expect("x")
        with open(f"/proc/{vm.process.pid}/status") as status:
            shared = int(re.search(r"RssShmem:\s*(\d+)", status.read()).group(1))
        assert shared >= 16 << 10, shared


@suite.test
def process_gets_its_name():
    with Vm(BASE + ["-name", "box,process=my-vm", "-serial", "stdio", "-kernel", image("guest", text("x") + HALT)], tty=False) as vm:
        vm.expect("x")
        with open(f"/proc/{vm.process.pid}/comm") as comm:
            assert comm.read() == "my-vm\n"


@suite.test
def threads_may_stay_without_names():
    with Vm(BASE + ["-name", "box,process=my-vm,debug-threads=off", "-serial", "stdio", "-kernel",
                    image("guest", text("x") + HALT)], tty=False) as vm:
        vm.expect("x")
        tasks = f"/proc/{vm.process.pid}/task"
        for task in os.listdir(tasks):
            with open(os.path.join(tasks, task, "comm")) as comm:
                assert comm.read() == "my-vm\n"


@suite.test
def messages_tell_time_and_name_if_asked():
    status, _, errors = run(TRIPLE_FAULT, "-d", "cpu_reset", "-D", os.path.join(folder.name, "log"), "-name", "box",
                            "-msg", "timestamp=on,guest-name=on")
    assert status == 0
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z box vmm: CPU 0: triple fault", errors), errors


@suite.test
def actions_of_the_user():
    """reboot=shutdown is -no-reboot, shutdown=pause is -no-shutdown; the later word counts."""
    args = ["-accel", ACCEL, "-m", "16", "-display", "none", "-kernel", image("guest", TRIPLE_FAULT)]
    assert subprocess.run([VMM] + args + ["-action", "reboot=shutdown"], capture_output=True, timeout=TIMEOUT).returncode == 0
    with Vm(BASE + ["-action", "shutdown=pause", "-serial", "stdio", "-kernel", image("guest", text("x") + TRIPLE_FAULT)],
            tty=False) as vm:
        vm.expect("x")
        assert not select.select([vm.output], [], [], 0.5)[0]
        assert vm.process.poll() is None


@suite.test
def globals_reach_devices():
    """The exit device's port comes from the default."""
    status, _, errors = run(out(DEBUG_EXIT, 1) + HALT, "-global", "isa-debug-exit.iobase=0xf4", "-global",
                            "isa-debug-exit.iosize=4", "-device", "isa-debug-exit")
    assert (status, errors) == (3, "")
    status, _, errors = run(TRIPLE_FAULT, "-global", "isa-debug-exit.iobase=0xf4")
    assert status == 0
    assert "warning: -global isa-debug-exit.iobase=0xf4 is not used" in errors, errors


@suite.test
def vcpu_threads_have_names():
    with Vm(BASE + ["-smp", "2", "-serial", "stdio", "-kernel", image("guest", text("x") + HALT)], tty=False) as vm:
        vm.expect("x")
        tasks = f"/proc/{vm.process.pid}/task"
        names = set()
        for task in os.listdir(tasks):
            with open(os.path.join(tasks, task, "comm")) as comm:
                names.add(comm.read().strip())
        suffix = ACCEL.upper()
        assert {f"CPU 0/{suffix}", f"CPU 1/{suffix}"} <= names, names


@suite.test
def nothing_but_errors_is_said():
    """stdout and stderr are silent when nothing is wrong and the accelerator was named."""
    assert run(text("x") + out(DEBUG_EXIT, 1) + HALT, "-serial", "null", "-device", "isa-debug-exit,iobase=0xf4,iosize=4") == (3, "", "")


suite.main()
