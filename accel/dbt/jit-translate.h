/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the translation of one unit: what the emitters share.
 *
 * An emitter turns one instruction into host code at t->hot, or returns false to leave it to the
 * interpreter; then nothing of what it emitted stays. R10 and R11 are its scratch registers. It must
 * make all its checks (jit_emit_operand, jit_emit_access) before the instruction's first effect, because
 * a check that fails runs the whole instruction in the interpreter.
 */
#ifndef DBT_JIT_TRANSLATE_H
#define DBT_JIT_TRANSLATE_H

#include <Zydis/Zydis.h>

#include "accel/dbt/jit.h"
#include "accel/dbt/mmu-priv.h"

#define JIT_FRAME(field) ((int32_t)offsetof(JitFrame, field))

/* The scratch registers, and where guest RSP is. */
#define HOST_ADDR GPR_R10
#define HOST_TEMP GPR_R11
#define HOST_SP GPR_R9

/* Arithmetic flags of an instruction. */
typedef struct JitFlags {
    uint32_t reads;
    uint32_t writes;  /* in any case, undefined ones included */
    uint32_t touches; /* maybe */
    uint32_t undefined;
} JitFlags;

/* How the flags of an instruction are made again: alu on the first operand's value and the second, undo before it. */
typedef struct JitRemake {
    uint8_t alu, undo;     /* undo HOST_NO_REG: nothing */
    uint8_t size;          /* of operands, in bytes */
    uint8_t first, second; /* guest registers, of the second HOST_NO_REG: it is value */
    bool immediate;
    uint32_t value;
} JitRemake;

typedef struct JitInsn JitInsn;
typedef struct JitTranslator JitTranslator;
typedef bool (*JitEmitter)(JitTranslator *t, const JitInsn *in);

struct JitInsn {
    const DbtInsn *insn;
    const uint8_t *bytes;
    uint64_t rip; /* what it is part of in the code is noted: jit_note_address */
    uint64_t next; /* where the path goes on (jit-path.c); 0: it ends here */
    ZydisDecodedInstruction dec;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    JitEmitter emit; /* NULL: the interpreter's */
    JitFlags flags;
    bool x87;        /* works on x87 or MMX registers */
    uint8_t vectors; /* JIT_VECTORS_* it needs: vector registers, MXCSR, opmasks */
    uint32_t live;   /* flags that are needed before it runs, by itself or later */
    uint8_t group;   /* its only access is one of groups[group - 1]; 0: of none */
    uint8_t base, index; /* with a group: the guest registers it is at */
    int64_t shift;   /* what was added to the group's value in them */
    /* Of jit-return.c. */
    bool brief;       /* RET: its guard may change flags */
    uint8_t maker;    /* flags that nobody needs from here on are those of insns[maker - 1], made again where the unit is left; 0: not so */
    uint8_t keeps;    /* operands that wait in frame.remake for that, by bits */
    JitRemake remake; /* of one that is a maker */
};

/* A check that may fail: what its stub does. */
typedef struct JitMiss {
    enum {
        JIT_MISS_INTERPRET,     /* the interpreter's turn */
        JIT_MISS_WRAP,          /* that of a unit without groups */
        JIT_MISS_SITE,          /* fill the site; HOST_ADDR is the address */
        JIT_MISS_SITE_DISTANCE, /* the same; HOST_ADDR is the distance from its tag */
        JIT_MISS_TABLE,         /* fill the tables; HOST_ADDR is the distance from the tag of entry HOST_TEMP */
        JIT_MISS_CONSTANT,      /* fill the tables; the address is known */
        JIT_MISS_BASE,          /* fill the entry; HOST_ADDR is the segment's base */
    } kind;
    uint32_t patch; /* the rel32 of the jump to the stub */
    uint32_t retry; /* where the check begins */
    bool write;
    bool plain;     /* what cannot be filled is left to a unit without groups */
    bool known;     /* so is what no table has */
    bool span;      /* the site holds spans */
    bool keeps_temp; /* HOST_TEMP is needed behind the check */
    uint32_t site;  /* from GS */
    int32_t low;    /* BASE: what the entry is for begins so far from the base */
    uint64_t address;
    const DbtInsn *insn; /* whose address it is */
} JitMiss;

