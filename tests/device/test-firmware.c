/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the board hands to firmware: fw_cfg's files, the tables' script carried out as SeaBIOS does, boot
 * order in files and CMOS, SMBIOS (DSP0134 2.8).
 */
#include "qtest.h"

#include <string.h>
#include <unistd.h>

#include "core/bits.h"

#define SELECTOR 0x510
#define DATA     0x511
#define FILE_DIR 0x19
#define FILE_NAME 56
#define TABLES_AT 0x00800000u

static void select_item(QTest *qt, uint16_t item)
{
    qt_outw(qt, SELECTOR, item);
}

static void read_item(QTest *qt, void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = qt_inb(qt, DATA);
}

static uint64_t be(const uint8_t *p, unsigned size)
{
    uint64_t value = 0;
    while (size--)
        value = value << 8 | *p++;
    return value;
}

/* A file's contents, NULL if there is none. */
static GByteArray *read_file(QTest *qt, const char *name)
{
    uint8_t head[4], entry[8 + FILE_NAME];
    unsigned count;

    select_item(qt, FILE_DIR);
    read_item(qt, head, sizeof(head));
    count = be(head, 4);
    for (unsigned i = 0; i < count; i++) {
        read_item(qt, entry, sizeof(entry));
        if (strcmp((char *)entry + 8, name))
            continue;
        GByteArray *data = g_byte_array_new();
        g_byte_array_set_size(data, be(entry, 4));
        select_item(qt, be(entry + 4, 2));
        read_item(qt, data->data, data->len);
        return data;
    }
    return NULL;
}

static GByteArray *need_file(QTest *qt, const char *name)
{
    GByteArray *data = read_file(qt, name);

    if (!data)
        fail_msg("there is no file %s", name);
    return data;
}

static uint64_t file_number(QTest *qt, const char *name)
{
    g_autoptr(GByteArray) data = need_file(qt, name);
    return load_le(data->data, data->len);
}

static char *temp_file(const void *data, size_t len)
{
    char *path = NULL;
    int fd = g_file_open_tmp("vmm-test-XXXXXX", &path, NULL);

    assert_int_equal(write(fd, data, len), len);
    close(fd);
    return path;
}

/* With an image that is all zeros: nothing runs anyway. */
static QTest *start(const char *more)
{
    static const uint8_t zeros[65536];
    g_autofree char *bios = temp_file(zeros, sizeof(zeros));
    g_autofree char *args = g_strdup_printf("-bios %s%s%s", bios, more ? " " : "", more ? more : "");
    QTest *qt = qt_start(args);

    qt_inb(qt, DATA); /* an answer: the files have been read */
    unlink(bios);
    return qt;
}

static uint8_t cmos(QTest *qt, uint8_t index)
{
    qt_outb(qt, 0x70, index);
    return qt_inb(qt, 0x71);
}

static void reset(QTest *qt)
{
    qt_outb(qt, 0xcf9, 0x02);
    qt_outb(qt, 0xcf9, 0x06);
}

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t s = 0;
    while (len--)
        s += *p++;
    return s;
}

/* --- tables --- */

typedef struct Linked {
    GByteArray *tables, *rsdp;
} Linked;

static GByteArray *by_name(const Linked *l, const uint8_t *name)
{
    return strstr((const char *)name, "rsdp") ? l->rsdp : l->tables;
}

/* The three commands, as a firmware carries them out; everything in bounds. */
static void run_command(const Linked *l, const uint8_t *p)
{
    const uint8_t *f = p + 4;
    GByteArray *file = by_name(l, f);
    uint32_t offset, start, len;

    switch (load_le(p, 4)) {
    case 1:
        assert_true(f[FILE_NAME + 4] == 1 || f[FILE_NAME + 4] == 2);
        break;
    case 2:
        offset = load_le(f + 2 * FILE_NAME, 4);
        len = f[2 * FILE_NAME + 4];
        assert_true(range_ok(offset, len, file->len));
        store_le(file->data + offset, load_le(file->data + offset, len) + TABLES_AT, len);
        break;
    case 3:
        offset = load_le(f + FILE_NAME, 4);
        start = load_le(f + FILE_NAME + 4, 4);
        len = load_le(f + FILE_NAME + 8, 4);
        assert_true(offset < file->len && range_ok(start, len, file->len));
        file->data[offset] -= sum(file->data + start, len);
        break;
    default:
        fail_msg("unknown command %u", (unsigned)load_le(p, 4));
    }
}

