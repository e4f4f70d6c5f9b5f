/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pair of 8259A interrupt controllers, as a PC has them.
 * Source: Intel 8259A data sheet (order 231468), "DS" below; ELCR: ICH9 data sheet 13.4.
 *
 * Departure: an edge request stays latched in the IRR when its line drops before INTA (the chip
 * would answer with a spurious IR7). Emulated sources pulse their lines in no time at all.
 * Not modelled: MCS-80/85 mode, buffered mode, other cascades than slave on IR2.
 *
 * Locking: machine_lock.
 */
#include "hw/intc/i8259.h"

/* ICW1, OCW2 and OCW3 share A0=0; DS figures 7 and 8. */
#define ICW1_IC4  0x01
#define ICW1_SNGL 0x02
#define ICW1_LTIM 0x08
#define ICW1_SEL  0x10 /* this is an ICW1 */
#define ICW4_AEOI 0x02
#define ICW4_SFNM 0x10
#define OCW3_SEL  0x08 /* this is an OCW3 */
#define OCW3_RIS  0x01
#define OCW3_RR   0x02
#define OCW3_P    0x04
#define OCW3_SMM  0x20
#define OCW3_ESMM 0x40

/* OCW2 bits 7:5. */
enum {
    OCW2_ROTATE_AEOI_CLEAR = 0,
    OCW2_EOI = 1,
    OCW2_NOP = 2,
    OCW2_SPECIFIC_EOI = 3,
    OCW2_ROTATE_AEOI_SET = 4,
    OCW2_ROTATE_EOI = 5,
    OCW2_SET_PRIORITY = 6,
    OCW2_ROTATE_SPECIFIC_EOI = 7,
};

#define CASCADE_IR  2
#define SPURIOUS_IR 7
#define POLL_INT    0x80

static const I8259Regs reset_regs = {
    .imr = 0xff, /* undefined in the data sheet: quiet until ICW1, as no firmware may run before the kernel */
    .lowest = 7,
};

/* --- Pure functions of the registers --- */

static uint8_t level_lines(const I8259Regs *r)
{
    return r->level ? 0xff : r->elcr;
}

/* Rank of the foremost request in a set of IRs, 0 highest, 8 if none; DS "Priority Resolver". */
static unsigned rank_of(const I8259Regs *r, uint8_t set)
{
    unsigned rank;

    for (rank = 0; rank < 8; rank++)
        if (set & 1u << ((r->lowest + 1 + rank) & 7))
            break;
    return rank;
}

static unsigned ir_of(const I8259Regs *r, unsigned rank)
{
    return (r->lowest + 1 + rank) & 7;
}

/* The IR that INT stands for, or -1. */
static int chip_pending(const I8259Chip *chip)
{
    const I8259Regs *r = &chip->regs;
    uint8_t blocking = r->isr;
    unsigned rank = rank_of(r, r->irr & ~r->imr);

    if (rank == 8)
        return -1;
    if (r->special_mask)
        blocking &= ~r->imr;
    /* The slave sorts out its own nesting; DS "Special Fully Nested Mode". */
    if (r->special_nested && !chip->is_slave)
        blocking &= ~(1u << CASCADE_IR);
    return rank < rank_of(r, blocking) ? (int)ir_of(r, rank) : -1;
}

/* --- Wires --- */

static void latch_line(I8259Regs *r, unsigned ir, bool level)
{
    uint8_t bit = 1u << ir;

    if (level_lines(r) & bit)
        r->irr = level ? r->irr | bit : r->irr & ~bit;
    else if (level && !(r->lines & bit))
        r->irr |= bit;
    r->lines = level ? r->lines | bit : r->lines & ~bit;
}

/* The slave's INT is the master's IR2, the master's is INTR. After every change of a register. */
static void update_irq(I8259 *pic)
{
    I8259Chip *master = &pic->chip[I8259_MASTER];

    latch_line(&master->regs, CASCADE_IR, chip_pending(&pic->chip[I8259_SLAVE]) >= 0);
    irq_set(&pic->intr, chip_pending(master) >= 0);
}

static void pin_set(void *opaque, int pin, int level)
{
    I8259 *pic = opaque;

    if (pin == CASCADE_IR)
        return;
    latch_line(&pic->chip[pin >> 3].regs, pin & 7, level);
    update_irq(pic);
}

