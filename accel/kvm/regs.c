/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CpuState <-> KVM: general and segment registers (api 4.11..4.14, 4.125), x87 and vector state
 * (4.42), XCR0 (4.44), debug registers (4.34), pending events (4.31), run state (4.38), the TSC.
 *
 * What CpuState does not hold (AMX tiles, the components of features it does not know) stays in KVM:
 * a put starts from the state KVM has. Everything is written on each put, as a put is rare.
 *
 * Locking: the vCPU's own thread, or the vCPU is paused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/log.h"
#include "core/machine.h"
#include "core/tsc.h"
#include "kvm-internal.h"

#define MSR_IA32_TSC 0x10
#define XCR0_INDEX 0
/* The components CpuState has a place for. */
#define XCR0_KNOWN                                                                                 \
    (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM | XCR0_PKRU)

/* VMX interruption types, as CpuState.event_type has them (SDM vol. 3, 25.8.3). */
enum { EVENT_EXTERNAL = 0, EVENT_NMI = 2, EVENT_EXCEPTION = 3, EVENT_SOFTWARE = 4 };

/* The part kvm_sregs2 shares with kvm_sregs, which older kernels know. */
#define SREGS_COMMON offsetof(struct kvm_sregs2, flags)
_Static_assert(offsetof(struct kvm_sregs, interrupt_bitmap) == SREGS_COMMON, "sregs and sregs2 begin alike");

/* A failure here is a bug of ours or the kernel's; the state stays as it was and the user is told. */
static bool state_ioctl(KvmVcpu *kv, unsigned long request, void *arg, const char *what)
{
    if (kvm_ioctl(kv->fd, request, arg) >= 0)
        return true;
    log_warn("kvm: CPU %u: %s: %s", kv->cpu->index, what, g_strerror(errno));
    return false;
}

/* --- general registers --- */

static void get_gprs(KvmVcpu *kv)
{
    CpuState *s = &kv->cpu->state;
    struct kvm_regs r;

    if (!state_ioctl(kv, KVM_GET_REGS, &r, "KVM_GET_REGS"))
        return;
    const uint64_t gprs[16] = { r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi,
                                r.r8,  r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15 };
    memcpy(s->gpr, gprs, sizeof(gprs));
    s->rip = r.rip;
    s->rflags = r.rflags;
}

static void put_gprs(KvmVcpu *kv)
{
    const CpuState *s = &kv->cpu->state;
    struct kvm_regs r = {
        .rax = s->gpr[GPR_RAX], .rcx = s->gpr[GPR_RCX], .rdx = s->gpr[GPR_RDX], .rbx = s->gpr[GPR_RBX],
        .rsp = s->gpr[GPR_RSP], .rbp = s->gpr[GPR_RBP], .rsi = s->gpr[GPR_RSI], .rdi = s->gpr[GPR_RDI],
        .r8 = s->gpr[GPR_R8],   .r9 = s->gpr[GPR_R9],   .r10 = s->gpr[GPR_R10], .r11 = s->gpr[GPR_R11],
        .r12 = s->gpr[GPR_R12], .r13 = s->gpr[GPR_R13], .r14 = s->gpr[GPR_R14], .r15 = s->gpr[GPR_R15],
        .rip = s->rip,          .rflags = s->rflags | RFLAGS_1,
    };

    state_ioctl(kv, KVM_SET_REGS, &r, "KVM_SET_REGS");
}

/* --- segments and control registers --- */

static void get_segment(SegmentReg *seg, const struct kvm_segment *k)
{
    seg->selector = k->selector;
    seg->base = k->base;
    seg->limit = k->limit;
    seg->attr = (k->type & 15u) | (k->s & 1u) << 4 | (k->dpl & 3u) << SEG_ATTR_DPL_SHIFT | (k->present & 1u) << 7 |
                (k->avl & 1u) << 12 | (k->l & 1u) << 13 | (k->db & 1u) << 14 | (k->g & 1u) << 15 |
                (k->unusable & 1u) << 16;
}

