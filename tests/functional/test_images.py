#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of disk images that guests use: overlays, throw-away changes, locks, full hosts, kills, resizing."""

import hashlib
import json
import os
import random
import re
import struct
import subprocess
import tempfile

from vmmtest import PROMPT, Qmp, Skip, Suite, Vm, boot_args, check_refused, initrd, load_modules, qmp_args

BOOT_TIMEOUT = 240
FULL = os.environ.get("VMM_TEST_DEPTH") == "full"
MIB = 1 << 20
IDLE = ["-accel", "qtest", "-display", "none", "-nodefaults", "-S"] # a VM that has its disks and does nothing
suite = Suite()
directory = tempfile.TemporaryDirectory(prefix="vmm-images-")
SOCKET = os.path.join(directory.name, "qmp")


def path_of(name):
    return os.path.join(directory.name, name)


def tool(*args, allowed=(0,)):
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    assert done.returncode in allowed, f"{' '.join(args)}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def make_raw(name, size):
    with open(path_of(name), "wb") as out:
        out.write(random.Random(name).randbytes(size))
    return path_of(name)


def make_overlay(name, backing):
    tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", "raw", path_of(name))
    return path_of(name)


def file_md5(path):
    with open(path, "rb") as source:
        return hashlib.md5(source.read()).hexdigest()


def content_md5(path):
    """Of what a guest would read."""
    tool("qemu-img", "convert", "-O", "raw", path, path_of("content"))
    return file_md5(path_of("content"))


def boot(*args):
    return Vm(boot_args("-initrd", initrd(directory.name, "modules.gz"), *args, *qmp_args(SOCKET)))


def at_prompt(vm):
    vm.expect(PROMPT, BOOT_TIMEOUT)
    load_modules(vm)
    vm.run("until [ -b /dev/sda ] && [ -b /dev/vda ]; do sleep 0.1; done")


def power_off(vm):
    vm.send("poweroff -f\n")
    assert vm.wait() == 0, vm.errors


def disk(interface, path, image_format, *more):
    return ["-drive", ",".join((f"file={path}", f"format={image_format}", f"if={interface}", *more))]


@suite.test
def overlays_and_throw_away_changes_leave_their_image_as_it_was():
    """Meanwhile the images are opened again: by one that may, and by one that must not."""
    backing, plain = make_raw("backing", 16 * MIB), make_raw("plain", 8 * MIB)
    before = {path: file_md5(path) for path in (backing, plain)}
    overlay = make_overlay("overlay", backing)
    disks = disk("virtio", overlay, "qcow2", "id=d0") + disk("ide", plain, "raw", "snapshot=on")
    with boot(*disks) as vm, Qmp(SOCKET) as qmp:
        check_refused(IDLE + disk("ide", overlay, "qcow2"), overlay, "in use", "another process")
        other = path_of("other")
        with Vm(IDLE + disk("ide", plain, "raw", "snapshot=on") + qmp_args(other)) as second, Qmp(other) as monitor:
            assert monitor.cmd("query-block")[0]["inserted"]["file"]
            monitor.cmd("quit")
            assert second.wait() == 0
        at_prompt(vm)
        vm.run("dd if=/dev/urandom of=/tmp/data bs=1M count=4 2>/dev/null")
        for name in ("sda", "vda"):
            vm.run(f"dd if=/tmp/data of=/dev/{name} bs=64k seek=16 conv=fsync 2>/dev/null")
            vm.run("echo 3 >/proc/sys/vm/drop_caches")
            same = f"dd if=/dev/{name} bs=64k skip=16 count=64 2>/dev/null | cmp - /tmp/data && echo same"
            assert vm.run(same) == "same", name
        qmp.cmd("block_resize", {"device": "d0", "size": 24 * MIB})
        vm.run(f"until [ $(cat /sys/block/vda/size) = {24 * MIB // 512} ]; do sleep 0.1; done")
        assert vm.run("dmesg | grep -c 'vda.*new size'") == "1"
        vm.run("dd if=/tmp/data of=/dev/vda bs=1M seek=20 conv=fsync 2>/dev/null")
        seen = vm.run("md5sum </dev/vda").split()[0]
        power_off(vm)
    for path, digest in before.items():
        assert file_md5(path) == digest, f"{path} is not what it was"
    tool("qemu-img", "check", "-q", overlay)
    assert content_md5(overlay) == seen


def make_bad_images():
    """{name: (options, what the line mentions besides the file)}."""
    tool("qemu-img", "create", "-q", "-f", "qcow2", path_of("good"), "8M")
    with open(path_of("good"), "rb") as file:
        good = file.read()

    def write(name, data):
        with open(path_of(name), "wb") as out:
            out.write(data)

    def patched(name, at, form, value):
        write(name, good[:at] + struct.pack(form, value) + good[at + struct.calcsize(form):])

    write("plain", bytes(65536))
    write("short", good[:100])
    patched("bomb", 36, ">I", 0x7fffffff)      # entries of the L1 table
    patched("huge", 24, ">Q", 1 << 63)         # bytes of the disk
    patched("outside", 40, ">Q", 1 << 50)      # where the L1 table is
    patched("future", 72, ">Q", 1 << 40)       # incompatible features
    patched("encrypted", 32, ">I", 1)
    make_overlay("orphan", make_raw("lost", 65536))
    os.unlink(path_of("lost"))
    os.mkdir(path_of("folder"))
    os.mkfifo(path_of("pipe"))
    return {"plain": ("format=qcow2", "not in qcow2 format"), "short": ("format=qcow2", "not a valid"),
            "bomb": ("format=qcow2", "L1 table"), "huge": ("format=qcow2", "8 EiB"), "outside": ("format=qcow2", "L1 table"),
            "future": ("format=qcow2", "feature"), "encrypted": ("format=qcow2", "encrypted"), "orphan": ("format=qcow2", "lost"),
            "good": ("format=vmdk", "'vmdk'"), "folder": ("format=raw", "directory"), "pipe": ("format=raw", "neither file"),
            "absent": ("format=raw", "No such file")}