/* --- Interrupt acknowledge --- */

/* Automatic and commanded EOI end here; DS "Rotating priority". */
static void chip_end(I8259Regs *r, unsigned ir, bool rotate)
{
    r->isr &= ~(1u << ir);
    if (rotate)
        r->lowest = ir;
}

static void chip_intack(I8259Chip *chip, unsigned ir)
{
    I8259Regs *r = &chip->regs;

    if (!(level_lines(r) & 1u << ir))
        r->irr &= ~(1u << ir);
    r->isr |= 1u << ir;
    if (r->auto_eoi)
        chip_end(r, ir, r->rotate_aeoi);
    if (chip->is_slave) /* INT drops during INTA, so what is left makes a new edge on the master */
        latch_line(&chip->pair->chip[I8259_MASTER].regs, CASCADE_IR, 0);
    update_irq(chip->pair);
}

int i8259_ack(I8259 *pic)
{
    I8259Chip *master = &pic->chip[I8259_MASTER];
    I8259Chip *slave = &pic->chip[I8259_SLAVE];
    int ir = chip_pending(master);

    if (ir < 0)
        return master->regs.base + SPURIOUS_IR;
    chip_intack(master, ir);
    if (ir != CASCADE_IR)
        return master->regs.base + ir;
    ir = chip_pending(slave);
    if (ir < 0)
        return slave->regs.base + SPURIOUS_IR;
    chip_intack(slave, ir);
    return slave->regs.base + ir;
}

bool i8259_intr_pending(const I8259 *pic)
{
    return chip_pending(&pic->chip[I8259_MASTER]) >= 0;
}

/* --- Registers --- */

static uint8_t chip_poll(I8259Chip *chip)
{
    int ir = chip_pending(chip);

    chip->regs.poll = false;
    if (ir < 0)
        return 0;
    chip_intack(chip, ir);
    return POLL_INT | ir;
}

static uint64_t chip_read(void *opaque, uint64_t offset, unsigned size)
{
    I8259Chip *chip = opaque;

    if (chip->regs.poll)
        return chip_poll(chip);
    if (offset == 1)
        return chip->regs.imr;
    return chip->regs.read_isr ? chip->regs.isr : chip->regs.irr;
}

/* DS "Initialization command words": what ICW1 does by itself. */
static void write_icw1(I8259Chip *chip, uint8_t value)
{
    I8259Regs *r = &chip->regs;

    r->level = value & ICW1_LTIM;
    r->single = value & ICW1_SNGL;
    r->need_icw4 = value & ICW1_IC4;
    r->irr = r->lines & level_lines(r); /* the edge sense circuits are reset */
    r->isr = 0;
    r->imr = 0;
    r->lowest = 7;
    r->special_mask = false;
    r->read_isr = false;
    r->poll = false;
    r->rotate_aeoi = false;
    r->auto_eoi = false; /* ICW4's functions are zero until it says otherwise */
    r->special_nested = false;
    r->init_step = 2;
}

static void write_icw(I8259Chip *chip, uint8_t value)
{
    I8259Regs *r = &chip->regs;

    switch (r->init_step) {
    case 2:
        r->base = value & 0xf8;
        r->init_step = !r->single ? 3 : r->need_icw4 ? 4 : 0;
        break;
    case 3: /* the wiring is what it is */
        r->init_step = r->need_icw4 ? 4 : 0;
        break;
    case 4:
        r->auto_eoi = value & ICW4_AEOI;
        r->special_nested = value & ICW4_SFNM;
        r->init_step = 0;
        break;
    }
}

static void write_ocw2(I8259Regs *r, uint8_t value)
{
    unsigned command = value >> 5, level = value & 7, rank;

    switch (command) {
    case OCW2_ROTATE_AEOI_CLEAR:
    case OCW2_ROTATE_AEOI_SET:
        r->rotate_aeoi = command == OCW2_ROTATE_AEOI_SET;
        break;
    case OCW2_EOI:
    case OCW2_ROTATE_EOI:
        /* In special mask mode a masked IS bit is not cleared; DS "End of interrupt". */
        rank = rank_of(r, r->special_mask ? r->isr & ~r->imr : r->isr);
        if (rank < 8)
            chip_end(r, ir_of(r, rank), command == OCW2_ROTATE_EOI);
        break;
    case OCW2_SPECIFIC_EOI:
    case OCW2_ROTATE_SPECIFIC_EOI:
        chip_end(r, level, command == OCW2_ROTATE_SPECIFIC_EOI);
        break;
    case OCW2_SET_PRIORITY:
        r->lowest = level;
        break;
    case OCW2_NOP:
        break;
    }
}

