/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Masked moves, gathers and scatters: an element whose mask bit is clear is neither accessed nor faults.
 *
 * SDM vol. 2: MASKMOVQ, MASKMOVDQU, VMASKMOV, VPMASKMOV, VGATHER*, VPGATHER*, VSCATTER*, VPSCATTER*. A
 * masked store faults before anything is stored. A gather or scatter that faults keeps what it has done,
 * with those mask bits cleared, so that it goes on where it stopped; the only ones here whose fault is not
 * without effect. Scatters store in order of the elements.
 */
#include "accel/dbt/fpu.h"
#include "accel/dbt/native.h"

static FpuElements elements_of_mask(const uint8_t *mask, unsigned total, unsigned size)
{
    FpuElements e = {total / size, size, 0};

    for (unsigned i = 0; i < e.count; i++) {
        e.active |= mask[i * size + size - 1] & 0x80 ? BIT(i) : 0;
    }
    return e;
}

static uint64_t element_address(const DbtInsn *insn, uint64_t ea, unsigned offset)
{
    return (ea + offset) & size_mask(insn->addr_size);
}

bool fpu_elements_read(DbtVcpu *v, const DbtInsn *insn, uint64_t ea, const FpuElements *e, uint8_t *image)
{
    for (unsigned i = 0; i < e->count; i++) {
        if (e->active & BIT(i) && !dbt_mem_read(v, insn->seg, element_address(insn, ea, i * e->size),
                                                image + i * e->size, e->size)) {
            return false;
        }
    }
    return true;
}

static bool store_each(DbtVcpu *v, const DbtInsn *insn, uint64_t ea, const FpuElements *e, const uint8_t *data)
{
    for (unsigned i = 0; i < e->count; i++) {
        if (e->active & BIT(i) &&
            !dbt_mem_write(v, insn->seg, element_address(insn, ea, i * e->size), data + i * e->size,
                           e->size)) {
            return false;
        }
    }
    return true;
}

/*
 * The span from the first to the last active element lies in the pages those two are in, so probing
 * it faults exactly if an active element would. *first is its offset.
 */
static bool begin_span(DbtVcpu *v, const DbtInsn *insn, uint64_t ea, const FpuElements *e, DbtMemRef *ref,
                       unsigned *first)
{
    unsigned last = (63 - __builtin_clzll(e->active)) * e->size;

    *first = __builtin_ctzll(e->active) * e->size;
    return dbt_mem_begin(v, insn->seg, element_address(insn, ea, *first), last - *first + e->size, MMU_STORE, false,
                         ref);
}

bool fpu_elements_probe(DbtVcpu *v, const DbtInsn *insn, uint64_t ea, const FpuElements *e)
{
    unsigned first;
    DbtMemRef ref;

    if (!e->active) {
        return true;
    }
    if (!begin_span(v, insn, ea, e, &ref, &first)) {
        return false;
    }
    dbt_mem_cancel(v, &ref);
    return true;
}

DbtStep fpu_elements_write(DbtVcpu *v, const DbtInsn *insn, uint64_t ea, const FpuElements *e, const uint8_t *image)
{
    unsigned first;
    DbtMemRef ref;

    if (!e->active) {
        return DBT_NEXT;
    }
    if (!begin_span(v, insn, ea, e, &ref, &first)) {
        return DBT_FAULT;
    }
    if (ref.host == ref.bounce) {
        dbt_mem_cancel(v, &ref);
        return store_each(v, insn, ea, e, image) ? DBT_NEXT : DBT_FAULT;
    }
    for (unsigned i = 0; i < e->count; i++) {
        if (e->active & BIT(i)) {
            memcpy((uint8_t *)ref.host + i * e->size - first, image + i * e->size, e->size);
        }
    }
    dbt_mem_end(v, &ref);
    return DBT_NEXT;
}

/* MMX registers are the physical x87 registers; using one sets TOP to 0 and all tags to valid. */
DbtStep fpu_maskmovq(DbtVcpu *v, const DbtInsn *insn)
{
    FpuState *fpu = &v->state->fpu;
    unsigned top = fpu->fsw >> 11 & 7;
    const uint8_t *data = fpu->st[(insn->reg - top) & 7], *mask = fpu->st[(insn->rm - top) & 7];
    FpuElements e = elements_of_mask(mask, 8, 1);
    DbtStep step;

    if (!dbt_fpu_check(v, FPU_MMX | FPU_WAIT)) {
        return DBT_FAULT;
    }
    step = fpu_elements_write(v, insn, dbt_ea(v, insn), &e, data);
    if (step != DBT_FAULT) {
        fpu_set_top(fpu, 0);
        fpu->ftw = 0xff;
    }
    return step;
}

