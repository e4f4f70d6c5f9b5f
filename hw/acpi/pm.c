/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI fixed hardware.
 * Sources: ACPI 6.4, 4.8.3 (fixed registers), 4.8.4.1 (GPE blocks); layout: ICH9 data sheet 13.8.3.
 *
 * There is no system management mode: SMI_CMD does what firmware's SMI handler would. SLP_TYP other
 * than S5 does nothing. Not modelled: sleep button, RTC wake, bus master status, global lock.
 *
 * Locking: machine_lock; the PM timer's value depends on the clock only and is read without.
 */
#include "hw/acpi/pm.h"

#include "core/bits.h"
#include "core/log.h"
#include "core/machine.h"

/* PM1_STS and PM1_EN, ACPI 4.8.3.1. */
#define PM1_TMR    0x0001
#define PM1_GBL    0x0020
#define PM1_PWRBTN 0x0100
#define PM1_SLPBTN 0x0200
#define PM1_RTC    0x0400
#define PM1_WAK    0x8000
#define PM1_ENABLES (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC)
#define PM1_STATUS  (PM1_ENABLES | PM1_WAK | 0x0010)

/* PM1_CNT, ACPI 4.8.3.2.1. */
#define CNT_SCI_EN     0x0001
#define CNT_SLP_EN     0x2000 /* write-only */
#define CNT_SLP_TYP(v) ((v) >> 10 & 7)
#define CNT_KEPT       (0x0002 | 7 << 10) /* BM_RLD, SLP_TYP; SCI_EN is SMI_CMD's */

#define GPE0_HALF (ACPI_GPE0_LEN / 2)

/* --- PM timer, ACPI 4.8.3.3 --- */

static uint64_t timer_ticks(void)
{
    return muldiv64(clock_get_ns(VMCLOCK_VIRTUAL), ACPI_PM_TIMER_HZ, NS_PER_SEC);
}

/* TMR_STS is set when the top bit changes, either way. */
static unsigned half_period_bits(const AcpiPm *pm)
{
    return pm->timer_32bit ? 31 : 23;
}

static void catch_up_timer(AcpiPm *pm)
{
    int64_t now = timer_ticks() >> half_period_bits(pm);

    if (now > pm->regs.timer_seen)
        pm->regs.pm1_sts |= PM1_TMR;
    pm->regs.timer_seen = now;
}

/* --- SCI --- */

static bool sci_pending(const AcpiPmRegs *r)
{
    if (!(r->pm1_cnt & CNT_SCI_EN))
        return false; /* events would be SMIs */
    return (r->pm1_sts & r->pm1_en & PM1_ENABLES) || (r->gpe0_sts & r->gpe0_en);
}

static void update_sci(AcpiPm *pm)
{
    AcpiPmRegs *r = &pm->regs;

    catch_up_timer(pm);
    if ((r->pm1_en & ~r->pm1_sts & PM1_TMR) && (r->pm1_cnt & CNT_SCI_EN)) {
        uint64_t next = (uint64_t)(r->timer_seen + 1) << half_period_bits(pm);

        timer_mod(&pm->timer, muldiv64_up(next, NS_PER_SEC, ACPI_PM_TIMER_HZ));
    } else {
        timer_del(&pm->timer);
    }
    irq_set(&pm->sci, sci_pending(r));
}

static void timer_fired(void *opaque)
{
    update_sci(opaque);
}

void acpi_pm_power_button(AcpiPm *pm)
{
    pm->regs.pm1_sts |= PM1_PWRBTN;
    update_sci(pm);
}

void acpi_pm_set_gpe(AcpiPm *pm, unsigned gpe)
{
    g_assert(gpe < 8 * GPE0_HALF);
    pm->regs.gpe0_sts |= BIT(gpe);
    update_sci(pm);
}

/* --- Registers, byte by byte --- */

