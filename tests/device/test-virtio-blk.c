/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk as virtio 1.2, 5.2 has it: what is written is read back and stands in the file, what the driver may not
 * ask for is refused, and nothing it does reaches beyond its disk.
 */
#include "virtio-driver.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SLOT    5
#define SECTORS 2048u

#define HEADER VD_BUFFERS
#define STATUS (VD_BUFFERS + 0x100)
#define DATA   (VD_BUFFERS + 0x1000)

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

#define F_RO           (1u << 5)
#define F_FLUSH        (1u << 9)
#define F_CONFIG_WCE   (1u << 11)
#define F_MQ           (1u << 12)
#define F_DISCARD      (1u << 13)
#define F_WRITE_ZEROES (1u << 14)
#define F_ALL          (F_FLUSH | F_CONFIG_WCE | F_MQ | F_DISCARD | F_WRITE_ZEROES)

typedef struct Header {
    uint32_t type, reserved;
    uint64_t sector;
} Header;

typedef struct Segment {
    uint64_t sector;
    uint32_t count, flags;
} Segment;

typedef struct Disk {
    VirtioDriver drv;
    VirtioRing ring;
    char *path;
    int fd; /* of the image, besides the vmm's */
} Disk;

static uint8_t pattern(uint64_t sector)
{
    return sector * 7 + 3;
}

/* An image whose sectors each hold a byte of their own. device: properties behind "drive=d0,addr=5". */
static Disk *disk_new(const char *drive, const char *device, bool legacy)
{
    Disk *d = g_new0(Disk, 1);
    g_autofree uint8_t *image = g_malloc(SECTORS * 512);

    for (unsigned i = 0; i < SECTORS; i++)
        memset(image + 512 * i, pattern(i), 512);
    d->fd = g_file_open_tmp("vmm-blk-XXXXXX", &d->path, NULL);
    assert_true(d->fd >= 0);
    assert_int_equal(pwrite(d->fd, image, SECTORS * 512, 0), SECTORS * 512);
    g_autofree char *args = g_strdup_printf("-m 8 -drive file=%s,format=raw,if=none,id=d0%s -device "
                                            "virtio-blk-pci,drive=d0,addr=5%s", d->path, drive, device);
    vd_open(&d->drv, qt_start(args), SLOT, legacy);
    return d;
}

static void disk_end(Disk *d)
{
    assert_true(qt_end(d->drv.qt));
    close(d->fd);
    unlink(d->path);
    g_free(d->path);
    g_free(d);
}

static int setup(void **state)
{
    Disk *d = disk_new("", ",serial=sn-0123456789", false);

    vd_start(&d->drv, &d->ring, F_ALL, 64);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    disk_end(*state);
    return 0;
}

static void put_header(Disk *d, uint64_t at, uint32_t type, uint64_t sector)
{
    Header header = { type, 0, sector };

    qt_write(d->drv.qt, at, &header, sizeof(header));
}

static uint8_t get_status(Disk *d)
{
    uint8_t status;

    qt_read(d->drv.qt, STATUS, &status, 1);
    return status;
}

/* One request with its data at DATA; the status the device wrote. */
static uint8_t request(Disk *d, uint32_t type, uint64_t sector, uint32_t len)
{
    bool in = type == T_IN || type == T_GET_ID;
    VirtioBuffer b[3] = { { HEADER, 16, false }, { DATA, len, in }, { STATUS, 1, true } };
    uint8_t none = 0xee;

    put_header(d, HEADER, type, sector);
    qt_write(d->drv.qt, STATUS, &none, 1);
    if (!len)
        b[1] = b[2];
    vd_do(&d->ring, b, len ? 3 : 2);
    return get_status(d);
}

static void expect_data(Disk *d, uint64_t addr, uint8_t byte, size_t len)
{
    g_autofree uint8_t *data = g_malloc(len), *want = g_malloc(len);

    qt_read(d->drv.qt, addr, data, len);
    memset(want, byte, len);
    assert_memory_equal(data, want, len);
}

static void expect_file(Disk *d, uint64_t sector, uint8_t byte)
{
    uint8_t data[512], want[512];

    assert_int_equal(pread(d->fd, data, 512, 512 * sector), 512);
    memset(want, byte, 512);
    assert_memory_equal(data, want, 512);
}

