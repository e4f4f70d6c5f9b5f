/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's time-stamp counter, for what shows the guest a TSC of its own (CpuState.tsc_offset).
 */
#ifndef CORE_TSC_H
#define CORE_TSC_H

#include <stdint.h>
#include <x86intrin.h>

/* Frequency in kHz, never 0. The first call may take a millisecond. Any thread. */
uint32_t host_tsc_khz(void);

static inline uint64_t host_tsc(void)
{
    return __rdtsc();
}

#endif