typedef enum JitGroupKind {
    JIT_GROUP_VALUE, /* near what a register has */
    JIT_GROUP_ARRAY, /* at that, and an index that is limited */
    JIT_GROUP_BASE,  /* near the base of FS or GS */
    JIT_GROUP_PAGE,  /* at constant addresses */
} JitGroupKind;

/* Accesses that share one check (jit-group.c). low and high are distances from the value they are all near. With an index what
 * is kept is not the page's delta but that and the base; so it is for an array, whose range is that of all indices. */
typedef struct JitGroup {
    JitGroupKind kind;
    uint8_t scale;     /* 0: no index */
    bool write, seen;
    bool known;        /* it begins with loads: nothing is to be walked for it */
    bool hashed;       /* by the tables: the delta (and base) is in frame.group[slot], else in the site */
    bool checked;      /* the check has been emitted */
    bool keeps;        /* BASE, PAGE: the first access leaves in frame.group[slot] where the others go from */
    bool dropped;      /* each of its accesses is on its own */
    SegIndex segment;  /* BASE */
    unsigned count, slot;
    uint32_t site;     /* its number */
    int64_t low, high; /* BASE, PAGE: low is where the entry's reach begins */
    int64_t shift;     /* JitInsn.shift of the first */
    uint16_t before, behind; /* indices of 32 bits that must not wrap around: so far below and above that of the first */
} JitGroup;

/* Where an operand is on the host, and a scratch register that says nothing about it. */
typedef struct JitPlace {
    HostAddress at;
    uint8_t spare; /* HOST_NO_REG: none */
} JitPlace;

/* A conditional branch (jit-place.c). */
typedef struct JitBranch {
    uint32_t last;  /* offset of its last byte in the code */
    uint64_t guest; /* linear address of the last byte in the guest's */
} JitBranch;

struct JitTranslator {
    DbtJit *jit;
    JitUnit *unit;
    JitEmit *hot, *cold;
    ZydisDecoder decoder[2]; /* 64, 32 bits */
    JitInsn insns[BLOCK_MAX_INSNS];
    unsigned count;
    bool is32;
    bool has_sites;     /* else all accesses look in the tables: the code is not hot yet */
    uint32_t counts;    /* the unit counts so many runs and is left in front of the last; 0: none */
    uint64_t predicted; /* where its indirect branch at the end went when it was made; 0: nobody knows */

    /* Flags for an unknown successor are saved behind this instruction; -1: at entry; count: no need. */
    int save_point;
    bool remakes;        /* not they, but a note how to make them again */
    JitRemake remake;
    bool flags_in_frame; /* the instruction now emitted is behind that */
    bool hands_flags_over; /* at its end, in the frame, to another page or code that only passes them on */
    uint8_t exit_mode;   /* the vCPU's mode at exits emitted now */
    uint32_t live_in, flags_out, flags_undefined;
    bool x87;            /* an instruction before this one has loaded the x87 registers */
    uint32_t x87_note;   /* what has to get into JitArea.x87_note before anyone looks; 0: nothing */
    uint8_t vectors;     /* JIT_VECTORS_* that instructions before this one have loaded */
    uint32_t frame_written; /* guest registers the unit writes, not counting constants: bits */

    JitGroup groups[BLOCK_MAX_INSNS];
    unsigned group_count;
    unsigned string_spans; /* repeated instructions that try to do without pieces, so far */
    int32_t sp_behind;   /* what HOST_SP has yet to be moved by to be guest RSP (jit-stack.c) */
    bool sp_lags;        /* the instruction now emitted may add to that */
    uint8_t held;        /* HOST_TEMP has the delta of this group (number + 1); 0: of none */
    int64_t held_shift;  /* with an array's delta it has a register that had this added to it */

    JitBranch branches[BLOCK_MAX_INSNS];
    unsigned branch_count;

    /* Of the instruction now emitted. */
    unsigned index;
    JitMiss misses[8];
    unsigned miss_count;
    bool keeps_temp;    /* it leaves HOST_TEMP as it is, or with a group's delta */
    bool miss_flags;    /* at the misses flags are parked */
};

/* How a unit ends, as far as flags are concerned. */
typedef enum JitEnd {
    JIT_END_NEXT,     /* goes on at known addresses */
    JIT_END_INDIRECT, /* frame.flags has to have the flags */
    JIT_END_INTERPRETER, /* the interpreter ends it and needs all flags */
} JitEnd;

