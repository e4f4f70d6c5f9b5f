/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator: hot blocks of the interpreter become host code of the same instruction set.
 *
 *     jit-run.c        the dispatcher: block -> unit, exits, links
 *     jit-unit.c       units of a vCPU: invalidation, modes, jump cache, page ids
 *     jit-itlb.c       where their pages are known to be
 *     jit-part.c       memory for them: a ring of parts
 *     jit-move.c       the same code at another address
 *     jit-code.c       the code buffer and the code that enters, leaves and calls the interpreter
 *     jit-path.c       which blocks become one, when their code is hot
 *     jit-translate.c  one block -> one unit; the table that gives a mnemonic its emitter
 *     jit-flags.c      which flags are alive where
 *     jit-remake.c     flags that are made again when somebody wants them
 *     jit-return.c     returns within a path
 *     jit-encode.c     an instruction with its registers mapped and its memory operand replaced
 *     jit-frame.c      registers in the frame that can be that operand
 *     jit-memory.c     effective addresses and the inline look at the software TLB
 *     jit-fixed.c      those without a register: constant, or near the base of FS or GS
 *     jit-group.c      accesses that share one look
 *     jit-value.c      what is known about registers for that
 *     jit-site.c       site entries: the page an instruction was in last
 *     jit-span.c       those that hold several pages
 *     jit-site-fill.c  code that fills entries
 *     jit-branch.c     branches, calls, returns, exits
 *     jit-stack.c      push and pop
 *     jit-string.c     string instructions
 *     jit-string-run.c those that go on behind a page's end
 *     jit-string-span.c those whose pages lie together
 *     jit-gather.c     gathers
 *     jit-x87.c        x87 and MMX registers in the host's
 *     jit-call.c       SYSCALL and SYSRET
 *     jit-system.c     flags, time stamp, SWAPGS and the like
 *     jit-look.c       logs, perf map, counters
 *     jit-gdb.c        frames and names for gdb
 *
 * Registers. Guest registers live in the host registers of the same number, but for RSP (host R9),
 * and R9, R10, R11, which are in the frame. Host R10 and R11 are scratch, host RSP points at the
 * frame (JitFrame) on the thread's own stack, GS at the vCPU's TLB tables and JitArea behind them.
 * Arithmetic flags are the host's; DF, TF and AC of the host stay clear. Vector registers and MXCSR are
 * loaded by the first unit that uses them and stay until translated code is left (frame.vectors), ZMM16..31
 * and the opmasks apart from the others. x87 registers stay longer (jit-x87.c).
 *
 * Flags at the end of a unit. A link within the page passes them in EFLAGS if the target needs any (it was
 * looked at when the unit was made). A return or indirect jump, whose target nobody knows, and a link to another page, which
 * may be one of another address space the next time, pass them in frame.flags: behind the last instruction of the unit that
 * changes them they are saved there, or a note how to make them again (jit-remake.c). So the interpreter and interrupt handlers
 * find them as they are, even where the target does not need them.
 *
 * What the translator cannot do itself, the interpreter does for one instruction: forms without an
 * emitter, TLB misses, devices, watched pages, faults. An instruction's checks come before its effects,
 * so at each such point the registers are those before the instruction.
 *
 *     no unit --block hot--> VALID --page written, map or CPUID changed, its part used again--> dead
 *
 * Everything here belongs to the vCPU and its thread. Other threads reach it by two words only:
 * JitArea.go_on, and the accelerator's list of pages written (dbt_jit_page_changed).
 */
#ifndef DBT_JIT_H
#define DBT_JIT_H

#include "accel/dbt/block.h"
#include "accel/dbt/dbt.h"
#include "accel/dbt/jit-emit.h"
#include "accel/dbt/mmu.h"

/* --- What is addressed through GS: MmuEntry tables[MMU_TABLES_ALL][MMU_TLB_SIZE], then this. --- */

#define JIT_MODES 16
#define JIT_MODES_USUAL 6 /* of Linux with 64-bit programs; areas of the others are never touched */
#define JIT_JUMP_BITS 15
#define JIT_JUMP_MASK ((1u << JIT_JUMP_BITS) - 1)
#define JIT_ITLB_SIZE 4096u /* the text of a kernel: its pages do not displace each other */

/* The jump cache: where the code for an indirect branch's target is. An address is in one of a pair of entries,
 * the first that is looked at or the other, into which the next one displaces it. rip 0 in any entry but the
 * first two, and 2 in those, is no entry: they belong to other pairs. The first entry of all stays empty: it is where all
 * look while translated code is to be left (JitArea.go_on). Entries stay when the TLB is flushed: the target looks itself
 * whether its page is still where it was. */
