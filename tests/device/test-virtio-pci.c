/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio-pci transport (virtio 1.2, 4.1; legacy 0.9.5) with the random number device behind it, and that
 * device (5.4).
 */
#include "virtio-driver.h"

#include <string.h>

#define SLOT 5
#define RNG  "-m 8 -device virtio-rng-pci,addr=5"

static void identification_says_which_interfaces_there_are(void **state)
{
    static const struct {
        const char *args;
        uint16_t device, subsystem;
        uint8_t revision;
        bool io, modern;
    } rows[] = {
        { "-device virtio-rng-pci,addr=5", 0x1005, 4, 0, true, true },
        { "-device virtio-rng-pci,addr=5,disable-modern=on", 0x1005, 4, 0, true, false },
        { "-device virtio-rng-pci-transitional,addr=5", 0x1005, 4, 0, true, true },
        { "-device virtio-rng-pci-non-transitional,addr=5", 0x1044, 0x1100, 1, false, true },
        { "-device virtio-rng-pci,addr=5,disable-legacy=on", 0x1044, 0x1100, 1, false, true },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        VirtioDriver drv = { .qt = qt_start(rows[i].args), .slot = SLOT };

        assert_int_equal(vd_config_read(&drv, 0x00, 2), 0x1af4);
        assert_int_equal(vd_config_read(&drv, 0x02, 2), rows[i].device);
        assert_int_equal(vd_config_read(&drv, 0x08, 1), rows[i].revision);
        assert_int_equal(vd_config_read(&drv, 0x2c, 2), 0x1af4);
        assert_int_equal(vd_config_read(&drv, 0x2e, 2), rows[i].subsystem);
        assert_int_equal(vd_config_read(&drv, 0x10, 4) & 1, rows[i].io);
        assert_int_equal(vd_config_read(&drv, 0x20, 4) & 0xf, rows[i].modern ? 0xc : 0);
        assert_int_equal(vd_find_cap(&drv, 0x09, 0) != 0, rows[i].modern);
        assert_int_not_equal(vd_find_cap(&drv, 0x11, 0), 0);
        assert_true(qt_end(drv.qt));
    }
}

/* --- the modern registers --- */

static int setup(void **state)
{
    VirtioDriver *drv = g_new(VirtioDriver, 1);

    vd_open(drv, qt_start(RNG), SLOT, false);
    *state = drv;
    return 0;
}

static int teardown(void **state)
{
    VirtioDriver *drv = *state;
    bool ok = qt_end(drv->qt);

    g_free(drv);
    return ok ? 0 : -1;
}

static void five_capabilities_say_where_the_registers_are(void **state)
{
    VirtioDriver *drv = *state;
    static const uint32_t offsets[] = { 0, 0x0000, 0x3000, 0x1000, 0x2000, 0 };
    unsigned seen = 0;

    for (unsigned n = 0; n < 5; n++) {
        unsigned cap = vd_find_cap(drv, 0x09, n);
        assert_true(cap);
        unsigned type = vd_config_read(drv, cap + 3, 1);
        assert_in_range(type, 1, 5);
        seen |= 1u << type;
        assert_int_equal(vd_config_read(drv, cap + 2, 1), type == 2 || type == 5 ? 20 : 16);
        if (type == 5)
            continue;
        assert_int_equal(vd_config_read(drv, cap + 4, 1), 4);
        assert_int_equal(vd_config_read(drv, cap + 8, 4), offsets[type]);
        assert_int_equal(vd_config_read(drv, cap + 12, 4), 0x1000);
        if (type == 2)
            assert_int_equal(vd_config_read(drv, cap + 16, 4), 4);
    }
    assert_int_equal(seen, 0x3e);
    assert_int_equal(vd_find_cap(drv, 0x09, 5), 0);
}

static void features_outside_the_offer_are_refused(void **state)
{
    VirtioDriver *drv = *state;

    vd_set_status(drv, VS_ACKNOWLEDGE | VS_DRIVER);
    vd_common(drv, VC_GFSELECT, 4, 1);
    vd_common(drv, VC_GF, 4, 1);
    vd_common(drv, VC_GFSELECT, 4, 0);
    vd_common(drv, VC_GF, 4, 1); /* a bit this device does not have */
    vd_set_status(drv, VS_ACKNOWLEDGE | VS_DRIVER | VS_FEATURES_OK);
    assert_int_equal(vd_status(drv), VS_ACKNOWLEDGE | VS_DRIVER);
    vd_common(drv, VC_GF, 4, 0);
    vd_set_status(drv, VS_ACKNOWLEDGE | VS_DRIVER | VS_FEATURES_OK);
    assert_int_equal(vd_status(drv), VS_ACKNOWLEDGE | VS_DRIVER | VS_FEATURES_OK);
}

