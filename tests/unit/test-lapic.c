/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt controllers as a CPU sees them: acknowledge, priorities, EOI, x2APIC, IPIs to others.
 * Four vCPUs that never run; this thread, with machine_lock, stands for each of theirs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/bits.h"
#include "core/dma.h"
#include "core/lock.h"
#include "core/machine.h"
#include "core/thread.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"

#define CPUS 4
#define X2APIC (1u << 21) /* CPUID.1:ECX */
#define TSC_DEADLINE (1u << 24)
#define FEATURES (X2APIC | TSC_DEADLINE)

typedef struct Board {
    Machine machine;
    MemoryRegion ram;
    I8259 *pic;
    IoApic *ioapic;
    LapicBus *bus;
} Board;

enum {
    MSR_APIC_BASE = 0x1b, MSR_DEADLINE = 0x6e0,
    X2_ID = 0x802, X2_TPR = 0x808, X2_PPR = 0x80a, X2_EOI = 0x80b, X2_LDR = 0x80d, X2_DFR = 0x80e,
    X2_SVR = 0x80f, X2_ISR = 0x810, X2_IRR = 0x820, X2_ESR = 0x828, X2_ICR = 0x830, X2_ICR2 = 0x831,
    X2_LVT_TIMER = 0x832, X2_SELF_IPI = 0x83f,
};
enum { BASE_X2 = 1 << 10, BASE_EN = 1 << 11 };

static void eoi_to_ioapic(void *opaque, int vector)
{
    ioapic_eoi(((Board *)opaque)->ioapic, vector);
}

static int ack_pic(void *opaque)
{
    return i8259_ack(((Board *)opaque)->pic);
}

static bool board_build(Machine *machine, GError **errp)
{
    Board *board = (Board *)machine;

    memory_region_init_ram(&board->ram, "ram", machine->ram, 0, machine->ram_size);
    memory_region_add(&machine->memory_root, 0, &board->ram, 0);
    board->ioapic = (IoApic *)device_new(&ioapic_type, machine, NULL);
    board->bus = (LapicBus *)device_new(&lapic_bus_type, machine, NULL);
    board->pic = (I8259 *)device_new(&i8259_type, machine, NULL);
    lapic_bus_connect(board->bus, eoi_to_ioapic, board, ack_pic, board);
    i8259_connect(board->pic, lapic_bus_lint0(board->bus));
    if (!device_realize(&board->ioapic->dev, errp) || !device_realize(&board->bus->dev, errp) ||
        !device_realize(&board->pic->dev, errp))
        return false;
    memory_region_add(&machine->memory_root, LAPIC_DEFAULT_BASE, &board->bus->mmio, 1);
    machine->msi = lapic_bus_msi(board->bus);
    for (unsigned i = 0; i < CPUS; i++) {
        machine->vcpus[i] = vcpu_new(machine, i, i, errp);
        if (!machine->vcpus[i])
            return false;
        machine->vcpus[i]->feature_ecx = FEATURES;
        lapic_bus_attach(board->bus, machine->vcpus[i]);
    }
    return true;
}

static void board_release(Machine *machine)
{
    Board *board = (Board *)machine;

    memory_region_remove(&board->ram);
    memory_region_release(&board->ram);
}

static const MachineType board_type = {
    .name = "intc-test",
    .instance_size = sizeof(Board),
    .build = board_build,
    .release = board_release,
};

static int setup(void **state)
{
    Machine *machine = machine_new(&board_type);

    machine->accel = g_new0(Accel, 1);
    machine->accel->ops = &qtest_accel_ops;
    machine->ram_size = MIB;
    machine->smp.cpus = machine->smp.cores = CPUS;
    assert_true(machine_build(machine, NULL));
    machine_lock();
    *state = machine;
    return 0;
}

static int teardown(void **state)
{
    Board *board = *state;

    memory_region_remove(&board->bus->mmio);
    machine_unlock();
    machine_free(*state);
    return 0;
}

/* --- One CPU's view --- */

static Vcpu *cpu(void **state, unsigned index)
{
    return ((Machine *)*state)->vcpus[index];
}

static bool write_msr(Vcpu *v, uint32_t msr, uint64_t value)
{
    return v->intr->write_msr(v->intr_opaque, msr, value);
}

static uint64_t read_msr(Vcpu *v, uint32_t msr)
{
    uint64_t value = 0;

    assert_true(v->intr->read_msr(v->intr_opaque, msr, &value));
    return value;
}

