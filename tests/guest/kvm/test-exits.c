/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest does that leaves KVM: ports, device memory, HLT, faults, nonsense.
 */
#include "kvm-machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/lock.h"

/* The ten lines everyone knows. */
GUEST(hello, ".code16\n"
             "mov $0x3f8, %dx\n"
             "add %bl, %al\n"
             "add $'0', %al\n"
             "out %al, (%dx)\n"
             "mov $'\\n', %al\n"
             "out %al, (%dx)\n"
             "1: hlt\n"
             "jmp 1b\n");

static MemoryRegion serial;

static void serial_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    g_string_append_c(((KvmMachine *)opaque)->output, (char)value);
}

static const MemoryRegionOps serial_ops = { .write = serial_write };

static void build_serial(KvmMachine *m)
{
    memory_region_init_io(&serial, &serial_ops, m, "serial", 8);
    memory_region_add(&m->machine.io_root, 0x3f8, &serial, 0);
}

static void reset_two_and_two(KvmMachine *m)
{
    m->machine.vcpus[0]->state.gpr[GPR_RAX] = 2;
    m->machine.vcpus[0]->state.gpr[GPR_RBX] = 2;
}

static bool is_halted(KvmMachine *m)
{
    return m->output->len == 2 && kvm_machine_state(m, 0).mp_state == MP_HALTED;
}

static void two_and_two_is_printed_and_the_guest_halts(const char *irqchip)
{
    KvmConfig config = { GUEST_CODE(hello), .irqchip = irqchip, .build = build_serial, .reset = reset_two_and_two };
    KvmMachine *m = kvm_machine_new(&config);

    kvm_machine_start(m);
    kvm_machine_wait(m, is_halted);
    assert_string_equal(m->output->str, "4\n");
    assert_int_equal(kvm_machine_state(m, 0).gpr[GPR_RDX] & 0xffff, 0x3f8);
    machine_stop(&m->machine, RUN_STATE_PAUSED);
    memory_region_release(&serial);
    kvm_machine_free(m);
}

static void two_and_two_is_four_with_irqchip_on(void **state)
{
    two_and_two_is_printed_and_the_guest_halts("on");
}

static void two_and_two_is_four_with_irqchip_split(void **state)
{
    two_and_two_is_printed_and_the_guest_halts("split");
}

static void two_and_two_is_four_with_irqchip_off(void **state)
{
    two_and_two_is_printed_and_the_guest_halts("off");
}

/* --- a device with a log of what was done to it, at ports and in memory --- */

#define DEVICE_PORT 0x200
#define DEVICE_ADDR 0xa0000

static struct {
    MemoryRegion pio, mmio;
    GString *log;
    uint64_t next_read;
} device;

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    g_string_append_printf(device.log, "r%u@%x ", size, (unsigned)offset);
    return device.next_read++;
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    g_string_append_printf(device.log, "w%u@%x=%llx ", size, (unsigned)offset, (unsigned long long)value);
}

static const MemoryRegionOps device_ops = { device_read, device_write, { 1, 8, true }, { 1, 8, true }, false };

static void build_device(KvmMachine *m)
{
    device.log = g_string_new(NULL);
    device.next_read = 0x11;
    memory_region_init_io(&device.pio, &device_ops, NULL, "device-pio", 0x100);
    memory_region_init_io(&device.mmio, &device_ops, NULL, "device-mmio", 0x10000);
    memory_region_add(&m->machine.io_root, DEVICE_PORT, &device.pio, 0);
    memory_region_add(&m->machine.memory_root, DEVICE_ADDR, &device.mmio, 1);
}

static KvmMachine *run_with_device(const uint8_t *code, const uint8_t *end, GuestMode mode)
{
    KvmConfig config = { .code = code, .code_end = end, .mode = mode, .build = build_device };
    KvmMachine *m = kvm_machine_new(&config);

    kvm_machine_run(m);
    m->config = NULL;
    return m;
}

static void free_with_device(KvmMachine *m)
{
    memory_region_release(&device.pio);
    memory_region_release(&device.mmio);
    g_string_free(device.log, true);
    kvm_machine_free(m);
}

GUEST(ports, ".code16\n"
             "mov $0x200, %dx\n"
             "mov $0x12345678, %eax\n"
             "out %al, (%dx)\n"
             "out %ax, (%dx)\n"
             "out %eax, (%dx)\n"
             "in (%dx), %eax\n"
             "mov %eax, 0x7000\n"
             "in (%dx), %al\n"
             "mov %al, 0x7004\n"
             "mov $0x300, %dx\n" /* nobody there */
             "in (%dx), %eax\n"
             "mov %eax, 0x7008\n"
             "out %al, $0xf4\n");

