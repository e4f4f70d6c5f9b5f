/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The drivers there are. Probing asks the formats in this order; raw is what is left.
 */
#include <string.h>

#include "src/block/block-int.h"

const BlockDriver *block_driver_find(const char *name)
{
    for (const BlockDriver *const *driver = block_drivers; *driver; driver++) {
        if (strcmp((*driver)->name, name) == 0)
            return *driver;
    }
    return NULL;
}

const BlockDriver *const block_drivers[] = {
    &block_driver_qcow2,
    &block_driver_raw,
    &block_driver_file,
    &block_driver_null,
    NULL,
};
