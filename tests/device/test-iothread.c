/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk whose queues an I/O thread serves, while the main thread does what it does to disks: answers monitors, stops
 * and continues the VM, resizes the image, resets the device. Made to run under ThreadSanitizer, too.
 */
#include "virtio-driver.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SLOT    5
#define SECTORS 2048u
#define QUEUES  2
#define BATCH   24 /* requests for each queue */
#define ROUNDS  8

#define HEADERS VD_BUFFERS
#define STATUS  (VD_BUFFERS + 0x8000)
#define DATA    (VD_BUFFERS + 0x10000)

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4 };

#define F_FLUSH (1u << 9)
#define F_MQ    (1u << 12)

typedef struct Header {
    uint32_t type, reserved;
    uint64_t sector;
} Header;

typedef struct Rig {
    VirtioDriver drv;
    VirtioRing rings[QUEUES];
    char *folder, *image, *socket;
    FILE *qmp;
} Rig;

/* --- the monitor --- */

static void qmp_send(Rig *r, const char *command)
{
    fprintf(r->qmp, "{\"execute\": %s}\n", command);
    fflush(r->qmp);
}

/* The answer to the last of the commands sent; events and other answers go by. */
static void qmp_take(Rig *r, const char *id)
{
    char line[65536];

    do {
        assert_non_null(fgets(line, sizeof(line), r->qmp));
        assert_null(strstr(line, "\"error\""));
    } while (!strstr(line, id));
}

static void qmp_open(Rig *r)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(addr.sun_path, r->socket, sizeof(addr.sun_path));
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    r->qmp = fdopen(fd, "r+");
    qmp_send(r, "\"qmp_capabilities\", \"id\": \"hello\"");
    qmp_take(r, "hello");
}

/* --- the disk --- */

static Rig *rig_new(const char *format, const char *drive)
{
    Rig *r = g_new0(Rig, 1);
    g_autofree char *make = NULL, *args = NULL;

    r->folder = g_dir_make_tmp("vmm-iothread-XXXXXX", NULL);
    r->image = g_build_filename(r->folder, "disk", NULL);
    r->socket = g_build_filename(r->folder, "qmp", NULL);
    make = g_strdup_printf("%s create -q -f %s %s %u", getenv("VMM_IMG"), format, r->image, SECTORS * 512);
    assert_true(g_spawn_command_line_sync(make, NULL, NULL, NULL, NULL));
    args = g_strdup_printf("-m 8 -object iothread,id=io0 -drive file=%s,format=%s,if=none,id=d0,%s -device "
                           "virtio-blk-pci,drive=d0,addr=5,iothread=io0,num-queues=%u -qmp unix:%s,server=on,wait=off",
                           r->image, format, drive, QUEUES, r->socket);
    vd_open(&r->drv, qt_start(args), SLOT, false);
    qmp_open(r);
    return r;
}

static void rig_end(Rig *r)
{
    fclose(r->qmp);
    assert_true(qt_end(r->drv.qt));
    unlink(r->image);
    unlink(r->socket);
    rmdir(r->folder);
    g_free(r->folder);
    g_free(r->image);
    g_free(r->socket);
    g_free(r);
}

static void start_driver(Rig *r)
{
    vd_negotiate(&r->drv, F_FLUSH | F_MQ | F_EVENT_IDX);
    for (unsigned i = 0; i < QUEUES; i++)
        vd_queue(&r->rings[i], &r->drv, i, 128);
    vd_driver_ok(&r->drv);
}

static void fill(Rig *r, uint64_t addr, uint8_t byte, unsigned len)
{
    g_free(qt_command(r->drv.qt, "memset 0x%" G_GINT64_MODIFIER "x %u %u", addr, len, byte));
}

/* Each request has a sector, a header and a status of its own. */
static void add(Rig *r, unsigned queue, unsigned n, uint32_t type, uint8_t byte)
{
    unsigned slot = queue * BATCH + n;
    Header header = {type, 0, 20 * slot};
    VirtioBuffer b[] = {{HEADERS + 16 * slot, 16, false}, {DATA + 512 * slot, 512, type == T_IN}, {STATUS + slot, 1, true}};

    qt_write(r->drv.qt, b[0].addr, &header, sizeof(header));
    fill(r, b[1].addr, byte, 512);
    fill(r, b[2].addr, 0xee, 1);
    if (type == T_FLUSH)
        b[1] = b[2];
    vd_add(&r->rings[queue], b, type == T_FLUSH ? 2 : 3);
}

static void submit(Rig *r, uint32_t type, uint8_t byte)
{
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        for (unsigned n = 0; n < BATCH; n++)
            add(r, queue, n, n == BATCH - 1 && type == T_OUT ? T_FLUSH : type, byte);
        vd_notify(&r->rings[queue]);
    }
}

static void expect_all(Rig *r, unsigned upto, uint8_t byte)
{
    uint8_t status, data[512], want[512];
    uint32_t len;

    memset(want, byte, sizeof(want));
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        for (unsigned n = 0; n < BATCH; n++)
            vd_wait_used(&r->rings[queue], &len);
        for (unsigned n = 0; n < upto; n++) {
            qt_read(r->drv.qt, STATUS + queue * BATCH + n, &status, 1);
            assert_int_equal(status, 0);
            qt_read(r->drv.qt, DATA + 512 * (queue * BATCH + n), data, sizeof(data));
            assert_memory_equal(data, want, sizeof(data));
        }
    }
}

/* What the main thread does while the queues are busy. */
static void disturb(Rig *r, unsigned round)
{
    static const char *const commands[] = {
        "\"query-blockstats\", \"id\": \"last\"",
        "\"query-block\", \"id\": \"last\"",
        "\"stop\"}{\"execute\": \"cont\", \"id\": \"last\"",
        "\"block_resize\", \"arguments\": {\"device\": \"d0\", \"size\": 2097152}, \"id\": \"last\"",
    };

    qmp_send(r, commands[round % G_N_ELEMENTS(commands)]);
}

static void run_rounds(const char *format, const char *drive)
{
    Rig *r = rig_new(format, drive);

    start_driver(r);
    for (unsigned round = 0; round < ROUNDS; round++) {
        submit(r, T_OUT, (uint8_t)(round + 1));
        disturb(r, round);
        expect_all(r, BATCH - 1, (uint8_t)(round + 1));
        qmp_take(r, "last");
        submit(r, T_IN, 0);
        expect_all(r, BATCH - 1, (uint8_t)(round + 1));
        if (round % 4 == 3) { /* a reset with requests out */
            submit(r, T_OUT, (uint8_t)(round + 1));
            vd_set_status(&r->drv, 0);
            start_driver(r);
        }
    }
    rig_end(r);
}

static void raw_images_are_served_beside_the_main_thread(void **state)
{
    run_rounds("raw", "aio=threads");
}

static void qcow2_images_are_served_beside_the_main_thread(void **state)
{
    run_rounds("qcow2", "aio=io_uring");
}

static void images_past_the_page_cache_are_served_beside_the_main_thread(void **state)
{
    run_rounds("qcow2", "aio=native,cache=none");
}

static void limited_images_are_served_beside_the_main_thread(void **state)
{
    run_rounds("raw", "aio=threads,throttling.iops-total=100000,throttling.bps-total=1000000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_images_are_served_beside_the_main_thread),
        cmocka_unit_test(qcow2_images_are_served_beside_the_main_thread),
        cmocka_unit_test(images_past_the_page_cache_are_served_beside_the_main_thread),
        cmocka_unit_test(limited_images_are_served_beside_the_main_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