typedef struct JitJumps {
    uint64_t rip[1 << JIT_JUMP_BITS];
    uint64_t host[1 << JIT_JUMP_BITS];
} JitJumps;

/* itlb[page number % size] is the id of the (linear page, physical page, mode) that is known to be
 * mapped now; 0: none. */
typedef struct JitModeArea {
    uint32_t itlb[JIT_ITLB_SIZE];
    JitJumps jumps;
} JitModeArea;

/*
 * A site entry: the page one instruction's accesses were in last, a TLB of one entry, or several side by side (JitLimit).
 * They have passed the checks an entry of the tables has for its context and direction (a site is of one of each), and
 * go where that goes. tag JIT_SITE_NONE: empty; delta keeps its value then. See jit-site.c.
 */
typedef struct JitSite {
    uint64_t tag;   /* linear address of the first page */
    uint64_t delta; /* host address minus linear address */
} JitSite;

/* How far behind the site's tag an access may begin: bytes of the span, and of a page, minus its own. page is negative if
 * those are more than a page. */
typedef struct JitLimit {
    uint64_t span;
    int64_t page;
} JitLimit;

/* The bytes an access is of that has this limit. */
static inline uint64_t jit_limit_size(const JitLimit *limit)
{
    return (uint64_t)(GUEST_PAGE_SIZE - limit->page);
}

G_STATIC_ASSERT(sizeof(JitLimit) == sizeof(JitSite));

/* Kinds of entries: bits. */
enum {
    JIT_SITE_STORE = 1,
    JIT_SITE_SPAN = 2, /* of several pages */
    JIT_SITE_KINDS = 4,
};

/* What accesses near the base of FS or GS have together: their site's tag is the base. */
typedef struct JitBase {
    int32_t low; /* it is for displacements from here on, JIT_BASE_BYTES of them */
    uint32_t segment;
} JitBase;

#define JIT_BASE_BYTES 64

/* JitArea.site_tired: what the dispatcher is to look at. */
enum {
    JIT_SITE_MISSED = 1, /* a site's count of misses has come to 0 */
    JIT_SITE_LOG_FULL,
    JIT_SITE_SCATTERED,  /* pages are side by side, but not on the host: JitArea.scattered */
};

#define JIT_SITE_NONE (1ull << 63)
#define JIT_SITES 32768u
#define JIT_SPAN_FIRST 24832u /* those from here on hold spans */
#define JIT_BASE_FIRST 31232u /* and from here on what is near the base of FS or GS (jit-fixed.c) */
#define JIT_SITE_LOG 16384u
#define JIT_SITE_FILTER (1u << 12)
#define JIT_RUNS (1u << 14)
#define JIT_RUNS_WATCHED 8192u /* of a unit whose sites are watched, at most */

/* Which entries are filled, by half of the address space (1: the upper), and what with. */
typedef struct JitSiteLog {
    uint32_t count;
    uint32_t slot[JIT_SITE_LOG];            /* numbers of entries; some more than once */
    uint64_t filter[JIT_SITE_FILTER / 64];  /* bit n: of a page with number n modulo 4096 */
} JitSiteLog;

/* Operands of the gather under way (jit-gather.c). */
typedef union JitGatherOperand {
    uint32_t d[8];
    uint64_t q[4];
} __attribute__((aligned(32))) JitGatherOperand;

typedef struct JitGather {
    JitGatherOperand index, mask, data;
} JitGather;

typedef struct JitArea {
    uint32_t go_on;        /* atomic: JIT_JUMP_MASK; 0: translated code returns to the dispatcher soon, as somebody wants the vCPU */
    uint32_t interrupt_maybe; /* atomic: an interrupt may wait for IF; 0: none does */
    uint32_t site_tired;   /* JIT_SITE_MISSED and the like; 0: nothing */
    uint64_t scattered[2]; /* linear addresses */
    uint64_t flags;        /* between glue and C: arithmetic flags as in AX (op-util.h) */
    uint64_t target;       /* of the indirect branch that left */
    uint64_t resume;       /* host address translated code goes on at after jit_interpret */
    uint32_t host_mxcsr;   /* while C code runs */
    uint32_t x87;          /* where the guest's x87 registers are (jit-x87.c) */
    uint32_t x87_note;     /* JIT_ID of the instruction FIP and FOP name; 0: what CpuState has */
    uint8_t x87_image[576] __attribute__((aligned(64)));
    uint8_t string_vectors[256] __attribute__((aligned(64))); /* vector registers during jit_string_run */
    JitGather gather;
    uint32_t runs[JIT_RUNS]; /* of units that count, by id modulo JIT_RUNS: counts down to 0 */
    JitSiteLog site_log[2];
    JitSite sites[JIT_SITES];
    JitLimit limits[JIT_BASE_FIRST - JIT_SPAN_FIRST];
    JitBase bases[JIT_SITES - JIT_BASE_FIRST];
    int32_t site_misses[JIT_SITES];  /* counts up to 0 */
    uint32_t site_runs[JIT_SITES];   /* of those that are being watched */
    JitModeArea mode[JIT_MODES];
} JitArea;

