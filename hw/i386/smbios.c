/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS 2.8 tables.
 * Source: DSP0134 2.8.0: 5.2.1 (entry point), 6.1 (structures and their strings), 7.x (types, named at
 * each function).
 *
 * Not described: slots, ports, caches (CPUID tells), batteries. Types 0, 1, 3, 4, 16, 17, 19, 32, 127 are what
 * the specification requires of every system.
 */
#include "hw/i386/smbios.h"

#include <string.h>

#include "core/bits.h"

#define ANCHOR_SIZE 31
#define ANCHOR_DMI 16 /* the intermediate anchor within it */

/* Handles: type in the upper byte. */
#define HANDLE(type, n) ((type) << 8 | (n))

#define MANUFACTURER "VMM"
#define DIMM_MAX (16 * GIB)

typedef struct Builder {
    GByteArray *out;
    GByteArray *strings; /* of the structure being built */
    uint32_t start;      /* of it, in out */
    unsigned string_count;
    unsigned structures, largest;
} Builder;

static void put(Builder *b, uint64_t value, unsigned size)
{
    uint8_t bytes[8];
    store_le(bytes, value, size);
    g_byte_array_append(b->out, bytes, size);
}

/* 6.1.3: strings follow the structure and are referred to by number, from 1. */
static void put_string(Builder *b, const char *text)
{
    g_byte_array_append(b->strings, (const uint8_t *)text, strlen(text) + 1);
    put(b, ++b->string_count, 1);
}

/* The length is filled in by end(). */
static void begin(Builder *b, uint8_t type, uint16_t handle)
{
    b->start = b->out->len;
    b->string_count = 0;
    g_byte_array_set_size(b->strings, 0);
    put(b, type, 1);
    put(b, 0, 1);
    put(b, handle, 2);
}

static void end(Builder *b)
{
    static const uint8_t zero;

    b->out->data[b->start + 1] = b->out->len - b->start;
    g_byte_array_append(b->out, b->strings->data, b->strings->len);
    g_byte_array_append(b->out, &zero, 1);
    if (!b->string_count)
        g_byte_array_append(b->out, &zero, 1);
    b->structures++;
    b->largest = MAX(b->largest, b->out->len - b->start);
}

/* 7.1 BIOS Information. */
static void add_bios(Builder *b, const SmbiosBoard *board)
{
    begin(b, 0, HANDLE(0, 0));
    put_string(b, MANUFACTURER);
    put_string(b, board->version);
    put(b, 0xe000, 2); /* segment */
    put_string(b, "01/01/2024");
    put(b, 1, 1);      /* 128 KiB */
    put(b, BIT(3), 8); /* characteristics are not supported */
    put(b, 0, 1);
    put(b, BIT(3) | BIT(4), 1); /* UEFI is not, this is a virtual machine: bit 4 */
    put(b, 0xff, 1);
    put(b, 0xff, 1);
    put(b, 0xff, 1);
    put(b, 0xff, 1);
    end(b);
}

/* 7.2.1: the first three fields are little-endian. */
static void put_uuid(Builder *b, const uint8_t *uuid)
{
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

    for (unsigned i = 0; i < 16; i++)
        put(b, uuid[order[i]], 1);
}

/* 7.2 System Information. */
static void add_system(Builder *b, const SmbiosBoard *board)
{
    begin(b, 1, HANDLE(1, 0));
    put_string(b, MANUFACTURER);
    put_string(b, board->product);
    put_string(b, board->version);
    put(b, 0, 1); /* serial number */
    put_uuid(b, board->uuid);
    put(b, 6, 1); /* woken by the power switch */
    put(b, 0, 1); /* SKU */
    put(b, 0, 1); /* family */
    end(b);
}