static uint64_t evt_read(void *opaque, uint64_t offset, unsigned size)
{
    AcpiPm *pm = opaque;

    catch_up_timer(pm);
    return (uint8_t)((pm->regs.pm1_sts | (uint32_t)pm->regs.pm1_en << 16) >> 8 * offset);
}

static void evt_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiPm *pm = opaque;
    unsigned shift = 8 * (offset & 1);
    uint16_t bits = value << shift, kept = ~(0xff << shift);

    catch_up_timer(pm);
    if (offset < 2)
        pm->regs.pm1_sts &= ~(bits & PM1_STATUS); /* write 1 to clear */
    else
        pm->regs.pm1_en = (pm->regs.pm1_en & kept) | (bits & PM1_ENABLES);
    update_sci(pm);
}

static uint64_t cnt_read(void *opaque, uint64_t offset, unsigned size)
{
    const AcpiPm *pm = opaque;

    return offset < 2 ? (uint8_t)(pm->regs.pm1_cnt >> 8 * offset) : 0;
}

static void enter_sleep(AcpiPm *pm)
{
    unsigned type = CNT_SLP_TYP(pm->regs.pm1_cnt);

    if (type == ACPI_SLP_TYP_S5)
        machine_request_shutdown(pm->dev.machine, SHUTDOWN_CAUSE_GUEST_SHUTDOWN, 0);
    else
        guest_error("acpi-pm", "sleep type %u is not in the DSDT", type);
}

static void cnt_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiPm *pm = opaque;
    unsigned shift = 8 * offset;
    uint16_t bits = value << shift, mask = CNT_KEPT & 0xff << shift;

    if (offset >= 2)
        return;
    pm->regs.pm1_cnt = (pm->regs.pm1_cnt & ~mask) | (bits & mask);
    if (bits & CNT_SLP_EN)
        enter_sleep(pm);
}

static uint64_t tmr_read(void *opaque, uint64_t offset, unsigned size)
{
    const AcpiPm *pm = opaque;

    return (timer_ticks() & (pm->timer_32bit ? 0xffffffff : 0xffffff)) >> 8 * offset;
}

static void tmr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    guest_error("acpi-pm", "the PM timer is read-only");
}

static uint64_t gpe_read(void *opaque, uint64_t offset, unsigned size)
{
    const AcpiPm *pm = opaque;
    uint64_t half = offset < GPE0_HALF ? pm->regs.gpe0_sts : pm->regs.gpe0_en;

    return (uint8_t)(half >> 8 * (offset % GPE0_HALF));
}

static void gpe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiPm *pm = opaque;
    unsigned shift = 8 * (offset % GPE0_HALF);

    if (offset < GPE0_HALF)
        pm->regs.gpe0_sts &= ~(value << shift);
    else
        pm->regs.gpe0_en = (pm->regs.gpe0_en & ~(0xffull << shift)) | value << shift;
    update_sci(pm);
}

static uint64_t smi_read(void *opaque, uint64_t offset, unsigned size)
{
    const AcpiPm *pm = opaque;

    return offset ? pm->regs.smi_sts : pm->regs.smi_cmd;
}

static void smi_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiPm *pm = opaque;

    if (offset) {
        pm->regs.smi_sts = value;
        return;
    }
    pm->regs.smi_cmd = value;
    if (value == ACPI_SMI_ENABLE)
        pm->regs.pm1_cnt |= CNT_SCI_EN;
    else if (value == ACPI_SMI_DISABLE)
        pm->regs.pm1_cnt &= ~CNT_SCI_EN;
    update_sci(pm);
}

static const MemoryRegionOps evt_ops = {
    .read = evt_read,
    .write = evt_write,
    .valid = {1, 4, true},
    .impl = {1, 1},
};

static const MemoryRegionOps cnt_ops = {
    .read = cnt_read,
    .write = cnt_write,
    .valid = {1, 4, true},
    .impl = {1, 1},
};

