#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The stock Debian kernel and a busybox initrd, to a shell where commands run, and back down."""

import re

from vmmtest import PROMPT, Skip, Suite, Vm, boot_args, kvm_is_real

BOOT_TIMEOUT = 240  # s; a few on any host of today
suite = Suite()


def check_guest(vm, cpus):
    """What a working machine shows at the prompt."""
    vm.expect(PROMPT, BOOT_TIMEOUT)
    count = vm.run("grep -c ^processor /proc/cpuinfo")
    assert count == str(cpus), f"the guest found {count} CPUs"
    assert re.fullmatch(r"Linux guest \S+-cloud-amd64 .*", vm.run("uname -a"))
    assert vm.run("echo $((6 * 7))") == "42"
    assert vm.run("seq 1 2000 | sha256sum") == "6251e5743b6fd6a7d606130bdf7c15077ce85ebd3a0fdee284d15a46df199e38  -"
    assert vm.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
    # Level 3 (error) and worse.
    errors = vm.run("dmesg -r | grep '^<[0-3]>'")
    assert errors == "", f"the kernel complains: {errors}"


def check_boot(accel, cpus):
    with Vm(boot_args(accel=accel, smp=cpus)) as vm:
        check_guest(vm, cpus)
        assert vm.terminal_is_raw()
        vm.send("poweroff -f\n")
        status = vm.wait(60)
        assert status == 0, f"exit status {status}: {vm.errors}"
        assert vm.terminal_is_restored(), "the terminal is not as it was"


@suite.test
def dbt_boots_one_cpu_to_a_shell_and_powers_off():
    check_boot("dbt", 1)


@suite.test
def dbt_boots_two_cpus_to_a_shell_and_powers_off():
    check_boot("dbt", 2)


@suite.test
def dbt_boots_four_cpus_to_a_shell_and_powers_off():
    check_boot("dbt", 4)


@suite.test
def linux_finds_pci_by_acpi_and_has_nothing_to_complain_about():
    with Vm(boot_args("-device", "virtio-rng-pci,addr=5")) as vm:
        vm.expect(PROMPT, BOOT_TIMEOUT)
        functions = vm.run("cd /sys/bus/pci/devices; for d in *; do echo $d $(cat $d/vendor $d/device); done; cd")
        for function in ("0000:00:00.0 0x8086 0x1237", "0000:00:01.0 0x8086 0x7000", "0000:00:01.1 0x8086 0x7010",
                         "0000:00:01.3 0x8086 0x7113", "0000:00:05.0 0x1af4 0x1005"):
            assert function in functions, functions
        assert vm.run("cat /sys/bus/pci/devices/0000:00:05.0/irq") == "10"
        assert vm.run("dmesg | grep -c 'ACPI: PCI: Interrupt link LNK[ABCDS] configured'") == "5"
        # The i440FX has no extended configuration space, which Linux mentions at level 4.
        complaints = vm.run("dmesg -r | grep '^<[0-4]>' | grep -i 'pci\\|acpi' | "
                            "grep -v 'fail to add MMCONFIG information'")
        assert complaints == "", complaints


@suite.test
def kvm_boots_two_cpus_to_a_shell_and_powers_off():
    usable = kvm_is_real()
    if usable is not True:
        raise Skip(usable)
    check_boot("kvm", 2)


@suite.test
def reboot_starts_the_kernel_again():
    with Vm(boot_args(smp=2)) as vm:
        vm.expect(PROMPT, BOOT_TIMEOUT)
        vm.send("reboot -f\n")
        vm.expect("Linux version", 60)
        vm.expect(PROMPT, BOOT_TIMEOUT)
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0


@suite.test
def no_reboot_ends_with_status_0_instead():
    with Vm(boot_args("-no-reboot")) as vm:
        vm.expect(PROMPT, BOOT_TIMEOUT)
        vm.send("reboot -f\n")
        assert vm.wait(60) == 0
        assert vm.text.count("Linux version") == 1


@suite.test
def kernel_panic_reboots_into_no_reboot():
    """No initrd: the kernel finds no root and, told so, reboots at once."""
    args = boot_args("-no-reboot", append="panic=-1")
    position = args.index("-initrd")
    del args[position:position + 2]
    with Vm(args) as vm:
        vm.expect("Kernel panic", BOOT_TIMEOUT)
        assert vm.wait(60) == 0


suite.main()
