# SPDX-License-Identifier: GPL-2.0-or-later
# What the scripts share: messages, packages, builds. Sourced by bash with set -eu.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Package lists of Debian 12; nothing else names a package.
build_packages="gcc libc6-dev meson ninja-build pkg-config
    libglib2.0-dev liburcu-dev libzydis-dev libjansson-dev
    zlib1g-dev liblzma-dev libzstd-dev liblz4-dev libbz2-dev
    libaio-dev liburing-dev libfdt-dev libpixman-1-dev libgnutls28-dev libseccomp-dev systemtap-sdt-dev libcmocka-dev"
guest_packages="python3 zstd"
# For --full: run in guests and natively; and only unpacked.
full_packages="python3.11 openssl nodejs xz-utils fio"
userland_packages="libpython3.11-testsuite libc6-dev-i386 lib32gcc-12-dev"
system_packages="linux-image-amd64 linux-image-rt-amd64 xen-hypervisor-4.17-amd64 grub-rescue-pc ipxe ovmf debian-installer-12-netboot-amd64"
system_packages_i386="linux-image-686 linux-image-686-pae busybox-static"
test_packages="clang acpica-tools nasm seabios groff-base gdb binutils procps qemu-utils
    mmdebstrap grub-pc-bin grub-common xorriso e2fsprogs"

say() {
    printf '==> %s\n' "$*" >&2
}

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "'$*' needs root; run this as root or install sudo"
    fi
}

# Installs those of the named packages that are missing.
need_packages() {
    local missing=() name
    for name in "$@"; do
        dpkg-query -W -f='${Status}\n' "$name" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "please install: ${missing[*]} (no apt-get here to do it)"
    say "installing packages: ${missing[*]}"
    # apt's own progress on a terminal, errors only elsewhere.
    local quiet=-qq
    [ ! -t 2 ] || quiet=-q
    as_root apt-get update "$quiet" </dev/null >&2
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y "$quiet" --no-install-recommends "${missing[@]}" </dev/null >&2
}

# configure_build DIR MESON-ARGS...: makes the build directory unless it is there.
configure_build() {
    local dir=$1
    shift
    if [ ! -f "$dir/build.ninja" ]; then
        say "configuring $dir"
        (cd "$root" && meson setup "$dir" "$@" >"$dir.log" 2>&1) || { tail -n 30 "$dir.log" >&2; die "meson setup failed"; }
    fi
}

# Builds, with ninja's own progress line on a terminal and silence elsewhere.
run_build() {
    local dir=$1
    say "building in $dir"
    if [ -t 2 ]; then
        ninja -C "$dir" >&2
    else
        ninja -C "$dir" >"$dir.log" 2>&1 || { tail -n 40 "$dir.log" >&2; die "the build in $dir failed"; }
    fi
}
