#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The terminal, pipes and signals, as users and scripts meet them. The guests are tiny."""

import os
import signal
import subprocess
import tempfile
import time

import tinyguest
from vmmtest import ACCEL, VMM, Suite, Vm

suite = Suite()
folder = tempfile.TemporaryDirectory()


def image(name, code):
    return tinyguest.write(os.path.join(folder.name, name), code)


ECHO = image("echo", tinyguest.text("ready\n") + tinyguest.ECHO)
HELLO_OFF = image("hello", tinyguest.text("hello\n") + tinyguest.TRIPLE_FAULT)
BASE = ["-accel", ACCEL, "-m", "16", "-no-reboot"]
NOGRAPHIC = BASE + ["-nographic", "-kernel"]


@suite.test
def ctrl_a_x_ends_the_vm_and_restores_the_terminal():
    with Vm(NOGRAPHIC + [ECHO]) as vm:
        vm.expect("ready")
        assert vm.terminal_is_raw()
        vm.send("\x01x")
        assert vm.wait() == 0
        assert vm.terminal_is_restored()


@suite.test
def ctrl_c_reaches_the_guest_under_nographic():
    with Vm(NOGRAPHIC + [ECHO]) as vm:
        vm.expect("ready")
        vm.send("\x03\x1a\x1cstill here")
        vm.expect("\x03\x1a\x1cstill here")
        vm.send("\x01x")
        assert vm.wait() == 0


@suite.test
def ctrl_a_h_shows_help_and_ctrl_a_twice_sends_one():
    with Vm(NOGRAPHIC + [ECHO]) as vm:
        vm.expect("ready")
        vm.send("\x01h")
        vm.expect("C-a x")
        vm.send("<\x01\x01>")
        vm.expect("<\x01>")


@suite.test
def ctrl_c_ends_the_vm_with_serial_stdio():
    with Vm(BASE + ["-display", "none", "-serial", "stdio", "-kernel", ECHO]) as vm:
        vm.expect("ready")
        vm.send("\x03")
        assert vm.wait() == 0
        assert vm.terminal_is_restored()


def check_signal(number):
    with Vm(NOGRAPHIC + [ECHO]) as vm:
        vm.expect("ready")
        vm.process.send_signal(number)
        assert vm.wait() == 0, vm.process.returncode
        assert vm.terminal_is_restored()


@suite.test
def sigterm_ends_the_vm_with_status_0():
    check_signal(signal.SIGTERM)


@suite.test
def sigint_ends_the_vm_with_status_0():
    check_signal(signal.SIGINT)


@suite.test
def a_crash_restores_the_terminal():
    with Vm(NOGRAPHIC + [ECHO]) as vm:
        vm.expect("ready")
        vm.process.send_signal(signal.SIGABRT)
        assert vm.wait() == -signal.SIGABRT
        assert vm.terminal_is_restored()


@suite.test
def piped_input_reaches_the_guest_in_full():
    """More than the UART, the queues and the pipe hold at once; the guest echoes every byte."""
    data = "".join(f"line {i}\n" for i in range(20000))
    with Vm(NOGRAPHIC + [ECHO], tty=False) as vm:
        vm.expect("ready\n")
        os.set_blocking(vm.process.stdin.fileno(), False)
        sent = 0
        deadline = time.monotonic() + 120
        while len(vm.text) - vm.position < len(data):
            assert time.monotonic() < deadline, f"{len(vm.text) - vm.position} of {len(data)} bytes came back"
            try:
                sent += os.write(vm.process.stdin.fileno(), data[sent:sent + 4096].encode())
            except BlockingIOError:
                pass
            vm._pump(0.01)
        assert vm.text[vm.position:] == data


@suite.test
def the_guest_goes_on_after_the_end_of_input():
    with Vm(NOGRAPHIC + [ECHO], tty=False) as vm:
        vm.expect("ready\n")
        os.write(vm.process.stdin.fileno(), b"abc")
        vm.process.stdin.close()
        vm.expect("abc")
        vm.process.send_signal(signal.SIGTERM)
        assert vm.wait() == 0


@suite.test
def stdin_from_dev_null_and_stdout_to_a_file_work():
    path = os.path.join(folder.name, "out")
    with open(path, "wb") as out:
        status = subprocess.run([VMM] + NOGRAPHIC + [HELLO_OFF], stdin=subprocess.DEVNULL, stdout=out,
                                stderr=subprocess.DEVNULL, timeout=30).returncode
    assert status == 0
    with open(path) as text:
        assert text.read() == "hello\n"


@suite.test
def closed_stdin_and_stdout_do_no_harm():
    status = subprocess.run(["sh", "-c", 'exec "$0" "$@" <&- >&-', VMM] + NOGRAPHIC + [HELLO_OFF],
                            stderr=subprocess.DEVNULL, timeout=30).returncode
    assert status == 0


@suite.test
def a_reader_that_goes_away_does_not_end_the_vm():
    with Vm(NOGRAPHIC + [ECHO], tty=False) as vm:
        vm.expect("ready\n")
        os.close(vm.output)
        vm.output = None
        os.write(vm.process.stdin.fileno(), b"into nothing")
        time.sleep(0.2)  # nothing to wait for: nothing must happen
        assert vm.process.poll() is None
        vm.process.send_signal(signal.SIGTERM)
        assert vm.wait() == 0


@suite.test
def serial_file_holds_the_output():
    path = os.path.join(folder.name, "serial")
    with Vm(BASE + ["-display", "none", "-serial", f"file:{path}", "-kernel", HELLO_OFF]) as vm:
        assert vm.wait() == 0
        assert vm.text == ""
    with open(path) as text:
        assert text.read() == "hello\n"


@suite.test
def pidfile_is_there_while_running_and_gone_after():
    path = os.path.join(folder.name, "pid")
    with Vm(NOGRAPHIC + [ECHO, "-pidfile", path]) as vm:
        vm.expect("ready")
        with open(path) as text:
            assert int(text.read()) == vm.process.pid
        vm.send("\x01x")
        assert vm.wait() == 0
    assert not os.path.exists(path)


suite.main()
