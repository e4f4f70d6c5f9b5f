/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lookup of the system's firmware images.
 *
 * Directories and packages are Debian's; other distributions use the same directories.
 */
#include "pc-bios/lookup.h"

#include <string.h>

#include "core/error.h"
#include "core/host.h"
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

static const struct {
    const char *purpose, *package, *what;
} kinds[] = {
    [FIRMWARE_BIOS] = {"firmware image", "seabios", "the PC's BIOS"},
    [FIRMWARE_OPTION_ROM] = {"option ROM", "ipxe-qemu", "those of network cards"},
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

static char *find(const Machine *machine, const char *name)
{
    char *path = NULL;

    /* A path that is wrong is reported by whoever opens it. */
    if (is_file(name) || strchr(name, '/'))
        return g_strdup(name);
    for (guint i = 0; machine && i < machine->firmware_dirs->len && !path; i++)
        path = find_in(g_ptr_array_index(machine->firmware_dirs, i), name);
    for (size_t i = 0; i < G_N_ELEMENTS(system_dirs) && !path; i++)
        path = find_in(system_dirs[i], name);
    return path;
}

bool firmware_load(FirmwareImage *image, const Machine *machine, const char *name, FirmwareKind kind, size_t max, GError **errp)
{
    const char *package = package_of(name), *purpose = kinds[kind].purpose;
    g_autoptr(GError) err = NULL;

    *image = (FirmwareImage){.path = find(machine, name)};
    if (!image->path && package)
        return error_set(errp, "%s '%s' is not on this system: install the package '%s', or give its directory with -L",
                         purpose, name, package);
    if (!image->path)
        return error_set(errp, "%s '%s' is neither a file nor in a firmware directory: give its path, or its directory with -L",
                         purpose, name);
    if (!host_load_file(image->path, max, purpose, &image->data, &image->len, &err))
        return error_set(errp, "%s; the package '%s' has %s", err->message, kinds[kind].package, kinds[kind].what);
    return true;
}

void firmware_release(FirmwareImage *image)
{
    g_free(image->path);
    g_free(image->data);
}
