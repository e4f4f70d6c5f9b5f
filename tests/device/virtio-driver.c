/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virtio-driver.h"

#include <string.h>

#define LAPIC 0xfee00000u

#define DESC_NEXT  1
#define DESC_WRITE 2
#define DESC_AVAIL 0x80
#define DESC_USED  0x8000

void vd_wait(VdWait *wait, const char *what)
{
    if (!wait->deadline_us)
        wait->deadline_us = g_get_monotonic_time() + QT_TIMEOUT_MS * 1000ll;
    if (g_get_monotonic_time() > wait->deadline_us)
        fail_msg("nothing came of %s", what);
    g_usleep(200);
}

/* --- configuration space --- */

static void select_config(VirtioDriver *drv, unsigned offset)
{
    qt_outl(drv->qt, 0xcf8, 0x80000000u | drv->slot << 11 | (offset & 0xfc));
}

uint32_t vd_config_read(VirtioDriver *drv, unsigned offset, unsigned size)
{
    select_config(drv, offset);
    if (size == 1)
        return qt_inb(drv->qt, 0xcfc + (offset & 3));
    return size == 2 ? qt_inw(drv->qt, 0xcfc + (offset & 2)) : qt_inl(drv->qt, 0xcfc);
}

void vd_config_write(VirtioDriver *drv, unsigned offset, unsigned size, uint32_t value)
{
    select_config(drv, offset);
    if (size == 1)
        qt_outb(drv->qt, 0xcfc + (offset & 3), value);
    else if (size == 2)
        qt_outw(drv->qt, 0xcfc + (offset & 2), value);
    else
        qt_outl(drv->qt, 0xcfc, value);
}

unsigned vd_find_cap(VirtioDriver *drv, uint8_t id, unsigned n)
{
    unsigned cap = vd_config_read(drv, 0x34, 1);

    for (unsigned hops = 0; cap && hops < 48; hops++) {
        if (vd_config_read(drv, cap, 1) == id && !n--)
            return cap;
        cap = vd_config_read(drv, cap + 1, 1);
    }
    return 0;
}

/* --- registers --- */

void vd_common(VirtioDriver *drv, unsigned offset, unsigned size, uint64_t value)
{
    uint64_t at = VD_COMMON + offset;

    if (size == 8) {
        qt_writel(drv->qt, at, value);
        qt_writel(drv->qt, at + 4, value >> 32);
    } else if (size == 4) {
        qt_writel(drv->qt, at, value);
    } else {
        g_free(qt_command(drv->qt, "write%c 0x%" G_GINT64_MODIFIER "x 0x%x", size == 2 ? 'w' : 'b', at, (unsigned)value));
    }
}

uint32_t vd_common_get(VirtioDriver *drv, unsigned offset, unsigned size)
{
    g_autofree char *answer = NULL;

    if (size == 4)
        return qt_readl(drv->qt, VD_COMMON + offset);
    answer = qt_command(drv->qt, "read%c 0x%x", size == 2 ? 'w' : 'b', VD_COMMON + offset);
    return g_ascii_strtoull(g_strstrip(answer), NULL, 0);
}

uint8_t vd_status(VirtioDriver *drv)
{
    return drv->legacy ? qt_inb(drv->qt, VD_IO + VL_STATUS) : vd_common_get(drv, VC_STATUS, 1);
}

void vd_set_status(VirtioDriver *drv, uint8_t status)
{
    if (drv->legacy)
        qt_outb(drv->qt, VD_IO + VL_STATUS, status);
    else
        vd_common(drv, VC_STATUS, 1, status);
}

void vd_wait_status(VirtioDriver *drv, uint8_t bits)
{
    VdWait wait = { 0 };

    while ((vd_status(drv) & bits) != bits)
        vd_wait(&wait, "the status");
}

void vd_open(VirtioDriver *drv, QTest *qt, unsigned slot, bool legacy)
{
    *drv = (VirtioDriver){ .qt = qt, .slot = slot, .legacy = legacy };
    assert_int_equal(vd_config_read(drv, 0, 2), 0x1af4);
    vd_config_write(drv, 0x10, 4, VD_IO);
    vd_config_write(drv, 0x14, 4, VD_MSIX);
    vd_config_write(drv, 0x20, 4, VD_MODERN);
    vd_config_write(drv, 0x24, 4, 0);
    vd_config_write(drv, 0x04, 2, 7);
    vd_set_status(drv, 0);
    assert_int_equal(vd_status(drv), 0);
}

uint64_t vd_offered(VirtioDriver *drv)
{
    uint64_t low, high;

    if (drv->legacy)
        return qt_inl(drv->qt, VD_IO + VL_HOST_FEATURES);
    vd_common(drv, VC_DFSELECT, 4, 0);
    low = vd_common_get(drv, VC_DF, 4);
    vd_common(drv, VC_DFSELECT, 4, 1);
    high = vd_common_get(drv, VC_DF, 4);
    return low | high << 32;
}