static void the_loader_script_links_valid_acpi_tables(void **state)
{
    QTest *qt = start("-smp 3");
    g_autoptr(GByteArray) script = need_file(qt, "etc/table-loader");
    g_autoptr(GByteArray) tables = need_file(qt, "etc/acpi/tables"), rsdp = need_file(qt, "etc/acpi/rsdp");
    Linked l = {tables, rsdp};

    assert_int_equal(script->len % 128, 0);
    for (guint i = 0; i < script->len; i += 128)
        run_command(&l, script->data + i);
    assert_memory_equal(rsdp->data, "RSD PTR ", 8);
    assert_int_equal(sum(rsdp->data, 20), 0);
    assert_int_equal(sum(rsdp->data, 36), 0);
    const uint8_t *xsdt = tables->data + load_le(rsdp->data + 24, 8) - TABLES_AT;
    assert_memory_equal(xsdt, "XSDT", 4);
    for (unsigned i = 36; i < load_le(xsdt + 4, 4); i += 8) {
        const uint8_t *table = tables->data + load_le(xsdt + i, 8) - TABLES_AT;
        assert_int_equal(sum(table, load_le(table + 4, 4)), 0);
    }
    assert_true(qt_end(qt));
}

/* PM1a_EVT_BLK, ACPI 6.5, 5.2.9. */
static uint32_t fadt_pm1_event_block(QTest *qt)
{
    g_autoptr(GByteArray) tables = need_file(qt, "etc/acpi/tables");
    const uint8_t *fadt = memmem(tables->data, tables->len, "FACP", 4);

    assert_non_null(fadt);
    return load_le(fadt + 56, 4);
}

static void write_pm_config(QTest *qt, uint8_t reg, uint32_t value)
{
    qt_outl(qt, 0xcf8, 0x80000000u | 1 << 11 | 3 << 8 | reg);
    qt_outl(qt, 0xcfc, value);
}

/* PIIX4 data sheet, 7.1.20 PMBA and 7.1.27 PMREGMISC. */
static void the_tables_say_where_firmware_placed_the_power_management(void **state)
{
    QTest *qt = start("-m 64");

    assert_int_equal(fadt_pm1_event_block(qt), 0x600);
    write_pm_config(qt, 0x40, 0xb001);
    write_pm_config(qt, 0x80, 1);
    assert_int_equal(fadt_pm1_event_block(qt), 0xb000);
    reset(qt);
    assert_int_equal(fadt_pm1_event_block(qt), 0x600);
    assert_true(qt_end(qt));
}

static void without_acpi_there_is_no_script(void **state)
{
    QTest *qt = start("-machine acpi=off");

    assert_null(read_file(qt, "etc/table-loader"));
    assert_true(qt_end(qt));
}

/* The structure of a type, from the tables; NULL if there is none. */
static const uint8_t *find_structure(const GByteArray *tables, uint8_t type)
{
    for (guint i = 0; i + 4 < tables->len;) {
        const uint8_t *p = tables->data + i;
        if (p[0] == type)
            return p;
        i += p[1];
        while (i + 1 < tables->len && (tables->data[i] || tables->data[i + 1]))
            i++;
        i += 2;
    }
    return NULL;
}

