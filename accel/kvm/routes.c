/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GSI routes (api 4.52) and irqfds (api 4.75).
 *
 *   GSI 0..23, kernel-irqchip=on      PIC inputs and IOAPIC pins; GSI 0 is PIC IR0 and IOAPIC pin 2
 *                                     (the interrupt source override of the MADT)
 *   GSI 0..23, kernel-irqchip=split   the message each pin of hw/intc's IOAPIC sends now; KVM
 *                                     reports the EOI of those that are level-triggered
 *   GSI 24 up                         messages of devices, numbered by msi_route_add
 *
 * KVM takes the whole table at once. Setting it waits for a grace period in the kernel, so a change
 * that changes nothing is not passed on.
 *
 * Locking: KvmRoutes.lock, a leaf.
 */
#include <errno.h>
#include <string.h>

#include "core/error.h"
#include "core/log.h"
#include "kvm-internal.h"

/* Message data: level-triggered, asserted (SDM vol. 3, 11.11.2). */
#define MSI_DATA_ASSERT (1u << 14)
#define MSI_DATA_LEVEL (1u << 15)

static bool commit_locked(KvmAccel *kvm)
{
    return kvm_ioctl(kvm->vm_fd, KVM_SET_GSI_ROUTING, kvm->routes.table) >= 0;
}

/* The message route of that GSI, or NULL. */
static struct kvm_irq_routing_entry *find_msi_locked(KvmRoutes *routes, int gsi)
{
    for (uint32_t i = 0; i < routes->table->nr; i++)
        if (routes->table->entries[i].gsi == (uint32_t)gsi && routes->table->entries[i].type == KVM_IRQ_ROUTING_MSI)
            return &routes->table->entries[i];
    return NULL;
}

static struct kvm_irq_routing_entry *append_locked(KvmRoutes *routes, int gsi, uint32_t type)
{
    struct kvm_irq_routing_entry *e;

    if (routes->table->nr == routes->max)
        return NULL;
    e = &routes->table->entries[routes->table->nr++];
    *e = (struct kvm_irq_routing_entry){ .gsi = (uint32_t)gsi, .type = type };
    return e;
}

static bool set_msi(struct kvm_irq_routing_entry *e, uint64_t address, uint32_t data)
{
    struct kvm_irq_routing_msi msi = { .address_lo = (uint32_t)address, .address_hi = address >> 32, .data = data };

    if (e->u.msi.address_lo == msi.address_lo && e->u.msi.address_hi == msi.address_hi && e->u.msi.data == data)
        return false;
    e->u.msi = msi;
    return true;
}

static void append_chip_locked(KvmRoutes *routes, int gsi, uint32_t chip, uint32_t pin)
{
    struct kvm_irq_routing_entry *e = append_locked(routes, gsi, KVM_IRQ_ROUTING_IRQCHIP);

    e->u.irqchip.irqchip = chip;
    e->u.irqchip.pin = pin;
}

/* The PIC's IR2 is the cascade; IOAPIC pin 0 has no source. */
static void add_board_lines(KvmRoutes *routes)
{
    for (int gsi = 0; gsi < 16; gsi++)
        if (gsi != 2)
            append_chip_locked(routes, gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi & 7);
    for (int gsi = 0; gsi < KVM_IOAPIC_PINS; gsi++)
        if (gsi != 2)
            append_chip_locked(routes, gsi, KVM_IRQCHIP_IOAPIC, gsi ? gsi : 2);
}

bool kvm_routes_init(KvmAccel *kvm, GError **errp)
{
    KvmRoutes *routes = &kvm->routes;
    int max = kvm_check(kvm->vm_fd, KVM_CAP_IRQ_ROUTING);

    g_mutex_init(&routes->lock);
    routes->max = CLAMP(max, 64, 4096);
    routes->table = g_malloc0(sizeof(*routes->table) + routes->max * sizeof(routes->table->entries[0]));
    routes->free_gsis = g_array_new(false, false, sizeof(int));
    routes->next_gsi = KVM_IOAPIC_PINS;
    if (kvm->accel.irqchip != IRQCHIP_KERNEL)
        return true;
    add_board_lines(routes);
    if (!commit_locked(kvm))
        return error_set_errno(errp, errno, "KVM refuses the interrupt routes");
    return true;
}

void kvm_routes_release(KvmAccel *kvm)
{
    KvmRoutes *routes = &kvm->routes;

    if (!routes->table)
        return;
    g_clear_pointer(&routes->table, g_free);
    g_array_free(routes->free_gsis, true);
    g_mutex_clear(&routes->lock);
}

/* --- kernel-irqchip=split: the IOAPIC's pins --- */

