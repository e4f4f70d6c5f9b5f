#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# From a fresh checkout on Debian 12 to a shell in a guest: installs packages, builds vmm, fetches a
# stock Debian kernel and busybox, and boots them on this terminal. What is done already is skipped.
#
#   scripts/quickstart.sh [options] [-- more options for vmm]
#     --batch CMD   run CMD in the guest, print its output, exit with its status
#     --smp N       CPUs of the guest (2)
#     --mem MIB     RAM of the guest (512)
#     --build-only  stop before booting
set -eu
. "$(dirname "$0")/lib/common.sh"
. "$root/scripts/lib/guest.sh"

batch='' smp=2 mem=512 build_only=

usage() {
    sed -n '4,/^set -eu/s/^# \{0,1\}//p' "$0"
}

while [ $# -gt 0 ]; do
    case $1 in
    --batch) batch=${2:?--batch needs a command}; shift 2 ;;
    --smp) smp=${2:?--smp needs a number}; shift 2 ;;
    --mem) mem=${2:?--mem needs a number}; shift 2 ;;
    --build-only) build_only=1; shift ;;
    -h | --help) usage; exit 0 ;;
    --) shift; break ;;
    *) die "unknown option '$1'; --help lists them" ;;
    esac
done

build=$root/build/quickstart
vmm=${VMM:-$build/vmm}

prepare() {
    # shellcheck disable=SC2086 # lists of words
    need_packages $build_packages $guest_packages
    if [ -z "${VMM:-}" ]; then
        mkdir -p "$root/build"
        configure_build "$build" --buildtype=release -Dtests=false
        run_build "$build"
    fi
    guest_prepare
}

boot_interactive() {
    say "booting; the guest's shell follows, Ctrl-a x ends the VM, Ctrl-a h helps"
    exec "$vmm" -m "$mem" -smp "$smp" -kernel "$guest_dir/vmlinuz" -initrd "$guest_dir/initrd.gz" \
        -append "console=ttyS0 quiet" -nographic "$@"
}

# Console to a file, the command's input and output on stdio, its status as the console's last line.
boot_batch() {
    local dir status
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    printf '%s\n' "$batch" >"$dir/batch"
    python3 "$root/scripts/lib/mkinitrd.py" --file "batch=$dir/batch" --output "$dir/part.gz"
    cat "$guest_dir/initrd.gz" "$dir/part.gz" >"$dir/initrd.gz"
    say "running '$batch' in a guest"
    status=0
    "$vmm" -m "$mem" -smp "$smp" -kernel "$guest_dir/vmlinuz" -initrd "$dir/initrd.gz" \
        -append "console=ttyS0" -display none -no-reboot \
        -serial "file:$dir/console" -serial stdio "$@" || status=$?
    [ "$status" = 0 ] || die "vmm ended with status $status"
    status=$(sed -n 's/^batch-status: \([0-9]*\)\r*$/\1/p' "$dir/console" | tail -n 1)
    if [ -z "$status" ]; then
        tail -n 20 "$dir/console" >&2
        die "the guest ended without running the command to its end; its last lines are above"
    fi
    exit "$status"
}

prepare
[ -z "$build_only" ] || exit 0
if [ -n "$batch" ]; then
    boot_batch "$@"
else
    boot_interactive "$@"
fi
