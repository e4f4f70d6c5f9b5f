/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the human monitor:
 *
 *   hmp.c            lines -> commands and their arguments; help, completion
 *   hmp-expr.c       numbers: expressions with registers
 *   hmp-session.c    a person at a terminal: prompt, editor (readline.c), history
 *   hmp-*.c          commands, one file an area; hmp-table.c lists their tables
 *   guest-memory.c   guest memory by virtual and physical address
 *
 * Locking: as monitor/hmp.h says.
 */
#ifndef SRC_MONITOR_HMP_INTERNAL_H
#define SRC_MONITOR_HMP_INTERNAL_H

#include "core/machine.h"
#include "monitor/hmp.h"

/* hmp-table.c: each ends with .name NULL; ends with NULL. */
extern const HmpCommand *const hmp_command_tables[];
extern const HmpCommand hmp_vm_commands[], hmp_cpu_commands[], hmp_memory_commands[], hmp_machine_commands[],
    hmp_paging_commands[], hmp_interrupt_commands[], hmp_block_commands[], hmp_pci_commands[],
    hmp_input_commands[];

HmpHandler hmp_help, hmp_info;

static inline Vcpu *hmp_vcpu(const HmpContext *ctx)
{
    return ctx->machine->vcpus[ctx->cpu];
}

/* --- guest-memory.c --- */

/*
 * Bytes done, from the beginning; the rest is not mapped. vcpu NULL: physical addresses, which reach devices;
 * else virtual ones through its page tables (it is paused), which reach RAM and ROM only.
 */
size_t guest_memory_read(Machine *machine, Vcpu *vcpu, uint64_t addr, void *bytes, size_t len);
/* Into a file; the error names it, or the address that is not mapped. */
bool guest_memory_save(Machine *machine, Vcpu *vcpu, uint64_t addr, uint64_t len, const char *path, GError **errp);

#endif
