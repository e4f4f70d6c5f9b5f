/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions on segment registers and descriptors. Intel SDM vol. 2, under each mnemonic.
 *
 * Locking: own vCPU thread.
 */
#include "accel/dbt/op-util.h"
#include "accel/dbt/seg.h"
#include "accel/dbt/mmu-priv.h"

static uint64_t insn_end(const DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t end = v->state->rip + insn->len;

    return v->code_bits == 64 ? end : (uint32_t)end;
}

/* MOV SS and POP SS hold off interrupts and debug traps for one instruction (SDM vol. 3, 6.8.3). */
static DbtStep seg_loaded(DbtVcpu *v, SegIndex seg)
{
    if (seg == SEG_SS) {
        v->state->interrupt_shadow = true;
        dbt_attention(v);
    }
    return DBT_NEXT;
}

DbtStep dbt_op_mov_to_seg(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t selector;

    if (!insn_load_rm(v, insn, 2, &selector) || !dbt_seg_load(v, insn->reg, (uint16_t)selector))
        return DBT_FAULT;
    return seg_loaded(v, insn->reg);
}

/* To a register of the operand size zero-extended; to memory 16 bits. */
static DbtStep store_word(DbtVcpu *v, const DbtInsn *insn, uint16_t value)
{
    return insn_store_rm(v, insn, insn->flags & INSN_MEM ? 2 : insn->op_size, value) ? DBT_NEXT : DBT_FAULT;
}

DbtStep dbt_op_mov_from_seg(DbtVcpu *v, const DbtInsn *insn)
{
    return store_word(v, insn, v->state->seg[insn->reg].selector);
}

/* A 32-bit push writes only the selector's 16 bits on processors of our kind (SDM vol. 2, PUSH). */
DbtStep dbt_op_push_seg(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t mask = stack_mask(v), sp = (s->gpr[GPR_RSP] - insn->op_size) & mask;
    unsigned size = insn->op_size == 4 ? 2 : insn->op_size;

    if (!dbt_store(v, SEG_SS, sp, size, s->seg[insn->reg].selector))
        return DBT_FAULT;
    s->gpr[GPR_RSP] = (s->gpr[GPR_RSP] & ~mask) | sp;
    return DBT_NEXT;
}

DbtStep dbt_op_pop_seg(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t selector, mask = stack_mask(v), rsp = v->state->gpr[GPR_RSP];

    if (!stack_peek(v, insn->op_size, &selector) || !dbt_seg_load(v, insn->reg, (uint16_t)selector))
        return DBT_FAULT;
    /* By the stack width of before: POP SS may have changed it. */
    v->state->gpr[GPR_RSP] = (rsp & ~mask) | ((rsp + insn->op_size) & mask);
    return seg_loaded(v, insn->reg);
}

/* A far pointer: offset of the operand size, then the selector. */
static bool load_pointer(DbtVcpu *v, const DbtInsn *insn, uint64_t *offset, uint16_t *selector)
{
    uint8_t bytes[10];

    if (!(insn->flags & INSN_MEM)) {
        *offset = insn->imm;
        *selector = (uint16_t)insn->disp;
        return true;
    }
    if (!dbt_mem_read(v, insn->seg, dbt_ea(v, insn), bytes, insn->op_size + 2u))
        return false;
    *offset = load_le(bytes, insn->op_size);
    *selector = (uint16_t)load_le(bytes + insn->op_size, 2);
    return true;
}

static DbtStep op_load_pointer(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t offset;
    uint16_t selector;

    if (!load_pointer(v, insn, &offset, &selector) || !dbt_seg_load(v, insn->sub, selector))
        return DBT_FAULT;
    reg_set(v->state, insn->reg, insn->op_size, offset);
    return DBT_NEXT;
}

DbtStep dbt_op_jmp_far(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t offset;
    uint16_t selector;

    if (!load_pointer(v, insn, &offset, &selector))
        return DBT_FAULT;
    return dbt_far_jump(v, selector, offset, insn->op_size, insn_end(v, insn));
}

DbtStep dbt_op_call_far(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t offset;
    uint16_t selector;

    if (!load_pointer(v, insn, &offset, &selector))
        return DBT_FAULT;
    return dbt_far_call(v, selector, offset, insn->op_size, insn_end(v, insn));
}

DbtStep dbt_op_ret_far(DbtVcpu *v, const DbtInsn *insn)
{
    return dbt_far_return(v, insn->op_size, (uint16_t)insn->imm);
}

/* LDTR and TR are managed at CPL 0 in protected mode. */
static bool may_load_system(DbtVcpu *v)
{
    if (v->real) {
        dbt_fault(v, EXC_UD);
        return false;
    }
    if (v->cpl != 0) {
        dbt_fault_error(v, EXC_GP, 0);
        return false;
    }
    return true;
}

