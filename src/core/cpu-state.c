/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CpuState: what it is after reset and INIT, and how it reads in a log.
 * Source: Intel SDM vol. 3, 9.1 "Initialization Overview" with table 9-1.
 */
#include "core/cpu-state.h"

#include <string.h>

#define RESET_RIP 0xfff0
#define RESET_CS_SELECTOR 0xf000
#define RESET_CS_BASE 0xffff0000u
#define RESET_DR6 0xffff0ff0u
#define RESET_DR7 0x400u
#define RESET_PAT 0x0007040600070406ull
#define RESET_MXCSR 0x1f80
#define RESET_APIC_BASE 0xfee00800u /* enabled, at its default address */
#define APIC_BASE_BSP (1u << 8)
#define MISC_ENABLE_FAST_STRINGS (1u << 0)

/* Attributes of the segments at reset: present, accessed; TR a busy 32-bit TSS as VM entry wants it. */
enum {
    RESET_ATTR_CODE = 0x9b,
    RESET_ATTR_DATA = 0x93,
    RESET_ATTR_LDT = 0x82,
    RESET_ATTR_TSS = 0x8b,
};

/* What reset and INIT both do. */
static void reset_core_registers(CpuState *state, uint32_t signature, bool bsp)
{
    memset(state->gpr, 0, sizeof(state->gpr));
    state->gpr[GPR_RDX] = signature;
    state->rip = RESET_RIP;
    state->rflags = RFLAGS_1;

    for (SegIndex i = 0; i < SEG_COUNT; i++)
        state->seg[i] = (SegmentReg){ .limit = 0xffff, .attr = RESET_ATTR_DATA };
    state->seg[SEG_CS] = (SegmentReg){
        .selector = RESET_CS_SELECTOR, .base = RESET_CS_BASE, .limit = 0xffff, .attr = RESET_ATTR_CODE,
    };
    state->ldtr = (SegmentReg){ .limit = 0xffff, .attr = RESET_ATTR_LDT };
    state->tr = (SegmentReg){ .limit = 0xffff, .attr = RESET_ATTR_TSS };
    state->gdtr = state->idtr = (DescTableReg){ .limit = 0xffff };

    state->cr2 = state->cr3 = state->cr4 = state->cr8 = 0;
    state->efer = 0;
    memset(state->dr, 0, sizeof(state->dr));
    state->dr[6] = RESET_DR6;
    state->dr[7] = RESET_DR7;

    state->mp_state = bsp ? MP_RUNNABLE : MP_INIT_RECEIVED;
    state->interrupt_shadow = state->nmi_masked = state->nmi_pending = false;
    state->event_pending = false;
}

/*
 * The table has FCW 0040h with all registers tagged valid. That is left to nobody on a PC: firmware
 * executes FNINIT. Ours does not (a kernel may be entered without any, and SeaBIOS has no need), so
 * the unit comes up as FNINIT leaves it.
 */
static void reset_fpu(FpuState *fpu)
{
    memset(fpu, 0, sizeof(*fpu));
    fpu->fcw = 0x37f;
    fpu->mxcsr = RESET_MXCSR;
}

void cpu_state_reset(CpuState *state, uint32_t signature, bool bsp)
{
    memset(state, 0, sizeof(*state));
    reset_core_registers(state, signature, bsp);
    reset_fpu(&state->fpu);
    state->cr0 = CR0_CD | CR0_NW | CR0_ET;
    state->xcr0 = XCR0_X87;
    state->apic_base = RESET_APIC_BASE | (bsp ? APIC_BASE_BSP : 0);
    state->msr.pat = RESET_PAT;
    state->msr.misc_enable = MISC_ENABLE_FAST_STRINGS;
    state->msr.kvm_poll_control = 1; /* the host may poll when the guest halts; the guest may turn it off */
}