void kvm_irqchip_route(Accel *accel, int pin, uint64_t address, uint32_t data, bool level)
{
    KvmAccel *kvm = kvm_of(accel);
    KvmRoutes *routes = &kvm->routes;
    struct kvm_irq_routing_entry *e;

    if (kvm->accel.irqchip != IRQCHIP_SPLIT || pin < 0 || pin >= KVM_IOAPIC_PINS)
        return;
    if (level)
        data |= MSI_DATA_LEVEL | MSI_DATA_ASSERT;
    g_mutex_lock(&routes->lock);
    e = find_msi_locked(routes, pin);
    if (!e && address)
        e = append_locked(routes, pin, KVM_IRQ_ROUTING_MSI);
    if (e && address && set_msi(e, address, data) && !commit_locked(kvm))
        log_warn("kvm: IOAPIC pin %d cannot be routed: %s", pin, g_strerror(errno));
    g_mutex_unlock(&routes->lock);
}

/* --- message routes --- */

static int take_gsi_locked(KvmRoutes *routes)
{
    guint n = routes->free_gsis->len;
    int gsi;

    if (!n)
        return routes->next_gsi < (int)routes->max ? routes->next_gsi++ : -1;
    gsi = g_array_index(routes->free_gsis, int, n - 1);
    g_array_set_size(routes->free_gsis, n - 1);
    return gsi;
}

static void remove_locked(KvmRoutes *routes, int gsi)
{
    struct kvm_irq_routing_entry *e = find_msi_locked(routes, gsi);

    if (!e)
        return;
    *e = routes->table->entries[--routes->table->nr];
    g_array_append_val(routes->free_gsis, gsi);
}

int kvm_msi_route_add(Accel *accel, uint64_t address, uint32_t data)
{
    KvmAccel *kvm = kvm_of(accel);
    KvmRoutes *routes = &kvm->routes;
    struct kvm_irq_routing_entry *e;
    int gsi;

    if (!routes->table)
        return -1;
    g_mutex_lock(&routes->lock);
    gsi = take_gsi_locked(routes);
    e = gsi < 0 ? NULL : append_locked(routes, gsi, KVM_IRQ_ROUTING_MSI);
    if (e)
        set_msi(e, address, data);
    else if (gsi >= 0)
        g_array_append_val(routes->free_gsis, gsi);
    if (e && !commit_locked(kvm)) {
        remove_locked(routes, gsi);
        e = NULL;
    }
    g_mutex_unlock(&routes->lock);
    return e ? gsi : -1;
}

void kvm_msi_route_change(Accel *accel, int route, uint64_t address, uint32_t data)
{
    KvmAccel *kvm = kvm_of(accel);
    struct kvm_irq_routing_entry *e;

    g_mutex_lock(&kvm->routes.lock);
    e = find_msi_locked(&kvm->routes, route);
    if (e && set_msi(e, address, data))
        commit_locked(kvm);
    g_mutex_unlock(&kvm->routes.lock);
}

void kvm_msi_route_remove(Accel *accel, int route)
{
    KvmAccel *kvm = kvm_of(accel);

    g_mutex_lock(&kvm->routes.lock);
    remove_locked(&kvm->routes, route);
    commit_locked(kvm);
    g_mutex_unlock(&kvm->routes.lock);
}

/* --- irqfds --- */

static bool irqfd(Accel *accel, int gsi, int fd, int resample, uint32_t flags)
{
    struct kvm_irqfd arg = {
        .fd = (uint32_t)fd,
        .gsi = (uint32_t)gsi,
        .flags = flags | (resample >= 0 ? KVM_IRQFD_FLAG_RESAMPLE : 0),
        .resamplefd = resample >= 0 ? (uint32_t)resample : 0,
    };

    return kvm_of(accel)->routes.table && kvm_ioctl(kvm_of(accel)->vm_fd, KVM_IRQFD, &arg) >= 0;
}

bool kvm_irqfd_add_route(Accel *accel, int route, int fd)
{
    return irqfd(accel, route, fd, -1, 0);
}

void kvm_irqfd_remove_route(Accel *accel, int route, int fd)
{
    irqfd(accel, route, fd, -1, KVM_IRQFD_FLAG_DEASSIGN);
}

/* With the IOAPIC in the process there is no line in the kernel to raise. */
bool kvm_irqfd_add_gsi(Accel *accel, int gsi, int fd, int resample)
{
    return accel->irqchip == IRQCHIP_KERNEL && irqfd(accel, gsi, fd, resample, 0);
}

void kvm_irqfd_remove_gsi(Accel *accel, int gsi, int fd)
{
    irqfd(accel, gsi, fd, -1, KVM_IRQFD_FLAG_DEASSIGN);
}