static bool can_read(Vcpu *v, uint32_t msr)
{
    uint64_t value;

    return v->intr->read_msr(v->intr_opaque, msr, &value);
}

static bool pending(Vcpu *v)
{
    return v->intr->pending(v->intr_opaque);
}

static int ack(Vcpu *v)
{
    return v->intr->ack(v->intr_opaque);
}

static void enable_x2apic(Vcpu *v)
{
    uint64_t base = read_msr(v, MSR_APIC_BASE);

    assert_true(write_msr(v, MSR_APIC_BASE, base | BASE_X2));
    assert_true(write_msr(v, X2_SVR, 0x1ff));
}

static void enable_all(void **state)
{
    for (unsigned i = 0; i < CPUS; i++)
        enable_x2apic(cpu(state, i));
}

static bool in_irr(Vcpu *v, uint8_t vector)
{
    return read_msr(v, X2_IRR + vector / 32) >> vector % 32 & 1;
}

static void send(Vcpu *v, uint64_t dest, uint32_t low)
{
    assert_true(write_msr(v, X2_ICR, dest << 32 | low));
}

/* --- Priorities --- */

static void the_highest_vector_goes_first(void **state)
{
    Vcpu *v = cpu(state, 0);

    enable_x2apic(v);
    assert_false(pending(v));
    write_msr(v, X2_SELF_IPI, 0x41);
    write_msr(v, X2_SELF_IPI, 0x61);
    assert_true(pending(v));
    assert_int_equal(ack(v), 0x61);
    assert_false(pending(v)); /* 41h waits for the EOI */
    assert_int_equal(read_msr(v, X2_PPR), 0x60);
    write_msr(v, X2_EOI, 0);
    assert_int_equal(ack(v), 0x41);
    write_msr(v, X2_EOI, 0);
    assert_int_equal(ack(v), -1);
}

static void one_class_does_not_nest(void **state)
{
    Vcpu *v = cpu(state, 0);

    enable_x2apic(v);
    write_msr(v, X2_SELF_IPI, 0x41);
    assert_int_equal(ack(v), 0x41);
    write_msr(v, X2_SELF_IPI, 0x4f);
    assert_false(pending(v));
    write_msr(v, X2_SELF_IPI, 0x50);
    assert_int_equal(ack(v), 0x50);
}

static void tpr_holds_back_its_class(void **state)
{
    Vcpu *v = cpu(state, 0);

    enable_x2apic(v);
    v->intr->set_tpr(v->intr_opaque, 4);
    assert_int_equal(read_msr(v, X2_TPR), 0x40);
    assert_int_equal(v->intr->get_tpr(v->intr_opaque), 4);
    write_msr(v, X2_SELF_IPI, 0x4f);
    assert_false(pending(v));
    v->requests = 0;
    v->intr->set_tpr(v->intr_opaque, 3);
    assert_true(v->requests & VCPU_REQ_INTR); /* told to look again */
    assert_true(pending(v));
    assert_int_equal(ack(v), 0x4f);
}

static void two_requests_of_one_vector_are_one(void **state)
{
    Vcpu *v = cpu(state, 0);

    enable_x2apic(v);
    write_msr(v, X2_SELF_IPI, 0x41);
    write_msr(v, X2_SELF_IPI, 0x41);
    assert_int_equal(ack(v), 0x41);
    write_msr(v, X2_SELF_IPI, 0x41); /* and one more while it is in service */
    write_msr(v, X2_EOI, 0);
    assert_int_equal(ack(v), 0x41);
    write_msr(v, X2_EOI, 0);
    assert_int_equal(ack(v), -1);
}

/* --- PIC through LINT0 --- */

static void init_pic(Board *board)
{
    AddressSpace *io = &board->machine.io;
    static const uint8_t words[4][2] = {{0x11, 0x11}, {0x20, 0x28}, {0x04, 0x02}, {0x01, 0x01}};

    memory_region_add(&board->machine.io_root, 0x20, &board->pic->chip[0].io, 0);
    memory_region_add(&board->machine.io_root, 0xa0, &board->pic->chip[1].io, 0);
    for (int i = 0; i < 4; i++) {
        address_space_store(io, i ? 0x21 : 0x20, 1, words[i][0]);
        address_space_store(io, i ? 0xa1 : 0xa0, 1, words[i][1]);
    }
    memory_region_remove(&board->pic->chip[0].io);
    memory_region_remove(&board->pic->chip[1].io);
}

