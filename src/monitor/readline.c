/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The line editor (readline.h). What it shows is the whole line again after each change, except for a
 * character at the end. Sources: ECMA-48 (CSI), xterm's control sequences for the keys.
 */
#include "readline.h"

#include <string.h>

#define CTRL(c) ((c) & 0x1f)
#define KEY_DEL 0x7f
#define KEY_ESC 0x1b

static void show(Readline *rl, const char *text)
{
    rl->ops->show(rl->opaque, text);
}

static void redraw(Readline *rl)
{
    g_autoptr(GString) out = g_string_new("\r");

    g_string_append(out, rl->prompt);
    g_string_append(out, rl->text->str);
    g_string_append(out, "\x1b[K");
    if (rl->cursor < rl->text->len)
        g_string_append_printf(out, "\x1b[%uD", (unsigned)(rl->text->len - rl->cursor));
    show(rl, out->str);
}

static void insert(Readline *rl, const char *text)
{
    gsize length = strlen(text);

    if (rl->text->len + length > READLINE_LENGTH_MAX)
        return;
    g_string_insert(rl->text, (gssize)rl->cursor, text);
    rl->cursor += length;
    if (rl->cursor == rl->text->len)
        show(rl, text);
    else
        redraw(rl);
}

/* What is from start to end, of which one is the cursor or both lie after it. */
static void erase(Readline *rl, gsize start, gsize end)
{
    if (start >= end || end > rl->text->len)
        return;
    g_string_erase(rl->text, (gssize)start, (gssize)(end - start));
    rl->cursor = start;
    redraw(rl);
}

static void move(Readline *rl, gsize cursor)
{
    if (cursor > rl->text->len)
        return;
    rl->cursor = cursor;
    redraw(rl);
}

static gsize word_start(const Readline *rl)
{
    gsize i = rl->cursor;

    while (i && rl->text->str[i - 1] == ' ')
        i--;
    while (i && rl->text->str[i - 1] != ' ')
        i--;
    return i;
}

static void set_text(Readline *rl, const char *text)
{
    g_string_assign(rl->text, text);
    rl->cursor = rl->text->len;
    redraw(rl);
}

/* --- History --- */

static void recall(Readline *rl, bool older)
{
    if (older ? rl->recalled == 0 : rl->recalled == rl->history->len)
        return;
    if (rl->recalled == rl->history->len) {
        g_free(rl->typed);
        rl->typed = g_strdup(rl->text->str);
    }
    rl->recalled += older ? -1 : 1;
    set_text(rl, rl->recalled == rl->history->len ? rl->typed : g_ptr_array_index(rl->history, rl->recalled));
}

static void remember(Readline *rl, const char *line)
{
    const char *last = rl->history->len ? g_ptr_array_index(rl->history, rl->history->len - 1) : "";

    if (*line && strcmp(line, last) != 0)
        g_ptr_array_add(rl->history, g_strdup(line));
    if (rl->history->len > READLINE_HISTORY_MAX)
        g_ptr_array_remove_index(rl->history, 0);
    rl->recalled = rl->history->len;
}

/* --- Completion --- */

static gsize common_length(const GPtrArray *words)
{
    const char *first = g_ptr_array_index(words, 0);
    gsize length = strlen(first);

    for (guint i = 1; i < words->len; i++) {
        const char *word = g_ptr_array_index(words, i);
        for (gsize n = 0; n < length; n++)
            length = first[n] == word[n] ? length : n;
    }
    return length;
}

static void list_words(Readline *rl, const GPtrArray *words)
{
    g_autoptr(GString) out = g_string_new("\r\n");

    for (guint i = 0; i < words->len; i++)
        g_string_append_printf(out, "%s%s", i ? "  " : "", (const char *)g_ptr_array_index(words, i));
    g_string_append(out, "\r\n");
    show(rl, out->str);
    redraw(rl);
}

/* As far as all candidates agree; if that is not further than typed, they are listed. */
static void complete(Readline *rl)
{
    g_autofree char *before = g_strndup(rl->text->str, rl->cursor);
    g_autoptr(GPtrArray) words = rl->ops->complete(rl->opaque, before);
    const char *space = strrchr(before, ' ');
    gsize typed = space ? strlen(space + 1) : strlen(before);

    if (!words->len)
        return;
    gsize length = common_length(words);
    if (length > typed || words->len == 1) {
        g_autofree char *rest = g_strndup((const char *)g_ptr_array_index(words, 0) + typed, length - typed);
        insert(rl, rest);
        if (words->len == 1)
            insert(rl, " ");
    } else {
        list_words(rl, words);
    }
}

