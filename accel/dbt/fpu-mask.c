/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Masked moves and gathers: an element whose mask bit is clear is neither accessed nor faults.
 *
 * SDM vol. 2: MASKMOVQ, MASKMOVDQU, VMASKMOV, VPMASKMOV, VGATHER*, VPGATHER*. A masked store
 * faults before anything is stored. A gather that faults keeps the elements it has, with their mask
 * bits cleared, so that it goes on where it stopped; the one instruction here whose fault is not
 * without effect.
 */
#include "accel/dbt/fpu.h"
#include "accel/dbt/native.h"

/* The elements to move: bit i of active is element i of size bytes. */
typedef struct Elements {
    unsigned count, size;
    uint32_t active;
} Elements;

static Elements elements_of_mask(const uint8_t *mask, unsigned total, unsigned size)
{
    Elements e = {total / size, size, 0};

    for (unsigned i = 0; i < e.count; i++) {
        e.active |= mask[i * size + size - 1] & 0x80 ? BIT(i) : 0;
    }
    return e;
}

static uint64_t element_address(const DbtInsn *insn, uint64_t ea, unsigned offset)
{
    return (ea + offset) & size_mask(insn->addr_size);
}

static bool store_each(DbtVcpu *v, const DbtInsn *insn, uint64_t ea, const Elements *e,
                       const uint8_t *data)
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
 * it faults exactly if an active element would.
 */
static DbtStep store_elements(DbtVcpu *v, const DbtInsn *insn, const Elements *e,
                              const uint8_t *data)
{
    uint64_t ea = dbt_ea(v, insn);
    unsigned first, last;
    DbtMemRef ref;

    if (!e->active) {
        return DBT_NEXT;
    }
    first = __builtin_ctz(e->active) * e->size;
    last = (31 - __builtin_clz(e->active)) * e->size;
    if (!dbt_mem_begin(v, insn->seg, element_address(insn, ea, first), last - first + e->size,
                       MMU_STORE, false, &ref)) {
        return DBT_FAULT;
    }
    if (ref.host == ref.bounce) {
        dbt_mem_cancel(v, &ref);
        return store_each(v, insn, ea, e, data) ? DBT_NEXT : DBT_FAULT;
    }
    for (unsigned i = 0; i < e->count; i++) {
        if (e->active & BIT(i)) {
            memcpy((uint8_t *)ref.host + i * e->size - first, data + i * e->size, e->size);
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
    Elements e = elements_of_mask(mask, 8, 1);
    DbtStep step;

    if (!dbt_fpu_check(v, FPU_MMX | FPU_WAIT)) {
        return DBT_FAULT;
    }
    step = store_elements(v, insn, &e, data);
    if (step != DBT_FAULT) {
        fpu_set_top(fpu, 0);
        fpu->ftw = 0xff;
    }
    return step;
}

DbtStep fpu_maskmovdqu(DbtVcpu *v, const DbtInsn *insn)
{
    FpuState *fpu = &v->state->fpu;
    Elements e = elements_of_mask(fpu->zmm[insn->rm], 16, 1);

    return dbt_fpu_check(v, insn->sub) ? store_elements(v, insn, &e, fpu->zmm[insn->reg])
                                       : DBT_FAULT;
}

DbtStep fpu_masked_store(DbtVcpu *v, const DbtInsn *insn)
{
    FpuState *fpu = &v->state->fpu;
    Elements e = elements_of_mask(fpu->zmm[insn->rm], insn->op_size, insn->sub);

    return dbt_fpu_check(v, FPU_AVX) ? store_elements(v, insn, &e, fpu->zmm[insn->reg]) : DBT_FAULT;
}

DbtStep fpu_masked_load(DbtVcpu *v, const DbtInsn *insn)
{
    FpuState *fpu = &v->state->fpu;
    Elements e = elements_of_mask(fpu->zmm[insn->rm], insn->op_size, insn->sub);
    uint64_t ea = dbt_ea(v, insn);
    uint8_t result[64] = {0};

    if (!dbt_fpu_check(v, FPU_AVX)) {
        return DBT_FAULT;
    }
    for (unsigned i = 0; i < e.count; i++) {
        if (e.active & BIT(i) && !dbt_mem_read(v, insn->seg, element_address(insn, ea, i * e.size),
                                               result + i * e.size, e.size)) {
            return DBT_FAULT;
        }
    }
    memcpy(fpu->zmm[insn->reg], result, sizeof(result));
    return DBT_NEXT;
}

static uint64_t gather_address(const DbtVcpu *v, const DbtInsn *insn, unsigned i)
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
    Elements e;

    if (!dbt_fpu_check(v, FPU_AVX)) {
        return DBT_FAULT;
    }
    e = elements_of_mask(mask, count * size, size);
    for (unsigned i = 0; i < count; i++) {
        if (e.active & BIT(i) &&
            !dbt_mem_read(v, insn->seg, gather_address(v, insn, i), dest + i * size, size)) {
            return DBT_FAULT;
        }
        memset(mask + i * size, 0, size);
    }
    memset(dest + count * size, 0, 64 - count * size);
    memset(mask, 0, 64);
    return DBT_NEXT;
}
