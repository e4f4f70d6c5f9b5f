/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The LAPIC's registers: MMIO page, MSRs, modes.
 * Source: Intel SDM vol. 3, 11.4 (local APIC), 11.12 (x2APIC).
 *
 * There is one MMIO page for all vCPUs, each of which sees its own LAPIC there. IA32_APIC_BASE
 * moves the page for all of them; a vCPU whose own base is elsewhere finds nothing at it, as does
 * one whose LAPIC is disabled or in x2APIC mode. (Nothing: RAM under the page is not shown.)
 * Not modelled: CMCI, thermal and performance-counter sources (their LVT entries are just there).
 *
 * Locking: as hw/intc/lapic.h.
 */
#include "hw/intc/lapic.h"

#include "core/bits.h"
#include "core/log.h"
#include "core/machine.h"
#include "hw/intc/lapic-internal.h"

#define MSR_APIC_BASE    0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC       0x800
#define MSR_X2APIC_LAST  0x8ff

/* A Pentium 4 class LAPIC with EOI broadcast suppression; SDM figure 11-7. */
#define VERSION (0x14 | (LVT_COUNT - 1) << 16 | 1 << 24)

/* CPUID.1:ECX */
#define CPUID_X2APIC       (1u << 21)
#define CPUID_TSC_DEADLINE (1u << 24)

#define BASE_ADDRESS(base) ((base) & GUEST_PAGE_MASK)
#define BASE_FLAGS         ((uint64_t)(APIC_BASE_BSP | APIC_BASE_X2APIC | APIC_BASE_ENABLE))

#define ICR_LOW_MASK 0xcdfffu /* with delivery status, which is read-only and 0 */

