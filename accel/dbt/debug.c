/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's breakpoints on data and I/O ports. Intel SDM vol. 3, 17.2.4 and 17.3.1.2: they are
 * traps, collected in v->debug_traps until the instruction ends. exec.c looks at those on
 * instructions and delivers all of them.
 *
 * Locking: own vCPU thread.
 */
#include "accel/dbt/mmu-priv.h"

#define DR7_ENABLES 0xffu
#define DR7_BREAKS 4

typedef enum BreakKind { BREAK_FETCH, BREAK_WRITE, BREAK_IO, BREAK_ACCESS } BreakKind;

static bool break_enabled(const CpuState *s, unsigned n)
{
    return s->dr[7] >> 2 * n & 3;
}

static BreakKind break_kind(const CpuState *s, unsigned n)
{
    return (BreakKind)(s->dr[7] >> (16 + 4 * n) & 3);
}

static unsigned break_len(const CpuState *s, unsigned n)
{
    static const uint8_t lens[4] = { 1, 2, 8, 4 };

    return lens[s->dr[7] >> (18 + 4 * n) & 3];
}

static bool break_hits(const CpuState *s, unsigned n, uint64_t addr, unsigned len)
{
    unsigned break_size = break_len(s, n);
    uint64_t base = s->dr[n] & ~(uint64_t)(break_size - 1);

    return addr - base < break_size || base - addr < len;
}

bool dbt_debug_data_enabled(const DbtVcpu *v)
{
    const CpuState *s = v->state;

    if (!(s->dr[7] & DR7_ENABLES))
        return false;
    for (unsigned n = 0; n < DR7_BREAKS; n++) {
        BreakKind kind = break_kind(s, n);
        if (break_enabled(s, n) && (kind == BREAK_WRITE || kind == BREAK_ACCESS))
            return true;
    }
    return false;
}

void dbt_debug_data(DbtVcpu *v, uint64_t linear, unsigned len, bool write)
{
    const CpuState *s = v->state;

    for (unsigned n = 0; n < DR7_BREAKS; n++) {
        BreakKind kind = break_kind(s, n);
        if (!break_enabled(s, n) || !(kind == BREAK_ACCESS || (kind == BREAK_WRITE && write)))
            continue;
        if (break_hits(s, n, linear, len)) {
            v->debug_traps |= 1u << n;
            dbt_attention(v);
        }
    }
}

void dbt_debug_io(DbtVcpu *v, uint16_t port, unsigned size)
{
    const CpuState *s = v->state;

    if (!(s->dr[7] & DR7_ENABLES) || !(s->cr4 & CR4_DE))
        return;
    for (unsigned n = 0; n < DR7_BREAKS; n++) {
        if (break_enabled(s, n) && break_kind(s, n) == BREAK_IO && break_hits(s, n, port, size)) {
            v->debug_traps |= 1u << n;
            dbt_attention(v);
        }
    }
}