static inline bool jit_is_spilled(uint8_t guest)
{
    return guest >= GPR_R9 && guest <= GPR_R11;
}

/* Not in the unit's page: where control goes may be in another page of memory the next time. */
static inline bool jit_is_far(const JitTranslator *t, uint64_t rip)
{
    return (rip ^ t->unit->rip) >> GUEST_PAGE_BITS;
}

/* Some flag is needed by the instruction now emitted, or behind it. */
static inline bool jit_flags_live(const JitTranslator *t)
{
    return t->insns[t->index].live;
}

/* The instruction's accesses look their page up in the tables: it has no site. */
static inline bool jit_is_hashed(const JitTranslator *t, unsigned index)
{
    return !t->has_sites || t->unit->block->sites_hashed >> index & 1;
}

/* They have a site that holds a span of pages. */
static inline bool jit_is_span(const JitTranslator *t, unsigned index)
{
    return t->unit->block->sites_span >> index & 1;
}

static inline MmuContext jit_context(const JitTranslator *t)
{
    return t->jit->mode_key >> JIT_MODE_CONTEXT_SHIFT & 3;
}

/* The host register of a guest register that has one. */
static inline uint8_t jit_host(uint8_t guest)
{
    return guest == GPR_RSP ? HOST_SP : guest;
}

/* Where the frame has the base of FS or GS. */
static inline int32_t jit_base_slot(SegIndex seg)
{
    return JIT_FRAME(seg_base) + (seg == SEG_GS ? 8 : 0);
}

static inline int32_t jit_spill_slot(uint8_t guest)
{
    return JIT_FRAME(spill) + 8 * (guest - GPR_R9);
}

static inline void jit_emit_load_spill(JitTranslator *t, uint8_t host, uint8_t guest)
{
    emit_rm(t->hot, true, HOST_LOAD, host, GPR_RSP, jit_spill_slot(guest));
}

/* The guest's register, or the scratch register that it is loaded into. */
static inline uint8_t jit_emit_load_guest(JitTranslator *t, uint8_t guest, uint8_t scratch)
{
    if (!jit_is_spilled(guest))
        return jit_host(guest);
    jit_emit_load_spill(t, scratch, guest);
    return scratch;
}

static inline void jit_emit_store_spill(JitTranslator *t, uint8_t guest, uint8_t host)
{
    emit_rm(t->hot, true, HOST_STORE, host, GPR_RSP, jit_spill_slot(guest));
}

/* --- jit-flags.c --- */
JitFlags jit_insn_flags(const ZydisDecodedInstruction *dec, const uint8_t *bytes);
/* Fills JitInsn.live, save_point, live_in, flags_out. */
void jit_flags_analyse(JitTranslator *t, JitEnd end);
/* Around code that changes flags the instruction or what follows it needs: they wait in AX, and guest RAX in the
 * frame; nothing is emitted if nobody needs any. may_miss: checks between the two may fail. */
void jit_emit_park_flags(JitTranslator *t, bool may_miss);
void jit_emit_unpark_flags(JitTranslator *t);
/* The second half wherever flags are parked. */
void jit_emit_flags_back(JitEmit *e);

/* --- jit-return.c --- */
/* Which instructions could make flags again for returns on the path; before jit_flags_analyse. */
void jit_returns_find(JitTranslator *t);
/* What is needed for whoever RET n returns to instead, where live flags are needed behind it. Decides on JitInsn.brief. */
uint32_t jit_return_needs(JitTranslator *t, unsigned n, uint32_t live);
/* Where the RET at the unit's end finds its return address, with the stack pointer of now; false: that is not to be told beforehand. */
bool jit_return_slot(const JitTranslator *t, uint64_t *address);
/* Behind an instruction: what of its operands will be lost. HOST_ADDR is lost. */
void jit_emit_keep_operands(JitTranslator *t);
/* Where the unit is left at the instruction now emitted: its flags in EFLAGS, if they are to be made again. HOST_TEMP is lost. */
void jit_emit_recover_flags(JitTranslator *t, JitEmit *e);

