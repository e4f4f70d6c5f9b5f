/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From what the command line said to a machine ready to be built.
 */
#ifndef CONFIG_CONFIGURE_H
#define CONFIG_CONFIGURE_H

#include "config/options.h"
#include "core/machine.h"

/*
 * Opens the character devices, chooses the accelerator and makes the machine with all its
 * configuration and the user's devices set; machine_build is next. options are resolved, outlive
 * the machine, and give their strings away to it. NULL with an error; main thread, machine_lock not
 * held.
 */
Machine *machine_from_options(Options *options, GError **errp);

/* What -device with these options makes: NEW, properties set. The driver exists. NULL with an error. */
Device *device_from_options(Machine *machine, KvNode *kv, GError **errp);

#endif
