/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk: the disk's configuration, its properties and device types.
 * Source: virtio 1.2, 5.2.3 to 5.2.5.
 *
 * The write cache: a driver that agrees on CONFIG_WCE switches it (writeback); one that agrees on FLUSH
 * alone gets it as the user set it; one that knows neither gets a disk that writes through.
 *
 * Locking: machine_lock.
 */
#include <inttypes.h>

#include "core/bootorder.h"
#include "core/bits.h"
#include "core/error.h"
#include "core/machine.h"
#include "hw/virtio/virtio-devices.h"
#include "hw/virtio/virtio-pci.h"
#include "virtio-blk.h"

#define DEVICE_ID 2

/* struct virtio_blk_config */
enum {
    CONFIG_CAPACITY = 0,
    CONFIG_SEG_MAX = 12,
    CONFIG_CYLINDERS = 16,
    CONFIG_HEADS = 18,
    CONFIG_SECTORS = 19,
    CONFIG_BLK_SIZE = 20,
    CONFIG_PHYSICAL_BLOCK_EXP = 24,
    CONFIG_ALIGNMENT_OFFSET = 25,
    CONFIG_MIN_IO_SIZE = 26,
    CONFIG_OPT_IO_SIZE = 28,
    CONFIG_WRITEBACK = 32,
    CONFIG_NUM_QUEUES = 34,
    CONFIG_MAX_DISCARD_SECTORS = 36,
    CONFIG_MAX_DISCARD_SEG = 40,
    CONFIG_DISCARD_ALIGNMENT = 44,
    CONFIG_MAX_WRITE_ZEROES_SECTORS = 48,
    CONFIG_MAX_WRITE_ZEROES_SEG = 52,
    CONFIG_WRITE_ZEROES_MAY_UNMAP = 56,
    CONFIG_SIZE = 60,
};

#define QUEUES_AUTO UINT32_MAX
#define QUEUES_AUTO_MAX 64 /* more than that many queues nobody asked for only cost eventfds */

/* What each chain needs beside its data: header and status. */
#define CHAIN_OVERHEAD 2

typedef struct VirtioBlkPci {
    VirtioPci proxy;
    VirtioBlk blk;
    int32_t bootindex;
} VirtioBlkPci;

static VirtioBlk *blk_of(VirtioDevice *vdev)
{
    return (VirtioBlk *)vdev;
}

/* --- configuration --- */

static void put_topology(const VirtioBlk *blk, uint8_t *config)
{
    store_le(config + CONFIG_BLK_SIZE, blk->conf.logical_block_size, 4);
    config[CONFIG_PHYSICAL_BLOCK_EXP] = __builtin_ctzll(blk->conf.physical_block_size / blk->conf.logical_block_size);
    store_le(config + CONFIG_MIN_IO_SIZE, MIN(blk->conf.min_io_size / blk->conf.logical_block_size, UINT16_MAX), 2);
    store_le(config + CONFIG_OPT_IO_SIZE, blk->conf.opt_io_size / blk->conf.logical_block_size, 4);
}

static uint64_t discard_granularity(const VirtioBlk *blk)
{
    return blk->conf.discard_granularity ? blk->conf.discard_granularity : blk->conf.logical_block_size;
}

static void blk_get_config(VirtioDevice *vdev, uint8_t *config)
{
    const VirtioBlk *blk = blk_of(vdev);

    store_le(config + CONFIG_CAPACITY, blk_size(blk->conf.blk) / BLOCK_SECTOR_SIZE, 8);
    store_le(config + CONFIG_SEG_MAX, blk->queue_size - CHAIN_OVERHEAD, 4);
    store_le(config + CONFIG_CYLINDERS, blk->conf.cylinders, 2);
    config[CONFIG_HEADS] = blk->conf.heads;
    config[CONFIG_SECTORS] = blk->conf.sectors;
    put_topology(blk, config);
    config[CONFIG_WRITEBACK] = blk_write_cache(blk->conf.blk);
    store_le(config + CONFIG_NUM_QUEUES, vdev->queue_count, 2);
    store_le(config + CONFIG_MAX_DISCARD_SECTORS, blk->max_discard_sectors, 4);
    store_le(config + CONFIG_MAX_DISCARD_SEG, 1, 4);
    store_le(config + CONFIG_DISCARD_ALIGNMENT, discard_granularity(blk) / BLOCK_SECTOR_SIZE, 4);
    store_le(config + CONFIG_MAX_WRITE_ZEROES_SECTORS, blk->max_write_zeroes_sectors, 4);
    store_le(config + CONFIG_MAX_WRITE_ZEROES_SEG, 1, 4);
    config[CONFIG_WRITE_ZEROES_MAY_UNMAP] = 1;
}

