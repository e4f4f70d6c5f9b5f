/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String instructions: MOVS STOS LODS CMPS SCAS INS OUTS, alone and repeated.
 *
 * A repeated instruction works in pieces. After each, rSI, rDI and rCX say how far it got, so an
 * interrupt, a page fault or a single-step trap in the middle leaves a state from which the same
 * instruction goes on (SDM vol. 1, 7.3.9.3). A piece is:
 *
 *     a span      up to the end of the page on both sides, or down to its beginning, through host pointers with
 *                 the host's own string instruction, which has the same overlap rules and flags
 *     an element  everywhere else: page ends, MMIO, watched code, segment ends
 *
 * OUTS has spans too: its elements are copied first and go to the port one by one.
 *
 * A run without a poll is bounded by BUDGET bytes.
 */
#include "accel/dbt/op-util.h"

#define BUDGET (16 * KIB)
/* Elements that go to a port may each be slow. */
#define IO_BUDGET 64

/* One element; true: it is done and rSI, rDI have moved. false: v->fault is set. */
typedef bool (*ElementFn)(DbtVcpu *v, const DbtInsn *insn);
/* Up to count elements at once; how many were done, 0: none, take the element path. */
typedef uint64_t (*SpanFn)(DbtVcpu *v, const DbtInsn *insn, uint64_t count);

typedef struct StringOp {
    ElementFn element;
    SpanFn span;   /* NULL: none */
    bool compares; /* REPE and REPNE look at ZF */
    bool io;
} StringOp;

static inline uint64_t index_get(const DbtVcpu *v, const DbtInsn *insn, unsigned reg)
{
    return v->state->gpr[reg] & size_mask(insn->addr_size);
}

static inline void index_add(DbtVcpu *v, const DbtInsn *insn, unsigned reg, uint64_t bytes)
{
    CpuState *s = v->state;

    reg_set(s, reg, insn->addr_size, s->gpr[reg] + bytes);
}

static inline bool moves_down(const DbtVcpu *v)
{
    return v->state->rflags & RFLAGS_DF;
}

/* The index registers after so many elements. */
static inline void move_index(DbtVcpu *v, const DbtInsn *insn, unsigned reg, uint64_t count)
{
    uint64_t bytes = count * insn->op_size;

    index_add(v, insn, reg, moves_down(v) ? -bytes : bytes);
}

static inline void step_index(DbtVcpu *v, const DbtInsn *insn, unsigned reg)
{
    move_index(v, insn, reg, 1);
}

static void compare_flags(DbtVcpu *v, unsigned size, uint64_t a, uint64_t b)
{
    uint64_t ax = 0;

    switch (size) {
    case 1:
        __asm__("cmpb %b[b], %b[a]" FLAGS_OUT : "+&a"(ax) : [a] "q"(a), [b] "q"(b) : "cc");
        break;
    case 2:
        __asm__("cmpw %w[b], %w[a]" FLAGS_OUT : "+&a"(ax) : [a] "r"(a), [b] "r"(b) : "cc");
        break;
    case 4:
        __asm__("cmpl %k[b], %k[a]" FLAGS_OUT : "+&a"(ax) : [a] "r"(a), [b] "r"(b) : "cc");
        break;
    default:
        __asm__("cmpq %[b], %[a]" FLAGS_OUT : "+&a"(ax) : [a] "r"(a), [b] "r"(b) : "cc");
        break;
    }
    flags_from_ax(v->state, ax);
}

static bool movs_element(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t value;

    if (!dbt_load(v, insn->seg, index_get(v, insn, GPR_RSI), insn->op_size, &value) ||
        !dbt_store(v, SEG_ES, index_get(v, insn, GPR_RDI), insn->op_size, value))
        return false;
    step_index(v, insn, GPR_RSI);
    step_index(v, insn, GPR_RDI);
    return true;
}

static bool stos_element(DbtVcpu *v, const DbtInsn *insn)
{
    if (!dbt_store(v, SEG_ES, index_get(v, insn, GPR_RDI), insn->op_size, v->state->gpr[GPR_RAX]))
        return false;
    step_index(v, insn, GPR_RDI);
    return true;
}

static bool lods_element(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t value;

    if (!dbt_load(v, insn->seg, index_get(v, insn, GPR_RSI), insn->op_size, &value))
        return false;
    reg_set(v->state, GPR_RAX, insn->op_size, value);
    step_index(v, insn, GPR_RSI);
    return true;
}

static bool cmps_element(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t a, b;

    if (!dbt_load(v, insn->seg, index_get(v, insn, GPR_RSI), insn->op_size, &a) ||
        !dbt_load(v, SEG_ES, index_get(v, insn, GPR_RDI), insn->op_size, &b))
        return false;
    compare_flags(v, insn->op_size, a, b);
    step_index(v, insn, GPR_RSI);
    step_index(v, insn, GPR_RDI);
    return true;
}

