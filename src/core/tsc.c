/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host's TSC runs at: told by the hypervisor, by the kernel, by the CPU, or measured, in
 * this order of accuracy and cost.
 *
 * Sources: Linux Documentation/virt/kvm/x86/cpuid.rst (leaf 40000010h is the VMware convention);
 * perf_event_open(2), "cap_user_time"; Intel SDM vol. 3, 18.7.3 (leaf 15h).
 */
#include "core/tsc.h"

#include <cpuid.h>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <glib.h>

#include "core/bits.h"
#include "core/loop.h"

#define HYPERVISOR_LEAF 0x40000000
#define TIMING_LEAF     0x40000010
#define MEASURE_NS      NS_PER_MS

static uint32_t khz_from_hypervisor(void)
{
    uint32_t a, b, c, d;

    __cpuid(1, a, b, c, d);
    if (!(c & 1u << 31)) /* running under a hypervisor */
        return 0;
    __cpuid(HYPERVISOR_LEAF, a, b, c, d);
    if (a < TIMING_LEAF || a > HYPERVISOR_LEAF + 0xff)
        return 0;
    __cpuid(TIMING_LEAF, a, b, c, d);
    return a;
}

/* The kernel's own factors for sched_clock: ns = tsc * mult >> shift. */
static uint32_t khz_from_perf(void)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_SW_DUMMY,
        .disabled = 1,
        .exclude_kernel = 1,
    };
    int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    struct perf_event_mmap_page *page;
    uint32_t khz = 0;

    if (fd < 0)
        return 0;
    page = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) {
        if (page->cap_user_time && page->time_mult && page->time_shift < 40)
            khz = (NS_PER_MS << page->time_shift) / page->time_mult;
        munmap(page, sysconf(_SC_PAGESIZE));
    }
    close(fd);
    return khz;
}

static uint32_t khz_from_crystal(void)
{
    uint32_t a, b, c, d;

    if (!__get_cpuid(0x15, &a, &b, &c, &d) || !a || !b || !c)
        return 0;
    return muldiv64(c, b, (uint64_t)a * 1000);
}

static uint32_t khz_measured(void)
{
    int64_t start_ns = clock_get_ns(VMCLOCK_MONO), ns;
    uint64_t start = host_tsc();

    do
        ns = clock_get_ns(VMCLOCK_MONO) - start_ns;
    while (ns < MEASURE_NS);
    return muldiv64(host_tsc() - start, NS_PER_MS, ns);
}

static uint32_t find_khz(void)
{
    uint32_t khz = khz_from_hypervisor();

    if (!khz)
        khz = khz_from_perf();
    if (!khz)
        khz = khz_from_crystal();
    return khz ? khz : MAX(khz_measured(), 1);
}

uint32_t host_tsc_khz(void)
{
    static gsize khz;

    if (g_once_init_enter(&khz))
        g_once_init_leave(&khz, find_khz());
    return khz;
}
