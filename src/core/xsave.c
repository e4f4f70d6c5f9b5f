/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CpuState.fpu <-> the XSAVE area in standard format, with the offsets of the host CPU.
 * Source: Intel SDM vol. 1, 13.4 (layout), 13.7 and 13.8 (XSAVE, XRSTOR).
 *
 * The FXSAVE part is in the 64-bit form (REX.W): FIP and FDP are whole and no selectors exist.
 * Components known: x87, SSE, AVX, the three of AVX-512, PKRU. Others in a mask are left alone.
 */
#include <cpuid.h>
#include <pthread.h>
#include <string.h>

#include "core/bits.h"
#include "core/cpu-state.h"

enum {
    COMP_AVX = 2,
    COMP_OPMASK = 5,
    COMP_ZMM_HI256 = 6,
    COMP_HI16_ZMM = 7,
    COMP_PKRU = 9,
    COMP_COUNT,
};

/* Bytes of the legacy region and the header. */
enum {
    XS_FCW = 0, XS_FSW = 2, XS_FTW = 4, XS_FOP = 6, XS_FIP = 8, XS_FDP = 16,
    XS_MXCSR = 24, XS_MXCSR_MASK = 28, XS_ST = 32, XS_XMM = 160,
    XS_XSTATE_BV = 512, XS_HEADER_END = 576,
};

#define XS_KNOWN (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM | XCR0_PKRU)
#define FCW_INIT 0x37f

typedef struct Component {
    uint32_t offset, size; /* size 0: the host has it not */
} Component;

/* CPUID is slow under a hypervisor (it exits), so it is asked once. */
static Component layout[COMP_COUNT];
static uint32_t mxcsr_mask;
static pthread_once_t layout_once = PTHREAD_ONCE_INIT;

static void layout_read(void)
{
    uint8_t fxsave[512] __attribute__((aligned(16))) = { 0 };
    uint32_t eax, ebx, ecx, edx;

    for (uint32_t i = COMP_AVX; i < COMP_COUNT; i++) {
        if (__get_cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx) && !(ecx & 1)) /* ECX[0]: supervisor */
            layout[i] = (Component){ .offset = ebx, .size = eax };
    }
    __asm__ volatile("fxsave64 %0" : "=m"(fxsave));
    mxcsr_mask = (uint32_t)load_le(fxsave + XS_MXCSR_MASK, 4);
    if (!mxcsr_mask)
        mxcsr_mask = 0xffbf; /* SDM vol. 1, 11.6.6 */
}

static const Component *component(unsigned i)
{
    pthread_once(&layout_once, layout_read);
    return &layout[i];
}

uint32_t cpu_state_xsave_size(uint64_t mask)
{
    uint32_t size = XS_HEADER_END;

    for (unsigned i = COMP_AVX; i < COMP_COUNT; i++) {
        const Component *comp = component(i);
        if ((mask & XS_KNOWN & BIT(i)) && comp->size)
            size = MAX(size, comp->offset + comp->size);
    }
    return size;
}

/* The component's place in the area, or NULL if it is not in mask or not in the host. */
static uint8_t *place(const void *area, uint64_t mask, unsigned i)
{
    const Component *comp = component(i);

    return (mask & XS_KNOWN & BIT(i)) && comp->size ? (uint8_t *)area + comp->offset : NULL;
}

static void x87_store(const FpuState *fpu, uint8_t *area)
{
    store_le(area + XS_FCW, fpu->fcw, 2);
    store_le(area + XS_FSW, fpu->fsw, 2);
    store_le(area + XS_FTW, fpu->ftw, 2); /* byte 5 is reserved, zero */
    store_le(area + XS_FOP, fpu->fop, 2);
    store_le(area + XS_FIP, fpu->fip, 8);
    store_le(area + XS_FDP, fpu->fdp, 8);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(area + XS_ST + 16 * i, fpu->st[i], 10);
        memset(area + XS_ST + 16 * i + 10, 0, 6);
    }
}

/* area NULL: the initial configuration (13.6). */
static void x87_load(FpuState *fpu, const uint8_t *area)
{
    fpu->fcw = area ? (uint16_t)load_le(area + XS_FCW, 2) : FCW_INIT;
    fpu->fsw = area ? (uint16_t)load_le(area + XS_FSW, 2) : 0;
    fpu->ftw = area ? area[XS_FTW] : 0;
    fpu->fop = area ? load_le(area + XS_FOP, 2) & 0x7ff : 0;
    fpu->fip = area ? load_le(area + XS_FIP, 8) : 0;
    fpu->fdp = area ? load_le(area + XS_FDP, 8) : 0;
    fpu->fcs = fpu->fds = 0;
    memset(fpu->st, 0, sizeof(fpu->st));
    for (unsigned i = 0; area && i < 8; i++)
        memcpy(fpu->st[i], area + XS_ST + 16 * i, 10);
}

