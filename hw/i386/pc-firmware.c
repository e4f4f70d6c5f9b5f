/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware reads through fw_cfg: memory map, boot order, tables with the script that links them,
 * option ROMs.
 *
 * Sources: QEMU's docs/specs/fw_cfg and its files as SeaBIOS reads them (SeaBIOS docs/Runtime_config:
 * bootorder, etc/boot-menu-wait, etc/boot-fail-wait, etc/sercon-port, genroms/, vgaroms/); the
 * table-loader's commands as SeaBIOS and OVMF implement them (SeaBIOS src/fw/romfile_loader.h).
 *
 * Locking: machine_lock, while the machine is built; boot order at resets.
 */
#include <string.h>

#include "core/error.h"
#include "core/host.h"
#include "pc-internal.h"
#include "pc-bios/lookup.h"

#define OPTION_ROM_MAX (16 * MIB)

/* CMOS: the first three boot devices, and whether a floppy's signature is checked. */
enum {
    CMOS_BOOT_THIRD = 0x38, /* bits 7:4; bit 0: no check */
    CMOS_BOOT_FIRST = 0x3d, /* bits 3:0 the first, 7:4 the second */
};

/* Table-loader commands of 128 bytes: the command, then its fields. */
enum {
    LOADER_SIZE = 128,
    LOADER_FILE = 56, /* bytes of a name */
    LOADER_ALLOCATE = 1,
    LOADER_ADD_POINTER = 2,
    LOADER_ADD_CHECKSUM = 3,
};
#define ZONE_HIGH 1
#define ZONE_FSEG 2

#define FILE_LOADER "etc/table-loader"
#define FILE_TABLES "etc/acpi/tables"
#define FILE_RSDP "etc/acpi/rsdp"

/* --- memory map --- */

/* Firmware knows its own areas: it is told of RAM, and of what it must leave alone. */
static bool add_e820(PcMachine *pc, GError **errp)
{
    struct {
        uint64_t base, size;
        uint32_t type;
    } __attribute__((packed)) e820[MEMMAP_MAX];
    const MemMap *map = pc_boots_directly(pc) ? &pc->map : &pc->firmware_map;

    for (unsigned i = 0; i < map->count; i++) {
        e820[i].base = map->entries[i].base;
        e820[i].size = map->entries[i].size;
        e820[i].type = map->entries[i].type;
    }
    return fw_cfg_add_file(pc->fw_cfg, "etc/e820", e820, map->count * sizeof(e820[0]), errp);
}

/* --- boot order --- */

static uint8_t cmos_boot_device(const char *order, unsigned n)
{
    static const char letters[] = "acdn"; /* 1: floppy, 2: disk, 3: CD, 4: network */
    const char *at = n < strlen(order) ? strchr(letters, order[n]) : NULL;

    return at ? at - letters + 1 : 0;
}

static void set_boot_order(PcMachine *pc, const char *order)
{
    mc146818_set_nvram(pc->rtc, CMOS_BOOT_FIRST, cmos_boot_device(order, 0) | cmos_boot_device(order, 1) << 4);
    mc146818_set_nvram(pc->rtc, CMOS_BOOT_THIRD, cmos_boot_device(order, 2) << 4 | 1);
}

void pc_firmware_reset(PcMachine *pc)
{
    const BootOptions *boot = &pc->machine.boot;
    const char *order = boot->order ? boot->order : "cdn";

    if (!pc->firmware_resets++)
        set_boot_order(pc, boot->once ? boot->once : order);
    else if (boot->once && pc->firmware_resets == 2)
        set_boot_order(pc, order);
}

static bool add_le_file(PcMachine *pc, const char *name, uint64_t value, unsigned size, GError **errp)
{
    uint8_t bytes[8];

    store_le(bytes, value, size);
    return fw_cfg_add_file(pc->fw_cfg, name, bytes, size, errp);
}