static void blk_set_config(VirtioDevice *vdev, uint32_t offset, unsigned size, uint64_t value)
{
    if (offset == CONFIG_WRITEBACK && virtio_has(vdev, VIRTIO_BLK_F_CONFIG_WCE))
        blk_set_write_cache(blk_of(vdev)->conf.blk, value & 1);
}

static void blk_features_set(VirtioDevice *vdev)
{
    VirtioBlk *blk = blk_of(vdev);

    blk_set_write_cache(blk->conf.blk, blk->write_cache && (virtio_has(vdev, VIRTIO_BLK_F_FLUSH) ||
                                                       virtio_has(vdev, VIRTIO_BLK_F_CONFIG_WCE)));
}

static void blk_device_reset(VirtioDevice *vdev)
{
    blk_reset(blk_of(vdev)->conf.blk);
}

static const VirtioDeviceOps blk_ops = {
    .device_id = DEVICE_ID,
    .config_size = CONFIG_SIZE,
    .get_config = blk_get_config,
    .set_config = blk_set_config,
    .features_set = blk_features_set,
    .handle_queue = virtio_blk_handle_queue,
    .serve_here = virtio_blk_serve_here,
    .reset = blk_device_reset,
};

static void resized(void *opaque)
{
    virtio_config_changed(&((VirtioBlk *)opaque)->vdev);
}

static const BlockDeviceOps block_ops = { .resized = resized };

/* --- properties --- */

/* "auto" leaves what -drive said; the others are BlockErrorPolicy plus one. */
static const char *const error_policy_names[] = { "auto", "report", "ignore", "stop", "enospc", NULL };

static bool check_queues(VirtioBlk *blk, unsigned cpus, GError **errp)
{
    if (blk->num_queues == QUEUES_AUTO)
        blk->num_queues = MIN(cpus, QUEUES_AUTO_MAX);
    if (!blk->num_queues || blk->num_queues > VIRTIO_QUEUES_MAX)
        return error_set(errp, "num-queues=%u is not 1 to %u", blk->num_queues, VIRTIO_QUEUES_MAX);
    if (blk->queue_size <= CHAIN_OVERHEAD || blk->queue_size > VIRTQUEUE_MAX_SIZE ||
        blk->queue_size & (blk->queue_size - 1))
        return error_set(errp, "queue-size=%u is not a power of two from 4 to %u", blk->queue_size,
                         VIRTQUEUE_MAX_SIZE);
    return true;
}

static bool check(VirtioBlk *blk, Device *dev, GError **errp)
{
    if (!block_conf_check(&blk->conf, false, false, errp))
        return false;
    if (blk->iothread_id && !(blk->iothread = iothread_find(dev->machine, blk->iothread_id)))
        return error_set(errp, "iothread=%s: there is none of this id; add -object iothread,id=%s", blk->iothread_id,
                         blk->iothread_id);
    return check_queues(blk, dev->machine->smp.cpus, errp);
}

static uint64_t offered(const VirtioBlk *blk)
{
    return BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_GEOMETRY) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
           BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_TOPOLOGY) |
           (blk_is_read_only(blk->conf.blk) ? BIT(VIRTIO_BLK_F_RO) : 0) |
           (blk->config_wce ? BIT(VIRTIO_BLK_F_CONFIG_WCE) : 0) |
           (blk->num_queues > 1 ? BIT(VIRTIO_BLK_F_MQ) : 0) | (blk->discard ? BIT(VIRTIO_BLK_F_DISCARD) : 0) |
           (blk->write_zeroes ? BIT(VIRTIO_BLK_F_WRITE_ZEROES) : 0);
}

static void apply_policies(VirtioBlk *blk)
{
    BlockErrorPolicy on_read = blk_error_policy(blk->conf.blk, false), on_write = blk_error_policy(blk->conf.blk, true);

    if (blk->on_read_error)
        on_read = (BlockErrorPolicy)(blk->on_read_error - 1);
    if (blk->on_write_error)
        on_write = (BlockErrorPolicy)(blk->on_write_error - 1);
    blk_set_error_policy(blk->conf.blk, on_read, on_write);
    blk->write_cache = blk_write_cache(blk->conf.blk);
}

/* --- life --- */

static char *boot_path(const VirtioBlkPci *pci)
{
    g_autofree char *function = pci_boot_path(&pci->proxy.pci);

    return g_strdup_printf("%s/disk@0,0", function);
}

static bool join_boot_order(VirtioBlkPci *pci, GError **errp)
{
    g_autofree char *path = boot_path(pci);

    return boot_order_add(pci->proxy.pci.dev.machine, pci->bootindex, path, errp);
}

static void leave_boot_order(VirtioBlkPci *pci)
{
    g_autofree char *path = boot_path(pci);

    boot_order_remove(pci->proxy.pci.dev.machine, path);
}

