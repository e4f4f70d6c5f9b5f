#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking inside the translator: logs, counters, the perf map, and the options that make it plainer. Tiny guests."""

import os
import re
import struct
import tempfile

import tinyguest
from gdbtest import Gdb
from vmmtest import Qmp, QmpError, Skip, Suite, Vm, qmp_args

suite = Suite()
folder = tempfile.TemporaryDirectory()
PATH = os.path.join(folder.name, "qmp")
LOG = os.path.join(folder.name, "log")

ENTRY = tinyguest.LOAD_ADDRESS + 32
ROUNDS = 300
# mov ecx, ROUNDS; 1: call 2f; dec ecx; jnz 1b; jmp 3f; 2: add eax, ecx; push eax; pop ebx; ret; 3:
LOOP = (b"\xb9" + struct.pack("<I", ROUNDS) + b"\xe8\x05\0\0\0\x49\x75\xf8\xeb\x05" + b"\x01\xc8\x50\x5b\xc3\x90")
# A stack, the loop, a word, then an echo for ever.
GUEST = b"\xbc" + struct.pack("<I", 0x180000) + LOOP + tinyguest.text("ready\n") + tinyguest.ECHO
CALL, FUNCTION = ENTRY + 10, ENTRY + 20
IMAGE = tinyguest.write(os.path.join(folder.name, "loop"), GUEST)
# The word, then jmp to itself.
WORD = tinyguest.text("ready\n")
SPIN, SPIN_IMAGE = ENTRY + len(WORD), tinyguest.write(os.path.join(folder.name, "spin"), WORD + b"\xeb\xfe")


def args(accel="dbt", *more):
    return ["-accel", accel, "-m", "16", "-display", "none", "-serial", "stdio", "-kernel", IMAGE, *more]


def log_of(items, accel="dbt"):
    """What -d writes while the guest runs to its word."""
    with Vm(args(accel, "-d", items, "-D", LOG)) as vm:
        vm.expect("ready")
    with open(LOG, encoding="utf-8") as file:
        return file.read()


def counters(text):
    return {name: int(value) for name, value in re.findall(r"^(\S+): (\d+)$", text, re.M)}


def info_jit(accel="dbt"):
    with Vm(args(accel, *qmp_args(PATH))) as vm, Qmp(PATH) as qmp:
        vm.expect("ready")
        text = qmp.hmp("info jit")
        assert counters(qmp.cmd("x-query-jit")["human-readable-text"]).keys() == counters(text).keys()
        return counters(text)


@suite.test
def in_asm_shows_the_guests_instructions_once_decoded():
    log = log_of("in_asm")
    for address, text in ((CALL, "call"), (CALL + 5, "dec ecx"), (FUNCTION, "add eax, ecx"), (FUNCTION + 4, "ret")):
        assert re.search(rf"^0x{address:016x}:  {text}", log, re.M), f"{address:#x} {text}"


@suite.test
def out_asm_shows_host_code_with_the_guests_addresses():
    log = log_of("out_asm")
    unit = re.search(rf"^OUT: CPU0 unit \d+, guest 0x{FUNCTION:016x} gpa {FUNCTION:x} cpl 0, 4 instructions.*?\n\n", log,
                     re.M | re.S)
    assert unit, "no unit for the function"
    addresses = [int(a, 16) for a in re.findall(r"^  -- guest 0x([0-9a-f]+)$", unit[0], re.M)]
    assert addresses == [FUNCTION, FUNCTION + 2, FUNCTION + 3, FUNCTION + 4], addresses
    assert re.search(r"-- guest 0x%016x\n0x[0-9a-f]+:  add eax, ecx\n" % FUNCTION, unit[0]), unit[0]
    host = [int(a, 16) for a in re.findall(r"^0x([0-9a-f]+):", unit[0], re.M)]
    assert host == sorted(set(host)) and "(bad)" not in unit[0]


@suite.test
def exec_shows_each_entry_into_a_block():
    """Translated code goes from unit to unit by itself, but not while somebody wants to see each."""
    for accel in ("dbt", "dbt,interpret=on"):
        log = log_of("exec", accel)
        assert log.count(f":{FUNCTION:016x} gpa {FUNCTION:x} cpl 0") == ROUNDS, accel


@suite.test
def one_insn_per_tb_makes_exec_show_each_instruction():
    log = log_of("exec", "dbt,one-insn-per-tb=on")
    for address in (CALL, CALL + 5, CALL + 6, FUNCTION, FUNCTION + 2, FUNCTION + 3, FUNCTION + 4):
        assert log.count(f":{address:016x} gpa ") == ROUNDS, f"{address:#x}"


