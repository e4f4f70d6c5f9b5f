/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about memory.
 */
#include "core/memory-backend.h"
#include "core/object.h"
#include "hmp-internal.h"
#include "monitor-internal.h"
#include "qmp-schema.h"

static json_t *save(Monitor *mon, Vcpu *vcpu, json_t *args, GError **errp)
{
    int64_t addr = qmp_arg_int(args, "val", 0), size = qmp_arg_int(args, "size", 0);
    bool ok;

    if (size < 0)
        return qmp_fail(errp, QMP_GENERIC_ERROR, "Parameter 'size' is negative");
    vcpu_pause_all(mon->machine);
    ok = guest_memory_save(mon->machine, vcpu, (uint64_t)addr, (uint64_t)size, qmp_arg_str(args, "filename"), errp);
    vcpu_resume_all(mon->machine);
    return ok ? json_object() : NULL;
}

static json_t *memsave(Monitor *mon, json_t *args, GError **errp)
{
    int64_t cpu = qmp_arg_int(args, "cpu-index", 0);

    if (cpu < 0 || cpu >= mon->machine->smp.cpus)
        return qmp_fail(errp, QMP_GENERIC_ERROR, "there is no CPU %" G_GINT64_FORMAT, cpu);
    return save(mon, mon->machine->vcpus[cpu], args, errp);
}

static json_t *pmemsave(Monitor *mon, json_t *args, GError **errp)
{
    return save(mon, NULL, args, errp);
}

static json_t *query_memory_size_summary(Monitor *mon, json_t *args, GError **errp)
{
    return json_pack("{s:I, s:I}", "base-memory", (json_int_t)mon->machine->ram_size, "plugged-memory", (json_int_t)0);
}

static json_t *query_memdev(Monitor *mon, json_t *args, GError **errp)
{
    json_t *list = json_array();

    for (guint i = 0; i < mon->machine->objects->len; i++) {
        const Object *obj = g_ptr_array_index(mon->machine->objects, i);
        if (!is_memory_backend(obj))
            continue;
        RamOptions ram = memory_backend_ram_options(obj);
        json_array_append_new(list, json_pack("{s:s, s:I, s:b, s:b, s:b, s:b, s:[], s:s}", "id", obj->id, "size",
                                              (json_int_t)ram.size, "merge", (int)ram.merge, "dump", (int)ram.dump,
                                              "prealloc", (int)ram.prealloc, "share", (int)ram.share, "host-nodes",
                                              "policy", "default"));
        g_free((char *)ram.path);
    }
    return list;
}

static json_t *query_memory_devices(Monitor *mon, json_t *args, GError **errp)
{
    return json_array();
}

static const QmpMember memsave_args[] = {
    {"val", &qmp_int, false, "virtual address"},
    {"size", &qmp_int, false, "bytes"},
    {"filename", &qmp_str, false, NULL},
    {"cpu-index", &qmp_int, true, "whose page tables count (0)"},
    {0},
};

static const QmpMember pmemsave_args[] = {
    {"val", &qmp_int, false, "physical address"},
    {"size", &qmp_int, false, "bytes"},
    {"filename", &qmp_str, false, NULL},
    {0},
};

static const QmpMember size_members[] = {
    {"base-memory", &qmp_int, false, NULL},
    {"plugged-memory", &qmp_int, true, NULL},
    {0},
};
static const QmpType size_type = {QMP_OBJECT, "MemoryInfo", size_members};

static const QmpType int_list = {QMP_ARRAY, .element = &qmp_int};
static const char *const policy_values[] = {"default", "preferred", "bind", "interleave", NULL};
static const QmpType policy_type = {QMP_ENUM, "HostMemPolicy", .values = policy_values};

static const QmpMember memdev_members[] = {
    {"id", &qmp_str, true, NULL},
    {"size", &qmp_int, false, NULL},
    {"merge", &qmp_bool, false, NULL},
    {"dump", &qmp_bool, false, NULL},
    {"prealloc", &qmp_bool, false, NULL},
    {"share", &qmp_bool, false, NULL},
    {"host-nodes", &int_list, false, NULL},
    {"policy", &policy_type, false, NULL},
    {0},
};
static const QmpType memdev_type = {QMP_OBJECT, "Memdev", memdev_members};
static const QmpType memdev_list = {QMP_ARRAY, .element = &memdev_type};
static const QmpType any_list = {QMP_ARRAY, .element = &qmp_any};

const QmpCommand qmp_memory_commands[] = {
    {"memsave", memsave_args, NULL, memsave, "save virtual memory to a file"},
    {"pmemsave", pmemsave_args, NULL, pmemsave, "save physical memory to a file"},
    {"query-memdev", NULL, &memdev_list, query_memdev, "the -object memory backends"},
    {"query-memory-devices", NULL, &any_list, query_memory_devices, "plugged memory: there is none"},
    {"query-memory-size-summary", NULL, &size_type, query_memory_size_summary, "the guest's RAM in bytes"},
    {0},
};
