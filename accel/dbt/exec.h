/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DBT_EXEC_H
#define DBT_EXEC_H

#include "accel/dbt/dbt.h"

/* Runs guest code until a request bit is set that core serves. The vCPU's own thread. */
VcpuExit dbt_exec(DbtVcpu *v);

#endif
