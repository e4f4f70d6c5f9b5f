/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSRs: those of CpuState, as far as this KVM has them (api 4.3, 4.18, 4.19).
 *
 * KVM_GET_MSR_INDEX_LIST says which exist; MTRRs are not in it on older kernels and are tried anyway.
 * An MSR the host refuses is left alone from then on, with one line if the guest would have noticed.
 *
 * Numbers: SDM vol. 4; AMD APM vol. 2, appendix A; Linux Documentation/virt/kvm/x86/msr.rst for
 * 4b564d00h up.
 *
 * Locking: the vCPU's own thread, or the vCPU is paused.
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "core/error.h"
#include "core/log.h"
#include "kvm-internal.h"

typedef struct MsrRow {
    uint32_t index;
    uint32_t offset;  /* of the uint64_t in MsrState */
    bool listed;      /* exists only if KVM lists it; else tried */
} MsrRow;

#define ROW(index, field) { index, offsetof(MsrState, field), true }
#define TRIED(index, field) { index, offsetof(MsrState, field), false }

static const MsrRow msr_rows[] = {
    ROW(0xc0000081, star),
    ROW(0xc0000082, lstar),
    ROW(0xc0000083, cstar),
    ROW(0xc0000084, sfmask),
    ROW(0xc0000102, kernel_gs_base),
    ROW(0x174, sysenter_cs),
    ROW(0x175, sysenter_esp),
    ROW(0x176, sysenter_eip),
    ROW(0x277, pat),
    ROW(0xc0000103, tsc_aux),
    ROW(0x3b, tsc_adjust),
    ROW(0x1a0, misc_enable),
    ROW(0x48, spec_ctrl),
    ROW(0xda0, xss),
    TRIED(0x2ff, mtrr_def_type),
    TRIED(0x250, mtrr_fixed[0]),
    TRIED(0x258, mtrr_fixed[1]),
    TRIED(0x259, mtrr_fixed[2]),
    TRIED(0x268, mtrr_fixed[3]),
    TRIED(0x269, mtrr_fixed[4]),
    TRIED(0x26a, mtrr_fixed[5]),
    TRIED(0x26b, mtrr_fixed[6]),
    TRIED(0x26c, mtrr_fixed[7]),
    TRIED(0x26d, mtrr_fixed[8]),
    TRIED(0x26e, mtrr_fixed[9]),
    TRIED(0x26f, mtrr_fixed[10]),
    TRIED(0x200, mtrr_phys_base[0]),
    TRIED(0x201, mtrr_phys_mask[0]),
    TRIED(0x202, mtrr_phys_base[1]),
    TRIED(0x203, mtrr_phys_mask[1]),
    TRIED(0x204, mtrr_phys_base[2]),
    TRIED(0x205, mtrr_phys_mask[2]),
    TRIED(0x206, mtrr_phys_base[3]),
    TRIED(0x207, mtrr_phys_mask[3]),
    TRIED(0x208, mtrr_phys_base[4]),
    TRIED(0x209, mtrr_phys_mask[4]),
    TRIED(0x20a, mtrr_phys_base[5]),
    TRIED(0x20b, mtrr_phys_mask[5]),
    TRIED(0x20c, mtrr_phys_base[6]),
    TRIED(0x20d, mtrr_phys_mask[6]),
    TRIED(0x20e, mtrr_phys_base[7]),
    TRIED(0x20f, mtrr_phys_mask[7]),
    ROW(0x17a, mcg_status),
    ROW(0x17b, mcg_ctl),
    ROW(0x4b564d00, kvm_wall_clock),
    ROW(0x4b564d01, kvm_system_time),
    ROW(0x4b564d02, kvm_async_pf),
    ROW(0x4b564d03, kvm_steal_time),
    ROW(0x4b564d04, kvm_pv_eoi),
    ROW(0x4b564d05, kvm_poll_control),
};

/* kvm_msrs with room for its entries: one pass over the table, or one MSR. */
typedef union MsrRoom {
    struct kvm_msrs msrs;
    uint8_t room[sizeof(struct kvm_msrs) + G_N_ELEMENTS(msr_rows) * sizeof(struct kvm_msr_entry)];
} MsrRoom;

typedef union OneMsr {
    struct kvm_msrs msrs;
    uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
} OneMsr;

typedef struct MsrBatch {
    uint8_t rows[G_N_ELEMENTS(msr_rows)]; /* which row each entry is */
    MsrRoom buf;
} MsrBatch;

unsigned kvm_msr_table_size(void)
{
    return G_N_ELEMENTS(msr_rows);
}

