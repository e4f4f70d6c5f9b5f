/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of a -kernel boot: opened once, read for each plan, given back in between.
 *
 * A reset loads the kernel anew from the descriptors opened at start, so a VM that never resets
 * keeps no copy of its kernel and initrd, and one that does needs no path to still exist.
 */
#include "hw/i386/boot.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/host.h"
#include "load.h"

#define KERNEL_FILE_MAX (1 * GIB)
#define INITRD_FILE_MAX (2 * GIB)

static void boot_file_release(BootFile *file)
{
    if (file->fd >= 0)
        close(file->fd);
    g_free(file->data);
    g_free(file->name);
    *file = (BootFile){.fd = -1};
}

static bool boot_file_read(BootFile *file, uint64_t max, GError **errp)
{
    struct stat st;

    if (fstat(file->fd, &st) < 0)
        return error_set_errno(errp, errno, "cannot read '%s'", file->name);
    if (!S_ISREG(st.st_mode))
        return error_set(errp, "cannot boot from '%s': it is not a regular file", file->name);
    if (!st.st_size)
        return error_set(errp, "cannot boot from '%s': the file is empty", file->name);
    if ((uint64_t)st.st_size > max)
        return error_set(errp, "cannot boot from '%s': %" PRIu64 " MiB are more than the %" PRIu64 " MiB allowed",
                         file->name, (uint64_t)st.st_size / MIB, max / MIB);
    uint8_t *data = g_try_malloc(st.st_size);
    if (!data)
        return error_set(errp, "no memory to read the %" PRIu64 " MiB of '%s': free some on the host",
                         (uint64_t)st.st_size / MIB, file->name);
    if (!host_pread_full(file->fd, data, st.st_size, 0)) {
        int err = errno;
        g_free(data);
        return error_set_errno(errp, err ? err : EIO, "cannot read '%s'", file->name);
    }
    g_free(file->data);
    file->data = data;
    file->len = st.st_size;
    return true;
}

/* path may be a prefix of name (multiboot modules carry arguments). */
static bool boot_file_open(BootFile *file, const char *name, const char *path, uint64_t max,
                           const char *purpose, GError **errp)
{
    *file = (BootFile){.name = g_strdup(name), .fd = -1};
    /* O_NONBLOCK: opening a FIFO must not wait for a writer; it is refused as not regular. */
    file->fd = host_open(path, O_RDONLY | O_NONBLOCK, 0, purpose, errp);
    if (file->fd < 0 || !boot_file_read(file, max, errp)) {
        boot_file_release(file);
        return false;
    }
    return true;
}

static bool probe_format(BootSource *source, GError **errp)
{
    const BootFile *kernel = &source->kernel;

    if (bzimage_probe(kernel->data, kernel->len))
        source->format = BOOT_FORMAT_BZIMAGE;
    else if (multiboot_probe(kernel->data, kernel->len))
        source->format = BOOT_FORMAT_MULTIBOOT;
    else if (elf_probe(kernel->data, kernel->len))
        source->format = BOOT_FORMAT_ELF;
    else if (unpack_name(kernel->data, kernel->len))
        return error_set(errp, "cannot boot kernel '%s': it is %s-compressed data: unpack it first", kernel->name,
                         unpack_name(kernel->data, kernel->len));
    else if (kernel->len >= 60 && !memcmp(kernel->data + 56, "ARMd", 4))
        return error_set(errp, "cannot boot kernel '%s': it is for 64-bit Arm: use an x86 kernel", kernel->name);
    else
        return error_set(errp, "cannot boot kernel '%s': neither a bzImage, an ELF nor a multiboot image: "
                         "give an x86 kernel", kernel->name);
    return true;
}

static BootSource *source_new(const char *append)
{
    BootSource *source = g_new0(BootSource, 1);
    source->kernel.fd = -1;
    source->modules = g_array_new(FALSE, TRUE, sizeof(BootFile));
    source->append = g_strdup(append ? append : "");
    return source;
}

static bool open_module(BootSource *source, const char *name, const char *path, GError **errp)
{
    BootFile file;
    if (!boot_file_open(&file, name, path, INITRD_FILE_MAX, "initrd", errp))
        return false;
    g_array_append_val(source->modules, file);
    return true;
}

