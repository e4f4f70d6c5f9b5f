/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Methods, operation regions and fields (ACPI 6.5, 20.2.5).
 */
#include "aml-internal.h"

enum {
    OP_METHOD = 0x14,
    OP_LOCAL0 = 0x60,
    OP_ARG0 = 0x68,
    OP_STORE = 0x70,
    OP_AND = 0x7b,
    OP_OR = 0x7d,
    OP_NOTIFY = 0x86,
    OP_CREATE_DWORD_FIELD = 0x8a,
    OP_IF = 0xa0,
    OP_RETURN = 0xa4,
    OP_EXT_REGION = 0x80,
    OP_EXT_FIELD = 0x81,
    NULL_NAME = 0x00,
};
#define METHOD_SERIALIZED 0x08
#define FIELD_BYTE_ACCESS 0x01 /* no lock, other bits preserved */
#define FIELD_DWORD_ACCESS 0x43 /* no lock, other bits written as zeros */

Aml *aml_ref(const char *path)
{
    Aml *aml = aml_new();
    aml_put_name(aml, path);
    return aml;
}

Aml *aml_arg(unsigned n)
{
    Aml *aml = aml_new();
    g_assert(n < 7);
    aml_put(aml, OP_ARG0 + n, 1);
    return aml;
}

Aml *aml_local(unsigned n)
{
    Aml *aml = aml_new();
    g_assert(n < 8);
    aml_put(aml, OP_LOCAL0 + n, 1);
    return aml;
}

Aml *aml_notify(const char *device, unsigned value)
{
    Aml *aml = aml_new();
    aml_put(aml, OP_NOTIFY, 1);
    aml_put_name(aml, device);
    aml_add(aml, aml_int(value));
    return aml;
}

Aml *aml_method(const char *name, unsigned args, bool serialized, Aml *body)
{
    Aml *aml = aml_new(), *inner = aml_new();

    aml_put_name(inner, name);
    aml_put(inner, args | (serialized ? METHOD_SERIALIZED : 0), 1);
    aml_add(inner, body);
    aml_put(aml, OP_METHOD, 1);
    aml_put_block(aml, inner);
    return aml;
}

Aml *aml_return(Aml *value)
{
    Aml *aml = aml_new();
    aml_put(aml, OP_RETURN, 1);
    aml_add(aml, value);
    return aml;
}

Aml *aml_store(Aml *value, Aml *target)
{
    Aml *aml = aml_new();
    aml_put(aml, OP_STORE, 1);
    aml_add(aml, value);
    aml_add(aml, target);
    return aml;
}

/* The result is only the expression's value. */
static Aml *binary(uint8_t op, Aml *a, Aml *b)
{
    Aml *aml = aml_new();
    aml_put(aml, op, 1);
    aml_add(aml, a);
    aml_add(aml, b);
    aml_put(aml, NULL_NAME, 1);
    return aml;
}

Aml *aml_and(Aml *a, Aml *b)
{
    return binary(OP_AND, a, b);
}

Aml *aml_or(Aml *a, Aml *b)
{
    return binary(OP_OR, a, b);
}

Aml *aml_if(Aml *predicate, Aml *body)
{
    Aml *aml = aml_new();

    aml_add(predicate, body);
    aml_put(aml, OP_IF, 1);
    aml_put_block(aml, predicate);
    return aml;
}

Aml *aml_create_dword_field(Aml *buffer, unsigned offset, const char *name)
{
    Aml *aml = aml_new();
    aml_put(aml, OP_CREATE_DWORD_FIELD, 1);
    aml_add(aml, buffer);
    aml_add(aml, aml_int(offset));
    aml_put_name(aml, name);
    return aml;
}

Aml *aml_operation_region(const char *name, AmlSpace space, uint32_t offset, uint32_t len)
{
    Aml *aml = aml_new();
    aml_put(aml, AML_EXT_OP, 1);
    aml_put(aml, OP_EXT_REGION, 1);
    aml_put_name(aml, name);
    aml_put(aml, space, 1);
    aml_add(aml, aml_int(offset));
    aml_add(aml, aml_int(len));
    return aml;
}

/* A field's length is in bits and does not count itself. */
static Aml *fields(const char *region, unsigned access, unsigned bits, const char *const *names)
{
    Aml *aml = aml_new(), *inner = aml_new();

    aml_put_name(inner, region);
    aml_put(inner, access, 1);
    for (; *names; names++) {
        aml_put_name(inner, *names);
        aml_put(inner, bits, 1);
    }
    aml_put(aml, AML_EXT_OP, 1);
    aml_put(aml, OP_EXT_FIELD, 1);
    aml_put_block(aml, inner);
    return aml;
}

Aml *aml_byte_fields(const char *region, const char *const *names)
{
    return fields(region, FIELD_BYTE_ACCESS, 8, names);
}

Aml *aml_dword_fields(const char *region, const char *const *names)
{
    return fields(region, FIELD_DWORD_ACCESS, 32, names);
}
