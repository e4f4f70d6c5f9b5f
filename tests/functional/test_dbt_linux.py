#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs in Linux under the translator print what they print natively: compilers, interpreters, packages, cryptography,
processes under stress, 32-bit code. And the same with the interpreter beside it (lock-step).

A part with VMM_TEST_DEPTH=normal, all of it with full (scripts/test.sh --full).
"""

import os
import re
import subprocess
import sys
import tempfile

from userland import ROOT, Userland, enter, native, run, same
from vmmtest import GUEST_DIR, PROMPT, Skip, Suite, Vm, boot_args

suite = Suite()
FULL = os.environ.get("VMM_TEST_DEPTH", "full") == "full"
PROGRAMS = os.path.join(ROOT, "tests/functional/programs")
KERNELS = os.path.join(ROOT, "tests/bench/cpu")
PATIENCE = 1200  # s, for what takes tens of seconds on an idle host
folder = tempfile.TemporaryDirectory(prefix="vmm-userland-")


def compile_here(name, *flags):
    path = os.path.join(folder.name, name)
    subprocess.run(["gcc", *flags, "-o", path], check=True)
    return path


def stress(*flags):
    return compile_here("stress32" if "-m32" in flags else "stress", *flags, "-O2", "-std=gnu11", "-static", "-pthread",
                        os.path.join(PROGRAMS, "stress.c"))


BARE32 = ["-m32", "-O1", "-mno-sse", "-ffreestanding", "-nostdlib", "-static", "-fno-pic", "-no-pie", "-fno-stack-protector"]


def bare32():
    return compile_here("bare32", *BARE32, os.path.join(PROGRAMS, "bare32.c"))


def put(land, path):
    """A file of ours, under the name it has here."""
    with open(path, "rb") as source:
        land.data(path, source.read(), 0o755)
    return path


def gcc(land):
    land.program("gcc")
    for tool in ("cc1", "collect2", "lto-wrapper", "liblto_plugin.so"):
        path = subprocess.check_output(["gcc", f"-print-prog-name={tool}"], text=True).strip()
        if os.path.exists(path):
            land.program(path)
    for tool in ("as", "ld"):
        land.program(tool)
    library = os.path.dirname(subprocess.check_output(["gcc", "-print-libgcc-file-name"], text=True).strip())
    land.tree(library, skip=r"/(plugin|cc1plus|cc1|lto1|g\+\+-mapper-server|.*san.*|libgomp.*|libstdc.*|32|x32)(/|$|\.)")
    land.tree("/usr/include", skip=r"/include/(c\+\+|glib-|gnu-|[A-Z]|qt|boost|python|node|llvm|valgrind|nettle|openssl)")
    for name in ("crt1.o", "Scrt1.o", "crti.o", "crtn.o", "libc.so", "libc.so.6", "libc_nonshared.a", "libm.so", "libm.so.6",
                 "libmvec.so.1", "libpthread.a", "libgcc_s.so.1"):
        path = subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        if os.path.exists(path):
            land.file(os.path.normpath(path))


def sources(land):
    for name in sorted(os.listdir(KERNELS)):
        if name.endswith((".c", ".h")):
            put(land, os.path.join(KERNELS, name))


def package(land):
    """A package of a few thousand files, made here."""
    tree = os.path.join(folder.name, "tree")
    os.makedirs(os.path.join(tree, "DEBIAN"))
    with open(os.path.join(tree, "DEBIAN/control"), "w", encoding="ascii") as control:
        control.write("Package: headers\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n"
                      "Description: files to unpack\n")
    os.makedirs(os.path.join(tree, "usr/include"))
    subprocess.run(["cp", "-r", "/usr/include/linux", "/usr/include/asm-generic", os.path.join(tree, "usr/include")], check=True)
    path = os.path.join(folder.name, "headers.deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "-b", tree, path], check=True, stdout=subprocess.DEVNULL)
    for tool in ("dpkg", "dpkg-deb", "dpkg-split", "dpkg-query", "tar", "xz", "diff", "ldconfig", "start-stop-daemon"):
        land.program(tool)
    return put(land, path)


def script(land, name):
    path = os.path.join(PROGRAMS, name)
    put(land, path)
    return path


class Session:
    """A booted guest with a userland, in which commands are compared."""

    def __init__(self, land, smp=1, accel="dbt", memory=1024, more=()):
        initrd = land if isinstance(land, str) else land.write(os.path.join(folder.name, "initrd"))
        args = boot_args(*more, accel=accel, smp=smp, memory=memory, append="quiet")
        args[args.index("-initrd") + 1] = initrd
        self.vm = Vm(args)

    def __enter__(self):
        self.vm.__enter__()
        try:
            self.vm.expect(PROMPT, PATIENCE)
            enter(self.vm)
        except Exception:
            self.vm.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *why):
        self.vm.__exit__(*why)

    def check(self, command, expected=None):
        same(run(self.vm, command, PATIENCE), expected or native(command))


class Basics:
    """What every host that builds vmm has; made once."""

    initrd = None

    def __init__(self):
        if Basics.initrd:
            return
        land = Userland()
        gcc(land)
        sources(land)
        Basics.unpack = f"sh {script(land, 'unpack.sh')} {package(land)} headers"
        small, large = (put(land, os.path.join(PROGRAMS, name)) for name in ("bare32.c", "stress.c"))
        Basics.build = f"gcc {' '.join(BARE32)} -o bare32 {small} && sha256sum bare32 && ./bare32"
        Basics.build_more = f"gcc -O2 -std=gnu11 -pthread -o stress {large} && sha256sum stress && ./stress"
        Basics.compile = f"sh {script(land, 'compile.sh')} {KERNELS}"
        Basics.stress = put(land, stress())
        Basics.bare32 = put(land, bare32())
        Basics.initrd = land.write(os.path.join(folder.name, "basics"))
        commands = [self.unpack, self.build, self.stress, self.bare32] + ([self.build_more, self.compile] if FULL else [])
        Basics.expected = {command: native(command) for command in commands}
        Basics.all = commands

    def check(self, smp, *commands, accel="dbt", rounds=1):
        with Session(self.initrd, smp, accel) as session:
            for command in rounds * commands:
                session.check(command, self.expected[command])
            if "lock-step" not in accel:  # under which time flies
                assert session.vm.run("dmesg -r | grep '^<[0-3]>'") == ""


@suite.test
def avx_512_programs_compute_what_they_do_natively():
    if not {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= set(open("/proc/cpuinfo", encoding="ascii").read().split()):
        raise Skip("this processor has no AVX-512")
    land = Userland()
    program = put(land, compile_here("avx512", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-O2", "-std=gnu11",
                                     "-static", "-pthread", os.path.join(PROGRAMS, "avx512.c"), "-lm"))
    expected = native(program)
    assert "not ok" not in expected, expected
    initrd = land.write(os.path.join(folder.name, "avx512"))
    with Session(initrd, 2) as session:
        session.check(program, expected)
        assert "avx512vl" in session.vm.run("cat /proc/cpuinfo")
        assert "xstate" not in session.vm.run("dmesg -r | grep '^<[0-4]>'")
    with Session(initrd, more=["-cpu", "max,avx512f=off"]) as session:
        assert "avx512" not in session.vm.run("cat /proc/cpuinfo")


def full():
    if not FULL:
        raise Skip("only with --full")


@suite.test
def one_cpu_compiles_unpacks_and_runs_32_bit_code():
    b = Basics()
    b.check(1, *b.all)


@suite.test
def two_cpus_bear_processes_signals_ptrace_and_code_that_changes():
    b = Basics()
    b.check(2, *(b.all if FULL else (b.stress, b.bare32)), rounds=2)


@suite.test
def four_cpus_do_too():
    b = Basics()
    b.check(4, *(b.all if FULL else (b.stress,)))


# A kernel says so when its timer's interrupt took long: in it the host had something else to do.
BUSY_HOST = r"hrtimer: interrupt took \d+ ns"


def warnings(vm):
    return vm.run("dmesg -r | grep '^<[0-4]>'").splitlines()


@suite.test
def a_kernel_traces_and_probes_itself_by_changing_its_code():
    land = Userland()
    program = script(land, "kernel-code.sh")
    initrd = land.write(os.path.join(folder.name, "kernel-code"))
    rounds = 3 if FULL else 1
    expected = rounds * ["function traces", "0", "function_graph traces", "0"] + \
        [f" {probe} {2 * rounds} 0" for probe in ("entry", "return")]
    for cpus in (1, 2, 4) if FULL else (2,):
        with Session(initrd, cpus) as session:
            before = warnings(session.vm)
            same(session.vm.run(f"sh /host{program} {rounds}", PATIENCE), "\n".join(expected))
            more = [line for line in warnings(session.vm) if line not in before and not re.search(BUSY_HOST, line)]
            assert not more, more


@suite.test
def lock_step_of_a_starting_kernel_finds_no_difference():
    with Vm(boot_args(accel="dbt,lock-step=on")) as vm:
        vm.expect("smpboot: Allowing 1 CPUs", PATIENCE)


@suite.test
def lock_step_of_a_boot_and_a_compiler_finds_no_difference():
    full()
    b = Basics()
    b.check(1, b.build, accel="dbt,lock-step=on")


@suite.test
def code_that_never_fits_the_translators_memory_runs_all_the_same():
    full()
    b = Basics()
    b.check(2, b.stress, b.bare32, accel="dbt,tb-size=1")


@suite.test
def the_interpreter_alone_gives_the_same():
    full()
    b = Basics()
    b.check(1, b.unpack, b.build, b.stress, b.bare32, accel="dbt,interpret=on")


def fetched(*path):
    """A part of the packages that --full unpacks."""
    full()
    found = os.path.join(GUEST_DIR, "userland", *path)
    if not os.path.exists(found):
        raise Skip(f"no {found}; scripts/test.sh --full fetches it")
    return found


def on_all(land, command, smp=(1, 2, 4), memory=1536):
    """The command natively, then in guests."""
    expected = native(command)
    initrd = land.write(os.path.join(folder.name, "land"))
    for cpus in smp:
        with Session(initrd, cpus, memory=memory) as session:
            session.check(command, expected)
    return expected


@suite.test
def a_32_bit_c_library_and_its_threads_work():
    library, start = fetched("usr/lib32"), fetched("usr/lib/gcc/x86_64-linux-gnu/12/32")
    program = stress("-m32", "-msse2", f"-B{library}", f"-B{start}", f"-L{library}", f"-L{start}", "-isystem",
                     "/usr/include/x86_64-linux-gnu", "-idirafter", fetched("usr/include"))
    land = Userland()
    on_all(land, put(land, program))


PYTHON_TESTS = """test_grammar test_int test_float test_math test_cmath test_long test_struct test_dict test_set test_list test_sort
test_json test_hashlib test_zlib test_mmap test_pickle test_array test_bytes test_codecs test_random test_generators test_complex
test_decimal test_fractions test_heapq test_bisect test_itertools test_functools test_collections test_copy test_exceptions
test_scope test_string test_textwrap test_unicode test_zipfile test_base64 test_binascii""".split()


@suite.test
def pythons_own_tests_end_as_natively():
    """Some fail natively: the tests and the interpreter may be of different updates of Debian's."""
    more, library = fetched("usr/lib/python3.11/test"), "/usr/lib/python3.11"
    land = Userland()
    python = land.program("python3.11")
    land.tree(library, skip=r"/(__pycache__|dist-packages|idlelib|tkinter|lib2to3|ensurepip|config-3[^/]*)/")
    land.extensions(os.path.join(library, "lib-dynload"))
    merged = os.path.join(folder.name, "python")
    for source in (os.path.join(library, "test"), more):
        subprocess.run(["cp", "-r", source, merged + "/"] if os.path.isdir(merged) else
                       ["sh", "-c", f"mkdir {merged} && cp -r {source} {merged}/"], check=True)
    land.tree(merged)
    names = " ".join(PYTHON_TESTS)
    expected = on_all(land, f"PYTHONPATH={merged} {python} -m test --timeout 900 {names} 2>&1 | "
                            "grep -E \"^(All|[0-9]+) tests? ?(OK|failed|skipped)?|^    test_\"", smp=(1, 2))
    print(f"# {expected.splitlines()[0]}")
    assert re.search(r"\d+ tests (are )?OK|All", expected), expected


@suite.test
def openssls_digests_ciphers_and_signatures_are_right():
    full()
    land = Userland()
    land.program("openssl")
    land.extensions("/usr/lib/x86_64-linux-gnu/ossl-modules")
    land.file("/etc/ssl/openssl.cnf")
    on_all(land, f"sh {script(land, 'crypto.sh')}")


@suite.test
def node_compiles_javascript_in_the_guest():
    full()
    land = Userland()
    node = land.program("node")
    path = script(land, "jit.js")
    expected = on_all(land, f"{node} {path}")
    assert "fibonacci 196418" in expected, expected


suite.main()