/* --- What is addressed through RSP. --- */

#define JIT_GROUP_SLOTS 12

typedef struct JitFrame {
    uint64_t spill[3];  /* guest R9, R10, R11 */
    uint64_t rax;       /* while AX holds flags */
    uint64_t flags;     /* the flags a unit passes to an unknown successor, or a note (jit-remake.c) */
    uint64_t temp;      /* a value between two memory accesses of an instruction */
    uint64_t remake[2]; /* operands for flags */
    uint64_t string[2]; /* jit-string.c */
    uint64_t seg_base[2]; /* FS, GS */
    uint64_t group[JIT_GROUP_SLOTS]; /* what groups keep (jit-group.c) */
    uint64_t entry;     /* where to begin; then R11 in glue */
    uint64_t vectors;   /* JIT_VECTORS_*: these are in the host's registers, the others in CpuState */
    uint64_t align;
} JitFrame;

enum {
    JIT_VECTORS_LOW = 1 << 0,  /* vector registers 0 to 15 and MXCSR */
    JIT_VECTORS_WIDE = 1 << 1, /* with LOW: bits 511:256 of them, too, else these are all zero */
    JIT_VECTORS_HIGH = 1 << 2, /* ZMM16 to ZMM31 and the opmasks */
};

G_STATIC_ASSERT(sizeof(JitFrame) % 16 == 8); /* with six registers and a return address: aligned */

/* --- Units. --- */

typedef struct JitUnit {
    DbtBlock *block;
    const uint32_t *page; /* its page's generation counter */
    uint64_t rip;         /* of the first instruction; what the code was made for */
    uint32_t id;          /* its index */
    uint8_t mode;
    bool valid;
    uint32_t begin, end;  /* of its code, offsets in the buffer */
    uint32_t body;        /* flags in EFLAGS, no checks */
    uint32_t entry_near;  /* a link within the page, and */
    uint32_t entry_back;  /* the same for one that looks for requests */
    uint32_t entry_far_back; /* all other links that do */
    uint32_t entry_indirect; /* all else: looks at the page's id; flags in frame.flags, maybe as a note */
    uint32_t page_id;
    uint32_t next_page_id; /* of the page its only instruction goes on in; 0: it does not */
    uint32_t stands_for;   /* not a unit, but for one (id + 1) in the list of its second page */
    uint32_t first_exit, exit_count;
    bool pure;            /* registers and memory are all it works on */
    bool plain;           /* without groups: what exits marked so lead to (jit-group.c) */
    bool counts_at_entry; /* its runs, in front of its body, as it needs flags there */
    uint32_t flags_out;   /* arithmetic flags all its direct successors need */
    uint32_t flags_undefined; /* at its exits, for lock-step */
    uint32_t cold, cold_end; /* of its stubs */
    uint16_t address_count; /* constants in its code that its address is part of (jit-move.c) */
    bool fixed;           /* not to be moved */
    bool stays;           /* moved only if all of the block's do */
    uint64_t traces;      /* of the pages it has been in (jit-move.c) */
    int save_point;       /* behind this instruction the flags are in frame.flags, maybe as a note */
    uint32_t offsets;     /* of host code by instruction: jit->offsets[offsets + n]; behind them JitAddress */
    uint32_t first_site[JIT_SITE_KINDS], site_count[JIT_SITE_KINDS]; /* numbers in their pool */
    uint32_t incoming;    /* exits linked here: index + 1, chained by JitExit.next */
    uint32_t next_in_page, prev_in_page; /* id + 1, by generation counter */
    struct JitUnit *next_of_block;
} JitUnit;

/* A place where a unit goes on to an address known when it was made. */
typedef struct JitExit {
    uint64_t rip;     /* the target */
    uint32_t unit;    /* whose */
    uint32_t patch;   /* the rel32 to patch */
    uint32_t stub;    /* what it points at when not linked */
    uint32_t linked;  /* id + 1 of the target's unit, 0: none */
    uint32_t next;    /* index + 1, in the target's list */
    uint8_t mode;     /* of the vCPU at this exit */
    bool fixed;       /* rip is not relative to the unit's */
    bool plain;       /* to a unit without groups */
    bool inside;      /* the unit is not done: its instruction insn comes next */
    uint8_t insn;     /* whose exit it is */
    bool in_frame;    /* the flags are in frame.flags */
} JitExit;

