/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside accel/dbt: the pieces of the interpreter and how they meet.
 *
 *   exec.c      the loop of a vCPU thread: requests, interrupts, blocks
 *   decode.c    bytes -> DbtInsn (Zydis), block cache keyed by physical address and code size
 *   ops.h       the tables of handlers (DbtOp) each file brings; prototypes shared between files
 *   op-*.c      semantics: DbtHandler functions, in tables by Zydis mnemonic
 *   native.c    unprivileged instructions run on the host's own unit, re-encoded onto CpuState
 *   mmu.c       paging, software TLB, RAM/MMIO access, code pages (self-modifying code)
 *   seg.c       descriptor loads, far transfers, task switches
 *   exc.c       exceptions, interrupt delivery, IRET
 *   sys.c       CR, DR, MSR, CPUID, XCR, SYSCALL/SYSENTER
 *
 * State rules. CpuState (v->cpu->state) is exact at every instruction boundary: rip is that of the
 * instruction about to run. A handler that fails has changed nothing the guest can see.
 * rflags is always materialised: handlers take arithmetic flags from the host's own flags.
 */
#ifndef DBT_DBT_H
#define DBT_DBT_H

#include <stdbool.h>
#include <stdint.h>

#include "accel/accel.h"
#include "core/bits.h"
#include "core/cpu-state.h"
#include "core/vcpu.h"

typedef struct DbtVcpu DbtVcpu;
typedef struct DbtInsn DbtInsn;
typedef struct DbtBlock DbtBlock;
typedef struct DbtAccel DbtAccel;

/* What a handler tells the loop. */
typedef enum DbtStep {
    DBT_NEXT,  /* done; the loop has advanced rip over the instruction already (see exec.c) */
    DBT_LEAVE, /* done, rip is set or the block must end: branch, mode change, code page written */
    DBT_FAULT, /* v->fault is set; state is as before the instruction, rip points at it */
} DbtStep;

/*
 * A handler runs one instruction. On entry state->rip is the instruction's own address; the loop
 * adds insn->len after DBT_NEXT. A branch sets rip itself and returns DBT_LEAVE.
 */
typedef DbtStep (*DbtHandler)(DbtVcpu *v, const DbtInsn *insn);

enum {
    INSN_LOCK = 1 << 0,
    INSN_REP = 1 << 1,        /* F3, where it is a repeat prefix (REPE) */
    INSN_REPNE = 1 << 2,      /* F2, likewise */
    INSN_REG_HIGH = 1 << 3,   /* reg names AH..BH: gpr[reg - 4] bits 15..8 */
    INSN_RM_HIGH = 1 << 4,    /* rm likewise */
    INSN_MEM = 1 << 5,        /* rm is memory: seg, base, index, scale, disp */
    INSN_RIP_REL = 1 << 6,    /* disp is relative to the next instruction */
};

#define INSN_NO_REG 0xff

struct DbtInsn {
    DbtHandler handler;
    uint8_t len;
    uint8_t op_size;   /* of the main operand in bytes: 1, 2, 4, 8 (vector: the memory operand's) */
    uint8_t addr_size; /* 2, 4, 8 */
    uint8_t reg;       /* ModRM.reg or the opcode's register, REX applied */
    uint8_t rm;        /* register form; INSN_NO_REG if memory */
    uint8_t base, index; /* INSN_NO_REG: none */
    uint8_t scale;     /* 1, 2, 4, 8 */
    uint8_t seg;       /* effective SegIndex of the memory operand, overrides applied */
    uint8_t sub;       /* the handler's own: condition code, ALU operation, ... */
    uint16_t flags;    /* INSN_* */
    uint16_t mnemonic; /* ZydisMnemonic, for logs and tables */
    int16_t offset;    /* from its block's begin, bytes */
    int64_t disp;      /* displacement; selector of a far pointer in the instruction */
    uint64_t imm;      /* sign-extended as the instruction does; branch distance; far offset */
    const void *aux;   /* native.c: the host code of this form */
};

/* An exception on its way to the guest. */
typedef struct DbtFault {
    uint8_t vector;
    bool has_error;
    uint32_t error;
} DbtFault;

/* vcpu.accel. Fields are grouped by the file that owns them; others use its functions. */
struct DbtVcpu {
    Vcpu *cpu;
    CpuState *state; /* &cpu->state */
    DbtAccel *accel;

