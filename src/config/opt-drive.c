/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks: -drive, -blockdev and the short forms. Images are opened when the machine is made (configure.c).
 */
#include <string.h>

#include "block/drive.h"
#include "core/error.h"
#include "src/config/options-int.h"

/* Takes over keys. */
static void add_drive(Options *options, const OptionSpec *spec, KvNode *keys)
{
    DriveOption *drive = g_new(DriveOption, 1);

    *drive = (DriveOption){spec->name, keys};
    g_ptr_array_add(options->drives, drive);
}

bool opt_drive(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    if (arg_asks_for_help(arg)) {
        g_autoptr(GString) out = g_string_new(NULL);
        drive_print_help(out);
        options_print_help(options, out);
        return true;
    }
    g_autoptr(KvNode) kv = keyval_parse_flat(arg, "file", errp);
    if (!kv || !drive_check(kv, errp))
        return false;
    add_drive(options, spec, g_steal_pointer(&kv));
    return true;
}

bool opt_blockdev(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    g_autoptr(KvNode) kv = keyval_parse(arg, "driver", errp);

    if (!kv || !blockdev_check(kv, errp))
        return false;
    g_ptr_array_add(options->blockdevs, g_steal_pointer(&kv));
    return true;
}

/* The argument is a file's name as it is, commas and all. */
static bool add_short_form(Options *options, const OptionSpec *spec, const char *file, const char *index, const char *media,
                           GError **errp)
{
    g_autoptr(KvNode) kv = keyval_new_dict();

    if (!keyval_set(kv, "file", file, errp) || !keyval_set(kv, "index", index, errp)
        || !keyval_set(kv, "media", media, errp))
        return false;
    add_drive(options, spec, g_steal_pointer(&kv));
    return true;
}

/* -hda to -hdd. */
bool opt_disk(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    const char index[] = {(char)(spec->name[strlen("hd")] - 'a' + '0'), 0};

    return add_short_form(options, spec, arg, index, "disk", errp);
}

bool opt_cdrom(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    return add_short_form(options, spec, arg, "2", "cdrom", errp);
}