static void fill(Disk *d, uint64_t addr, uint8_t byte, unsigned len)
{
    g_free(qt_command(d->drv.qt, "memset 0x%" G_GINT64_MODIFIER "x %u %u", addr, len, byte));
}

static void the_configuration_describes_the_disk(void **state)
{
    Disk *d = *state;
    QTest *qt = d->drv.qt;

    assert_int_equal(qt_readl(qt, VD_CONFIG), SECTORS);
    assert_int_equal(qt_readl(qt, VD_CONFIG + 4), 0);
    assert_int_equal(qt_readl(qt, VD_CONFIG + 12), 254); /* seg_max: a queue of 256, header and status */
    assert_int_equal(qt_readl(qt, VD_CONFIG + 20), 512);
    assert_int_equal(qt_readl(qt, VD_CONFIG + 36), 4194303);
    assert_int_equal(qt_readl(qt, VD_CONFIG + 40), 1);
    assert_int_equal(qt_readl(qt, VD_CONFIG + 60), 0); /* nothing behind it */
    assert_int_equal(qt_readl(qt, VD_CONFIG + 0xffc), 0);
    assert_false(vd_offered(&d->drv) & F_RO);
}

static void what_is_written_is_read_back_over_every_transport(void **state)
{
    static const struct {
        const char *device;
        bool legacy;
        uint64_t features;
    } rows[] = {
        { "", false, 0 },
        { "", false, F_EVENT_IDX | F_INDIRECT },
        { ",packed=on", false, F_PACKED | F_EVENT_IDX },
        { ",disable-modern=on", true, 0 },
        { ",ioeventfd=off", true, F_EVENT_IDX },
        { ",vectors=0", false, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Disk *d = disk_new("", rows[i].device, rows[i].legacy);

        vd_start(&d->drv, &d->ring, F_FLUSH | rows[i].features, 16);
        for (unsigned n = 0; n < 20; n++) {
            fill(d, DATA, 0x40 + n, 1024);
            assert_int_equal(request(d, T_OUT, 10 + 2 * n, 1024), S_OK);
        }
        for (unsigned n = 0; n < 20; n++) {
            assert_int_equal(request(d, T_IN, 10 + 2 * n, 1024), S_OK);
            expect_data(d, DATA, 0x40 + n, 1024);
        }
        assert_int_equal(request(d, T_FLUSH, 0, 0), S_OK);
        expect_file(d, 9, pattern(9));
        expect_file(d, 10, 0x40);
        expect_file(d, 49, 0x40 + 19);
        expect_file(d, 50, pattern(50));
        disk_end(d);
    }
}

static void an_io_thread_serves_the_queues(void **state)
{
    for (unsigned intx = 0; intx < 2; intx++) {
        Disk *d = disk_new("", intx ? ",iothread=io0,vectors=0 -object iothread,id=io0"
                                    : ",iothread=io0 -object iothread,id=io0", false);

        if (!intx) {
            vd_msix_route(&d->drv, 1, 0x55);
            vd_common(&d->drv, VC_Q_SELECT, 2, 0);
            vd_common(&d->drv, VC_Q_MSIX, 2, 1);
        }
        vd_start(&d->drv, &d->ring, F_ALL | F_EVENT_IDX, 64);
        for (unsigned n = 0; n < 50; n++) {
            fill(d, DATA, n, 512);
            assert_int_equal(request(d, T_OUT, n, 512), S_OK);
            assert_int_equal(request(d, T_IN, n, 512), S_OK);
            expect_data(d, DATA, n, 512);
        }
        if (intx) {
            VdWait wait = { 0 };
            while (!(vd_config_read(&d->drv, 6, 2) & 8))
                vd_wait(&wait, "INTx");
        } else {
            vd_wait_lapic(d->drv.qt, 0x55);
        }
        disk_end(d);
    }
}

static void requests_may_be_cut_anywhere(void **state)
{
    Disk *d = *state;
    VirtioBuffer write[] = { { HEADER, 5, false }, { HEADER + 0x40, 11 + 100, false }, { DATA, 412, false }, { STATUS, 1, true } };
    VirtioBuffer read[] = { { HEADER, 16, false }, { DATA, 100, true }, { DATA + 0x200, 412 + 1, true } };
    uint8_t header[16], data[512];

    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = i * 3;
    put_header(d, HEADER, T_OUT, 77);
    qt_read(d->drv.qt, HEADER, header, 16);
    qt_write(d->drv.qt, HEADER + 0x40, header + 5, 11);
    qt_write(d->drv.qt, HEADER + 0x40 + 11, data, 100);
    qt_write(d->drv.qt, DATA, data + 100, 412);
    vd_do(&d->ring, write, 4);
    assert_int_equal(get_status(d), S_OK);

    put_header(d, HEADER, T_IN, 77);
    assert_int_equal(vd_do(&d->ring, read, 3), 513);
    uint8_t back[513];
    qt_read(d->drv.qt, DATA, back, 100);
    qt_read(d->drv.qt, DATA + 0x200, back + 100, 413);
    assert_memory_equal(back, data, 512);
    assert_int_equal(back[512], S_OK);
}

static void what_does_not_lie_on_the_disk_is_an_error(void **state)
{
    Disk *d = *state;
    static const struct {
        uint64_t sector;
        uint32_t len;
    } bad[] = {
        { SECTORS, 512 }, { SECTORS - 1, 1024 }, { UINT64_MAX, 512 }, { UINT64_MAX / 512 + 1, 512 }, { 0, 511 },
        { 0, 513 }, { 1ull << 55, 512 }, { SECTORS, 1 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        fill(d, DATA, 0xab, 1024);
        assert_int_equal(request(d, T_IN, bad[i].sector, bad[i].len), S_IOERR);
        expect_data(d, DATA, 0xab, 1024);
        assert_int_equal(request(d, T_OUT, bad[i].sector, bad[i].len), S_IOERR);
    }
    for (unsigned i = 0; i < SECTORS; i += 511)
        expect_file(d, i, pattern(i));
    assert_int_equal(request(d, T_IN, SECTORS - 1, 512), S_OK);
    expect_data(d, DATA, pattern(SECTORS - 1), 512);
    assert_int_equal(request(d, T_IN, SECTORS, 0), S_OK); /* nothing, at the end */
}

static void an_unknown_request_is_unsupported(void **state)
{
    Disk *d = *state;
    static const uint32_t types[] = { 2, 3, 5, 9, 10, 12, 14, 99, 0x80000000, 0xffffffff };

    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++)
        assert_int_equal(request(d, types[i], 0, 0), S_UNSUPP);
}

static void a_request_without_header_or_status_breaks_the_device(void **state)
{
    static const VirtioBuffer bad[][2] = {
        { { HEADER, 15, false }, { STATUS, 1, true } },
        { { HEADER, 16, false }, { DATA, 512, false } },
        { { DATA, 512, true }, { STATUS, 1, true } },
    };
    Disk *d = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        put_header(d, HEADER, T_IN, 0);
        vd_add(&d->ring, bad[i], 2);
        vd_notify(&d->ring);
        vd_wait_status(&d->drv, VS_NEEDS_RESET);
        vd_set_status(&d->drv, 0);
        vd_start(&d->drv, &d->ring, F_ALL, 64);
        assert_int_equal(request(d, T_IN, 0, 512), S_OK);
    }
}

