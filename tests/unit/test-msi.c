/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSI and MSI-X of a PCI function (hw/pci/msi.c, msix.c; PCI 3.0, 6.8).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/thread.h"
#include "pci-rig.h"

#define MSIX_BAR 0xe0010000

/* --- MSI --- */

static unsigned msi_offset(const RigDevice *dev)
{
    return pci_find_capability(&dev->pci, PCI_CAP_ID_MSI);
}

static RigDevice *with_msi(PciRig *rig, unsigned log_vectors)
{
    RigDevice *dev = pci_rig_plug(rig, NULL, NULL);
    unsigned cap = msi_offset(dev);

    rig_write(rig, dev, cap + PCI_MSI_ADDRESS_LOW, 0xfee01004, 4);
    rig_write(rig, dev, cap + PCI_MSI_DATA, 0x4041, 2);
    rig_write(rig, dev, cap + PCI_MSI_CONTROL, PCI_MSI_CTRL_ENABLE | log_vectors << PCI_MSI_CTRL_ENABLED_SHIFT, 2);
    return dev;
}

static RigMessage last_message(const PciRig *rig)
{
    assert_int_not_equal(rig->messages->len, 0);
    return g_array_index(rig->messages, RigMessage, rig->messages->len - 1);
}

static void msi_is_off_after_reset(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = with_msi(rig, 0);

    assert_true(pci_msi_enabled(&dev->pci));
    device_reset(&dev->pci.dev);
    assert_false(pci_msi_enabled(&dev->pci));
    pci_msi_notify(&dev->pci, 0);
    assert_int_equal(rig->messages->len, 0);
}

static void msi_control_tells_vectors_and_64_bits(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);

    assert_int_equal(rig_read(*state, dev, msi_offset(dev) + PCI_MSI_CONTROL, 2), 0x0184);
}

static void msi_vectors_modify_the_low_bits_of_the_data(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = with_msi(rig, 2);

    for (unsigned i = 0; i < 4; i++) {
        pci_msi_notify(&dev->pci, i);
        assert_int_equal(last_message(rig).address, 0xfee01004);
        assert_int_equal(last_message(rig).data, 0x4040 + i);
    }
}

static void msi_with_fewer_vectors_folds_them(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = with_msi(rig, 0);

    pci_msi_notify(&dev->pci, 3);
    assert_int_equal(last_message(rig).data, 0x4041);
    assert_int_equal(pci_msi_vectors(&dev->pci), 1);
}

static void msi_enables_at_most_what_it_is_capable_of(void **state)
{
    RigDevice *dev = with_msi(*state, 7);

    assert_int_equal(pci_msi_vectors(&dev->pci), 4);
}

static void a_masked_msi_is_pending_and_sent_at_unmask(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = with_msi(rig, 2);
    unsigned cap = msi_offset(dev);

    rig_write(rig, dev, cap + PCI_MSI_MASK, 0x6, 4);
    pci_msi_notify(&dev->pci, 1);
    pci_msi_notify(&dev->pci, 1);
    assert_int_equal(rig->messages->len, 0);
    assert_int_equal(rig_read(rig, dev, cap + PCI_MSI_PENDING, 4), 0x2);
    rig_write(rig, dev, cap + PCI_MSI_MASK, 0, 4);
    assert_int_equal(rig->messages->len, 1);
    assert_int_equal(last_message(rig).data, 0x4041);
    assert_int_equal(rig_read(rig, dev, cap + PCI_MSI_PENDING, 4), 0);
}

/* --- MSI-X --- */

static void set_entry(PciRig *rig, unsigned vector, uint64_t address, uint32_t data, uint32_t control)
{
    uint64_t entry = MSIX_BAR + vector * PCI_MSIX_ENTRY_SIZE;

    rig_store(rig, entry, 8, address);
    rig_store(rig, entry + PCI_MSIX_ENTRY_DATA, 4, data);
    rig_store(rig, entry + PCI_MSIX_ENTRY_CONTROL, 4, control);
}

static void set_control(PciRig *rig, RigDevice *dev, uint16_t control)
{
    rig_write(rig, dev, pci_find_capability(&dev->pci, PCI_CAP_ID_MSIX) + PCI_MSIX_CONTROL, control, 2);
}

