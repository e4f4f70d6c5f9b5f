/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts into a guest on KVM, with the controllers in the kernel, split, and in the process:
 * messages, NMIs, eventfds, start-up of further CPUs.
 */
#include "kvm-machine.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "accel/kvm/kvm-internal.h"
#include "core/lock.h"

/*
 * Protected mode with a LAPIC: builds a GDT at 7000h and an IDT at 6000h with one gate for vector
 * 40h and one for NMI, enables the LAPIC, prints 'R' and halts. The handler prints 'I' (NMI: 'N'),
 * ends the interrupt; after as many as 7101h says the guest ends.
 *
 * The return is IRET taken apart, as KVM's emulator, which runs this where the host has no VT-x or
 * AMD-V, knows IRET in real mode only. NMIs stay masked after it.
 */
#define RETURN "pop %eax\n add $4, %esp\n popf\n jmp *%eax\n"

#define LISTEN(wait)                                                                               \
    ".code32\n"                                                                                    \
    "movl $0, 0x7000\n movl $0, 0x7004\n"                                                          \
    "movl $0x0000ffff, 0x7008\n movl $0x00cf9b00, 0x700c\n"                                        \
    "movl $0x0000ffff, 0x7010\n movl $0x00cf9300, 0x7014\n"                                        \
    "pushl $0x7000\n pushw $0x17\n lgdt (%esp)\n"                                                  \
    "call 1f\n1: pop %ebx\n"                                                                       \
    "lea (8f - 1b)(%ebx), %eax\n"                                                                  \
    "mov %ax, 0x6200\n movw $8, 0x6202\n movw $0x8e00, 0x6204\n shr $16, %eax\n mov %ax, 0x6206\n" \
    "lea (9f - 1b)(%ebx), %eax\n"                                                                  \
    "mov %ax, 0x6010\n movw $8, 0x6012\n movw $0x8e00, 0x6014\n shr $16, %eax\n mov %ax, 0x6016\n" \
    "pushl $0x6000\n pushw $0x7ff\n lidt (%esp)\n"                                                 \
    "movl $0x1ff, 0xfee000f0\n" /* spurious vector, enable */                                      \
    "mov $'R', %al\n out %al, $0xe9\n"                                                             \
    "sti\n"                                                                                        \
    "2: " wait "\n"                                                                                \
    "mov 0x7100, %cl\n"                                                                            \
    "cmp 0x7101, %cl\n"                                                                            \
    "jb 2b\n"                                                                                      \
    "out %al, $0xf4\n"                                                                             \
    "8: incb 0x7100\n mov $'I', %al\n out %al, $0xe9\n movl $0, 0xfee000b0\n" RETURN               \
    "9: incb 0x7100\n mov $'N', %al\n out %al, $0xe9\n" RETURN

GUEST(listen_halted, LISTEN("hlt"));
GUEST(listen_busy, LISTEN("nop"));

#define MSI_ADDRESS 0xfee00000u
#define MSI_VECTOR 0x40

static unsigned sent;

static bool next_is_due(KvmMachine *m)
{
    return m->output->len > sent;
}

/* One interrupt after each answer: 'R', and what each prints. */
static void interrupt_and_expect(KvmMachine *m, void (*interrupt)(KvmMachine *m), const char *expected)
{
    unsigned count = (unsigned)strlen(expected) - 1;

    *kvm_machine_ram(m, 0x7100) = 0;
    *kvm_machine_ram(m, 0x7101) = (uint8_t)count;
    kvm_machine_start(m);
    for (sent = 0; sent < count && machine_is_running(&m->machine); sent++) {
        kvm_machine_wait(m, next_is_due);
        interrupt(m);
    }
    kvm_machine_wait(m, NULL);
    assert_string_equal(m->output->str, expected);
    assert_true(m->ended);
}

static void send_message(KvmMachine *m)
{
    msi_send(&m->machine.msi, MSI_ADDRESS, MSI_VECTOR);
}

static void send_nmi(KvmMachine *m)
{
    vcpu_request(m->machine.vcpus[0], VCPU_REQ_NMI);
}

static void interrupted_guest(const char *irqchip, const uint8_t *code, const uint8_t *end,
                             void (*interrupt)(KvmMachine *m), const char *expected)
{
    KvmConfig config = { .code = code, .code_end = end, .mode = GUEST_PROTECTED, .irqchip = irqchip };
    KvmMachine *m = kvm_machine_new(&config);

    interrupt_and_expect(m, interrupt, expected);
    kvm_machine_free(m);
}

static void messages_wake_a_halted_cpu_irqchip_on(void **state)
{
    interrupted_guest("on", listen_halted, listen_halted_end, send_message, "RIII");
}

static void messages_wake_a_halted_cpu_irqchip_split(void **state)
{
    interrupted_guest("split", listen_halted, listen_halted_end, send_message, "RIII");
}

static void messages_wake_a_halted_cpu_irqchip_off(void **state)
{
    interrupted_guest("off", listen_halted, listen_halted_end, send_message, "RIII");
}

