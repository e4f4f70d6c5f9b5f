/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The character backend that takes everything and gives nothing.
 */
#include "src/chardev/chardev-int.h"

static size_t null_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return len;
}

static const ChardevOps null_ops = {
    .kind = "null",
    .instance_size = sizeof(Chardev),
    .write = null_write,
};

Chardev *chardev_new_null(const char *id, GError **errp)
{
    return chardev_new(&null_ops, id, errp);
}
