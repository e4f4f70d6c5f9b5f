/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM vCPUs: creation, kick, the gate, and the loop a vCPU thread runs.
 *
 * The protocol between the loop, kicks and the gate is in kvm-internal.h.
 *
 * An exit for port or memory access is completed by the next KVM_RUN, which writes the result to
 * registers and moves RIP (api 5, "KVM_EXIT_IO ... the corresponding operations are complete only
 * after userspace has re-entered the kernel"). So before registers are changed, or the loop is left,
 * such an exit is completed by a KVM_RUN with immediate_exit set, which runs no guest code.
 *
 * Locking: the loop holds nothing while in KVM_RUN or between exits.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/error.h"
#include "core/log.h"
#include "core/machine.h"
#include "core/thread.h"
#include "core/trace.h"
#include "kvm-internal.h"

/* --- life cycle --- */

static bool create_vcpu(KvmVcpu *kv, GError **errp)
{
    KvmAccel *kvm = kv->kvm;

    /* The id is the APIC id (api 4.7). */
    if (kv->cpu->apic_id == 0 && kvm->first_vcpu_fd >= 0) {
        kv->fd = kvm->first_vcpu_fd;
        kvm->first_vcpu_fd = -1;
    } else {
        kv->fd = kvm_ioctl(kvm->vm_fd, KVM_CREATE_VCPU, (void *)(uintptr_t)kv->cpu->apic_id);
    }
    if (kv->fd < 0 && (errno == EINVAL || errno == EEXIST))
        return error_set(errp, "KVM cannot create a vCPU with APIC id %u: at most %d vCPUs, ids below %d",
                         kv->cpu->apic_id, kvm_check(kvm->fd, KVM_CAP_MAX_VCPUS),
                         kvm_check(kvm->fd, KVM_CAP_MAX_VCPU_ID));
    if (kv->fd < 0)
        return error_set_errno(errp, errno, "KVM cannot create a vCPU");
    kv->run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, kv->fd, 0);
    if (kv->run == MAP_FAILED) {
        kv->run = NULL;
        return error_set_errno(errp, errno, "cannot map a vCPU's kvm_run area");
    }
    return true;
}

static void register_vcpu(KvmVcpu *kv)
{
    KvmAccel *kvm = kv->kvm;

    pthread_mutex_lock(&kvm->gate.lock);
    g_ptr_array_add(kvm->vcpus, kv);
    if (!kvm->ring && kvm->ring_page)
        kvm->ring = (void *)((uint8_t *)kv->run + kvm->ring_page * 4096ul);
    pthread_mutex_unlock(&kvm->gate.lock);
}

bool kvm_vcpu_init(Vcpu *vcpu, GError **errp)
{
    KvmVcpu *kv = g_new0(KvmVcpu, 1);

    kv->cpu = vcpu;
    kv->kvm = kvm_of(vcpu->machine->accel);
    kv->fd = -1;
    vcpu->accel = kv;
    if (!create_vcpu(kv, errp) || !kvm_regs_init(kv, errp)) {
        kvm_vcpu_release(vcpu);
        return false;
    }
    register_vcpu(kv);
    return true;
}

void kvm_vcpu_thread_init(Vcpu *vcpu)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);

    kv->tid = (pid_t)syscall(SYS_gettid);
}

/* The ring lives in the first vCPU's mapping; all are released together, after their threads ended. */
void kvm_vcpu_release(Vcpu *vcpu)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);
    KvmAccel *kvm = kv->kvm;

    pthread_mutex_lock(&kvm->gate.lock);
    if (kvm->ring == (void *)((uint8_t *)kv->run + kvm->ring_page * 4096ul))
        kvm->ring = NULL;
    g_ptr_array_remove(kvm->vcpus, kv);
    pthread_mutex_unlock(&kvm->gate.lock);
    kvm_regs_release(kv);
    if (kv->run)
        munmap(kv->run, kvm->run_size);
    if (kv->fd >= 0)
        close(kv->fd);
    g_free(kv);
    vcpu->accel = NULL;
}

/* --- kick and gate --- */

static KvmPhase phase_load(const KvmVcpu *kv)
{
    return __atomic_load_n(&kv->phase, __ATOMIC_SEQ_CST);
}

