#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""README's two commands in a new Debian 12 of nothing but its minimal base and git, exactly as written, as
root: packages are installed, all is built, Linux boots, every test passes. With scripts/test.sh --full."""

import os
import re
import shutil
import stat
import subprocess
import tempfile

from checkout import clone
from vmmtest import PROMPT, Skip, Suite, Vm

FULL = os.environ.get("VMM_TEST_DEPTH", "full") == "full"
suite = Suite()


class Debian:
    """A new Debian 12 in a folder, minimal base and git, with what a container would have mounted."""

    # Device nodes of its own: whatever goes wrong when the folder is removed, the host's stay.
    MOUNTS = (("proc", "proc"), ("sysfs", "sys"), ("tmpfs", "dev"), ("devpts", "dev/pts"), ("tmpfs", "dev/shm"))
    NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0), "ptmx": (5, 2)}

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
        try:
            self._mount()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _mount(self):
        for kind, where in self.MOUNTS:
            target = os.path.join(self.root, where)
            os.makedirs(target, exist_ok=True)
            subprocess.run(["mount", "-t", kind, kind, target], check=True)
        for name, number in self.NODES.items():
            path = os.path.join(self.root, "dev", name)
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(*number))
            os.chmod(path, 0o666)
        os.symlink("/proc/self/fd", os.path.join(self.root, "dev", "fd"))

    def __exit__(self, *_):
        for _, where in reversed(self.MOUNTS):
            subprocess.run(["umount", "-l", os.path.join(self.root, where)], stderr=subprocess.DEVNULL, check=False)

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
            assert int(counted[1]) > 500 and counted[2] == "0", counted[0]


suite.main()
