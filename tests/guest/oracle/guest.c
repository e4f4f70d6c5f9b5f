/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest side of the oracle: a machine with nothing but RAM and one vCPU of accel/dbt, in 64-bit
 * user mode behind page tables that map the code and data pages where the host has them.
 *
 * Instructions run by decoding and calling the handler, as the loop would; a fault is taken from
 * the vCPU instead of being delivered.
 */
#include <string.h>

#include "accel/dbt/block.h"
#include "accel/dbt/dbt.h"
#include "accel/dbt/decode.h"
#include "accel/dbt/jit.h"
#include "core/dma.h"
#include "core/lock.h"
#include "core/machine.h"
#include "core/thread.h"
#include "hw/i386/cpu-model.h"
#include "oracle.h"

#define RAM_SIZE   (8 * MIB)
#define CODE_GPA   0x100000u
#define DATA_GPA   0x200000u
#define TABLES_GPA 0x300000u

#define PTE_P 1u
#define PTE_W 2u
#define PTE_U 4u
#define PTE_A 0x20u
#define PTE_D 0x40u

static Machine *machine;
static MemoryRegion ram_region;
static RamBlock *ram;
static Vcpu *vcpu;
static DbtVcpu *v;
static CpuidTable cpuid;
static uint64_t next_table = TABLES_GPA;

/* Returns the entry's table, made if absent. */
static uint64_t table_below(uint64_t table, unsigned index)
{
    uint64_t entry = load_le(ram->host + table + 8 * index, 8);

    if (!entry) {
        next_table += 4096;
        entry = next_table | PTE_P | PTE_W | PTE_U | PTE_A;
        store_le(ram->host + table + 8 * index, entry, 8);
    }
    return entry & GUEST_PAGE_MASK;
}

static void map_page(uint64_t linear, uint64_t gpa)
{
    uint64_t table = TABLES_GPA;

    for (unsigned shift = 39; shift > 12; shift -= 9) {
        table = table_below(table, linear >> shift & 511);
    }
    store_le(ram->host + table + 8 * (linear >> 12 & 511),
             gpa | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D, 8);
}

static void flat_segment(SegmentReg *seg, uint16_t selector, uint32_t type)
{
    *seg = (SegmentReg){.selector = selector,
                        .limit = 0xffffffff,
                        .attr = type | SEG_ATTR_S | SEG_ATTR_P | SEG_ATTR_DPL | SEG_ATTR_G |
                                SEG_ATTR_ACCESSED | SEG_ATTR_RW};
}

static void user_mode(CpuState *s)
{
    cpu_state_reset(s, 0, true);
    s->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_ET;
    s->cr3 = TABLES_GPA;
    s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    s->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    s->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX | (host_has_avx512() ? XCR0_AVX512_PARTS : 0);
    flat_segment(&s->seg[SEG_CS], 0x33, SEG_ATTR_CODE | SEG_ATTR_L);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (i != SEG_CS) {
            flat_segment(&s->seg[i], 0x2b, SEG_ATTR_DB);
        }
    }
    s->mp_state = MP_RUNNABLE;
}

/* A 16-bit segment of 64 KiB. */
static void small_segment(SegmentReg *seg, uint16_t selector, uint64_t base, uint32_t type)
{
    flat_segment(seg, selector, type);
    seg->base = base;
    seg->limit = 0xffff;
    seg->attr &= ~(SEG_ATTR_G | SEG_ATTR_DB);
}

void guest_set_code_bits(unsigned code_bits)
{
    SegmentReg *seg = vcpu->state.seg;

    if (code_bits == 16) {
        small_segment(&seg[SEG_CS], 0x07, CODE_ADDRESS, SEG_ATTR_CODE);
        small_segment(&seg[SEG_DS], 0x0f, SEG16_BASE, 0);
        seg[SEG_ES] = seg[SEG_SS] = seg[SEG_DS];
    } else {
        flat_segment(&seg[SEG_CS], code_bits == 64 ? 0x33 : 0x23,
                     SEG_ATTR_CODE | (code_bits == 64 ? SEG_ATTR_L : SEG_ATTR_DB));
    }
    dbt_state_loaded(v);
}

static const MachineType machine_type = {.name = "oracle", .instance_size = sizeof(Machine)};

bool guest_init(bool translate, GError **errp)
{
    static const char *const interpreted[] = {"dbt,interpret=on"};
    static const char *const translated[] = {"dbt,interpret=off,translate-after=1,one-insn-per-tb=on"};
    const char *const *specs = translate ? translated : interpreted;
    RamOptions options = {.size = RAM_SIZE, .share = true};

    core_init();
    machine = machine_new(&machine_type);
    machine->accel = accel_create(specs, 1, errp);
    ram = machine->accel ? ram_block_new("oracle", &options, errp) : NULL;
    if (!ram) {
        return false;
    }
    machine_lock();
    machine->accel->machine = machine;
    memory_region_init_ram(&ram_region, "ram", ram, 0, RAM_SIZE);
    memory_region_add(&machine->memory_root, 0, &ram_region, 0);
    if (!machine->accel->ops->init(machine->accel, machine, errp)) {
        return false;
    }
    machine_unlock();
    vcpu = vcpu_new(machine, 0, 0, errp);
    if (!vcpu) {
        return false;
    }
    machine->accel->ops->supported_cpuid(machine->accel, &cpuid);
    if (!machine->accel->ops->vcpu_set_cpuid(vcpu, &cpuid, errp)) {
        return false;
    }
    map_page(CODE_ADDRESS, CODE_GPA);
    for (unsigned i = 0; i < DATA_SIZE; i += 4096) {
        map_page(DATA_ADDRESS + i, DATA_GPA + i);
    }
    user_mode(&vcpu->state);
    v = vcpu->accel;
    current_vcpu = vcpu;
    dbt_guest_enter(v);
    dbt_state_loaded(v);
    return true;
}