@suite.test
def images_that_cannot_be_used_get_one_line_and_are_not_written():
    for name, (options, mention) in make_bad_images().items():
        path = path_of(name)
        before = file_md5(path) if os.path.isfile(path) else None
        check_refused(IDLE + ["-drive", f"file={path},if=virtio,{options}"], path, mention)
        node = {"driver": options.split("=")[1], "node-name": "n0", "file": {"driver": "file", "filename": path}}
        check_refused(IDLE + ["-blockdev", json.dumps(node)], mention)
        check_refused(IDLE + ["-blockdev", f"driver={node['driver']},node-name=n0,file.driver=file,file.filename={path}"], mention)
        assert before is None or file_md5(path) == before, f"{name} was written"


class SmallFilesystem:
    """A tmpfs of some MiB, which can be made larger."""

    def __init__(self, size):
        self.path = path_of("small")
        os.makedirs(self.path, exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "none", self.path], capture_output=True,
                          check=False).returncode:
            raise Skip("a tmpfs cannot be mounted here")

    def grow(self, size):
        tool("mount", "-o", f"remount,size={size}m", self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.path], check=True)


def fill_up(vm, qmp, host, name, size):
    """Writes more than the host has room for; makes room when told, up to size MiB."""
    vm.send(f"dd if=/tmp/data of=/dev/{name} bs=256k oflag=direct conv=fsync; echo sta''tus $?\n")
    event = qmp.wait_event("BLOCK_IO_ERROR")["data"]
    assert event["nospace"] is True and event["operation"] == "write" and event["action"] == "stop", event
    qmp.wait_event("STOP")
    assert qmp.cmd("query-status")["status"] == "io-error"
    host.grow(size)
    qmp.cmd("cont")
    vm.expect("status 0")
    vm.expect(PROMPT)
    assert vm.run("dmesg | grep -ciE 'i/o error|exception|failed command'") == "0"


@suite.test
def full_host_pauses_the_vm_and_after_cont_nothing_is_lost():
    with SmallFilesystem(4) as host:
        raw, qcow2 = os.path.join(host.path, "raw"), os.path.join(host.path, "qcow2")
        tool("qemu-img", "create", "-q", "-f", "raw", raw, "8M")
        tool("qemu-img", "create", "-q", "-f", "qcow2", qcow2, "8M")
        with boot(*disk("ide", raw, "raw", "werror=enospc", "id=d0"),
                  *disk("virtio", qcow2, "qcow2", "werror=enospc", "id=d1")) as vm, Qmp(SOCKET) as qmp:
            at_prompt(vm)
            vm.run("dd if=/dev/urandom of=/tmp/data bs=1M count=8 2>/dev/null")
            written = vm.run("md5sum </tmp/data").split()[0]
            fill_up(vm, qmp, host, "sda", 12)
            fill_up(vm, qmp, host, "vda", 24)
            power_off(vm)
        tool("qemu-img", "check", "-q", qcow2)
        assert content_md5(raw) == written and content_md5(qcow2) == written, "something is lost"


def make_filesystem(name):
    tool("qemu-img", "create", "-q", "-f", "raw", path_of(name), "64M")
    tool("mke2fs", "-q", "-t", "ext4", path_of(name))
    return path_of(name)


def check_filesystem(path):
    """The journal brings it into order, and nothing else needs to be."""
    tool("qemu-img", "convert", "-O", "raw", path, path_of("content"))
    tool("e2fsck", "-fp", path_of("content"), allowed=(0, 1))
    tool("e2fsck", "-fn", path_of("content"))


def kill_while_writing(number):
    raw, overlay = make_filesystem(f"raw{number}"), make_overlay(f"overlay{number}", make_filesystem(f"base{number}"))
    with boot(*disk("ide", raw, "raw"), *disk("virtio", overlay, "qcow2")) as vm:
        at_prompt(vm)
        for name in ("sda", "vda"):
            vm.run(f"mkdir /{name}; mount -t ext4 /dev/{name} /{name}; echo kept >/{name}/kept; sync")
            # Files of all sizes come and go, each made durable; a dot for each.
            vm.send(f"i=0; while :; do i=$((i+1)); head -c $((i*7919%300000)) /dev/urandom >/{name}/f$((i%40)); "
                    f"sync /{name}/f$((i%40)); rm -f /{name}/f$((i*7%40)); echo -n .; done &\n")
        vm.expect(re.compile(r"(\.[^.]*){%d}" % random.Random(number).randrange(20, 60)))
        vm.kill()
    tool("qemu-img", "check", "-q", overlay, allowed=(0, 3)) # 3: leaked clusters, which lose nothing
    for path in (raw, overlay):
        check_filesystem(path)
        assert tool("debugfs", "-R", "cat kept", path_of("content")) == "kept\n", path


@suite.test
def a_kill_in_the_midst_of_writes_leaves_images_and_file_systems_in_order():
    for number in range(12 if FULL else 1):
        kill_while_writing(number)


suite.main()
