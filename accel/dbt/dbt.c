/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accelerator class of the translator, and exclusive sections.
 *
 * Exclusive sections. Each vCPU has a flag "inside guest code"; the gate has a count of threads
 * that want the machine for themselves. Both sides write their own word, then read the other's:
 *
 *     vCPU                                   thread that wants a section
 *     inside = 1                             wanted++, request bits to all vCPUs
 *     wanted? -> inside = 0, wait            wait until no other vCPU is inside
 *
 * Sections of several threads run one after another. A vCPU that asks for one, or waits for its
 * turn, counts as outside itself.
 *
 * Locks: gate.lock guards owner and depth and is never held while guest code runs. machine_lock is
 * taken before a section, never within (dbt.h).
 */
#include "accel/dbt/dbt.h"

#include "accel/dbt/block.h"
#include "accel/dbt/decode.h"
#include "accel/dbt/exec.h"
#include "accel/dbt/guest-debug.h"
#include "accel/dbt/mmu-priv.h"
#include "accel/dbt/ops.h"
#include "accel/dbt/sys.h"
#include "core/error.h"
#include "core/machine.h"

struct DbtGate {
    GMutex lock;
    GCond changed;    /* a section ended, or a vCPU stepped out while one was wanted */
    uint32_t wanted;  /* atomic: threads that own or want a section */
    bool owned;
    GThread *owner;
    unsigned depth;
};

/* The vCPU of the calling thread, if it is one of ours. */
static DbtVcpu *own_vcpu(const DbtAccel *accel)
{
    Vcpu *cpu = current_vcpu;
    DbtVcpu *v = cpu ? cpu->accel : NULL;

    return v && v->accel == accel ? v : NULL;
}

static bool others_inside(const DbtAccel *accel, const DbtVcpu *self)
{
    for (guint i = 0; i < accel->vcpus->len; i++) {
        const DbtVcpu *v = accel->vcpus->pdata[i];

        if (v != self && __atomic_load_n(&v->inside, __ATOMIC_SEQ_CST))
            return true;
    }
    return false;
}

static void call_out(const DbtAccel *accel, const DbtVcpu *self)
{
    for (guint i = 0; i < accel->vcpus->len; i++) {
        DbtVcpu *v = accel->vcpus->pdata[i];

        if (v != self && __atomic_load_n(&v->inside, __ATOMIC_SEQ_CST))
            vcpu_request(v->cpu, VCPU_REQ_ACCEL);
    }
}

void dbt_exclusive_begin(DbtAccel *accel)
{
    struct DbtGate *gate = accel->gate;
    DbtVcpu *self = own_vcpu(accel);
    bool was_inside = self && self->inside;

    g_mutex_lock(&gate->lock);
    if (gate->owned && gate->owner == g_thread_self()) {
        gate->depth++;
        g_mutex_unlock(&gate->lock);
        return;
    }
    __atomic_add_fetch(&gate->wanted, 1, __ATOMIC_SEQ_CST);
    if (was_inside) {
        __atomic_store_n(&self->inside, false, __ATOMIC_SEQ_CST);
        g_cond_broadcast(&gate->changed);
    }
    while (gate->owned)
        g_cond_wait(&gate->changed, &gate->lock);
    gate->owned = true;
    gate->owner = g_thread_self();
    gate->depth = 1;
    call_out(accel, self);
    while (others_inside(accel, self))
        g_cond_wait(&gate->changed, &gate->lock);
    if (was_inside)
        __atomic_store_n(&self->inside, true, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&gate->lock);
    /* What a section before this one left for us to do. */
    if (was_inside && vcpu_take_requests(self->cpu, VCPU_REQ_ACCEL))
        dbt_mmu_sync(self);
}

void dbt_exclusive_end(DbtAccel *accel)
{
    struct DbtGate *gate = accel->gate;

    g_mutex_lock(&gate->lock);
    g_assert(gate->owned && gate->owner == g_thread_self());
    if (--gate->depth == 0) {
        gate->owned = false;
        gate->owner = NULL;
        __atomic_sub_fetch(&gate->wanted, 1, __ATOMIC_SEQ_CST);
        g_cond_broadcast(&gate->changed);
    }
    g_mutex_unlock(&gate->lock);
}