static void set_pic_line(Board *board, int n, int level)
{
    Irq irq = i8259_irq(board->pic, n);

    irq_set(&irq, level);
}

static void virtual_wire_mode_takes_the_pics_vector(void **state)
{
    Vcpu *v = cpu(state, 0);

    init_pic(*state);
    set_pic_line(*state, 4, 1);
    assert_true(pending(v));
    assert_false(pending(cpu(state, 1))); /* the others have LINT0 masked */
    assert_int_equal(ack(v), 0x24);
    assert_false(pending(v));
}

static void the_slave_gives_its_own_vector(void **state)
{
    init_pic(*state);
    set_pic_line(*state, 12, 1);
    assert_int_equal(ack(cpu(state, 0)), 0x2c);
}

static void a_request_that_went_away_is_a_spurious_irq_7(void **state)
{
    Board *board = *state;

    init_pic(board);
    assert_int_equal(i8259_ack(board->pic), 0x27);
    assert_int_equal(board->pic->chip[0].regs.isr, 0);
    /* and to the core it is nothing */
    assert_int_equal(ack(cpu(state, 0)), -1);
}

static void a_slave_request_that_went_away_is_a_spurious_irq_15(void **state)
{
    Board *board = *state;

    init_pic(board);
    board->pic->chip[1].regs.elcr = 0x10;
    set_pic_line(board, 12, 1);
    set_pic_line(board, 12, 0); /* the master has latched the slave's edge */
    assert_int_equal(i8259_ack(board->pic), 0x2f);
    assert_int_equal(board->pic->chip[1].regs.isr, 0);
    assert_int_equal(board->pic->chip[0].regs.isr, 0x04);
}

static void a_disabled_lapic_lets_intr_through(void **state)
{
    Vcpu *v = cpu(state, 0);

    init_pic(*state);
    assert_true(write_msr(v, MSR_APIC_BASE, LAPIC_DEFAULT_BASE | APIC_BASE_BSP));
    set_pic_line(*state, 4, 1);
    assert_true(pending(v));
    assert_int_equal(ack(v), 0x24);
}

/* --- Level-triggered interrupts --- */

static void route_pin(Board *board, int pin, uint64_t entry)
{
    board->ioapic->regs.redir[pin] = entry;
}

static bool remote_irr(Board *board, int pin)
{
    return board->ioapic->regs.redir[pin] & 1 << 14;
}

static void eoi_of_a_level_vector_reaches_the_ioapic(void **state)
{
    Board *board = *state;
    Vcpu *v = cpu(state, 0);
    Irq pin = ioapic_irq(board->ioapic, 20);

    enable_x2apic(v);
    route_pin(board, 20, 0x51 | 1 << 15);
    irq_set(&pin, 1);
    assert_int_equal(ack(v), 0x51);
    write_msr(v, X2_EOI, 0);
    assert_true(pending(v)); /* the line is still asserted */
    assert_int_equal(ack(v), 0x51);
    irq_set(&pin, 0);
    write_msr(v, X2_EOI, 0);
    assert_false(pending(v));
    assert_false(remote_irr(board, 20));
}

static void suppressed_broadcast_leaves_the_ioapic_alone(void **state)
{
    Board *board = *state;
    Vcpu *v = cpu(state, 0);
    Irq pin = ioapic_irq(board->ioapic, 20);

    enable_x2apic(v);
    write_msr(v, X2_SVR, 0x11ff);
    route_pin(board, 20, 0x51 | 1 << 15);
    irq_set(&pin, 1);
    assert_int_equal(ack(v), 0x51);
    irq_set(&pin, 0);
    write_msr(v, X2_EOI, 0);
    assert_true(remote_irr(board, 20));
    ioapic_eoi(board->ioapic, 0x51); /* the directed EOI */
    assert_false(remote_irr(board, 20));
}

static void extint_through_the_ioapic_acks_the_pic(void **state)
{
    Board *board = *state;
    Irq pin = ioapic_irq(board->ioapic, 0);

    enable_all(state);
    init_pic(board);
    set_pic_line(board, 3, 1);
    route_pin(board, 0, 7 << 8 | 1ull << 56);
    irq_set(&pin, 1);
    assert_true(pending(cpu(state, 1)));
    assert_int_equal(ack(cpu(state, 1)), 0x23);
    assert_false(pending(cpu(state, 1)));
}

/* --- Modes --- */

