/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command's options: getopt_long(3) by the command's table.
 */
#include <getopt.h>
#include <string.h>

#include "core/error.h"
#include "src/img/img.h"

#define HELP_COLUMN 28

const char *const img_output_names[] = {"human", "json", NULL};

/* --- values --- */

static bool bad_value(const ImgOption *option, const char *value, const char *expected, GError **errp)
{
    g_autofree char *name = option->name ? g_strdup_printf("--%s", option->name) : g_strdup_printf("-%c", option->letter);

    return error_set_code(errp, VMM_ERROR_USAGE, "'%s' for %s is not %s", value, name, expected);
}

static bool set_choice(const ImgOption *option, const char *value, int *out, GError **errp)
{
    for (int i = 0; option->names[i]; i++) {
        if (strcmp(option->names[i], value) == 0) {
            *out = i;
            return true;
        }
    }
    g_autofree char *all = g_strjoinv(", ", (char **)option->names);
    g_autofree char *expected = g_strdup_printf("one of %s", all);
    return bad_value(option, value, expected, errp);
}

static bool set_number(const ImgOption *option, const char *value, uint64_t *out, GError **errp)
{
    bool ok = option->kind == IMG_SIZE ? parse_size(value, 1, out) : parse_u64(value, out);
    uint64_t max = option->max ? option->max : INT64_MAX;

    if (!ok)
        return bad_value(option, value, option->kind == IMG_SIZE ? "a size (suffixes K, M, G, T, P, E)" : "a number", errp);
    if (*out >= option->min && *out <= max)
        return true;
    g_autofree char *expected = g_strdup_printf("between %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT, option->min, max);
    return bad_value(option, value, expected, errp);
}

static bool set_value(const ImgOption *option, const char *value, void *args, GError **errp)
{
    void *field = (char *)args + option->offset;
    GPtrArray **list = field;

    switch (option->kind) {
    case IMG_FLAG:
        *(bool *)field = true;
        return true;
    case IMG_STRING:
        *(const char **)field = value;
        return true;
    case IMG_LIST:
        if (!*list)
            *list = g_ptr_array_new();
        g_ptr_array_add(*list, (char *)value);
        return true;
    case IMG_SIZE:
    case IMG_NUMBER:
        return set_number(option, value, field, errp);
    case IMG_CHOICE:
        return set_choice(option, value, field, errp);
    case IMG_REFUSED:
        return error_set_code(errp, VMM_ERROR_USAGE, "--%s: %s", option->name, option->help);
    }
    g_assert_not_reached();
}

/* --- the command line --- */

static unsigned option_count(const ImgCommand *command)
{
    unsigned n = 0;

    while (command->options[n].letter || command->options[n].name)
        n++;
    return n;
}

/* Values getopt_long returns: a letter, or behind all letters the option's index. */
#define LONG_BASE 256

static void make_tables(const ImgCommand *command, GString *letters, GArray *longs)
{
    unsigned n = option_count(command);
    struct option help = {"help", no_argument, NULL, 'h'}, end = {0};

    g_string_assign(letters, ":h");
    for (unsigned i = 0; i < n; i++) {
        const ImgOption *option = &command->options[i];
        if (option->letter)
            g_string_append_printf(letters, "%c%s", option->letter, option->arg ? ":" : "");
        if (option->name) {
            struct option row = {option->name, option->arg ? required_argument : no_argument, NULL, LONG_BASE + (int)i};
            g_array_append_val(longs, row);
        }
    }
    g_array_append_val(longs, help);
    g_array_append_val(longs, end);
}

static const ImgOption *find_option(const ImgCommand *command, int value)
{
    if (value >= LONG_BASE)
        return &command->options[value - LONG_BASE];
    for (unsigned i = 0; i < option_count(command); i++) {
        if (command->options[i].letter == value)
            return &command->options[i];
    }
    return NULL;
}

static bool unknown_option(const ImgCommand *command, const char *word, int letter, bool missing, GError **errp)
{
    g_autofree char *name = letter && letter < LONG_BASE ? g_strdup_printf("-%c", letter) : g_strdup(word);

    if (missing)
        return error_set_code(errp, VMM_ERROR_USAGE, "%s: '%s' wants a value", command->name, name);
    return error_set_code(errp, VMM_ERROR_USAGE, "%s: there is no option '%s'; 'vmm-img %s --help' lists them", command->name, name,
                          command->name);
}

/* "-5M" is a size, not an option: it goes to the end, behind "--". */
static char **move_negative_sizes(int *argc, char **argv)
{
    char **out = g_new0(char *, (size_t)*argc + 2);
    g_autoptr(GPtrArray) sizes = g_ptr_array_new();
    int n = 0;

    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--") == 0) { /* the user sees to it */
            memcpy(out, argv, (size_t)*argc * sizeof(*argv));
            return out;
        }
        if (argv[i][0] == '-' && g_ascii_isdigit(argv[i][1]))
            g_ptr_array_add(sizes, argv[i]);
        else
            out[n++] = argv[i];
    }
    if (sizes->len)
        out[n++] = (char *)"--";
    for (guint i = 0; i < sizes->len; i++)
        out[n++] = g_ptr_array_index(sizes, i);
    *argc = n;
    return out;
}

