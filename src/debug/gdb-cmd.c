/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The packets of gdb's remote protocol the stub knows (GDB manual, E.2 to E.4), each a row of the
 * table at the end, and those that need no file of their own.
 *
 * Locking: the main loop, machine_lock held.
 */
#include <string.h>

#include "gdb-internal.h"

enum {
    LOOKS_AT_GUEST = 1 << 0, /* the VM is stopped first */
};

typedef struct GdbCommand {
    const char *name; /* what the packet begins with; a letter, or a word that ends there */
    void (*handle)(Gdb *gdb, GdbArgs *args);
    unsigned flags;
} GdbCommand;

/* --- answers --- */

void gdb_reply_ok(Gdb *gdb)
{
    g_string_assign(gdb->reply, "OK");
}

void gdb_reply_error(Gdb *gdb, unsigned code)
{
    g_string_printf(gdb->reply, "E%02x", code);
}

void gdb_reply_failure(Gdb *gdb, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    g_string_assign(gdb->reply, "E.");
    g_string_append_vprintf(gdb->reply, fmt, args);
    va_end(args);
}

/* --- thread-ids (E.1 "thread-id syntax") --- */

bool gdb_take_thread(Gdb *gdb, GdbArgs *args, int *index)
{
    int64_t process = GDB_PROCESS, thread = -1;

    if (gdb_take_char(args, 'p')) {
        if (!gdb_take_id(args, &process))
            return false;
        if (gdb_take_char(args, '.') && !gdb_take_id(args, &thread))
            return false;
    } else if (!gdb_take_id(args, &thread)) {
        return false;
    }
    if (process > GDB_PROCESS || thread > (int64_t)gdb->machine->smp.cpus)
        return false;
    *index = thread <= 0 ? -1 : (int)thread - 1;
    return true;
}

void gdb_append_thread(const Gdb *gdb, GString *out, unsigned index)
{
    if (gdb->multiprocess)
        g_string_append_printf(out, "p%x.", GDB_PROCESS);
    g_string_append_printf(out, "%x", index + 1);
}

/* H op thread-id */
static void set_thread(Gdb *gdb, GdbArgs *args)
{
    bool general = gdb_take_char(args, 'g');
    int index;

    if ((!general && !gdb_take_char(args, 'c')) || !gdb_take_thread(gdb, args, &index)) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    if (!general)
        gdb->resume_thread = index;
    else if (index >= 0)
        gdb->general_thread = (unsigned)index;
    gdb_reply_ok(gdb);
}

/* T thread-id */
static void is_thread_alive(Gdb *gdb, GdbArgs *args)
{
    int index;

    if (gdb_take_thread(gdb, args, &index) && index >= 0)
        gdb_reply_ok(gdb);
    else
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
}

/* --- the process: attach, kill, restart --- */

static void extended_mode(Gdb *gdb, GdbArgs *args)
{
    gdb_reply_ok(gdb);
}

static void start_no_ack_mode(Gdb *gdb, GdbArgs *args)
{
    gdb_reply_ok(gdb);
    gdb->no_ack = true; /* from the answer's own acknowledgement on: E.11 */
}

/* True if args name our process or none. */
static bool take_process(Gdb *gdb, GdbArgs *args, const char *what)
{
    int64_t process = GDB_PROCESS;

    if (gdb_take_char(args, ';') && !gdb_take_id(args, &process)) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return false;
    }
    if (process == GDB_PROCESS)
        return true;
    gdb_reply_failure(gdb, "cannot %s process %d: there is one process, the VM, and its number is %d", what,
                      (int)process, GDB_PROCESS);
    return false;
}

static void attach(Gdb *gdb, GdbArgs *args)
{
    if (!take_process(gdb, args, "attach to"))
        return;
    gdb_stop_quietly(gdb);
    gdb_report_status(gdb, args);
}

static void refuse_run(Gdb *gdb, GdbArgs *args)
{
    gdb_reply_failure(gdb, "the VM is the only program here; 'monitor system_reset' starts it again");
}

static void kill_vm(Gdb *gdb)
{
    machine_request_shutdown(gdb->machine, SHUTDOWN_CAUSE_HOST_QUIT, 0);
}

