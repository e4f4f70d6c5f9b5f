/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of QMP command tables.
 */
#include <string.h>

#include "qmp-schema.h"

const QmpCommand *qmp_command_find(const char *name)
{
    for (const QmpCommand *const *table = qmp_command_tables; *table; table++) {
        for (const QmpCommand *command = *table; command->name; command++) {
            if (strcmp(command->name, name) == 0)
                return command;
        }
    }
    return NULL;
}

const QmpCommand *const qmp_command_tables[] = {
    qmp_session_commands, qmp_vm_commands, qmp_cpu_commands, qmp_memory_commands, qmp_char_commands, qmp_device_commands,
    qmp_block_commands, NULL,
};