static void get_id_gives_the_serial_number(void **state)
{
    Disk *d = *state;
    char id[20] = "", want[20] = "sn-0123456789";

    fill(d, DATA, 0xff, 64);
    assert_int_equal(request(d, T_GET_ID, 0, 20), S_OK);
    qt_read(d->drv.qt, DATA, id, 20);
    assert_memory_equal(id, want, 20);
    expect_data(d, DATA + 20, 0xff, 8);
    fill(d, DATA, 0xff, 64);
    assert_int_equal(request(d, T_GET_ID, 0, 4), S_OK); /* as much as there is room for */
    expect_data(d, DATA + 4, 0xff, 8);
}

static uint8_t segment_request(Disk *d, uint32_t type, uint64_t sector, uint32_t count, uint32_t flags)
{
    Segment segment = { sector, count, flags };

    qt_write(d->drv.qt, DATA, &segment, sizeof(segment));
    return request(d, type, 0, sizeof(segment));
}

static void write_zeroes_makes_zeroes_and_nothing_else(void **state)
{
    Disk *d = *state;

    assert_int_equal(segment_request(d, T_WRITE_ZEROES, 100, 8, 0), S_OK);
    assert_int_equal(segment_request(d, T_WRITE_ZEROES, 200, 8, 1), S_OK);
    assert_int_equal(request(d, T_FLUSH, 0, 0), S_OK);
    for (unsigned base = 100; base <= 200; base += 100) {
        expect_file(d, base - 1, pattern(base - 1));
        expect_file(d, base, 0);
        expect_file(d, base + 7, 0);
        expect_file(d, base + 8, pattern(base + 8));
    }
    assert_int_equal(segment_request(d, T_DISCARD, 300, 8, 0), S_OK);
    expect_file(d, 308, pattern(308));
}