@suite.test
def mmu_shows_page_walks_and_flushes():
    log = log_of("mmu")
    assert re.search(rf"^CPU0 walk 0x{ENTRY & ~0xfff:016x}|^CPU0 walk 0x{ENTRY:016x} for fetch \(supervisor\): gpa {ENTRY:x}", log, re.M)
    assert re.search(r"^CPU0 walk 0x000000000017f\w+ for write \(supervisor\): gpa 17f\w+, page of 2\^12$", log, re.M)
    assert re.search(r"^CPU0 TLB flush, all$", log, re.M)


@suite.test
def int_shows_exceptions():
    image = tinyguest.write(os.path.join(folder.name, "crash"), tinyguest.TRIPLE_FAULT)
    with Vm(["-accel", "dbt", "-m", "16", "-display", "none", "-no-reboot", "-kernel", image, "-d", "int", "-D", LOG]) as vm:
        vm.wait()
    with open(LOG, encoding="utf-8") as file:
        assert re.search(r"^CPU0 vector 06 ", file.read(), re.M)


@suite.test
def info_jit_counts_units_and_memory():
    now = info_jit()
    assert now["vcpus"] == 1
    assert 0 < now["units.live"] <= now["units.made"] <= now["units.instructions"]
    assert 0 < now["code.used-bytes"] <= now["code.size-bytes"]
    assert 0 < now["blocks.used-bytes"] <= now["blocks.size-bytes"]
    assert now["run.entries"] > 0 and now["tlb.walks"] > 0 and now["flushes"] == 0


# 40000 functions at 2 MiB, 64 bytes apart: mov eax, n; ret. All of them are called, eight times.
MANY = (b"\xbc" + struct.pack("<I", 0x180000) + b"\xbf" + struct.pack("<I", 0x200000) + b"\xb9" + struct.pack("<I", 40000) +
        b"\xc6\x07\xb8\x89\x4f\x01\xc6\x47\x05\xc3\x83\xc7\x40\x49\x75\xf0\xbb\x08\0\0\0" +
        b"\xbf" + struct.pack("<I", 0x200000) + b"\xb9" + struct.pack("<I", 40000) + b"\xff\xd7\x83\xc7\x40\x49\x75\xf8\x4b\x75\xeb" +
        tinyguest.text("ready\n") + tinyguest.ECHO)


@suite.test
def more_code_than_there_is_room_for_is_reclaimed_and_the_longest_time_is_shown():
    image = tinyguest.write(os.path.join(folder.name, "many"), MANY)
    with Vm(["-accel", "dbt,tb-size=1,translate-after=1", "-m", "16", "-display", "none", "-serial", "stdio", "-kernel", image, *qmp_args(PATH)]) as vm, \
            Qmp(PATH) as qmp:
        vm.expect("ready")
        now = counters(qmp.hmp("info jit"))
    assert now["code.parts-recycled"] > 10 and now["blocks.parts-recycled"] > 10, now
    assert now["reclaim.longest-us"] > 0
    assert info_jit()["reclaim.longest-us"] == 0, "nothing was reclaimed"


@suite.test
def code_and_tlbs_of_up_to_eight_cpus_take_64_mib_at_most():
    for cpus in ("1", "2", "8"):
        with Vm(args("dbt", "-smp", cpus, *qmp_args(PATH))) as vm, Qmp(PATH) as qmp:
            vm.expect("ready")
            now = counters(qmp.hmp("info jit"))
        bound = now["code.size-bytes"] + now["tlb.size-bytes"]
        assert now["vcpus"] == int(cpus) and bound <= 64 << 20, f"{cpus} CPUs: {bound >> 20} MiB"


@suite.test
def interpret_on_translates_nothing():
    now = info_jit("dbt,interpret=on")
    assert now["units.made"] == now["code.size-bytes"] == 0
    assert now["blocks.used-bytes"] > 0


@suite.test
def info_jit_is_refused_where_nothing_is_translated():
    with Vm(["-accel", "qtest", "-display", "none", *qmp_args(PATH)]), Qmp(PATH) as qmp:
        assert "translates no code" in qmp.hmp("info jit")
        try:
            qmp.cmd("x-query-jit")
            assert False, "x-query-jit answers"
        except QmpError as error:
            assert "translates no code" in str(error)