/* A constant in a unit's code that changes when the unit is moved. Two of jit->offsets. */
typedef enum JitAddressKind {
    JIT_ADDRESS_64,
    JIT_ADDRESS_32,        /* zero-extended */
    JIT_ADDRESS_32_SIGNED,
    JIT_ADDRESS_TLB,       /* displacement from GS of an entry of the tables */
    JIT_ADDRESS_ITLB,      /* displacement from GS of the unit's page in the itlb */
    JIT_ADDRESS_PAGE_ID,
} JitAddressKind;

typedef struct JitAddress {
    uint16_t at;   /* from the unit's begin, or that of its stubs */
    uint8_t kind;  /* JitAddressKind */
    bool cold;
} JitAddress;

G_STATIC_ASSERT(sizeof(JitAddress) == 2 * sizeof(uint16_t));
#define JIT_ADDRESSES_MAX 128u

/* What translated code says when it comes back: unit << 8 | one of these. */
enum {
    JIT_EXIT_DIRECT = 0,     /* + number of the exit */
    JIT_EXIT_MAX = 127,
    JIT_EXIT_INSN = 128,     /* + number of the instruction: the interpreter's turn */
    JIT_EXIT_COUNTED = 252,  /* the unit did not begin: it has run as often as it was to count */
    JIT_EXIT_INDIRECT = 253, /* area.target */
    JIT_EXIT_AGAIN = 254,    /* the unit did not begin: a request, or its page moved */
    JIT_EXIT_LEFT = 255,     /* the interpreter ended the unit; DbtJit.step */
};
#define JIT_NOT_LEFT UINT32_MAX
#define JIT_ID(unit, what) ((uint32_t)(unit) << 8 | (what))

/* A call of C from glue: offsets of its code, and where RSP is then, in bytes below the frame. */
typedef struct JitGlueCall {
    uint32_t begin, end, depth;
} JitGlueCall;

/* What a site is filled for. KNOWN: for writing, if a table has the page. */
typedef enum JitFill { JIT_FILL_READ, JIT_FILL_WRITE, JIT_FILL_KNOWN, JIT_FILLS } JitFill;

/* Code all units use. The variants are for flags in EFLAGS and in frame.flags. */
typedef struct JitGlue {
    uint32_t enter;
    uint32_t interpret[2]; /* called with R11 = JIT_ID(unit, instruction) */
    uint32_t leave[2];     /* jumped to with R11 = exit id, R10 = target */
    uint32_t leave_empty;  /* jumped to with R10 = target: where the jump cache's first entry leads */
    uint32_t remake;       /* called where frame.flags is a note: flags get there; changes R11 and flags */
    uint32_t remade;       /* the end of that, jumped to by the code the note names, with flags in EFLAGS */
    uint32_t load_x87;     /* called; changes R10 and R11 */
    uint32_t load_vectors; /* called with R11 = JIT_VECTORS_*; changes R10 and flags; R11 = what is loaded */
    uint32_t save_vectors; /* called by glue with R10 = CpuState, RAX = JIT_VECTORS_* */
    uint32_t string_run;   /* called (jit-string-run.c) */
    uint32_t gather;       /* called (jit-gather.c) */
    /* Called with R11 = offset of the site from GS, R10 = the address, or its distance from the site's
     * tag: fills it from the table; ZF: done. R10 is the address then, and R11 lost. */
    uint32_t fill_site[MMU_CONTEXTS][JIT_FILLS], fill_site_distance[MMU_CONTEXTS][JIT_FILLS];
    uint32_t fill_span[MMU_CONTEXTS][JIT_FILLS], fill_span_distance[MMU_CONTEXTS][JIT_FILLS]; /* of those that hold spans */
    /* The same for an entry of the tables: R10 is the address, or its distance from the tag of the entry
     * at offset R11 in the table. */
    uint32_t fill_table[MMU_CONTEXTS][2], fill_table_distance[MMU_CONTEXTS][2];
    uint32_t fill_base[MMU_CONTEXTS][2]; /* as fill_site; R10 is where what the entry is for begins */
    JitGlueCall calls[64]; /* in order */
    unsigned call_count;
} JitGlue;

