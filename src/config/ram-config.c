/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where guest RAM comes from: -m, -mem-path, -mem-prealloc, and "-object memory-backend-..." with
 * "-machine memory-backend=ID", worked out to one RamOptions (core/ram.h).
 *
 * Not modelled: several backends (NUMA nodes), memory hotplug (slots=, maxmem=).
 */
#include <string.h>

#include "core/bits.h"
#include "core/error.h"
#include "src/config/options-int.h"

#define DEFAULT_RAM_SIZE (128 * MIB)
#define MIN_RAM_SIZE MIB

/* The union of the backends' properties; each type's table shows the ones it has. */
typedef struct MemoryBackend {
    char *id;
    uint64_t size;
    char *mem_path;
    bool share, prealloc, merge, dump;
    bool hugetlb, seal;
    uint64_t hugetlb_size;
} MemoryBackend;

typedef struct BackendType {
    const char *name;
    const char *desc;
    const Property *props;
} BackendType;

#define PROP(name_, kind_, field, def_, help_)                                                                    \
    {                                                                                                            \
        .name = name_, .kind = kind_, .offset = offsetof(MemoryBackend, field), .def = def_, .help = help_       \
    }

#define COMMON_PROPS                                                                                             \
    PROP("id", PROP_STRING, id, NULL, "name to refer to it by"),                                                 \
        PROP("size", PROP_SIZE, size, NULL, "bytes, with suffix K, M, G or T"),                                  \
        PROP("prealloc", PROP_BOOL, prealloc, "off", "allocate all of it at start"),                             \
        PROP("merge", PROP_BOOL, merge, "off", "let the host merge equal pages (KSM)"),                          \
        PROP("dump", PROP_BOOL, dump, "on", "include it in core files")

static const Property ram_props[] = {
    COMMON_PROPS,
    PROP("share", PROP_BOOL, share, "off", "map it shared"),
    {.name = NULL},
};

static const Property memfd_props[] = {
    COMMON_PROPS,
    PROP("share", PROP_BOOL, share, "on", "map it shared"),
    PROP("hugetlb", PROP_BOOL, hugetlb, "off", "use huge pages of the host's pool"),
    PROP("hugetlbsize", PROP_SIZE, hugetlb_size, NULL, "size of those pages"),
    PROP("seal", PROP_BOOL, seal, "on", "forbid changing its size"),
    {.name = NULL},
};

static const Property file_props[] = {
    COMMON_PROPS,
    PROP("share", PROP_BOOL, share, "off", "write the guest's changes to the file"),
    PROP("mem-path", PROP_STRING, mem_path, NULL, "file, or directory to make one in"),
    {.name = NULL},
};

static const BackendType backend_types[] = {
    {"memory-backend-file", "RAM in a file, or on a hugetlbfs mount", file_props},
    {"memory-backend-memfd", "RAM in an anonymous file", memfd_props},
    {"memory-backend-ram", "anonymous RAM", ram_props},
};

bool opt_memory(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    return keyval_merge(options->memory, arg, "size", errp);
}

static const BackendType *backend_type_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(backend_types); i++) {
        if (strcmp(backend_types[i].name, name) == 0)
            return &backend_types[i];
    }
    return NULL;
}

static void list_object_types(Options *options)
{
    g_autoptr(GString) out = g_string_new("Objects:\n");

    for (unsigned i = 0; i < G_N_ELEMENTS(backend_types); i++)
        g_string_append_printf(out, "  %-22s %s\n", backend_types[i].name, backend_types[i].desc);
    options_print_help(options, out);
}

static bool unknown_object_type(const char *name, GError **errp)
{
    const char *names[G_N_ELEMENTS(backend_types) + 1] = {NULL};

    for (unsigned i = 0; i < G_N_ELEMENTS(backend_types); i++)
        names[i] = backend_types[i].name;
    g_autofree char *near = did_you_mean(name, names);
    return error_set_code(errp, VMM_ERROR_USAGE, "unknown object type '%s'%s", name, near);
}

bool opt_object(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    if (arg_asks_for_help(arg)) {
        list_object_types(options);
        return true;
    }
    g_autoptr(KvNode) kv = keyval_parse(arg, "qom-type", errp);
    if (!kv)
        return false;

    const char *name = keyval_get(kv, "qom-type");
    if (!name)
        return error_set_code(errp, VMM_ERROR_USAGE, "the type is missing; '-object help' lists them");
    const BackendType *type = backend_type_find(name);
    if (!type)
        return unknown_object_type(name, errp);
    if (keyval_asks_for_help(kv)) {
        const DeviceType shown = {.name = type->name, .desc = type->desc, .props = type->props};
        g_autoptr(GString) out = g_string_new(NULL);
        device_type_print_help(&shown, out);
        options_print_help(options, out);
        return true;
    }
    if (!keyval_get(kv, "id"))
        return error_set_code(errp, VMM_ERROR_USAGE, "id= is missing");
    g_ptr_array_add(options->objects, g_steal_pointer(&kv));
    return true;
}

typedef struct SetProperty {
    const BackendType *type;
    MemoryBackend *backend;
    GError **errp;
} SetProperty;

static bool set_property(const char *path, const char *value, void *opaque)
{
    SetProperty *set = opaque;
    const Property *prop = property_find(set->type->props, path);

    if (strcmp(path, "qom-type") == 0)
        return true;
    if (!prop) {
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        for (prop = set->type->props; prop->name; prop++)
            g_ptr_array_add(names, (char *)prop->name);
        g_ptr_array_add(names, NULL);
        g_autofree char *near = did_you_mean(path, (const char *const *)names->pdata);
        return error_set_code(set->errp, VMM_ERROR_USAGE, "unknown property '%s'%s", path, near);
    }
    return property_parse(prop, set->backend, value, set->errp);
}

