/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files of the protocol driver "file".
 *
 *   file.c          open, size, zeroes and holes, status
 *   file-lock.c     image locking between processes
 *   file-direct.c   O_DIRECT: what is not aligned goes through a bounce buffer
 *   file-now.c      what the page cache has or takes at once
 *   engine-*.c      requests that need no worker
 */
#ifndef SRC_BLOCK_FILE_INT_H
#define SRC_BLOCK_FILE_INT_H

#include "src/block/block-int.h"
#include "src/block/range-lock.h"

enum { FILE_AIO_THREADS, FILE_AIO_NATIVE, FILE_AIO_URING };
enum { FILE_LOCKING_AUTO, FILE_LOCKING_ON, FILE_LOCKING_OFF };

typedef struct FileNode {
    BlockNode node;
    /* Options. */
    char *path;
    int aio;
    int locking;

    int fd;
    bool is_device;      /* a block device: its size is fixed */
    uint32_t align;      /* O_DIRECT: of offsets, lengths and memory; else 1 */
    bool no_zero_range, no_punch_hole; /* atomic: the file system cannot */
    struct {             /* file-now.c; atomics; of reads and of writes */
        bool local;          /* fixed: no server is between us and the page cache */
        bool unknown[2];     /* the file system does not know RWF_NOWAIT */
        unsigned misses[2];  /* in a row */
        int64_t average_ns;  /* of what was waited for */
        int64_t resume_ns;   /* nothing is waited for until then */
    } now;
    int flush_error;     /* atomic: of the first fdatasync that failed; later ones would lie */
    pthread_mutex_t grow_lock; /* changes of node.size */
    RangeLock writes;    /* align > 1: writes under way, against read-modify-write of their neighbours */
} FileNode;

/* Locks the image as this node uses it; the error names who is in the way as far as that can be known. */
bool file_lock_image(FileNode *file, GError **errp);
void file_unlock_image(FileNode *file);

/* Finds the alignment O_DIRECT wants of this file. */
void file_probe_alignment(FileNode *file);
/* Whether a transfer can go to the host as it is. */
bool file_is_aligned(const FileNode *file, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt);
/* Transfers of any alignment; as preadv and pwritev of BlockDriver. */
int file_direct_read(FileNode *file, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt);
int file_direct_write(FileNode *file, uint64_t offset, uint64_t bytes, const struct iovec *iov, int iovcnt, int rwf);

/* Once it is open. */
void file_now_init(FileNode *file);
/* True: the transfer is done. False: the engine's, which does all of it; an error is its to report. */
bool file_transfer_now(FileNode *file, const BlockIo *io);

/* Whether the calling thread may wait for the host: nobody else's requests are held up, and it did not take long of late. */
bool file_may_wait(const FileNode *file);
/* It has waited since start_ns. */
void file_waited(FileNode *file, int64_t start_ns);

/* The engines: whether there are any here; starting an aligned READ or WRITE, false: it is a worker's. */
bool file_aio_works(void);
bool file_aio_submit(FileNode *file, BlockIo *io);
bool file_uring_works(void);
bool file_uring_submit(FileNode *file, BlockIo *io);

#endif