void dbt_guest_leave(DbtVcpu *v)
{
    struct DbtGate *gate = v->accel->gate;

    dbt_jit_x87_home(v);
    dbt_jit_interrupt_maybe(v); /* whatever is done outside may raise or unmask one */
    __atomic_store_n(&v->inside, false, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&gate->wanted, __ATOMIC_SEQ_CST)) {
        g_mutex_lock(&gate->lock);
        g_cond_broadcast(&gate->changed);
        g_mutex_unlock(&gate->lock);
    }
}

void dbt_guest_enter(DbtVcpu *v)
{
    struct DbtGate *gate = v->accel->gate;

    __atomic_store_n(&v->inside, true, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&gate->wanted, __ATOMIC_SEQ_CST)) {
        g_mutex_lock(&gate->lock);
        if (gate->owner == g_thread_self()) {
            g_mutex_unlock(&gate->lock);
            break;
        }
        __atomic_store_n(&v->inside, false, __ATOMIC_SEQ_CST);
        g_cond_broadcast(&gate->changed);
        while (__atomic_load_n(&gate->wanted, __ATOMIC_SEQ_CST))
            g_cond_wait(&gate->changed, &gate->lock);
        __atomic_store_n(&v->inside, true, __ATOMIC_SEQ_CST);
        g_mutex_unlock(&gate->lock);
    }
    if (vcpu_take_requests(v->cpu, VCPU_REQ_ACCEL))
        dbt_mmu_sync(v);
}

static bool dbt_probe(GError **errp)
{
    return true;
}

static void dbt_release(Accel *base)
{
    DbtAccel *accel = (DbtAccel *)base;

    if (accel->native)
        dbt_native_release(accel);
    if (accel->map)
        dbt_map_release(accel);
    if (accel->vcpus)
        g_ptr_array_free(accel->vcpus, TRUE);
    if (accel->gate) {
        g_mutex_clear(&accel->gate->lock);
        g_cond_clear(&accel->gate->changed);
    }
    g_clear_pointer(&accel->gate, g_free);
    dbt_jit_pages_release(accel);
    dbt_perf_map_close(accel);
    dbt_debug_release(accel);
    g_clear_pointer(&accel->ops, g_free);
    accel->vcpus = NULL;
}

static bool dbt_init(Accel *base, Machine *machine, GError **errp)
{
    DbtAccel *accel = (DbtAccel *)base;

    base->irqchip = IRQCHIP_USERSPACE;
    accel->vcpus = g_ptr_array_new();
    accel->gate = g_new0(struct DbtGate, 1);
    g_mutex_init(&accel->gate->lock);
    g_cond_init(&accel->gate->changed);
    accel->ops = dbt_ops_index();
    accel->perf_map_fd = -1;
    dbt_debug_init(accel);
    dbt_jit_pages_init(accel);
    if (dbt_map_init(accel, machine, errp) && dbt_native_init(accel, errp) && dbt_perf_map_open(accel, errp))
        return true;
    dbt_release(base);
    return false;
}

static void dbt_vcpu_release(Vcpu *cpu)
{
    DbtVcpu *v = cpu->accel;

    if (!v)
        return;
    dbt_exclusive_begin(v->accel);
    dbt_jit_pages_vcpu(v, false);
    dbt_exclusive_end(v->accel);
    dbt_jit_release(v);
    dbt_cache_release(v);
    dbt_sys_release(v);
    dbt_mmu_release(v);
    g_free(v);
    cpu->accel = NULL;
}

/* Without tb-size: translated code and TLBs of all vCPUs together. */
#define MEMORY_DEFAULT (64 * MIB)
/* What a vCPU gets at least. */
#define BUDGET_MIN (1 * MIB)

size_t dbt_budget(const DbtVcpu *v, unsigned share)
{
    size_t cpus = MAX(v->cpu->machine->smp.cpus, 1), tlbs = cpus * dbt_mmu_size();
    size_t all = v->accel->tb_size ? v->accel->tb_size * MIB : MEMORY_DEFAULT - MIN(tlbs, MEMORY_DEFAULT);

    return MAX(all / cpus, BUDGET_MIN) / 64 * share;
}