static void ports_take_and_give_bytes_words_and_doublewords(void **state)
{
    KvmMachine *m = run_with_device(ports, ports_end, GUEST_REAL);

    assert_string_equal(device.log->str, "w1@0=78 w2@0=5678 w4@0=12345678 r4@0 r1@0 ");
    assert_int_equal(load_le(kvm_machine_ram(m, 0x7000), 4), 0x11);
    assert_int_equal(load_le(kvm_machine_ram(m, 0x7004), 1), 0x12);
    assert_int_equal(load_le(kvm_machine_ram(m, 0x7008), 4), 0xffffffff);
    free_with_device(m);
}

GUEST(strings, ".code16\n"
               "cld\n"
               "mov $0x200, %dx\n"
               "mov $0x1000, %si\n"
               "mov $600, %cx\n"
               "rep outsb\n"
               "mov $0x7000, %di\n"
               "mov $300, %cx\n"
               "rep insw\n"
               "out %al, $0xf4\n");

static void string_instructions_move_each_element_in_order(void **state)
{
    KvmMachine *m = run_with_device(strings, strings_end, GUEST_REAL);
    g_autoptr(GString) expected = g_string_new(NULL);

    for (unsigned i = 0; i < 600; i++)
        g_string_append_printf(expected, "w1@0=%x ", *kvm_machine_ram(m, 0x1000 + i));
    for (unsigned i = 0; i < 300; i++)
        g_string_append(expected, "r2@0 ");
    assert_string_equal(device.log->str, expected->str);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(load_le(kvm_machine_ram(m, 0x7000 + 2 * i), 2), 0x11 + i);
    free_with_device(m);
}

GUEST(mmio, ".code32\n"
            "mov $0xa0000, %ebx\n"
            "movb $0x78, 1(%ebx)\n"
            "movw $0x5678, 2(%ebx)\n"
            "movl $0x12345678, 4(%ebx)\n"
            "movl $0x9abcdef0, 0x11(%ebx)\n" /* unaligned */
            "mov 8(%ebx), %eax\n"
            "mov %eax, 0x7000\n"
            "movzbl 9(%ebx), %eax\n"
            "mov %eax, 0x7004\n"
            "orl $0x100, 0x20(%ebx)\n"
            "out %al, $0xf4\n");

static void device_memory_takes_and_gives_each_size(void **state)
{
    KvmMachine *m = run_with_device(mmio, mmio_end, GUEST_PROTECTED);

    assert_string_equal(device.log->str,
                        "w1@1=78 w2@2=5678 w4@4=12345678 w4@11=9abcdef0 r4@8 r1@9 r4@20 w4@20=113 ");
    assert_int_equal(load_le(kvm_machine_ram(m, 0x7000), 4), 0x11);
    assert_int_equal(load_le(kvm_machine_ram(m, 0x7004), 4), 0x12);
    free_with_device(m);
}

/* --- faults --- */

GUEST(triple_fault, ".code32\n"
                    "cmpb $0, 0x7000\n"
                    "jne 1f\n"
                    "movb $1, 0x7000\n"
                    "xor %eax, %eax\n"
                    "push %eax\n"
                    "push %eax\n"
                    "lidt (%esp)\n"
                    "ud2\n"
                    "1: out %al, $0xf4\n");

static void a_triple_fault_resets_the_machine(void **state)
{
    KvmConfig config = { GUEST_CODE(triple_fault), .mode = GUEST_PROTECTED };
    KvmMachine *m = kvm_machine_new(&config);

    kvm_machine_run(m);
    assert_true(m->ended);
    assert_int_equal(m->resets, 2);
    kvm_machine_free(m);
}

static void a_triple_fault_ends_the_machine_under_no_reboot(void **state)
{
    KvmConfig config = { GUEST_CODE(triple_fault), .mode = GUEST_PROTECTED, .no_reboot = true };
    KvmMachine *m = kvm_machine_new(&config);

    kvm_machine_run(m);
    assert_false(m->ended);
    assert_int_equal(m->resets, 1);
    assert_int_equal(m->machine.run_state, RUN_STATE_SHUTDOWN);
    assert_int_equal(m->machine.shutdown_cause, SHUTDOWN_CAUSE_TRIPLE_FAULT);
    kvm_machine_free(m);
}

GUEST(jump_into_nothing, ".code32\n"
                         "mov $0x12345, %ecx\n"
                         "mov $0x100000, %eax\n" /* the end of RAM */
                         "jmp *%eax\n");

