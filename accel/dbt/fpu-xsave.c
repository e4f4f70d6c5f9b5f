/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XSAVE, XSAVEOPT, XSAVEC and XRSTOR: SDM vol. 1, 13.7 to 13.10.
 *
 * XSAVEOPT uses the init optimisation only: the modified optimisation needs the address of the last
 * XRSTOR and is permitted, not required. Component offsets are those of the guest's CPUID leaf 0Dh.
 */
#include "accel/dbt/fpu.h"
#include "accel/dbt/mmu.h"
#include "accel/dbt/native.h"
#include "accel/dbt/sys.h"

#define FX_MXCSR      24
#define FX_XMM        160
#define XCOMP_COMPACT BIT(63)

typedef struct XsaveArea {
    DbtVcpu *v;
    const DbtInsn *insn;
    uint64_t ea;
    uint64_t rfbm;
    unsigned vecs;
    bool wide;
    uint8_t *host;     /* of its first host_len bytes, if they lie in a page that is known ... */
    unsigned host_len; /* ... 0 once memory was reached by another way, which may have moved it */
} XsaveArea;

static uint32_t component_offset(const XsaveArea *x, unsigned component, uint64_t compact)
{
    const DbtSys *sys = x->v->sys;
    uint32_t offset = XSAVE_EXTENDED;

    if (!compact) {
        return sys->xsave_offset[component];
    }
    for (unsigned i = 2; i <= component; i++) {
        if (!(compact & BIT(i))) {
            continue;
        }
        offset = sys->xsave_aligned >> i & 1 ? align_up(offset, 64) : offset;
        if (i < component) {
            offset += fpu_component_size(i);
        }
    }
    return offset;
}

static uint64_t area_address(const XsaveArea *x, uint32_t offset)
{
    return (x->ea + offset) & size_mask(x->insn->addr_size);
}

static bool area_write(XsaveArea *x, uint32_t offset, const void *buf, unsigned len)
{
    if (range_ok(offset, len, x->host_len)) {
        memcpy(x->host + offset, buf, len);
        return true;
    }
    x->host_len = 0;
    return dbt_mem_write(x->v, x->insn->seg, area_address(x, offset), buf, len);
}

static bool area_read(XsaveArea *x, uint32_t offset, void *buf, unsigned len)
{
    if (range_ok(offset, len, x->host_len)) {
        memcpy(buf, x->host + offset, len);
        return true;
    }
    x->host_len = 0;
    return dbt_mem_read(x->v, x->insn->seg, area_address(x, offset), buf, len);
}

/* What is in the first page, if nothing about it needs a look at each access. */
static void find_host(XsaveArea *x, uint64_t linear, MmuAccess access)
{
    const DbtVcpu *v = x->v;
    bool flat = (access == MMU_READ ? v->flat_read : v->flat_read & v->flat_write) >> x->insn->seg & 1;

    x->host = flat ? dbt_host_span(x->v, linear, access, &x->host_len) : NULL;
    if (!x->host || v->journaling)
        x->host_len = 0;
}

/* The checks common to all of them; false: v->fault is set. */
static bool area_open(XsaveArea *x, DbtVcpu *v, const DbtInsn *insn, MmuAccess access)
{
    const CpuState *s = v->state;
    uint64_t linear;

    *x = (XsaveArea){
        .v = v, .insn = insn, .ea = dbt_ea(v, insn), .vecs = v->code_bits == 64 ? 16 : 8, .wide = insn->sub & XSAVE_WIDE};
    x->rfbm = s->xcr0 & (s->gpr[GPR_RDX] << 32 | (uint32_t)s->gpr[GPR_RAX]);
    if (!(s->cr4 & CR4_OSXSAVE)) {
        dbt_fault(v, EXC_UD);
        return false;
    }
    if (s->cr0 & CR0_TS) {
        dbt_fault(v, EXC_NM);
        return false;
    }
    if (!dbt_seg_linear(v, insn->seg, x->ea, XSAVE_EXTENDED, MMU_READ, &linear)) {
        return false;
    }
    if (linear & 63) {
        dbt_fault_error(v, EXC_GP, 0);
        return false;
    }
    find_host(x, linear, access);
    return true;
}

/* The legacy region: x87 in bytes 0..23 and 32..159, MXCSR in 24..31, XMM from 160 on. */
static bool save_legacy(XsaveArea *x, uint64_t components, bool mxcsr)
{
    const CpuState *s = x->v->state;
    uint8_t image[FXSAVE_SIZE] __attribute__((uninitialized));

    fpu_store_x87(&s->fpu, image, x->wide);
    store_le(image + FX_MXCSR, s->fpu.mxcsr, 4);
    store_le(image + FX_MXCSR + 4, fpu_mxcsr_mask(), 4);
    fpu_store_component(s, 1, x->vecs, image + FX_XMM);
    return (!(components & XCR0_X87) ||
            (area_write(x, 0, image, FX_MXCSR) && area_write(x, 32, image + 32, FX_XMM - 32))) &&
           (!mxcsr || area_write(x, FX_MXCSR, image + FX_MXCSR, 8)) &&
           (!(components & XCR0_SSE) || area_write(x, FX_XMM, image + FX_XMM, 16 * x->vecs));
}

static bool save_extended(XsaveArea *x, uint64_t components, uint64_t compact)
{
    uint8_t image[1024] __attribute__((uninitialized));

    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
        unsigned size = fpu_component_used(i, x->vecs);

        if (!(components & BIT(i)) || !size) {
            continue;
        }
        fpu_store_component(x->v->state, i, x->vecs, image);
        if (!area_write(x, component_offset(x, i, compact), image, size)) {
            return false;
        }
    }
    return true;
}

