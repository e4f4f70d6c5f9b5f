/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU affinity (core/thread-context.h). The CPUs of NUMA nodes are sysfs's.
 */
#include "core/thread-context.h"

#include <errno.h>
#include <string.h>

#include "config/keyval.h"
#include "core/error.h"
#include "core/host.h"

#define NODE_LIST_MAX 4096 /* bytes of a node's cpulist */

typedef struct ThreadContext {
    Object obj;
    char *cpu_affinity, *node_affinity;
    cpu_set_t cpus; /* once open */
} ThreadContext;

/* "N" or "N-M" */
static bool parse_range(const char *text, cpu_set_t *cpus)
{
    g_auto(GStrv) ends = g_strsplit(text, "-", 2);
    uint64_t first, last;

    if (!ends[0] || !parse_u64(ends[0], &first) || (ends[1] && !parse_u64(ends[1], &last)))
        return false;
    if (!ends[1])
        last = first;
    if (last < first || last >= CPU_SETSIZE)
        return false;
    for (uint64_t cpu = first; cpu <= last; cpu++)
        CPU_SET(cpu, cpus);
    return true;
}

bool cpu_list_parse(const char *list, cpu_set_t *cpus, GError **errp)
{
    g_auto(GStrv) ranges = g_strsplit_set(list, ":,", -1);

    CPU_ZERO(cpus);
    for (char **range = ranges; *range; range++) {
        if (!parse_range(*range, cpus))
            return error_set_code(errp, VMM_ERROR_USAGE,
                                  "'%s' is not a list of CPUs; it has the form 0-3:6, with numbers below %d", list, CPU_SETSIZE);
    }
    return *list || error_set_code(errp, VMM_ERROR_USAGE, "the list of CPUs is empty");
}

bool thread_set_cpus(pthread_t thread, const cpu_set_t *cpus, const char *what, GError **errp)
{
    int err = pthread_setaffinity_np(thread, sizeof(*cpus), cpus);

    if (err == EINVAL)
        return error_set(errp, "%s: none of these CPUs is there for this process; see 'taskset -p $$' for those that are", what);
    return !err || error_set_errno(errp, err, "%s: cannot set the CPU affinity", what);
}

/* --- the object --- */

static bool check(const Object *obj, GError **errp)
{
    const ThreadContext *context = (const ThreadContext *)obj;
    const char *list = context->cpu_affinity ? context->cpu_affinity : context->node_affinity;
    cpu_set_t ignored;

    if (!context->cpu_affinity == !context->node_affinity)
        return error_set_code(errp, VMM_ERROR_USAGE, "it takes one of cpu-affinity= and node-affinity=");
    if (cpu_list_parse(list, &ignored, errp))
        return true;
    g_prefix_error(errp, "%s-affinity: ", context->cpu_affinity ? "cpu" : "node");
    return false;
}

static bool add_node(unsigned node, cpu_set_t *cpus, GError **errp)
{
    g_autofree char *path = g_strdup_printf("/sys/devices/system/node/node%u/cpulist", node);
    g_autofree guint8 *text = NULL;
    cpu_set_t of_node;
    size_t len;

    if (!host_load_file(path, NODE_LIST_MAX, "list of a NUMA node's CPUs", &text, &len, errp))
        return false;
    g_strchomp((char *)text);
    if (!*text) /* a node of memory only */
        return true;
    if (!cpu_list_parse((const char *)text, &of_node, errp))
        return false;
    CPU_OR(cpus, cpus, &of_node);
    return true;
}

static bool cpus_of_nodes(const cpu_set_t *nodes, cpu_set_t *cpus, GError **errp)
{
    CPU_ZERO(cpus);
    for (unsigned node = 0; node < CPU_SETSIZE; node++) {
        if (CPU_ISSET(node, nodes) && !add_node(node, cpus, errp))
            return false;
    }
    return true;
}

static bool open_context(Object *obj, GError **errp)
{
    ThreadContext *context = (ThreadContext *)obj;
    cpu_set_t nodes;

    if (context->cpu_affinity)
        return cpu_list_parse(context->cpu_affinity, &context->cpus, errp);
    return cpu_list_parse(context->node_affinity, &nodes, errp) && cpus_of_nodes(&nodes, &context->cpus, errp);
}

const cpu_set_t *thread_context_cpus(const Machine *machine, const char *id, GError **errp)
{
    const ThreadContext *context = (const ThreadContext *)object_require(machine, &thread_context_type, id, errp);

    return context ? &context->cpus : NULL;
}

static const Property props[] = {
    {.name = "cpu-affinity", .kind = PROP_STRING, .offset = offsetof(ThreadContext, cpu_affinity),
     .help = "CPUs of the host: 0-3:6"},
    {.name = "node-affinity", .kind = PROP_STRING, .offset = offsetof(ThreadContext, node_affinity),
     .help = "NUMA nodes whose CPUs these are: 0-1"},
    {.name = NULL},
};

const ObjectType thread_context_type = {
    .name = "thread-context",
    .desc = "CPUs of the host for threads to run on",
    .instance_size = sizeof(ThreadContext),
    .props = props,
    .check = check,
    .open = open_context,
};
