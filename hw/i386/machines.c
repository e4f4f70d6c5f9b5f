/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boards there are.
 */
#include "core/machine.h"
#include "hw/i386/pc.h"

const MachineType *const machine_types[] = {
    &pc_machine_type,
    NULL,
};
