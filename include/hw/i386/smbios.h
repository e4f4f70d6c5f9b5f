/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS tables of a PC: what the machine is made of, for people and inventories (dmidecode).
 * Source: DMTF DSP0134, System Management BIOS Reference Specification 2.8.0.
 */
#ifndef HW_I386_SMBIOS_H
#define HW_I386_SMBIOS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "hw/i386/memmap.h"

typedef struct SmbiosBoard {
    const char *product, *version;
    const uint8_t *uuid; /* 16 bytes in the order they are written; all zero: not given */
    unsigned sockets, cores, threads; /* per socket, per core */
    uint32_t cpu_signature, cpu_features; /* CPUID.1: EAX, EDX */
    uint64_t ram_size;
    const MemMap *map;
    bool with_bios; /* type 0; firmware adds its own */
} SmbiosBoard;

typedef struct SmbiosTables {
    GByteArray *anchor; /* entry point, on a 16-byte boundary between F0000h and FFFFFh */
    GByteArray *tables;
} SmbiosTables;

/* The anchor's pointer and checksums wait for smbios_tables_link (or for firmware, which does the same). */
SmbiosTables *smbios_tables_build(const SmbiosBoard *board);
void smbios_tables_link(SmbiosTables *smbios, uint32_t base);
void smbios_tables_free(SmbiosTables *smbios);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SmbiosTables, smbios_tables_free)

#endif
