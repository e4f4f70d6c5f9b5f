/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Boot plans: what goes where in guest memory, and the registers to start with.
 *
 * A plan has a few dozen blobs at most, so overlap checks are plain loops.
 */
#include "hw/i386/boot.h"

#include "core/bits.h"
#include "core/dma.h"
#include "core/error.h"
#include "load.h"

#define LOW_MIN 0x1000ull  /* the real-mode vectors and the BIOS data area stay free */
#define LOW_MAX 0x9fc00ull

static const BootBlob *plan_overlap(const BootPlan *plan, uint64_t gpa, uint64_t size)
{
    for (guint i = 0; i < plan->blobs->len; i++) {
        const BootBlob *blob = &g_array_index(plan->blobs, BootBlob, i);
        if (ranges_overlap(gpa, size, blob->gpa, blob->mem_len))
            return blob;
    }
    return NULL;
}

BootPlan *boot_plan_new(void)
{
    BootPlan *plan = g_new0(BootPlan, 1);
    plan->blobs = g_array_new(FALSE, TRUE, sizeof(BootBlob));
    plan->owned = g_ptr_array_new_with_free_func(g_free);
    return plan;
}

void boot_plan_free(BootPlan *plan)
{
    if (!plan)
        return;
    g_array_unref(plan->blobs);
    g_ptr_array_unref(plan->owned);
    g_free(plan->note);
    g_free(plan);
}

void boot_plan_own(BootPlan *plan, void *p)
{
    g_ptr_array_add(plan->owned, p);
}

void *boot_plan_alloc(BootPlan *plan, size_t len)
{
    void *p = g_malloc0(len);
    boot_plan_own(plan, p);
    return p;
}

bool boot_plan_add(BootPlan *plan, const MemMap *map, const BootBlob *blob)
{
    if (!blob->mem_len)
        return true;
    if (!memmap_is_ram(map, blob->gpa, blob->mem_len) || plan_overlap(plan, blob->gpa, blob->mem_len))
        return false;
    g_array_append_val(plan->blobs, *blob);
    return true;
}

/* Lowest fit in [lo, hi). Each round moves past one blob, so it ends after at most as many. */
static bool fit_low(const BootPlan *plan, uint64_t lo, uint64_t hi, uint64_t size, uint64_t align, uint64_t *gpa)
{
    for (;;) {
        lo = align_up(lo, align);
        if (lo >= hi || size > hi - lo)
            return false;
        const BootBlob *blob = plan_overlap(plan, lo, size);
        if (!blob) {
            *gpa = lo;
            return true;
        }
        lo = blob->gpa + blob->mem_len;
    }
}

static bool fit_high(const BootPlan *plan, uint64_t lo, uint64_t hi, uint64_t size, uint64_t align, uint64_t *gpa)
{
    for (;;) {
        if (lo >= hi || size > hi - lo)
            return false;
        uint64_t base = align_down(hi - size, align);
        if (base < lo)
            return false;
        const BootBlob *blob = plan_overlap(plan, base, size);
        if (!blob) {
            *gpa = base;
            return true;
        }
        hi = blob->gpa;
    }
}

bool boot_plan_find(const BootPlan *plan, const MemMap *map, uint64_t size, uint64_t align, uint64_t min,
                    uint64_t max, BootPlacement placement, uint64_t *gpa)
{
    for (unsigned n = 0; n < map->count; n++) {
        unsigned i = placement == BOOT_PLACE_LOW ? n : map->count - 1 - n;
        const MemMapEntry *e = &map->entries[i];
        if (e->type != MEMMAP_RAM)
            continue;
        uint64_t lo = MAX(e->base, min), hi = MIN(e->base + e->size, max);
        if (placement == BOOT_PLACE_LOW ? fit_low(plan, lo, hi, size, align, gpa)
                                        : fit_high(plan, lo, hi, size, align, gpa))
            return true;
    }
    return false;
}

void *boot_plan_add_low(BootPlan *plan, const MemMap *map, const void *data, size_t len, uint64_t align,
                        uint64_t *gpa, GError **errp)
{
    if (!boot_plan_find(plan, map, len, align, LOW_MIN, LOW_MAX, BOOT_PLACE_LOW, gpa)) {
        error_set(errp, "no room below 640 KiB for %zu bytes of boot information: use a shorter -append", len);
        return NULL;
    }
    uint8_t *copy = boot_plan_alloc(plan, len);
    if (data)
        memcpy(copy, data, len);
    BootBlob blob = {.gpa = *gpa, .data = copy, .len = len, .mem_len = len};
    bool added = boot_plan_add(plan, map, &blob);
    g_assert(added);
    return copy;
}

bool boot_plan_place(const BootPlan *plan, AddressSpace *memory, GError **errp)
{
    for (guint i = 0; i < plan->blobs->len; i++) {
        const BootBlob *blob = &g_array_index(plan->blobs, BootBlob, i);
        if (blob->reserved)
            continue;
        if (!dma_write(memory, blob->gpa, blob->data, blob->len) ||
            !dma_fill(memory, blob->gpa + blob->len, 0, blob->mem_len - blob->len))
            return error_set(errp, "cannot place the boot image at 0x%" PRIx64 ": no RAM there", blob->gpa);
    }
    return true;
}

static SegmentReg flat_segment(uint16_t selector, uint32_t attr)
{
    return (SegmentReg){.selector = selector, .attr = attr, .limit = 0xffffffff, .base = 0};
}

static void apply_segments(const BootEntry *entry, CpuState *state)
{
    uint32_t common = SEG_ATTR_S | SEG_ATTR_P | SEG_ATTR_G | SEG_ATTR_RW | SEG_ATTR_ACCESSED;
    uint32_t size = entry->mode == BOOT_MODE_LONG64 ? SEG_ATTR_L : SEG_ATTR_DB;

    for (int i = 0; i < SEG_COUNT; i++)
        state->seg[i] = flat_segment(entry->ds, common | SEG_ATTR_DB);
    state->seg[SEG_CS] = flat_segment(entry->cs, common | SEG_ATTR_CODE | size);
    state->gdtr = (DescTableReg){.base = entry->gdt, .limit = entry->gdt_limit};
    state->idtr = (DescTableReg){0};
    /* A busy TSS, 32- or 64-bit: PVH asks for it, VM entry demands it. */
    state->tr = (SegmentReg){.attr = SEG_ATTR_P | 0xb, .limit = 0x67};
}

void boot_entry_apply(const BootEntry *entry, CpuState *state)
{
    memset(state->gpr, 0, sizeof(state->gpr));
    state->gpr[GPR_RAX] = entry->rax;
    state->gpr[GPR_RBX] = entry->rbx;
    state->gpr[GPR_RSI] = entry->rsi;
    state->gpr[GPR_RSP] = entry->rsp;
    state->rip = entry->rip;
    state->rflags = RFLAGS_1;
    state->cr0 = CR0_PE | CR0_ET;
    state->cr4 = 0;
    state->efer = 0;
    if (entry->mode == BOOT_MODE_LONG64) {
        state->cr0 |= CR0_PG;
        state->cr3 = entry->cr3;
        state->cr4 = CR4_PAE;
        state->efer = EFER_LME | EFER_LMA;
    }
    apply_segments(entry, state);
    state->mp_state = MP_RUNNABLE;
}