DbtStep fpu_xsave(DbtVcpu *v, const DbtInsn *insn)
{
    unsigned kind = insn->sub & ~XSAVE_WIDE;
    uint64_t in_use, write, header[2] = {0}, compact = 0;
    XsaveArea x;

    dbt_jit_x87_home(v);
    if (!area_open(&x, v, insn, MMU_WRITE)) {
        return DBT_FAULT;
    }
    in_use = fpu_in_use(v->state, x.vecs);
    if (x.vecs == 16) {
        v->wide_vectors = in_use & XCR0_ZMM_HI256;
    }
    in_use &= x.rfbm;
    write = kind == XSAVE_PLAIN ? x.rfbm : in_use;
    if (kind == XSAVE_COMPACT) {
        compact = header[1] = x.rfbm | XCOMP_COMPACT;
        header[0] = in_use;
    } else {
        if (!area_read(&x, XSAVE_HEADER, header, 8)) {
            return DBT_FAULT;
        }
        header[0] = (header[0] & ~x.rfbm) | in_use;
    }
    if (!save_legacy(&x, write,
                     kind == XSAVE_COMPACT ? write & XCR0_SSE : x.rfbm & (XCR0_SSE | XCR0_AVX)) ||
        !save_extended(&x, write, compact) ||
        !area_write(&x, XSAVE_HEADER, header, kind == XSAVE_COMPACT ? 16 : 8)) {
        return DBT_FAULT;
    }
    return DBT_NEXT;
}

/* SDM vol. 1, 13.8.1 and 13.8.2: what makes XRSTOR #GP. */
static bool header_is_valid(const XsaveArea *x, const uint64_t header[8])
{
    uint64_t xcr0 = x->v->state->xcr0;
    bool compact = header[1] & XCOMP_COMPACT;

    for (unsigned i = compact ? 2 : 1; i < (compact ? 8 : 3); i++) {
        if (header[i]) {
            return false;
        }
    }
    if (compact) {
        uint64_t layout = header[1] & ~XCOMP_COMPACT;

        return !(layout & ~xcr0) && !(header[0] & ~layout);
    }
    return !(header[0] & ~xcr0);
}

typedef struct XsaveImage {
    uint8_t legacy[FXSAVE_SIZE];
    uint8_t extended[XSAVE_COMPONENTS][1024];
} XsaveImage;

/* All of it, so that a fault has changed nothing. */
static bool image_read(XsaveArea *x, XsaveImage *image, const uint64_t header[8])
{
    uint64_t compact = header[1];

    if (!area_read(x, 0, image->legacy, FX_XMM + 16 * x->vecs)) {
        return false;
    }
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
        unsigned size = fpu_component_used(i, x->vecs);

        if (x->rfbm & header[0] & BIT(i) && size &&
            !area_read(x, component_offset(x, i, compact), image->extended[i], size)) {
            return false;
        }
    }
    return true;
}

/* MXCSR: part of SSE in the compacted format, on its own in the standard one. */
static uint32_t image_mxcsr(const XsaveArea *x, const XsaveImage *image, const uint64_t header[8])
{
    uint32_t stored = load_le(image->legacy + FX_MXCSR, 4);

    if (header[1] & XCOMP_COMPACT) {
        if (!(x->rfbm & XCR0_SSE)) {
            return x->v->state->fpu.mxcsr;
        }
        return header[0] & XCR0_SSE ? stored : MXCSR_RESET;
    }
    return x->rfbm & (XCR0_SSE | XCR0_AVX) ? stored : x->v->state->fpu.mxcsr;
}

static void image_load(const XsaveArea *x, const XsaveImage *image, uint64_t present)
{
    CpuState *s = x->v->state;

    if (x->rfbm & XCR0_X87) {
        if (present & XCR0_X87) {
            fpu_load_x87(&s->fpu, image->legacy, x->wide);
        } else {
            fpu_x87_init(&s->fpu);
            memset(s->fpu.st, 0, sizeof(s->fpu.st));
        }
    }
    if (x->rfbm & XCR0_SSE) {
        fpu_load_component(s, 1, x->vecs, present & XCR0_SSE ? image->legacy + FX_XMM : NULL);
    }
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
        if (x->rfbm & BIT(i)) {
            fpu_load_component(s, i, x->vecs, present & BIT(i) ? image->extended[i] : NULL);
        }
    }
}

DbtStep fpu_xrstor(DbtVcpu *v, const DbtInsn *insn)
{
    XsaveImage image __attribute__((uninitialized));
    uint64_t header[8];
    uint32_t mxcsr;
    XsaveArea x;

    dbt_jit_x87_home(v);
    if (!area_open(&x, v, insn, MMU_READ) || !area_read(&x, XSAVE_HEADER, header, sizeof(header))) {
        return DBT_FAULT;
    }
    if (!header_is_valid(&x, header)) {
        return dbt_fault_error(v, EXC_GP, 0);
    }
    if (!image_read(&x, &image, header)) {
        return DBT_FAULT;
    }
    mxcsr = image_mxcsr(&x, &image, header);
    if (mxcsr & ~fpu_mxcsr_mask()) {
        return dbt_fault_error(v, EXC_GP, 0);
    }
    image_load(&x, &image, header[0]);
    v->state->fpu.mxcsr = mxcsr;
    dbt_vectors_changed(v);
    return DBT_NEXT;
}
