/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory tree: what wins where regions overlap, how accesses are split and refused, what
 * listeners hear, and that DMA reaches RAM only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/bits.h"
#include "core/dma.h"
#include "core/lock.h"
#include "core/memory.h"
#include "core/ram.h"
#include "core/thread.h"

/* A device that remembers its accesses. */
typedef struct Probe {
    unsigned reads, writes;
    uint64_t offset[8], value[8];
    unsigned size[8];
    bool lock_held;
} Probe;

static uint64_t probe_read(void *opaque, uint64_t offset, unsigned size)
{
    Probe *p = opaque;

    p->offset[p->reads % 8] = offset;
    p->size[p->reads % 8] = size;
    p->reads++;
    p->lock_held = machine_lock_held();
    return 0x8877665544332211ull >> (8 * (offset & 7));
}

static void probe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Probe *p = opaque;

    p->offset[p->writes % 8] = offset;
    p->value[p->writes % 8] = value;
    p->size[p->writes % 8] = size;
    p->writes++;
}

static const MemoryRegionOps byte_ops = { probe_read, probe_write, { 1, 1, false }, { 0 }, false };
static const MemoryRegionOps dword_ops = { probe_read, probe_write, { 1, 4, false }, { 4, 4, false }, false };
static const MemoryRegionOps only_dword_ops = { probe_read, probe_write, { 4, 4, false }, { 0 }, false };
static const MemoryRegionOps wide_ops = { probe_read, probe_write, { 1, 8, true }, { 1, 8, true }, true };

typedef struct Space {
    MemoryRegion root, ram_mr, io_mr;
    RamBlock *ram;
    AddressSpace as;
    Probe probe;
} Space;

#define RAM_SIZE 0x10000
#define IO_BASE 0x20000

static void space_init(Space *s, const MemoryRegionOps *ops)
{
    RamOptions options = { .size = RAM_SIZE, .seal = true };

    *s = (Space){ 0 };
    s->ram = ram_block_new("ram", &options, NULL);
    assert_non_null(s->ram);
    memory_region_init_container(&s->root, "root", MEMORY_SPACE_SIZE);
    memory_region_init_ram(&s->ram_mr, "ram", s->ram, 0, RAM_SIZE);
    memory_region_init_io(&s->io_mr, ops, &s->probe, "io", 0x1000);
    address_space_init(&s->as, &s->root, "test");
    memory_region_add(&s->root, 0, &s->ram_mr, 0);
    memory_region_add(&s->root, IO_BASE, &s->io_mr, 0);
}

static void space_release(Space *s)
{
    memory_region_remove(&s->ram_mr);
    memory_region_remove(&s->io_mr);
    address_space_release(&s->as);
    memory_region_release(&s->io_mr);
    memory_region_release(&s->ram_mr);
    memory_region_release(&s->root);
    ram_block_free(s->ram);
}

static void the_higher_priority_wins_and_the_rest_shows_around_it(void **state)
{
    Space s;
    MemoryRegion over;
    MemorySection sec;

    space_init(&s, &byte_ops);
    memory_region_init_io(&over, &byte_ops, &s.probe, "over", 0x1000);
    memory_region_add(&s.root, 0x4000, &over, 1);

    assert_int_equal(s.as.view->count, 4); /* ram, over, ram, io */
    assert_true(address_space_lookup(&s.as, 0x4abc, &sec));
    assert_ptr_equal(sec.mr, &over);
    assert_true(address_space_lookup(&s.as, 0x5000, &sec));
    assert_ptr_equal(sec.mr, &s.ram_mr);
    assert_int_equal(sec.mr_offset, 0x5000);

    memory_region_set_enabled(&over, false);
    assert_int_equal(s.as.view->count, 2); /* the two halves of ram are one again */
    memory_region_remove(&over);
    memory_region_release(&over);
    space_release(&s);
}

static void among_equals_the_newest_wins(void **state)
{
    Space s;
    MemoryRegion second;
    MemorySection sec;

    space_init(&s, &byte_ops);
    memory_region_init_io(&second, &byte_ops, &s.probe, "second", 0x1000);
    memory_region_add(&s.root, IO_BASE, &second, 0);
    assert_true(address_space_lookup(&s.as, IO_BASE, &sec));
    assert_ptr_equal(sec.mr, &second);
    memory_region_remove(&second);
    memory_region_release(&second);
    space_release(&s);
}

