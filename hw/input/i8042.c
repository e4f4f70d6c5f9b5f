/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8042 keyboard controller.
 * Sources: IBM PC/AT Technical Reference, "Keyboard Controller" and "Keyboard"; IBM PS/2 Hardware
 * Interface Technical Reference for the auxiliary port.
 *
 * The output buffer holds one byte. When the guest has read it the next comes from the controller itself,
 * else from the keyboard, else from the mouse, unless their interface is disabled.
 *
 * Not modelled: passwords, the test inputs, output port bits other than reset and A20, time-outs.
 *
 * Locking: machine_lock.
 */
#include "hw/input/i8042.h"

#include "core/log.h"
#include "core/machine.h"

/* Status, port 64h. */
#define ST_OBF      0x01 /* a byte is in the output buffer */
#define ST_SYS      0x04 /* the self test passed */
#define ST_CMD      0x08 /* the last write was to port 64h */
#define ST_UNLOCKED 0x10
#define ST_AUX      0x20 /* the byte came from the auxiliary port */

/* Command byte. */
#define CB_KBD_INT     0x01
#define CB_AUX_INT     0x02
#define CB_SYS         0x04
#define CB_DISABLE_KBD 0x10
#define CB_DISABLE_AUX 0x20
#define CB_TRANSLATE   0x40

/* Output port. */
#define OP_NOT_RESET 0x01
#define OP_A20       0x02
#define OP_OTHER     0xcc /* lines that are high at rest */

/* Controller commands, port 64h. */
enum {
    CMD_READ_RAM = 0x20, /* ..3Fh */
    CMD_WRITE_RAM = 0x60, /* ..7Fh */
    CMD_DISABLE_AUX = 0xa7,
    CMD_ENABLE_AUX = 0xa8,
    CMD_TEST_AUX = 0xa9,
    CMD_SELF_TEST = 0xaa,
    CMD_TEST_KBD = 0xab,
    CMD_DISABLE_KBD = 0xad,
    CMD_ENABLE_KBD = 0xae,
    CMD_READ_INPUT_PORT = 0xc0,
    CMD_READ_OUTPUT_PORT = 0xd0,
    CMD_WRITE_OUTPUT_PORT = 0xd1,
    CMD_WRITE_KBD_BUFFER = 0xd2,
    CMD_WRITE_AUX_BUFFER = 0xd3,
    CMD_WRITE_AUX = 0xd4,
    CMD_DISABLE_A20 = 0xdd,
    CMD_ENABLE_A20 = 0xdf,
    CMD_READ_TEST_INPUTS = 0xe0,
    CMD_PULSE = 0xf0, /* ..FFh: a zero bit pulses its output line low */
};
#define SELF_TEST_PASSED 0x55
#define INPUT_PORT_IDLE  0x80 /* keyboard not locked */

#define TRANSLATED_BREAK 0x80
#define SET2_BREAK 0xf0

static const I8042Regs reset_regs = {
    .status = ST_CMD | ST_UNLOCKED | ST_SYS,
    .output_port = OP_NOT_RESET | OP_A20 | OP_OTHER,
    .ram = {CB_KBD_INT | CB_SYS | CB_DISABLE_AUX | CB_TRANSLATE}, /* as PC firmware leaves it */
};

static uint8_t command_byte(const I8042Regs *r)
{
    return r->ram[0];
}

static uint8_t status(const I8042Regs *r)
{
    return r->status | (r->full ? ST_OBF | r->output.status : 0);
}

static void update_irq(I8042 *kbc)
{
    const I8042Regs *r = &kbc->regs;
    uint8_t st = status(r);
    bool aux = st & ST_AUX;

    irq_set(&kbc->kbd_irq, (st & ST_OBF) && !aux && (command_byte(r) & CB_KBD_INT));
    irq_set(&kbc->aux_irq, (st & ST_OBF) && aux && (command_byte(r) & CB_AUX_INT));
}

/* --- the output buffer --- */

static bool take_answer(I8042Regs *r)
{
    if (!r->queue_len)
        return false;
    r->output = r->queue[0];
    r->queue_len--;
    memmove(&r->queue[0], &r->queue[1], r->queue_len * sizeof(r->queue[0]));
    return true;
}

/* With translation the break prefix becomes a bit of the byte after it. */
static bool take_key(I8042 *kbc)
{
    I8042Regs *r = &kbc->regs;
    bool translate = command_byte(r) & CB_TRANSLATE;
    uint8_t byte;

    if (command_byte(r) & CB_DISABLE_KBD)
        return false;
    while (ps2_queue_pop(&kbc->kbd.regs.out, &byte)) {
        if (translate && byte == SET2_BREAK) {
            r->translating_break = true;
            continue;
        }
        if (translate)
            byte = ps2_translate(byte) | (r->translating_break ? TRANSLATED_BREAK : 0);
        r->translating_break = false;
        r->output = (I8042Byte){byte, 0};
        return true;
    }
    return false;
}

