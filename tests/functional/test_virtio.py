#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-blk and virtio-rng under the stock kernel's and SeaBIOS's drivers: each interface, each ring layout."""

import hashlib
import os
import random
import re
import struct
import tempfile

from vmmtest import PROMPT, Qmp, QmpError, Skip, Suite, Vm, boot_args, initrd, load_modules, qmp_args

BOOT_TIMEOUT = 240
MIB = 1 << 20
SIZE = 8 * MIB
suite = Suite()
directory = tempfile.TemporaryDirectory(prefix="vmm-virtio-")

# Serial number: properties of the device, feature bits that must and must not be agreed on.
DISKS = {
    "split": ("", [29, 32], [34]),
    "packed": (",packed=on,iothread=io0", [32, 34], []),
    "legacy": (",disable-modern=on,vectors=0", [29], [32, 34]),
    "exits": (",ioeventfd=off,num-queues=1", [32], [12]),
}


def path_of(name):
    return os.path.join(directory.name, name)


def make_image(name):
    data = random.Random(name).randbytes(SIZE)
    with open(path_of(name), "wb") as out:
        out.write(data)
    return data


def boot():
    """The stock guest with its disk drivers loaded, at the prompt."""
    args = boot_args("-object", "iothread,id=io0", "-device", "virtio-rng-pci", smp=2)
    for name, (properties, _, _) in DISKS.items():
        args += ["-drive", f"file={path_of(name)},format=raw,if=none,id={name}",
                 "-device", f"virtio-blk-pci,drive={name},serial={name}{properties}"]
    args += ["-drive", f"file={path_of('plain')},format=raw,if=virtio"]
    args[args.index("-initrd") + 1] = initrd(directory.name, "modules.gz")
    return Vm(args)


def load_drivers(vm):
    vm.expect(PROMPT, BOOT_TIMEOUT)
    load_modules(vm)


def device_names(vm):
    """By serial number."""
    names = {}
    for name in vm.run("cd /sys/block; ls -d vd*; cd").split():
        names[vm.run(f"cat /sys/block/{name}/serial").strip() or "plain"] = name
    return names


def md5(data):
    return hashlib.md5(data).hexdigest()


def check_features(vm, disk, name):
    bits = vm.run(f"cat /sys/block/{disk}/device/features").strip()
    _, wanted, unwanted = DISKS[name]
    assert re.fullmatch("[01]{64}", bits), bits
    assert all(bits[n] == "1" for n in wanted) and all(bits[n] == "0" for n in unwanted), f"{name}: {bits}"


