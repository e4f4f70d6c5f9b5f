/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the virtqueues: the first byte chooses layout and features, the rest is a program of a
 * hostile driver's stores into ring and tables, with the device's calls in between.
 */
#include <stdlib.h>
#include <string.h>

#include "core/bits.h"
#include "core/thread.h"
#include "tests/unit/virtio-rig.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define OUT_MAX VIRTQUEUE_MAX_SIZE

static Rig rig;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    core_init();
    rig_init(&rig, 0, 16);
    return 0;
}

/* Writes up to 16 bytes of the input at a 16-bit offset into the ring. */
static size_t store(const uint8_t *data, size_t len)
{
    size_t n = MIN(len > 2 ? len - 2 : 0, 16);
    uint32_t at = len > 2 ? data[0] | data[1] << 8 : 0;

    memcpy(rig.ram->host + RIG_RING + at, data + MIN(len, 2), n);
    return n + 2;
}

static void use(VirtqElement *e)
{
    for (unsigned i = 0; i < e->in_count; i++)
        memset(e->in[i].iov_base, 0xa5, MIN(e->in[i].iov_len, 16));
    for (unsigned i = 0; i < e->out_count; i++)
        (void)*(volatile uint8_t *)e->out[i].iov_base;
    if (e->out_bytes + e->in_bytes > UINT64_C(1) << 32 || e->out_count + e->in_count > VIRTQUEUE_MAX_VECTORS)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static VirtqElement *out[OUT_MAX];
    unsigned count = 0;

    if (!len)
        return 0;
    rig.features = (data[0] & 1 ? BIT(VIRTIO_F_RING_PACKED) : 0) | (data[0] & 2 ? BIT(VIRTIO_F_EVENT_IDX) : 0) |
                   (data[0] & 4 ? BIT(VIRTIO_F_INDIRECT_DESC) : 0);
    rig.config.size = 16 - (data[0] & 1 ? data[0] >> 4 : 0);
    rig_restart(&rig);
    for (size_t i = 1; i < len; i++) {
        switch (data[i] & 7) {
        case 0 ... 2:
            i += store(data + i + 1, len - i - 1);
            break;
        case 3 ... 4:
            if (count < OUT_MAX && (out[count] = virtqueue_pop(&rig.vq)))
                use(out[count++]);
            if (count > 16)
                abort();
            break;
        case 5:
            if (count) {
                VirtqElement *e = out[data[i] % count];
                out[data[i] % count] = out[count - 1];
                count--;
                virtqueue_push(&rig.vq, e, data[i] & 8 ? e->in_bytes : UINT64_MAX);
            }
            break;
        case 6:
            virtqueue_flush(&rig.vq);
            break;
        default:
            virtqueue_set_notify(&rig.vq, data[i] & 8);
        }
    }
    while (count)
        virtqueue_drop(&rig.vq, out[--count]);
    return 0;
}