bool kvm_msr_init(KvmAccel *kvm, GError **errp)
{
    struct kvm_msr_list probe = { 0 }, *list;

    /* Fails with E2BIG and the right count. */
    if (kvm_ioctl(kvm->fd, KVM_GET_MSR_INDEX_LIST, &probe) < 0 && errno != E2BIG)
        return error_set_errno(errp, errno, "KVM_GET_MSR_INDEX_LIST");
    list = g_malloc0(sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
    list->nmsrs = probe.nmsrs;
    if (kvm_ioctl(kvm->fd, KVM_GET_MSR_INDEX_LIST, list) < 0) {
        error_set_errno(errp, errno, "KVM_GET_MSR_INDEX_LIST");
        g_free(list);
        return false;
    }
    kvm->msr_count = list->nmsrs;
    kvm->msr_indices = g_memdup2(list->indices, list->nmsrs * sizeof(list->indices[0]));
    g_free(list);
    return true;
}

void kvm_msr_release(KvmAccel *kvm)
{
    g_clear_pointer(&kvm->msr_indices, g_free);
}

static bool exists(const KvmAccel *kvm, const MsrRow *row)
{
    for (unsigned i = 0; i < kvm->msr_count; i++)
        if (kvm->msr_indices[i] == row->index)
            return true;
    return !row->listed;
}

static uint64_t *field(MsrState *state, const MsrRow *row)
{
    return (uint64_t *)(void *)((uint8_t *)state + row->offset);
}

static void batch_build(KvmVcpu *kv, MsrBatch *batch)
{
    memset(batch, 0, sizeof(*batch));
    for (unsigned i = 0; i < G_N_ELEMENTS(msr_rows); i++) {
        uint32_t n = batch->buf.msrs.nmsrs;

        if (kv->msr_refused[i])
            continue;
        if (!exists(kv->kvm, &msr_rows[i])) {
            kv->msr_refused[i] = true;
            continue;
        }
        batch->rows[n] = (uint8_t)i;
        batch->buf.msrs.entries[n].index = msr_rows[i].index;
        batch->buf.msrs.entries[n].data = *field(&kv->cpu->state.msr, &msr_rows[i]);
        batch->buf.msrs.nmsrs++;
    }
}

/* The ioctls stop at the first MSR they refuse and return how many went well. */
static void batch_run(KvmVcpu *kv, unsigned long request)
{
    for (;;) {
        MsrBatch batch;
        int done;

        batch_build(kv, &batch);
        if (!batch.buf.msrs.nmsrs)
            return;
        done = kvm_ioctl(kv->fd, request, &batch.buf.msrs);
        if (done < 0) {
            log_warn("kvm: CPU %u: MSRs: %s", kv->cpu->index, g_strerror(errno));
            return;
        }
        if ((uint32_t)done < batch.buf.msrs.nmsrs) {
            const struct kvm_msr_entry *e = &batch.buf.msrs.entries[done];

            kv->msr_refused[batch.rows[done]] = true;
            if (e->data && request == (unsigned long)KVM_SET_MSRS)
                log_warn("kvm: CPU %u: the host refuses MSR %#x = %#" PRIx64 "; left as it is", kv->cpu->index,
                         e->index, (uint64_t)e->data);
            continue;
        }
        for (uint32_t i = 0; request == (unsigned long)KVM_GET_MSRS && i < batch.buf.msrs.nmsrs; i++)
            *field(&kv->cpu->state.msr, &msr_rows[batch.rows[i]]) = batch.buf.msrs.entries[i].data;
        return;
    }
}

void kvm_get_msrs(KvmVcpu *kv)
{
    batch_run(kv, KVM_GET_MSRS);
}

void kvm_put_msrs(KvmVcpu *kv)
{
    batch_run(kv, KVM_SET_MSRS);
}

bool kvm_get_msr(int fd, uint32_t index, uint64_t *value)
{
    OneMsr one = { .room = { 0 } };

    one.msrs.nmsrs = 1;
    one.msrs.entries[0].index = index;
    if (kvm_ioctl(fd, KVM_GET_MSRS, &one.msrs) != 1)
        return false;
    *value = one.msrs.entries[0].data;
    return true;
}

bool kvm_set_msr(int fd, uint32_t index, uint64_t value)
{
    OneMsr one = { .room = { 0 } };

    one.msrs.nmsrs = 1;
    one.msrs.entries[0] = (struct kvm_msr_entry){ .index = index, .data = value };
    return kvm_ioctl(fd, KVM_SET_MSRS, &one.msrs) == 1;
}