static void a_driver_without_version_1_is_refused(void **state)
{
    VirtioDriver *drv = *state;

    vd_set_status(drv, VS_ACKNOWLEDGE | VS_DRIVER | VS_FEATURES_OK);
    assert_int_equal(vd_status(drv), VS_ACKNOWLEDGE | VS_DRIVER);
    vd_set_status(drv, VS_ACKNOWLEDGE | VS_DRIVER | VS_DRIVER_OK);
    assert_int_equal(vd_status(drv), VS_ACKNOWLEDGE | VS_DRIVER);
}

static void features_are_latched_with_features_ok(void **state)
{
    VirtioDriver *drv = *state;

    vd_negotiate(drv, F_EVENT_IDX);
    vd_common(drv, VC_GFSELECT, 4, 0);
    vd_common(drv, VC_GF, 4, 0);
    assert_int_equal(vd_common_get(drv, VC_GF, 4), F_EVENT_IDX);
}

static void a_status_bit_goes_by_reset_only(void **state)
{
    VirtioDriver *drv = *state;

    vd_set_status(drv, VS_ACKNOWLEDGE | VS_DRIVER);
    vd_set_status(drv, VS_ACKNOWLEDGE);
    assert_int_equal(vd_status(drv), VS_ACKNOWLEDGE | VS_DRIVER);
    vd_set_status(drv, VS_NEEDS_RESET); /* not the driver's to set */
    assert_int_equal(vd_status(drv), VS_ACKNOWLEDGE | VS_DRIVER);
    vd_set_status(drv, 0);
    assert_int_equal(vd_status(drv), 0);
}

static void selectors_out_of_range_read_zero_and_ignore_writes(void **state)
{
    VirtioDriver *drv = *state;

    vd_common(drv, VC_DFSELECT, 4, 2);
    assert_int_equal(vd_common_get(drv, VC_DF, 4), 0);
    vd_common(drv, VC_DFSELECT, 4, 0xffffffff);
    assert_int_equal(vd_common_get(drv, VC_DF, 4), 0);
    assert_int_equal(vd_common_get(drv, VC_NUMQ, 2), 1);
    vd_negotiate(drv, 0);
    for (unsigned q = 1; q <= 0xffff; q = q * 2 + 1) {
        vd_common(drv, VC_Q_SELECT, 2, q);
        vd_common(drv, VC_Q_ENABLE, 2, 1);
        vd_common(drv, VC_Q_MSIX, 2, 0);
        for (unsigned reg = VC_Q_SIZE; reg < VC_Q_DESC; reg += 2)
            assert_int_equal(vd_common_get(drv, reg, 2), 0);
        assert_int_equal(vd_common_get(drv, VC_Q_DESC, 4), 0);
        qt_writel(drv->qt, VD_NOTIFY + 4 * (q & 0x3ff), q);
    }
}

static void a_vector_that_is_not_there_reads_back_as_none(void **state)
{
    VirtioDriver *drv = *state;

    vd_common(drv, VC_MSIX, 2, 1);
    assert_int_equal(vd_common_get(drv, VC_MSIX, 2), 1);
    vd_common(drv, VC_MSIX, 2, 2);
    assert_int_equal(vd_common_get(drv, VC_MSIX, 2), 0xffff);
    vd_common(drv, VC_Q_MSIX, 2, 0);
    assert_int_equal(vd_common_get(drv, VC_Q_MSIX, 2), 0);
    vd_set_status(drv, 0);
    assert_int_equal(vd_common_get(drv, VC_Q_MSIX, 2), 0xffff);
}

static void the_configuration_of_an_enabled_queue_is_latched(void **state)
{
    VirtioDriver *drv = *state;
    VirtioRing ring;

    vd_start(drv, &ring, 0, 4);
    vd_common(drv, VC_Q_SIZE, 2, 2);
    vd_common(drv, VC_Q_DESC, 8, 0x12345670);
    vd_common(drv, VC_Q_DEVICE, 8, 0);
    vd_common(drv, VC_Q_ENABLE, 2, 0);
    assert_int_equal(vd_common_get(drv, VC_Q_SIZE, 2), 4);
    assert_int_equal(vd_common_get(drv, VC_Q_DESC, 4), ring.desc);
    assert_int_equal(vd_common_get(drv, VC_Q_ENABLE, 2), 1);
    VirtioBuffer b = { VD_BUFFERS, 16, true };
    assert_int_equal(vd_do(&ring, &b, 1), 16);
}

