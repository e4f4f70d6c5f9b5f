#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""SeaBIOS from the system's package: it starts, writes to the serial port, runs option ROMs and obeys -boot."""

import os
import struct
import tempfile
import time

from vmmtest import ACCEL, PROMPT, Skip, Suite, Vm, check_refused, guest

SEABIOS = "/usr/share/seabios/bios-256k.bin"
BASE = ["-m", "64", "-nographic"]
suite = Suite()
folder = tempfile.TemporaryDirectory()


def need_seabios():
    if not os.path.exists(SEABIOS):
        raise Skip("the package seabios is not installed")


def option_rom(text):
    """PCI Firmware Specification 3.3, 5.1: 55 AA, length, entry at 3. Writes text to the debug console, far
    return."""
    code = b"".join(b"\xb0" + bytes([byte]) + b"\xe6\xe9" for byte in text.encode()) + b"\xcb"
    image = bytearray(b"\x55\xaa\x01" + code)
    image += bytes(511 - len(image))
    image.append(-sum(image) & 0xFF)
    path = os.path.join(folder.name, f"{text.strip()}.rom")
    with open(path, "wb") as out:
        out.write(image)
    return path


def boot_sector(text):
    """An option ROM that offers itself for booting (BIOS Boot Specification 1.01, 3.3): a PnP expansion header
    with a bootstrap entry vector, which writes text to the debug console and halts."""
    code = b"".join(b"\xb0" + bytes([byte]) + b"\xe6\xe9" for byte in text.encode()) + b"\xfa\xf4\xeb\xfd"
    image = bytearray(1024)
    image[0:4] = b"\x55\xaa\x02\xcb"
    image[0x1A:0x1C] = struct.pack("<H", 0x20)
    header = bytearray(b"$PnP\x01\x02" + bytes(26))
    header[0x10:0x12] = struct.pack("<H", 0x60)  # product name
    header[0x1A:0x1C] = struct.pack("<H", 0x80)  # bootstrap entry vector
    header[9] = -sum(header) & 0xFF
    image[0x20:0x40] = header
    image[0x60:0x65] = b"test\0"
    image[0x80:0x80 + len(code)] = code
    image[1023] = -sum(image) & 0xFF
    path = os.path.join(folder.name, f"{text.strip()}-boot.rom")
    with open(path, "wb") as out:
        out.write(image)
    return path


def wait_for_text(path):
    for _ in range(600):
        if os.path.getsize(path) >= len("second"):
            return
        time.sleep(0.05)


def check_no_bootable_device(*more):
    need_seabios()
    with Vm(BASE + list(more)) as vm:
        vm.expect("SeaBIOS", 60)
        vm.expect("No bootable device", 60)


@suite.test
def seabios_says_that_nothing_can_be_booted_on_dbt():
    check_no_bootable_device("-accel", "dbt")


@suite.test
def seabios_starts_with_memory_above_4_gib_and_four_processors():
    check_no_bootable_device("-accel", "dbt", "-m", "3200", "-smp", "4")


@suite.test
def seabios_says_that_nothing_can_be_booted_on_kvm():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("there is no usable /dev/kvm")
    check_no_bootable_device("-accel", "kvm")


@suite.test
def the_debug_log_is_on_port_402():
    need_seabios()
    log = os.path.join(folder.name, "debug.log")
    with Vm(BASE + ["-accel", ACCEL, "-chardev", f"file,id=log,path={log}", "-device",
                    "isa-debugcon,iobase=0x402,chardev=log"]) as vm:
        vm.expect("No bootable device", 60)
        with open(log) as file:
            text = file.read()
    assert "Found QEMU fw_cfg" in text, text[:300]
    assert "PIIX3/PIIX4 init: elcr=00 0c" in text, text[:3000]
    assert "Moving pm_base to 0x600" in text or "pm_base" in text.lower(), text[:3000]
    assert "WARNING" not in text, [line for line in text.splitlines() if "WARNING" in line]


@suite.test
def option_roms_are_run():
    need_seabios()
    log = os.path.join(folder.name, "rom.log")
    with Vm(BASE + ["-accel", ACCEL, "-debugcon", f"file:{log}", "-option-rom", option_rom("hello\n")]) as vm:
        vm.expect("No bootable device", 60)
    with open(log) as file:
        assert file.read() == "hello\n"


