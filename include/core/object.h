/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What "-object TYPE,id=ID" makes: things other options refer to by their id (memory backends,
 * random number sources, secrets, I/O threads, thread contexts).
 *
 * An object is a plain struct whose first member is Object, and one static const ObjectType; all
 * types are listed in src/config/object-types.c.
 *
 *            object_new        object_add             object_remove, machine_free
 *     (type) ----------> NEW ---------------> OPEN ------------------------------> (gone)
 *                         | set properties     | object_hold / object_release
 *                         | object_check
 *
 * What is NEW touches nothing outside itself, so a command line can be checked without effects.
 * object_add opens files, makes threads. An object somebody holds cannot be removed.
 *
 * Locking: machine_lock for everything here, except as a type's own header says.
 */
#ifndef CORE_OBJECT_H
#define CORE_OBJECT_H

#include <glib.h>
#include <stdbool.h>

#include "core/device.h"

typedef struct Object Object;

typedef struct ObjectType {
    const char *name; /* QEMU's, where QEMU has it */
    const char *desc;
    size_t instance_size;
    const Property *props; /* without "id"; ends with .name NULL */
    /* Whether the properties go together; the message names the property. May be NULL. */
    bool (*check)(const Object *obj, GError **errp);
    /* Both may be NULL. close undoes open; properties are released after it. */
    bool (*open)(Object *obj, GError **errp);
    void (*close)(Object *obj);
} ObjectType;

struct Object {
    const ObjectType *type;
    char *id;
    Machine *machine; /* once OPEN */
    unsigned holders;
};

extern const ObjectType *const object_types[];
const ObjectType *object_type_find(const char *name);

Object *object_new(const ObjectType *type, const char *id);
/* Only while NEW; unknown names and bad values are errors that name the nearest property. */
bool object_set_property(Object *obj, const char *name, const char *value, GError **errp);
bool object_check(const Object *obj, GError **errp);
/* Of a NEW object, or one that was never added. */
void object_free(Object *obj);

/* Checks and opens it. On success the machine owns it; on failure the caller does still. */
bool object_add(Machine *machine, Object *obj, GError **errp);
/* "object-del". */
bool object_remove(Machine *machine, const char *id, GError **errp);
/* type NULL: of any type. NULL if there is none. */
Object *object_find(const Machine *machine, const ObjectType *type, const char *id);
/* As object_find, with an error that says what is missing. */
Object *object_require(const Machine *machine, const ObjectType *type, const char *id, GError **errp);
void object_hold(Object *obj);
void object_release(Object *obj);

/* "-object help" and "-object TYPE,help". */
void object_types_print_help(GString *out);
void object_type_print_help(const ObjectType *type, GString *out);

#endif
