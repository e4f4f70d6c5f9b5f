/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg.
 * Source: QEMU docs/specs/fw_cfg: "Register Locations", "Data Register", "Guest-side DMA Interface",
 * "File Directory". Register numbers, DMA addresses and directory entries are big-endian.
 *
 * Items are read-only to the data port. A DMA transfer runs at once, within the guest's access; its
 * length is the guest's, its cost is bounded by guest RAM.
 *
 * Locking: machine_lock.
 */
#include "hw/misc/fw_cfg.h"

#include <string.h>

#include "core/bits.h"
#include "core/dma.h"
#include "core/error.h"
#include "core/log.h"
#include "core/machine.h"

/* Offsets from FW_CFG_PORT. */
enum {
    REG_SELECTOR = 0,
    REG_DATA = 1,
    REG_DMA_HIGH = 4,
    REG_DMA_LOW = 8,
};

/* The control word of a DMA request. */
#define DMA_ERROR  0x01
#define DMA_READ   0x02
#define DMA_SKIP   0x04
#define DMA_SELECT 0x08 /* bits 31:16 are the selector */
#define DMA_WRITE  0x10

#define ID_TRADITIONAL 1
#define ID_DMA         2

#define SELECT_ITEM  0x3fff /* bit 14 asked for writing once; bit 15 is FW_CFG_ARCH_LOCAL */
#define ITEM_COUNT   (FW_CFG_FILE_FIRST + FW_CFG_FILE_SLOTS)
#define DIR_ENTRY    64 /* bytes: size, select, reserved, name */

static const char signature[4] = "QEMU";
static const char dma_signature[8] = "QEMU CFG"; /* what reads of the DMA register give */

/* --- Items --- */

/* NULL: no such item. */
static FwCfgItem *find_item(FwCfg *fw, uint16_t select)
{
    unsigned index = select & SELECT_ITEM;

    return index < ITEM_COUNT ? &fw->items[!!(select & FW_CFG_ARCH_LOCAL)][index] : NULL;
}

static void set_item(FwCfgItem *item, const void *data, uint32_t len)
{
    g_free(item->data);
    item->data = g_memdup2(data, len);
    item->len = len;
}

void fw_cfg_add_bytes(FwCfg *fw, uint16_t select, const void *data, uint32_t len)
{
    FwCfgItem *item = find_item(fw, select);

    g_assert(item);
    set_item(item, data, len);
}

void fw_cfg_add_string(FwCfg *fw, uint16_t select, const char *value)
{
    fw_cfg_add_bytes(fw, select, value, strlen(value) + 1);
}

void fw_cfg_add_u16(FwCfg *fw, uint16_t select, uint16_t value)
{
    fw_cfg_add_bytes(fw, select, &value, sizeof(value));
}

void fw_cfg_add_u32(FwCfg *fw, uint16_t select, uint32_t value)
{
    fw_cfg_add_bytes(fw, select, &value, sizeof(value));
}

void fw_cfg_add_u64(FwCfg *fw, uint16_t select, uint64_t value)
{
    fw_cfg_add_bytes(fw, select, &value, sizeof(value));
}

/* --- Files --- */

static FwCfgFile *find_file(FwCfg *fw, const char *name)
{
    for (unsigned i = 0; i < fw->file_count; i++)
        if (g_str_equal(fw->files[i].name, name))
            return &fw->files[i];
    return NULL;
}

static void build_directory(FwCfg *fw)
{
    g_autofree uint8_t *dir = g_malloc0(4 + fw->file_count * DIR_ENTRY);

    store_le(dir, GUINT32_TO_BE(fw->file_count), 4);
    for (unsigned i = 0; i < fw->file_count; i++) {
        uint8_t *entry = dir + 4 + i * DIR_ENTRY;

        store_le(entry, GUINT32_TO_BE(fw->files[i].size), 4);
        store_le(entry + 4, GUINT16_TO_BE(fw->files[i].select), 2);
        memcpy(entry + 8, fw->files[i].name, FW_CFG_NAME_MAX);
    }
    fw_cfg_add_bytes(fw, FW_CFG_FILE_DIR, dir, 4 + fw->file_count * DIR_ENTRY);
}

