/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every device type there is, in the order -device help lists them.
 */
#include "core/device.h"

#include "hw/acpi/pci-hotplug.h"
#include "hw/acpi/piix4-pm.h"
#include "hw/acpi/pm.h"
#include "hw/char/serial.h"
#include "hw/ide/ide.h"
#include "hw/input/i8042.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"
#include "hw/misc/fw_cfg.h"
#include "hw/misc/pc-devices.h"
#include "hw/misc/port92.h"
#include "hw/misc/reset-control.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/piix3.h"
#include "hw/rtc/mc146818.h"
#include "hw/timer/hpet.h"
#include "hw/timer/i8254.h"
#include "hw/virtio/virtio-devices.h"

const DeviceType *const device_types[] = {
    /* Parts of the board */
    &lapic_bus_type,
    &ioapic_type,
    &i8259_type,
    &i8254_type,
    &hpet_type,
    &mc146818_type,
    &i8042_type,
    &port92_type,
    &reset_control_type,
    &acpi_pm_type,
    &acpi_pci_hotplug_type,
    &fw_cfg_type,
    &i440fx_type,
    &piix3_type,
    &piix4_pm_type,
    &piix_ide_type,
    /* ISA devices a user may add */
    &isa_serial_type,
    &isa_debugcon_type,
    &isa_debug_exit_type,
    &pc_testdev_type,
    /* Virtio */
    &virtio_blk_pci_type,
    &virtio_blk_pci_transitional_type,
    &virtio_blk_pci_non_transitional_type,
    &virtio_rng_pci_type,
    &virtio_rng_pci_transitional_type,
    &virtio_rng_pci_non_transitional_type,
    /* IDE drives */
    &ide_hd_type,
    &ide_cd_type,
    NULL,
};
