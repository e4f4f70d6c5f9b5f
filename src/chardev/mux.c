/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A backend shared among front ends (a serial port and the monitor), with QEMU's Ctrl-a keys.
 *
 *     base chardev <--inner--> mux <--> front end 0   (focus: gets the input)
 *                               \ <---> front end 1   (all of them may write)
 *
 * Input is read even while the front end in focus takes none, so that Ctrl-a x works on a guest
 * that hangs; what it has not taken waits in a queue of its own. Only a full queue holds the base
 * back, so nothing is lost.
 */
#include <string.h>

#include "core/error.h"
#include "core/loop.h"
#include "src/chardev/chardev-int.h"

#define MAX_FRONTS 4
#define QUEUE_SIZE 65536
#define ESCAPE_KEY 0x01 /* Ctrl-a */

typedef struct MuxFront {
    CharBackend *be;
    GByteArray *queue; /* at most QUEUE_SIZE bytes it has not taken yet */
} MuxFront;

typedef struct MuxChardev {
    Chardev chr;
    CharBackend inner; /* we are the base's front end */
    MuxFront fronts[MAX_FRONTS];
    unsigned count;
    unsigned focus;
    bool escaped;      /* the last key was Ctrl-a */

    /* Ctrl-a t: lines of output begin with the time since then. */
    bool stamping;
    bool at_line_start;
    int64_t stamp_origin_ns;
    char stamp[32];    /* being written; a backend that is full takes a part */
    size_t stamp_len, stamp_done;
} MuxChardev;

static const char help_text[] = "\r\n"
                                "C-a h    print this help\r\n"
                                "C-a x    end the VM\r\n"
                                "C-a s    save: write temporary overlays of disks to their images\r\n"
                                "C-a t    begin lines with the time, or no longer\r\n"
                                "C-a b    send a break (Linux: magic SysRq)\r\n"
                                "C-a c    switch to the next user of this terminal\r\n"
                                "C-a C-a  send C-a\r\n";

static MuxFront *focused(MuxChardev *mux)
{
    return mux->count ? &mux->fronts[mux->focus] : NULL;
}

static MuxFront *find_front(MuxChardev *mux, const CharBackend *be)
{
    for (unsigned i = 0; i < mux->count; i++) {
        if (mux->fronts[i].be == be)
            return &mux->fronts[i];
    }
    return NULL;
}

/* Hands the front end what waits for it and it takes. It may detach itself when it reads (a monitor's
 * command that unplugs it). */
static void drain(MuxChardev *mux, CharBackend *be)
{
    MuxFront *front;
    size_t n;

    while ((front = find_front(mux, be)) && front->queue->len && (n = front_can_read(be)) != 0) {
        uint8_t chunk[256];
        n = MIN(MIN(n, front->queue->len), sizeof(chunk));
        memcpy(chunk, front->queue->data, n);
        g_byte_array_remove_range(front->queue, 0, (guint)n);
        front_read(be, chunk, n);
    }
}

/* Messages to the user; a terminal that is full loses them. */
static void say(MuxChardev *mux, const char *text)
{
    (void)char_write(&mux->inner, (const uint8_t *)text, strlen(text));
}

static void queue_key(MuxChardev *mux, uint8_t key)
{
    g_byte_array_append(focused(mux)->queue, &key, 1);
}

/* The line that is being written stays as it is. */
static void toggle_stamps(MuxChardev *mux)
{
    mux->stamping = !mux->stamping;
    mux->at_line_start = false;
    mux->stamp_origin_ns = clock_get_ns(VMCLOCK_MONO);
}

static void commit_images(MuxChardev *mux)
{
    g_autofree char *result = chardev_request_commit();
    g_autofree char *line = g_strconcat("vmm: ", result, "\r\n", NULL);

    say(mux, line);
}

static void escape_command(MuxChardev *mux, uint8_t key)
{
    switch (key) {
    case ESCAPE_KEY:
        queue_key(mux, key);
        break;
    case 'h':
    case '?':
        say(mux, help_text);
        break;
    case 'x':
        say(mux, "vmm: terminated\r\n");
        chardev_request_quit();
        break;
    case 's':
        commit_images(mux);
        break;
    case 't':
        toggle_stamps(mux);
        break;
    case 'b':
        front_event(focused(mux)->be, CHAR_EVENT_BREAK);
        break;
    case 'c':
        mux->focus = (mux->focus + 1) % mux->count;
        front_event(focused(mux)->be, CHAR_EVENT_FOCUS);
        break;
    default: /* as QEMU: an unknown key is dropped together with Ctrl-a */
        break;
    }
}

static size_t inner_can_read(void *opaque)
{
    MuxFront *front = focused(opaque);

    return front ? QUEUE_SIZE - front->queue->len : 0;
}

static void inner_read(void *opaque, const uint8_t *buf, size_t len)
{
    MuxChardev *mux = opaque;

    for (size_t i = 0; i < len && mux->count; i++) { /* a break may make a user leave */
        if (mux->escaped)
            escape_command(mux, buf[i]);
        else if (buf[i] != ESCAPE_KEY)
            queue_key(mux, buf[i]);
        mux->escaped = !mux->escaped && buf[i] == ESCAPE_KEY;
    }
    /* All: the focus may have moved meanwhile. Backwards: one that detaches itself moves only others
     * that had their turn. */
    for (unsigned i = mux->count; i-- > 0;) {
        if (i < mux->count)
            drain(mux, mux->fronts[i].be);
    }
}

