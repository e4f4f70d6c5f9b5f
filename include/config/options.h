/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: QEMU's options, one dash or two, as one structure.
 *
 *   options_init -> options_parse -> options_resolve -> machine_from_options (config/configure.h)
 *
 * options_parse takes the words apart and checks each by itself; options_resolve works out what
 * depends on several of them (topology, RAM, the default serial port). Neither creates or changes
 * anything outside the structure, except that -help and its kind print on stdout; of what options name,
 * only -readconfig's file is opened.
 *
 * Every option is one row of the table in src/config/option-table.c; -help prints the same rows.
 *
 * Locking: none; main thread, at start-up.
 */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include <glib.h>
#include <stdbool.h>

#include "config/keyval.h"
#include "core/machine.h"
#include "core/object.h"
#include "core/sandbox.h"

typedef struct OptionSpec OptionSpec;

typedef struct GivenOption {
    const OptionSpec *spec;
    char *arg; /* NULL: it has none */
} GivenOption;

/* A line of a configuration file: a key and its value, or the option as a whole (key is NULL). */
typedef struct OptionOrigin {
    char *option, *key, *value, *file;
    unsigned line;
} OptionOrigin;

typedef struct AddFd {
    int fd;
    unsigned set;
    char *opaque; /* NULL: none */
} AddFd;

/* A drive, and the option it was given by. */
typedef struct DriveOption {
    const char *name; /* "drive", "hda" */
    KvNode *keys;
} DriveOption;

typedef struct Options {
    /* As given; NULL or empty if not. Repeats of the first group are merged. */
    KvNode *machine;     /* -machine, -enable-kvm's accel aside: type, board properties */
    KvNode *memory;      /* -m */
    KvNode *smp;
    KvNode *rtc;
    GPtrArray *accels;   /* of char *: -accel, in order of preference */
    GPtrArray *devices;  /* of KvNode *: -device */
    GPtrArray *objects;  /* of Object *: -object, NEW with properties set; the machine takes them */
    GPtrArray *chardevs; /* of KvNode *: -chardev */
    GPtrArray *drives;   /* of DriveOption *: -drive, and what -hda and its kind stand for */
    GPtrArray *blockdevs; /* of KvNode *: -blockdev */
    GPtrArray *serials;  /* of char *: -serial */
    GPtrArray *monitors; /* of MonitorOptions *: -monitor, -qmp, -mon; options_resolve adds those of "mon:" */
    CpuOptions cpu;
    BootOptions boot;
    GPtrArray *firmware_dirs; /* of char *: -L */
    GPtrArray *globals;  /* of GlobalProperty *: -global */
    char *name;          /* -name guest= */
    char *process_name;  /* -name process= */
    bool unnamed_threads; /* -name debug-threads=off */
    uint8_t uuid[16];    /* -uuid */
    PanicAction panic_action;
    WatchdogAction watchdog_action;
    GArray *vcpu_affinity; /* of VcpuAffinity: -vcpu */
    GArray *add_fds;     /* of AddFd: -add-fd */
    SandboxOptions sandbox;
    RunWith run_with;
    bool mem_lock, cpu_pm; /* -overcommit */
    bool msg_timestamp, msg_guest_name; /* -msg */
    char *debugcon;
    char *mem_path;
    char *pidfile;
    char *gdb;           /* -gdb, -s: where the gdb stub listens */
    char *qtest;         /* chardev-like address the test connects to */
    char *qtest_log;
    char *log_items;     /* -d */
    char *log_file;      /* -D */
    bool mem_prealloc;
    bool snapshot;       /* for all drives */
    bool nographic;
    bool nodefaults;
    bool daemonize;
    bool no_reboot, no_shutdown;
    bool stopped;        /* -S */
    bool monitor_given;  /* -monitor, also "none": no default one */
    bool help_printed;
    char *writeconfig;
    GPtrArray *given;    /* of GivenOption *: all, in order, for -writeconfig */
    GPtrArray *origins;  /* of OptionOrigin *: where configuration files said what */

    /* Worked out by options_resolve. */
    bool serial_implied; /* no -serial */
    const MachineType *machine_type;
    SmpTopology topology;
    RamOptions ram;      /* ram.path is ours: the machine borrows it */
} Options;

typedef enum OptionsResult {
    OPTIONS_RUN,  /* go on */
    OPTIONS_DONE, /* help or the version was printed: exit with status 0 */
    OPTIONS_BAD,  /* *errp says why */
} OptionsResult;

void options_init(Options *options);
void options_release(Options *options);
OptionsResult options_parse(Options *options, int argc, char *const *argv, GError **errp);
bool options_resolve(Options *options, GError **errp);
/* -writeconfig; does nothing if it was not given. */
bool options_write_config(const Options *options, GError **errp);
/* Adds file and line to an error about an option that a configuration file gave. */
void options_locate(const Options *options, GError **errp);

#endif
