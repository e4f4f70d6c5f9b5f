/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block cache: lookup by physical address, building and re-validating blocks (see block.h).
 *
 * Self-modifying code. The bytes of a block are read twice: the first copy is decoded, which shows
 * which granules to watch; after dbt_code_watch the bytes are read again, and if they changed in
 * between the block is decoded again. A write that comes later raises the page's generation, and the
 * next entry into the block notices. So a vCPU never runs bytes older than its last block entry,
 * which is what the architecture promises after a branch (SDM vol. 3, 9.1.3).
 */
#include "accel/dbt/block.h"

#include "accel/dbt/decode.h"
#include "accel/dbt/guest-debug.h"
#include "accel/dbt/mmu.h"
#include "core/error.h"

#define INSN_MAX_BYTES 15
/* Bytes read for one block. Longer runs end early; the average block is 25 bytes. */
#define FETCH_BYTES 256

static unsigned bucket_of(uint64_t gpa)
{
    return (unsigned)((gpa ^ gpa >> BUCKET_BITS) & ((1 << BUCKET_BITS) - 1));
}

void dbt_cache_flush(DbtVcpu *v)
{
    struct DbtCache *c = v->cache;

    if (!dbt_ring_used(&c->blocks)) /* nothing to forget, and untouched memory costs nothing */
        return;
    dbt_jit_flush(v);
    memset(c->jumps, 0, sizeof(c->jumps));
    memset(c->buckets, 0, sizeof(c->buckets));
    dbt_store_clear(c);
    c->flushes++;
}

void dbt_block_unlink(struct DbtCache *c, const DbtBlock *b)
{
    DbtBlock **link = &c->buckets[bucket_of(b->gpa)];

    while (*link && *link != b)
        link = &(*link)->next;
    if (*link)
        *link = b->next;
}

/* The jump cache may still name a dead block, so it must look outdated for ever. */
void dbt_block_kill(struct DbtCache *c, DbtBlock *b)
{
    static const uint32_t never = 0;

    dbt_block_unlink(c, b);
    b->page_generation[0] = &never;
    b->generation[0] = never + 1;
}

/* Decodes from buf (len bytes of one page) into b; returns bytes used, 0 if the first instruction
 * needs the next page. */
static unsigned decode_run(DbtVcpu *v, DbtBlock *b, const uint8_t *buf, unsigned len, unsigned max,
                           uint64_t linear)
{
    unsigned used = 0;

    b->count = 0;
    while (b->count < max && used < len) {
        DbtInsn *insn = &b->insns[b->count];
        DecodeResult r;

        if (b->count && dbt_debug_ends_block(v, linear + used))
            break;
        r = dbt_decode(v, buf + used, len - used, linear + used, insn);
        if (r == DECODE_MORE)
            break;
        insn->offset = (int16_t)used;
        b->count++;
        used += insn->len;
        if (r == DECODE_END)
            break;
    }
    return MIN(used, len);
}

/* The first generation counts: should it have changed before the last piece is watched, the block is outdated. */
static const uint32_t *watch_pieces(DbtVcpu *v, const DbtBlock *b, uint32_t *generation)
{
    const DbtPiece *piece = dbt_block_pieces(b);
    const uint32_t *counter = dbt_code_watch(v, b->gpa, piece[0].size, generation);
    uint32_t later;

    for (unsigned i = 1; i < b->pieces && counter; i++)
        counter = dbt_code_watch(v, b->gpa + (uint64_t)piece[i].offset, piece[i].size, &later);
    return counter;
}

bool dbt_block_watch(DbtVcpu *v, DbtBlock *b)
{
    unsigned first = b->crosses ? GUEST_PAGE_SIZE - (b->gpa & ~GUEST_PAGE_MASK) : b->size;

    if (b->pieces)
        b->page_generation[0] = watch_pieces(v, b, &b->generation[0]);
    else
        b->page_generation[0] = dbt_code_watch(v, b->gpa, first, &b->generation[0]);
    b->page_generation[1] = b->page_generation[0];
    b->generation[1] = b->generation[0];
    if (b->crosses)
        b->page_generation[1] =
            dbt_code_watch(v, b->gpa_next, b->size - first, &b->generation[1]);
    return b->page_generation[0] && b->page_generation[1];
}

/* The bytes in memory are still those of buf. */
static bool bytes_unchanged(DbtVcpu *v, const uint8_t *bytes, unsigned size)
{
    uint8_t now[FETCH_BYTES];
    uint64_t gpa;

    return dbt_fetch(v, now, size, &gpa) == size && !memcmp(now, bytes, size);
}

void dbt_block_publish(DbtVcpu *v, DbtBlock *b, const DbtInsn *insns)
{
    struct DbtCache *c = v->cache;
    unsigned bucket = bucket_of(b->gpa);

    dbt_store_keep(c, b);
    dbt_store_insns(c, b, insns);
    b->next = c->buckets[bucket];
    c->buckets[bucket] = b;
}

