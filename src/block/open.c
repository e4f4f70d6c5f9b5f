/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options and file names into node graphs.
 *
 * The order for one node: its common options, then its file (which inherits from them), then the format, guessed
 * from the file if it was not given, then the driver's own options, a backing node the user gave, and the driver's
 * open(), which may follow the header to a backing file.
 *
 * A name that an image holds is opened read-only, by the file protocol alone, and only if the image's format was given
 * rather than guessed (probe.c says why). The flag BLOCK_OPEN_TRUST_PROBED lifts that for vmm-img.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "core/log.h"
#include "src/block/block-int.h"

static BlockNode *open_dict(KvNode *options, const BlockNode *parent, unsigned flags, GError **errp);

/* What a node below takes over unless its own options say otherwise. */
static void inherit(BlockNode *node, const BlockNode *parent)
{
    property_set_defaults(block_node_props, node);
    if (!parent)
        return;
    node->opt_read_only = parent->opt_read_only;
    node->auto_read_only = parent->auto_read_only;
    node->force_share = parent->force_share;
    node->cache_direct = parent->cache_direct;
    node->cache_no_flush = parent->cache_no_flush;
    node->discard = BLOCK_DISCARD_UNMAP; /* the node above decides what comes down */
    node->depth = parent->depth + 1;
}

/* --- options --- */

typedef struct OptionWalk {
    BlockNode *node;
    const BlockDriver *driver; /* NULL: common options only, others are not looked at */
    GError **errp;
} OptionWalk;

static bool is_child_key(const char *path, const char *child)
{
    size_t len = strlen(child);

    return strncmp(path, child, len) == 0 && (path[len] == 0 || path[len] == '.');
}

/* Keys that open_dict sees to. */
static bool is_structure(const char *path, const BlockDriver *driver)
{
    if (strcmp(path, "driver") == 0 || strcmp(path, "node-name") == 0)
        return true;
    if (driver->is_protocol)
        return false;
    return is_child_key(path, "file") || (driver->has_backing && is_child_key(path, "backing"));
}

