/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -smp: how many CPUs, and their sockets, dies, cores and threads.
 *
 * The rules for what is left out are QEMU's (since 6.2): missing levels are 1, except that cores,
 * or sockets if cores are given, make up the number of CPUs. A guest may start with fewer CPUs than
 * the topology has room for (maxcpus).
 */
#include "core/error.h"
#include "src/config/options-int.h"

static const char *const smp_keys[] = {"cpus", "maxcpus", "sockets", "dies", "cores", "threads", NULL};

bool opt_smp(Options *options, const OptionSpec *spec, const char *arg, GError **errp)
{
    return keyval_merge(options->smp, arg, "cpus", errp);
}

/* Sets *out if the key is there; 0 means it is not. */
static bool get_count(KvNode *smp, const char *key, unsigned *out, GError **errp)
{
    const char *value = keyval_get(smp, key);
    uint64_t n;

    *out = 0;
    if (!value)
        return true;
    if (!parse_u64(value, &n))
        return error_set_code(errp, VMM_ERROR_USAGE, "-smp: %s=%s is not a number", key, value);
    if (n < 1 || n > MAX_VCPUS)
        return error_set_code(errp, VMM_ERROR_USAGE, "-smp: %s=%s is out of range; 1 to %d are possible", key, value,
                              MAX_VCPUS);
    *out = (unsigned)n;
    return true;
}

static void fill_in(SmpTopology *t, unsigned maxcpus)
{
    t->dies = MAX(t->dies, 1);
    if (!maxcpus || (t->cores && t->sockets)) {
        t->sockets = MAX(t->sockets, 1);
        t->cores = MAX(t->cores, 1);
        if (!t->threads)
            t->threads = maxcpus ? maxcpus / (t->sockets * t->dies * t->cores) : 1;
        return;
    }
    t->threads = MAX(t->threads, 1);
    if (!t->cores) {
        t->sockets = MAX(t->sockets, 1);
        t->cores = maxcpus / (t->sockets * t->dies * t->threads);
    } else {
        t->sockets = maxcpus / (t->dies * t->cores * t->threads);
    }
}

bool smp_resolve(KvNode *smp, SmpTopology *out, GError **errp)
{
    SmpTopology t;
    unsigned maxcpus;

    if (!get_count(smp, "cpus", &t.cpus, errp) || !get_count(smp, "maxcpus", &maxcpus, errp) ||
        !get_count(smp, "sockets", &t.sockets, errp) || !get_count(smp, "dies", &t.dies, errp) ||
        !get_count(smp, "cores", &t.cores, errp) || !get_count(smp, "threads", &t.threads, errp) ||
        !keyval_check_unused(smp, "-smp", smp_keys, errp))
        return false;

    if (!maxcpus)
        maxcpus = t.cpus;
    fill_in(&t, maxcpus);
    /* At most MAX_VCPUS each, so four of them need 64 bits. */
    uint64_t product = (uint64_t)t.sockets * t.dies * t.cores * t.threads;
    if (!maxcpus && product > MAX_VCPUS)
        return error_set_code(errp, VMM_ERROR_USAGE, "-smp: %" G_GUINT64_FORMAT " CPUs are too many; %d are possible",
                              product, MAX_VCPUS);
    if (!maxcpus)
        maxcpus = (unsigned)product;
    if (!t.cpus)
        t.cpus = maxcpus;
    if (product != maxcpus)
        return error_set_code(errp, VMM_ERROR_USAGE,
                              "-smp: %u sockets * %u dies * %u cores * %u threads are not %u CPUs; make the product "
                              "of the levels the number of CPUs",
                              t.sockets, t.dies, t.cores, t.threads, maxcpus);
    if (t.cpus > maxcpus)
        return error_set_code(errp, VMM_ERROR_USAGE, "-smp: cpus=%u is more than maxcpus=%u", t.cpus, maxcpus);
    *out = t;
    return true;
}