static bool set_defaults(const ImgCommand *command, void *args, GError **errp)
{
    for (unsigned i = 0; i < option_count(command); i++) {
        const ImgOption *option = &command->options[i];
        if (option->def && !set_value(option, option->def, args, errp))
            return false;
    }
    return true;
}

static bool check_operands(const ImgCommand *command, const ImgArgs *args, GError **errp)
{
    if (args->count >= command->min && args->count <= command->max)
        return true;
    return error_set_code(errp, VMM_ERROR_USAGE, "%s: %s; it takes: %s", command->name,
                          args->count < command->min ? "something is missing" : "too many arguments", command->operands);
}

bool img_args_parse(const ImgCommand *command, int argc, char **argv, void *args, bool *help, GError **errp)
{
    g_autoptr(GString) letters = g_string_new(NULL);
    g_autoptr(GArray) longs = g_array_new(FALSE, FALSE, sizeof(struct option));
    ImgArgs *common = args;
    int value;

    argv = common->words = move_negative_sizes(&argc, argv);
    make_tables(command, letters, longs);
    if (!set_defaults(command, args, errp))
        return false;
    opterr = 0;
    optind = 0;
    while ((value = getopt_long(argc, argv, letters->str, (struct option *)(void *)longs->data, NULL)) != -1) {
        if (value == 'h' && !find_option(command, 'h')) {
            *help = true;
            return false;
        }
        const ImgOption *option = value == '?' || value == ':' ? NULL : find_option(command, value);
        if (!option)
            return unknown_option(command, argv[optind - 1], optopt, value == ':', errp);
        if (!set_value(option, optarg, args, errp)) {
            g_prefix_error(errp, "%s: ", command->name);
            return false;
        }
    }
    common->operands = argv + optind;
    common->count = (unsigned)(argc - optind);
    return check_operands(command, common, errp);
}

void img_args_release(const ImgCommand *command, void *args)
{
    for (unsigned i = 0; i < option_count(command); i++) {
        GPtrArray **list = (GPtrArray **)(void *)((char *)args + command->options[i].offset);
        if (command->options[i].kind == IMG_LIST && *list)
            g_ptr_array_free(*list, TRUE);
    }
    g_free(((ImgArgs *)args)->words);
}

/* --- help --- */

static void print_option(const ImgOption *option, GString *out)
{
    g_autoptr(GString) form = g_string_new("  ");

    if (option->letter)
        g_string_append_printf(form, "-%c%s", option->letter, option->name ? ", " : "");
    if (option->name)
        g_string_append_printf(form, "--%s", option->name);
    if (option->arg)
        g_string_append_printf(form, "%s%s", option->name ? "=" : " ", option->arg);
    g_string_append_printf(out, "%-*s%s%s", HELP_COLUMN, form->str, form->len >= HELP_COLUMN ? " " : "", option->help);
    if (option->def)
        g_string_append_printf(out, " (default: %s)", option->def);
    g_string_append_c(out, '\n');
}

void img_args_print_help(const ImgCommand *command, GString *out)
{
    g_string_append_printf(out, "Usage: vmm-img %s [OPTION]... %s\n\n%c%s.\n\nOptions:\n", command->name, command->operands,
                           g_ascii_toupper(command->desc[0]), command->desc + 1);
    for (unsigned i = 0; i < option_count(command); i++) {
        if (command->options[i].kind != IMG_REFUSED)
            print_option(&command->options[i], out);
    }
    g_string_append_printf(out, "%-*s%s\n", HELP_COLUMN, "  -h, --help", "show this");
}
