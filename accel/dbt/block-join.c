/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks of several pieces: what control runs through one behind the other, jumps included, within one page.
 *
 *     code      | A: ..., call C | B: ..., ret |        | C: ..., ret |
 *     joined    A C B, with the offsets 0, C - A, B - A
 *
 * Each piece is watched and compared like the code of any other block (block.c, code.c); the page has one generation,
 * and one physical address, so nothing else is new. Who joins what is the translator's choice (jit-path.c).
 *
 * Owner: the vCPU's thread.
 */
#include "accel/dbt/block.h"

#include "accel/dbt/mmu-priv.h"

bool dbt_join_add(DbtJoin *join, const DbtInsn *insn, const uint8_t *bytes, int offset)
{
    DbtPiece *piece = join->pieces ? &join->piece[join->pieces - 1] : NULL;

    if (join->count == BLOCK_MAX_INSNS)
        return false;
    if (!piece || piece->offset + piece->size != offset) {
        if (join->pieces == BLOCK_MAX_PIECES)
            return false;
        piece = &join->piece[join->pieces++];
        *piece = (DbtPiece){.offset = (int16_t)offset};
    }
    piece->size += insn->len;
    join->straight += join->pieces == 1;
    join->insns[join->count] = *insn;
    join->insns[join->count++].offset = (int16_t)offset;
    memcpy(join->bytes + join->size, bytes, insn->len);
    join->size += insn->len;
    return true;
}

bool dbt_pieces_unchanged(const DbtVcpu *v, const DbtBlock *b)
{
    const uint8_t *page = dbt_map_lookup(v->accel->map, b->gpa).host, *bytes = b->bytes;
    const DbtPiece *piece = dbt_block_pieces(b);
    int begin = (int)(b->gpa & ~GUEST_PAGE_MASK);

    for (unsigned i = 0; i < b->pieces && page; i++) {
        if (memcmp(page + begin + piece[i].offset, bytes, piece[i].size))
            return false;
        bytes += piece[i].size;
    }
    return page != NULL;
}

DbtBlock *dbt_join_finish(DbtVcpu *v, const DbtJoin *join, const DbtBlock *first)
{
    struct DbtCache *c = v->cache;
    uint32_t flushes = c->flushes;
    DbtBlock head = {
        .gpa = first->gpa,
        .mode = first->mode,
        .heat = first->heat,
        .hot = true,
        .sources = first->sources,
        .begins_loop = first->begins_loop,
        .joined = true,
        .count = (uint16_t)join->count,
        .straight = (uint16_t)join->straight,
        .size = (uint16_t)join->size,
        .pieces = (uint8_t)join->pieces,
    };
    DbtBlock *b = dbt_store_reserve(v), *old;

    *b = head;
    memcpy(b->bytes, join->bytes, join->size);
    memcpy(dbt_block_pieces(b), join->piece, join->pieces * sizeof(join->piece[0]));
    if (!dbt_block_watch(v, b) || c->flushes != flushes || !dbt_pieces_unchanged(v, b))
        return NULL;
    old = dbt_block_known(v, head.gpa, head.mode);
    if (old) {
        dbt_jit_drop_block(v, old);
        dbt_block_kill(c, old);
    }
    dbt_block_publish(v, b, join->insns);
    return b;
}