static bool scas_element(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t b;

    if (!dbt_load(v, SEG_ES, index_get(v, insn, GPR_RDI), insn->op_size, &b))
        return false;
    compare_flags(v, insn->op_size, v->state->gpr[GPR_RAX], b);
    step_index(v, insn, GPR_RDI);
    return true;
}

/* A port is read only when the destination can take the value: reading may have side effects. */
static bool ins_element(DbtVcpu *v, const DbtInsn *insn)
{
    uint64_t ea = index_get(v, insn, GPR_RDI);
    uint16_t port = (uint16_t)v->state->gpr[GPR_RDX];
    DbtMemRef ref;

    if (!dbt_io_check(v, port, insn->op_size) ||
        !dbt_mem_begin(v, SEG_ES, ea, insn->op_size, MMU_STORE, false, &ref))
        return false;
    dbt_mem_cancel(v, &ref);
    if (!dbt_store(v, SEG_ES, ea, insn->op_size, dbt_io_read(v, port, insn->op_size)))
        return false;
    step_index(v, insn, GPR_RDI);
    return true;
}

static bool outs_element(DbtVcpu *v, const DbtInsn *insn)
{
    uint16_t port = (uint16_t)v->state->gpr[GPR_RDX];
    uint64_t value;

    if (!dbt_io_check(v, port, insn->op_size) ||
        !dbt_load(v, insn->seg, index_get(v, insn, GPR_RSI), insn->op_size, &value))
        return false;
    dbt_io_write(v, port, insn->op_size, (uint32_t)value);
    step_index(v, insn, GPR_RSI);
    return true;
}

/* Bytes of the elements from the one at ea up to the end of its page, or of the address size. */
static uint64_t bytes_up(const DbtInsn *insn, uint64_t ea, uint64_t linear)
{
    uint64_t bytes = GUEST_PAGE_SIZE - (linear & ~GUEST_PAGE_MASK);

    if (insn->addr_size != 8)
        bytes = MIN(bytes, size_mask(insn->addr_size) - ea + 1);
    return bytes & ~(uint64_t)(insn->op_size - 1);
}

/* The same down to the beginning. */
static uint64_t bytes_down(const DbtInsn *insn, uint64_t ea, uint64_t linear)
{
    uint64_t offset = linear & ~GUEST_PAGE_MASK;

    if (offset + insn->op_size > GUEST_PAGE_SIZE)
        return 0;
    return (MIN(offset, ea) & ~(uint64_t)(insn->op_size - 1)) + insn->op_size;
}

/* How many elements at seg:index are in one piece on the host, at most count, *host being the first of them; 0: use the
 * element path. */
static uint64_t span_at(DbtVcpu *v, const DbtInsn *insn, SegIndex seg, unsigned reg, MmuAccess access,
                        uint64_t count, void **host)
{
    uint64_t ea = index_get(v, insn, reg), linear, bytes, before = 0;
    unsigned len;

    if (!dbt_seg_linear(v, seg, ea, 1, access, &linear))
        return 0;
    bytes = moves_down(v) ? bytes_down(insn, ea, linear) : bytes_up(insn, ea, linear);
    bytes = MIN(bytes, count * insn->op_size);
    if (!bytes)
        return 0;
    if (moves_down(v))
        before = bytes - insn->op_size;
    if (!dbt_seg_linear(v, seg, ea - before, (unsigned)bytes, access, &linear))
        return 0;
    *host = dbt_host_span(v, linear, access, &len);
    if (!*host)
        return 0;
    *host = (uint8_t *)*host + before;
    return bytes / insn->op_size;
}

/* The elements are copied while we are inside guest code, where the page stays what it is. */
static uint64_t outs_span(DbtVcpu *v, const DbtInsn *insn, uint64_t count)
{
    uint16_t port = (uint16_t)v->state->gpr[GPR_RDX];
    uint8_t elements[IO_BUDGET * 4];
    void *src;

    if (moves_down(v) || !dbt_io_check(v, port, insn->op_size))
        return 0; /* the element path faults */
    uint64_t n = span_at(v, insn, insn->seg, GPR_RSI, MMU_READ, MIN(count, IO_BUDGET), &src);
    if (!n)
        return 0;
    memcpy(elements, src, n * insn->op_size);
    n = dbt_io_write_run(v, port, insn->op_size, elements, (unsigned)n);
    index_add(v, insn, GPR_RSI, n * insn->op_size);
    return n;
}