static void smbios_describes_the_machine(void **state)
{
    QTest *qt = start("-m 3200 -smp 4,sockets=2,cores=2 -uuid 00112233-4455-6677-8899-aabbccddeeff");
    g_autoptr(GByteArray) tables = need_file(qt, "etc/smbios/smbios-tables");
    g_autoptr(GByteArray) anchor = need_file(qt, "etc/smbios/smbios-anchor");
    static const uint8_t uuid[] = {0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

    assert_memory_equal(anchor->data, "_SM_", 4);
    assert_int_equal(anchor->data[6] << 8 | anchor->data[7], 0x0208);
    assert_int_equal(load_le(anchor->data + 22, 2), tables->len);
    assert_int_equal(sum(anchor->data, anchor->len), 0);
    assert_int_equal(sum(anchor->data + 16, anchor->len - 16), 0);
    assert_null(find_structure(tables, 0)); /* firmware's own */
    assert_memory_equal(find_structure(tables, 1) + 8, uuid, 16);
    assert_int_equal(find_structure(tables, 4)[0x23], 2); /* cores */
    assert_int_equal(load_le(find_structure(tables, 16) + 7, 4), 3200 * 1024);
    assert_int_equal(load_le(find_structure(tables, 17) + 12, 2), 3200);
    assert_int_equal(load_le(find_structure(tables, 19) + 8, 4), 3 * 1024 * 1024 - 1);
    assert_non_null(find_structure(tables, 127));
    assert_true(qt_end(qt));
}

static void without_firmware_smbios_lies_in_memory(void **state)
{
    QTest *qt = qt_start(NULL);
    uint8_t anchor[31];

    qt_read(qt, 0xf0000, anchor, sizeof(anchor));
    assert_memory_equal(anchor, "_SM_", 4);
    assert_int_equal(sum(anchor, sizeof(anchor)), 0);
    g_autoptr(GByteArray) tables = g_byte_array_new();
    g_byte_array_set_size(tables, load_le(anchor + 22, 2));
    qt_read(qt, load_le(anchor + 24, 4), tables->data, tables->len);
    assert_non_null(find_structure(tables, 0));
    assert_non_null(find_structure(tables, 127));
    assert_true(qt_end(qt));
}

static void e820_tells_firmware_of_ram_below_and_above_4_gib(void **state)
{
    QTest *qt = start("-m 3200");
    g_autoptr(GByteArray) e820 = need_file(qt, "etc/e820");

    assert_int_equal(e820->len % 20, 0);
    assert_int_equal(load_le(e820->data, 8), 0);
    assert_int_equal(load_le(e820->data + 8, 8), 3 * GIB);
    assert_int_equal(load_le(e820->data + 16, 4), 1);
    const uint8_t *last = e820->data + e820->len - 20;
    assert_int_equal(load_le(last, 8), 4 * GIB);
    assert_int_equal(load_le(last + 8, 8), 128 * MIB);
    assert_true(qt_end(qt));
}

/* --- boot order --- */

static void boot_order_is_in_cmos_and_once_is_for_once(void **state)
{
    QTest *qt = start("-boot order=cad,once=n");

    assert_int_equal(cmos(qt, 0x3d), 0x04);
    assert_int_equal(cmos(qt, 0x38), 0x01);
    reset(qt);
    assert_int_equal(cmos(qt, 0x3d), 0x12);
    assert_int_equal(cmos(qt, 0x38), 0x31);
    reset(qt);
    assert_int_equal(cmos(qt, 0x3d), 0x12);
    assert_true(qt_end(qt));
}

static void boot_menu_and_times_are_files(void **state)
{
    QTest *qt = start("-boot menu=on,splash-time=1234,reboot-timeout=777");

    assert_int_equal(file_number(qt, "etc/boot-menu-wait"), 1234);
    assert_int_equal(file_number(qt, "etc/boot-fail-wait"), 777);
    select_item(qt, 0x0e);
    assert_int_equal(qt_inb(qt, DATA), 1);
    assert_true(qt_end(qt));
}

static void by_default_a_failed_boot_is_final(void **state)
{
    QTest *qt = start(NULL);

    assert_int_equal(file_number(qt, "etc/boot-fail-wait"), 0xffffffff);
    assert_null(read_file(qt, "etc/boot-menu-wait"));
    assert_null(read_file(qt, "bootorder"));
    assert_true(qt_end(qt));
}

static void option_roms_are_files_with_a_place_in_the_order(void **state)
{
    static const uint8_t image[512] = {0x55, 0xaa, 1, 0xcb};
    g_autofree char *a = temp_file(image, 512), *b = temp_file(image, 100);
    g_autofree char *args = g_strdup_printf("-option-rom %s,bootindex=7 -option-rom %s,bootindex=3 -boot strict=on", a, b);
    QTest *qt = start(args);
    g_autofree char *base_a = g_path_get_basename(a), *base_b = g_path_get_basename(b);
    g_autofree char *name_a = g_strdup_printf("genroms/%s", base_a), *name_b = g_strdup_printf("genroms/%s", base_b);
    g_autofree char *want = g_strdup_printf("/rom@%s\n/rom@%s\nHALT", name_b, name_a);

    unlink(a);
    unlink(b);
    g_autoptr(GByteArray) rom = need_file(qt, name_a), order = need_file(qt, "bootorder");
    assert_int_equal(rom->len, 512);
    assert_memory_equal(rom->data, image, 512);
    assert_int_equal(order->len, strlen(want) + 1);
    assert_string_equal((char *)order->data, want);
    assert_true(qt_end(qt));
}

static void disks_have_their_place_by_bootindex(void **state)
{
    g_autofree uint8_t *zeros = g_malloc0(MIB);
    g_autofree char *a = temp_file(zeros, MIB), *b = temp_file(zeros, MIB);
    g_autofree char *args = g_strdup_printf(
        "-drive if=none,id=a,format=raw,file=%s -drive if=none,id=b,format=raw,file=%s -device ide-hd,drive=a,bus=ide.1,"
        "unit=0,bootindex=4 -device virtio-blk-pci,drive=b,addr=5.0,bootindex=0", a, b);
    QTest *qt = start(args);
    g_autoptr(GByteArray) order = need_file(qt, "bootorder");

    unlink(a);
    unlink(b);
    assert_string_equal((char *)order->data, "/pci@i0cf8/scsi@5/disk@0,0\n/pci@i0cf8/ide@1,1/drive@1/disk@0");
    assert_true(qt_end(qt));
}

static void a_serial_console_is_for_nographic_only(void **state)
{
    QTest *qt = start("-nographic -serial null -monitor none");

    assert_int_equal(file_number(qt, "etc/sercon-port"), 0x3f8);
    assert_true(qt_end(qt));
    qt = start("-serial null");
    assert_null(read_file(qt, "etc/sercon-port"));
    assert_true(qt_end(qt));
}

static void firmware_is_found_by_name_in_the_directory_of_L(void **state)
{
    g_autofree char *dir = g_dir_make_tmp("vmm-L-XXXXXX", NULL), *path = g_strdup_printf("%s/some-bios.bin", dir);
    g_autofree char *image = g_malloc0(65536), *args = g_strdup_printf("-L /nonexistent -L %s -bios some-bios.bin", dir);
    uint8_t byte;

    image[0] = 0x42;
    assert_true(g_file_set_contents(path, image, 65536, NULL));
    QTest *qt = qt_start(args);
    qt_read(qt, 0xffff0000, &byte, 1);
    assert_int_equal(byte, 0x42);
    unlink(path);
    rmdir(dir);
    assert_true(qt_end(qt));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loader_script_links_valid_acpi_tables),
        cmocka_unit_test(the_tables_say_where_firmware_placed_the_power_management),
        cmocka_unit_test(without_acpi_there_is_no_script),
        cmocka_unit_test(smbios_describes_the_machine),
        cmocka_unit_test(without_firmware_smbios_lies_in_memory),
        cmocka_unit_test(e820_tells_firmware_of_ram_below_and_above_4_gib),
        cmocka_unit_test(boot_order_is_in_cmos_and_once_is_for_once),
        cmocka_unit_test(boot_menu_and_times_are_files),
        cmocka_unit_test(by_default_a_failed_boot_is_final),
        cmocka_unit_test(option_roms_are_files_with_a_place_in_the_order),
        cmocka_unit_test(disks_have_their_place_by_bootindex),
        cmocka_unit_test(a_serial_console_is_for_nographic_only),
        cmocka_unit_test(firmware_is_found_by_name_in_the_directory_of_L),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
