/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks of guest RAM: shared memory files mapped into the process.
 *
 * A block is a memfd (sealed against shrinking and growing, so no SIGBUS) or a user's file
 * (-object memory-backend-file), optionally on huge pages, pre-allocated, or excluded from dumps.
 * Pages are touched first by the guest, so a large guest costs nothing at start.
 */
#ifndef CORE_RAM_H
#define CORE_RAM_H

#include <glib.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

/* Where on the host its pages come from; the values are mbind(2)'s. */
typedef enum NumaPolicy {
    NUMA_POLICY_DEFAULT,
    NUMA_POLICY_PREFERRED,
    NUMA_POLICY_BIND,
    NUMA_POLICY_INTERLEAVE,
} NumaPolicy;

typedef struct RamOptions {
    uint64_t size;          /* bytes; rounded up to the page size in use */
    const char *path;       /* file or directory (hugetlbfs) for file-backed RAM; NULL: memfd */
    uint32_t hugepage_size; /* bytes, memfd only; 0: normal pages with THP allowed */
    bool prealloc;          /* touch every page now, with several threads */
    bool share;             /* MAP_SHARED (default for memfd); file: write back to the file */
    bool seal;              /* memfd: F_SEAL_GROW | SHRINK | SEAL */
    bool dump;              /* include in core files */
    bool merge;             /* MADV_MERGEABLE */
    NumaPolicy policy;
    cpu_set_t host_nodes;   /* the nodes of the policy; a set of numbers like one of CPUs */
    unsigned prealloc_threads;    /* 0: as many as seem useful */
    const char *prealloc_context; /* id of the thread-context they run in; NULL: anywhere */
    const cpu_set_t *prealloc_cpus; /* its CPUs, when the machine is built */
} RamOptions;

typedef struct RamBlock {
    char *name;
    uint8_t *host;
    uint64_t size;
    uint64_t page_size;
    int fd; /* -1: anonymous */
} RamBlock;

/* Normal guest RAM of size bytes. Fails with a message that names the size and the host's limit. */
RamBlock *ram_block_new(const char *name, const RamOptions *options, GError **errp);
/* Small, anonymous, not shared: ROMs and option ROMs. */
RamBlock *ram_block_new_anon(const char *name, uint64_t size, GError **errp);
void ram_block_free(RamBlock *block);

#endif
