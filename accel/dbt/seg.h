/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors, stacks and transfers of control, shared by the files of segmentation and exceptions.
 *
 *     seg.c       descriptors; loads of segment registers; what dbt_mode_changed derives
 *     seg-far.c   far jumps, calls and returns, call gates
 *     seg-task.c  task switches
 *     op-seg.c    the instructions
 *     exc.c       delivery through the IDT        exc-iret.c  IRET
 *
 * All return false (or a step) with v->fault set and the registers as they were; what was pushed on
 * a stack before a fault stays below that stack's pointer. error arguments named ext are the EXT bit
 * of error codes: 1 while an event that is no software interrupt is delivered (SDM vol. 3, 6.13).
 */
#ifndef DBT_SEG_H
#define DBT_SEG_H

#include "accel/dbt/dbt.h"

/* System descriptor types (SDM vol. 3, table 3-2); in long mode the 32-bit numbers mean 64 bits. */
enum {
    DESC_TSS16 = 1, DESC_LDT = 2, DESC_TSS16_BUSY = 3, DESC_CALL16 = 4, DESC_TASK_GATE = 5,
    DESC_INTR16 = 6, DESC_TRAP16 = 7, DESC_TSS32 = 9, DESC_TSS32_BUSY = 11, DESC_CALL32 = 12,
    DESC_INTR32 = 14, DESC_TRAP32 = 15,
    DESC_TSS_BUSY = 2, /* the bit */
};

#define SEL_RPL 3u
#define SEL_TI 4u
#define SEL_NULL(sel) (((sel) & ~SEL_RPL) == 0)
/* The selector part of an error code. */
#define SEL_ERROR(sel) ((uint32_t)(sel) & 0xfffc)

typedef struct SegDesc {
    uint64_t linear; /* where it was read */
    uint32_t low, high;
    uint32_t base_high; /* system descriptors in long mode */
} SegDesc;

static inline uint32_t desc_attr(const SegDesc *d)
{
    return d->high >> 8 & 0xf0ff;
}

static inline unsigned desc_type(const SegDesc *d)
{
    return d->high >> 8 & 0xf;
}

static inline unsigned desc_dpl(const SegDesc *d)
{
    return d->high >> 13 & 3;
}

static inline bool desc_present(const SegDesc *d)
{
    return d->high >> 15 & 1;
}

static inline bool desc_is_system(const SegDesc *d)
{
    return !(d->high >> 12 & 1);
}

static inline bool desc_is_code(const SegDesc *d)
{
    return (desc_attr(d) & (SEG_ATTR_S | SEG_ATTR_CODE)) == (SEG_ATTR_S | SEG_ATTR_CODE);
}

static inline bool desc_is_conforming(const SegDesc *d)
{
    return desc_is_code(d) && (desc_attr(d) & SEG_ATTR_DC);
}

static inline bool desc_is_writable_data(const SegDesc *d)
{
    return (desc_attr(d) & (SEG_ATTR_S | SEG_ATTR_CODE | SEG_ATTR_RW)) == (SEG_ATTR_S | SEG_ATTR_RW);
}

static inline bool dbt_long_mode(const DbtVcpu *v)
{
    return v->state->efer & EFER_LMA;
}

uint64_t desc_base(const SegDesc *d);
uint32_t desc_limit(const SegDesc *d);

typedef enum DescResult {
    DESC_OK,
    DESC_OUTSIDE, /* beyond the table's limit, or no LDT; v->fault is not set */
    DESC_FAULT,   /* reading it faulted */
} DescResult;

/* Reads the descriptor of a selector that is not null. _system: 16 bytes in long mode. */
DescResult dbt_desc_try(DbtVcpu *v, uint16_t selector, bool system, SegDesc *d);
/* The same; outside the table raises vector(selector | ext). */
bool dbt_desc_read(DbtVcpu *v, uint16_t selector, bool system, uint8_t vector, uint32_t ext, SegDesc *d);
/* Sets the accessed bit of a code or data descriptor in memory, and in d. */
bool dbt_desc_accessed(DbtVcpu *v, SegDesc *d);
SegmentReg dbt_desc_segment(const SegDesc *d, uint16_t selector);
/* A null selector in a segment register; SS keeps the privilege level in its DPL. */
SegmentReg dbt_null_segment(uint16_t selector, unsigned dpl);
/* Real-address and virtual-8086 form. */
SegmentReg dbt_real_segment(const DbtVcpu *v, SegIndex seg, uint16_t selector);

