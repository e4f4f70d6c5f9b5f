#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The human monitor at a terminal, on sockets and beside the guest's console. Most guests are tiny."""

import os
import re
import socket
import tempfile

import tinyguest
from vmmtest import ACCEL, PROMPT, Qmp, QmpError, Suite, Vm, boot_args, check_refused, initrd, load_modules, qmp_args

suite = Suite()
folder = tempfile.TemporaryDirectory()
PATH = os.path.join(folder.name, "qmp")
ECHO = tinyguest.write(os.path.join(folder.name, "echo"), tinyguest.text("ready\n") + tinyguest.ECHO)
BASE = ["-accel", ACCEL, "-m", "16", "-display", "none", "-kernel", ECHO]


END = "\r*\n"  # the terminal may add a carriage return to ours
ABC = re.compile("abc" + END + r"\(vmm\) ")


def ask(vm, line):
    """What the monitor prints for a line typed at its prompt."""
    vm.send(line + "\n")
    vm.expect(re.compile(re.escape(line) + END))
    start = vm.position
    match = vm.expect("(vmm) ")
    return vm.text[start:match.start()].replace("\r", "")


@suite.test
def the_monitor_on_the_terminal_prompts_and_answers():
    with Vm(BASE + ["-serial", "null", "-monitor", "stdio"]) as vm:
        vm.expect("monitor - 'help' lists the commands")
        vm.expect("(vmm) ")
        assert ask(vm, "info status") == "VM status: running\n"
        assert ask(vm, "stop") == ""
        assert ask(vm, "info status") == "VM status: paused\n"
        assert "unknown command 'nonsense'" in ask(vm, "nonsense")
        assert "unexpected 'x'" in ask(vm, "stop x")
        assert "info registers" in ask(vm, "help") and "quit|q" in ask(vm, "help q")
        vm.send("quit\n")
        assert vm.wait() == 0
        assert vm.terminal_is_restored()


@suite.test
def ctrl_a_c_switches_between_the_guest_and_the_monitor():
    with Vm(BASE + ["-nographic"]) as vm:
        vm.expect("ready")
        vm.send("guest")
        vm.expect("guest")
        vm.send("\x01c")
        vm.expect("(vmm) ")
        assert ask(vm, "info name") == ""
        vm.send("\x01c" + "still there")
        vm.expect("still there")
        vm.send("\x01c")
        vm.expect("(vmm) ")
        vm.send("q\r")
        assert vm.wait() == 0


@suite.test
def nographic_with_a_monitor_elsewhere_leaves_the_terminal_to_the_guest():
    for monitor in ("none", "null"):
        with Vm(BASE + ["-nographic", "-monitor", monitor]) as vm:
            vm.expect("ready")
            vm.send("\x01c" + "to the guest")
            vm.expect("to the guest")
            assert "(vmm)" not in vm.text


@suite.test
def the_editor_edits_recalls_and_completes():
    with Vm(BASE + ["-serial", "null", "-monitor", "stdio", "-name", "abc"]) as vm:
        vm.expect("(vmm) ")
        vm.send("info nXme\x1b[D\x1b[D\x7fa\r")
        vm.expect(ABC)
        vm.send("nonsense\x15\x1b[A\r")          # Ctrl-U, up: the same line again
        vm.expect(ABC)
        vm.send("inf\tna\t\r")
        vm.expect(ABC)
        vm.send("info ver\x01\x0bp 1 + 1\r")     # Ctrl-A, Ctrl-K
        vm.expect(re.compile("2" + END))
        vm.send("info r\t")
        vm.expect("registers  roms")
        vm.send("\x15info history\r")
        assert "0: 'info name'" in vm.expect(re.compile("0: .*" + END)).group()