static void an_alias_shows_part_of_its_target(void **state)
{
    Space s;
    MemoryRegion alias;
    uint64_t v;

    space_init(&s, &byte_ops);
    memory_region_init_alias(&alias, "alias", &s.ram_mr, 0x3000, 0x1000);
    memory_region_add(&s.root, 0x100000000, &alias, 0);
    store_le(s.ram->host + 0x3010, 0x1234, 2);
    assert_int_equal(address_space_load(&s.as, 0x100000010, 2, &v), MEM_TX_OK);
    assert_int_equal(v, 0x1234);
    memory_region_set_alias_offset(&alias, 0x3010);
    assert_int_equal(address_space_load(&s.as, 0x100000000, 2, &v), MEM_TX_OK);
    assert_int_equal(v, 0x1234);
    memory_region_remove(&alias);
    memory_region_release(&alias);
    space_release(&s);
}

static void read_only_ram_drops_writes(void **state)
{
    Space s;
    uint64_t v;

    space_init(&s, &byte_ops);
    assert_int_equal(address_space_store(&s.as, 0x100, 4, 0xcafe), MEM_TX_OK);
    memory_region_set_read_only(&s.ram_mr, true);
    assert_int_equal(address_space_store(&s.as, 0x100, 4, 0xdead), MEM_TX_ACCESS_ERROR);
    assert_int_equal(address_space_load(&s.as, 0x100, 4, &v), MEM_TX_OK);
    assert_int_equal(v, 0xcafe);
    space_release(&s);
}

static void a_rom_device_reads_as_memory_and_takes_writes(void **state)
{
    Space s;
    MemoryRegion flash;
    uint64_t value;

    space_init(&s, &byte_ops);
    s.ram->host[0x20] = 0x5a;
    memory_region_init_rom_device(&flash, &byte_ops, &s.probe, "flash", s.ram, 0, 0x1000);
    memory_region_add(&s.root, 0x40000, &flash, 0);
    address_space_load(&s.as, 0x40020, 1, &value);
    assert_int_equal(value, 0x5a);
    assert_int_equal(s.probe.reads, 0);
    assert_int_equal(address_space_store(&s.as, 0x40020, 2, 0x1234), MEM_TX_OK);
    assert_int_equal(s.probe.writes, 2); /* bytes, as its ops say */
    assert_int_equal(s.probe.offset[1], 0x21);
    assert_int_equal(s.probe.value[1], 0x12);
    assert_false(dma_write(&s.as, 0x40020, &value, 1));
    assert_int_equal(s.ram->host[0x20], 0x5a);
    memory_region_release(&flash);
    space_release(&s);
}

static void a_wide_access_is_split_for_a_byte_device(void **state)
{
    Space s;
    uint64_t v;

    space_init(&s, &byte_ops);
    assert_int_equal(address_space_store(&s.as, IO_BASE + 2, 4, 0x44332211), MEM_TX_OK);
    assert_int_equal(s.probe.writes, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(s.probe.offset[i], 2 + i);
        assert_int_equal(s.probe.value[i], 0x11 * (i + 1));
        assert_int_equal(s.probe.size[i], 1);
    }
    assert_int_equal(address_space_load(&s.as, IO_BASE, 4, &v), MEM_TX_OK);
    assert_int_equal(v, 0x44332211);
    assert_true(s.probe.lock_held);
    space_release(&s);
}

static void a_narrow_access_is_widened_for_a_dword_device(void **state)
{
    Space s;
    uint64_t v;

    space_init(&s, &dword_ops);
    assert_int_equal(address_space_load(&s.as, IO_BASE + 2, 1, &v), MEM_TX_OK);
    assert_int_equal(v, 0x33);
    assert_int_equal(s.probe.offset[0], 0);
    assert_int_equal(s.probe.size[0], 4);
    assert_int_equal(address_space_store(&s.as, IO_BASE + 6, 2, 0xbeef), MEM_TX_OK);
    assert_int_equal(s.probe.offset[0], 4);
    assert_int_equal(s.probe.value[0], 0xbeef0000);
    space_release(&s);
}

static void a_size_the_device_does_not_allow_reads_as_ones(void **state)
{
    Space s;
    uint64_t v;

    space_init(&s, &only_dword_ops);
    assert_int_equal(address_space_load(&s.as, IO_BASE, 2, &v), MEM_TX_ACCESS_ERROR);
    assert_int_equal(v, 0xffff);
    assert_int_equal(address_space_store(&s.as, IO_BASE + 1, 1, 0), MEM_TX_ACCESS_ERROR);
    assert_int_equal(s.probe.reads + s.probe.writes, 0);
    space_release(&s);
}

static void a_lockless_device_is_called_without_machine_lock(void **state)
{
    Space s;
    uint64_t v;

    space_init(&s, &wide_ops);
    s.probe.lock_held = true;
    assert_int_equal(address_space_load(&s.as, IO_BASE, 8, &v), MEM_TX_OK);
    assert_int_equal(v, 0x8877665544332211ull);
    assert_false(s.probe.lock_held);
    space_release(&s);
}