DbtStep fpu_maskmovdqu(DbtVcpu *v, const DbtInsn *insn)
{
    FpuState *fpu = &v->state->fpu;
    FpuElements e = elements_of_mask(fpu->zmm[insn->rm], 16, 1);

    return dbt_fpu_check(v, insn->sub) ? fpu_elements_write(v, insn, dbt_ea(v, insn), &e, fpu->zmm[insn->reg])
                                       : DBT_FAULT;
}

DbtStep fpu_masked_store(DbtVcpu *v, const DbtInsn *insn)
{
    FpuState *fpu = &v->state->fpu;
    FpuElements e = elements_of_mask(fpu->zmm[insn->rm], insn->op_size, insn->sub);

    return dbt_fpu_check(v, FPU_AVX) ? fpu_elements_write(v, insn, dbt_ea(v, insn), &e, fpu->zmm[insn->reg])
                                     : DBT_FAULT;
}

DbtStep fpu_masked_load(DbtVcpu *v, const DbtInsn *insn)
{
    FpuState *fpu = &v->state->fpu;
    FpuElements e = elements_of_mask(fpu->zmm[insn->rm], insn->op_size, insn->sub);
    uint8_t result[64] = {0};

    if (!dbt_fpu_check(v, FPU_AVX) || !fpu_elements_read(v, insn, dbt_ea(v, insn), &e, result)) {
        return DBT_FAULT;
    }
    memcpy(fpu->zmm[insn->reg], result, sizeof(result));
    return DBT_NEXT;
}

static uint64_t indexed_address(const DbtVcpu *v, const DbtInsn *insn, unsigned i)
{
    const uint8_t *vec = v->state->fpu.zmm[insn->index];
    uint64_t ea = insn->disp;

    if (insn->base != INSN_NO_REG) {
        ea += v->state->gpr[insn->base];
    }
    if (insn->op_size == 4) {
        ea += (uint64_t)(int64_t)(int32_t)load_le(vec + 4 * i, 4) * insn->scale;
    } else {
        ea += load_le(vec + 8 * i, 8) * insn->scale;
    }
    return ea & size_mask(insn->addr_size);
}

DbtStep fpu_gather(DbtVcpu *v, const DbtInsn *insn)
{
    FpuState *fpu = &v->state->fpu;
    uint8_t *dest = fpu->zmm[insn->reg], *mask = fpu->zmm[insn->rm];
    unsigned count = insn->imm, size = insn->sub;
    FpuElements e;

    if (!dbt_fpu_check(v, FPU_AVX)) {
        return DBT_FAULT;
    }
    e = elements_of_mask(mask, count * size, size);
    for (unsigned i = 0; i < count; i++) {
        if (e.active & BIT(i) &&
            !dbt_mem_read(v, insn->seg, indexed_address(v, insn, i), dest + i * size, size)) {
            return DBT_FAULT;
        }
        memset(mask + i * size, 0, size);
    }
    memset(dest + count * size, 0, 64 - count * size);
    memset(mask, 0, 64);
    return DBT_NEXT;
}

/* The opmask is the mask: rm is its number. */
DbtStep fpu_gather_opmask(DbtVcpu *v, const DbtInsn *insn)
{
    FpuState *fpu = &v->state->fpu;
    uint8_t *dest = fpu->zmm[insn->reg];
    uint64_t *mask = &fpu->opmask[insn->rm];
    unsigned count = insn->imm, size = insn->sub;

    if (!dbt_fpu_check(v, FPU_AVX512)) {
        return DBT_FAULT;
    }
    v->wide_vectors |= insn->reg < 16 && count * size == 64;
    for (unsigned i = 0; i < count; i++) {
        if (!(*mask & BIT(i))) {
            continue;
        }
        if (!dbt_mem_read(v, insn->seg, indexed_address(v, insn, i), dest + i * size, size)) {
            return DBT_FAULT;
        }
        memset(dest + count * size, 0, 64 - count * size);
        *mask &= ~BIT(i);
    }
    memset(dest + count * size, 0, 64 - count * size);
    *mask = 0;
    return DBT_NEXT;
}

DbtStep fpu_scatter(DbtVcpu *v, const DbtInsn *insn)
{
    FpuState *fpu = &v->state->fpu;
    const uint8_t *data = fpu->zmm[insn->reg];
    uint64_t *mask = &fpu->opmask[insn->rm];
    unsigned count = insn->imm, size = insn->sub;

    if (!dbt_fpu_check(v, FPU_AVX512)) {
        return DBT_FAULT;
    }
    for (unsigned i = 0; i < count; i++) {
        if (*mask & BIT(i) && !dbt_mem_write(v, insn->seg, indexed_address(v, insn, i), data + i * size, size)) {
            return DBT_FAULT;
        }
        *mask &= ~BIT(i);
    }
    *mask = 0;
    return DBT_NEXT;
}
