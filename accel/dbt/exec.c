/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loop a vCPU thread runs: requests, interrupts, traps, blocks.
 *
 *     poll ---------> block ---> handlers ... ---> poll
 *      |  ^ attention or a request word that is not zero; one load each when there is neither
 *      v  |
 *     service: leave to core, exclusive sections, NMI, interrupts, HLT, single step
 *
 * Event order at an instruction boundary: SDM vol. 3, 6.9 (traps of the last instruction, NMI,
 * interrupts, then code breakpoints of the next). Shadows: SDM vol. 2, STI and MOV SS. RF and TF:
 * SDM vol. 3, 18.3.1.
 *
 * Nothing is held across a wait: no lock, no RCU section, and the vCPU is outside guest code.
 */
#include "accel/dbt/exec.h"

#include <Zydis/Zydis.h>

#include "accel/dbt/block.h"
#include "accel/dbt/guest-debug.h"
#include "accel/dbt/jit.h"
#include "core/log.h"

#define DR6_BREAKS BITS(3, 0)
#define DR6_BS BIT(14)
#define DR7_ENABLES 0xffu

static void deliver_debug(DbtVcpu *v, uint32_t dr6_bits)
{
    /* B0..B3 are this exception's; the other causes stay until the guest clears them (17.2.3). */
    v->state->dr[6] = (v->state->dr[6] & ~(uint64_t)DR6_BREAKS) | dr6_bits;
    v->state->mp_state = MP_RUNNABLE;
    dbt_fault(v, EXC_DB);
    dbt_deliver_fault(v);
}

/* INTA may reach the PIC and so needs machine_lock: not from within guest code. */
static int acknowledge(DbtVcpu *v)
{
    Vcpu *cpu = v->cpu;
    int vector;

    dbt_guest_leave(v);
    vector = cpu->intr->ack(cpu->intr_opaque);
    dbt_guest_enter(v);
    return vector;
}

static bool interrupt_pending(const DbtVcpu *v)
{
    const Vcpu *cpu = v->cpu;

    return cpu->intr && cpu->intr->pending(cpu->intr_opaque);
}

/* Delivers what is due before the next instruction; true if something was. */
static bool deliver_events(DbtVcpu *v)
{
    CpuState *s = v->state;
    int vector;

    if (s->event_pending) {
        s->event_pending = false;
        if (s->event_type == 0 || s->event_type == 2) {
            dbt_deliver_interrupt(v, s->event_vector, s->event_type == 2);
            return true;
        }
        v->fault = (DbtFault){s->event_vector, s->event_has_error, s->event_error};
        v->fault_linear = s->cr2;
        dbt_deliver_fault(v);
        return true;
    }
    if (s->interrupt_shadow)
        return false;
    if (v->debug_traps) {
        deliver_debug(v, v->debug_traps);
        v->debug_traps = 0;
        return true;
    }
    if (v->cpu->debug.step_no_irq && s->mp_state == MP_RUNNABLE)
        return false;
    if (s->nmi_pending && !s->nmi_masked) {
        s->nmi_pending = false;
        s->mp_state = MP_RUNNABLE;
        dbt_deliver_interrupt(v, EXC_NMI, true);
        return true;
    }
    dbt_jit_interrupt_none(v); /* before the look: one that comes later says so again */
    if (!interrupt_pending(v))
        return false;
    if (!(s->rflags & RFLAGS_IF)) {
        dbt_jit_interrupt_maybe(v);
        return false;
    }
    vector = acknowledge(v);
    if (vector < 0)
        return false;
    s->mp_state = MP_RUNNABLE;
    dbt_deliver_interrupt(v, (uint8_t)vector, false);
    return true;
}

/* Takes the request word apart; false: core has to look. */
static bool serve_requests(DbtVcpu *v)
{
    Vcpu *cpu = v->cpu;
    uint32_t requests = vcpu_requests(cpu);

    if (requests & VCPU_REQ_ACCEL) {
        /* Someone wants an exclusive section, or this vCPU's TLB to change. */
        dbt_guest_leave(v);
        dbt_guest_enter(v);
    }
    if (requests & VCPU_REQ_NMI && vcpu_take_requests(cpu, VCPU_REQ_NMI))
        v->state->nmi_pending = true;
    if (requests & VCPU_REQ_INTR)
        vcpu_take_requests(cpu, VCPU_REQ_INTR);
    return !(requests & VCPU_REQ_CORE);
}

/* HLT, and a processor that waits for SIPI: sleeps until there is a request. */
static void wait_halted(DbtVcpu *v)
{
    dbt_guest_leave(v);
    vcpu_wait(v->cpu, -1);
    dbt_guest_enter(v);
}

void dbt_rflags_loaded(DbtVcpu *v)
{
    const CpuState *s = v->state;
    bool quiet = !(s->rflags & (RFLAGS_TF | RFLAGS_RF)) && !s->nmi_pending && !s->interrupt_shadow && !v->stepping;

    if (!quiet || (s->rflags & RFLAGS_IF && !dbt_jit_no_interrupt(v)))
        dbt_attention(v);
}