@suite.test
def bootindex_chooses_among_bootable_roms():
    need_seabios()
    log = os.path.join(folder.name, "boot.log")
    with Vm(BASE + ["-accel", ACCEL, "-debugcon", f"file:{log}",
                    "-option-rom", boot_sector("first") + ",bootindex=2",
                    "-option-rom", boot_sector("second") + ",bootindex=1"]) as vm:
        vm.expect("Booting from ROM", 60)
        wait_for_text(log)
    with open(log) as file:
        assert file.read() == "second"


@suite.test
def strict_boots_nothing_without_a_bootindex():
    need_seabios()
    with Vm(BASE + ["-accel", ACCEL, "-boot", "strict=on"]) as vm:
        vm.expect("No bootable device", 60)
        assert "Booting from" not in vm.text, vm.text


@suite.test
def a_menu_waits_for_the_user():
    need_seabios()
    with Vm(BASE + ["-accel", ACCEL, "-boot", "menu=on,splash-time=100"]) as vm:
        vm.expect("Press ESC for boot menu", 60)
        vm.expect("No bootable device", 60)


@suite.test
def a_reset_from_the_firmware_starts_it_again():
    """reboot-timeout=: SeaBIOS reboots when nothing boots."""
    need_seabios()
    with Vm(BASE + ["-accel", ACCEL, "-boot", "reboot-timeout=10", "-no-reboot"]) as vm:
        vm.expect("Retrying", 60)
        assert vm.wait(60) == 0


def refuse(title, args, *mentions):
    def run():
        check_refused(args, *mentions)
    run.__name__ = title.replace(" ", "_")
    suite.test(run)


def image(name, size):
    path = os.path.join(folder.name, name)
    with open(path, "wb") as out:
        out.truncate(size)
    return path


@suite.test
def a_kernel_is_started_by_the_firmware_that_was_named():
    """By its real-mode entry: it asks the BIOS for the memory map, and finds the BIOS's tables."""
    need_seabios()
    with Vm(["-accel", ACCEL, "-m", "256", "-bios", SEABIOS, "-kernel", guest("vmlinuz"), "-initrd", guest("initrd.gz"),
             "-append", "console=ttyS0 quiet mark=17", "-nographic"]) as vm:
        vm.expect("Booting from ROM", 60)
        vm.expect(PROMPT, 240)
        assert vm.run("cat /proc/cmdline") == "console=ttyS0 quiet mark=17"
        assert "SeaBIOS" in vm.run("cat /sys/class/dmi/id/bios_vendor")
        assert "e820: update" in vm.run("dmesg"), "no memory map of a BIOS"
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0


ARGS = BASE + ["-accel", ACCEL]
refuse("a missing bios names the package", ARGS + ["-bios", "bios-9000.bin"], "'bios-9000.bin'", "package 'seabios'")
refuse("a bios path that leads nowhere names the package", ARGS + ["-bios", "/nonexistent/bios.bin"], "/nonexistent/bios.bin", "package 'seabios'")
refuse("a rom of a device that is too large", ARGS + ["-device", f"virtio-rng-pci,romfile={image('device.rom', 17 << 20)}"],
       "device.rom", "package 'ipxe-qemu'")
refuse("a bios that is too large", ARGS + ["-bios", image("huge.bin", 17 << 20)], "huge.bin", "16777216", "package 'seabios'")
refuse("a bios of odd size", ARGS + ["-bios", image("odd.bin", 1000)], "odd.bin", "64 KiB")
refuse("a missing option rom names the package", ARGS + ["-option-rom", "pxe-none.rom"], "'pxe-none.rom'", "'ipxe-qemu'")
refuse("an option rom that is too large", ARGS + ["-option-rom", image("huge.rom", 17 << 20)], "huge.rom", "16777216", "package 'ipxe-qemu'")
refuse("an unknown boot drive", ARGS + ["-boot", "order=cx"], "'x'", "-boot")
refuse("a boot drive given twice", ARGS + ["-boot", "order=cdc"], "'c'", "twice")
refuse("an unknown boot key", ARGS + ["-boot", "ordr=c"], "'ordr'", "'order'")
refuse("a bad splash time", ARGS + ["-boot", "splash-time=never"], "never")
refuse("a bootindex given twice", ARGS + ["-option-rom", image("a.rom", 512) + ",bootindex=1", "-option-rom",
                                          image("b.rom", 512) + ",bootindex=1"], "bootindex=1", "twice")

suite.main()
