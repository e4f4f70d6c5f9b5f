/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of registers (gdb-reg-table.c): one row for each, or for a run of like ones.
 */
#ifndef SRC_DEBUG_GDB_REGS_H
#define SRC_DEBUG_GDB_REGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cpu-state.h"
#include "core/memory.h"

#define GDB_REG_MAX_SIZE 32

/* True if the value is one the CPU can have; false: nothing was changed. */
typedef bool GdbRegSet(CpuState *state, unsigned n, uint64_t value);
/* Likewise, with what it brings along from the guest's memory. */
typedef bool GdbRegLoad(AddressSpace *memory, CpuState *state, unsigned n, uint64_t value);
typedef uint64_t GdbRegGet(const CpuState *state, unsigned n);

typedef struct GdbRegRow {
    const char *name;   /* with %u: of count registers, numbered from first */
    unsigned first, count;
    uint8_t size;       /* in bytes, as gdb sees it */
    const char *type;   /* of the target description */
    const char *group;  /* NULL: none */
    uint16_t offset;    /* of the first in CpuState, */
    uint16_t stride;    /* from one to the next, */
    uint8_t host_size;  /* and there: the rest is zero */
    GdbRegGet *get;     /* instead of offset; size is at most 8 */
    GdbRegSet *set;     /* instead of plain storing; or */
    GdbRegLoad *load;
} GdbRegRow;

/* A feature of the target description: its registers and the types they use. */
typedef struct GdbFeature {
    const char *name;
    const char *types;  /* XML */
    uint64_t xcr0;      /* state components a CPU must have for it */
    const GdbRegRow *rows; /* ends with name NULL */
} GdbFeature;

/* End with name NULL. */
extern const GdbFeature gdb_features_amd64[], gdb_features_i386[];

#endif