static void bad_segments_are_refused(void **state)
{
    Disk *d = *state;
    static const uint32_t types[] = { T_DISCARD, T_WRITE_ZEROES };

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(segment_request(d, types[i], SECTORS, 1, 0), S_IOERR);
        assert_int_equal(segment_request(d, types[i], SECTORS - 1, 2, 0), S_IOERR);
        assert_int_equal(segment_request(d, types[i], UINT64_MAX, 8, 0), S_IOERR);
        assert_int_equal(segment_request(d, types[i], 0, UINT32_MAX, 0), S_IOERR);
        assert_int_equal(segment_request(d, types[i], 0, 4194304, 0), S_IOERR);
        assert_int_equal(segment_request(d, types[i], 0, 1, 2), S_UNSUPP);
        assert_int_equal(request(d, types[i], 0, 15), S_UNSUPP);
        assert_int_equal(request(d, types[i], 0, 32), S_UNSUPP); /* one segment at a time was announced */
        assert_int_equal(request(d, types[i], 0, 0), S_UNSUPP);
    }
    assert_int_equal(segment_request(d, T_DISCARD, 0, 1, 1), S_UNSUPP); /* the flag is WRITE_ZEROES' */
    expect_file(d, 0, pattern(0));
}

static void what_was_not_negotiated_is_unsupported(void **state)
{
    Disk *d = *state;

    vd_set_status(&d->drv, 0);
    vd_start(&d->drv, &d->ring, 0, 64);
    assert_int_equal(segment_request(d, T_DISCARD, 0, 1, 0), S_UNSUPP);
    assert_int_equal(segment_request(d, T_WRITE_ZEROES, 0, 1, 0), S_UNSUPP);
    assert_int_equal(request(d, T_FLUSH, 0, 0), S_OK); /* harmless */
}

static void a_read_only_disk_is_not_written(void **state)
{
    Disk *d = disk_new(",read-only=on", "", false);

    assert_true(vd_offered(&d->drv) & F_RO);
    vd_start(&d->drv, &d->ring, F_ALL | F_RO, 64);
    assert_int_equal(request(d, T_IN, 3, 512), S_OK);
    expect_data(d, DATA, pattern(3), 512);
    fill(d, DATA, 0, 512);
    assert_int_equal(request(d, T_OUT, 3, 512), S_IOERR);
    assert_int_equal(segment_request(d, T_WRITE_ZEROES, 3, 1, 0), S_IOERR);
    assert_int_equal(segment_request(d, T_DISCARD, 3, 1, 0), S_IOERR);
    expect_file(d, 3, pattern(3));
    disk_end(d);
}

static void each_of_several_queues_works(void **state)
{
    Disk *d = disk_new("", ",num-queues=4,queue-size=16", false);

    assert_true(vd_offered(&d->drv) & F_MQ);
    assert_int_equal(vd_common_get(&d->drv, VC_NUMQ, 2), 4);
    assert_int_equal(qt_readl(d->drv.qt, VD_CONFIG + 32) >> 16, 4);
    vd_negotiate(&d->drv, F_ALL);
    VirtioRing rings[4];
    for (unsigned i = 0; i < 4; i++)
        vd_queue(&rings[i], &d->drv, i, 16);
    vd_driver_ok(&d->drv);
    for (unsigned n = 0; n < 40; n++) {
        d->ring = rings[n % 4];
        assert_int_equal(request(d, T_IN, n, 512), S_OK);
        rings[n % 4] = d->ring;
        expect_data(d, DATA, pattern(n), 512);
    }
    disk_end(d);
}