static bool dbt_vcpu_init(Vcpu *cpu, GError **errp)
{
    DbtVcpu *v = g_new0(DbtVcpu, 1);

    v->cpu = cpu;
    v->state = &cpu->state;
    v->accel = (DbtAccel *)cpu->machine->accel;
    v->delivering = -1;
    cpu->accel = v;
    if (!dbt_mmu_init(v, errp) || !dbt_sys_init(v, errp) || !dbt_cache_init(v, errp) ||
        (!v->accel->interpret && !dbt_jit_init(v, errp))) {
        dbt_vcpu_release(cpu);
        return false;
    }
    dbt_exclusive_begin(v->accel);
    dbt_jit_pages_vcpu(v, true);
    dbt_exclusive_end(v->accel);
    return true;
}

static bool dbt_vcpu_set_cpuid(Vcpu *cpu, const CpuidTable *cpuid, GError **errp)
{
    DbtVcpu *v = cpu->accel;

    v->cpuid_copy = *cpuid;
    v->cpuid = &v->cpuid_copy;
    dbt_decoder_set_cpuid(v->cache->decoder, v->cpuid);
    dbt_sys_cpuid_changed(v);
    dbt_cache_flush(v);
    return true;
}

static VcpuExit dbt_run(Vcpu *cpu)
{
    return dbt_exec(cpu->accel);
}

/* The interpreter looks at the request word between blocks, translated code at a word of its own. */
static void dbt_kick(Vcpu *cpu)
{
    if (cpu->accel)
        dbt_jit_kick(cpu->accel);
}

/* CpuState is the truth; dbt_exec derives everything else anew when it begins, inside guest code. */
static void dbt_put_state(Vcpu *cpu)
{
}

static const Property dbt_props[] = {
    {.name = "tb-size",
     .kind = PROP_U32,
     .offset = offsetof(DbtAccel, tb_size),
     .def = "0",
     .help = "MiB of translated code, shared out among the vCPUs (at least 1 each); one and three quarters as much at most for what is "
             "known about it and for decoded code. 0: what 64 MiB leave beside the vCPUs' TLBs",
     .max = 4096},
    {.name = "interpret",
     .kind = PROP_BOOL,
     .offset = offsetof(DbtAccel, interpret),
     .def = "off",
     .help = "interpret only, never translate"},
    {.name = "lock-step",
     .kind = PROP_BOOL,
     .offset = offsetof(DbtAccel, lock_step),
     .def = "off",
     .help = "run translated code and the interpreter side by side and stop at the first difference; for one CPU"},
    {.name = "translate-after",
     .kind = PROP_U32,
     .offset = offsetof(DbtAccel, translate_after),
     .def = "4",
     .help = "how often a block is interpreted before it is translated, plus one",
     .min = 1,
     .max = 60000},
    {.name = "hot-after",
     .kind = PROP_U32,
     .offset = offsetof(DbtAccel, hot_after),
     .def = "2048",
     .help = "how often translated code runs before it is translated anew together with what it jumps to, and with a TLB entry for each access",
     .min = 1,
     .max = 1000000},
    {.name = "one-insn-per-tb",
     .kind = PROP_BOOL,
     .offset = offsetof(DbtAccel, one_insn_per_tb),
     .def = "off",
     .help = "one guest instruction per block, for -d exec"},
    {.name = "perf-map",
     .kind = PROP_BOOL,
     .offset = offsetof(DbtAccel, perf_map),
     .def = "off",
     .help = "write the names of translated code to /tmp/perf-PID.map, for perf; gdb attached to vmm has them, too"},
    {.name = NULL},
};

const AccelOps dbt_accel_ops = {
    .name = "dbt",
    .thread_suffix = "DBT",
    .props = dbt_props,
    .instance_size = sizeof(DbtAccel),
    .probe = dbt_probe,
    .init = dbt_init,
    .release = dbt_release,
    .supported_cpuid = dbt_supported_cpuid,
    .vcpu_init = dbt_vcpu_init,
    .vcpu_set_cpuid = dbt_vcpu_set_cpuid,
    .vcpu_release = dbt_vcpu_release,
    .run = dbt_run,
    .kick = dbt_kick,
    .put_state = dbt_put_state,
    .print_stats = dbt_print_stats,
    .debug_check = dbt_debug_check,
    .debug_arm = dbt_debug_arm,
};
