# SPDX-License-Identifier: GPL-2.0-or-later
"""This host's own programs in a guest: the same files, so that what they print can be compared.

    land = Userland()
    land.program("gcc")                # with the libraries it needs
    land.tree("/usr/lib/gcc")          # and what it opens by name
    land.write(path)                   # an initrd to append to the stock guest's

In the guest they are a root file system of their own, under /host; enter() prepares it and run() runs
a command there. native() runs the same command here.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "scripts", "lib"))

from mkinitrd import Archive
from vmmtest import Failure, Skip, guest

ENVIRONMENT = {"PATH": "/usr/bin:/usr/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp", "TERM": "dumb"}


class Userland:
    def __init__(self):
        self.archive = Archive()
        self.known = set()
        self._directory("host")
        for name in ("proc", "dev", "tmp", "sys", "root", "etc"):
            self._directory(f"host/{name}")
        self.data("/etc/passwd", b"root:x:0:0:root:/tmp:/bin/sh\n")
        self.data("/etc/group", b"root:x:0:\n")
        for name in ("sh", "env", "cat", "sort", "uniq", "grep", "sed", "seq", "find", "xargs", "wc", "ls", "rm", "mkdir", "cmp", "od",
                     "printf", "sha256sum", "head", "tail"):
            self.program(name)

    def _directory(self, name):
        if name not in self.known:
            self.known.add(name)
            self.archive.directory(name)

    def _parents(self, path):
        """Directories above a path; those that are symbolic links here (/bin, /lib64) are links there."""
        parts = path.strip("/").split("/")[:-1]
        for count in range(1, len(parts) + 1):
            above = "/" + "/".join(parts[:count])
            if os.path.islink(above):
                self.file(above)
                return self._parents(os.path.join(os.path.realpath(above), *parts[count:], "x"))
            self._directory("host" + above)
        return "/" + "/".join(parts)

    def file(self, path):
        """A file as it is here; a symbolic link with what it leads to."""
        path = os.path.normpath(path)
        path = os.path.join(self._parents(path), os.path.basename(path))
        if "host" + path in self.known:
            return
        self.known.add("host" + path)
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            self.archive.symlink("host" + path, os.readlink(path))
            target = os.path.join(os.path.dirname(path), os.readlink(path))
            if os.path.isfile(target):
                self.file(target)
            elif os.path.isdir(target):
                self._parents(os.path.join(os.path.realpath(target), "x"))
        elif stat.S_ISREG(info.st_mode):
            with open(path, "rb") as source:
                self.archive.file("host" + path, source.read(), stat.S_IMODE(info.st_mode))

    def data(self, path, contents, mode=0o644):
        self._parents(path)
        self.known.add("host" + path)
        self.archive.file("host" + path, contents, mode)

    def tree(self, path, skip=r"/__pycache__/"):
        if not os.path.isdir(path):
            raise Skip(f"no {path} on this host")
        for folder, _, names in os.walk(path):
            for name in names:
                full = os.path.join(folder, name)
                if not re.search(skip, full):
                    self.file(full)

    def program(self, name):
        """A program of the path, or a file, and the libraries it is linked with."""
        path = name if name.startswith("/") else shutil.which(name, path=ENVIRONMENT["PATH"])
        if not path or not os.path.exists(path):
            raise Skip(f"no {name} on this host")
        self.file(path)
        done = subprocess.run(["ldd", os.path.realpath(path)], capture_output=True, text=True, check=False)
        for library in re.findall(r"(/\S+) \(0x", done.stdout):
            self.file(library)
        return path

    def extensions(self, folder):
        """The libraries of modules that programs load by name."""
        for where, _, names in os.walk(folder):
            for name in names:
                if re.search(r"\.so(\.\d+)*$", name):
                    self.program(os.path.join(where, name))

    def write(self, path):
        """Behind the stock guest's initrd; the second archive has to begin at a multiple of 4."""
        with open(guest("initrd.gz"), "rb") as source:
            first = source.read()
        with open(path, "wb") as out:
            out.write(first + bytes(-len(first) % 4) + self.archive.finish())
        return path


def enter(vm):
    """At the stock guest's prompt: prepares /host."""
    vm.run("cd /; mount -t proc proc /host/proc; mount -t devtmpfs dev /host/dev; "
           "ifconfig lo 127.0.0.1; dmesg -n 1; stty -onlcr")


def words(values):
    return " ".join(f"{name}={value}" for name, value in values.items())


def run(vm, command, timeout):
    """What a command prints in the guest, in an empty directory; its status is the last line."""
    return vm.run(f"mkdir -p /host/tmp/work; chroot /host /usr/bin/env -i {words(ENVIRONMENT)} "
                  f"sh -c 'cd /tmp/work && {command}' 2>&1 </dev/null; echo status $?; rm -rf /host/tmp/work", timeout)


def native(command, timeout=1800):
    """The same here."""
    with tempfile.TemporaryDirectory(prefix="vmm-native-") as folder:
        done = subprocess.run(["sh", "-c", command], cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False, text=True)
    return f"{done.stdout}status {done.returncode}"


def same(there, here):
    """Fails with the first line that differs."""
    there, here = there.split("\n"), here.split("\n")
    for number, (one, other) in enumerate(zip(there, here), 1):
        if one != other:
            raise Failure(f"line {number} is {one!r} in the guest, {other!r} natively")
    if len(there) != len(here):
        raise Failure(f"{len(there)} lines in the guest, {len(here)} natively; the last: {there[-1]!r}, {here[-1]!r}")
