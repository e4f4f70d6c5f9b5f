/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory-region tree, address spaces and their flat views.
 *
 * A MemoryRegion is RAM, ROM, I/O (ops), an alias of part of another region, or a container.
 * Subregions sit at an offset with a priority; where they overlap, the higher priority wins, then
 * the later added. An AddressSpace has a root region and publishes, through RCU, an immutable
 * FlatView: sorted, disjoint ranges, each one region's part.
 *
 *     tree change (machine_lock) --> transaction commit --> new FlatView --> rcu publish
 *                                                       \-> listeners: del, add (old vs new)
 *     reader (any thread): rcu_read_lock, flat view, binary search or last hit, access
 *
 * Threads: tree changes and listeners' registration need machine_lock; address_space_rw and the
 * lookups may be called on any RCU-registered thread (core/thread.h registers them) and take
 * machine_lock themselves around handlers of regions that are not lockless.
 *
 * Addresses are guest-physical (or port numbers), at most 52 bits; sizes are in bytes, at most 2^52.
 */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define MEMORY_SPACE_SIZE (UINT64_C(1) << 52)
#define IO_SPACE_SIZE (UINT64_C(1) << 16)

typedef struct MemoryRegion MemoryRegion;
typedef struct AddressSpace AddressSpace;
typedef struct FlatView FlatView;
typedef struct RamBlock RamBlock;

/* What became of an access. A decode error read as all ones; writes were dropped. */
typedef enum MemTxResult {
    MEM_TX_OK,
    MEM_TX_DECODE_ERROR, /* nothing there */
    MEM_TX_ACCESS_ERROR, /* the region does not allow this size or alignment, or is read-only */
} MemTxResult;

/* Access sizes in bytes, powers of two up to 8. All zero means 1..4, unaligned not allowed. */
typedef struct AccessSizes {
    uint8_t min;
    uint8_t max;
    bool unaligned;
} AccessSizes;

typedef struct MemoryRegionOps {
    /* offset is relative to the region; value uses the low size bytes. Called with machine_lock
     * held unless lockless. */
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
    /* What the bus lets through. A larger access is split into max-sized ones; a smaller or (unless
     * unaligned) misaligned one is refused: reads give all ones, writes are dropped. */
    AccessSizes valid;
    /* What the handlers take; all zero: the same as valid. The core splits wider accesses, and
     * widens narrower ones: a read is cut out, a write has its bytes in their lane, the rest zero. */
    AccessSizes impl;
    bool lockless;     /* handlers do their own locking */
} MemoryRegionOps;

typedef enum MemoryRegionKind {
    MEMORY_REGION_CONTAINER,
    MEMORY_REGION_RAM,
    MEMORY_REGION_ROM, /* guest writes are dropped, or go to ops if there are any (a ROM device) */
    MEMORY_REGION_IO,
    MEMORY_REGION_ALIAS,
} MemoryRegionKind;

/* An ioeventfd: a guest write of size bytes (0: any) at offset, of value data if match, signals fd
 * instead of calling the write handler. */
typedef struct RegionEventFd {
    uint64_t offset;
    uint64_t data;
    uint8_t size;
    bool match;
    int fd;
} RegionEventFd;

struct MemoryRegion {
    const char *name;
    MemoryRegionKind kind;
    uint64_t size;
    bool enabled;
    bool read_only; /* RAM shown as ROM (PAM); see memory_region_set_read_only */
    bool coalesced; /* writes may be queued by the accelerator (KVM coalesced I/O) */
    const MemoryRegionOps *ops;
    void *opaque;
    RamBlock *ram;
    uint64_t ram_offset; /* of byte 0 in ram */
    MemoryRegion *alias;
    uint64_t alias_offset;
    /* Place in the parent. */
    MemoryRegion *parent;
    uint64_t offset;
    int priority;
    GPtrArray *children; /* sorted: priority descending, then newest first */
    struct RegionEventFds *eventfds; /* RCU; NULL: none */
};

void memory_region_init_container(MemoryRegion *mr, const char *name, uint64_t size);
void memory_region_init_io(MemoryRegion *mr, const MemoryRegionOps *ops, void *opaque, const char *name,
                           uint64_t size);
/* All or part of a RAM block; the block must outlive the region. */
void memory_region_init_ram(MemoryRegion *mr, const char *name, RamBlock *ram, uint64_t ram_offset,
                            uint64_t size);
void memory_region_init_rom(MemoryRegion *mr, const char *name, RamBlock *ram, uint64_t ram_offset,
                            uint64_t size);
/* Read and executed as ROM, written as a device: flash, or shadow RAM under a ROM. */
void memory_region_init_rom_device(MemoryRegion *mr, const MemoryRegionOps *ops, void *opaque, const char *name,
                                   RamBlock *ram, uint64_t ram_offset, uint64_t size);
void memory_region_init_alias(MemoryRegion *mr, const char *name, MemoryRegion *target, uint64_t target_offset,
                              uint64_t size);