static void a_queue_size_that_cannot_be_is_ignored_or_needs_a_reset(void **state)
{
    VirtioDriver *drv = *state;

    vd_negotiate(drv, 0);
    vd_common(drv, VC_Q_SELECT, 2, 0);
    assert_int_equal(vd_common_get(drv, VC_Q_SIZE, 2), 8);
    vd_common(drv, VC_Q_SIZE, 2, 0);
    assert_int_equal(vd_common_get(drv, VC_Q_SIZE, 2), 8);
    vd_common(drv, VC_Q_SIZE, 2, 16);
    assert_int_equal(vd_common_get(drv, VC_Q_SIZE, 2), 8);
    vd_common(drv, VC_Q_SIZE, 2, 3); /* no split ring has three entries */
    vd_common(drv, VC_Q_ENABLE, 2, 1);
    assert_int_equal(vd_common_get(drv, VC_Q_ENABLE, 2), 0);
    assert_true(vd_status(drv) & VS_NEEDS_RESET);
}

/* --- queues, over every transport --- */

static const struct {
    const char *args;
    bool legacy;
    uint64_t features;
} transports[] = {
    { "-m 8 -device virtio-rng-pci,addr=5", false, 0 },
    { "-m 8 -device virtio-rng-pci,addr=5", false, F_EVENT_IDX | F_INDIRECT },
    { "-m 8 -device virtio-rng-pci,addr=5,packed=on", false, F_PACKED },
    { "-m 8 -device virtio-rng-pci,addr=5,packed=on", false, F_PACKED | F_EVENT_IDX },
    { "-m 8 -device virtio-rng-pci,addr=5", true, 0 },
    { "-m 8 -device virtio-rng-pci,addr=5,disable-modern=on", true, F_EVENT_IDX },
    { "-m 8 -device virtio-rng-pci,addr=5,ioeventfd=off", false, 0 },
    { "-m 8 -device virtio-rng-pci,addr=5,ioeventfd=off", true, 0 },
};

static void random_bytes_come_over_every_transport_and_layout(void **state)
{
    for (unsigned t = 0; t < G_N_ELEMENTS(transports); t++) {
        VirtioDriver drv;
        VirtioRing ring;
        uint8_t bytes[64], before[64] = { 0 };

        vd_open(&drv, qt_start(transports[t].args), SLOT, transports[t].legacy);
        vd_start(&drv, &ring, transports[t].features, 8);
        assert_int_equal(drv.features & ~F_VERSION_1, transports[t].features);
        for (unsigned round = 0; round < 20; round++) { /* more than twice round the ring */
            VirtioBuffer b = { VD_BUFFERS + 3 * round, sizeof(bytes), true };
            assert_int_equal(vd_do(&ring, &b, 1), sizeof(bytes));
            qt_read(drv.qt, b.addr, bytes, sizeof(bytes));
            assert_memory_not_equal(bytes, before, sizeof(bytes));
            memcpy(before, bytes, sizeof(bytes));
        }
        assert_true(qt_end(drv.qt));
    }
}

static void nothing_is_taken_before_driver_ok(void **state)
{
    VirtioDriver *drv = *state;
    VirtioRing ring;
    VirtioBuffer b = { VD_BUFFERS, 16, true };
    uint16_t id;
    uint32_t len;

    vd_negotiate(drv, 0);
    vd_queue(&ring, drv, 0, 8);
    vd_add(&ring, &b, 1);
    vd_notify(&ring);
    for (unsigned i = 0; i < 50; i++)
        assert_false(vd_take(&ring, &id, &len));
    vd_driver_ok(drv); /* what was there is found without another notification */
    vd_wait_used(&ring, &len);
    assert_int_equal(len, 16);
}