@suite.test
def linux_reads_and_writes_every_kind_of_virtio_disk_and_gets_random_bytes():
    contents = {name: make_image(name) for name in [*DISKS, "plain"]}
    with boot() as vm:
        load_drivers(vm)
        names = device_names(vm)
        assert sorted(names) == sorted(contents), f"{names}: " + vm.run("dmesg | tail -30")
        for name in DISKS:
            check_features(vm, names[name], name)
        # Reads, all disks at once.
        vm.run("for d in /dev/vd?; do md5sum $d >/tmp/${d##*/} & done; wait", 240)
        for name, disk in names.items():
            assert vm.run(f"cut -d' ' -f1 /tmp/{disk}") == md5(contents[name]), name
        # Writes past the page cache, also at once; the flush of conv=fsync is the last thing that happens.
        for name, disk in names.items():
            vm.run(f"yes {name} | head -c 524288 >/tmp/{name}.data")
        how = "bs=8k seek=64 oflag=direct conv=fsync"
        writers = " ".join(f"dd if=/tmp/{name}.data of=/dev/{disk} {how} 2>/tmp/{name}.err &"
                           for name, disk in names.items())
        vm.run(f"{writers} wait", 240)
        assert vm.run("cat /sys/class/misc/hw_random/rng_current") == "virtio_rng.0"
        assert vm.run("dd if=/dev/hwrng bs=64 count=16 2>/dev/null | wc -c") == "1024"
        errors = vm.run("dmesg -r | grep '^<[0-3]>'")
        assert errors == "", f"the kernel complains: {errors}"
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.errors
    for name, data in contents.items():
        pattern = (name + "\n").encode()
        written = (pattern * (524288 // len(pattern) + 1))[:524288]
        want = data[:524288] + written + data[2 * 524288:]
        with open(path_of(name), "rb") as image:
            assert image.read() == want, f"{name}: the image is not what the guest wrote"


def disks_of(vm):
    return vm.run("ls /sys/block | grep vd; true").split()


def wait_for_disks(vm, count):
    vm.run(f"until [ $(ls /sys/block | grep -c vd) = {count} ]; do sleep 0.1; done", 120)


@suite.test
def linux_takes_disks_that_are_plugged_and_lets_go_of_those_that_are_wanted_back():
    data = {name: make_image(name) for name in ("fixed", "plugged")}
    socket = path_of("qmp")
    args = ["-drive", f"file={path_of('fixed')},format=raw,if=none,id=d0",
            "-device", "virtio-blk-pci,drive=d0,id=disk0",
            "-drive", f"file={path_of('plugged')},format=raw,if=none,id=d1",
            "-object", "iothread,id=io0", *qmp_args(socket)]
    with Vm(boot_args("-initrd", initrd(directory.name, "modules.gz"), *args, smp=2)) as vm, Qmp(socket) as qmp:
        load_drivers(vm)
        assert disks_of(vm) == ["vda"]
        for more in ({}, {"iothread": "io0", "packed": True}, {"disable-modern": "on", "addr": "1f"}):
            qmp.cmd("device_add", {"driver": "virtio-blk-pci", "drive": "d1", "id": "disk1", "serial": "plugged",
                                   **more})
            wait_for_disks(vm, 2)
            assert vm.run("cat /sys/block/vdb/serial") == "plugged"
            assert vm.run("md5sum </dev/vdb").split()[0] == md5(data["plugged"])
            # Taken away in the midst of reads.
            vm.send("while dd if=/dev/vdb of=/dev/null bs=4k iflag=direct 2>/dev/null; do :; done; echo re''ads end\n")
            qmp.cmd("device_del", {"id": "disk1"})
            assert qmp.wait_event("DEVICE_DELETED")["data"]["device"] == "disk1"
            vm.expect("reads end")
            vm.expect(PROMPT)
            wait_for_disks(vm, 1)
            assert "disk1" not in qmp.hmp("info qtree")
        assert qmp.hmp("device_del disk0") == ""  # one that was there from the start
        qmp.wait_event("DEVICE_DELETED")
        wait_for_disks(vm, 0)
        assert qmp.hmp("device_add virtio-blk-pci,drive=d0,id=disk0") == ""
        wait_for_disks(vm, 1)
        complaints = vm.run("dmesg -r | grep '^<[0-4]>' | grep -iE 'pci|acpi' | "
                            "grep -v 'fail to add MMCONFIG information'")
        assert complaints == "", complaints
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.errors


@suite.test
def what_cannot_be_plugged_is_refused_and_a_reset_takes_what_is_wanted_back():
    make_image("plain")
    socket = path_of("qmp")
    args = ["-accel", "qtest", "-display", "none", "-object", "iothread,id=io0",
            "-drive", f"file={path_of('plain')},format=raw,if=none,id=d1", *qmp_args(socket)]
    with Vm(args) as vm, Qmp(socket) as qmp:
        for line, mention in (("device_add nothing", "'nothing'"), ("device_add isa-serial", "'isa-serial'"),
                              ("device_add ide-hd,drive=d1", "'ide-hd'"), ("device_add virtio-blk-pci", "drive"),
                              ("device_add virtio-blk-pci,drive=d1,addr=1.2", "slot"),
                              ("device_add virtio-blk-pci,drive=d1,addr=5.1", "function"),
                              ("device_add virtio-blk-pci,drive=d1,num-queue=1", "num-queue"),
                              ("device_del nobody", "'nobody'")):
            assert mention in qmp.hmp(line), f"{line}: {qmp.hmp(line)}"
        assert qmp.hmp("device_add virtio-blk-pci,drive=d1,id=a") == ""
        assert "taken" in qmp.hmp("device_add virtio-rng-pci,id=a")
        assert qmp.hmp("device_add virtio-rng-pci,id=b") == ""
        assert qmp.hmp("device_del a") == "" and "not answered" in qmp.hmp("device_del a")
        qmp.cmd("system_reset")
        assert qmp.wait_event("DEVICE_DELETED")["data"]["device"] == "a"
        assert qmp.hmp("device_add virtio-blk-pci,drive=d1,id=a") == ""
        make_image("late")
        node = {"driver": "raw", "node-name": "n1", "file": {"driver": "file", "filename": path_of("late")}}
        qmp.cmd("blockdev-add", node)
        assert qmp.hmp("device_add virtio-blk-pci,drive=n1,id=c") == ""
        try:
            qmp.cmd("blockdev-del", {"node-name": "n1"})
            raise AssertionError("a node in use was closed")
        except QmpError as error:
            assert "in use" in str(error)
        assert qmp.hmp("device_del c") == ""
        qmp.cmd("system_reset")
        assert qmp.wait_event("DEVICE_DELETED")["data"]["device"] == "c"
        qmp.cmd("blockdev-del", {"node-name": "n1"})
        qmp.cmd("blockdev-add", node)  # the name and the file's lock are free
        qmp.cmd("quit")
        assert vm.wait() == 0, vm.errors


SEABIOS = "/usr/share/seabios/bios-256k.bin"
MESSAGE = b"read from sector 5\n"


def boot_disk():
    """A boot sector that reads sector 5 with INT 13h, function 42h, and writes its text to the debug console."""
    packet = struct.pack("<BBHHHQ", 16, 0, 1, 0x8000, 0, 5)
    code = (b"\x31\xc0\x8e\xd8\x8e\xc0\x8e\xd0\xbc\x00\x7c"  # xor ax, ax; mov ds, es, ss, ax; mov sp, 7c00h
            b"\xbe\x2b\x7c\xb4\x42\xcd\x13\x72\x0c"          # mov si, packet; mov ah, 42h; int 13h; jc failed
            b"\xbe\x00\x80"                                  # mov si, 8000h
            b"\xac\x84\xc0\x74\x08\xe6\xe9\xeb\xf7"          # next: lodsb; test al, al; jz end; out e9h, al; jmp next
            b"\xb0\x45\xe6\xe9"                              # failed: mov al, 'E'; out e9h, al
            b"\xb0\x00\xe6\xf4\xf4\xeb\xfd")                  # end: mov al, 0; out f4h, al; hlt; jmp to the hlt
    assert len(code) == 0x2b
    sector = (code + packet).ljust(510, b"\0") + b"\x55\xaa"
    with open(path_of("boot"), "wb") as out:
        out.write(sector.ljust(5 * 512, b"\0") + MESSAGE.ljust(MIB, b"\0"))
    return path_of("boot")


def check_boot(accel, properties):
    log = path_of("debug")
    with Vm(["-accel", accel, "-m", 64, "-display", "none", "-object", "iothread,id=io0",
             "-drive", f"file={boot_disk()},format=raw,if=none,id=d0",
             "-device", f"virtio-blk-pci,drive=d0{properties}",
             "-debugcon", f"file:{log}", "-device", "isa-debug-exit,iobase=0xf4"]) as vm:
        status = vm.wait(60)
        with open(log, "rb") as debug:
            text = debug.read()
    assert text == MESSAGE and status == 1, f"{accel}{properties}: {text!r}, status {status}, {vm.errors}"


def check_boots(accel):
    if not os.path.exists(SEABIOS):
        raise Skip("the package seabios is not installed")
    for properties in "", ",disable-legacy=on", ",disable-modern=on", ",iothread=io0", ",ioeventfd=off":
        check_boot(accel, properties)


@suite.test
def seabios_boots_from_virtio_disks_on_dbt():
    check_boots("dbt")


@suite.test
def seabios_boots_from_virtio_disks_on_kvm():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("no /dev/kvm")
    check_boots("kvm")


suite.main()