/* The host's instruction at the element size. */
#define STRING_ASM(prefix, name, ...)                                                              \
    switch (insn->op_size) {                                                                       \
    case 1:                                                                                        \
        __asm__ volatile(prefix " " name "b" __VA_ARGS__);                                         \
        break;                                                                                     \
    case 2:                                                                                        \
        __asm__ volatile(prefix " " name "w" __VA_ARGS__);                                         \
        break;                                                                                     \
    case 4:                                                                                        \
        __asm__ volatile(prefix " " name "l" __VA_ARGS__);                                         \
        break;                                                                                     \
    default:                                                                                       \
        __asm__ volatile(prefix " " name "q" __VA_ARGS__);                                         \
        break;                                                                                     \
    }

/* The first of n elements in memory, from the first in the instruction's order. */
static void *lowest(const DbtVcpu *v, const DbtInsn *insn, void *first, uint64_t n)
{
    return (uint8_t *)first - (moves_down(v) ? (n - 1) * insn->op_size : 0);
}

static uint64_t movs_span(DbtVcpu *v, const DbtInsn *insn, uint64_t count)
{
    void *src, *dst;
    uint64_t n = span_at(v, insn, insn->seg, GPR_RSI, MMU_READ, count, &src), left, bytes;

    if (n)
        n = span_at(v, insn, SEG_ES, GPR_RDI, MMU_STORE, n, &dst);
    if (!n)
        return 0;
    left = n;
    bytes = n * insn->op_size;
    if (!moves_down(v)) {
        STRING_ASM("rep", "movs", : "+S"(src), "+D"(dst), "+c"(left) : : "memory")
    } else if ((uintptr_t)src - (uintptr_t)dst >= bytes) { /* not onto what is still to be read */
        memmove(lowest(v, insn, dst, n), lowest(v, insn, src, n), bytes);
    } else {
        STRING_ASM("std\n rep", "movs", "\n cld" : "+S"(src), "+D"(dst), "+c"(left) : : "cc", "memory")
    }
    move_index(v, insn, GPR_RSI, n);
    move_index(v, insn, GPR_RDI, n);
    return n;
}

static uint64_t stos_span(DbtVcpu *v, const DbtInsn *insn, uint64_t count)
{
    void *dst;
    uint64_t n = span_at(v, insn, SEG_ES, GPR_RDI, MMU_STORE, count, &dst), left = n;

    if (!n)
        return 0;
    dst = lowest(v, insn, dst, n);
    STRING_ASM("rep", "stos", : "+D"(dst), "+c"(left) : "a"(v->state->gpr[GPR_RAX]) : "memory")
    move_index(v, insn, GPR_RDI, n);
    return n;
}

/* The comparing ones, each way and until either result: left, ax and the pointers are operands. */
#define COMPARE_ASM(name, ...)                                                                     \
    if (insn->flags & INSN_REPNE && moves_down(v)) {                                               \
        STRING_ASM("std\n repne", name, "\n cld" FLAGS_OUT __VA_ARGS__)                            \
    } else if (moves_down(v)) {                                                                    \
        STRING_ASM("std\n repe", name, "\n cld" FLAGS_OUT __VA_ARGS__)                             \
    } else if (insn->flags & INSN_REPNE) {                                                         \
        STRING_ASM("repne", name, FLAGS_OUT __VA_ARGS__)                                           \
    } else {                                                                                       \
        STRING_ASM("repe", name, FLAGS_OUT __VA_ARGS__)                                            \
    }

static uint64_t cmps_span(DbtVcpu *v, const DbtInsn *insn, uint64_t count)
{
    void *a, *b;
    uint64_t n = span_at(v, insn, insn->seg, GPR_RSI, MMU_READ, count, &a), left, ax = 0;

    if (n)
        n = span_at(v, insn, SEG_ES, GPR_RDI, MMU_READ, n, &b);
    if (!n)
        return 0;
    left = n;
    COMPARE_ASM("cmps", : "+S"(a), "+D"(b), "+c"(left), "+a"(ax) : : "cc", "memory")
    flags_from_ax(v->state, ax);
    n -= left;
    move_index(v, insn, GPR_RSI, n);
    move_index(v, insn, GPR_RDI, n);
    return n;
}

static uint64_t scas_span(DbtVcpu *v, const DbtInsn *insn, uint64_t count)
{
    void *b;
    uint64_t n = span_at(v, insn, SEG_ES, GPR_RDI, MMU_READ, count, &b), left = n;
    uint64_t ax = v->state->gpr[GPR_RAX];

    if (!n)
        return 0;
    COMPARE_ASM("scas", : "+D"(b), "+c"(left), "+a"(ax) : : "cc", "memory")
    flags_from_ax(v->state, ax);
    n -= left;
    move_index(v, insn, GPR_RDI, n);
    return n;
}

