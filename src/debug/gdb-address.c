/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the gdb stub listens: "tcp:[HOST]:PORT" and "unix:PATH".
 *
 * Whoever reaches the stub owns the guest, so without a host it is the loopback address (QEMU takes
 * all addresses there), and a unix socket is its owner's alone.
 */
#include <string.h>

#include "chardev/socket-address.h"
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

/* "[HOST]:PORT"; an IPv6 address stands in brackets. */
static bool parse_tcp(SocketAddress *address, const char *host_port, GError **errp)
{
    const char *colon = strrchr(host_port, ':');
    size_t len = colon ? (size_t)(colon - host_port) : 0;
    bool brackets = len >= 2 && host_port[0] == '[' && colon[-1] == ']';

    if (!colon)
        return error_set_code(errp, VMM_ERROR_USAGE, "a port from 1 to 65535 is missing: tcp:[HOST]:PORT");
    g_autofree char *host = g_strndup(host_port + brackets, len - 2 * brackets);
    return socket_address_from_host(address, host, colon + 1, AF_UNSPEC, errp);
}

static bool parse_address(SocketAddress *address, const char *text, GError **errp)
{
    if (g_str_has_prefix(text, "tcp:"))
        return parse_tcp(address, text + strlen("tcp:"), errp);
    if (g_str_has_prefix(text, "unix:"))
        return socket_address_from_path(address, text + strlen("unix:"), errp);
    return error_set_code(errp, VMM_ERROR_USAGE, "an address is tcp:[HOST]:PORT, unix:PATH or stdio");
}

int gdb_listen(const char *text, char **unlink_path, GError **errp)
{
    g_autofree char *stripped = strip_suffixes(text, errp);
    SocketAddress address;
    int fd;

    *unlink_path = NULL;
    if (!stripped || !parse_address(&address, stripped, errp))
        return -1;
    fd = socket_address_listen(&address, true, errp);
    if (fd >= 0)
        *unlink_path = g_strdup(address.path);
    socket_address_release(&address);
    return fd;
}
