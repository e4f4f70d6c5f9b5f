/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logs and warnings. The mask and the destination belong to the process, like stderr itself: they
 * are set while options are parsed, before any other thread exists, and read without a lock after.
 */
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"
#include "core/loop.h"

#define LOG_BURST 20               /* lines a call site may write at once */
#define LOG_REFILL_NS NS_PER_SEC   /* and then so often again, one line */

typedef struct LogName {
    const char *name;
    LogMask mask;
    const char *help;
} LogName;

static const LogName log_names[] = {
    { "guest_errors", LOG_GUEST_ERROR, "what the guest does against a device's rules" },
    { "unimp", LOG_UNIMP, "what the guest uses and is not modelled" },
    { "int", LOG_INT, "exceptions and interrupts" },
    { "cpu_reset", LOG_CPU_RESET, "registers at a CPU reset" },
    { "in_asm", LOG_IN_ASM, "guest instructions as they are decoded" },
    { "out_asm", LOG_OUT_ASM, "host code as it is generated" },
    { "exec", LOG_EXEC, "each block entered" },
    { "mmu", LOG_MMU, "page walks and TLB flushes" },
};

static LogMask log_mask;
static struct {
    bool timestamp;
    char *guest_name;
    const char *program;
} message_prefix = {.program = "vmm"};
static int log_fd = STDERR_FILENO;

bool log_set_mask(const char *names, GError **errp)
{
    LogMask mask = 0;
    g_auto(GStrv) list = g_strsplit(*names ? names : ",", ",", -1);

    for (char **name = list; *name; name++) {
        unsigned i;
        for (i = 0; i < G_N_ELEMENTS(log_names); i++) {
            if (!strcmp(*name, log_names[i].name))
                break;
        }
        if (i == G_N_ELEMENTS(log_names))
            return error_set_code(errp, VMM_ERROR_USAGE, "unknown log item '%s'; see -d help", *name);
        mask |= log_names[i].mask;
    }
    log_mask = mask;
    return true;
}

void log_print_help(GString *out)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(log_names); i++)
        g_string_append_printf(out, "%-14s %s\n", log_names[i].name, log_names[i].help);
}

bool log_set_file(const char *path, GError **errp)
{
    int fd = host_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644, "log file", errp);

    if (fd < 0)
        return false;
    if (log_fd != STDERR_FILENO)
        close(log_fd);
    log_fd = fd;
    return true;
}

int log_file_fd(void)
{
    return log_fd == STDERR_FILENO ? -1 : log_fd;
}

bool log_enabled(LogMask mask)
{
    return (log_mask & mask) != 0;
}

/* A log that cannot be written is not worth more than losing the line. */
static void write_line(int fd, const char *prefix, const char *suffix, const char *fmt, va_list ap)
{
    g_autoptr(GString) line = g_string_new(prefix);

    g_string_append_vprintf(line, fmt, ap);
    g_string_append(line, suffix);
    (void)host_write_full(fd, line->str, line->len);
}

void log_printf(LogMask mask, const char *fmt, ...)
{
    va_list ap;

    if (!log_enabled(mask))
        return;
    va_start(ap, fmt);
    write_line(log_fd, "", "", fmt, ap);
    va_end(ap);
}

void log_set_prefix(bool timestamp, const char *guest_name)
{
    message_prefix.timestamp = timestamp;
    g_free(message_prefix.guest_name);
    message_prefix.guest_name = g_strdup(guest_name);
}

/* A message quotes arguments and names of files: what is in them stays on its line, and does not
 * speak to the terminal. */
static void append_printable(GString *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\n')
            g_string_append(out, "\\n");
        else if ((unsigned char)*p < ' ' || *p == 0x7f)
            g_string_append_printf(out, "\\x%02x", (unsigned char)*p);
        else
            g_string_append_c(out, *p);
    }
}

/* For the user: "[TIME ][GUEST ]vmm: " begins what stands on stderr. */
static GString *message_new(void)
{
    GString *line = g_string_new(NULL);

    if (message_prefix.timestamp) {
        g_autoptr(GDateTime) now = g_date_time_new_now_utc();
        g_autofree char *seconds = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S");
        g_string_append_printf(line, "%s.%06dZ ", seconds, g_date_time_get_microsecond(now));
    }
    if (message_prefix.guest_name)
        g_string_append_printf(line, "%s ", message_prefix.guest_name);
    g_string_append_printf(line, "%s: ", message_prefix.program);
    return line;
}

static void write_message(const char *kind, const char *fmt, va_list ap)
{
    g_autoptr(GString) line = message_new();
    g_autofree char *text = g_strdup_vprintf(fmt, ap);

    g_string_append(line, kind);
    append_printable(line, text);
    g_string_append_c(line, '\n');
    (void)host_write_full(STDERR_FILENO, line->str, line->len);
}

void log_report(const char *text)
{
    g_autoptr(GString) lines = message_new();

    g_string_append_printf(lines, "%s\n", text);
    (void)host_write_full(STDERR_FILENO, lines->str, lines->len);
}

void log_set_program(const char *program)
{
    message_prefix.program = program;
}

void log_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    write_message("", fmt, ap);
    va_end(ap);
}

void log_warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    write_message("warning: ", fmt, ap);
    va_end(ap);
}

void log_info(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    write_message("", fmt, ap);
    va_end(ap);
}

/* Two threads at one call site may both pass on the last token: a line more, never an unbounded log. */
bool log_limit_pass(LogLimit *limit)
{
    int64_t now = clock_get_ns(VMCLOCK_MONO);
    int64_t last = __atomic_load_n(&limit->refill_ns, __ATOMIC_RELAXED);
    uint32_t tokens = __atomic_load_n(&limit->tokens, __ATOMIC_RELAXED);

    if (!last) {
        last = now;
        tokens = LOG_BURST;
    }
    int64_t earned = (now - last) / LOG_REFILL_NS;
    if (earned > 0) {
        tokens = (uint32_t)MIN((int64_t)LOG_BURST, tokens + earned);
        last = now;
    }
    __atomic_store_n(&limit->refill_ns, last, __ATOMIC_RELAXED);
    __atomic_store_n(&limit->tokens, tokens ? tokens - 1 : 0, __ATOMIC_RELAXED);
    if (!tokens) {
        __atomic_fetch_add(&limit->suppressed, 1, __ATOMIC_RELAXED);
        return false;
    }
    uint32_t missed = __atomic_exchange_n(&limit->suppressed, 0, __ATOMIC_RELAXED);
    if (missed)
        log_printf(LOG_GUEST_ERROR, "(%u like the next were not logged)\n", missed);
    return true;
}

void guest_error_print(const char *who, const char *fmt, ...)
{
    va_list ap;
    g_autofree char *prefix = g_strdup_printf("%s: guest error: ", who);

    va_start(ap, fmt);
    write_line(log_fd, prefix, "\n", fmt, ap);
    va_end(ap);
}