static DbtStep op_once(DbtVcpu *v, const DbtInsn *insn)
{
    const StringOp *op = insn->aux;

    return op->element(v, insn) ? DBT_NEXT : DBT_FAULT;
}

/* REPE ends at ZF=0, REPNE at ZF=1. */
static bool rep_ends(const DbtVcpu *v, const DbtInsn *insn)
{
    bool zf = v->state->rflags & RFLAGS_ZF;

    return insn->flags & INSN_REPNE ? zf : !zf;
}

static DbtStep op_rep(DbtVcpu *v, const DbtInsn *insn)
{
    const StringOp *op = insn->aux;
    uint64_t count = index_get(v, insn, GPR_RCX);
    uint64_t budget = v->stepping ? 1 : op->io ? IO_BUDGET : BUDGET / insn->op_size;
    bool spans = op->span && !v->stepping;

    while (count && budget) {
        uint64_t n = spans ? op->span(v, insn, MIN(count, budget)) : 0;

        if (!n) {
            if (!op->element(v, insn))
                return DBT_FAULT;
            n = 1;
        }
        count -= n;
        budget -= n;
        reg_set(v->state, GPR_RCX, insn->addr_size, count);
        if (op->compares && rep_ends(v, insn))
            return DBT_NEXT;
        /* A store hit watched code, or a device wants something: poll before going on. */
        if (!v->limit)
            break;
    }
    return count ? DBT_LEAVE : DBT_NEXT;
}

static const StringOp movs = {.element = movs_element, .span = movs_span};
static const StringOp stos = {.element = stos_element, .span = stos_span};
static const StringOp lods = {.element = lods_element};
static const StringOp cmps = {.element = cmps_element, .span = cmps_span, .compares = true};
static const StringOp scas = {.element = scas_element, .span = scas_span, .compares = true};
static const StringOp ins = {.element = ins_element, .io = true};
static const StringOp outs = {.element = outs_element, .span = outs_span, .io = true};

enum { STR_MOVS, STR_STOS, STR_LODS, STR_CMPS, STR_SCAS, STR_INS, STR_OUTS };

static const StringOp *const string_ops[] = {
    [STR_MOVS] = &movs, [STR_STOS] = &stos, [STR_LODS] = &lods, [STR_CMPS] = &cmps,
    [STR_SCAS] = &scas, [STR_INS] = &ins,   [STR_OUTS] = &outs,
};

/* The segment of the source is a hidden operand's; that of the destination is always ES. */
static DbtHandler bind_string(DbtVcpu *v, DbtInsn *insn, const DbtDecoded *dec)
{
    /* MOVSD and CMPSD are also names of SSE2 instructions. */
    if (dec->insn->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
        return NULL;
    insn->aux = string_ops[insn->sub];
    /* Ports have at most 32 bits, with REX.W as well. */
    if (string_ops[insn->sub]->io)
        insn->op_size = MIN(insn->op_size, 4);
    for (unsigned i = 0; i < dec->insn->operand_count; i++) {
        const ZydisDecodedOperand *op = &dec->operands[i];

        if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
            ZydisRegisterGetId(op->mem.base) == GPR_RSI)
            insn->seg = (uint8_t)(op->mem.segment - ZYDIS_REGISTER_ES);
    }
    return insn->flags & (INSN_REP | INSN_REPNE) ? op_rep : op_once;
}

#define STRING_ROWS(name, op)                                                                      \
    {ZYDIS_MNEMONIC_##name##B, .sub = (op), .bind = bind_string},                                  \
        {ZYDIS_MNEMONIC_##name##W, .sub = (op), .bind = bind_string},                              \
        {ZYDIS_MNEMONIC_##name##D, .sub = (op), .bind = bind_string}

const DbtOp dbt_ops_string[] = {
    STRING_ROWS(MOVS, STR_MOVS),
    {ZYDIS_MNEMONIC_MOVSQ, .sub = STR_MOVS, .bind = bind_string},
    STRING_ROWS(STOS, STR_STOS),
    {ZYDIS_MNEMONIC_STOSQ, .sub = STR_STOS, .bind = bind_string},
    STRING_ROWS(LODS, STR_LODS),
    {ZYDIS_MNEMONIC_LODSQ, .sub = STR_LODS, .bind = bind_string},
    STRING_ROWS(CMPS, STR_CMPS),
    {ZYDIS_MNEMONIC_CMPSQ, .sub = STR_CMPS, .bind = bind_string},
    STRING_ROWS(SCAS, STR_SCAS),
    {ZYDIS_MNEMONIC_SCASQ, .sub = STR_SCAS, .bind = bind_string},
    STRING_ROWS(INS, STR_INS),
    STRING_ROWS(OUTS, STR_OUTS),
    {ZYDIS_MNEMONIC_INVALID, .bind = NULL},
};