static void nothing_is_taken_while_bus_mastering_is_off(void **state)
{
    VirtioDriver *drv = *state;
    VirtioRing ring;
    VirtioBuffer b = { VD_BUFFERS, 16, true };
    uint16_t id;
    uint32_t len;

    vd_start(drv, &ring, 0, 8);
    vd_config_write(drv, 4, 2, 3);
    vd_add(&ring, &b, 1);
    vd_notify(&ring);
    for (unsigned i = 0; i < 50; i++)
        assert_false(vd_take(&ring, &id, &len));
    vd_config_write(drv, 4, 2, 7);
    vd_wait_used(&ring, &len);
    assert_int_equal(len, 16);
}

static void msix_vectors_arrive_as_routed(void **state)
{
    VirtioDriver *drv = *state;
    VirtioRing ring;
    VirtioBuffer b = { VD_BUFFERS, 16, true };

    vd_msix_route(drv, 0, 0x50);
    vd_msix_route(drv, 1, 0x51);
    vd_common(drv, VC_MSIX, 2, 0);
    vd_common(drv, VC_Q_SELECT, 2, 0);
    vd_common(drv, VC_Q_MSIX, 2, 1);
    vd_start(drv, &ring, 0, 8);
    vd_do(&ring, &b, 1);
    vd_wait_lapic(drv->qt, 0x51);
    assert_false(vd_lapic_has(drv->qt, 0x50));
    /* The configuration vector: the driver breaks a rule. */
    VirtioBuffer bad = { 0x10000000, 16, true };
    vd_add(&ring, &bad, 1);
    vd_notify(&ring);
    vd_wait_lapic(drv->qt, 0x50);
    assert_true(vd_status(drv) & VS_NEEDS_RESET);
}

static bool any_gsi(const QTest *qt)
{
    for (unsigned i = 0; i < 24; i++)
        if (qt->level[i])
            return true;
    return false;
}

static void intx_stays_up_until_the_isr_is_read(void **state)
{
    for (unsigned legacy = 0; legacy < 2; legacy++) {
        VirtioDriver drv;
        VirtioRing ring;
        VirtioBuffer b = { VD_BUFFERS, 16, true };
        VdWait wait = { 0 };

        vd_open(&drv, qt_start(RNG), SLOT, legacy);
        VirtioDriver isa = { .qt = drv.qt, .slot = 1 };
        for (unsigned i = 0; i < 4; i++)
            vd_config_write(&isa, 0x60 + i, 1, 10 + (i & 1));
        qt_intercept_gsi(drv.qt);
        vd_start(&drv, &ring, 0, 8);
        assert_false(any_gsi(drv.qt));
        vd_do(&ring, &b, 1);
        while (!any_gsi(drv.qt)) {
            vd_wait(&wait, "INTx");
            vd_status(&drv);
        }
        assert_int_equal(vd_config_read(&drv, 6, 2) & 8, 8); /* PCI status: interrupt */
        if (legacy) {
            assert_int_equal(qt_inb(drv.qt, VD_IO + VL_ISR), 1);
            assert_int_equal(qt_inb(drv.qt, VD_IO + VL_ISR), 0);
        } else {
            assert_int_equal(qt_readl(drv.qt, VD_ISR), 1);
            assert_int_equal(qt_readl(drv.qt, VD_ISR), 0);
        }
        assert_false(any_gsi(drv.qt));
        assert_true(qt_end(drv.qt));
    }
}

static void the_driver_is_not_interrupted_against_its_will(void **state)
{
    VirtioDriver *drv = *state;
    VirtioRing ring;
    VirtioBuffer b = { VD_BUFFERS, 16, true };
    uint16_t no_interrupt = 1;

    vd_start(drv, &ring, 0, 8);
    qt_write(drv->qt, ring.driver, &no_interrupt, 2);
    for (unsigned i = 0; i < 5; i++)
        vd_do(&ring, &b, 1);
    assert_int_equal(qt_readl(drv->qt, VD_ISR), 0);
}

static void a_rule_broken_stops_the_device_until_its_reset(void **state)
{
    VirtioDriver *drv = *state;
    VirtioRing ring;
    VirtioBuffer bad = { 0x10000000, 16, true }, good = { VD_BUFFERS, 16, true };
    uint16_t id;
    uint32_t len;

    vd_start(drv, &ring, 0, 8);
    vd_add(&ring, &bad, 1);
    vd_notify(&ring);
    vd_wait_status(drv, VS_NEEDS_RESET);
    vd_add(&ring, &good, 1);
    vd_notify(&ring);
    for (unsigned i = 0; i < 50; i++)
        assert_false(vd_take(&ring, &id, &len));
    vd_set_status(drv, 0);
    assert_int_equal(vd_status(drv), 0);
    vd_start(drv, &ring, 0, 8);
    assert_int_equal(vd_do(&ring, &good, 1), 16);
}

