/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Property tables: from option syntax into the fields of an instance.
 *
 * A value is checked completely before the field changes, so a refused one leaves it as it was.
 */
#include <string.h>

#include "block/backend.h"
#include "chardev/char.h"
#include "config/keyval.h"
#include "core/device.h"
#include "core/error.h"

static void *field(const Property *prop, void *instance)
{
    return (char *)instance + prop->offset;
}

static bool bad_value(const Property *prop, const char *value, const char *expected, GError **errp)
{
    return error_set_code(errp, VMM_ERROR_USAGE, "'%s' for %s is not %s", value, prop->name, expected);
}

static unsigned kind_bytes(PropertyKind kind)
{
    switch (kind) {
    case PROP_U8: return 1;
    case PROP_U16: return 2;
    case PROP_U32: case PROP_I32: return 4;
    default: return 8;
    }
}

static bool in_range(const Property *prop, uint64_t n)
{
    if (prop->min || prop->max)
        return n >= prop->min && n <= prop->max;
    return kind_bytes(prop->kind) == 8 || n >> (8 * kind_bytes(prop->kind)) == 0;
}

static bool out_of_range(const Property *prop, const char *value, GError **errp)
{
    uint64_t max = prop->max;

    if (!prop->min && !prop->max)
        max = ~0ull >> (64 - 8 * kind_bytes(prop->kind));
    return error_set_code(errp, VMM_ERROR_USAGE,
                          "%s=%s is out of range; it takes %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
                          prop->name, value, prop->min, max);
}

static bool parse_bool_prop(const Property *prop, void *instance, const char *value, GError **errp)
{
    return parse_bool(value, field(prop, instance)) || bad_value(prop, value, "on or off", errp);
}

static bool parse_number(const Property *prop, void *instance, const char *value, GError **errp)
{
    uint64_t n;
    bool ok = prop->kind == PROP_SIZE ? parse_size(value, 1, &n) : parse_u64(value, &n);

    if (!ok)
        return bad_value(prop, value, prop->kind == PROP_SIZE ? "a size like 64K, 512M or 2G" : "a number", errp);
    if (!in_range(prop, n))
        return out_of_range(prop, value, errp);
    memcpy(field(prop, instance), &n, kind_bytes(prop->kind)); /* little-endian */
    return true;
}

static bool parse_i32(const Property *prop, void *instance, const char *value, GError **errp)
{
    uint64_t magnitude, limit;
    bool negative = value[0] == '-';
    int64_t n;

    if (!parse_u64(value + negative, &magnitude))
        return bad_value(prop, value, "a number", errp);
    limit = (uint64_t)INT32_MAX + negative;
    n = negative ? -(int64_t)MIN(magnitude, limit) : (int64_t)MIN(magnitude, limit);
    if (magnitude > limit || ((prop->min || prop->max) && (n < (int64_t)prop->min || n > (int64_t)prop->max)))
        return error_set_code(errp, VMM_ERROR_USAGE, "%s=%s is out of range", prop->name, value);
    *(int32_t *)field(prop, instance) = (int32_t)n;
    return true;
}

static bool parse_enum(const Property *prop, void *instance, const char *value, GError **errp)
{
    const char *near;

    for (int i = 0; prop->names[i]; i++) {
        if (!strcmp(value, prop->names[i])) {
            *(int *)field(prop, instance) = i;
            return true;
        }
    }
    near = nearest_name(value, prop->names);
    g_autofree char *all = g_strjoinv(", ", (char **)prop->names);
    return error_set_code(errp, VMM_ERROR_USAGE, "%s has no value '%s'%s%s%s; it takes %s", prop->name, value,
                          near ? "; did you mean '" : "", near ? near : "", near ? "'" : "", all);
}

static bool parse_string(const Property *prop, void *instance, const char *value, GError **errp)
{
    char **slot = field(prop, instance);

    g_free(*slot);
    *slot = g_strdup(value);
    return true;
}

static bool parse_chardev(const Property *prop, void *instance, const char *value, GError **errp)
{
    CharBackend *be = field(prop, instance);
    Chardev *chr = chardev_find(value), *before = be->chr;

    if (!chr)
        return error_set_code(errp, VMM_ERROR_USAGE, "%s=%s: there is no chardev with this id; make it with -chardev",
                              prop->name, value);
    if (before)
        char_detach(be);
    if (char_attach(be, chr, errp))
        return true;
    if (before)
        char_attach(be, before, NULL);
    return false;
}

static bool parse_drive(const Property *prop, void *instance, const char *value, GError **errp)
{
    BlockBackend **slot = field(prop, instance);
    BlockBackend *blk = blk_attach_by_name(value, errp);

    if (!blk) {
        g_prefix_error(errp, "%s=%s: ", prop->name, value);
        return false;
    }
    if (*slot)
        blk_detach_device(*slot);
    *slot = blk;
    return true;
}