static const uint32_t lvt_writable[LVT_COUNT] = {
    [LVT_TIMER] = 0x700ff,   [LVT_THERMAL] = 0x107ff, [LVT_PMC] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff,   [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};

/* --- Reset --- */

static uint32_t x2apic_ldr(uint32_t id)
{
    return id >> 4 << 16 | 1u << (id & 15); /* SDM 11.12.10.2 */
}

/* After power-up, INIT and a turn through disabled mode (SDM 11.4.7.1, 11.4.7.3, 11.4.3): all but the
 * base and the ID. In x2APIC mode INIT keeps the ID and the LDR that follows from it (11.12.5.1). */
static void reset_registers(Lapic *lapic)
{
    lapic_timer_reset(lapic);
    for (int i = 0; i < 8; i++) {
        lapic_store(&lapic->irr[i], 0);
        lapic_store(&lapic->isr[i], 0);
        lapic_store(&lapic->tmr[i], 0);
    }
    for (int i = 0; i < LVT_COUNT; i++)
        lapic_store(&lapic->lvt[i], LVT_MASKED);
    lapic_store(&lapic->ldr, lapic_is_x2apic(lapic) ? x2apic_ldr(lapic->id) : 0);
    lapic_store(&lapic->dfr, 0xffffffff);
    lapic_store(&lapic->svr, 0xff);
    lapic_store(&lapic->tpr, 0);
    lapic_store(&lapic->esr_latch, 0);
    lapic->esr = 0;
    lapic->icr_low = lapic->icr_high = 0;
    lapic->pv_eoi_armed = false;
}

void lapic_power_up(Lapic *lapic)
{
    bool bsp = lapic->vcpu->index == 0;
    uint64_t base = LAPIC_DEFAULT_BASE | APIC_BASE_ENABLE | (bsp ? APIC_BASE_BSP : 0);

    __atomic_store_n(&lapic->base, base, __ATOMIC_RELEASE);
    lapic->vcpu->state.apic_base = base;
    lapic_store(&lapic->id, lapic->vcpu->apic_id);
    __atomic_fetch_and(&lapic->lint_level, ~EXTINT_MESSAGE, __ATOMIC_SEQ_CST);
    reset_registers(lapic);
    /* Firmware leaves the BSP in virtual wire mode (MP specification 3.6.2.2); there may be none. */
    if (bsp)
        lapic_store(&lapic->lvt[LVT_LINT0], DELIVERY_EXTINT << 8);
}

/* --- Registers common to both views --- */

/* Bits a guest may set: TSC-deadline mode only where CPUID offers it (SDM 11.5.4.1). */
static uint32_t lvt_mask(const Lapic *lapic, LapicLvt entry)
{
    if (entry == LVT_TIMER && !(lapic->vcpu->feature_ecx & CPUID_TSC_DEADLINE))
        return lvt_writable[entry] & ~LVT_DEADLINE_MODE;
    return lvt_writable[entry];
}

static uint32_t read_register(Lapic *lapic, unsigned reg)
{
    lapic_sync_pv_eoi(lapic);
    switch (reg) {
    case APIC_ID:
        return lapic_is_x2apic(lapic) ? lapic->id : lapic->id << 24;
    case APIC_VERSION:
        return VERSION;
    case APIC_TPR:
        return lapic->tpr;
    case APIC_PPR:
        return lapic_ppr(lapic);
    case APIC_LDR:
        return lapic->ldr;
    case APIC_DFR:
        return lapic->dfr;
    case APIC_SVR:
        return lapic->svr;
    case APIC_ISR ... APIC_ISR + 7:
        return lapic_load(&lapic->isr[reg - APIC_ISR]);
    case APIC_TMR ... APIC_TMR + 7:
        return lapic_load(&lapic->tmr[reg - APIC_TMR]);
    case APIC_IRR ... APIC_IRR + 7:
        return lapic_load(&lapic->irr[reg - APIC_IRR]);
    case APIC_ESR:
        return lapic->esr;
    case APIC_ICR_LOW:
        return lapic->icr_low;
    case APIC_ICR_HIGH:
        return lapic->icr_high;
    case APIC_LVT ... APIC_LVT + LVT_COUNT - 1:
        return lapic_load(&lapic->lvt[reg - APIC_LVT]);
    case APIC_INITIAL_COUNT:
        return lapic->initial_count;
    case APIC_CURRENT_COUNT:
        return lapic_timer_current(lapic);
    case APIC_DIVIDE:
        return lapic->divide;
    }
    return 0;
}

static void write_lvt(Lapic *lapic, LapicLvt entry, uint32_t value)
{
    value &= lvt_mask(lapic, entry);
    if (!(lapic->svr & SVR_ENABLE))
        value |= LVT_MASKED; /* SDM 11.4.7.2 */
    if (entry == LVT_TIMER) {
        lapic_timer_write_lvt(lapic, value);
        return;
    }
    if (entry != LVT_LINT0 && entry != LVT_LINT1) {
        lapic_store(&lapic->lvt[entry], value);
        return;
    }
    /* Remote IRR belongs to whoever drives the pin. */
    value |= lapic_load(&lapic->lvt[entry]) & LVT_REMOTE_IRR;
    lapic_store(&lapic->lvt[entry], value);
    if (!(lapic_load(&lapic->lint_level) & 1u << (entry - LVT_LINT0)) || (value & LVT_REMOTE_IRR))
        return;
    if ((value & LVT_LEVEL) || LVT_DELIVERY(value) == DELIVERY_EXTINT)
        lapic_deliver_lvt(lapic, entry); /* the pin is asserted already */
}

static void write_svr(Lapic *lapic, uint32_t value)
{
    lapic_store(&lapic->svr, value & SVR_MASK);
    if (value & SVR_ENABLE)
        return;
    for (int i = 0; i < LVT_COUNT; i++) /* masked, and kept masked: SDM 11.4.7.2 */
        __atomic_fetch_or(&lapic->lvt[i], LVT_MASKED, __ATOMIC_SEQ_CST);
}

/* False: there is no such register to write. */
static bool write_register(Lapic *lapic, unsigned reg, uint32_t value)
{
    switch (reg) {
    case APIC_TPR:
        lapic_write_tpr(lapic, value);
        break;
    case APIC_EOI:
        lapic_eoi(lapic);
        break;
    case APIC_SVR:
        write_svr(lapic, value);
        break;
    case APIC_ESR: /* a write makes the errors since the last one readable; SDM 11.5.3 */
        lapic->esr = __atomic_exchange_n(&lapic->esr_latch, 0, __ATOMIC_SEQ_CST);
        break;
    case APIC_LVT ... APIC_LVT + LVT_COUNT - 1:
        write_lvt(lapic, reg - APIC_LVT, value);
        break;
    case APIC_INITIAL_COUNT:
        lapic_timer_write_initial(lapic, value);
        break;
    case APIC_DIVIDE:
        lapic_timer_write_divide(lapic, value & 0xb);
        break;
    default:
        return false;
    }
    return true;
}

/* --- xAPIC: the page --- */

/* Which LAPIC answers; NULL: nothing is there for this CPU. */
static Lapic *find_mmio(LapicBus *bus)
{
    unsigned index = current_vcpu ? current_vcpu->index : 0;
    Lapic *lapic = index < bus->count ? bus->lapics[index] : NULL;

    if (!lapic || !lapic_is_enabled(lapic) || lapic_is_x2apic(lapic) ||
        BASE_ADDRESS(lapic_base(lapic)) != bus->mmio.offset)
        return NULL;
    return lapic;
}

static bool is_register(unsigned reg)
{
    return (reg >= APIC_ID && reg <= APIC_VERSION) || (reg >= APIC_TPR && reg <= APIC_ESR) ||
           (reg >= APIC_ICR_LOW && reg <= APIC_CURRENT_COUNT) || reg == APIC_DIVIDE;
}

static uint64_t lapic_mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    Lapic *lapic = find_mmio(opaque);
    unsigned reg = offset >> 4, byte = offset & 15;

    if (!lapic)
        return size_mask(size);
    if (!is_register(reg)) {
        lapic_error(lapic, ESR_ILLEGAL_REGISTER);
        return 0;
    }
    return byte < 4 ? read_register(lapic, reg) >> 8 * byte & size_mask(size) : 0;
}