/* For people and tests. */
typedef struct JitStats {
    uint64_t units, insns, code_bytes, flushes, pages_changed, units_dropped;
    uint64_t interrupted; /* units whose making was given up for a request */
    uint64_t fallbacks; /* instructions translated into a call of the interpreter */
    uint64_t compared; /* units in lock-step */
    uint64_t entries, links, interpreted;
    uint64_t jump_misses; /* indirect branches the jump cache did not know */
    uint64_t moved;       /* to another linear address */
    uint64_t hot;         /* blocks that got hot */
    uint64_t paths;       /* and were joined with others */
    uint64_t sites_adapted; /* units made anew because their sites missed */
    uint64_t sites_displaced; /* units dropped because others took their sites */
    uint64_t shared; /* accesses translated without a check of their own */
    uint64_t span_misses, span_pages; /* of sites that hold spans: how often, and what they got */
    uint64_t parts_recycled;
} JitStats;

/* The mode word: everything translated code takes for granted. */
enum {
    JIT_MODE_32 = 1 << 0,
    JIT_MODE_CONTEXT_SHIFT = 1, /* MmuContext, 2 bits */
    JIT_MODE_CPL_SHIFT = 3,     /* 2 bits */
    JIT_MODE_SSE = 1 << 5,      /* SSE instructions do not fault for want of the unit */
    JIT_MODE_AVX = 1 << 6,
    JIT_MODE_X87 = 1 << 7,      /* the same, and x87 exceptions are masked */
    JIT_MODE_SEGS_SHIFT = 8,    /* 32-bit: DbtVcpu.flat_read, 6 bits, and flat_write */
    JIT_MODE_DOWN = 1 << 20,    /* RFLAGS.DF */
    JIT_MODE_SMAP = 1 << 21,    /* CPL 0 with CR4.SMAP: the context follows RFLAGS.AC */
    JIT_MODE_AVX512 = 1 << 22,
};

#define JIT_NO_MODE 0xff

/* The instruction a site was made for. Sites are given out in turn, so an old unit may have lost it. */
typedef struct JitSiteOwner {
    uint32_t unit;
    uint8_t insn;
} JitSiteOwner;

/* A word of an itlb, and those of an epoch of the lower half. More than are kept are found anew each time. */
#define JIT_ITLB_SPACES 8
#define JIT_ITLB_KEPT 256u

typedef struct JitItlbPage {
    uint32_t id;
    uint16_t slot;
    uint8_t mode;
} JitItlbPage;

typedef struct JitItlbSpace {
    uint64_t epoch; /* 0: unused */
    uint32_t count;
    bool overflow;
    JitItlbPage page[JIT_ITLB_KEPT];
} JitItlbSpace;

/*
 * Memory for units is used a part at a time, in turn: each has its own stretch of the code buffer
 * and of the tables. A part that is used again forgets its units first (jit-part.c).
 */
#define JIT_PARTS_MAX 64
#define JIT_CROWDED_MAX 6u

typedef struct JitPart {
    uint32_t units, exits, offsets; /* used, of those per part */
    uint32_t code;                  /* bytes, when it was left */
} JitPart;

typedef struct JitGdb JitGdb;

typedef struct DbtJit {
    DbtVcpu *v;
    JitArea *area;
    uint32_t tables;       /* offset of the area from GS */
    uint8_t *rw, *rx;      /* the code buffer, mapped twice */
    uint32_t size;
    JitEmit hot, cold;     /* units; and what of them runs rarely: of the current part */
    JitGlue glue;
    uint32_t after_glue;   /* where the first part begins */
    JitPart parts[JIT_PARTS_MAX];
    unsigned part_count, part; /* the current one */
    int64_t part_since_ns;     /* when it was begun, in CPU time */
    unsigned crowded;          /* in how many steps translation has become rarer, see jit-part.c */
    uint32_t part_code, part_units, part_exits, part_offsets; /* of each */

    JitUnit *units;        /* of each part in order of begin */
    JitExit *exits;
    uint16_t *offsets;
    uint32_t page_heads[1 << 12]; /* units by generation counter: id + 1 */
    GHashTable *page_ids;
    uint32_t last_page_id;

    uint32_t mode_keys[JIT_MODES];
    unsigned mode_count;
    uint32_t mode_key;     /* of mode */
    bool goes_on;          /* what the interpreter ends leads to the next unit at once */
    bool wide_strings;     /* strings go by 64-byte vectors */
    bool x87_available;    /* the host can load x87 registers alone */
    bool x87_masked;       /* as mode_key has it */
    uint8_t mode;          /* of the vCPU now; JIT_NO_MODE: not translated */

    uint64_t epoch[2];     /* fetch_epoch the itlbs are of */
    JitItlbSpace *itlb_spaces, *itlb_space; /* JIT_ITLB_SPACES; that of epoch[0] */
    unsigned next_itlb_space;
    uint32_t lower_modes;  /* bit n: mode n has had code in the lower half */
    uint64_t pages_seen;   /* DbtJitPages.count */
    uint32_t pending_exit; /* index + 1: an unlinked exit that was just taken */
    unsigned left_at;      /* the unit just left would go on with this instruction of its own; JIT_NOT_LEFT: it ended */
    bool not_run;          /* the unit just left has not run */
    bool jumped;           /* an indirect branch that the jump cache did not know was just taken */
    DbtStep step;          /* with JIT_EXIT_LEFT */
    struct JitTranslator *translator;
    JitStats stats;
    JitSiteOwner *site_owners; /* JIT_SITES */
    uint32_t next_site[MMU_CONTEXTS][JIT_SITE_KINDS]; /* of each pool */
    uint32_t base_count[MMU_CONTEXTS][2]; /* of JitArea.bases */
    JitGdb *gdb;
} DbtJit;