static void base_msr_follows_the_state_diagram(void **state)
{
    static const struct {
        uint64_t from, to;
        bool legal;
    } rows[] = {
        {BASE_EN, BASE_EN | BASE_X2, true},
        {BASE_EN, 0, true},
        {BASE_EN, BASE_X2, false},
        {BASE_EN | BASE_X2, BASE_EN, false},
        {BASE_EN | BASE_X2, 0, true},
        {0, BASE_EN | BASE_X2, false},
        {0, BASE_EN, true},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Vcpu *v = cpu(state, 1);

        write_msr(v, MSR_APIC_BASE, LAPIC_DEFAULT_BASE);
        assert_true(write_msr(v, MSR_APIC_BASE, LAPIC_DEFAULT_BASE | (rows[i].from & BASE_EN)));
        if (rows[i].from & BASE_X2)
            assert_true(write_msr(v, MSR_APIC_BASE, LAPIC_DEFAULT_BASE | rows[i].from));
        assert_int_equal(write_msr(v, MSR_APIC_BASE, LAPIC_DEFAULT_BASE | rows[i].to), rows[i].legal);
        write_msr(v, MSR_APIC_BASE, LAPIC_DEFAULT_BASE);
    }
    assert_false(write_msr(cpu(state, 0), MSR_APIC_BASE, LAPIC_DEFAULT_BASE | 1));
    assert_false(write_msr(cpu(state, 0), MSR_APIC_BASE, 1ull << 60));
}

static void what_cpuid_does_not_offer_faults(void **state)
{
    Vcpu *v = cpu(state, 0);

    v->feature_ecx = TSC_DEADLINE;
    assert_false(write_msr(v, MSR_APIC_BASE, read_msr(v, MSR_APIC_BASE) | BASE_X2));
    v->feature_ecx = X2APIC;
    enable_x2apic(v);
    assert_false(can_read(v, MSR_DEADLINE));
    assert_false(write_msr(v, MSR_DEADLINE, 1));
    assert_false(write_msr(v, X2_LVT_TIMER, 0x40040));
}

static void x2apic_msrs_fault_in_xapic_mode(void **state)
{
    Vcpu *v = cpu(state, 0);

    assert_false(can_read(v, X2_ID));
    assert_false(write_msr(v, X2_TPR, 0));
    enable_x2apic(v);
    assert_true(can_read(v, X2_ID));
}

static void x2apic_reserved_registers_and_bits_fault(void **state)
{
    Vcpu *v = cpu(state, 0);

    enable_x2apic(v);
    assert_false(can_read(v, X2_EOI));
    assert_false(can_read(v, X2_DFR));
    assert_false(can_read(v, X2_ICR2));
    assert_false(can_read(v, X2_SELF_IPI));
    assert_false(can_read(v, 0x8ff));
    assert_false(write_msr(v, X2_ID, 1));
    assert_false(write_msr(v, X2_LDR, 1));
    assert_false(write_msr(v, X2_TPR, 0x100));
    assert_false(write_msr(v, X2_EOI, 1));
    assert_false(write_msr(v, X2_ESR, 1));
    assert_false(write_msr(v, X2_SVR, 1 << 16));
    assert_false(write_msr(v, X2_SELF_IPI, 0x100));
    assert_false(write_msr(v, X2_LVT_TIMER, 1 << 20));
}

static void x2apic_ldr_comes_from_the_id(void **state)
{
    enable_all(state);
    for (unsigned i = 0; i < CPUS; i++) {
        assert_int_equal(read_msr(cpu(state, i), X2_ID), i);
        assert_int_equal(read_msr(cpu(state, i), X2_LDR), 1u << i);
    }
}

static void the_page_is_empty_in_x2apic_mode(void **state)
{
    AddressSpace *as = &((Machine *)*state)->memory;
    uint64_t value;

    address_space_load(as, LAPIC_DEFAULT_BASE + 0x30, 4, &value);
    assert_int_not_equal(value, 0xffffffff);
    enable_x2apic(cpu(state, 0));
    address_space_load(as, LAPIC_DEFAULT_BASE + 0x30, 4, &value);
    assert_int_equal(value, 0xffffffff);
}

static void the_page_moves_with_the_base(void **state)
{
    AddressSpace *as = &((Machine *)*state)->memory;
    uint64_t value;

    assert_true(write_msr(cpu(state, 0), MSR_APIC_BASE, 0xfed00000 | BASE_EN | APIC_BASE_BSP));
    address_space_load(as, 0xfed00030, 4, &value);
    assert_int_equal(value & 0xff, 0x14);
    machine_reset(*state);
    address_space_load(as, LAPIC_DEFAULT_BASE + 0x30, 4, &value);
    assert_int_equal(value & 0xff, 0x14);
}

