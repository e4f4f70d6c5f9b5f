/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -drive: places, ids, cache modes, mistakes; and the arithmetic of I/O limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "block/conf.h"
#include "block/drive.h"
#include "block/throttle.h"
#include "core/bits.h"
#include "core/loop.h"
#include "core/thread.h"

static char *image; /* 1 MiB of zeroes, raw */

static bool open_drive(const char *options, GError **errp)
{
    g_autofree char *arg = g_strdup_printf("%s%s%s", options, strstr(options, "nofile") ? "" : ",format=raw,file=",
                                           strstr(options, "nofile") ? "" : image);
    const char *text = g_str_has_prefix(arg, "nofile,") ? arg + strlen("nofile,") : arg;
    g_autoptr(KvNode) kv = keyval_parse_flat(text, "file", errp);

    return kv && drive_check(kv, errp) && drive_open(kv, DRIVE_IF_IDE, false, errp);
}

static BlockBackend *accept(const char *options)
{
    g_autoptr(GError) err = NULL;
    Drive *last = NULL;

    if (!open_drive(options, &err))
        fail_msg("'%s' was refused: %s", options, err ? err->message : "");
    for (Drive *drive = drive_next(NULL); drive; drive = drive_next(drive))
        last = drive;
    return last->blk;
}

static void refuse(const char *options, const char *mention)
{
    g_autoptr(GError) err = NULL;

    if (open_drive(options, &err))
        fail_msg("'%s' was accepted", options);
    if (!strstr(err->message, mention))
        fail_msg("'%s' does not mention '%s'", err->message, mention);
    assert_null(strchr(err->message, '\n'));
}

static int teardown(void **state)
{
    drives_close();
    assert_null(blk_next(NULL));
    assert_null(block_node_next(NULL));
    return 0;
}

static void an_ide_drive_has_a_channel_and_a_unit(void **state)
{
    assert_string_equal(blk_id(accept("index=2,file.locking=off")), "ide1-hd0");
    assert_string_equal(blk_id(accept("file.locking=off,bus=0,unit=1")), "ide0-hd1");
    assert_string_equal(blk_id(accept("file.locking=off,id=sys")), "sys");
    assert_non_null(drive_at(DRIVE_IF_IDE, 0, 0)); /* the free one */
    assert_string_equal(blk_id(accept("nofile,media=cdrom")), "ide1-cd1");
    assert_false(blk_is_inserted(blk_find("ide1-cd1")));
    refuse("file.locking=off,id=fifth", "two channels");
    refuse("file.locking=off,index=2", "another drive");
    refuse("file.locking=off,if=virtio,id=sys", "used twice");
}

static void the_cache_mode_sets_what_it_stands_for(void **state)
{
    BlockBackend *blk = accept("if=none,cache=writethrough,file.locking=off");

    assert_false(blk_write_cache(blk));
    assert_false(blk_root(blk)->cache_direct);
    blk = accept("if=none,id=u,cache=unsafe,file.locking=off");
    assert_true(blk_write_cache(blk));
    assert_true(blk_root(blk)->file->cache_no_flush);
    blk = accept("if=none,id=w,file.locking=off,discard=unmap,detect-zeroes=unmap");
    assert_true(blk_can_discard(blk));
    assert_int_equal(blk_error_policy(blk, true), BLOCK_ON_ERROR_ENOSPC);
    assert_int_equal(blk_error_policy(blk, false), BLOCK_ON_ERROR_REPORT);
}

static void with_snapshot_the_image_stays_as_it_is(void **state)
{
    BlockBackend *blk = accept("if=none,snapshot=on");
    uint8_t byte = 0x5a;
    g_autofree char *contents = NULL;

    assert_int_equal(blk_size(blk), 1 * MIB);
    assert_int_equal(blk_pwrite(blk, 70000, &byte, 1, BLOCK_FUA), 0);
    byte = 0;
    assert_int_equal(blk_pread(blk, 70000, &byte, 1), 0);
    assert_int_equal(byte, 0x5a);
    assert_true(g_file_get_contents(image, &contents, NULL, NULL));
    assert_int_equal(contents[70000], 0);
}

