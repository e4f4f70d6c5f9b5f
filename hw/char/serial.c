/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 16550A UART.
 * Source: National Semiconductor PC16550D data sheet ("DS"), sections 8.1 to 8.11.
 *
 * Bytes move as fast as the backend takes and gives them: the divisor only times the character
 * timeout. A backend that is full holds THRE down; a full receiver stops the backend, so only
 * loopback can overrun. Not modelled: DMA modes, parity and framing errors, OUT2 as the gate of the
 * interrupt line (an add-in card's wiring), break on the transmitter.
 *
 * Locking: machine_lock.
 */
#include "hw/char/serial.h"

#include "core/bits.h"

enum {
    REG_RBR = 0, /* R  receive buffer     (DLAB=0) */
    REG_THR = 0, /* W  transmit holding   (DLAB=0) */
    REG_DLL = 0, /* RW divisor, low byte  (DLAB=1) */
    REG_IER = 1, /* RW interrupt enable   (DLAB=0) */
    REG_DLM = 1, /* RW divisor, high byte (DLAB=1) */
    REG_IIR = 2, /* R  interrupt identification */
    REG_FCR = 2, /* W  FIFO control */
    REG_LCR = 3,
    REG_MCR = 4,
    REG_LSR = 5, /* R */
    REG_MSR = 6, /* R */
    REG_SCR = 7,
};

/* IER, DS 8.6. Bits 7:4 read as zero. */
#define IER_RDI  0x01 /* received data available, character timeout */
#define IER_THRI 0x02
#define IER_RLSI 0x04
#define IER_MSI  0x08
#define IER_MASK 0x0f

/* IIR, DS 8.5: the foremost pending interrupt, in this order of priority. */
#define IIR_NONE    0x01
#define IIR_RLS     0x06
#define IIR_RDA     0x04
#define IIR_TIMEOUT 0x0c
#define IIR_THRE    0x02
#define IIR_MSR     0x00
#define IIR_FIFOS   0xc0 /* the FIFOs are on */

/* FCR, DS 8.4. */
#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02
#define FCR_CLEAR_TX 0x04
#define FCR_KEPT     0xc9

/* LCR, DS 8.1. */
#define LCR_WORD   0x03 /* 5..8 data bits */
#define LCR_STOP   0x04
#define LCR_PARITY 0x08
#define LCR_DLAB   0x80

/* MCR, DS 8.7. */
#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_MASK 0x1f

/* LSR, DS 8.3. */
#define LSR_DR   0x01
#define LSR_OE   0x02
#define LSR_BI   0x10
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define LSR_FIFO_ERROR 0x80
#define LSR_ERRORS (LSR_OE | 0x0c | LSR_BI)

/* MSR, DS 8.8. */
#define MSR_DCTS 0x01
#define MSR_DDSR 0x02
#define MSR_TERI 0x04 /* RI went away */
#define MSR_DDCD 0x08
#define MSR_CTS  0x10
#define MSR_DSR  0x20
#define MSR_RI   0x40
#define MSR_DCD  0x80

#define BAUD_BASE 115200 /* 1.8432 MHz / 16 */
#define ROOM_TO_ASK_AGAIN (SERIAL_FIFO_SIZE / 2)

static const SerialRegs reset_regs = {
    .divisor = 12, /* 9600 baud; the data sheet leaves it undefined */
};

/* --- Pure functions of the registers --- */

static bool fifos_on(const SerialRegs *r)
{
    return r->fcr & FCR_ENABLE;
}

static unsigned fifo_depth(const SerialRegs *r)
{
    return fifos_on(r) ? SERIAL_FIFO_SIZE : 1;
}

static unsigned trigger_level(const SerialRegs *r)
{
    static const uint8_t levels[4] = {1, 4, 8, 14};

    return fifos_on(r) ? levels[r->fcr >> 6] : 1;
}

static uint8_t line_status(const SerialRegs *r)
{
    return r->lsr_errors | (r->rx.len ? LSR_DR : 0) | (r->tx.len ? 0 : LSR_THRE | LSR_TEMT) |
           (fifos_on(r) && r->rx_break ? LSR_FIFO_ERROR : 0);
}

/* The modem inputs: a modem that is always there, or the outputs in loopback (DS 8.7). */
static uint8_t modem_inputs(const SerialRegs *r)
{
    if (!(r->mcr & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    return (r->mcr & MCR_RTS ? MSR_CTS : 0) | (r->mcr & MCR_DTR ? MSR_DSR : 0) |
           (r->mcr & MCR_OUT1 ? MSR_RI : 0) | (r->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static uint8_t irq_pending(const SerialRegs *r)
{
    if ((r->ier & IER_RLSI) && (r->lsr_errors & LSR_ERRORS))
        return IIR_RLS;
    if ((r->ier & IER_RDI) && r->rx.len >= trigger_level(r))
        return IIR_RDA;
    if ((r->ier & IER_RDI) && r->timeout_pending)
        return IIR_TIMEOUT;
    if ((r->ier & IER_THRI) && r->thre_pending)
        return IIR_THRE;
    if ((r->ier & IER_MSI) && r->msr_deltas)
        return IIR_MSR;
    return IIR_NONE;
}

/* Four character times (DS 8.4.2): start bit, data, parity, stop bits. */
static int64_t timeout_ns(const SerialRegs *r)
{
    unsigned bits = 1 + 5 + (r->lcr & LCR_WORD) + (r->lcr & LCR_PARITY ? 1 : 0) + (r->lcr & LCR_STOP ? 2 : 1);

    return 4 * (int64_t)bits * MAX(r->divisor, 1) * NS_PER_SEC / BAUD_BASE;
}

static void fifo_push(SerialFifo *fifo, uint8_t byte)
{
    fifo->data[(fifo->head + fifo->len) % SERIAL_FIFO_SIZE] = byte;
    fifo->len++;
}

static uint8_t fifo_pop(SerialFifo *fifo)
{
    uint8_t byte = fifo->data[fifo->head % SERIAL_FIFO_SIZE];

    fifo->head = (fifo->head + 1) % SERIAL_FIFO_SIZE;
    fifo->len--;
    return byte;
}

static void update_irq(Serial *uart)
{
    irq_set(&uart->irq, irq_pending(&uart->regs) != IIR_NONE);
}

/* --- Receiver --- */

/* Every byte that comes or goes restarts the character timeout (DS 8.4.2). */
static void restart_timeout(Serial *uart)
{
    SerialRegs *r = &uart->regs;

    r->timeout_pending = false;
    if (fifos_on(r) && r->rx.len && r->rx.len < trigger_level(r))
        timer_mod(&uart->timeout_timer, clock_get_ns(VMCLOCK_VIRTUAL) + timeout_ns(r));
    else
        timer_del(&uart->timeout_timer);
}

static void timeout_fired(void *opaque)
{
    Serial *uart = opaque;

    uart->regs.timeout_pending = uart->regs.rx.len > 0;
    update_irq(uart);
}

/* A break shows in LSR when its byte is at the top of the FIFO (DS 8.3). */
static void show_break(SerialRegs *r)
{
    if (r->rx.len && (r->rx_break & 1))
        r->lsr_errors |= LSR_BI;
}

static void receive_byte(Serial *uart, uint8_t byte, bool is_break)
{
    SerialRegs *r = &uart->regs;

    if (r->rx.len >= fifo_depth(r)) {
        r->lsr_errors |= LSR_OE;
        if (fifos_on(r))
            return; /* the FIFO keeps what it has, the shift register is overwritten */
        fifo_pop(&r->rx);
    }
    if (is_break)
        r->rx_break |= 1u << r->rx.len;
    fifo_push(&r->rx, byte);
    show_break(r);
}

static uint8_t read_rbr(Serial *uart)
{
    SerialRegs *r = &uart->regs;
    bool was_full = r->rx.len == fifo_depth(r);

    if (!r->rx.len)
        return r->rbr;
    r->rbr = fifo_pop(&r->rx);
    r->rx_break >>= 1;
    show_break(r);
    restart_timeout(uart);
    if (!r->rx.len || r->rx.len == ROOM_TO_ASK_AGAIN || (was_full && !fifos_on(r)))
        char_accept_input(&uart->chr);
    update_irq(uart);
    return r->rbr;
}

static void clear_rx(Serial *uart)
{
    uart->regs.rx.len = 0;
    uart->regs.rx_break = 0;
    uart->regs.lsr_errors &= ~LSR_BI;
    restart_timeout(uart);
}

/* --- Transmitter --- */

static void flush_tx(Serial *uart)
{
    SerialRegs *r = &uart->regs;

    while (r->tx.len) {
        unsigned run = MIN(r->tx.len, SERIAL_FIFO_SIZE - r->tx.head);
        size_t taken = char_write(&uart->chr, &r->tx.data[r->tx.head], run);

        if (!taken)
            return; /* the backend calls back when there is room */
        r->tx.head = (r->tx.head + taken) % SERIAL_FIFO_SIZE;
        r->tx.len -= taken;
    }
    r->thre_pending = true;
}

static void write_thr(Serial *uart, uint8_t byte)
{
    SerialRegs *r = &uart->regs;

    r->thre_pending = false;
    if (r->mcr & MCR_LOOP) {
        receive_byte(uart, byte, false);
        restart_timeout(uart);
        r->thre_pending = true;
    } else {
        if (r->tx.len < fifo_depth(r)) /* full: the byte is lost */
            fifo_push(&r->tx, byte);
        flush_tx(uart);
    }
    update_irq(uart);
}

/* --- Registers --- */

static uint8_t read_iir(Serial *uart)
{
    SerialRegs *r = &uart->regs;
    uint8_t id = irq_pending(r);

    if (id == IIR_THRE) {
        r->thre_pending = false; /* reading IIR acknowledges THRE and nothing else */
        update_irq(uart);
    }
    return id | (fifos_on(r) ? IIR_FIFOS : 0);
}

static uint8_t read_lsr(Serial *uart)
{
    SerialRegs *r = &uart->regs;
    uint8_t status = line_status(r);

    if (r->lsr_errors) {
        if (r->lsr_errors & LSR_BI)
            r->rx_break &= ~1u;
        r->lsr_errors = 0;
        update_irq(uart);
    }
    return status;
}

static uint8_t read_msr(Serial *uart)
{
    SerialRegs *r = &uart->regs;
    uint8_t status = r->msr_deltas | modem_inputs(r);

    if (r->msr_deltas) {
        r->msr_deltas = 0;
        update_irq(uart);
    }
    return status;
}

static void write_ier(Serial *uart, uint8_t value)
{
    SerialRegs *r = &uart->regs;

    /* Enabling THRI with the transmitter empty raises it at once; drivers test for this. */
    if ((value & IER_THRI) && !(r->ier & IER_THRI) && !r->tx.len)
        r->thre_pending = true;
    r->ier = value & IER_MASK;
    update_irq(uart);
}

static void write_fcr(Serial *uart, uint8_t value)
{
    SerialRegs *r = &uart->regs;
    bool toggled = (value ^ r->fcr) & FCR_ENABLE; /* changing modes clears both FIFOs (DS 8.4) */
    bool had_input = r->rx.len;

    r->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
    if (toggled || (value & FCR_CLEAR_RX))
        clear_rx(uart);
    if (toggled || (value & FCR_CLEAR_TX)) {
        if (r->tx.len)
            r->thre_pending = true;
        r->tx.len = 0;
    }
    restart_timeout(uart);
    if (had_input && !r->rx.len)
        char_accept_input(&uart->chr);
    update_irq(uart);
}

static void write_mcr(Serial *uart, uint8_t value)
{
    SerialRegs *r = &uart->regs;
    uint8_t old = modem_inputs(r), changed;
    bool left_loop = (r->mcr & MCR_LOOP) && !(value & MCR_LOOP);

    r->mcr = value & MCR_MASK;
    changed = old ^ modem_inputs(r);
    r->msr_deltas |= (changed & MSR_CTS ? MSR_DCTS : 0) | (changed & MSR_DSR ? MSR_DDSR : 0) |
                     (changed & old & MSR_RI ? MSR_TERI : 0) | (changed & MSR_DCD ? MSR_DDCD : 0);
    if (left_loop)
        char_accept_input(&uart->chr);
    update_irq(uart);
}

static uint64_t serial_read(void *opaque, uint64_t offset, unsigned size)
{
    Serial *uart = opaque;
    SerialRegs *r = &uart->regs;
    bool dlab = r->lcr & LCR_DLAB;

    switch (offset) {
    case REG_RBR:
        return dlab ? r->divisor & 0xff : read_rbr(uart);
    case REG_IER:
        return dlab ? r->divisor >> 8 : r->ier;
    case REG_IIR:
        return read_iir(uart);
    case REG_LCR:
        return r->lcr;
    case REG_MCR:
        return r->mcr;
    case REG_LSR:
        return read_lsr(uart);
    case REG_MSR:
        return read_msr(uart);
    default:
        return r->scr;
    }
}

static void serial_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Serial *uart = opaque;
    SerialRegs *r = &uart->regs;
    bool dlab = r->lcr & LCR_DLAB;

    switch (offset) {
    case REG_THR:
        if (dlab)
            r->divisor = (r->divisor & 0xff00) | value;
        else
            write_thr(uart, value);
        break;
    case REG_IER:
        if (dlab)
            r->divisor = (r->divisor & 0xff) | value << 8;
        else
            write_ier(uart, value);
        break;
    case REG_FCR:
        write_fcr(uart, value);
        break;
    case REG_LCR:
        r->lcr = value;
        break;
    case REG_MCR:
        write_mcr(uart, value);
        break;
    case REG_SCR:
        r->scr = value;
        break;
    }
}

static const MemoryRegionOps serial_ops = {
    .read = serial_read,
    .write = serial_write,
    .valid = {1, 4, true},
    .impl = {1, 1},
};

/* --- The backend's side --- */

/* In loopback the receiver is cut off from the line. */
static size_t chr_can_read(void *opaque)
{
    const SerialRegs *r = &((Serial *)opaque)->regs;

    return r->mcr & MCR_LOOP || r->rx.len >= fifo_depth(r) ? 0 : fifo_depth(r) - r->rx.len;
}

static void chr_read(void *opaque, const uint8_t *buf, size_t len)
{
    Serial *uart = opaque;

    for (size_t i = 0; i < len; i++)
        receive_byte(uart, buf[i], false);
    restart_timeout(uart);
    update_irq(uart);
}

static void chr_writable(void *opaque)
{
    Serial *uart = opaque;

    if (uart->regs.tx.len)
        flush_tx(uart);
    update_irq(uart);
}

static void chr_event(void *opaque, CharEvent event)
{
    Serial *uart = opaque;

    if (event != CHAR_EVENT_BREAK || (uart->regs.mcr & MCR_LOOP))
        return;
    receive_byte(uart, 0, true);
    restart_timeout(uart);
    update_irq(uart);
}

static const CharHandlers serial_char_handlers = {
    .can_read = chr_can_read,
    .read = chr_read,
    .writable = chr_writable,
    .event = chr_event,
};

/* --- Life cycle --- */

void serial_init(Serial *uart, Irq irq)
{
    uart->irq = irq;
    memory_region_init_io(&uart->io, &serial_ops, uart, "serial", SERIAL_PORTS);
    timer_init(&uart->timeout_timer, event_loop_main(), VMCLOCK_VIRTUAL, timeout_fired, uart);
    char_set_handlers(&uart->chr, &serial_char_handlers, uart);
}

void serial_release(Serial *uart)
{
    char_set_handlers(&uart->chr, NULL, NULL);
    timer_release(&uart->timeout_timer);
    memory_region_release(&uart->io);
}

void serial_reset(Serial *uart)
{
    uart->regs = reset_regs;
    timer_del(&uart->timeout_timer);
    update_irq(uart);
    char_accept_input(&uart->chr);
}