    bool inside; /* dbt.c: this vCPU is inside guest code; atomic */

    /*
     * exec.c. limit is where the loop stops after the instruction now running: a handler or a
     * store that needs the loop's attention afterwards calls dbt_end_block(), whatever it returns.
     */
    const DbtInsn *limit;
    bool attention;       /* IF, TF, DR7, TPR or the like changed: look before the next instruction */
    bool stepping;        /* one instruction (or one REP iteration) at a time: TF, breakpoints, shadow */
    uint32_t pauses;      /* PAUSE instructions run */
    const DebugPoint *watch_met; /* guest-debug.c: to report when this instruction has ended */
    bool untraced;        /* the instruction went through a gate or SYSCALL: no single-step trap */
    uint32_t debug_traps; /* DR6 bits of trap-class #DB to raise when this instruction has ended */

    /* exc.c */
    DbtFault fault;
    uint64_t fault_linear; /* of a #PF: CR2 when it is delivered */
    int delivering; /* vector being delivered, -1: none; for double and triple faults */

    /* seg.c, sys.c: derived from the state by dbt_mode_changed() */
    uint8_t code_bits;   /* 16, 32, 64 */
    uint8_t cpl;
    bool stack32;        /* SS.B, stack width 4 (16-bit stack: false); 64-bit mode ignores it */
    bool paging;
    bool real;           /* CR0.PE=0 or RFLAGS.VM=1: real-address segmentation */
    bool flat;           /* DS, ES, SS bases 0 and limits 4 GiB, or 64-bit mode: no segment checks */
    uint8_t flat_read, flat_write; /* bit n: segment n needs no check when read, written (mmu.h) */
    uint64_t seg_base[SEG_COUNT];  /* as addressing uses it: 0 for ES, CS, SS, DS in 64-bit mode */

    struct MmuTlb *tlb;     /* mmu.c: of the context of data accesses; see dbt_context_changed */
    struct MmuFetchTlb *fetch_tlb; /* mmu.c: of the privilege level */
    const CpuidTable *cpuid; /* &cpuid_copy once set */
    CpuidTable cpuid_copy;
    uint64_t fetch_epoch[2]; /* mmu.c: of the lower and upper half of the address space; see dbt_fetch_page */
    uint64_t tlb_epoch;     /* mmu.c: any entry of any TLB may have gone */
    struct DbtMmu *mmu;     /* mmu.c */
    struct DbtCache *cache; /* decode.c */
    struct DbtSys *sys;     /* sys.c */
    struct DbtJit *jit;     /* jit.h; NULL: interpreted only */
    struct DbtJournal *journal; /* jit-lockstep.c */
    bool journaling;        /* writes to RAM are noted there */

    /* ZMM0..15 may have something in their upper halves (ZMM_Hi256), so that translated code keeps them in full.
     * Set by everything that writes there; cleared where the state is looked at anyway (fpu-xsave.c). */
    bool wide_vectors;

    /* native.c: x87 state around a stub, as FXSAVE64 has it. Not on the stack, whose recent narrow
     * stores would stall FXRSTOR's loads. */
    uint8_t x87_image[512] __attribute__((aligned(16)));
};

/*
 * --- exec.c ---
 */
/* The loop looks at requests, interrupts and traps when the running instruction has ended. */
static inline void dbt_end_block(DbtVcpu *v)
{
    v->limit = NULL;
}

/* The same, and something that decides whether interrupts or traps are taken has changed: anyone
 * who sets IF, TF, VIF, DR7, or lowers the TPR. */
static inline void dbt_attention(DbtVcpu *v)
{
    v->attention = true;
    v->limit = NULL;
}

/* RFLAGS was loaded as a whole, by IRET or SYSRET: attention if it gives reason. */
void dbt_rflags_loaded(DbtVcpu *v);

/*
 * --- dbt.c: exclusive sections ---
 *
 * Between begin and end every other vCPU is outside guest code: it touches no guest RAM, no TLB
 * and no code page. From any thread; nests on one thread. Order: machine_lock before an exclusive
 * section, so a vCPU leaves guest code around anything that may take machine_lock (device access,
 * PIC acknowledge), and never takes machine_lock inside a section.
 */
void dbt_exclusive_begin(DbtAccel *accel);
void dbt_exclusive_end(DbtAccel *accel);
/* The vCPU's own thread steps out of guest code and back in; enter waits while a section runs, and
 * serves mmu.c's requests (dbt_mmu_sync). Host pointers into guest RAM are void afterwards. */
