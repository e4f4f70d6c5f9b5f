/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control registers, EFER and XCR0: what may be written, and what follows from it.
 *
 * Intel SDM vol. 3: 2.5 (control registers), 4.1.2 (paging-mode enabling), 4.4.1 (PDPTEs), 4.10.4.1
 * (what flushes TLBs), 9.8.5 (entering long mode); vol. 2: MOV CR, XSETBV; vol. 4: IA32_EFER.
 *
 * Locking: own vCPU thread.
 */
#include "accel/dbt/mmu-priv.h"
#include "accel/dbt/seg.h"
#include "accel/dbt/sys.h"

#define CR0_KNOWN \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define CR0_PAGING (CR0_PG | CR0_WP | CR0_PE)
#define CR4_PAGING (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)
#define CR4_RELOADS_PDPTE (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP)
#define CR3_NO_FLUSH BIT(63)
#define PDPTE_P BIT(0)

static bool gp(DbtVcpu *v)
{
    dbt_fault_error(v, EXC_GP, 0);
    return false;
}

static bool is_pae(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
}

/* SDM vol. 3, 4.4.1: bits 2:1, 8:5 and those above the physical address must be zero if present. */
static bool pdpte_ok(const DbtVcpu *v, uint64_t pdpte)
{
    return !(pdpte & PDPTE_P) || !(pdpte & (BITS(2, 1) | BITS(8, 5) | BITS(63, 52) | v->mmu->reserved));
}

/* Reads the four PDPTEs cr3 points at. Outside RAM and ROM they read as an undecoded bus does. */
static bool pdptes_read(DbtVcpu *v, uint64_t cr3, uint64_t pdpte[4])
{
    uint64_t gpa = cr3 & 0xffffffe0;
    MapEntry map = dbt_map_lookup(v->accel->map, gpa);
    bool ok = true;

    memset(pdpte, 0xff, 4 * sizeof(*pdpte));
    if (map.host)
        memcpy(pdpte, map.host + (gpa & ~GUEST_PAGE_MASK), 4 * sizeof(*pdpte));
    for (unsigned i = 0; i < 4; i++)
        ok &= pdpte_ok(v, pdpte[i]);
    return ok;
}

/* For a state that is about to be: loads PDPTEs if it uses them. #GP leaves the old ones. */
static bool pdptes_load(DbtVcpu *v, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer)
{
    uint64_t pdpte[4];

    if (!is_pae(cr0, cr4, efer))
        return true;
    if (!pdptes_read(v, cr3, pdpte))
        return gp(v);
    memcpy(v->mmu->pdpte, pdpte, sizeof(pdpte));
    return true;
}

/* SDM vol. 3, 9.8.5: what setting PG with EFER.LME demands. */
static bool may_enter_long_mode(const DbtVcpu *v)
{
    const CpuState *s = v->state;
    bool tss16 = !(s->tr.attr & 8);

    return s->cr4 & CR4_PAE && !(s->seg[SEG_CS].attr & SEG_ATTR_L) && !tss16;
}

static bool cr0_paging_change_ok(const DbtVcpu *v, uint64_t value)
{
    const CpuState *s = v->state;
    uint64_t changed = s->cr0 ^ value;

    if (!(changed & CR0_PG))
        return true;
    if (value & CR0_PG)
        return !(s->efer & EFER_LME) || may_enter_long_mode(v);
    return v->code_bits != 64 && !(s->cr4 & CR4_PCIDE);
}

bool dbt_cr0_write(DbtVcpu *v, uint64_t value)
{
    CpuState *s = v->state;
    uint64_t old = s->cr0, efer = s->efer & ~(uint64_t)EFER_LMA;

    if (value >> 32)
        return gp(v);
    value = (value & CR0_KNOWN) | CR0_ET;
    if ((value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD)) ||
        !cr0_paging_change_ok(v, value))
        return gp(v);
    if (efer & EFER_LME && value & CR0_PG)
        efer |= EFER_LMA;
    if ((old ^ value) & CR0_PG && !pdptes_load(v, value, s->cr3, s->cr4, efer))
        return false;
    s->cr0 = value;
    s->efer = efer;
    if ((old ^ value) & CR0_PAGING)
        dbt_tlb_flush(v, true);
    dbt_mode_changed(v);
    return true;
}

