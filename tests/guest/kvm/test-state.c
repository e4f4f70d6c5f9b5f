/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers of a KVM vCPU: what is put is what is got, what the guest does is what is got, and
 * pausing at any moment loses nothing.
 */
#include "kvm-machine.h"

#include <sched.h>
#include <string.h>

#include "accel/kvm/kvm-internal.h"
#include "core/lock.h"
#include "core/loop.h"

GUEST(spin, ".code32\n1: incl 0x7000\n jmp 1b\n");

static void put_and_get(Vcpu *vcpu, void *opaque)
{
    vcpu_mark_dirty(vcpu);
    vcpu_flush_state(vcpu);
    memset(&vcpu->state, 0xee, sizeof(vcpu->state));
    kvm_get_state(vcpu);
    vcpu->state_synced = true;
}

/* A vCPU that has not run yet; change fills its state. Returns what KVM gives back. */
static CpuState round_trip(const char *cpu, void (*change)(CpuState *s), CpuState *put, uint64_t *xcr0_mask)
{
    KvmConfig config = { GUEST_CODE(spin), .mode = GUEST_PROTECTED, .cpu = cpu };
    KvmMachine *m = kvm_machine_new(&config);
    Vcpu *vcpu = m->machine.vcpus[0];
    CpuState got;

    change(&vcpu->state);
    *put = vcpu->state;
    vcpu_run_on(vcpu, put_and_get, NULL);
    got = vcpu->state;
    *xcr0_mask = kvm_vcpu_of(vcpu)->xcr0_mask;
    kvm_machine_free(m);
    return got;
}

static void change_integer(CpuState *s)
{
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = 0x0123456789abcdefull * (i + 1);
    s->rip = 0x1234;
    s->rflags = RFLAGS_1 | RFLAGS_CF | RFLAGS_IF | RFLAGS_DF;
    s->seg[SEG_FS] = (SegmentReg){ .selector = 0x2b, .base = 0x123456, .limit = 0xfffff, .attr = 0x40f3 };
    s->seg[SEG_GS] = (SegmentReg){ .selector = 0, .attr = SEG_ATTR_UNUSABLE };
    s->gdtr = (DescTableReg){ 0x5000, 0x7f };
    s->idtr = (DescTableReg){ 0x6000, 0x7ff };
    s->tr = (SegmentReg){ .selector = 0x28, .base = 0x9000, .limit = 0x67, .attr = 0x8b };
    s->cr2 = 0xdeadb000;
    s->cr3 = 0x3000;
    s->cr4 = CR4_PSE | CR4_PAE;
    s->dr[0] = 0x1111;
    s->dr[3] = 0x3333;
    s->dr[7] = 0x400 | 1;
}

static void segments_control_and_debug_registers_come_back(void **state)
{
    CpuState put, got;
    uint64_t mask;

    got = round_trip(NULL, change_integer, &put, &mask);
    assert_memory_equal(got.gpr, put.gpr, sizeof(put.gpr));
    assert_int_equal(got.rip, put.rip);
    assert_int_equal(got.rflags, put.rflags);
    for (SegIndex i = 0; i < SEG_GS; i++) {
        assert_int_equal(got.seg[i].selector, put.seg[i].selector);
        assert_int_equal(got.seg[i].base, put.seg[i].base);
        assert_int_equal(got.seg[i].limit, put.seg[i].limit);
        assert_int_equal(got.seg[i].attr, put.seg[i].attr);
    }
    assert_true(got.seg[SEG_GS].attr & SEG_ATTR_UNUSABLE);
    assert_int_equal(got.tr.base, put.tr.base);
    assert_int_equal(got.gdtr.base, put.gdtr.base);
    assert_int_equal(got.gdtr.limit, put.gdtr.limit);
    assert_int_equal(got.idtr.base, put.idtr.base);
    assert_int_equal(got.cr0, put.cr0);
    assert_int_equal(got.cr2, put.cr2);
    assert_int_equal(got.cr3, put.cr3);
    assert_int_equal(got.cr4, put.cr4);
    assert_int_equal(got.dr[0], put.dr[0]);
    assert_int_equal(got.dr[3], put.dr[3]);
    assert_int_equal(got.dr[7], put.dr[7]);
    assert_int_equal(got.apic_base, put.apic_base);
    assert_int_equal(got.mp_state, MP_RUNNABLE);
}

