/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections of the gdb stub: who may connect, and bytes in and out.
 *
 * There is one debugger. A second one is told so and let go; but a peer that has not yet sent a
 * packet (a port scanner, a half-open connection) makes way for it. Dead TCP peers are found by
 * keep-alive.
 *
 * Memory per peer is bounded: one packet in, one read's worth of bytes behind it, and the answers to
 * one packet out; while answers wait for a slow reader, nothing more is taken from it.
 *
 * Locking: the main loop, machine_lock held.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/error.h"
#include "gdb-internal.h"

#define READ_SIZE 4096
/* A refused peer that neither reads nor goes is closed after this long. */
#define REFUSED_NS (2 * NS_PER_SEC)

typedef struct GdbPeer {
    int in_fd, out_fd; /* the same for a socket; -1: none */
    guint in_watch, out_watch;
    bool greeted;      /* it has sent a packet */
    GdbParser parser;
    uint8_t in[READ_SIZE];
    size_t in_length, in_done;
    GString *out;      /* not yet written */
    GString *last;     /* packet sent last: for "-" */
} GdbPeer;

struct GdbServer {
    Gdb *gdb;
    int listen_fd; /* -1: stdio */
    guint listen_watch;
    char *unlink_path;
    int old_flags[2]; /* of stdin and stdout */
    GdbPeer peer;

    int refused_fd; /* -1: none */
    guint refused_watch;
    Timer refused_timer;
};

static bool peer_readable(int fd, GIOCondition events, void *opaque);

static bool has_peer(const GdbServer *server)
{
    return server->peer.in_fd >= 0;
}

static void unwatch(guint *id)
{
    if (*id)
        event_loop_unwatch(event_loop_main(), *id);
    *id = 0;
}

/* --- the peer's end --- */

static void peer_close(GdbServer *server)
{
    GdbPeer *peer = &server->peer;

    if (!has_peer(server))
        return;
    unwatch(&peer->in_watch);
    unwatch(&peer->out_watch);
    if (server->listen_fd >= 0)
        close(peer->in_fd);
    peer->in_fd = peer->out_fd = -1;
    gdb_session_end(server->gdb);
}

/* --- out --- */

