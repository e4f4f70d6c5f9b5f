/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes what a user writes: command lines, configuration files and single arguments. The first byte
 * says which:
 *
 *     'a'  a command line, its words at line ends     'c'  a configuration file
 *     'k'  one argument, "a=1,b.c=2" or JSON
 *
 * A command line that is accepted must be one that -writeconfig can write and -readconfig takes back.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "config/options.h"
#include "core/thread.h"
#include "src/config/config-file.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    core_init();
    if (!freopen("/dev/null", "w", stdout)) /* -help and its kind */
        g_error("cannot open /dev/null");
    return 0;
}

static void check_error(const GError *err)
{
    if (!err || !*err->message)
        g_error("refused without a reason");
}

/* Files may be named and looked up by other options, but reading this one could wait for ever. */
static bool reads_a_file(char *const *words)
{
    for (; *words; words++) {
        if (g_str_has_suffix(*words, "readconfig"))
            return true;
    }
    return false;
}

static void take_back(const Options *options)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    Options again;

    if (!config_file_print(options, text, &err)) {
        check_error(err);
        return;
    }
    options_init(&again);
    if (!config_file_parse(&again, text->str, "file", &err))
        g_error("what was written is refused: %s\n%s", err->message, text->str);
    if (again.given->len != options->given->len)
        g_error("options were lost:\n%s", text->str);
    options_release(&again);
}

static void try_command_line(const char *text)
{
    g_autofree char *line = g_strconcat("vmm\n", text, NULL);
    g_auto(GStrv) words = g_strsplit(line, "\n", 64);
    g_autoptr(GError) err = NULL;
    Options options;

    if (reads_a_file(words))
        return;
    options_init(&options);
    switch (options_parse(&options, (int)g_strv_length(words), words, &err)) {
    case OPTIONS_RUN:
        take_back(&options);
        if (!options_resolve(&options, &err))
            check_error(err);
        break;
    case OPTIONS_BAD:
        check_error(err);
        break;
    case OPTIONS_DONE:
        break;
    }
    options_release(&options);
}

static void try_config_file(const char *text)
{
    g_autoptr(GError) err = NULL;
    Options options;

    options_init(&options);
    if (!config_file_parse(&options, text, "file", &err) ||
        (!options.help_printed && !options_resolve(&options, &err))) {
        options_locate(&options, &err);
        check_error(err);
    }
    options_release(&options);
}

static bool look(const char *path, const char *value, void *opaque)
{
    KvNode *kv = opaque;

    if (g_strcmp0(keyval_get(kv, path), value) != 0)
        g_error("'%s' is listed with the value '%s', which is not found by its name", path, value);
    return true;
}

static void try_argument(const char *text)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(KvNode) kv = keyval_parse(text, "implied", &err);

    if (!kv) {
        check_error(err);
        return;
    }
    keyval_foreach(kv, look, kv);
    if (!keyval_check_unused(kv, "-fuzz", NULL, &err))
        check_error(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    g_autofree char *text = len ? g_strndup((const char *)data + 1, len - 1) : NULL;

    if (!len)
        return 0;
    switch (data[0]) {
    case 'a':
        try_command_line(text);
        break;
    case 'c':
        try_config_file(text);
        break;
    case 'k':
        try_argument(text);
        break;
    }
    return 0;
}
