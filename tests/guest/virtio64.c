/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver for the virtio disk in slot 5 (virtio 1.2, modern interface, split ring): notifications and MSI-X interrupts under
 * an accelerator, where they may go by eventfds without the process's main thread.
 *
 * The disk holds this guest's own image, an ELF file.
 */
#include "lib/guest.h"

#define SLOT 5
#define BAR_MSIX 0xe1000000ul
#define BAR_MODERN 0xe2000000ul
#define RING_SIZE 8
#define VECTOR 0x50
#define ENTRY 1      /* of the MSI-X table */
#define ROUNDS 200
#define PATIENCE_MS 60000

enum { CAP_VENDOR = 0x09, CAP_MSIX = 0x11 };
enum { CFG_COMMON = 1, CFG_NOTIFY = 2 }; /* 4.1.4 */
enum { /* 4.1.4.3 */
    C_GFSELECT = 8, C_GF = 12, C_CONFIG_VECTOR = 16, C_STATUS = 20, C_Q_SELECT = 22, C_Q_SIZE = 24, C_Q_VECTOR = 26, C_Q_ENABLE = 28,
    C_Q_NOTIFY_OFF = 30, C_Q_DESC = 32, C_Q_DRIVER = 40, C_Q_DEVICE = 48,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };
enum { DESC_NEXT = 1, DESC_WRITE = 2 };

typedef struct Desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} Desc;

static Desc desc[RING_SIZE] __attribute__((aligned(16)));
static volatile struct { uint16_t flags, idx, ring[RING_SIZE]; } avail __attribute__((aligned(2)));
static volatile struct { uint16_t flags, idx; struct { uint32_t id, len; } ring[RING_SIZE]; } used __attribute__((aligned(4)));
static struct { uint32_t type, reserved; uint64_t sector; } header;
static uint8_t data[512];
static volatile uint8_t status;
static volatile uint32_t hits;
static unsigned long common, notify;
static unsigned msix_cap;

static void on_msi(Frame *frame)
{
    hits++;
    apic_eoi();
}

/* --- PCI --- */

static uint32_t config_read(unsigned offset)
{
    outl(0xcf8, 0x80000000u | SLOT << 11 | (offset & 0xfc));
    return inl(0xcfc) >> 8 * (offset & 3);
}

static void config_write(unsigned offset, uint32_t value)
{
    outl(0xcf8, 0x80000000u | SLOT << 11 | offset);
    outl(0xcfc, value);
}

static void write16(unsigned long at, uint16_t v)
{
    *(volatile uint16_t *)at = v;
}

static void write32(unsigned long at, uint32_t v)
{
    *(volatile uint32_t *)at = v;
}

static uint32_t read32(unsigned long at)
{
    return *(volatile uint32_t *)at;
}

static void find_capabilities(void)
{
    unsigned cap = config_read(0x34) & 0xff;

    for (unsigned hops = 0; cap && hops < 48; hops++) {
        uint32_t id = config_read(cap) & 0xff, type = config_read(cap + 3) & 0xff;
        if (id == CAP_MSIX)
            msix_cap = cap;
        else if (id == CAP_VENDOR && type == CFG_COMMON)
            common = BAR_MODERN + config_read(cap + 8);
        else if (id == CAP_VENDOR && type == CFG_NOTIFY)
            notify = BAR_MODERN + config_read(cap + 8);
        cap = config_read(cap + 1) & 0xff;
    }
}

static void map_device(void)
{
    config_write(0x14, BAR_MSIX);
    config_write(0x20, BAR_MODERN);
    config_write(0x24, 0);
    config_write(0x04, 6); /* memory, bus master */
}

static unsigned long table_entry(void)
{
    return BAR_MSIX + (config_read(msix_cap + 4) & ~7u) + 16 * ENTRY;
}

static bool is_pending(void)
{
    return read32(BAR_MSIX + (config_read(msix_cap + 8) & ~7u)) & 1u << ENTRY;
}

