#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makes what boots from its own boot loader: a disk with a minimal Debian, its stock kernel and GRUB, as an installer
# would leave it; a disk with memtest86+; a CD. Built from packages without a virtual machine, loop devices or
# mounts; needs root for the chroot that mmdebstrap makes. Nothing is done if all is there and made from the
# same sources.
#
#   $guest_dir/debian.img        raw disk: GRUB, one ext4 partition labelled "root"; root's password is "vmm"
#   $guest_dir/memtest.img       raw disk: GRUB and memtest86+
#   $guest_dir/cd.iso            CD: GRUB, and kernel and initrd of the stock guest (guest.sh)
#   $guest_dir/disk.sum          of what these were made from
set -eu
. "$(dirname "$0")/common.sh"
. "$root/scripts/lib/guest.sh"

disk_guest_packages="linux-image-amd64,systemd-sysv,udev,kmod,initramfs-tools,lz4,e2fsprogs,pciutils,smartmontools"
disk_partition_start=2048 # sectors of 512 bytes

# Parts of packages that a server on this machine has no use for: most of the time goes into files.
disk_excludes() {
    local path
    for path in man doc locale; do
        echo "--dpkgopt=path-exclude=/usr/share/$path/*"
    done
    for path in sound net drivers/{gpu,media,net,infiniband,iio,staging,hwmon,input/touchscreen,usb,scsi,platform,mfd}; do
        echo "--dpkgopt=path-exclude=/lib/modules/*/kernel/$path/*"
    done
    echo "--dpkgopt=path-include=/lib/modules/*/kernel/drivers/scsi/s*"
}

# Hooks of mmdebstrap, run with the new system's directory as $1. The initramfs has the drivers of the
# disks this machine has, and no others.
disk_hook_initramfs='mkdir -p "$1/etc/initramfs-tools/conf.d"
printf "MODULES=list\nCOMPRESS=lz4\n" >"$1/etc/initramfs-tools/conf.d/vmm"
printf "%s\n" ata_piix ata_generic sd_mod virtio_pci virtio_blk ext4 >"$1/etc/initramfs-tools/modules"'
disk_hook_settings='echo root:vmm | chroot "$1" chpasswd
echo debian >"$1/etc/hostname"
echo "LABEL=root / ext4 errors=remount-ro 0 1" >"$1/etc/fstab"
chroot "$1" systemctl --quiet disable smartmontools e2scrub_reap
chroot "$1" systemctl --quiet mask getty-static getty@tty1'

disk_install() { # DIR
    local excludes
    mapfile -t excludes < <(set -f; disk_excludes)
    mmdebstrap --quiet --mode=root --variant=essential --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt=force-unsafe-io "${excludes[@]}" --include="$disk_guest_packages" \
        --essential-hook="$disk_hook_initramfs" --customize-hook="$disk_hook_settings" \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$1"
}

# grub_cfg KERNEL-LINE [INITRD]: a menu with one entry, on the serial port as -nographic shows it.
grub_cfg() {
    printf '%s\n' 'serial --unit=0 --speed=115200' 'terminal_input serial' 'terminal_output serial' 'set timeout=0' \
        'menuentry "the only one" {' "    linux $1" ${2:+"    initrd $2"} '}'
}

# put_le32 VALUE: four bytes, as printf escapes.
put_le32() {
    printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255))
}

# disk_with_root DIR SIZE IMAGE: a disk that boots GRUB, with DIR as its only partition. What grub-install
# does on a running system: boot.img in the MBR loads core.img from the sectors after it.
disk_with_root() {
    local dir=$1 size=$2 image=$3 core=$work/core entry
    mkdir -p "$dir/boot/grub/i386-pc"
    cp /usr/lib/grub/i386-pc/*.mod /usr/lib/grub/i386-pc/*.lst "$dir/boot/grub/i386-pc"
    grub-mkimage -O i386-pc -p '(,msdos1)/boot/grub' -o "$core" biosdisk part_msdos ext2
    truncate -s "${size}M" "$image"
    mke2fs -q -t ext4 -L root -d "$dir" -E offset=$((disk_partition_start * 512)) "$image" \
        "$((size * 1024 - disk_partition_start / 2))k"
    head -c 440 /usr/lib/grub/i386-pc/boot.img | dd of="$image" conv=notrunc status=none
    entry=$(put_le32 $disk_partition_start)$(put_le32 $((size * 2048 - disk_partition_start)))
    # One active partition of type 83h; CHS values that say "use LBA".
    printf "\x80\xfe\xff\xff\x83\xfe\xff\xff$entry" |
        dd of="$image" bs=1 seek=446 conv=notrunc status=none
    printf '\x55\xaa' | dd of="$image" bs=1 seek=510 conv=notrunc status=none
    dd if="$core" of="$image" bs=512 seek=1 conv=notrunc status=none
}

make_debian() {
    say "installing Debian on a disk"
    disk_install "$work/debian"
    mkdir -p "$work/debian/boot/grub"
    grub_cfg '/vmlinuz root=LABEL=root ro quiet console=ttyS0' /initrd.img >"$work/debian/boot/grub/grub.cfg"
    disk_with_root "$work/debian" 1024 "$work/debian.img"
}

make_memtest() {
    fetch_package memtest86+ "$work/memtest"
    mkdir -p "$work/memtest/boot/grub"
    grub_cfg '/boot/memtest86+x64.bin console=ttyS0,115200' >"$work/memtest/boot/grub/grub.cfg"
    disk_with_root "$work/memtest" 32 "$work/memtest.img"
}

make_cd() {
    mkdir -p "$work/cd/boot/grub"
    cp "$guest_dir/vmlinuz" "$guest_dir/initrd.gz" "$work/cd/boot"
    grub_cfg '/boot/vmlinuz console=ttyS0' /boot/initrd.gz >"$work/cd/boot/grub/grub.cfg"
    grub-mkrescue -o "$work/cd.iso" "$work/cd" >"$work/cd.log" 2>&1 ||
        { cat "$work/cd.log" >&2; die "grub-mkrescue failed"; }
}

sum=$(cat "$0" "$guest_dir/packages" "$guest_dir/initrd.sum" | sha256sum)
[ "$(cat "$guest_dir/disk.sum" 2>/dev/null)" != "$sum" ] || exit 0
[ "$(id -u)" = 0 ] || die "installing Debian on a disk needs root"
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
chmod 755 "$work" # for apt, which drops its privileges
make_debian
make_memtest
make_cd
mv "$work"/*.img "$work"/*.iso "$guest_dir"
echo "$sum" >"$guest_dir/disk.sum" # last: the images count only together
