/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI Machine Language, built bottom up (ACPI 6.5, chapter 20; resources 6.4).
 *
 * Not modelled: methods, operation regions, multi-segment names; nothing here needs them.
 */
#include "hw/acpi/aml.h"

#include <string.h>

#include "core/bits.h"

/* 20.3: opcodes. */
enum {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_EXT = 0x5b,
    OP_EXT_DEVICE = 0x82,
};

static void put(Aml *aml, uint64_t value, unsigned size)
{
    uint8_t bytes[8];
    store_le(bytes, value, size);
    g_byte_array_append(aml, bytes, size);
}

Aml *aml_new(void)
{
    return g_byte_array_new();
}

void aml_add(Aml *to, Aml *part)
{
    g_byte_array_append(to, part->data, part->len);
    g_byte_array_unref(part);
}

/* NameString, 20.2.2: segments are padded with underscores. */
static void put_name(Aml *aml, const char *name)
{
    char seg[4] = {'_', '_', '_', '_'};

    if (*name == '\\')
        put(aml, *name++, 1);
    size_t len = strlen(name);
    g_assert(len >= 1 && len <= sizeof(seg));
    memcpy(seg, name, len);
    g_byte_array_append(aml, (const uint8_t *)seg, sizeof(seg));
}

/* PkgLength, 20.2.4: counts itself. The first byte's top bits say how many bytes follow. */
static void put_pkg_length(Aml *aml, uint32_t body)
{
    if (body + 1 < 0x40) {
        put(aml, body + 1, 1);
        return;
    }
    unsigned extra = body + 2 < BIT(12) ? 1 : body + 3 < BIT(20) ? 2 : 3;
    uint32_t len = body + 1 + extra;
    g_assert(len < BIT(28));
    put(aml, (len & 0xf) | extra << 6, 1);
    put(aml, len >> 4, extra);
}

/* opcode PkgLength body; consumes body. */
static void put_block(Aml *aml, Aml *body)
{
    put_pkg_length(aml, body->len);
    aml_add(aml, body);
}

Aml *aml_int(uint64_t value)
{
    Aml *aml = aml_new();

    if (value == 0 || value == 1) {
        put(aml, value ? OP_ONE : OP_ZERO, 1);
    } else if (value <= 0xff) {
        put(aml, OP_BYTE, 1);
        put(aml, value, 1);
    } else if (value <= 0xffff) {
        put(aml, OP_WORD, 1);
        put(aml, value, 2);
    } else if (value <= 0xffffffff) {
        put(aml, OP_DWORD, 1);
        put(aml, value, 4);
    } else {
        put(aml, OP_QWORD, 1);
        put(aml, value, 8);
    }
    return aml;
}

Aml *aml_string(const char *s)
{
    Aml *aml = aml_new();
    put(aml, OP_STRING, 1);
    g_byte_array_append(aml, (const uint8_t *)s, strlen(s) + 1);
    return aml;
}

/* 19.3.4 EISAID: letters of five bits, big-endian. */
Aml *aml_eisa_id(const char *id)
{
    Aml *aml = aml_new();
    uint32_t value = 0;

    g_assert(strlen(id) == 7);
    for (int i = 0; i < 3; i++)
        value = value << 5 | (id[i] - 0x40);
    for (int i = 3; i < 7; i++)
        value = value << 4 | g_ascii_xdigit_value(id[i]);
    put(aml, OP_DWORD, 1);
    put(aml, GUINT32_SWAP_LE_BE(value), 4);
    return aml;
}

Aml *aml_package(uint8_t count, Aml *elements)
{
    Aml *aml = aml_new(), *body = aml_new();
    put(body, count, 1);
    aml_add(body, elements);
    put(aml, OP_PACKAGE, 1);
    put_block(aml, body);
    return aml;
}

Aml *aml_name(const char *name, Aml *value)
{
    Aml *aml = aml_new();
    put(aml, OP_NAME, 1);
    put_name(aml, name);
    aml_add(aml, value);
    return aml;
}

Aml *aml_scope(const char *name, Aml *body)
{
    Aml *aml = aml_new(), *inner = aml_new();
    put_name(inner, name);
    aml_add(inner, body);
    put(aml, OP_SCOPE, 1);
    put_block(aml, inner);
    return aml;
}

Aml *aml_device(const char *name, Aml *body)
{
    Aml *aml = aml_new(), *inner = aml_new();
    put_name(inner, name);
    aml_add(inner, body);
    put(aml, OP_EXT, 1);
    put(aml, OP_EXT_DEVICE, 1);
    put_block(aml, inner);
    return aml;
}

/* I/O Port Descriptor, 6.4.2.5: 16-bit decode, fixed base. */
Aml *aml_io(uint16_t base, uint8_t length)
{
    Aml *aml = aml_new();
    put(aml, 0x47, 1);
    put(aml, 1, 1);
    put(aml, base, 2);
    put(aml, base, 2);
    put(aml, 1, 1);
    put(aml, length, 1);
    return aml;
}

/* IRQ Descriptor without flags, 6.4.2.1: edge, active high, not shared. */
Aml *aml_irq(unsigned irq)
{
    Aml *aml = aml_new();
    g_assert(irq < 16);
    put(aml, 0x22, 1);
    put(aml, BIT(irq), 2);
    return aml;
}

/* 32-bit Fixed Memory Range, 6.4.3.4, writable. */
Aml *aml_memory32(uint32_t base, uint32_t length)
{
    Aml *aml = aml_new();
    put(aml, 0x86, 1);
    put(aml, 9, 2);
    put(aml, 1, 1);
    put(aml, base, 4);
    put(aml, length, 4);
    return aml;
}

Aml *aml_resources(Aml *descriptors)
{
    Aml *aml = aml_new(), *body;

    put(descriptors, 0x79, 1); /* End Tag, 6.4.2.9; checksum 0 means none */
    put(descriptors, 0, 1);
    body = aml_int(descriptors->len);
    aml_add(body, descriptors);
    put(aml, OP_BUFFER, 1);
    put_block(aml, body);
    return aml;
}
