/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exceptions and interrupts: from a vector to the first instruction of its handler.
 *
 * Intel SDM vol. 3: 6.5 (classes), 6.10 to 6.12 (IDT, gates, stacks), 6.13 (error codes), 6.14
 * (64-bit mode), 6.15 (#DF and the table of combinations), 6.8.3 (RF), 20.1.4 (real-address mode),
 * 20.3 (virtual-8086 mode); vol. 2, INT n. CR4.VME and CR4.PVI are not offered.
 *
 * A delivery that faults has changed nothing but memory below the stack pointer it would have set.
 *
 * Locking: own vCPU thread, inside guest code.
 */
#include "accel/dbt/dbt.h"
#include "accel/dbt/seg.h"
#include "core/log.h"
#include "core/machine.h"

#define DR7_GD (1u << 13)

/* What delivery differs by. */
typedef enum EventKind {
    EVENT_EXCEPTION,
    EVENT_EXTERNAL, /* interrupts and NMI */
    EVENT_SOFTWARE, /* INT n, INT3, INTO: the gate's privilege counts, EXT is 0 */
    EVENT_ICEBP,    /* INT1: neither */
} EventKind;

typedef struct Event {
    EventKind kind;
    uint8_t vector;
    bool has_error;
    uint32_t error;
    uint64_t rip;   /* pushed */
    uint64_t flags; /* pushed */
} Event;

/* An entry of the IDT, taken apart. */
typedef struct Gate {
    SegDesc desc;
    uint16_t selector;
    uint64_t offset;
    unsigned size; /* of what it pushes: 2, 4, 8 */
    unsigned ist;
    bool interrupt; /* clears IF */
} Gate;

static uint32_t event_ext(const Event *e)
{
    return e->kind != EVENT_SOFTWARE;
}

DbtStep dbt_fault(DbtVcpu *v, uint8_t vector)
{
    v->fault = (DbtFault){ .vector = vector };
    return DBT_FAULT;
}

DbtStep dbt_fault_error(DbtVcpu *v, uint8_t vector, uint32_t error)
{
    v->fault = (DbtFault){ vector, true, error };
    return DBT_FAULT;
}

DbtStep dbt_page_fault(DbtVcpu *v, uint64_t linear, uint32_t error)
{
    v->fault_linear = linear;
    return dbt_fault_error(v, EXC_PF, error);
}

/* Real-address mode: the table of far pointers, IP:CS:FLAGS on the stack. */
static bool deliver_real(DbtVcpu *v, const Event *e)
{
    CpuState *s = v->state;
    DbtStack st = dbt_stack_current(v, 0);
    uint16_t entry[2];

    if (4u * e->vector + 3 > s->idtr.limit) {
        dbt_fault_error(v, EXC_GP, 8u * e->vector + 2);
        return false;
    }
    if (!dbt_lin_read(v, s->idtr.base + 4u * e->vector, entry, 4, MMU_SYSTEM) ||
        !dbt_push(v, &st, 2, e->flags) || !dbt_push(v, &st, 2, s->seg[SEG_CS].selector) ||
        !dbt_push(v, &st, 2, e->rip))
        return false;
    dbt_stack_pointer_store(v, &st);
    s->seg[SEG_CS] = dbt_real_segment(v, SEG_CS, entry[1]);
    s->rip = entry[0];
    s->rflags &= ~(uint64_t)(RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
    return true;
}

/* The checks of the gate itself: type, privilege, presence. */
static bool gate_read(DbtVcpu *v, const Event *e, Gate *g)
{
    const CpuState *s = v->state;
    unsigned entry = dbt_long_mode(v) ? 16 : 8;
    uint32_t error = 8u * e->vector + 2 + event_ext(e), words[4] = { 0 };
    unsigned type;

    if (entry * e->vector + entry - 1 > s->idtr.limit) {
        dbt_fault_error(v, EXC_GP, error);
        return false;
    }
    if (!dbt_lin_read(v, s->idtr.base + entry * e->vector, words, entry, MMU_SYSTEM))
        return false;
    g->desc = (SegDesc){ s->idtr.base + entry * e->vector, words[0], words[1], words[2] };
    type = desc_type(&g->desc);
    if (!desc_is_system(&g->desc) ||
        !(type == DESC_INTR32 || type == DESC_TRAP32 ||
          (!dbt_long_mode(v) && (type == DESC_TASK_GATE || type == DESC_INTR16 || type == DESC_TRAP16))) ||
        (e->kind == EVENT_SOFTWARE && desc_dpl(&g->desc) < v->cpl)) {
        dbt_fault_error(v, EXC_GP, error);
        return false;
    }
    if (!desc_present(&g->desc)) {
        dbt_fault_error(v, EXC_NP, error);
        return false;
    }
    g->selector = (uint16_t)(words[0] >> 16);
    g->offset = (words[0] & 0xffff) | (words[1] & 0xffff0000) | (uint64_t)words[2] << 32;
    g->ist = dbt_long_mode(v) ? words[1] & 7 : 0;
    g->size = dbt_long_mode(v) ? 8 : type & 8 ? 4 : 2;
    if (g->size == 2)
        g->offset &= 0xffff;
    g->interrupt = type == DESC_INTR16 || type == DESC_INTR32;
    return true;
}

/* Chooses the stack; *cpl becomes the handler's privilege. */
static bool gate_stack(DbtVcpu *v, const Event *e, const Gate *g, const SegDesc *code, unsigned *cpl,
                       DbtStack *st)
{
    bool v86 = v->state->rflags & RFLAGS_VM;
    bool inner = !desc_is_conforming(code) && desc_dpl(code) < v->cpl;
    uint32_t ext = event_ext(e);

    *cpl = inner ? desc_dpl(code) : v->cpl;
    if (v86 && *cpl != 0) {
        dbt_fault_error(v, EXC_GP, SEL_ERROR(g->selector) | ext);
        return false;
    }
    if (inner || g->ist) {
        if (!dbt_stack_inner(v, *cpl, g->ist, ext, st))
            return false;
    } else {
        *st = dbt_stack_current(v, ext);
        if (dbt_long_mode(v))
            st->width = 8;
    }
    if (dbt_long_mode(v)) {
        if ((uint64_t)((int64_t)(st->sp << 16) >> 16) != st->sp) {
            dbt_fault_error(v, EXC_SS, ext);
            return false;
        }
        st->sp &= ~15ull;
    }
    return true;
}

/* SDM vol. 3, figures 6-4, 6-8, 20-4. */
static bool push_frame(DbtVcpu *v, const Event *e, const Gate *g, DbtStack *st, bool stack_changes)
{
    const CpuState *s = v->state;
    uint64_t words[10];
    unsigned count = 0;

    if (s->rflags & RFLAGS_VM) {
        words[count++] = s->seg[SEG_GS].selector;
        words[count++] = s->seg[SEG_FS].selector;
        words[count++] = s->seg[SEG_DS].selector;
        words[count++] = s->seg[SEG_ES].selector;
    }
    if (stack_changes) {
        words[count++] = s->seg[SEG_SS].selector;
        words[count++] = s->gpr[GPR_RSP];
    }
    words[count++] = e->flags;
    words[count++] = s->seg[SEG_CS].selector;
    words[count++] = e->rip;
    if (e->has_error)
        words[count++] = e->error;
    for (unsigned i = 0; i < count; i++) {
        if (!dbt_push(v, st, g->size, words[i]))
            return false;
    }
    return true;
}

static void enter_handler(DbtVcpu *v, const Gate *g, const DbtStack *st, unsigned cpl)
{
    static const SegIndex data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    CpuState *s = v->state;
    bool inner = cpl != v->cpl;

    if (s->rflags & RFLAGS_VM) {
        for (unsigned i = 0; i < G_N_ELEMENTS(data); i++)
            s->seg[data[i]] = dbt_null_segment(0, 0);
    }
    if (inner)
        s->seg[SEG_SS] = st->ss;
    s->rip = g->offset;
    s->rflags &= ~(uint64_t)(RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM);
    if (g->interrupt)
        s->rflags &= ~(uint64_t)RFLAGS_IF;
    dbt_mode_changed(v);
    dbt_stack_pointer_store(v, st);
}

static bool deliver_protected(DbtVcpu *v, const Event *e)
{
    uint32_t ext = event_ext(e);
    unsigned cpl;
    DbtStack st;
    SegDesc code;
    Gate g;

    if (!gate_read(v, e, &g))
        return false;
    if (desc_type(&g.desc) == DESC_TASK_GATE)
        return dbt_task_gate(v, &g.desc, TASK_INTERRUPT, e->rip, e->has_error ? &e->error : NULL, ext);
    if (!dbt_gate_code(v, g.selector, ext, &code) || !gate_stack(v, e, &g, &code, &cpl, &st) ||
        !push_frame(v, e, &g, &st, cpl != v->cpl || dbt_long_mode(v)))
        return false;
    if (!dbt_code_offset_ok(v, &code, g.offset)) {
        dbt_fault_error(v, EXC_GP, ext);
        return false;
    }
    if (!dbt_code_commit(v, g.selector, &code, cpl))
        return false;
    enter_handler(v, &g, &st, cpl);
    return true;
}

static void log_event(const DbtVcpu *v, const Event *e)
{
    const CpuState *s = v->state;

    log_printf(LOG_INT, "CPU%u vector %02x%s error %x cpl %u %04x:%016" G_GINT64_MODIFIER "x ss:rsp %04x:%016"
               G_GINT64_MODIFIER "x cr2 %016" G_GINT64_MODIFIER "x\n", v->cpu->index, e->vector,
               e->kind == EVENT_EXTERNAL ? " (interrupt)" : e->kind == EVENT_SOFTWARE ? " (INT)" : "",
               e->error, v->cpl, s->seg[SEG_CS].selector, s->rip, s->seg[SEG_SS].selector,
               s->gpr[GPR_RSP], s->cr2);
}

static bool deliver(DbtVcpu *v, const Event *e)
{
    CpuState *s = v->state;
    bool ok;

    if (G_UNLIKELY(log_enabled(LOG_INT)))
        log_event(v, e);
    ok = s->cr0 & CR0_PE ? deliver_protected(v, e) : deliver_real(v, e);
    if (!ok)
        return false;
    if (e->vector == EXC_DB && e->kind != EVENT_SOFTWARE)
        s->dr[7] &= ~(uint64_t)DR7_GD;
    s->interrupt_shadow = false;
    dbt_mode_changed(v);
    dbt_rflags_loaded(v);
    dbt_end_block(v);
    return true;
}

/* SDM vol. 3, table 6-5. */
typedef enum FaultClass { CLASS_BENIGN, CLASS_CONTRIBUTORY, CLASS_PAGE_FAULT, CLASS_DOUBLE } FaultClass;

static FaultClass fault_class(uint8_t vector)
{
    switch (vector) {
    case EXC_DE: case EXC_TS: case EXC_NP: case EXC_SS: case EXC_GP:
        return CLASS_CONTRIBUTORY;
    case EXC_PF:
        return CLASS_PAGE_FAULT;
    case EXC_DF:
        return CLASS_DOUBLE;
    default:
        return CLASS_BENIGN;
    }
}

static bool makes_double(FaultClass first, FaultClass second)
{
    if (first == CLASS_CONTRIBUTORY)
        return second == CLASS_CONTRIBUTORY;
    return first == CLASS_PAGE_FAULT && (second == CLASS_CONTRIBUTORY || second == CLASS_PAGE_FAULT);
}

/* SDM vol. 3, 6.15, #DF: the processor shuts down; a PC's chip set answers with a reset. */
static void triple_fault(DbtVcpu *v)
{
    dbt_guest_leave(v);
    machine_request_reset(v->cpu->machine, SHUTDOWN_CAUSE_TRIPLE_FAULT);
    dbt_guest_enter(v);
    v->state->mp_state = MP_HALTED; /* nothing is executed until the reset comes */
    v->state->rflags &= ~(uint64_t)RFLAGS_IF;
    dbt_attention(v);
}

/* The exception v->fault describes. Faults push RF set, so that an instruction breakpoint does not
 * hit again on return; #DB leaves that to its handler or to exec.c. */
static Event fault_event(DbtVcpu *v)
{
    CpuState *s = v->state;
    Event e = { EVENT_EXCEPTION, v->fault.vector, v->fault.has_error, v->fault.error, s->rip, s->rflags };

    if (e.vector == EXC_PF)
        s->cr2 = v->fault_linear;
    if (e.vector != EXC_DB && e.vector != EXC_DF)
        e.flags |= RFLAGS_RF;
    return e;
}

/* Delivers, and what goes wrong in that, until a handler is reached or the vCPU shuts down. */
static void deliver_all(DbtVcpu *v, Event e)
{
    for (;;) {
        FaultClass first = e.kind == EVENT_EXCEPTION ? fault_class(e.vector) : CLASS_BENIGN;
        v->delivering = e.vector;
        if (deliver(v, &e))
            break;
        if (first == CLASS_DOUBLE) {
            triple_fault(v);
            break;
        }
        e = fault_event(v);
        if (makes_double(first, fault_class(e.vector)))
            e = (Event){ EVENT_EXCEPTION, EXC_DF, true, 0, v->state->rip, v->state->rflags };
    }
    v->delivering = -1;
}

void dbt_deliver_fault(DbtVcpu *v)
{
    deliver_all(v, fault_event(v));
}

void dbt_deliver_interrupt(DbtVcpu *v, uint8_t vector, bool nmi)
{
    CpuState *s = v->state;

    if (nmi)
        s->nmi_masked = true;
    deliver_all(v, (Event){ EVENT_EXTERNAL, vector, false, 0, s->rip, s->rflags });
}

/* An event an instruction raises. Its gate clears TF, and the trap of TF is lost (SDM vol. 3,
 * 17.3.1.4). */
static DbtStep raise_event(DbtVcpu *v, const Event *e)
{
    if (!deliver(v, e))
        return DBT_FAULT;
    v->untraced = true;
    return DBT_LEAVE;
}

DbtStep dbt_software_interrupt(DbtVcpu *v, uint8_t vector, uint64_t next_rip)
{
    return raise_event(v, &(Event){ EVENT_SOFTWARE, vector, false, 0, next_rip, v->state->rflags });
}

/* A data breakpoint MOV SS held back comes with the same #DB (SDM vol. 3, 6.8.3). */
DbtStep dbt_icebp(DbtVcpu *v, uint64_t next_rip)
{
    CpuState *s = v->state;
    uint64_t dr6 = s->dr[6];

    if (v->debug_traps)
        s->dr[6] = (dr6 & ~0xfull) | v->debug_traps;
    if (raise_event(v, &(Event){ EVENT_ICEBP, EXC_DB, false, 0, next_rip, s->rflags }) == DBT_FAULT) {
        s->dr[6] = dr6;
        return DBT_FAULT;
    }
    v->debug_traps = 0;
    return DBT_LEAVE;
}
