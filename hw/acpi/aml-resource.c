/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Resource descriptors (ACPI 6.5, 6.4).
 */
#include "aml-internal.h"

#include "core/bits.h"

/* Large descriptors, 6.4.3.5: address spaces by the width of their fields. */
enum {
    WORD_SPACE = 0x88,
    DWORD_SPACE = 0x87,
    QWORD_SPACE = 0x8a,
};
/* Their resource types and flags. */
enum {
    TYPE_MEMORY = 0,
    TYPE_IO = 1,
    TYPE_BUS = 2,
};
#define SPACE_FIXED 0x0c      /* producer, positive decode, minimum and maximum fixed */
#define IO_ENTIRE_RANGE 0x03
#define MEMORY_WRITABLE 0x01  /* not cacheable */

/* I/O Port Descriptor, 6.4.2.5: 16-bit decode, fixed base. */
Aml *aml_io(uint16_t base, uint8_t length)
{
    Aml *aml = aml_new();
    aml_put(aml, 0x47, 1);
    aml_put(aml, 1, 1);
    aml_put(aml, base, 2);
    aml_put(aml, base, 2);
    aml_put(aml, 1, 1);
    aml_put(aml, length, 1);
    return aml;
}

/* IRQ Descriptor without flags, 6.4.2.1: edge, active high, not shared. */
Aml *aml_irq(unsigned irq)
{
    Aml *aml = aml_new();
    g_assert(irq < 16);
    aml_put(aml, 0x22, 1);
    aml_put(aml, BIT(irq), 2);
    return aml;
}

/* 32-bit Fixed Memory Range, 6.4.3.4, writable. */
Aml *aml_memory32(uint32_t base, uint32_t length)
{
    Aml *aml = aml_new();
    aml_put(aml, 0x86, 1);
    aml_put(aml, 9, 2);
    aml_put(aml, 1, 1);
    aml_put(aml, base, 4);
    aml_put(aml, length, 4);
    return aml;
}

/* Extended Interrupt Descriptor, 6.4.3.6: consumer, level, active high, shared. */
Aml *aml_interrupts(const uint32_t *irqs, unsigned count)
{
    Aml *aml = aml_new();

    aml_put(aml, 0x89, 1);
    aml_put(aml, 2 + 4 * count, 2);
    aml_put(aml, 0x09, 1);
    aml_put(aml, count, 1);
    for (unsigned i = 0; i < count; i++)
        aml_put(aml, irqs[i], 4);
    return aml;
}

/* Granularity, minimum, maximum, translation, length. */
static Aml *address_space(uint8_t tag, unsigned width, uint8_t type, uint8_t type_flags, uint64_t min, uint64_t max)
{
    Aml *aml = aml_new();

    aml_put(aml, tag, 1);
    aml_put(aml, 3 + 5 * width, 2);
    aml_put(aml, type, 1);
    aml_put(aml, SPACE_FIXED, 1);
    aml_put(aml, type_flags, 1);
    aml_put(aml, 0, width);
    aml_put(aml, min, width);
    aml_put(aml, max, width);
    aml_put(aml, 0, width);
    aml_put(aml, max - min + 1, width);
    return aml;
}

Aml *aml_bus_window(uint8_t min, uint8_t max)
{
    return address_space(WORD_SPACE, 2, TYPE_BUS, 0, min, max);
}

Aml *aml_io_window(uint16_t min, uint16_t max)
{
    return address_space(WORD_SPACE, 2, TYPE_IO, IO_ENTIRE_RANGE, min, max);
}

Aml *aml_memory_window(uint64_t min, uint64_t max)
{
    bool wide = max >> 32;
    return address_space(wide ? QWORD_SPACE : DWORD_SPACE, wide ? 8 : 4, TYPE_MEMORY, MEMORY_WRITABLE, min, max);
}

Aml *aml_resources(Aml *descriptors)
{
    Aml *aml = aml_new(), *body;

    aml_put(descriptors, 0x79, 1); /* End Tag, 6.4.2.9; checksum 0 means none */
    aml_put(descriptors, 0, 1);
    body = aml_int(descriptors->len);
    aml_add(body, descriptors);
    aml_put(aml, AML_BUFFER_OP, 1);
    aml_put_block(aml, body);
    return aml;
}
