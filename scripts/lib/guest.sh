# SPDX-License-Identifier: GPL-2.0-or-later
# The stock guest: Debian's cloud kernel and busybox, fetched as packages and only unpacked, never
# installed. Sourced after common.sh.
#
#   $guest_dir/vmlinuz           the kernel's bzImage
#   $guest_dir/busybox           static
#   $guest_dir/initrd.gz         busybox and scripts/guest/init
#   $guest_dir/modules.gz        the kernel's modules that tests load, to be appended to the initrd
#   $guest_dir/initrd.sum        of what the initrd was made from
#   $guest_dir/packages          which packages these came from
#   $guest_dir/userland          more for scripts/test.sh --full: Python's own tests, a 32-bit C library

# In the order in which they can be loaded.
guest_modules="acpi/button scsi/scsi_common scsi/scsi_mod ata/libata ata/ata_piix scsi/sd_mod cdrom/cdrom scsi/sr_mod
virtio/virtio_ring virtio/virtio virtio/virtio_pci_legacy_dev virtio/virtio_pci_modern_dev virtio/virtio_pci
char/hw_random/virtio-rng block/virtio_blk"

guest_dir=${VMM_GUEST_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/vmm/guest}

# The package a meta package depends on: linux-image-6.1.0-NN-cloud-amd64.
kernel_package() {
    apt-cache depends linux-image-cloud-amd64 | awk '/ Depends: linux-image-/ { print $2; exit }'
}

# fetch_package NAME DIR: downloads NAME and unpacks it into DIR. apt wants to drop privileges to a
# user that can write to its working directory, so that is a directory of its own.
fetch_package() {
    local name=$1 dir=$2 download
    download=$(mktemp -d)
    chmod 755 "$download"
    say "fetching package $name"
    (cd "$download" && apt-get download -q "$name" </dev/null >&2 2>"$download/log") ||
        { cat "$download/log" >&2; rm -rf "$download"; return 1; }
    dpkg-deb -x "$download"/*.deb "$dir"
    rm -rf "$download"
}

# make_modules DIR: /modules/*.ko, and their names in order in /modules/order.
make_modules() {
    local module files=()
    for module in $guest_modules; do
        files+=(--file "modules/${module##*/}.ko=$1/$module.ko")
        echo "${module##*/}"
    done >"$guest_dir/modules.order"
    python3 "$root/scripts/lib/mkinitrd.py" --directory modules --file "modules/order=$guest_dir/modules.order" \
        "${files[@]}" --output "$guest_dir/modules.gz"
}

guest_fetch() {
    local kernel unpack
    kernel=$(kernel_package)
    if [ -z "$kernel" ]; then
        as_root apt-get update -qq </dev/null
        kernel=$(kernel_package)
        [ -n "$kernel" ] || die "apt knows no package linux-image-cloud-amd64; is this Debian?"
    fi
    unpack=$(mktemp -d)
    if ! { fetch_package "$kernel" "$unpack" && fetch_package busybox-static "$unpack"; }; then
        as_root apt-get update -qq </dev/null
        kernel=$(kernel_package)
        fetch_package "$kernel" "$unpack" && fetch_package busybox-static "$unpack" ||
            { rm -rf "$unpack"; die "cannot fetch the guest's kernel and busybox; is the package mirror reachable?"; }
    fi
    cp "$unpack"/boot/vmlinuz-* "$guest_dir/vmlinuz.new"
    cp "$unpack/bin/busybox" "$guest_dir/busybox"
    make_modules "$unpack"/lib/modules/*/kernel/drivers
    echo "$kernel busybox-static" >"$guest_dir/packages"
    rm -rf "$unpack"
    mv "$guest_dir/vmlinuz.new" "$guest_dir/vmlinuz" # last: its presence says the rest is complete
}

# What programs in guests are tested with beyond what is installed here.
guest_fetch_userland() {
    local name
    [ ! -d "$guest_dir/userland" ] || return 0
    mkdir -p "$guest_dir"
    rm -rf "$guest_dir/userland.new"
    for name in $userland_packages; do
        fetch_package "$name" "$guest_dir/userland.new" || { rm -rf "$guest_dir/userland.new"; return 1; }
    done
    mv "$guest_dir/userland.new" "$guest_dir/userland"
}

# Makes everything under $guest_dir that is not there or was made from other sources.
guest_prepare() {
    local init=$root/scripts/guest/init maker=$root/scripts/lib/mkinitrd.py sum
    mkdir -p "$guest_dir"
    [ -f "$guest_dir/vmlinuz" ] && [ -f "$guest_dir/modules.gz" ] &&
        [ "$(tr '\n' ' ' <"$guest_dir/modules.order")" = "$(printf '%s ' $(basename -a $guest_modules))" ] || guest_fetch
    sum=$(cat "$init" "$maker" "$guest_dir/busybox" | sha256sum)
    if [ "$(cat "$guest_dir/initrd.sum" 2>/dev/null)" != "$sum" ] || [ ! -f "$guest_dir/initrd.gz" ]; then
        say "building $guest_dir/initrd.gz"
        python3 "$maker" --busybox "$guest_dir/busybox" --file "init=$init" --output "$guest_dir/initrd.gz.$$"
        mv "$guest_dir/initrd.gz.$$" "$guest_dir/initrd.gz"
        echo "$sum" >"$guest_dir/initrd.sum"
    fi
}
