/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPU threads: life cycle, pause and resume, work on a vCPU's thread, register state.
 *
 * Whether a vCPU stands still is decided by two things under vcpu->lock: pauses (others want it) and
 * self_stopped (it has asked the main thread for something, see vcpu_stop_self). VCPU_REQ_PAUSE only
 * makes the thread look at them; `paused` says that it has.
 *
 * A vCPU that stopped itself cannot be forgotten. It stops itself after it made its request, and
 * serving that request pauses all vCPUs, waits for them, and ends in a resume (or in vcpu_exit).
 * The pause is not over before the vCPU has left AccelOps.run and stood still, so the resume, which
 * clears self_stopped, comes after it was set:
 *
 *     vCPU:  request, self_stopped = true ... run returns, stands still ............... runs
 *     main:      sees request, pauses++, waits ............ serves it, pauses--, self_stopped = false
 *
 * Waiting threads let go of machine_lock first: the vCPU may be inside an MMIO access and need it to
 * reach the point where it stands still.
 */
#include "core/vcpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "core/lock.h"
#include "core/log.h"
#include "core/machine.h"
#include "core/thread.h"

typedef struct VcpuWork {
    void (*fn)(Vcpu *vcpu, void *opaque);
    void *opaque;
    bool done;
} VcpuWork;

__thread Vcpu *current_vcpu;

static const AccelOps *vcpu_ops(const Vcpu *vcpu)
{
    return vcpu->machine->accel->ops;
}

/* --- register state --- */

static void get_state(Vcpu *vcpu, void *opaque)
{
    if (vcpu_ops(vcpu)->get_state)
        vcpu_ops(vcpu)->get_state(vcpu);
    vcpu->state_synced = true;
}

void vcpu_sync_state(Vcpu *vcpu)
{
    if (!vcpu->state_synced)
        vcpu_run_on(vcpu, get_state, NULL);
}

void vcpu_mark_dirty(Vcpu *vcpu)
{
    vcpu->state_synced = true;
    vcpu->state_dirty = true;
}

void vcpu_flush_state(Vcpu *vcpu)
{
    if (vcpu->state_dirty && vcpu_ops(vcpu)->put_state)
        vcpu_ops(vcpu)->put_state(vcpu);
    vcpu->state_dirty = false;
    vcpu->state_synced = false;
}

void vcpu_log_state(Vcpu *vcpu, LogMask mask, const char *reason)
{
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_append_printf(text, "%s (CPU %u)\n", reason, vcpu->index);
    cpu_state_print(&vcpu->state, vcpu->index, text);
    log_printf(mask, "%s", text->str);
}

void vcpu_reset(Vcpu *vcpu, uint64_t tsc_offset)
{
    vcpu_take_requests(vcpu, VCPU_REQ_RESET | VCPU_REQ_INIT | VCPU_REQ_SIPI | VCPU_REQ_INTR | VCPU_REQ_NMI);
    if (log_enabled(LOG_CPU_RESET)) {
        vcpu_sync_state(vcpu);
        vcpu_log_state(vcpu, LOG_CPU_RESET, "CPU reset");
    }
    cpu_state_reset(&vcpu->state, vcpu->signature, vcpu->index == 0);
    vcpu->state.tsc_offset = tsc_offset;
    vcpu_mark_dirty(vcpu);
}

/* SDM vol. 3, 9.4.2: after INIT the bootstrap processor starts at the reset vector, the others wait
 * for a start-up IPI. */
static void vcpu_serve_init(Vcpu *vcpu)
{
    vcpu_sync_state(vcpu);
    if (vcpu->intr && vcpu->intr->init)
        vcpu->intr->init(vcpu->intr_opaque);
    cpu_state_init(&vcpu->state, vcpu->signature, vcpu->index == 0);
    vcpu_mark_dirty(vcpu);
}

/* A start-up IPI means nothing to a processor that is not waiting for one. */
static void vcpu_serve_sipi(Vcpu *vcpu)
{
    vcpu_sync_state(vcpu);
    if (vcpu->state.mp_state != MP_INIT_RECEIVED)
        return;
    cpu_state_sipi(&vcpu->state, __atomic_load_n(&vcpu->sipi_vector, __ATOMIC_ACQUIRE));
    vcpu_mark_dirty(vcpu);
}

/* --- the thread --- */

static void run_work_locked(Vcpu *vcpu)
{
    VcpuWork *work;

    while ((work = g_queue_pop_head(&vcpu->work))) {
        pthread_mutex_unlock(&vcpu->lock);
        work->fn(vcpu, work->opaque);
        pthread_mutex_lock(&vcpu->lock);
        work->done = true;
        pthread_cond_broadcast(&vcpu->cond);
    }
}