static void mask_vector(bool masked)
{
    write32(table_entry() + 12, masked);
}

static void enable_msix(void)
{
    write32(table_entry(), LAPIC_BASE);
    write32(table_entry() + 4, 0);
    write32(table_entry() + 8, VECTOR);
    mask_vector(false);
    config_write(msix_cap, config_read(msix_cap) | 1u << 31);
}

/* --- the device --- */

static void set_status(uint8_t bits)
{
    *(volatile uint8_t *)(common + C_STATUS) |= bits;
}

static void write64(unsigned long at, const volatile void *address)
{
    write32(at, (unsigned long)address);
    write32(at + 4, 0);
}

static void start_device(void)
{
    *(volatile uint8_t *)(common + C_STATUS) = 0;
    set_status(ACKNOWLEDGE);
    set_status(DRIVER);
    write32(common + C_GFSELECT, 0);
    write32(common + C_GF, 0);
    write32(common + C_GFSELECT, 1);
    write32(common + C_GF, 1); /* VERSION_1 */
    set_status(FEATURES_OK);
    write16(common + C_CONFIG_VECTOR, 0xffff);
    write16(common + C_Q_SELECT, 0);
    write16(common + C_Q_SIZE, RING_SIZE);
    write16(common + C_Q_VECTOR, ENTRY);
    write64(common + C_Q_DESC, desc);
    write64(common + C_Q_DRIVER, &avail);
    write64(common + C_Q_DEVICE, &used);
    write16(common + C_Q_ENABLE, 1);
    set_status(DRIVER_OK);
}

static void read_sector(uint64_t sector)
{
    header.type = 0;
    header.sector = sector;
    status = 0xff;
    desc[0] = (Desc){(unsigned long)&header, sizeof(header), DESC_NEXT, 1};
    desc[1] = (Desc){(unsigned long)data, sizeof(data), DESC_NEXT | DESC_WRITE, 2};
    desc[2] = (Desc){(unsigned long)&status, 1, DESC_WRITE, 0};
    avail.ring[avail.idx % RING_SIZE] = 0;
    asm volatile("" ::: "memory");
    avail.idx++;
    asm volatile("" ::: "memory");
    write16(notify, 0);
}

/* --- */

static void test_reads(void)
{
    read_sector(0);
    check(wait_for(&hits, 1), "a request ends with an interrupt by MSI-X");
    check(status == 0 && used.idx == 1, "and well: status %u, %u used", status, used.idx);
    check(data[0] == 0x7f && data[1] == 'E' && data[2] == 'L' && data[3] == 'F', "the data are the image's");

    bool all = true;
    for (uint32_t round = 0; round < ROUNDS && all; round++) {
        uint32_t before = hits;
        read_sector(round % 4);
        all = wait_for(&hits, before + 1) && status == 0 && used.idx == avail.idx;
    }
    check(all, "each of %u requests has an interrupt of its own", ROUNDS);
}

static void test_mask(void)
{
    uint32_t before = hits;

    mask_vector(true);
    read_sector(0);
    sti();
    for (unsigned ms = 0; ms < PATIENCE_MS && !(used.idx == avail.idx && is_pending()); ms++)
        delay_us(1000);
    cli();
    check(hits == before && is_pending(), "a masked vector is pending and does not interrupt");
    mask_vector(false);
    check(wait_for(&hits, before + 1), "it interrupts when it is unmasked");
    check(!is_pending(), "and is pending no more");
}

void guest_main(void)
{
    intr_set_handler(VECTOR, on_msi);
    pic_init(0x20);
    apic_enable();
    check((config_read(0) & 0xffff) == 0x1af4, "there is a virtio device in slot %u", SLOT);
    map_device();
    find_capabilities();
    check(common && notify && msix_cap, "it has a modern interface and MSI-X");
    enable_msix();
    start_device();
    test_reads();
    test_mask();
    finish();
}
