/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where decoded blocks live: two rings of parts (block.h), one of blocks, one of their instructions.
 *
 *     blocks        | part 0 | part 1 | ... |   headers and guest bytes: small, kept as long as possible
 *     instructions  | part 0 | part 1 | ... |   six times as large, and only the interpreter reads them
 *
 * When a part is full the next one is emptied and used: of blocks, whoever was decoded there and their
 * translations are forgotten; of instructions, nothing is lost, for they are decoded again when somebody
 * asks. So memory is bounded, and reclaiming some of it takes no longer than a part has entries.
 *
 * Owner: the vCPU's thread.
 */
#include "accel/dbt/block.h"

#include <sys/mman.h>
#include <time.h>

#include "accel/dbt/decode.h"
#include "core/error.h"

/* For so many bytes of translated code, in 64ths: what a compiler, which runs most of its code, needs. */
#define SHARE_BLOCKS 34
#define SHARE_INSNS 20

#define ENTRY_ALIGN 16
/* Forgetting what is worth a part takes a fraction of a millisecond. */
#define PART_MIN (128 * KIB)
#define PARTS_MIN 16

/* The instructions of one block. */
typedef struct InsnChunk {
    DbtBlock *owner; /* NULL: nobody's any more */
    uint32_t count;
    DbtInsn insns[] __attribute__((aligned(ENTRY_ALIGN)));
} InsnChunk;

/* --- Rings. --- */

static bool ring_init(DbtRing *ring, size_t size)
{
    ring->parts = CLAMP(size / PART_MIN, PARTS_MIN, DBT_RING_PARTS);
    ring->part_size = size / ring->parts & ~(size_t)(ENTRY_ALIGN - 1);
    ring->base = mmap(NULL, ring->part_size * ring->parts, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ring->base == MAP_FAILED)
        ring->base = NULL;
    return ring->base != NULL;
}

static void ring_release(DbtRing *ring)
{
    if (ring->base)
        munmap(ring->base, ring->part_size * ring->parts);
}

static void ring_clear(DbtRing *ring)
{
    memset(ring->used, 0, sizeof(ring->used));
    ring->current = 0;
}

static uint8_t *part_begin(const DbtRing *ring, unsigned part)
{
    return ring->base + part * ring->part_size;
}

static bool has_room(const DbtRing *ring, size_t size)
{
    return ring->part_size - ring->used[ring->current] >= size;
}

static uint8_t *ring_top(const DbtRing *ring)
{
    return part_begin(ring, ring->current) + ring->used[ring->current];
}

size_t dbt_ring_used(const DbtRing *ring)
{
    size_t sum = 0;

    for (unsigned i = 0; i < ring->parts; i++)
        sum += ring->used[i];
    return sum;
}

/* --- How long it takes. --- */

