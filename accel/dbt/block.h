/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoded blocks: runs of instructions, cached per vCPU.
 *
 *     linear address --(jump cache)--> block            the usual way, one compare
 *     linear --(dbt_fetch_page)--> physical --(hash)--> block      after a TLB flush or conflict
 *     bytes --(decode.c)--> new block                   after that
 *
 * A block is keyed by the physical address of its first byte and the mode (code size, real or
 * protected); nothing in it depends on the linear address. It ends at a branch, at 64 instructions,
 * or where its page ends; an instruction that crosses pages is a block by itself. Of the blocks of code that runs
 * often one is made that goes on over taken branches, within the page: several pieces, joined (block-join.c). It takes
 * the place of its first one; the interpreter runs that much of it.
 *
 *     VALID --page generation differs--> compare bytes --same--> VALID (new generation)
 *       |                                     \--differ--> DEAD (unlinked; a new block is decoded)
 *       +--its part of the ring is used again, or the map changed: forgotten (block-store.c)
 *
 * Owner: the vCPU's thread. Memory is bounded by the accelerator's tb-size.
 */
#ifndef DBT_BLOCK_H
#define DBT_BLOCK_H

#include "accel/dbt/dbt.h"

#define BLOCK_MAX_INSNS 64
#define JUMP_BITS 14
#define BUCKET_BITS 16

struct DbtBlock {
    DbtBlock *next;              /* in the hash bucket */
    uint64_t gpa;                /* of the first byte */
    uint32_t mode;               /* dbt_code_mode */
    uint16_t count;              /* instructions */
    uint16_t size;               /* bytes of guest code, of all pieces */
    uint16_t heat;               /* entries that found no translated code (jit-run.c) */
    bool hot;                    /* its code runs often: site entries pay (jit-site.c) */
    bool crosses;                /* the single instruction goes on in page gpa_next */
    bool joined;                 /* it is of several pieces, or could not be */
    uint8_t sources;             /* when it got hot: exits that led to it (jit-path.c) */
    bool begins_loop;            /* one of them came from its page, from there or behind */
    uint8_t pieces;              /* how many are listed behind its bytes; 0: it is one */
    uint16_t straight;           /* instructions of the first piece */
    uint64_t gpa_next;
    uint32_t generation[2];      /* of the pages, when the bytes were read */
    const uint32_t *page_generation[2]; /* the second equals the first unless crosses */
    DbtInsn *insns;              /* NULL: not decoded at present; see dbt_block_insns */
    struct JitUnit *units;       /* its translations (jit-unit.c) */
    uint64_t sites_watched, sites_span, sites_hashed, sites_settled; /* by instruction: how it accesses memory (jit-site.c) */
    uint8_t bytes[];             /* the guest code this was decoded from */
};

/* A stretch of guest code. A block's lie in its page, one behind the other in its bytes. */
typedef struct DbtPiece {
    int16_t offset; /* from the block's begin */
    uint16_t size;
} DbtPiece;

#define BLOCK_MAX_PIECES 16

/* Room for any block. */
#define BLOCK_BYTES (sizeof(DbtBlock) + BLOCK_MAX_INSNS * 15 + BLOCK_MAX_PIECES * sizeof(DbtPiece) + 64)

/* Instructions that are to become one block. */
typedef struct DbtJoin {
    unsigned count, size, pieces, straight; /* as in DbtBlock */
    DbtInsn insns[BLOCK_MAX_INSNS];
    DbtPiece piece[BLOCK_MAX_PIECES];
    uint8_t bytes[BLOCK_MAX_INSNS * 15];
} DbtJoin;

/* Where its pieces are listed, if they are. */
static inline DbtPiece *dbt_block_pieces(const DbtBlock *b)
{
    return (DbtPiece *)(void *)((uint8_t *)b + sizeof(*b) + align_up(b->size, sizeof(DbtPiece)));
}

/* Valid while epoch is the vCPU's fetch_epoch of linear's half and mode its mode word. */
typedef struct DbtJump {
    uint64_t linear;
    uint64_t epoch;
    uint32_t mode;
    DbtBlock *block;
} DbtJump;

/* Memory given out in order, and used again a part at a time. */
#define DBT_RING_PARTS 64 /* at most */

typedef struct DbtRing {
    uint8_t *base;
    size_t part_size;
    unsigned parts, current;
    size_t used[DBT_RING_PARTS]; /* bytes of each part */
} DbtRing;

struct DbtCache {
    DbtJump jumps[1 << JUMP_BITS];
    DbtBlock *buckets[1 << BUCKET_BITS];
    DbtRing blocks, insns;
    uint32_t flushes; /* while a page is watched, too: blocks held across that are gone then */
    uint64_t parts_recycled, decoded_again; /* for people and tests */
    int64_t reclaim_ns; /* the longest time it took to make room, here or for units: CPU time */
    DbtInsn scratch[BLOCK_MAX_INSNS]; /* of the block being built */
    DbtBlock *once; /* for code that cannot be cached (MMIO): one instruction */
    struct DbtDecoder *decoder;
};