/* 7.4 System Enclosure. */
static void add_enclosure(Builder *b, const SmbiosBoard *board)
{
    begin(b, 3, HANDLE(3, 0));
    put_string(b, MANUFACTURER);
    put(b, 1, 1); /* other */
    put_string(b, board->version);
    put(b, 0, 1);
    put(b, 0, 1);
    put(b, 3, 1); /* boot-up, power supply and thermal state: safe */
    put(b, 3, 1);
    put(b, 3, 1);
    put(b, 2, 1); /* security: unknown */
    put(b, 0, 4);
    put(b, 0, 1); /* height, power cords, contained elements */
    put(b, 0, 1);
    put(b, 0, 1);
    put(b, 0, 1);
    put(b, 0, 1); /* SKU */
    end(b);
}

static uint8_t one_byte_count(unsigned n)
{
    return MIN(n, 0xff);
}

/* 7.5 Processor Information. */
static void add_processor(Builder *b, const SmbiosBoard *board, unsigned socket)
{
    g_autofree char *name = g_strdup_printf("CPU %u", socket);
    unsigned threads = board->cores * board->threads;

    begin(b, 4, HANDLE(4, socket));
    put_string(b, name);
    put(b, 3, 1); /* central processor */
    put(b, 1, 1); /* family: other */
    put_string(b, MANUFACTURER);
    put(b, board->cpu_signature, 4);
    put(b, board->cpu_features, 4);
    put_string(b, board->version);
    put(b, 0, 1); /* voltage */
    put(b, 0, 2); /* external clock */
    put(b, 0, 2); /* maximum and current speed: unknown */
    put(b, 0, 2);
    put(b, BIT(6) | 1, 1); /* populated, enabled */
    put(b, 1, 1);          /* upgrade: other */
    put(b, 0xffff, 2);     /* caches */
    put(b, 0xffff, 2);
    put(b, 0xffff, 2);
    put(b, 0, 1);
    put(b, 0, 1);
    put(b, 0, 1);
    put(b, one_byte_count(board->cores), 1);
    put(b, one_byte_count(board->cores), 1);
    put(b, one_byte_count(threads), 1);
    put(b, BIT(2) | (board->cores > 1 ? BIT(3) : 0) | (board->threads > 1 ? BIT(4) : 0), 2); /* 64-bit */
    put(b, 1, 2);
    end(b);
}

/* 7.17 Physical Memory Array. */
static void add_memory_array(Builder *b, const SmbiosBoard *board, unsigned dimms)
{
    uint64_t kib = board->ram_size / KIB;

    begin(b, 16, HANDLE(16, 0));
    put(b, 1, 1); /* other location */
    put(b, 3, 1); /* system memory */
    put(b, 6, 1); /* multi-bit ECC */
    put(b, kib < 0x80000000 ? kib : 0x80000000, 4);
    put(b, 0xfffe, 2); /* no error information */
    put(b, dimms, 2);
    put(b, kib < 0x80000000 ? 0 : board->ram_size, 8);
    end(b);
}

/* 7.18 Memory Device. */
static void add_dimm(Builder *b, unsigned n, uint64_t size)
{
    g_autofree char *name = g_strdup_printf("DIMM %u", n);

    begin(b, 17, HANDLE(17, n));
    put(b, HANDLE(16, 0), 2);
    put(b, 0xfffe, 2);
    put(b, 0xffff, 2); /* total and data width: unknown */
    put(b, 0xffff, 2);
    put(b, size / MIB, 2); /* MiB; at most 16 GiB, below the extended size's 32 GiB - 1 MiB */
    put(b, 9, 1);          /* form factor: DIMM */
    put(b, 0, 1);
    put_string(b, name);
    put(b, 0, 1);
    put(b, 7, 1);      /* RAM */
    put(b, BIT(1), 2); /* other */
    put(b, 0, 2);      /* speed */
    put_string(b, MANUFACTURER);
    put(b, 0, 1);
    put(b, 0, 1);
    put(b, 0, 1);
    put(b, 0, 1); /* attributes */
    put(b, 0, 4); /* extended size */
    put(b, 0, 2); /* configured clock */
    put(b, 0, 2); /* voltages */
    put(b, 0, 2);
    put(b, 0, 2);
    end(b);
}

