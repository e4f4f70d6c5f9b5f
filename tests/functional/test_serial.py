#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Serial ports on sockets and pseudo-terminals, from the command line to a guest's port."""

import os
import re
import socket
import struct
import tempfile
import time

import tinyguest
from vmmtest import ACCEL, Suite, Vm, check_refused

suite = Suite()
folder = tempfile.TemporaryDirectory()
BASE = ["-accel", ACCEL, "-m", "16", "-no-reboot", "-display", "none", "-kernel"]


def image(name, code):
    return tinyguest.write(os.path.join(folder.name, name), code)


def counting(total):
    """Waits for one byte, then sends the numbers below total, four bytes each, as fast as COM1 takes
    them, and shuts down:

      key:  mov dx, 3fdh; in al, dx; test al, 1; jz key; xor ebx, ebx
      next: mov ecx, ebx; mov esi, 4
      wait: mov dx, 3fdh; in al, dx; test al, 20h; jz wait
            mov dx, 3f8h; mov al, cl; out dx, al; shr ecx, 8; dec esi; jnz wait
            inc ebx; cmp ebx, total; jb next
      last: mov dx, 3fdh; in al, dx; test al, 40h; jz last"""
    return (b"\x66\xba\xfd\x03\xec\xa8\x01\x74\xf7\x31\xdb"
            b"\x89\xd9\xbe\x04\x00\x00\x00"
            b"\x66\xba\xfd\x03\xec\xa8\x20\x74\xf7"
            b"\x66\xba\xf8\x03\x88\xc8\xee\xc1\xe9\x08\x4e\x75\xea"
            b"\x43\x81\xfb" + struct.pack("<I", total) + b"\x72\xda"
            b"\x66\xba\xfd\x03\xec\xa8\x40\x74\xf7" + tinyguest.TRIPLE_FAULT)


ECHO = image("echo", tinyguest.text("ready\n") + tinyguest.ECHO)
NUMBERS = 500000  # 2 MB; test-chardev-stream.c moves more
COUNT = image("count", counting(NUMBERS))


def dial(path, deadline=20):
    end = time.monotonic() + deadline
    while True:
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(deadline)
        try:
            peer.connect(path)
            return peer
        except OSError:
            peer.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def receive(peer, count):
    data = b""
    while len(data) < count:
        part = peer.recv(count - len(data))
        assert part, f"the stream ended after {data!r}"
        data += part
    return data


def peak_memory(pid):
    """In KiB."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1))


@suite.test
def slow_peers_that_disconnect_and_reconnect_miss_nothing():
    path = os.path.join(folder.name, "count.sock")
    with Vm(BASE + [COUNT, "-chardev", f"socket,id=c,path={path},server=on,wait=off", "-serial", "chardev:c"],
            tty=False) as vm:
        peer = dial(path)
        peer.send(b"g")
        data = receive(peer, 4)
        before = peak_memory(vm.process.pid)
        total = 4 * NUMBERS
        for leave_at in range(total // 5, total, total // 5):
            while len(data) < leave_at:
                data += receive(peer, min(10000, leave_at - len(data)))
                time.sleep(0.001)
            peer.shutdown(socket.SHUT_WR)  # goodbye; what was sent is still ours
            while part := peer.recv(65536):
                data += part
            peer.close()
            peer = dial(path)
        while part := peer.recv(65536):
            data += part
        assert vm.wait() == 0
        assert len(data) == total, f"{len(data)} of {total} bytes"
        assert data == struct.pack(f"<{NUMBERS}I", *range(NUMBERS))
        print(f"# peak memory grew by {peak_memory_growth(before, vm)} KiB")
    assert not os.path.exists(path), "the socket is left behind"


def peak_memory_growth(before, vm):
    """The process has ended: its children's peak, which resource.getrusage knows, is an upper bound."""
    import resource
    grown = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - before
    assert grown < 65536, f"{grown} KiB more memory"
    return grown


@suite.test
def wait_holds_the_guest_until_a_peer_is_there():
    path = os.path.join(folder.name, "wait.sock")
    with Vm(BASE + [ECHO, "-serial", f"unix:{path},server"], tty=False) as vm:
        peer = dial(path)
        assert receive(peer, 6) == b"ready\n"
        peer.send(b"hello")
        assert receive(peer, 5) == b"hello"
        vm.process.terminate()
        assert vm.wait() == 0
        assert peer.recv(1) == b""
    assert not os.path.exists(path), "the socket is left behind"


@suite.test
def pty_is_announced_and_talks():
    with Vm(BASE + [ECHO, "-serial", "pty"], tty=False) as vm:
        name = vm.expect(re.compile(r"char device redirected to (/dev/pts/\d+) \(label serial0\)\n")).group(1)
        slave = os.open(name, os.O_RDWR | os.O_NOCTTY)
        os.write(slave, b"x")
        while not os.read(slave, 100).endswith(b"x"):
            pass
        os.close(slave)


@suite.test
def isa_serial_takes_a_chardev():
    path = os.path.join(folder.name, "out")
    with Vm(BASE + [image("hello", tinyguest.text("hello\n") + tinyguest.TRIPLE_FAULT), "-nodefaults",
                    "-chardev", f"file,id=f,path={path}", "-device", "isa-serial,chardev=f"], tty=False) as vm:
        assert vm.wait() == 0, vm.errors
    with open(path) as file:
        assert file.read() == "hello\n"


@suite.test
def mistakes_are_one_line():
    check_refused(["-chardev", "null,id=a", "-chardev", "null,id=a"], "'a'", "twice")
    check_refused(["-serial", "chardev:nobody"], "'nobody'", "-chardev")
    check_refused(["-device", "isa-serial,chardev=nobody"], "nobody", "-chardev")
    check_refused(["-chardev", "socket,id=s,path=/nonexistent/s,server=on,wait=off"], "/nonexistent/s", "id=s")
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        check_refused(["-serial", f"tcp:127.0.0.1:{busy.getsockname()[1]},server,nowait"], "in use", "choose another")
    path = os.path.join(folder.name, "left")
    check_refused(["-chardev", f"socket,id=s,path={path},server=on,wait=off", "-serial", "chardev:t"], "'t'")
    assert not os.path.exists(path), "the socket is left behind"


suite.main()
