/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors a user can act on, as GError.
 *
 * A message is one line: the thing, the reason, the remedy. The callee says what, a caller adds
 * where (g_prefix_error), src/main.c prints. All setters return false so that a failure reads
 * "return error_set(errp, ...)". errp may be NULL.
 */
#ifndef CORE_ERROR_H
#define CORE_ERROR_H

#include <glib.h>
#include <stdbool.h>

#define VMM_ERROR vmm_error_quark()
GQuark vmm_error_quark(void);

typedef enum VmmErrorCode {
    VMM_ERROR_FAILED,  /* any other reason */
    VMM_ERROR_USAGE,   /* the command line is wrong */
    VMM_ERROR_HOST,    /* a host call failed */
    VMM_ERROR_ABSENT,  /* what was asked for is not on this host (an accelerator that can be skipped) */
} VmmErrorCode;

bool error_set(GError **errp, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
bool error_set_code(GError **errp, VmmErrorCode code, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/* Appends ": strerror(err)". */
bool error_set_errno(GError **errp, int err, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

#endif
