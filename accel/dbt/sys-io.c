/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports: who may use them, and the access.
 *
 * Intel SDM vol. 1, 19.5 (IOPL and the permission bitmap of the TSS), 19.3 (widths); vol. 3, 20.2.8.1
 * (virtual-8086 mode always asks the bitmap).
 *
 * Locking: own vCPU thread; the access is made outside guest code.
 */
#include <string.h>

#include "accel/dbt/mmu-priv.h"
#include "accel/dbt/op-util.h"
#include "core/lock.h"
#include "core/trace.h"

#define TSS32_IO_MAP 102

static bool denied(DbtVcpu *v)
{
    dbt_fault_error(v, EXC_GP, 0);
    return false;
}

static bool bitmap_allows(DbtVcpu *v, uint16_t port, unsigned size)
{
    const SegmentReg *tr = &v->state->tr;
    uint32_t offset;
    uint16_t map, bits;

    if (!(tr->attr & 8) || tr->attr & SEG_ATTR_UNUSABLE || tr->limit < TSS32_IO_MAP + 1)
        return denied(v);
    if (!dbt_lin_read(v, tr->base + TSS32_IO_MAP, &map, 2, MMU_SYSTEM))
        return false;
    offset = (uint32_t)map + port / 8;
    if (offset + 1 > tr->limit) /* two bytes are always read */
        return denied(v);
    if (!dbt_lin_read(v, tr->base + offset, &bits, 2, MMU_SYSTEM))
        return false;
    return !(bits >> port % 8 & ((1u << size) - 1)) || denied(v);
}

bool dbt_io_check(DbtVcpu *v, uint16_t port, unsigned size)
{
    const CpuState *s = v->state;
    unsigned iopl = s->rflags >> RFLAGS_IOPL_SHIFT & 3;

    if (s->cr0 & CR0_PE && (v->cpl > iopl || s->rflags & RFLAGS_VM))
        return bitmap_allows(v, port, size);
    return true;
}

/* A misaligned access is made in aligned pieces, as the bus does. */
static unsigned piece(uint16_t port, unsigned left)
{
    unsigned size = 4;

    while (size > left || port & (size - 1))
        size /= 2;
    return size;
}

uint32_t dbt_io_read(DbtVcpu *v, uint16_t port, unsigned size)
{
    AddressSpace *as = &v->cpu->machine->io;
    uint32_t result = 0;

    trace_pio(v->cpu->index, port, size, false, 1);
    dbt_guest_leave(v);
    for (unsigned done = 0, n; done < size; done += n) {
        uint64_t value = ~0ull;
        n = piece((uint16_t)(port + done), size - done);
        address_space_load(as, (uint16_t)(port + done), n, &value);
        result |= (uint32_t)(value & size_mask(n)) << 8 * done;
    }
    dbt_guest_enter(v);
    dbt_debug_io(v, port, size);
    return result;
}

static void store_pieces(AddressSpace *as, uint16_t port, unsigned size, uint32_t value)
{
    for (unsigned done = 0, n; done < size; done += n) {
        n = piece((uint16_t)(port + done), size - done);
        address_space_store(as, (uint16_t)(port + done), n, value >> 8 * done & size_mask(n));
    }
}

void dbt_io_write(DbtVcpu *v, uint16_t port, unsigned size, uint32_t value)
{
    trace_pio(v->cpu->index, port, size, true, 1);
    dbt_guest_leave(v);
    store_pieces(&v->cpu->machine->io, port, size, value);
    dbt_guest_enter(v);
    dbt_debug_io(v, port, size);
}

unsigned dbt_io_write_run(DbtVcpu *v, uint16_t port, unsigned size, const uint8_t *elements, unsigned count)
{
    AddressSpace *as = &v->cpu->machine->io;
    unsigned done = 0;

    trace_pio(v->cpu->index, port, size, true, count);
    dbt_guest_leave(v);
    machine_lock(); /* once for all of them: most ports' handlers want it */
    do {
        uint32_t value = 0;
        memcpy(&value, elements + done * size, size);
        store_pieces(as, port, size, value);
        dbt_debug_io(v, port, size);
        done++;
    } while (done < count && v->limit);
    machine_unlock();
    dbt_guest_enter(v);
    return done;
}
