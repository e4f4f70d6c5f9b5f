#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Other stock systems than the 64-bit kernel of the other tests, each as its package brings it.

A 32-bit kernel uses two- and three-level page tables and task gates, a real-time kernel other locks, Xen runs a
kernel in ring 3 and writes its own descriptor tables; the installer's kernel has drivers for everything.
"""

import os
import re

from vmmtest import ACCEL, PROMPT, Skip, Suite, Vm, guest

BOOT_TIMEOUT = 300  # s
suite = Suite()


def system(name):
    if os.environ.get("VMM_TEST_DEPTH") != "full":
        raise Skip("runs with scripts/test.sh --full")
    return guest(os.path.join("systems", name))


def complaints(vm):
    """Lines of the kernel's log that say something went wrong."""
    return [line for line in vm.run("dmesg -l err,crit,alert,emerg 2>/dev/null || dmesg").splitlines()
            if re.search(r"BUG|Oops|Call Trace|WARNING:|unhandled|detected .*stalls", line)]


def check_shell(kernel, initrd, machine):
    with Vm(["-accel", ACCEL, "-m", "512", "-smp", "2", "-kernel", system(kernel), "-initrd", initrd,
             "-append", "console=ttyS0", "-nographic"]) as vm:
        vm.expect(PROMPT, BOOT_TIMEOUT)
        assert vm.run("nproc") == "2"
        assert vm.run("uname -m") == machine
        assert vm.run("seq 1000 | md5sum") == "53d025127ae99ab79e8502aae2d9bea6  -"
        assert not complaints(vm), complaints(vm)
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0


@suite.test
def a_32_bit_kernel_with_two_level_page_tables():
    check_shell("vmlinuz-686", system("initrd-i386.gz"), "i686")


@suite.test
def a_32_bit_kernel_with_physical_address_extension():
    check_shell("vmlinuz-686-pae", system("initrd-i386.gz"), "i686")


@suite.test
def a_32_bit_program_under_a_64_bit_kernel():
    check_shell("vmlinuz-amd64", system("initrd-i386.gz"), "x86_64")


@suite.test
def a_real_time_kernel():
    check_shell("vmlinuz-rt", guest("initrd.gz"), "x86_64")


@suite.test
def xen_with_a_stock_kernel_as_its_domain_0():
    modules = f"{system('vmlinuz-amd64')} console=hvc0,{guest('initrd.gz')}"
    with Vm(["-accel", ACCEL, "-m", "1024", "-smp", "2", "-kernel", system("xen"), "-initrd", modules, "-append",
             "console=com1 com1=115200,8n1 dom0_mem=512M loglvl=all", "-nographic"]) as vm:
        vm.expect(PROMPT, BOOT_TIMEOUT)
        assert vm.run("cat /sys/hypervisor/type") == "xen"
        assert vm.run("nproc") == "2"
        assert not complaints(vm), complaints(vm)
        vm.send("poweroff -f\n")
        vm.expect("Entering ACPI S5 state", 60)
        assert vm.wait(60) == 0


@suite.test
def the_debian_installer_comes_to_its_menu():
    with Vm(["-accel", ACCEL, "-m", "1024", "-kernel", system("linux"), "-initrd", system("initrd.gz"),
             "-append", "console=ttyS0 DEBIAN_FRONTEND=text priority=low", "-nographic"]) as vm:
        vm.expect("Choose the next step in the install process", BOOT_TIMEOUT)


@suite.test
def ipxe_is_started_by_the_firmware_as_it_has_no_other_entry():
    with Vm(["-accel", ACCEL, "-m", "256", "-kernel", system("ipxe.lkrn"), "-nographic"]) as vm:
        vm.expect("Press Ctrl-B for the iPXE command line", BOOT_TIMEOUT)
        vm.send("\x02")
        vm.expect("iPXE> ", 60)
        vm.send("show version\n")
        vm.expect("builtin/version:string = ", 60)


@suite.test
def uefi_firmware_comes_to_its_shell():
    with Vm(["-accel", ACCEL, "-m", "512", "-bios", system("OVMF.fd"), "-nographic", "-nodefaults", "-serial", "stdio"]) as vm:
        vm.expect("UEFI Interactive Shell", BOOT_TIMEOUT)
        vm.expect("Shell> ", 60)


@suite.test
def uefi_firmware_starts_a_kernel():
    with Vm(["-accel", ACCEL, "-m", "512", "-smp", "2", "-bios", system("OVMF.fd"), "-kernel", guest("vmlinuz"), "-initrd",
             guest("initrd.gz"), "-append", "console=ttyS0", "-nographic"]) as vm:
        vm.expect(PROMPT, BOOT_TIMEOUT)
        assert vm.run("cat /sys/firmware/efi/fw_platform_size") == "64"
        assert not complaints(vm), complaints(vm)
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0


@suite.test
def grubs_rescue_cd_comes_to_its_menu_on_the_serial_console():
    with Vm(["-accel", ACCEL, "-m", "256", "-cdrom", system("grub-rescue-cdrom.iso"), "-nographic"]) as vm:
        vm.expect("GNU GRUB  version", BOOT_TIMEOUT)


suite.main()
