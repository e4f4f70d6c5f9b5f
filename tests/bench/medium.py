# SPDX-License-Identifier: GPL-2.0-or-later
"""A file system on a disk that is memory, and who has the CPU: what would otherwise be measured instead of the program."""

import contextlib
import os
import shutil
import subprocess
import tempfile

ZRAM = "/sys/class/zram-control"


def write(path, value):
    with open(path, "w", encoding="ascii") as file:
        file.write(str(value))


def memory_mib():
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) // 1024 for line in file if line.startswith("MemAvailable"))


@contextlib.contextmanager
def zram_disk(mib):
    """The name of a new block device in memory (zram, which keeps what cannot be compressed as it is)."""
    with open(f"{ZRAM}/hot_add", encoding="ascii") as file:
        number = file.read().strip()
    try:
        write(f"/sys/block/zram{number}/disksize", mib << 20)
        yield f"/dev/zram{number}"
    finally:
        write(f"/sys/block/zram{number}/reset", 1)
        write(f"{ZRAM}/hot_remove", number)


@contextlib.contextmanager
def ram_disk(mib):
    """The folder of an ext4 on such a disk; None where there can be none: without root's rights, zram or that much memory."""
    with contextlib.ExitStack() as stack:
        try:
            if memory_mib() < 2 * mib or os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
                raise OSError
            device = stack.enter_context(zram_disk(mib))
        except OSError:
            yield None
            return
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vmm-bench-"))
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", device], check=True)
        subprocess.run(["mount", device, folder], check=True)
        stack.callback(subprocess.run, ["umount", folder], check=True)
        yield folder


def first_on_the_cpu(process="self"):
    """Other work on the host waits for its threads and those they begin, where that is allowed."""
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(1))