static void messages_interrupt_a_busy_cpu_irqchip_on(void **state)
{
    interrupted_guest("on", listen_busy, listen_busy_end, send_message, "RIII");
}

static void messages_interrupt_a_busy_cpu_irqchip_off(void **state)
{
    interrupted_guest("off", listen_busy, listen_busy_end, send_message, "RIII");
}

static void an_nmi_wakes_a_halted_cpu_irqchip_on(void **state)
{
    interrupted_guest("on", listen_halted, listen_halted_end, send_nmi, "RN");
}

static void an_nmi_wakes_a_halted_cpu_irqchip_off(void **state)
{
    interrupted_guest("off", listen_halted, listen_halted_end, send_nmi, "RN");
}

/* --- ExtINT: a PIC in the process, seen through VcpuIntrOps --- */

static struct {
    uint32_t raised; /* atomic */
} pic;

static bool pic_pending(void *opaque)
{
    return __atomic_load_n(&pic.raised, __ATOMIC_ACQUIRE);
}

static int pic_ack(void *opaque)
{
    return __atomic_exchange_n(&pic.raised, 0, __ATOMIC_ACQ_REL) ? MSI_VECTOR : -1;
}

static const VcpuIntrOps pic_ops = { .pending = pic_pending, .ack = pic_ack };

static void reset_with_pic(KvmMachine *m)
{
    m->machine.vcpus[0]->intr = &pic_ops;
}

static void raise_pic(KvmMachine *m)
{
    __atomic_store_n(&pic.raised, 1, __ATOMIC_RELEASE);
    vcpu_request(m->machine.vcpus[0], VCPU_REQ_INTR);
}

static void extint_of_a_pic_in_the_process_irqchip_split(void **state)
{
    KvmConfig config = {
        GUEST_CODE(listen_halted), .mode = GUEST_PROTECTED, .irqchip = "split", .reset = reset_with_pic,
    };
    KvmMachine *m = kvm_machine_new(&config);

    interrupt_and_expect(m, raise_pic, "RIII");
    kvm_machine_free(m);
}

/* --- irqfds --- */

static int irqfd;

static void write_irqfd(KvmMachine *m)
{
    assert_int_equal(eventfd_write(irqfd, 1), 0);
}

static void an_eventfd_sends_its_message(void **state)
{
    KvmConfig config = { GUEST_CODE(listen_halted), .mode = GUEST_PROTECTED };
    KvmMachine *m = kvm_machine_new(&config);
    Accel *accel = m->machine.accel;
    int first = accel->ops->msi_route_add(accel, MSI_ADDRESS, 0x51);
    int route = accel->ops->msi_route_add(accel, MSI_ADDRESS, 0x50);

    irqfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(first >= KVM_IOAPIC_PINS);
    assert_int_not_equal(first, route);
    accel->ops->msi_route_remove(accel, first);
    accel->ops->msi_route_change(accel, route, MSI_ADDRESS, MSI_VECTOR);
    assert_true(accel->ops->irqfd_add_route(accel, route, irqfd));
    assert_int_equal(accel->ops->msi_route_add(accel, MSI_ADDRESS, 0x52), first); /* numbers are used again */
    interrupt_and_expect(m, write_irqfd, "RIII");
    accel->ops->irqfd_remove_route(accel, route, irqfd);
    close(irqfd);
    kvm_machine_free(m);
}

/* Routes IOAPIC pin 17 as level-triggered vector 40h, then listens. */
GUEST(listen_level, ".code32\n"
                    "movl $0x32, 0xfec00000\n movl $0x8040, 0xfec00010\n"
                    "movl $0x33, 0xfec00000\n movl $0, 0xfec00010\n" LISTEN("hlt"));

static int resamplefd;

/* The EOI lets the line go and says so; the next assertion comes after it. */
static bool resampled(KvmMachine *m)
{
    eventfd_t value;

    return eventfd_read(resamplefd, &value) == 0;
}

static void a_level_irqfd_is_resampled_at_eoi(void **state)
{
    KvmConfig config = { GUEST_CODE(listen_level), .mode = GUEST_PROTECTED };
    KvmMachine *m = kvm_machine_new(&config);
    Accel *accel = m->machine.accel;

    irqfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    resamplefd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(accel->ops->irqfd_add_gsi(accel, 17, irqfd, resamplefd));
    *kvm_machine_ram(m, 0x7100) = 0;
    *kvm_machine_ram(m, 0x7101) = 3;
    kvm_machine_start(m);
    sent = 0;
    kvm_machine_wait(m, next_is_due);
    for (int i = 0; i < 3; i++) {
        write_irqfd(m);
        if (i < 2) /* after the last the guest may end first */
            kvm_machine_wait(m, resampled);
    }
    kvm_machine_wait(m, NULL);
    assert_string_equal(m->output->str, "RIII");
    accel->ops->irqfd_remove_gsi(accel, 17, irqfd);
    close(irqfd);
    close(resamplefd);
    kvm_machine_free(m);
}

