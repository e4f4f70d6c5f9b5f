#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast guest code runs under vmm -accel dbt: beside qemu-system-x86_64 -accel tcg, and native.

    tests/bench/cpu/run.py [--kernels NAMES] [--repeat N] [--accel native,vmm,tcg] ...

One static binary with the kernels (the .c files beside this) runs as a process here and as a program in
the stock guest, whose kernel and initrd are the same for both. Native, vmm and tcg take turns, kernel by
kernel, and the smallest of the repetitions counts. A kernel's result must be the same everywhere.

Time is CPU time: what the process, all threads of it, spent from the request to the answer, less what an
empty request costs. On an idle host that is the time that passes; on a busy one it is what would have
passed. --clock wall measures by the clocks of the guests instead.

There are two guests of each kind: translated code lies elsewhere in each, and the host's branch predictor and caches take it
better or worse there, as they do with a native program that is linked another way.

A virtual host's CPU may be one thread of a core whose other thread works for somebody else, now and then: code that
keeps all units of the core busy takes up to 1.9 times as long then, code that waits for its own results as long as ever.
So each sample is taken on a CPU that had its core for itself just before and after, by a kernel that tells.

The verdicts compare with the goals of docs/performance.md. They are for people to read: the exit status is 1
only when a result was wrong or a guest failed.
"""

import argparse
import contextlib
import io
import json
import math
import os
import platform
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from bench import QEMU, ROOT, VMM, print_table
from vmmtest import PROMPT, Failure, Skip, Vm, guest

FLAGS = ["-O2", "-std=gnu11", "-ffp-contract=off", "-static", "-pthread"]
SCALING = ["alu", "branches", "calls", "sort", "compress", "interpreter", "sse-float", "malloc", "syscall"]
CORE_TRIES = 20  # to find a CPU with a core for itself, and samples taken there
CORE_SLOWER = 1.2 # times its best: it has not
SLOW = 4.0       # s; enough of a kernel on one machine
ANSWER = re.compile(r"^([=!]) (.*?)\r*\n", re.M)
TIMEOUT = 600    # s, for one answer


def cpu_seconds(pid):
    """CPU time of a process with all its threads: its own clock (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


def pin(pid, cpus):
    """All threads of a process."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):  # it has ended
            os.sched_setaffinity(int(thread), cpus)


def geomean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def text_of(value, digits=2, unit=""):
    return f"{value:.{digits}f}{unit}" if value is not None else "-"


class WrongResult(Exception):
    pass


class Native:
    """The kernels as a process of this machine."""

    name = "native"

    def __init__(self, binary):
        self.process = subprocess.Popen([binary, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failure("cpu-kernels ended")
        return line.split()

    def ask(self, kernel, threads):
        """(result, wall s, CPU s), or None where the CPU has not what it takes."""
        self.process.stdin.write(f"{kernel} {threads}\n")
        self.process.stdin.flush()
        answer = self.answer()
        if answer[0] == "!":
            return None
        return answer[2], int(answer[3]) / 1e9, int(answer[4]) / 1e9

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Guest:
    """The kernels in a guest: one line to its console asks, one line answers."""

    def __init__(self, name, program, accel, initrd, cpus):
        self.name = name
        self.vm = boot(program, accel, initrd, cpus)
        self.pid = self.vm.process.pid
        try:
            self.vm.send("/cpu-kernels --serve\n")
            self.vm.expect("= ready", TIMEOUT)
        except Failure:
            self.vm.show()
            self.close()
            raise

    def ask(self, kernel, threads):
        before = cpu_seconds(self.pid)
        self.vm.send(f"{kernel} {threads}\n")
        match = self.vm.expect(ANSWER, TIMEOUT)
        cpu = cpu_seconds(self.pid) - before
        if match[1] == "!":
            return None
        fields = match[2].split()
        return fields[1], int(fields[2]) / 1e9, cpu

    def close(self):
        self.vm.__exit__(None, None, None)


def boot(program, accel, initrd, cpus):
    """The stock guest at its prompt."""
    args = ["-accel", accel, "-cpu", "max", "-m", "512", "-smp", cpus, "-kernel", guest("vmlinuz"), "-initrd", initrd,
            "-append", "console=ttyS0 quiet", "-nodefaults", "-nographic", "-serial", "mon:stdio"]
    vm = Vm(args, program=program)
    try:
        vm.expect(PROMPT, TIMEOUT)
    except Failure:
        vm.show()
        vm.__exit__(None, None, None)
        raise
    return vm


def build(folder):
    """The kernels, and an initrd that has them."""
    binary, part, initrd = (os.path.join(folder, name) for name in ("cpu-kernels", "part.gz", "initrd.gz"))
    sources = sorted(os.path.join(HERE, name) for name in os.listdir(HERE) if name.endswith(".c"))
    subprocess.run([os.environ.get("CC", "cc"), *FLAGS, "-o", binary, *sources], check=True)
    subprocess.run([sys.executable, os.path.join(ROOT, "scripts/lib/mkinitrd.py"), "--file", f"cpu-kernels={binary}",
                    "--output", part], check=True)
    with open(initrd, "wb") as out:
        for path in (guest("initrd.gz"), part):
            with open(path, "rb") as source:
                out.write(source.read())
    return binary, initrd


def list_kernels(binary, wanted):
    """(name, class) of the kernels named, by name or class; all without names."""
    rows = [line.split()[:2] for line in subprocess.check_output([binary, "--list"], text=True).splitlines()]
    known = {word for row in rows for word in row}
    for word in wanted:
        if word not in known:
            sys.exit(f"--kernels {word}: no such kernel or class; there are {', '.join(sorted(known))}")
    return [row for row in rows if row[1] != "none" and (not wanted or set(row) & set(wanted))]


def take(machine, kernel, threads, results):
    """One answer, its result compared with all others of the kernel."""
    answer = machine.ask(kernel, threads)
    if answer is None:
        return None
    if results.setdefault(kernel, answer[0]) != answer[0]:
        raise WrongResult(f"{kernel}: {machine.name} has {answer[0]}, another {results[kernel]}")
    return answer[1:]


class Cores:
    """Samples from CPUs that have their core for themselves, as far as can be had; the native machine looks for them."""

    def __init__(self, machines):
        self.native = next((m for m in machines if m.name == "native"), None)
        self.best = math.inf
        self.shared = 0
        for _ in range(5 * CORE_TRIES if self.native else 0):  # to know what is best
            self.is_whole(min(os.sched_getaffinity(0)))
            self.is_whole(max(os.sched_getaffinity(0)))

    def is_whole(self, cpu):
        pin(self.native.pid, {cpu})
        took = min(self.native.ask("core", 1)[2] for _ in range(3))
        self.best = min(self.best, took)
        return took < CORE_SLOWER * self.best

    def find(self):
        cpus = sorted(os.sched_getaffinity(0))
        for _ in range(CORE_TRIES):
            for cpu in cpus:
                if self.is_whole(cpu):
                    return cpu
            time.sleep(0.01)
        return cpus[0]

    def take(self, machine, kernel, results):
        if not self.native:
            return take(machine, kernel, 1, results)
        for _ in range(CORE_TRIES):
            cpu = self.find()
            pin(machine.pid, {cpu})
            sample = take(machine, kernel, 1, results)
            if sample is None or sample[1] > SLOW or self.is_whole(cpu):
                return sample
        self.shared += 1
        return sample


def measure_kernels(machines, kernels, repeat, column, results):
    """times[kernel][machine's name]: s; without those a machine cannot run."""
    cores = Cores(machines)
    empty = {m.name: min(take(m, "empty", 1, results)[column] for _ in range(20)) for m in machines}
    times = {}
    for kernel, _ in kernels:
        best, spent = {}, {}
        for _ in range(repeat):
            for machine in machines:
                if spent.get(machine.name, 0) > SLOW:
                    continue
                sample = cores.take(machine, kernel, results)
                if sample is not None:
                    took = max(sample[column] - empty[machine.name], 1e-6)
                    best[machine.name] = min(best.get(machine.name, took), took)
                    spent[machine.name] = spent.get(machine.name, 0) + took
        times[kernel] = best
        print(f"  {kernel}: " + ", ".join(f"{name} {value * 1000:.1f} ms" for name, value in best.items()), file=sys.stderr)
    if cores.shared:
        print(f"  {cores.shared} samples are of CPUs that shared their core", file=sys.stderr)
    return times


def measure_scaling(machines, kernels, repeat, results):
    """scaling[machine's name]: (by the clock, by CPU time): what two threads on two CPUs get done in the time of one."""
    scaling = {}
    samples = {}
    for kernel in kernels:
        for _ in range(repeat):
            for machine in machines:
                for threads in (1, 2):
                    sample = take(machine, kernel, threads, results)
                    if sample:
                        samples.setdefault((machine.name, kernel, threads), []).append(sample)
    for machine in machines:
        pair = []
        for column in (0, 1):
            best = {key: min(s[column] for s in values) for key, values in samples.items()}
            double = 2 if column == 0 else 4  # two threads' CPU time is twice that of one
            pair.append(geomean(double * best[machine.name, k, 1] / best[machine.name, k, 2]
                                for k in kernels if (machine.name, k, 1) in best))
        scaling[machine.name] = pair
    return scaling


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def measure_boot(programs, repeat):
    """boots[name]: (wall s, CPU s, resident MiB) from exec to the prompt; the smallest of each."""
    boots = {}
    for _ in range(repeat):
        for name, program, accel in programs:
            start = time.perf_counter()
            vm = boot(program, accel, guest("initrd.gz"), 1)
            sample = time.perf_counter() - start, cpu_seconds(vm.process.pid), resident_mib(vm.process.pid)
            vm.__exit__(None, None, None)
            boots.setdefault(name, []).append(sample)
    return {name: tuple(map(min, zip(*samples))) for name, samples in boots.items()}


def kernel_table(kernels, times):
    rows = []
    for name, kind in kernels:
        t = times[name]
        rows.append([name, kind, *(text_of(t.get(m) and t[m] * 1000, 1) for m in ("native", "vmm", "tcg")),
                     text_of(ratio(t, "vmm", "native")), text_of(ratio(t, "tcg", "vmm"))])
    return rows


def ratio(times, one, other):
    return times[one] / times[other] if one in times and other in times else None


class Ratios:
    """Geometric means over the kernels of some classes; None where nothing was measured."""

    def __init__(self, kernels, times):
        self.kernels, self.times = kernels, times

    def all(self, one, other, classes=None, names=None):
        rows = {name: ratio(self.times[name], one, other) for name, kind in self.kernels
                if (not classes or kind in classes) and (not names or name in names)}
        return {name: value for name, value in rows.items() if value is not None}

    def native(self, *classes):
        return geomean(self.all("vmm", "native", classes).values())

    def tcg(self, *classes):
        return geomean(self.all("tcg", "vmm", classes).values())


def goals(ratios, boots, scaling, by_clock):
    """(what, goal, measured, met: True, False or None for not measured)."""
    def at_least(what, goal, value):
        return what, f">= {goal}", text_of(value), None if value is None else value >= goal

    def at_most(what, goal, value):
        return what, f"<= {goal}", text_of(value), None if value is None else value <= goal

    faster = ratios.all("tcg", "vmm")
    slowest = min(faster, key=faster.get, default=None)
    rows = [at_least("times faster than tcg, all", 4, ratios.tcg()),
            at_most("times the native time, all", 2, ratios.native()),
            at_least("times faster than tcg, integer", 2.8, ratios.tcg("integer")),
            at_least(f"times faster than tcg, the slowest ({slowest})", 1, faster.get(slowest))]
    for kind, title in (("packed", "packed SSE and AVX"), ("x87", "x87"), ("rep", "REP strings")):
        rows.append(at_least(f"times faster than tcg, {title}", 10, ratios.tcg(kind)))
        rows.append(at_most(f"times the native time, {title}", 1.5, ratios.native(kind)))
    for name in ("syscall", "page-fault", "fork"):
        rows.append(at_least(f"times faster than tcg, {name}", 2, faster.get(name)))
    both = "vmm" in boots and "tcg" in boots
    column = 0 if by_clock else 1
    rows.append(at_most("of tcg's time, boot to the shell", 0.5, boots["vmm"][column] / boots["tcg"][column] if both else None))
    rows.append(at_most("of QEMU's resident memory after boot", 1, boots["vmm"][2] / boots["tcg"][2] if both else None))
    rows.append(scaling_goal(scaling))
    return rows


def scaling_goal(scaling):
    """Two CPUs that the host does not have cannot be shown: then the CPU time two threads cost decides."""
    what, goal = "times the work with -smp 2", 1.8
    if "vmm" not in scaling:
        return what, f">= {goal}", "-", None
    wall, cpu = scaling["vmm"]
    native = scaling.get("native", (2, 2))[0]
    if wall >= goal or native >= goal:
        return what, f">= {goal}", text_of(wall), wall >= goal
    return f"{what}, by CPU time (native gets {native:.2f} here)", f">= {goal}", text_of(cpu), cpu >= goal


def host_name():
    with open("/proc/cpuinfo") as info:
        model = next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    return f"{model}, {len(os.sched_getaffinity(0))} CPUs, Linux {platform.release()}"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kernels", default="", help="names or classes, with commas; all of them")
    parser.add_argument("--repeat", type=int, default=5, help="the smallest of so many counts (5)")
    parser.add_argument("--guests", type=int, default=2, help="so many of each kind run the kernels (2)")
    parser.add_argument("--accel", default="native,vmm,tcg", help="which of native, vmm, tcg (all)")
    parser.add_argument("--vmm-accel", default="dbt", help="vmm's -accel, with its options (dbt)")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu", help="CPU time, or the time that passes (cpu)")
    parser.add_argument("--boots", type=int, default=3, help="boots to measure, 0 for none (3)")
    parser.add_argument("--no-smp", action="store_true", help="leave -smp 2 out")
    parser.add_argument("--docs", metavar="FILE", help="put the tables behind the line '<!-- figures' of this page")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    return parser.parse_args()


def programs_of(args):
    """[(name, program, accel)] of the guests to run."""
    wanted = args.accel.split(",")
    for name in wanted:
        if name not in ("native", "vmm", "tcg"):
            sys.exit(f"--accel {name}: it is native, vmm or tcg")
    found = [("vmm", VMM, args.vmm_accel)] if "vmm" in wanted else []
    if "tcg" in wanted and not QEMU:
        print("tcg is left out: no qemu-system-x86_64 is installed (package qemu-system-x86)")
    elif "tcg" in wanted:
        found.append(("tcg", QEMU, "tcg"))
    return found, "native" in wanted


def with_machines(binary, initrd, programs, native, cpus, work):
    """What work says of these machines; guests of one name are one in its results."""
    machines = []
    try:
        if native:
            machines.append(Native(binary))
        for program in programs:
            machines.append(Guest(*program, initrd, cpus))
        return work(machines)
    finally:
        for machine in machines:
            machine.close()


def report(args, kernels, times, scaling, boots):
    ratios = Ratios(kernels, times)
    clock = "CPU time" if args.clock == "cpu" else "time by the clock"
    print(f"host: {host_name()}; {clock}, smallest of {args.repeat} in each of {args.guests} guests\n")
    print_table(["kernel", "class", "native ms", "vmm ms", "tcg ms", "vmm/native", "tcg/vmm"], kernel_table(kernels, times))
    print()
    classes = list(dict.fromkeys(kind for _, kind in kernels))
    rows = [[kind, text_of(ratios.native(kind)), text_of(ratios.tcg(kind))] for kind in classes]
    print_table(["geometric mean", "vmm/native", "tcg/vmm"], rows + [["all", text_of(ratios.native()), text_of(ratios.tcg())]])
    if scaling:
        print()
        print_table(["-smp 2: work in the time of one", "by the clock", "by CPU time"],
                    [[name, *map(text_of, pair)] for name, pair in scaling.items()])
    if boots:
        print()
        print_table(["exec to prompt", "s by the clock", "s of CPU time", "MiB resident"],
                    [[name, *map(text_of, sample)] for name, sample in boots.items()])
    print()
    verdict = {True: "met", False: "not met", None: "not measured"}
    rows = goals(ratios, boots, scaling, args.clock == "wall")
    if args.kernels:
        print("Of the kernels chosen only:")
    print_table(["goal", "", "measured", "verdict"], [[what, goal, value, verdict[met]] for what, goal, value, met in rows])
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"host": host_name(), "times": times, "scaling": scaling, "boots": boots, "goals": rows}, file, indent=1)