/* Reads a GDT descriptor of one of the types (a mask by number) that is present. */
static bool read_system(DbtVcpu *v, uint16_t selector, uint32_t types, SegDesc *d)
{
    if (selector & SEL_TI) {
        dbt_fault_error(v, EXC_GP, SEL_ERROR(selector));
        return false;
    }
    if (!dbt_desc_read(v, selector, true, EXC_GP, 0, d))
        return false;
    if (!desc_is_system(d) || !(types >> desc_type(d) & 1)) {
        dbt_fault_error(v, EXC_GP, SEL_ERROR(selector));
        return false;
    }
    if (!desc_present(d)) {
        dbt_fault_error(v, EXC_NP, SEL_ERROR(selector));
        return false;
    }
    if (!is_canonical(desc_base(d))) {
        dbt_fault_error(v, EXC_GP, SEL_ERROR(selector));
        return false;
    }
    return true;
}

static DbtStep op_lldt(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t selector;
    SegDesc d;

    if (!may_load_system(v) || !insn_load_rm(v, insn, 2, &selector))
        return DBT_FAULT;
    if (SEL_NULL(selector)) {
        v->state->ldtr = dbt_null_segment((uint16_t)selector, 0);
        return DBT_NEXT;
    }
    if (!read_system(v, (uint16_t)selector, 1u << DESC_LDT, &d))
        return DBT_FAULT;
    v->state->ldtr = dbt_desc_segment(&d, (uint16_t)selector);
    return DBT_NEXT;
}

static DbtStep op_ltr(DbtVcpu *v, const DbtInsn *insn)
{
    uint32_t types = dbt_long_mode(v) ? 1u << DESC_TSS32 : 1u << DESC_TSS16 | 1u << DESC_TSS32;
    uint64_t selector;
    SegDesc d;

    if (!may_load_system(v) || !insn_load_rm(v, insn, 2, &selector))
        return DBT_FAULT;
    if (SEL_NULL(selector))
        return dbt_fault_error(v, EXC_GP, 0);
    if (!read_system(v, (uint16_t)selector, types, &d) || !mmu_update_byte(v, d.linear + 5, DESC_TSS_BUSY, 0))
        return DBT_FAULT;
    v->state->tr = dbt_desc_segment(&d, (uint16_t)selector);
    v->state->tr.attr |= DESC_TSS_BUSY;
    return DBT_NEXT;
}

/* SLDT and STR: not in real-address mode, and with UMIP not in user mode. */
static DbtStep store_system(DbtVcpu *v, const DbtInsn *insn, uint16_t selector)
{
    if (v->real)
        return dbt_fault(v, EXC_UD);
    if (v->cpl && v->state->cr4 & CR4_UMIP)
        return dbt_fault_error(v, EXC_GP, 0);
    return store_word(v, insn, selector);
}

static DbtStep op_sldt(DbtVcpu *v, const DbtInsn *insn)
{
    return store_system(v, insn, v->state->ldtr.selector);
}

static DbtStep op_str(DbtVcpu *v, const DbtInsn *insn)
{
    return store_system(v, insn, v->state->tr.selector);
}

static DbtStep set_zf(DbtVcpu *v, bool zf)
{
    CpuState *s = v->state;

    s->rflags = zf ? s->rflags | RFLAGS_ZF : s->rflags & ~(uint64_t)RFLAGS_ZF;
    return DBT_NEXT;
}

/* LAR, LSL, VERR, VERW ask about a descriptor without faulting on it. */
typedef enum QueryResult { QUERY_YES, QUERY_NO, QUERY_FAULT } QueryResult;

static QueryResult query(DbtVcpu *v, const DbtInsn *insn, SegDesc *d)
{
    uint64_t selector;

    if (v->real) {
        dbt_fault(v, EXC_UD);
        return QUERY_FAULT;
    }
    if (!insn_load_rm(v, insn, 2, &selector))
        return QUERY_FAULT;
    if (SEL_NULL(selector))
        return QUERY_NO;
    switch (dbt_desc_try(v, (uint16_t)selector, false, d)) {
    case DESC_OK:
        break;
    case DESC_OUTSIDE:
        return QUERY_NO;
    case DESC_FAULT:
        return QUERY_FAULT;
    }
    if (desc_is_conforming(d))
        return QUERY_YES;
    return MAX(v->cpl, selector & SEL_RPL) <= desc_dpl(d) ? QUERY_YES : QUERY_NO;
}

/* The system types LAR and LSL know, by number (SDM vol. 2, tables 3-52 and 3-56). */
static bool system_type_in(const DbtVcpu *v, const SegDesc *d, uint32_t legacy, uint32_t long_mode)
{
    return !desc_is_system(d) || ((dbt_long_mode(v) ? long_mode : legacy) >> desc_type(d) & 1);
}

