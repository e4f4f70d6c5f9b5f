/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files that make up core/memory.h: memory.c (tree), flatview.c (views and listeners),
 * address-space.c (accesses).
 */
#ifndef CORE_MEMORY_INTERNAL_H
#define CORE_MEMORY_INTERNAL_H

#define _LGPL_SOURCE /* inline read-side RCU */
#include <urcu.h>

#include "core/memory.h"

/* A region's ioeventfds: replaced as a whole, so that lock-free writers' look at one array. */
typedef struct RegionEventFds {
    struct rcu_head rcu;
    guint count;
    RegionEventFd fds[];
} RegionEventFds;

typedef struct FlatEventFd {
    MemorySection section; /* where the region is visible */
    uint64_t addr;         /* in the address space */
    RegionEventFd efd;
} FlatEventFd;

/* The view with its reclamation head; FlatView is its public part. */
typedef struct PublishedView {
    FlatView view;
    struct rcu_head rcu;
} PublishedView;

/* Renders the tree below root. */
FlatView *flat_view_new(MemoryRegion *root);
void flat_view_free_rcu(FlatView *view);
/* Builds and publishes as's new view and tells its listeners. */
void address_space_update(AddressSpace *as);
/* Tells a new listener the whole present view. */
void flat_view_replay(const FlatView *view, MemoryListener *listener);
/* Section with addr, or NULL. RCU read side. */
const MemorySection *flat_view_find(FlatView *view, uint64_t addr);

/* memory.c keeps the list of address spaces that a commit brings up to date. */
void memory_register_address_space(AddressSpace *as);
void memory_unregister_address_space(AddressSpace *as);

#endif