void cpu_state_init(CpuState *state, uint32_t signature, bool bsp)
{
    reset_core_registers(state, signature, bsp);
    state->cr0 = (state->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
}

/* SDM vol. 3, 9.4.4: CS:IP is VV00:0000. */
void cpu_state_sipi(CpuState *state, uint8_t vector)
{
    state->seg[SEG_CS].selector = (uint16_t)(vector << 8);
    state->seg[SEG_CS].base = (uint64_t)vector << 12;
    state->rip = 0;
    state->mp_state = MP_RUNNABLE;
}

unsigned cpu_state_code_bits(const CpuState *state)
{
    uint32_t attr = state->seg[SEG_CS].attr;

    if ((state->efer & EFER_LMA) && (attr & SEG_ATTR_L))
        return 64;
    return attr & SEG_ATTR_DB ? 32 : 16;
}

/* --- printing: the layout of QEMU's "info registers", which people and scripts know --- */

static void print_gprs(const CpuState *state, GString *out)
{
    static const char *const names[16] = {
        "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "RSP",
        "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15",
    };
    static const uint8_t order[16] = {
        GPR_RAX, GPR_RBX, GPR_RCX, GPR_RDX, GPR_RSI, GPR_RDI, GPR_RBP, GPR_RSP,
        GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15,
    };
    bool wide = state->efer & EFER_LMA;

    for (unsigned i = 0; i < (wide ? 16 : 8); i++) {
        if (wide)
            g_string_append_printf(out, "%s=%016" G_GINT64_MODIFIER "x", names[i], state->gpr[order[i]]);
        else
            g_string_append_printf(out, "E%s=%08x", names[i] + 1, (uint32_t)state->gpr[order[i]]);
        g_string_append_c(out, i % 4 == 3 ? '\n' : ' ');
    }
}

static void print_flags(const CpuState *state, GString *out)
{
    static const struct {
        uint32_t flag;
        char letter;
    } letters[] = {
        { RFLAGS_DF, 'D' }, { RFLAGS_OF, 'O' }, { RFLAGS_SF, 'S' }, { RFLAGS_ZF, 'Z' },
        { RFLAGS_AF, 'A' }, { RFLAGS_PF, 'P' }, { RFLAGS_CF, 'C' },
    };
    bool wide = state->efer & EFER_LMA;

    if (wide)
        g_string_append_printf(out, "RIP=%016" G_GINT64_MODIFIER "x RFL=%08x [", state->rip, (uint32_t)state->rflags);
    else
        g_string_append_printf(out, "EIP=%08x EFL=%08x [", (uint32_t)state->rip, (uint32_t)state->rflags);
    for (unsigned i = 0; i < G_N_ELEMENTS(letters); i++)
        g_string_append_c(out, state->rflags & letters[i].flag ? letters[i].letter : '-');
    g_string_append_printf(out, "] CPL=%u II=%d HLT=%d\n", cpu_state_cpl(state), state->interrupt_shadow,
                           state->mp_state == MP_HALTED);
}

static void print_segment(const char *name, const SegmentReg *seg, GString *out)
{
    g_string_append_printf(out, "%-3s=%04x %016" G_GINT64_MODIFIER "x %08x %08x\n", name, seg->selector, seg->base,
                           seg->limit, seg->attr << 8);
}

static void print_segments(const CpuState *state, GString *out)
{
    static const char *const names[SEG_COUNT] = { "ES", "CS", "SS", "DS", "FS", "GS" };

    for (SegIndex i = 0; i < SEG_COUNT; i++)
        print_segment(names[i], &state->seg[i], out);
    print_segment("LDT", &state->ldtr, out);
    print_segment("TR", &state->tr, out);
    g_string_append_printf(out, "GDT=     %016" G_GINT64_MODIFIER "x %08x\n", state->gdtr.base, state->gdtr.limit);
    g_string_append_printf(out, "IDT=     %016" G_GINT64_MODIFIER "x %08x\n", state->idtr.base, state->idtr.limit);
}

static void print_control(const CpuState *state, GString *out)
{
    g_string_append_printf(out,
                           "CR0=%08x CR2=%016" G_GINT64_MODIFIER "x CR3=%016" G_GINT64_MODIFIER "x CR4=%08x\n",
                           (uint32_t)state->cr0, state->cr2, state->cr3, (uint32_t)state->cr4);
    for (unsigned i = 0; i < 8; i++) {
        if (i != 4 && i != 5)
            g_string_append_printf(out, "DR%u=%016" G_GINT64_MODIFIER "x%s", i, state->dr[i],
                                   i == 3 || i == 7 ? "\n" : " ");
    }
    g_string_append_printf(out, "EFER=%016" G_GINT64_MODIFIER "x XCR0=%08x\n", state->efer, (uint32_t)state->xcr0);
}

static void print_fpu(const FpuState *fpu, GString *out)
{
    g_string_append_printf(out, "FCW=%04x FSW=%04x FTW=%02x MXCSR=%08x\n", fpu->fcw, fpu->fsw, fpu->ftw, fpu->mxcsr);
    for (unsigned i = 0; i < 16; i++) {
        uint64_t low, high;
        memcpy(&low, fpu->zmm[i], 8);
        memcpy(&high, fpu->zmm[i] + 8, 8);
        g_string_append_printf(out, "XMM%02u=%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x%c", i, high, low,
                               i % 2 ? '\n' : ' ');
    }
}

void cpu_state_print(const CpuState *state, unsigned cpu_index, GString *out)
{
    g_string_append_printf(out, "CPU#%u\n", cpu_index);
    print_gprs(state, out);
    print_flags(state, out);
    print_segments(state, out);
    print_control(state, out);
    print_fpu(&state->fpu, out);
}
