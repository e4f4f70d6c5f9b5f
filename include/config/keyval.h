/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Option arguments: "a=1,b.c=on,list.0=x" and JSON objects, as one tree.
 *
 * key=value lists: commas separate, ",," is a comma in a value, dots nest, numeric keys make lists,
 * a first element without "=" is the value of the option's implied key, a later bare "flag" is
 * "flag=on" and "noflag" is not special. An argument that starts with "{" is a JSON object of the
 * same shape. Repeated keys: the last wins; merging a second argument into a tree does the same
 * (objects merge member by member, strings and lists are replaced).
 *
 *     "pc,accel=kvm,smm=off"        implied key "type": {type: "pc", accel: "kvm", smm: "off"}
 *     "a.b=1,a.c=x,,y,l.0=p,l.1=q"  {a: {b: "1", c: "x,y"}, l: ["p", "q"]}
 */
#ifndef CONFIG_KEYVAL_H
#define CONFIG_KEYVAL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum KvKind { KV_STRING, KV_DICT, KV_LIST } KvKind;

typedef struct KvNode KvNode;

/* NULL with an error that names the offending part. implied_key may be NULL. */
KvNode *keyval_parse(const char *arg, const char *implied_key, GError **errp);
/* The same for options that are older than nesting (-drive): "file=x,file.locking=off" are two keys. Never JSON.
 * keyval_foreach gives them as they were written. */
KvNode *keyval_parse_flat(const char *arg, const char *implied_key, GError **errp);
/* On failure into is as before. */
bool keyval_merge(KvNode *into, const char *arg, const char *implied_key, GError **errp);
/* An empty dictionary, and a string under a dotted path of one; for options made of other options. */
KvNode *keyval_new_dict(void);
bool keyval_set(KvNode *dict, const char *path, const char *value, GError **errp);
void keyval_free(KvNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KvNode, keyval_free)

KvKind keyval_kind(const KvNode *node);
/* path is dotted. NULL if absent or not a string. Marks the key as used. */
const char *keyval_get(KvNode *dict, const char *path);
KvNode *keyval_get_node(KvNode *dict, const char *path);
guint keyval_list_length(const KvNode *list);
KvNode *keyval_list_item(KvNode *list, guint i);
/* Calls fn for each string leaf with its dotted path, in the order given, and marks it as used.
 * Stops at false. */
bool keyval_foreach(KvNode *dict, bool (*fn)(const char *path, const char *value, void *opaque), void *opaque);
/* Error naming the first key nobody read, with the nearest of known[] (NULL-terminated, or NULL). */
bool keyval_check_unused(KvNode *dict, const char *option, const char *const *known, GError **errp);

/* Scalars in option syntax; the error names value and expectation. */
bool parse_bool(const char *value, bool *out);
bool parse_u64(const char *value, uint64_t *out);
/* Suffixes B K M G T P E (powers of 1024), fractions allowed ("1.5G"); default_unit e.g. MIB. */
bool parse_size(const char *value, uint64_t default_unit, uint64_t *out);
/* The candidate closest to word, or NULL if none is near: "did you mean". */
const char *nearest_name(const char *word, const char *const *candidates);

#endif