static void nothing_there_reads_as_ones(void **state)
{
    Space s;
    uint64_t v;

    space_init(&s, &byte_ops);
    assert_int_equal(address_space_load(&s.as, 0x900000, 8, &v), MEM_TX_DECODE_ERROR);
    assert_true(v == UINT64_MAX);
    /* An access that leaves RAM keeps its good part. */
    s.ram->host[RAM_SIZE - 1] = 0x5a;
    assert_int_equal(address_space_load(&s.as, RAM_SIZE - 1, 2, &v), MEM_TX_DECODE_ERROR);
    assert_int_equal(v, 0xff5a);
    space_release(&s);
}

static void an_access_belongs_to_the_device_at_its_first_byte(void **state)
{
    Space s;
    MemoryRegion byte_mr;
    Probe inner = { 0 };

    /* As CF8h and CF9h: a byte register in the middle of a doubleword one. */
    space_init(&s, &only_dword_ops);
    memory_region_init_io(&byte_mr, &byte_ops, &inner, "byte", 1);
    memory_region_add(&s.root, IO_BASE + 1, &byte_mr, 1);
    assert_int_equal(address_space_store(&s.as, IO_BASE, 4, 0x80000600), MEM_TX_OK);
    assert_int_equal(s.probe.writes, 1);
    assert_int_equal(s.probe.value[0], 0x80000600);
    assert_int_equal(inner.writes, 0);
    assert_int_equal(address_space_store(&s.as, IO_BASE + 1, 1, 6), MEM_TX_OK);
    assert_int_equal(inner.writes, 1);

    /* The same where nobody has the doubleword. */
    memory_region_set_enabled(&s.io_mr, false);
    assert_int_equal(address_space_store(&s.as, IO_BASE, 4, 0x80000600), MEM_TX_DECODE_ERROR);
    assert_int_equal(inner.writes, 1);
    memory_region_remove(&byte_mr);
    memory_region_release(&byte_mr);
    space_release(&s);
}

typedef struct Heard {
    unsigned adds, dels, commits, efd_adds, efd_dels;
} Heard;

static void heard_add(MemoryListener *l, const MemorySection *s)
{
    ((Heard *)l->opaque)->adds++;
}

static void heard_del(MemoryListener *l, const MemorySection *s)
{
    ((Heard *)l->opaque)->dels++;
}

static void heard_commit(MemoryListener *l)
{
    ((Heard *)l->opaque)->commits++;
}

static void heard_efd_add(MemoryListener *l, const MemorySection *s, const RegionEventFd *efd)
{
    ((Heard *)l->opaque)->efd_adds++;
}

static void heard_efd_del(MemoryListener *l, const MemorySection *s, const RegionEventFd *efd)
{
    ((Heard *)l->opaque)->efd_dels++;
}

static void a_listener_hears_the_difference_once_per_transaction(void **state)
{
    Space s;
    MemoryRegion hole;
    Heard heard = { 0 };
    MemoryListener listener = { .section_add = heard_add, .section_del = heard_del, .commit = heard_commit,
                                .eventfd_add = heard_efd_add, .eventfd_del = heard_efd_del,
                                .opaque = &heard };
    RegionEventFd efd = { .offset = 8, .size = 4, .match = true, .data = 7, .fd = 100 };

    space_init(&s, &byte_ops);
    address_space_add_listener(&s.as, &listener);
    assert_int_equal(heard.adds, 2);
    heard = (Heard){ 0 };

    memory_transaction_begin();
    memory_region_init_io(&hole, &byte_ops, &s.probe, "hole", 0x1000);
    memory_region_add(&s.root, 0x4000, &hole, 1);
    memory_region_add_eventfd(&hole, &efd);
    assert_int_equal(heard.commits, 0);
    memory_transaction_commit();
    assert_int_equal(heard.commits, 1);
    assert_int_equal(heard.dels, 1); /* ram as one piece */
    assert_int_equal(heard.adds, 3);
    assert_int_equal(heard.efd_adds, 1);

    memory_region_remove_eventfd(&hole, &efd);
    assert_int_equal(heard.efd_dels, 1);
    memory_region_remove(&hole);
    memory_region_release(&hole);
    address_space_remove_listener(&s.as, &listener);
    space_release(&s);
}

static void a_matching_eventfd_takes_the_write(void **state)
{
    Space s;
    eventfd_t count = 0;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    RegionEventFd efd = { .offset = 0x10, .size = 4, .match = true, .data = 3, .fd = fd };

    space_init(&s, &wide_ops);
    memory_region_add_eventfd(&s.io_mr, &efd);
    address_space_store(&s.as, IO_BASE + 0x10, 4, 4);
    assert_int_equal(s.probe.writes, 1);
    address_space_store(&s.as, IO_BASE + 0x10, 4, 3);
    assert_int_equal(s.probe.writes, 1);
    assert_int_equal(eventfd_read(fd, &count), 0);
    assert_int_equal(count, 1);
    space_release(&s);
    close(fd);
}

