#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What bad input gets: one line on stderr that names the thing, exit status 1, the terminal as it was,
no core file."""

import os
import subprocess
import tempfile

import tinyguest
from vmmtest import ACCEL, VMM, TIMEOUT, Skip, Suite, check_refused, guest

suite = Suite()
folder = tempfile.TemporaryDirectory()


def file(name, data):
    path = os.path.join(folder.name, name)
    with open(path, "wb") as out:
        out.write(data)
    return path


TINY = file("tiny", tinyguest.multiboot(tinyguest.HALT))
BASE = ["-accel", ACCEL, "-m", "64", "-nographic"]


def refuse(title, args, *mentions):
    """Adds a case."""
    def run():
        check_refused([a() if callable(a) else a for a in args], *mentions)
    run.__name__ = title.replace(" ", "_")
    suite.test(run)


def kernel_data():
    with open(guest("vmlinuz"), "rb") as kernel:
        return kernel.read()


# Images
refuse("missing kernel", BASE + ["-kernel", "/nonexistent/vmlinuz"], "/nonexistent/vmlinuz")
refuse("missing initrd", BASE + ["-kernel", lambda: guest("vmlinuz"), "-initrd", "/nonexistent/initrd"], "/nonexistent/initrd")
refuse("directory as kernel", BASE + ["-kernel", folder.name], folder.name)
refuse("empty kernel", BASE + ["-kernel", file("empty", b"")], "empty")
refuse("foreign kernel", BASE + ["-kernel", file("script", b"#!/bin/sh\n" * 1000)], "script")
refuse("kernel truncated in its header", BASE + ["-kernel", lambda: file("cut1", kernel_data()[:600])], "cut1")
refuse("kernel truncated in its payload", BASE + ["-kernel", lambda: file("cut2", kernel_data()[:1 << 20])], "cut2")
refuse("elf of another machine", BASE + ["-kernel", file("arm", b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xb7\0" + bytes(4096))], "arm")
refuse("initrd larger than ram", ["-accel", ACCEL, "-m", "64", "-kernel", lambda: guest("vmlinuz"), "-initrd",
                                  lambda: file("big", bytes(80 << 20)), "-nographic"], "big")
refuse("missing firmware", BASE + ["-bios", "/nonexistent/bios.bin"], "/nonexistent/bios.bin")
refuse("append without kernel", BASE + ["-append", "x"], "-kernel")

# RAM and CPUs
refuse("more ram than the host maps", ["-accel", ACCEL, "-m", "4096T", "-kernel", TINY, "-nographic"], "-m")
refuse("no ram", ["-m", "0", "-kernel", TINY, "-nographic"], "-m", "'0'")
refuse("ram of a word", ["-m", "lots", "-kernel", TINY, "-nographic"], "lots")
refuse("smp 0", ["-smp", "0", "-kernel", TINY, "-nographic"], "-smp", "0")
refuse("smp 1000", ["-smp", "1000", "-kernel", TINY, "-nographic"], "-smp", "1000")
refuse("smp negative", ["-smp", "-1", "-kernel", TINY, "-nographic"], "-smp", "-1")
refuse("smp inconsistent", ["-smp", "4,sockets=3,cores=1,threads=1", "-kernel", TINY, "-nographic"], "3 sockets")
refuse("smp more cpus than maxcpus", ["-smp", "4,maxcpus=2", "-kernel", TINY, "-nographic"], "maxcpus")
refuse("smp unknown key", ["-smp", "4,kores=2", "-kernel", TINY, "-nographic"], "'kores'", "'cores'")
refuse("unknown cpu model", BASE + ["-cpu", "qemu46", "-kernel", TINY], "qemu46", "qemu64")

# Options
refuse("unknown option", ["-kernle", "x"], "'-kernle'", "'-kernel'")
refuse("unknown option with two dashes", ["--no-rebot"], "'--no-rebot'", "'-no-reboot'")
refuse("option without its argument", ["-kernel"], "-kernel", "FILE")
refuse("stray argument", ["disk.img"], "'disk.img'")
refuse("unknown accelerator", ["-accel", "kwm"], "kwm")
refuse("unknown machine", BASE + ["-machine", "pcc", "-kernel", TINY], "'pcc'", "pc")
refuse("unknown machine property", BASE + ["-machine", "smnn=off", "-kernel", TINY], "'smnn'")
refuse("unknown device", BASE + ["-device", "isa-sereal", "-kernel", TINY], "'isa-sereal'", "'isa-serial'")
refuse("unknown device property", BASE + ["-device", "isa-serial,iobas=0x3f8", "-kernel", TINY], "iobas", "iobase")
refuse("bad device property value", BASE + ["-device", "isa-debugcon,iobase=abc", "-kernel", TINY], "iobase", "abc")
refuse("unknown object", BASE + ["-object", "memory-backend-mem,id=x", "-kernel", TINY], "memory-backend-mem", "memory-backend-memfd")
refuse("unused object", BASE + ["-object", "memory-backend-ram,id=x,size=64M", "-kernel", TINY], "'x'")
refuse("memory backend of another size", ["-m", "32", "-object", "memory-backend-ram,id=x,size=64M", "-machine",
                                          "memory-backend=x", "-kernel", TINY, "-nographic"], "'x'", "-m")
refuse("unknown log item", BASE + ["-d", "everything", "-kernel", TINY], "'everything'")
refuse("bad json", BASE + ["-device", "{\"driver\"", "-kernel", TINY], "JSON")
refuse("bad rtc", BASE + ["-rtc", "base=yesterday", "-kernel", TINY], "yesterday")

# Character devices and files
refuse("unwritable serial file", BASE + ["-serial", "file:/nonexistent/log", "-kernel", TINY], "/nonexistent/log")
refuse("unknown serial backend", BASE + ["-serial", "telepathy", "-kernel", TINY], "'telepathy'")
refuse("stdio twice", BASE + ["-serial", "stdio", "-serial", "stdio", "-kernel", TINY], "stdio")
refuse("disk that is not there", BASE + ["-hda", "/nonexistent/disk.img"], "-hda /nonexistent/disk.img")
refuse("cd that is not there", BASE + ["-cdrom", "/nonexistent/cd.iso"], "-cdrom /nonexistent/cd.iso")
refuse("drive that is not there", BASE + ["-drive", "file=/nonexistent/disk.img"], "-drive file=/nonexistent/disk.img")
refuse("five serial ports", BASE + ["-serial", "null"] * 5, "-serial")
refuse("unwritable log file", BASE + ["-D", "/nonexistent/log", "-kernel", TINY], "/nonexistent/log")
refuse("unwritable pid file", BASE + ["-pidfile", "/nonexistent/pid", "-kernel", TINY], "/nonexistent/pid")
refuse("mem-path that is not there", ["-mem-path", "/nonexistent/ram/file"] + BASE + ["-kernel", TINY], "/nonexistent/ram")


@suite.test
def unusable_dev_kvm():
    """In a namespace where /dev/kvm is a plain file."""
    trick = 'mount --bind /dev/null /dev/kvm && exec "$0" "$@"'
    probe = subprocess.run(["unshare", "-m", "sh", "-c", trick, "true"], capture_output=True)
    if probe.returncode != 0:
        raise Skip("cannot make a mount namespace with another /dev/kvm")
    result = subprocess.run(["unshare", "-m", "sh", "-c", trick, VMM, "-accel", "kvm", "-kernel", TINY, "-nographic"],
                            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT)
    lines = result.stderr.splitlines()
    assert result.returncode == 1, result.returncode
    assert len(lines) == 1 and "/dev/kvm" in lines[0], lines


@suite.test
def no_core_file_was_left():
    assert not [name for name in os.listdir(".") if name == "core" or name.startswith("core.")]


suite.main()
