/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where guest RAM comes from: -m, -mem-path, -mem-prealloc, and "-object memory-backend-..."
 * (core/memory-backend.h) with "-machine memory-backend=ID", worked out to one RamOptions (core/ram.h).
 *
 * Not modelled: several backends (NUMA nodes), memory hotplug (slots=, maxmem=).
 */
#include <string.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/memory-backend.h"
#include "src/config/options-int.h"

#define DEFAULT_RAM_SIZE (128 * MIB)
#define MIN_RAM_SIZE MIB

bool opt_memory(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    return keyval_merge(options->memory, arg, "size", errp);
}

/* The last one of this id; NULL if there is none. */
static const Object *find_object(const Options *options, const char *id)
{
    for (guint i = options->objects->len; i-- > 0;) {
        const Object *obj = g_ptr_array_index(options->objects, i);
        if (strcmp(obj->id, id) == 0)
            return obj;
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
    const Object *obj = find_object(options, id);

    if (options->mem_path || options->mem_prealloc)
        return error_set_code(errp, VMM_ERROR_USAGE,
                              "-mem-path and -mem-prealloc do not go with -machine memory-backend=; set mem-path= and "
                              "prealloc= of the object");
    if (!obj)
        return error_set_code(errp, VMM_ERROR_USAGE, "-machine memory-backend=%s: there is no -object of this id", id);
    if (!is_memory_backend(obj))
        return error_set_code(errp, VMM_ERROR_USAGE, "-machine memory-backend=%s: '%s' is a %s", id, id, obj->type->name);
    options->ram = memory_backend_ram_options(obj);
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
        const Object *obj = g_ptr_array_index(options->objects, i);
        if (is_memory_backend(obj) && g_strcmp0(obj->id, id) != 0)
            return error_set_code(errp, VMM_ERROR_USAGE,
                                  "-object: nothing uses '%s'; add -machine memory-backend=%s", obj->id, obj->id);
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