static uint64_t written_addr, written_len;

static void note_written(void *opaque, uint64_t addr, uint64_t len)
{
    written_addr = addr;
    written_len = len;
}

static void dma_reaches_ram_only_and_whole(void **state)
{
    Space s;
    uint8_t buf[16] = { 0 };
    uint64_t len = 0x2000;

    space_init(&s, &byte_ops);
    s.as.ram_written = note_written;
    memset(s.ram->host, 0xaa, RAM_SIZE);

    assert_false(dma_read(&s.as, IO_BASE, buf, 4));
    assert_int_equal(s.probe.reads, 0);
    assert_false(dma_write(&s.as, RAM_SIZE - 8, buf, 16)); /* leaves RAM: nothing is written */
    assert_int_equal(s.ram->host[RAM_SIZE - 8], 0xaa);
    assert_false(dma_write(&s.as, UINT64_MAX - 3, buf, 16));

    assert_true(dma_write(&s.as, 0x800, buf, 16));
    assert_int_equal(s.ram->host[0x800], 0);
    assert_int_equal(written_addr, 0x800);
    assert_int_equal(written_len, 16);
    assert_true(dma_fill(&s.as, 0x900, 0x77, 3));
    assert_int_equal(s.ram->host[0x902], 0x77);

    assert_ptr_equal(dma_map(&s.as, RAM_SIZE - 0x1000, &len, DMA_FROM_DEVICE), s.ram->host + RAM_SIZE - 0x1000);
    assert_int_equal(len, 0x1000);
    dma_unmap(&s.as, RAM_SIZE - 0x1000, 5, DMA_FROM_DEVICE);
    assert_int_equal(written_len, 5);
    memory_region_set_read_only(&s.ram_mr, true);
    len = 1;
    assert_null(dma_map(&s.as, 0, &len, DMA_FROM_DEVICE));
    assert_non_null(dma_map(&s.as, 0, &len, DMA_TO_DEVICE));
    space_release(&s);
}

static void sealed_ram_cannot_be_resized(void **state)
{
    Space s;

    space_init(&s, &byte_ops);
    assert_int_equal(ftruncate(s.ram->fd, 0), -1);
    assert_int_equal(ftruncate(s.ram->fd, RAM_SIZE * 2), -1);
    space_release(&s);
}

static void preallocated_ram_is_resident(void **state)
{
    RamOptions options = { .size = 4 * MIB, .prealloc = true, .seal = true };
    RamBlock *ram = ram_block_new("ram", &options, NULL);
    unsigned char map[1024];
    unsigned resident = 0;

    assert_non_null(ram);
    assert_int_equal(mincore(ram->host, ram->size, map), 0);
    for (unsigned i = 0; i < 1024; i++)
        resident += map[i] & 1;
    assert_int_equal(resident, 1024);
    ram_block_free(ram);
}

static void ram_the_host_cannot_map_is_an_error_with_a_remedy(void **state)
{
    g_autoptr(GError) err = NULL;
    RamOptions options = { .size = UINT64_C(1) << 50 };

    assert_null(ram_block_new("ram", &options, &err));
    assert_non_null(strstr(err->message, "ram"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_higher_priority_wins_and_the_rest_shows_around_it),
        cmocka_unit_test(among_equals_the_newest_wins),
        cmocka_unit_test(an_alias_shows_part_of_its_target),
        cmocka_unit_test(read_only_ram_drops_writes),
        cmocka_unit_test(a_rom_device_reads_as_memory_and_takes_writes),
        cmocka_unit_test(a_wide_access_is_split_for_a_byte_device),
        cmocka_unit_test(a_narrow_access_is_widened_for_a_dword_device),
        cmocka_unit_test(a_size_the_device_does_not_allow_reads_as_ones),
        cmocka_unit_test(a_lockless_device_is_called_without_machine_lock),
        cmocka_unit_test(nothing_there_reads_as_ones),
        cmocka_unit_test(an_access_belongs_to_the_device_at_its_first_byte),
        cmocka_unit_test(a_listener_hears_the_difference_once_per_transaction),
        cmocka_unit_test(a_matching_eventfd_takes_the_write),
        cmocka_unit_test(dma_reaches_ram_only_and_whole),
        cmocka_unit_test(sealed_ram_cannot_be_resized),
        cmocka_unit_test(preallocated_ram_is_resident),
        cmocka_unit_test(ram_the_host_cannot_map_is_an_error_with_a_remedy),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
