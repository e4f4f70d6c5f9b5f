/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys by name, and the queue of those that are pressed for the user (ui/keys.h). The queue belongs to the
 * process, as the list of input devices does.
 */
#include "ui/keys.h"

#include <linux/input-event-codes.h>
#include <string.h>

#include "core/error.h"
#include "core/lock.h"
#include "core/loop.h"
#include "ui/input.h"

#define COMBINATIONS_MAX 64 /* waiting */
#define PLAIN_SCANCODE_MAX 0x58 /* up to here Linux's codes are the first set's */

typedef struct Combination {
    unsigned codes[KEYS_AT_ONCE], count, hold_ms;
} Combination;

static struct {
    Combination waiting[COMBINATIONS_MAX];
    unsigned first, count;
    bool held; /* the first is pressed */
    bool has_timer;
    Timer timer;
} queue;

static const struct {
    const char *name;
    unsigned code;
} keys[] = {
    {"shift", KEY_LEFTSHIFT}, {"shift_r", KEY_RIGHTSHIFT}, {"alt", KEY_LEFTALT}, {"alt_r", KEY_RIGHTALT},
    {"ctrl", KEY_LEFTCTRL}, {"ctrl_r", KEY_RIGHTCTRL}, {"menu", KEY_MENU}, {"esc", KEY_ESC}, {"1", KEY_1},
    {"2", KEY_2}, {"3", KEY_3}, {"4", KEY_4}, {"5", KEY_5}, {"6", KEY_6}, {"7", KEY_7}, {"8", KEY_8}, {"9", KEY_9},
    {"0", KEY_0}, {"minus", KEY_MINUS}, {"equal", KEY_EQUAL}, {"backspace", KEY_BACKSPACE}, {"tab", KEY_TAB},
    {"q", KEY_Q}, {"w", KEY_W}, {"e", KEY_E}, {"r", KEY_R}, {"t", KEY_T}, {"y", KEY_Y}, {"u", KEY_U}, {"i", KEY_I},
    {"o", KEY_O}, {"p", KEY_P}, {"bracket_left", KEY_LEFTBRACE}, {"bracket_right", KEY_RIGHTBRACE},
    {"ret", KEY_ENTER}, {"a", KEY_A}, {"s", KEY_S}, {"d", KEY_D}, {"f", KEY_F}, {"g", KEY_G}, {"h", KEY_H},
    {"j", KEY_J}, {"k", KEY_K}, {"l", KEY_L}, {"semicolon", KEY_SEMICOLON}, {"apostrophe", KEY_APOSTROPHE},
    {"grave_accent", KEY_GRAVE}, {"backslash", KEY_BACKSLASH}, {"z", KEY_Z}, {"x", KEY_X}, {"c", KEY_C},
    {"v", KEY_V}, {"b", KEY_B}, {"n", KEY_N}, {"m", KEY_M}, {"comma", KEY_COMMA}, {"dot", KEY_DOT},
    {"slash", KEY_SLASH}, {"asterisk", KEY_KPASTERISK}, {"spc", KEY_SPACE}, {"caps_lock", KEY_CAPSLOCK},
    {"f1", KEY_F1}, {"f2", KEY_F2}, {"f3", KEY_F3}, {"f4", KEY_F4}, {"f5", KEY_F5}, {"f6", KEY_F6}, {"f7", KEY_F7},
    {"f8", KEY_F8}, {"f9", KEY_F9}, {"f10", KEY_F10}, {"f11", KEY_F11}, {"f12", KEY_F12}, {"num_lock", KEY_NUMLOCK},
    {"scroll_lock", KEY_SCROLLLOCK}, {"kp_divide", KEY_KPSLASH}, {"kp_multiply", KEY_KPASTERISK},
    {"kp_subtract", KEY_KPMINUS}, {"kp_add", KEY_KPPLUS}, {"kp_enter", KEY_KPENTER}, {"kp_decimal", KEY_KPDOT},
    {"sysrq", KEY_SYSRQ}, {"print", KEY_SYSRQ}, {"kp_0", KEY_KP0}, {"kp_1", KEY_KP1}, {"kp_2", KEY_KP2},
    {"kp_3", KEY_KP3}, {"kp_4", KEY_KP4}, {"kp_5", KEY_KP5}, {"kp_6", KEY_KP6}, {"kp_7", KEY_KP7},
    {"kp_8", KEY_KP8}, {"kp_9", KEY_KP9}, {"kp_comma", KEY_KPCOMMA}, {"kp_equals", KEY_KPEQUAL},
    {"less", KEY_102ND}, {"home", KEY_HOME}, {"pgup", KEY_PAGEUP}, {"pgdn", KEY_PAGEDOWN}, {"end", KEY_END},
    {"left", KEY_LEFT}, {"up", KEY_UP}, {"down", KEY_DOWN}, {"right", KEY_RIGHT}, {"insert", KEY_INSERT},
    {"delete", KEY_DELETE}, {"pause", KEY_PAUSE}, {"stop", KEY_STOP}, {"again", KEY_AGAIN}, {"props", KEY_PROPS},
    {"undo", KEY_UNDO}, {"front", KEY_FRONT}, {"copy", KEY_COPY}, {"open", KEY_OPEN}, {"paste", KEY_PASTE},
    {"find", KEY_FIND}, {"cut", KEY_CUT}, {"lf", KEY_LINEFEED}, {"help", KEY_HELP}, {"meta_l", KEY_LEFTMETA},
    {"meta_r", KEY_RIGHTMETA}, {"compose", KEY_COMPOSE}, {"ro", KEY_RO}, {"hiragana", KEY_HIRAGANA},
    {"henkan", KEY_HENKAN}, {"muhenkan", KEY_MUHENKAN}, {"katakanahiragana", KEY_KATAKANAHIRAGANA},
    {"yen", KEY_YEN}, {"power", KEY_POWER}, {"sleep", KEY_SLEEP}, {"wake", KEY_WAKEUP}, {"audionext", KEY_NEXTSONG},
    {"audioprev", KEY_PREVIOUSSONG}, {"audiostop", KEY_STOPCD}, {"audioplay", KEY_PLAYPAUSE},
    {"audiomute", KEY_MUTE}, {"volumeup", KEY_VOLUMEUP}, {"volumedown", KEY_VOLUMEDOWN}, {"mediaselect", KEY_MEDIA},
    {"mail", KEY_MAIL}, {"calculator", KEY_CALC}, {"computer", KEY_COMPUTER}, {"ac_home", KEY_HOMEPAGE},
    {"ac_bookmarks", KEY_BOOKMARKS}, {"ac_back", KEY_BACK}, {"ac_forward", KEY_FORWARD},
    {"ac_refresh", KEY_REFRESH},
};