static void a_queue_can_be_reset_alone_and_enabled_again(void **state)
{
    static const uint64_t layouts[] = { 0, F_PACKED };

    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        VirtioDriver drv;
        VirtioRing ring;
        VirtioBuffer b = { VD_BUFFERS, 16, true };
        VdWait wait = { 0 };

        vd_open(&drv, qt_start(RNG ",packed=on"), SLOT, false);
        vd_start(&drv, &ring, F_RESET | layouts[i], 8);
        for (unsigned n = 0; n < 3; n++)
            vd_do(&ring, &b, 1);
        vd_common(&drv, VC_Q_RESET, 2, 1);
        while (vd_common_get(&drv, VC_Q_RESET, 2))
            vd_wait(&wait, "the queue's reset");
        assert_int_equal(vd_common_get(&drv, VC_Q_ENABLE, 2), 0);
        assert_int_equal(vd_common_get(&drv, VC_Q_SIZE, 2), 8);
        assert_int_equal(vd_status(&drv) & VS_DRIVER_OK, VS_DRIVER_OK);
        vd_queue(&ring, &drv, 0, 4);
        for (unsigned n = 0; n < 6; n++)
            assert_int_equal(vd_do(&ring, &b, 1), 16);
        assert_true(qt_end(drv.qt));
    }
}