static bool blk_realize(Device *dev, GError **errp)
{
    VirtioBlkPci *pci = (VirtioBlkPci *)dev;
    VirtioBlk *blk = &pci->blk;

    if (!check(blk, dev, errp))
        return false;
    const VirtioInit init = {
        .ops = &blk_ops,
        .features = offered(blk),
        .queue_count = blk->num_queues,
        .queue_size = blk->queue_size,
        .element_size = virtio_blk_request_size,
        .loop = blk->iothread ? iothread_loop(blk->iothread) : NULL,
    };
    if (!virtio_pci_realize(&pci->proxy, &blk->vdev, &init, PCI_CLASS_STORAGE_SCSI, errp))
        return false;
    if (!join_boot_order(pci, errp)) {
        virtio_pci_unrealize(&pci->proxy);
        return false;
    }
    if (blk->iothread)
        object_hold(iothread_object(blk->iothread));
    apply_policies(blk);
    blk_set_device_ops(blk->conf.blk, &block_ops, blk);
    return true;
}

static void blk_unrealize(Device *dev)
{
    VirtioBlkPci *pci = (VirtioBlkPci *)dev;

    blk_set_device_ops(pci->blk.conf.blk, NULL, NULL);
    leave_boot_order(pci);
    virtio_pci_unrealize(&pci->proxy);
    if (pci->blk.iothread)
        object_release(iothread_object(pci->blk.iothread));
}

static void blk_pci_reset(Device *dev)
{
    virtio_pci_reset(&((VirtioBlkPci *)dev)->proxy);
}

#define BLK(MEMBER) offsetof(VirtioBlkPci, blk.MEMBER)

#define BLK_PROPS(LEGACY) \
    VIRTIO_PCI_PROPS(LEGACY, "off"), \
    VIRTIO_DEVICE_PROPS(VirtioBlkPci, blk.vdev), \
    BLOCK_CONF_PROPERTIES(VirtioBlkPci, blk.conf), \
    BOOTINDEX_PROP(VirtioBlkPci, bootindex), \
    {"iothread", PROP_STRING, BLK(iothread_id), NULL, "id of the I/O thread that serves the queues", NULL, 0, 0}, \
    {"serial", PROP_STRING, BLK(serial), NULL, "serial number, 20 characters", NULL, 0, 0}, \
    {"num-queues", PROP_U32, BLK(num_queues), "0xffffffff", "request queues; default: one a vCPU", NULL, 0, 0}, \
    {"queue-size", PROP_U32, BLK(queue_size), "256", "entries of a queue", NULL, 0, 0}, \
    {"config-wce", PROP_BOOL, BLK(config_wce), "on", "the guest may switch the write cache", NULL, 0, 0}, \
    {"discard", PROP_BOOL, BLK(discard), "on", "offer discard", NULL, 0, 0}, \
    {"max-discard-sectors", PROP_U32, BLK(max_discard_sectors), "4194303", "sectors of a discard at most", NULL, 0, 0}, \
    {"write-zeroes", PROP_BOOL, BLK(write_zeroes), "on", "offer write zeroes", NULL, 0, 0}, \
    {"max-write-zeroes-sectors", PROP_U32, BLK(max_write_zeroes_sectors), "4194303", \
     "sectors of a write zeroes at most", NULL, 0, 0}, \
    {"request-merging", PROP_BOOL, BLK(request_merging), "on", "neighbouring requests become one", NULL, 0, 0}, \
    {"rerror", PROP_ENUM, BLK(on_read_error), "auto", "on a read error; auto: as the drive says", \
     error_policy_names, 0, 0}, \
    {"werror", PROP_ENUM, BLK(on_write_error), "auto", "on a write error; auto: as the drive says", \
     error_policy_names, 0, 0}, \
    {0}

static const Property blk_props[] = { BLK_PROPS("auto") };
static const Property blk_transitional_props[] = { BLK_PROPS("off") };
static const Property blk_non_transitional_props[] = { BLK_PROPS("on") };

#define BLK_TYPE(NAME, DESC, PROPS) \
    { \
        .name = NAME, .desc = DESC, .bus = "pci", .instance_size = sizeof(VirtioBlkPci), .user_creatable = true, \
        .props = PROPS, .realize = blk_realize, .unrealize = blk_unrealize, .reset = blk_pci_reset \
    }

const DeviceType virtio_blk_pci_type = BLK_TYPE("virtio-blk-pci", "virtio disk", blk_props);
const DeviceType virtio_blk_pci_transitional_type =
    BLK_TYPE("virtio-blk-pci-transitional", "virtio disk, legacy and modern", blk_transitional_props);
const DeviceType virtio_blk_pci_non_transitional_type =
    BLK_TYPE("virtio-blk-pci-non-transitional", "virtio disk, modern", blk_non_transitional_props);