@suite.test
def expressions_have_registers_precedence_and_no_division_by_zero():
    with Vm(BASE + ["-S", *qmp_args(PATH)]) as vm, Qmp(PATH) as qmp:
        for line, wanted in (("p 2 + 3 * 4", "14\n"), ("p (2+3)*4", "20\n"), ("p/x -1", "0xffffffffffffffff\n"),
                             ("p/xb ~0", "0xff\n"), ("p 7 % 4 & 1", "1\n"), ("p 'a'", "97\n"), ("p/c 0x41", "'A'\n"),
                             ("p 0x10 - $eip + $eip", "16\n"), ("p/d 0-5", "-5\n"), ("p/db 255", "-1\n")):
            assert qmp.hmp(line) == wanted, (line, qmp.hmp(line))
        for line, wanted in (("p 1 / 0", "division by zero"), ("p", "is missing"), ("p (1", "')' is missing"),
                             ("p $nope", "no register"), ("p 12ab", "not a number"), ("p 1 2", "unexpected '2'"),
                             ("p/z 1", "unknown format 'z'"), ("p " + "(" * 5000, "too deep"), ("cpu 7", "no CPU 7"),
                             ("i 0x10000", "ports end"), ("x", "is missing"), ("info nope", "unknown information")):
            assert wanted in qmp.hmp(line), (line, qmp.hmp(line))


@suite.test
def memory_is_shown_in_all_formats_and_saved():
    path = os.path.join(folder.name, "saved")
    with Vm(BASE + ["-S", *qmp_args(PATH)]) as vm, Qmp(PATH) as qmp:
        code = open(ECHO, "rb").read()
        entry = int(qmp.hmp("p $eip"))
        first = qmp.hmp(f"xp/4xb {entry}")
        data = bytes(int(word, 16) for word in first.split(":")[1].split())
        assert data in code
        assert qmp.hmp(f"x/4xb {entry}") == first
        words = qmp.hmp(f"xp/1xw {entry}").split()
        assert words[1] == f"0x{int.from_bytes(data, 'little'):08x}"
        assert len(qmp.hmp(f"x/3i $eip").splitlines()) == 3
        assert len(qmp.hmp(f"xp/40dh {entry}").splitlines()) == 5
        assert qmp.hmp(f'pmemsave {entry} 64 "{path}"') == ""
        assert open(path, "rb").read()[:4] == data
        assert qmp.hmp(f"memsave {entry} 64 {path}") == ""
        checksum = 0
        for byte in open(path, "rb").read():
            checksum = ((checksum >> 1 | checksum << 15) + byte) & 0xffff
        assert int(qmp.hmp(f"sum {entry} 64")) == checksum
        assert "Cannot access" in qmp.hmp("xp 0xfffffffffffff000")
        assert "no memory at all" in qmp.hmp(f"pmemsave 0xf0000000000 4096 {path}")
        assert "/nonexistent" in qmp.hmp("memsave 0 16 /nonexistent/x")
        assert qmp.hmp("gva2gpa 0x1234") == "gpa: 0x1234\n"
        assert "cut off" in qmp.hmp("xp/1000000xb 0x1000")


@suite.test
def ports_are_read_and_written():
    with Vm(BASE + ["-S", *qmp_args(PATH)]) as vm, Qmp(PATH) as qmp:
        assert qmp.hmp("o 0x3ff 0x5a") == ""
        assert qmp.hmp("i 0x3ff") == "portb[0x03ff] = 0x5a\n"
        assert qmp.hmp("i/w 0x9000") == "portl[0x9000] = 0xffffffff\n"


@suite.test
def information_about_the_machine_is_there():
    with Vm(BASE + ["-S", "-smp", "2", "-name", "vm1", *qmp_args(PATH)]) as vm, Qmp(PATH) as qmp:
        assert "ram" in qmp.hmp("info mtree") and "lapic" in qmp.hmp("info mtree -f")
        assert "CPU#0" in qmp.hmp("info registers") and "CPU#1" in qmp.hmp("info registers -a")
        assert "CPU #1" in qmp.hmp("info   cpus")
        assert "dev: isa-serial" in qmp.hmp("info qtree")
        assert qmp.hmp("info name") == "vm1\n" and "serial0" in qmp.hmp("info chardev")
        assert qmp.hmp("info status") == "VM status: paused (prelaunch)\n"
        assert "CPU#1" in qmp.cmd("human-monitor-command", {"command-line": "info registers", "cpu-index": 1})


