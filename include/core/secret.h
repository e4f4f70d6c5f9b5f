/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "-object secret": passwords and keys that others name by their id, so that they stand in one place
 * and in no message.
 *
 *     secret,id=ID,file=PATH|data=TEXT[,format=raw|base64][,keyid=ID,iv=BASE64]
 *
 * With keyid the content is encrypted (AES-256-CBC, PKCS#7 padding, as QEMU's), the key being the 32
 * bytes of another secret; format says how the encrypted content is written.
 *
 * The bytes are wiped when the object goes. They are never logged, printed or written to a file.
 */
#ifndef CORE_SECRET_H
#define CORE_SECRET_H

#include "core/object.h"

extern const ObjectType secret_type;

/* The bytes of the secret of this id, NUL-terminated one past len, the object's own; NULL with an error. */
const guint8 *secret_lookup(const Machine *machine, const char *id, size_t *len, GError **errp);

#endif
