/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the system keeps firmware and option ROMs.
 */
#ifndef PC_BIOS_LOOKUP_H
#define PC_BIOS_LOOKUP_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Machine Machine;

typedef enum FirmwareKind { FIRMWARE_BIOS, FIRMWARE_OPTION_ROM } FirmwareKind;

typedef struct FirmwareImage {
    char *path;
    uint8_t *data;
    size_t len;
} FirmwareImage;

/*
 * Reads the image of at most max bytes: name itself if it is a file (relative names from the working directory, as given), else
 * the first of the -L directories and then of the system's that has it. An error names the package that brings one.
 */
bool firmware_load(FirmwareImage *image, const Machine *machine, const char *name, FirmwareKind kind, size_t max, GError **errp);
void firmware_release(FirmwareImage *image);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(FirmwareImage, firmware_release)

#endif
