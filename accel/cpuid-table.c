/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking leaves up in a vCPU's CPUID table.
 * Source: Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E.
 */
#include <string.h>

#include "accel/accel.h"

enum { EAX, EBX, ECX, EDX };

#define LEAF_TOPOLOGY 0xb
#define LEAF_TOPOLOGY_V2 0x1f

static const CpuidEntry *lookup(const CpuidTable *table, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < table->count; i++) {
        const CpuidEntry *entry = &table->entries[i];
        if (entry->leaf == leaf && (!entry->indexed || entry->subleaf == subleaf))
            return entry;
    }
    return NULL;
}

CpuidEntry *cpuid_table_find(CpuidTable *table, uint32_t leaf, uint32_t subleaf)
{
    return (CpuidEntry *)lookup(table, leaf, subleaf);
}

static bool vendor_is_amd(const CpuidEntry *basic)
{
    uint32_t name[3] = { basic->ebx, basic->edx, basic->ecx };

    return !memcmp(name, "AuthenticAMD", 12) || !memcmp(name, "HygonGenuine", 12);
}

/* The range a leaf belongs to starts with a leaf whose EAX is the range's last: 0, 40000000h (and
 * 40000100h ...: hypervisors), 80000000h, C0000000h. */
static uint32_t range_start(uint32_t leaf)
{
    return leaf >> 28 == 4 ? leaf & 0xffffff00 : leaf & 0xc0000000;
}

/* A leaf beyond its range: AMD answers zero, Intel with the highest basic leaf. */
static const CpuidEntry *lookup_beyond(const CpuidTable *table, uint32_t leaf, uint32_t subleaf)
{
    const CpuidEntry *range = lookup(table, range_start(leaf), 0), *basic = lookup(table, 0, 0);

    if ((range && leaf <= range->eax) || !basic || vendor_is_amd(basic))
        return NULL;
    return lookup(table, basic->eax, subleaf);
}

/* Levels of the topology leaves that do not exist still tell the level asked for and the APIC id. */
static void query_topology_end(const CpuidTable *table, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    const CpuidEntry *first = lookup(table, leaf, 0);

    if ((leaf != LEAF_TOPOLOGY && leaf != LEAF_TOPOLOGY_V2) || !first)
        return;
    regs[ECX] = subleaf & 0xff;
    regs[EDX] = first->edx;
}

void cpuid_table_query(const CpuidTable *table, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    const CpuidEntry *entry = lookup(table, leaf, subleaf);

    if (!entry)
        entry = lookup_beyond(table, leaf, subleaf);
    if (entry) {
        regs[EAX] = entry->eax;
        regs[EBX] = entry->ebx;
        regs[ECX] = entry->ecx;
        regs[EDX] = entry->edx;
        return;
    }
    memset(regs, 0, 4 * sizeof(regs[0]));
    query_topology_end(table, leaf, subleaf, regs);
}
