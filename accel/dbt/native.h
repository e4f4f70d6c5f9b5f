/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unprivileged instructions run on the host's own unit: what the native*.c files share.
 *
 *     guest bytes --native_encode--> NativeInsn: host bytes, registers, what state they need
 *                 --native_emit----> a stub around them, in the cache's code memory
 *                 --native_enter---> run on CpuState and a host address of the operand
 *
 *   native.c         binding, gates (#UD, #NM, #MF), running a stub, results
 *   native-describe.c which instructions, and what they read, write and need
 *   native-encode.c  normal form: operand at [reg], guest RSP renamed, prefixes rebuilt
 *   native-emit.c    the stub: load what the instruction reads, run it, store what it wrote
 *   native-cache.c   the forms known, their code memory, reclaiming it
 *   native-run.c     entering a stub, and the signals of instructions that fault in one
 *
 * Registers keep their numbers, so implicit operands need no care. The exceptions: guest RSP is
 * never in host RSP, and two registers the instruction does not use hold CpuState and the operand.
 */
#ifndef DBT_NATIVE_H
#define DBT_NATIVE_H

#include <Zydis/Zydis.h>

#include "accel/dbt/dbt.h"

#define NATIVE_INSN_MAX 15
#define NATIVE_STUB_MAX 1024 /* bytes; the largest has all vector registers live: about 700 */

/* Which unit an instruction needs, for the checks before it runs. */
enum {
    FPU_X87 = 1 << 0,
    FPU_MMX = 1 << 1,
    FPU_SSE = 1 << 2,
    FPU_AVX = 1 << 3,
    FPU_WAIT = 1 << 4, /* reports a pending x87 exception first */
    FPU_AVX512 = 1 << 5,
    FPU_WIDE = 1 << 6, /* no unit: may set bits 511:256 of a register below 16 (DbtVcpu.wide_vectors) */
};

/*
 * How an opmask selects among the elements of a memory operand. Those not selected are neither accessed nor do
 * they fault (SDM vol. 2, 2.7.5 and the exception classes without "NF" in 2.8).
 */
typedef enum NativeMaskKind {
    NATIVE_MASK_NONE,     /* the operand is accessed in full */
    NATIVE_MASK_EACH,     /* element i with bit i */
    NATIVE_MASK_PACKED,   /* as many elements as bits are set: compressing and expanding moves */
    NATIVE_MASK_REPEATED, /* element i with any of bits i, i + n, i + 2n ...: broadcasts of n elements */
} NativeMaskKind;

typedef struct NativeMask {
    NativeMaskKind kind;
    uint8_t reg;          /* opmask register, 1..7 */
    uint8_t element_log2; /* bytes of an element of the memory operand */
    uint8_t bits_log2;    /* bits of the opmask that count */
} NativeMask;

/* An instruction in normal form. Two with equal bytes and rsp_reg have equal stubs. */
typedef struct NativeInsn {
    uint8_t bytes[NATIVE_INSN_MAX + 1];
    uint8_t len;
    uint8_t rsp_reg;             /* host register standing for guest RSP, or INSN_NO_REG */
    uint8_t state_reg;           /* host register of CpuState */
    uint8_t mem_reg;             /* host register of the memory operand, or INSN_NO_REG */
    uint16_t gprs, gprs_written; /* by guest number */
    uint32_t vecs, vecs_written;
    uint8_t opmasks, opmasks_written;
    bool vex;   /* VEX encoded: results are zero-extended to the full vector */
    bool evex;  /* EVEX encoded: the same, and registers are loaded in full */
    bool ymm;   /* vector operands are 32 bytes */
    bool flags; /* reads or writes arithmetic flags */
    bool mxcsr; /* depends on MXCSR and accrues exceptions in it */
    bool x87;   /* works on x87 or MMX registers */

    /* For the binding; not part of the stub. */
    uint8_t unit;     /* FPU_* */
    uint8_t mem_len;  /* bytes, 0: no memory operand */
    uint8_t align;    /* required alignment of the operand, 0: none */
    bool misalign_ok; /* MXCSR.MM lifts the requirement (APM vol. 1, 4.3.2) */
    bool locked;
    bool x87_pointers; /* updates FIP, FDP and FOP */
    MmuAccess access;
    uint16_t fop;
    NativeMask mask;
} NativeInsn;

/* The ModRM, VEX, EVEX and opcode fields that name registers, as host numbers. */
typedef struct NativeFields {
    uint8_t reg, rm, vvvv, opcode_reg;
    bool opcode_has_reg;
    bool need_rex, no_rex; /* SPL..DIL; AH..BH */
} NativeFields;

/* native-describe.c: fills all of out but bytes and len, and the demands on REX in fields. false:
 * not an instruction for native execution. */
bool native_describe(NativeInsn *out, NativeFields *fields, const ZydisDecodedInstruction *dec,
                     const ZydisDecodedOperand *operands);
/* 0..15 for any name of a general register, else INSN_NO_REG. */
uint8_t native_gpr_number(ZydisRegister reg);
/* Whether instructions of this kind do nothing but compute: registers, one operand, arithmetic flags. Both the
 * native stubs and the translator re-encode these. */
bool native_extension_is_plain(const ZydisDecodedInstruction *dec);
/* Whether an EVEX instruction computes without a look at MXCSR and without numeric exceptions. */
bool native_ignores_mxcsr(const ZydisDecodedInstruction *dec);
/* AH, CH, DH, BH. */
bool native_is_high_byte(ZydisRegister reg);

/* native-encode.c: describes and encodes. false: not an instruction for native execution. */
bool native_encode(NativeInsn *out, unsigned code_bits, const ZydisDecodedInstruction *dec,
                   const ZydisDecodedOperand *operands, const uint8_t *bytes);

/* native-emit.c: writes the stub, at most NATIVE_STUB_MAX bytes; its length. */
unsigned native_emit(uint8_t *out, const NativeInsn *insn);

/*
 * native-cache.c. A form is found or made under a lock and used without one: code is valid within
 * an RCU read section in which native_form_code() returned it. serial tells a form from later ones
 * in the same slot; it is never 0.
 */
typedef struct NativeForm NativeForm;
typedef struct DbtNative DbtNative;

DbtNative *native_cache_new(size_t segment_size, GError **errp);
void native_cache_free(DbtNative *cache);
/* NULL: no memory can be reused yet, try again later. */
const NativeForm *native_cache_get(DbtNative *cache, const NativeInsn *insn, uint64_t *serial);
/* NULL if the form is gone. Within an RCU read section. */
const void *native_form_code(const NativeForm *form, uint64_t serial);
bool native_cache_contains(const DbtNative *cache, uintptr_t address);
/* For tests and statistics: stubs made, segments reclaimed. */
typedef struct NativeStats {
    uint64_t forms_made;
    uint64_t segments_reclaimed;
    uint64_t bytes; /* of code memory */
} NativeStats;
NativeStats native_cache_stats(DbtNative *cache);

/*
 * native-run.c. Runs a stub; x87: it works on x87 or MMX registers. Returns 0, or NATIVE_FAULT plus
 * the vector the instruction raised, in which case registers and memory are as before (MXCSR has
 * the flags of #XM).
 */
#define NATIVE_FAULT 0x100
uint32_t native_run(DbtVcpu *v, const void *code, void *mem, bool x87);
/* Installs the handlers, unless they are in place. */
void native_signals_init(void);

/* native.c: the checks before an instruction of these units. false: v->fault is set. */
bool dbt_fpu_check(DbtVcpu *v, unsigned unit);
/* FIP, FDP and FOP name the last x87 instruction that is not a control instruction: whether this is one; and that it
 * was the last one, at rip, without an operand that counts. */
bool dbt_native_notes_x87(const DbtInsn *insn);
void dbt_native_note_x87(DbtVcpu *v, const DbtInsn *insn, uint64_t rip);
/* x87 exception flags that are set and not masked. */
static inline bool dbt_x87_pending(const FpuState *fpu)
{
    return fpu->fsw & ~fpu->fcw & 0x3f;
}

#endif
