/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg: how firmware and boot ROMs read what the board prepared for them.
 * Source: QEMU's docs/specs/fw_cfg (the interface SeaBIOS, OVMF and Linux know): selector and data
 * ports, a directory of named files, and a DMA interface.
 *
 * Items are added by the board after realize and before the guest runs; the device keeps its own
 * copy of the data.
 *
 * Locking: machine_lock.
 */
#ifndef HW_MISC_FW_CFG_H
#define HW_MISC_FW_CFG_H

#include <glib.h>

#include "core/device.h"
#include "core/memory.h"

#define FW_CFG_PORT 0x510 /* the selector; data at 511h, DMA address at 514h */
#define FW_CFG_IO_SIZE 12

/* Selectors with a fixed meaning. */
enum {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_MACHINE_ID = 0x06,
    FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_KERNEL_CMDLINE = 0x09,
    FW_CFG_INITRD_ADDR = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_BOOT_DEVICE = 0x0c,
    FW_CFG_NUMA = 0x0d,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
    FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_ARCH_LOCAL = 0x8000, /* set in the selector: the architecture's own items */
};
#define FW_CFG_FILE_SLOTS 64
#define FW_CFG_NAME_MAX 56 /* with the terminating zero */

/* One item. */
typedef struct FwCfgItem {
    uint8_t *data;
    uint32_t len;
    bool writable;                /* by DMA */
    void (*selected)(void *opaque); /* the guest is about to read it: last chance to fill it in */
    void (*written)(void *opaque, uint32_t offset, uint32_t len);
    void *opaque;
} FwCfgItem;

typedef struct FwCfgFile {
    uint32_t size;     /* big-endian in the guest's view */
    uint16_t select;
    char name[FW_CFG_NAME_MAX];
} FwCfgFile;

typedef struct FwCfgRegs {
    uint16_t select;
    uint32_t offset;     /* next byte of the selected item */
    uint64_t dma_addr;   /* high half as written, until the low half starts the transfer */
} FwCfgRegs;

typedef struct FwCfg {
    Device dev;
    FwCfgRegs regs;
    MemoryRegion io; /* FW_CFG_IO_SIZE ports; initialised by realize, mapped by the board */
    FwCfgItem items[2][FW_CFG_FILE_FIRST + FW_CFG_FILE_SLOTS]; /* [1]: FW_CFG_ARCH_LOCAL */
    FwCfgFile files[FW_CFG_FILE_SLOTS]; /* sorted by name, as the directory shows them */
    unsigned file_count;
    bool dma_enabled; /* property dma */
} FwCfg;

extern const DeviceType fw_cfg_type;

/* Fixed selectors; adding one again replaces its data. */
void fw_cfg_add_bytes(FwCfg *fw, uint16_t select, const void *data, uint32_t len);
void fw_cfg_add_string(FwCfg *fw, uint16_t select, const char *value); /* with its zero */
void fw_cfg_add_u16(FwCfg *fw, uint16_t select, uint16_t value);
void fw_cfg_add_u32(FwCfg *fw, uint16_t select, uint32_t value);
void fw_cfg_add_u64(FwCfg *fw, uint16_t select, uint64_t value);

/* Named files; adding a name again replaces its data. Errors: too many files, name too long. */
bool fw_cfg_add_file(FwCfg *fw, const char *name, const void *data, uint32_t len, GError **errp);
/* A file the guest may write and that calls back; hooks may be NULL. The item's buffer may be
 * looked at through fw_cfg_file_data in the hooks. */
bool fw_cfg_add_file_hooks(FwCfg *fw, const char *name, const void *data, uint32_t len, bool writable,
                           void (*selected)(void *opaque),
                           void (*written)(void *opaque, uint32_t offset, uint32_t len), void *opaque,
                           GError **errp);
/* The device's own copy, NULL if there is no such file. */
uint8_t *fw_cfg_file_data(FwCfg *fw, const char *name, uint32_t *len);

#endif