uint8_t *guest_data(void)
{
    return ram->host + DATA_GPA;
}

static void load_state(const Case *c, const State *state)
{
    CpuState *s = &vcpu->state;

    memcpy(s->gpr, state->gpr, sizeof(s->gpr));
    s->rip = CODE_ADDRESS - case_code_base(c);
    s->rflags = state->rflags;
    memcpy(&s->fpu, state->xsave, 8);
    memcpy(&s->fpu.mxcsr, state->xsave + X_MXCSR, 4);
    memcpy(s->fpu.st, state->xsave + X_ST, sizeof(s->fpu.st));
    for (unsigned i = 0; i < 16; i++) {
        memcpy(s->fpu.zmm[i], state->xsave + X_XMM + 16 * i, 16);
        memcpy(s->fpu.zmm[i] + 16, state->xsave + X_YMM + 16 * i, 16);
        memcpy(s->fpu.zmm[i] + 32, state->xsave + X_ZMM + 32 * i, 32);
        memcpy(s->fpu.zmm[16 + i], state->xsave + X_HIGH + 64 * i, 64);
    }
    memcpy(s->fpu.opmask, state->xsave + X_OPMASK, 64);
    dbt_vectors_changed(v);
}

static void store_state(const Case *c, State *state)
{
    const CpuState *s = &vcpu->state;

    memcpy(state->gpr, s->gpr, sizeof(s->gpr));
    state->rip = s->rip + case_code_base(c);
    state->rflags = s->rflags;
    memcpy(state->xsave, &s->fpu, 8);
    memcpy(state->xsave + X_MXCSR, &s->fpu.mxcsr, 4);
    memcpy(state->xsave + X_ST, s->fpu.st, sizeof(s->fpu.st));
    for (unsigned i = 0; i < 16; i++) {
        memcpy(state->xsave + X_XMM + 16 * i, s->fpu.zmm[i], 16);
        memcpy(state->xsave + X_YMM + 16 * i, s->fpu.zmm[i] + 16, 16);
        memcpy(state->xsave + X_ZMM + 32 * i, s->fpu.zmm[i] + 32, 32);
        memcpy(state->xsave + X_HIGH + 64 * i, s->fpu.zmm[16 + i], 64);
    }
    memcpy(state->xsave + X_OPMASK, s->fpu.opmask, 64);
}

/* A repeated instruction may leave with some iterations done. */
static DbtStep run_insn(const DbtInsn *insn)
{
    uint64_t rip = vcpu->state.rip;
    DbtStep step;

    for (unsigned i = 0; i < 1000; i++) {
        step = insn->handler(v, insn);
        if (step != DBT_LEAVE || vcpu->state.rip != rip) {
            break;
        }
    }
    return step;
}

static DbtStep interpret(const Case *c)
{
    DbtInsn insn;
    DbtStep step;

    memcpy(ram->host + CODE_GPA, c->bytes, c->len);
    dbt_decode(v, c->bytes, c->len, CODE_ADDRESS, &insn);
    v->limit = NULL;
    step = run_insn(&insn);
    if (step == DBT_NEXT) {
        vcpu->state.rip += insn.len;
    }
    return step;
}

/* The same by the translator, if it takes code of this mode. A unit serves all states of a form. */
static DbtStep translate_and_run(const Case *c)
{
    uint64_t rip = vcpu->state.rip;
    uint8_t code[sizeof(c->bytes) + 1];
    bool translated;
    DbtStep step;

    memcpy(code, c->bytes, c->len);
    code[c->len] = 0x9c; /* PUSHF: all flags are needed */
    if (memcmp(ram->host + CODE_GPA, code, c->len + 1)) {
        dma_write(&machine->memory, CODE_GPA, code, c->len + 1);
    }
    dbt_jit_enter_thread(v);
    for (unsigned i = 0; i < 1000; i++) {
        step = dbt_jit_run_once(v, &translated);
        if ((!translated && step != DBT_FAULT) || step == DBT_FAULT || vcpu->state.rip != rip) {
            break;
        }
    }
    __asm__ volatile("mov %0, %%gs" : : "r"(0x2b)); /* host.c reaches its data through GS */
    return translated || step == DBT_FAULT ? step : interpret(c);
}

void guest_run(const Case *c, State *state)
{
    DbtStep step;

    load_state(c, state);
    step = v->jit ? translate_and_run(c) : interpret(c);
    for (unsigned i = 0; i < 8 && case_bits(c) != 64; i++) {
        vcpu->state.gpr[i] = (uint32_t)vcpu->state.gpr[i];
    }
    store_state(c, state);
    state->fault = step == DBT_FAULT ? v->fault.vector : NO_FAULT;
    state->fault_address = state->fault == EXC_PF ? v->fault_linear : 0;
}

void guest_release(void)
{
    dbt_guest_leave(v);
    current_vcpu = NULL;
}
