/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small builder of ACPI Machine Language (ACPI 6.5, chapter 20).
 *
 * An Aml is a run of encoded bytes. Functions that take an Aml consume it:
 *
 *     Aml *crs = aml_new();
 *     aml_add(crs, aml_io(0x3f8, 8));
 *     aml_add(crs, aml_irq(4));
 *     Aml *dev = aml_new();
 *     aml_add(dev, aml_name("_HID", aml_eisa_id("PNP0501")));
 *     aml_add(dev, aml_name("_CRS", aml_resources(crs)));
 *     aml_add(scope, aml_device("COM1", dev));
 */
#ifndef HW_ACPI_AML_H
#define HW_ACPI_AML_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef GByteArray Aml;

Aml *aml_new(void);
void aml_add(Aml *to, Aml *part);

/* Data objects. */
Aml *aml_int(uint64_t value); /* the shortest encoding */
Aml *aml_string(const char *s);
/* Three capital letters and four hex digits: "PNP0501". */
Aml *aml_eisa_id(const char *id);
/* count elements, already added to elements. */
Aml *aml_package(uint8_t count, Aml *elements);

/* Named objects. A name is one to four characters ("_HID", "COM1"), or where one refers to something
 * a path of them ("\\_SB.PCI0.ISA"). */
Aml *aml_name(const char *name, Aml *value);
Aml *aml_scope(const char *name, Aml *body);
Aml *aml_device(const char *name, Aml *body);

/* Resource descriptors (6.4), collected and then wrapped with their end tag into a buffer. */
Aml *aml_io(uint16_t base, uint8_t length);
Aml *aml_irq(unsigned irq); /* edge, active high, exclusive */
Aml *aml_memory32(uint32_t base, uint32_t length);
Aml *aml_interrupts(const uint32_t *irqs, unsigned count); /* level, active high, shared */
/* What a bus passes on, both ends included: bus numbers, ports, memory (wide where it has to be). */
Aml *aml_bus_window(uint8_t min, uint8_t max);
Aml *aml_io_window(uint16_t min, uint16_t max);
Aml *aml_memory_window(uint64_t min, uint64_t max);
Aml *aml_resources(Aml *descriptors);

/* Code. */
Aml *aml_ref(const char *path);
Aml *aml_arg(unsigned n);
Aml *aml_local(unsigned n);
/* Tells the system; value is the notification's number (5.6.6). */
Aml *aml_notify(const char *device, unsigned value);
Aml *aml_method(const char *name, unsigned args, bool serialized, Aml *body);
Aml *aml_return(Aml *value);
Aml *aml_store(Aml *value, Aml *target);
Aml *aml_and(Aml *a, Aml *b);
Aml *aml_or(Aml *a, Aml *b);
Aml *aml_if(Aml *predicate, Aml *body);
Aml *aml_create_dword_field(Aml *buffer, unsigned offset, const char *name);

/* Address spaces of operation regions, 5.5.2.4. */
typedef enum AmlSpace {
    AML_SYSTEM_MEMORY = 0,
    AML_SYSTEM_IO = 1,
    AML_PCI_CONFIG = 2,
} AmlSpace;
Aml *aml_operation_region(const char *name, AmlSpace space, uint32_t offset, uint32_t len);
/* Fields of one byte each from the region's start; names end with NULL. */
Aml *aml_byte_fields(const char *region, const char *const *names);
/* And of four bytes, accessed as such. */
Aml *aml_dword_fields(const char *region, const char *const *names);

#endif
