#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts test cases in meson's logs and names those that failed.

    tap-summary.py testlog.json...

Prints what failed and what was skipped with its reason, then one last line "PASSED FAILED SKIPPED"
for the caller. A program that ended badly without naming a case counts as one failed case.
"""

import json
import re
import sys
from collections import Counter

CASE = re.compile(r"^(not )?ok\b\s*\d*\s*-?\s*([^#]*)(?:#\s*(SKIP|TODO)\b\s*(.*))?", re.I)
PLAN_SKIP = re.compile(r"^1\.\.0\s*#\s*SKIP\s*(.*)", re.I)


def cases(output):
    """(result, title, reason) for each TAP line."""
    for line in output.splitlines():
        match = CASE.match(line)
        if match:
            bad, title, directive, reason = match.groups()
            if (directive or "").upper() == "SKIP":
                yield "skipped", title.strip(), (reason or "").strip()
            else:
                yield "failed" if bad else "passed", title.strip(), ""
        else:
            match = PLAN_SKIP.match(line)
            if match:
                yield "skipped", "", match.group(1)


def summarize(paths):
    totals = Counter()
    skips = Counter()
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as log:
            for line in log:
                test = json.loads(line)
                found = Counter()
                for result, title, reason in cases(test.get("stdout") or ""):
                    found[result] += 1
                    if result == "failed":
                        print(f"FAILED  {test['name']}: {title}")
                    elif result == "skipped":
                        skips[f"{test['name']}: {reason or title or 'no reason given'}"] += 1
                if test["result"] in ("FAIL", "ERROR", "TIMEOUT", "INTERRUPT") and not found["failed"]:
                    found["failed"] += 1
                    print(f"FAILED  {test['name']}: {test['result'].lower()}, exit status {test.get('returncode')}")
                elif test["result"] == "OK" and not found:
                    found["passed"] += 1
                elif test["result"] == "SKIP" and not found:
                    found["skipped"] += 1
                    skips[f"{test['name']}"] += 1
                totals.update(found)
    for text, count in skips.items():
        print(f"skipped {text}" + (f" ({count} cases)" if count > 1 else ""))
    return totals


def main():
    totals = summarize(sys.argv[1:])
    print(totals["passed"], totals["failed"], totals["skipped"])


if __name__ == "__main__":
    main()
