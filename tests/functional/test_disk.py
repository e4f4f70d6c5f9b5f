#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that start from their own boot loader, through SeaBIOS and GRUB: an installed Debian, a CD, memtest86+
(made by scripts/lib/disk.sh)."""

import hashlib
import os
import re
import subprocess
import tempfile
import time

from vmmtest import ACCEL, PROMPT, Suite, Vm, guest

BOOT_TIMEOUT = 400
FULL = os.environ.get("VMM_TEST_DEPTH") == "full"
LOGIN = re.compile(r"debian login: ")
suite = Suite()
directory = tempfile.TemporaryDirectory(prefix="vmm-disk-")

# What the kernel says when firmware, PCI or a disk is not as it should be. That this board has no memory-mapped
# configuration space is no complaint: an i440FX has none.
COMPLAINTS = (r"ACPI.*(error|warning|exception)|(firmware|BIOS) bug|pci.*(can't|fail|conflict|invalid|not assigned)|"
              r"irq.*nobody cared|(ata|sd|sr|vd)[a-z0-9.]*:.*(exception|failed|error|timeout|reset)|I/O error")
NO_MMCONFIG = "fail to add MMCONFIG information"


def drive_args(interface, image_format):
    """The installed disk, whose own file is never written."""
    image = guest("debian.img")
    if image_format == "raw":
        return ["-drive", f"file={image},format=raw,if={interface},snapshot=on"]
    overlay = os.path.join(directory.name, "overlay.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", overlay], check=True)
    return ["-drive", f"file={overlay},format=qcow2,if={interface}"]


def boot(interface, image_format, smp, *more):
    return Vm(["-m", 512, "-smp", smp, "-accel", ACCEL, "-nographic", *drive_args(interface, image_format), *more])


def log_in(vm):
    vm.expect(LOGIN, BOOT_TIMEOUT)
    vm.send("root\n")
    vm.expect("Password: ")
    vm.send("vmm\n")
    vm.expect("root@debian:~# ")
    vm.send("PS1='gue''st:# ' exec sh\n")  # a shell without an editor
    vm.expect(PROMPT)


def boot_id(vm):
    return vm.run("cat /proc/sys/kernel/random/boot_id")


def check_log(vm):
    complaints = vm.run(f"dmesg | grep -iE \"{COMPLAINTS}\" | grep -v '{NO_MMCONFIG}'")
    assert complaints == "", complaints
    errors = vm.run("dmesg -r | grep '^<[0-3]>'")
    assert errors == "", errors


def check_commands(vm, disk, smp):
    """Commands run, and what they say of the machine is what was asked for."""
    assert vm.run("true; echo $?; (exit 7); echo $?").split() == ["0", "7"]
    assert vm.run("nproc") == str(smp)
    assert vm.run("findmnt -no SOURCE /") == f"/dev/{disk}1"
    assert vm.run(f"lsblk -dnbo SIZE,TYPE /dev/{disk}").split() == [str(1 << 30), "disk"]
    vm.run("head -c 3000000 /dev/urandom >/root/data; sync; md5sum </root/data >/root/sum")
    vm.run("echo 3 >/proc/sys/vm/drop_caches")
    assert vm.run("md5sum </root/data | cmp - /root/sum && echo same") == "same"
    failed = vm.run("systemctl --failed --no-legend --plain")
    assert failed == "", failed


def md5_of(path):
    with open(path, "rb") as file:
        return f"{hashlib.md5(file.read()).hexdigest()}  -"


def power_off(vm):
    vm.send("poweroff\n")
    assert vm.wait() == 0, vm.errors


def debian_boots(interface, image_format, smp):
    """Boots twice: what the first run wrote is there after reboot."""
    disk = {"ide": "sda", "virtio": "vda"}[interface]
    with boot(interface, image_format, smp) as vm:
        log_in(vm)
        check_commands(vm, disk, smp)
        check_log(vm)
        first = boot_id(vm)
        vm.send("reboot\n")
        log_in(vm)
        assert boot_id(vm) != first
        assert vm.run("md5sum </root/data | cmp - /root/sum && echo same") == "same"
        check_log(vm)
        power_off(vm)


def check_devices(vm):
    """lspci, lsblk and smartctl against the data sheets: 82441FX, 82371SB, 82371AB, virtio 1.0."""
    pci = dict(line.split(" ", 1) for line in vm.run("lspci -n").splitlines())
    assert pci["00:00.0"].startswith("0600: 8086:1237 (rev 02)"), pci
    assert pci["00:01.0"].startswith("0601: 8086:7000"), pci
    assert pci["00:01.1"].startswith("0101: 8086:7010"), pci
    assert pci["00:01.3"].startswith("0680: 8086:7113"), pci
    assert sorted(text.split()[1] for slot, text in pci.items() if slot > "00:02") == ["1af4:1001", "1af4:1005"], pci
    drivers = vm.run("lspci -k | grep 'in use'")
    assert all(name in drivers for name in ("ata_piix", "virtio-pci", "piix4_smbus")), drivers
    disks = {line.split()[0]: line.split()[1:] for line in vm.run("lsblk -dnbo NAME,SIZE,TYPE,RO,SERIAL").splitlines()}
    assert disks["sda"][:3] == [str(1 << 30), "disk", "0"], disks
    assert disks["sr0"][:3] == [str(os.path.getsize(guest("cd.iso"))), "rom", "1"], disks
    assert disks["vda"] == [str(32 << 20), "disk", "0", "memtest"], disks
    assert vm.run("lsblk -dno TRAN /dev/sda /dev/sr0").split() == ["ata", "ata"]
    smart = vm.run("smartctl -a /dev/sda")
    for line in (r"Serial Number: +" + disks["sda"][3], r"User Capacity: +1,073,741,824 bytes",
                 r"ATA Version is: +ATA8-ACS", r"SMART support is: +Enabled", r"test result: PASSED",
                 r"No Errors Logged"):
        assert re.search(line, smart), f"{line}: {smart}"


@suite.test
def installed_debian_boots_from_a_qcow2_overlay_and_sees_its_devices():
    with boot("ide", "qcow2", 2, "-drive", f"file={guest('memtest.img')},format=raw,if=none,id=d1,snapshot=on",
              "-device", "virtio-blk-pci,drive=d1,serial=memtest", "-cdrom", guest("cd.iso"),
              "-device", "virtio-rng-pci") as vm:
        log_in(vm)
        check_commands(vm, "sda", 2)
        check_devices(vm)
        assert vm.run("mount -o ro /dev/cdrom /mnt && md5sum </mnt/boot/vmlinuz") == md5_of(guest("vmlinuz"))
        check_log(vm)
        power_off(vm)


@suite.test
def cd_boots_through_grub_and_boots_again_on_reboot():
    with Vm(["-m", 256, "-accel", ACCEL, "-nographic", "-cdrom", guest("cd.iso")]) as vm:
        boots = set()
        for _ in range(2):
            vm.expect(PROMPT, BOOT_TIMEOUT)
            assert vm.run("grep -c BOOT_IMAGE=/boot/vmlinuz /proc/cmdline") == "1"
            boots.add(boot_id(vm))
            vm.send("reboot -f\n")
        assert len(boots) == 2


@suite.test
def memtest86_starts_from_a_disk_and_finds_no_error():
    seconds = 60 if FULL else 2
    with Vm(["-m", 64, "-smp", 2, "-accel", ACCEL, "-nographic", "-drive",
             f"file={guest('memtest.img')},format=raw,snapshot=on"]) as vm:
        started = time.monotonic()
        vm.expect(re.compile(r"#\d+ +\["), BOOT_TIMEOUT)
        done = 0
        while done < seconds:
            status = vm.expect(re.compile(r"Time: +(\d+):(\d\d):(\d\d) .*?Errors: (\d+)", re.S), BOOT_TIMEOUT)
            hours, minutes, rest, errors = map(int, status.groups())
            assert errors == 0, vm.text[-2000:]
            done = hours * 3600 + minutes * 60 + rest
        print(f"# {done} s of tests in {time.monotonic() - started:.0f} s")


def matrix(interface, image_format, smp):
    def test():
        debian_boots(interface, image_format, smp)
    test.__name__ = f"debian_reboots_and_powers_off_from_{image_format}_on_{interface}_with_{smp}_cpus"
    return test


if FULL:
    for where in ("ide", "virtio"):
        for what in ("raw", "qcow2"):
            for count in (1, 2):
                suite.test(matrix(where, what, count))

suite.main()
