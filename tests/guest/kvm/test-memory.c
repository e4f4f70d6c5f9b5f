/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory slots, ioeventfds, coalesced writes: what the address space says is what the guest sees,
 * while it changes under running vCPUs too.
 */
#include "kvm-machine.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "accel/kvm/kvm-internal.h"
#include "core/lock.h"

/* --- ROM --- */

#define ROM_ADDR 0xc0000

static struct {
    RamBlock *block;
    MemoryRegion region;
} rom;

static void build_rom(KvmMachine *m)
{
    /* mov $0x77, %al; ret */
    static const uint8_t code[] = { 0xb0, 0x77, 0xc3 };

    rom.block = ram_block_new_anon("rom", 0x1000, NULL);
    memcpy(rom.block->host, code, sizeof(code));
    memcpy(rom.block->host + 0x100, "ROM!", 4);
    memory_region_init_rom(&rom.region, "rom", rom.block, 0, 0x1000);
    memory_region_add(&m->machine.memory_root, ROM_ADDR, &rom.region, 1);
}

static void free_rom(void)
{
    memory_region_release(&rom.region);
    ram_block_free(rom.block);
}

GUEST(use_rom, ".code32\n"
               "mov $0xc0000, %ebx\n"
               "movl $0, 0x100(%ebx)\n"
               "movb $0, (%ebx)\n"
               "mov 0x100(%ebx), %eax\n"
               "mov %eax, 0x7000\n"
               "call *%ebx\n"
               "mov %al, 0x7004\n"
               "out %al, $0xf4\n");

static void rom_reads_runs_and_drops_writes(void **state)
{
    KvmConfig config = { GUEST_CODE(use_rom), .mode = GUEST_PROTECTED, .build = build_rom };
    KvmMachine *m = kvm_machine_new(&config);

    kvm_machine_run(m);
    assert_true(m->ended);
    assert_memory_equal(kvm_machine_ram(m, 0x7000), "ROM!", 4);
    assert_int_equal(*kvm_machine_ram(m, 0x7004), 0x77);
    assert_memory_equal(rom.block->host + 0x100, "ROM!", 4);
    free_rom();
    kvm_machine_free(m);
}

/* --- RAM that is not page aligned --- */

static struct {
    RamBlock *block;
    MemoryRegion congruent, shifted;
} odd;

/* At a0800h with bytes that fit the host's pages, and at b0800h with bytes that do not. */
static void build_odd(KvmMachine *m)
{
    odd.block = ram_block_new_anon("odd", 0x4000, NULL);
    memory_region_init_ram(&odd.congruent, "congruent", odd.block, 0x800, 0x1800);
    memory_region_init_ram(&odd.shifted, "shifted", odd.block, 0x2000, 0x1800);
    memory_region_add(&m->machine.memory_root, 0xa0800, &odd.congruent, 1);
    memory_region_add(&m->machine.memory_root, 0xb0800, &odd.shifted, 1);
}

GUEST(use_odd, ".code32\n"
               "movl $0x11111111, 0xa0800\n" /* before the first whole page */
               "movl $0x22222222, 0xa1000\n" /* in it */
               "movl $0x33333333, 0xa1ffc\n"
               "movl $0x44444444, 0xb0800\n"
               "movl $0x55555555, 0xb1000\n"
               "mov 0xa0800, %eax\n"
               "mov %eax, 0x7000\n"
               "mov 0xb1000, %eax\n"
               "mov %eax, 0x7004\n"
               "out %al, $0xf4\n");

static uint64_t odd_word(unsigned offset)
{
    return load_le(odd.block->host + offset, 4);
}

static void ram_that_is_not_page_aligned_works_all_the_same(void **state)
{
    KvmConfig config = { GUEST_CODE(use_odd), .mode = GUEST_PROTECTED, .build = build_odd };
    KvmMachine *m = kvm_machine_new(&config);
    const GArray *slots = kvm_of(m->machine.accel)->slots.slots;
    unsigned pages = 0;

    for (guint i = 0; i < slots->len; i++) {
        const KvmSlot *slot = &g_array_index(slots, KvmSlot, i);

        if (slot->gpa == 0xa1000)
            pages += (unsigned)(slot->size / GUEST_PAGE_SIZE);
        assert_false(ranges_overlap(slot->gpa, slot->size, 0xb0000, 0x2000));
    }
    assert_int_equal(pages, 1);
    kvm_machine_run(m);
    assert_true(m->ended);
    assert_int_equal(odd_word(0x800), 0x11111111);
    assert_int_equal(odd_word(0x1000), 0x22222222);
    assert_int_equal(odd_word(0x1ffc), 0x33333333);
    assert_int_equal(odd_word(0x2000), 0x44444444);
    assert_int_equal(odd_word(0x2800), 0x55555555);
    assert_int_equal(load_le(kvm_machine_ram(m, 0x7000), 4), 0x11111111);
    assert_int_equal(load_le(kvm_machine_ram(m, 0x7004), 4), 0x55555555);
    memory_region_release(&odd.congruent);
    memory_region_release(&odd.shifted);
    ram_block_free(odd.block);
    kvm_machine_free(m);
}