/* --- jit-remake.c --- */
/* Whether the flags of an instruction can be made again: fills *r. */
bool jit_remake_of(const JitTranslator *t, const JitInsn *in, JitRemake *r);
/* frame.remake[slot] = a register; HOST_ADDR is lost. */
void jit_remake_keep(JitTranslator *t, uint8_t guest, unsigned slot);
/* Makes them from the first operand in HOST_TEMP, which is lost, and the second in a register, or at slot in the frame. */
void jit_remake_repeat(JitEmit *e, const JitRemake *r, uint8_t second, int32_t slot);
/* Whether the flags of the instruction at the save point can be made again: fills remake. */
bool jit_remake_find(JitTranslator *t);
/* Behind that instruction: a note instead of its flags; HOST_ADDR is lost. */
void jit_emit_note_flags(JitTranslator *t);
/* At entry: if frame.flags is a note, flags get there. HOST_TEMP and flags are lost. */
void jit_emit_settle_flags(JitTranslator *t);

/* --- jit-move.c --- */
/* The 4 or 8 bytes just emitted depend on the unit's address. */
void jit_note_address(JitTranslator *t, JitEmit *e, JitAddressKind kind);
/* mov reg, value: an address in the distance from the unit that it has now. */
void jit_emit_mov_address(JitTranslator *t, JitEmit *e, uint8_t reg, uint64_t value);

/* --- jit-group.c --- */
/* Fills groups and JitInsn.group; behind jit_flags_analyse. */
void jit_groups_find(JitTranslator *t);
/* The group's first access is the interpreter's after all: each of the others is on its own. */
void jit_group_give_up(JitTranslator *t, uint8_t group);

/* --- jit-fixed.c --- */
/* Whether the operand is at a constant address, which *value is; FS and GS to be added. */
bool jit_constant_address(const DbtInsn *insn, uint64_t rip, uint64_t *value);
/* The word at a linear address, if the TLB knows the page. */
bool jit_peek(const JitTranslator *t, uint64_t address, uint64_t *value);
/* host = that. */
void jit_emit_constant(JitTranslator *t, JitEmit *e, uint8_t host, const DbtInsn *insn, uint64_t value);
/* Checks it; *place is where it is. false: it crosses a page. */
bool jit_emit_constant_place(JitTranslator *t, const DbtInsn *insn, uint64_t address, unsigned size, bool write, JitPlace *place);
/* The entry for a group of kind BASE: its site. false: there are too many. */
bool jit_base_find(JitTranslator *t, JitGroup *g);
/* The same as jit_emit_constant_place for one of a group of kind BASE or PAGE; HOST_TEMP stays as it is unless it is to be spare. */
void jit_emit_fixed_place(JitTranslator *t, const JitInsn *in, bool spare, JitPlace *place);
/* Where in the frame a group keeps what its accesses go by. */
static inline int32_t jit_group_slot(const JitGroup *g)
{
    return JIT_FRAME(group) + 8 * (int32_t)g->slot;
}

/* --- jit-memory.c --- */
/* host = the effective address, cut to the address size, and to 32 bits unless wide. Uses HOST_ADDR and HOST_TEMP for
 * what is in the frame. */
void jit_emit_ea(JitTranslator *t, const DbtInsn *insn, uint64_t rip, uint8_t host, bool wide);
/* HOST_ADDR += base of FS or GS; flags stay, HOST_TEMP is lost. */
void jit_emit_add_segment(JitTranslator *t, SegIndex seg);
/* Checks the memory operand; *place is where it is. spare: a scratch register has to be left. false:
 * not by inline code. */
bool jit_emit_place(JitTranslator *t, const JitInsn *in, unsigned size, bool write, bool spare, JitPlace *place);
/* The same for an address in host registers, relative to a flat segment; a scratch register is left. */
void jit_emit_access_place(JitTranslator *t, const HostAddress *a, unsigned size, bool write, JitPlace *place);
/* The memory operand's host address in HOST_ADDR. HOST_TEMP is free. false: not by inline code. */
bool jit_emit_operand(JitTranslator *t, const JitInsn *in, unsigned size, bool write);
/* The same for an address in host registers, relative to a flat segment. */
void jit_emit_access(JitTranslator *t, const HostAddress *a, unsigned size, bool write);
/* If HOST_ADDR is not canonical, where empty entries are (jit-site.c), the host's fault comes here, before what is next changes
 * a register of the guest's for a while. HOST_TEMP is lost. */