static void commit_writes_the_changes_of_a_snapshot_to_the_image(void **state)
{
    BlockBackend *blk = accept("if=none,snapshot=on");
    uint8_t buf[4096];
    unsigned count;
    g_autoptr(GError) err = NULL;

    memset(buf, 0x77, sizeof(buf));
    assert_int_equal(blk_pwrite(blk, 40960, buf, sizeof(buf), 0), 0);
    if (!blk_commit_all(&count, &err))
        fail_msg("%s", err->message);
    assert_int_equal(count, 1);
    assert_true(blk_root(blk)->backing->read_only);
    BlockStatus status;
    assert_int_equal(block_status(blk_root(blk), 0, 1 * MIB, &status), 0);
    assert_false(status.flags & BLOCK_STATUS_ALLOCATED); /* nothing is left above */
    assert_int_equal(status.bytes, 1 * MIB);
    memset(buf, 0, sizeof(buf));
    assert_int_equal(blk_pread(blk, 40960, buf, sizeof(buf)), 0);
    assert_int_equal(buf[0], 0x77);
    drives_close();
    blk = accept("if=none");
    assert_int_equal(blk_pread(blk, 40960, buf, sizeof(buf)), 0);
    assert_int_equal(buf[4095], 0x77);
    memset(buf, 0, sizeof(buf)); /* as the other tests have it */
    assert_int_equal(blk_pwrite(blk, 40960, buf, sizeof(buf), 0), 0);
}

static void commit_leaves_an_image_alone_that_others_use_or_that_is_read_only(void **state)
{
    BlockBackend *blk = accept("if=none,snapshot=on");
    BlockNode *reader = block_node_open_file(image, "raw", 0, NULL);
    g_autoptr(GError) err = NULL;

    assert_non_null(reader);
    assert_false(blk_commit(blk, &err));
    assert_non_null(strstr(err->message, "in use"));
    assert_null(block_node_open_file(image, "raw", BLOCK_OPEN_RDWR, NULL)); /* it is locked as before */
    block_node_unref(reader);
    assert_true(blk_commit(blk, NULL));
    drives_close();
    g_clear_error(&err);
    blk = accept("if=none,snapshot=on,read-only=on");
    assert_false(blk_commit(blk, &err));
    assert_non_null(strstr(err->message, "read-only"));
}

static void a_cd_is_read_only(void **state)
{
    assert_true(blk_is_read_only(accept("media=cdrom")));
}

static void mistakes_are_named(void **state)
{
    refuse("if=scsi", "if has no value 'scsi'");
    refuse("cache=nono", "did you mean 'none'");
    refuse("rerror=enospc", "rerror takes");
    refuse("index=1,bus=0", "index= excludes");
    refuse("bus=2", "two channels");
    refuse("nofile,if=none", "file= is missing");
    refuse("discrad=unmap", "did you mean 'discard'");
    refuse("throttling.bps-total=1M,bps_rd=2M", "bps-total excludes");
    refuse("throttling.iops-total-max=10", "average");
    refuse("nofile,file=/nonexistent,format=raw", "No such file");
}

static void a_drive_nobody_took_is_an_error(void **state)
{
    g_autoptr(GError) err = NULL;

    accept("if=none,id=spare,file.locking=off");
    assert_true(drives_check_used(NULL));
    BlockBackend *blk = accept("if=virtio,file.locking=off");
    assert_false(drives_check_used(&err));
    assert_non_null(strstr(err->message, "'virtio0'"));
    assert_true(blk_attach_device(blk, NULL));
    assert_true(drives_check_used(NULL));
    blk_detach_device(blk);
}

typedef struct Disk {
    BlockConf conf;
} Disk;

static const Property disk_props[] = {BLOCK_CONF_PROPERTIES(Disk, conf), {.name = NULL}};

static bool make_disk(Disk *disk, const char *drive, const char *prop, const char *value, GError **errp)
{
    *disk = (Disk){0};
    property_set_defaults(disk_props, disk);
    return property_set(disk_props, disk, "disk", "drive", drive, errp)
           && (!prop || property_set(disk_props, disk, "disk", prop, value, errp))
           && block_conf_check(&disk->conf, true, false, errp);
}

