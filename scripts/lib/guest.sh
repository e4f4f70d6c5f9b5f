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
#   $guest_dir/systems           and other systems to boot: kernels, boot loaders, a hypervisor, an installer

# In the order in which they can be loaded.
guest_modules="acpi/button scsi/scsi_common scsi/scsi_mod ata/libata ata/ata_piix scsi/sd_mod cdrom/cdrom scsi/sr_mod
virtio/virtio_ring virtio/virtio virtio/virtio_pci_legacy_dev virtio/virtio_pci_modern_dev virtio/virtio_pci
char/hw_random/virtio-rng block/virtio_blk"

guest_dir=${VMM_GUEST_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/vmm/guest}

# depended_on NAME [APT-OPTION...]: the package of a kernel that a meta package depends on.
depended_on() {
    local name=$1
    shift
    apt-cache "$@" depends "$name" | awk '/ Depends: linux-image-/ { print $2; exit }'
}

# linux-image-6.1.0-NN-cloud-amd64.
kernel_package() {
    depended_on linux-image-cloud-amd64
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

# fetch_foreign DIR NAME...: as fetch_package, of Debian for 32-bit processors, which this host's apt need not know.
fetch_foreign() {
    local dir=$1 state name
    local -a foreign
    shift
    state=$(mktemp -d)
    chmod 755 "$state"
    foreign=(-o "Dir::State=$state" -o "Dir::Cache=$state" -o "Dir::State::status=$state/status"
        -o APT::Architecture=i386 -o APT::Architectures=i386)
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    : >"$state/status"
    apt-get "${foreign[@]}" update -qq </dev/null >&2 || true # what is missing then is said below
    for name in "$@"; do
        [[ $name != linux-image-* ]] || name=$(depended_on "$name" "${foreign[@]}")
        say "fetching package $name for i386"
        (cd "$state" && apt-get "${foreign[@]}" download -q "$name" </dev/null >&2 && dpkg-deb -x ./"${name%:i386}"_*.deb "$dir") ||
            { rm -rf "$state"; return 1; }
    done
    rm -rf "$state"
}

# Other systems that boot here: see tests/functional/test_systems.py. Only what boots is kept of their packages.
guest_fetch_systems() {
    local name unpack new=$guest_dir/systems.new
    [ ! -d "$guest_dir/systems" ] || return 0
    rm -rf "$new"
    mkdir -p "$new"
    unpack=$(mktemp -d)
    for name in $system_packages; do
        [[ $name != linux-image-* ]] || name=$(depended_on "$name")
        fetch_package "$name" "$unpack" || { rm -rf "$unpack" "$new"; return 1; }
    done
    # shellcheck disable=SC2086 # a list of words
    fetch_foreign "$unpack/i386" $system_packages_i386 || { rm -rf "$unpack" "$new"; return 1; }
    cp "$unpack"/boot/vmlinuz-*-rt-amd64 "$new/vmlinuz-rt"
    find "$unpack/boot" -name 'vmlinuz-*-amd64' ! -name '*-rt-*' -exec cp {} "$new/vmlinuz-amd64" \;
    cp "$unpack"/i386/boot/vmlinuz-*-686 "$new/vmlinuz-686"
    cp "$unpack"/i386/boot/vmlinuz-*-686-pae "$new/vmlinuz-686-pae"
    cp "$unpack/i386/bin/busybox" "$new/busybox-i386"
    gunzip -c "$unpack"/boot/xen-*.gz >"$new/xen"
    cp "$unpack/boot/ipxe.lkrn" "$unpack/usr/share/ovmf/OVMF.fd" "$unpack"/usr/lib/grub-rescue/grub-rescue-cdrom.iso "$new"
    cp "$unpack"/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/{linux,initrd.gz} "$new"
    python3 "$root/scripts/lib/mkinitrd.py" --busybox "$new/busybox-i386" --file "init=$root/scripts/guest/init" \
        --output "$new/initrd-i386.gz"
    rm -rf "$unpack"
    mv "$new" "$guest_dir/systems"
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