/* --- changes under a running guest --- */

/* Counts at 7000h, and copies the bytes of three pages to where the test sees them. */
GUEST(count, ".code32\n"
             "1: lock incl 0x7000\n"
             "mov 0x20000, %eax\n"
             "cmp $0x11111111, %eax\n"
             "je 2f\n"
             "cmp $0x22222222, %eax\n"
             "jne 3f\n"
             "2: mov 0x30000, %eax\n"
             "cmp $0x33333333, %eax\n"
             "je 1b\n"
             "3: mov %eax, 0x7008\n"
             "out %al, $0xf4\n");

static uint32_t counter(KvmMachine *m)
{
    return __atomic_load_n((uint32_t *)(void *)kvm_machine_ram(m, 0x7000), __ATOMIC_RELAXED);
}

static struct {
    RamBlock *block;
    MemoryRegion region;
} overlay;

/* A page over 20000h; the guest's code, stack and data are in the slot that is split around it. */
static void build_overlay(KvmMachine *m)
{
    overlay.block = ram_block_new_anon("overlay", 0x1000, NULL);
    *(uint32_t *)(void *)overlay.block->host = 0x22222222;
    memory_region_init_ram(&overlay.region, "overlay", overlay.block, 0, 0x1000);
    memory_region_add(&m->machine.memory_root, 0x20000, &overlay.region, 1);
}

static void reset_patterns(KvmMachine *m)
{
    *(uint32_t *)(void *)kvm_machine_ram(m, 0x20000) = 0x11111111;
    *(uint32_t *)(void *)kvm_machine_ram(m, 0x30000) = 0x33333333;
}

static uint32_t counter_goal;

static bool counter_reached(KvmMachine *m)
{
    return counter(m) >= counter_goal;
}

static void storm(const char *irqchip, void (*change)(unsigned i))
{
    KvmConfig config = {
        GUEST_CODE(count), .mode = GUEST_PROTECTED, .irqchip = irqchip, .build = build_overlay, .reset = reset_patterns,
    };
    KvmMachine *m = kvm_machine_new(&config);

    kvm_machine_start(m);
    for (unsigned i = 0; i < 100 && machine_is_running(&m->machine); i++) {
        machine_lock();
        change(i);
        machine_unlock();
        counter_goal = counter(m) + 20; /* the guest really runs in between */
        kvm_machine_wait(m, counter_reached);
    }
    assert_false(m->ended);
    assert_true(machine_is_running(&m->machine));
    machine_stop(&m->machine, RUN_STATE_PAUSED);
    memory_region_release(&overlay.region);
    ram_block_free(overlay.block);
    kvm_machine_free(m);
}

static void toggle_enabled(unsigned i)
{
    memory_region_set_enabled(&overlay.region, i & 1);
}

static void toggle_read_only(unsigned i)
{
    memory_region_set_read_only(&overlay.region, !(i & 1));
}

static void splitting_the_slot_a_guest_runs_in_never_shows_a_hole(void **state)
{
    storm("on", toggle_enabled);
}

static void splitting_works_with_userspace_irqchip(void **state)
{
    storm("off", toggle_enabled);
}

static void write_protection_changes_under_a_running_guest(void **state)
{
    storm("on", toggle_read_only);
}