static bool add_boot_options(PcMachine *pc, GError **errp)
{
    const BootOptions *boot = &pc->machine.boot;
    g_autofree char *list = boot_order_list(&pc->machine, boot->strict);

    fw_cfg_add_u16(pc->fw_cfg, FW_CFG_BOOT_MENU, boot->menu);
    if (list && !fw_cfg_add_file(pc->fw_cfg, "bootorder", list, strlen(list) + 1, errp))
        return false;
    if (boot->splash_time >= 0 && !add_le_file(pc, "etc/boot-menu-wait", boot->splash_time, 2, errp))
        return false;
    /* -1 (none given): firmware stops at a failed boot. */
    return add_le_file(pc, "etc/boot-fail-wait", (uint32_t)boot->reboot_timeout, 4, errp);
}

/* --- console --- */

/* Text that would be on a screen goes to the first serial port. */
static bool add_serial_console(PcMachine *pc, GError **errp)
{
    if (!pc->machine.nographic || !pc->machine.serial[0])
        return true;
    return add_le_file(pc, "etc/sercon-port", pc_com_port(0)->port, 2, errp);
}

/* --- option ROMs --- */

static bool add_rom_file(PcMachine *pc, const char *directory, const char *name, int32_t bootindex, GError **errp)
{
    g_auto(FirmwareImage) image = {0};

    if (!firmware_load(&image, &pc->machine, name, FIRMWARE_OPTION_ROM, OPTION_ROM_MAX, errp))
        return false;
    g_autofree char *base = g_path_get_basename(image.path);
    g_autofree char *file = g_strdup_printf("%s/%s", directory, base);
    if (!fw_cfg_add_file(pc->fw_cfg, file, image.data, image.len, errp))
        return false;
    g_autofree char *boot_path = g_strdup_printf("/rom@%s", file);
    return boot_order_add(&pc->machine, bootindex, boot_path, errp);
}

typedef struct RomWalk {
    PcMachine *pc;
    GError **errp;
    bool ok;
} RomWalk;

/* romfile= with rombar=off: firmware gets the ROM here instead of from a BAR. */
static void add_device_rom(PciDevice *pci, void *opaque)
{
    RomWalk *walk = opaque;
    bool vga = pci->info->class_code == PCI_CLASS_DISPLAY_VGA;

    if (walk->ok && pci->romfile && *pci->romfile && !pci->rombar)
        walk->ok = add_rom_file(walk->pc, vga ? "vgaroms" : "genroms", pci->romfile, -1, walk->errp);
}

static bool add_option_roms(PcMachine *pc, GError **errp)
{
    const GPtrArray *roms = pc->machine.boot.option_roms;
    RomWalk walk = {pc, errp, true};

    for (guint i = 0; roms && i < roms->len; i++) {
        const OptionRom *rom = g_ptr_array_index(roms, i);
        if (!add_rom_file(pc, "genroms", rom->file, rom->bootindex, errp)) {
            g_prefix_error(errp, "-option-rom: ");
            return false;
        }
    }
    pci_bus_foreach(&pc->i440fx->bus, add_device_rom, &walk);
    return walk.ok;
}

/* --- tables --- */

static uint8_t *append_command(GByteArray *script, uint32_t command)
{
    uint32_t at = script->len;

    g_byte_array_set_size(script, at + LOADER_SIZE);
    memset(script->data + at, 0, LOADER_SIZE);
    store_le(script->data + at, command, 4);
    return script->data + at + 4;
}

static void loader_allocate(GByteArray *script, const char *file, uint32_t align, uint8_t zone)
{
    uint8_t *p = append_command(script, LOADER_ALLOCATE);

    g_strlcpy((char *)p, file, LOADER_FILE);
    store_le(p + LOADER_FILE, align, 4);
    p[LOADER_FILE + 4] = zone;
}

