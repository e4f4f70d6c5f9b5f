/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * convert: the disk in one or more images, one behind the other, into a new image or into one that is there.
 */
#include "core/bits.h"
#include "core/error.h"
#include "src/img/img.h"

typedef struct ConvertArgs {
    ImgArgs base;
    const char *target_format, *backing, *backing_format, *snapshot;
    GPtrArray *options;
    const char *sparse_text;
    uint64_t sparse, threads, rate;
    bool compressed, no_create, target_is_zero, any_order, salvage, target_image_opts, offload;
} ConvertArgs;

typedef struct Convert {
    const ConvertArgs *args;
    const char *target_name;
    GPtrArray *sources; /* of BlockNode * */
    BlockNode *target;
    uint64_t size;
} Convert;

static void free_node(void *node)
{
    block_node_unref(node);
}

/* --- sources --- */

static bool open_sources(Convert *c, GError **errp)
{
    const ConvertArgs *args = c->args;
    ImgOpen how = {.format = args->base.format, .cache = args->base.src_cache, .image_opts = args->base.image_opts,
                   .force_share = args->base.force_share};

    for (unsigned i = 0; i + 1 < args->base.count; i++) {
        BlockNode *node = img_open(args->base.operands[i], &how, errp);
        if (!node)
            return false;
        g_ptr_array_add(c->sources, node);
        if (args->snapshot && !img_load_snapshot(node, args->snapshot, errp))
            return false;
        c->size += block_node_size(node);
    }
    return c->size <= BLOCK_MAX_SIZE || error_set(errp, "the images have more than 8 EiB together");
}

/* --- target --- */

static bool create_target(Convert *c, GError **errp)
{
    const ConvertArgs *args = c->args;
    const BlockDriver *driver = img_driver(args->target_format, errp);
    g_autoptr(KvNode) options = driver ? img_create_options(args->options, errp) : NULL;
    uint64_t size = c->size;
    void *instance;
    bool ok;

    if (!options || (args->backing && !keyval_set(options, "backing_file", args->backing, errp))
        || (args->backing_format && !keyval_set(options, "backing_fmt", args->backing_format, errp)))
        return false;
    instance = img_create_struct(driver, options, &size, errp);
    ok = instance && (size >= c->size || error_set_code(errp, VMM_ERROR_USAGE, "-o size=%" G_GUINT64_FORMAT " is less than the %"
                                                        G_GUINT64_FORMAT " bytes there are", size, c->size))
         && block_create(driver, c->target_name, instance, size, !g_str_equal(args->base.cache, "unsafe"), errp);
    img_create_struct_free(driver, instance);
    return ok;
}

static bool check_target(const Convert *c, GError **errp)
{
    BlockInfo info;

    if (block_node_size(c->target) < c->size)
        return error_set(errp, "image '%s' has %" G_GUINT64_FORMAT " bytes and %" G_GUINT64_FORMAT " are to be written; make it larger "
                         "(vmm-img resize)", c->target_name, block_node_size(c->target), c->size);
    block_info(c->target, &info);
    if (c->args->compressed && !info.has_compression)
        return error_set_code(errp, VMM_ERROR_USAGE, "-c: the format '%s' has no compression; use -O qcow2", c->target->driver->name);
    return true;
}

static bool open_target(Convert *c, GError **errp)
{
    const ConvertArgs *args = c->args;
    ImgOpen how = {.format = args->target_image_opts ? NULL : args->target_format, .cache = args->base.cache, .flags = BLOCK_OPEN_RDWR,
                   .image_opts = args->target_image_opts};

    if (!args->no_create && !create_target(c, errp))
        return false;
    c->target = img_open(c->target_name, &how, errp);
    return c->target && check_target(c, errp);
}

/* --- the copy --- */

static bool new_target_is_zero(const Convert *c)
{
    BlockInfo info;

    if (c->args->no_create)
        return c->args->target_is_zero;
    block_info(c->target, &info);
    return !c->target->backing && info.zero_init;
}

static bool copy(Convert *c, GError **errp)
{
    const ConvertArgs *args = c->args;
    ImgProgress progress;
    ImgCopy job = {
        .sources = (BlockNode **)c->sources->pdata, .count = c->sources->len, .target = c->target, .size = c->size,
        .min_sparse = args->sparse, .rate = args->rate, .threads = (unsigned)args->threads, .compressed = args->compressed,
        .any_order = args->any_order, .offload = args->offload, .salvage = args->salvage,
        .target_is_zero = new_target_is_zero(c), .progress = &progress,
    };

    if (!img_cache_write_flags(args->base.cache, &job.write_flags, errp))
        return false;
    if (args->backing) /* what the source's backing file has, the target's has too */
        job.base = ((BlockNode *)g_ptr_array_index(c->sources, 0))->backing;
    img_progress_start(&progress, args->base.progress && !args->base.quiet, c->size);
    if (!img_copy(&job, errp))
        return false;
    img_progress_end(&progress);
    return img_flush(c->target, errp);
}

