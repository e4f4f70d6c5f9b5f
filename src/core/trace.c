/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The probes that more than one place has. perf takes those of one name only if their arguments have the same
 * types everywhere and none is a constant, so each is at one place: a function in a file of its own, which its
 * callers' constants never reach.
 */
#include "core/trace.h"

__attribute__((noinline)) void trace_mmio(uint32_t vcpu, uint64_t address, uint32_t size, bool write)
{
    TRACE4(mmio, vcpu, address, size, write);
}

__attribute__((noinline)) void trace_pio(uint32_t vcpu, uint16_t port, uint32_t size, bool write, uint32_t count)
{
    TRACE5(pio, vcpu, port, size, write, count);
}