void dbt_guest_leave(DbtVcpu *v);
void dbt_guest_enter(DbtVcpu *v);

/* --- exc.c --- */
/* Record a fault and return DBT_FAULT. */
DbtStep dbt_fault(DbtVcpu *v, uint8_t vector);
DbtStep dbt_fault_error(DbtVcpu *v, uint8_t vector, uint32_t error);
DbtStep dbt_page_fault(DbtVcpu *v, uint64_t linear, uint32_t error); /* sets CR2 when delivered */
/* Delivers v->fault to the guest (IDT, TSS, stack switch; double and triple faults). */
void dbt_deliver_fault(DbtVcpu *v);
/* Delivers an external interrupt or NMI at an instruction boundary. */
void dbt_deliver_interrupt(DbtVcpu *v, uint8_t vector, bool nmi);
/* Software interrupts: INT n, INT3, INTO, INT1. next_rip is pushed. */
DbtStep dbt_software_interrupt(DbtVcpu *v, uint8_t vector, uint64_t next_rip);

/* --- seg.c --- */
/* Recomputes code_bits, cpl, stack32, paging, flat, seg_base, tlb; call after any change of CR0, CR4,
 * EFER, RFLAGS.VM or a segment register. */
void dbt_mode_changed(DbtVcpu *v);
/* The part of it a change of RFLAGS.AC needs (STAC, CLAC, POPF). */
void dbt_context_changed(DbtVcpu *v);
/* fpu-image.c: vector registers were written as a whole: sets wide_vectors. */
void dbt_vectors_changed(DbtVcpu *v);
/* CpuState was written from outside (reset, INIT, migration, gdb): derives everything anew, flushes
 * the TLB, loads the PDPTEs, asks for attention. */
void dbt_state_loaded(DbtVcpu *v);

/* --- mmu.c ---
 *
 * Accesses by segment and effective address (seg_*), or by linear address (lin_*). All return
 * false with v->fault set. Accesses may cross pages; a store that faults stores nothing.
 * They check the segment (limit, type, canonical form), alignment (CR0.AM), and the page.
 */
typedef enum MmuAccess {
    MMU_READ,
    MMU_WRITE, /* read and write */
    MMU_STORE, /* only written, in full: a bounce buffer is not filled first (MMIO is not read) */
    MMU_FETCH,
} MmuAccess;

/* Implicit supervisor accesses (descriptor tables, TSS, interrupt frames) use lin_ with this set. */
typedef enum MmuMode { MMU_CPL, MMU_SYSTEM } MmuMode;

/* size is 1, 2, 4 or 8; the value is zero-extended. Inline fast paths are in mmu.h. */
bool dbt_lin_read(DbtVcpu *v, uint64_t linear, void *buf, unsigned len, MmuMode mode);
bool dbt_lin_write(DbtVcpu *v, uint64_t linear, const void *buf, unsigned len, MmuMode mode);
/* Segment check only: effective address to linear. */
bool dbt_seg_linear(DbtVcpu *v, SegIndex seg, uint64_t ea, unsigned len, MmuAccess access, uint64_t *linear);
bool dbt_mem_read(DbtVcpu *v, SegIndex seg, uint64_t ea, void *buf, unsigned len);
bool dbt_mem_write(DbtVcpu *v, SegIndex seg, uint64_t ea, const void *buf, unsigned len);

/*
 * A memory operand made addressable for one instruction: host points at guest RAM itself where one
 * page of plain RAM holds it all, else at a bounce buffer (page crossing, MMIO, code pages).
 * dbt_mem_end writes a bounce buffer back; it cannot fault, the pages were checked by begin.
 * access MMU_WRITE means read and write. Locked operations on a bounce buffer hold the exclusive
 * section (all other vCPUs outside guest code) from begin to end.
 */
typedef struct DbtMemRef {
    void *host;
    uint64_t linear;
    uint32_t len;
    uint8_t kind; /* mmu.c's */
    bool write, locked;
    uint64_t gpa[2]; /* of the parts of a bounced operand */
    void *pair[2];   /* or their host addresses */
    uint8_t bounce[128] __attribute__((aligned(64)));
} DbtMemRef;

bool dbt_mem_begin(DbtVcpu *v, SegIndex seg, uint64_t ea, unsigned len, MmuAccess access, bool locked,
                   DbtMemRef *ref);
