/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CpuState: the registers of one x86-64 vCPU, in the architecture's own layout.
 *
 * The interpreter and the translator work on it directly; KVM fills and stores it by ioctl on
 * demand (AccelOps.get_state / put_state). gdbstub, migration, the monitor and logs read it.
 * Sources: Intel SDM vol. 1 ch. 3, 8, 10, 13; vol. 3 ch. 2; AMD APM vol. 2.
 *
 * Owner: the vCPU's thread. Others read it while that vCPU is paused (core/vcpu.h).
 */
#ifndef CORE_CPU_STATE_H
#define CORE_CPU_STATE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers of the ModRM and REX encodings. */
enum {
    GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI,
    GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15,
};

/* The numbers of the Sreg field (SDM vol. 2, table B-8). */
typedef enum SegIndex { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT } SegIndex;

/* A segment register with its hidden part. attr has bits 8..23 of the descriptor's upper
 * doubleword shifted down by 8, as VMX's access rights have them; unusable is bit 16. limit is in
 * bytes, G already applied. */
typedef struct SegmentReg {
    uint16_t selector;
    uint32_t attr;
    uint32_t limit;
    uint64_t base;
} SegmentReg;

enum {
    SEG_ATTR_TYPE = 0xf,
    SEG_ATTR_ACCESSED = 1 << 0,  /* type bit: accessed */
    SEG_ATTR_RW = 1 << 1,        /* type bit: data writable, code readable */
    SEG_ATTR_DC = 1 << 2,        /* type bit: data expands down, code conforming */
    SEG_ATTR_CODE = 1 << 3,      /* type bit: code */
    SEG_ATTR_S = 1 << 4,         /* code or data, not system */
    SEG_ATTR_DPL_SHIFT = 5,
    SEG_ATTR_DPL = 3 << 5,
    SEG_ATTR_P = 1 << 7,
    SEG_ATTR_AVL = 1 << 12,
    SEG_ATTR_L = 1 << 13,
    SEG_ATTR_DB = 1 << 14,
    SEG_ATTR_G = 1 << 15,
    SEG_ATTR_UNUSABLE = 1 << 16,
};

typedef struct DescTableReg {
    uint64_t base;
    uint16_t limit;
} DescTableReg;

enum {
    RFLAGS_CF = 1 << 0, RFLAGS_1 = 1 << 1, RFLAGS_PF = 1 << 2, RFLAGS_AF = 1 << 4,
    RFLAGS_ZF = 1 << 6, RFLAGS_SF = 1 << 7, RFLAGS_TF = 1 << 8, RFLAGS_IF = 1 << 9,
    RFLAGS_DF = 1 << 10, RFLAGS_OF = 1 << 11, RFLAGS_IOPL_SHIFT = 12, RFLAGS_IOPL = 3 << 12,
    RFLAGS_NT = 1 << 14, RFLAGS_RF = 1 << 16, RFLAGS_VM = 1 << 17, RFLAGS_AC = 1 << 18,
    RFLAGS_VIF = 1 << 19, RFLAGS_VIP = 1 << 20, RFLAGS_ID = 1 << 21,
    RFLAGS_ARITH = RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF,
};

#define CR0_PE (1u << 0)
#define CR0_MP (1u << 1)
#define CR0_EM (1u << 2)
#define CR0_TS (1u << 3)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)
#define CR0_AM (1u << 18)
#define CR0_NW (1u << 29)
#define CR0_CD (1u << 30)
#define CR0_PG (1u << 31)

#define CR4_VME (1u << 0)
#define CR4_PVI (1u << 1)
#define CR4_TSD (1u << 2)
#define CR4_DE (1u << 3)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_MCE (1u << 6)
#define CR4_PGE (1u << 7)
#define CR4_PCE (1u << 8)
#define CR4_OSFXSR (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_UMIP (1u << 11)
#define CR4_LA57 (1u << 12)
#define CR4_FSGSBASE (1u << 16)
#define CR4_PCIDE (1u << 17)
#define CR4_OSXSAVE (1u << 18)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define CR4_PKE (1u << 22)

#define EFER_SCE (1u << 0)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define EFER_NXE (1u << 11)
#define EFER_FFXSR (1u << 14)

/* Exception vectors (SDM vol. 3, table 6-1). */
enum {
    EXC_DE = 0, EXC_DB = 1, EXC_NMI = 2, EXC_BP = 3, EXC_OF = 4, EXC_BR = 5, EXC_UD = 6, EXC_NM = 7,
    EXC_DF = 8, EXC_TS = 10, EXC_NP = 11, EXC_SS = 12, EXC_GP = 13, EXC_PF = 14, EXC_MF = 16,
    EXC_AC = 17, EXC_MC = 18, EXC_XM = 19,
};