static struct kvm_segment put_segment(const SegmentReg *seg)
{
    return (struct kvm_segment){
        .base = seg->base,
        .limit = seg->limit,
        .selector = seg->selector,
        .type = seg->attr & SEG_ATTR_TYPE,
        .s = !!(seg->attr & SEG_ATTR_S),
        .dpl = (seg->attr & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT,
        .present = !!(seg->attr & SEG_ATTR_P),
        .avl = !!(seg->attr & SEG_ATTR_AVL),
        .l = !!(seg->attr & SEG_ATTR_L),
        .db = !!(seg->attr & SEG_ATTR_DB),
        .g = !!(seg->attr & SEG_ATTR_G),
        .unusable = !!(seg->attr & SEG_ATTR_UNUSABLE),
    };
}

static bool get_sregs2(KvmVcpu *kv, struct kvm_sregs2 *r)
{
    struct kvm_sregs old;

    if (kv->kvm->has_sregs2)
        return state_ioctl(kv, KVM_GET_SREGS2, r, "KVM_GET_SREGS2");
    if (!state_ioctl(kv, KVM_GET_SREGS, &old, "KVM_GET_SREGS"))
        return false;
    memcpy(r, &old, SREGS_COMMON);
    return true;
}

static void put_sregs2(KvmVcpu *kv, struct kvm_sregs2 *r)
{
    struct kvm_sregs old = { 0 };

    if (kv->kvm->has_sregs2) {
        state_ioctl(kv, KVM_SET_SREGS2, r, "KVM_SET_SREGS2");
        return;
    }
    memcpy(&old, r, SREGS_COMMON);
    state_ioctl(kv, KVM_SET_SREGS, &old, "KVM_SET_SREGS");
}

static void get_system_regs(KvmVcpu *kv)
{
    CpuState *s = &kv->cpu->state;
    struct kvm_sregs2 r = { 0 };

    if (!get_sregs2(kv, &r))
        return;
    const struct kvm_segment *segs[SEG_COUNT] = { &r.es, &r.cs, &r.ss, &r.ds, &r.fs, &r.gs };
    for (unsigned i = 0; i < SEG_COUNT; i++)
        get_segment(&s->seg[i], segs[i]);
    get_segment(&s->ldtr, &r.ldt);
    get_segment(&s->tr, &r.tr);
    s->gdtr = (DescTableReg){ r.gdt.base, r.gdt.limit };
    s->idtr = (DescTableReg){ r.idt.base, r.idt.limit };
    s->cr0 = r.cr0;
    s->cr2 = r.cr2;
    s->cr3 = r.cr3;
    s->cr4 = r.cr4;
    s->cr8 = r.cr8;
    s->efer = r.efer;
    s->apic_base = r.apic_base;
}

/* PDPTRs are not given: KVM loads them from memory at CR3, as MOV CR3 does. */
static void put_system_regs(KvmVcpu *kv)
{
    const CpuState *s = &kv->cpu->state;
    struct kvm_sregs2 r = {
        .es = put_segment(&s->seg[SEG_ES]), .cs = put_segment(&s->seg[SEG_CS]), .ss = put_segment(&s->seg[SEG_SS]),
        .ds = put_segment(&s->seg[SEG_DS]), .fs = put_segment(&s->seg[SEG_FS]), .gs = put_segment(&s->seg[SEG_GS]),
        .ldt = put_segment(&s->ldtr), .tr = put_segment(&s->tr),
        .gdt = { .base = s->gdtr.base, .limit = s->gdtr.limit },
        .idt = { .base = s->idtr.base, .limit = s->idtr.limit },
        .cr0 = s->cr0, .cr2 = s->cr2, .cr3 = s->cr3, .cr4 = s->cr4, .cr8 = s->cr8,
        .efer = s->efer, .apic_base = s->apic_base,
    };

    put_sregs2(kv, &r);
}

/* --- x87, vectors, XCR0, debug registers --- */

static bool read_xsave(KvmVcpu *kv)
{
    if (kv->kvm->has_xsave2)
        return state_ioctl(kv, KVM_GET_XSAVE2, kv->xsave, "KVM_GET_XSAVE2");
    return state_ioctl(kv, KVM_GET_XSAVE, kv->xsave, "KVM_GET_XSAVE");
}

static void get_fpu(KvmVcpu *kv)
{
    CpuState *s = &kv->cpu->state;
    struct kvm_xcrs xcrs = { 0 };

    if (read_xsave(kv))
        cpu_state_from_xsave(s, kv->xcr0_mask, kv->xsave, (uint32_t)kv->kvm->xsave_size);
    if (!state_ioctl(kv, KVM_GET_XCRS, &xcrs, "KVM_GET_XCRS"))
        return;
    for (unsigned i = 0; i < MIN(xcrs.nr_xcrs, KVM_MAX_XCRS); i++)
        if (xcrs.xcrs[i].xcr == XCR0_INDEX)
            s->xcr0 = xcrs.xcrs[i].value;
}

static void put_fpu(KvmVcpu *kv)
{
    const CpuState *s = &kv->cpu->state;
    struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0] = { .xcr = XCR0_INDEX, .value = s->xcr0 } };

    if (s->xcr0)
        state_ioctl(kv, KVM_SET_XCRS, &xcrs, "KVM_SET_XCRS");
    if (!read_xsave(kv))
        return;
    cpu_state_to_xsave(s, kv->xcr0_mask, kv->xsave, (uint32_t)kv->kvm->xsave_size);
    state_ioctl(kv, KVM_SET_XSAVE, kv->xsave, "KVM_SET_XSAVE");
}

