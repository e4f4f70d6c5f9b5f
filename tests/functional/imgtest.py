# SPDX-License-Identifier: GPL-2.0-or-later
"""vmm-img and qemu-img side by side, in a directory that goes at the end.

    from imgtest import folder, img, qemu

    with folder() as path:                     # the working directory meanwhile
        img("create -q -f qcow2 a.qcow2 1M")   # the output; a failed assertion unless the status is 0
        qemu("check a.qcow2", status=0)
        refused("info nothing", "nothing")     # status 1 and one line that mentions this
"""

import contextlib
import os
import random
import shlex
import shutil
import subprocess
import tempfile

from vmmtest import TIMEOUT_FACTOR, VMM, Skip

IMG = os.path.abspath(os.environ.get("VMM_IMG") or os.path.join(os.path.dirname(VMM), "vmm-img"))
KIB, MIB = 1 << 10, 1 << 20
PATIENCE = 120  # seconds


@contextlib.contextmanager
def folder():
    before = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="vmm-img-") as path:
        os.chdir(path)
        try:
            yield path
        finally:
            os.chdir(before)


def run(program, command):
    words = shlex.split(command) if isinstance(command, str) else [str(word) for word in command]
    return subprocess.run([program, *words], capture_output=True, text=True, errors="replace", timeout=PATIENCE * TIMEOUT_FACTOR,
                          stdin=subprocess.DEVNULL, check=False)


def _checked(program, command, status):
    done = run(program, command)
    assert done.returncode == status, f"{os.path.basename(program)} {command}: status {done.returncode}, not {status}: {done.stderr}{done.stdout}"
    return done.stdout


def img(command, status=0):
    return _checked(IMG, command, status)


def resident_mib(command):
    """What img(command) had in memory at most."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        process = subprocess.Popen([IMG, *shlex.split(command)], stdout=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command}: status {process.returncode}"
    return usage.ru_maxrss / 1024


def qemu(command, status=0):
    if not shutil.which("qemu-img"):
        raise Skip("there is no qemu-img here")
    return _checked("qemu-img", command, status)


def qemu_io(image, *commands):
    if not shutil.which("qemu-io"):
        raise Skip("there is no qemu-io here")
    _checked("qemu-io", [word for command in commands for word in ("-c", command)] + [image], 0)


def refused(command, *mentions, status=1):
    """One line on standard error, with the program's name and these words; nothing on standard output."""
    done = run(IMG, command)
    lines = done.stderr.splitlines()
    assert done.returncode == status, f"{command}: status {done.returncode}, not {status}: {done.stderr}"
    assert len(lines) == 1 and lines[0].startswith("vmm-img: "), f"{command}: {lines}"
    for text in mentions:
        assert text in lines[0], f"{command}: {text!r} is not mentioned in: {lines[0]}"
    assert done.stdout == "", f"{command}: stdout: {done.stdout!r}"


def disk(path, size=4 * MIB, seed=1):
    """A raw disk: holes, zeroes, constant and random stretches, of any alignment by sectors."""
    random_bytes = random.Random(seed)
    with open(path, "wb") as file:
        file.truncate(size)
        at = 0
        while at < size:
            length = min(512 * random_bytes.randrange(1, 400), size - at)
            kind = random_bytes.randrange(4)
            file.seek(at)
            if kind == 0:
                file.write(random_bytes.randbytes(length))
            elif kind == 1:
                file.write(bytes([random_bytes.randrange(1, 256)]) * length)
            elif kind == 2:
                file.write(bytes(length))
            at += length
    return path


def contents(path):
    with open(path, "rb") as file:
        return file.read()