static void slots_that_do_not_change_are_not_touched(void **state)
{
    KvmConfig config = { GUEST_CODE(count), .mode = GUEST_PROTECTED, .build = build_overlay };
    KvmMachine *m = kvm_machine_new(&config);
    const KvmSlots *slots = &kvm_of(m->machine.accel)->slots;

    assert_int_equal(slots->slots->len, 3);
    machine_lock();
    memory_region_set_enabled(&overlay.region, false);
    assert_int_equal(slots->slots->len, 1);
    assert_int_equal(slots->removed->len, 3);
    memory_transaction_begin();
    memory_region_set_enabled(&overlay.region, true);
    memory_region_set_offset(&overlay.region, 0x21000);
    memory_region_set_offset(&overlay.region, 0x20000);
    memory_transaction_commit();
    assert_int_equal(slots->slots->len, 3);
    memory_region_set_offset(&overlay.region, 0x21000);
    /* Ids are small numbers used again, not consumed. */
    for (guint i = 0; i < slots->slots->len; i++)
        assert_in_range(g_array_index(slots->slots, KvmSlot, i).id, 0, 5);
    machine_unlock();
    memory_region_release(&overlay.region);
    ram_block_free(overlay.block);
    kvm_machine_free(m);
}

/* A vCPU changes the map from inside its own access, as a guest writing a PAM register does. */
static void flip_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    memory_region_set_enabled(&overlay.region, value & 1);
}

static const MemoryRegionOps flip_ops = { .write = flip_write };
static MemoryRegion flip;

static void build_flip(KvmMachine *m)
{
    build_overlay(m);
    memory_region_init_io(&flip, &flip_ops, NULL, "flip", 1);
    memory_region_add(&m->machine.io_root, 0x59, &flip, 0);
}

GUEST(flip_self, ".code32\n"
                 "mov $200, %ecx\n"
                 "1: mov %cl, %al\n"
                 "out %al, $0x59\n"
                 "mov 0x20000, %eax\n"
                 "test $1, %cl\n"
                 "jz 2f\n"
                 "cmp $0x22222222, %eax\n"
                 "jne 3f\n"
                 "loop 1b\n"
                 "jmp 4f\n"
                 "2: cmp $0x11111111, %eax\n"
                 "jne 3f\n"
                 "loop 1b\n"
                 "4: xor %al, %al\n"
                 "out %al, $0xf4\n"
                 "3: mov $1, %al\n"
                 "out %al, $0xf4\n");

static void a_change_from_inside_an_access_shows_at_the_next_instruction(void **state)
{
    KvmConfig config = {
        GUEST_CODE(flip_self), .mode = GUEST_PROTECTED, .build = build_flip, .reset = reset_patterns,
    };
    KvmMachine *m = kvm_machine_new(&config);

    kvm_machine_run(m);
    assert_true(m->ended);
    assert_int_equal(m->status, 0);
    memory_region_release(&flip);
    memory_region_release(&overlay.region);
    ram_block_free(overlay.block);
    kvm_machine_free(m);
}

/* --- ioeventfds --- */

static struct {
    MemoryRegion pio, mmio;
    int fds[2];
    unsigned handled;
} bell;

static void bell_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    bell.handled++;
}

static const MemoryRegionOps bell_ops = { .write = bell_write };

static void build_bell(KvmMachine *m)
{
    bell.handled = 0;
    for (int i = 0; i < 2; i++)
        bell.fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    memory_region_init_io(&bell.pio, &bell_ops, NULL, "bell-pio", 8);
    memory_region_init_io(&bell.mmio, &bell_ops, NULL, "bell-mmio", 0x1000);
    memory_region_add(&m->machine.io_root, 0x200, &bell.pio, 0);
    memory_region_add(&m->machine.memory_root, 0xa0000, &bell.mmio, 1);
    memory_region_add_eventfd(&bell.pio, &(RegionEventFd){ .offset = 2, .size = 2, .match = true, .data = 7, .fd = bell.fds[0] });
    memory_region_add_eventfd(&bell.mmio, &(RegionEventFd){ .offset = 0x10, .size = 4, .fd = bell.fds[1] });
}

static uint64_t rings(int i)
{
    eventfd_t value = 0;

    (void)eventfd_read(bell.fds[i], &value);
    return value;
}

static void free_bell(void)
{
    memory_region_release(&bell.pio);
    memory_region_release(&bell.mmio);
    close(bell.fds[0]);
    close(bell.fds[1]);
}

GUEST(ring, ".code32\n"
            "mov $0x202, %edx\n"
            "mov $7, %eax\n"
            "out %ax, (%dx)\n"
            "out %ax, (%dx)\n"
            "mov $8, %eax\n"
            "out %ax, (%dx)\n" /* another value: the handler's */
            "mov $0xa0000, %ebx\n"
            "mov %eax, 0x10(%ebx)\n"
            "mov %eax, 0x14(%ebx)\n" /* another register: the handler's */
            "out %al, $0xf4\n");