/* A new directory entry at its place by name; guests may search by bisection. */
static FwCfgFile *insert_file(FwCfg *fw, const char *name, GError **errp)
{
    unsigned at = fw->file_count;

    if (strlen(name) >= FW_CFG_NAME_MAX) {
        error_set(errp, "fw_cfg: file name '%s' is longer than %d bytes", name, FW_CFG_NAME_MAX - 1);
        return NULL;
    }
    if (fw->file_count == FW_CFG_FILE_SLOTS) {
        error_set(errp, "fw_cfg: no room for file '%s': there are %d already", name, FW_CFG_FILE_SLOTS);
        return NULL;
    }
    while (at && strcmp(fw->files[at - 1].name, name) > 0) {
        fw->files[at] = fw->files[at - 1];
        at--;
    }
    fw->files[at] = (FwCfgFile){.select = FW_CFG_FILE_FIRST + fw->file_count++};
    g_strlcpy(fw->files[at].name, name, FW_CFG_NAME_MAX);
    return &fw->files[at];
}

bool fw_cfg_add_file_hooks(FwCfg *fw, const char *name, const void *data, uint32_t len, bool writable,
                           void (*selected)(void *opaque),
                           void (*written)(void *opaque, uint32_t offset, uint32_t len), void *opaque,
                           GError **errp)
{
    FwCfgFile *file = find_file(fw, name);
    FwCfgItem *item;

    if (!file)
        file = insert_file(fw, name, errp);
    if (!file)
        return false;
    item = find_item(fw, file->select);
    set_item(item, data, len);
    item->writable = writable;
    item->selected = selected;
    item->written = written;
    item->opaque = opaque;
    file->size = len;
    build_directory(fw);
    return true;
}

bool fw_cfg_add_file(FwCfg *fw, const char *name, const void *data, uint32_t len, GError **errp)
{
    return fw_cfg_add_file_hooks(fw, name, data, len, false, NULL, NULL, NULL, errp);
}

uint8_t *fw_cfg_file_data(FwCfg *fw, const char *name, uint32_t *len)
{
    FwCfgFile *file = find_file(fw, name);
    FwCfgItem *item = file ? find_item(fw, file->select) : NULL;

    if (!item)
        return NULL;
    *len = item->len;
    return item->data;
}

/* --- The guest's side --- */

static void select_item(FwCfg *fw, uint16_t select)
{
    FwCfgItem *item = find_item(fw, select);

    fw->regs.select = select;
    fw->regs.offset = 0;
    if (item && item->selected)
        item->selected(item->opaque);
}

/* Bytes of the selected item from the present offset on. */
static uint32_t remaining(FwCfg *fw, FwCfgItem **item)
{
    *item = find_item(fw, fw->regs.select);
    return *item && fw->regs.offset < (*item)->len ? (*item)->len - fw->regs.offset : 0;
}

static uint8_t read_data(FwCfg *fw)
{
    FwCfgItem *item;

    return remaining(fw, &item) ? item->data[fw->regs.offset++] : 0;
}

/* Past its end an item reads as zeros. */
static bool dma_read_item(FwCfg *fw, uint64_t addr, uint32_t len)
{
    AddressSpace *as = &fw->dev.machine->memory;
    FwCfgItem *item;
    uint32_t part = MIN(len, remaining(fw, &item));

    if (part && !dma_write(as, addr, item->data + fw->regs.offset, part))
        return false;
    fw->regs.offset += part;
    return part == len || dma_fill(as, addr + part, 0, len - part);
}

/* All or nothing: a write past the end changes nothing. */
static bool dma_write_item(FwCfg *fw, uint64_t addr, uint32_t len)
{
    FwCfgItem *item;
    uint32_t offset = fw->regs.offset;

    if (len > remaining(fw, &item) || !item || !item->writable)
        return false;
    if (len && !dma_read(&fw->dev.machine->memory, addr, item->data + offset, len))
        return false;
    fw->regs.offset += len;
    if (item->written)
        item->written(item->opaque, offset, len);
    return true;
}

