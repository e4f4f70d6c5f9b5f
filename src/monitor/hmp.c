/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines of the human monitor: which command they name, and their arguments. Spelled as on QEMU.
 */
#include "monitor/hmp.h"

#include <string.h>

#include "core/error.h"
#include "core/lock.h"
#include "core/machine.h"
#include "hmp-internal.h"
#include "monitor-internal.h"

#define COUNT_MAX (1u << 20)

/* --- Arguments --- */

static void skip_space(HmpContext *ctx)
{
    ctx->args += strspn(ctx->args, " \t");
}

bool hmp_is_at_end(const HmpContext *ctx)
{
    return !ctx->args[strspn(ctx->args, " \t")];
}

bool hmp_end(const HmpContext *ctx, GError **errp)
{
    return hmp_is_at_end(ctx) || error_set(errp, "unexpected '%s' at the end", ctx->args + strspn(ctx->args, " \t"));
}

bool hmp_take_flag(HmpContext *ctx, char flag)
{
    skip_space(ctx);
    if (ctx->args[0] != '-' || ctx->args[1] != flag || (ctx->args[2] && ctx->args[2] != ' '))
        return false;
    ctx->args += 2;
    return true;
}

char *hmp_take_word(HmpContext *ctx)
{
    const char *start, *end;

    skip_space(ctx);
    if (!*ctx->args)
        return NULL;
    if (*ctx->args == '"' && (end = strchr(ctx->args + 1, '"'))) {
        start = ctx->args + 1;
        ctx->args = end + 1;
    } else {
        start = ctx->args;
        end = ctx->args = start + strcspn(start, " \t");
    }
    return g_strndup(start, (gsize)(end - start));
}

bool hmp_need_word(HmpContext *ctx, const char *what, char **word, GError **errp)
{
    *word = hmp_take_word(ctx);
    return *word || error_set(errp, "%s is missing", what);
}

static bool take_format_letters(const char **p, HmpFormat *format)
{
    static const char sizes[] = "bhwg";

    for (; **p && **p != ' ' && **p != '\t'; (*p)++) {
        const char *size = strchr(sizes, **p);
        if (size)
            format->size = 1u << (size - sizes);
        else if (strchr("xduoci", **p))
            format->format = **p;
        else
            return false;
    }
    return true;
}

bool hmp_take_format(HmpContext *ctx, HmpFormat *format, GError **errp)
{
    skip_space(ctx);
    if (*ctx->args != '/')
        return true;
    const char *p = ctx->args + 1;
    char *end;
    if (g_ascii_isdigit(*p)) {
        guint64 count = g_ascii_strtoull(p, &end, 10);
        if (count > COUNT_MAX)
            return error_set(errp, "a count is at most %u", COUNT_MAX);
        format->count = (unsigned)count;
        p = end;
    }
    if (!take_format_letters(&p, format))
        return error_set(errp, "unknown format '%c'; use x, d, u, o, c or i, and a size b, h, w or g", *p);
    ctx->args = p;
    return true;
}

/* --- Commands --- */

/* Whether one of the names "cont|c" begins the line; *rest is what follows it. */
static bool name_matches(const char *names, const char *line, const char **rest)
{
    for (const char *name = names;; name++) {
        size_t length = strcspn(name, "|");
        if (strncmp(line, name, length) == 0 && strchr(" \t/", line[length])) { /* or the end: strchr finds that too */
            *rest = line + length;
            return true;
        }
        name += length;
        if (!*name)
            return false;
    }
}

static const HmpCommand *find_in(const HmpCommand *table, const char *line, const char **rest)
{
    for (const HmpCommand *command = table; command && command->name; command++) {
        if (name_matches(command->name, line, rest))
            return command;
    }
    return NULL;
}

static const HmpCommand *find(const HmpContext *ctx, const char *line, const char **rest)
{
    const HmpCommand *command = find_in(ctx->more, line, rest);

    for (const HmpCommand *const *table = hmp_command_tables; !command && *table; table++)
        command = find_in(*table, line, rest);
    return command;
}

static void run_command(HmpContext *ctx, const HmpCommand *command)
{
    g_autoptr(GError) err = NULL;
    bool ok;

    if (command->paused)
        vcpu_pause_all(ctx->machine);
    ok = (command->args || hmp_end(ctx, &err)) && command->run(ctx, &err);
    if (command->paused)
        vcpu_resume_all(ctx->machine);
    if (!ok)
        g_string_append_printf(ctx->out, "Error: %s\n", err->message);
}

