/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DBT_EXEC_H
#define DBT_EXEC_H

#include "accel/dbt/dbt.h"

/* Runs guest code until a request bit is set that core serves. The vCPU's own thread. */
VcpuExit dbt_exec(DbtVcpu *v);

/* For jit-run.c: one block, found at cs:rip; and what follows after a block or an instruction. */
void dbt_run_block(DbtVcpu *v, DbtBlock *b);
void dbt_after_block(DbtVcpu *v, DbtStep step);
void dbt_log_block(const DbtVcpu *v, const DbtBlock *b);

#endif