/* --- EOI of an IOAPIC in the process --- */

static unsigned eois;
static int eoi_vector;

static void note_eoi(void *opaque, int vector)
{
    assert_true(machine_lock_held());
    eois++;
    eoi_vector = vector;
}

static void send_level_message(KvmMachine *m)
{
    msi_send(&m->machine.msi, MSI_ADDRESS, 0xc000 | MSI_VECTOR);
}

static void a_split_ioapic_hears_of_eois_of_its_level_vectors(void **state)
{
    KvmConfig config = { GUEST_CODE(listen_halted), .mode = GUEST_PROTECTED, .irqchip = "split" };
    KvmMachine *m = kvm_machine_new(&config);
    Accel *accel = m->machine.accel;

    eois = 0;
    m->machine.ioapic_eoi = note_eoi;
    accel->ops->irqchip_route(accel, 5, MSI_ADDRESS, MSI_VECTOR, true);
    interrupt_and_expect(m, send_level_message, "RIII");
    assert_in_range(eois, 2, 3); /* the guest may end before its last EOI is reported */
    assert_int_equal(eoi_vector, MSI_VECTOR);
    kvm_machine_free(m);
}

/* --- start-up of the other CPUs --- */

/* INIT and two SIPIs to all but self; each CPU comes up at 0:2000h in real mode, counts itself and
 * halts. */
GUEST(start_others, ".code32\n"
                    /* 2000: lock incw %cs:300h; cli; hlt; jmp to hlt (IP wraps nowhere: CS base is 2000h) */
                    "movl $0x06ff2ef0, 0x2000\n"
                    "movl $0xf4fa0300, 0x2004\n"
                    "movw $0xfdeb, 0x2008\n"
                    "movl $0x1ff, 0xfee000f0\n"
                    "movl $0xc4500, 0xfee00300\n"
                    "movl $0xc4602, 0xfee00300\n"
                    "movl $0xc4602, 0xfee00300\n"
                    "1: pause\n"
                    "cmpw $3, 0x2300\n"
                    "jb 1b\n"
                    "out %al, $0xf4\n");

static void clear_count(KvmMachine *m)
{
    memset(kvm_machine_ram(m, 0x2300), 0, 2);
}

static void others_start(const char *irqchip)
{
    KvmConfig config = {
        GUEST_CODE(start_others), .mode = GUEST_PROTECTED, .cpus = 4, .irqchip = irqchip, .reset = clear_count,
    };
    KvmMachine *m = kvm_machine_new(&config);

    kvm_machine_run(m);
    assert_true(m->ended);
    assert_int_equal(load_le(kvm_machine_ram(m, 0x2300), 2), 3); /* the second SIPI meant nothing */
    for (unsigned i = 1; i < 4; i++)
        assert_int_equal(kvm_machine_state(m, i).seg[SEG_CS].selector, 0x200);
    /* And once more from the beginning. */
    m->ended = false;
    machine_lock();
    machine_reset(&m->machine);
    machine_unlock();
    for (unsigned i = 1; i < 4; i++)
        assert_int_equal(kvm_machine_state(m, i).mp_state, MP_INIT_RECEIVED);
    kvm_machine_run(m);
    assert_true(m->ended);
    assert_int_equal(load_le(kvm_machine_ram(m, 0x2300), 2), 3);
    kvm_machine_free(m);
}

static void init_and_sipi_start_the_others_irqchip_on(void **state)
{
    others_start("on");
}

static void init_and_sipi_start_the_others_irqchip_split(void **state)
{
    others_start("split");
}

static void init_and_sipi_start_the_others_irqchip_off(void **state)
{
    others_start("off");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_wake_a_halted_cpu_irqchip_on),
        cmocka_unit_test(messages_wake_a_halted_cpu_irqchip_split),
        cmocka_unit_test(messages_wake_a_halted_cpu_irqchip_off),
        cmocka_unit_test(messages_interrupt_a_busy_cpu_irqchip_on),
        cmocka_unit_test(messages_interrupt_a_busy_cpu_irqchip_off),
        cmocka_unit_test(an_nmi_wakes_a_halted_cpu_irqchip_on),
        cmocka_unit_test(an_nmi_wakes_a_halted_cpu_irqchip_off),
        cmocka_unit_test(extint_of_a_pic_in_the_process_irqchip_split),
        cmocka_unit_test(an_eventfd_sends_its_message),
        cmocka_unit_test(a_level_irqfd_is_resampled_at_eoi),
        cmocka_unit_test(a_split_ioapic_hears_of_eois_of_its_level_vectors),
        cmocka_unit_test(init_and_sipi_start_the_others_irqchip_on),
        cmocka_unit_test(init_and_sipi_start_the_others_irqchip_split),
        cmocka_unit_test(init_and_sipi_start_the_others_irqchip_off),
    };

    kvm_machine_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