@suite.test
def interrupts_and_page_tables_are_shown():
    with Vm(BASE + ["-S", *qmp_args(PATH)]) as vm, Qmp(PATH) as qmp:
        assert qmp.hmp("info pic").count("pin ") == 24 and "pic1: irr=" in qmp.hmp("info pic")
        assert "lvt: timer=00010000" in qmp.hmp("info lapic")
        assert "paging off" in qmp.hmp("info tlb") and "paging off" in qmp.hmp("info mem")


@suite.test
def disks_are_listed_and_resized():
    path = os.path.join(folder.name, "disk.raw")
    with open(path, "wb") as image:
        image.truncate(1 << 20)
    node = {"driver": "raw", "node-name": "n1", "file": {"driver": "file", "filename": path}}
    with Vm(BASE + ["-S", "-drive", f"file={path},format=raw,if=none,id=d0",
                    *qmp_args(PATH)]) as vm, Qmp(PATH) as qmp:
        assert f"d0: {path} (raw)" in qmp.hmp("info block")
        drive, cdrom = qmp.cmd("query-block")
        assert cdrom["device"] == "ide1-cd0" and "inserted" not in cdrom, cdrom
        assert drive["device"] == "d0" and drive["inserted"]["image"]["virtual-size"] == 1 << 20
        qmp.cmd("block_resize", {"device": "d0", "size": 2 << 20})
        assert os.stat(path).st_size == 2 << 20
        assert qmp.hmp("block_resize d0 3M") == "" and os.stat(path).st_size == 3 << 20
        assert "no drive 'x'" in qmp.hmp("block_resize x 3M")
        try:
            qmp.cmd("blockdev-add", node)  # somebody else's already
            raise AssertionError("the image was opened twice")
        except QmpError as error:
            assert path in str(error), error
        other = path + "2"
        with open(other, "wb") as image:
            image.truncate(512)
        qmp.cmd("blockdev-add", {**node, "file": {"driver": "file", "filename": other}})
        assert "n1" in {n["node-name"] for n in qmp.cmd("query-named-block-nodes")}
        assert qmp.cmd("query-blockstats")[0]["stats"]["rd_operations"] == 0


@suite.test
def a_cd_is_ejected_and_changed():
    paths = [os.path.join(folder.name, name) for name in ("one.iso", "two.iso")]
    for size, path in enumerate(paths, 16):
        with open(path, "wb") as image:
            image.truncate(size * 2048)
    with Vm(BASE + ["-S", "-drive", f"file={paths[0]},format=raw,media=cdrom,id=cd", *qmp_args(PATH)]) as vm, \
            Qmp(PATH) as qmp:
        (drive,) = [d for d in qmp.cmd("query-block") if d["device"] == "cd"]
        assert drive["removable"] and not drive["tray_open"] and not drive["locked"]
        qmp.cmd("eject", {"device": "cd"})
        assert qmp.wait_event("DEVICE_TRAY_MOVED")["data"]["tray-open"]
        assert "[not inserted]" in qmp.hmp("info block")
        qmp.cmd("blockdev-change-medium", {"device": "cd", "filename": paths[1], "format": "raw"})
        assert not qmp.wait_event("DEVICE_TRAY_MOVED")["data"]["tray-open"]
        assert paths[1] in qmp.hmp("info block")
        assert qmp.hmp(f"change cd {paths[0]} raw") == "" and paths[0] in qmp.hmp("info block")
        assert "/nonexistent" in qmp.hmp("change cd /nonexistent raw") and paths[0] in qmp.hmp("info block")
        assert qmp.hmp("eject cd") == "" and "no drive 'x'" in qmp.hmp("eject x")


