/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program says while it runs: warnings on stderr, -d logs to stderr or -D FILE.
 *
 * Locking: any thread; one line is written with one write(2).
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum LogMask {
    LOG_GUEST_ERROR = 1 << 0, /* the guest broke a device's rules */
    LOG_UNIMP = 1 << 1,       /* the guest used what is not modelled */
    LOG_INT = 1 << 2,         /* exceptions and interrupts of a vCPU */
    LOG_CPU_RESET = 1 << 3,   /* registers at a vCPU reset or triple fault */
    LOG_IN_ASM = 1 << 4,      /* guest instructions as they are decoded */
    LOG_EXEC = 1 << 5,        /* each block entered */
    LOG_MMU = 1 << 6,
    LOG_OUT_ASM = 1 << 7,
} LogMask;

/* Names as in "-d int,guest_errors"; comma separated. */
bool log_set_mask(const char *names, GError **errp);
/* "-d help". */
void log_print_help(GString *out);
/* "-D FILE": opened for writing, truncated. */
bool log_set_file(const char *path, GError **errp);
/* Its descriptor; -1 if logs go to stderr. */
int log_file_fd(void);
bool log_enabled(LogMask mask);
void log_printf(LogMask mask, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* -msg: lines on stderr begin with the time (ISO 8601, UTC) and the guest's name (NULL: not). Before
 * other threads exist. */
void log_set_prefix(bool timestamp, const char *guest_name);
/* What messages begin with instead of "vmm"; program stays the caller's. */
void log_set_program(const char *program);
/* "vmm: ..." on stderr, for what ends the program. */
void log_error(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* "vmm: warning: ..." on stderr; for the user, not for the guest's faults. */
void log_warn(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* "vmm: ..." on stderr, for the few lines that are neither error nor warning. */
void log_info(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* "vmm: ..." on stderr: a report of our own of several lines, whose ends are kept. The messages above are one line
 * each: whatever control characters they quote are shown. */
void log_report(const char *text);

/* A token bucket per call site: a guest in a loop cannot fill the user's disk. */
typedef struct LogLimit {
    int64_t refill_ns;
    uint32_t tokens;
    uint32_t suppressed;
} LogLimit;

bool log_limit_pass(LogLimit *limit);

/* who: the device's or unit's name. Shown with -d guest_errors only. */
#define guest_error(who, ...)                                                                      \
    do {                                                                                           \
        static LogLimit limit_;                                                                    \
        if (log_enabled(LOG_GUEST_ERROR) && log_limit_pass(&limit_))                               \
            guest_error_print((who), __VA_ARGS__);                                                 \
    } while (0)
void guest_error_print(const char *who, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

#endif
