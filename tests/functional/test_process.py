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


# Objects

def object_error(*args):
    result = run(*QTEST, *args)
    assert result.returncode == 1, result
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


@suite.test
def secrets_are_never_printed():
    """Neither in an error about the secret nor in a configuration file."""
    for args in (["-object", "secret,id=s,data=hushhush,format=base65"], ["-object", "secret,data=hushhush"],
                 ["-object", "secret,id=s,data=hushhush,file=x"], ["-object", "secret,id=s,data=hush%hush,format=base64"],
                 ["-object", '{"qom-type":"secret","id":"s","data":"hushhush","format":"x"}'],
                 ["-object", "secret,id=s,data=hushhush", "-writeconfig", path("leak")]):
        assert "hush" not in object_error(*args), args
    assert not os.path.exists(path("leak"))


# Threads and CPUs

def threads(pid):
    """{name: set of CPUs} of the process's threads."""
    result = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            name = read(f"/proc/{pid}/task/{task}/comm").strip()
            result[name] = os.sched_getaffinity(int(task))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return result


@suite.test
def vcpus_and_iothreads_run_where_they_are_told():
    cpus = sorted(os.sched_getaffinity(0))
    first, last = cpus[0], cpus[-1]
    with Vm(BASE + ["-smp", "2", "-vcpu", f"vcpunum=0,affinity={last}", "-object", f"thread-context,id=t,cpu-affinity={first}",
                    "-vcpu", "vcpunum=1,thread-context=t", "-object", "iothread,id=io,thread-context=t", "-serial", "stdio",
                    "-object", "memory-backend-ram,id=ram,size=16M,prealloc=on,prealloc-threads=2,prealloc-context=t",
                    "-machine", "memory-backend=ram", "-kernel", image(text("x") + HALT)], tty=False) as vm:
        vm.expect("x")
        placed = threads(vm.process.pid)
        suffix = ACCEL.upper()
        assert placed[f"CPU 0/{suffix}"] == {last}, placed
        assert placed[f"CPU 1/{suffix}"] == {first}, placed
        assert placed["IO io"] == {first}, placed
        assert os.sched_getaffinity(vm.process.pid) == set(cpus)


@suite.test
def cpus_that_are_not_there_are_refused():
    none = "1023"
    for args, mention in ((["-vcpu", f"vcpunum=0,affinity={none}"], "-vcpu vcpunum=0"),
                          (["-vcpu", "vcpunum=7,affinity=0"], "vcpunum=7"),
                          (["-vcpu", "vcpunum=0,thread-context=t"], "'t'"),
                          (["-object", f"thread-context,id=t,cpu-affinity={none}", "-object", "iothread,id=i,thread-context=t"], "i"),
                          (["-object", "thread-context,id=t,cpu-affinity=3-1"], "3-1"),
                          (["-object", "thread-context,id=t,node-affinity=999"], "node999"),
                          (["-object", "thread-context,id=t"], "cpu-affinity"),
                          (["-vcpu", "vcpunum=0"], "affinity="), (["-vcpu", "affinity=0"], "vcpunum")):
        check_refused(QTEST + args, mention, tty=False)


@suite.test
def memory_comes_from_the_nodes_it_is_told():
    if not os.path.exists("/proc/self/numa_maps"):
        raise Skip("the host's kernel has no NUMA")
    ram = "memory-backend-ram,id=ram,size=16M,host-nodes=0"
    with Vm(BASE + ["-object", f"{ram},policy=bind", "-machine", "memory-backend=ram", "-serial", "stdio", "-kernel",
                    image(text("x") + HALT)], tty=False) as vm:
        vm.expect("x")
        assert " bind:0 " in read(f"/proc/{vm.process.pid}/numa_maps")
    for args, mention in ((ram, "policy="), ("memory-backend-ram,id=ram,size=16M,policy=bind", "host-nodes="),
                          ("memory-backend-ram,id=ram,size=16M,policy=bind,host-nodes=1-0", "1-0"),
                          ("memory-backend-ram,id=ram,size=16M,policy=bind,host-nodes=900", "host-nodes")):
        check_refused(["-accel", "qtest", "-display", "none", "-object", args, "-machine", "memory-backend=ram"], mention, tty=False)