static void lapic_mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Lapic *lapic = find_mmio(opaque);
    unsigned reg = offset >> 4;

    if (!lapic)
        return;
    if (offset & 15 || size != 4) {
        guest_error("lapic", "write of %u bytes at %#x", size, (unsigned)offset);
        return;
    }
    switch (reg) {
    case APIC_ID:
        lapic_store(&lapic->id, value >> 24);
        return;
    case APIC_LDR:
        lapic_store(&lapic->ldr, value & 0xff000000);
        return;
    case APIC_DFR:
        lapic_store(&lapic->dfr, value | 0x0fffffff);
        return;
    case APIC_ICR_HIGH:
        lapic->icr_high = value & 0xff000000;
        return;
    case APIC_ICR_LOW:
        lapic->icr_low = value & ICR_LOW_MASK & ~LVT_SEND_PENDING;
        lapic_send_ipi(lapic, lapic->icr_low, lapic->icr_high);
        return;
    }
    if (!write_register(lapic, reg, value) && !is_register(reg))
        lapic_error(lapic, ESR_ILLEGAL_REGISTER);
}

const MemoryRegionOps lapic_mmio_ops = {
    .read = lapic_mmio_read,
    .write = lapic_mmio_write,
    .valid = {1, 4},
    .impl = {1, 4},
    .lockless = true,
};

/* --- IA32_APIC_BASE --- */

/* The mode's state diagram, SDM figure 11-27: what is not in it is #GP. */
static bool is_legal_base(const Lapic *lapic, uint64_t new)
{
    uint64_t old = lapic->base;
    unsigned phys_bits = lapic->vcpu->phys_bits;
    bool new_x2 = new & APIC_BASE_X2APIC, old_x2 = old & APIC_BASE_X2APIC;
    bool new_enable = new & APIC_BASE_ENABLE, old_enable = old & APIC_BASE_ENABLE;

    if ((new & ~GUEST_PAGE_MASK & ~BASE_FLAGS) || new >> (phys_bits && phys_bits < 52 ? phys_bits : 52))
        return false;
    if (new_x2 && (!new_enable || !old_enable || !(lapic->vcpu->feature_ecx & CPUID_X2APIC)))
        return false;
    return !(old_x2 && new_enable && !new_x2);
}

static bool write_base(Lapic *lapic, uint64_t value)
{
    uint64_t old = lapic->base;

    if (!is_legal_base(lapic, value))
        return false;
    __atomic_store_n(&lapic->base, value, __ATOMIC_RELEASE);
    lapic->vcpu->state.apic_base = value;
    if ((old & APIC_BASE_ENABLE) && !(value & APIC_BASE_ENABLE)) {
        lapic_store(&lapic->id, lapic->vcpu->apic_id & 0xff); /* it comes back as after power-up */
        reset_registers(lapic);
    } else if (!(old & APIC_BASE_X2APIC) && (value & APIC_BASE_X2APIC)) {
        lapic_store(&lapic->id, lapic->vcpu->apic_id);
        lapic_store(&lapic->ldr, x2apic_ldr(lapic->id));
    }
    if (BASE_ADDRESS(value) != BASE_ADDRESS(old))
        lapic_move_page(lapic->bus, BASE_ADDRESS(value));
    return true;
}

/* --- x2APIC: MSRs 800h.. (SDM table 11-6) --- */

static bool read_x2apic(Lapic *lapic, unsigned reg, uint64_t *value)
{
    if (!lapic_is_x2apic(lapic))
        return false;
    switch (reg) {
    case APIC_APR:
    case APIC_EOI:
    case APIC_RRD:
    case APIC_DFR:
    case APIC_ICR_HIGH:
        return false; /* write-only, or not there */
    case APIC_ICR_LOW:
        *value = lapic->icr_low | (uint64_t)lapic->icr_high << 32;
        return true;
    }
    if (!is_register(reg))
        return false;
    *value = read_register(lapic, reg);
    return true;
}

