/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Human monitor commands about CPUs: registers, which CPU the others mean, NMI.
 */
#include "core/error.h"
#include "hmp-internal.h"

static const char *mp_state_name(const CpuState *state)
{
    switch (state->mp_state) {
    case MP_RUNNABLE:
        return "running";
    case MP_HALTED:
        return "halted";
    case MP_INIT_RECEIVED:
        return "waits for a start-up IPI";
    }
    return "?";
}

static bool info_cpus(HmpContext *ctx, GError **errp)
{
    for (unsigned i = 0; i < ctx->machine->smp.cpus; i++) {
        Vcpu *vcpu = ctx->machine->vcpus[i];

        vcpu_sync_state(vcpu);
        g_string_append_printf(ctx->out,
                               "%c CPU #%u: thread_id=%d rip=%#018" G_GINT64_MODIFIER "x CPL=%u, %u-bit code, %s\n",
                               i == ctx->cpu ? '*' : ' ', i, (int)vcpu_thread_id(vcpu), vcpu->state.rip,
                               cpu_state_cpl(&vcpu->state), cpu_state_code_bits(&vcpu->state),
                               mp_state_name(&vcpu->state));
    }
    return true;
}

static bool info_registers(HmpContext *ctx, GError **errp)
{
    bool all = hmp_take_flag(ctx, 'a');

    if (!hmp_end(ctx, errp))
        return false;
    for (unsigned i = 0; i < ctx->machine->smp.cpus; i++) {
        Vcpu *vcpu = ctx->machine->vcpus[i];

        if (!all && i != ctx->cpu)
            continue;
        vcpu_sync_state(vcpu);
        cpu_state_print(&vcpu->state, i, ctx->out);
    }
    return true;
}

static bool select_cpu(HmpContext *ctx, GError **errp)
{
    uint64_t index;

    if (!hmp_take_number(ctx, "the CPU's number", &index, errp) || !hmp_end(ctx, errp))
        return false;
    if (index >= ctx->machine->smp.cpus)
        return error_set(errp, "there is no CPU %" G_GUINT64_FORMAT "; the last is %u", index, ctx->machine->smp.cpus - 1);
    ctx->cpu = (unsigned)index;
    return true;
}

static bool nmi(HmpContext *ctx, GError **errp)
{
    machine_inject_nmi(ctx->machine);
    return true;
}

const HmpCommand hmp_cpu_commands[] = {
    {"info cpus", NULL, info_cpus, "what each CPU does", .paused = true},
    {"info registers", "[-a]", info_registers, "registers of the selected CPU; -a: of all", .paused = true},
    {"cpu", "N", select_cpu, "select the CPU whose registers and memory are meant", .paused = true},
    {"nmi", NULL, nmi, "send a non-maskable interrupt to all CPUs"},
    {0},
};
