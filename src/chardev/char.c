/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Front ends, the list of character backends, and their logs.
 *
 * The list and the quit hook belong to the process: one process is one VM, and ids are unique in it.
 */
#include "chardev/char.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"
#include "core/log.h"
#include "src/chardev/chardev-int.h"
#include "src/chardev/terminal.h"

static GPtrArray *chardevs; /* of Chardev * */

static struct {
    void (*fn)(void *opaque);
    void *opaque;
} quit_hook;

static struct {
    char *(*fn)(void *opaque);
    void *opaque;
} commit_hook;

Chardev *chardev_find(const char *id)
{
    for (guint i = 0; chardevs && i < chardevs->len; i++) {
        Chardev *chr = g_ptr_array_index(chardevs, i);
        if (strcmp(chr->id, id) == 0)
            return chr;
    }
    return NULL;
}

const char *chardev_id(const Chardev *chr)
{
    return chr->id;
}

const char *chardev_filename(const Chardev *chr)
{
    return chr->filename ? chr->filename : chr->ops->kind;
}

void chardev_set_filename(Chardev *chr, char *filename)
{
    g_free(chr->filename);
    chr->filename = filename;
}

bool chardev_is_used(const Chardev *chr)
{
    return chr->ops->is_used ? chr->ops->is_used(chr) : chr->be != NULL;
}

void chardev_foreach(void (*fn)(const Chardev *chr, void *opaque), void *opaque)
{
    for (guint i = 0; chardevs && i < chardevs->len; i++)
        fn(g_ptr_array_index(chardevs, i), opaque);
}

Chardev *chardev_new(const ChardevOps *ops, const char *id, GError **errp)
{
    if (chardev_find(id)) {
        error_set_code(errp, VMM_ERROR_USAGE, "the character device id '%s' is used twice", id);
        return NULL;
    }
    Chardev *chr = g_malloc0(ops->instance_size);
    chr->ops = ops;
    chr->id = g_strdup(id);
    chr->log_fd = -1;
    if (!chardevs)
        chardevs = g_ptr_array_new();
    g_ptr_array_add(chardevs, chr);
    return chr;
}

void chardev_free(Chardev *chr)
{
    g_ptr_array_remove(chardevs, chr);
    if (chr->be)
        chr->be->chr = NULL;
    if (chr->ops->release)
        chr->ops->release(chr);
    if (chr->log_fd >= 0)
        close(chr->log_fd);
    g_free(chr->filename);
    g_free(chr->id);
    g_free(chr);
}

bool chardev_delete(Chardev *chr, GError **errp)
{
    if (chardev_is_used(chr))
        return error_set(errp, "character device '%s' is in use", chr->id);
    chardev_free(chr);
    return true;
}

void chardev_cleanup(void)
{
    /* Backwards: a mux comes after what it shares and detaches from it. */
    while (chardevs && chardevs->len)
        chardev_free(g_ptr_array_index(chardevs, chardevs->len - 1));
    g_clear_pointer(&chardevs, g_ptr_array_unref);
    terminal_restore();
}

void chardev_set_quit_hook(void (*fn)(void *opaque), void *opaque)
{
    quit_hook.fn = fn;
    quit_hook.opaque = opaque;
}

void chardev_request_quit(void)
{
    if (quit_hook.fn)
        quit_hook.fn(quit_hook.opaque);
}

void chardev_set_commit_hook(char *(*fn)(void *opaque), void *opaque)
{
    commit_hook.fn = fn;
    commit_hook.opaque = opaque;
}

char *chardev_request_commit(void)
{
    return commit_hook.fn ? commit_hook.fn(commit_hook.opaque) : g_strdup("no image to commit");
}

bool chardev_is_open(const Chardev *chr)
{
    return !chr->ops->is_open || chr->ops->is_open(chr);
}

bool char_attach(CharBackend *be, Chardev *chr, GError **errp)
{
    if (chr->ops->attach) {
        if (!chr->ops->attach(chr, be, errp))
            return false;
    } else if (chr->be) {
        return error_set_code(errp, VMM_ERROR_USAGE, "character device '%s' is in use already; only one with mux=on (or mon:) is shared",
                              chr->id);
    } else {
        chr->be = be;
    }
    be->chr = chr;
    return true;
}

void char_detach(CharBackend *be)
{
    Chardev *chr = be->chr;

    if (!chr)
        return;
    if (chr->ops->detach)
        chr->ops->detach(chr, be);
    else
        chr->be = NULL;
    be->chr = NULL;
}

void char_set_handlers(CharBackend *be, const CharHandlers *handlers, void *opaque)
{
    be->handlers = handlers;
    be->opaque = opaque;
    if (!be->chr || !handlers)
        return;
    if (chardev_is_open(be->chr))
        front_event(be, CHAR_EVENT_OPENED);
    char_accept_input(be);
}

/* A log that cannot be written (a full disk) ends; the device goes on. */
static void log_output(Chardev *chr, const uint8_t *buf, size_t len)
{
    if (chr->log_fd < 0 || host_write_full(chr->log_fd, buf, len))
        return;
    log_warn("character device '%s': its log ends here: %s", chr->id, g_strerror(errno));
    close(chr->log_fd);
    chr->log_fd = -1;
}

size_t char_write(CharBackend *be, const uint8_t *buf, size_t len)
{
    if (!be->chr)
        return len;
    size_t taken = be->chr->ops->write(be->chr, buf, len);
    log_output(be->chr, buf, taken);
    return taken;
}

void char_accept_input(CharBackend *be)
{
    if (be->chr && be->chr->ops->accept_input)
        be->chr->ops->accept_input(be->chr, be);
}

bool char_has_focus(const CharBackend *be)
{
    return be->chr && (!be->chr->ops->has_focus || be->chr->ops->has_focus(be->chr, be));
}

size_t front_can_read(const CharBackend *be)
{
    if (!be || !be->handlers || !be->handlers->can_read || !be->handlers->read)
        return 0;
    return be->handlers->can_read(be->opaque);
}

void front_read(CharBackend *be, const uint8_t *buf, size_t len)
{
    be->handlers->read(be->opaque, buf, len);
}

void front_writable(CharBackend *be)
{
    if (be && be->handlers && be->handlers->writable)
        be->handlers->writable(be->opaque);
}

void front_event(CharBackend *be, CharEvent event)
{
    if (be && be->handlers && be->handlers->event)
        be->handlers->event(be->opaque, event);
}

bool front_has_one_peer(const CharBackend *be)
{
    return be && be->handlers && be->handlers->one_peer;
}