static void change_vectors(CpuState *s)
{
    uint8_t *bytes = (uint8_t *)s->fpu.zmm;

    for (unsigned i = 0; i < sizeof(s->fpu.zmm); i++)
        bytes[i] = (uint8_t)(i * 7 + 1);
    for (unsigned i = 0; i < 8; i++) {
        s->fpu.opmask[i] = 0x0102030405060708ull * (i + 1);
        memset(s->fpu.st[i], (int)(0x10 + i), 10);
    }
    s->fpu.ftw = 0xff;
    s->fpu.fcw = 0x27f;
    s->fpu.fsw = 0x3800;
    s->fpu.mxcsr = 0x1fa0;
    s->fpu.fop = 0x123;
}

static void vector_and_x87_registers_come_back(void **state)
{
    CpuState put, got;
    uint64_t mask;
    unsigned width;

    got = round_trip(NULL, change_vectors, &put, &mask);
    width = mask & XCR0_ZMM_HI256 ? 64 : mask & XCR0_AVX ? 32 : 16;
    for (unsigned i = 0; i < 16; i++)
        assert_memory_equal(got.fpu.zmm[i], put.fpu.zmm[i], width);
    if (mask & XCR0_HI16_ZMM)
        assert_memory_equal(got.fpu.zmm[16], put.fpu.zmm[16], 16 * 64);
    if (mask & XCR0_OPMASK)
        assert_memory_equal(got.fpu.opmask, put.fpu.opmask, sizeof(put.fpu.opmask));
    for (unsigned i = 0; i < 8; i++)
        assert_memory_equal(got.fpu.st[i], put.fpu.st[i], 10);
    assert_int_equal(got.fpu.fcw, put.fpu.fcw);
    assert_int_equal(got.fpu.fsw, put.fpu.fsw);
    assert_int_equal(got.fpu.ftw, put.fpu.ftw);
    assert_int_equal(got.fpu.mxcsr, put.fpu.mxcsr);
}

static void change_msrs(CpuState *s)
{
    s->msr.star = 0x0023001000000000ull;
    s->msr.lstar = 0xffffffff81000000ull;
    s->msr.cstar = 0xffffffff81000100ull;
    s->msr.sfmask = 0x47700;
    s->msr.kernel_gs_base = 0xffff888000000000ull;
    s->msr.sysenter_cs = 0x10;
    s->msr.sysenter_esp = 0xffffc90000000000ull;
    s->msr.sysenter_eip = 0xffffffff81000200ull;
    s->msr.pat = 0x0407050600070106ull;
    s->msr.mtrr_def_type = 0xc06;
    s->msr.mtrr_fixed[0] = 0x0606060606060606ull;
    s->msr.mtrr_phys_base[1] = 0x80000006ull;
    s->msr.mtrr_phys_mask[1] = 0xf80000800ull;
    s->msr.kvm_poll_control = 1;
}

static void assert_msr(uint64_t got, uint64_t put, const char *name)
{
    if (got != put)
        fail_msg("%s: put %#llx, got %#llx", name, (unsigned long long)put, (unsigned long long)got);
}