void vd_negotiate(VirtioDriver *drv, uint64_t features)
{
    vd_set_status(drv, VS_ACKNOWLEDGE);
    vd_set_status(drv, VS_ACKNOWLEDGE | VS_DRIVER);
    drv->features = (features | (drv->legacy ? 0 : F_VERSION_1)) & vd_offered(drv);
    if (drv->legacy) {
        qt_outl(drv->qt, VD_IO + VL_GUEST_FEATURES, drv->features);
        return;
    }
    vd_common(drv, VC_GFSELECT, 4, 0);
    vd_common(drv, VC_GF, 4, drv->features);
    vd_common(drv, VC_GFSELECT, 4, 1);
    vd_common(drv, VC_GF, 4, drv->features >> 32);
    vd_set_status(drv, VS_ACKNOWLEDGE | VS_DRIVER | VS_FEATURES_OK);
    assert_int_equal(vd_status(drv), VS_ACKNOWLEDGE | VS_DRIVER | VS_FEATURES_OK);
}

void vd_driver_ok(VirtioDriver *drv)
{
    vd_set_status(drv, vd_status(drv) | VS_DRIVER_OK);
}

void vd_start(VirtioDriver *drv, VirtioRing *ring, uint64_t features, unsigned size)
{
    vd_negotiate(drv, features);
    vd_queue(ring, drv, 0, size);
    vd_driver_ok(drv);
}

/* --- queues --- */

void vd_queue(VirtioRing *ring, VirtioDriver *drv, unsigned index, unsigned size)
{
    QTest *qt = drv->qt;

    *ring = (VirtioRing){
        .drv = drv,
        .index = index,
        .size = drv->legacy ? 0 : size,
        .packed = drv->features & F_PACKED,
        .desc = VD_RINGS + 0x8000 * index,
        .avail_wrap = true,
        .used_wrap = true,
    };
    g_free(qt_command(qt, "memset 0x%x 0x8000 0", (unsigned)ring->desc));
    if (drv->legacy) {
        qt_outw(qt, VD_IO + VL_QUEUE_SELECT, index);
        ring->size = qt_inw(qt, VD_IO + VL_QUEUE_SIZE);
        ring->driver = ring->desc + 16 * ring->size;
        ring->device = (ring->driver + 6 + 2 * ring->size + 4095) & ~UINT64_C(4095);
        qt_outl(qt, VD_IO + VL_PFN, ring->desc >> 12);
        return;
    }
    ring->driver = ring->desc + 0x5000;
    ring->device = ring->desc + 0x6000;
    vd_common(drv, VC_Q_SELECT, 2, index);
    vd_common(drv, VC_Q_SIZE, 2, size);
    vd_common(drv, VC_Q_DESC, 8, ring->desc);
    vd_common(drv, VC_Q_DRIVER, 8, ring->driver);
    vd_common(drv, VC_Q_DEVICE, 8, ring->device);
    vd_common(drv, VC_Q_ENABLE, 2, 1);
    assert_int_equal(vd_common_get(drv, VC_Q_ENABLE, 2), 1);
}

void vd_notify(VirtioRing *ring)
{
    if (ring->drv->legacy)
        qt_outw(ring->drv->qt, VD_IO + VL_NOTIFY, ring->index);
    else
        g_free(qt_command(ring->drv->qt, "writew 0x%x %u", VD_NOTIFY + 4 * ring->index, ring->index));
}

/* Whether the device wants to hear of the entries added since the last kick (2.7.10, 2.8.14). */
static bool must_notify(VirtioRing *ring)
{
    QTest *qt = ring->drv->qt;
    uint16_t word[2], event;

    if (!ring->packed && !(ring->drv->features & F_EVENT_IDX)) {
        qt_read(qt, ring->device, word, 2);
        return !(word[0] & 1);
    }
    if (!ring->packed) {
        qt_read(qt, ring->device + 4 + 8 * ring->size, &event, 2);
        return (uint16_t)(ring->avail - event - 1) < ring->added;
    }
    qt_read(qt, ring->device, word, 4);
    if (word[1] != 2)
        return word[1] == 0;
    event = (word[0] & 0x7fff) - (!!(word[0] & 0x8000) == ring->avail_wrap ? 0 : ring->size);
    return (uint16_t)(ring->avail - event - 1) < ring->added;
}

void vd_kick(VirtioRing *ring)
{
    if (must_notify(ring))
        vd_notify(ring);
    ring->added = 0;
}

typedef struct Desc {
    uint64_t addr;
    uint32_t len;
    uint16_t a, b; /* split: flags, next; packed: id, flags */
} Desc;

