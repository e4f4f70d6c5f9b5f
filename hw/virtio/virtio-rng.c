/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-rng: random bytes for the guest from an "-object rng-*".
 * Source: virtio 1.2, 5.4 (entropy device).
 *
 * One queue, one buffer at a time: the source writes into the driver's memory and the buffer goes
 * back with what came, at least one byte. With max-bytes and period the guest gets no more than that
 * in each period; a source that fails is asked again after a second.
 *
 * Locking: machine_lock; the queue is served on the main loop.
 */
#include "core/bits.h"
#include "core/error.h"
#include "core/machine.h"
#include "core/rng.h"
#include "hw/virtio/virtio-devices.h"
#include "hw/virtio/virtio-pci.h"

#define DEVICE_ID     4
#define CLASS_CODE    0x00ff00 /* unclassified, as there is no class for this */
#define QUEUE_SIZE    8
#define REQUEST_BYTES 65536 /* asked of the source at once */
#define RETRY_NS      NS_PER_SEC

typedef struct VirtioRng {
    VirtioDevice vdev; /* first: see rng_of */
    RngRequest request;
    VirtqElement *pending; /* the buffer the request fills, or will fill when there is quota again */
    Timer timer;           /* the next period, or the next try */
    uint64_t quota;        /* bytes left in this period */

    /* Properties. */
    char *rng;
    uint64_t max_bytes;
    uint32_t period_ms;
} VirtioRng;

typedef struct VirtioRngPci {
    VirtioPci proxy;
    VirtioRng rng;
} VirtioRngPci;

static VirtioRng *rng_of(VirtioQueue *q)
{
    return (VirtioRng *)q->vdev;
}

/* q's lock held. Takes the next buffer if there is none, and asks the source for it. */
static void ask(VirtioRng *rng)
{
    Virtqueue *vq = &rng->vdev.queues[0].vq;

    while (!rng->pending && (rng->pending = virtqueue_pop(vq)) && !rng->pending->in_count) {
        virtqueue_push(vq, rng->pending, 0); /* no room: the driver's mistake, not worth more */
        rng->pending = NULL;
    }
    if (!rng->pending || rng_request_busy(&rng->request) || !rng->quota)
        return;
    if (rng->max_bytes != UINT64_MAX && !timer_pending(&rng->timer))
        timer_mod(&rng->timer, clock_get_ns(VMCLOCK_VIRTUAL) + rng->period_ms * NS_PER_MS);
    rng_request_submit(&rng->request, rng->pending->in[0].iov_base,
                       MIN(MIN(rng->pending->in[0].iov_len, REQUEST_BYTES), rng->quota));
}

static void rng_handle_queue(VirtioQueue *q)
{
    ask(rng_of(q));
}

static void rng_done(void *opaque, size_t len)
{
    VirtioRng *rng = opaque;
    VirtioQueue *q = &rng->vdev.queues[0];

    virtio_queue_lock(q);
    if (len) {
        if (rng->max_bytes != UINT64_MAX)
            rng->quota -= len;
        virtqueue_push(&q->vq, rng->pending, len);
        rng->pending = NULL;
        ask(rng);
    } else if (!timer_pending(&rng->timer)) {
        timer_mod(&rng->timer, clock_get_ns(VMCLOCK_VIRTUAL) + RETRY_NS);
    }
    virtio_queue_unlock(q);
}

static void timer_fired(void *opaque)
{
    VirtioRng *rng = opaque;

    rng->quota = rng->max_bytes;
    virtio_queue_lock(&rng->vdev.queues[0]);
    ask(rng);
    virtio_queue_unlock(&rng->vdev.queues[0]);
}

static void rng_queue_reset(VirtioQueue *q)
{
    VirtioRng *rng = rng_of(q);

    rng_request_cancel(&rng->request);
    if (rng->pending)
        virtqueue_drop(&q->vq, rng->pending);
    rng->pending = NULL;
}

static void rng_reset(VirtioDevice *vdev)
{
    VirtioRng *rng = (VirtioRng *)vdev;

    timer_del(&rng->timer);
    rng->quota = rng->max_bytes;
}

static void rng_get_config(VirtioDevice *vdev, uint8_t *config)
{
}

