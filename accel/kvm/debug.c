/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A debugger's breakpoints, watchpoints and steps on KVM (core/guest-debug.h; api 4.84 and 4.85).
 *
 * Watchpoints and hardware breakpoints take the CPU's four debug registers, a long or misaligned
 * watchpoint several. Software breakpoints take those that are left, so that a few of them are
 * invisible to the guest and survive its writes to the code; the rest are INT3 in guest memory,
 * which the guest can read and overwrite. They are there only while the VM runs.
 *
 * While debug registers are in use the guest's own have no effect. Its #DB and #BP come here first
 * and are handed on if they are its own.
 *
 * Locking: points change with machine_lock held and vCPUs paused; exits on the vCPU's own thread.
 */
#include <errno.h>
#include <string.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/log.h"
#include "core/machine.h"
#include "kvm-internal.h"

#define DEBUG_REGS 4
#define INT3 0xcc
#define DR6_BS BIT(14)
#define DR6_CAUSES (BITS(3, 0) | BITS(15, 13)) /* the others are fixed or RTM's */
#define DR7_ONE BIT(10)

/* One debug register in use. */
typedef struct DebugReg {
    uint64_t addr;
    unsigned len; /* 1, 2, 4, 8; aligned */
    const DebugPoint *point;
} DebugReg;

/* One INT3 in guest memory. */
typedef struct DebugPatch {
    uint64_t gpa;
    uint8_t old;
    const DebugPoint *point;
} DebugPatch;

struct KvmDebug {
    GArray *points;  /* of DebugPoint; complete before regs and patches point into it */
    GArray *patches; /* of DebugPatch */
    DebugReg regs[DEBUG_REGS];
    unsigned reg_count;
    uint32_t can_do; /* KVM_CAP_SET_GUEST_DEBUG2; 0: kernel before 5.13 */
};

/* --- debug registers --- */

/* The largest aligned piece at the beginning of a range. */
static unsigned first_piece(uint64_t addr, uint64_t len)
{
    unsigned size = 8;

    while (size > len || addr & (size - 1))
        size /= 2;
    return size;
}

/* False: there are not enough of them; then none is taken. */
static bool take_regs(DebugReg *regs, unsigned *used, const DebugPoint *point)
{
    uint64_t addr = point->addr, left = debug_point_is_watch(point) ? point->len : 1;
    unsigned n = *used;

    while (left) {
        unsigned size = first_piece(addr, left);
        if (n == DEBUG_REGS)
            return false;
        regs[n++] = (DebugReg){addr, size, point};
        addr += size;
        left -= size;
    }
    *used = n;
    return true;
}

static bool wants_regs(const DebugPoint *point)
{
    return point->kind != DEBUG_BREAK_SOFT;
}

/* RAM or ROM behind a breakpoint; NULL: there is none. */
static uint8_t *code_byte(KvmAccel *kvm, uint64_t gpa)
{
    MemorySection section;

    if (gpa == DEBUG_NO_GPA || !address_space_lookup(&kvm->accel.machine->memory, gpa, &section) ||
        section.mr->kind == MEMORY_REGION_IO)
        return NULL;
    return memory_section_host(&section, gpa);
}

bool kvm_debug_check(Accel *accel, const DebugPoint *points, unsigned count, GError **errp)
{
    DebugReg regs[DEBUG_REGS];
    unsigned used = 0;

    for (unsigned i = 0; i < count; i++) {
        if (wants_regs(&points[i]) && !take_regs(regs, &used, &points[i]))
            return error_set(errp, "the CPU has %u debug registers, of 8 bytes at most, for watchpoints and hardware "
                             "breakpoints; -accel dbt has no such limit", DEBUG_REGS);
    }
    for (unsigned i = 0; i < count; i++) {
        if (!wants_regs(&points[i]) && !take_regs(regs, &used, &points[i]) &&
            !code_byte(kvm_of(accel), points[i].gpa))
            return error_set(errp, "no memory is mapped at %#" G_GINT64_MODIFIER "x; use a hardware breakpoint",
                             points[i].addr);
    }
    return true;
}

/* SDM vol. 3, 18.2.4. */
static uint64_t reg_dr7(unsigned n, const DebugReg *reg)
{
    static const uint8_t len_codes[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};
    unsigned type = !debug_point_is_watch(reg->point) ? 0 : reg->point->kind == DEBUG_WATCH_WRITE ? 1 : 3;

    return BIT(2 * n + 1) | (uint64_t)type << (16 + 4 * n) | (uint64_t)len_codes[reg->len] << (18 + 4 * n);
}

/* --- INT3 --- */

static void patch_in(KvmAccel *kvm, const DebugPoint *point)
{
    uint8_t *byte = code_byte(kvm, point->gpa);
    DebugPatch patch = {.gpa = point->gpa, .point = point};

    if (!byte)
        return;
    patch.old = *byte;
    *byte = INT3;
    g_array_append_val(kvm->debug->patches, patch);
}

/* Backwards, so that two breakpoints on one byte leave what was there. A guest that has written
 * other code meanwhile keeps that. */
static void patch_out_all(KvmAccel *kvm)
{
    GArray *patches = kvm->debug->patches;

    for (guint i = patches->len; i-- > 0;) {
        const DebugPatch *patch = &g_array_index(patches, DebugPatch, i);
        uint8_t *byte = code_byte(kvm, patch->gpa);
        if (byte && *byte == INT3)
            *byte = patch->old;
    }
    g_array_set_size(patches, 0);
}

