/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a QMP peer sends: the bytes go to a session on a machine under qtest, whose answers are thrown away.
 *
 * Commands that reach outside are kept out: those that name files, make chardevs or objects, and the human
 * monitor's (its lines have a harness of their own inputs: a first byte of 0x01 takes the rest as such a
 * line, unless it names a file).
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "config/configure.h"
#include "core/lock.h"
#include "core/thread.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "src/chardev/chardev-int.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static Machine *machine;
static Monitors *monitors;
static Chardev *chr;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char *args[] = {"vmm", "-accel", "qtest", "-m", "4", "-smp", "2", "-nodefaults", "-display", "none",
                           "-chardev", "null,id=qmp", "-mon", "qmp,mode=control", NULL};
    static Options options;
    g_autoptr(GError) err = NULL;

    core_init();
    options_init(&options);
    if (options_parse(&options, (int)G_N_ELEMENTS(args) - 1, args, &err) != OPTIONS_RUN ||
        !options_resolve(&options, &err) || !(machine = machine_from_options(&options, &err)) ||
        !machine_build(machine, &err) || !(monitors = monitors_new(machine, options.monitors, &err)))
        g_error("%s", err ? err->message : "no machine");
    chr = chardev_find("qmp");
    return 0;
}

static bool names_something_outside(const uint8_t *data, size_t len)
{
    static const char *const words[] = {"save", "log", "chardev", "object", "human", "gdb", "block", "change",
                                        "romfile"};

    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        if (memmem(data, len, words[i], strlen(words[i])))
            return true;
    }
    /* Spelled with escapes. */
    return memchr(data, '\\', len) != NULL;
}

static void run_human_line(const uint8_t *data, size_t len)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *line = g_strndup((const char *)data, len);
    HmpContext ctx = {.machine = machine, .out = out};

    hmp_run(&ctx, line);
}

static void deliver(const uint8_t *data, size_t len)
{
    for (size_t n; len && (n = MIN(len, front_can_read(chr->be))) != 0; data += n, len -= n)
        front_read(chr->be, data, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char hello[] = "\xff{\"execute\": \"qmp_capabilities\"}";

    if (names_something_outside(data, len))
        return 0;
    machine_lock();
    if (len && data[0] == 1) {
        run_human_line(data + 1, len - 1);
    } else {
        deliver((const uint8_t *)hello, sizeof(hello) - 1);
        deliver(data, len);
    }
    g_main_context_iteration(NULL, FALSE);
    machine_unlock();
    return 0;
}