static bool check_sparse(ConvertArgs *args, GError **errp)
{
    if (args->offload && (args->compressed || args->sparse_text))
        return error_set_code(errp, VMM_ERROR_USAGE, "-C: the host copies what it does not look at; leave out %s",
                              args->compressed ? "-c" : "-S");
    if (!parse_size(args->sparse_text ? args->sparse_text : "4K", 1, &args->sparse) || args->sparse > MIB
        || args->sparse % BLOCK_SECTOR_SIZE)
        return error_set_code(errp, VMM_ERROR_USAGE, "-S: '%s' is not a size up to 1M, a multiple of 512, or 0", args->sparse_text);
    return true;
}

static bool check_args(ConvertArgs *args, GError **errp)
{
    unsigned flags;

    if (!img_cache_write_flags(args->base.cache, &flags, errp))
        return false;
    if (!check_sparse(args, errp))
        return false;
    if (args->backing && args->base.count > 2)
        return error_set_code(errp, VMM_ERROR_USAGE, "-B wants one source image only");
    if (args->backing && !args->backing_format)
        return error_set_code(errp, VMM_ERROR_USAGE, "-B: the format of the backing file is not given; say it with -F");
    if (args->target_is_zero && !args->no_create)
        return error_set_code(errp, VMM_ERROR_USAGE, "--target-is-zero is for images that are there (-n)");
    if (args->no_create && args->options)
        return error_set_code(errp, VMM_ERROR_USAGE, "-o is for new images, and -n writes into one that is there");
    return !args->target_image_opts || args->no_create
           || error_set_code(errp, VMM_ERROR_USAGE, "--target-image-opts is for images that are there (-n)");
}

static int run(void *opaque, GError **errp)
{
    ConvertArgs *args = opaque;
    Convert c = {.args = args};
    bool ok;

    if (img_wants_create_help(args->options)) {
        const BlockDriver *driver = img_driver(args->target_format, errp);
        if (driver)
            img_print_create_help(driver);
        return driver ? 0 : -1;
    }
    if (args->base.count < 2) {
        error_set_code(errp, VMM_ERROR_USAGE, "convert: something is missing; it takes: %s", img_convert.operands);
        return -1;
    }
    c.target_name = args->base.operands[args->base.count - 1];
    c.sources = g_ptr_array_new_with_free_func(free_node);
    ok = check_args(args, errp) && open_sources(&c, errp) && open_target(&c, errp) && copy(&c, errp);
    block_node_unref(c.target);
    g_ptr_array_free(c.sources, TRUE);
    return ok ? 0 : -1;
}

static const ImgOption options[] = {
    IMG_OPT_FORMAT,
    {'O', NULL, "FMT", IMG_STRING, offsetof(ConvertArgs, target_format), "the new image's format", "raw"},
    {'o', NULL, "OPTIONS", IMG_LIST, offsetof(ConvertArgs, options), "the format's: name=value,...; help lists them"},
    {'B', NULL, "FILE", IMG_STRING, offsetof(ConvertArgs, backing), "backing file of the new image, with the contents of the old one's"},
    {'F', NULL, "FMT", IMG_STRING, offsetof(ConvertArgs, backing_format), "its format"},
    {'c', NULL, NULL, IMG_FLAG, offsetof(ConvertArgs, compressed), "compress the clusters"},
    {'l', NULL, "SNAPSHOT", IMG_STRING, offsetof(ConvertArgs, snapshot), "an internal snapshot of the source, by id or name"},
    {'S', NULL, "SIZE", IMG_STRING, offsetof(ConvertArgs, sparse_text), "so many zeroes in a row become a hole; 0: everything is written; else 4K"},
    {'C', NULL, NULL, IMG_FLAG, offsetof(ConvertArgs, offload), "the host copies data where it can, or shares it"},
    {'n', NULL, NULL, IMG_FLAG, offsetof(ConvertArgs, no_create), "write into an image that is there"},
    {0, "target-is-zero", NULL, IMG_FLAG, offsetof(ConvertArgs, target_is_zero), "with -n: it has nothing but zeroes"},
    {'m', NULL, "N", IMG_NUMBER, offsetof(ConvertArgs, threads), "threads", "8", .min = 1, .max = 16},
    {'W', NULL, NULL, IMG_FLAG, offsetof(ConvertArgs, any_order), "write as it comes, not in order: faster, less tidy"},
    {'r', NULL, "RATE", IMG_SIZE, offsetof(ConvertArgs, rate), "at most so many bytes a second", "0"},
    {0, "salvage", NULL, IMG_FLAG, offsetof(ConvertArgs, salvage), "go on where the source cannot be read"},
    {0, "bitmaps", NULL, IMG_REFUSED, 0, "persistent bitmaps are not copied"},
    IMG_OPT_CACHE("unsafe"), IMG_OPT_SRC_CACHE('T'), IMG_OPT_IMAGE_OPTS,
    {0, "target-image-opts", NULL, IMG_FLAG, offsetof(ConvertArgs, target_image_opts), "with -n: TARGET is a list of -blockdev's options"},
    IMG_OPT_OBJECT, IMG_OPT_SHARE, IMG_OPT_PROGRESS, IMG_OPT_QUIET, IMG_OPT_END,
};

const ImgCommand img_convert = {
    "convert", "FILENAME... TARGET", "copies a disk into another image or format", options, sizeof(ConvertArgs), 0, 1000, 1, run,
};