void jit_emit_touch(JitTranslator *t);
/* A site for the instruction, whose runs are counted if it is being watched: its number. Changes flags. */
uint32_t jit_emit_site(JitTranslator *t, unsigned size, bool write, bool span);
/* HOST_ADDR: linear address to host address, by the tables. Changes flags and HOST_TEMP. */
void jit_emit_table(JitTranslator *t, unsigned size, bool write);
/* Loads those vector registers (JIT_VECTORS_*) that are not. */
void jit_emit_want_vectors(JitTranslator *t, uint8_t wanted);
/* If cc: the interpreter's turn, unless the caller says more. */
JitMiss *jit_emit_miss(JitTranslator *t, uint8_t cc);
/* The same in code that is not in line. */
JitMiss *jit_emit_miss_in(JitTranslator *t, JitEmit *e, uint8_t cc);
/* The miss stubs of the instruction that ends here. */
void jit_emit_misses(JitTranslator *t);

/* --- jit-encode.c --- */
bool jit_emit_reencoded(JitTranslator *t, const JitInsn *in);
/* The operand in memory; NULL: there is none. */
const ZydisDecodedOperand *jit_memory_operand(const JitInsn *in);
/* Whether it can, by its operands and its kind. */
bool jit_can_reencode(const JitTranslator *t, const JitInsn *in);
/* What it needs to be loaded: JIT_VECTORS_*. */
uint8_t jit_uses_vectors(const JitInsn *in);
/* Some of what the register has is needed for the instruction, or stays. */
bool jit_register_is_kept(const JitInsn *in, const ZydisDecodedOperand *op);

/* --- jit-frame.c --- */
/* Fills frame_written. */
void jit_frame_note_writes(JitTranslator *t);
/* A register in the frame that can be the memory operand of an instruction without one; NULL: none can. *reversed: ModRM.reg
 * and ModRM.rm change places, and *opcode is the opcode then. */
const ZydisDecodedOperand *jit_frame_operand(const JitTranslator *t, const JitInsn *in, bool *reversed, uint8_t *opcode);
/* A constant for a register in the frame, with one store. false: the instruction is not that, and nothing was emitted. */
bool jit_emit_frame_constant(JitTranslator *t, const JitInsn *in);
/* xor r, r and its like. */
bool jit_is_zeroing(const JitInsn *in);

/* --- jit-branch.c --- */
bool jit_emit_jcc(JitTranslator *t, const JitInsn *in);
bool jit_emit_jmp(JitTranslator *t, const JitInsn *in);
bool jit_emit_call(JitTranslator *t, const JitInsn *in);
bool jit_emit_ret(JitTranslator *t, const JitInsn *in);
bool jit_emit_loop(JitTranslator *t, const JitInsn *in); /* and JCXZ */
/* The unit goes on at rip. */
JitExit *jit_emit_exit(JitTranslator *t, uint64_t rip);
/* ZF: there is a request. cmp dword gs:[go_on], 0 */
void jit_emit_request_check(JitTranslator *t, JitEmit *e);
/* To the address in HOST_ADDR, in exit_mode; the flags are in frame.flags. Last in the unit. */
void jit_emit_indirect(JitTranslator *t);
/* In cold code: a unit without groups goes on from this instruction. The jump whose rel32 is at patch leads there
 * once there is one, and to what is emitted here until then: leaving for the dispatcher. */
void jit_emit_plain_exit(JitTranslator *t, uint32_t patch);
/* The target of the indirect branch at the unit's end, very probably; 0: who knows. */
uint64_t jit_predict(const JitTranslator *t);
/* The entries before the body. */
void jit_emit_entries(JitTranslator *t);
/* mov [frame.flags], flags; HOST_ADDR is lost. */
void jit_emit_save_flags(JitEmit *e);
/* The target of a near branch with a distance. */
uint64_t jit_branch_target(const JitInsn *in);
/* The path goes on at the target of this conditional branch. */
bool jit_is_taken(const JitInsn *in);

/* --- jit-place.c --- */
/* So many bytes, fewer than JIT_PLACES, are to be left free in front of the unit just emitted. */
unsigned jit_place_unit(const JitTranslator *t);

