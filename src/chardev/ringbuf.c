/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A character backend that keeps the last bytes written, until somebody reads them.
 *
 * Locking: machine_lock.
 */
#include <string.h>

#include "core/error.h"
#include "src/chardev/chardev-int.h"

#define MAX_SIZE (64u << 20)

typedef struct RingBuf {
    Chardev chr;
    uint8_t *data;
    size_t size; /* a power of two */
    /* Counts of bytes, which wrap; written - taken <= size. */
    size_t written, taken;
} RingBuf;

static size_t ringbuf_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    RingBuf *ring = (RingBuf *)chr;

    for (size_t i = 0; i < len; i++)
        ring->data[ring->written++ & (ring->size - 1)] = buf[i];
    if (ring->written - ring->taken > ring->size)
        ring->taken = ring->written - ring->size;
    return len;
}

static void ringbuf_release(Chardev *chr)
{
    g_free(((RingBuf *)chr)->data);
}

static const ChardevOps ringbuf_ops = {
    .kind = "ringbuf",
    .instance_size = sizeof(RingBuf),
    .write = ringbuf_write,
    .release = ringbuf_release,
};

bool chardev_is_ringbuf(const Chardev *chr)
{
    return chr->ops == &ringbuf_ops;
}

size_t chardev_ringbuf_read(Chardev *chr, uint8_t *buf, size_t len)
{
    RingBuf *ring = (RingBuf *)chr;
    size_t n = 0;

    g_assert(chardev_is_ringbuf(chr));
    while (n < len && ring->taken != ring->written)
        buf[n++] = ring->data[ring->taken++ & (ring->size - 1)];
    return n;
}

Chardev *chardev_new_ringbuf(const char *id, uint64_t size, GError **errp)
{
    if (!size || (size & (size - 1)) || size > MAX_SIZE) {
        error_set_code(errp, VMM_ERROR_USAGE, "size=%" G_GUINT64_FORMAT " is not a power of two up to 64M", size);
        return NULL;
    }
    RingBuf *ring = (RingBuf *)chardev_new(&ringbuf_ops, id, errp);
    if (ring) {
        ring->data = g_malloc(size);
        ring->size = size;
    }
    return (Chardev *)ring;
}
