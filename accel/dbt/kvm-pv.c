/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM's paravirtual interface as dbt offers it: clock, wall clock, poll control, and the
 * address of PV EOI's word, which the LAPIC model uses. Asynchronous page faults and steal time are
 * not offered.
 *
 * Linux Documentation/virt/kvm/x86/msr.rst, cpuid.rst; arch/x86/include/asm/pvclock-abi.h describes
 * the pages. A page's version is odd while it is being written; readers retry.
 *
 * All vCPUs publish the same pair (TSC, nanoseconds), so the clock is the same on all of them and
 * the page says so (PVCLOCK_TSC_STABLE). The pair is taken anew when the VM has been stopped, which
 * stops the virtual clock but not the TSC.
 *
 * Locking: own vCPU thread; the pair is guarded by DbtClock.lock.
 */
#include "accel/dbt/mmu-priv.h"
#include "accel/dbt/sys.h"
#include "core/loop.h"
#include "core/tsc.h"

#define MSR_KVM_WALL_CLOCK 0x11
#define MSR_KVM_SYSTEM_TIME 0x12
#define MSR_KVM_WALL_CLOCK_NEW 0x4b564d00
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_KVM_PV_EOI 0x4b564d04
#define MSR_KVM_POLL_CONTROL 0x4b564d05

#define PVCLOCK_ENABLE 1u
#define PVCLOCK_TSC_STABLE 1u

/* struct pvclock_vcpu_time_info */
enum {
    TIME_VERSION = 0, /* u32 */
    TIME_TSC = 8,     /* u64 tsc_timestamp */
    TIME_NS = 16,     /* u64 system_time */
    TIME_MUL = 24,    /* u32 tsc_to_system_mul */
    TIME_SHIFT = 28,  /* s8 */
    TIME_FLAGS = 29,  /* u8 */
};

/* struct pvclock_wall_clock */
enum {
    WALL_VERSION = 0,
    WALL_SEC = 4,
    WALL_NSEC = 8,
};

/* ns = (ticks shifted by shift) * mul >> 32 */
typedef struct TimeScale {
    uint32_t mul;
    int8_t shift;
} TimeScale;

static TimeScale time_scale(uint64_t tsc_hz)
{
    TimeScale scale = { .shift = 0 };
    uint64_t hz = tsc_hz;

    while (hz > 2ull * NS_PER_SEC) {
        hz >>= 1;
        scale.shift--;
    }
    while (hz <= (uint64_t)NS_PER_SEC) {
        hz <<= 1;
        scale.shift++;
    }
    scale.mul = (uint32_t)(((__uint128_t)NS_PER_SEC << 32) / hz);
    return scale;
}

static uint64_t scale_ticks(TimeScale scale, uint64_t ticks)
{
    ticks = scale.shift < 0 ? ticks >> -scale.shift : ticks << scale.shift;
    return (uint64_t)((__uint128_t)ticks * scale.mul >> 32);
}

/* The pair is still good if the virtual clock has gone on as the TSC has; the two are measured
 * differently, so they drift apart by some parts in 10^4 without the VM having stood still. */
static bool pair_holds(const DbtClock *clock, TimeScale scale, uint64_t tsc, int64_t ns)
{
    int64_t elapsed = (int64_t)scale_ticks(scale, tsc - clock->tsc);
    int64_t behind = clock->ns + elapsed - ns;

    return clock->valid && ABS(behind) < NS_PER_MS + elapsed / 1000;
}

static void clock_pair(DbtVcpu *v, TimeScale scale, uint64_t *tsc, int64_t *ns)
{
    DbtClock *clock = &v->accel->clock;
    uint64_t now_tsc;
    int64_t now_ns;

    g_mutex_lock(&clock->lock);
    now_tsc = host_tsc();
    now_ns = clock_get_ns(VMCLOCK_VIRTUAL);
    if (!pair_holds(clock, scale, now_tsc, now_ns)) {
        clock->tsc = now_tsc;
        clock->ns = now_ns;
        clock->valid = true;
    }
    *tsc = clock->tsc;
    *ns = clock->ns;
    g_mutex_unlock(&clock->lock);
}

/* Guest memory by physical address; what is not RAM swallows the write. */
static void page_store(DbtVcpu *v, uint64_t gpa, unsigned size, uint64_t value)
{
    MapEntry map = dbt_map_lookup(v->accel->map, gpa);
    unsigned offset = (unsigned)(gpa & ~GUEST_PAGE_MASK);

    if (!map.host || map.read_only)
        return;
    mmu_host_store(map.host + offset, size, value);
    code_written(v, v->accel->map, map.page, offset, size);
}

