#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs what the tests need, builds, runs all suites, and ends with one line
#     N passed, N failed, N skipped
# that counts single test cases. Exit status 1 if one failed.
#
#   scripts/test.sh [--full] [--quick] [--suite NAME]
#     --full    sanitizers on the slower suites too, benchmarks
#     --quick   one build, no sanitizers
#     --suite   only this suite: checks, unit, device, guest, functional (repeatable)
set -eu
. "$(dirname "$0")/lib/common.sh"
. "$root/scripts/lib/guest.sh"

depth=normal
suites=()
while [ $# -gt 0 ]; do
    case $1 in
    --full) depth=full; shift ;;
    --quick) depth=quick; shift ;;
    --suite) suites+=("${2:?--suite needs a name}"); shift 2 ;;
    -h | --help) sed -n '4,/^set -eu/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) die "unknown option '$1'; --help lists them" ;;
    esac
done
[ ${#suites[@]} -gt 0 ] || suites=(checks unit device guest functional)

logs=()
builds_failed=0
export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-}
export VMM_TEST_DEPTH=$depth
[ $depth != full ] || export ORACLE_STATES=${ORACLE_STATES:-400}
compiler() {
    if command -v ccache >/dev/null; then echo "ccache $1"; else echo "$1"; fi
}

# run_suites BUILD-DIR NAME SUITE...: builds what the suites need if that is not there; whatever the outcome,
# the log is counted at the end.
run_suites() {
    local dir=$1 name=$2 suite args=()
    shift 2
    for suite in "$@"; do
        args+=(--suite "$suite")
    done
    say "running $* ($name)"
    rm -f "$dir/meson-logs/testlog-$name.json"
    # One line a test program as it ends, without meson's headings and summary.
    { meson test -C "$dir" --logbase "testlog-$name" "${args[@]}" </dev/null 2>&1 || true; } |
        tee "$dir/meson-logs/$name.out" | { grep --line-buffered -E '^ *[0-9]+/[0-9]+ ' >&2 || true; }
    if [ -f "$dir/meson-logs/testlog-$name.json" ]; then
        logs+=("$dir/meson-logs/testlog-$name.json")
    elif ! grep -q 'No suitable tests' "$dir/meson-logs/$name.out"; then
        tail -n 20 "$dir/meson-logs/$name.out" >&2
        builds_failed=$((builds_failed + 1))
    fi
}

# try_build DIR: a build that fails is a failed case, and its suites do not run.
try_build() {
    (run_build "$1") && return 0
    builds_failed=$((builds_failed + 1))
    return 1
}

run_main() {
    CC=$(compiler gcc) configure_build "$root/build/test" --buildtype=debugoptimized --werror
    try_build "$root/build/test" && run_suites "$root/build/test" main "${suites[@]}"
}

run_clang() {
    CC=$(compiler clang) configure_build "$root/build/clang" --buildtype=debugoptimized --werror
    try_build "$root/build/clang" || true
}

# run_sanitizer NAME SANITIZERS SUITE...
run_sanitizer() {
    local name=$1 kinds=$2
    shift 2
    CC=$(compiler gcc) configure_build "$root/build/$name" --buildtype=debugoptimized -Db_sanitize="$kinds" -Db_lundef=false
    run_suites "$root/build/$name" "$name" "$@"
}

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:history_size=7:suppressions=$root/tests/checks/tsan.supp}

# shellcheck disable=SC2086 # lists of words
need_packages $build_packages $guest_packages $test_packages
mkdir -p "$root/build"
(guest_prepare) || say "no stock guest: the tests that need it will be skipped"
"$root/scripts/lib/disk.sh" || say "no installed guest: the tests that need it will be skipped"
if [ $depth = full ]; then
    # shellcheck disable=SC2086 # a list of words
    need_packages $full_packages
    (guest_fetch_userland) || say "no packages for tests of programs in guests: some will be skipped"
    (guest_fetch_systems) || say "no other systems to boot: their tests will be skipped"
fi
run_main
if [ $depth != quick ]; then
    run_clang
    run_sanitizer asan address,undefined unit
    run_sanitizer tsan thread threads
fi
if [ $depth = full ]; then
    run_sanitizer asan address,undefined device guest
    say "benchmarks"
    meson test -C "$root/build/test" --no-rebuild --benchmark --suite bench >&2 </dev/null || true
fi

summary=$(python3 "$root/scripts/lib/tap-summary.py" "${logs[@]}")
printf '%s\n' "$summary" | sed '$d'
read -r passed failed skipped <<<"$(printf '%s\n' "$summary" | tail -n 1)"
failed=$((failed + builds_failed))
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
