#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Command lines that nobody should write. Each ends with status 1 and one line on stderr that names the
option, and leaves nothing behind: no socket, pid file, temporary file. And -help has every option."""

import concurrent.futures
import os
import re
import subprocess
import tempfile

from vmmtest import VMM, Suite

suite = Suite()
MACHINE = ["-accel", "qtest", "-m", "4", "-display", "none", "-nodefaults"]
# What a command line has made by the time its last option turns out to be impossible.
TRACES = ["-pidfile", "pid", "-chardev", "socket,id=trace,path=socket,server=on,wait=off", "-serial", "chardev:trace"]
LAST = ["-gdb", "unix:/nonexistent/gdb"]

# Options that take lists or names of a fixed kind, and so refuse what is neither.
STRICT = ["accel", "action", "add-fd", "blockdev", "chardev", "cpu", "d", "device", "drive", "gdb", "global", "m", "machine", "mon", "msg", "object",
          "overcommit", "readconfig", "rtc", "run-with", "runas", "sandbox", "serial", "smp", "uuid", "vcpu", "qmp", "qtest", "display"]
GARBAGE = ["", ",", "=", "==", "x", "=x", "x=", "x=y,", ",x=y", "x..y=1", "a.0=1,a.2=3", "{", "{}", "[]", '{"a":', '{"x":{"y":null}}',
           "%s%n%x%p", "\n", "a\nb", "\x7f\x01", "ä" * 40, "../../../etc", "on" * 3000, "0x", "-1", "1e999", "9" * 400,
           "x=" + "1," * 2000, "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r=1", "id=", "id=x,id=y", "help=", "NaN", "x,y,z", "\xff\xfe"]
# Garbage that has a meaning after all: an empty list changes nothing, the last member may end with a comma.
MEANS_NOTHING = {(name, "") for name in ("m", "machine", "smp", "rtc", "msg", "action", "overcommit")} | {
    (name, "{}") for name in ("m", "machine", "smp", "rtc", "msg", "action", "overcommit")}

WRITTEN = [
    # (arguments, what the line mentions)
    (["-m", "4", "-m", "0"], "-m"), (["-m", "18446744073709551616"], "-m"), (["-m", "4,maxmem=x"], "-m"),
    (["-m", "1K"], "-m"), (["-smp", "4294967297"], "-smp"), (["-smp", "2,sockets=2,cores=2"], "-smp"),
    (["-smp", "cpus=0x"], "-smp"), (["-smp", "1.5"], "-smp"), (["-smp", "cores=255,threads=255"], "-smp"),
    (["-machine", "type.x=1"], "-machine"), (["-machine", "pc,accel=kvm", "-accel", "qtest"], "-accel"),
    (["-machine", "kernel-irqchip=on"], "kernel-irqchip"), (["-machine", "memory-backend=none"], "memory-backend"),
    (["-machine", "pc", "-machine", "q35"], "q35"), (["-machine", "acpi=maybe"], "acpi"),
    (["-machine", '{"type":"pc","type":"pc"}'], "-machine"), (["-accel", "qtest,x=1"], "-accel"), (["-accel", "qtest,x"], "-accel"),
    (["-cpu", "qemu64,+"], "-cpu"), (["-cpu", "qemu64,+no-such-feature"], "no-such-feature"), (["-cpu", "qemu64,avx=maybe"], "-cpu"),
    (["-device", "isa-serial,index=9"], "isa-serial"), (["-device", "isa-serial,index=1,index=-1"], "index"),
    (["-device", "isa-serial,id=a", "-device", "isa-debugcon,id=a"], "'a'"), (["-device", "isa-serial,chardev=none"], "none"),
    (["-device", "isa-serial,chardev=trace"], "trace"), (["-device", "fw_cfg"], "fw_cfg"), (["-device", "isa-debug-exit,iosize=0"], "iosize"),
    (["-device", '{"driver":5}'], "'5'"), (["-device", '{"driver":["isa-serial"]}'], "-device"),
    (["-device", "driver=isa-serial,driver.x=1"], "-device"), (["-device", "isa-serial,irq=999999999999999999999"], "irq"),
    (["-chardev", "null,id=trace"], "'trace'"), (["-chardev", "null,id=a", "-chardev", "null,id=a"], "'a'"),
    (["-chardev", "null"], "id"), (["-chardev", "nul,id=a"], "null"), (["-chardev", "socket,id=a"], "path"),
    (["-chardev", "socket,id=a,path=socket,server=on,wait=off"], "socket"), (["-chardev", "socket,id=a,path=" + "p" * 200], "path"),
    (["-chardev", "socket,id=a,path=/nonexistent/s,server=on,wait=off"], "/nonexistent/s"),
    (["-chardev", "socket,id=a,path=x,port=1"], "port"), (["-chardev", "socket,id=a,host=h,port=99999"], "port"),
    (["-chardev", "socket,id=a,fd=99,server=on"], "fd"), (["-chardev", "file,id=a,path=/nonexistent/f"], "/nonexistent/f"),
    (["-chardev", "file,id=a"], "path"), (["-chardev", "pipe,id=a,path=/nonexistent/p"], "/nonexistent/p"),
    (["-chardev", "ringbuf,id=a,size=3"], "size"), (["-chardev", "ringbuf,id=a,size=1T"], "size"), (["-chardev", "null,id=a,mux=on,mux=of"], "mux"),
    (["-chardev", "null,id=a,logfile=/nonexistent/l"], "/nonexistent/l"), (["-chardev", "null,id=a b"], "id"),
    (["-serial", "chardev:none"], "none"), (["-serial", "file:/nonexistent/s"], "/nonexistent/s"), (["-serial", "tcp:x"], "-serial"),
    (["-serial", "tcp::0,server=on,wait=off"], "-serial"), (["-serial", "unix:"], "-serial"), (["-serial", "mon:none"], "-serial"),
    (["-serial", "null"] * 4, "-serial"), (["-debugcon", "chardev:none"], "-debugcon"), (["-debugcon", "x"], "-debugcon"),
    (["-object", "memory-backend-ram,id=m,size=4M"], "'m'"), (["-object", "memory-backend-ram,id=m"], "size"),
    (["-object", "memory-backend-ram,id=m,size=0", "-machine", "memory-backend=m"], "size"),
    (["-object", "memory-backend-file,id=m,size=4M", "-machine", "memory-backend=m"], "mem-path"),
    (["-object", "memory-backend-file,id=m,size=4M,mem-path=/nonexistent/m", "-machine", "memory-backend=m"], "/nonexistent/m"),
    (["-object", "memory-backend-memfd,id=m,size=8M", "-machine", "memory-backend=m"], "-m"),
    (["-object", "memory-backend-memfd,id=m,size=4M,hugetlbsize=2M", "-machine", "memory-backend=m"], "hugetlb"),
    (["-object", "memory-backend-memfd,id=m,size=4M,hugetlb=on,hugetlbsize=3M", "-machine", "memory-backend=m"], "hugetlbsize"),
    (["-object", "memory-backend-ram,id=m,size=4M,prealloc=on,prealloc-context=x", "-machine", "memory-backend=m"], "prealloc-context"),
    (["-object", "memory-backend-ram,id=m,size=4M", "-machine", "memory-backend=m", "-mem-prealloc"], "-mem-prealloc"),
    (["-object", "rng-random,id=r,filename=/nonexistent/r"], "/nonexistent/r"), (["-object", "rng-random"], "id"),
    (["-object", "rng-builtin,id=r", "-object", "rng-random,id=r"], "'r'"), (["-object", "rng-builtin,id=r,filename=x"], "filename"),
    (["-object", "iothread,id=i,poll-max-ns=-1"], "poll-max-ns"), (["-object", "iothread,id=i,thread-context=t"], "'t'"),
    (["-object", "secret,id=s"], "data"), (["-object", "secret,id=s,file=/nonexistent/s"], "/nonexistent/s"),
    (["-object", "secret,id=s,data=x,keyid=k,iv=AAAA"], "'k'"), (["-object", "secret,id=s,data=x,format=hex"], "format"),
    (["-object", "secret,id=s,file=."], "'.'"), (["-object", "thread-context,id=t,cpu-affinity=0,node-affinity=0"], "affinity"),
    (["-object", "thread-context,id=t,cpu-affinity=0,cpu-affinity"], "'0:on'"),
    (["-object", "iothread"], "id"), (["-object", "iothread,id="], "id"), (["-object", "throttle-grup,id=x"], "throttle-grup"),
    (["-vcpu", "vcpunum=1,affinity=0"], "vcpunum=1"), (["-vcpu", "vcpunum=0,affinity=0,thread-context=t"], "affinity"),
    (["-vcpu", "vcpunum=0,affinity=x"], "affinity=x"), (["-vcpu", "vcpunum=-1,affinity=0"], "vcpunum"), (["-vcpu", "0"], "-vcpu"),
    (["-kernel", "/nonexistent/k"], "/nonexistent/k"), (["-kernel", "."], "'.'"), (["-initrd", "x"], "-kernel"), (["-append", "x"], "-kernel"),
    (["-bios", "/nonexistent/b"], "/nonexistent/b"), (["-readconfig", "/nonexistent/c"], "/nonexistent/c"), (["-readconfig", "/dev/zero"], "-readconfig"),
    (["-writeconfig", "/nonexistent/w"], "/nonexistent/w"), (["-append", "a\nb", "-kernel", "x", "-writeconfig", "w"], "-append"),
    (["-d", "guest_errors,nothing"], "'nothing'"), (["-D", "/nonexistent/l"], "/nonexistent/l"), (["-D", "."], "'.'"),
    (["-rtc", "base=2026-13-01"], "2026-13-01"), (["-rtc", "clock=moon"], "moon"), (["-rtc", "driftfix=slew"], "driftfix"),
    (["-global", "a.b=c"], "'a'"), (["-global", "isa-serial=1"], "-global"), (["-global", "isa-serial.x=1"], "'x'"),
    (["-global", "driver=isa-serial,property=index,value="], "index"), (["-global", ".=."], "-global"),
    (["-uuid", "550e8400-e29b-41d4-a716-44665544000"], "-uuid"), (["-uuid", "-"], "-uuid"),
    (["-sandbox", "off,spawn=deny"], "-sandbox"), (["-sandbox", "on,spawn=children"], "spawn"), (["-sandbox", "on,x=deny"], "'x'"),
    (["-sandbox", "maybe"], "-sandbox"), (["-run-with", "user="], "-run-with"), (["-run-with", "chroot=x"], "'x'"), (["-run-with", "user=99999999999:1"], "99999999999"),
    (["-add-fd", "fd=0,set=1"], "fd=0"), (["-add-fd", "fd=4"], "set="), (["-add-fd", "fd=88,set=1"], "88"), (["-add-fd", "fd=3,set=-1"], "set=-1"),
    (["-overcommit", "mem-lock=2"], "mem-lock=2"), (["-overcommit", "cpu_pm=on"], "cpu-pm"), (["-msg", "guest-name=?"], "guest-name=?"),
    (["-action", "reboot=reset,shutdown=reset"], "poweroff"), (["-action", "x=y"], "'x'"),
    (["-daemonize", "-serial", "stdio"], "-daemonize"), (["-daemonize", "-kernel", "/nonexistent/k"], "/nonexistent/k"),
    (["-pidfile", "/nonexistent/p"], "/nonexistent/p"), (["-pidfile", "."], "'.'"), (["-gdb", "tcp::"], "-gdb"), (["-gdb", "tcp::70000"], "-gdb"),
    (["-gdb", "unix:"], "-gdb"), (["-gdb", "unix:."], "-gdb"), (["-gdb", "stdio", "-serial", "stdio"], "-gdb"), (["-gdb", "pty"], "-gdb"),
    (["-qtest", "x"], "-qtest"), (["-qtest", "unix:/nonexistent/q"], "/nonexistent/q"), (["-display", "gtk"], "gtk"), (["-enable-kvm=on"], "-enable-kvm"),
    (["-kernel"], "-kernel"), (["--"], "'--'"), (["-"], "'-'"), (["---help"], "'---help'"), (["image.qcow2"], "image.qcow2"), ([""], "''"),
    (["-Kernel", "x"], "'-Kernel'"), (["-" + "x" * 5000], "unknown option"), (["-help2"], "'-help2'"), (["-kernel=x"], "'-kernel=x'"),
]


def options():
    """[(name, form or '')] as -help prints them."""
    shown = subprocess.run([VMM, "-help"], capture_output=True, text=True, timeout=30).stdout
    return re.findall(r"^  -([A-Za-z][\w-]*)(?: +(\S.*?))??(?:  .*)?$", shown, re.M)


def hostile_lines():
    known = {name for name, _ in options()}
    lines = [(args, mention) for args, mention in WRITTEN]
    for name in STRICT:
        assert name in known, name
        for garbage in GARBAGE:
            if (name, garbage) not in MEANS_NOTHING:
                lines.append((["-" + name, garbage], "-" + name))
    return lines


def problem(args, mention):
    """What is wrong with how vmm refuses these arguments, or None."""
    with tempfile.TemporaryDirectory() as folder:
        last = [] if {"-gdb", "-qtest", "-pidfile"} & set(args[:1]) or args == ["-kernel"] else LAST
        try:
            result = subprocess.run([VMM] + MACHINE + TRACES + args + last, capture_output=True, stdin=subprocess.DEVNULL,
                                    timeout=60, cwd=folder)
        except subprocess.TimeoutExpired:
            return "was accepted"
        left = os.listdir(folder)
    errors = result.stderr.decode("utf-8", "replace")
    if result.returncode != 1:
        return f"status {result.returncode}: {errors[-300:]!r}"
    if not errors.endswith("\n") or len(errors.split("\n")) != 2 or not errors.startswith("vmm: "):
        return f"stderr is not one line: {errors[:300]!r}"
    if mention not in errors:
        return f"does not mention {mention!r}: {errors[:300]!r}"
    if result.stdout:
        return f"stdout: {result.stdout[:100]!r}"
    return f"left behind: {left}" if left else None


@suite.test
def every_hostile_line_is_refused_in_one_line_and_leaves_nothing():
    lines = hostile_lines()
    assert len(lines) >= 300, len(lines)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        problems = list(pool.map(lambda line: problem(*line), lines))
    bad = [(args, what) for (args, _), what in zip(lines, problems) if what]
    for args, what in bad:
        print(f"# {ascii(args)[:200]}: {ascii(what)}")
    assert not bad, f"{len(bad)} of {len(lines)} lines"
    print(f"# {len(lines)} lines")


@suite.test
def help_lists_every_option_of_the_table():
    """The table's rows are the options the parser knows; an abbreviation of one is none."""
    names = [name for name, _ in options()]
    assert len(names) == len(set(names)), "an option is listed twice"
    source = os.path.join(os.path.dirname(__file__), "../../src/config/option-table.c")
    with open(source) as table:
        rows = re.findall(r'^    \{"([\w-]+)",', table.read(), re.M)
    assert sorted(rows) == sorted(names), set(rows) ^ set(names)
    for name, form in options():
        if form:
            result = subprocess.run([VMM, "-" + name], capture_output=True, text=True, timeout=30)
            assert result.returncode == 1 and "needs an argument" in result.stderr, name


suite.main()