/* MOV, POP, LDS..: ES, SS, DS, FS, GS in any mode (SDM vol. 2, MOV). Ends with dbt_mode_changed. */
bool dbt_seg_load(DbtVcpu *v, SegIndex seg, uint16_t selector);
/* The checks of SS for a stack of privilege cpl, as far transfers and task switches make them;
 * vector for everything but a segment that is not present. */
bool dbt_ss_check(DbtVcpu *v, uint16_t selector, unsigned cpl, uint8_t vector, uint32_t ext, SegDesc *d);
/* After a return to an outer level: DS, ES, FS, GS it may not use become null. */
void dbt_seg_drop_inner(DbtVcpu *v, unsigned cpl);

bool dbt_limit_ok(const SegmentReg *s, uint64_t offset, unsigned len);

/* A stack that may not be the current one yet. */
typedef struct DbtStack {
    SegmentReg ss;
    uint64_t sp;
    unsigned width;    /* 2, 4 or 8: of the stack pointer */
    unsigned cpl;      /* whose accesses these are */
    uint32_t error;    /* of #SS */
} DbtStack;

/* SS:rSP as they are. */
DbtStack dbt_stack_current(const DbtVcpu *v, uint32_t ext);
bool dbt_push(DbtVcpu *v, DbtStack *st, unsigned size, uint64_t value);
bool dbt_pop(DbtVcpu *v, DbtStack *st, unsigned size, uint64_t *value);
/* rSP of the width of st's stack. */
void dbt_stack_pointer_store(DbtVcpu *v, const DbtStack *st);
/* The stack a gate to privilege cpl switches to (SDM vol. 3, 6.12.1, 6.14.4). ist: 1..7, 0: none;
 * only in long mode. Sets the accessed bit of SS. */
bool dbt_stack_inner(DbtVcpu *v, unsigned cpl, unsigned ist, uint32_t ext, DbtStack *st);

/* The code descriptor a gate names, checked against CPL. */
bool dbt_gate_code(DbtVcpu *v, uint16_t selector, uint32_t ext, SegDesc *d);
/* Whether offset is inside the code segment, or canonical. */
bool dbt_code_offset_ok(const DbtVcpu *v, const SegDesc *d, uint64_t offset);
/* CS with privilege cpl; marks the descriptor accessed first. Does not call dbt_mode_changed. */
bool dbt_code_commit(DbtVcpu *v, uint16_t selector, SegDesc *d, unsigned cpl);

/* seg-far.c. size: operand size. next_rip is what a call pushes. rSP and rIP are set on success. */
DbtStep dbt_far_jump(DbtVcpu *v, uint16_t selector, uint64_t offset, unsigned size, uint64_t next_rip);
DbtStep dbt_far_call(DbtVcpu *v, uint16_t selector, uint64_t offset, unsigned size, uint64_t next_rip);
DbtStep dbt_far_return(DbtVcpu *v, unsigned size, uint16_t params);
/* The code segment RET or IRET returns to, and the stack segment of an outer level's return. */
bool dbt_return_code(DbtVcpu *v, uint16_t selector, uint64_t offset, SegDesc *d);
bool dbt_return_stack(DbtVcpu *v, uint16_t selector, const SegDesc *code, unsigned cpl, SegmentReg *ss);

/* seg-task.c */
typedef enum TaskSwitch { TASK_JUMP, TASK_CALL, TASK_INTERRUPT, TASK_RETURN } TaskSwitch;
/*
 * Switches to the task of a TSS selector; d is its descriptor, presence and privilege checked by
 * the caller. next_rip is saved in the old TSS; error, if not NULL, is pushed on the new stack.
 * false: v->fault is set. A fault before the commit point belongs to the old task and nothing has
 * changed; one after it belongs to the new task, whose registers are loaded then.
 */
bool dbt_task_switch(DbtVcpu *v, uint16_t selector, SegDesc *d, TaskSwitch why, uint64_t next_rip,
                     const uint32_t *error, uint32_t ext);
/* The same through a task gate whose privilege and presence are checked. */
bool dbt_task_gate(DbtVcpu *v, const SegDesc *gate, TaskSwitch why, uint64_t next_rip,
                   const uint32_t *error, uint32_t ext);

/* INT1: #DB as a trap that is neither checked nor ignored by privilege. */
DbtStep dbt_icebp(DbtVcpu *v, uint64_t next_rip);
/* IRET with NT set: back to the task the link of this TSS names. */
bool dbt_task_return(DbtVcpu *v, uint64_t next_rip);

#endif