def write_docs(path, tables):
    with open(path, encoding="utf-8") as file:
        before, marker, rest = file.read().partition("<!-- figures")
    if not marker:
        sys.exit(f"--docs {path}: the page has no line that begins with '<!-- figures'")
    end = rest.find("\n## ")
    after = rest[end:] if end >= 0 else ""
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{marker}{rest.partition(chr(10))[0]}\n```text\n{tables}```\n{after}")


def main():
    args = arguments()
    programs, native = programs_of(args)
    column = 0 if args.clock == "wall" else 1
    scaling, boots, results = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        binary, initrd = build(folder)
        kernels = list_kernels(binary, [word for word in args.kernels.split(",") if word])
        times = with_machines(binary, initrd, args.guests * programs, native, 1,
                              lambda machines: measure_kernels(machines, kernels, args.repeat, column, results))
        if not args.no_smp:
            names = [name for name, _ in kernels if name in SCALING]
            scaling = with_machines(binary, initrd, programs, native, 2,
                                    lambda machines: measure_scaling(machines, names, args.repeat, results)) if names else {}
        if args.boots:
            boots = measure_boot(programs, args.boots)
    page = io.StringIO()
    with contextlib.redirect_stdout(page):
        report(args, kernels, times, scaling, boots)
    print(page.getvalue(), end="")
    if args.docs:
        write_docs(args.docs, page.getvalue())


try:
    main()
except Skip as reason:
    sys.exit(f"cannot run: {reason}")
except (WrongResult, Failure) as reason:
    sys.exit(f"failed: {reason}")