/* Calls dbt_end_block when the write touched watched code. */
void dbt_mem_end(DbtVcpu *v, DbtMemRef *ref);
/* Instead of dbt_mem_end, when the instruction faulted: writes nothing back. */
void dbt_mem_cancel(DbtVcpu *v, DbtMemRef *ref);

/* Instruction bytes at cs:rip, at most len, stopping at the first byte that cannot be fetched;
 * 0 means v->fault is set. *gpa is the physical address of the first byte. */
unsigned dbt_fetch(DbtVcpu *v, uint8_t *buf, unsigned len, uint64_t *gpa);

/* Physical address of a linear code address (one byte); false: v->fault is set. mmu.h has the
 * inline form. Any change that can alter its result must bump v->fetch_epoch of its half (TLB flushes, INVLPG,
 * CR0, CR3, CR4, EFER); the privilege level is compared by the caller. */
bool dbt_fetch_page(DbtVcpu *v, uint64_t linear, uint64_t *gpa);

/*
 * Code pages. Before the bytes [gpa, gpa + len) of one page are read for decoding, decode.c calls
 * dbt_code_watch. From then on every write to a watched 64-byte granule, by any vCPU or device,
 * increments the page's generation after the bytes are in place, and ends the watch of the whole
 * page: blocks that are found unchanged must be watched again. The result points at that counter
 * (valid until the memory map changes, which bumps fetch_epoch and calls dbt_cache_flush);
 * *generation is its value from when the watch began. NULL: not RAM or ROM, never cache. A write by
 * the vCPU itself also calls dbt_end_block.
 */
const uint32_t *dbt_code_watch(DbtVcpu *v, uint64_t gpa, unsigned len, uint32_t *generation);
/* Serves requests other threads left for this vCPU's TLB (VCPU_REQ_ACCEL). Own thread. */
void dbt_mmu_sync(DbtVcpu *v);

/* All translations, or all but global ones, of all process-context identifiers. */
void dbt_tlb_flush(DbtVcpu *v, bool global);
/* CR3 names an address space. keep: what is known of its identifier is still right (bit 63). */
void dbt_tlb_switch(DbtVcpu *v, bool keep);
/* An identifier's, but for global ones. */
void dbt_tlb_flush_pcid(DbtVcpu *v, uint16_t pcid);
/* The page at linear: the current identifier's or a global one (INVLPG); another identifier's, not a global one. */
void dbt_tlb_flush_page(DbtVcpu *v, uint64_t linear);
void dbt_tlb_flush_page_of(DbtVcpu *v, uint16_t pcid, uint64_t linear);

/* Effective address of a memory operand, cut to the address size; the segment is not applied. */
static inline uint64_t dbt_ea(const DbtVcpu *v, const DbtInsn *insn)
{
    const CpuState *s = v->state;
    uint64_t ea = (uint64_t)insn->disp;

    if (insn->base != INSN_NO_REG)
        ea += s->gpr[insn->base & 15];
    if (insn->index != INSN_NO_REG)
        ea += s->gpr[insn->index & 15] * insn->scale;
    if (insn->flags & INSN_RIP_REL)
        ea += s->rip + insn->len;
    if (insn->addr_size == 8)
        return ea;
    return insn->addr_size == 4 ? (uint32_t)ea : (uint16_t)ea;
}

/* --- decode.c --- */
/* Forgets every cached block of this vCPU. Own thread, or within an exclusive section. */
void dbt_cache_flush(DbtVcpu *v);

/*
 * --- life cycle: called by dbt.c ---
 * init is on the creating thread; the others on any while the vCPU stands still.
 */
bool dbt_mmu_init(DbtVcpu *v, GError **errp);
void dbt_mmu_release(DbtVcpu *v);
bool dbt_sys_init(DbtVcpu *v, GError **errp);
void dbt_sys_release(DbtVcpu *v);
/* The machine's map: listener on machine->memory, ram_written hook. */
bool dbt_map_init(DbtAccel *accel, Machine *machine, GError **errp);
void dbt_map_release(DbtAccel *accel);
/* native.c's code memory, shared by all vCPUs. */
bool dbt_native_init(DbtAccel *accel, GError **errp);
void dbt_native_release(DbtAccel *accel);
/* AccelOps.supported_cpuid (sys.c or its CPUID file). */
void dbt_supported_cpuid(Accel *accel, CpuidTable *table);
/* sys-cpuid.c: the host has AVX-512, and so much of it that guests are offered it. */
bool dbt_host_has_avx512(void);

