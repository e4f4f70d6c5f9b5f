#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/machine-pc.md says what is so: its tables of ports, memory and PCI slots against a machine under qtest."""

import os
import re
import socket
import subprocess
import tempfile

from vmmtest import VMM, Suite

suite = Suite()
DOC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/machine-pc.md")


def table(heading):
    """The rows of the section's table: lists of cells."""
    with open(DOC) as file:
        section = file.read().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


class QTest:
    def __init__(self, *args):
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen([VMM, "-accel", "qtest", "-qtest", f"fd:{theirs.fileno()}", *args],
                                        pass_fds=[theirs.fileno()])
        theirs.close()
        self.file = ours.makefile("rw")
        ours.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.file.close()
        self.process.wait(20)

    def cmd(self, line):
        self.file.write(line + "\n")
        self.file.flush()
        answer = self.file.readline().split()
        assert answer and answer[0] == "OK", answer
        return int(answer[1], 16) if len(answer) > 1 else 0


def answers(qtest, port):
    return any(qtest.cmd(f"in{size} {port:#x}") != ones for size, ones in (("b", 0xFF), ("w", 0xFFFF), ("l", 0xFFFFFFFF)))


@suite.test
def every_port_that_answers_is_in_the_table():
    ranges = [(int(row[0], 16), int(row[1], 16)) for row in table("Ports")]
    with QTest("-m", "16", "-nodefaults", "-serial", "null", "-serial", "null", "-serial", "null", "-serial", "null") as qtest:
        for port in range(0, 0x1000):
            if answers(qtest, port):
                # A wide read begins up to three ports before what answers.
                assert any(low - 3 <= port <= high for low, high in ranges), f"port {port:#x} is not documented"


@suite.test
def every_port_of_the_table_answers_somewhere():
    with QTest("-m", "16", "-nodefaults", "-serial", "null", "-serial", "null", "-serial", "null", "-serial", "null") as qtest:
        qtest.cmd("outl 0xcf8 0x80000000")
        for row in table("Ports"):
            low, high = int(row[0], 16), int(row[1], 16)
            if low < 0xC000:
                assert any(answers(qtest, port) for port in range(low, high + 1)), f"nothing answers at {row[0]}"


@suite.test
def the_boards_pci_functions_are_those_of_the_table():
    with QTest("-m", "16") as qtest:
        for row in table("PCI"):
            ids = re.search(r"([0-9a-f]{4}):([0-9a-f]{4})", row[1])
            if not ids:
                continue
            slot, function = (int(part, 16) for part in row[0].split("."))
            qtest.cmd(f"outl 0xcf8 {0x80000000 | slot << 11 | function << 8:#x}")
            assert qtest.cmd("inl 0xcfc") == int(ids[2] + ids[1], 16), row


@suite.test
def devices_lie_in_memory_where_the_table_says():
    rows = {row[2].split(" (")[0].split(",")[0]: row for row in table("Memory")}
    with QTest("-m", "16") as qtest:
        for name in ("I/O APIC", "HPET", "local APICs"):
            base = int(rows[name][0], 16)
            assert any(qtest.cmd(f"readl {base + offset:#x}") != 0xFFFFFFFF for offset in range(0, 0x400, 16)), name
        assert qtest.cmd("readl 0xfed00400") == 0xFFFFFFFF


suite.main()
