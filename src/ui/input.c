/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of input devices, newest first. It belongs to the process as the machine does.
 *
 * Buttons go where movements go: to the newest handler with a pointer of any kind.
 */
#include "ui/input.h"

#include <glib.h>

#include "core/lock.h"

static GPtrArray *handlers; /* of const InputHandler * */

void input_add_handler(const InputHandler *handler)
{
    g_assert(machine_lock_held());
    if (!handlers)
        handlers = g_ptr_array_new();
    g_ptr_array_insert(handlers, 0, (gpointer)handler);
}

void input_remove_handler(const InputHandler *handler)
{
    g_ptr_array_remove(handlers, (gpointer)handler);
    if (!handlers->len)
        g_clear_pointer(&handlers, g_ptr_array_unref);
}

static const InputHandler *find(bool (*takes)(const InputHandler *handler))
{
    for (guint i = 0; handlers && i < handlers->len; i++) {
        const InputHandler *handler = g_ptr_array_index(handlers, i);
        if (takes(handler))
            return handler;
    }
    return NULL;
}

static bool takes_keys(const InputHandler *handler)
{
    return handler->key;
}

static bool is_pointer(const InputHandler *handler)
{
    return handler->rel || handler->abs;
}

void input_send_key(unsigned code, bool down)
{
    const InputHandler *handler = find(takes_keys);

    if (handler)
        handler->key(handler->opaque, code, down);
}

void input_send_rel(InputAxis axis, int delta)
{
    const InputHandler *handler = find(is_pointer);

    if (handler && handler->rel)
        handler->rel(handler->opaque, axis, delta);
}

void input_send_abs(InputAxis axis, int position)
{
    const InputHandler *handler = find(is_pointer);

    if (handler && handler->abs)
        handler->abs(handler->opaque, axis, CLAMP(position, 0, INPUT_ABS_MAX));
}

void input_send_button(InputButton button, bool down)
{
    const InputHandler *handler = find(is_pointer);

    if (handler && handler->button && button < INPUT_BUTTON_COUNT)
        handler->button(handler->opaque, button, down);
}

void input_sync(void)
{
    const InputHandler *pointer = find(is_pointer), *keys = find(takes_keys);

    if (pointer && pointer->sync)
        pointer->sync(pointer->opaque);
    if (keys && keys != pointer && keys->sync)
        keys->sync(keys->opaque);
}

bool input_wants_absolute(void)
{
    const InputHandler *handler = find(is_pointer);

    return handler && handler->abs;
}
