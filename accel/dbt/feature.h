/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which instruction sets a CPUID table offers, in Zydis' terms.
 */
#ifndef DBT_FEATURE_H
#define DBT_FEATURE_H

#include <Zydis/Zydis.h>

#include "accel/accel.h"

typedef struct DbtFeatures {
    bool isa_set[ZYDIS_ISA_SET_MAX_VALUE + 1];
    bool wbnoinvd;
} DbtFeatures;

void dbt_features_from_cpuid(DbtFeatures *features, const CpuidTable *cpuid);

#endif