/* Does queued work, and stands still for as long as anybody wants it. */
static void vcpu_stand_still(Vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->lock);
    for (;;) {
        run_work_locked(vcpu);
        if (!vcpu->pauses && !vcpu->self_stopped)
            break;
        if (vcpu_requests(vcpu) & VCPU_REQ_EXIT)
            break;
        vcpu->paused = true;
        pthread_cond_broadcast(&vcpu->cond);
        pthread_cond_wait(&vcpu->cond, &vcpu->lock);
    }
    vcpu->paused = false;
    pthread_mutex_unlock(&vcpu->lock);
}

/* False: the thread is to end. INIT and SIPI that arrived together came in this order. */
static bool vcpu_serve(Vcpu *vcpu)
{
    uint32_t taken;

    while ((taken = vcpu_take_requests(vcpu, VCPU_REQ_CORE))) {
        if (taken & VCPU_REQ_EXIT)
            return false;
        if (taken & VCPU_REQ_RESET)
            vcpu_reset(vcpu, vcpu->state.tsc_offset);
        if (taken & VCPU_REQ_INIT)
            vcpu_serve_init(vcpu);
        if (taken & VCPU_REQ_SIPI)
            vcpu_serve_sipi(vcpu);
        if (taken & (VCPU_REQ_PAUSE | VCPU_REQ_WORK))
            vcpu_stand_still(vcpu);
    }
    return true;
}

static void *vcpu_thread(void *opaque)
{
    Vcpu *vcpu = opaque;
    const AccelOps *ops = vcpu_ops(vcpu);

    current_vcpu = vcpu;
    pthread_mutex_lock(&vcpu->lock);
    vcpu->thread_id = gettid();
    pthread_cond_broadcast(&vcpu->cond);
    pthread_mutex_unlock(&vcpu->lock);
    prctl(PR_SET_TIMERSLACK, 1); /* the default adds 50 us to every sleep until a guest's deadline */
    if (ops->vcpu_thread_init)
        ops->vcpu_thread_init(vcpu);

    while (vcpu_serve(vcpu)) {
        vcpu_flush_state(vcpu);
        if (ops->run(vcpu) == VCPU_EXIT_STOP)
            vcpu_stop_self();
    }

    pthread_mutex_lock(&vcpu->lock);
    run_work_locked(vcpu);
    vcpu->paused = true;
    pthread_cond_broadcast(&vcpu->cond);
    pthread_mutex_unlock(&vcpu->lock);
    return NULL;
}

/* --- life cycle --- */

Vcpu *vcpu_new(Machine *machine, unsigned index, uint32_t apic_id, GError **errp)
{
    /* Vector registers are aligned beyond what the allocator gives. */
    Vcpu *vcpu = aligned_alloc(_Alignof(Vcpu), sizeof(Vcpu));
    const AccelOps *ops = machine->accel->ops;

    if (!vcpu)
        g_error("CPU %u: out of memory", index);
    memset(vcpu, 0, sizeof(*vcpu));
    vcpu->machine = machine;
    vcpu->index = index;
    vcpu->apic_id = apic_id;
    vcpu->pauses = 1;
    vcpu->requests = VCPU_REQ_PAUSE;
    pthread_mutex_init(&vcpu->lock, NULL);
    pthread_cond_init(&vcpu->cond, NULL);
    g_queue_init(&vcpu->work);
    if (ops->vcpu_init && !ops->vcpu_init(vcpu, errp)) {
        g_prefix_error(errp, "CPU %u: ", index);
        free(vcpu);
        return NULL;
    }
    return vcpu;
}

bool vcpu_set_cpuid(Vcpu *vcpu, const CpuidTable *table, GError **errp)
{
    uint32_t regs[4];

    g_assert(!vcpu->started);
    cpuid_table_query(table, 1, 0, regs);
    vcpu->signature = regs[0];
    vcpu->feature_ecx = regs[2];
    cpuid_table_query(table, 0x80000000, 0, regs);
    if (regs[0] >= 0x80000008) {
        cpuid_table_query(table, 0x80000008, 0, regs);
        vcpu->phys_bits = regs[0] & 0xff;
    }
    cpuid_table_query(table, 0xd, 0, regs);
    vcpu->xcr0_mask = regs[0] | (uint64_t)regs[3] << 32;
    cpuid_table_query(table, 0x80000001, 0, regs);
    vcpu->has_long_mode = regs[3] >> 29 & 1;
    return !vcpu_ops(vcpu)->vcpu_set_cpuid || vcpu_ops(vcpu)->vcpu_set_cpuid(vcpu, table, errp);
}