static bool dma_run(FwCfg *fw, uint32_t control, uint32_t len, uint64_t addr)
{
    FwCfgItem *item;

    if (control & DMA_SELECT)
        select_item(fw, control >> 16);
    if (control & DMA_READ)
        return dma_read_item(fw, addr, len);
    if (control & DMA_WRITE)
        return dma_write_item(fw, addr, len);
    if (control & DMA_SKIP)
        fw->regs.offset += MIN(len, remaining(fw, &item));
    return true;
}

/* The request at this address: control, length, address. Answers in control. */
static void dma_start(FwCfg *fw, uint64_t request)
{
    AddressSpace *as = &fw->dev.machine->memory;
    uint8_t head[16];
    uint32_t result;

    if (!dma_read(as, request, head, sizeof(head))) {
        guest_error("fw_cfg", "DMA request outside RAM");
        return;
    }
    result = dma_run(fw, GUINT32_FROM_BE(load_le(head, 4)), GUINT32_FROM_BE(load_le(head + 4, 4)),
                     GUINT64_FROM_BE(load_le(head + 8, 8)))
                 ? 0
                 : GUINT32_TO_BE(DMA_ERROR);
    dma_write(as, request, &result, sizeof(result));
}

static uint64_t fw_cfg_read(void *opaque, uint64_t offset, unsigned size)
{
    FwCfg *fw = opaque;

    if (offset == REG_DATA && size == 1)
        return read_data(fw);
    if (fw->dma_enabled && offset >= REG_DMA_HIGH && range_ok(offset, size, FW_CFG_IO_SIZE))
        return load_le(&dma_signature[offset - REG_DMA_HIGH], size);
    return 0;
}

static void fw_cfg_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    FwCfg *fw = opaque;
    uint64_t request;

    if (offset == REG_SELECTOR && size == 2) {
        select_item(fw, value);
        return;
    }
    if (!fw->dma_enabled)
        return;
    if (offset == REG_DMA_HIGH && size == 4) {
        fw->regs.dma_addr = (uint64_t)GUINT32_FROM_BE((uint32_t)value) << 32;
    } else if (offset == REG_DMA_LOW && size == 4) { /* the low half starts it */
        request = fw->regs.dma_addr | GUINT32_FROM_BE((uint32_t)value);
        fw->regs.dma_addr = 0;
        dma_start(fw, request);
    } else if (offset == REG_DMA_HIGH && size == 8) {
        dma_start(fw, GUINT64_FROM_BE(value));
    }
}

static const MemoryRegionOps fw_cfg_ops = {
    .read = fw_cfg_read,
    .write = fw_cfg_write,
    .valid = {1, 8, true},
    .impl = {1, 8, true},
};

/* --- Life cycle --- */

static bool fw_cfg_realize(Device *dev, GError **errp)
{
    FwCfg *fw = (FwCfg *)dev;

    memory_region_init_io(&fw->io, &fw_cfg_ops, fw, "fw_cfg", FW_CFG_IO_SIZE);
    fw_cfg_add_bytes(fw, FW_CFG_SIGNATURE, signature, sizeof(signature));
    fw_cfg_add_u32(fw, FW_CFG_ID, ID_TRADITIONAL | (fw->dma_enabled ? ID_DMA : 0));
    build_directory(fw);
    return true;
}

static void fw_cfg_unrealize(Device *dev)
{
    FwCfg *fw = (FwCfg *)dev;

    for (unsigned local = 0; local < 2; local++)
        for (unsigned i = 0; i < ITEM_COUNT; i++)
            g_free(fw->items[local][i].data);
    memory_region_release(&fw->io);
}

static void fw_cfg_reset(Device *dev)
{
    ((FwCfg *)dev)->regs = (FwCfgRegs){0};
}

static const Property fw_cfg_props[] = {
    {.name = "dma_enabled", PROP_BOOL, offsetof(FwCfg, dma_enabled), "on", "offer the DMA interface"},
    {0},
};

const DeviceType fw_cfg_type = {
    .name = "fw_cfg_io",
    .desc = "firmware configuration interface",
    .bus = "system",
    .instance_size = sizeof(FwCfg),
    .props = fw_cfg_props,
    .realize = fw_cfg_realize,
    .unrealize = fw_cfg_unrealize,
    .reset = fw_cfg_reset,
};