static const MemoryRegionOps tmr_ops = {
    .read = tmr_read,
    .write = tmr_write,
    .valid = {1, 4},
    .impl = {1, 4},
    .lockless = true,
};

static const MemoryRegionOps gpe_ops = {
    .read = gpe_read,
    .write = gpe_write,
    .valid = {1, 4, true},
    .impl = {1, 1},
};

static const MemoryRegionOps smi_ops = {
    .read = smi_read,
    .write = smi_write,
    .valid = {1, 2, true},
    .impl = {1, 1},
};

/* --- Life cycle --- */

void acpi_pm_connect(AcpiPm *pm, Irq sci)
{
    pm->sci = sci;
}

static bool acpi_pm_realize(Device *dev, GError **errp)
{
    AcpiPm *pm = (AcpiPm *)dev;

    memory_region_init_container(&pm->io, "acpi-pm", ACPI_PM_IO_SIZE);
    memory_region_init_io(&pm->evt, &evt_ops, pm, "acpi-evt", ACPI_PM1_EVT_LEN);
    memory_region_init_io(&pm->cnt, &cnt_ops, pm, "acpi-cnt", ACPI_PM1_CNT_LEN);
    memory_region_init_io(&pm->tmr, &tmr_ops, pm, "acpi-tmr", ACPI_PM_TMR_LEN);
    memory_region_init_io(&pm->gpe, &gpe_ops, pm, "acpi-gpe0", ACPI_GPE0_LEN);
    memory_region_init_io(&pm->smi, &smi_ops, pm, "acpi-smi", 2);
    memory_region_add(&pm->io, ACPI_PM1_EVT, &pm->evt, 0);
    memory_region_add(&pm->io, ACPI_PM1_CNT, &pm->cnt, 0);
    memory_region_add(&pm->io, ACPI_PM_TMR, &pm->tmr, 0);
    memory_region_add(&pm->io, ACPI_GPE0, &pm->gpe, 0);
    timer_init(&pm->timer, event_loop_main(), VMCLOCK_VIRTUAL, timer_fired, pm);
    return true;
}

static void acpi_pm_unrealize(Device *dev)
{
    AcpiPm *pm = (AcpiPm *)dev;
    MemoryRegion *inner[] = {&pm->evt, &pm->cnt, &pm->tmr, &pm->gpe};

    timer_release(&pm->timer);
    for (size_t i = 0; i < G_N_ELEMENTS(inner); i++) {
        memory_region_remove(inner[i]);
        memory_region_release(inner[i]);
    }
    memory_region_release(&pm->smi);
    memory_region_release(&pm->io);
}

static void acpi_pm_reset(Device *dev)
{
    AcpiPm *pm = (AcpiPm *)dev;

    pm->regs = (AcpiPmRegs){
        .pm1_cnt = pm->acpi_enabled_at_reset ? CNT_SCI_EN : 0,
        .timer_seen = timer_ticks() >> half_period_bits(pm),
    };
    update_sci(pm);
}

static const Property acpi_pm_props[] = {
    {.name = "acpi-enabled", PROP_BOOL, offsetof(AcpiPm, acpi_enabled_at_reset), "off",
     "start in ACPI mode, as after firmware"},
    {.name = "timer-32bit", PROP_BOOL, offsetof(AcpiPm, timer_32bit), "on", "PM timer of 32 bits, else 24"},
    {0},
};

static const DeviceWire acpi_pm_wires[] = {{"sci", offsetof(AcpiPm, sci)}, {0}};

const DeviceType acpi_pm_type = {
    .name = "acpi-pm",
    .desc = "ACPI fixed hardware",
    .bus = "system",
    .instance_size = sizeof(AcpiPm),
    .props = acpi_pm_props,
    .wires = acpi_pm_wires,
    .realize = acpi_pm_realize,
    .unrealize = acpi_pm_unrealize,
    .reset = acpi_pm_reset,
};
