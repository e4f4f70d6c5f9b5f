/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IDE on the pc machine: where the controller is, its interrupts and its bus master, with an image in
 * a file. What drives do is in tests/unit/test-ide.c and test-atapi.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bits.h"
#include "qtest.h"

#define DISK_BYTES (1 * MIB)
#define BM_PORT 0xc100
#define TABLE 0x100000u
#define DATA 0x101000u

static char disk_path[] = "/tmp/vmm-test-ide-XXXXXX", cd_path[] = "/tmp/vmm-test-ide-XXXXXX";

static void make_image(char *path, unsigned unit)
{
    uint8_t block[2048];
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    for (unsigned i = 0; i < DISK_BYTES / unit; i++) {
        memset(block, (int)i & 0xff, unit);
        store_le(block, i, 4);
        assert_int_equal(write(fd, block, unit), unit);
    }
    close(fd);
}

static int make_images(void **state)
{
    make_image(disk_path, 512);
    make_image(cd_path, 2048);
    return 0;
}

static int remove_images(void **state)
{
    unlink(disk_path);
    unlink(cd_path);
    return 0;
}

static void config_out(QTest *qt, unsigned offset, uint32_t value)
{
    qt_outl(qt, 0xcf8, 0x80000900 | offset);
    qt_outl(qt, 0xcfc, value);
}

static uint32_t config_in(QTest *qt, unsigned offset)
{
    qt_outl(qt, 0xcf8, 0x80000900 | offset);
    return qt_inl(qt, 0xcfc);
}

static QTest *start(void)
{
    g_autofree char *args = g_strdup_printf(
        "-drive file=%s,format=raw,index=0 -drive file=%s,format=raw,index=2,media=cdrom", disk_path, cd_path);
    QTest *qt = qt_start(args);

    qt_intercept_gsi(qt);
    config_out(qt, 0x20, BM_PORT);
    config_out(qt, 0x04, 5); /* ports, bus master */
    return qt;
}

static void wait_while(QTest *qt, uint16_t port, uint8_t mask)
{
    qt_wait_inb(qt, port, mask, 0);
}

static void address(QTest *qt, uint32_t lba, uint8_t count)
{
    qt_outb(qt, 0x1f2, count);
    qt_outb(qt, 0x1f3, lba);
    qt_outb(qt, 0x1f4, lba >> 8);
    qt_outb(qt, 0x1f5, lba >> 16);
    qt_outb(qt, 0x1f6, 0x40);
}

static void the_controller_is_function_1_of_the_isa_bridge(void **state)
{
    QTest *qt = start();

    assert_int_equal(config_in(qt, 0x00), 0x70108086);
    assert_int_equal(config_in(qt, 0x08) >> 8, 0x010180);
    config_out(qt, 0x20, 0xffffffff);
    assert_int_equal(config_in(qt, 0x20), 0xfffffff1); /* 16 ports */
    assert_int_equal(qt_inb(qt, 0x3f6), 0x50);
    assert_int_equal(qt_inb(qt, 0x376), 0x00);
    assert_int_equal(qt_inb(qt, 0x174), 0x14); /* a packet device */
    assert_true(qt_end(qt));
}

static void pio_moves_sectors_from_and_to_the_file(void **state)
{
    QTest *qt = start();
    uint8_t byte = 0;

    address(qt, 1000, 1);
    qt_outb(qt, 0x1f7, 0x20);
    wait_while(qt, 0x3f6, 0x80);
    assert_int_equal(qt_inw(qt, 0x1f0), 1000);
    for (unsigned i = 1; i < 256; i++)
        qt_inw(qt, 0x1f0);
    assert_int_equal(qt_inb(qt, 0x1f7), 0x50);
    address(qt, 1001, 1);
    qt_outb(qt, 0x1f7, 0x30);
    for (unsigned i = 0; i < 256; i++)
        qt_outw(qt, 0x1f0, 0x5aa5);
    wait_while(qt, 0x3f6, 0x80);
    qt_outb(qt, 0x1f7, 0xe7);
    wait_while(qt, 0x3f6, 0x80);
    assert_int_equal(qt_inb(qt, 0x1f7), 0x50);
    FILE *f = fopen(disk_path, "rb");
    fseek(f, 1001 * 512 + 511, SEEK_SET);
    assert_int_equal(fread(&byte, 1, 1, f), 1);
    fclose(f);
    assert_int_equal(byte, 0x5a);
    assert_true(qt_end(qt));
}

