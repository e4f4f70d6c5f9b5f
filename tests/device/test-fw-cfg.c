/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg: selector, data port, directory and DMA, with the items every pc has.
 */
#include "qtest.h"

#include <endian.h>
#include <string.h>

#define SELECTOR 0x510
#define DATA     0x511
#define DMA_HIGH 0x514
#define DMA_LOW  0x518

enum { SIGNATURE = 0, ID = 1, UUID = 2, RAM_SIZE = 3, DIRECTORY = 0x19, FIRST_FILE = 0x20 };
enum { ERROR = 1, READ = 2, SKIP = 4, SELECT = 8, WRITE = 16 };

#define REQUEST 0x1000 /* where the DMA request is put */
#define BUFFER  0x2000

typedef struct Request {
    uint32_t control, length;
    uint64_t address;
} Request;

static void read_item(QTest *qt, uint16_t select, void *buf, size_t len)
{
    qt_outw(qt, SELECTOR, select);
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = qt_inb(qt, DATA);
}

/* Returns the control word the device left. */
static uint32_t dma(QTest *qt, uint32_t control, uint32_t length, uint64_t address)
{
    Request request = {htobe32(control), htobe32(length), htobe64(address)};

    qt_write(qt, REQUEST, &request, sizeof(request));
    qt_outl(qt, DMA_HIGH, 0);
    qt_outl(qt, DMA_LOW, htobe32(REQUEST));
    qt_read(qt, REQUEST, &request, sizeof(request));
    return be32toh(request.control);
}

static void signature_is_qemu(void **state)
{
    QTest *qt = *state;
    char buf[5];

    read_item(qt, SIGNATURE, buf, 5);
    assert_memory_equal(buf, "QEMU\0", 5); /* past the end: zero */
}

static void the_users_uuid_is_an_item(void **state)
{
    QTest *qt = qt_start("-uuid 01020304-0506-0708-090a-0b0c0d0e0f10");
    uint8_t uuid[16];

    read_item(qt, UUID, uuid, sizeof(uuid));
    for (unsigned i = 0; i < sizeof(uuid); i++)
        assert_int_equal(uuid[i], i + 1);
    assert_true(qt_end(qt));
}

static void id_offers_dma(void **state)
{
    QTest *qt = *state;
    uint32_t id;

    read_item(qt, ID, &id, 4);
    assert_int_equal(id, 3);
}

static void ram_size_is_the_machines(void **state)
{
    QTest *qt = *state;
    uint64_t size;

    read_item(qt, RAM_SIZE, &size, 8);
    assert_int_equal(size, 64 << 20);
}

static void selectors_that_are_not_there_read_as_zero(void **state)
{
    static const uint16_t absent[] = {0x1f, 0x3fff, 0x7fff, 0xffff, 0x8000};
    QTest *qt = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(absent); i++) {
        uint32_t value;

        read_item(qt, absent[i], &value, 4);
        assert_int_equal(value, 0);
    }
}

static void the_directory_is_sorted_and_leads_to_the_files(void **state)
{
    QTest *qt = *state;
    uint32_t count;
    char last[56] = "";

    read_item(qt, DIRECTORY, &count, 4);
    count = be32toh(count);
    assert_in_range(count, 1, 64);
    for (uint32_t i = 0; i < count; i++) {
        struct {
            uint32_t size;
            uint16_t select, reserved;
            char name[56];
        } entry;

        for (size_t byte = 0; byte < sizeof(entry); byte++)
            ((uint8_t *)&entry)[byte] = qt_inb(qt, DATA);
        assert_true(strcmp(last, entry.name) < 0);
        assert_true(be16toh(entry.select) >= FIRST_FILE);
        assert_true(be32toh(entry.size) > 0);
        memcpy(last, entry.name, sizeof(last));
    }
}

static void the_dma_register_says_that_it_is_there(void **state)
{
    QTest *qt = *state;

    assert_int_equal(qt_inl(qt, DMA_HIGH), 0x554d4551); /* "QEMU" in memory order */
    assert_int_equal(qt_inl(qt, DMA_LOW), 0x47464320);  /* " CFG" */
}

static void dma_reads_an_item_and_zeros_after_it(void **state)
{
    QTest *qt = *state;
    char buf[8];

    qt_write(qt, BUFFER, "xxxxxxxx", 8);
    assert_int_equal(dma(qt, SIGNATURE << 16 | SELECT | READ, 6, BUFFER), 0);
    qt_read(qt, BUFFER, buf, 8);
    assert_memory_equal(buf, "QEMU\0\0xx", 8);
}

static void dma_skips_and_goes_on(void **state)
{
    QTest *qt = *state;
    char buf[2];

    assert_int_equal(dma(qt, SIGNATURE << 16 | SELECT | SKIP, 2, 0), 0);
    assert_int_equal(dma(qt, READ, 2, BUFFER), 0);
    qt_read(qt, BUFFER, buf, 2);
    assert_memory_equal(buf, "MU", 2);
}

static void writing_a_read_only_item_is_an_error(void **state)
{
    QTest *qt = *state;
    char buf[4];

    assert_int_equal(dma(qt, SIGNATURE << 16 | SELECT | WRITE, 4, BUFFER), ERROR);
    read_item(qt, SIGNATURE, buf, 4);
    assert_memory_equal(buf, "QEMU", 4);
}

static void a_buffer_outside_ram_is_an_error(void **state)
{
    QTest *qt = *state;

    assert_int_equal(dma(qt, SIGNATURE << 16 | SELECT | READ, 4, 0xfee00000), ERROR);
    assert_int_equal(dma(qt, SIGNATURE << 16 | SELECT | READ, 0xffffffff, BUFFER), ERROR);
}

static void a_request_outside_ram_is_ignored(void **state)
{
    QTest *qt = *state;
    char buf[4];

    qt_outl(qt, DMA_HIGH, 0xffffffff);
    qt_outl(qt, DMA_LOW, 0xffffffff);
    read_item(qt, SIGNATURE, buf, 4);
    assert_memory_equal(buf, "QEMU", 4);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, qt_setup, qt_teardown)
    const struct CMUnitTest tests[] = {
        T(signature_is_qemu),
        cmocka_unit_test(the_users_uuid_is_an_item),
        T(id_offers_dma),
        T(ram_size_is_the_machines),
        T(selectors_that_are_not_there_read_as_zero),
        T(the_directory_is_sorted_and_leads_to_the_files),
        T(the_dma_register_says_that_it_is_there),
        T(dma_reads_an_item_and_zeros_after_it),
        T(dma_skips_and_goes_on),
        T(writing_a_read_only_item_is_an_error),
        T(a_buffer_outside_ram_is_an_error),
        T(a_request_outside_ram_is_ignored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