/* --- jit-code.c --- */
bool jit_code_init(DbtJit *jit, GError **errp);
void jit_code_release(DbtJit *jit);
/* jit->hot and cold are the part's. */
void jit_code_use_part(DbtJit *jit, unsigned part);
/* For glue: call function, which is in C. RSP is depth below the frame; RAX is lost. */
void jit_glue_call(DbtJit *jit, JitEmit *e, uintptr_t function, uint32_t depth);
/* Around such a call from translated code: guest registers that C may change, but for vectors; JitStringRegs. */
#define JIT_GLUE_PUSHED (7 * 8)
void jit_glue_push(JitEmit *e);
void jit_glue_pop(JitEmit *e);
/* Room in them for one more unit of any size. */
bool jit_code_has_room(const DbtJit *jit);
/* Bytes written of the current part. */
uint32_t jit_code_used(const DbtJit *jit);
/* Runs from offset entry on; an exit id. */
uint32_t jit_code_enter(DbtJit *jit, uint32_t entry);
/* The calling thread's GS becomes the vCPU's. */
void jit_code_use_gs(const DbtJit *jit);
static inline uint32_t jit_area_offset(const DbtJit *jit, size_t offset)
{
    return jit->tables + (uint32_t)offset;
}

/* --- jit-path.c --- */
/* What is to be translated now that the block is hot: it, or one that goes on behind it, in its place. NULL: its code changes. */
DbtBlock *jit_path(DbtJit *jit, DbtBlock *first);
/* How many exits are linked to the unit: at least 1. */
uint8_t jit_path_sources(const DbtJit *jit, const JitUnit *unit);
/* Whether one of them is within the page and leads back. */
bool jit_path_begins_loop(const DbtJit *jit, const JitUnit *unit);

/* --- jit-translate.c --- */
/* The unit for the block at rip, linked into nothing yet; NULL: somebody wants the vCPU first. Others may be dropped to make room. */
JitUnit *jit_translate(DbtJit *jit, DbtBlock *block, uint64_t rip, bool plain);
bool jit_translator_init(DbtJit *jit);
void jit_translator_release(DbtJit *jit);

/* --- jit-x87.c --- */
enum { JIT_X87_HOME, JIT_X87_LIVE }; /* JitArea.x87: in CpuState, in the host's unit */
bool jit_x87_available(void);
/* Called by glue: CpuState's registers become the host's. */
void jit_x87_load(DbtJit *jit);
/* All x87 exceptions are masked. As translated code keeps it so, CpuState knows. */
static inline bool jit_x87_is_masked(const FpuState *fpu)
{
    return (fpu->fcw & 0x3f) == 0x3f;
}
/* What is noted of the last x87 instruction goes to CpuState: its unit is about to go. */
void jit_x87_settle(DbtJit *jit);
/* Instruction n of the unit was left by a signal: notes the x87 instruction before it, if any. */
void jit_x87_note_before(DbtJit *jit, const JitUnit *unit, unsigned n);

/* --- jit-part.c --- */
/* The tables; false: errno. jit->part_code is known. */
bool jit_parts_init(DbtJit *jit);
void jit_parts_release(DbtJit *jit);
/* Room for a unit in the current part, whatever it takes. */
void jit_parts_make_room(DbtJit *jit);
/* All are empty; nobody refers to their units any more. */
void jit_parts_reset(DbtJit *jit);
static inline JitPart *jit_part_now(DbtJit *jit)
{
    return &jit->parts[jit->part];
}
/* Calls for each unit that is valid. */
void jit_units_foreach(DbtJit *jit, void (*call)(DbtJit *jit, JitUnit *unit));
typedef struct JitUsage {
    uint64_t live, code, index; /* units; bytes of code; bytes of tables */
} JitUsage;
JitUsage jit_usage(const DbtJit *jit);
/* The unit whose code contains the offset. */
JitUnit *jit_unit_at(const DbtJit *jit, uint32_t offset);

