/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the AML builder's files share: appending raw encodings.
 */
#ifndef HW_ACPI_AML_INTERNAL_H
#define HW_ACPI_AML_INTERNAL_H

#include "hw/acpi/aml.h"

/* The low size bytes of value. */
void aml_put(Aml *aml, uint64_t value, unsigned size);
/* NameString, 20.2.2. */
void aml_put_name(Aml *aml, const char *path);
/* PkgLength, 20.2.4, and the body it covers; consumes body. */
void aml_put_block(Aml *aml, Aml *body);

/* Two-byte opcodes begin with this, 20.3. */
#define AML_EXT_OP 0x5b
#define AML_BUFFER_OP 0x11

#endif
