/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unpack-kernel BZIMAGE VMLINUX: the payload of a bzImage, by the loader's own decompressors.
 */
#include <stdio.h>

#include "core/bits.h"
#include "hw/i386/load.h"

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *file = NULL, *vmlinux = NULL;
    gsize len;
    size_t vmlinux_len;

    if (argc != 3 || !g_file_get_contents(argv[1], (char **)&file, &len, &error) || len < 4096) {
        fprintf(stderr, "%s\n", error ? error->message : "unpack-kernel BZIMAGE VMLINUX");
        return 1;
    }
    size_t start = (file[0x1f1] + 1) * 512 + load_le(file + 0x248, 4), payload = load_le(file + 0x24c, 4);
    if (!range_ok(start, payload, len) || !unpack(file + start, payload, GIB, &vmlinux, &vmlinux_len, &error) ||
        !g_file_set_contents(argv[2], (char *)vmlinux, vmlinux_len, &error)) {
        fprintf(stderr, "%s\n", error ? error->message : "truncated");
        return 1;
    }
    return 0;
}
