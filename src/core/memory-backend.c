/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory backends (core/memory-backend.h): one structure with the union of their properties; each
 * type's table shows the ones it has.
 */
#include "core/memory-backend.h"

#include "core/bits.h"
#include "core/error.h"
#include "core/thread-context.h"

typedef struct MemoryBackend {
    Object obj;
    uint64_t size;
    char *mem_path;
    bool share, prealloc, merge, dump;
    bool hugetlb, seal;
    uint64_t hugetlb_size;
    uint32_t prealloc_threads;
    char *prealloc_context;
    char *host_nodes;
    int policy;
} MemoryBackend;

bool is_memory_backend(const Object *obj)
{
    return obj->type == &memory_backend_ram_type || obj->type == &memory_backend_memfd_type ||
           obj->type == &memory_backend_file_type;
}

/* Nodes are written like CPUs: 0-1:3. */
static bool check_nodes(const MemoryBackend *backend, GError **errp)
{
    cpu_set_t nodes;

    if (backend->policy == NUMA_POLICY_DEFAULT && backend->host_nodes)
        return error_set_code(errp, VMM_ERROR_USAGE, "host-nodes= needs a policy=: preferred, bind or interleave");
    if (backend->policy != NUMA_POLICY_DEFAULT && !backend->host_nodes)
        return error_set_code(errp, VMM_ERROR_USAGE, "policy= needs host-nodes=");
    if (!backend->host_nodes || cpu_list_parse(backend->host_nodes, &nodes, errp))
        return true;
    g_prefix_error(errp, "host-nodes: ");
    return false;
}

static bool check(const Object *obj, GError **errp)
{
    const MemoryBackend *backend = (const MemoryBackend *)obj;

    if (!backend->size)
        return error_set_code(errp, VMM_ERROR_USAGE, "size= is missing or zero");
    if (obj->type == &memory_backend_file_type && !backend->mem_path)
        return error_set_code(errp, VMM_ERROR_USAGE, "mem-path= is missing");
    if (backend->hugetlb_size && !backend->hugetlb)
        return error_set_code(errp, VMM_ERROR_USAGE, "hugetlbsize= needs hugetlb=on");
    if (backend->hugetlb_size > 1 * GIB || (backend->hugetlb_size & (backend->hugetlb_size - 1)))
        return error_set_code(errp, VMM_ERROR_USAGE, "hugetlbsize= is no size of huge pages; 2M and 1G are usual");
    return check_nodes(backend, errp);
}

static uint32_t hugepage_size(const MemoryBackend *backend)
{
    if (!backend->hugetlb)
        return 0;
    return backend->hugetlb_size ? (uint32_t)backend->hugetlb_size : 2 * MIB;
}

RamOptions memory_backend_ram_options(const Object *obj)
{
    const MemoryBackend *backend = (const MemoryBackend *)obj;
    cpu_set_t nodes;

    CPU_ZERO(&nodes);
    if (backend->host_nodes)
        (void)cpu_list_parse(backend->host_nodes, &nodes, NULL); /* checked before */
    return (RamOptions){
        .size = backend->size,
        .path = g_strdup(backend->mem_path),
        .hugepage_size = hugepage_size(backend),
        .prealloc = backend->prealloc,
        .share = backend->share,
        .seal = obj->type != &memory_backend_memfd_type || backend->seal,
        .dump = backend->dump,
        .merge = backend->merge,
        .policy = (NumaPolicy)backend->policy,
        .host_nodes = nodes,
        .prealloc_threads = backend->prealloc_threads,
        .prealloc_context = backend->prealloc_context,
    };
}

static const char *const policy_names[] = {"default", "preferred", "bind", "interleave", NULL};

#define PROP(name_, kind_, field, def_, help_)                                                                    \
    {                                                                                                            \
        .name = name_, .kind = kind_, .offset = offsetof(MemoryBackend, field), .def = def_, .help = help_       \
    }

#define COMMON_PROPS                                                                                             \
    PROP("size", PROP_SIZE, size, NULL, "bytes, with suffix K, M, G or T"),                                      \
        PROP("prealloc", PROP_BOOL, prealloc, "off", "allocate all of it at start"),                             \
        PROP("prealloc-context", PROP_STRING, prealloc_context, NULL, "thread-context in which that is done"),   \
        {.name = "prealloc-threads", .kind = PROP_U32, .offset = offsetof(MemoryBackend, prealloc_threads),      \
         .help = "by so many threads", .min = 1, .max = 16},                                                     \
        PROP("host-nodes", PROP_STRING, host_nodes, NULL, "NUMA nodes of the host it comes from: 0-1:3"),        \
        {.name = "policy", .kind = PROP_ENUM, .offset = offsetof(MemoryBackend, policy), .def = "default",       \
         .names = policy_names, .help = "how those are used"},                                                   \
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

const ObjectType memory_backend_ram_type = {
    .name = "memory-backend-ram",
    .desc = "anonymous RAM",
    .instance_size = sizeof(MemoryBackend),
    .props = ram_props,
    .check = check,
};

const ObjectType memory_backend_memfd_type = {
    .name = "memory-backend-memfd",
    .desc = "RAM in an anonymous file",
    .instance_size = sizeof(MemoryBackend),
    .props = memfd_props,
    .check = check,
};

const ObjectType memory_backend_file_type = {
    .name = "memory-backend-file",
    .desc = "RAM in a file, or on a hugetlbfs mount",
    .instance_size = sizeof(MemoryBackend),
    .props = file_props,
    .check = check,
};