/* --- IPIs --- */

static void physical_destinations(void **state)
{
    enable_all(state);
    send(cpu(state, 0), 2, 0x41);
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(in_irr(cpu(state, i), 0x41), i == 2);
    send(cpu(state, 0), 0xffffffff, 0x42);
    for (unsigned i = 0; i < CPUS; i++)
        assert_true(in_irr(cpu(state, i), 0x42));
}

static void logical_destinations_name_cluster_and_members(void **state)
{
    enable_all(state);
    send(cpu(state, 0), 0x0000000a, 0x41 | 1 << 11);
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(in_irr(cpu(state, i), 0x41), i & 1);
    send(cpu(state, 0), 0x0001000f, 0x42 | 1 << 11); /* another cluster */
    for (unsigned i = 0; i < CPUS; i++)
        assert_false(in_irr(cpu(state, i), 0x42));
}

static void shorthands(void **state)
{
    enable_all(state);
    send(cpu(state, 1), 0, 0xc0041); /* all but self */
    send(cpu(state, 1), 0, 0x40042); /* self */
    for (unsigned i = 0; i < CPUS; i++) {
        assert_int_equal(in_irr(cpu(state, i), 0x41), i != 1);
        assert_int_equal(in_irr(cpu(state, i), 0x42), i == 1);
    }
}

static void lowest_priority_prefers_the_idle(void **state)
{
    enable_all(state);
    for (unsigned i = 0; i < CPUS; i++)
        write_msr(cpu(state, i), X2_TPR, i == 3 ? 0x10 : 0x20);
    send(cpu(state, 0), 0xf, 0x41 | 1 << 11 | 1 << 8);
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(in_irr(cpu(state, i), 0x41), i == 3);
}

static void init_sipi_and_nmi_are_requests(void **state)
{
    Vcpu *v = cpu(state, 1);

    enable_all(state);
    v->requests = 0;
    send(cpu(state, 0), 1, 0x0500 | 1 << 15); /* INIT level de-assert: nothing */
    assert_int_equal(v->requests, 0);
    send(cpu(state, 0), 1, 0x4500);
    assert_int_equal(v->requests, VCPU_REQ_INIT);
    send(cpu(state, 0), 1, 0x4699);
    assert_int_equal(v->requests, VCPU_REQ_INIT | VCPU_REQ_SIPI);
    assert_int_equal(v->sipi_vector, 0x99);
    send(cpu(state, 0), 1, 0x4400);
    assert_true(v->requests & VCPU_REQ_NMI);
    v->requests = VCPU_REQ_PAUSE;
}

static void init_clears_all_but_id_and_mode(void **state)
{
    Vcpu *v = cpu(state, 2);

    enable_x2apic(v);
    write_msr(v, X2_TPR, 0x30);
    write_msr(v, X2_SELF_IPI, 0x41);
    v->intr->init(v->intr_opaque);
    assert_int_equal(read_msr(v, X2_ID), 2);
    assert_int_equal(read_msr(v, X2_LDR), 4);
    assert_int_equal(read_msr(v, X2_TPR), 0);
    assert_int_equal(read_msr(v, X2_SVR), 0xff);
    assert_false(in_irr(v, 0x41));
}

static void an_msi_outside_the_lapics_range_is_dropped(void **state)
{
    Machine *machine = *state;

    enable_all(state);
    msi_send(&machine->msi, 0x1fee00000, 0x4041);
    msi_send(&machine->msi, 0xfed00000, 0x4041);
    assert_false(in_irr(cpu(state, 0), 0x41));
    msi_send(&machine->msi, 0xfee01000, 0x4041);
    assert_true(in_irr(cpu(state, 1), 0x41));
}

/* --- TSC deadline and PV EOI --- */

static void deadline_counts_in_its_mode_only(void **state)
{
    Vcpu *v = cpu(state, 0);

    enable_x2apic(v);
    assert_true(write_msr(v, MSR_DEADLINE, 123));
    assert_int_equal(read_msr(v, MSR_DEADLINE), 0);
    write_msr(v, X2_LVT_TIMER, 0x40040);
    write_msr(v, MSR_DEADLINE, UINT64_MAX);
    assert_int_equal(read_msr(v, MSR_DEADLINE), UINT64_MAX);
    write_msr(v, X2_LVT_TIMER, 0x40);
    assert_int_equal(read_msr(v, MSR_DEADLINE), 0);
}