/* CPU time: on a busy host the clock shows how long others had the CPU. */
int64_t dbt_reclaim_begin(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

void dbt_reclaim_end(DbtVcpu *v, int64_t start_ns)
{
    v->cache->reclaim_ns = MAX(v->cache->reclaim_ns, dbt_reclaim_begin() - start_ns);
}

/* --- Instructions. --- */

static size_t chunk_size(unsigned count)
{
    return align_up(sizeof(InsnChunk) + count * sizeof(DbtInsn), ENTRY_ALIGN);
}

static void forget_insns(DbtBlock *b)
{
    if (b->insns)
        ((InsnChunk *)((uint8_t *)b->insns - offsetof(InsnChunk, insns)))->owner = NULL;
    b->insns = NULL;
}

static void recycle_insns(DbtRing *ring)
{
    uint8_t *at, *end;

    ring->current = (ring->current + 1) % ring->parts;
    at = part_begin(ring, ring->current);
    end = ring_top(ring);
    while (at < end) {
        InsnChunk *chunk = (InsnChunk *)(void *)at;

        if (chunk->owner && chunk->owner->insns == chunk->insns)
            chunk->owner->insns = NULL;
        at += chunk_size(chunk->count);
    }
    ring->used[ring->current] = 0;
}

void dbt_store_insns(struct DbtCache *c, DbtBlock *b, const DbtInsn *insns)
{
    size_t size = chunk_size(b->count);
    InsnChunk *chunk;

    if (!has_room(&c->insns, size))
        recycle_insns(&c->insns);
    chunk = (InsnChunk *)(void *)ring_top(&c->insns);
    c->insns.used[c->insns.current] += size;
    chunk->owner = b;
    chunk->count = b->count;
    memcpy(chunk->insns, insns, b->count * sizeof(*insns));
    b->insns = chunk->insns;
}

const DbtInsn *dbt_insns_decode(DbtVcpu *v, DbtBlock *b)
{
    DbtInsn insns[BLOCK_MAX_INSNS];
    uint8_t bits = v->code_bits;
    bool real = v->real;
    const DbtPiece *piece = dbt_block_pieces(b);
    unsigned used = 0, begin = 0;

    /* An x87 instruction may be asked for when its mode is over. */
    v->code_bits = b->mode & 0xff;
    v->real = b->mode >> 8 & 1;
    for (unsigned i = 0; i < b->count; i++) {
        dbt_decode_again(v, b->bytes + used, b->size - used, &insns[i]);
        insns[i].offset = (int16_t)(b->pieces ? piece->offset + (int)(used - begin) : (int)used);
        used += insns[i].len;
        if (b->pieces && used - begin == piece->size) {
            begin = used;
            piece++;
        }
    }
    v->code_bits = bits;
    v->real = real;
    dbt_store_insns(v->cache, b, insns);
    v->cache->decoded_again++;
    return b->insns;
}

/* --- Blocks. --- */

static size_t block_size(const DbtBlock *b)
{
    const uint8_t *end = b->pieces ? (const uint8_t *)(dbt_block_pieces(b) + b->pieces) : b->bytes + b->size;

    return align_up((size_t)(end - (const uint8_t *)b), ENTRY_ALIGN);
}

static void forget_jumps(struct DbtCache *c, const uint8_t *begin, const uint8_t *end)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(c->jumps); i++) {
        const uint8_t *b = (const uint8_t *)c->jumps[i].block;

        if (b >= begin && b < end)
            c->jumps[i] = (DbtJump){0};
    }
}

static void recycle_blocks(DbtVcpu *v)
{
    struct DbtCache *c = v->cache;
    DbtRing *ring = &c->blocks;
    uint8_t *begin, *end;

    dbt_jit_settle(v);
    ring->current = (ring->current + 1) % ring->parts;
    begin = part_begin(ring, ring->current);
    end = ring_top(ring);
    for (uint8_t *at = begin; at < end;) {
        DbtBlock *b = (DbtBlock *)(void *)at;

        at += block_size(b);
        dbt_block_unlink(c, b);
        dbt_jit_drop_block(v, b);
        forget_insns(b);
    }
    forget_jumps(c, begin, end);
    ring->used[ring->current] = 0;
    c->parts_recycled++;
}

DbtBlock *dbt_store_reserve(DbtVcpu *v)
{
    if (!has_room(&v->cache->blocks, BLOCK_BYTES)) {
        int64_t start_ns = dbt_reclaim_begin();

        recycle_blocks(v);
        dbt_reclaim_end(v, start_ns);
    }
    return (DbtBlock *)(void *)ring_top(&v->cache->blocks);
}

void dbt_store_keep(struct DbtCache *c, DbtBlock *b)
{
    c->blocks.used[c->blocks.current] += block_size(b);
}

void dbt_store_clear(struct DbtCache *c)
{
    ring_clear(&c->blocks);
    ring_clear(&c->insns);
}

bool dbt_store_init(DbtVcpu *v, GError **errp)
{
    struct DbtCache *c = v->cache;

    if (ring_init(&c->blocks, dbt_budget(v, SHARE_BLOCKS)) && ring_init(&c->insns, dbt_budget(v, SHARE_INSNS)))
        return true;
    return error_set_errno(errp, errno, "cannot map %zu KiB for decoded blocks (-accel dbt,tb-size=)",
                           dbt_budget(v, SHARE_BLOCKS + SHARE_INSNS) / KIB);
}

void dbt_store_release(struct DbtCache *c)
{
    ring_release(&c->blocks);
    ring_release(&c->insns);
}
