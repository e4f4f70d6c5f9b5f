/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the translator against the interpreter: lock-step runs both over the same code and ends the process at
 * the first difference. An input is
 *
 *     mode, flags, where   16, 32, 64 bits, user or kernel; TF, DF, AC, ...; bytes of code before the page's end
 *     pages                which of the eight pages around the code are absent, read-only or the kernel's
 *     16 bytes             registers: small numbers, addresses of data, of code, of nothing
 *     code                 may jump anywhere, write over itself, run off its page
 *
 * A slice of time ends what does not end by itself; the process must survive, and the vCPU answer.
 */
#include <string.h>

#include "core/bits.h"
#include "core/dma.h"
#include "core/lock.h"
#include "core/thread.h"
#include "tests/unit/dbt-rig.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define SLICE_US 300
#define HEADER 20
#define CODE_MAX 1024
#define PAGES 8 /* from RIG_CODE on */
#define PAGE_TABLE 0x1000 /* dbt-rig.h */

static Rig *rig;

static void *tick(void *opaque)
{
    for (;;) {
        g_usleep(SLICE_US);
        vcpu_request(rig->machine->vcpus[0], VCPU_REQ_PAUSE);
    }
    return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    pthread_t thread;

    core_init();
    g_setenv("RIG_TIER", "lock-step", true);
    rig = rig_new(1);
    if (!thread_create(&thread, "ticker", tick, NULL, NULL))
        return 1;
    pthread_detach(thread);
    return 0;
}

static uint64_t value_of(uint8_t byte)
{
    static const uint32_t bases[] = {0, RIG_DATA, RIG_CODE + GUEST_PAGE_SIZE - 32, 0x80000000};

    switch (byte >> 6) {
    case 0:
        return byte & 0x20 ? byte & 0x1f : UINT64_MAX - (byte & 0x1f);
    case 1:
        return (uint64_t)(byte & 0x3f) << (byte & 0x38);
    default:
        return bases[byte >> 4 & 3] + (byte & 0xf) * 0x401ull;
    }
}

static void make_user(CpuState *s)
{
    s->seg[SEG_CS].selector |= 3;
    s->seg[SEG_SS].selector |= 3;
    s->seg[SEG_CS].attr |= SEG_ATTR_DPL;
    s->seg[SEG_SS].attr |= SEG_ATTR_DPL;
}

/* AVX and AVX-512 as far as there are, with and without something in the upper halves of ZMM0 to ZMM15. */
static void set_vectors(CpuState *s, const uint8_t *data)
{
    if (data[0] & 0x10)
        return;
    s->cr4 |= CR4_OSXSAVE;
    s->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX | (dbt_host_has_avx512() ? XCR0_AVX512_PARTS : 0);
    for (unsigned i = 0; i < 32; i++) {
        memset(s->fpu.zmm[i], data[4 + i % 16] + (int)i, sizeof(s->fpu.zmm[i]));
        if (i < 16 && data[0] & 0x20)
            memset(s->fpu.zmm[i] + 32, 0, 32);
    }
    for (unsigned i = 0; i < 8; i++)
        s->fpu.opmask[i] = value_of(data[4 + i]) * (i & 1 ? 0x100000001 : 1);
}

static void set_state(CpuState *s, const uint8_t *data)
{
    uint64_t start = RIG_CODE + GUEST_PAGE_SIZE - data[2];

    for (unsigned i = 0; i < 16; i++) {
        if (i != GPR_RSP) /* outside long mode there are no upper halves */
            s->gpr[i] = s->efer & EFER_LMA ? value_of(data[4 + i]) : (uint32_t)value_of(data[4 + i]);
    }
    s->rip = start - s->seg[SEG_CS].base;
    s->rflags |= (data[1] & 1 ? RFLAGS_TF : 0) | (data[1] & 2 ? RFLAGS_DF : 0) | (data[1] & 4 ? RFLAGS_AC : 0) |
                 (data[1] & 8 ? RFLAGS_IF : 0) | (data[1] & 0x10 ? RFLAGS_CF | RFLAGS_ZF : 0);
    if (data[1] & 0x20)
        s->cr0 |= CR0_WP;
    if (data[0] & 4 && s->cr0 & CR0_PE)
        make_user(s);
    if (data[0] & 8)
        s->cr0 |= CR0_TS;
    s->cr4 |= CR4_OSFXSR;
    set_vectors(s, data);
}

/* Two bits a pair of pages: as they are, the kernel's, read-only, absent. */
static void set_pages(uint8_t bits)
{
    static const uint8_t missing[] = {0, 4, 2, 1}; /* U, W, P */
    uint64_t *table = rig_mem(rig, PAGE_TABLE);

    for (unsigned i = 0; i < PAGES; i++)
        table[RIG_CODE / GUEST_PAGE_SIZE + i] &= ~(uint64_t)missing[bits >> (i & 6) & 3];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AddressSpace *as = &rig->machine->memory;
    Vcpu *vcpu = rig->machine->vcpus[0];

    if (len <= HEADER)
        return 0;
    rig_reset_memory(rig);
    set_pages(data[3]);
    dma_write(as, RIG_CODE + GUEST_PAGE_SIZE - data[2], data + HEADER, MIN(len - HEADER, CODE_MAX));
    rig_mode(rig, 0, 16u << (data[0] & 3) % 3);
    set_state(rig_state(rig, 0), data);
    vcpu_take_requests(vcpu, ~0u);
    current_vcpu = vcpu;
    vcpu->machine->accel->ops->run(vcpu);
    current_vcpu = NULL;
    return 0;
}
