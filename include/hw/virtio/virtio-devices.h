/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio devices a user may add, for hw/devices.c. NAME is both interfaces where the bus allows,
 * NAME-transitional both, NAME-non-transitional the modern one only.
 */
#ifndef HW_VIRTIO_VIRTIO_DEVICES_H
#define HW_VIRTIO_VIRTIO_DEVICES_H

#include "core/device.h"

extern const DeviceType virtio_blk_pci_type, virtio_blk_pci_transitional_type, virtio_blk_pci_non_transitional_type;
extern const DeviceType virtio_rng_pci_type, virtio_rng_pci_transitional_type, virtio_rng_pci_non_transitional_type;

#endif
