#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs a cmocka program and writes skipped cases as TAP has them: cmocka 1.1 says "not ok 5 # SKIP name",
# which counts as a failure. A comment just before it ("# no iasl here") is the reason.
set -o pipefail
CMOCKA_MESSAGE_OUTPUT=TAP "$@" | awk '
    /^not ok [0-9]+ # SKIP / { number = $3; sub(/^not ok [0-9]+ # SKIP /, ""); $0 = "ok " number " - " $0 " # SKIP " reason }
    { print; fflush(); reason = /^# / ? substr($0, 3) : "what it needs is not here" }'