static void sse_store(const FpuState *fpu, uint8_t *area)
{
    for (unsigned i = 0; i < 16; i++)
        memcpy(area + XS_XMM + 16 * i, fpu->zmm[i], 16);
}

static void sse_load(FpuState *fpu, const uint8_t *area, bool present)
{
    for (unsigned i = 0; i < 16; i++) {
        memset(fpu->zmm[i], 0, 16);
        if (present)
            memcpy(fpu->zmm[i], area + XS_XMM + 16 * i, 16);
    }
}

/* MXCSR belongs to SSE and AVX both (13.7). */
static void mxcsr_store(const FpuState *fpu, uint8_t *area)
{
    pthread_once(&layout_once, layout_read);
    store_le(area + XS_MXCSR, fpu->mxcsr, 4);
    store_le(area + XS_MXCSR_MASK, mxcsr_mask, 4);
}

/* The parts of the vector registers a component holds: len bytes from byte `from` of registers
 * first .. first + count - 1. */
typedef struct VectorPart {
    unsigned component, first, count, from, len;
} VectorPart;

static const VectorPart vector_parts[] = {
    { COMP_AVX, 0, 16, 16, 16 },
    { COMP_ZMM_HI256, 0, 16, 32, 32 },
    { COMP_HI16_ZMM, 16, 16, 0, 64 },
};

static void vector_store(const FpuState *fpu, const VectorPart *part, uint8_t *at)
{
    for (unsigned i = 0; i < part->count; i++)
        memcpy(at + part->len * i, fpu->zmm[part->first + i] + part->from, part->len);
}

static void vector_load(FpuState *fpu, const VectorPart *part, const uint8_t *at, bool present)
{
    for (unsigned i = 0; i < part->count; i++) {
        uint8_t *to = fpu->zmm[part->first + i] + part->from;
        memset(to, 0, part->len);
        if (present)
            memcpy(to, at + part->len * i, part->len);
    }
}

/* 13.4.2: XSTATE_BV, XCOMP_BV (zero: standard format), reserved. Every component is written out, so
 * none is in its initial configuration as far as XRSTOR is concerned. */
static void header_store(uint8_t *area, uint64_t stored)
{
    store_le(area + XS_XSTATE_BV, load_le(area + XS_XSTATE_BV, 8) | stored, 8);
    memset(area + XS_XSTATE_BV + 8, 0, XS_HEADER_END - XS_XSTATE_BV - 8);
}

void cpu_state_to_xsave(const CpuState *state, uint64_t mask, void *area, uint32_t size)
{
    const FpuState *fpu = &state->fpu;
    uint8_t *at;

    g_assert(size >= cpu_state_xsave_size(mask));
    if (mask & XCR0_X87)
        x87_store(fpu, area);
    if (mask & XCR0_SSE)
        sse_store(fpu, area);
    if (mask & (XCR0_SSE | XCR0_AVX))
        mxcsr_store(fpu, area);
    for (unsigned i = 0; i < G_N_ELEMENTS(vector_parts); i++) {
        if ((at = place(area, mask, vector_parts[i].component)))
            vector_store(fpu, &vector_parts[i], at);
    }
    if ((at = place(area, mask, COMP_OPMASK)))
        memcpy(at, fpu->opmask, sizeof(fpu->opmask));
    if ((at = place(area, mask, COMP_PKRU)))
        store_le(at, state->pkru, 8);
    header_store(area, mask & XS_KNOWN);
}

void cpu_state_from_xsave(CpuState *state, uint64_t mask, const void *area, uint32_t size)
{
    FpuState *fpu = &state->fpu;
    const uint8_t *bytes = area, *at;
    uint64_t present = load_le(bytes + XS_XSTATE_BV, 8);

    g_assert(size >= cpu_state_xsave_size(mask));
    if (mask & XCR0_X87)
        x87_load(fpu, present & XCR0_X87 ? bytes : NULL);
    if (mask & XCR0_SSE)
        sse_load(fpu, bytes, present & XCR0_SSE);
    if (mask & (XCR0_SSE | XCR0_AVX)) /* whatever XSTATE_BV says (13.8.1) */
        fpu->mxcsr = (uint32_t)load_le(bytes + XS_MXCSR, 4);
    for (unsigned i = 0; i < G_N_ELEMENTS(vector_parts); i++) {
        const VectorPart *part = &vector_parts[i];
        if ((at = place(area, mask, part->component)))
            vector_load(fpu, part, at, present & BIT(part->component));
    }
    if ((at = place(area, mask, COMP_OPMASK))) {
        for (unsigned i = 0; i < G_N_ELEMENTS(fpu->opmask); i++)
            fpu->opmask[i] = present & XCR0_OPMASK ? load_le(at + 8 * i, 8) : 0;
    }
    if ((at = place(area, mask, COMP_PKRU)))
        state->pkru = present & XCR0_PKRU ? (uint32_t)load_le(at, 4) : 0;
}
