/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The native oracle: each unprivileged instruction runs on this host's CPU and in the dbt
 * interpreter, from the same random state, and must end in the same state.
 *
 *   forms.c   which instructions: the opcode maps walked with Zydis, one form for each mnemonic and
 *             set of operand kinds; each test case draws registers and addressing anew
 *   states.c  random registers, flags, vectors, x87 and memory, rich in special values
 *   host.c    runs the bytes in this process, behind signal handlers, in a segment of the code's size
 *   guest.c   runs them with accel/dbt in user mode of a 64-bit system
 *   main.c    the loop, the comparison, the report
 *
 * Both sides see the code page and the data pages at the same linear addresses, so RIP-relative
 * operands and stored addresses agree. The pages around the data are absent on both.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <Zydis/Zydis.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define CODE_ADDRESS UINT64_C(0x20000000)
#define DATA_ADDRESS UINT64_C(0x20010000)
#define DATA_SIZE 8192u
#define TAKEN_ADDRESS (CODE_ADDRESS + 64) /* where branches go */

#define NO_FAULT 0xff

/* What XSAVE stores: up to the upper halves of YMM at its standard offsets, AVX-512's components behind that. */
enum {
    X_FCW = 0, X_FSW = 2, X_FTW = 4, X_MXCSR = 24, X_ST = 32, X_XMM = 160, X_YMM = 576,
    X_OPMASK = 832, X_ZMM = 896, X_HIGH = 1408, X_SIZE = 2432,
};

typedef struct State {
    uint64_t gpr[16];
    uint64_t rflags;
    uint64_t rip; /* linear */
    uint8_t fault; /* vector, or NO_FAULT */
    uint64_t fault_address; /* of a page fault */
    uint8_t xsave[X_SIZE] __attribute__((aligned(64)));
} State;

typedef struct Rng {
    uint64_t s;
} Rng;
uint64_t rng_next(Rng *rng);
/* 0 .. n - 1 */
static inline unsigned rng_below(Rng *rng, unsigned n)
{
    return (rng_next(rng) >> 32) % n;
}

/* One instruction to run. */
typedef struct Case {
    uint8_t bytes[15];
    unsigned len;
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
} Case;

typedef struct Form {
    char *key;      /* what makes it distinct, printed in reports */
    bool vex, evex;
    uint8_t map;    /* 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A; 5, 6: EVEX only */
    uint8_t prefix[4], prefix_len; /* legacy */
    uint8_t pp, l, w;
    bool b;         /* EVEX: broadcast, rounding, no exceptions */
    uint8_t opcode;
    uint8_t modrm;  /* of the first encoding found */
    bool has_modrm;
} Form;

/* All forms of 64-, 32- or 16-bit code, Form * in a GPtrArray; avx512: those of EVEX and of opmasks, else all
 * others. form_draw is for the same code size. */
GPtrArray *forms_enumerate(unsigned code_bits, bool avx512);
/* An instruction of that form with random registers and addressing; false: none was found. */
bool form_draw(const Form *form, Rng *rng, Case *c);

static inline unsigned case_bits(const Case *c)
{
    switch (c->insn.machine_mode) {
    case ZYDIS_MACHINE_MODE_LONG_64: return 64;
    case ZYDIS_MACHINE_MODE_LEGACY_32: return 32;
    default: return 16;
    }
}

/* 16-bit code has a code segment at CODE_ADDRESS and data segments that begin a page below the
 * data; segments of 32- and 64-bit code are flat. */
#define SEG16_BASE (DATA_ADDRESS - 4096)
static inline uint64_t case_data_base(const Case *c)
{
    return case_bits(c) == 16 ? SEG16_BASE : 0;
}
static inline uint64_t case_code_base(const Case *c)
{
    return case_bits(c) == 16 ? CODE_ADDRESS : 0;
}

/* c's displacement may be patched so that the operand lies in the data, or the branch's target is
 * TAKEN_ADDRESS. */
void state_random(State *state, uint8_t *data, Case *c, Rng *rng);

/* 8 bytes of a vector register: its lane i. */
uint8_t *state_lane(State *state, unsigned vec, unsigned i);

/* Effective address of the memory operand, when every register has its value. */
uint64_t case_address(const Case *c, const ZydisDecodedOperandMem *mem, const State *state);

void host_init(void);
bool host_has_avx512(void);
/* Before 16-bit code; exits with 77 (skipped) where the kernel has no LDTs. */
void host_use_ldt(void);
void host_run(const Case *c, State *state);
uint8_t *host_data(void);

bool guest_init(bool translate, GError **errp);
void guest_set_code_bits(unsigned code_bits);
void guest_run(const Case *c, State *state);
uint8_t *guest_data(void);
void guest_release(void);

#endif
