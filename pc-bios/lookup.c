/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lookup of the system's firmware images.
 *
 * Directories and packages are Debian's; other distributions use the same directories.
 */
#include "pc-bios/lookup.h"

#include <string.h>

#include "core/error.h"
#include "core/machine.h"

static const char *const system_dirs[] = {
    "/usr/local/share/vmm", "/usr/share/vmm",  "/usr/share/seabios",  "/usr/share/qemu",
    "/usr/share/vgabios",   "/usr/lib/ipxe/qemu", "/usr/share/OVMF",
};

static const struct {
    const char *prefix, *package;
} packages[] = {
    {"bios", "seabios"}, {"vgabios", "seabios"}, {"efi-", "ipxe-qemu"}, {"pxe-", "ipxe-qemu"}, {"OVMF", "ovmf"},
};

static bool is_file(const char *path)
{
    return g_file_test(path, G_FILE_TEST_IS_REGULAR);
}

static char *find_in(const char *dir, const char *name)
{
    char *path = g_build_filename(dir, name, NULL);

    if (is_file(path))
        return path;
    g_free(path);
    return NULL;
}

static const char *package_of(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(packages); i++) {
        if (g_str_has_prefix(name, packages[i].prefix))
            return packages[i].package;
    }
    return NULL;
}

char *firmware_find(const Machine *machine, const char *name, const char *purpose, GError **errp)
{
    const char *package = package_of(name);
    char *path = NULL;

    /* A path that is wrong is reported by whoever opens it. */
    if (is_file(name) || strchr(name, '/'))
        return g_strdup(name);
    for (guint i = 0; machine && i < machine->firmware_dirs->len && !path; i++)
        path = find_in(g_ptr_array_index(machine->firmware_dirs, i), name);
    for (size_t i = 0; i < G_N_ELEMENTS(system_dirs) && !path; i++)
        path = find_in(system_dirs[i], name);
    if (!path && package)
        error_set(errp, "%s '%s' is not on this system: install the package '%s', or give its directory with -L",
                  purpose, name, package);
    else if (!path)
        error_set(errp, "%s '%s' is neither a file nor in a firmware directory: give its path, or its directory with -L",
                  purpose, name);
    return path;
}
