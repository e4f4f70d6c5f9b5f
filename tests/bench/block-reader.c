/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random reads in a guest, the way fio does them with libaio and O_DIRECT: DEPTH of them at once, of SIZE bytes, COUNT in all.
 *
 *     block-reader DEVICE SIZE DEPTH COUNT
 *
 * Static, for an initrd. Prints "read COUNT NANOSECONDS".
 */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_DEPTH 256

typedef struct Reader {
    int fd;
    aio_context_t context;
    uint64_t blocks, size, random;
    struct iocb iocbs[MAX_DEPTH];
} Reader;

static void fail(const char *what)
{
    perror(what);
    _exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* xorshift64* */
static uint64_t next_block(Reader *r)
{
    r->random ^= r->random >> 12;
    r->random ^= r->random << 25;
    r->random ^= r->random >> 27;
    return (r->random * 0x2545f4914f6cdd1dull >> 16) % r->blocks;
}

static void submit(Reader *r, struct iocb *iocb)
{
    iocb->aio_offset = (int64_t)(next_block(r) * r->size);
    if (syscall(SYS_io_submit, r->context, 1, &iocb) != 1)
        fail("io_submit");
}

static void run(Reader *r, uint64_t depth, uint64_t count)
{
    struct io_event events[MAX_DEPTH];
    uint64_t started = 0, ended = 0;

    while (started < depth && started < count)
        submit(r, &r->iocbs[started++]);
    while (ended < count) {
        long n = syscall(SYS_io_getevents, r->context, 1, MAX_DEPTH, events, NULL);
        if (n < 1)
            fail("io_getevents");
        for (long i = 0; i < n; i++, ended++) {
            if (events[i].res != (int64_t)r->size)
                fail("read");
            if (started < count) {
                submit(r, (struct iocb *)(uintptr_t)events[i].obj);
                started++;
            }
        }
    }
}

int main(int argc, char **argv)
{
    static Reader r = {.random = 88172645463325252ull};
    uint64_t bytes, depth = argc > 4 ? strtoull(argv[3], NULL, 10) : 0, count = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
    void *buf;

    if (!depth || depth > MAX_DEPTH) {
        fprintf(stderr, "usage: %s DEVICE SIZE DEPTH COUNT\n", argv[0]);
        return 1;
    }
    r.size = strtoull(argv[2], NULL, 10);
    r.fd = open(argv[1], O_RDONLY | O_DIRECT);
    if (r.fd < 0 || ioctl(r.fd, BLKGETSIZE64, &bytes) < 0)
        fail(argv[1]);
    r.blocks = bytes / r.size;
    if (syscall(SYS_io_setup, MAX_DEPTH, &r.context) < 0 || posix_memalign(&buf, 4096, depth * r.size) != 0)
        fail("io_setup");
    for (uint64_t i = 0; i < depth; i++) {
        r.iocbs[i] = (struct iocb){.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t)r.fd,
                                   .aio_buf = (uintptr_t)buf + i * r.size, .aio_nbytes = r.size};
    }
    uint64_t start = now_ns();
    run(&r, depth, count);
    printf("read %llu %llu\n", (unsigned long long)count, (unsigned long long)(now_ns() - start));
    return 0;
}