/* Reserved bits: the write is #GP (SDM 11.12.1.3). */
static uint64_t x2apic_writable(const Lapic *lapic, unsigned reg)
{
    switch (reg) {
    case APIC_TPR:
    case APIC_SELF_IPI:
        return 0xff;
    case APIC_EOI:
    case APIC_ESR:
        return 0;
    case APIC_SVR:
        return SVR_MASK;
    case APIC_ICR_LOW:
        return 0xffffffffull << 32 | ICR_LOW_MASK;
    case APIC_LVT ... APIC_LVT + LVT_COUNT - 1:
        return lvt_mask(lapic, reg - APIC_LVT) | LVT_SEND_PENDING | LVT_REMOTE_IRR;
    case APIC_DIVIDE:
        return 0xb;
    }
    return 0xffffffff;
}

static bool write_x2apic(Lapic *lapic, unsigned reg, uint64_t value)
{
    if (!lapic_is_x2apic(lapic) || (value & ~x2apic_writable(lapic, reg)))
        return false;
    switch (reg) {
    case APIC_ICR_LOW:
        lapic->icr_low = value & ~LVT_SEND_PENDING;
        lapic->icr_high = value >> 32;
        lapic_send_ipi(lapic, lapic->icr_low, lapic->icr_high);
        return true;
    case APIC_SELF_IPI:
        lapic_deliver_one(lapic, &(LapicMessage){.vector = value, .delivery = DELIVERY_FIXED});
        return true;
    }
    return write_register(lapic, reg, value);
}

/* --- VcpuIntrOps --- */

static bool intr_pending(void *opaque)
{
    return lapic_intr_pending(opaque);
}

static int intr_ack(void *opaque)
{
    return lapic_intr_ack(opaque);
}

static uint64_t intr_get_tpr(void *opaque)
{
    const Lapic *lapic = opaque;

    return lapic->tpr >> 4;
}

static void intr_set_tpr(void *opaque, uint64_t cr8)
{
    lapic_write_tpr(opaque, (cr8 & 15) << 4);
}

static bool intr_read_msr(void *opaque, uint32_t msr, uint64_t *value)
{
    Lapic *lapic = opaque;

    switch (msr) {
    case MSR_APIC_BASE:
        *value = lapic->base;
        return true;
    case MSR_TSC_DEADLINE:
        *value = lapic_timer_read_deadline(lapic);
        return lapic->vcpu->feature_ecx & CPUID_TSC_DEADLINE;
    case MSR_X2APIC ... MSR_X2APIC_LAST:
        return read_x2apic(lapic, msr - MSR_X2APIC, value);
    }
    return false;
}

static bool intr_write_msr(void *opaque, uint32_t msr, uint64_t value)
{
    Lapic *lapic = opaque;

    switch (msr) {
    case MSR_APIC_BASE:
        return write_base(lapic, value);
    case MSR_TSC_DEADLINE:
        if (!(lapic->vcpu->feature_ecx & CPUID_TSC_DEADLINE))
            return false;
        lapic_timer_write_deadline(lapic, value);
        return true;
    case MSR_X2APIC ... MSR_X2APIC_LAST:
        return write_x2apic(lapic, msr - MSR_X2APIC, value);
    }
    return false;
}

static void intr_init(void *opaque)
{
    reset_registers(opaque);
}

static void intr_eoi(void *opaque)
{
    lapic_sync_pv_eoi(opaque);
}

const VcpuIntrOps lapic_intr_ops = {
    .pending = intr_pending,
    .ack = intr_ack,
    .get_tpr = intr_get_tpr,
    .set_tpr = intr_set_tpr,
    .read_msr = intr_read_msr,
    .write_msr = intr_write_msr,
    .init = intr_init,
    .eoi = intr_eoi,
};

uint32_t lapic_peek(const Lapic *lapic, uint32_t reg)
{
    switch (reg >> 4) {
    case APIC_ISR ... APIC_ISR + 7:
        return lapic_load(&lapic->isr[(reg >> 4) - APIC_ISR]);
    case APIC_TMR ... APIC_TMR + 7:
        return lapic_load(&lapic->tmr[(reg >> 4) - APIC_TMR]);
    case APIC_IRR ... APIC_IRR + 7:
        return lapic_load(&lapic->irr[(reg >> 4) - APIC_IRR]);
    case APIC_LVT ... APIC_LVT + LVT_COUNT - 1:
        return lapic_load(&lapic->lvt[(reg >> 4) - APIC_LVT]);
    case APIC_ID:
        return lapic_load(&lapic->id);
    case APIC_TPR:
        return lapic_load(&lapic->tpr);
    case APIC_PPR:
        return lapic_ppr(lapic);
    case APIC_LDR:
        return lapic_load(&lapic->ldr);
    case APIC_DFR:
        return lapic_load(&lapic->dfr);
    case APIC_SVR:
        return lapic_load(&lapic->svr);
    }
    return 0;
}
