/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -readconfig and -writeconfig: options as QEMU's ini files.
 *
 *     # a comment
 *     [memory]                         one section is one option; see the table in config-file.c
 *       size = "2G"
 *     [device "net0"]                  the name in quotes is the option's id=
 *       driver = "virtio-net-pci"
 *     [vmm]                            options that are no key=value lists, one a line: those without
 *       kernel = "bzImage"             an argument are "on". QEMU has no such section.
 *       nographic = "on"
 *
 * A value ends at the last quote of its line: there is no escape, so quotes are allowed inside and
 * line ends are not.
 */
#ifndef SRC_CONFIG_CONFIG_FILE_H
#define SRC_CONFIG_CONFIG_FILE_H

#include "src/config/options-int.h"

#define CONFIG_FILE_MAX (1 << 20) /* bytes; a longer file is refused */

/* Handles each section of text as its option. The error begins with "line N: "; name is the file's, for
 * errors found later (options_locate). */
bool config_file_parse(Options *options, const char *text, const char *name, GError **errp);
/* What was given, as text that config_file_parse reads back to the same. */
bool config_file_print(const Options *options, GString *out, GError **errp);

#endif
