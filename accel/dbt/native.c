/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Binding decoded instructions to host code, and running them.
 *
 * What a bound DbtInsn holds besides the memory operand: handler by kind of operand; aux = the
 * form; imm = the form's serial and the x87 opcode, or how an opmask selects elements (MASK_*); sub = units
 * (FPU_*); op_size = length of the memory operand; reg = its alignment and access (BOUND_*).
 *
 * Before an instruction runs: availability of its unit (SDM vol. 3, table 2-3; vol. 2, 2.4 ff.),
 * a pending x87 exception (vol. 1, 8.7), alignment. #MF is always found here, never by the host,
 * because x87 reports an exception only at the next waiting instruction. With CR0.NE = 0 the PC
 * would raise IRQ 13 instead; that wire is not modelled, #MF is delivered either way.
 *
 * x87 state is loaded around each x87 or MMX instruction (80 ns). Where translated code has it in the host's
 * unit (jit-x87.c), dbt_fpu_check takes it home first.
 */
#define _LGPL_SOURCE /* inline read-side RCU: it is around each instruction */
#include <urcu.h>

#include "accel/dbt/decode.h"
#include "accel/dbt/fpu.h"
#include "accel/dbt/guest-debug.h"
#include "accel/dbt/mmu.h"
#include "accel/dbt/native.h"

#define SEGMENT_SIZE (1 * MIB)

#define SERIAL_BITS 48 /* a form made each microsecond lasts 8 years */

enum {
    BOUND_ALIGN = 0x0f,       /* log2 */
    BOUND_MISALIGN_OK = 0x10, /* with MXCSR.MM */
    BOUND_STORE = 0x20,
    BOUND_WRITE = 0x40,
    BOUND_POINTERS = 0x80, /* x87: FIP, FDP, FOP */
};

/* Of NativeMask in imm, above the serial. */
enum {
    MASK_KIND_SHIFT = 0,    /* 2 bits */
    MASK_REG_SHIFT = 2,     /* 3 bits */
    MASK_ELEMENT_SHIFT = 5, /* 3 bits */
    MASK_BITS_SHIFT = 8,    /* 3 bits */
};

#define MXCSR_MM (1u << 17)

static bool refuse(DbtVcpu *v, uint8_t vector)
{
    dbt_fault(v, vector);
    return false;
}

bool dbt_fpu_check(DbtVcpu *v, unsigned unit)
{
    const CpuState *s = v->state;
    uint64_t avx = XCR0_SSE | XCR0_AVX | (unit & FPU_AVX512 ? XCR0_AVX512_PARTS : 0);

    if (unit & (FPU_X87 | FPU_MMX | FPU_WAIT)) {
        dbt_jit_x87_home(v);
    }
    if (unit & (FPU_AVX | FPU_AVX512) && (v->real || !(s->cr4 & CR4_OSXSAVE) || (s->xcr0 & avx) != avx)) {
        return refuse(v, EXC_UD);
    }
    if (unit & (FPU_SSE | FPU_MMX) && s->cr0 & CR0_EM) {
        return refuse(v, EXC_UD);
    }
    if (unit & FPU_SSE && !(s->cr4 & CR4_OSFXSR)) {
        return refuse(v, EXC_UD);
    }
    if (s->cr0 & CR0_TS || (unit & FPU_X87 && s->cr0 & CR0_EM)) {
        return unit & (FPU_X87 | FPU_MMX | FPU_SSE | FPU_AVX | FPU_AVX512) ? refuse(v, EXC_NM) : true;
    }
    if (unit & FPU_WAIT && dbt_x87_pending(&s->fpu)) {
        return refuse(v, EXC_MF);
    }
    return true;
}

static DbtStep rebind(DbtVcpu *v, const DbtInsn *insn);

/* The fault a stub returned. */
static DbtStep stub_fault(DbtVcpu *v, uint32_t result)
{
    uint8_t vector = result & 0xff;

    if (vector == EXC_GP) {
        return dbt_fault_error(v, vector, 0);
    }
    if (vector == EXC_XM && !(v->state->cr4 & CR4_OSXMMEXCPT)) {
        vector = EXC_UD; /* SDM vol. 3, 2.5 */
    }
    return dbt_fault(v, vector);
}

/* CS and DS count in real-address mode only, where the pointers are linear (CPUID.7.EBX[13]). */
static uint16_t pointer_selector(const DbtVcpu *v, unsigned seg)
{
    return v->real ? v->state->seg[seg].selector : 0;
}

void dbt_native_note_x87(DbtVcpu *v, const DbtInsn *insn, uint64_t rip)
{
    FpuState *fpu = &v->state->fpu;

    fpu->fip = rip;
    fpu->fcs = pointer_selector(v, SEG_CS);
    fpu->fop = insn->imm >> SERIAL_BITS & 0x7ff;
}