/* --- Names --- */

unsigned key_code(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (strcmp(keys[i].name, name) == 0)
            return keys[i].code;
    }
    return 0;
}

unsigned key_code_of_scancode(int64_t scancode)
{
    return scancode > 0 && scancode <= PLAIN_SCANCODE_MAX ? (unsigned)scancode : 0;
}

const char *key_name(unsigned index)
{
    return index < G_N_ELEMENTS(keys) ? keys[index].name : NULL;
}

static unsigned parse_key(const char *text)
{
    char *end;

    if (!g_str_has_prefix(text, "0x"))
        return key_code(text);
    int64_t scancode = g_ascii_strtoll(text, &end, 16);
    return *end ? 0 : key_code_of_scancode(scancode);
}

bool keys_parse(const char *text, unsigned codes[KEYS_AT_ONCE], unsigned *count, GError **errp)
{
    g_auto(GStrv) names = g_strsplit(text, "-", 0);

    *count = g_strv_length(names);
    if (!*count || *count > KEYS_AT_ONCE)
        return error_set(errp, "1 to %d keys can be pressed at once", KEYS_AT_ONCE);
    for (unsigned i = 0; i < *count; i++) {
        codes[i] = parse_key(names[i]);
        if (!codes[i])
            return error_set(errp, "there is no key '%s'", names[i]);
    }
    return true;
}

/* --- The queue --- */

static void press_first(void)
{
    const Combination *c = &queue.waiting[queue.first];

    for (unsigned i = 0; i < c->count; i++)
        input_send_key(c->codes[i], true);
    input_sync();
    queue.held = true;
    timer_mod(&queue.timer, clock_get_ns(VMCLOCK_VIRTUAL) + c->hold_ms * NS_PER_MS);
}

static void release_first(void *opaque)
{
    const Combination *c = &queue.waiting[queue.first];

    for (unsigned i = c->count; i-- > 0;)
        input_send_key(c->codes[i], false);
    input_sync();
    queue.first = (queue.first + 1) % COMBINATIONS_MAX;
    queue.count--;
    queue.held = false;
    if (queue.count)
        press_first();
}

bool keys_press(const unsigned *codes, unsigned count, unsigned hold_ms, GError **errp)
{
    Combination *c = &queue.waiting[(queue.first + queue.count) % COMBINATIONS_MAX];

    g_assert(machine_lock_held() && count <= KEYS_AT_ONCE);
    if (queue.count == COMBINATIONS_MAX)
        return error_set(errp, "%d combinations of keys wait already; try again later", COMBINATIONS_MAX);
    if (!queue.has_timer)
        timer_init(&queue.timer, event_loop_main(), VMCLOCK_VIRTUAL, release_first, NULL);
    queue.has_timer = true;
    *c = (Combination){.count = count, .hold_ms = hold_ms};
    memcpy(c->codes, codes, count * sizeof(*codes));
    queue.count++;
    if (!queue.held)
        press_first();
    return true;
}