static void write_ocw3(I8259Regs *r, uint8_t value)
{
    if (value & OCW3_ESMM)
        r->special_mask = value & OCW3_SMM;
    if (value & OCW3_P)
        r->poll = true; /* P overrides RR; DS "Poll command" */
    else if (value & OCW3_RR)
        r->read_isr = value & OCW3_RIS;
}

static void chip_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8259Chip *chip = opaque;

    if (offset == 1 && chip->regs.init_step)
        write_icw(chip, value);
    else if (offset == 1)
        chip->regs.imr = value;
    else if (value & ICW1_SEL)
        write_icw1(chip, value);
    else if (value & OCW3_SEL)
        write_ocw3(&chip->regs, value);
    else
        write_ocw2(&chip->regs, value);
    update_irq(chip->pair);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    const I8259Chip *chip = opaque;

    return chip->regs.elcr;
}

static void elcr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8259Chip *chip = opaque;
    I8259Regs *r = &chip->regs;
    uint8_t changed = r->elcr ^ (value & chip->elcr_mask);

    r->elcr = value & chip->elcr_mask;
    /* A level-triggered request is its line, and nothing else. */
    r->irr = (r->irr & ~changed) | (r->lines & changed & level_lines(r));
    update_irq(chip->pair);
}

static const MemoryRegionOps chip_ops = {
    .read = chip_read,
    .write = chip_write,
    .valid = {1, 4, true},
    .impl = {1, 1},
};

static const MemoryRegionOps elcr_ops = {
    .read = elcr_read,
    .write = elcr_write,
    .valid = {1, 4, true},
    .impl = {1, 1},
};

/* --- Life cycle --- */

void i8259_connect(I8259 *pic, Irq intr)
{
    pic->intr = intr;
}

Irq i8259_irq(I8259 *pic, int n)
{
    return (Irq){.handler = pin_set, .opaque = pic, .pin = n & 15};
}

static bool i8259_realize(Device *dev, GError **errp)
{
    I8259 *pic = (I8259 *)dev;

    for (int i = 0; i < I8259_CHIPS; i++) {
        I8259Chip *chip = &pic->chip[i];

        chip->pair = pic;
        chip->is_slave = i == I8259_SLAVE;
        /* IRQ 0, 1, 2, 8 and 13 are always edge-triggered (ICH9 13.4.10, 13.4.11). */
        chip->elcr_mask = chip->is_slave ? 0xde : 0xf8;
        memory_region_init_io(&chip->io, &chip_ops, chip, chip->is_slave ? "pic-slave" : "pic-master", 2);
        memory_region_init_io(&chip->elcr, &elcr_ops, chip, "elcr", 1);
    }
    return true;
}

static void i8259_unrealize(Device *dev)
{
    I8259 *pic = (I8259 *)dev;

    for (int i = 0; i < I8259_CHIPS; i++) {
        memory_region_release(&pic->chip[i].io);
        memory_region_release(&pic->chip[i].elcr);
    }
}

static void i8259_reset(Device *dev)
{
    I8259 *pic = (I8259 *)dev;

    for (int i = 0; i < I8259_CHIPS; i++) {
        uint8_t lines = pic->chip[i].regs.lines; /* the sources drive them on */

        pic->chip[i].regs = reset_regs;
        pic->chip[i].regs.lines = lines;
    }
    pic->chip[I8259_MASTER].regs.lines &= ~(1u << CASCADE_IR);
    irq_set(&pic->intr, 0);
}

static const DeviceWire i8259_wires[] = {{"intr", offsetof(I8259, intr)}, {0}};

const DeviceType i8259_type = {
    .name = "isa-i8259",
    .desc = "pair of 8259A interrupt controllers",
    .bus = "system",
    .instance_size = sizeof(I8259),
    .wires = i8259_wires,
    .realize = i8259_realize,
    .unrealize = i8259_unrealize,
    .reset = i8259_reset,
};
