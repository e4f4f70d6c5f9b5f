/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices, their types and their properties.
 *
 * A device is a plain struct whose first member is Device (or a struct that begins with one), and
 * one static const DeviceType. The property table is the one source for -device NAME,help, option
 * parsing, introspection and the manual. All types are listed in hw/devices.c.
 *
 *            device_new          device_realize             device_free
 *     (type) ----------> NEW ------------------> REALIZED -------------> (gone)
 *                         | set properties         | reset any number of times
 *
 * Properties may be set only while NEW. realize either succeeds or leaves the device NEW with
 * nothing registered. reset puts every guest-visible register to its datasheet value.
 *
 * Locking: machine_lock for everything here.
 */
#ifndef CORE_DEVICE_H
#define CORE_DEVICE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Machine Machine;
typedef struct Device Device;
typedef struct DeviceType DeviceType;

typedef enum PropertyKind {
    PROP_BOOL,    /* bool: on|off|yes|no|true|false */
    PROP_U8,      /* decimal, 0x hex */
    PROP_U16,
    PROP_U32,
    PROP_U64,
    PROP_I32,
    PROP_SIZE,    /* uint64_t bytes, suffixes B K M G T */
    PROP_STRING,  /* char *, owned by the device */
    PROP_ENUM,    /* int, index into names */
    PROP_CHARDEV, /* CharBackend (embedded), attached to a chardev by id (chardev/char.h) */
    PROP_DRIVE,   /* BlockBackend *, the device's own, by drive id or node-name (block/backend.h) */
} PropertyKind;

typedef struct Property {
    const char *name;
    PropertyKind kind;
    size_t offset;            /* of the value in the instance */
    const char *def;          /* default in option syntax; NULL: zero */
    const char *help;         /* one line */
    const char *const *names; /* PROP_ENUM: NULL-terminated */
    uint64_t min, max;        /* numbers: allowed range; both 0: the type's own */
} Property;

/* An output of a device: an Irq in its instance, which a test may watch (qtest's irq_intercept_out). */
typedef struct DeviceWire {
    const char *name;
    size_t offset;
} DeviceWire;

struct DeviceType {
    const char *name;  /* QEMU's, where QEMU has the device: "isa-serial" */
    const char *desc;
    const char *bus;   /* "isa", "system"; the board's realize order decides the rest */
    size_t instance_size;
    bool user_creatable; /* -device may name it */
    const Property *props; /* ends with .name NULL; may be NULL */
    const DeviceWire *wires; /* likewise */
    bool (*realize)(Device *dev, GError **errp);
    void (*unrealize)(Device *dev); /* undoes realize; may be NULL if nothing to undo */
    void (*reset)(Device *dev);     /* may be NULL */
};

struct Device {
    const DeviceType *type;
    char *id;         /* the user's id= or NULL */
    Machine *machine; /* set before realize */
    bool realized;
    char *broken;     /* why the guest's view is dead, or NULL; see device_set_broken */
};

/* All types, NULL-terminated (hw/devices.c). */
extern const DeviceType *const device_types[];
const DeviceType *device_type_find(const char *name);

/* An instance with default properties; machine may be NULL in unit tests of devices without one. */
Device *device_new(const DeviceType *type, Machine *machine, const char *id);
/* value in option syntax. Unknown names and bad values are errors that name the nearest property. */
bool device_set_property(Device *dev, const char *name, const char *value, GError **errp);
/* Realizes and adds to machine->devices (reset order). */
bool device_realize(Device *dev, GError **errp);
void device_reset(Device *dev);
/* Unrealizes if needed, removes from the machine, frees properties and instance. */
void device_free(Device *dev);
/* For messages: id if given, else the type's name. */
const char *device_name(const Device *dev);
/* The guest broke the device beyond its rules: logged once; until its next reset the device answers
 * as if absent. machine_lock held. */
void device_set_broken(Device *dev, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* "-device NAME,help". */
void device_type_print_help(const DeviceType *type, GString *out);

/* Values of any property table, also those of objects that are not devices. */
bool property_parse(const Property *prop, void *instance, const char *value, GError **errp);
/* By name; owner ("isa-serial", "-accel dbt") begins the message. */
bool property_set(const Property *props, void *instance, const char *owner, const char *name, const char *value,
                  GError **errp);
void property_set_defaults(const Property *props, void *instance);
void property_release(const Property *props, void *instance);
const Property *property_find(const Property *props, const char *name);
/* A value in option syntax; NULL: a string that was not given. The caller's. */
char *property_format(const Property *prop, const void *instance);
/* One line each: "  iobase = 0x3f8". */
void property_print_values(const Property *props, const void *instance, GString *out);
/* One line each: "  iobase=<uint32>   help (default: 0x3f8)". */
void property_print_help(const Property *props, GString *out);

#endif