static uint32_t pv_word(void **state)
{
    uint32_t word = 0;

    assert_true(dma_read(&((Machine *)*state)->memory, 0x1000, &word, 4));
    return word;
}

static void clear_pv_word(void **state)
{
    static const uint32_t zero;

    assert_true(dma_write(&((Machine *)*state)->memory, 0x1000, &zero, 4));
}

static void clearing_the_pv_eoi_bit_ends_the_interrupt(void **state)
{
    Vcpu *v = cpu(state, 0);

    enable_x2apic(v);
    v->state.msr.kvm_pv_eoi = 0x1001;
    write_msr(v, X2_SELF_IPI, 0x41);
    assert_int_equal(ack(v), 0x41);
    assert_int_equal(pv_word(state), 1);
    clear_pv_word(state);
    write_msr(v, X2_SELF_IPI, 0x40); /* not above 41h, were that still in service */
    assert_true(pending(v));
    assert_int_equal(ack(v), 0x40);
}

static void the_pv_eoi_bit_is_taken_back_when_something_waits(void **state)
{
    Vcpu *v = cpu(state, 0);

    enable_x2apic(v);
    v->state.msr.kvm_pv_eoi = 0x1001;
    write_msr(v, X2_SELF_IPI, 0x41);
    assert_int_equal(ack(v), 0x41);
    write_msr(v, X2_SELF_IPI, 0x40);
    assert_false(pending(v));
    assert_int_equal(pv_word(state), 0); /* so the guest writes the EOI register */
    write_msr(v, X2_EOI, 0);
    assert_true(pending(v));
}

static void nested_interrupts_with_pv_eoi_end_in_order(void **state)
{
    Vcpu *v = cpu(state, 0);

    enable_x2apic(v);
    v->state.msr.kvm_pv_eoi = 0x1001;
    write_msr(v, X2_SELF_IPI, 0x41);
    assert_int_equal(ack(v), 0x41);
    write_msr(v, X2_SELF_IPI, 0x61);
    assert_int_equal(ack(v), 0x61);
    assert_int_equal(pv_word(state), 1);
    clear_pv_word(state);      /* ends 61h */
    write_msr(v, X2_EOI, 0);   /* ends 41h */
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(read_msr(v, X2_ISR + i), 0);
}

static void a_pv_eoi_address_outside_ram_is_no_pv_eoi(void **state)
{
    Vcpu *v = cpu(state, 0);

    enable_x2apic(v);
    v->state.msr.kvm_pv_eoi = 0xfffffffffffffffd;
    write_msr(v, X2_SELF_IPI, 0x41);
    assert_int_equal(ack(v), 0x41);
    write_msr(v, X2_EOI, 0);
    assert_int_equal(read_msr(v, X2_ISR + 2), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_highest_vector_goes_first),
        T(one_class_does_not_nest),
        T(tpr_holds_back_its_class),
        T(two_requests_of_one_vector_are_one),
        T(virtual_wire_mode_takes_the_pics_vector),
        T(the_slave_gives_its_own_vector),
        T(a_request_that_went_away_is_a_spurious_irq_7),
        T(a_slave_request_that_went_away_is_a_spurious_irq_15),
        T(a_disabled_lapic_lets_intr_through),
        T(eoi_of_a_level_vector_reaches_the_ioapic),
        T(suppressed_broadcast_leaves_the_ioapic_alone),
        T(extint_through_the_ioapic_acks_the_pic),
        T(base_msr_follows_the_state_diagram),
        T(what_cpuid_does_not_offer_faults),
        T(x2apic_msrs_fault_in_xapic_mode),
        T(x2apic_reserved_registers_and_bits_fault),
        T(x2apic_ldr_comes_from_the_id),
        T(the_page_is_empty_in_x2apic_mode),
        T(the_page_moves_with_the_base),
        T(physical_destinations),
        T(logical_destinations_name_cluster_and_members),
        T(shorthands),
        T(lowest_priority_prefers_the_idle),
        T(init_sipi_and_nmi_are_requests),
        T(init_clears_all_but_id_and_mode),
        T(an_msi_outside_the_lapics_range_is_dropped),
        T(deadline_counts_in_its_mode_only),
        T(clearing_the_pv_eoi_bit_ends_the_interrupt),
        T(the_pv_eoi_bit_is_taken_back_when_something_waits),
        T(nested_interrupts_with_pv_eoi_end_in_order),
        T(a_pv_eoi_address_outside_ram_is_no_pv_eoi),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