/* Requests that lie one behind the other in one batch may become one; nobody must see that. */
static void a_batch_of_neighbours_arrives_as_it_was_sent(void **state)
{
    static const char *const merging[] = { "", ",request-merging=off" };

    for (unsigned m = 0; m < 2; m++) {
        Disk *d = disk_new("", merging[m], false);
        uint32_t len;

        vd_start(&d->drv, &d->ring, F_ALL, 256);
        for (unsigned round = 0; round < 6; round++) {
            uint32_t type = round & 1 ? T_IN : T_OUT;
            unsigned base = 100 + 200 * (round / 2), step = round / 2 ? 3 : 1;
            for (unsigned i = 0; i < 60; i++) {
                VirtioBuffer b[] = { { HEADER + 0x10000 + 16 * i, 16, false }, { DATA + 0x20000 + 512 * i, 512, type == T_IN },
                                     { STATUS + 1 + i, 1, true } };
                put_header(d, b[0].addr, type, base + step * i);
                fill(d, b[1].addr, type == T_OUT ? i + 1 : 0, 512);
                fill(d, b[2].addr, 0xee, 1);
                vd_add(&d->ring, b, 3);
            }
            vd_notify(&d->ring);
            for (unsigned i = 0; i < 60; i++)
                vd_wait_used(&d->ring, &len);
            for (unsigned i = 0; i < 60; i++) {
                expect_data(d, STATUS + 1 + i, S_OK, 1);
                expect_data(d, DATA + 0x20000 + 512 * i, i + 1, 512);
            }
        }
        disk_end(d);
    }
}

static void the_write_cache_follows_the_negotiation(void **state)
{
    Disk *d = *state;
    QTest *qt = d->drv.qt;

    assert_int_equal(qt_readl(qt, VD_CONFIG + 32) & 0xff, 1);
    g_free(qt_command(qt, "writeb 0x%x 0", VD_CONFIG + 32));
    assert_int_equal(qt_readl(qt, VD_CONFIG + 32) & 0xff, 0);
    fill(d, DATA, 0x77, 512);
    assert_int_equal(request(d, T_OUT, 1, 512), S_OK);
    expect_file(d, 1, 0x77);
    vd_set_status(&d->drv, 0);
    vd_start(&d->drv, &d->ring, F_FLUSH, 64);
    assert_int_equal(qt_readl(qt, VD_CONFIG + 32) & 0xff, 1); /* as the user set it */
    g_free(qt_command(qt, "writeb 0x%x 0", VD_CONFIG + 32));
    assert_int_equal(qt_readl(qt, VD_CONFIG + 32) & 0xff, 1); /* CONFIG_WCE was not agreed on */
    vd_set_status(&d->drv, 0);
    vd_start(&d->drv, &d->ring, 0, 64);
    assert_int_equal(qt_readl(qt, VD_CONFIG + 32) & 0xff, 0); /* a driver that does not flush */
}

static void a_reset_with_requests_out_leaves_a_working_disk(void **state)
{
    static const char *const devices[] = { "", ",iothread=io0 -object iothread,id=io0" };

    for (unsigned n = 0; n < 2; n++) {
        Disk *d = disk_new("", devices[n], false);
        for (unsigned round = 0; round < 10; round++) {
            vd_start(&d->drv, &d->ring, F_ALL, 256);
            put_header(d, HEADER, round & 1 ? T_IN : T_FLUSH, 0);
            for (unsigned i = 0; i < 64; i++) {
                VirtioBuffer b[] = { { HEADER, 16, false }, { DATA + 0x1000 * i, 4096, true }, { STATUS, 1, true } };
                vd_add(&d->ring, b, 3);
            }
            vd_notify(&d->ring);
            vd_set_status(&d->drv, 0);
            assert_int_equal(vd_status(&d->drv), 0);
            fill(d, DATA, 0xc3, 64 * 0x1000); /* the driver's memory is its own again */
            vd_start(&d->drv, &d->ring, F_ALL, 256);
            expect_data(d, DATA + 0x1000, 0xc3, 63 * 0x1000);
            assert_int_equal(request(d, T_IN, 5, 512), S_OK);
            expect_data(d, DATA, pattern(5), 512);
            vd_set_status(&d->drv, 0);
        }
        disk_end(d);
    }
}