static void a_device_takes_its_drive_by_id(void **state)
{
    g_autoptr(GError) err = NULL, err2 = NULL, err3 = NULL;
    BlockBackend *blk = accept("if=none,id=d");
    Disk disk, second;

    assert_true(make_disk(&disk, "d", NULL, NULL, NULL));
    assert_ptr_equal(disk.conf.blk, blk);
    assert_int_equal(disk.conf.sectors, 63);
    assert_int_equal(disk.conf.heads, 16);
    assert_int_equal(disk.conf.cylinders, 2);
    assert_false(make_disk(&second, "d", NULL, NULL, &err));
    assert_non_null(strstr(err->message, "another device"));
    property_release(disk_props, &disk);
    assert_false(make_disk(&disk, "none", NULL, NULL, &err2));
    assert_non_null(strstr(err2->message, "no drive with this id"));
    assert_false(make_disk(&disk, "d", "logical_block_size", "4096", &err3));
    assert_non_null(strstr(err3->message, "physical_block_size"));
    property_release(disk_props, &disk);
}

/* --- limits --- */

/* Requests of that size that start within so many seconds if they come as fast as they may. */
static unsigned requests_in(ThrottleState *t, uint64_t bytes, int64_t *now_ns, int64_t seconds)
{
    int64_t end_ns = *now_ns + seconds * NS_PER_SEC;
    unsigned count = 0;

    for (;;) {
        *now_ns += throttle_wait_ns(t, true, *now_ns);
        if (*now_ns >= end_ns)
            return count;
        throttle_account(t, true, bytes);
        count++;
    }
}

static void a_limit_holds_on_average(void **state)
{
    ThrottleConfig config = {.avg[THROTTLE_BPS_WRITE] = 10 * MIB};
    ThrottleState t;
    int64_t now_ns = 0;

    throttle_init(&t, &config, now_ns);
    assert_in_range(requests_in(&t, 64 * KIB, &now_ns, 10), 1600, 1620); /* and a tenth of a second's worth at once */
    assert_int_equal(throttle_wait_ns(&t, false, now_ns), 0); /* reads are not limited */
}

static void a_burst_passes_for_its_length_after_a_quiet_time(void **state)
{
    ThrottleConfig config = {.avg[THROTTLE_IOPS_TOTAL] = 100, .max[THROTTLE_IOPS_TOTAL] = 1000, .length[THROTTLE_IOPS_TOTAL] = 5};
    ThrottleState t;
    int64_t now_ns = 0;

    throttle_init(&t, &config, now_ns);
    assert_in_range(requests_in(&t, 512, &now_ns, 1), 1000, 1120);
    assert_in_range(requests_in(&t, 512, &now_ns, 3), 2900, 3100);
    requests_in(&t, 512, &now_ns, 6);
    assert_in_range(requests_in(&t, 512, &now_ns, 10), 990, 1010); /* used up: the average */
}

static void a_large_request_counts_as_several(void **state)
{
    ThrottleConfig config = {.avg[THROTTLE_IOPS_WRITE] = 100, .iops_size = 4096};
    ThrottleState t;
    int64_t now_ns = 0;

    throttle_init(&t, &config, now_ns);
    assert_in_range(requests_in(&t, 16384, &now_ns, 4), 100, 105);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_ide_drive_has_a_channel_and_a_unit, teardown),
        cmocka_unit_test_teardown(the_cache_mode_sets_what_it_stands_for, teardown),
        cmocka_unit_test_teardown(with_snapshot_the_image_stays_as_it_is, teardown),
        cmocka_unit_test_teardown(commit_writes_the_changes_of_a_snapshot_to_the_image, teardown),
        cmocka_unit_test_teardown(commit_leaves_an_image_alone_that_others_use_or_that_is_read_only, teardown),
        cmocka_unit_test_teardown(a_cd_is_read_only, teardown),
        cmocka_unit_test_teardown(mistakes_are_named, teardown),
        cmocka_unit_test_teardown(a_drive_nobody_took_is_an_error, teardown),
        cmocka_unit_test_teardown(a_device_takes_its_drive_by_id, teardown),
        cmocka_unit_test(a_limit_holds_on_average),
        cmocka_unit_test(a_burst_passes_for_its_length_after_a_quiet_time),
        cmocka_unit_test(a_large_request_counts_as_several),
    };
    int fd, failed;

    core_init();
    image = g_build_filename(g_get_tmp_dir(), "vmm-drive-XXXXXX", NULL);
    fd = g_mkstemp(image);
    g_assert(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
    close(fd);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(image);
    g_free(image);
    return failed;
}