/* Those this KVM refuses keep their place in the state, unchanged: 0xee from the round trip. */
#define REFUSED 0xeeeeeeeeeeeeeeeeull
#define ASSERT_MSR(field)                                                                          \
    do {                                                                                           \
        if (got.msr.field != REFUSED)                                                              \
            assert_msr(got.msr.field, put.msr.field, #field);                                      \
        else                                                                                       \
            refused++;                                                                             \
    } while (0)

static void msrs_come_back_or_are_left_out(void **state)
{
    CpuState put, got;
    uint64_t mask;
    unsigned refused = 0;

    got = round_trip(NULL, change_msrs, &put, &mask);
    ASSERT_MSR(star);
    ASSERT_MSR(lstar);
    ASSERT_MSR(cstar);
    ASSERT_MSR(sfmask);
    ASSERT_MSR(kernel_gs_base);
    ASSERT_MSR(sysenter_cs);
    ASSERT_MSR(sysenter_esp);
    ASSERT_MSR(sysenter_eip);
    ASSERT_MSR(pat);
    ASSERT_MSR(kvm_poll_control);
    assert_int_equal(refused, 0); /* every x86 KVM has these */
    ASSERT_MSR(mtrr_def_type);
    ASSERT_MSR(mtrr_fixed[0]);
    ASSERT_MSR(mtrr_phys_base[1]);
    ASSERT_MSR(mtrr_phys_mask[1]);
    ASSERT_MSR(tsc_aux);
}

static void change_events(CpuState *s)
{
    s->interrupt_shadow = true;
    s->nmi_masked = true;
    s->event_pending = true;
    s->event_type = 3;
    s->event_vector = EXC_GP;
    s->event_has_error = true;
    s->event_error = 0x18;
}

static void pending_events_come_back(void **state)
{
    CpuState put, got;
    uint64_t mask;

    got = round_trip(NULL, change_events, &put, &mask);
    assert_true(got.nmi_masked);
    assert_false(got.nmi_pending);
    assert_true(got.event_pending);
    assert_int_equal(got.event_type, 3);
    assert_int_equal(got.event_vector, EXC_GP);
    assert_true(got.event_has_error);
    assert_int_equal(got.event_error, 0x18);
}

/* --- time --- */

/* A KVM without TSC offsetting in hardware takes the offset and forgets it: nothing to test there. */
static void tscs_of_all_cpus_are_put_alike(void **state)
{
    KvmConfig config = { GUEST_CODE(spin), .mode = GUEST_PROTECTED, .cpus = 2 };
    KvmMachine *m = kvm_machine_new(&config);
    uint64_t put = m->machine.vcpus[0]->state.tsc_offset, got[2];

    assert_true((int64_t)put < 0);
    assert_true(m->machine.vcpus[1]->state.tsc_offset == put);
    for (unsigned i = 0; i < 2; i++) {
        vcpu_run_on(m->machine.vcpus[i], put_and_get, NULL);
        got[i] = m->machine.vcpus[i]->state.tsc_offset;
    }
    bool exact = kvm_of(m->machine.accel)->has_tsc_offset;
    kvm_machine_free(m);
    if (!exact || got[0] == 0)
        skip();
    assert_true(got[0] == put);
    assert_true(got[1] == put);
}

/* The guest's clock must not show the time it was stopped for, nor lose what it ran. */
static void kvmclock_stands_while_the_machine_does(void **state)
{
    KvmConfig config = { GUEST_CODE(spin), .mode = GUEST_PROTECTED };
    KvmMachine *m = kvm_machine_new(&config);
    KvmAccel *kvm = kvm_of(m->machine.accel);
    int64_t ran, stood, clock_went;
    uint64_t before;

    kvm_machine_start(m);
    machine_stop(&m->machine, RUN_STATE_PAUSED);
    assert_true(kvm->clock_stopped);
    before = kvm->clock_ns;
    stood = clock_get_ns(VMCLOCK_MONO);
    while (clock_get_ns(VMCLOCK_MONO) < stood + 100 * NS_PER_MS)
        sched_yield();
    ran = clock_get_ns(VMCLOCK_MONO);
    kvm_machine_start(m);
    machine_stop(&m->machine, RUN_STATE_PAUSED);
    ran = clock_get_ns(VMCLOCK_MONO) - ran;
    clock_went = (int64_t)(kvm->clock_ns - before);
    assert_in_range(clock_went, 0, ran + 50 * NS_PER_MS);
    kvm_machine_free(m);
}

/* --- pause, kick --- */

static uint32_t counter(KvmMachine *m, uint32_t addr)
{
    return __atomic_load_n((uint32_t *)(void *)kvm_machine_ram(m, addr), __ATOMIC_RELAXED);
}

/* Until the guest runs again; it does so within the time the host takes to schedule it. */
static void await_count_beyond(KvmMachine *m, uint32_t count)
{
    int64_t limit = clock_get_ns(VMCLOCK_MONO) + GUEST_TIME_LIMIT_NS;

    while (counter(m, 0x7000) == count) {
        if (clock_get_ns(VMCLOCK_MONO) > limit)
            fail_msg("the guest does not run");
        sched_yield();
    }
}

static void reset_all_spin(KvmMachine *m)
{
    for (unsigned i = 1; i < m->machine.smp.cpus; i++) {
        m->machine.vcpus[i]->state = m->machine.vcpus[0]->state;
        m->machine.vcpus[i]->state.apic_base &= ~0x100ull;
    }
}

enum { PAUSES = 100 };

static void pauses(const char *irqchip, unsigned cpus)
{
    KvmConfig config = {
        GUEST_CODE(spin), .mode = GUEST_PROTECTED, .cpus = cpus, .irqchip = irqchip, .reset = reset_all_spin,
    };
    KvmMachine *m = kvm_machine_new(&config);
    int64_t start, worst = 0, total = 0;

    kvm_machine_start(m);
    for (unsigned i = 0; i < PAUSES; i++) {
        uint32_t before;

        start = clock_get_ns(VMCLOCK_MONO);
        vcpu_pause_all(&m->machine);
        start = clock_get_ns(VMCLOCK_MONO) - start;
        worst = MAX(worst, start);
        total += start;
        before = counter(m, 0x7000);
        assert_int_equal(counter(m, 0x7000), before);
        vcpu_resume_all(&m->machine);
        await_count_beyond(m, before);
    }
    print_message("# pause with %u CPUs, irqchip %s: mean %lld us, worst %lld us\n", cpus, irqchip,
                  (long long)(total / PAUSES / NS_PER_US), (long long)(worst / NS_PER_US));
    machine_stop(&m->machine, RUN_STATE_PAUSED);
    kvm_machine_free(m);
}

static void no_pause_is_lost_with_one_cpu(void **state)
{
    pauses("on", 1);
}

static void no_pause_is_lost_with_two_cpus(void **state)
{
    pauses("on", 2);
}

static void no_pause_is_lost_with_userspace_irqchip(void **state)
{
    pauses("off", 2);
}

/* Registers read and written back at changing moments, in the middle of port accesses too. */
GUEST(count_through_port, ".code32\n"
                          "xor %ebx, %ebx\n"
                          "1: mov %ebx, %eax\n"
                          "out %eax, $0xf0\n"
                          "in $0xf0, %eax\n"
                          "cmp %ebx, %eax\n"
                          "jne 2f\n"
                          "inc %ebx\n"
                          "cmp $2000, %ebx\n"
                          "jb 1b\n"
                          "xor %eax, %eax\n"
                          "out %al, $0xf4\n"
                          "2: mov $1, %al\n"
                          "out %al, $0xf4\n");

static struct {
    MemoryRegion io;
    uint32_t value;
    uint32_t accesses; /* atomic */
} latch;

static void latch_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    latch.value = (uint32_t)value;
    __atomic_fetch_add(&latch.accesses, 1, __ATOMIC_SEQ_CST);
}