/* Multiboot: "file args,file2 args"; ",," is a comma. */
static bool open_module_list(BootSource *source, const char *list, GError **errp)
{
    g_autoptr(GString) item = g_string_new(NULL);

    for (const char *p = list;; p++) {
        if (*p == ',' && p[1] == ',') {
            g_string_append_c(item, *p++);
        } else if (*p && *p != ',') {
            g_string_append_c(item, *p);
        } else {
            g_autofree char *path = g_strndup(item->str, strcspn(item->str, " "));
            if (!open_module(source, item->str, path, errp))
                return false;
            g_string_truncate(item, 0);
            if (!*p)
                return true;
        }
    }
}

BootSource *boot_source_open(const BootOptions *options, GError **errp)
{
    g_autoptr(BootSource) source = source_new(options->append);

    if (!boot_file_open(&source->kernel, options->kernel, options->kernel, KERNEL_FILE_MAX, "kernel", errp) ||
        !probe_format(source, errp))
        return NULL;
    if (options->initrd && *options->initrd) {
        bool opened = source->format == BOOT_FORMAT_MULTIBOOT
                          ? open_module_list(source, options->initrd, errp)
                          : open_module(source, options->initrd, options->initrd, errp);
        if (!opened)
            return NULL;
    }
    return g_steal_pointer(&source);
}

const char *boot_source_needs_firmware(const BootSource *source)
{
    return source->format == BOOT_FORMAT_BZIMAGE ? bzimage_needs_firmware(&source->kernel) : NULL;
}

BootRealMode *boot_real_mode(const BootSource *source, uint64_t ram_end, GError **errp)
{
    g_assert(source->format == BOOT_FORMAT_BZIMAGE);
    return bzimage_real_mode(source, ram_end, errp);
}

void boot_real_mode_free(BootRealMode *parts)
{
    if (parts)
        g_free(parts->setup);
    g_free(parts);
}

BootSource *boot_source_from_data(const char *name, const void *kernel, size_t len, const char *append,
                                  GError **errp)
{
    g_autoptr(BootSource) source = source_new(append);

    source->kernel = (BootFile){g_strdup(name), -1, g_memdup2(kernel, len), len};
    return probe_format(source, errp) ? g_steal_pointer(&source) : NULL;
}

void boot_source_add_module(BootSource *source, const char *name, const void *data, size_t len)
{
    BootFile file = {g_strdup(name), -1, g_memdup2(data, len), len};
    g_array_append_val(source->modules, file);
}

static void boot_file_unload(BootFile *file)
{
    if (file->fd >= 0)
        g_clear_pointer(&file->data, g_free);
}

void boot_source_unload(BootSource *source)
{
    boot_file_unload(&source->kernel);
    for (guint i = 0; i < source->modules->len; i++)
        boot_file_unload(&g_array_index(source->modules, BootFile, i));
}

static bool boot_file_reload(BootFile *file, uint64_t max, GError **errp)
{
    return file->data || boot_file_read(file, max, errp);
}

bool boot_source_reload(BootSource *source, GError **errp)
{
    BootFormat was = source->format;

    if (!boot_file_reload(&source->kernel, KERNEL_FILE_MAX, errp) || !probe_format(source, errp))
        return false;
    if (source->format != was)
        return error_set(errp, "kernel '%s' is no longer the kind of image it was at start", source->kernel.name);
    for (guint i = 0; i < source->modules->len; i++) {
        if (!boot_file_reload(&g_array_index(source->modules, BootFile, i), INITRD_FILE_MAX, errp))
            return false;
    }
    return true;
}

void boot_source_free(BootSource *source)
{
    if (!source)
        return;
    boot_file_release(&source->kernel);
    for (guint i = 0; i < source->modules->len; i++)
        boot_file_release(&g_array_index(source->modules, BootFile, i));
    g_array_unref(source->modules);
    g_free(source->append);
    g_free(source);
}

BootPlan *boot_plan_make(const BootSource *source, const BootBoard *board, GError **errp)
{
    g_autoptr(BootPlan) plan = boot_plan_new();
    bool ok = false;

    switch (source->format) {
    case BOOT_FORMAT_BZIMAGE:
        ok = load_bzimage(plan, source, board, errp);
        break;
    case BOOT_FORMAT_MULTIBOOT:
        ok = load_multiboot(plan, source, board, errp);
        break;
    case BOOT_FORMAT_ELF:
        ok = load_elf(plan, source, board, errp);
        break;
    }
    return ok ? g_steal_pointer(&plan) : NULL;
}