/* FDP belongs to instructions with an exception that is not masked (CPUID.7.EBX[6]). */
static void note_x87_instruction(DbtVcpu *v, const DbtInsn *insn, uint64_t ea)
{
    FpuState *fpu = &v->state->fpu;

    dbt_native_note_x87(v, insn, v->state->rip);
    if (insn->flags & INSN_MEM && (v->real || dbt_x87_pending(fpu))) {
        fpu->fdp = ea;
        fpu->fds = pointer_selector(v, insn->seg);
    }
}

/* Runs the form on a host address; NATIVE_STALE if it has been reclaimed. */
#define NATIVE_STALE 0x200
static uint32_t run_form(DbtVcpu *v, const DbtInsn *insn, void *mem)
{
    uint32_t result = NATIVE_STALE;
    const void *code;

    rcu_read_lock();
    code = native_form_code(insn->aux, insn->imm & BITS(SERIAL_BITS - 1, 0));
    if (code) {
        result = native_run(v, code, mem, insn->sub & (FPU_X87 | FPU_MMX));
        v->wide_vectors |= (insn->sub & FPU_WIDE) != 0;
    }
    rcu_read_unlock();
    return result;
}

static DbtStep run_registers(DbtVcpu *v, const DbtInsn *insn)
{
    uint32_t result;

    if (insn->sub && !dbt_fpu_check(v, insn->sub)) {
        return DBT_FAULT;
    }
    result = run_form(v, insn, NULL);
    if (G_UNLIKELY(result)) {
        return result == NATIVE_STALE ? rebind(v, insn) : stub_fault(v, result);
    }
    if (insn->reg & BOUND_POINTERS) {
        note_x87_instruction(v, insn, 0);
    }
    return DBT_NEXT;
}

/* The alignment check, which comes before those of segment and page. */
static bool is_misaligned(const DbtVcpu *v, const DbtInsn *insn, uint64_t ea)
{
    uint64_t linear = ea + v->state->seg[insn->seg].base;

    return linear & (BIT(insn->reg & BOUND_ALIGN) - 1) &&
           !(insn->reg & BOUND_MISALIGN_OK && v->state->fpu.mxcsr & MXCSR_MM);
}

static DbtStep run_memory(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t ea = dbt_ea(v, insn);
    MmuAccess access = insn->reg & BOUND_STORE   ? MMU_STORE
                       : insn->reg & BOUND_WRITE ? MMU_WRITE
                                                 : MMU_READ;
    DbtMemRef ref __attribute__((uninitialized));
    uint32_t result;

    if (insn->sub && !dbt_fpu_check(v, insn->sub)) {
        return DBT_FAULT;
    }
    if (insn->reg & BOUND_ALIGN && is_misaligned(v, insn, ea)) {
        return dbt_fault_error(v, EXC_GP, 0);
    }
    if (!dbt_mem_begin(v, insn->seg, ea, insn->op_size, access, insn->flags & INSN_LOCK, &ref)) {
        return DBT_FAULT;
    }
    result = run_form(v, insn, ref.host);
    if (G_UNLIKELY(result)) {
        dbt_mem_cancel(v, &ref);
        return result == NATIVE_STALE ? rebind(v, insn) : stub_fault(v, result);
    }
    if (insn->reg & BOUND_POINTERS) {
        note_x87_instruction(v, insn, ea);
    }
    if (access != MMU_READ || G_UNLIKELY(dbt_debug_wants_data(v))) {
        dbt_mem_end(v, &ref);
    }
    return DBT_NEXT;
}

/* --- Operands whose elements an opmask selects. --- */

static FpuElements selected_elements(const DbtVcpu *v, const DbtInsn *insn)
{
    unsigned desc = insn->imm >> SERIAL_BITS, bits = 1u << (desc >> MASK_BITS_SHIFT & 7);
    uint64_t mask = v->state->fpu.opmask[desc >> MASK_REG_SHIFT & 7] & BITS(bits - 1, 0);
    unsigned size = 1u << (desc >> MASK_ELEMENT_SHIFT & 7);
    FpuElements e = {insn->op_size / size, size, mask};

    switch (desc >> MASK_KIND_SHIFT & 3) {
    case NATIVE_MASK_PACKED:
        e.active = mask ? BITS(__builtin_popcountll(mask) - 1, 0) : 0;
        break;
    case NATIVE_MASK_REPEATED:
        for (unsigned i = e.count; i < bits; i += e.count) {
            e.active |= mask >> i;
        }
        e.active &= BITS(e.count - 1, 0);
        break;
    default:
        break;
    }
    return e;
}

/* The whole operand's host address if no access to it can fault, selected or not. NULL with copied set: it lies in two
 * such pages, and what is there is in copy. */
