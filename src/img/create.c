/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * create: a new image, of a size or over a backing file.
 */
#include <stdio.h>

#include "core/error.h"
#include "src/img/img.h"

typedef struct CreateArgs {
    ImgArgs base;
    const char *backing, *backing_format;
    bool unsafe;
    GPtrArray *options;
} CreateArgs;

static bool put_backing(const CreateArgs *args, KvNode *options, GError **errp)
{
    if (args->backing && !keyval_set(options, "backing_file", args->backing, errp))
        return false;
    return !args->backing_format || keyval_set(options, "backing_fmt", args->backing_format, errp);
}

/* The backing file has to be there, unless -u; without a size its own is taken. */
static bool check_backing(const char *filename, KvNode *options, bool unsafe, uint64_t *size, GError **errp)
{
    const char *backing = keyval_get(options, "backing_file"), *format = keyval_get(options, "backing_fmt");
    BlockNode place = {.filename = (char *)filename};
    g_autoptr(BlockNode) node = NULL;

    if (!backing || !*backing)
        return true;
    if (!format)
        return error_set_code(errp, VMM_ERROR_USAGE, "the format of the backing file '%s' is not given; say it with -F, as guessing it "
                              "later would be unsafe", backing);
    if (unsafe)
        return true;
    g_autofree char *path = block_backing_path(&place, backing);
    node = img_open(path, &(ImgOpen){.format = format, .flags = BLOCK_OPEN_NO_BACKING}, errp);
    if (!node) {
        g_prefix_error(errp, "backing file: ");
        return false;
    }
    if (*size == UINT64_MAX)
        *size = block_node_size(node);
    return true;
}

static void print_formatting(const BlockDriver *driver, const char *filename, void *instance, uint64_t size)
{
    printf("Formatting '%s', fmt=%s size=%" G_GUINT64_FORMAT, filename, driver->name, size);
    for (const Property *prop = driver->create_props; prop && prop->name; prop++) {
        g_autofree char *value = property_format(prop, instance);
        if (value)
            printf(" %s=%s", prop->name, value);
    }
    putchar('\n');
}

static bool create(const CreateArgs *args, const BlockDriver *driver, GError **errp)
{
    const char *filename = args->base.operands[0];
    uint64_t size = UINT64_MAX;
    g_autoptr(KvNode) options = img_create_options(args->options, errp);
    bool ok = options && put_backing(args, options, errp);
    void *instance = ok ? img_create_struct(driver, options, &size, errp) : NULL;

    ok = instance && (args->base.count < 2 || img_parse_size(args->base.operands[1], "size", &size, errp))
         && check_backing(filename, options, args->unsafe, &size, errp);
    if (ok && size == UINT64_MAX)
        ok = error_set_code(errp, VMM_ERROR_USAGE, "%s: the image needs a size, or a backing file", filename);
    ok = ok && block_create(driver, filename, instance, size, true, errp);
    if (ok && !args->base.quiet)
        print_formatting(driver, filename, instance, size);
    img_create_struct_free(driver, instance);
    return ok;
}

static int run(void *opaque, GError **errp)
{
    const CreateArgs *args = opaque;
    const BlockDriver *driver = img_driver(args->base.format, errp);

    if (driver && img_wants_create_help(args->options)) {
        img_print_create_help(driver);
        return 0;
    }
    if (driver && !args->base.count) {
        error_set_code(errp, VMM_ERROR_USAGE, "create: something is missing; it takes: %s", img_create.operands);
        return -1;
    }
    return driver && create(args, driver, errp) ? 0 : -1;
}

static const ImgOption options[] = {
    {'f', NULL, "FMT", IMG_STRING, offsetof(ImgArgs, format), "the image's format", "raw"},
    {'b', NULL, "FILE", IMG_STRING, offsetof(CreateArgs, backing), "what shows where nothing was written"},
    {'F', NULL, "FMT", IMG_STRING, offsetof(CreateArgs, backing_format), "its format"},
    {'u', NULL, NULL, IMG_FLAG, offsetof(CreateArgs, unsafe), "do not look for the backing file"},
    {'o', NULL, "OPTIONS", IMG_LIST, offsetof(CreateArgs, options), "the format's: name=value,...; help lists them"},
    IMG_OPT_QUIET,
    IMG_OPT_OBJECT, IMG_OPT_END,
};

const ImgCommand img_create = {
    "create", "FILENAME [SIZE]", "makes an image", options, sizeof(CreateArgs), 0, 2, 1, run,
};
