/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options about what is booted: -boot, -L, -option-rom.
 */
#include <string.h>

#include "core/error.h"
#include "src/config/options-int.h"

#define SPLASH_TIME_MAX 0xffff /* ms: two bytes for the firmware */

/* "cdn": letters of drives, each once. */
static bool check_order(const char *key, const char *order, GError **errp)
{
    for (const char *p = order; *p; p++) {
        if (!strchr("abcdn", *p))
            return error_set_code(errp, VMM_ERROR_USAGE,
                                  "%s=%s: '%c' is none of a, b (floppy), c (disk), d (CD-ROM) and n (network)", key, order, *p);
        if (strchr(p + 1, *p))
            return error_set_code(errp, VMM_ERROR_USAGE, "%s=%s: '%c' is there twice", key, order, *p);
    }
    return true;
}

static bool set_order(KvNode *kv, const char *key, char **field, GError **errp)
{
    const char *order = keyval_get(kv, key);

    if (!order)
        return true;
    if (!check_order(key, order, errp))
        return false;
    g_free(*field);
    *field = g_strdup(order);
    return true;
}

static bool set_bool(KvNode *kv, const char *key, bool *field, GError **errp)
{
    const char *value = keyval_get(kv, key);

    return !value || parse_bool(value, field) ||
           error_set_code(errp, VMM_ERROR_USAGE, "%s=%s is neither on nor off", key, value);
}

/* -1 stands for none, as does not giving it. */
static bool set_time(KvNode *kv, const char *key, int *field, GError **errp)
{
    const char *value = keyval_get(kv, key);
    uint64_t ms = 0;

    if (!value)
        return true;
    if (!strcmp(value, "-1")) {
        *field = -1;
        return true;
    }
    if (!parse_u64(value, &ms) || ms > SPLASH_TIME_MAX)
        return error_set_code(errp, VMM_ERROR_USAGE, "%s=%s is not a time in ms from 0 to %d, or -1", key, value,
                              SPLASH_TIME_MAX);
    *field = ms;
    return true;
}

bool opt_boot(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    static const char *const keys[] = {"order", "once", "menu", "splash-time", "reboot-timeout", "strict", NULL};
    g_autoptr(KvNode) kv = keyval_parse(arg, "order", errp);
    BootOptions *boot = &options->boot;

    return kv && set_order(kv, "order", &boot->order, errp) && set_order(kv, "once", &boot->once, errp) &&
           set_bool(kv, "menu", &boot->menu, errp) && set_bool(kv, "strict", &boot->strict, errp) &&
           set_time(kv, "splash-time", &boot->splash_time, errp) &&
           set_time(kv, "reboot-timeout", &boot->reboot_timeout, errp) && keyval_check_unused(kv, "-boot", keys, errp);
}

static void option_rom_free(gpointer opaque)
{
    OptionRom *rom = opaque;

    g_free(rom->file);
    g_free(rom);
}

bool opt_option_rom(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    static const char *const keys[] = {"romfile", "bootindex", NULL};
    g_autoptr(KvNode) kv = keyval_parse(arg, "romfile", errp);
    const char *file = kv ? keyval_get(kv, "romfile") : NULL, *index = kv ? keyval_get(kv, "bootindex") : NULL;
    uint64_t n = 0;

    if (!kv || !keyval_check_unused(kv, "-option-rom", keys, errp))
        return false;
    if (!file || !*file)
        return error_set_code(errp, VMM_ERROR_USAGE, "the ROM's file is missing");
    if (index && (!parse_u64(index, &n) || n > INT32_MAX))
        return error_set_code(errp, VMM_ERROR_USAGE, "bootindex=%s is not a number from 0 on", index);
    OptionRom *rom = g_new0(OptionRom, 1);
    rom->file = g_strdup(file);
    rom->bootindex = index ? (int32_t)n : -1;
    if (!options->boot.option_roms)
        options->boot.option_roms = g_ptr_array_new_with_free_func(option_rom_free);
    g_ptr_array_add(options->boot.option_roms, rom);
    return true;
}

bool opt_firmware_dir(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    g_ptr_array_add(options->firmware_dirs, g_strdup(arg));
    return true;
}
