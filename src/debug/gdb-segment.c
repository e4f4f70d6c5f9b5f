/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A selector that a debugger writes: what loading it into the segment register does.
 *
 * Intel SDM vol. 2, MOV (DS, ES, FS, GS, SS) and JMP (CS: a far jump within the privilege level); vol. 3,
 * 3.4.2 to 3.4.5 (selectors, registers, descriptors), 5.2 to 5.8 (checks), 20.1 (real-address mode).
 * What would be a fault is a refusal here, and the register stays.
 *
 * The accessed bit is set in the register and not in the descriptor: a debugger leaves no trace in the
 * guest's memory. RIP stays, so a CS whose limit it is beyond is refused.
 *
 * Locking: the main loop, machine_lock held, vCPUs paused.
 */
#include "gdb-segment.h"

#include "core/bits.h"
#include "core/dma.h"
#include "core/paging.h"

#define SEL_RPL 3u
#define SEL_TI 4u
#define REAL_MODE_SHIFT 4

typedef struct Descriptor {
    uint32_t attr, limit, base; /* as in SegmentReg */
} Descriptor;

static bool in_long_mode(const CpuState *s)
{
    return s->efer & EFER_LMA;
}

static bool in_64_bit_code(const CpuState *s)
{
    return in_long_mode(s) && (s->seg[SEG_CS].attr & SEG_ATTR_L);
}

static unsigned dpl(uint32_t attr)
{
    return (attr & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT;
}

/* SS's DPL is the CPL, on every accelerator (core/cpu-state.h). */
static unsigned current_level(const CpuState *s)
{
    return dpl(s->seg[SEG_SS].attr);
}

/* A descriptor may lie across two pages. */
static bool read_linear(AddressSpace *as, const CpuState *s, uint64_t linear, uint8_t *buf, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        uint64_t addr = in_long_mode(s) ? linear + i : (uint32_t)(linear + i), gpa;
        if (!paging_translate(as, s, addr, &gpa) || !dma_read(as, gpa, &buf[i], 1))
            return false;
    }
    return true;
}

/* False: outside its table, or the table is not in memory. */
static bool read_descriptor(AddressSpace *as, const CpuState *s, uint16_t selector, Descriptor *d)
{
    bool local = selector & SEL_TI;
    uint64_t base = local ? s->ldtr.base : s->gdtr.base;
    uint32_t limit = local ? s->ldtr.limit : s->gdtr.limit;
    unsigned offset = selector & ~(SEL_RPL | SEL_TI);
    uint8_t bytes[8];

    if (local && (s->ldtr.attr & SEG_ATTR_UNUSABLE || !(s->ldtr.attr & SEG_ATTR_P)))
        return false;
    if (offset + sizeof(bytes) - 1 > limit || !read_linear(as, s, base + offset, bytes, sizeof(bytes)))
        return false;
    uint32_t low = (uint32_t)load_le(bytes, 4), high = (uint32_t)load_le(bytes + 4, 4);
    d->attr = high >> 8 & 0xf0ff;
    d->base = low >> 16 | (high & 0xff) << 16 | (high & 0xff000000);
    d->limit = (low & 0xffff) | (high & 0xf0000);
    if (d->attr & SEG_ATTR_G)
        d->limit = d->limit << 12 | 0xfff;
    return true;
}

static bool is_code(const Descriptor *d)
{
    return d->attr & SEG_ATTR_CODE;
}

static bool is_conforming(const Descriptor *d)
{
    return is_code(d) && (d->attr & SEG_ATTR_DC);
}

static bool stack_allowed(const CpuState *s, const Descriptor *d, unsigned rpl)
{
    unsigned cpl = current_level(s);

    return rpl == cpl && dpl(d->attr) == cpl && !is_code(d) && (d->attr & SEG_ATTR_RW);
}

static bool data_allowed(const CpuState *s, const Descriptor *d, unsigned rpl)
{
    if (is_code(d) && !(d->attr & SEG_ATTR_RW))
        return false; /* execute-only */
    return is_conforming(d) || MAX(rpl, current_level(s)) <= dpl(d->attr);
}

static bool code_allowed(const CpuState *s, const Descriptor *d, unsigned rpl)
{
    unsigned cpl = current_level(s);

    if (!is_code(d) || (in_long_mode(s) && (d->attr & SEG_ATTR_L) && (d->attr & SEG_ATTR_DB)))
        return false;
    if (!(in_long_mode(s) && (d->attr & SEG_ATTR_L)) && s->rip > d->limit)
        return false;
    return is_conforming(d) ? dpl(d->attr) <= cpl : rpl <= cpl && dpl(d->attr) == cpl;
}

static bool allowed(const CpuState *s, SegIndex seg, const Descriptor *d, unsigned rpl)
{
    if (!(d->attr & SEG_ATTR_S) || !(d->attr & SEG_ATTR_P))
        return false;
    if (seg == SEG_CS)
        return code_allowed(s, d, rpl);
    return seg == SEG_SS ? stack_allowed(s, d, rpl) : data_allowed(s, d, rpl);
}

/* Null: the data segments become unusable; a stack may be null in 64-bit code below level 3. */
static bool load_null(CpuState *s, SegIndex seg, uint16_t selector)
{
    unsigned cpl = current_level(s);

    if (seg == SEG_CS || (seg == SEG_SS && !(in_64_bit_code(s) && cpl != 3 && (selector & SEL_RPL) == cpl)))
        return false;
    s->seg[seg] = (SegmentReg){
        .selector = selector,
        .attr = SEG_ATTR_UNUSABLE | (seg == SEG_SS ? cpl << SEG_ATTR_DPL_SHIFT : 0),
    };
    return true;
}

bool gdb_segment_load(AddressSpace *as, CpuState *s, SegIndex seg, uint16_t selector)
{
    Descriptor d;

    if (!(s->cr0 & CR0_PE) || s->rflags & RFLAGS_VM) {
        s->seg[seg].selector = selector; /* limit and attributes stay, as on a CPU */
        s->seg[seg].base = (uint32_t)selector << REAL_MODE_SHIFT;
        return true;
    }
    if (!(selector & ~SEL_RPL))
        return load_null(s, seg, selector);
    if (!read_descriptor(as, s, selector, &d) || !allowed(s, seg, &d, selector & SEL_RPL))
        return false;
    if (seg == SEG_CS) /* a jump does not change the level */
        selector = (uint16_t)((selector & ~SEL_RPL) | current_level(s));
    s->seg[seg] = (SegmentReg){selector, d.attr | SEG_ATTR_ACCESSED, d.limit, d.base};
    return true;
}
