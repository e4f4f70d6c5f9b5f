/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check: is the image consistent, and what can be repaired of it.
 *
 * Exit status: 0 nothing found, 1 the check failed, 2 corruptions, 3 leaks only, 63 the format has no check.
 */
#include <stdio.h>

#include "core/error.h"
#include "src/img/img.h"

enum { STATUS_CLEAN = 0, STATUS_FAILED = 1, STATUS_CORRUPT = 2, STATUS_LEAKS = 3, STATUS_NO_CHECK = 63 };
enum { REPAIR_NONE, REPAIR_LEAKS, REPAIR_ALL };

typedef struct CheckArgs {
    ImgArgs base;
    int repair;
} CheckArgs;

static const char *const repair_names[] = {"none", "leaks", "all", NULL};

static void print_finding(void *opaque, const char *line)
{
    fprintf(stderr, "%s\n", line);
}

static void print_json(BlockNode *node, const BlockCheck *c)
{
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {
        {"image-end-offset", c->image_end_offset}, {"corruptions", c->corruptions}, {"leaks", c->leaks},
        {"corruptions-fixed", c->corruptions_fixed}, {"leaks-fixed", c->leaks_fixed}, {"total-clusters", c->total_clusters},
        {"allocated-clusters", c->allocated_clusters}, {"fragmented-clusters", c->fragmented_clusters},
        {"compressed-clusters", c->compressed_clusters},
    };
    json_t *out = json_pack("{s:s, s:s, s:I}", "filename", node->filename, "format", node->driver->name, "check-errors",
                            (json_int_t)c->check_errors);

    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (fields[i].value)
            json_object_set_new(out, fields[i].name, json_integer((json_int_t)fields[i].value));
    }
    img_print_json(out);
}

static void print_human(const BlockCheck *c)
{
    if (!c->corruptions && !c->leaks && !c->check_errors)
        puts("No errors were found on the image.");
    if (c->corruptions)
        printf("\n%" G_GUINT64_FORMAT " errors were found on the image.\nData may be corrupted, or further writes to the image may "
               "corrupt it.\n", c->corruptions);
    if (c->leaks)
        printf("\n%" G_GUINT64_FORMAT " leaked clusters were found on the image.\nThis means waste of disk space, but no harm to "
               "data.\n", c->leaks);
    if (c->check_errors)
        printf("\n%" G_GUINT64_FORMAT " internal errors have occurred during the check.\n", c->check_errors);
    if (c->total_clusters && c->allocated_clusters) {
        double percent = 100.0 / (double)c->allocated_clusters;
        printf("%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT " = %.2f%% allocated, %.2f%% fragmented, %.2f%% compressed clusters\n",
               c->allocated_clusters, c->total_clusters, 100.0 * (double)c->allocated_clusters / (double)c->total_clusters,
               (double)c->fragmented_clusters * percent, (double)c->compressed_clusters * percent);
    }
    if (c->image_end_offset)
        printf("Image end offset: %" G_GUINT64_FORMAT "\n", c->image_end_offset);
}

static bool check_once(BlockNode *node, const CheckArgs *args, BlockCheck *result, unsigned fix, GError **errp)
{
    *result = (BlockCheck){0};
    if (args->base.output == IMG_HUMAN && !args->base.quiet)
        result->report = print_finding;
    return node->driver->check(node, result, fix, errp);
}

static bool check(BlockNode *node, const CheckArgs *args, BlockCheck *result, GError **errp)
{
    unsigned fix = args->repair == REPAIR_ALL ? BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS : args->repair == REPAIR_LEAKS ? BLOCK_FIX_LEAKS : 0;

    if (!check_once(node, args, result, fix, errp))
        return false;
    uint64_t leaks = result->leaks_fixed, corruptions = result->corruptions_fixed;
    if (!leaks && !corruptions)
        return true;
    if (args->base.output == IMG_HUMAN && !args->base.quiet)
        printf("The following inconsistencies were found and repaired:\n\n    %" G_GUINT64_FORMAT " leaked clusters\n    %"
               G_GUINT64_FORMAT " corruptions\n\nDouble checking the fixed image now...\n", leaks, corruptions);
    if (!check_once(node, args, result, 0, errp))
        return false;
    result->leaks_fixed = leaks;
    result->corruptions_fixed = corruptions;
    return true;
}

static int run(void *opaque, GError **errp)
{
    const CheckArgs *args = opaque;
    unsigned flags = BLOCK_OPEN_NO_BACKING | BLOCK_OPEN_CHECK | (args->repair ? BLOCK_OPEN_RDWR : 0);
    g_autoptr(BlockNode) node = img_open_operand(&args->base, flags, errp);
    BlockCheck result;

    if (!node)
        return -1;
    if (!node->driver->check) {
        error_set(errp, "image '%s': the format '%s' has nothing to check", node->filename, node->driver->name);
        return STATUS_NO_CHECK;
    }
    if (!check(node, args, &result, errp))
        return -1;
    if (args->base.output == IMG_JSON)
        print_json(node, &result);
    else if (!args->base.quiet)
        print_human(&result);
    if (result.check_errors)
        return STATUS_FAILED;
    return result.corruptions ? STATUS_CORRUPT : result.leaks ? STATUS_LEAKS : STATUS_CLEAN;
}

static const ImgOption options[] = {
    IMG_OPT_FORMAT, IMG_OPT_IMAGE_OPTS, IMG_OPT_OUTPUT,
    {'r', "repair", "WHAT", IMG_CHOICE, offsetof(CheckArgs, repair), "leaks: gives lost space back; all: mends what can be mended", "none",
     repair_names},
    IMG_OPT_SRC_CACHE('T'), IMG_OPT_SHARE, IMG_OPT_OBJECT, IMG_OPT_QUIET, IMG_OPT_END,
};

const ImgCommand img_check = {
    "check", "FILENAME", "looks for inconsistencies", options, sizeof(CheckArgs), 1, 1, STATUS_FAILED, run,
};