/* kvm-pv.c: one reading of the clocks that all vCPUs' clock pages are made from. */
typedef struct DbtClock {
    GMutex lock;
    bool valid;
    uint64_t tsc; /* host TSC ... */
    int64_t ns;   /* ... when the virtual clock showed this */
} DbtClock;

struct DbtAccel {
    Accel accel;
    DbtClock clock;
    struct DbtMap *map;       /* mmu.c */
    struct DbtNative *native; /* native.c */
    struct DbtGate *gate;     /* dbt.c: exclusive sections */
    struct DbtDebug *debug;   /* guest-debug.c: a debugger's points; never NULL */
    const struct DbtOp **ops; /* decode.c: by Zydis mnemonic */
    GPtrArray *vcpus;         /* of DbtVcpu *; complete before the first runs */
    struct DbtJitPages *jit_pages; /* jit-unit.c */
    uint32_t tb_size;         /* MiB of translated code of all vCPUs */
    bool interpret;           /* no translated code */
    bool lock_step;           /* compare both */
    uint32_t translate_after; /* entries of a block before it is translated */
    uint32_t hot_after;       /* runs of its code before that is made anew, with all that takes time */
    bool one_insn_per_tb;
    bool perf_map;            /* names of units for perf ... */
    int perf_map_fd;          /* ... go here; -1: nowhere */
};

/* A vCPU's part of tb_size, in bytes, or so many 64ths of it. */
size_t dbt_budget(const DbtVcpu *v, unsigned share);

/* --- jit-run.c, jit-unit.c: translated code; all do nothing where there is none --- */
struct JitArea;
bool dbt_jit_init(DbtVcpu *v, GError **errp);
void dbt_jit_release(DbtVcpu *v);
/* The vCPU's blocks are about to be forgotten, or one of them is. */
void dbt_jit_flush(DbtVcpu *v);
void dbt_jit_drop_block(DbtVcpu *v, DbtBlock *block);
/* Nothing refers to a block without a unit behind this. */
void dbt_jit_settle(DbtVcpu *v);
/* On the vCPU's thread, before it runs. */
void dbt_jit_enter_thread(DbtVcpu *v);
/* Translated code returns to the loop. Any thread. */
void dbt_jit_kick(DbtVcpu *v);
/* The guest's x87 registers are in CpuState and the host's unit is free. Own thread, before anything
 * that uses either. */
void dbt_jit_x87_home(DbtVcpu *v);
/* JitArea.interrupt_maybe: an interrupt may wait for IF to be set; none does, unless one comes after this; none does for
 * certain. On the vCPU's thread; others kick. */
void dbt_jit_interrupt_maybe(DbtVcpu *v);
void dbt_jit_interrupt_none(DbtVcpu *v);
bool dbt_jit_no_interrupt(const DbtVcpu *v);
/* The page's generation has been raised. Any thread. */
void dbt_jit_page_changed(DbtAccel *accel, const uint32_t *generation);
bool dbt_jit_pages_init(DbtAccel *accel);
void dbt_jit_pages_release(DbtAccel *accel);
/* jit-lockstep.c: before a write to RAM; when something is done that cannot be undone. */
void dbt_journal_write(DbtVcpu *v, uint8_t *host, unsigned len);
void dbt_journal_lost(DbtVcpu *v);
/* jit-look.c */
bool dbt_perf_map_open(DbtAccel *accel, GError **errp);
void dbt_perf_map_close(DbtAccel *accel);
bool dbt_print_stats(Accel *accel, GString *out, GError **errp);
/* Adds v to accel->vcpus or takes it out, in step with dbt_jit_page_changed. */
void dbt_jit_pages_vcpu(DbtVcpu *v, bool add);

/* --- native.c ---
 *
 * Tries to bind an unprivileged instruction to host code. dec and operands are Zydis'. Fills
 * insn->handler and aux; false if this form must be handled elsewhere (or #UD).
 */
struct ZydisDecodedInstruction_;
struct ZydisDecodedOperand_;
bool dbt_native_bind(DbtVcpu *v, DbtInsn *insn, const struct ZydisDecodedInstruction_ *dec,
                     const struct ZydisDecodedOperand_ *operands, const uint8_t *bytes);

#endif
