/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where something listens or connects: a path, an abstract name (unix(7)), or a host and port. For
 * socket character devices, and for the gdb stub.
 */
#ifndef CHARDEV_SOCKET_ADDRESS_H
#define CHARDEV_SOCKET_ADDRESS_H

#include <glib.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "config/keyval.h"

#define SOCKET_KEYS "path", "abstract", "tight", "host", "port", "ipv4", "ipv6"

typedef struct SocketAddress {
    struct sockaddr_storage addr;
    socklen_t len;
    char *text;          /* for messages: "unix:/path", "tcp:host:port" */
    char *path;          /* of the file; NULL if there is none */
} SocketAddress;

/* From SOCKET_KEYS. Names are resolved, so this may wait for a name server. */
bool socket_address_parse(SocketAddress *address, KvNode *kv, GError **errp);
/* The parts: a path in the file system; a host (NULL or "": loopback) and port of the family or AF_UNSPEC. */
bool socket_address_from_path(SocketAddress *address, const char *path, GError **errp);
bool socket_address_from_host(SocketAddress *address, const char *host, const char *port, int family, GError **errp);
void socket_address_release(SocketAddress *address);
/* A listening, non-blocking socket; -1 on error. A stale socket file is replaced; with owner_only
 * nobody else may connect to the new one. */
int socket_address_listen(const SocketAddress *address, bool owner_only, GError **errp);
/* A non-blocking socket that is connected or, if *pending, will be writable when that is decided;
 * -1 with errno. */
int socket_address_connect(const SocketAddress *address, bool *pending);
/* How a pending connection ended: 0 or an errno. */
int socket_connect_result(int fd);

#endif
