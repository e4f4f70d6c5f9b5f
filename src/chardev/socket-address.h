/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a socket character device listens or connects: a path, an abstract name (unix(7)), or a
 * host and port.
 */
#ifndef SRC_CHARDEV_SOCKET_ADDRESS_H
#define SRC_CHARDEV_SOCKET_ADDRESS_H

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

/* Resolves names, so this may wait for a name server. */
bool socket_address_parse(SocketAddress *address, KvNode *kv, GError **errp);
void socket_address_release(SocketAddress *address);
/* A listening, non-blocking socket; -1 on error. A stale socket file is replaced. */
int socket_address_listen(const SocketAddress *address, GError **errp);
/* A non-blocking socket that is connected or, if *pending, will be writable when that is decided;
 * -1 with errno. */
int socket_address_connect(const SocketAddress *address, bool *pending);
/* How a pending connection ended: 0 or an errno. */
int socket_connect_result(int fd);

#endif
