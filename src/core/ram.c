/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest RAM blocks.
 *
 * A memfd is sealed once it has its size: nobody who holds the descriptor can shrink it and turn
 * guest accesses into SIGBUS. A user's file cannot be sealed; its size is taken under our control
 * by extending it to the block's size first.
 */
#include "core/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/host.h"
#include "core/thread.h"

#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC 0x958458f6
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define PREALLOC_MAX_THREADS 16
#define PREALLOC_MIN_PER_THREAD (64 * MIB)

static int open_memfd(const char *name, RamBlock *block, const RamOptions *options, GError **errp)
{
    int fd = host_memfd(name, block->size, options->hugepage_size, errp);

    if (fd >= 0 && options->seal && fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
        error_set_errno(errp, errno, "cannot seal the memory of '%s'", name);
        close(fd);
        return -1;
    }
    return fd;
}

/* A directory (hugetlbfs, tmpfs) gets an unlinked file of ours; a file is used and grown. */
static int open_backing(const char *name, RamBlock *block, const RamOptions *options, GError **errp)
{
    struct stat st;
    struct statfs fs;
    bool is_dir = stat(options->path, &st) == 0 && S_ISDIR(st.st_mode);
    int fd = is_dir ? host_open(options->path, O_RDWR | O_TMPFILE | O_EXCL, 0600, "RAM directory", errp)
                    : host_open(options->path, O_RDWR | O_CREAT, 0600, "RAM file", errp);

    if (fd < 0)
        return -1;
    if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC)
        block->page_size = (uint64_t)fs.f_bsize;
    block->size = align_up(options->size, block->page_size);
    if (fstat(fd, &st) < 0 || ((uint64_t)st.st_size < block->size && ftruncate(fd, (off_t)block->size) < 0)) {
        error_set_errno(errp, errno, "cannot give '%s' the %" G_GUINT64_FORMAT " bytes of '%s'",
                        options->path, block->size, name);
        close(fd);
        return -1;
    }
    return fd;
}

typedef struct PreallocPart {
    pthread_t thread;
    uint8_t *start;
    uint64_t len;
    const cpu_set_t *cpus;
    int error;
} PreallocPart;

static void *prealloc_part(void *opaque)
{
    PreallocPart *part = opaque;

    if (part->cpus && sched_setaffinity(0, sizeof(*part->cpus), part->cpus) < 0)
        part->error = errno;
    else
        part->error = madvise(part->start, part->len, MADV_POPULATE_WRITE) < 0 ? errno : 0;
    return NULL;
}

static unsigned prealloc_thread_count(const RamBlock *block, const RamOptions *options)
{
    uint64_t useful = MIN(block->size / PREALLOC_MIN_PER_THREAD, (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    uint64_t wanted = options->prealloc_threads ? options->prealloc_threads : useful;

    return (unsigned)CLAMP(wanted, 1, PREALLOC_MAX_THREADS);
}

static bool prealloc(RamBlock *block, const RamOptions *options, GError **errp)
{
    PreallocPart parts[PREALLOC_MAX_THREADS];
    unsigned count = prealloc_thread_count(block, options), started = 0;
    uint64_t step = align_up(block->size / count, block->page_size);
    bool ok = true;

    for (; started < count && ok; started++) {
        PreallocPart *part = &parts[started];
        uint64_t offset = MIN(started * step, block->size);
        *part = (PreallocPart){
            .start = block->host + offset,
            .len = MIN(step, block->size - offset),
            .cpus = options->prealloc_cpus,
        };
        ok = thread_create(&part->thread, "prealloc", prealloc_part, part, errp);
        if (!ok)
            break;
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(parts[i].thread, NULL);
        if (ok && parts[i].error)
            ok = error_set_errno(errp, parts[i].error, "cannot pre-allocate the %" G_GUINT64_FORMAT
                                 " MiB of '%s'; use less RAM or leave prealloc off",
                                 block->size / MIB, block->name);
    }
    return ok;
}

/* Before the first page is touched. */
static bool bind_to_nodes(RamBlock *block, const RamOptions *options, GError **errp)
{
    if (options->policy == NUMA_POLICY_DEFAULT)
        return true;
    if (syscall(SYS_mbind, block->host, block->size, (int)options->policy, &options->host_nodes, CPU_SETSIZE, 0) == 0)
        return true;
    return error_set_errno(errp, errno, "'%s' cannot have its memory from these nodes (host-nodes=; see "
                           "/sys/devices/system/node/online)", block->name);
}

static void advise(RamBlock *block, const RamOptions *options)
{
    /* Hints; a kernel without one of them is none the worse. */
    if (block->page_size == GUEST_PAGE_SIZE)
        (void)madvise(block->host, block->size, MADV_HUGEPAGE);
    if (!options->dump)
        (void)madvise(block->host, block->size, MADV_DONTDUMP);
    if (options->merge)
        (void)madvise(block->host, block->size, MADV_MERGEABLE);
}

RamBlock *ram_block_new(const char *name, const RamOptions *options, GError **errp)
{
    RamBlock *block = g_new0(RamBlock, 1);
    bool share = options->share || !options->path;

    block->name = g_strdup(name);
    block->page_size = options->hugepage_size ? options->hugepage_size : GUEST_PAGE_SIZE;
    block->size = align_up(options->size, block->page_size);
    block->fd = options->path ? open_backing(name, block, options, errp) : open_memfd(name, block, options, errp);
    if (block->fd < 0)
        goto fail;
    block->host = mmap(NULL, block->size, PROT_READ | PROT_WRITE,
                       (share ? MAP_SHARED : MAP_PRIVATE) | MAP_NORESERVE, block->fd, 0);
    if (block->host == MAP_FAILED) {
        block->host = NULL;
        error_set_errno(errp, errno, "the host cannot map the %" G_GUINT64_FORMAT
                        " MiB of guest RAM '%s'; use a smaller -m", block->size / MIB, name);
        goto fail;
    }
    if (!bind_to_nodes(block, options, errp))
        goto fail;
    advise(block, options);
    if (options->prealloc && !prealloc(block, options, errp))
        goto fail;
    return block;

fail:
    ram_block_free(block);
    return NULL;
}

RamBlock *ram_block_new_anon(const char *name, uint64_t size, GError **errp)
{
    RamBlock *block = g_new0(RamBlock, 1);

    block->name = g_strdup(name);
    block->page_size = GUEST_PAGE_SIZE;
    block->size = align_up(size, GUEST_PAGE_SIZE);
    block->fd = -1;
    block->host = host_mmap(block->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, name, errp);
    if (!block->host) {
        ram_block_free(block);
        return NULL;
    }
    return block;
}

void ram_block_free(RamBlock *block)
{
    if (!block)
        return;
    if (block->host)
        munmap(block->host, block->size);
    if (block->fd >= 0)
        close(block->fd);
    g_free(block->name);
    g_free(block);
}