/* What the meaning of code bytes depends on. */
static inline uint32_t dbt_code_mode(const DbtVcpu *v)
{
    return v->code_bits | (uint32_t)v->real << 8;
}

/* The mode word of the jump cache: the privilege level decides whether a fetch faults. */
static inline uint32_t dbt_jump_mode(const DbtVcpu *v)
{
    return dbt_code_mode(v) | (uint32_t)v->cpl << 16;
}

/* The linear address of the next instruction. */
static inline uint64_t dbt_code_linear(const DbtVcpu *v)
{
    const CpuState *s = v->state;

    return v->code_bits == 64 ? s->rip : (uint32_t)(s->seg[SEG_CS].base + s->rip);
}

static inline bool dbt_block_valid(const DbtBlock *b)
{
    return __atomic_load_n(b->page_generation[0], __ATOMIC_ACQUIRE) == b->generation[0] &&
           __atomic_load_n(b->page_generation[1], __ATOMIC_ACQUIRE) == b->generation[1];
}

static inline DbtJump *dbt_jump_slot(DbtVcpu *v, uint64_t linear)
{
    return &v->cache->jumps[(linear ^ linear >> 7) & ((1 << JUMP_BITS) - 1)];
}

/* The block at cs:rip, by physical address or newly decoded; NULL: v->fault is set. */
DbtBlock *dbt_block_lookup(DbtVcpu *v, uint64_t linear);

/* The same through the jump cache. */
static inline DbtBlock *dbt_block_find(DbtVcpu *v)
{
    uint64_t linear = dbt_code_linear(v);
    const DbtJump *jump = dbt_jump_slot(v, linear);

    /* Outside 64-bit mode CS may end inside the block: dbt_fetch knows. */
    if (__builtin_expect(jump->linear == linear && jump->epoch == v->fetch_epoch[linear >> 63] &&
                             jump->mode == dbt_jump_mode(v) && dbt_block_valid(jump->block) &&
                             (v->code_bits == 64 || v->state->rip + jump->block->size - 1 <=
                                                        v->state->seg[SEG_CS].limit),
                         1))
        return jump->block;
    return dbt_block_lookup(v, linear);
}

/* --- block-store.c --- */
bool dbt_store_init(DbtVcpu *v, GError **errp);
void dbt_store_release(struct DbtCache *c);
/* Everything is forgotten, but stays in memory until something new is stored. */
void dbt_store_clear(struct DbtCache *c);
/* Where a new block may be written; dbt_store_keep makes it stay. May forget other blocks. */
DbtBlock *dbt_store_reserve(DbtVcpu *v);
void dbt_store_keep(struct DbtCache *c, DbtBlock *b);
/* Copies the block's instructions to where it keeps them. May make other blocks' be decoded again. */
void dbt_store_insns(struct DbtCache *c, DbtBlock *b, const DbtInsn *insns);
const DbtInsn *dbt_insns_decode(DbtVcpu *v, DbtBlock *b);
size_t dbt_ring_used(const DbtRing *ring);

/* The block's instructions, until another block's are asked for or a block is built. */
static inline const DbtInsn *dbt_block_insns(DbtVcpu *v, DbtBlock *b)
{
    return __builtin_expect(b->insns != NULL, 1) ? b->insns : dbt_insns_decode(v, b);
}

/* --- block-join.c --- */
/* The instruction at offset from the block that is begun with, whose len bytes are at bytes, comes next; false: there is no room. */
bool dbt_join_add(DbtJoin *join, const DbtInsn *insn, const uint8_t *bytes, int offset);
/* The bytes of all its pieces are those in memory. */
bool dbt_pieces_unchanged(const DbtVcpu *v, const DbtBlock *b);
/* The block of these instructions, which takes first's place; NULL: their bytes have changed, and first may be gone. */
DbtBlock *dbt_join_finish(DbtVcpu *v, const DbtJoin *join, const DbtBlock *first);

/* --- block.c --- */
/* The block at a physical address, if it is known and what memory says; NULL: ask dbt_block_find when code runs there. */
DbtBlock *dbt_block_known(const DbtVcpu *v, uint64_t gpa, uint32_t mode);
/* What is written of the block from now on is noticed. Its bytes may have changed before. May wait for other
 * vCPUs, and then serve what they left for this one: the whole cache may be flushed meanwhile, b with it. False: it cannot be kept. */
bool dbt_block_watch(DbtVcpu *v, DbtBlock *b);
/* Into the hash, its bytes and pieces in place; with so many instructions. */
void dbt_block_publish(DbtVcpu *v, DbtBlock *b, const DbtInsn *insns);
/* Nobody finds it any more. */
void dbt_block_kill(struct DbtCache *c, DbtBlock *b);
/* Out of the hash, if it is there. */
void dbt_block_unlink(struct DbtCache *c, const DbtBlock *b);
bool dbt_cache_init(DbtVcpu *v, GError **errp);
void dbt_cache_release(DbtVcpu *v);

/* Around making room: what began at start_ns (dbt_reclaim_begin) has ended. */
int64_t dbt_reclaim_begin(void);
void dbt_reclaim_end(DbtVcpu *v, int64_t start_ns);

#endif
