/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What several commands print alike.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "src/img/img.h"

char *img_size_text(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    unsigned unit = 0;

    while (value >= 1000 && unit < G_N_ELEMENTS(units) - 1) {
        value /= 1024;
        unit++;
    }
    return g_strdup_printf("%.3g %s", value, units[unit]);
}

void img_print_json(json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(4));

    puts(text);
    free(text);
    json_decref(value);
}

static char *date_text(const BlockSnapshot *snapshot)
{
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_local(snapshot->date_sec);

    return date ? g_date_time_format(date, "%Y-%m-%d %H:%M:%S") : g_strdup("?");
}

static char *clock_text(const BlockSnapshot *snapshot)
{
    uint64_t ms = snapshot->vm_clock_ns / 1000000, seconds = ms / 1000;

    return g_strdup_printf("%02" G_GUINT64_FORMAT ":%02u:%02u.%03u", seconds / 3600, (unsigned)(seconds / 60 % 60),
                           (unsigned)(seconds % 60), (unsigned)(ms % 1000));
}

void img_print_snapshots(GPtrArray *snapshots)
{
    printf("Snapshot list:\n%-9s %-16s %8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
    for (guint i = 0; i < snapshots->len; i++) {
        const BlockSnapshot *s = g_ptr_array_index(snapshots, i);
        g_autofree char *size = img_size_text(s->vm_state_size), *date = date_text(s), *clock = clock_text(s);
        g_autofree char *icount = s->icount == UINT64_MAX ? g_strdup("") : g_strdup_printf("%" G_GUINT64_FORMAT, s->icount);
        printf("%-9s %-16s %8s%20s%13s%11s\n", s->id, s->name, size, date, clock, icount);
    }
}