static RigDevice *with_msix(PciRig *rig)
{
    RigDevice *dev = pci_rig_plug(rig, NULL, NULL);

    rig_write(rig, dev, PCI_BAR0 + 16, MSIX_BAR, 4);
    rig_write(rig, dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    set_control(rig, dev, PCI_MSIX_CTRL_ENABLE);
    return dev;
}

static uint64_t pba(PciRig *rig)
{
    return rig_load(rig, MSIX_BAR + 2048, 8);
}

static void msix_capability_tells_size_and_places(void **state)
{
    RigDevice *dev = pci_rig_plug(*state, NULL, NULL);
    unsigned cap = pci_find_capability(&dev->pci, PCI_CAP_ID_MSIX);

    assert_int_equal(rig_read(*state, dev, cap + PCI_MSIX_CONTROL, 2), RIG_MSIX_VECTORS - 1);
    assert_int_equal(rig_read(*state, dev, cap + PCI_MSIX_TABLE, 4), 4);
    assert_int_equal(rig_read(*state, dev, cap + PCI_MSIX_PBA, 4), 2048 | 4);
}

static void entries_come_up_masked_and_keep_what_is_written(void **state)
{
    PciRig *rig = *state;

    with_msix(rig);
    assert_int_equal(rig_load(rig, MSIX_BAR + 7 * 16 + PCI_MSIX_ENTRY_CONTROL, 4), PCI_MSIX_ENTRY_MASKED);
    set_entry(rig, 7, 0x1fee0100f, 0xabcd, 0xffffffff);
    assert_int_equal(rig_load(rig, MSIX_BAR + 7 * 16, 8), 0x1fee0100c);
    assert_int_equal(rig_load(rig, MSIX_BAR + 7 * 16 + PCI_MSIX_ENTRY_DATA, 4), 0xabcd);
    assert_int_equal(rig_load(rig, MSIX_BAR + 7 * 16 + PCI_MSIX_ENTRY_CONTROL, 4), PCI_MSIX_ENTRY_MASKED);
}

static void narrow_table_accesses_are_refused(void **state)
{
    PciRig *rig = *state;

    with_msix(rig);
    rig_store(rig, MSIX_BAR + PCI_MSIX_ENTRY_DATA, 2, 0x1234);
    assert_int_equal(rig_load(rig, MSIX_BAR + PCI_MSIX_ENTRY_DATA, 4), 0);
    assert_int_equal(rig_load(rig, MSIX_BAR + PCI_MSIX_ENTRY_DATA, 1), 0xff);
}

static void an_open_vector_sends_its_message(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = with_msix(rig);

    set_entry(rig, 39, 0xfee02000, 0x55, 0);
    pci_msix_notify(&dev->pci, 39);
    assert_int_equal(last_message(rig).address, 0xfee02000);
    assert_int_equal(last_message(rig).data, 0x55);
    pci_msix_notify(&dev->pci, 40);
    pci_msix_notify(&dev->pci, 0xffff);
    assert_int_equal(rig->messages->len, 1);
    assert_true(pci_msg_notify(&dev->pci, 39));
}

static void a_masked_vector_is_pending_and_sent_at_unmask(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = with_msix(rig);

    set_entry(rig, 35, 0xfee02000, 0x55, 1);
    pci_msix_notify(&dev->pci, 35);
    pci_msix_notify(&dev->pci, 35);
    assert_int_equal(pba(rig), UINT64_C(1) << 35);
    assert_int_equal(rig->messages->len, 0);
    rig_store(rig, MSIX_BAR + 35 * 16 + PCI_MSIX_ENTRY_CONTROL, 4, 0);
    assert_int_equal(rig->messages->len, 1);
    assert_int_equal(pba(rig), 0);
}

static void the_function_mask_holds_all_vectors(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = with_msix(rig);

    for (unsigned i = 0; i < 3; i++)
        set_entry(rig, i, 0xfee00000, i, 0);
    set_control(rig, dev, PCI_MSIX_CTRL_ENABLE | PCI_MSIX_CTRL_MASK_ALL);
    for (unsigned i = 0; i < 3; i++)
        pci_msix_notify(&dev->pci, i);
    assert_int_equal(rig->messages->len, 0);
    assert_int_equal(pba(rig), 7);
    set_control(rig, dev, PCI_MSIX_CTRL_ENABLE);
    assert_int_equal(rig->messages->len, 3);
}

static void the_pending_bits_are_read_only(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = with_msix(rig);

    set_entry(rig, 0, 0xfee00000, 0, 1);
    pci_msix_notify(&dev->pci, 0);
    rig_store(rig, MSIX_BAR + 2048, 8, 0);
    assert_int_equal(pba(rig), 1);
}

static void msix_off_drops_messages_and_intx_is_the_way(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev = with_msix(rig);

    set_entry(rig, 0, 0xfee00000, 0, 0);
    set_control(rig, dev, 0);
    assert_false(pci_msg_notify(&dev->pci, 0));
    pci_msix_notify(&dev->pci, 0);
    assert_int_equal(pba(rig), 0);
    assert_int_equal(rig->messages->len, 0);
}

/* --- eventfds: an accelerator with routes --- */

static struct {
    uint64_t address;
    uint32_t data;
    int fd;        /* of the irqfd, -1: none */
    unsigned routes; /* in being */
} routes = {.fd = -1};

static int route_add(Accel *accel, uint64_t address, uint32_t data)
{
    routes.address = address;
    routes.data = data;
    routes.routes++;
    return 17;
}

static void route_change(Accel *accel, int route, uint64_t address, uint32_t data)
{
    routes.address = address;
    routes.data = data;
}

static void route_remove(Accel *accel, int route)
{
    routes.routes--;
}

static bool irqfd_add(Accel *accel, int route, int fd)
{
    routes.fd = fd;
    return true;
}

static void irqfd_remove(Accel *accel, int route, int fd)
{
    assert_int_equal(fd, routes.fd);
    routes.fd = -1;
}

static void give_routes(PciRig *rig)
{
    static AccelOps ops;

    ops = *rig->machine->accel->ops;
    ops.msi_route_add = route_add;
    ops.msi_route_change = route_change;
    ops.msi_route_remove = route_remove;
    ops.irqfd_add_route = irqfd_add;
    ops.irqfd_remove_route = irqfd_remove;
    rig->machine->accel->ops = &ops;
}

static void an_eventfd_follows_mask_and_message(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    give_routes(rig);
    dev = with_msix(rig);
    assert_true(pci_msix_set_eventfd(&dev->pci, 2, fd));
    assert_int_equal(routes.fd, -1); /* still masked */
    set_entry(rig, 2, 0xfee03000, 0x61, 0);
    assert_int_equal(routes.fd, fd);
    assert_int_equal(routes.address, 0xfee03000);
    rig_store(rig, MSIX_BAR + 2 * 16 + PCI_MSIX_ENTRY_DATA, 4, 0x62);
    assert_int_equal(routes.data, 0x62);
    set_control(rig, dev, PCI_MSIX_CTRL_ENABLE | PCI_MSIX_CTRL_MASK_ALL);
    assert_int_equal(routes.fd, -1);
    set_control(rig, dev, PCI_MSIX_CTRL_ENABLE);
    assert_int_equal(routes.fd, fd);
    assert_true(pci_msix_set_eventfd(&dev->pci, 2, -1));
    assert_int_equal(routes.fd, -1);
    assert_int_equal(routes.routes, 0);
    close(fd);
}

static void a_masked_eventfd_is_the_pending_bit(void **state)
{
    PciRig *rig = *state;
    RigDevice *dev;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    give_routes(rig);
    dev = with_msix(rig);
    assert_true(pci_msix_set_eventfd(&dev->pci, 2, fd));
    assert_int_equal(pba(rig), 0);
    assert_int_equal(eventfd_write(fd, 1), 0);
    assert_int_equal(pba(rig), 4);
    device_free(&dev->pci.dev); /* gives route and irqfd back */
    assert_int_equal(routes.routes, 0);
    close(fd);
}

static void without_routes_the_caller_reads_the_eventfd_itself(void **state)
{
    RigDevice *dev = with_msix(*state);

    assert_false(pci_msix_set_eventfd(&dev->pci, 2, 5));
    assert_true(pci_msix_set_eventfd(&dev->pci, 2, -1));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, pci_rig_setup, pci_rig_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(msi_is_off_after_reset),
        CASE(msi_control_tells_vectors_and_64_bits),
        CASE(msi_vectors_modify_the_low_bits_of_the_data),
        CASE(msi_with_fewer_vectors_folds_them),
        CASE(msi_enables_at_most_what_it_is_capable_of),
        CASE(a_masked_msi_is_pending_and_sent_at_unmask),
        CASE(msix_capability_tells_size_and_places),
        CASE(entries_come_up_masked_and_keep_what_is_written),
        CASE(narrow_table_accesses_are_refused),
        CASE(an_open_vector_sends_its_message),
        CASE(a_masked_vector_is_pending_and_sent_at_unmask),
        CASE(the_function_mask_holds_all_vectors),
        CASE(the_pending_bits_are_read_only),
        CASE(msix_off_drops_messages_and_intx_is_the_way),
        CASE(an_eventfd_follows_mask_and_message),
        CASE(a_masked_eventfd_is_the_pending_bit),
        CASE(without_routes_the_caller_reads_the_eventfd_itself),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