static void *operand_host(DbtVcpu *v, const DbtInsn *insn, uint64_t ea, bool write, uint8_t *copy, bool *copied)
{
    uint64_t linear = v->seg_base[insn->seg] + ea;
    unsigned len, rest;
    void *host, *behind;

    *copied = false;
    if (!((write ? v->flat_write : v->flat_read) >> insn->seg & 1)) {
        return NULL;
    }
    host = dbt_host_span(v, linear, write ? MMU_STORE : MMU_READ, &len);
    if (len >= insn->op_size || !host) {
        return host;
    }
    if (!write && v->code_bits == 64 && (behind = dbt_host_span(v, linear + len, MMU_READ, &rest))) {
        memcpy(copy, host, len);
        memcpy(copy + len, behind, insn->op_size - len);
        *copied = true;
    }
    return NULL;
}

/* Else element by element, by way of a copy the instruction works on. */
static DbtStep run_masked(DbtVcpu *v, const DbtInsn *insn)
{
    uint8_t copy[64] __attribute__((aligned(64))) = {0};
    bool write = insn->reg & (BOUND_STORE | BOUND_WRITE);
    uint64_t ea = dbt_ea(v, insn);
    bool copied;
    FpuElements e;
    uint32_t result;
    void *host;

    if (!dbt_fpu_check(v, insn->sub)) {
        return DBT_FAULT;
    }
    e = selected_elements(v, insn);
    if (insn->reg & BOUND_ALIGN && e.active && is_misaligned(v, insn, ea)) {
        return dbt_fault_error(v, EXC_GP, 0);
    }
    host = operand_host(v, insn, ea, write, copy, &copied);
    if (!host && !copied) {
        if (write ? !fpu_elements_probe(v, insn, ea, &e) : !fpu_elements_read(v, insn, ea, &e, copy)) {
            return DBT_FAULT;
        }
    }
    result = run_form(v, insn, host ? host : copy);
    if (G_UNLIKELY(result)) {
        return result == NATIVE_STALE ? rebind(v, insn) : stub_fault(v, result);
    }
    return host || !write ? DBT_NEXT : fpu_elements_write(v, insn, ea, &e, copy);
}

bool dbt_native_notes_x87(const DbtInsn *insn)
{
    return (insn->handler == run_registers || insn->handler == run_memory) && insn->reg & BOUND_POINTERS;
}

static unsigned describe_mask(const NativeMask *mask)
{
    return mask->kind << MASK_KIND_SHIFT | mask->reg << MASK_REG_SHIFT | mask->element_log2 << MASK_ELEMENT_SHIFT |
           mask->bits_log2 << MASK_BITS_SHIFT;
}

static bool bind_form(DbtVcpu *v, DbtInsn *insn, const NativeInsn *native)
{
    uint64_t serial;
    unsigned align = native->align ? __builtin_ctz(native->align) : 0;
    unsigned extra = native->mask.kind ? describe_mask(&native->mask) : native->fop;

    insn->aux = native_cache_get(v->accel->native, native, &serial);
    insn->imm = serial | (uint64_t)extra << SERIAL_BITS;
    insn->handler = native->mask.kind ? run_masked : native->mem_len ? run_memory : run_registers;
    insn->sub = native->unit;
    insn->op_size = native->mem_len;
    insn->reg = align | (native->misalign_ok ? BOUND_MISALIGN_OK : 0) |
                (native->x87_pointers ? BOUND_POINTERS : 0);
    if (native->mem_len && native->access != MMU_READ) {
        insn->reg |= native->access == MMU_STORE ? BOUND_STORE : BOUND_WRITE;
    }
    if (!insn->aux) {
        insn->handler = rebind; /* no room until a reclaimed segment has drained */
    }
    return true;
}

bool dbt_native_bind(DbtVcpu *v, DbtInsn *insn, const struct ZydisDecodedInstruction_ *dec,
                     const struct ZydisDecodedOperand_ *operands, const uint8_t *bytes)
{
    NativeInsn native;

    return native_encode(&native, v->code_bits, dec, operands, bytes) &&
           bind_form(v, insn, &native);
}

/*
 * The form of an instruction decoded earlier is gone: binds it again from the bytes in memory and
 * runs it. insn is this vCPU's own cache entry, so the new binding may be kept in it. While there
 * is no room, or if other bytes are there by now, leaves without progress: the loop decodes anew.
 */
static DbtStep rebind(DbtVcpu *v, const DbtInsn *insn)
{
    uint8_t bytes[NATIVE_INSN_MAX];
    DbtInsn fresh;
    uint64_t gpa;
    unsigned len = dbt_fetch(v, bytes, sizeof(bytes), &gpa);

    if (!len) {
        return DBT_FAULT;
    }
    if (dbt_decode(v, bytes, len, v->state->rip, &fresh) == DECODE_MORE ||
        fresh.mnemonic != insn->mnemonic || fresh.len != insn->len || !fresh.aux) {
        return DBT_LEAVE;
    }
    *(DbtInsn *)insn = fresh;
    return fresh.handler(v, insn);
}

bool dbt_native_init(DbtAccel *accel, GError **errp)
{
    native_signals_init();
    accel->native = native_cache_new(SEGMENT_SIZE, errp);
    return accel->native;
}

void dbt_native_release(DbtAccel *accel)
{
    native_cache_free(accel->native);
    accel->native = NULL;
}
