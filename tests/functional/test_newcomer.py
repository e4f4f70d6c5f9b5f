#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""README's two commands in a new Debian 12 of nothing but its minimal base and git, exactly as written, as
root: packages are installed, all is built, Linux boots, every test passes. With scripts/test.sh --full."""

import os
import re
import shutil
import subprocess
import tempfile

from checkout import clone
from vmmtest import PROMPT, Skip, Suite, Vm

FULL = os.environ.get("VMM_TEST_DEPTH", "full") == "full"
suite = Suite()


class Debian:
    """A new Debian 12 in a folder, minimal base and git, with what a container would have mounted."""

    MOUNTS = (("proc", "proc", "proc"), ("sysfs", "sysfs", "sys"), ("devtmpfs", "devtmpfs", "dev"), ("devpts", "devpts", "dev/pts"),
              ("tmpfs", "tmpfs", "dev/shm"))

    def __init__(self, folder):
        self.root = os.path.join(folder, "debian")

    def __enter__(self):
        done = subprocess.run(["debootstrap", "--variant=minbase", "--include=git,ca-certificates", "bookworm", self.root, mirror()],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise Skip(f"debootstrap failed: {done.stdout.strip().splitlines()[-1]}")
        for path in ("/etc/resolv.conf", "/etc/hosts"):
            if os.path.exists(path):
                shutil.copy(path, self.root + path)
        for path in ("/etc/apt/apt.conf.d", "/etc/apt/trusted.gpg.d"):  # a proxy, the mirror's keys
            shutil.copytree(path, self.root + path, dirs_exist_ok=True)
        for kind, source, where in self.MOUNTS:
            target = os.path.join(self.root, where)
            if kind == "devtmpfs":
                subprocess.run(["mount", "--bind", "/dev", target], check=True)
            else:
                os.makedirs(target, exist_ok=True)
                subprocess.run(["mount", "-t", kind, source, target], check=True)
        return self

    def __exit__(self, *_):
        for _, _, where in reversed(self.MOUNTS):
            subprocess.run(["umount", "-l", os.path.join(self.root, where)], check=False)

    def shell(self, command):
        """Arguments for chroot."""
        return [self.root, "/usr/bin/env", "-i", "HOME=/root", "TERM=linux", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                "/bin/bash", "-c", f"cd /root/vmm && {command}"]


def mirror():
    """Where this host gets its packages."""
    for folder, _, names in os.walk("/etc/apt"):
        for name in sorted(names):
            if name.endswith((".list", ".sources")):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    found = re.search(r"^(?:deb (?:\[.*?\] )?|URIs: )(https?://\S+)", file.read(), re.M)
                if found:
                    return found[1]
    return "http://deb.debian.org/debian"


@suite.test
def readme_commands_in_a_new_debian():
    if not FULL:
        raise Skip("runs with scripts/test.sh --full")
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise Skip("needs root and debootstrap")
    with tempfile.TemporaryDirectory(prefix="vmm-debian-") as folder, Debian(folder) as debian:
        clone(os.path.join(debian.root, "root", "vmm"))
        with Vm(debian.shell("scripts/quickstart.sh"), program="chroot") as vm:
            vm.expect(PROMPT, 1800)
            vm.send("\x01x")
            assert vm.wait(60) == 0
        with Vm(debian.shell("scripts/test.sh"), program="chroot", tty=False) as vm:
            vm.process.stdin.close()
            counted = vm.expect(re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M), 7200)
            assert vm.wait(60) == 0, f"{counted[0]}; {vm.text[-3000:]}"
            assert int(counted[1]) > 1000 and counted[2] == "0", counted[0]


suite.main()
