/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of creation changed later: version 2 to 3, lazy refcounts, the backing file's name, the size.
 *
 * All wishes are looked at before the first one is fulfilled.
 */
#include <string.h>

#include "core/error.h"
#include "src/block/qcow2.h"

typedef struct Amend {
    Qcow2 *q;
    Qcow2CreateOptions wanted;
    uint64_t size;
    bool backing;
    GError **errp;
} Amend;

static bool take_option(const char *path, const char *value, void *opaque)
{
    static const char *const possible[] = {"compat", "lazy_refcounts", "backing_file", "backing_fmt", NULL};
    Amend *a = opaque;

    if (strcmp(path, "size") == 0)
        return parse_size(value, 1, &a->size) || error_set_code(a->errp, VMM_ERROR_USAGE, "size=%s is no size", value);
    if (!property_find(qcow2_create_props, path) || g_strv_contains(possible, path)) {
        a->backing |= g_str_has_prefix(path, "backing_");
        return property_set(qcow2_create_props, &a->wanted, "qcow2", path, value, a->errp);
    }
    return error_set_code(a->errp, VMM_ERROR_USAGE, "%s of '%s' cannot be changed; 'vmm-img convert -o %s=...' makes a copy that has it", path,
                          a->q->node.filename, path);
}

static bool check(const Amend *a, GError **errp)
{
    bool v3 = a->wanted.compat & 1;

    if (!v3 && a->q->version > 2)
        return error_set_code(errp, VMM_ERROR_USAGE, "'%s' cannot go back to compat=0.10; 'vmm-img convert -o compat=0.10' makes a copy",
                              a->q->node.filename);
    if (a->wanted.lazy_refcounts && !v3)
        return error_set_code(errp, VMM_ERROR_USAGE, "lazy_refcounts needs compat=1.1; change both");
    return true;
}

static bool fulfil(Amend *a, GError **errp)
{
    Qcow2 *q = a->q;
    uint64_t compatible = a->wanted.lazy_refcounts ? QCOW_COMPAT_LAZY_REFCOUNTS : 0;
    int ret = 0;

    if (a->wanted.compat & 1 && q->version < 3)
        ret = qcow2_header_upgrade(q);
    if (ret == 0 && compatible != q->compatible) {
        q->compatible = compatible;
        ret = qcow2_header_put64(q, HDR_COMPATIBLE, compatible);
    }
    if (ret < 0)
        return error_set_errno(errp, -ret, "cannot write the header of '%s'", q->node.filename);
    if (a->backing && !qcow2_header_set_backing(q, a->wanted.backing_file, a->wanted.backing_format, errp))
        return false;
    return a->size == block_node_size(&q->node) || qcow2_truncate(&q->node, a->size, BLOCK_PREALLOC_OFF, errp);
}

bool qcow2_amend(BlockNode *node, KvNode *options, GError **errp)
{
    Qcow2 *q = qcow2_of(node);
    Amend a = {
        .q = q, .size = block_node_size(node), .errp = errp,
        .wanted = {.compat = q->version > 2, .lazy_refcounts = q->compatible & QCOW_COMPAT_LAZY_REFCOUNTS,
                   .backing_file = g_strdup(q->backing_file), .backing_format = g_strdup(q->backing_format)},
    };
    bool ok = keyval_foreach(options, take_option, &a) && check(&a, errp) && fulfil(&a, errp);

    property_release(qcow2_create_props, &a.wanted);
    return ok;
}