/* --- Keys --- */

static void enter(Readline *rl)
{
    g_autofree char *line = g_strdup(rl->text->str);

    show(rl, "\r\n");
    remember(rl, line);
    g_string_truncate(rl->text, 0);
    rl->cursor = 0;
    rl->ops->line(rl->opaque, line);
}

static void control_key(Readline *rl, uint8_t key)
{
    switch (key) {
    case CTRL('A'):
        move(rl, 0);
        break;
    case CTRL('B'):
        move(rl, rl->cursor - 1); /* at the beginning that is beyond the end */
        break;
    case CTRL('C'):
        show(rl, "\r\n");
        set_text(rl, "");
        break;
    case CTRL('D'):
        erase(rl, rl->cursor, rl->cursor + 1);
        break;
    case CTRL('E'):
        move(rl, rl->text->len);
        break;
    case CTRL('F'):
        move(rl, rl->cursor + 1);
        break;
    case CTRL('H'):
    case KEY_DEL:
        erase(rl, rl->cursor - 1, rl->cursor);
        break;
    case CTRL('I'):
        complete(rl);
        break;
    case CTRL('K'):
        erase(rl, rl->cursor, rl->text->len);
        break;
    case CTRL('L'):
        redraw(rl);
        break;
    case CTRL('M'):
    case CTRL('J'):
        enter(rl);
        break;
    case CTRL('N'):
        recall(rl, false);
        break;
    case CTRL('P'):
        recall(rl, true);
        break;
    case CTRL('U'):
        erase(rl, 0, rl->cursor);
        break;
    case CTRL('W'):
        erase(rl, word_start(rl), rl->cursor);
        break;
    case KEY_ESC:
        rl->state = KEY_ESCAPE;
        break;
    default:
        break;
    }
}

/* "ESC [ 3 ~", "ESC O H", "ESC [ A": the keys that have no control character of their own. */
static void sequence_key(Readline *rl, uint8_t byte)
{
    static const char tilde_keys[] = {0, 'H', 0, '3', 'F', 0, 0, 'H', 'F'}; /* 1 and 7 Home, 4 and 8 End, 3 Delete */

    if (byte >= '0' && byte <= '9') {
        rl->number = MIN(rl->number * 10 + (byte - '0'), 100);
        return;
    }
    if (byte == ';') {
        rl->number = 0;
        return;
    }
    rl->state = KEY_PLAIN;
    if (byte == '~')
        byte = rl->number < sizeof(tilde_keys) ? (uint8_t)tilde_keys[rl->number] : 0;
    static const struct {
        char final;
        uint8_t key;
    } keys[] = {
        {'A', CTRL('P')}, {'B', CTRL('N')}, {'C', CTRL('F')}, {'D', CTRL('B')},
        {'H', CTRL('A')}, {'F', CTRL('E')}, {'3', CTRL('D')},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (byte == keys[i].final)
            control_key(rl, keys[i].key);
    }
}

void readline_feed(Readline *rl, uint8_t byte)
{
    bool after_return = rl->after_return;

    rl->after_return = byte == '\r';
    if (after_return && (byte == '\n' || byte == 0))
        return;
    if (rl->state == KEY_ESCAPE) {
        rl->state = byte == '[' || byte == 'O' ? KEY_SEQUENCE : KEY_PLAIN;
        rl->number = 0;
    } else if (rl->state == KEY_SEQUENCE) {
        sequence_key(rl, byte);
    } else if (byte < ' ' || byte == KEY_DEL) {
        control_key(rl, byte);
    } else if (byte < 0x80) {
        insert(rl, (char[]){(char)byte, 0});
    }
}

/* --- Life cycle --- */

void readline_init(Readline *rl, const ReadlineOps *ops, void *opaque, const char *prompt)
{
    *rl = (Readline){
        .ops = ops,
        .opaque = opaque,
        .prompt = prompt,
        .text = g_string_new(NULL),
        .history = g_ptr_array_new_with_free_func(g_free),
    };
}

void readline_release(Readline *rl)
{
    g_string_free(rl->text, TRUE);
    g_ptr_array_unref(rl->history);
    g_free(rl->typed);
}

void readline_reset(Readline *rl)
{
    g_string_truncate(rl->text, 0);
    rl->cursor = 0;
    g_ptr_array_set_size(rl->history, 0);
    rl->recalled = 0;
    rl->state = KEY_PLAIN;
    rl->after_return = false;
}

void readline_prompt(Readline *rl)
{
    if (rl->text->len)
        redraw(rl);
    else
        show(rl, rl->prompt); /* plain: scripts read it too */
}