static uint32_t page_load32(DbtVcpu *v, uint64_t gpa)
{
    MapEntry map = dbt_map_lookup(v->accel->map, gpa);

    return map.host ? (uint32_t)mmu_host_load(map.host + (gpa & ~GUEST_PAGE_MASK), 4) : 0;
}

void dbt_kvm_clock_update(DbtVcpu *v)
{
    const CpuState *s = v->state;
    TimeScale scale = time_scale(v->sys->tsc_hz);
    uint64_t gpa = s->msr.kvm_system_time & ~3ull, tsc;
    uint32_t version;
    int64_t ns;

    if (!(s->msr.kvm_system_time & PVCLOCK_ENABLE))
        return;
    clock_pair(v, scale, &tsc, &ns);
    version = page_load32(v, gpa + TIME_VERSION) | 1;
    page_store(v, gpa + TIME_VERSION, 4, version);
    page_store(v, gpa + TIME_TSC, 8, tsc + s->tsc_offset);
    page_store(v, gpa + TIME_NS, 8, (uint64_t)ns);
    page_store(v, gpa + TIME_MUL, 4, scale.mul);
    page_store(v, gpa + TIME_SHIFT, 1, (uint8_t)scale.shift);
    page_store(v, gpa + TIME_FLAGS, 1, PVCLOCK_TSC_STABLE);
    page_store(v, gpa + TIME_VERSION, 4, version + 1);
}

/* Wall clock time at which the system time was 0. */
static void wall_clock_update(DbtVcpu *v, uint64_t gpa)
{
    int64_t start = clock_get_ns(VMCLOCK_HOST) - clock_get_ns(VMCLOCK_VIRTUAL);
    uint32_t version = page_load32(v, gpa + WALL_VERSION) | 1;

    page_store(v, gpa + WALL_VERSION, 4, version);
    page_store(v, gpa + WALL_SEC, 4, (uint64_t)(start / NS_PER_SEC));
    page_store(v, gpa + WALL_NSEC, 4, (uint64_t)(start % NS_PER_SEC));
    page_store(v, gpa + WALL_VERSION, 4, version + 1);
}

static bool address_ok(uint64_t value)
{
    return (value & ~3ull) < MEMORY_SPACE_SIZE;
}

bool dbt_kvm_msr_read(DbtVcpu *v, uint32_t msr, uint64_t *value)
{
    const DbtSys *sys = v->sys;
    const CpuState *s = v->state;

    switch (msr) {
    case MSR_KVM_WALL_CLOCK:
    case MSR_KVM_WALL_CLOCK_NEW:
        *value = s->msr.kvm_wall_clock;
        return msr == MSR_KVM_WALL_CLOCK ? sys->kvm_clock : sys->kvm_clock2;
    case MSR_KVM_SYSTEM_TIME:
    case MSR_KVM_SYSTEM_TIME_NEW:
        *value = s->msr.kvm_system_time;
        return msr == MSR_KVM_SYSTEM_TIME ? sys->kvm_clock : sys->kvm_clock2;
    case MSR_KVM_PV_EOI:
        *value = s->msr.kvm_pv_eoi;
        return sys->kvm_pv_eoi;
    case MSR_KVM_POLL_CONTROL:
        *value = s->msr.kvm_poll_control;
        return sys->kvm_poll;
    default:
        return false;
    }
}

bool dbt_kvm_msr_write(DbtVcpu *v, uint32_t msr, uint64_t value)
{
    const DbtSys *sys = v->sys;
    CpuState *s = v->state;

    switch (msr) {
    case MSR_KVM_WALL_CLOCK:
    case MSR_KVM_WALL_CLOCK_NEW:
        if (!(msr == MSR_KVM_WALL_CLOCK ? sys->kvm_clock : sys->kvm_clock2) || !address_ok(value))
            return false;
        s->msr.kvm_wall_clock = value;
        wall_clock_update(v, value & ~3ull);
        return true;
    case MSR_KVM_SYSTEM_TIME:
    case MSR_KVM_SYSTEM_TIME_NEW:
        if (!(msr == MSR_KVM_SYSTEM_TIME ? sys->kvm_clock : sys->kvm_clock2) || !address_ok(value))
            return false;
        s->msr.kvm_system_time = value;
        dbt_kvm_clock_update(v);
        return true;
    case MSR_KVM_PV_EOI:
        if (!sys->kvm_pv_eoi || value & 2 || !address_ok(value))
            return false;
        /* An EOI the guest has made in the old word still counts. */
        if (v->cpu->intr && v->cpu->intr->eoi)
            v->cpu->intr->eoi(v->cpu->intr_opaque);
        s->msr.kvm_pv_eoi = value;
        return true;
    case MSR_KVM_POLL_CONTROL:
        if (!sys->kvm_poll || value & ~1ull)
            return false;
        s->msr.kvm_poll_control = value;
        return true;
    default:
        return false;
    }
}
