/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "-object memory-backend-ram|memfd|file": what a block of guest RAM is made of. The object only
 * describes; the RAM is allocated by who builds the machine (core/ram.h).
 */
#ifndef CORE_MEMORY_BACKEND_H
#define CORE_MEMORY_BACKEND_H

#include "core/object.h"
#include "core/ram.h"

extern const ObjectType memory_backend_ram_type, memory_backend_memfd_type, memory_backend_file_type;

bool is_memory_backend(const Object *obj);
/* The description; its path is the caller's to free, its prealloc_context is the object's. */
RamOptions memory_backend_ram_options(const Object *obj);

#endif
