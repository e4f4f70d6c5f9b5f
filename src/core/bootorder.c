/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boot order: a sorted list on the machine.
 */
#include "core/bootorder.h"

#include <string.h>

#include "core/error.h"
#include "core/machine.h"

typedef struct BootEntry {
    int32_t index;
    char *path;
} BootEntry;

static void entry_free(gpointer entry)
{
    BootEntry *e = entry;

    g_free(e->path);
    g_free(e);
}

GPtrArray *boot_order_new(void)
{
    return g_ptr_array_new_with_free_func(entry_free);
}

static void insert(GPtrArray *order, guint at, int32_t index, const char *path)
{
    BootEntry *entry = g_new0(BootEntry, 1);

    entry->index = index;
    entry->path = g_strdup(path);
    g_ptr_array_insert(order, (int)at, entry);
}

bool boot_order_add(Machine *machine, int32_t index, const char *path, GError **errp)
{
    GPtrArray *order = machine->boot_order;
    guint at = 0;

    if (index < -1)
        return error_set_code(errp, VMM_ERROR_USAGE, "bootindex=%d is negative; -1 means none", index);
    if (index == -1)
        return true;
    while (at < order->len && ((BootEntry *)g_ptr_array_index(order, at))->index < index)
        at++;
    if (at < order->len && ((BootEntry *)g_ptr_array_index(order, at))->index == index)
        return error_set_code(errp, VMM_ERROR_USAGE, "bootindex=%d is used twice; choose another", index);
    insert(order, at, index, path);
    return true;
}

void boot_order_add_first(Machine *machine, const char *path)
{
    insert(machine->boot_order, 0, -1, path);
}

void boot_order_remove(Machine *machine, const char *path)
{
    for (guint i = machine->boot_order->len; i-- > 0;) {
        const BootEntry *entry = g_ptr_array_index(machine->boot_order, i);
        if (!strcmp(entry->path, path))
            g_ptr_array_remove_index(machine->boot_order, i);
    }
}

char *boot_order_list(const Machine *machine, bool strict)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new();

    for (guint i = 0; i < machine->boot_order->len; i++)
        g_ptr_array_add(lines, ((BootEntry *)g_ptr_array_index(machine->boot_order, i))->path);
    if (strict)
        g_ptr_array_add(lines, (char *)"HALT"); /* SeaBIOS: nothing beyond this */
    if (!lines->len)
        return NULL;
    g_ptr_array_add(lines, NULL);
    return g_strjoinv("\n", (char **)lines->pdata);
}