/* An instruction whose bytes lie in two pages. Fills b; false: v->fault is set. */
static bool decode_crossing(DbtVcpu *v, DbtBlock *b, uint8_t *buf, uint64_t linear)
{
    uint64_t gpa, next = (linear & GUEST_PAGE_MASK) + GUEST_PAGE_SIZE;
    unsigned len = dbt_fetch(v, buf, INSN_MAX_BYTES, &gpa);
    bool at_limit = v->code_bits != 64 && v->state->rip + len > v->state->seg[SEG_CS].limit;

    if (!len)
        return false;
    b->size = decode_run(v, b, buf, len, 1, linear);
    if (!b->count) {
        /* Fetching stopped inside the instruction: at the limit of CS, or at the next page. */
        if (at_limit || dbt_fetch_page(v, next, &gpa))
            dbt_fault_error(v, EXC_GP, 0);
        return false;
    }
    b->crosses = next < linear + b->size;
    return !b->crosses || dbt_fetch_page(v, next, &b->gpa_next);
}

/* Reads and decodes the code at cs:rip. */
static DbtBlock *build(DbtVcpu *v, uint64_t linear, uint64_t gpa)
{
    unsigned in_page = GUEST_PAGE_SIZE - (linear & ~GUEST_PAGE_MASK);
    unsigned max = v->accel->one_insn_per_tb ? 1 : BLOCK_MAX_INSNS;
    uint8_t buf[FETCH_BYTES];

    for (int tries = 0; tries < 8; tries++) {
        DbtBlock *b = dbt_store_reserve(v);
        uint32_t flushes = v->cache->flushes;
        unsigned len = dbt_fetch(v, buf, MIN(in_page, FETCH_BYTES), &gpa);

        if (!len)
            return NULL;
        *b = (DbtBlock){.gpa = gpa, .mode = dbt_code_mode(v), .insns = v->cache->scratch};
        b->size = decode_run(v, b, buf, len, max, linear);
        if (!b->count && !decode_crossing(v, b, buf, linear))
            return NULL;
        b->straight = b->count;
        if (!dbt_block_watch(v, b))
            break;
        if (v->cache->flushes == flushes && bytes_unchanged(v, buf, b->size)) {
            memcpy(b->bytes, buf, b->size);
            dbt_block_publish(v, b, v->cache->scratch);
            return b;
        }
    }
    /* Device memory, or bytes that never stand still: one instruction, used once. */
    if (!dbt_fetch(v, buf, INSN_MAX_BYTES, &gpa))
        return NULL;
    *v->cache->once = (DbtBlock){.gpa = gpa, .mode = dbt_code_mode(v), .insns = v->cache->scratch};
    if (!decode_crossing(v, v->cache->once, buf, linear))
        return NULL;
    v->cache->once->straight = v->cache->once->count;
    return v->cache->once;
}

/* A cached block that still says what memory says. */
static bool revalidate(DbtVcpu *v, DbtBlock *b, uint64_t linear)
{
    uint64_t next = (linear & GUEST_PAGE_MASK) + GUEST_PAGE_SIZE, gpa;

    if (b->crosses && (!dbt_fetch_page(v, next, &gpa) || gpa != b->gpa_next))
        return false;
    if (dbt_block_valid(b))
        return true;
    /* Something else in its granules changed, or the same bytes were written. */
    if (!dbt_block_watch(v, b))
        return false;
    return b->pieces ? dbt_pieces_unchanged(v, b) : bytes_unchanged(v, b->bytes, b->size);
}

static DbtBlock *find_block(const struct DbtCache *c, uint64_t gpa, uint32_t mode)
{
    DbtBlock *b = c->buckets[bucket_of(gpa)];

    while (b && (b->gpa != gpa || b->mode != mode))
        b = b->next;
    return b;
}

DbtBlock *dbt_block_known(const DbtVcpu *v, uint64_t gpa, uint32_t mode)
{
    DbtBlock *b = find_block(v->cache, gpa, mode);

    return b && dbt_block_valid(b) ? b : NULL;
}

DbtBlock *dbt_block_lookup(DbtVcpu *v, uint64_t linear)
{
    struct DbtCache *c = v->cache;
    const CpuState *s = v->state;
    uint32_t flushes = c->flushes;
    uint64_t gpa;
    DbtBlock *b;

    if (!dbt_fetch_gpa(v, linear, &gpa))
        return NULL;
    b = find_block(c, gpa, dbt_code_mode(v));
    if (b && v->code_bits != 64 && s->rip + b->size - 1 > s->seg[SEG_CS].limit)
        return build(v, linear, gpa);
    if (b && !revalidate(v, b, linear)) {
        dbt_block_kill(c, b);
        b = NULL;
    }
    if (c->flushes != flushes)
        b = NULL;
    if (!b)
        b = build(v, linear, gpa);
    if (b && b != c->once)
        *dbt_jump_slot(v, linear) = (DbtJump){
            .linear = linear, .epoch = v->fetch_epoch[linear >> 63], .mode = dbt_jump_mode(v), .block = b};
    return b;
}

bool dbt_cache_init(DbtVcpu *v, GError **errp)
{
    struct DbtCache *c = g_new0(struct DbtCache, 1);

    v->cache = c;
    if (!dbt_store_init(v, errp))
        return false;
    c->once = g_malloc0(BLOCK_BYTES);
    c->decoder = dbt_decoder_new();
    return true;
}

void dbt_cache_release(DbtVcpu *v)
{
    struct DbtCache *c = v->cache;

    if (!c)
        return;
    dbt_store_release(c);
    dbt_decoder_free(c->decoder);
    g_free(c->once);
    g_free(c);
    v->cache = NULL;
}
