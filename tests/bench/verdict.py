# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether vmm is as many times faster as a goal says, and on what evidence.

The clock decides. CPU time does where the clock has measured something else: other work on the host, or the host's disk,
for which both programs wait alike; the verdict says so.
"""

import os
import re
import time

BUSY = 0.4         # CPUs that others used; the kernel's own threads, which work for us, take some
RESOLUTION = 0.03  # as close as the best of a few runs of one and the same program come to each other, or less close
WAITING = 1 / 3    # of the time a program waits for its disk that much or more
HEADING_END = ["time", "CPU time", "goal", ""]


class Others:
    """What the rest of the host does meanwhile."""

    def __init__(self):
        self.start, self.busy = time.perf_counter(), self._busy_seconds()

    @staticmethod
    def _busy_seconds():
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")

    def cpus(self, own_seconds):
        """How many CPUs they used since then, on average; own_seconds were ours."""
        return (self._busy_seconds() - self.busy - own_seconds) / (time.perf_counter() - self.start)


def is_settled(wall, goal):
    """No further runs would change what the clock says."""
    return not goal * 0.75 < wall < goal


def verdict(theirs, ours, goal, other_cpus):
    """theirs, ours: (seconds that passed, CPU seconds)."""
    wall, cpu = theirs[0] / max(ours[0], 1e-6), theirs[1] / max(ours[1], 1e-6)
    if wall >= goal:
        return "reached"
    if other_cpus > BUSY:
        return "reached in CPU time; the host was busy" if cpu >= goal else "missed; the host was busy"
    if goal == 1 and wall >= 1 - RESOLUTION:
        return "equal"
    if cpu >= goal and ours[1] < (1 - WAITING) * ours[0]:
        return "reached in CPU time; the clock measures the disk"
    return "missed"


def ratios(theirs, ours, goal):
    """The cells before the verdict."""
    return [f"{theirs[0] * 1000:.0f} ms", f"{ours[0] * 1000:.0f} ms", f"{theirs[0] / max(ours[0], 1e-6):.2f}",
            f"{theirs[1] / max(ours[1], 1e-6):.2f}", f"{goal:.1f}"]


def summary(rows):
    """How the verdicts, each row's last cell, went."""
    missed = sum(row[-1].startswith("missed") for row in rows)
    return f"{len(rows) - missed} of {len(rows)} goals reached, {sum(row[-1] in ('reached', 'equal') for row in rows)} of them by the clock"


def put_into(path, command, heading, rows):
    """The table between the marks of this command in the documentation."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in [heading, ["---"] * len(heading)] + rows)
    marks = re.compile(rf"(<!-- figures: {re.escape(command)} [^\n]*-->\n).*?(<!-- end -->)", re.S)
    text, count = marks.subn(lambda m: f"{m[1]}\n{table}\n\n{summary(rows)}.\n\n{m[2]}", text)
    if count != 1:
        raise SystemExit(f"{path} has {count} places for the figures of {command}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
