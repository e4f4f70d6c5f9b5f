/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Human monitor commands that stand in for keyboard and mouse.
 */
#include <string.h>

#include "core/error.h"
#include "hmp-internal.h"
#include "ui/input.h"
#include "ui/keys.h"

static bool has_more(const HmpContext *ctx)
{
    return ctx->args[strspn(ctx->args, " ")];
}

/* No expression: "5 -3" are two. */
static bool take_signed(HmpContext *ctx, const char *what, int *value, GError **errp)
{
    g_autofree char *text = NULL;
    char *end;

    if (!hmp_need_word(ctx, what, &text, errp))
        return false;
    int64_t number = g_ascii_strtoll(text, &end, 10);
    if (*end)
        return error_set(errp, "'%s' is not a number", text);
    *value = (int)CLAMP(number, -INPUT_ABS_MAX, INPUT_ABS_MAX);
    return true;
}

static bool sendkey(HmpContext *ctx, GError **errp)
{
    g_autofree char *text = NULL;
    unsigned codes[KEYS_AT_ONCE], count;
    uint64_t hold_ms = KEYS_HOLD_MS;

    if (!hmp_need_word(ctx, "the keys", &text, errp))
        return false;
    if (has_more(ctx) && !hmp_take_number(ctx, "how long, in milliseconds", &hold_ms, errp))
        return false;
    if (hold_ms > KEYS_HOLD_MAX_MS)
        return error_set(errp, "keys are held for %d ms at most", KEYS_HOLD_MAX_MS);
    return hmp_end(ctx, errp) && keys_parse(text, codes, &count, errp) && keys_press(codes, count, hold_ms, errp);
}

static bool mouse_move(HmpContext *ctx, GError **errp)
{
    int delta[INPUT_AXIS_COUNT] = {0};

    if (!take_signed(ctx, "how far to the right", &delta[INPUT_AXIS_X], errp) ||
        !take_signed(ctx, "how far down", &delta[INPUT_AXIS_Y], errp))
        return false;
    if (has_more(ctx) && !take_signed(ctx, "how far the wheel", &delta[INPUT_AXIS_WHEEL], errp))
        return false;
    if (!hmp_end(ctx, errp))
        return false;
    for (unsigned axis = 0; axis < INPUT_AXIS_COUNT; axis++) {
        if (delta[axis])
            input_send_rel((InputAxis)axis, delta[axis]);
    }
    input_sync();
    return true;
}

static bool mouse_button(HmpContext *ctx, GError **errp)
{
    static const InputButton order[] = {INPUT_BUTTON_LEFT, INPUT_BUTTON_MIDDLE, INPUT_BUTTON_RIGHT};
    uint64_t state;

    if (!hmp_take_number(ctx, "the buttons", &state, errp) || !hmp_end(ctx, errp))
        return false;
    if (state >> G_N_ELEMENTS(order))
        return error_set(errp, "the buttons are 1 (left), 2 (middle), 4 (right), and their sums");
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++)
        input_send_button(order[i], state >> i & 1);
    input_sync();
    return true;
}

const HmpCommand hmp_input_commands[] = {
    {"mouse_button", "STATE", mouse_button, "press and let go of buttons: 1 left, 2 middle, 4 right, or their sum"},
    {"mouse_move", "DX DY [DZ]", mouse_move, "move the mouse; DZ: turn its wheel"},
    {"sendkey", "KEY[-KEY...] [MS]", sendkey, "press keys together, such as ctrl-alt-delete; held for 100 ms"},
    {0},
};
