/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every object type there is, in the order -object help lists them.
 */
#include "core/iothread.h"
#include "core/memory-backend.h"
#include "core/object.h"
#include "core/rng.h"
#include "core/secret.h"
#include "core/thread-context.h"

const ObjectType *const object_types[] = {
    &iothread_type,
    &memory_backend_file_type,
    &memory_backend_memfd_type,
    &memory_backend_ram_type,
    &rng_builtin_type,
    &rng_random_type,
    &secret_type,
    &thread_context_type,
    NULL,
};