bool property_parse(const Property *prop, void *instance, const char *value, GError **errp)
{
    switch (prop->kind) {
    case PROP_BOOL:
        return parse_bool_prop(prop, instance, value, errp);
    case PROP_U8:
    case PROP_U16:
    case PROP_U32:
    case PROP_U64:
    case PROP_SIZE:
        return parse_number(prop, instance, value, errp);
    case PROP_I32:
        return parse_i32(prop, instance, value, errp);
    case PROP_STRING:
        return parse_string(prop, instance, value, errp);
    case PROP_ENUM:
        return parse_enum(prop, instance, value, errp);
    case PROP_CHARDEV:
        return parse_chardev(prop, instance, value, errp);
    case PROP_DRIVE:
        return parse_drive(prop, instance, value, errp);
    }
    g_assert_not_reached();
}

const Property *property_find(const Property *props, const char *name)
{
    for (const Property *prop = props; prop && prop->name; prop++) {
        if (!strcmp(prop->name, name))
            return prop;
    }
    return NULL;
}

bool property_set(const Property *props, void *instance, const char *owner, const char *name, const char *value,
                  GError **errp)
{
    const Property *prop = property_find(props, name);
    g_autoptr(GPtrArray) names = NULL;
    const char *near;

    if (prop) {
        if (property_parse(prop, instance, value, errp))
            return true;
        g_prefix_error(errp, "%s: ", owner);
        return false;
    }
    names = g_ptr_array_new();
    for (prop = props; prop && prop->name; prop++)
        g_ptr_array_add(names, (void *)prop->name);
    g_ptr_array_add(names, NULL);
    near = nearest_name(name, (const char *const *)names->pdata);
    return error_set_code(errp, VMM_ERROR_USAGE, "%s has no property '%s'%s%s%s", owner, name,
                          near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

void property_set_defaults(const Property *props, void *instance)
{
    for (const Property *prop = props; prop && prop->name; prop++) {
        g_autoptr(GError) err = NULL;
        if (prop->def && !property_parse(prop, instance, prop->def, &err))
            g_error("default of a property: %s", err->message);
    }
}

void property_release(const Property *props, void *instance)
{
    for (const Property *prop = props; prop && prop->name; prop++) {
        if (prop->kind == PROP_STRING) {
            g_clear_pointer((char **)field(prop, instance), g_free);
        } else if (prop->kind == PROP_CHARDEV) {
            CharBackend *be = field(prop, instance);
            if (be->chr)
                char_detach(be);
        } else if (prop->kind == PROP_DRIVE) {
            g_clear_pointer((BlockBackend **)field(prop, instance), blk_detach_device);
        }
    }
}

char *property_format(const Property *prop, const void *instance)
{
    const void *value = (const char *)instance + prop->offset;

    switch (prop->kind) {
    case PROP_BOOL:
        return g_strdup(*(const bool *)value ? "on" : "off");
    case PROP_U8:
    case PROP_U16:
    case PROP_U32:
    case PROP_U64:
    case PROP_SIZE: {
        uint64_t n = 0;
        memcpy(&n, value, kind_bytes(prop->kind));
        return g_strdup_printf("%" G_GUINT64_FORMAT, n);
    }
    case PROP_I32:
        return g_strdup_printf("%d", *(const int32_t *)value);
    case PROP_STRING:
        return g_strdup(*(char *const *)value);
    case PROP_ENUM:
        return g_strdup(prop->names[*(const int *)value]);
    case PROP_CHARDEV: {
        const Chardev *chr = ((const CharBackend *)value)->chr;
        return chr ? g_strdup(chardev_id(chr)) : NULL;
    }
    case PROP_DRIVE: {
        BlockBackend *const blk = *(BlockBackend *const *)value;
        return blk ? g_strdup(blk_name(blk)) : NULL;
    }
    }
    g_assert_not_reached();
}

void property_print_values(const Property *props, const void *instance, GString *out)
{
    for (const Property *prop = props; prop && prop->name; prop++) {
        g_autofree char *value = property_format(prop, instance);
        g_string_append_printf(out, "    %s = %s\n", prop->name, value ? value : "(none)");
    }
}

static const char *kind_name(PropertyKind kind)
{
    static const char *const names[] = {
        [PROP_BOOL] = "bool", [PROP_U8] = "uint8", [PROP_U16] = "uint16", [PROP_U32] = "uint32",
        [PROP_U64] = "uint64", [PROP_I32] = "int32", [PROP_SIZE] = "size", [PROP_STRING] = "str",
        [PROP_ENUM] = "enum", [PROP_CHARDEV] = "chardev",
        [PROP_DRIVE] = "drive",
    };

    return names[kind];
}

void property_print_help(const Property *props, GString *out)
{
    for (const Property *prop = props; prop && prop->name; prop++) {
        g_autofree char *left = g_strdup_printf("%s=<%s>", prop->name, kind_name(prop->kind));
        g_string_append_printf(out, "  %-24s %s", left, prop->help ? prop->help : "");
        if (prop->kind == PROP_ENUM) {
            g_autofree char *all = g_strjoinv("|", (char **)prop->names);
            g_string_append_printf(out, " (%s)", all);
        }
        if (prop->def)
            g_string_append_printf(out, " (default: %s)", prop->def);
        g_string_append_c(out, '\n');
    }
}