def perf_map(vm):
    return f"/tmp/perf-{vm.process.pid}.map"


def read_perf_map(path):
    with open(path, encoding="ascii") as file:
        text = file.read()
    rows = re.findall(r"^([0-9a-f]+) ([0-9a-f]+) (\S+)$", text, re.M)
    assert len(rows) == text.count("\n"), "a line is not 'start size name'"
    return [(int(start, 16), int(size, 16), name) for start, size, name in rows]


@suite.test
def the_perf_map_names_translated_code():
    with Vm(args("dbt,perf-map=on")) as vm:
        vm.expect("ready")
        try:
            rows = read_perf_map(perf_map(vm))
            with open(f"/proc/{vm.process.pid}/maps", encoding="ascii") as maps:
                code = [line.split()[0].split("-") for line in maps if "r-xs" in line]
        finally:
            os.unlink(perf_map(vm))
    names = [name for _, _, name in rows]
    assert names[0] == "vmm-glue" and names.count(f"guest-kernel:{FUNCTION:x}") == 1, names[:5]
    for (start, size, name), (following, _, _) in zip(rows, rows[1:]):
        assert size > 0 and start + size <= following, name
        assert any(int(low, 16) <= start and start + size <= int(high, 16) for low, high in code), name


@suite.test
def no_memory_is_writable_and_executable_and_translated_code_is_mapped_twice():
    with Vm(args("dbt")) as vm:
        vm.expect("ready")
        with open(f"/proc/{vm.process.pid}/maps", encoding="ascii") as file:
            maps = [line.split(maxsplit=5) for line in file]
    assert not [row for row in maps if "w" in row[1] and "x" in row[1]]
    code = [row[1] for row in maps if row[-1].startswith("/memfd:dbt-code")]
    assert sorted(code) == ["r-xs", "rw-s"], code


def backtrace(vm, *commands):
    """Of the vCPU's thread, by a gdb attached to vmm, after these commands; detached again."""
    with Gdb() as gdb:
        answer = gdb.do(f"attach {vm.process.pid}")
        if "Operation not permitted" in answer:
            raise Skip("gdb may not attach to a process (kernel.yama.ptrace_scope)")
        number = re.search(r"^[* ] +(\d+) +.*CPU 0/DBT", gdb.do("info threads"), re.M)[1]
        for command in (f"thread {number}", *commands):
            gdb.do(command)
        frames = re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?(\S+)", gdb.do("bt"), re.M)
        gdb.do("delete")
        gdb.do("detach")
    return frames


def assert_within_the_loop(frames, first):
    """The innermost frames, and that gdb found the way out of translated code."""
    assert frames[:len(first)] == first and frames[len(first) + 1:len(first) + 3] == ["dbt_jit_run", "dbt_exec"], frames


@suite.test
def gdb_finds_its_way_out_of_translated_code():
    with Vm(args("dbt", "-kernel", SPIN_IMAGE)) as vm:
        vm.expect("ready")
        assert_within_the_loop(backtrace(vm), ["translated-code"])


@suite.test
def gdb_names_translated_code_and_follows_its_calls():
    with Vm(args("dbt,perf-map=on", "-kernel", SPIN_IMAGE)) as vm:
        vm.expect("ready")
        os.unlink(perf_map(vm))
        assert_within_the_loop(backtrace(vm), [f"guest-kernel:{SPIN:x}"])
    with Vm(args("dbt,perf-map=on")) as vm:
        vm.expect("ready")
        os.unlink(perf_map(vm))
        frames = backtrace(vm, "break jit_interpret", "continue")
        assert frames[2].startswith("guest-kernel:"), frames
        assert_within_the_loop(frames, ["jit_interpret", "vmm-glue", frames[2]])


@suite.test
def a_perf_map_that_somebody_else_prepared_is_refused():
    target = os.path.join(folder.name, "precious")
    with open(target, "w", encoding="ascii") as file:
        file.write("precious")
    script = f"ln -s {target} /tmp/perf-$$.map; exec \"$@\""
    with Vm(["-c", script, "sh", os.environ.get("VMM", "build/vmm"), *args("dbt,perf-map=on")], program="/bin/sh") as vm:
        assert vm.wait() == 1
        os.unlink(perf_map(vm))
        assert f"/tmp/perf-{vm.process.pid}.map" in vm.errors, vm.errors
    with open(target, encoding="ascii") as file:
        assert file.read() == "precious"


suite.main()
