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

/* Named objects. Names are one segment of up to four characters ("_HID", "COM1"), in aml_scope
 * optionally behind a root backslash ("\\_SB"). */
Aml *aml_name(const char *name, Aml *value);
Aml *aml_scope(const char *name, Aml *body);
Aml *aml_device(const char *name, Aml *body);

/* Resource descriptors (6.4), collected and then wrapped with their end tag into a buffer. */
Aml *aml_io(uint16_t base, uint8_t length);
Aml *aml_irq(unsigned irq); /* edge, active high, exclusive */
Aml *aml_memory32(uint32_t base, uint32_t length);
Aml *aml_resources(Aml *descriptors);

#endif
