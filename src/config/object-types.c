/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every object type there is, in the order -object help lists them.
 */
#include "core/iothread.h"
#include "core/memory-backend.h"
#include "core/object.h"
#include "core/rng.h"

const ObjectType *const object_types[] = {
    &iothread_type,
    &memory_backend_file_type,
    &memory_backend_memfd_type,
    &memory_backend_ram_type,
    &rng_builtin_type,
    &rng_random_type,
    NULL,
};