void kvm_debug_arm(Accel *accel, const DebugPoint *points, unsigned count)
{
    KvmAccel *kvm = kvm_of(accel);
    KvmDebug *debug = kvm->debug;

    patch_out_all(kvm);
    debug->reg_count = 0;
    g_array_set_size(debug->points, 0);
    g_array_append_vals(debug->points, points, count);
    for (unsigned i = 0; i < count; i++) {
        const DebugPoint *point = &g_array_index(debug->points, DebugPoint, i);
        if (wants_regs(point))
            take_regs(debug->regs, &debug->reg_count, point);
    }
    for (unsigned i = 0; i < count; i++) {
        const DebugPoint *point = &g_array_index(debug->points, DebugPoint, i);
        if (!wants_regs(point) && !take_regs(debug->regs, &debug->reg_count, point))
            patch_in(kvm, point);
    }
}

/* --- the vCPU --- */

static bool can_do(const KvmDebug *debug, uint32_t flag)
{
    return debug->can_do & flag;
}

/* inject: KVM_GUESTDBG_INJECT_*, or 0. */
static void set_guest_debug(KvmVcpu *kv, uint32_t inject)
{
    const KvmDebug *debug = kv->kvm->debug;
    const VcpuDebug *wish = &kv->cpu->debug;
    struct kvm_guest_debug dbg = {.control = inject};

    if (debug->patches->len)
        dbg.control |= KVM_GUESTDBG_USE_SW_BP;
    if (debug->reg_count)
        dbg.control |= KVM_GUESTDBG_USE_HW_BP;
    if (wish->step)
        dbg.control |= KVM_GUESTDBG_SINGLESTEP;
    if (wish->step && wish->step_no_irq && can_do(debug, KVM_GUESTDBG_BLOCKIRQ))
        dbg.control |= KVM_GUESTDBG_BLOCKIRQ;
    kv->debugging = dbg.control != 0;
    if (kv->debugging)
        dbg.control |= KVM_GUESTDBG_ENABLE;
    dbg.arch.debugreg[7] = DR7_ONE;
    for (unsigned n = 0; n < debug->reg_count; n++) {
        dbg.arch.debugreg[n] = debug->regs[n].addr;
        dbg.arch.debugreg[7] |= reg_dr7(n, &debug->regs[n]);
    }
    if (kvm_ioctl(kv->fd, KVM_SET_GUEST_DEBUG, &dbg) < 0)
        log_warn("kvm: CPU %u: KVM_SET_GUEST_DEBUG: %s; breakpoints will not be met", kv->cpu->index,
                 g_strerror(errno));
}

void kvm_debug_enter(KvmVcpu *kv)
{
    if (kv->debugging || kv->cpu->debug.step || kv->kvm->debug->points->len)
        set_guest_debug(kv, 0);
}

static const DebugPoint *find_patch(const KvmDebug *debug, uint64_t pc)
{
    for (guint i = 0; i < debug->patches->len; i++) {
        const DebugPatch *patch = &g_array_index(debug->patches, DebugPatch, i);
        if (patch->point->addr == pc)
            return patch->point;
    }
    return NULL;
}

static const DebugPoint *find_reg(const KvmDebug *debug, uint64_t dr6)
{
    for (unsigned n = 0; n < debug->reg_count; n++) {
        if (dr6 & BIT(n))
            return debug->regs[n].point;
    }
    return NULL;
}

/* A trap the guest set for itself. Where debug registers are taken KVM has not told the guest's DR6. */
static void hand_on(KvmVcpu *kv, uint32_t exception, uint64_t dr6)
{
    struct kvm_debugregs regs;

    if (exception == EXC_DB && kvm_ioctl(kv->fd, KVM_GET_DEBUGREGS, &regs) >= 0) {
        regs.dr6 |= dr6 & DR6_CAUSES;
        kvm_ioctl(kv->fd, KVM_SET_DEBUGREGS, &regs);
    }
    set_guest_debug(kv, exception == EXC_DB ? KVM_GUESTDBG_INJECT_DB : KVM_GUESTDBG_INJECT_BP);
}

KvmExitResult kvm_debug_exit(KvmVcpu *kv)
{
    const KvmDebug *debug = kv->kvm->debug;
    const struct kvm_debug_exit_arch *exit = &kv->run->debug.arch;
    const DebugPoint *point = exit->exception == EXC_DB ? find_reg(debug, exit->dr6) : find_patch(debug, exit->pc);
    DebugStopReason reason = DEBUG_STOP_STEP;

    if (point)
        reason = debug_point_is_watch(point) ? DEBUG_STOP_WATCH : DEBUG_STOP_BREAK;
    else if (exit->exception != EXC_DB || !kv->cpu->debug.step || !(exit->dr6 & DR6_BS)) {
        hand_on(kv, exit->exception, exit->dr6);
        return KVM_EXIT_AGAIN;
    }
    guest_debug_stop(kv->cpu, reason, point);
    return KVM_EXIT_LEAVE;
}

void kvm_debug_init(KvmAccel *kvm)
{
    int flags = kvm_check(kvm->vm_fd, KVM_CAP_SET_GUEST_DEBUG2);

    kvm->debug = g_new0(KvmDebug, 1);
    kvm->debug->points = g_array_new(FALSE, FALSE, sizeof(DebugPoint));
    kvm->debug->patches = g_array_new(FALSE, FALSE, sizeof(DebugPatch));
    kvm->debug->can_do = flags > 0 ? (uint32_t)flags : 0;
}

void kvm_debug_release(KvmAccel *kvm)
{
    if (!kvm->debug)
        return;
    g_array_unref(kvm->debug->points);
    g_array_unref(kvm->debug->patches);
    g_clear_pointer(&kvm->debug, g_free);
}
