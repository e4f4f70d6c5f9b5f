#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes an initrd: a gzip-compressed cpio archive in the "newc" format (cpio(5)).

Device nodes need no root here, because they are only entries of the archive. The result depends on
the input alone: times are zero, the order is fixed.

    mkinitrd.py --busybox BUSYBOX --file init=SCRIPT [--file NAME=PATH...] [--directory NAME...] --output initrd.gz

Without --busybox only the files and directories named are written: the kernel unpacks several archives one after the other,
so such a part can be appended to an initrd.
"""

import argparse
import gzip
import stat
import sys

DIRECTORIES = ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp"]
DEVICES = [("dev/console", 5, 1), ("dev/null", 1, 3)]


class Archive:
    def __init__(self):
        self.parts = []
        self.inode = 0

    def add(self, name, mode, data=b"", rdev=(0, 0)):
        self.inode += 1
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(name) + 1, 0]
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self.parts.append(self._pad(header + name.encode() + b"\0"))
        self.parts.append(self._pad(data))

    def directory(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o755):
        self.add(name, stat.S_IFREG | mode, data)

    def symlink(self, name, target):
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, major, minor):
        self.add(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def finish(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)

    @staticmethod
    def _pad(data):
        return data + b"\0" * (-len(data) % 4)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--busybox")
    parser.add_argument("--file", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--directory", action="append", default=[], metavar="NAME")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    archive = Archive()
    if args.busybox:
        for name in DIRECTORIES:
            archive.directory(name)
        for name, major, minor in DEVICES:
            archive.device(name, major, minor)
        with open(args.busybox, "rb") as source:
            archive.file("bin/busybox", source.read())
        archive.symlink("bin/sh", "busybox")
    for name in args.directory:
        archive.directory(name)
    for item in args.file:
        name, _, path = item.partition("=")
        with open(path, "rb") as source:
            archive.file(name, source.read())
    with open(args.output, "wb") as out:
        out.write(gzip.compress(archive.finish(), 6, mtime=0))


if __name__ == "__main__":
    sys.exit(main())
