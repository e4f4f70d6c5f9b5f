/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Offsets in struct boot_params, the page a loader passes to Linux (Documentation/arch/x86/zero-page.rst). The real-mode kernel header
 * (boot.rst) is part of it: it lies at the same offsets in a bzImage, from which it is copied. 32-bit fields where nothing is said.
 */
#ifndef HW_I386_BOOT_PARAMS_H
#define HW_I386_BOOT_PARAMS_H

enum {
    BP_ACPI_RSDP_ADDR = 0x070,  /* u64 */
    BP_EXT_RAMDISK_IMAGE = 0x0c0,
    BP_EXT_RAMDISK_SIZE = 0x0c4,
    BP_EXT_CMD_LINE_PTR = 0x0c8,
    BP_ALT_MEM_K = 0x1e0,
    BP_E820_ENTRIES = 0x1e8,    /* u8 */

    HDR_SETUP_SECTS = 0x1f1,    /* u8 */
    HDR_BOOT_FLAG = 0x1fe,      /* u16 0xaa55 */
    HDR_JUMP_LENGTH = 0x201,    /* u8: the header ends at 0x202 + this */
    HDR_MAGIC = 0x202,          /* "HdrS" */
    HDR_VERSION = 0x206,        /* u16 */
    HDR_TYPE_OF_LOADER = 0x210, /* u8 */
    HDR_LOADFLAGS = 0x211,      /* u8 */
    HDR_CODE32_START = 0x214,
    HDR_RAMDISK_IMAGE = 0x218,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_HEAP_END_PTR = 0x224,   /* u16 */
    HDR_CMD_LINE_PTR = 0x228,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_XLOADFLAGS = 0x236,     /* u16 */
    HDR_CMDLINE_SIZE = 0x238,
    HDR_PAYLOAD_OFFSET = 0x248,
    HDR_PAYLOAD_LENGTH = 0x24c,
    HDR_PREF_ADDRESS = 0x258,   /* u64 */
    HDR_INIT_SIZE = 0x260,
    HDR_END_MAX = 0x290,        /* edd_mbr_sig_buffer */

    BP_E820_TABLE = 0x2d0,      /* {u64 base, u64 size, u32 type} */
};

#endif
