/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the parsers of both syntaxes (keyval.c, keyval-json.c) build the tree of config/keyval.h.
 */
#ifndef SRC_CONFIG_KEYVAL_INT_H
#define SRC_CONFIG_KEYVAL_INT_H

#include "config/keyval.h"

/* Levels of nesting in one argument; deeper ones are refused, so recursion over a tree is bounded. */
#define KEYVAL_MAX_DEPTH 16

KvNode *keyval_new_string(const char *value);
KvNode *keyval_new_list(void);
/* Both take over value. A key that exists gets the new value and keeps its place. */
void keyval_dict_set(KvNode *dict, const char *key, KvNode *value);
void keyval_list_append(KvNode *list, KvNode *value);

/* Letters, digits, "-", "_", "+"; not empty, not huge. */
bool keyval_name_ok(const char *name);

KvNode *keyval_parse_json(const char *text, GError **errp);

#endif