static bool take_mouse(I8042 *kbc)
{
    uint8_t byte;

    if ((command_byte(&kbc->regs) & CB_DISABLE_AUX) || !ps2_queue_pop(&kbc->mouse.regs.out, &byte))
        return false;
    ps2_mouse_continue(&kbc->mouse);
    kbc->regs.output = (I8042Byte){byte, ST_AUX};
    return true;
}

/* After anything that may have put a byte somewhere, or let one through. */
static void refill(void *opaque)
{
    I8042 *kbc = opaque;

    if (!kbc->regs.full)
        kbc->regs.full = take_answer(&kbc->regs) || take_key(kbc) || take_mouse(kbc);
    update_irq(kbc);
}

/* A full queue loses the byte: a guest that does not read has that coming. */
static void push(I8042 *kbc, uint8_t value, uint8_t status_bits)
{
    I8042Regs *r = &kbc->regs;

    if (r->queue_len < I8042_QUEUE_SIZE)
        r->queue[r->queue_len++] = (I8042Byte){value, status_bits};
}

static void set_a20(I8042 *kbc, bool on)
{
    uint8_t old = kbc->regs.output_port;

    kbc->regs.output_port = on ? old | OP_A20 : old & ~OP_A20;
    if (kbc->regs.output_port != old)
        irq_set(&kbc->a20, on);
}

void i8042_note_a20(I8042 *kbc, bool on)
{
    kbc->regs.output_port = on ? kbc->regs.output_port | OP_A20 : kbc->regs.output_port & ~OP_A20;
}

static void write_output_port(I8042 *kbc, uint8_t value)
{
    set_a20(kbc, value & OP_A20);
    if (!(value & OP_NOT_RESET))
        machine_request_reset(kbc->dev.machine, SHUTDOWN_CAUSE_GUEST_RESET);
}

/* Sending to a device enables its interface (PC/AT TR, "Command byte" bit 4). */
static void write_keyboard(I8042 *kbc, uint8_t value)
{
    kbc->regs.ram[0] &= ~CB_DISABLE_KBD;
    ps2_kbd_write(&kbc->kbd, value);
}

static void write_mouse(I8042 *kbc, uint8_t value)
{
    kbc->regs.ram[0] &= ~CB_DISABLE_AUX;
    ps2_mouse_write(&kbc->mouse, value);
}

/* --- Controller --- */

static void write_command(I8042 *kbc, uint8_t command)
{
    I8042Regs *r = &kbc->regs;

    r->write_cmd = 0;
    switch (command) {
    case CMD_READ_RAM ... CMD_READ_RAM + 31:
        push(kbc, r->ram[command - CMD_READ_RAM], 0);
        break;
    case CMD_WRITE_RAM ... CMD_WRITE_RAM + 31:
    case CMD_WRITE_OUTPUT_PORT:
    case CMD_WRITE_KBD_BUFFER:
    case CMD_WRITE_AUX_BUFFER:
    case CMD_WRITE_AUX:
        r->write_cmd = command; /* its byte comes on port 60h */
        break;
    case CMD_DISABLE_AUX:
        r->ram[0] |= CB_DISABLE_AUX;
        break;
    case CMD_ENABLE_AUX:
        r->ram[0] &= ~CB_DISABLE_AUX;
        break;
    case CMD_DISABLE_KBD:
        r->ram[0] |= CB_DISABLE_KBD;
        break;
    case CMD_ENABLE_KBD:
        r->ram[0] &= ~CB_DISABLE_KBD;
        break;
    case CMD_TEST_AUX:
    case CMD_TEST_KBD:
        push(kbc, 0, 0); /* no error detected */
        break;
    case CMD_SELF_TEST:
        r->queue_len = 0;
        r->full = false;
        r->status |= ST_SYS;
        push(kbc, SELF_TEST_PASSED, 0);
        break;
    case CMD_READ_INPUT_PORT:
        push(kbc, INPUT_PORT_IDLE, 0);
        break;
    case CMD_READ_OUTPUT_PORT:
        push(kbc, r->output_port, 0);
        break;
    case CMD_DISABLE_A20:
    case CMD_ENABLE_A20:
        set_a20(kbc, command == CMD_ENABLE_A20);
        break;
    case CMD_READ_TEST_INPUTS:
        push(kbc, 0, 0);
        break;
    case CMD_PULSE ... 0xff:
        if (!(command & OP_NOT_RESET))
            machine_request_reset(kbc->dev.machine, SHUTDOWN_CAUSE_GUEST_RESET);
        break;
    default:
        guest_error("i8042", "unknown command %#x", command);
        break;
    }
}

