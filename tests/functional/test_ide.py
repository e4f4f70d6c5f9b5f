#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""IDE disks and CD drives under the stock kernel's drivers (libata, ata_piix, sd, sr) and SeaBIOS's."""

import hashlib
import os
import random
import re
import struct
import tempfile

from vmmtest import PROMPT, Skip, Suite, Vm, boot_args, initrd, load_modules

BOOT_TIMEOUT = 240
MIB = 1 << 20
suite = Suite()
directory = tempfile.TemporaryDirectory(prefix="vmm-ide-")


def image(name, size, seed):
    """A file of pseudo-random bytes; returns its path and contents."""
    path, data = os.path.join(directory.name, name), random.Random(seed).randbytes(size)
    with open(path, "wb") as out:
        out.write(data)
    return path, data


def boot(*drives):
    """The stock guest with its disk drivers loaded, at the prompt."""
    args = boot_args(*drives)
    args[args.index("-initrd") + 1] = initrd(directory.name, "modules.gz")
    return Vm(args)


def load_drivers(vm):
    vm.expect(PROMPT, BOOT_TIMEOUT)
    load_modules(vm)


def device_at(vm, place):
    """The name of the block device at HOST:0:UNIT:0. Probing goes on after insmod returns, in any order."""
    path = f"/sys/bus/scsi/devices/{place}/block"
    name = vm.run(f"i=0; until [ -d {path} ]; do i=$((i+1)); [ $i = 600 ] && break; sleep 0.1; done; ls {path}", 90)
    assert re.fullmatch(r"s[dr][a-z0-9]+", name), f"at {place}: {name}; " + vm.run("dmesg | tail -30")
    return name


def md5(data):
    return hashlib.md5(data).hexdigest()


def check_log(vm):
    """libata says so when a command fails or an interrupt is lost."""
    words = "exception|failed command|frozen|lost interrupt|I/O error|soft reset|timeout"
    complaints = vm.run(f"dmesg | grep -iE '{words}'")
    assert complaints == "", complaints


@suite.test
def linux_finds_four_drives_reads_writes_and_trims():
    disk, disk_data = image("disk.img", 16 * MIB, 1)
    cd, cd_data = image("cd.iso", 4 * MIB, 2)
    slaves = [image(f"slave{n}.img", MIB + n * 512, n)[0] for n in (3, 4)]
    with boot("-drive", f"file={disk},format=raw,if=ide,index=0,discard=unmap",
              "-hdb", slaves[0], "-drive", f"file={cd},format=raw,index=2,media=cdrom", "-hdd", slaves[1]) as vm:
        load_drivers(vm)
        hd, cdrom = device_at(vm, "0:0:0:0"), device_at(vm, "1:0:0:0")
        for number, place in ((3, "0:0:1:0"), (4, "1:0:1:0")):
            assert vm.run(f"cat /sys/block/{device_at(vm, place)}/size") == str(MIB // 512 + number)
        assert vm.run(f"cat /sys/block/{hd}/device/model").strip() == "VMM HARDDISK"
        assert vm.run(f"cat /sys/block/{hd}/size") == str(16 * MIB // 512)
        assert vm.run(f"md5sum </dev/{hd}", 120).split()[0] == md5(disk_data)
        assert vm.run(f"md5sum </dev/{cdrom}", 120).split()[0] == md5(cd_data)
        vm.run(f"dd if=/dev/{cdrom} of=/dev/{hd} bs=64k seek=16 conv=notrunc,fsync 2>/dev/null", 60)
        vm.run(f"blkdiscard -o 8388608 -l 4194304 /dev/{hd}", 60)
        check_log(vm)
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.errors
        assert vm.errors.count("its format was not given and is taken to be raw") == 2, vm.errors
    with open(disk, "rb") as source:
        now = source.read()
    assert now[MIB:5 * MIB] == cd_data, "what the guest wrote is not in the image"
    assert now[:MIB] == disk_data[:MIB] and now[5 * MIB:8 * MIB] == disk_data[5 * MIB:8 * MIB]
    assert now[8 * MIB:12 * MIB] == bytes(4 * MIB), "discarded blocks still have data"


SEABIOS = "/usr/share/seabios/bios-256k.bin"
EXIT_GOOD = 33  # isa-debug-exit: value 10h


def boot_code(lba):
    """Real-mode code at 7C00h: INT 13h reads the sector at lba to 8000h (EDD 3.0, function 42h); its text goes
    to the debug console."""
    packet = struct.pack("<BBHHHQ", 16, 0, 1, 0x8000, 0, lba)
    code = bytes.fromhex("31c0 8ed8 8ec0 8ed0 bc007c"  # segments and stack
                         "be407c b442 cd13 7210"       # read; on an error: exit with AL as it is
                         "be0080 ac 84c0 7404 e6e9 ebf7"  # lodsb; out, until a zero
                         "b010 e6f4 f4")
    return code.ljust(0x40, b"\x90") + packet


def disk_image(text):
    image = bytearray(MIB)
    code = boot_code(1)
    image[:len(code)] = code
    image[510:512] = b"\x55\xaa"
    image[512:512 + len(text)] = text
    return image


def cd_image(text):
    """A CD that boots without emulation; El Torito 1.0, ISO 9660 (ECMA-119) as far as firmware looks."""
    image = bytearray(MIB)

    def put(sector, data):
        image[sector * 2048:sector * 2048 + len(data)] = data

    put(16, b"\1CD001\1")
    put(17, b"\0CD001\1EL TORITO SPECIFICATION".ljust(0x47, b"\0") + struct.pack("<I", 19))
    put(18, b"\xffCD001\1")
    validation = bytearray(b"\1\0\0\0".ljust(28, b"\0") + b"\0\0\x55\xaa")
    validation[28:30] = struct.pack("<H", -sum(struct.unpack("<16H", validation)) & 0xffff)
    put(19, bytes(validation) + struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 4, 20))
    put(20, boot_code(21))
    put(21, text)
    return image


def check_boot(accel, text, *args):
    if not os.path.exists(SEABIOS):
        raise Skip("the package seabios is not installed")
    console = os.path.join(directory.name, "console")
    with Vm(["-accel", accel, "-m", 64, "-nodefaults", "-display", "none", "-bios", SEABIOS, "-debugcon",
             f"file:{console}", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *args], tty=False) as vm:
        status = vm.wait()
        with open(console, "rb") as source:
            output = source.read()
        assert status == EXIT_GOOD, f"status {status}, {output}, {vm.errors}"
        assert output == text, output


def write(name, data):
    path = os.path.join(directory.name, name)
    with open(path, "wb") as out:
        out.write(data)
    return path


def boots_from_disk(accel):
    text = b"read by INT 13h from a disk"
    path = write("boot.img", disk_image(text))
    check_boot(accel, text, "-drive", f"file={path},format=raw")


@suite.test
def seabios_boots_an_ide_disk_on_dbt():
    boots_from_disk("dbt")


@suite.test
def seabios_boots_an_ide_disk_on_kvm():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("/dev/kvm cannot be opened")
    boots_from_disk("kvm")


@suite.test
def seabios_boots_a_cd_when_told_to():
    text = b"read by INT 13h from a CD"
    disk, cd = write("disk.img", disk_image(b"the disk")), write("boot.iso", cd_image(text))
    check_boot("dbt", text, "-drive", f"file={disk},format=raw", "-cdrom", cd, "-boot", "d")


suite.main()