static void the_configuration_access_window_reaches_the_registers(void **state)
{
    VirtioDriver *drv = *state;
    unsigned cap = 0;

    for (unsigned n = 0; n < 5; n++) {
        cap = vd_find_cap(drv, 0x09, n);
        if (vd_config_read(drv, cap + 3, 1) == 5)
            break;
    }
    vd_config_write(drv, cap + 4, 1, 4);
    vd_config_write(drv, cap + 12, 4, 1);
    vd_config_write(drv, cap + 8, 4, VC_STATUS);
    vd_config_write(drv, cap + 16, 1, VS_ACKNOWLEDGE);
    assert_int_equal(vd_status(drv), VS_ACKNOWLEDGE);
    assert_int_equal(vd_config_read(drv, cap + 16, 1), VS_ACKNOWLEDGE);
    vd_config_write(drv, cap + 12, 4, 2);
    vd_config_write(drv, cap + 8, 4, VC_NUMQ);
    assert_int_equal(vd_config_read(drv, cap + 16, 2), 1);
    /* Accesses no bus would make, and places where nothing is. */
    static const struct { uint8_t bar; uint32_t offset, length; } none[] = {
        { 4, 1, 2 }, { 4, 0, 3 }, { 4, 0, 8 }, { 4, 0x4000, 4 }, { 4, 0xfffffffc, 4 }, { 0, 0, 4 }, { 255, 0, 1 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(none); i++) {
        vd_config_write(drv, cap + 4, 1, none[i].bar);
        vd_config_write(drv, cap + 8, 4, none[i].offset);
        vd_config_write(drv, cap + 12, 4, none[i].length);
        vd_config_write(drv, cap + 16, 4, 0);
        vd_config_read(drv, cap + 16, 4);
    }
    assert_int_equal(vd_status(drv), VS_ACKNOWLEDGE);
}

static void system_reset_leaves_nothing_of_the_driver(void **state)
{
    VirtioDriver *drv = *state;
    VirtioRing ring;
    VirtioBuffer b = { VD_BUFFERS, 16, true };

    vd_start(drv, &ring, F_EVENT_IDX, 8);
    vd_do(&ring, &b, 1);
    qt_outb(drv->qt, 0xcf9, 0x02);
    qt_outb(drv->qt, 0xcf9, 0x06);
    assert_int_equal(vd_config_read(drv, 4, 2) & 4, 0); /* bus mastering */
    vd_open(drv, drv->qt, SLOT, false);
    assert_int_equal(vd_common_get(drv, VC_Q_ENABLE, 2), 0);
    assert_int_equal(vd_common_get(drv, VC_Q_DESC, 4), 0);
    vd_start(drv, &ring, 0, 8);
    assert_int_equal(vd_do(&ring, &b, 1), 16);
}

/* --- the legacy registers --- */

static void legacy_queues_have_the_devices_size_and_start_with_their_address(void **state)
{
    VirtioDriver drv;
    VirtioRing ring;
    VirtioBuffer b = { VD_BUFFERS, 16, true };

    vd_open(&drv, qt_start(RNG), SLOT, true);
    qt_outw(drv.qt, VD_IO + VL_QUEUE_SELECT, 1);
    assert_int_equal(qt_inw(drv.qt, VD_IO + VL_QUEUE_SIZE), 0);
    assert_int_equal(qt_inl(drv.qt, VD_IO + VL_PFN), 0);
    vd_negotiate(&drv, 0);
    vd_queue(&ring, &drv, 0, 0);
    assert_int_equal(ring.size, 8);
    assert_int_equal(qt_inl(drv.qt, VD_IO + VL_PFN), ring.desc >> 12);
    assert_int_equal(vd_do(&ring, &b, 1), 16); /* before DRIVER_OK: drivers of that time did so */
    qt_outl(drv.qt, VD_IO + VL_PFN, 0);
    assert_int_equal(qt_inl(drv.qt, VD_IO + VL_PFN), 0);
    assert_true(qt_end(drv.qt));
}

static void legacy_vectors_appear_with_msix(void **state)
{
    VirtioDriver drv;
    VirtioRing ring;
    VirtioBuffer b = { VD_BUFFERS, 16, true };

    vd_open(&drv, qt_start(RNG), SLOT, true);
    vd_msix_route(&drv, 1, 0x61);
    vd_negotiate(&drv, 0);
    vd_queue(&ring, &drv, 0, 0);
    qt_outw(drv.qt, VD_IO + VL_QUEUE_VECTOR, 7);
    assert_int_equal(qt_inw(drv.qt, VD_IO + VL_QUEUE_VECTOR), 0xffff);
    qt_outw(drv.qt, VD_IO + VL_QUEUE_VECTOR, 1);
    assert_int_equal(qt_inw(drv.qt, VD_IO + VL_QUEUE_VECTOR), 1);
    vd_driver_ok(&drv);
    vd_do(&ring, &b, 1);
    vd_wait_lapic(drv.qt, 0x61);
    assert_true(qt_end(drv.qt));
}

/* --- the random number device --- */

static void a_limit_holds_until_the_next_period(void **state)
{
    VirtioDriver drv;
    VirtioRing ring;
    VirtioBuffer b = { VD_BUFFERS, 64, true };
    uint16_t id;
    uint32_t len;

    vd_open(&drv, qt_start(RNG ",max-bytes=40,period=1000"), SLOT, false);
    vd_start(&drv, &ring, 0, 8);
    assert_int_equal(vd_do(&ring, &b, 1), 40);
    vd_add(&ring, &b, 1);
    vd_notify(&ring);
    for (unsigned i = 0; i < 50; i++)
        assert_false(vd_take(&ring, &id, &len));
    qt_step(drv.qt, 1000000000ll);
    vd_wait_used(&ring, &len);
    assert_int_equal(len, 40);
    assert_true(qt_end(drv.qt));
}

static void a_source_is_named_by_its_id(void **state)
{
    VirtioDriver drv;
    VirtioRing ring;
    VirtioBuffer b = { VD_BUFFERS, 64, true };
    uint8_t bytes[64], zero[64] = { 0 };

    vd_open(&drv, qt_start("-m 8 -object rng-random,id=r0,filename=/dev/zero -device virtio-rng-pci,addr=5,rng=r0"), SLOT,
            false);
    vd_start(&drv, &ring, 0, 8);
    memset(bytes, 0x5a, sizeof(bytes));
    qt_write(drv.qt, VD_BUFFERS, bytes, sizeof(bytes));
    assert_int_equal(vd_do(&ring, &b, 1), 64);
    qt_read(drv.qt, VD_BUFFERS, bytes, sizeof(bytes));
    assert_memory_equal(bytes, zero, sizeof(zero));
    assert_true(qt_end(drv.qt));
}

/* --- a guest that does anything --- */

/* One write somewhere into the device: both register files, notifications, the access window, the ring. */
static void random_write(GString *out, GRand *rand, unsigned window)
{
    uint32_t value = g_rand_int(rand) >> g_rand_int_range(rand, 0, 32);

    switch (g_rand_int_range(rand, 0, 8)) {
    case 0 ... 2:
        g_string_append_printf(out, "write%c 0x%x 0x%x\n", "bwl"[g_rand_int_range(rand, 0, 3)],
                               VD_COMMON + g_rand_int_range(rand, 0, 0x40), value);
        break;
    case 3:
        g_string_append_printf(out, "writel 0x%x 0x%x\n", VD_MODERN + 4 * g_rand_int_range(rand, 0, 0x1000), value);
        break;
    case 4:
        g_string_append_printf(out, "out%c 0x%x 0x%x\n", "bwl"[g_rand_int_range(rand, 0, 3)],
                               VD_IO + g_rand_int_range(rand, 0, 32), value);
        break;
    case 5: /* a queue over the low pages, so that what follows is its descriptors */
        g_string_append_printf(out, "writel 0x%x 0x%x\n", VD_COMMON + VC_Q_DESC + 4 * g_rand_int_range(rand, 0, 6),
                               16 * g_rand_int_range(rand, 0, 64));
        break;
    case 6:
        g_string_append_printf(out, "writel 0x%x 0x%x\n", 4 * g_rand_int_range(rand, 0, 512), value);
        break;
    default:
        if (g_rand_boolean(rand))
            g_string_append_printf(out, "outl 0xcf8 0x%x\n",
                                   0x80000000u | SLOT << 11 | (window + 4 * g_rand_int_range(rand, 0, 5)));
        else
            g_string_append_printf(out, "outl 0xcfc 0x%x\n", value);
    }
}

static void random_register_writes_break_nothing_but_the_device(void **state)
{
    for (unsigned seed = 0; seed < 6; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        VirtioDriver drv;
        VirtioRing ring;
        VirtioBuffer b = { VD_BUFFERS, 16, true };
        unsigned window = 0;

        vd_open(&drv, qt_start(RNG ",packed=on"), SLOT, seed & 1);
        for (unsigned n = 0; n < 5 && vd_config_read(&drv, window + 3, 1) != 5; n++)
            window = vd_find_cap(&drv, 0x09, n);
        for (unsigned batch = 0; batch < 40; batch++) {
            g_autoptr(GString) lines = g_string_new(NULL);
            if (batch % 8 == 0)
                vd_start(&drv, &ring, batch & 8 ? F_PACKED : F_EVENT_IDX, 8);
            for (unsigned i = 0; i < 100; i++)
                random_write(lines, rand, window);
            qt_batch(drv.qt, lines->str, 100);
            vd_open(&drv, drv.qt, SLOT, drv.legacy);
        }
        vd_start(&drv, &ring, 0, 8);
        assert_int_equal(vd_do(&ring, &b, 1), 16);
        assert_true(qt_end(drv.qt));
    }
}

#define modern_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identification_says_which_interfaces_there_are),
        modern_test(five_capabilities_say_where_the_registers_are),
        modern_test(features_outside_the_offer_are_refused),
        modern_test(a_driver_without_version_1_is_refused),
        modern_test(features_are_latched_with_features_ok),
        modern_test(a_status_bit_goes_by_reset_only),
        modern_test(selectors_out_of_range_read_zero_and_ignore_writes),
        modern_test(a_vector_that_is_not_there_reads_back_as_none),
        modern_test(the_configuration_of_an_enabled_queue_is_latched),
        modern_test(a_queue_size_that_cannot_be_is_ignored_or_needs_a_reset),
        cmocka_unit_test(random_bytes_come_over_every_transport_and_layout),
        modern_test(nothing_is_taken_before_driver_ok),
        modern_test(nothing_is_taken_while_bus_mastering_is_off),
        modern_test(msix_vectors_arrive_as_routed),
        cmocka_unit_test(intx_stays_up_until_the_isr_is_read),
        modern_test(the_driver_is_not_interrupted_against_its_will),
        modern_test(a_rule_broken_stops_the_device_until_its_reset),
        cmocka_unit_test(a_queue_can_be_reset_alone_and_enabled_again),
        modern_test(the_configuration_access_window_reaches_the_registers),
        modern_test(system_reset_leaves_nothing_of_the_driver),
        cmocka_unit_test(legacy_queues_have_the_devices_size_and_start_with_their_address),
        cmocka_unit_test(legacy_vectors_appear_with_msix),
        cmocka_unit_test(a_limit_holds_until_the_next_period),
        cmocka_unit_test(a_source_is_named_by_its_id),
        cmocka_unit_test(random_register_writes_break_nothing_but_the_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