/* The byte a command of port 64h waited for. */
static void write_argument(I8042 *kbc, uint8_t command, uint8_t value)
{
    I8042Regs *r = &kbc->regs;

    switch (command) {
    case CMD_WRITE_RAM ... CMD_WRITE_RAM + 31:
        r->ram[command - CMD_WRITE_RAM] = value;
        if (command == CMD_WRITE_RAM)
            r->status = (r->status & ~ST_SYS) | (value & CB_SYS ? ST_SYS : 0);
        break;
    case CMD_WRITE_OUTPUT_PORT:
        write_output_port(kbc, value);
        break;
    case CMD_WRITE_KBD_BUFFER:
        push(kbc, value, 0);
        break;
    case CMD_WRITE_AUX_BUFFER:
        push(kbc, value, ST_AUX);
        break;
    case CMD_WRITE_AUX:
        write_mouse(kbc, value);
        break;
    }
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    I8042 *kbc = opaque;
    I8042Regs *r = &kbc->regs;
    uint8_t value;

    if (r->full) {
        r->full = false;
        irq_set(&kbc->kbd_irq, 0); /* the next byte makes a new edge */
        irq_set(&kbc->aux_irq, 0);
        value = r->output.value;
        refill(kbc);
        return value;
    }
    return r->output.value;
}

static void data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8042 *kbc = opaque;
    uint8_t command = kbc->regs.write_cmd;

    kbc->regs.status &= ~ST_CMD;
    kbc->regs.write_cmd = 0;
    if (command)
        write_argument(kbc, command, value);
    else
        write_keyboard(kbc, value);
    refill(kbc);
}

static uint64_t command_read(void *opaque, uint64_t offset, unsigned size)
{
    const I8042 *kbc = opaque;

    return status(&kbc->regs);
}

static void command_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8042 *kbc = opaque;

    kbc->regs.status |= ST_CMD;
    write_command(kbc, value);
    refill(kbc);
}

static const MemoryRegionOps data_ops = {
    .read = data_read,
    .write = data_write,
    .valid = {1, 1},
    .impl = {1, 1},
};

static const MemoryRegionOps command_ops = {
    .read = command_read,
    .write = command_write,
    .valid = {1, 1},
    .impl = {1, 1},
};

/* --- Life cycle --- */

void i8042_connect(I8042 *kbc, Irq kbd_irq, Irq aux_irq, Irq a20)
{
    kbc->kbd_irq = kbd_irq;
    kbc->aux_irq = aux_irq;
    kbc->a20 = a20;
}

static bool i8042_realize(Device *dev, GError **errp)
{
    I8042 *kbc = (I8042 *)dev;

    memory_region_init_io(&kbc->data, &data_ops, kbc, "i8042-data", 1);
    memory_region_init_io(&kbc->command, &command_ops, kbc, "i8042-cmd", 1);
    ps2_kbd_init(&kbc->kbd, (Ps2Link){refill, kbc});
    ps2_mouse_init(&kbc->mouse, (Ps2Link){refill, kbc});
    return true;
}

static void i8042_unrealize(Device *dev)
{
    I8042 *kbc = (I8042 *)dev;

    ps2_mouse_release(&kbc->mouse);
    ps2_kbd_release(&kbc->kbd);
    memory_region_release(&kbc->data);
    memory_region_release(&kbc->command);
}

static void i8042_reset(Device *dev)
{
    I8042 *kbc = (I8042 *)dev;

    kbc->regs = reset_regs;
    ps2_kbd_reset(&kbc->kbd);
    ps2_mouse_reset(&kbc->mouse);
    irq_set(&kbc->a20, 1);
    update_irq(kbc);
}

static const DeviceWire i8042_wires[] = {
    {"kbd", offsetof(I8042, kbd_irq)},
    {"aux", offsetof(I8042, aux_irq)},
    {"a20", offsetof(I8042, a20)},
    {0},
};

const DeviceType i8042_type = {
    .name = "i8042",
    .desc = "keyboard controller, keyboard and mouse",
    .bus = "system",
    .instance_size = sizeof(I8042),
    .wires = i8042_wires,
    .realize = i8042_realize,
    .unrealize = i8042_unrealize,
    .reset = i8042_reset,
};