static void kill_process(Gdb *gdb, GdbArgs *args)
{
    if (!take_process(gdb, args, "kill"))
        return;
    gdb_reply_ok(gdb);
    kill_vm(gdb);
}

/* k: gdb does not wait for an answer. */
static void kill_without_answer(Gdb *gdb, GdbArgs *args)
{
    gdb->reply_later = true;
    kill_vm(gdb);
}

static void detach(Gdb *gdb, GdbArgs *args)
{
    if (take_process(gdb, args, "detach from"))
        gdb_detach(gdb, args);
}

/* R XX: no answer either; gdb asks for the status. */
static void restart(Gdb *gdb, GdbArgs *args)
{
    gdb->reply_later = true;
    machine_request_reset(gdb->machine, SHUTDOWN_CAUSE_HOST_RESET);
    machine_serve_requests(gdb->machine);
}

/* --- dispatch --- */

static bool begins_with(const GdbCommand *command, GdbArgs args)
{
    size_t length = strlen(command->name);

    if (!gdb_take_word(&args, command->name))
        return false;
    return length == 1 || args.next == args.end || !g_ascii_isalnum(*args.next);
}

/* In the order they are looked for. */
static const GdbCommand commands[] = {
    {"?", gdb_report_status, LOOKS_AT_GUEST},
    {"!", extended_mode, 0},
    {"qSupported", gdb_query_supported, 0},
    {"QStartNoAckMode", start_no_ack_mode, 0},
    {"qAttached", gdb_query_attached, 0},
    {"qC", gdb_query_current_thread, 0},
    {"qfThreadInfo", gdb_query_first_threads, 0},
    {"qsThreadInfo", gdb_query_more_threads, 0},
    {"qThreadExtraInfo", gdb_query_thread_info, LOOKS_AT_GUEST},
    {"qXfer:features:read", gdb_query_features, 0},
    {"qRcmd", gdb_query_monitor, LOOKS_AT_GUEST},
    {"qqemu.sstepbits", gdb_query_step_bits, 0},
    {"qqemu.sstep", gdb_query_step, 0},
    {"Qqemu.sstep", gdb_set_step, 0},
    {"qqemu.PhyMemMode", gdb_query_physical, 0},
    {"Qqemu.PhyMemMode", gdb_set_physical, 0},
    {"H", set_thread, 0},
    {"T", is_thread_alive, 0},
    {"g", gdb_read_registers, LOOKS_AT_GUEST},
    {"G", gdb_write_registers, LOOKS_AT_GUEST},
    {"p", gdb_read_register, LOOKS_AT_GUEST},
    {"P", gdb_write_register, LOOKS_AT_GUEST},
    {"m", gdb_read_memory, LOOKS_AT_GUEST},
    {"M", gdb_write_memory, LOOKS_AT_GUEST},
    {"X", gdb_write_memory_binary, LOOKS_AT_GUEST},
    {"Z", gdb_insert_point, LOOKS_AT_GUEST},
    {"z", gdb_remove_point, LOOKS_AT_GUEST},
    {"vCont?", gdb_vcont_query, 0},
    {"vCont", gdb_vcont, LOOKS_AT_GUEST},
    {"c", gdb_continue, LOOKS_AT_GUEST},
    {"C", gdb_continue_signal, LOOKS_AT_GUEST},
    {"s", gdb_step, LOOKS_AT_GUEST},
    {"S", gdb_step_signal, LOOKS_AT_GUEST},
    {"D", detach, LOOKS_AT_GUEST},
    {"vAttach", attach, 0},
    {"vRun", refuse_run, 0},
    {"vKill", kill_process, 0},
    {"k", kill_without_answer, 0},
    {"R", restart, LOOKS_AT_GUEST},
};

void gdb_handle_packet(Gdb *gdb, const char *payload, size_t length)
{
    const GdbArgs all = {payload, payload + length};

    g_string_truncate(gdb->reply, 0);
    gdb->reply_later = false;
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        GdbArgs args = all;
        if (!begins_with(&commands[i], all))
            continue;
        args.next += strlen(commands[i].name);
        if (commands[i].flags & LOOKS_AT_GUEST)
            gdb_stop_quietly(gdb);
        commands[i].handle(gdb, &args);
        break;
    }
    if (!gdb->reply_later)
        gdb_send(gdb, gdb->reply->str, gdb->reply->len);
}