/* Adds the address of src to the pointer in dest, which already holds the offset. */
static void loader_add_pointer(GByteArray *script, const char *dest, const char *src, uint32_t offset, uint8_t size)
{
    uint8_t *p = append_command(script, LOADER_ADD_POINTER);

    g_strlcpy((char *)p, dest, LOADER_FILE);
    g_strlcpy((char *)p + LOADER_FILE, src, LOADER_FILE);
    store_le(p + 2 * LOADER_FILE, offset, 4);
    p[2 * LOADER_FILE + 4] = size;
}

static void loader_add_checksum(GByteArray *script, const char *file, uint32_t offset, uint32_t start, uint32_t len)
{
    uint8_t *p = append_command(script, LOADER_ADD_CHECKSUM);

    g_strlcpy((char *)p, file, LOADER_FILE);
    store_le(p + LOADER_FILE, offset, 4);
    store_le(p + LOADER_FILE + 4, start, 4);
    store_le(p + LOADER_FILE + 8, len, 4);
}

/* The fix-ups, in their order: pointers before the checksums over them. */
static void append_fixups(GByteArray *script, const AcpiTables *acpi)
{
    for (guint i = 0; i < acpi->fixups->len; i++) {
        const AcpiFixup *fixup = &g_array_index(acpi->fixups, AcpiFixup, i);
        const char *file = fixup->in_rsdp ? FILE_RSDP : FILE_TABLES;

        if (fixup->checksum)
            loader_add_checksum(script, file, fixup->offset, fixup->start, fixup->len);
        else
            loader_add_pointer(script, file, FILE_TABLES, fixup->offset, fixup->size);
    }
}

/* Firmware is about to read them, after it has placed what they describe. */
static void refresh_tables(void *opaque)
{
    PcMachine *pc = opaque;
    g_autoptr(AcpiTables) acpi = pc_acpi_build(pc);
    uint32_t len;
    uint8_t *data = fw_cfg_file_data(pc->fw_cfg, FILE_TABLES, &len);

    memcpy(data, acpi->tables->data, MIN(len, acpi->tables->len));
}

static bool add_acpi(PcMachine *pc, GError **errp)
{
    g_autoptr(AcpiTables) acpi = pc_acpi_build(pc);
    g_autoptr(GByteArray) script = g_byte_array_new();

    loader_allocate(script, FILE_TABLES, ACPI_TABLES_ALIGN, ZONE_HIGH);
    loader_allocate(script, FILE_RSDP, 16, ZONE_FSEG);
    append_fixups(script, acpi);
    return fw_cfg_add_file_hooks(pc->fw_cfg, FILE_TABLES, acpi->tables->data, acpi->tables->len, false, refresh_tables, NULL,
                                 pc, errp) &&
           fw_cfg_add_file(pc->fw_cfg, FILE_RSDP, acpi->rsdp->data, acpi->rsdp->len, errp) &&
           fw_cfg_add_file(pc->fw_cfg, FILE_LOADER, script->data, script->len, errp);
}

static bool add_smbios(PcMachine *pc, GError **errp)
{
    g_autoptr(SmbiosTables) smbios = pc_smbios_build(pc);

    smbios_tables_link(smbios, 0);
    return fw_cfg_add_file(pc->fw_cfg, "etc/smbios/smbios-tables", smbios->tables->data, smbios->tables->len, errp) &&
           fw_cfg_add_file(pc->fw_cfg, "etc/smbios/smbios-anchor", smbios->anchor->data, smbios->anchor->len, errp);
}

bool pc_firmware_build(PcMachine *pc, GError **errp)
{
    bool direct = pc_boots_directly(pc);

    if (pc->source && !direct && !pc_boot_rom_build(pc, errp)) /* before the boot order is told */
        return false;
    if (!add_e820(pc, errp) || !add_option_roms(pc, errp) || !add_boot_options(pc, errp) ||
        !add_serial_console(pc, errp))
        return false;
    return direct || ((!pc->acpi || add_acpi(pc, errp)) && add_smbios(pc, errp));
}