static uint64_t latch_read(void *opaque, uint64_t offset, unsigned size)
{
    __atomic_fetch_add(&latch.accesses, 1, __ATOMIC_SEQ_CST);
    return latch.value;
}

static const MemoryRegionOps latch_ops = { .read = latch_read, .write = latch_write };

static void build_latch(KvmMachine *m)
{
    memory_region_init_io(&latch.io, &latch_ops, NULL, "latch", 4);
    memory_region_add(&m->machine.io_root, 0xf0, &latch.io, 0);
}

static uint32_t latch_accesses(void)
{
    return __atomic_load_n(&latch.accesses, __ATOMIC_SEQ_CST);
}

/* Pauses one after the other would leave the guest no time: it takes longer to start than we to ask. */
static void await_access_or_end(KvmMachine *m, uint32_t before)
{
    int64_t limit = clock_get_ns(VMCLOCK_MONO) + GUEST_TIME_LIMIT_NS;

    while (latch_accesses() == before && !__atomic_load_n(&m->ended, __ATOMIC_ACQUIRE)) {
        if (clock_get_ns(VMCLOCK_MONO) > limit)
            fail_msg("the guest stands after %u accesses", before);
        sched_yield();
    }
}

/* 0 to 15 us, after which the guest is anywhere between two accesses. */
static void waste_time(unsigned round)
{
    int64_t end = clock_get_ns(VMCLOCK_MONO) + round % 16 * NS_PER_US;

    while (clock_get_ns(VMCLOCK_MONO) < end)
        continue;
}

