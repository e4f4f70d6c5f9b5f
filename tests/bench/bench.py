# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmarks share: the programs under comparison, measuring, the table.

Every figure stands beside qemu-system-x86_64's from the same run, where that is installed: hosts
differ, ratios less so.
"""

import os
import shutil
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "functional"))


def find_vmm():
    for path in (os.environ.get("VMM"), "build/release/vmm", "build/quickstart/vmm", "build/vmm"):
        if path and os.path.exists(path):
            return path
    sys.exit("no vmm found; set VMM to the program")


VMM = find_vmm()
os.environ["VMM"] = VMM
QEMU = os.environ.get("QEMU") or shutil.which("qemu-system-x86_64")


def spread(values, unit, digits=1):
    """Median with the range, as text."""
    return f"{statistics.median(values):.{digits}f} {unit} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def print_table(heading, rows):
    table = [heading] + rows
    widths = [max(len(str(row[i])) for row in table) for i in range(len(heading))]
    for number, row in enumerate(table):
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