static void inner_writable(void *opaque)
{
    MuxChardev *mux = opaque;

    for (unsigned i = mux->count; i-- > 0;) {
        if (i < mux->count)
            front_writable(mux->fronts[i].be);
    }
}

static void inner_event(void *opaque, CharEvent event)
{
    MuxChardev *mux = opaque;

    for (unsigned i = mux->count; i-- > 0;) {
        if (i < mux->count)
            front_event(mux->fronts[i].be, event);
    }
}

static const CharHandlers inner_handlers = {
    .can_read = inner_can_read,
    .read = inner_read,
    .writable = inner_writable,
    .event = inner_event,
};

static void begin_stamp(MuxChardev *mux)
{
    unsigned ms = (unsigned)((clock_get_ns(VMCLOCK_MONO) - mux->stamp_origin_ns) / (NS_PER_SEC / 1000));
    unsigned s = ms / 1000;

    mux->stamp_done = 0;
    mux->stamp_len = (size_t)g_snprintf(mux->stamp, sizeof(mux->stamp), "[%02u:%02u:%02u.%03u] ", s / 3600,
                                        s / 60 % 60, s % 60, ms % 1000);
}

/* What is left of a stamp goes out first, whoever writes next; false if the backend is full. */
static bool finish_stamp(MuxChardev *mux)
{
    mux->stamp_done += char_write(&mux->inner, (const uint8_t *)mux->stamp + mux->stamp_done,
                                  mux->stamp_len - mux->stamp_done);
    return mux->stamp_done == mux->stamp_len;
}

/* Up to the end of a line, with its stamp before it. */
static size_t write_line(MuxChardev *mux, const uint8_t *buf, size_t len)
{
    const uint8_t *newline = memchr(buf, '\n', len);
    size_t part = newline ? (size_t)(newline - buf) + 1 : len;

    if (mux->stamping && mux->at_line_start)
        begin_stamp(mux);
    mux->at_line_start = false;
    if (mux->stamp_done < mux->stamp_len && !finish_stamp(mux))
        return 0;
    size_t taken = char_write(&mux->inner, buf, part);
    mux->at_line_start = newline && taken == part;
    return taken;
}

static size_t mux_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    MuxChardev *mux = (MuxChardev *)chr;
    size_t done = 0, taken;

    if (!mux->stamping && mux->stamp_done == mux->stamp_len)
        return char_write(&mux->inner, buf, len);
    do {
        taken = write_line(mux, buf + done, len - done);
        done += taken;
    } while (taken && done < len);
    return done;
}

static bool mux_is_open(const Chardev *chr)
{
    const MuxChardev *mux = (const MuxChardev *)chr;

    return mux->inner.chr && chardev_is_open(mux->inner.chr);
}

static void mux_accept_input(Chardev *chr, CharBackend *be)
{
    MuxChardev *mux = (MuxChardev *)chr;

    drain(mux, be);
    char_accept_input(&mux->inner);
}

/* The first keeps the focus: the guest's console, not the monitor, as with QEMU's -nographic. */
static bool mux_attach(Chardev *chr, CharBackend *be, GError **errp)
{
    MuxChardev *mux = (MuxChardev *)chr;

    if (mux->count == MAX_FRONTS)
        return error_set_code(errp, VMM_ERROR_USAGE, "character device '%s' has %d users already, which is the limit", chr->id,
                              MAX_FRONTS);
    mux->fronts[mux->count++] = (MuxFront){be, g_byte_array_new()};
    return true;
}

static void mux_detach(Chardev *chr, CharBackend *be)
{
    MuxChardev *mux = (MuxChardev *)chr;
    unsigned i;

    for (i = 0; mux->fronts[i].be != be; i++)
        g_assert(i + 1 < mux->count);
    g_byte_array_unref(mux->fronts[i].queue);
    mux->count--;
    memmove(&mux->fronts[i], &mux->fronts[i + 1], (mux->count - i) * sizeof(mux->fronts[0]));
    if (mux->focus > i || mux->focus == mux->count)
        mux->focus = mux->focus ? mux->focus - 1 : 0;
}

static bool mux_is_used(const Chardev *chr)
{
    return ((const MuxChardev *)chr)->count > 0;
}

static bool mux_has_focus(const Chardev *chr, const CharBackend *be)
{
    const MuxChardev *mux = (const MuxChardev *)chr;

    return mux->count && mux->fronts[mux->focus].be == be;
}

static void mux_release(Chardev *chr)
{
    MuxChardev *mux = (MuxChardev *)chr;

    for (unsigned i = 0; i < mux->count; i++) {
        mux->fronts[i].be->chr = NULL;
        g_byte_array_unref(mux->fronts[i].queue);
    }
    char_detach(&mux->inner);
}

static const ChardevOps mux_ops = {
    .kind = "mux",
    .instance_size = sizeof(MuxChardev),
    .is_open = mux_is_open,
    .write = mux_write,
    .accept_input = mux_accept_input,
    .attach = mux_attach,
    .detach = mux_detach,
    .is_used = mux_is_used,
    .has_focus = mux_has_focus,
    .release = mux_release,
};

Chardev *chardev_new_mux(const char *id, Chardev *base, GError **errp)
{
    MuxChardev *mux = (MuxChardev *)chardev_new(&mux_ops, id, errp);

    if (!mux || !char_attach(&mux->inner, base, errp)) {
        if (mux)
            chardev_free(&mux->chr);
        chardev_free(base);
        return NULL;
    }
    char_set_handlers(&mux->inner, &inner_handlers, mux);
    return &mux->chr;
}