static const VirtioDeviceOps rng_ops = {
    .device_id = DEVICE_ID,
    .get_config = rng_get_config,
    .handle_queue = rng_handle_queue,
    .queue_reset = rng_queue_reset,
    .reset = rng_reset,
};

/* Without rng= the guest gets the host's getrandom(2). */
static Rng *find_source(VirtioRng *rng, Device *dev, GError **errp)
{
    g_autofree char *id = g_strdup(rng->rng);

    for (unsigned n = 0; !id || (!rng->rng && object_find(dev->machine, NULL, id)); n++) {
        g_free(id);
        id = g_strdup_printf("%s-rng%u", device_name(dev), n);
    }
    if (!rng->rng) {
        Object *obj = object_new(&rng_builtin_type, id);
        if (!object_add(dev->machine, obj, errp)) {
            object_free(obj);
            return NULL;
        }
    }
    Rng *source = rng_find(dev->machine, id);
    if (!source)
        error_set(errp, "rng=%s: there is no random source of this id; add -object rng-random,id=%s", id, id);
    return source;
}

static bool rng_realize(Device *dev, GError **errp)
{
    VirtioRngPci *pci = (VirtioRngPci *)dev;
    VirtioRng *rng = &pci->rng;
    const VirtioInit init = {
        .ops = &rng_ops,
        .queue_count = 1,
        .queue_size = QUEUE_SIZE,
        .element_size = sizeof(VirtqElement),
    };
    Rng *source;

    if (!rng->period_ms || !rng->max_bytes)
        return error_set(errp, "max-bytes=0 or period=0 would give the guest nothing; leave them out for no limit");
    source = find_source(rng, dev, errp);
    if (!source || !virtio_pci_realize(&pci->proxy, &rng->vdev, &init, CLASS_CODE, errp))
        return false;
    rng->quota = rng->max_bytes;
    rng_request_init(&rng->request, source, NULL, rng_done, rng);
    timer_init(&rng->timer, event_loop_main(), VMCLOCK_VIRTUAL, timer_fired, rng);
    return true;
}

static void rng_unrealize(Device *dev)
{
    VirtioRngPci *pci = (VirtioRngPci *)dev;

    virtio_pci_unrealize(&pci->proxy);
    timer_release(&pci->rng.timer);
    rng_request_release(&pci->rng.request);
}

static void rng_pci_reset(Device *dev)
{
    virtio_pci_reset(&((VirtioRngPci *)dev)->proxy);
}

#define RNG_PROPS(LEGACY) \
    VIRTIO_PCI_PROPS(LEGACY, "off"), \
    VIRTIO_DEVICE_PROPS(VirtioRngPci, rng.vdev), \
    {"rng", PROP_STRING, offsetof(VirtioRngPci, rng.rng), NULL, "id of the random source; default: getrandom(2)", NULL, 0, 0}, \
    {"max-bytes", PROP_U64, offsetof(VirtioRngPci, rng.max_bytes), "0xffffffffffffffff", "bytes in each period at most", NULL, 0, 0}, \
    {"period", PROP_U32, offsetof(VirtioRngPci, rng.period_ms), "65536", "length of the period in milliseconds", NULL, 0, 0}, \
    {0}

static const Property rng_props[] = { RNG_PROPS("auto") };
static const Property rng_transitional_props[] = { RNG_PROPS("off") };
static const Property rng_non_transitional_props[] = { RNG_PROPS("on") };

#define RNG_TYPE(NAME, DESC, PROPS) \
    { \
        .name = NAME, .desc = DESC, .bus = "pci", .instance_size = sizeof(VirtioRngPci), .user_creatable = true, \
        .props = PROPS, .realize = rng_realize, .unrealize = rng_unrealize, .reset = rng_pci_reset \
    }

const DeviceType virtio_rng_pci_type = RNG_TYPE("virtio-rng-pci", "random number source", rng_props);
const DeviceType virtio_rng_pci_transitional_type =
    RNG_TYPE("virtio-rng-pci-transitional", "random number source, legacy and modern", rng_transitional_props);
const DeviceType virtio_rng_pci_non_transitional_type =
    RNG_TYPE("virtio-rng-pci-non-transitional", "random number source, modern", rng_non_transitional_props);
