/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the pc machine does in a firmware's stead: ACPI tables and kernel into memory.
 *
 * Once at start everything is parsed, so that a bad file is an error before the guest runs, and the
 * files' contents are given back after the first reset. Each later reset reads them again.
 */
#include "core/bits.h"
#include "core/dma.h"
#include "core/error.h"
#include "core/log.h"
#include "pc-internal.h"

/* The RSDP first, where ACPI 6.5, 5.2.5.1 has the guest look; the tables behind it. */
#define RSDP_ADDR PC_BIOS_AREA
#define DEFAULT_FIRMWARE "bios-256k.bin" /* SeaBIOS */

#define TABLES_ADDR (PC_BIOS_AREA + ACPI_TABLES_ALIGN)
/* SMBIOS 2.8, 5.2: the anchor between F0000h and FFFFFh, 16-byte aligned. */
#define SMBIOS_ANCHOR 0xf0000
#define SMBIOS_TABLES 0xf0020
#define SMBIOS_END 0xfe000 /* the BIOS data and vectors of pc-bios-state.c lie above */

static bool build_tables(PcMachine *pc, GError **errp)
{
    pc->tables = pc_acpi_build(pc);
    if (!range_ok(TABLES_ADDR, pc->tables->tables->len, MIB))
        return error_set(errp, "the ACPI tables take %u bytes, more than there is room for: use fewer CPUs",
                         pc->tables->tables->len);
    acpi_tables_link(pc->tables, TABLES_ADDR);
    return true;
}

SmbiosTables *pc_smbios_build(const PcMachine *pc)
{
    const Machine *machine = &pc->machine;
    g_autofree CpuidTable *cpuid = g_new0(CpuidTable, 1);
    uint32_t leaf1[4];

    cpu_model_get_cpuid(pc->cpu_model, 0, cpuid);
    cpuid_table_query(cpuid, 1, 0, leaf1);
    SmbiosBoard board = {
        .product = "Standard PC (i440FX + PIIX)",
        .version = VMM_VERSION,
        .uuid = machine->uuid,
        .sockets = machine->smp.sockets,
        .cores = machine->smp.dies * machine->smp.cores,
        .threads = machine->smp.threads,
        .cpu_signature = leaf1[0],
        .cpu_features = leaf1[3],
        .ram_size = machine->ram->size,
        .map = &pc->firmware_map,
        .with_bios = pc_boots_directly(pc),
    };
    return smbios_tables_build(&board);
}

static bool place_smbios(PcMachine *pc)
{
    const SmbiosTables *smbios = pc->smbios;

    return dma_write(&pc->machine.memory, SMBIOS_ANCHOR, smbios->anchor->data, smbios->anchor->len) &&
           dma_write(&pc->machine.memory, SMBIOS_TABLES, smbios->tables->data, smbios->tables->len);
}

static bool make_plan(PcMachine *pc, GError **errp)
{
    BootBoard board = {.map = &pc->map, .rsdp = pc->tables ? RSDP_ADDR : 0};

    pc->plan = boot_plan_make(pc->source, &board, errp);
    return pc->plan;
}

bool pc_boot_open(PcMachine *pc, GError **errp)
{
    BootOptions *boot = &pc->machine.boot;

    if (!boot->kernel && (boot->initrd || boot->append))
        return error_set(errp, "-initrd and -append belong to a kernel: give one with -kernel");
    pc->source = boot->kernel ? boot_source_open(boot, errp) : NULL;
    if (boot->kernel && !pc->source)
        return false;
    if (boot->firmware)
        return true;
    const char *why = pc->source ? boot_source_needs_firmware(pc->source) : NULL;
    if (why)
        log_info("kernel '%s' is started by the firmware: %s", boot->kernel, why);
    /* Under qtest no processor runs, so none needs a program. */
    if (why || (!pc->source && pc->machine.accel->ops != &qtest_accel_ops))
        boot->firmware = g_strdup(DEFAULT_FIRMWARE);
    return true;
}

bool pc_boots_directly(const PcMachine *pc)
{
    return !pc->machine.boot.firmware || (pc->source && pc->source->format != BOOT_FORMAT_BZIMAGE);
}

bool pc_boot_build(PcMachine *pc, GError **errp)
{
    /* Firmware brings its own way to find the tables. */
    if (pc->acpi && pc_boots_directly(pc) && !build_tables(pc, errp))
        return false;
    if (pc_boots_directly(pc)) {
        pc->smbios = pc_smbios_build(pc);
        g_assert(pc->smbios->tables->len <= SMBIOS_END - SMBIOS_TABLES);
        smbios_tables_link(pc->smbios, SMBIOS_TABLES);
    }
    if (!pc->source || !pc_boots_directly(pc))
        return true;
    if (!make_plan(pc, errp))
        return false;
    if (pc->plan->note)
        log_info("%s", pc->plan->note);
    return true;
}

static bool place(PcMachine *pc, GError **errp)
{
    AddressSpace *as = &pc->machine.memory;
    const AcpiTables *acpi = pc->tables;

    if (pc_boots_directly(pc))
        pc_pci_setup(pc);
    if (acpi && (!dma_write(as, RSDP_ADDR, acpi->rsdp->data, acpi->rsdp->len) ||
                 !dma_write(as, TABLES_ADDR, acpi->tables->data, acpi->tables->len)))
        return error_set(errp, "cannot place the ACPI tables");
    if (pc->smbios && !place_smbios(pc))
        return error_set(errp, "cannot place the SMBIOS tables");
    if (!pc->source || !pc_boots_directly(pc))
        return true;
    if (!pc->plan && (!boot_source_reload(pc->source, errp) || !make_plan(pc, errp)))
        return false;
    if (!pc_bios_state_place(pc))
        return error_set(errp, "cannot place the BIOS data");
    if (!boot_plan_place(pc->plan, as, errp))
        return false;
    Vcpu *bsp = pc->machine.vcpus[0];
    boot_entry_apply(&pc->plan->entry, &bsp->state);
    vcpu_mark_dirty(bsp);
    g_clear_pointer(&pc->plan, boot_plan_free);
    boot_source_unload(pc->source);
    return true;
}

void pc_boot_reset(PcMachine *pc)
{
    g_autoptr(GError) error = NULL;

    if (place(pc, &error))
        return;
    log_warn("cannot boot again: %s", error->message);
    machine_request_stop(&pc->machine, RUN_STATE_INTERNAL_ERROR);
}

void pc_boot_release(PcMachine *pc)
{
    g_clear_pointer(&pc->plan, boot_plan_free);
    g_clear_pointer(&pc->source, boot_source_free);
    g_clear_pointer(&pc->tables, acpi_tables_free);
    g_clear_pointer(&pc->smbios, smbios_tables_free);
}