static void get_out(KvmVcpu *kv)
{
    __atomic_store_n(&kv->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (phase_load(kv) == KVM_PHASE_IN)
        syscall(SYS_tgkill, getpid(), kv->tid, VCPU_KICK_SIGNAL);
}

void kvm_vcpu_kick(Vcpu *vcpu)
{
    get_out(kvm_vcpu_of(vcpu));
}

static bool anyone_inside(KvmAccel *kvm)
{
    for (guint i = 0; i < kvm->vcpus->len; i++)
        if (phase_load(kvm->vcpus->pdata[i]) == KVM_PHASE_IN)
            return true;
    return false;
}

void kvm_gate_close(KvmAccel *kvm)
{
    KvmGate *gate = &kvm->gate;

    pthread_mutex_lock(&gate->lock);
    __atomic_store_n(&gate->closed, 1, __ATOMIC_SEQ_CST);
    for (guint i = 0; i < kvm->vcpus->len; i++)
        if (phase_load(kvm->vcpus->pdata[i]) == KVM_PHASE_IN)
            get_out(kvm->vcpus->pdata[i]);
    while (anyone_inside(kvm))
        pthread_cond_wait(&gate->cond, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

void kvm_gate_open(KvmAccel *kvm)
{
    KvmGate *gate = &kvm->gate;

    pthread_mutex_lock(&gate->lock);
    __atomic_store_n(&gate->closed, 0, __ATOMIC_SEQ_CST);
    pthread_cond_broadcast(&gate->cond);
    pthread_mutex_unlock(&gate->lock);
}

static bool gate_closed(const KvmAccel *kvm)
{
    return __atomic_load_n(&kvm->gate.closed, __ATOMIC_SEQ_CST);
}

/* --- the loop --- */

/* phase becomes OUT; who closes the gate hears of it. */
static void leave_guest(KvmVcpu *kv)
{
    KvmGate *gate = &kv->kvm->gate;

    __atomic_store_n(&kv->phase, KVM_PHASE_OUT, __ATOMIC_SEQ_CST);
    if (G_UNLIKELY(gate_closed(kv->kvm))) {
        pthread_mutex_lock(&gate->lock);
        pthread_cond_broadcast(&gate->cond);
        pthread_mutex_unlock(&gate->lock);
    }
}

static void wait_at_gate(KvmVcpu *kv)
{
    KvmGate *gate = &kv->kvm->gate;

    pthread_mutex_lock(&gate->lock);
    while (gate_closed(kv->kvm))
        pthread_cond_wait(&gate->cond, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

/* phase becomes IN unless there is a reason to stay out: then false, and phase is OUT. */
static bool enter_guest(KvmVcpu *kv)
{
    if (__atomic_load_n(&kv->run->immediate_exit, __ATOMIC_RELAXED))
        __atomic_store_n(&kv->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&kv->phase, KVM_PHASE_IN, __ATOMIC_SEQ_CST);
    if (G_LIKELY(!vcpu_requests(kv->cpu) && !gate_closed(kv->kvm)))
        return true;
    leave_guest(kv);
    wait_at_gate(kv);
    return false;
}

/* Like enter_guest, whatever the requests: no guest code will run. */
static void enter_kernel(KvmVcpu *kv)
{
    __atomic_store_n(&kv->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&kv->phase, KVM_PHASE_IN, __ATOMIC_SEQ_CST);
    while (G_UNLIKELY(gate_closed(kv->kvm))) {
        leave_guest(kv);
        wait_at_gate(kv);
        __atomic_store_n(&kv->phase, KVM_PHASE_IN, __ATOMIC_SEQ_CST);
    }
}

/* It may need another exit for the rest of the access. */
void kvm_complete_io(KvmVcpu *kv)
{
    while (kv->io_pending) {
        int ret;

        enter_kernel(kv);
        ret = ioctl(kv->fd, KVM_RUN, 0);
        leave_guest(kv);
        kv->io_pending = false;
        if (ret == 0)
            kvm_handle_exit(kv);
    }
}

/* What the loop does before each entry; false: leave it. */
static bool prepare_entry(KvmVcpu *kv)
{
    Vcpu *vcpu = kv->cpu;
    uint32_t requests = vcpu_requests(vcpu);

    if (G_UNLIKELY(requests)) {
        if (requests & VCPU_REQ_CORE) {
            kvm_complete_io(kv);
            return false;
        }
        vcpu_take_requests(vcpu, VCPU_REQ_INTR | VCPU_REQ_ACCEL);
        if (vcpu_take_requests(vcpu, VCPU_REQ_NMI)) {
            kvm_ioctl(kv->fd, KVM_NMI, NULL);
            kv->halted = false;
        }
    }
    if (G_UNLIKELY(vcpu->state_synced)) {
        if (vcpu->state_dirty)
            kvm_complete_io(kv);
        vcpu_flush_state(vcpu);
    }
    return true;
}

/* KVM_RUN came back with an error: true if it is one of the harmless ones. */
static bool run_error_benign(int err)
{
    /* EINTR: a kick. EAGAIN: an application processor got its INIT (api 4.10). */
    return err == EINTR || err == EAGAIN;
}

static KvmExitResult run_failed(KvmVcpu *kv, int err)
{
    g_autofree char *what = NULL;

    if (err == EFAULT)
        what = g_strdup("KVM_RUN: bad address: guest memory is not there (out of memory, or a file shrank)");
    else
        what = g_strdup_printf("KVM_RUN: %s", g_strerror(err));
    return kvm_report_exit(kv, what);
}

VcpuExit kvm_vcpu_run(Vcpu *vcpu)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);

    kvm_debug_enter(kv);
    for (;;) {
        int ret, err;

        if (!prepare_entry(kv))
            return VCPU_EXIT_REQUEST;
        if (kvm_intr_in_process(kv) && !kvm_intr_before_run(kv)) {
            kvm_intr_wait(kv);
            continue;
        }
        if (!enter_guest(kv))
            continue;
        TRACE1(kvm_run, vcpu->index);
        ret = ioctl(kv->fd, KVM_RUN, 0);
        err = errno;
        leave_guest(kv);
        TRACE2(kvm_exit, vcpu->index, ret < 0 ? 0 : kv->run->exit_reason);
        kv->io_pending = false;
        if (kvm_intr_in_process(kv))
            kvm_intr_after_run(kv);
        kvm_coalesced_drain(kv->kvm);
        if (G_UNLIKELY(ret < 0)) {
            if (!run_error_benign(err) && run_failed(kv, err) == KVM_EXIT_LEAVE)
                return VCPU_EXIT_STOP;
            continue;
        }
        if (G_UNLIKELY(kvm_handle_exit(kv) == KVM_EXIT_LEAVE))
            return VCPU_EXIT_STOP;
    }
}