#define XCR0_X87 (1u << 0)
#define XCR0_SSE (1u << 1)
#define XCR0_AVX (1u << 2)
#define XCR0_OPMASK (1u << 5)
#define XCR0_ZMM_HI256 (1u << 6)
#define XCR0_HI16_ZMM (1u << 7)
#define XCR0_PKRU (1u << 9)
/* They are set together or not at all (SDM vol. 1, 13.3). */
#define XCR0_AVX512_PARTS (XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM)

typedef struct FpuState {
    /* x87, as FXSAVE stores it: ST(0) is st[0] whatever TOP is; ftw is the abridged tag byte. */
    uint16_t fcw;
    uint16_t fsw;
    uint8_t ftw;
    uint16_t fop;
    uint64_t fip;
    uint64_t fdp;
    uint16_t fcs, fds;
    uint32_t mxcsr;
    uint8_t st[8][16] __attribute__((aligned(16))); /* 10 bytes used */
    uint8_t zmm[32][64] __attribute__((aligned(64))); /* XMM is the low 16 bytes, YMM the low 32 */
    uint64_t opmask[8];
} FpuState;

/* MSRs a guest sets and that other code reads by name; the rest are handled where they belong. */
typedef struct MsrState {
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_aux, tsc_adjust, misc_enable, spec_ctrl, xss;
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_phys_base[8], mtrr_phys_mask[8];
    uint64_t mcg_status, mcg_ctl;
    uint64_t kvm_system_time, kvm_wall_clock, kvm_pv_eoi, kvm_async_pf, kvm_steal_time, kvm_poll_control;
} MsrState;

typedef enum MpState {
    MP_RUNNABLE,
    MP_HALTED,        /* HLT or MWAIT: wakes on an interrupt */
    MP_INIT_RECEIVED, /* after INIT, waits for SIPI; application processors start here */
} MpState;

typedef struct CpuState {
    uint64_t gpr[16];
    uint64_t rip;
    uint64_t rflags;
    SegmentReg seg[SEG_COUNT];
    SegmentReg ldtr, tr;
    DescTableReg gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, cr8; /* cr8: TPR[7:4] where the LAPIC is not ours; else unused */
    uint64_t efer;
    uint64_t xcr0;
    uint64_t dr[8]; /* dr[4], dr[5] unused */
    uint64_t apic_base;
    uint64_t tsc_offset; /* guest TSC = host TSC + tsc_offset */
    uint32_t pkru;
    MsrState msr;
    FpuState fpu;

    MpState mp_state;
    uint8_t sipi_vector;
    bool interrupt_shadow; /* after STI or MOV SS: no interrupt before the next instruction ends */
    bool nmi_masked;       /* until IRET */
    bool nmi_pending;
    /* An event already decided but not delivered (KVM's vcpu_events); none if !event_pending. */
    bool event_pending;
    bool event_has_error;
    uint8_t event_vector;
    uint8_t event_type; /* VMX interruption type: 0 external, 2 NMI, 3 hardware exception, 4 software */
    uint32_t event_error;
} CpuState;

/* Power-up state (SDM vol. 3, table 9-1); INIT keeps CR0.CD/NW, x87, SSE, MSRs, XCR0 and the TSC.
 * The processor signature goes to RDX. APs come up in MP_INIT_RECEIVED. tsc_offset is 0 after reset:
 * the caller sets the same one on all vCPUs, or the guest sees their TSCs differ. */
void cpu_state_reset(CpuState *state, uint32_t signature, bool bsp);
void cpu_state_init(CpuState *state, uint32_t signature, bool bsp);
/* A start-up IPI taken in MP_INIT_RECEIVED: runs at vector << 12. */
void cpu_state_sipi(CpuState *state, uint8_t vector);
/* 16, 32 or 64: the size of code CS selects. */
unsigned cpu_state_code_bits(const CpuState *state);
static inline unsigned cpu_state_cpl(const CpuState *state)
{
    return state->seg[SEG_SS].attr >> SEG_ATTR_DPL_SHIFT & 3;
}

/*
 * The XSAVE area in the standard (not compacted) format, as the host CPU lays it out
 * (CPUID.0Dh; SDM vol. 1, 13.4). size is that of the buffer, at least cpu_state_xsave_size(mask).
 * Components outside mask are not touched; "from" takes components absent from XSTATE_BV in their
 * initial configuration.
 */
uint32_t cpu_state_xsave_size(uint64_t mask);
void cpu_state_to_xsave(const CpuState *state, uint64_t mask, void *area, uint32_t size);
void cpu_state_from_xsave(CpuState *state, uint64_t mask, const void *area, uint32_t size);

/* The multi-line register dump of logs, "info registers" and triple faults. */
void cpu_state_print(const CpuState *state, unsigned cpu_index, GString *out);

#endif