static void get_debug_regs(KvmVcpu *kv)
{
    CpuState *s = &kv->cpu->state;
    struct kvm_debugregs r = { 0 };

    if (!state_ioctl(kv, KVM_GET_DEBUGREGS, &r, "KVM_GET_DEBUGREGS"))
        return;
    memcpy(s->dr, r.db, sizeof(r.db));
    s->dr[6] = r.dr6;
    s->dr[7] = r.dr7;
}

static void put_debug_regs(KvmVcpu *kv)
{
    const CpuState *s = &kv->cpu->state;
    struct kvm_debugregs r = { .dr6 = s->dr[6], .dr7 = s->dr[7] };

    memcpy(r.db, s->dr, sizeof(r.db));
    state_ioctl(kv, KVM_SET_DEBUGREGS, &r, "KVM_SET_DEBUGREGS");
}

/* --- events --- */

static void set_event(CpuState *s, unsigned type, unsigned vector, bool has_error, uint32_t error)
{
    s->event_pending = true;
    s->event_type = (uint8_t)type;
    s->event_vector = (uint8_t)vector;
    s->event_has_error = has_error;
    s->event_error = error;
}

static void get_events(KvmVcpu *kv)
{
    CpuState *s = &kv->cpu->state;
    struct kvm_vcpu_events e = { 0 };

    if (!state_ioctl(kv, KVM_GET_VCPU_EVENTS, &e, "KVM_GET_VCPU_EVENTS"))
        return;
    s->event_pending = false;
    if (e.exception.injected)
        set_event(s, EVENT_EXCEPTION, e.exception.nr, e.exception.has_error_code, e.exception.error_code);
    else if (e.interrupt.injected)
        set_event(s, e.interrupt.soft ? EVENT_SOFTWARE : EVENT_EXTERNAL, e.interrupt.nr, false, 0);
    else if (e.nmi.injected)
        set_event(s, EVENT_NMI, EXC_NMI, false, 0);
    s->interrupt_shadow = e.interrupt.shadow != 0;
    s->nmi_masked = e.nmi.masked;
    s->nmi_pending = e.nmi.pending;
    s->sipi_vector = (uint8_t)e.sipi_vector;
}

static void put_events(KvmVcpu *kv)
{
    const CpuState *s = &kv->cpu->state;
    bool external = s->event_type == EVENT_EXTERNAL || s->event_type == EVENT_SOFTWARE;
    struct kvm_vcpu_events e = {
        .exception.injected = s->event_pending && s->event_type == EVENT_EXCEPTION,
        .exception.nr = s->event_vector,
        .exception.has_error_code = s->event_has_error,
        .exception.error_code = s->event_error,
        .interrupt.injected = s->event_pending && external,
        .interrupt.nr = s->event_vector,
        .interrupt.soft = s->event_type == EVENT_SOFTWARE,
        .interrupt.shadow = s->interrupt_shadow ? KVM_X86_SHADOW_INT_STI : 0,
        .nmi.injected = s->event_pending && s->event_type == EVENT_NMI,
        .nmi.pending = s->nmi_pending,
        .nmi.masked = s->nmi_masked,
        .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
    };

    state_ioctl(kv, KVM_SET_VCPU_EVENTS, &e, "KVM_SET_VCPU_EVENTS");
}

/* --- run state --- */

static void get_mp_state(KvmVcpu *kv)
{
    CpuState *s = &kv->cpu->state;
    struct kvm_mp_state mp = { 0 };

    if (kv->kvm->accel.irqchip == IRQCHIP_USERSPACE) {
        s->mp_state = kv->wait_sipi ? MP_INIT_RECEIVED : kv->halted ? MP_HALTED : MP_RUNNABLE;
        return;
    }
    if (!state_ioctl(kv, KVM_GET_MP_STATE, &mp, "KVM_GET_MP_STATE"))
        return;
    if (mp.mp_state == KVM_MP_STATE_UNINITIALIZED || mp.mp_state == KVM_MP_STATE_INIT_RECEIVED)
        s->mp_state = MP_INIT_RECEIVED;
    else
        s->mp_state = mp.mp_state == KVM_MP_STATE_HALTED ? MP_HALTED : MP_RUNNABLE;
}