static DbtStep op_lar(DbtVcpu *v, const DbtInsn *insn)
{
    SegDesc d;
    QueryResult result = query(v, insn, &d);

    if (result == QUERY_FAULT)
        return DBT_FAULT;
    if (result == QUERY_NO || !system_type_in(v, &d, 0x1a3e, 0x1a04))
        return set_zf(v, false);
    reg_set(v->state, insn->reg, insn->op_size, d.high & (insn->op_size == 2 ? 0xff00 : 0xf0ff00));
    return set_zf(v, true);
}

static DbtStep op_lsl(DbtVcpu *v, const DbtInsn *insn)
{
    SegDesc d;
    QueryResult result = query(v, insn, &d);

    if (result == QUERY_FAULT)
        return DBT_FAULT;
    if (result == QUERY_NO || !system_type_in(v, &d, 0x0a0e, 0x0a04))
        return set_zf(v, false);
    reg_set(v->state, insn->reg, insn->op_size, desc_limit(&d));
    return set_zf(v, true);
}

static DbtStep op_verify(DbtVcpu *v, const DbtInsn *insn)
{
    bool write = insn->sub, allowed;
    SegDesc d;
    QueryResult result = query(v, insn, &d);

    if (result == QUERY_FAULT)
        return DBT_FAULT;
    if (result == QUERY_NO || desc_is_system(&d))
        return set_zf(v, false);
    if (write)
        allowed = desc_is_writable_data(&d);
    else
        allowed = !desc_is_code(&d) || desc_attr(&d) & SEG_ATTR_RW;
    return set_zf(v, allowed);
}

static DbtStep op_swapgs(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;
    uint64_t base = s->seg[SEG_GS].base;

    if (v->code_bits != 64)
        return dbt_fault(v, EXC_UD);
    if (v->cpl != 0)
        return dbt_fault_error(v, EXC_GP, 0);
    s->seg[SEG_GS].base = v->seg_base[SEG_GS] = s->msr.kernel_gs_base;
    s->msr.kernel_gs_base = base;
    return DBT_NEXT;
}

static DbtStep op_rdbase(DbtVcpu *v, const DbtInsn *insn)
{
    if (v->code_bits != 64 || !(v->state->cr4 & CR4_FSGSBASE))
        return dbt_fault(v, EXC_UD);
    reg_set(v->state, insn->rm, insn->op_size, v->state->seg[insn->sub].base);
    return DBT_NEXT;
}

static DbtStep op_wrbase(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t base = reg_get(v->state, insn->rm, insn->op_size);

    if (v->code_bits != 64 || !(v->state->cr4 & CR4_FSGSBASE))
        return dbt_fault(v, EXC_UD);
    if (!is_canonical(base))
        return dbt_fault_error(v, EXC_GP, 0);
    v->state->seg[insn->sub].base = v->seg_base[insn->sub] = base;
    return DBT_NEXT;
}

const DbtOp dbt_ops_seg[] = {
    { ZYDIS_MNEMONIC_LES, SEG_ES, 0, op_load_pointer, NULL },
    { ZYDIS_MNEMONIC_LSS, SEG_SS, 0, op_load_pointer, NULL },
    { ZYDIS_MNEMONIC_LDS, SEG_DS, 0, op_load_pointer, NULL },
    { ZYDIS_MNEMONIC_LFS, SEG_FS, 0, op_load_pointer, NULL },
    { ZYDIS_MNEMONIC_LGS, SEG_GS, 0, op_load_pointer, NULL },
    { ZYDIS_MNEMONIC_LLDT, 0, 0, op_lldt, NULL },
    { ZYDIS_MNEMONIC_LTR, 0, 0, op_ltr, NULL },
    { ZYDIS_MNEMONIC_SLDT, 0, 0, op_sldt, NULL },
    { ZYDIS_MNEMONIC_STR, 0, 0, op_str, NULL },
    { ZYDIS_MNEMONIC_LAR, 0, 0, op_lar, NULL },
    { ZYDIS_MNEMONIC_LSL, 0, 0, op_lsl, NULL },
    { ZYDIS_MNEMONIC_VERR, 0, 0, op_verify, NULL },
    { ZYDIS_MNEMONIC_VERW, 1, 0, op_verify, NULL },
    { ZYDIS_MNEMONIC_SWAPGS, 0, 0, op_swapgs, NULL },
    { ZYDIS_MNEMONIC_RDFSBASE, SEG_FS, 0, op_rdbase, NULL },
    { ZYDIS_MNEMONIC_RDGSBASE, SEG_GS, 0, op_rdbase, NULL },
    { ZYDIS_MNEMONIC_WRFSBASE, SEG_FS, 0, op_wrbase, NULL },
    { ZYDIS_MNEMONIC_WRGSBASE, SEG_GS, 0, op_wrbase, NULL },
    { ZYDIS_MNEMONIC_INVALID, 0, 0, NULL, NULL },
};
