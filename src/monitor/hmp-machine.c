/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Human monitor commands about what the machine is made of.
 */
#include "chardev/char.h"
#include "core/error.h"
#include "hmp-internal.h"
#include "hotplug.h"

static bool info_mtree(HmpContext *ctx, GError **errp)
{
    bool flat = hmp_take_flag(ctx, 'f');
    AddressSpace *spaces[] = {&ctx->machine->memory, &ctx->machine->io};

    if (!hmp_end(ctx, errp))
        return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(spaces); i++) {
        if (flat)
            memory_print_flat(spaces[i], ctx->out);
        else
            memory_print_tree(spaces[i], ctx->out);
    }
    return true;
}

static bool info_qtree(HmpContext *ctx, GError **errp)
{
    const GPtrArray *devices = ctx->machine->devices;

    for (guint i = 0; i < devices->len; i++) {
        Device *dev = g_ptr_array_index(devices, i);
        g_string_append_printf(ctx->out, "dev: %s, id \"%s\", bus %s%s%s\n", dev->type->name, dev->id ? dev->id : "",
                               dev->type->bus, dev->broken ? ", broken: " : "", dev->broken ? dev->broken : "");
        property_print_values(dev->type->props, dev, ctx->out);
    }
    return true;
}

static bool info_roms(HmpContext *ctx, GError **errp)
{
    memory_print_roms(&ctx->machine->memory, ctx->out);
    return true;
}

static void print_chardev(const Chardev *chr, void *opaque)
{
    g_string_append_printf(opaque, "%s: filename=%s\n", chardev_id(chr), chardev_filename(chr));
}

static bool info_chardev(HmpContext *ctx, GError **errp)
{
    chardev_foreach(print_chardev, ctx->out);
    return true;
}

static bool device_add(HmpContext *ctx, GError **errp)
{
    g_autofree char *text = NULL;

    if (!hmp_need_word(ctx, "the device", &text, errp) || !hmp_end(ctx, errp))
        return false;
    g_autoptr(KvNode) kv = keyval_parse(text, "driver", errp);
    return kv && hotplug_add(ctx->machine, kv, errp);
}

static bool device_del(HmpContext *ctx, GError **errp)
{
    g_autofree char *id = NULL;

    return hmp_need_word(ctx, "the device", &id, errp) && hmp_end(ctx, errp) &&
           hotplug_request_removal(ctx->machine, id, errp);
}

const HmpCommand hmp_machine_commands[] = {
    {"info chardev", NULL, info_chardev, "character devices and where they lead"},
    {"info mtree", "[-f]", info_mtree, "the memory and I/O maps; -f: as the CPUs see them"},
    {"info qtree", NULL, info_qtree, "devices and their properties"},
    {"info roms", NULL, info_roms, "read-only memory"},
    {"device_add", "DRIVER[,PROP=VALUE...]", device_add, "plug a PCI device, as -device does"},
    {"device_del", "ID", device_del, "ask the guest to let go of a device"},
    {"info", "[WHAT]", hmp_info, "print what there is to know"},
    {0},
};