static void put_mp_state(KvmVcpu *kv)
{
    static const uint32_t names[] = {
        [MP_RUNNABLE] = KVM_MP_STATE_RUNNABLE,
        [MP_HALTED] = KVM_MP_STATE_HALTED,
        [MP_INIT_RECEIVED] = KVM_MP_STATE_INIT_RECEIVED,
    };
    struct kvm_mp_state mp = { .mp_state = names[kv->cpu->state.mp_state] };

    kv->halted = kv->cpu->state.mp_state == MP_HALTED;
    kv->wait_sipi = kv->cpu->state.mp_state == MP_INIT_RECEIVED;
    if (kv->kvm->accel.irqchip != IRQCHIP_USERSPACE) {
        kv->halted = kv->wait_sipi = false; /* KVM's business */
        state_ioctl(kv, KVM_SET_MP_STATE, &mp, "KVM_SET_MP_STATE");
    }
}

/* --- the TSC --- */

static struct kvm_device_attr tsc_offset_attr(uint64_t *offset)
{
    return (struct kvm_device_attr){
        .group = KVM_VCPU_TSC_CTRL,
        .attr = KVM_VCPU_TSC_OFFSET,
        .addr = (uintptr_t)offset,
    };
}

static void get_tsc(KvmVcpu *kv)
{
    CpuState *s = &kv->cpu->state;
    uint64_t value = 0;
    struct kvm_device_attr attr = tsc_offset_attr(&value);

    if (kv->kvm->has_tsc_offset && kvm_ioctl(kv->fd, KVM_GET_DEVICE_ATTR, &attr) >= 0)
        s->tsc_offset = value;
    else if (kvm_get_msr(kv->fd, MSR_IA32_TSC, &value))
        s->tsc_offset = value - host_tsc();
}

/* By offset where KVM can (Linux 5.16): vCPUs then agree to the cycle. */
static void put_tsc(KvmVcpu *kv)
{
    uint64_t value = kv->cpu->state.tsc_offset;
    struct kvm_device_attr attr = tsc_offset_attr(&value);

    if (kv->kvm->has_tsc_offset && kvm_ioctl(kv->fd, KVM_SET_DEVICE_ATTR, &attr) >= 0)
        return;
    kvm_set_msr(kv->fd, MSR_IA32_TSC, host_tsc() + value);
}

/* --- all of it --- */

void kvm_get_state(Vcpu *vcpu)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);

    get_gprs(kv);
    get_system_regs(kv);
    get_fpu(kv);
    get_debug_regs(kv);
    kvm_get_msrs(kv);
    get_tsc(kv);
    get_events(kv);
    get_mp_state(kv);
}

/* The LAPIC's power-up registers, after a system reset. Before the run state, which they affect. */
static void reset_lapic(KvmVcpu *kv)
{
    if (kv->lapic_image && __atomic_exchange_n(&kv->lapic_reset, 0, __ATOMIC_ACQ_REL))
        state_ioctl(kv, KVM_SET_LAPIC, kv->lapic_image, "KVM_SET_LAPIC");
}

void kvm_put_state(Vcpu *vcpu)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);

    put_system_regs(kv); /* first: EFER and CR4 decide what else is legal */
    put_gprs(kv);
    put_fpu(kv);
    put_debug_regs(kv);
    put_tsc(kv);
    kvm_put_msrs(kv);
    reset_lapic(kv);
    put_events(kv);
    put_mp_state(kv);
    kv->apic_base = vcpu->state.apic_base;
    kv->run->ready_for_interrupt_injection = 0; /* was said of the old RFLAGS */
}

bool kvm_regs_init(KvmVcpu *kv, GError **errp)
{
    uint64_t value = 0;
    struct kvm_device_attr attr = tsc_offset_attr(&value);

    kv->xcr0_mask = XCR0_X87 | XCR0_SSE;
    if (posix_memalign(&kv->xsave, 4096, kv->kvm->xsave_size)) {
        kv->xsave = NULL;
        return error_set(errp, "out of memory");
    }
    memset(kv->xsave, 0, kv->kvm->xsave_size);
    kv->msr_refused = g_new0(uint8_t, kvm_msr_table_size());
    kv->kvm->has_tsc_offset = kvm_ioctl(kv->fd, KVM_HAS_DEVICE_ATTR, &attr) >= 0;
    if (kv->kvm->accel.irqchip == IRQCHIP_USERSPACE)
        return true;
    kv->lapic_image = g_new0(struct kvm_lapic_state, 1);
    if (kvm_ioctl(kv->fd, KVM_GET_LAPIC, kv->lapic_image) < 0)
        return error_set_errno(errp, errno, "KVM_GET_LAPIC");
    return true;
}

void kvm_regs_set_xcr0_mask(KvmVcpu *kv, uint64_t mask)
{
    kv->xcr0_mask = (mask | XCR0_X87 | XCR0_SSE) & XCR0_KNOWN;
}

void kvm_regs_release(KvmVcpu *kv)
{
    free(kv->xsave);
    g_free(kv->msr_refused);
    g_free(kv->lapic_image);
}