static void a_queue_reset_waits_for_its_requests(void **state)
{
    Disk *d = *state;
    VdWait wait = { 0 };

    vd_set_status(&d->drv, 0);
    vd_start(&d->drv, &d->ring, F_ALL | F_RESET, 64);
    put_header(d, HEADER, T_IN, 0);
    for (unsigned i = 0; i < 16; i++) {
        VirtioBuffer b[] = { { HEADER, 16, false }, { DATA + 0x1000 * i, 4096, true }, { STATUS, 1, true } };
        vd_add(&d->ring, b, 3);
    }
    vd_notify(&d->ring);
    vd_common(&d->drv, VC_Q_SELECT, 2, 0);
    vd_common(&d->drv, VC_Q_RESET, 2, 1);
    while (vd_common_get(&d->drv, VC_Q_RESET, 2))
        vd_wait(&wait, "the queue's reset");
    fill(d, DATA, 0xc3, 16 * 0x1000);
    vd_queue(&d->ring, &d->drv, 0, 32);
    expect_data(d, DATA, 0xc3, 16 * 0x1000);
    assert_int_equal(request(d, T_IN, 5, 512), S_OK);
    expect_data(d, DATA, pattern(5), 512);
}

/* Only that it is not too fast can be told on a busy host. */
static void a_limit_holds_back_what_comes_too_fast(void **state)
{
    static const char *const limits[] = { ",throttling.iops-total=100", ",throttling.bps-write=51200",
                                          ",throttling.iops-write=100,throttling.iops-write-max=110,throttling.iops-write-max-length=1" };
    /* After the bucket's tenth of a second, or the burst's second, 100 of them a second. */
    static const unsigned free_requests[] = { 10, 10, 110 }, requests[] = { 40, 40, 140 };

    for (unsigned i = 0; i < G_N_ELEMENTS(limits); i++) {
        Disk *d = disk_new(limits[i], "", false);
        vd_start(&d->drv, &d->ring, F_ALL, 16);
        int64_t start_us = g_get_monotonic_time();
        for (unsigned n = 0; n < requests[i]; n++)
            assert_int_equal(request(d, T_OUT, n, 512), S_OK);
        assert_true(g_get_monotonic_time() - start_us >= 10000 * (int64_t)(requests[i] - free_requests[i] - 2));
        disk_end(d);
    }
}

static void a_drive_with_if_virtio_gets_its_device(void **state)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("vmm-blk-XXXXXX", &path, NULL);
    VirtioDriver drv = { .slot = 2 };

    assert_int_equal(ftruncate(fd, 65536), 0);
    g_autofree char *args = g_strdup_printf("-drive file=%s,format=raw,if=virtio", path);
    drv.qt = qt_start(args);
    assert_int_equal(vd_config_read(&drv, 0, 4), 0x10011af4);
    vd_open(&drv, drv.qt, drv.slot, false);
    assert_int_equal(qt_readl(drv.qt, VD_CONFIG), 128);
    assert_true(qt_end(drv.qt));
    close(fd);
    unlink(path);
}

static void with_snapshot_no_image_is_written(void **state)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("vmm-blk-XXXXXX", &path, NULL);
    Disk d = { .fd = fd, .path = path };

    assert_int_equal(ftruncate(fd, 65536), 0);
    g_autofree char *args = g_strdup_printf("-m 8 -snapshot -drive file=%s,format=raw,if=none,id=d0 "
                                            "-device virtio-blk-pci,drive=d0,addr=5", path);
    vd_open(&d.drv, qt_start(args), SLOT, false);
    vd_start(&d.drv, &d.ring, F_ALL, 16);
    fill(&d, DATA, 0x5a, 512);
    assert_int_equal(request(&d, T_OUT, 7, 512), S_OK);
    fill(&d, DATA, 0, 512);
    assert_int_equal(request(&d, T_IN, 7, 512), S_OK);
    assert_int_equal(qt_readl(d.drv.qt, DATA), 0x5a5a5a5a);
    assert_true(qt_end(d.drv.qt));
    expect_file(&d, 7, 0);
    close(fd);
    unlink(path);
}