/* --- jit-stack.c --- */
/* Checks the word below the top of the stack. */
JitPlace jit_emit_access_push(JitTranslator *t);
bool jit_emit_push(JitTranslator *t, const JitInsn *in);
bool jit_emit_pop(JitTranslator *t, const JitInsn *in);
bool jit_emit_leave(JitTranslator *t, const JitInsn *in);
/* Guest RSP += bytes; flags stay. */
void jit_emit_sp_add(JitTranslator *t, int32_t bytes);
/* HOST_SP is guest RSP from here on; flags stay. */
void jit_emit_sp_settle(JitTranslator *t);
/* Whether the instruction, which changes RSP, does that by adding *step. */
bool jit_moves_stack(const JitTranslator *t, const JitInsn *in, int32_t *step);
/* Whether the instruction can do with a HOST_SP that lags. */
bool jit_stack_may_lag(const JitTranslator *t, const JitInsn *in);
/* ADD, SUB or LEA that moves RSP, and nobody needs its flags: no code at all. false: the instruction is not that. */
bool jit_stack_moves(JitTranslator *t, const JitInsn *in);
/* --- jit-string.c --- */
bool jit_emit_string(JitTranslator *t, const JitInsn *in);
/* --- jit-string-span.c --- */
/* A repeated MOVS or STOS as one of the host's if what it works on lies in spans; else goes on behind. The rel32 of the jump to
 * the instruction's end. */
uint32_t jit_emit_string_span(JitTranslator *t, const JitInsn *in, bool source);
bool jit_fits_string(const JitTranslator *t, const JitInsn *in);

/* --- jit-system.c --- */
bool jit_emit_cli(JitTranslator *t, const JitInsn *in);
bool jit_emit_sti(JitTranslator *t, const JitInsn *in);
bool jit_emit_pushf(JitTranslator *t, const JitInsn *in);
bool jit_emit_popf(JitTranslator *t, const JitInsn *in);
bool jit_emit_set_ac(JitTranslator *t, const JitInsn *in); /* STAC, CLAC: last in the unit */
bool jit_emit_swapgs(JitTranslator *t, const JitInsn *in);
bool jit_emit_rdtsc(JitTranslator *t, const JitInsn *in); /* and RDTSCP */
bool jit_emit_serialize(JitTranslator *t, const JitInsn *in);
bool jit_emit_pause(JitTranslator *t, const JitInsn *in);
bool jit_emit_cld(JitTranslator *t, const JitInsn *in);
bool jit_emit_mov_from_segment(JitTranslator *t, const JitInsn *in);
bool jit_fits_mov_from_control(const JitTranslator *t, const JitInsn *in);
bool jit_emit_mov_from_control(JitTranslator *t, const JitInsn *in);
bool jit_emit_read_base(JitTranslator *t, const JitInsn *in);
bool jit_emit_write_base(JitTranslator *t, const JitInsn *in);
bool jit_fits_mov_from_segment(const JitTranslator *t, const JitInsn *in);
bool jit_emit_xlat(JitTranslator *t, const JitInsn *in);
bool jit_emit_bit_string(JitTranslator *t, const JitInsn *in);
bool jit_fits_bit_string(const JitTranslator *t, const JitInsn *in);

/* --- jit-call.c --- */
bool jit_emit_syscall(JitTranslator *t, const JitInsn *in);
bool jit_emit_sysret(JitTranslator *t, const JitInsn *in);

/* --- jit-divide.c --- */
bool jit_fits_divide(const JitTranslator *t, const JitInsn *in);
bool jit_emit_divide(JitTranslator *t, const JitInsn *in);

/* --- jit-gather.c --- */
bool jit_fits_gather(const JitTranslator *t, const JitInsn *in);
bool jit_emit_gather(JitTranslator *t, const JitInsn *in);

/* --- jit-x87.c --- */
bool jit_uses_x87(const JitInsn *in);
/* Of those that jit-encode.c could. */
bool jit_x87_can_reencode(const JitInsn *in);
/* Loads the registers unless they are. */
void jit_emit_want_x87(JitTranslator *t);
/* The instruction was emitted: it may be the one FIP has to show. */
void jit_x87_emitted(JitTranslator *t, const JitInsn *in);
/* Stores what is to be noted, if anything. */
void jit_emit_x87_note(JitTranslator *t, JitEmit *e);
bool jit_emit_fldcw(JitTranslator *t, const JitInsn *in);
bool jit_emit_fwait(JitTranslator *t, const JitInsn *in);

/* Stack accesses have the width of the mode. */
static inline unsigned jit_word(const JitTranslator *t)
{
    return t->is32 ? 4 : 8;
}

#endif
