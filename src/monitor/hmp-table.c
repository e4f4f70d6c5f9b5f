/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of the human monitor's command tables.
 */
#include "hmp-internal.h"

/* The first match counts: "info" alone is the last row of the last table. */
const HmpCommand *const hmp_command_tables[] = {
    hmp_vm_commands,        hmp_cpu_commands,   hmp_memory_commands,  hmp_paging_commands,
    hmp_interrupt_commands, hmp_block_commands, hmp_pci_commands,     hmp_input_commands,
    hmp_machine_commands,   NULL,
};