/* Bytes that are left free in front of a unit are fewer than these (jit-place.c). */
#define JIT_PLACES 64u

/* --- jit-unit.c --- */
/* The vCPU's mode as an index, after something may have changed it; JIT_NO_MODE: interpret. */
uint8_t jit_mode_now(DbtJit *jit);
/* The index of a mode word; JIT_NO_MODE: there are too many of them. */
uint8_t jit_mode_of(DbtJit *jit, uint32_t key);
JitUnit *jit_unit_new(DbtJit *jit, DbtBlock *block, uint64_t rip, bool plain);
/* Its code is complete. */
void jit_unit_publish(DbtJit *jit, JitUnit *unit);
/* Nobody gets into it from where it was known, nor from it anywhere, but by the dispatcher. */
void jit_unit_isolate(DbtJit *jit, JitUnit *unit);
/* Nobody enters it any more. */
void jit_unit_drop(DbtJit *jit, JitUnit *unit);
JitUnit *jit_unit_find(const DbtJit *jit, const DbtBlock *block, uint64_t rip, bool plain);
/* What itlbs know the (linear page, physical page, mode) by. */
uint32_t jit_page_id(DbtJit *jit, uint64_t linear, uint64_t gpa);
/* Where a linear page is in a mode's itlb, from GS. */
static inline uint32_t jit_itlb_offset(const DbtJit *jit, uint8_t mode, uint64_t linear)
{
    size_t slot = linear >> GUEST_PAGE_BITS & (JIT_ITLB_SIZE - 1);

    return jit_area_offset(jit, offsetof(JitArea, mode) + mode * sizeof(JitModeArea) + offsetof(JitModeArea, itlb)) +
           (uint32_t)(slot * sizeof(uint32_t));
}
void jit_unit_link(DbtJit *jit, JitExit *exit, JitUnit *target);
/* The unit was found through the TLB: its page is where it was, and indirect branches may go to it. */
void jit_unit_reachable(DbtJit *jit, JitUnit *unit);
void jit_unit_remember_jump(DbtJit *jit, JitUnit *unit);
/* Drops what became invalid since the last call: pages written, TLB flushes. */
void jit_units_sync(DbtJit *jit);
/* Forgets everything. */
void jit_units_flush(DbtJit *jit);
void jit_units_init(DbtJit *jit);
void jit_units_release(DbtJit *jit);

/* --- jit-remake.c --- */
void jit_remake_glue(DbtJit *jit, JitEmit *e);
/* For glue: if frame.flags is a note, flags get there. called: there is a return address below the frame, and R10 is lost. Changes flags. */
void jit_glue_settle_flags(DbtJit *jit, JitEmit *e, bool called);

/* --- jit-itlb.c --- */
/* The linear address' page is known to have this id. */
void jit_itlb_enter(DbtJit *jit, uint8_t mode, uint64_t linear, uint32_t id);
/* fetch_epoch has changed. */
void jit_itlb_sync(DbtJit *jit);
/* The itlbs are empty, and all ids void. */
void jit_itlb_reset(DbtJit *jit);

/* --- jit-move.c --- */
/* A unit of the block's for this mode and another address becomes the one for rip; NULL: make a new one. */
JitUnit *jit_unit_move(DbtJit *jit, DbtBlock *block, uint64_t rip);
/* One of the block's was at rip, very probably, and has been moved from there. */
bool jit_unit_is_back(const DbtJit *jit, const DbtBlock *block, uint64_t rip);

/* --- jit-site.c --- */
void jit_sites_init(DbtJit *jit);
void jit_sites_release(DbtJit *jit);
/* A site of this kind for accesses of so many bytes by an instruction of the unit being made: its number. */
uint32_t jit_site_new(DbtJit *jit, JitUnit *unit, unsigned insn, unsigned size, unsigned kind);
/* Where the entry, the limit of its span, and the count of its runs, are from GS. */
uint32_t jit_site_offset(const DbtJit *jit, uint32_t number);
uint32_t jit_site_limit_offset(const DbtJit *jit, uint32_t number);
uint32_t jit_site_runs_offset(const DbtJit *jit, uint32_t number);
/* A site of the unit missed often: decides on its sites anew; the unit is dropped. */
void jit_sites_adapt(DbtJit *jit, JitUnit *unit);
/* They have been watched for long enough: the same. */
void jit_sites_watched(DbtJit *jit, JitUnit *unit);
/* Entries of the lower half of the address space, and of the upper one, are void. */
void jit_sites_flush(JitArea *area, bool upper);
void jit_sites_flush_pages(JitArea *area, uint64_t first, uint64_t count);
/* Those of stores to a page of the host, maybe more. */
void jit_sites_drop_host(const struct DbtMmu *mmu, JitArea *area, const uint8_t *host);