@suite.test
def memory_can_be_locked():
    with Vm(BASE + ["-overcommit", "mem-lock=on", "-serial", "stdio", "-kernel", image(text("x") + HALT)], tty=False) as vm:
        vm.expect("x")
        locked = int(re.search(r"VmLck:\s*(\d+)", read(f"/proc/{vm.process.pid}/status")).group(1))
        assert locked >= 16 << 10, locked


# The sandbox, users, descriptors

@suite.test
def the_sandbox_covers_all_threads():
    with Vm(BASE + ["-sandbox", "on,spawn=deny,elevateprivileges=deny,resourcecontrol=deny", "-object", "iothread,id=io",
                    "-serial", "stdio", "-kernel", image(text("x") + HALT)], tty=False) as vm:
        vm.expect("x")
        pid = vm.process.pid
        for task in os.listdir(f"/proc/{pid}/task"):
            assert "Seccomp:\t2\n" in read(f"/proc/{pid}/task/{task}/status"), task
        vm.process.terminate()
        assert vm.wait() == 0


@suite.test
def a_guest_runs_to_its_end_in_the_sandbox():
    result = run(*BASE, "-sandbox", "on,spawn=deny,elevateprivileges=children,resourcecontrol=deny", "-serial", "stdio", "-kernel",
                 image(text("done") + TRIPLE_FAULT))
    assert (result.returncode, result.stdout) == (0, "done"), result


@suite.test
def the_process_becomes_another_user_in_another_root():
    if os.getuid() != 0:
        raise Skip("only root can do this")
    root = path("root")
    os.mkdir(root)
    with Vm(BASE + ["-run-with", f"user=65534:65533,chroot={root}", "-sandbox", "on,elevateprivileges=deny", "-serial", "stdio",
                    "-kernel", image(text("x") + HALT)], tty=False) as vm:
        vm.expect("x")
        status = read(f"/proc/{vm.process.pid}/status")
        assert re.search(r"^Uid:\t65534\t65534\t65534\t65534$", status, re.M), status
        assert re.search(r"^Gid:\t65533\t65533\t65533\t65533$", status, re.M), status
        assert re.search(r"^Groups:\s*$", status, re.M), status
        assert os.readlink(f"/proc/{vm.process.pid}/root") == root
    check_refused(QTEST + ["-runas", "no-such-user"], "no-such-user", tty=False)
    check_refused(QTEST + ["-chroot", "/nonexistent/root"], "/nonexistent/root", tty=False)
    check_refused(QTEST + ["-chroot", "relative"], "relative", tty=False)


@suite.test
def inherited_descriptors_open_by_their_set():
    """The kernel comes through one, the log goes through another."""
    kernel = os.open(image(text("fd", COM1) + TRIPLE_FAULT), os.O_RDONLY)
    log = os.open(path("fdlog"), os.O_WRONLY | os.O_CREAT)
    result = run(*BASE, "-add-fd", f"fd={kernel},set=1,opaque=the kernel", "-add-fd", f"fd={log},set=2", "-kernel",
                 "/dev/fdset/1", "-d", "cpu_reset", "-D", "/dev/fdset/2", "-serial", f"file:{path('fdserial')}",
                 pass_fds=(kernel, log))
    assert result.returncode == 0, result
    assert read(path("fdserial")) == "fd"
    assert "EIP=" in read(path("fdlog"))
    os.close(kernel)
    os.close(log)
    for args, mention in ((["-add-fd", "fd=77,set=1"], "fd=77"), (["-add-fd", "fd=1,set=1"], "fd=1"),
                          (["-add-fd", "set=1"], "fd="), (["-kernel", "/dev/fdset/9"], "/dev/fdset/9")):
        check_refused(BASE + args, mention, tty=False)


@suite.test
def a_descriptor_of_our_own_is_not_the_users():
    for fd in range(3, 10):
        check_refused(BASE + ["-add-fd", f"fd={fd},set=1"], f"fd={fd}", tty=False)


suite.main()