/* 7.20 Memory Array Mapped Address. */
static void add_mapping(Builder *b, unsigned n, uint64_t base, uint64_t size)
{
    bool wide = (base + size - 1) / KIB >= 0xffffffff;

    begin(b, 19, HANDLE(19, n));
    put(b, wide ? 0xffffffff : base / KIB, 4);
    put(b, wide ? 0xffffffff : (base + size - 1) / KIB, 4);
    put(b, HANDLE(16, 0), 2);
    put(b, 1, 1);
    put(b, wide ? base : 0, 8);
    put(b, wide ? base + size - 1 : 0, 8);
    end(b);
}

static void add_memory(Builder *b, const SmbiosBoard *board)
{
    unsigned dimms = (board->ram_size + DIMM_MAX - 1) / DIMM_MAX, mappings = 0;

    dimms = MIN(dimms, 0xff); /* handles have one byte for it: 4 TiB */
    add_memory_array(b, board, dimms);
    for (unsigned i = 0; i < dimms; i++)
        add_dimm(b, i, MIN(board->ram_size - i * DIMM_MAX, DIMM_MAX));
    for (unsigned i = 0; i < board->map->count; i++) {
        const MemMapEntry *e = &board->map->entries[i];
        if (e->type == MEMMAP_RAM)
            add_mapping(b, mappings++, e->base, e->size);
    }
}

/* 7.33 System Boot Information: no errors. 7.45 End-of-Table. */
static void add_end(Builder *b)
{
    begin(b, 32, HANDLE(32, 0));
    put(b, 0, 6);
    put(b, 0, 1);
    end(b);
    begin(b, 127, HANDLE(127, 0));
    end(b);
}

/* 5.2.1. */
static GByteArray *build_anchor(const Builder *b)
{
    GByteArray *anchor = g_byte_array_new();
    uint8_t *p;

    g_byte_array_set_size(anchor, ANCHOR_SIZE);
    p = anchor->data;
    memset(p, 0, ANCHOR_SIZE);
    memcpy(p, "_SM_", 4);
    p[5] = ANCHOR_SIZE;
    p[6] = 2;
    p[7] = 8;
    store_le(p + 8, b->largest, 2);
    memcpy(p + ANCHOR_DMI, "_DMI_", 5);
    store_le(p + 22, b->out->len, 2);
    store_le(p + 28, b->structures, 2);
    p[30] = 0x28;
    return anchor;
}

SmbiosTables *smbios_tables_build(const SmbiosBoard *board)
{
    SmbiosTables *smbios = g_new0(SmbiosTables, 1);
    Builder b = {.out = g_byte_array_new(), .strings = g_byte_array_new()};

    if (board->with_bios)
        add_bios(&b, board);
    add_system(&b, board);
    add_enclosure(&b, board);
    for (unsigned i = 0; i < board->sockets; i++)
        add_processor(&b, board, i);
    add_memory(&b, board);
    add_end(&b);
    g_assert(b.out->len <= 0xffff); /* 255 sockets and DIMMs fit */
    smbios->tables = b.out;
    smbios->anchor = build_anchor(&b);
    g_byte_array_unref(b.strings);
    return smbios;
}

static uint8_t checksum(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;

    while (len--)
        sum += *p++;
    return -sum;
}

void smbios_tables_link(SmbiosTables *smbios, uint32_t base)
{
    uint8_t *p = smbios->anchor->data;

    store_le(p + 24, base, 4);
    p[21] = 0;
    p[21] = checksum(p + ANCHOR_DMI, ANCHOR_SIZE - ANCHOR_DMI);
    p[4] = 0;
    p[4] = checksum(p, ANCHOR_SIZE);
}

void smbios_tables_free(SmbiosTables *smbios)
{
    if (!smbios)
        return;
    g_byte_array_unref(smbios->anchor);
    g_byte_array_unref(smbios->tables);
    g_free(smbios);
}