static bool unknown_option(const BlockDriver *driver, const char *path, GError **errp)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (const Property *prop = block_node_props; prop->name; prop++)
        g_ptr_array_add(names, (char *)prop->name);
    for (const Property *prop = driver->props; prop && prop->name; prop++)
        g_ptr_array_add(names, (char *)prop->name);
    g_ptr_array_add(names, NULL);
    const char *near = nearest_name(path, (const char *const *)names->pdata);
    return error_set_code(errp, VMM_ERROR_USAGE, "driver '%s' has no option '%s'%s%s%s", driver->name, path,
                          near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool set_option(const char *path, const char *value, void *opaque)
{
    OptionWalk *walk = opaque;
    const Property *prop = property_find(block_node_props, path);

    if (prop)
        return property_parse(prop, walk->node, value, walk->errp);
    if (!walk->driver || is_structure(path, walk->driver))
        return true;
    prop = property_find(walk->driver->props, path);
    if (prop)
        return property_parse(prop, walk->node, value, walk->errp);
    return unknown_option(walk->driver, path, walk->errp);
}

/* --- graphs --- */

static bool check_depth(const BlockNode *common, GError **errp)
{
    if (common->depth < BLOCK_MAX_CHAIN)
        return true;
    return error_set(errp, "more than %d images under one another; is one its own backing file?", BLOCK_MAX_CHAIN);
}

/* The node named, or made of the options, under key. *out stays NULL if there is no such key. */
static bool open_child(KvNode *options, const char *key, const BlockNode *parent, unsigned flags, BlockNode **out,
                       GError **errp)
{
    KvNode *child = keyval_get_node(options, key);

    *out = NULL;
    if (!child)
        return true;
    if (keyval_kind(child) == KV_STRING) {
        const char *name = keyval_get(options, key);
        *out = block_node_find(name);
        if (!*out)
            return error_set_code(errp, VMM_ERROR_USAGE, "%s=%s: there is no node of this name; define it before, with "
                                  "-blockdev", key, name);
        block_node_ref(*out);
        return true;
    }
    if (keyval_kind(child) != KV_DICT)
        return error_set_code(errp, VMM_ERROR_USAGE, "%s takes a node's name or options, not a list", key);
    *out = open_dict(child, parent, flags, errp);
    return *out != NULL;
}

static const BlockDriver *named_driver(const char *name, GError **errp)
{
    const BlockDriver *driver = block_driver_find(name);
    g_autoptr(GPtrArray) names = NULL;

    if (driver)
        return driver;
    names = g_ptr_array_new();
    for (const BlockDriver *const *d = block_drivers; *d; d++)
        g_ptr_array_add(names, (char *)(*d)->name);
    g_ptr_array_add(names, NULL);
    g_autofree char *all = g_strjoinv(", ", (char **)names->pdata);
    error_set_code(errp, VMM_ERROR_USAGE, "unknown format or protocol '%s'; there are %s", name, all);
    return NULL;
}

static void warn_probed_raw(const BlockNode *file)
{
    if (file->read_only)
        return;
    log_warn("image '%s': its format was not given and is taken to be raw; for safety the guest cannot write another "
             "format's header there; say format=raw", file->filename);
}

/* Takes over file. */
static BlockNode *make_node(const BlockDriver *driver, const BlockNode *common, BlockNode *file, KvNode *options,
                            unsigned flags, GError **errp)
{
    const char *name = options ? keyval_get(options, "node-name") : NULL;
    BlockNode *node = block_node_new(driver, NULL);
    OptionWalk walk = {node, driver, errp};

    inherit(node, NULL);
    node->opt_read_only = common->opt_read_only;
    node->auto_read_only = common->auto_read_only;
    node->force_share = common->force_share;
    node->cache_direct = common->cache_direct;
    node->cache_no_flush = common->cache_no_flush;
    node->discard = common->discard;
    node->detect_zeroes = common->detect_zeroes;
    node->depth = common->depth;
    node->probed = common->probed;
    if (name && !block_node_rename(node, name, errp))
        goto fail;
    if (options && !keyval_foreach(options, set_option, &walk))
        goto fail;
    if (options && driver->has_backing) {
        const char *named = keyval_get(options, "backing"); /* "": none */
        node->backing_given = keyval_get_node(options, "backing") != NULL;
        if (!(named && !*named) && !open_child(options, "backing", node, flags & ~BLOCK_OPEN_RDWR, &node->backing, errp))
            goto fail;
    }
    return block_node_start(node, file, flags, errp);

fail:
    node->file = file;
    block_node_free(node);
    return NULL;
}

static BlockNode *open_dict(KvNode *options, const BlockNode *parent, unsigned flags, GError **errp)
{
    const char *name = keyval_get(options, "driver");
    BlockNode common = {0}, *file = NULL;
    OptionWalk walk = {&common, NULL, errp};
    const BlockDriver *driver = NULL;

    inherit(&common, parent);
    if (!check_depth(&common, errp) || !keyval_foreach(options, set_option, &walk))
        return NULL;
    if (name && !(driver = named_driver(name, errp)))
        return NULL;
    if ((!driver || !driver->is_protocol)
        && !open_child(options, "file", &common, common.opt_read_only ? flags & ~BLOCK_OPEN_RDWR : flags, &file, errp))
        return NULL;
    if (!file && (!driver || !driver->is_protocol)) {
        error_set_code(errp, VMM_ERROR_USAGE, driver ? "file= is missing: what the image lies in" : "driver= is missing");
        return NULL;
    }
    if (!driver) {
        driver = block_probe(file, errp);
        common.probed = true;
        if (!driver) {
            block_node_unref(file);
            return NULL;
        }
        if (driver == &block_driver_raw && flags & BLOCK_OPEN_WARN_PROBED)
            warn_probed_raw(file);
    }
    return make_node(driver, &common, file, options, flags, errp);
}

BlockNode *block_node_open(KvNode *options, unsigned flags, GError **errp)
{
    return open_dict(options, NULL, flags, errp);
}

/* --- by name --- */

/* The path in "PATH" or "file:PATH"; NULL for another protocol, which is named. */
const char *block_plain_path(const char *filename, GError **errp)
{
    size_t scheme = strspn(filename, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

    if (g_str_has_prefix(filename, "file:"))
        return filename + strlen("file:");
    if (!scheme || filename[scheme] != ':')
        return filename;
    error_set_code(errp, VMM_ERROR_USAGE, "'%s': the protocol '%.*s' is not available; for a file of that name write "
                   "'./%s'", filename, (int)scheme, filename, filename);
    return NULL;
}

static BlockNode *open_path(const char *path, const char *format, const BlockNode *parent, unsigned flags, GError **errp)
{
    const BlockDriver *driver = format ? named_driver(format, errp) : NULL;
    BlockNode common = {0}, *file;
    const Property *prop = property_find(block_driver_file.props, "filename");

    inherit(&common, parent);
    if ((format && !driver) || !check_depth(&common, errp))
        return NULL;
    file = block_node_new(&block_driver_file, NULL);
    inherit(file, &common);
    property_parse(prop, file, path, NULL);
    file = block_node_start(file, NULL, flags, errp);
    if (!file || driver == &block_driver_file)
        return file;
    if (!driver) {
        common.probed = true;
        driver = block_probe(file, errp);
    }
    if (!driver) {
        block_node_unref(file);
        return NULL;
    }
    if (driver == &block_driver_raw && common.probed && flags & BLOCK_OPEN_WARN_PROBED)
        warn_probed_raw(file);
    return make_node(driver, &common, file, NULL, flags, errp);
}

BlockNode *block_node_open_file(const char *filename, const char *format, unsigned flags, GError **errp)
{
    const char *path = block_plain_path(filename, errp);

    return path ? open_path(path, format, NULL, flags, errp) : NULL;
}

char *block_backing_path(const BlockNode *node, const char *filename)
{
    if (g_path_is_absolute(filename) || !node->filename)
        return g_strdup(filename);
    g_autofree char *folder = g_path_get_dirname(node->filename);
    return strcmp(folder, ".") == 0 && !g_str_has_prefix(node->filename, "./") ? g_strdup(filename)
                                                                               : g_build_filename(folder, filename, NULL);
}

bool block_node_open_backing(BlockNode *node, const char *filename, const char *format, GError **errp)
{
    if (node->backing_given || node->open_flags & BLOCK_OPEN_NO_BACKING)
        return true;
    if (node->probed && !(node->open_flags & BLOCK_OPEN_TRUST_PROBED))
        return error_set(errp, "the format of image '%s' was guessed (%s), so the file its header names, '%s', is not "
                         "opened; say format=%s if you trust it", node->filename, node->driver->name, filename,
                         node->driver->name);
    const char *path = block_plain_path(filename, errp);
    g_autofree char *resolved = path ? block_backing_path(node, path) : NULL;
    unsigned flags = node->open_flags & ~(BLOCK_OPEN_RDWR | BLOCK_OPEN_CHECK | BLOCK_OPEN_WARN_PROBED);

    if (resolved)
        node->backing = open_path(resolved, format, node, flags, errp);
    if (node->backing)
        return true;
    g_prefix_error(errp, "backing file of '%s': ", node->filename);
    return false;
}

/* --- creating --- */

static bool create_in(const BlockDriver *driver, const char *path, const void *create_options, uint64_t size, bool durable,
                      GError **errp)
{
    g_autoptr(BlockNode) file = open_path(path, "file", NULL, BLOCK_OPEN_RDWR, errp);

    if (file)
        file->cache_no_flush = !durable;
    /* Only now, with the image locked, is what was there before lost. */
    if (!file || !block_truncate(file, 0, BLOCK_PREALLOC_OFF, errp) || !driver->create(file, create_options, size, errp))
        return false;
    int ret = block_flush(file);
    return ret == 0 || error_set_errno(errp, -ret, "cannot write image '%s'", path);
}

bool block_create(const BlockDriver *driver, const char *filename, const void *create_options, uint64_t size, bool durable,
                  GError **errp)
{
    const char *path = block_plain_path(filename, errp);
    bool created;

    if (!path)
        return false;
    if (!driver->create)
        return error_set_code(errp, VMM_ERROR_USAGE, "images of format '%s' cannot be created", driver->name);
    if (size > BLOCK_MAX_SIZE)
        return error_set_code(errp, VMM_ERROR_USAGE, "an image cannot have more than 8 EiB");
    if (driver->create_check && !driver->create_check(create_options, size, errp))
        return false;
    if (!block_file_create(path, &created, errp))
        return false;
    if (create_in(driver, path, create_options, size, durable, errp))
        return true;
    if (created)
        unlink(path);
    return false;
}