/* Everything that is not running blocks. false: core has to look. */
static bool service(DbtVcpu *v)
{
    CpuState *s = v->state;

    for (;;) {
        v->attention = false;
        dbt_jit_interrupt_maybe(v); /* until somebody has looked */
        if (G_UNLIKELY(v->watch_met))
            dbt_debug_report_watch(v);
        if (!serve_requests(v))
            return false;
        if (s->mp_state == MP_INIT_RECEIVED) {
            wait_halted(v);
            continue;
        }
        if (deliver_events(v)) {
            if (v->cpu->debug.step)
                dbt_debug_stepped(v); /* before the handler's first instruction */
            continue;
        }
        if (s->mp_state == MP_RUNNABLE) {
            if (!dbt_debug_has_breaks(v) || v->cpu->debug.step || !dbt_debug_break(v))
                break;
            continue;
        }
        wait_halted(v);
    }
    v->stepping = s->rflags & (RFLAGS_TF | RFLAGS_RF) || s->interrupt_shadow ||
                  s->dr[7] & DR7_ENABLES || v->cpu->debug.step;
    /* A stepping vCPU comes back here after each instruction, one with a debugger after each block. */
    v->attention = v->stepping || dbt_debug_has_breaks(v);
    return true;
}

/* Instruction breakpoints at cs:rip (DR7.R/W = 0, SDM vol. 3, 18.2.4): DR6 bits. */
static uint32_t code_breakpoints(const DbtVcpu *v)
{
    const CpuState *s = v->state;
    uint64_t linear = dbt_code_linear(v);
    uint32_t hits = 0;

    for (unsigned i = 0; i < 4; i++) {
        bool enabled = s->dr[7] >> (2 * i) & 3;
        bool execute = !(s->dr[7] >> (16 + 4 * i) & 3);

        if (enabled && execute && s->dr[i] == linear)
            hits |= 1u << i;
    }
    return hits;
}

/* Runs insns up to v->limit. */
static DbtStep run_insns(DbtVcpu *v, const DbtInsn *insn)
{
    CpuState *s = v->state;

    do {
        DbtStep step = insn->handler(v, insn);

        if (step != DBT_NEXT)
            return step;
        s->rip += insn->len;
        insn++;
    } while (insn < v->limit);
    return DBT_NEXT;
}

void dbt_after_block(DbtVcpu *v, DbtStep step)
{
    if (step == DBT_FAULT) {
        v->watch_met = NULL;
        dbt_deliver_fault(v);
        dbt_rflags_loaded(v);
    } else if (step == DBT_NEXT && v->code_bits != 64) {
        v->state->rip = (uint32_t)v->state->rip;
    }
}

/* One instruction with all that single stepping, breakpoints and the interrupt shadow ask for. */
static void step_one(DbtVcpu *v)
{
    CpuState *s = v->state;
    bool trace = s->rflags & RFLAGS_TF, resume = s->rflags & RFLAGS_RF;
    bool shadow = s->interrupt_shadow;
    uint32_t hits = resume ? 0 : code_breakpoints(v);
    const DbtInsn *insns;
    uint32_t traps;
    DbtBlock *b;
    DbtStep step;

    if (hits && !shadow) {
        /* A fault: the handler returns to the instruction, which RF then lets pass. */
        s->rflags |= RFLAGS_RF;
        deliver_debug(v, hits);
        return;
    }
    b = dbt_block_find(v);
    if (!b) {
        dbt_after_block(v, DBT_FAULT);
        return;
    }
    /* RF lasts for one instruction; IRET and the like may load it again. */
    s->rflags &= ~(uint64_t)RFLAGS_RF;
    s->interrupt_shadow = false;
    insns = dbt_block_insns(v, b);
    v->limit = &insns[1];
    v->untraced = false;
    step = run_insns(v, insns);
    if (step == DBT_FAULT && resume)
        s->rflags |= RFLAGS_RF;
    dbt_after_block(v, step);
    if (step == DBT_FAULT) {
        v->debug_traps = 0;
        return;
    }
    /* Traps of MOV SS and POP SS wait for the next instruction's end (SDM vol. 3, 6.8.3). */
    if (s->interrupt_shadow && insns[0].mnemonic != ZYDIS_MNEMONIC_STI)
        return;
    traps = v->debug_traps | (trace && !v->untraced ? (uint32_t)DR6_BS : 0);
    v->debug_traps = 0;
    if (traps)
        deliver_debug(v, traps);
}

void dbt_log_block(const DbtVcpu *v, const DbtBlock *b)
{
    log_printf(LOG_EXEC, "CPU%u %04x:%016" G_GINT64_MODIFIER "x gpa %" G_GINT64_MODIFIER "x cpl %u\n",
               v->cpu->index, v->state->seg[SEG_CS].selector, v->state->rip, b->gpa, v->cpl);
}

void dbt_run_block(DbtVcpu *v, DbtBlock *b)
{
    const DbtInsn *insns = dbt_block_insns(v, b);

    if (G_UNLIKELY(log_enabled(LOG_EXEC)))
        dbt_log_block(v, b);
    v->limit = &insns[b->straight];
    dbt_after_block(v, run_insns(v, insns));
}

static void find_and_run_block(DbtVcpu *v)
{
    DbtBlock *b = dbt_block_find(v);

    if (b)
        dbt_run_block(v, b);
    else
        dbt_after_block(v, DBT_FAULT);
}

VcpuExit dbt_exec(DbtVcpu *v)
{
    const Vcpu *cpu = v->cpu;

    dbt_jit_enter_thread(v);
    dbt_guest_enter(v);
    dbt_state_loaded(v);
    for (;;) {
        if (G_UNLIKELY(vcpu_requests(cpu) != 0 || v->attention) && !service(v))
            break;
        if (G_UNLIKELY(v->stepping)) {
            step_one(v);
            if (v->cpu->debug.step)
                dbt_debug_stepped(v);
        } else if (v->jit && !v->attention) { /* a debugger has breakpoints: it looks before each block */
            dbt_jit_run(v);
        } else {
            find_and_run_block(v);
        }
    }
    dbt_guest_leave(v);
    return VCPU_EXIT_REQUEST;
}