/* The first descriptor of a packed chain is made available last. */
static uint16_t packed_add(VirtioRing *ring, const VirtioBuffer *buffers, unsigned count)
{
    uint16_t id = ring->next, first = ring->avail, first_flags = 0;

    ring->next = (id + 1) % ring->size;
    ring->chain[id] = count;
    for (unsigned i = 0; i < count; i++) {
        uint16_t flags = (i + 1 < count ? DESC_NEXT : 0) | (buffers[i].device_writes ? DESC_WRITE : 0) |
                         (ring->avail_wrap ? DESC_AVAIL : DESC_USED);
        Desc desc = { buffers[i].addr, buffers[i].len, id, flags };
        if (!i) {
            first_flags = flags;
            qt_write(ring->drv->qt, ring->desc + 16 * ring->avail, &desc, 14);
        } else {
            qt_write(ring->drv->qt, ring->desc + 16 * ring->avail, &desc, 16);
        }
        if (++ring->avail == ring->size) {
            ring->avail = 0;
            ring->avail_wrap = !ring->avail_wrap;
        }
    }
    qt_write(ring->drv->qt, ring->desc + 16 * first + 14, &first_flags, 2);
    ring->added += count;
    return id;
}

static uint16_t split_add(VirtioRing *ring, const VirtioBuffer *buffers, unsigned count)
{
    uint16_t head = ring->next, avail = ring->avail + 1;

    for (unsigned i = 0; i < count; i++) {
        uint16_t next = (ring->next + 1) % ring->size;
        Desc desc = { buffers[i].addr, buffers[i].len,
                      (i + 1 < count ? DESC_NEXT : 0) | (buffers[i].device_writes ? DESC_WRITE : 0), next };
        qt_write(ring->drv->qt, ring->desc + 16 * ring->next, &desc, 16);
        ring->next = next;
    }
    qt_write(ring->drv->qt, ring->driver + 4 + 2 * (ring->avail % ring->size), &head, 2);
    qt_write(ring->drv->qt, ring->driver + 2, &avail, 2);
    ring->avail = avail;
    ring->added++;
    return head;
}

uint16_t vd_add(VirtioRing *ring, const VirtioBuffer *buffers, unsigned count)
{
    return ring->packed ? packed_add(ring, buffers, count) : split_add(ring, buffers, count);
}

bool vd_take(VirtioRing *ring, uint16_t *id, uint32_t *len)
{
    QTest *qt = ring->drv->qt;

    if (ring->packed) {
        Desc desc;
        qt_read(qt, ring->desc + 16 * ring->used, &desc, 16);
        if (!!(desc.b & DESC_AVAIL) != ring->used_wrap || !!(desc.b & DESC_USED) != ring->used_wrap)
            return false;
        *id = desc.a;
        *len = desc.len;
        ring->used += ring->chain[*id];
        if (ring->used >= ring->size) {
            ring->used -= ring->size;
            ring->used_wrap = !ring->used_wrap;
        }
        return true;
    }
    uint16_t index;
    uint32_t entry[2];
    qt_read(qt, ring->device + 2, &index, 2);
    if (index == ring->used)
        return false;
    qt_read(qt, ring->device + 4 + 8 * (ring->used++ % ring->size), entry, 8);
    *id = entry[0];
    *len = entry[1];
    return true;
}

uint16_t vd_wait_used(VirtioRing *ring, uint32_t *len)
{
    VdWait wait = { 0 };
    uint16_t id;

    while (!vd_take(ring, &id, len))
        vd_wait(&wait, "a buffer");
    return id;
}

uint32_t vd_do(VirtioRing *ring, const VirtioBuffer *buffers, unsigned count)
{
    uint16_t id = vd_add(ring, buffers, count);
    uint32_t len;

    vd_kick(ring);
    assert_int_equal(vd_wait_used(ring, &len), id);
    return len;
}

/* --- interrupts --- */

void vd_msix_route(VirtioDriver *drv, unsigned n, uint8_t v)
{
    unsigned cap = vd_find_cap(drv, 0x11, 0);

    assert_true(cap);
    vd_config_write(drv, cap + 2, 2, 0x8000);
    qt_writel(drv->qt, VD_MSIX + 16 * n, LAPIC);
    qt_writel(drv->qt, VD_MSIX + 16 * n + 4, 0);
    qt_writel(drv->qt, VD_MSIX + 16 * n + 8, v);
    qt_writel(drv->qt, VD_MSIX + 16 * n + 12, 0);
    qt_writel(drv->qt, LAPIC + 0xf0, 0x1ff);
}

bool vd_lapic_has(QTest *qt, uint8_t v)
{
    return qt_readl(qt, LAPIC + 0x200 + v / 32 * 0x10) >> v % 32 & 1;
}

void vd_wait_lapic(QTest *qt, uint8_t v)
{
    VdWait wait = { 0 };

    while (!vd_lapic_has(qt, v))
        vd_wait(&wait, "an interrupt");
}