static void state_survives_being_read_and_written_at_any_moment(void **state)
{
    KvmConfig config = { GUEST_CODE(count_through_port), .mode = GUEST_PROTECTED, .build = build_latch };
    KvmMachine *m = kvm_machine_new(&config);
    Vcpu *vcpu = m->machine.vcpus[0];
    unsigned rounds = 0;

    kvm_machine_start(m);
    while (!__atomic_load_n(&m->ended, __ATOMIC_ACQUIRE)) {
        uint32_t before = latch_accesses();

        machine_lock();
        vcpu_pause(vcpu);
        vcpu_sync_state(vcpu);
        vcpu_mark_dirty(vcpu);
        vcpu_resume(vcpu);
        machine_unlock();
        await_access_or_end(m, before);
        waste_time(++rounds);
    }
    kvm_machine_wait(m, NULL);
    assert_int_equal(m->status, 0);
    assert_int_equal(latch_accesses(), 2 * 2000); /* none lost, none twice */
    assert_true(rounds > 1);
    memory_region_release(&latch.io);
    kvm_machine_free(m);
}

/* --- statistics --- */

static void statistics_name_what_kvm_counts(void **state)
{
    KvmConfig config = { GUEST_CODE(spin), .mode = GUEST_PROTECTED };
    KvmMachine *m = kvm_machine_new(&config);
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(GError) err = NULL;

    if (!kvm_check(kvm_of(m->machine.accel)->vm_fd, KVM_CAP_BINARY_STATS_FD)) {
        assert_false(kvm_print_stats(m->machine.accel, out, &err));
    } else {
        assert_true(kvm_print_stats(m->machine.accel, out, &err));
        assert_non_null(strstr(out->str, "vm."));
        assert_non_null(strstr(out->str, "cpu0.exits:"));
    }
    kvm_machine_free(m);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_control_and_debug_registers_come_back),
        cmocka_unit_test(vector_and_x87_registers_come_back),
        cmocka_unit_test(msrs_come_back_or_are_left_out),
        cmocka_unit_test(pending_events_come_back),
        cmocka_unit_test(tscs_of_all_cpus_are_put_alike),
        cmocka_unit_test(kvmclock_stands_while_the_machine_does),
        cmocka_unit_test(no_pause_is_lost_with_one_cpu),
        cmocka_unit_test(no_pause_is_lost_with_two_cpus),
        cmocka_unit_test(no_pause_is_lost_with_userspace_irqchip),
        cmocka_unit_test(state_survives_being_read_and_written_at_any_moment),
        cmocka_unit_test(statistics_name_what_kvm_counts),
    };

    kvm_machine_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