static bool check_backend(const BackendType *type, const MemoryBackend *backend, GError **errp)
{
    if (!backend->size)
        return error_set_code(errp, VMM_ERROR_USAGE, "size= is missing or zero");
    if (type->props == file_props && !backend->mem_path)
        return error_set_code(errp, VMM_ERROR_USAGE, "mem-path= is missing");
    if (backend->hugetlb_size && !backend->hugetlb)
        return error_set_code(errp, VMM_ERROR_USAGE, "hugetlbsize= needs hugetlb=on");
    if (backend->hugetlb_size > 1 * GIB || (backend->hugetlb_size & (backend->hugetlb_size - 1)))
        return error_set_code(errp, VMM_ERROR_USAGE, "hugetlbsize= is no size of huge pages; 2M and 1G are usual");
    return true;
}

static bool use_backend(RamOptions *ram, const BackendType *type, MemoryBackend *backend)
{
    *ram = (RamOptions){
        .size = backend->size,
        .path = g_steal_pointer(&backend->mem_path),
        .hugepage_size = backend->hugetlb ? (uint32_t)(backend->hugetlb_size ? backend->hugetlb_size : 2 * MIB) : 0,
        .prealloc = backend->prealloc,
        .share = backend->share,
        .seal = type->props != memfd_props || backend->seal,
        .dump = backend->dump,
        .merge = backend->merge,
    };
    return true;
}

/* Reads -object kv into *ram. */
static bool read_backend(KvNode *kv, RamOptions *ram, GError **errp)
{
    const BackendType *type = backend_type_find(keyval_get(kv, "qom-type"));
    MemoryBackend backend = {0};
    SetProperty set = {type, &backend, errp};

    property_set_defaults(type->props, &backend);
    bool ok = keyval_foreach(kv, set_property, &set) && check_backend(type, &backend, errp) &&
              use_backend(ram, type, &backend);
    if (!ok)
        g_prefix_error(errp, "-object %s,id=%s: ", type->name, keyval_get(kv, "id"));
    property_release(type->props, &backend);
    return ok;
}

static KvNode *object_find(const Options *options, const char *id)
{
    for (guint i = 0; i < options->objects->len; i++) {
        KvNode *kv = g_ptr_array_index(options->objects, i);
        if (strcmp(keyval_get(kv, "id"), id) == 0)
            return kv;
    }
    return NULL;
}

/* *size stays as it is if -m does not name one. */
static bool read_memory_size(KvNode *memory, uint64_t *size, GError **errp)
{
    static const char *const keys[] = {"size", NULL};
    const char *value = keyval_get(memory, "size");

    if (value && !parse_size(value, MIB, size))
        return error_set_code(errp, VMM_ERROR_USAGE, "-m: '%s' is not a size; give MiB, or use a suffix (512, 512M, 4G)",
                              value);
    if (value && (*size < MIN_RAM_SIZE || *size > INT64_MAX - GIB))
        return error_set_code(errp, VMM_ERROR_USAGE, "-m: '%s' is out of range; the smallest guest has 1 MiB", value);
    return keyval_check_unused(memory, "-m", keys, errp);
}

static bool resolve_backend(Options *options, const char *id, uint64_t size, GError **errp)
{
    KvNode *kv = object_find(options, id);

    if (options->mem_path || options->mem_prealloc)
        return error_set_code(errp, VMM_ERROR_USAGE,
                              "-mem-path and -mem-prealloc do not go with -machine memory-backend=; set mem-path= and "
                              "prealloc= of the object");
    if (!kv)
        return error_set_code(errp, VMM_ERROR_USAGE, "-machine memory-backend=%s: there is no -object of this id", id);
    if (!read_backend(kv, &options->ram, errp))
        return false;
    if (size && size != options->ram.size)
        return error_set_code(errp, VMM_ERROR_USAGE,
                              "-m: %" G_GUINT64_FORMAT " bytes, but memory backend '%s' has %" G_GUINT64_FORMAT
                              "; make them equal or leave -m out",
                              size, id, options->ram.size);
    return true;
}

bool ram_resolve(Options *options, GError **errp)
{
    const char *id = machine_property(options, "memory-backend");
    const char *dump = machine_property(options, "dump-guest-core");
    bool in_dumps = true;
    uint64_t size = 0;

    if (dump && !parse_bool(dump, &in_dumps))
        return error_set_code(errp, VMM_ERROR_USAGE, "-machine dump-guest-core=%s is neither on nor off", dump);

    for (guint i = 0; i < options->objects->len; i++) {
        const char *object_id = keyval_get(g_ptr_array_index(options->objects, i), "id");
        if (object_find(options, object_id) != g_ptr_array_index(options->objects, i))
            return error_set_code(errp, VMM_ERROR_USAGE, "-object: the id '%s' is used twice", object_id);
        if (!id || strcmp(object_id, id) != 0)
            return error_set_code(errp, VMM_ERROR_USAGE,
                                  "-object: nothing uses '%s'; add -machine memory-backend=%s", object_id, object_id);
    }
    if (!read_memory_size(options->memory, &size, errp))
        return false;
    if (id) {
        bool ok = resolve_backend(options, id, size, errp);
        options->ram.dump = options->ram.dump && in_dumps;
        return ok;
    }
    options->ram = (RamOptions){
        .size = size ? size : DEFAULT_RAM_SIZE,
        .path = g_strdup(options->mem_path),
        .prealloc = options->mem_prealloc,
        .seal = true,
        .dump = in_dumps,
    };
    return true;
}