/* Runs with stderr in a file; returns what was written. */
static char *run_with_stderr(KvmMachine *m)
{
    char path[] = "/tmp/vmm-test-XXXXXX";
    int fd = mkstemp(path), saved = dup(STDERR_FILENO);
    char *text = NULL;

    assert_true(fd >= 0 && saved >= 0);
    dup2(fd, STDERR_FILENO);
    kvm_machine_run(m);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fd);
    g_file_get_contents(path, &text, NULL, NULL);
    unlink(path);
    return text;
}

static void code_where_no_memory_is_stops_with_registers_and_bytes(void **state)
{
    KvmConfig config = { GUEST_CODE(jump_into_nothing), .mode = GUEST_PROTECTED };
    KvmMachine *m = kvm_machine_new(&config);
    g_autofree char *text = NULL;

    memset(kvm_machine_ram(m, GUEST_RAM_SIZE - 16), 0x90, 16);
    text = run_with_stderr(m);
    assert_int_equal(m->machine.run_state, RUN_STATE_INTERNAL_ERROR);
    assert_non_null(strstr(text, "CPU 0 stopped"));
    assert_non_null(strstr(text, "00012345")); /* ECX */
    assert_non_null(strstr(text, "\ncode 90 90 90"));
    assert_non_null(strstr(text, " 90 <?\?> ?\?"));
    kvm_machine_free(m);
}

static void a_stopped_machine_runs_again_after_reset(void **state)
{
    KvmConfig config = { GUEST_CODE(jump_into_nothing), .mode = GUEST_PROTECTED };
    KvmMachine *m = kvm_machine_new(&config);
    g_autofree char *text = run_with_stderr(m);

    assert_non_null(text);
    config.code = ports; /* ends by itself */
    config.code_end = ports_end;
    config.mode = GUEST_REAL;
    machine_lock();
    machine_request_reset(&m->machine, SHUTDOWN_CAUSE_HOST_QUIT);
    machine_unlock();
    while (m->resets < 2)
        kvm_machine_turn();
    kvm_machine_run(m);
    assert_true(m->ended);
    kvm_machine_free(m);
}

/* An access is in flight when the reset is asked for: it must not touch the new life's registers. */
static void reset_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    KvmMachine *m = opaque;

    if (m->resets < 3)
        machine_request_reset(&m->machine, SHUTDOWN_CAUSE_GUEST_RESET);
}

static uint64_t reset_read(void *opaque, uint64_t offset, unsigned size)
{
    reset_write(opaque, offset, 0, size);
    return 0x5a5a5a5a;
}

static const MemoryRegionOps reset_ops = { .read = reset_read, .write = reset_write };
static MemoryRegion reset_port;

static void build_reset_port(KvmMachine *m)
{
    memory_region_init_io(&reset_port, &reset_ops, m, "reset", 4);
    memory_region_add(&m->machine.io_root, 0x64, &reset_port, 0);
}

GUEST(reset_by_in, ".code16\n"
                   "mov %eax, %ebx\n" /* EAX is 0 after reset */
                   "in $0x64, %eax\n"
                   "mov %ebx, 0x7000\n"
                   "out %al, $0xf4\n");

static void reset_in_the_middle_of_an_access_starts_clean(void **state)
{
    KvmConfig config = { GUEST_CODE(reset_by_in), .build = build_reset_port };
    KvmMachine *m = kvm_machine_new(&config);

    kvm_machine_run(m);
    assert_int_equal(m->resets, 3);
    assert_int_equal(load_le(kvm_machine_ram(m, 0x7000), 4), 0);
    memory_region_release(&reset_port);
    kvm_machine_free(m);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_and_two_is_four_with_irqchip_on),
        cmocka_unit_test(two_and_two_is_four_with_irqchip_split),
        cmocka_unit_test(two_and_two_is_four_with_irqchip_off),
        cmocka_unit_test(ports_take_and_give_bytes_words_and_doublewords),
        cmocka_unit_test(string_instructions_move_each_element_in_order),
        cmocka_unit_test(device_memory_takes_and_gives_each_size),
        cmocka_unit_test(a_triple_fault_resets_the_machine),
        cmocka_unit_test(a_triple_fault_ends_the_machine_under_no_reboot),
        cmocka_unit_test(code_where_no_memory_is_stops_with_registers_and_bytes),
        cmocka_unit_test(a_stopped_machine_runs_again_after_reset),
        cmocka_unit_test(reset_in_the_middle_of_an_access_starts_clean),
    };

    kvm_machine_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