/* Writes what fits; false: the peer is gone. */
static bool flush_out(GdbPeer *peer)
{
    while (peer->out->len) {
        ssize_t n = write(peer->out_fd, peer->out->str, peer->out->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        g_string_erase(peer->out, 0, n);
    }
    return true;
}

static bool out_blocked(const GdbPeer *peer)
{
    return peer->out->len > 0;
}

static bool peer_writable(int fd, GIOCondition events, void *opaque);

/* Also called where a failure cannot be acted on: the reading side will find it. */
static bool send_out(GdbServer *server)
{
    GdbPeer *peer = &server->peer;

    if (!flush_out(peer))
        return false;
    if (out_blocked(peer) && !peer->out_watch)
        peer->out_watch = event_loop_watch(event_loop_main(), peer->out_fd, G_IO_OUT, peer_writable, server);
    return true;
}

void gdb_send(Gdb *gdb, const char *payload, size_t length)
{
    GdbServer *server = gdb->server;
    GdbPeer *peer = &server->peer;

    if (!has_peer(server))
        return;
    g_string_truncate(peer->last, 0);
    gdb_packet_append(peer->last, payload, length);
    g_string_append_len(peer->out, peer->last->str, (gssize)peer->last->len);
    send_out(server);
}

/* --- in --- */

static void acknowledge(GdbServer *server, char c)
{
    if (!server->gdb->no_ack)
        g_string_append_c(server->peer.out, c);
}

static void take_event(GdbServer *server, GdbEvent event)
{
    GdbPeer *peer = &server->peer;
    Gdb *gdb = server->gdb;

    switch (event) {
    case GDB_EVENT_PACKET:
        peer->greeted = true;
        acknowledge(server, '+');
        gdb_handle_packet(gdb, peer->parser.payload, peer->parser.length);
        break;
    case GDB_EVENT_TOO_LONG:
        acknowledge(server, '+');
        gdb_send(gdb, "E16", 3);
        break;
    case GDB_EVENT_BAD:
        acknowledge(server, '-');
        break;
    case GDB_EVENT_NAK:
        if (!gdb->no_ack)
            g_string_append_len(peer->out, peer->last->str, (gssize)peer->last->len);
        break;
    case GDB_EVENT_INTERRUPT:
        if (peer->greeted)
            gdb_interrupt(gdb);
        break;
    case GDB_EVENT_ACK:
    case GDB_EVENT_NONE:
        break;
    }
}

/* Takes what was read apart, until an answer cannot be written. False: the peer is gone. */
static bool take_input(GdbServer *server)
{
    GdbPeer *peer = &server->peer;

    while (peer->in_done < peer->in_length && !out_blocked(peer)) {
        take_event(server, gdb_parser_feed(&peer->parser, peer->in[peer->in_done++]));
        if (!has_peer(server))
            return false;
        if (!send_out(server))
            return false;
    }
    return true;
}

static void watch_input(GdbServer *server)
{
    GdbPeer *peer = &server->peer;

    if (!peer->in_watch)
        peer->in_watch = event_loop_watch(event_loop_main(), peer->in_fd, G_IO_IN | G_IO_HUP | G_IO_ERR,
                                          peer_readable, server);
}

/* Takes what has arrived. False: the peer is gone, and closed. */
static bool read_input(GdbServer *server)
{
    GdbPeer *peer = &server->peer;
    ssize_t n = read(peer->in_fd, peer->in, sizeof(peer->in));

    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return true;
    peer->in_length = n > 0 ? (size_t)n : 0;
    peer->in_done = 0;
    if (n > 0 && take_input(server))
        return true;
    peer_close(server);
    return false;
}

static bool peer_readable(int fd, GIOCondition events, void *opaque)
{
    GdbServer *server = opaque;

    if (!read_input(server))
        return false;
    if (out_blocked(&server->peer)) {
        server->peer.in_watch = 0;
        return false;
    }
    return true;
}

static bool peer_writable(int fd, GIOCondition events, void *opaque)
{
    GdbServer *server = opaque;
    GdbPeer *peer = &server->peer;

    if (!flush_out(peer) || !take_input(server)) {
        peer_close(server);
        return false;
    }
    if (out_blocked(peer))
        return true;
    peer->out_watch = 0;
    watch_input(server);
    return false;
}

/* --- connecting --- */

static void peer_open(GdbServer *server, int in_fd, int out_fd)
{
    GdbPeer *peer = &server->peer;

    peer->in_fd = in_fd;
    peer->out_fd = out_fd;
    peer->greeted = false;
    peer->parser.state = GDB_PARSER_IDLE;
    peer->in_length = peer->in_done = 0;
    g_string_truncate(peer->out, 0);
    g_string_truncate(peer->last, 0);
    gdb_session_begin(server->gdb);
    watch_input(server);
}

static void refused_close(void *opaque)
{
    GdbServer *server = opaque;

    unwatch(&server->refused_watch);
    timer_del(&server->refused_timer);
    if (server->refused_fd >= 0)
        close(server->refused_fd);
    server->refused_fd = -1;
}

/* gdb shows the answer to its first packet if it is an error. What it sends after that is not
 * looked at; it closes when it finds that nobody answers any more. */
static bool refused_readable(int fd, GIOCondition events, void *opaque)
{
    GdbServer *server = opaque;
    char sink[READ_SIZE];
    ssize_t n = read(fd, sink, sizeof(sink));

    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return true;
    server->refused_watch = 0;
    refused_close(server);
    return false;
}

static void refuse(GdbServer *server, int fd)
{
    static const char why[] = "E.another debugger is connected to this VM; detach it first";
    g_autoptr(GString) packet = g_string_new("+");
    ssize_t n;

    refused_close(server);
    gdb_packet_append(packet, why, strlen(why));
    n = write(fd, packet->str, packet->len);
    (void)n; /* a new connection has room for it */
    shutdown(fd, SHUT_WR);
    server->refused_fd = fd;
    server->refused_watch = event_loop_watch(event_loop_main(), fd, G_IO_IN | G_IO_HUP | G_IO_ERR, refused_readable,
                                             server);
    timer_mod(&server->refused_timer, clock_get_ns(VMCLOCK_MONO) + REFUSED_NS);
}

/* Harmless failures on a unix socket. A vanished host is noticed within a minute and a half. */
static void set_socket_options(int fd)
{
    const int on = 1, idle = 30, interval = 10, count = 6;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static bool has_hung_up(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLRDHUP};

    return poll(&poller, 1, 0) == 1;
}

/* A debugger that detaches and comes back at once must not be refused on its own account: its new
 * connection may be seen before the end of the old one, which may have a last packet before it. */
static void notice_end_of_peer(GdbServer *server)
{
    while (has_peer(server) && !out_blocked(&server->peer) && has_hung_up(server->peer.in_fd)) {
        if (!read_input(server))
            return;
    }
    if (out_blocked(&server->peer))
        unwatch(&server->peer.in_watch); /* half closed: it does read on, slowly */
}

static bool listener_readable(int listen_fd, GIOCondition events, void *opaque)
{
    GdbServer *server = opaque;
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return true; /* it went away again, or there are no descriptors: it will be asked again */
    set_socket_options(fd);
    notice_end_of_peer(server);
    if (has_peer(server) && server->peer.greeted) {
        refuse(server, fd);
        return true;
    }
    peer_close(server);
    peer_open(server, fd, fd);
    return true;
}

static void set_nonblocking(GdbServer *server)
{
    for (int fd = 0; fd < 2; fd++) {
        server->old_flags[fd] = fcntl(fd, F_GETFL);
        fcntl(fd, F_SETFL, server->old_flags[fd] | O_NONBLOCK);
    }
}

GdbServer *gdb_server_new(Gdb *gdb, const char *address, GError **errp)
{
    bool is_stdio = strcmp(address, "stdio") == 0;
    char *unlink_path = NULL;
    int fd = is_stdio ? -1 : gdb_listen(address, &unlink_path, errp);

    if (fd < 0 && !is_stdio)
        return NULL;
    GdbServer *server = g_new0(GdbServer, 1);
    server->gdb = gdb;
    server->listen_fd = fd;
    server->unlink_path = unlink_path;
    server->refused_fd = -1;
    server->peer.in_fd = server->peer.out_fd = -1;
    server->peer.out = g_string_new(NULL);
    server->peer.last = g_string_new(NULL);
    timer_init(&server->refused_timer, event_loop_main(), VMCLOCK_MONO, refused_close, server);
    if (is_stdio) {
        set_nonblocking(server);
        peer_open(server, STDIN_FILENO, STDOUT_FILENO);
    } else {
        server->listen_watch = event_loop_watch(event_loop_main(), fd, G_IO_IN, listener_readable, server);
    }
    return server;
}

void gdb_server_free(GdbServer *server)
{
    bool is_stdio = server->listen_fd < 0;

    peer_close(server);
    refused_close(server);
    timer_release(&server->refused_timer);
    unwatch(&server->listen_watch);
    if (!is_stdio)
        close(server->listen_fd);
    for (int fd = 0; is_stdio && fd < 2; fd++)
        fcntl(fd, F_SETFL, server->old_flags[fd]);
    if (server->unlink_path)
        unlink(server->unlink_path);
    g_free(server->unlink_path);
    g_string_free(server->peer.out, TRUE);
    g_string_free(server->peer.last, TRUE);
    g_free(server);
}
