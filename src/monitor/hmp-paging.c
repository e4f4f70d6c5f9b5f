/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Human monitor commands about the page tables of the selected CPU.
 *
 * What is shown is what the tables in memory say; a CPU's TLB may still have other translations.
 */
#include "core/error.h"
#include "core/paging.h"
#include "hmp-internal.h"

/* 512 GiB in 4 KiB pages need four times as many; a self-referring table without this would show 2^36 pages. */
#define TABLES_MAX 65536

static bool walk(HmpContext *ctx, bool (*visit)(void *opaque, const PagingMapping *mapping), void *opaque, GError **errp)
{
    Vcpu *vcpu = hmp_vcpu(ctx);

    vcpu_sync_state(vcpu);
    if (!(vcpu->state.cr0 & CR0_PG))
        return error_set(errp, "CPU %u has paging off", ctx->cpu);
    if (!paging_foreach(&ctx->machine->memory, &vcpu->state, TABLES_MAX, visit, opaque))
        g_string_append_printf(ctx->out, "... and more: this is what %u tables map\n", TABLES_MAX);
    return true;
}

/* --- info tlb --- */

static bool print_mapping(void *opaque, const PagingMapping *mapping)
{
    static const struct {
        uint64_t bit;
        char letter;
    } letters[] = {
        {PTE_NX, 'X'}, {PTE_G, 'G'}, {PTE_PS, 'P'}, {PTE_D, 'D'}, {PTE_A, 'A'},
        {PTE_PCD, 'C'}, {PTE_PWT, 'T'}, {PTE_U, 'U'}, {PTE_W, 'W'},
    };
    HmpContext *ctx = opaque;

    g_string_append_printf(ctx->out, "%016" G_GINT64_MODIFIER "x: %016" G_GINT64_MODIFIER "x ", mapping->linear,
                           mapping->gpa);
    for (unsigned i = 0; i < G_N_ELEMENTS(letters); i++) {
        bool is_pat = letters[i].bit == PTE_PS && mapping->size == GUEST_PAGE_SIZE;
        g_string_append_c(ctx->out, mapping->entry & letters[i].bit && !is_pat ? letters[i].letter : '-');
    }
    g_string_append_c(ctx->out, '\n');
    return !hmp_out_is_full(ctx);
}

static bool info_tlb(HmpContext *ctx, GError **errp)
{
    return walk(ctx, print_mapping, ctx, errp);
}

/* --- info mem --- */

/* Neighbours with the same rights are one line. */
typedef struct Merge {
    HmpContext *ctx;
    uint64_t start, size; /* size 0: none yet */
    bool user, writable, no_execute;
} Merge;

static void print_merged(const Merge *merge)
{
    if (merge->size)
        g_string_append_printf(merge->ctx->out,
                               "%016" G_GINT64_MODIFIER "x-%016" G_GINT64_MODIFIER "x %016" G_GINT64_MODIFIER "x %cr%c%c\n",
                               merge->start, merge->start + merge->size, merge->size, merge->user ? 'u' : '-',
                               merge->writable ? 'w' : '-', merge->no_execute ? '-' : 'x');
}

static bool merge_mapping(void *opaque, const PagingMapping *mapping)
{
    Merge *merge = opaque;

    if (merge->size && mapping->linear == merge->start + merge->size && mapping->user == merge->user &&
        mapping->writable == merge->writable && mapping->no_execute == merge->no_execute) {
        merge->size += mapping->size;
        return true;
    }
    print_merged(merge);
    *merge = (Merge){merge->ctx, mapping->linear, mapping->size, mapping->user, mapping->writable, mapping->no_execute};
    return !hmp_out_is_full(merge->ctx);
}

static bool info_mem(HmpContext *ctx, GError **errp)
{
    Merge merge = {.ctx = ctx};

    if (!walk(ctx, merge_mapping, &merge, errp))
        return false;
    print_merged(&merge);
    return true;
}

const HmpCommand hmp_paging_commands[] = {
    {"info mem", NULL, info_mem, "ranges of virtual memory and their rights", .paused = true},
    {"info tlb", NULL, info_tlb, "virtual pages and where they are", .paused = true},
    {0},
};
