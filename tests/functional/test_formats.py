#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The stock kernel by every way into it: each image format and boot protocol the loader knows.

The 64-bit entry of a bzImage is what test_boot.py takes; here are the others, made from the same file.
"""

import os
import struct
import subprocess
import tempfile

from vmmtest import PROMPT, Suite, Vm, guest

BOOT_TIMEOUT = 240  # s
suite = Suite()
work = tempfile.TemporaryDirectory(prefix="vmm-test-")


def bzimage():
    with open(guest("vmlinuz"), "rb") as kernel:
        return bytearray(kernel.read())


def vmlinux():
    path = os.path.join(work.name, "vmlinux")
    if not os.path.exists(path):
        subprocess.run([os.environ["UNPACK_KERNEL"], guest("vmlinuz"), path], check=True)
    with open(path, "rb") as kernel:
        return bytearray(kernel.read())


def pvh_note(elf):
    """Offset of the type of the note that gives the PVH entry."""
    at = elf.find(struct.pack("<III", 4, 8, 18) + b"Xen\0")
    assert at > 0, "this kernel has no PVH note"
    return at + 8


def check_boot(image, name, expect_error=""):
    path = os.path.join(work.name, name)
    with open(path, "wb") as file:
        file.write(image)
    with Vm(["-accel", "dbt", "-m", "512", "-smp", "2", "-nographic", "-kernel", path, "-initrd", guest("initrd.gz"),
             "-append", "console=ttyS0 quiet"]) as vm:
        vm.expect(PROMPT, BOOT_TIMEOUT)
        assert vm.run("nproc") == "2"
        assert vm.run("dmesg | grep -c 'ACPI: RSDP'") == "1", "the kernel did not find the ACPI tables"
        vm.send("poweroff -f\n")
        status = vm.wait(60)
        assert status == 0, f"exit status {status}: {vm.errors}"
        assert expect_error in vm.errors, vm.errors


@suite.test
def a_bzimage_without_payload_field_unpacks_itself_by_the_32_bit_protocol():
    image = bzimage()
    struct.pack_into("<H", image, 0x206, 0x207)  # protocol 2.07
    check_boot(image, "v207", "left to unpack itself")


@suite.test
def a_vmlinux_boots_through_its_pvh_entry():
    image = vmlinux()
    pvh_note(image)
    check_boot(image, "pvh")


@suite.test
def a_vmlinux_without_pvh_note_boots_through_its_64_bit_entry():
    image = vmlinux()
    struct.pack_into("<I", image, pvh_note(image), 99)
    check_boot(image, "elf64")


suite.main()
