/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a device touches guest RAM; the only way.
 *
 * DMA reaches RAM only: a range that is not RAM throughout (ROM counts for reads) is a master
 * abort, the call returns false and nothing was transferred. Every address and length that came
 * from the guest is checked here; lengths are bounded by the caller's protocol.
 *
 * Threads: any RCU-registered thread, no lock. Every write tells the accelerator (ram_written).
 */
#ifndef CORE_DMA_H
#define CORE_DMA_H

#include "core/memory.h"

typedef enum DmaDirection {
    DMA_TO_DEVICE,   /* the device reads guest RAM */
    DMA_FROM_DEVICE, /* the device writes guest RAM */
} DmaDirection;

bool dma_read(AddressSpace *as, uint64_t addr, void *buf, uint64_t len);
bool dma_write(AddressSpace *as, uint64_t addr, const void *buf, uint64_t len);
bool dma_fill(AddressSpace *as, uint64_t addr, uint8_t byte, uint64_t len);

/*
 * A host pointer to RAM at addr, for payload only (rings and headers are copied with dma_read).
 * *len is cut to what is contiguous. NULL: master abort. Each map is ended by dma_unmap with the
 * bytes really written. RAM blocks live as long as the machine, so the pointer holds until then.
 */
void *dma_map(AddressSpace *as, uint64_t addr, uint64_t *len, DmaDirection direction);
void dma_unmap(AddressSpace *as, uint64_t addr, uint64_t written, DmaDirection direction);

#endif
