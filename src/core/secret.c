/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secrets (core/secret.h). AES is the crypto library's.
 */
#include "core/secret.h"

#include <string.h>
#ifdef HAVE_GNUTLS
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#endif

#include "core/error.h"
#include "core/host.h"

#define SECRET_MAX (64 * 1024) /* bytes as given */
#define KEY_SIZE 32
#define IV_SIZE 16
#define BLOCK_SIZE 16

enum { FORMAT_RAW, FORMAT_BASE64 };

typedef struct Secret {
    Object obj;
    char *data, *file, *keyid, *iv;
    int format;

    guint8 *bytes; /* once open */
    size_t len;
} Secret;

static void wipe(void *p, size_t len)
{
    if (p)
        explicit_bzero(p, len);
}

static bool check(const Object *obj, GError **errp)
{
    const Secret *secret = (const Secret *)obj;

    if (!secret->data == !secret->file)
        return error_set_code(errp, VMM_ERROR_USAGE, "it takes one of data= and file=");
    if (!secret->keyid != !secret->iv)
        return error_set_code(errp, VMM_ERROR_USAGE, "keyid= and iv= go together");
    return true;
}

/* What was given, before it is decoded. */
static bool read_given(const Secret *secret, guint8 **bytes, size_t *len, GError **errp)
{
    if (secret->file)
        return host_load_file(secret->file, SECRET_MAX, "secret", bytes, len, errp);
    *len = strlen(secret->data);
    *bytes = (guint8 *)g_strdup(secret->data);
    return true;
}

/* Replaces base64 text by what it stands for; blanks and line ends are skipped. */
static bool decode_base64(guint8 *bytes, size_t *len, GError **errp)
{
    size_t used = 0, valid;

    for (size_t i = 0; i < *len; i++) {
        if (!g_ascii_isspace(bytes[i]))
            bytes[used++] = bytes[i];
    }
    bytes[used] = '\0';
    valid = strspn((char *)bytes, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "+/");
    if (used % 4 || used - valid > 2 || strspn((char *)bytes + valid, "=") != used - valid)
        return error_set_code(errp, VMM_ERROR_USAGE, "the content is not base64");
    if (used)
        g_base64_decode_inplace((char *)bytes, len);
    else
        *len = 0;
    bytes[*len] = '\0';
    return true;
}

#ifdef HAVE_GNUTLS
static bool decrypt(guint8 *bytes, size_t len, const guint8 *key, const guint8 *iv, GError **errp)
{
    gnutls_datum_t key_datum = {(unsigned char *)key, KEY_SIZE}, iv_datum = {(unsigned char *)iv, IV_SIZE};
    gnutls_cipher_hd_t cipher;
    int err = gnutls_cipher_init(&cipher, GNUTLS_CIPHER_AES_256_CBC, &key_datum, &iv_datum);

    if (err < 0)
        return error_set(errp, "cannot decrypt: %s", gnutls_strerror(err));
    err = gnutls_cipher_decrypt(cipher, bytes, len);
    gnutls_cipher_deinit(cipher);
    return err >= 0 || error_set(errp, "cannot decrypt: %s", gnutls_strerror(err));
}
#else
static bool decrypt(guint8 *bytes, size_t len, const guint8 *key, const guint8 *iv, GError **errp)
{
    return error_set(errp, "keyid= needs AES, which this build of vmm has not (build with gnutls)");
}
#endif

/* PKCS#7: the last byte says how many there are of it. */
static bool remove_padding(guint8 *bytes, size_t *len, GError **errp)
{
    guint8 padding = bytes[*len - 1];
    bool ok = padding >= 1 && padding <= BLOCK_SIZE && padding <= *len;

    for (size_t i = 1; ok && i <= padding; i++)
        ok = bytes[*len - i] == padding;
    if (!ok)
        return error_set(errp, "the decrypted content has no valid padding: keyid= or iv= is not what it was encrypted with");
    *len -= padding;
    bytes[*len] = '\0';
    return true;
}

static bool decode_encrypted(const Secret *secret, guint8 *bytes, size_t *len, GError **errp)
{
    size_t key_len, iv_len = strlen(secret->iv);
    g_autofree guint8 *iv = (guint8 *)g_strdup(secret->iv);
    const guint8 *key = secret_lookup(secret->obj.machine, secret->keyid, &key_len, errp);

    if (!key)
        return false;
    if (key_len != KEY_SIZE)
        return error_set_code(errp, VMM_ERROR_USAGE, "keyid=%s: a key has %d bytes, this secret has %zu", secret->keyid,
                              KEY_SIZE, key_len);
    if (!decode_base64(iv, &iv_len, NULL) || iv_len != IV_SIZE)
        return error_set_code(errp, VMM_ERROR_USAGE, "iv= is not the base64 of %d bytes", IV_SIZE);
    if (secret->format == FORMAT_BASE64 && !decode_base64(bytes, len, errp))
        return false;
    if (!*len || *len % BLOCK_SIZE)
        return error_set_code(errp, VMM_ERROR_USAGE, "the content has %zu bytes, which is no multiple of %d", *len, BLOCK_SIZE);
    return decrypt(bytes, *len, key, iv, errp) && remove_padding(bytes, len, errp);
}

static bool secret_open(Object *obj, GError **errp)
{
    Secret *secret = (Secret *)obj;
    size_t len, given;
    guint8 *bytes;
    bool ok = true;

    if (!read_given(secret, &bytes, &len, errp))
        return false;
    given = len;
    if (secret->keyid)
        ok = decode_encrypted(secret, bytes, &len, errp);
    else if (secret->format == FORMAT_BASE64)
        ok = decode_base64(bytes, &len, errp);
    if (!ok) {
        wipe(bytes, given);
        g_free(bytes);
        return false;
    }
    secret->bytes = bytes;
    secret->len = len;
    return true;
}

static void secret_close(Object *obj)
{
    Secret *secret = (Secret *)obj;

    wipe(secret->bytes, secret->len);
    g_free(secret->bytes);
    wipe(secret->data, secret->data ? strlen(secret->data) : 0);
}

const guint8 *secret_lookup(const Machine *machine, const char *id, size_t *len, GError **errp)
{
    const Secret *secret = (const Secret *)object_require(machine, &secret_type, id, errp);

    if (!secret)
        return NULL;
    *len = secret->len;
    return secret->bytes;
}

static const char *const format_names[] = {"raw", "base64", NULL};

#define PROP(name_, help_) \
    {.name = #name_, .kind = PROP_STRING, .offset = offsetof(Secret, name_), .help = help_}

static const Property props[] = {
    PROP(data, "the secret itself; others can see it in the list of processes, so prefer file="),
    PROP(file, "file that holds it"),
    {.name = "format", .kind = PROP_ENUM, .offset = offsetof(Secret, format), .def = "raw", .names = format_names,
     .help = "how it is written"},
    PROP(keyid, "secret that holds the key it is encrypted with (AES-256-CBC)"),
    PROP(iv, "initialization vector of that, in base64"),
    {.name = NULL},
};

const ObjectType secret_type = {
    .name = "secret",
    .desc = "a password or key",
    .instance_size = sizeof(Secret),
    .props = props,
    .check = check,
    .open = secret_open,
    .close = secret_close,
};