@suite.test
def pci_functions_are_listed():
    with Vm(BASE + ["-S", *qmp_args(PATH)]) as vm, Qmp(PATH) as qmp:
        assert "0000:00:00.0 0600: 8086:1237" in qmp.hmp("info pci")
        (bus,) = qmp.cmd("query-pci")
        assert [d["id"]["device"] for d in bus["devices"]][:2] == [0x1237, 0x7000]


@suite.test
def setting_the_clock_is_an_event():
    with Vm(BASE + ["-S", *qmp_args(PATH)]) as vm, Qmp(PATH) as qmp:
        for register, value in ((0x0b, 0x82), (9, 0x30), (0x0b, 0x02)):  # the year, BCD
            qmp.hmp(f"o 0x70 {register}")
            qmp.hmp(f"o 0x71 {value}")
        assert abs(qmp.wait_event("RTC_CHANGE")["data"]["offset"]) < 100 * 366 * 86400


@suite.test
def a_monitor_on_a_socket_greets_each_peer_anew():
    path = os.path.join(folder.name, "hmp")
    with Vm(BASE + ["-serial", "stdio", "-monitor", f"unix:{path},server=on,wait=off"], tty=False) as vm:
        vm.expect("ready")
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(30)
                peer.connect(path)
                text = peer.makefile("rb")
                assert b"'help' lists the commands" in text.readline()
                peer.sendall(b"info version\n")
                assert b"info version" in text.readline()
                assert re.fullmatch(rb"[0-9.]+\r\n", text.readline())


@suite.test
def gdbserver_starts_and_ends_the_gdb_stub():
    path = os.path.join(folder.name, "gdb")
    with Vm(BASE + ["-S", *qmp_args(PATH)]) as vm, Qmp(PATH) as qmp:
        assert "Waiting for gdb" in qmp.hmp(f"gdbserver unix:{path}")
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(30)
            peer.connect(path)
            peer.sendall(b"$?#3f")
            assert peer.recv(1) == b"+"
        assert "Disabled" in qmp.hmp("gdbserver none")
        assert not os.path.exists(path)
        assert "Error" in qmp.hmp("gdbserver unix:/nonexistent/x")


@suite.test
def linux_goes_on_after_stop_and_cont_and_ends_by_the_power_button():
    with Vm(boot_args("-initrd", initrd(folder.name, "modules.gz"), *qmp_args(PATH))) as vm, Qmp(PATH) as qmp:
        vm.expect(PROMPT, 120)
        load_modules(vm)
        qmp.cmd("stop")
        vm.send("echo ali''ve\n")
        assert "RIP=" in qmp.hmp("info registers")
        assert re.search(r"^ffffffff[0-9a-f]+-\S+ \S+ -r-x$", qmp.hmp("info mem"), re.M)
        assert re.search(r"^ffffffff81000000: [0-9a-f]{16} -GP", qmp.hmp("info tlb"), re.M)
        assert re.search(r"^ 4: [1-9]", qmp.hmp("info irq"), re.M)
        qmp.cmd("cont")
        vm.expect("alive")
        vm.send("while grep -q ' 0 ' /sys/firmware/acpi/interrupts/ff_pwr_btn; do sleep 0.1; done; poweroff -f\n")
        vm.expect("poweroff -f")
        qmp.cmd("system_powerdown")
        qmp.wait_event("POWERDOWN")
        assert qmp.wait_event("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-shutdown"}
        assert vm.wait() == 0


@suite.test
def monitors_that_cannot_be_are_refused_in_one_line():
    check_refused(BASE + ["-monitor", "nope"], "-monitor nope")
    check_refused(BASE + ["-mon", "c,pretty=on"], "pretty=on", "mode=control")


suite.main()