/* --- jit-site-fill.c --- */
void jit_sites_glue(DbtJit *jit, JitEmit *e);

/* --- jit-span.c --- */
/* Called by glue. The page of the address is in the table (of DbtMmu.tables); whether the site covers the access now. */
bool jit_span_refill(DbtJit *jit, uint64_t linear, uint32_t number, uint32_t table);

/* The site holds, or is about to hold, these pages; false: there is no room to note that. */
bool jit_site_note(JitArea *area, uint32_t number, uint64_t first, uint64_t last);

/* --- jit-fixed.c --- */
/* No code uses an entry for the bases of segments any more. */
void jit_bases_reset(DbtJit *jit);
bool jit_base_is_store(uint32_t number);
/* Called by glue. The page of the address, where what the entry is for begins, is in the table; whether the entry is filled now. */
bool jit_base_refill(DbtJit *jit, uint64_t linear, uint32_t number, uint32_t table);

/* --- jit-gather.c --- */
void jit_gather_glue(DbtJit *jit, JitEmit *e);

/* --- jit-string-run.c --- */
/* Bytes moved between two looks at JitArea.go_on. */
#define JIT_STRING_MAX (32 * KIB)
/* What it has to know of the instruction. */
enum {
    JIT_RUN_SHIFT = 3, /* log2 of the element's size */
    JIT_RUN_32 = 1 << 2,
    JIT_RUN_CONTEXT_SHIFT = 3,
};
/* As jit_glue_push leaves them. */
typedef struct JitStringRegs {
    uint64_t r9, r8, rdi, rsi, rdx, rcx, rax;
} JitStringRegs;
/* Called by glue: moves bytes as far as the TLB reaches, and the registers; how many. */
uint64_t jit_string_run(DbtJit *jit, JitStringRegs *regs, uint32_t word);
void jit_string_glue(DbtJit *jit, JitEmit *e);
void jit_string_init(DbtJit *jit);

/* --- jit-run.c --- */
/* Runs at cs:rip for a while: units, or one block of the interpreter. Nothing asks for attention. */
void dbt_jit_run(DbtVcpu *v);
/* It has run as often as it was to count: it is dropped, and its block is translated anew when it runs next. */
void jit_unit_counted(DbtJit *jit, JitUnit *u);
/* Enters the unit and takes what comes back apart: the state is exact, a fault is in v->fault. */
DbtStep jit_run_unit(DbtJit *jit, JitUnit *u);
/* For tests: the unit at cs:rip and no further, its fault not delivered. Not translated: nothing was
 * done, unless the result is DBT_FAULT (the fetch). */
DbtStep dbt_jit_run_once(DbtVcpu *v, bool *translated);
/* Called by glue: one instruction by the interpreter, and what to do then. */
enum { JIT_GO_ON, JIT_LEAVE, JIT_GO_ON_ELSEWHERE /* area.resume */ };
uint32_t jit_interpret(DbtJit *jit, uint32_t id);
/* A signal at rip, in translated code of the calling thread's vCPU: true if *rip and *r11 are to be
 * changed to what they now are, so that the interpreter has the instruction. */
bool jit_signal(DbtVcpu *v, uint64_t *rip, uint64_t *r11);

/* --- jit-look.c --- */
/* The unit's code is complete; says so in the log and the perf map where they are wanted. */
void jit_look_unit(const DbtJit *jit, const JitUnit *unit);
void jit_look_glue(const DbtJit *jit);

/* --- jit-gdb.c --- */
/* The code buffer becomes known to gdb; the glue is complete. */
bool jit_gdb_init(DbtJit *jit, GError **errp);
void jit_gdb_release(DbtJit *jit);
/* With perf-map=on: the unit's code is complete. */
void jit_gdb_name_unit(const DbtJit *jit, const JitUnit *unit, const char *name);
/* The part's units are about to be forgotten. */
void jit_gdb_forget_part(const DbtJit *jit, unsigned part);

/* --- jit-lockstep.c --- */
void jit_lockstep_init(DbtJit *jit);
void jit_lockstep_release(DbtJit *jit);
/* jit_run_unit, after and compared with the interpreter. */
DbtStep jit_lockstep(DbtJit *jit, JitUnit *unit);

#endif