bool dbt_cr3_write(DbtVcpu *v, uint64_t value)
{
    CpuState *s = v->state;
    bool keep = s->cr4 & CR4_PCIDE && value & CR3_NO_FLUSH;

    if (s->cr4 & CR4_PCIDE)
        value &= ~CR3_NO_FLUSH;
    if (s->efer & EFER_LMA ? value & (BITS(63, 52) | v->mmu->reserved) : value >> 32)
        return gp(v);
    if (!pdptes_load(v, s->cr0, value, s->cr4, s->efer))
        return false;
    s->cr3 = value;
    dbt_tlb_switch(v, keep);
    dbt_end_block(v);
    return true;
}

void dbt_cr3_load(DbtVcpu *v, uint64_t value)
{
    CpuState *s = v->state;

    if (is_pae(s->cr0, s->cr4, s->efer) && !pdptes_read(v, value, v->mmu->pdpte))
        memset(v->mmu->pdpte, 0, sizeof(v->mmu->pdpte));
    s->cr3 = value;
    dbt_tlb_switch(v, false);
}

bool dbt_cr4_write(DbtVcpu *v, uint64_t value)
{
    CpuState *s = v->state;
    uint64_t changed = s->cr4 ^ value;

    if (value & ~v->sys->cr4_allowed)
        return gp(v);
    if (s->efer & EFER_LMA && !(value & CR4_PAE))
        return gp(v);
    if (changed & value & CR4_PCIDE && (!(s->efer & EFER_LMA) || s->cr3 & 0xfff))
        return gp(v);
    if (changed & CR4_RELOADS_PDPTE && !pdptes_load(v, s->cr0, s->cr3, value, s->efer))
        return false;
    s->cr4 = value;
    if (changed & CR4_PAGING)
        dbt_tlb_flush(v, true);
    dbt_mode_changed(v);
    return true;
}

bool dbt_efer_write(DbtVcpu *v, uint64_t value)
{
    CpuState *s = v->state;
    uint64_t old = s->efer;

    if (value & ~(v->sys->efer_allowed | EFER_LMA))
        return gp(v);
    if ((old ^ value) & EFER_LME && s->cr0 & CR0_PG)
        return gp(v);
    s->efer = (value & ~(uint64_t)EFER_LMA) | (old & EFER_LMA);
    if ((old ^ value) & EFER_NXE)
        dbt_tlb_flush(v, true);
    dbt_mode_changed(v);
    return true;
}

/* SDM vol. 1, 13.3; vol. 2, XSETBV. */
bool dbt_xcr0_write(DbtVcpu *v, uint64_t value)
{
    uint64_t avx512 = value & XCR0_AVX512_PARTS;

    if (value & ~v->sys->xcr0_allowed || !(value & XCR0_X87) || (value & XCR0_AVX && !(value & XCR0_SSE)) ||
        (avx512 && (avx512 != XCR0_AVX512_PARTS || !(value & XCR0_AVX))))
        return gp(v);
    v->state->xcr0 = value;
    dbt_mode_changed(v);
    return true;
}

void dbt_state_loaded(DbtVcpu *v)
{
    CpuState *s = v->state;

    if (is_pae(s->cr0, s->cr4, s->efer) && !pdptes_read(v, s->cr3, v->mmu->pdpte))
        memset(v->mmu->pdpte, 0, sizeof(v->mmu->pdpte));
    dbt_sys_cpuid_changed(v);
    dbt_vectors_changed(v);
    dbt_tlb_flush(v, true);
    dbt_mode_changed(v);
    dbt_kvm_clock_update(v);
    dbt_attention(v);
}
