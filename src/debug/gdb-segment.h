/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segment registers as a debugger writes them (gdb-segment.c).
 */
#ifndef SRC_DEBUG_GDB_SEGMENT_H
#define SRC_DEBUG_GDB_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/cpu-state.h"
#include "core/memory.h"

/* Loads selector as the CPU would in its present mode, descriptor included; false: it would fault, and
 * nothing was changed. as is the guest's memory. */
bool gdb_segment_load(AddressSpace *as, CpuState *state, SegIndex seg, uint16_t selector);

#endif
