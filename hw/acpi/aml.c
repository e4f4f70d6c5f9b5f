/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI Machine Language, built bottom up: data and named objects (ACPI 6.5, chapter 20).
 */
#include "aml-internal.h"

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
    OP_PACKAGE = 0x12,
    OP_EXT_DEVICE = 0x82,
    PREFIX_DUAL_NAME = 0x2e,
    PREFIX_MULTI_NAME = 0x2f,
};

void aml_put(Aml *aml, uint64_t value, unsigned size)
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

/* One segment, padded with underscores. Returns what follows it in the path. */
static const char *put_segment(Aml *aml, const char *path)
{
    char seg[4] = {'_', '_', '_', '_'};
    size_t len = strcspn(path, ".");

    g_assert(len >= 1 && len <= sizeof(seg));
    memcpy(seg, path, len);
    g_byte_array_append(aml, (const uint8_t *)seg, sizeof(seg));
    return path[len] ? path + len + 1 : path + len;
}

void aml_put_name(Aml *aml, const char *path)
{
    unsigned segments = 1;

    if (*path == '\\')
        aml_put(aml, *path++, 1);
    for (const char *p = path; (p = strchr(p, '.')); p++)
        segments++;
    if (segments == 2) {
        aml_put(aml, PREFIX_DUAL_NAME, 1);
    } else if (segments > 2) {
        aml_put(aml, PREFIX_MULTI_NAME, 1);
        aml_put(aml, segments, 1);
    }
    while (segments--)
        path = put_segment(aml, path);
}

/* PkgLength, 20.2.4: counts itself. The first byte's top bits say how many bytes follow. */
static void put_pkg_length(Aml *aml, uint32_t body)
{
    if (body + 1 < 0x40) {
        aml_put(aml, body + 1, 1);
        return;
    }
    unsigned extra = body + 2 < BIT(12) ? 1 : body + 3 < BIT(20) ? 2 : 3;
    uint32_t len = body + 1 + extra;
    g_assert(len < BIT(28));
    aml_put(aml, (len & 0xf) | extra << 6, 1);
    aml_put(aml, len >> 4, extra);
}

/* opcode PkgLength body; consumes body. */
void aml_put_block(Aml *aml, Aml *body)
{
    put_pkg_length(aml, body->len);
    aml_add(aml, body);
}

Aml *aml_int(uint64_t value)
{
    Aml *aml = aml_new();

    if (value == 0 || value == 1) {
        aml_put(aml, value ? OP_ONE : OP_ZERO, 1);
    } else if (value <= 0xff) {
        aml_put(aml, OP_BYTE, 1);
        aml_put(aml, value, 1);
    } else if (value <= 0xffff) {
        aml_put(aml, OP_WORD, 1);
        aml_put(aml, value, 2);
    } else if (value <= 0xffffffff) {
        aml_put(aml, OP_DWORD, 1);
        aml_put(aml, value, 4);
    } else {
        aml_put(aml, OP_QWORD, 1);
        aml_put(aml, value, 8);
    }
    return aml;
}

Aml *aml_string(const char *s)
{
    Aml *aml = aml_new();
    aml_put(aml, OP_STRING, 1);
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
    aml_put(aml, OP_DWORD, 1);
    aml_put(aml, GUINT32_SWAP_LE_BE(value), 4);
    return aml;
}

Aml *aml_package(uint8_t count, Aml *elements)
{
    Aml *aml = aml_new(), *body = aml_new();
    aml_put(body, count, 1);
    aml_add(body, elements);
    aml_put(aml, OP_PACKAGE, 1);
    aml_put_block(aml, body);
    return aml;
}

Aml *aml_name(const char *name, Aml *value)
{
    Aml *aml = aml_new();
    aml_put(aml, OP_NAME, 1);
    aml_put_name(aml, name);
    aml_add(aml, value);
    return aml;
}

Aml *aml_scope(const char *name, Aml *body)
{
    Aml *aml = aml_new(), *inner = aml_new();
    aml_put_name(inner, name);
    aml_add(inner, body);
    aml_put(aml, OP_SCOPE, 1);
    aml_put_block(aml, inner);
    return aml;
}

Aml *aml_device(const char *name, Aml *body)
{
    Aml *aml = aml_new(), *inner = aml_new();
    aml_put_name(inner, name);
    aml_add(inner, body);
    aml_put(aml, AML_EXT_OP, 1);
    aml_put(aml, OP_EXT_DEVICE, 1);
    aml_put_block(aml, inner);
    return aml;
}
