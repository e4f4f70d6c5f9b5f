/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option table's row, and the handlers its rows name.
 *
 * A new option is a row in option-table.c and a handler in the opt-*.c file of its subject.
 */
#ifndef SRC_CONFIG_OPTIONS_INT_H
#define SRC_CONFIG_OPTIONS_INT_H

#include "config/options.h"

/* -help prints the groups in this order. */
typedef enum OptionGroup {
    GROUP_STANDARD,
    GROUP_CPU,
    GROUP_BOOT,
    GROUP_BLOCK,
    GROUP_DEVICE,
    GROUP_CHAR,
    GROUP_DEBUG,
    GROUP_COUNT,
} OptionGroup;

/*
 * Puts the argument where it belongs; arg is NULL exactly if the row has no argument form. The
 * error says what is wrong with the argument, the caller adds which option it was. A handler that
 * prints help does it through options_print_help() and returns true.
 */
typedef bool OptionHandler(Options *options, const OptionSpec *spec, const char *arg, GError **errp);

struct OptionSpec {
    const char *name;
    const char *form;  /* of the argument, for -help; NULL: none */
    OptionGroup group;
    OptionHandler *handle;
    size_t offset;     /* of the field, for the handlers opt_set_*; else 0 */
    const char *help;  /* lines separated by "\n" */
};

/* Ends with a row whose name is NULL. */
extern const OptionSpec option_table[];
extern const char *const option_group_titles[GROUP_COUNT];

/* "", "help" and "?" as an argument, or "help" among the members of a list. */
bool arg_asks_for_help(const char *arg);
bool keyval_asks_for_help(KvNode *kv);

/* NULL if there is none. */
const OptionSpec *option_find(const char *name);
/* Handles an option and notes that it was given; arg is NULL exactly if the option has none. The
 * error does not name the option. */
bool options_handle(Options *options, const char *name, const char *arg, GError **errp);
/* Whether these are the members of an -object that holds a secret in clear. */
bool keyval_has_secret(const char *option, KvNode *kv);

/* options.c: text for stdout; nothing after it is looked at, and the program ends with status 0. */
void options_print_help(Options *options, const GString *text);
/* Values that are only kept. */
OptionHandler opt_set_flag;    /* bool */
OptionHandler opt_set_string;  /* char *; a repeat replaces it */
OptionHandler opt_only_none;   /* accepts "none", which is what there is */
OptionHandler opt_no_effect;   /* asks for what is so anyway */
OptionHandler opt_help, opt_version;
OptionHandler opt_gdb_default;

/* opt-machine.c */
OptionHandler opt_machine, opt_accel, opt_enable_kvm, opt_cpu, opt_no_acpi, opt_no_hpet, opt_rtc, opt_uuid, opt_action;
/* The machine type -machine names, or the default. */
bool machine_type_resolve(Options *options, GError **errp);
/* Puts -machine kernel=, initrd=, append= and firmware= into options->boot. */
void boot_resolve(Options *options);
/* Puts -machine accel= and kernel-irqchip= into options->accels. */
bool accel_resolve(Options *options, GError **errp);
/* -machine KEY=, also spelled with "_" for "-". */
const char *machine_property(const Options *options, const char *key);

/* opt-boot.c */
OptionHandler opt_boot, opt_option_rom, opt_firmware_dir;

/* topology.c */
OptionHandler opt_smp;
bool smp_resolve(KvNode *smp, SmpTopology *out, GError **errp);

/* ram-config.c */
OptionHandler opt_memory;
bool ram_resolve(Options *options, GError **errp);

/* opt-process.c */
OptionHandler opt_name, opt_msg, opt_add_fd, opt_overcommit, opt_run_with, opt_runas, opt_chroot, opt_sandbox;

/* opt-vcpu.c */
OptionHandler opt_vcpu;
void vcpu_affinity_clear(void *affinity);
/* Whether the machine has these vCPUs. */
bool vcpu_affinity_check(const Options *options, GError **errp);

/* config-file.c */
OptionHandler opt_readconfig, opt_writeconfig;
GPtrArray *option_origins_new(void);

/* opt-global.c */
OptionHandler opt_global;
void global_property_free(void *global);

/* opt-object.c */
OptionHandler opt_object;

/* opt-monitor.c */
OptionHandler opt_monitor, opt_qmp, opt_mon;

/* opt-device.c */
OptionHandler opt_device, opt_chardev, opt_serial, opt_log_items;

/* opt-drive.c */
OptionHandler opt_drive, opt_blockdev, opt_disk, opt_cdrom;

/* "; did you mean 'NEAR'?" or "", for the end of an error's message. */
char *did_you_mean(const char *word, const char *const *candidates);

#endif
