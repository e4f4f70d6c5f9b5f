/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of QMP command tables.
 */
#include <string.h>

#include "monitor-internal.h"
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

static const char *shown_type(const QmpType *type)
{
    if (type->kind == QMP_ARRAY)
        return "list";
    return type->kind == QMP_OBJECT ? "object" : type->kind == QMP_ENUM ? "str" : type->name;
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const QmpCommand *const *)a)->name, (*(const QmpCommand *const *)b)->name);
}

void qmp_print_help(GString *out)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new();

    for (const QmpCommand *const *table = qmp_command_tables; *table; table++) {
        for (const QmpCommand *command = *table; command->name; command++)
            g_ptr_array_add(rows, (void *)command);
    }
    g_ptr_array_sort(rows, compare_names);
    g_string_append(out, "QMP commands:\n");
    for (guint i = 0; i < rows->len; i++) {
        const QmpCommand *command = g_ptr_array_index(rows, i);
        g_string_append_printf(out, "  %s", command->name);
        for (const QmpMember *m = command->args; m && m->name; m++)
            g_string_append_printf(out, m->optional ? " [%s=%s]" : " %s=%s", m->name, shown_type(m->type));
        g_string_append_printf(out, "%s -- %s\n", command->more_args ? " ..." : "", command->help);
    }
}

const QmpCommand *const qmp_command_tables[] = {
    qmp_session_commands, qmp_vm_commands, qmp_cpu_commands, qmp_memory_commands, qmp_char_commands, qmp_device_commands,
    qmp_block_commands,   qmp_pci_commands, qmp_input_commands, NULL,
};