static void a_matching_write_signals_its_eventfd_and_nothing_else(void **state)
{
    KvmConfig config = { GUEST_CODE(ring), .mode = GUEST_PROTECTED, .build = build_bell };
    KvmMachine *m = kvm_machine_new(&config);

    kvm_machine_run(m);
    assert_int_equal(rings(0), 2);
    assert_int_equal(rings(1), 1);
    assert_int_equal(bell.handled, 2);
    free_bell();
    kvm_machine_free(m);
}

static void build_bell_and_take_it_away(KvmMachine *m)
{
    build_bell(m);
    memory_region_remove_eventfd(&bell.pio, &(RegionEventFd){ .offset = 2, .size = 2, .match = true, .data = 7, .fd = bell.fds[0] });
    memory_region_remove_eventfd(&bell.mmio, &(RegionEventFd){ .offset = 0x10, .size = 4, .fd = bell.fds[1] });
}

static void a_removed_eventfd_gives_the_writes_back_to_the_handler(void **state)
{
    KvmConfig config = { GUEST_CODE(ring), .mode = GUEST_PROTECTED, .build = build_bell_and_take_it_away };
    KvmMachine *m = kvm_machine_new(&config);

    kvm_machine_run(m);
    assert_int_equal(rings(0), 0);
    assert_int_equal(rings(1), 0);
    assert_int_equal(bell.handled, 5);
    free_bell();
    kvm_machine_free(m);
}

/* --- coalesced writes --- */

static struct {
    MemoryRegion mmio;
    GString *log;
} fifo;

static void fifo_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    g_string_append_printf(fifo.log, "%x=%x ", (unsigned)offset, (unsigned)value);
}

static uint64_t fifo_read(void *opaque, uint64_t offset, unsigned size)
{
    g_string_append(fifo.log, "read ");
    return 0;
}

static const MemoryRegionOps fifo_ops = { .read = fifo_read, .write = fifo_write };

static void build_fifo(KvmMachine *m)
{
    fifo.log = g_string_new(NULL);
    memory_region_init_io(&fifo.mmio, &fifo_ops, NULL, "fifo", 0x1000);
    memory_region_set_coalesced(&fifo.mmio, true);
    memory_region_add(&m->machine.memory_root, 0xa0000, &fifo.mmio, 1);
}

GUEST(fill, ".code32\n"
            "mov $0xa0000, %ebx\n"
            "mov $300, %ecx\n" /* more than the ring holds */
            "1: mov %ecx, (%ebx)\n"
            "loop 1b\n"
            "mov 4(%ebx), %eax\n"
            "movl $9, 8(%ebx)\n"
            "out %al, $0xf4\n");

static void queued_writes_arrive_in_order_and_before_any_later_access(void **state)
{
    KvmConfig config = { GUEST_CODE(fill), .mode = GUEST_PROTECTED, .build = build_fifo };
    KvmMachine *m = kvm_machine_new(&config);
    g_autoptr(GString) expected = g_string_new(NULL);

    kvm_machine_run(m);
    for (unsigned i = 300; i; i--)
        g_string_append_printf(expected, "0=%x ", i);
    g_string_append(expected, "read 8=9 ");
    assert_string_equal(fifo.log->str, expected->str);
    memory_region_release(&fifo.mmio);
    g_string_free(fifo.log, true);
    kvm_machine_free(m);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(rom_reads_runs_and_drops_writes),
        cmocka_unit_test(ram_that_is_not_page_aligned_works_all_the_same),
        cmocka_unit_test(splitting_the_slot_a_guest_runs_in_never_shows_a_hole),
        cmocka_unit_test(splitting_works_with_userspace_irqchip),
        cmocka_unit_test(write_protection_changes_under_a_running_guest),
        cmocka_unit_test(slots_that_do_not_change_are_not_touched),
        cmocka_unit_test(a_change_from_inside_an_access_shows_at_the_next_instruction),
        cmocka_unit_test(a_matching_write_signals_its_eventfd_and_nothing_else),
        cmocka_unit_test(a_removed_eventfd_gives_the_writes_back_to_the_handler),
        cmocka_unit_test(queued_writes_arrive_in_order_and_before_any_later_access),
    };

    kvm_machine_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
