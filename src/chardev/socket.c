/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets as character backends: unix (files and abstract names), TCP, telnet, or a descriptor we
 * inherited. One peer at a time; what happens to output without one is stream.h's matter.
 *
 *   server   LISTENING --accept--> CONNECTED --peer gone--> LISTENING; others wait in the backlog
 *   client   CONNECTING --> CONNECTED --peer gone--> with reconnect=: WAITING --seconds--> CONNECTING
 *                 `--refused--> WAITING                without: ENDED, output is dropped
 *
 * Not modelled: TLS and websockets.
 *
 * Locking: machine_lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/error.h"
#include "core/log.h"
#include "chardev/socket-address.h"
#include "src/chardev/stream.h"
#include "src/chardev/telnet.h"

#define CONNECT_PATIENCE_MS 10000
#define RECONNECT_MAX 86400

typedef struct SocketChardev {
    CharStream stream;
    SocketAddress address; /* text alone if the socket was inherited */
    bool server, use_telnet, nodelay, told;
    unsigned reconnect;    /* seconds; 0: never */
    int listen_fd, connect_fd; /* -1: none */
    guint listen_watch, connect_watch;
    char *unlink_path;
    Timer retry_timer;
    Telnet telnet;
} SocketChardev;

typedef struct SocketOptions {
    bool server, wait, telnet, nodelay;
    unsigned reconnect, hold;
    int fd; /* -1: make our own */
} SocketOptions;

/* --- Telnet on the stream --- */

static size_t encode(CharStream *stream, const uint8_t *in, size_t len, uint8_t *out)
{
    return telnet_encode(in, len, out);
}

static size_t decode(CharStream *stream, uint8_t *buf, size_t len)
{
    return telnet_decode(&((SocketChardev *)stream)->telnet, buf, len);
}

static void answer(void *opaque, const uint8_t *buf, size_t len)
{
    stream_send_control(opaque, buf, len);
}

static void line_break(void *opaque)
{
    front_event(((CharStream *)opaque)->chr.be, CHAR_EVENT_BREAK);
}

/* --- Peers --- */

static void peer_arrived(SocketChardev *sock, int fd)
{
    int on = 1;

    /* Harmless failures on a unix socket. A vanished host is noticed by keep-alive. */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (sock->nodelay)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    sock->told = false;
    if (sock->use_telnet)
        telnet_begin(&sock->telnet);
    stream_connect(&sock->stream, fd);
}

static bool listener_ready(int listen_fd, GIOCondition events, void *opaque)
{
    SocketChardev *sock = opaque;
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return true; /* it left again, or we are out of descriptors: the next one */
    sock->listen_watch = 0;
    peer_arrived(sock, fd);
    return false;
}

static void listen_for_peer(SocketChardev *sock)
{
    if (!sock->listen_watch)
        sock->listen_watch = event_loop_watch(event_loop_main(), sock->listen_fd, G_IO_IN, listener_ready, sock);
}

static void retry_later(SocketChardev *sock, int err)
{
    if (!sock->told)
        log_warn("character device '%s': cannot connect to %s: %s; trying every %u s", sock->stream.chr.id,
                 sock->address.text, g_strerror(err), sock->reconnect);
    sock->told = true; /* once until it works */
    timer_mod(&sock->retry_timer, clock_get_ns(VMCLOCK_MONO) + sock->reconnect * NS_PER_SEC);
}

static bool connect_decided(int fd, GIOCondition events, void *opaque)
{
    SocketChardev *sock = opaque;
    int err = socket_connect_result(fd);

    sock->connect_watch = 0;
    sock->connect_fd = -1;
    if (err) {
        close(fd);
        retry_later(sock, err);
    } else {
        peer_arrived(sock, fd);
    }
    return false;
}

static void start_connecting(void *opaque)
{
    SocketChardev *sock = opaque;
    bool pending;
    int fd = socket_address_connect(&sock->address, &pending);

    if (fd < 0) {
        retry_later(sock, errno);
    } else if (pending) {
        sock->connect_fd = fd;
        sock->connect_watch = event_loop_watch(event_loop_main(), fd, G_IO_OUT | G_IO_HUP | G_IO_ERR, connect_decided,
                                               sock);
    } else {
        peer_arrived(sock, fd);
    }
}

static void peer_gone(CharStream *stream, int fd)
{
    SocketChardev *sock = (SocketChardev *)stream;

    close(fd);
    if (sock->server)
        listen_for_peer(sock);
    else if (sock->reconnect)
        timer_mod(&sock->retry_timer, clock_get_ns(VMCLOCK_MONO) + sock->reconnect * NS_PER_SEC);
    else
        stream_stop_expecting(stream);
}

static void socket_release(Chardev *chr)
{
    SocketChardev *sock = (SocketChardev *)chr;

    stream_release(&sock->stream);
    if (sock->stream.fd >= 0)
        close(sock->stream.fd);
    if (sock->listen_watch)
        event_loop_unwatch(event_loop_main(), sock->listen_watch);
    if (sock->connect_watch)
        event_loop_unwatch(event_loop_main(), sock->connect_watch);
    if (sock->listen_fd >= 0)
        close(sock->listen_fd);
    if (sock->connect_fd >= 0)
        close(sock->connect_fd);
    if (sock->unlink_path)
        unlink(sock->unlink_path);
    g_free(sock->unlink_path);
    timer_release(&sock->retry_timer);
    socket_address_release(&sock->address);
}

static const ChardevOps socket_ops = {
    .kind = "socket",
    .instance_size = sizeof(SocketChardev),
    .is_open = stream_is_open,
    .write = stream_write,
    .accept_input = stream_accept_input,
    .release = socket_release,
};

static const StreamOps plain_ops = {.gone = peer_gone};
static const StreamOps telnet_ops = {.gone = peer_gone, .encode = encode, .decode = decode};

/* --- Start-up --- */

/* SIGINT, SIGTERM and SIGHUP, less those somebody ignores (nohup). */
static void ending_signals(sigset_t *set)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;

    sigemptyset(set);
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(set, signals[i]);
    }
}

/*
 * wait=on: nothing else happens until a peer is there. The signals that end us are blocked, so that
 * the socket's file is removed before they do (start).
 */
static bool wait_for_peer(SocketChardev *sock, GError **errp)
{
    struct pollfd fds[2] = {{.fd = sock->listen_fd, .events = POLLIN}, {.events = POLLIN}};
    sigset_t set;
    int fd = -1;

    ending_signals(&set);
    fds[1].fd = signalfd(-1, &set, SFD_CLOEXEC);
    fprintf(stderr, "vmm: waiting for a connection to %s\n", sock->address.text);
    while (fd < 0 && !fds[1].revents) {
        poll(fds, 2, -1);
        if (fds[0].revents)
            fd = accept4(sock->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    close(fds[1].fd);
    if (fd < 0)
        return error_set(errp, "a signal ended the wait for a connection to %s", sock->address.text);
    peer_arrived(sock, fd);
    return true;
}

/* Without reconnect= a peer that is not there is an error, told before the guest starts. */
static bool connect_now(SocketChardev *sock, GError **errp)
{
    bool pending;
    int fd = socket_address_connect(&sock->address, &pending);
    int err = fd < 0 ? errno : 0;

    if (pending) {
        struct pollfd pfd = {.fd = fd, .events = POLLOUT};
        err = poll(&pfd, 1, CONNECT_PATIENCE_MS) > 0 ? socket_connect_result(fd) : ETIMEDOUT;
    }
    if (!err) {
        peer_arrived(sock, fd);
        return true;
    }
    if (fd >= 0)
        close(fd);
    return error_set_errno(errp, err, "cannot connect to %s (start its server first, or add reconnect=SECONDS)",
                           sock->address.text);
}

static bool start_own(SocketChardev *sock, const SocketOptions *options, GError **errp)
{
    if (!sock->server && !sock->reconnect)
        return connect_now(sock, errp);
    if (!sock->server) {
        sock->stream.expecting = true;
        start_connecting(sock);
        return true;
    }
    sock->listen_fd = socket_address_listen(&sock->address, false, errp);
    if (sock->listen_fd < 0)
        return false;
    sock->unlink_path = g_strdup(sock->address.path);
    if (options->wait)
        return wait_for_peer(sock, errp);
    listen_for_peer(sock);
    return true;
}

static bool start_inherited(SocketChardev *sock, const SocketOptions *options, GError **errp)
{
    int fd = options->fd, listening = 0;
    socklen_t len = sizeof(listening);

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
        return error_set_errno(errp, errno, "fd=%d is no socket of ours; start vmm with one open there", fd);
    if (!!listening != sock->server)
        return error_set_code(errp, VMM_ERROR_USAGE, "fd=%d is a %s socket; %s server=on", fd,
                              listening ? "listening" : "connected", listening ? "add" : "leave out");
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    sock->address.text = g_strdup_printf("fd:%d", fd);
    if (!sock->server) {
        peer_arrived(sock, fd);
        return true;
    }
    sock->listen_fd = fd;
    if (options->wait)
        return wait_for_peer(sock, errp);
    listen_for_peer(sock);
    return true;
}

/* On failure sock is freed, with all it made; only then may a signal end us. */
static bool start(SocketChardev *sock, const SocketOptions *options, GError **errp)
{
    sigset_t set, old;

    ending_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    bool ok = options->fd < 0 ? start_own(sock, options, errp) : start_inherited(sock, options, errp);
    if (!ok)
        chardev_free(&sock->stream.chr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ok;
}

/* --- Options --- */

static bool parse_seconds(KvNode *kv, const char *key, unsigned *out, GError **errp)
{
    const char *value = keyval_get(kv, key);
    uint64_t seconds;

    if (!value)
        return true;
    if (!parse_u64(value, &seconds) || seconds > RECONNECT_MAX)
        return error_set_code(errp, VMM_ERROR_USAGE, "%s=%s: 0 to %d seconds are wanted", key, value, RECONNECT_MAX);
    *out = (unsigned)seconds;
    return true;
}

static bool parse_fd(KvNode *kv, int *fd, GError **errp)
{
    const char *value = keyval_get(kv, "fd");
    uint64_t number;

    *fd = -1;
    if (!value)
        return true;
    if (!parse_u64(value, &number) || number < 3 || number > INT_MAX)
        return error_set_code(errp, VMM_ERROR_USAGE, "fd=%s: the number of an open descriptor from 3 on is wanted", value);
    for (const char *const *key = (const char *const[]){SOCKET_KEYS, NULL}; *key; key++) {
        if (keyval_get(kv, *key))
            return error_set_code(errp, VMM_ERROR_USAGE, "fd=%s is a socket already; leave %s= out", value, *key);
    }
    *fd = (int)number;
    return true;
}

static bool parse_options(KvNode *kv, SocketOptions *out, GError **errp)
{
    bool delay, nowait;

    *out = (SocketOptions){.hold = STREAM_HOLD_DEFAULT};
    /* "nowait" and "delay" are QEMU's older words. */
    if (!chardev_option_bool(kv, "server", false, &out->server, errp) ||
        !chardev_option_bool(kv, "nowait", false, &nowait, errp) ||
        !chardev_option_bool(kv, "wait", out->server && !nowait, &out->wait, errp) ||
        !chardev_option_bool(kv, "telnet", false, &out->telnet, errp) ||
        !chardev_option_bool(kv, "delay", true, &delay, errp) ||
        !chardev_option_bool(kv, "nodelay", !delay, &out->nodelay, errp) ||
        !parse_seconds(kv, "reconnect", &out->reconnect, errp) || !parse_seconds(kv, "hold", &out->hold, errp) ||
        !parse_fd(kv, &out->fd, errp))
        return false;
    if (out->wait && !out->server)
        return error_set_code(errp, VMM_ERROR_USAGE, "wait=on is for server=on; a client connects at once anyway");
    if (out->reconnect && (out->server || out->fd >= 0))
        return error_set_code(errp, VMM_ERROR_USAGE, "reconnect=%u is for a client with an address; leave it out",
                              out->reconnect);
    return true;
}

Chardev *chardev_new_socket(const char *id, KvNode *kv, GError **errp)
{
    SocketOptions options;
    SocketAddress address = {0};

    if (!parse_options(kv, &options, errp) ||
        (options.fd < 0 && !socket_address_parse(&address, kv, errp)))
        return NULL;
    SocketChardev *sock = (SocketChardev *)chardev_new(&socket_ops, id, errp);
    if (!sock) {
        socket_address_release(&address);
        return NULL;
    }
    sock->address = address;
    sock->server = options.server;
    sock->use_telnet = options.telnet;
    sock->nodelay = options.nodelay;
    sock->reconnect = options.reconnect;
    sock->listen_fd = sock->connect_fd = -1;
    sock->telnet = (Telnet){.answer = answer, .brk = line_break, .opaque = sock};
    stream_init(&sock->stream, options.telnet ? &telnet_ops : &plain_ops);
    sock->stream.hold = options.hold;
    timer_init(&sock->retry_timer, event_loop_main(), VMCLOCK_MONO, start_connecting, sock);
    if (!start(sock, &options, errp))
        return NULL;
    chardev_set_filename(&sock->stream.chr, g_strconcat(sock->address.text, sock->server ? ",server=on" : "", NULL));
    return &sock->stream.chr;
}
