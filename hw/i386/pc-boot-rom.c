/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A -kernel that firmware starts: its parts in fw_cfg, and the option ROM that fetches them.
 *
 * Sources: PCI Firmware Specification 3.3, 5.1 (the ROM's header); BIOS Boot Specification 1.01, 3.3 (the
 * plug-and-play header); QEMU's docs/specs/fw_cfg (selectors; UEFI firmware reads the same ones by itself).
 *
 * Locking: machine_lock, while the machine is built.
 */
#include <string.h>

#include "core/bits.h"
#include "core/bootorder.h"
#include "core/error.h"
#include "pc-bios/linux-rom.h"
#include "pc-internal.h"

#define ROM_FILE "genroms/linux.bin"
#define ROM_BLOCK 512

enum {
    ROM_BLOCKS = 2,     /* u8 */
    ROM_PNP_PTR = 0x1a, /* u16 */
    PNP_LENGTH = 5,     /* u8, in 16 bytes */
    PNP_CHECKSUM = 9,   /* u8 */
};

/* Firmware's own tables lie at the end of RAM below 4 GiB. */
#define FIRMWARE_ROOM MIB

static uint8_t checksum(const uint8_t *data, size_t len)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += data[i];
    return -sum;
}

static bool add_rom(PcMachine *pc, GError **errp)
{
    size_t code = linux_rom_end - linux_rom, len = align_up(code + 1, ROM_BLOCK);
    g_autofree uint8_t *rom = g_malloc0(len);

    memcpy(rom, linux_rom, code);
    uint8_t *pnp = rom + load_le(rom + ROM_PNP_PTR, 2);
    rom[ROM_BLOCKS] = len / ROM_BLOCK;
    pnp[PNP_CHECKSUM] = checksum(pnp, pnp[PNP_LENGTH] * 16);
    rom[len - 1] = checksum(rom, len);
    if (!fw_cfg_add_file(pc->fw_cfg, ROM_FILE, rom, len, errp))
        return false;
    boot_order_add_first(&pc->machine, "/rom@" ROM_FILE);
    return true;
}

bool pc_boot_rom_build(PcMachine *pc, GError **errp)
{
    FwCfg *fw = pc->fw_cfg;
    g_autoptr(BootRealMode) parts = boot_real_mode(pc->source, memmap_ram_below(&pc->map, 4 * GIB) - FIRMWARE_ROOM, errp);

    if (!parts)
        return false;
    fw_cfg_add_u32(fw, FW_CFG_SETUP_ADDR, parts->setup_addr);
    fw_cfg_add_u32(fw, FW_CFG_SETUP_SIZE, parts->setup_len);
    fw_cfg_add_bytes(fw, FW_CFG_SETUP_DATA, parts->setup, parts->setup_len);
    fw_cfg_add_u32(fw, FW_CFG_KERNEL_ADDR, parts->kernel_addr);
    fw_cfg_add_u32(fw, FW_CFG_KERNEL_SIZE, parts->kernel_len);
    fw_cfg_add_bytes(fw, FW_CFG_KERNEL_DATA, parts->kernel, parts->kernel_len);
    fw_cfg_add_u32(fw, FW_CFG_INITRD_ADDR, parts->initrd_addr);
    fw_cfg_add_u32(fw, FW_CFG_INITRD_SIZE, parts->initrd_len);
    fw_cfg_add_bytes(fw, FW_CFG_INITRD_DATA, parts->initrd, parts->initrd_len);
    fw_cfg_add_u32(fw, FW_CFG_CMDLINE_ADDR, parts->cmdline_addr);
    fw_cfg_add_u32(fw, FW_CFG_CMDLINE_SIZE, strlen(pc->source->append) + 1);
    fw_cfg_add_string(fw, FW_CFG_CMDLINE_DATA, pc->source->append);
    boot_source_unload(pc->source);
    return add_rom(pc, errp);
}
