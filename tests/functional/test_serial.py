#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Serial ports on sockets and pseudo-terminals, from the command line to a guest's port."""

import os
import random
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


def blast(block, rounds):
    """Prints '!' when it listens, waits for one byte, then prints block over and over, 16 bytes a round as a driver fills the FIFO,
    and shuts down:

      start: mov dx, 3fah; mov al, 1; out dx, al                        FIFOs on, which empties them
             mov dx, 3f8h; mov al, '!'; out dx, al
      key:   mov dx, 3fdh; in al, dx; test al, 1; jz key
             mov edi, rounds
      again: mov esi, block; mov ebp, rounds of one block
      wait:  mov dx, 3fdh; in al, dx; test al, 20h; jz wait
             mov dx, 3f8h; mov ecx, 16; rep outsb
             dec edi; jz last; dec ebp; jnz wait; jmp again
      last:  mov dx, 3fdh; in al, dx; test al, 40h; jz last"""
    assert len(block) % 16 == 0
    start = b"\x66\xba\xfa\x03\xb0\x01\xee" b"\x66\xba\xf8\x03\xb0!\xee" b"\x66\xba\xfd\x03\xec\xa8\x01\x74\xf7\xbf" + struct.pack("<I", rounds)
    wait = b"\x66\xba\xfd\x03\xec\xa8\x20\x74\xf7" b"\x66\xba\xf8\x03\xb9\x10\0\0\0\xf3\x6e" b"\x4f\x74\x05\x4d\x75\xe6\xeb\xda"
    last = b"\x66\xba\xfd\x03\xec\xa8\x40\x74\xf7" + tinyguest.TRIPLE_FAULT
    code_size = len(start) + 10 + len(wait) + len(last)
    again = b"\xbe" + struct.pack("<I", tinyguest.LOAD_ADDRESS + 32 + code_size) + b"\xbd" + struct.pack("<I", len(block) // 16)
    return start + again + wait + last + block


ECHO = image("echo", tinyguest.text("ready\n") + tinyguest.ECHO)
TOTAL = 100 << 20
BLOCK = random.Random(1).randbytes(4095 * 16)  # of no size a buffer has
BLAST = image("blast", blast(BLOCK, TOTAL // 16))


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


class Checker:
    """Takes what the guest prints and compares it with what it has to be."""

    def __init__(self):
        self.count = 0

    def take(self, data):
        phase = self.count % len(BLOCK)
        expected = (BLOCK + BLOCK)[phase:phase + len(data)]
        assert data == expected, f"wrong bytes between {self.count} and {self.count + len(data)}"
        self.count += len(data)


@suite.test
def slow_peers_that_leave_and_return_miss_nothing_of_100_mb():
    path = os.path.join(folder.name, "blast.sock")
    checker, stays = Checker(), 8
    with Vm(BASE + [BLAST, "-chardev", f"socket,id=c,path={path},server=on,wait=on", "-serial", "chardev:c"],
            tty=False) as vm:
        peer = dial(path)
        assert receive(peer, 1) == b"!"
        peer.send(b"g")
        checker.take(peer.recv(4))
        before, start = peak_memory(vm.process.pid), time.monotonic()
        for stay in range(1, stays):
            for _ in range(30):  # slowly, so that every buffer on the way is full
                checker.take(peer.recv(1000))
                time.sleep(0.002)
            while checker.count < TOTAL * stay // stays:
                checker.take(peer.recv(len(BLOCK)))
            peer.shutdown(socket.SHUT_WR)  # goodbye; what was sent is still ours
            while data := peer.recv(len(BLOCK)):
                checker.take(data)
            peer.close()
            peer = dial(path)
        grown = peak_memory(vm.process.pid) - before
        while data := peer.recv(len(BLOCK)):
            checker.take(data)
        seconds = time.monotonic() - start
        assert vm.wait() == 0
        assert checker.count == TOTAL, f"{checker.count} of {TOTAL} bytes"
        assert grown < 4096, f"{grown} KiB more memory"
        print(f"# {TOTAL / seconds / 1e6:.1f} MB a second, {grown} KiB more memory")
    assert not os.path.exists(path), "the socket is left behind"


def hostile_peers(address):
    """Connections that break the rules of telnet, or of manners; each is left open for a while."""
    noise = random.Random(7)
    iac, sub, end = b"\xff", b"\xff\xfa", b"\xff\xf0"
    for speech in (noise.randbytes(100000),
                   iac * 99999,                                      # half a command at the end
                   sub + b"x" * 300000,                              # a subnegotiation that never ends
                   (iac + b"\xfd\x18") * 30000,                      # questions whose answers nobody reads
                   b"".join(iac + bytes([noise.randrange(240, 256), noise.randrange(256)]) for _ in range(30000)),
                   (sub + b"\x18" + iac + b"\x00" + end) * 10000,
                   iac + b"\xf3", b"\r", iac):
        peer = socket.create_connection(address, timeout=1)
        try:
            peer.sendall(speech)
        except OSError:  # full: the guest takes no more
            pass
        yield peer


@suite.test
def malformed_telnet_and_half_open_peers_do_not_disturb_the_guest():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    # COM2 is where we see that the guest is alive: it echoes there what comes from there.
    path = os.path.join(folder.name, "alive.sock")
    both = image("both", tinyguest.text("ready\n", 0x2f8) + tinyguest.echo(tinyguest.COM1, 0x2f8))
    with Vm(BASE + [both, "-serial", f"telnet:127.0.0.1:{address[1]},server=on,wait=off", "-serial",
                    f"unix:{path},server=on"], tty=False) as vm:
        alive = dial(path)
        assert receive(alive, 6) == b"ready\n"
        before = peak_memory(vm.process.pid)
        for number, peer in enumerate(hostile_peers(address)):
            ping = bytes([33 + number])
            alive.send(ping)
            assert receive(alive, 1) == ping, "the guest is disturbed"
            if number % 3 == 0:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset
            elif number % 3 == 1:
                peer.shutdown(socket.SHUT_WR)  # half-open
                alive.send(ping)
                assert receive(alive, 1) == ping, "the guest is disturbed"
            peer.close()
        grown = peak_memory(vm.process.pid) - before
        assert grown < 4096, f"{grown} KiB more memory"
        # One that behaves is served.
        peer = socket.create_connection(address, timeout=20)
        assert receive(peer, 3) == b"\xff\xfb\x01", "telnet's offers"
        vm.process.terminate()
        assert vm.wait() == 0


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