static void dma_moves_sectors_to_guest_memory(void **state)
{
    QTest *qt = start();

    qt_writel(qt, TABLE, DATA);
    qt_writel(qt, TABLE + 4, 0x80000000 | 4096);
    qt_outl(qt, BM_PORT + 4, TABLE);
    address(qt, 16, 8);
    qt_outb(qt, 0x1f7, 0xc8);
    qt_outb(qt, BM_PORT, 0x09);
    wait_while(qt, BM_PORT + 2, 0x01);
    assert_int_equal(qt_inb(qt, BM_PORT + 2), 0x04);
    qt_outb(qt, BM_PORT, 0);
    assert_int_equal(qt_inb(qt, 0x1f7), 0x50);
    assert_int_equal(qt->raised[14], 1);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(qt_readl(qt, DATA + i * 512), 16 + i);
    assert_true(qt_end(qt));
}

/* 1 TiB: the second half is out of reach of 28 bits. */
static void large_disks_take_48_bits(void **state)
{
    QTest *qt = qt_start("-blockdev driver=null-co,node-name=n0,size=1T -device ide-hd,drive=n0");
    uint16_t id[256];

    config_out(qt, 0x04, 1);
    qt_outb(qt, 0x1f7, 0xec);
    for (unsigned i = 0; i < 256; i++)
        id[i] = qt_inw(qt, 0x1f0);
    assert_int_equal(id[60] | id[61] << 16, 0x0fffffff);
    assert_int_equal(load_le(id + 100, 8), 0x80000000);
    for (int i = 1; i >= 0; i--) {
        qt_outb(qt, 0x1f2, i ? 0 : 1);
        qt_outb(qt, 0x1f3, i ? 0x7f : 0xff); /* the last sector, 7fffffffh */
        qt_outb(qt, 0x1f4, i ? 0 : 0xff);
        qt_outb(qt, 0x1f5, i ? 0 : 0xff);
    }
    qt_outb(qt, 0x1f6, 0x40);
    qt_outb(qt, 0x1f7, 0x24);
    wait_while(qt, 0x3f6, 0x80);
    assert_int_equal(qt_inb(qt, 0x1f7) & 0x09, 0x08);
    for (unsigned i = 0; i < 256; i++)
        qt_inw(qt, 0x1f0);
    assert_int_equal(qt_inb(qt, 0x1f7), 0x50);
    assert_true(qt_end(qt));
}

static void a_reset_of_the_board_brings_the_signatures_back(void **state)
{
    QTest *qt = start();

    address(qt, 5, 1);
    qt_outb(qt, 0x1f7, 0x20);
    wait_while(qt, 0x3f6, 0x80);
    qt_outb(qt, 0xcf9, 0x06);
    config_out(qt, 0x04, 1);
    assert_int_equal(qt_inb(qt, 0x3f6), 0x50);
    assert_int_equal(qt_inb(qt, 0x1f2), 1);
    assert_int_equal(qt_inb(qt, 0x174), 0x14);
    assert_true(qt_end(qt));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_controller_is_function_1_of_the_isa_bridge),
        cmocka_unit_test(pio_moves_sectors_from_and_to_the_file),
        cmocka_unit_test(dma_moves_sectors_to_guest_memory),
        cmocka_unit_test(large_disks_take_48_bits),
        cmocka_unit_test(a_reset_of_the_board_brings_the_signatures_back),
    };

    return cmocka_run_group_tests(tests, make_images, remove_images);
}
