#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Options about the process and its configuration, by their effect on the process: configuration files,
-daemonize, pid files, CPU affinity, memory locks, the sandbox, inherited descriptors."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

import tinyguest
from tinyguest import COM1, DEBUG_EXIT, HALT, TRIPLE_FAULT, out, text
from vmmtest import ACCEL, VMM, Skip, Suite, Vm, check_refused

suite = Suite()
folder = tempfile.TemporaryDirectory()
QTEST = ["-accel", "qtest", "-m", "4", "-display", "none", "-nodefaults"]
BASE = ["-accel", ACCEL, "-m", "16", "-display", "none", "-no-reboot"]


def path(name):
    return os.path.join(folder.name, name)


def write(name, data):
    with open(path(name), "w") as file:
        file.write(data)
    return path(name)


def image(code):
    return tinyguest.write(path("guest"), code)


def run(*args, **more):
    return subprocess.run([VMM] + list(args), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, **more)


def read(name):
    with open(name) as file:
        return file.read()


def wait_gone(pid):
    for _ in range(6000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} is still there")


# Configuration files

@suite.test
def a_config_file_makes_the_machine():
    config = write("config", f'''# a whole machine
[machine]
  type = "pc"
  accel = "{ACCEL}"
  kernel = "{image(text("config", COM1) + out(DEBUG_EXIT, 3) + HALT)}"
[memory]
  size = "16M"
[chardev "out"]
  backend = "file"
  path = "{path("serial")}"
[device "com"]
  driver = "isa-serial"
  chardev = "out"
[device]
  driver = "isa-debug-exit"
  iobase = "0xf4"
  iosize = "4"
[vmm]
  nodefaults = "on"
  display = "none"
''')
    result = run("-readconfig", config)
    assert (result.returncode, result.stderr) == (7, ""), result
    assert read(path("serial")) == "config"


@suite.test
def what_is_written_makes_the_same_machine():
    """The guest's exit status and output come from the second start; the files written by both are equal."""
    args = BASE + ["-kernel", image(text("again", COM1) + out(DEBUG_EXIT, 4) + HALT), "-device",
                   "isa-debug-exit,iobase=0xf4,iosize=4", "-chardev", f"file,id=c,path={path('again, with comma')}".replace(", ", ",, "),
                   "-serial", "chardev:c"]
    first = run(*args, "-writeconfig", path("first"))
    assert first.returncode == 9, first
    os.unlink(path("again, with comma"))
    second = run("-readconfig", path("first"), "-writeconfig", path("second"))
    assert (second.returncode, second.stdout, second.stderr) == (9, "", ""), second
    assert read(path("again, with comma")) == "again"
    assert read(path("first")) == read(path("second"))


@suite.test
def writeconfig_prints_on_stdout():
    result = run(*BASE, "-writeconfig", "-", "-kernel", image(TRIPLE_FAULT))
    assert result.returncode == 0, result
    assert '[memory]\n  size = "16"\n' in result.stdout, result.stdout


@suite.test
def an_error_in_line_7_is_named():
    cases = (('size = 64M', "key"), ('size = "64Q"', "'64Q'"), ('sise = "64M"', "'sise'"), ("[memroy]", "'memory'"))
    for number, (line, mention) in enumerate(cases):
        config = write(f"bad{number}", f'# 1\n[name]\n  guest = "g"\n\n# 5\n[memory]\n{line}\n')
        check_refused(["-accel", "qtest", "-readconfig", config], config, "line 7", mention, tty=False)
    check_refused(["-readconfig", path("none")], path("none"), tty=False)
    check_refused(["-readconfig", folder.name], folder.name, tty=False)


# -daemonize and -pidfile

@suite.test
def daemonize_returns_when_everything_listens():
    sock, gdb, pidfile = path("qmp"), path("gdb"), path("pid")
    result = run(*QTEST, "-daemonize", "-pidfile", pidfile, "-chardev", f"socket,id=c,path={sock},server=on,wait=off",
                 "-serial", "chardev:c", "-gdb", f"unix:{gdb}", "-D", path("log"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", ""), result
    pid = int(read(pidfile))
    try:
        for name in (sock, gdb):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(name)
        fds = f"/proc/{pid}/fd"
        assert [os.readlink(f"{fds}/{n}") for n in (0, 1)] == ["/dev/null"] * 2
        assert os.readlink(f"{fds}/2") == path("log")
        stat = read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
        assert int(stat[3]) != pid and int(stat[3]) != os.getsid(0), "it has a session of its own and does not lead it"
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_gone(pid)
    assert not any(os.path.exists(name) for name in (sock, gdb, pidfile))


@suite.test
def errors_of_the_daemon_reach_the_user():
    for args, mention in ((["-kernel", "/nonexistent/kernel"], "/nonexistent/kernel"),
                          (["-gdb", "unix:/nonexistent/gdb"], "/nonexistent/gdb"),
                          (["-D", "/nonexistent/log"], "/nonexistent/log")):
        check_refused(QTEST + ["-daemonize", "-pidfile", path("p")] + args, mention, tty=False)
        assert not os.path.exists(path("p"))


@suite.test
def a_daemon_has_no_terminal():
    for args in (["-nographic"], ["-serial", "stdio"], ["-serial", "mon:stdio"], ["-chardev", "stdio,id=c", "-serial", "chardev:c"],
                 ["-gdb", "stdio"], ["-debugcon", "stdio"]):
        check_refused(["-accel", "qtest", "-daemonize"] + args, "-daemonize", tty=False)


@suite.test
def a_pid_file_has_one_owner():
    pidfile = path("owned")
    with Vm(QTEST + ["-pidfile", pidfile, "-serial", f"file:{path('s')}"], tty=False) as vm:
        for _ in range(3000):
            if os.path.exists(pidfile) and read(pidfile) == f"{vm.process.pid}\n":
                break
            time.sleep(0.01)
        check_refused(QTEST + ["-pidfile", pidfile], pidfile, tty=False)
        assert read(pidfile) == f"{vm.process.pid}\n"
        vm.process.terminate()
        assert vm.wait() == 0
    assert not os.path.exists(pidfile)


@suite.test
def a_stale_pid_file_is_taken_over():
    pidfile = write("stale", "99999999\n")
    result = run(*BASE, "-pidfile", pidfile, "-kernel", image(TRIPLE_FAULT))
    assert result.returncode == 0, result
    assert not os.path.exists(pidfile)


suite.main()
