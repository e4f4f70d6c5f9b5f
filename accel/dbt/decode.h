/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From instruction bytes to DbtInsn.
 */
#ifndef DBT_DECODE_H
#define DBT_DECODE_H

#include "accel/dbt/dbt.h"

typedef enum DecodeResult {
    DECODE_NEXT, /* more instructions may follow in the block */
    DECODE_END,  /* this one ends the block */
    DECODE_MORE, /* the instruction goes on behind the last byte */
} DecodeResult;

struct DbtDecoder *dbt_decoder_new(void);
void dbt_decoder_free(struct DbtDecoder *decoder);
/* What CPUID offers (v->cpuid) decides which instructions exist. */
void dbt_decoder_set_cpuid(struct DbtDecoder *decoder, const CpuidTable *cpuid);

/*
 * Decodes one instruction of v's code size from at most len bytes. An illegal one becomes a handler
 * that raises #UD (or #GP if it is longer than 15 bytes). linear is for logs only.
 */
DecodeResult dbt_decode(DbtVcpu *v, const uint8_t *bytes, unsigned len, uint64_t linear, DbtInsn *insn);

/* The same for bytes decoded before; not logged again. */
DecodeResult dbt_decode_again(DbtVcpu *v, const uint8_t *bytes, unsigned len, DbtInsn *insn);

/* Builds accel->ops; the result is freed with g_free. */
const struct DbtOp **dbt_ops_index(void);

#endif
