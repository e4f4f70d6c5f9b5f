/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 16550A UART, and its place on the ISA bus (isa-serial).
 * Source: National Semiconductor PC16550D data sheet (DS), sections 8.1 to 8.11.
 *
 * Locking: machine_lock.
 */
#ifndef HW_CHAR_SERIAL_H
#define HW_CHAR_SERIAL_H

#include "chardev/char.h"
#include "core/device.h"
#include "core/irq.h"
#include "core/loop.h"
#include "core/memory.h"

#define SERIAL_FIFO_SIZE 16

typedef struct SerialFifo {
    uint8_t data[SERIAL_FIFO_SIZE];
    uint8_t head;
    uint8_t len;
} SerialFifo;

/* What the guest can observe. DR, THRE, TEMT and the modem inputs are computed. */
typedef struct SerialRegs {
    uint8_t ier, lcr, mcr, scr;
    uint8_t lsr_errors;   /* OE and BI, until LSR is read */
    uint8_t msr_deltas;   /* until MSR is read */
    uint8_t fcr;          /* the reset bits read as 0 */
    uint16_t divisor;     /* DLM, DLL */
    uint8_t rbr;          /* what the receiver gave last: reads of an empty one repeat it */
    bool thre_pending;    /* the THRE interrupt, until IIR is read or THR written */
    bool timeout_pending; /* character timeout: data waits below the trigger level */
    SerialFifo rx;        /* one byte deep while the FIFOs are off */
    uint16_t rx_break;    /* bit n: the n-th byte in rx is a break */
    SerialFifo tx;        /* what the backend has not taken yet; one byte deep without FIFOs */
} SerialRegs;

typedef struct Serial {
    SerialRegs regs;

    /* Wiring: fixed at realize, never saved. */
    MemoryRegion io; /* 8 ports */
    Irq irq;
    CharBackend chr;
    Timer timeout_timer;
} Serial;

#define SERIAL_PORTS 8

/* For the device that embeds it. The region io is initialised, the backend's handlers are set. */
void serial_init(Serial *uart, Irq irq);
void serial_release(Serial *uart);
void serial_reset(Serial *uart);

/* COM1..COM4. index picks the defaults of iobase and irq. */
typedef struct IsaSerial {
    Device dev;
    Serial uart;
    uint32_t index;  /* 0..3; 0xffffffff: the first free one */
    uint32_t iobase; /* 0xffffffff: by index */
    uint32_t irq;    /* 0xffffffff: by index */
} IsaSerial;

extern const DeviceType isa_serial_type;

#endif
