/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Socket addresses (chardev/socket-address.h): unix(7), ip(7), getaddrinfo(3).
 *
 * Without a host it is the loopback address, where QEMU listens on all addresses:
 * whoever reaches a serial console is at the guest's keyboard, and whoever reaches the gdb stub owns the guest.
 */
#include "chardev/socket-address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/error.h"
#include "src/chardev/chardev-int.h"

static bool parse_unix(SocketAddress *address, const char *path, bool abstract, bool tight, GError **errp)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&address->addr;
    size_t room = sizeof(un->sun_path) - 1; /* the leading or trailing NUL */

    if (!*path || strlen(path) > room)
        return error_set_code(errp, VMM_ERROR_USAGE, "path=%s: a path of 1 to %zu bytes is wanted", path, room);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path + abstract, path, strlen(path));
    address->len = sizeof(*un);
    if (abstract && tight)
        address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(path));
    address->path = abstract ? NULL : g_strdup(path);
    address->text = g_strconcat(abstract ? "unix:@" : "unix:", path, NULL);
    return true;
}

bool socket_address_from_host(SocketAddress *address, const char *host, const char *port, int family, GError **errp)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV, .ai_family = family}, *info;
    uint64_t number;

    *address = (SocketAddress){0};
    if (!port || !parse_u64(port, &number) || number == 0 || number > 65535)
        return error_set_code(errp, VMM_ERROR_USAGE, "port=%s: a number from 1 to 65535 is wanted", port ? port : "");
    if (!host || !*host)
        host = family == AF_INET6 ? "::1" : "127.0.0.1";
    int err = getaddrinfo(host, port, &hints, &info);
    if (err)
        return error_set(errp, "host=%s: there is no such host (%s); check the name, or give its address", host,
                         gai_strerror(err));
    memcpy(&address->addr, info->ai_addr, info->ai_addrlen);
    address->len = info->ai_addrlen;
    freeaddrinfo(info);
    address->text = g_strdup_printf(strchr(host, ':') ? "tcp:[%s]:%s" : "tcp:%s:%s", host, port);
    return true;
}

bool socket_address_from_path(SocketAddress *address, const char *path, GError **errp)
{
    *address = (SocketAddress){0};
    return parse_unix(address, path, false, false, errp);
}

/* ipv4=on alone means IPv4 alone, and the reverse. */
static bool parse_family(KvNode *kv, int *family, GError **errp)
{
    bool v4_given = keyval_get(kv, "ipv4"), v6_given = keyval_get(kv, "ipv6"), v4, v6;

    if (!chardev_option_bool(kv, "ipv4", true, &v4, errp) || !chardev_option_bool(kv, "ipv6", true, &v6, errp))
        return false;
    if (!v4 && !v6)
        return error_set_code(errp, VMM_ERROR_USAGE, "ipv4=off and ipv6=off leave no address; leave one of them out");
    if (v4 && v6 && v4_given != v6_given) {
        v4 = v4_given;
        v6 = v6_given;
    }
    *family = v4 && v6 ? AF_UNSPEC : v4 ? AF_INET : AF_INET6;
    return true;
}

bool socket_address_parse(SocketAddress *address, KvNode *kv, GError **errp)
{
    const char *path = keyval_get(kv, "path"), *port = keyval_get(kv, "port");
    bool abstract, tight;
    int family;

    *address = (SocketAddress){0};
    if (path && port)
        return error_set_code(errp, VMM_ERROR_USAGE, "path=%s and port=%s exclude each other; give one of them", path,
                              port);
    if (!path && !port)
        return error_set_code(errp, VMM_ERROR_USAGE, "there is no address; give path=PATH, port=PORT or fd=NUMBER");
    if (!chardev_option_bool(kv, "abstract", false, &abstract, errp) ||
        !chardev_option_bool(kv, "tight", true, &tight, errp) || !parse_family(kv, &family, errp))
        return false;
    return path ? parse_unix(address, path, abstract, tight, errp)
                : socket_address_from_host(address, keyval_get(kv, "host"), port, family, errp);
}

void socket_address_release(SocketAddress *address)
{
    g_free(address->text);
    g_free(address->path);
    *address = (SocketAddress){0};
}

static int new_socket(const SocketAddress *address)
{
    return socket(address->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* A socket file nobody listens at any more is what a killed program left. */
static bool remove_stale(const SocketAddress *address, GError **errp)
{
    struct stat st;
    bool pending;

    if (lstat(address->path, &st) < 0)
        return true;
    if (!S_ISSOCK(st.st_mode))
        return error_set(errp, "path=%s: the file exists and is not a socket; choose another path", address->path);
    int fd = socket_address_connect(address, &pending);
    int err = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    if (err != ECONNREFUSED)
        return error_set(errp, "path=%s: another program listens there; choose another path", address->path);
    unlink(address->path);
    return true;
}

static bool cannot_listen(const SocketAddress *address, GError **errp)
{
    if (errno == EADDRINUSE)
        return error_set(errp, "%s is in use; choose another, or end the program that has it", address->text);
    if (errno == EACCES && !address->path)
        return error_set(errp, "%s may be used by root only; choose a port above 1023", address->text);
    return error_set_errno(errp, errno, "cannot listen at %s (%s)", address->text,
                           address->path ? "is the directory there and writable?" : "is it an address of this host?");
}

static bool bind_and_listen(int fd, const SocketAddress *address, bool owner_only)
{
    mode_t before = owner_only ? umask(077) : 0;
    bool bound = bind(fd, (const struct sockaddr *)&address->addr, address->len) == 0;
    int err = errno;

    if (owner_only)
        umask(before);
    errno = err;
    return bound && listen(fd, 4) == 0;
}

int socket_address_listen(const SocketAddress *address, bool owner_only, GError **errp)
{
    int fd, on = 1;

    if (address->path && !remove_stale(address, errp))
        return -1;
    fd = new_socket(address);
    if (fd < 0) {
        error_set_errno(errp, errno, "cannot make a socket for %s", address->text);
        return -1;
    }
    if (address->addr.ss_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!bind_and_listen(fd, address, owner_only)) {
        cannot_listen(address, errp);
        close(fd);
        return -1;
    }
    return fd;
}

int socket_address_connect(const SocketAddress *address, bool *pending)
{
    int fd = new_socket(address);

    *pending = false;
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address->addr, address->len) == 0)
        return fd;
    if (errno == EINPROGRESS) {
        *pending = true;
        return fd;
    }
    int err = errno;
    close(fd);
    errno = err;
    return -1;
}

int socket_connect_result(int fd)
{
    int err = 0;
    socklen_t len = sizeof(err);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? errno : err;
}