static void block_sizes_and_topology_are_as_the_user_says(void **state)
{
    Disk *d = disk_new("", ",logical_block_size=1024,physical_block_size=4096,min_io_size=8192,opt_io_size=65536", false);
    QTest *qt = d->drv.qt;

    vd_start(&d->drv, &d->ring, F_ALL, 16);
    assert_int_equal(qt_readl(qt, VD_CONFIG), SECTORS); /* in 512 bytes whatever the blocks' size */
    assert_int_equal(qt_readl(qt, VD_CONFIG + 20), 1024);
    assert_int_equal(qt_readl(qt, VD_CONFIG + 24), 2 | 8 << 16); /* 4 blocks in a physical one; 8 are the smallest good transfer */
    assert_int_equal(qt_readl(qt, VD_CONFIG + 28), 64);
    assert_int_equal(request(d, T_IN, 2, 1024), S_OK);
    assert_int_equal(request(d, T_IN, 1, 1024), S_IOERR);
    assert_int_equal(request(d, T_IN, 2, 512), S_IOERR);
    disk_end(d);
}

static void a_graph_of_nodes_in_json_is_a_disk(void **state)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("vmm-blk-XXXXXX", &path, NULL);
    Disk d = { .fd = fd, .path = path };

    assert_int_equal(ftruncate(fd, 65536), 0);
    assert_int_equal(pwrite(fd, "window", 6, 8192), 6);
    g_autofree char *args = g_strdup_printf("-m 8 -blockdev {\"driver\":\"file\",\"node-name\":\"f0\",\"filename\":\"%s\"} "
                                            "-blockdev {\"driver\":\"raw\",\"node-name\":\"n0\",\"file\":\"f0\",\"offset\":8192,"
                                            "\"size\":4096} -device virtio-blk-pci,drive=n0,addr=5", path);
    vd_open(&d.drv, qt_start(args), SLOT, false);
    vd_start(&d.drv, &d.ring, F_ALL, 16);
    assert_int_equal(qt_readl(d.drv.qt, VD_CONFIG), 8);
    assert_int_equal(request(&d, T_IN, 0, 512), S_OK);
    char data[6];
    qt_read(d.drv.qt, DATA, data, sizeof(data));
    assert_memory_equal(data, "window", sizeof(data));
    fill(&d, DATA, 0x5a, 512);
    assert_int_equal(request(&d, T_OUT, 7, 512), S_OK);
    assert_int_equal(request(&d, T_OUT, 8, 512), S_IOERR);
    expect_file(&d, 16 + 7, 0x5a);
    assert_true(qt_end(d.drv.qt));
    close(fd);
    unlink(path);
}

#define disk_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(the_configuration_describes_the_disk),
        cmocka_unit_test(what_is_written_is_read_back_over_every_transport),
        cmocka_unit_test(an_io_thread_serves_the_queues),
        disk_test(requests_may_be_cut_anywhere),
        disk_test(what_does_not_lie_on_the_disk_is_an_error),
        disk_test(an_unknown_request_is_unsupported),
        disk_test(a_request_without_header_or_status_breaks_the_device),
        disk_test(get_id_gives_the_serial_number),
        disk_test(write_zeroes_makes_zeroes_and_nothing_else),
        disk_test(bad_segments_are_refused),
        disk_test(what_was_not_negotiated_is_unsupported),
        cmocka_unit_test(a_read_only_disk_is_not_written),
        cmocka_unit_test(each_of_several_queues_works),
        cmocka_unit_test(a_batch_of_neighbours_arrives_as_it_was_sent),
        disk_test(the_write_cache_follows_the_negotiation),
        cmocka_unit_test(a_reset_with_requests_out_leaves_a_working_disk),
        cmocka_unit_test(a_limit_holds_back_what_comes_too_fast),
        cmocka_unit_test(a_drive_with_if_virtio_gets_its_device),
        cmocka_unit_test(with_snapshot_no_image_is_written),
        cmocka_unit_test(block_sizes_and_topology_are_as_the_user_says),
        cmocka_unit_test(a_graph_of_nodes_in_json_is_a_disk),
        disk_test(a_queue_reset_waits_for_its_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