/* Takes it out of its container if it is still in one (a container must be empty). Waits for readers
 * (RCU), with machine_lock released meanwhile. */
void memory_region_release(MemoryRegion *mr);

void memory_region_add(MemoryRegion *container, uint64_t offset, MemoryRegion *mr, int priority);
void memory_region_remove(MemoryRegion *mr);
void memory_region_set_enabled(MemoryRegion *mr, bool enabled);
void memory_region_set_offset(MemoryRegion *mr, uint64_t offset);
void memory_region_set_size(MemoryRegion *mr, uint64_t size);
void memory_region_set_alias_offset(MemoryRegion *mr, uint64_t target_offset);
void memory_region_set_read_only(MemoryRegion *mr, bool read_only);
void memory_region_set_coalesced(MemoryRegion *mr, bool coalesced);
void memory_region_add_eventfd(MemoryRegion *mr, const RegionEventFd *efd);
void memory_region_remove_eventfd(MemoryRegion *mr, const RegionEventFd *efd);

/* Changes between begin and the outermost commit become visible at once, in one FlatView. */
void memory_transaction_begin(void);
void memory_transaction_commit(void);

/* One range of a flat view. */
typedef struct MemorySection {
    MemoryRegion *mr;      /* RAM, ROM or I/O: aliases and containers are resolved */
    uint64_t addr;         /* in the address space */
    uint64_t size;
    uint64_t mr_offset;    /* of addr, in mr */
    bool read_only;        /* RAM or ROM the guest may not write */
} MemorySection;

struct FlatView {
    guint count;
    MemorySection *sections; /* sorted by addr, disjoint, adjacent parts of one region merged */
    guint eventfd_count;
    struct FlatEventFd *eventfds; /* those of the regions in sections (src/core/flatview.c) */
    guint last_hit;               /* atomic hint: index of the section found last */
};

/* Callbacks run in the committing thread with machine_lock held, del before add. */
typedef struct MemoryListener MemoryListener;
struct MemoryListener {
    void (*begin)(MemoryListener *listener);
    void (*section_del)(MemoryListener *listener, const MemorySection *section);
    void (*section_add)(MemoryListener *listener, const MemorySection *section);
    void (*eventfd_add)(MemoryListener *listener, const MemorySection *section, const RegionEventFd *efd);
    void (*eventfd_del)(MemoryListener *listener, const MemorySection *section, const RegionEventFd *efd);
    void (*commit)(MemoryListener *listener);
    void *opaque;
};

struct AddressSpace {
    const char *name;
    MemoryRegion *root;
    FlatView *view; /* RCU */
    uint64_t generation; /* atomic: counts the views; see address_space_generation */
    GPtrArray *listeners;
    /* Set by an accelerator that must hear of writes to RAM it did not make itself (dbt: code in
     * that RAM changed). Called on the writing thread after the bytes are in place; lock-free. */
    void (*ram_written)(void *opaque, uint64_t addr, uint64_t len);
    void *ram_written_opaque;
};

void address_space_init(AddressSpace *as, MemoryRegion *root, const char *name);
void address_space_release(AddressSpace *as);
/* Reports the present view as adds before it returns. */
void address_space_add_listener(AddressSpace *as, MemoryListener *listener);
void address_space_remove_listener(AddressSpace *as, MemoryListener *listener);

/* Changes whenever the map may have: what dma_map said while it was the same still holds. Any thread. */
static inline uint64_t address_space_generation(const AddressSpace *as)
{
    return __atomic_load_n(&as->generation, __ATOMIC_ACQUIRE);
}

/* The access of a CPU: RAM, ROM and device regions, split as the regions demand. */
MemTxResult address_space_read(AddressSpace *as, uint64_t addr, void *buf, uint64_t len);
MemTxResult address_space_write(AddressSpace *as, uint64_t addr, const void *buf, uint64_t len);
/* The same, one access of 1, 2, 4 or 8 bytes. */
MemTxResult address_space_load(AddressSpace *as, uint64_t addr, unsigned size, uint64_t *value);
MemTxResult address_space_store(AddressSpace *as, uint64_t addr, unsigned size, uint64_t value);
/* One access to an I/O region found by the caller (an accelerator's own cache). */
MemTxResult memory_region_read(MemoryRegion *mr, uint64_t offset, unsigned size, uint64_t *value);
MemTxResult memory_region_write(MemoryRegion *mr, uint64_t offset, unsigned size, uint64_t value);

/* The section that holds addr, copied; false if none. Regions that can go away (unplug) are freed
 * after a grace period: look the section up again after anything that can block. */
bool address_space_lookup(AddressSpace *as, uint64_t addr, MemorySection *section);
/* Host address of byte addr of a RAM or ROM section. */
void *memory_section_host(const MemorySection *section, uint64_t addr);

/* The tree, "info mtree"; what of it is visible, "info mtree -f"; read-only memory, "info roms". */
void memory_print_tree(AddressSpace *as, GString *out);
void memory_print_flat(AddressSpace *as, GString *out);
void memory_print_roms(AddressSpace *as, GString *out);

#endif
