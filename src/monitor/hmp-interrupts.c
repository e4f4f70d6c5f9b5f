/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Human monitor commands about interrupts. Controllers in the accelerator (kvm's) are not shown: the
 * kernel has their registers.
 */
#include "core/bits.h"
#include "core/error.h"
#include "core/gsi.h"
#include "hmp-internal.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"

static bool info_irq(HmpContext *ctx, GError **errp)
{
    const Machine *machine = ctx->machine;

    for (unsigned i = 0; i < GSI_COUNT; i++) {
        uint64_t raised = __atomic_load_n(&machine->gsi_raised[i], __ATOMIC_RELAXED);
        bool up = __atomic_load_n(&machine->gsi_levels, __ATOMIC_RELAXED) & 1u << i;
        if (raised)
            g_string_append_printf(ctx->out, "%2u: %" G_GUINT64_FORMAT "%s\n", i, raised, up ? " (asserted)" : "");
    }
    return true;
}

static void print_i8259(const I8259 *pic, GString *out)
{
    for (unsigned i = 0; i < I8259_CHIPS; i++) {
        const I8259Regs *r = &pic->chip[i].regs;
        g_string_append_printf(out, "pic%u: irr=%02x imr=%02x isr=%02x base=%02x elcr=%02x%s%s\n", i, r->irr, r->imr,
                               r->isr, r->base, r->elcr, r->auto_eoi ? " auto-eoi" : "",
                               r->special_mask ? " special-mask" : "");
    }
}

/* Redirection entries, I/O APIC data sheet 3.2.4. */
static void print_ioapic(const IoApic *ioapic, GString *out)
{
    static const char *const modes[8] = {"fixed", "lowest", "SMI", "?", "NMI", "INIT", "?", "ExtINT"};

    g_string_append_printf(out, "ioapic%u: lines=%06x\n", ioapic->regs.id, ioapic->regs.lines);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t e = ioapic->regs.redir[pin];
        g_string_append_printf(out, "  pin %-2u %016" G_GINT64_MODIFIER "x dest=%02x vec=%02x %s-%s %s %s%s%s%s\n", pin, e,
                               (unsigned)(e >> 56), (unsigned)(e & 0xff), e & BIT(13) ? "low" : "high",
                               e & BIT(15) ? "level" : "edge", modes[e >> 8 & 7], e & BIT(11) ? "logical" : "physical",
                               e & BIT(16) ? " masked" : "", e & BIT(14) ? " remote-irr" : "",
                               e & BIT(12) ? " pending" : "");
    }
}

static void print_vectors(const char *name, const uint32_t *bits, GString *out)
{
    g_string_append_printf(out, "  %s:", name);
    for (unsigned vector = 0; vector < 256; vector++) {
        if (__atomic_load_n(&bits[vector / 32], __ATOMIC_RELAXED) & 1u << vector % 32)
            g_string_append_printf(out, " %02x", vector);
    }
    g_string_append_c(out, '\n');
}

static void print_lapic(const Lapic *lapic, GString *out)
{
    static const char *const names[LVT_COUNT] = {"timer", "thermal", "pmc", "lint0", "lint1", "error"};

    g_string_append_printf(out, "lapic of CPU#%u: id=%x base=%" G_GINT64_MODIFIER "x svr=%x tpr=%02x ldr=%x dfr=%x\n",
                           lapic->vcpu->index, lapic->id, lapic->base, lapic->svr, lapic->tpr, lapic->ldr, lapic->dfr);
    g_string_append(out, "  lvt:");
    for (unsigned i = 0; i < LVT_COUNT; i++)
        g_string_append_printf(out, " %s=%08x", names[i], lapic->lvt[i]);
    g_string_append_c(out, '\n');
    print_vectors("isr", lapic->isr, out);
    print_vectors("irr", lapic->irr, out);
}

static bool info_pic(HmpContext *ctx, GError **errp)
{
    const GPtrArray *devices = ctx->machine->devices;
    gsize before = ctx->out->len;

    for (guint i = 0; i < devices->len; i++) {
        const Device *dev = g_ptr_array_index(devices, i);
        if (dev->type == &i8259_type)
            print_i8259((const I8259 *)dev, ctx->out);
        else if (dev->type == &ioapic_type)
            print_ioapic((const IoApic *)dev, ctx->out);
    }
    return ctx->out->len > before ||
           error_set(errp, "the interrupt controllers are in the kernel; -machine kernel-irqchip=off has them here");
}

static bool info_lapic(HmpContext *ctx, GError **errp)
{
    const GPtrArray *devices = ctx->machine->devices;

    for (guint i = 0; i < devices->len; i++) {
        const LapicBus *bus = g_ptr_array_index(devices, i);
        if (bus->dev.type == &lapic_bus_type && bus->lapics[ctx->cpu]) {
            print_lapic(bus->lapics[ctx->cpu], ctx->out);
            return true;
        }
    }
    return error_set(errp, "the local APICs are in the kernel; -machine kernel-irqchip=off has them here");
}

const HmpCommand hmp_interrupt_commands[] = {
    {"info irq", NULL, info_irq, "how often each interrupt line was raised"},
    {"info lapic", NULL, info_lapic, "the selected CPU's local APIC", .paused = true},
    {"info pic", NULL, info_pic, "PIC and I/O APIC", .paused = true},
    {0},
};
