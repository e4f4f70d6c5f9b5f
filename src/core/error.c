/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/error.h"

G_DEFINE_QUARK(vmm-error-quark, vmm_error)

static void set_valist(GError **errp, VmmErrorCode code, const char *suffix, const char *fmt, va_list ap)
{
    if (!errp)
        return;
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    g_set_error(errp, VMM_ERROR, code, "%s%s%s", text, suffix ? ": " : "", suffix ? suffix : "");
}

bool error_set(GError **errp, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    set_valist(errp, VMM_ERROR_FAILED, NULL, fmt, ap);
    va_end(ap);
    return false;
}

bool error_set_code(GError **errp, VmmErrorCode code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    set_valist(errp, code, NULL, fmt, ap);
    va_end(ap);
    return false;
}

bool error_set_errno(GError **errp, int err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    set_valist(errp, VMM_ERROR_HOST, g_strerror(err), fmt, ap);
    va_end(ap);
    return false;
}
