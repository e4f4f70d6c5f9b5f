/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the gdb stub listens: "tcp:[HOST]:PORT" and "unix:PATH".
 *
 * Whoever reaches the stub owns the guest, so without a host it is the loopback address (QEMU takes
 * all addresses there), and a unix socket is its owner's alone.
 */
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/keyval.h"
#include "core/error.h"
#include "gdb-internal.h"

/* What QEMU's users append to an address, and what is so anyway. */
static const char *const accepted_suffixes[] = {
    "server", "server=on", "nowait", "wait=off", "nodelay", "nodelay=on",
};

static bool check_suffixes(const char *suffixes, GError **errp)
{
    g_auto(GStrv) words = g_strsplit(suffixes, ",", -1);

    for (char **word = words; *word; word++) {
        bool known = false;
        for (unsigned i = 0; i < G_N_ELEMENTS(accepted_suffixes); i++)
            known = known || strcmp(*word, accepted_suffixes[i]) == 0;
        if (!known)
            return error_set_code(errp, VMM_ERROR_USAGE, "'%s' is not known here; the address alone is enough", *word);
    }
    return true;
}

/* Cuts ",server=on,wait=off" off the address. */
static char *strip_suffixes(const char *address, GError **errp)
{
    const char *comma = strchr(address, ',');

    if (!comma)
        return g_strdup(address);
    if (!check_suffixes(comma + 1, errp))
        return NULL;
    return g_strndup(address, (gsize)(comma - address));
}

static int new_socket(int family, GError **errp)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        error_set_errno(errp, errno, "cannot make a socket");
    return fd;
}

/* --- tcp --- */

static int listen_tcp_at(const struct addrinfo *info, const char *host, const char *port, GError **errp)
{
    int fd = new_socket(info->ai_family, errp), on = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, 4) == 0)
        return fd;
    if (errno == EADDRINUSE)
        error_set(errp, "port %s of %s is in use; choose another (-gdb tcp::PORT), or end the program that has it",
                  port, host);
    else if (errno == EACCES)
        error_set(errp, "port %s may be used by root only; choose one above 1023 (-gdb tcp::PORT)", port);
    else
        error_set_errno(errp, errno, "cannot listen at port %s of %s", port, host);
    close(fd);
    return -1;
}

static int listen_tcp(const char *host_port, GError **errp)
{
    const char *colon = strrchr(host_port, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *info;
    g_autofree char *host = NULL;
    uint64_t port;
    int fd, err;

    if (!colon || !parse_u64(colon + 1, &port) || port == 0 || port > 65535) {
        error_set_code(errp, VMM_ERROR_USAGE, "a port from 1 to 65535 is missing: tcp:[HOST]:PORT");
        return -1;
    }
    host = colon == host_port ? g_strdup("127.0.0.1") : g_strndup(host_port, (gsize)(colon - host_port));
    if (host[0] == '[' && g_str_has_suffix(host, "]")) { /* an IPv6 address */
        g_autofree char *inner = g_strndup(host + 1, strlen(host) - 2);
        g_free(host);
        host = g_steal_pointer(&inner);
    }
    err = getaddrinfo(host, colon + 1, &hints, &info);
    if (err) {
        error_set(errp, "there is no host '%s': %s", host, gai_strerror(err));
        return -1;
    }
    fd = listen_tcp_at(info, host, colon + 1, errp);
    freeaddrinfo(info);
    return fd;
}

/* --- unix --- */

/* A socket file nobody listens at any more is what a killed program left. */
static bool remove_stale(const char *path, const struct sockaddr_un *addr, GError **errp)
{
    struct stat st;
    int fd, err;

    if (lstat(path, &st) < 0)
        return true;
    if (!S_ISSOCK(st.st_mode))
        return error_set(errp, "%s exists and is not a socket; choose another path", path);
    fd = new_socket(AF_UNIX, errp);
    if (fd < 0)
        return false;
    err = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ? 0 : errno;
    close(fd);
    if (err != ECONNREFUSED)
        return error_set(errp, "another program listens at %s; choose another path", path);
    unlink(path);
    return true;
}

static int listen_unix(const char *path, GError **errp)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    mode_t old_umask;
    bool bound;
    int fd;

    if (!*path || strlen(path) >= sizeof(addr.sun_path)) {
        error_set_code(errp, VMM_ERROR_USAGE, "a path of 1 to %zu bytes is wanted", sizeof(addr.sun_path) - 1);
        return -1;
    }
    memcpy(addr.sun_path, path, strlen(path));
    if (!remove_stale(path, &addr, errp))
        return -1;
    fd = new_socket(AF_UNIX, errp);
    if (fd < 0)
        return -1;
    old_umask = umask(077);
    bound = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
    umask(old_umask);
    if (!bound || listen(fd, 4) < 0) {
        error_set_errno(errp, errno, "cannot make the socket %s (is the directory there and writable?)", path);
        close(fd);
        return -1;
    }
    return fd;
}

int gdb_listen(const char *address, char **unlink_path, GError **errp)
{
    g_autofree char *stripped = strip_suffixes(address, errp);
    int fd;

    *unlink_path = NULL;
    if (!stripped)
        return -1;
    if (g_str_has_prefix(stripped, "tcp:"))
        return listen_tcp(stripped + strlen("tcp:"), errp);
    if (g_str_has_prefix(stripped, "unix:")) {
        fd = listen_unix(stripped + strlen("unix:"), errp);
        if (fd >= 0)
            *unlink_path = g_strdup(stripped + strlen("unix:"));
        return fd;
    }
    error_set_code(errp, VMM_ERROR_USAGE, "an address is tcp:[HOST]:PORT, unix:PATH or stdio");
    return -1;
}
