/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the gdb stub: the input is what a peer sends, on a pc without CPUs that run. A byte 0xff ends
 * a packet whose checksum is made right, so that inputs need not guess it.
 *
 * The machine is stopped again after each input and keeps what was written to its memory and
 * registers, as it would under a real debugger.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "config/configure.h"
#include "config/options.h"
#include "core/lock.h"
#include "core/machine.h"
#include "core/thread.h"
#include "src/debug/gdb-internal.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static Machine *machine;
static Gdb *gdb;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char *args[] = {"vmm", "-accel", "qtest", "-m", "4", "-smp", "2", "-nodefaults", "-display", "none", NULL};
    static Options options;
    g_autofree char *address = g_strdup_printf("unix:/tmp/vmm-fuzz-gdb-%d", getpid());
    g_autoptr(GError) err = NULL;

    core_init();
    options_init(&options);
    if (options_parse(&options, (int)G_N_ELEMENTS(args) - 1, args, &err) != OPTIONS_RUN ||
        !options_resolve(&options, &err) || !(machine = machine_from_options(&options, &err)) ||
        !machine_build(machine, &err) || !(gdb = gdbstub_new(machine, address, &err)))
        g_error("%s", err ? err->message : "no machine");
    return 0;
}

static void feed(GdbParser *parser, uint8_t byte)
{
    switch (gdb_parser_feed(parser, byte)) {
    case GDB_EVENT_PACKET:
        gdb_handle_packet(gdb, parser->payload, parser->length);
        break;
    case GDB_EVENT_INTERRUPT:
        gdb_interrupt(gdb);
        break;
    default:
        break;
    }
}

static void feed_packet_end(GdbParser *parser)
{
    char end[4];

    snprintf(end, sizeof(end), "#%02x", parser->sum);
    for (unsigned i = 0; i < 3; i++)
        feed(parser, (uint8_t)end[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static GdbParser parser;

    parser.state = GDB_PARSER_IDLE;
    machine_lock();
    gdb_session_begin(gdb);
    for (size_t i = 0; i < len; i++) {
        if (data[i] == 0xff && parser.state == GDB_PARSER_PAYLOAD)
            feed_packet_end(&parser);
        else
            feed(&parser, data[i]);
        g_main_context_iteration(NULL, FALSE);
    }
    gdb_stop_quietly(gdb);
    gdb_session_end(gdb);
    machine_unlock();
    return 0;
}
