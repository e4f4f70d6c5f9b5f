/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names and cache modes into nodes, and -o into a driver's creation options.
 *
 * vmm-img is run by somebody who knows the images, so a guessed format's header may name a backing file.
 */
#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "src/img/img.h"

/* --- cache modes --- */

typedef struct CacheMode {
    const char *name;
    bool direct, no_flush, sync;
} CacheMode;

static const CacheMode cache_modes[] = {
    {"writeback"}, {"none", .direct = true}, {"writethrough", .sync = true}, {"directsync", .direct = true, .sync = true},
    {"unsafe", .no_flush = true},
};

static const CacheMode *find_mode(const char *name, GError **errp)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(cache_modes); i++) {
        if (!name || strcmp(cache_modes[i].name, name) == 0)
            return &cache_modes[i];
    }
    error_set_code(errp, VMM_ERROR_USAGE, "'%s' is no cache mode; there are writeback, none, writethrough, directsync and unsafe", name);
    return NULL;
}

bool img_cache_write_flags(const char *cache, unsigned *flags, GError **errp)
{
    const CacheMode *mode = find_mode(cache, errp);

    *flags = mode && mode->sync ? BLOCK_FUA : 0;
    return mode != NULL;
}

/* --- opening --- */

static bool put(KvNode *options, const char *key, const char *value, GError **errp)
{
    return !value || keyval_set(options, key, value, errp);
}

static KvNode *options_of(const char *name, const ImgOpen *how, const CacheMode *mode, GError **errp)
{
    g_autoptr(KvNode) options = NULL;

    if (how->image_opts) {
        options = keyval_parse(name, NULL, errp);
    } else {
        options = keyval_new_dict();
        if (!put(options, "driver", how->format, errp) || !put(options, "file.driver", "file", errp)
            || !put(options, "file.filename", name, errp) || !put(options, "file.aio", how->aio, errp))
            return NULL;
    }
    if (!options || !put(options, "cache.direct", mode->direct ? "on" : NULL, errp)
        || !put(options, "cache.no-flush", mode->no_flush ? "on" : NULL, errp)
        || !put(options, "force-share", how->force_share ? "on" : NULL, errp)
        || !put(options, "discard", how->flags & BLOCK_OPEN_RDWR ? "unmap" : NULL, errp))
        return NULL;
    return g_steal_pointer(&options);
}

BlockNode *img_open(const char *name, const ImgOpen *how, GError **errp)
{
    const CacheMode *mode = find_mode(how->cache, errp);
    const char *path = how->image_opts ? name : block_plain_path(name, errp);
    g_autoptr(KvNode) options = mode && path ? options_of(path, how, mode, errp) : NULL;

    return options ? block_node_open(options, how->flags | BLOCK_OPEN_TRUST_PROBED, errp) : NULL;
}

BlockNode *img_open_operand(const ImgArgs *args, unsigned flags, GError **errp)
{
    ImgOpen how = {.format = args->format, .cache = flags & BLOCK_OPEN_RDWR ? args->cache : args->src_cache, .flags = flags,
                   .image_opts = args->image_opts, .force_share = args->force_share};

    return img_open(args->operands[0], &how, errp);
}

char *img_backing_path(BlockNode *node, char **format)
{
    g_autofree char *name = node->driver->backing_file ? node->driver->backing_file(node, format) : NULL;

    return name ? block_backing_path(node, name) : NULL;
}

bool img_load_snapshot(BlockNode *node, const char *param, GError **errp)
{
    const char *name = param;
    g_autoptr(KvNode) keys = NULL;

    if (g_str_has_prefix(param, "snapshot.")) {
        keys = keyval_parse(param, NULL, errp);
        if (!keys)
            return false;
        name = keyval_get(keys, "snapshot.id");
        name = name ? name : keyval_get(keys, "snapshot.name");
    }
    if (!node->driver->snapshot_load)
        return error_set(errp, "image '%s': the format '%s' has no snapshots", node->filename, node->driver->name);
    return node->driver->snapshot_load(node, name ? name : param, errp);
}

bool img_flush(BlockNode *node, GError **errp)
{
    int ret = block_flush(node);

    return ret == 0 || error_set_errno(errp, -ret, "cannot write image '%s'", node->filename);
}

bool img_parse_size(const char *text, const char *what, uint64_t *out, GError **errp)
{
    if (parse_size(text, 1, out) && *out <= BLOCK_MAX_SIZE)
        return true;
    return error_set_code(errp, VMM_ERROR_USAGE, "'%s' is no %s: a number with one of the suffixes K, M, G, T, P, E, up to 8E", text, what);
}

/* --- creation options --- */

const BlockDriver *img_driver(const char *name, GError **errp)
{
    const BlockDriver *driver = block_driver_find(name);

    if (driver && driver->create)
        return driver;
    g_autoptr(GString) all = g_string_new(NULL);
    for (const BlockDriver *const *d = block_drivers; *d; d++) {
        if ((*d)->create)
            g_string_append_printf(all, "%s%s", all->len ? ", " : "", (*d)->name);
    }
    error_set_code(errp, VMM_ERROR_USAGE, "images of format '%s' cannot be made; there are %s", name, all->str);
    return NULL;
}

bool img_wants_create_help(GPtrArray *lists)
{
    for (guint i = 0; lists && i < lists->len; i++) {
        g_auto(GStrv) words = g_strsplit(g_ptr_array_index(lists, i), ",", -1);
        for (char **word = words; *word; word++) {
            if (strcmp(*word, "help") == 0 || strcmp(*word, "?") == 0)
                return true;
        }
    }
    return false;
}

void img_print_create_help(const BlockDriver *driver)
{
    g_autoptr(GString) out = g_string_new(NULL);

    g_string_append_printf(out, "Supported %s options:\n", driver->name);
    property_print_help(driver->create_props, out);
    g_string_append(out, "  size=<size>   the disk's size\n");
    fputs(out->str, stdout);
}

KvNode *img_create_options(GPtrArray *lists, GError **errp)
{
    g_autoptr(KvNode) options = keyval_new_dict();

    for (guint i = 0; lists && i < lists->len; i++) {
        if (!keyval_merge(options, g_ptr_array_index(lists, i), NULL, errp)) {
            g_prefix_error(errp, "-o %s: ", (const char *)g_ptr_array_index(lists, i));
            return NULL;
        }
    }
    return g_steal_pointer(&options);
}

typedef struct Setting {
    const BlockDriver *driver;
    void *instance;
    uint64_t *size;
    GError **errp;
} Setting;

static bool set_option(const char *path, const char *value, void *opaque)
{
    const Setting *s = opaque;

    if (strcmp(path, "size") == 0)
        return img_parse_size(value, "size", s->size, s->errp);
    return property_set(s->driver->create_props, s->instance, s->driver->name, path, value, s->errp);
}

void *img_create_struct(const BlockDriver *driver, KvNode *options, uint64_t *size, GError **errp)
{
    void *instance = g_malloc0(driver->create_size);
    Setting setting = {driver, instance, size, errp};

    property_set_defaults(driver->create_props, instance);
    if (keyval_foreach(options, set_option, &setting))
        return instance;
    img_create_struct_free(driver, instance);
    return NULL;
}

void img_create_struct_free(const BlockDriver *driver, void *instance)
{
    if (instance)
        property_release(driver->create_props, instance);
    g_free(instance);
}
