/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every accelerator there is, in the order -accel help lists them. A file of its own, so that a
 * test can bring its own list.
 */
#include "accel/accel.h"

const AccelOps *const accel_list[] = {
    &kvm_accel_ops,
    &dbt_accel_ops,
    &qtest_accel_ops,
    NULL,
};