/* "info   status" is "info status". */
static char *with_single_space(const char *line)
{
    g_autofree char *text = g_strstrip(g_strdup(line));
    size_t word = strcspn(text, " \t");
    size_t space = strspn(text + word, " \t");

    if (!space)
        return g_steal_pointer(&text);
    text[word] = 0;
    return g_strconcat(text, " ", text + word + space, NULL);
}

void hmp_run(HmpContext *ctx, const char *line)
{
    g_autofree char *text = with_single_space(line);
    const HmpCommand *command;

    if (!*text)
        return;
    command = find(ctx, text, &ctx->args);
    if (command)
        run_command(ctx, command);
    else
        g_string_append_printf(ctx->out, "unknown command '%s'; 'help' lists all\n", text);
    ctx->args = NULL;
    if (ctx->out->len > HMP_OUTPUT_MAX) {
        g_string_truncate(ctx->out, HMP_OUTPUT_MAX);
        g_string_append(ctx->out, "\n... and more, which is cut off here\n");
    }
}

bool hmp_out_is_full(const HmpContext *ctx)
{
    return ctx->out->len > HMP_OUTPUT_MAX;
}

/* --- Help and completion --- */

static void add_rows(GPtrArray *rows, const HmpCommand *table, const char *prefix)
{
    for (const HmpCommand *command = table; command && command->name; command++) {
        if (g_str_has_prefix(command->name, prefix))
            g_ptr_array_add(rows, (void *)command);
    }
}

static gint compare_rows(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const HmpCommand *const *)a)->name, (*(const HmpCommand *const *)b)->name);
}

/* All commands that begin so, in the alphabet's order; false if there are none. */
static bool print_rows(HmpContext *ctx, const char *prefix)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new();

    add_rows(rows, ctx->more, prefix);
    for (const HmpCommand *const *table = hmp_command_tables; *table; table++)
        add_rows(rows, *table, prefix);
    g_ptr_array_sort(rows, compare_rows);
    for (guint i = 0; i < rows->len; i++) {
        const HmpCommand *command = g_ptr_array_index(rows, i);
        g_autofree char *left = g_strconcat(command->name, command->args ? " " : "", command->args, NULL);
        g_string_append_printf(ctx->out, "%-26s -- %s\n", left, command->help);
    }
    return rows->len > 0;
}

/* "help [WORD]": all commands, or those that begin with the word. */
bool hmp_help(HmpContext *ctx, GError **errp)
{
    g_autofree char *word = hmp_take_word(ctx);

    return hmp_end(ctx, errp) &&
           (print_rows(ctx, word ? word : "") || error_set(errp, "there is no command '%s'; 'help' lists all", word));
}

/* "info" alone. */
bool hmp_info(HmpContext *ctx, GError **errp)
{
    g_autofree char *word = hmp_take_word(ctx);

    if (word)
        return error_set(errp, "unknown information '%s'; 'info' lists all", word);
    return print_rows(ctx, "info ");
}

void hmp_print_help(GString *out)
{
    g_autoptr(GString) text = g_string_new(NULL);
    HmpContext ctx = {.out = text};

    print_rows(&ctx, "");
    g_auto(GStrv) lines = g_strsplit(text->str, "\n", -1);
    g_string_append(out, "Monitor commands:\n");
    for (char **line = lines; **line; line++)
        g_string_append_printf(out, "  %s\n", *line);
}

static gint compare_words(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_candidate(GPtrArray *words, const char *name, const char *line)
{
    size_t length = strlen(line), start = 0;

    for (size_t i = 0; i < length; i++)
        start = line[i] == ' ' ? i + 1 : start;
    if (strncmp(name, line, length) != 0)
        return;
    g_autofree char *word = g_strndup(name + start, strcspn(name + start, " "));
    for (guint i = 0; i < words->len; i++) {
        if (strcmp(g_ptr_array_index(words, i), word) == 0)
            return;
    }
    g_ptr_array_add(words, g_steal_pointer(&word));
}

GPtrArray *hmp_complete(const char *line)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

    for (const HmpCommand *const *table = hmp_command_tables; *table; table++) {
        for (const HmpCommand *command = *table; command->name; command++) {
            g_auto(GStrv) names = g_strsplit(command->name, "|", -1);
            for (char **name = names; *name; name++)
                add_candidate(words, *name, line);
        }
    }
    g_ptr_array_sort(words, compare_words);
    return words;
}