pid_t vcpu_thread_id(Vcpu *vcpu)
{
    pid_t id;

    pthread_mutex_lock(&vcpu->lock);
    while (!vcpu->thread_id)
        pthread_cond_wait(&vcpu->cond, &vcpu->lock);
    id = vcpu->thread_id;
    pthread_mutex_unlock(&vcpu->lock);
    return id;
}

bool vcpu_start(Vcpu *vcpu, GError **errp)
{
    const char *suffix = vcpu_ops(vcpu)->thread_suffix;
    char name[32];

    g_assert(!vcpu->started);
    snprintf(name, sizeof(name), "CPU %u/%s", vcpu->index, suffix ? suffix : vcpu_ops(vcpu)->name);
    vcpu->started = thread_create(&vcpu->thread, name, vcpu_thread, vcpu, errp);
    return vcpu->started;
}

void vcpu_exit(Vcpu *vcpu)
{
    unsigned depth;

    g_assert(current_vcpu != vcpu);
    if (!vcpu->started)
        return;
    vcpu_request(vcpu, VCPU_REQ_EXIT);
    pthread_mutex_lock(&vcpu->lock);
    pthread_cond_broadcast(&vcpu->cond);
    pthread_mutex_unlock(&vcpu->lock);

    depth = machine_lock_release();
    pthread_join(vcpu->thread, NULL);
    machine_lock_restore(depth);
    vcpu->started = false;
}

void vcpu_free(Vcpu *vcpu)
{
    vcpu_exit(vcpu);
    if (vcpu_ops(vcpu)->vcpu_release)
        vcpu_ops(vcpu)->vcpu_release(vcpu);
    pthread_cond_destroy(&vcpu->cond);
    pthread_mutex_destroy(&vcpu->lock);
    free(vcpu);
}

/* --- pause, resume, work --- */

static void pause_ask(Vcpu *vcpu)
{
    g_assert(!current_vcpu);
    pthread_mutex_lock(&vcpu->lock);
    vcpu->pauses++;
    pthread_mutex_unlock(&vcpu->lock);
    if (vcpu->started)
        vcpu_request(vcpu, VCPU_REQ_PAUSE);
}

/* A vCPU found `paused` stays so: with pauses above zero the thread does not clear it. */
static void pause_await(Vcpu *vcpu)
{
    unsigned depth;

    if (!vcpu->started)
        return;
    depth = machine_lock_release();
    pthread_mutex_lock(&vcpu->lock);
    while (!vcpu->paused)
        pthread_cond_wait(&vcpu->cond, &vcpu->lock);
    pthread_mutex_unlock(&vcpu->lock);
    machine_lock_restore(depth);
}

void vcpu_pause(Vcpu *vcpu)
{
    pause_ask(vcpu);
    pause_await(vcpu);
}

void vcpu_resume(Vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->lock);
    g_assert(vcpu->pauses > 0);
    if (--vcpu->pauses == 0) {
        vcpu->self_stopped = false;
        pthread_cond_broadcast(&vcpu->cond);
    }
    pthread_mutex_unlock(&vcpu->lock);
}

/* A machine whose build failed, or a test's, has none. */
static unsigned vcpu_count(const Machine *machine)
{
    return machine->vcpus ? machine->smp.cpus : 0;
}

void vcpu_pause_all(Machine *machine)
{
    for (unsigned i = 0; i < vcpu_count(machine); i++)
        pause_ask(machine->vcpus[i]);
    for (unsigned i = 0; i < vcpu_count(machine); i++)
        pause_await(machine->vcpus[i]);
}

void vcpu_resume_all(Machine *machine)
{
    for (unsigned i = 0; i < vcpu_count(machine); i++)
        vcpu_resume(machine->vcpus[i]);
}

void vcpu_stop_self(void)
{
    Vcpu *vcpu = current_vcpu;

    pthread_mutex_lock(&vcpu->lock);
    vcpu->self_stopped = true;
    pthread_mutex_unlock(&vcpu->lock);
    vcpu_request(vcpu, VCPU_REQ_PAUSE);
}

void vcpu_run_on(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque)
{
    VcpuWork work = { .fn = fn, .opaque = opaque };
    unsigned depth;

    if (vcpu == current_vcpu || !vcpu->started) {
        fn(vcpu, opaque);
        return;
    }
    g_assert(!current_vcpu);
    depth = machine_lock_release();
    pthread_mutex_lock(&vcpu->lock);
    g_queue_push_tail(&vcpu->work, &work);
    vcpu_request(vcpu, VCPU_REQ_WORK);
    pthread_cond_broadcast(&vcpu->cond); /* if it stands still, it waits for this, not the request */
    while (!work.done)
        pthread_cond_wait(&vcpu->cond, &vcpu->lock);
    pthread_mutex_unlock(&vcpu->lock);
    machine_lock_restore(depth);
}
