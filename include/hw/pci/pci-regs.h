/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers of PCI configuration space, in the specification's words.
 * Source: PCI Local Bus Specification 3.0 (PCI 3.0), chapter 6 and appendix D; MSI and MSI-X: 6.8.
 */
#ifndef HW_PCI_PCI_REGS_H
#define HW_PCI_PCI_REGS_H

#define PCI_CONFIG_SIZE 256
#define PCI_HEADER_SIZE 64
#define PCI_BARS 6

/* Header, 6.1. */
enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION_ID = 0x08,
    PCI_CLASS_PROG = 0x09, /* programming interface, sub-class, base class: three bytes */
    PCI_CLASS_DEVICE = 0x0a,
    PCI_CACHE_LINE_SIZE = 0x0c,
    PCI_LATENCY_TIMER = 0x0d,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BIST = 0x0f,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_ROM_ADDRESS = 0x30,
    PCI_CAPABILITY_LIST = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_MIN_GNT = 0x3e,
    PCI_MAX_LAT = 0x3f,
};

/* Command, 6.2.2. */
#define PCI_COMMAND_IO 0x0001
#define PCI_COMMAND_MEMORY 0x0002
#define PCI_COMMAND_MASTER 0x0004
#define PCI_COMMAND_SPECIAL 0x0008
#define PCI_COMMAND_INVALIDATE 0x0010
#define PCI_COMMAND_PARITY 0x0040
#define PCI_COMMAND_SERR 0x0100
#define PCI_COMMAND_FAST_BACK 0x0200
#define PCI_COMMAND_INTX_DISABLE 0x0400

/* Status, 6.2.3. */
#define PCI_STATUS_INTERRUPT 0x0008
#define PCI_STATUS_CAP_LIST 0x0010
#define PCI_STATUS_66MHZ 0x0020
#define PCI_STATUS_FAST_BACK 0x0080
#define PCI_STATUS_PARITY 0x0100
#define PCI_STATUS_DEVSEL_MEDIUM 0x0200
#define PCI_STATUS_SIG_TARGET_ABORT 0x0800
#define PCI_STATUS_REC_TARGET_ABORT 0x1000
#define PCI_STATUS_REC_MASTER_ABORT 0x2000
#define PCI_STATUS_SIG_SYSTEM_ERROR 0x4000
#define PCI_STATUS_DETECTED_PARITY 0x8000
/* Written 1 to clear. */
#define PCI_STATUS_RW1C 0xf900

#define PCI_HEADER_TYPE_NORMAL 0x00
#define PCI_HEADER_TYPE_BRIDGE 0x01
#define PCI_HEADER_MULTIFUNCTION 0x80

/* Base address registers, 6.2.5.1. */
#define PCI_BAR_IO 0x1
#define PCI_BAR_MEM64 0x4
#define PCI_BAR_PREFETCH 0x8
#define PCI_BAR_IO_MASK (~UINT64_C(0x3))
#define PCI_BAR_MEM_MASK (~UINT64_C(0xf))
/* Expansion ROM, 6.2.5.2. */
#define PCI_ROM_ENABLE 0x1
#define PCI_ROM_MASK (~UINT64_C(0x7ff))

/* Header of a bridge (PCI-to-PCI Bridge Architecture Specification 1.2, 3.2). */
enum {
    PCI_PRIMARY_BUS = 0x18,
    PCI_SECONDARY_BUS = 0x19,
    PCI_SUBORDINATE_BUS = 0x1a,
    PCI_SEC_LATENCY_TIMER = 0x1b,
    PCI_IO_BASE = 0x1c,
    PCI_IO_LIMIT = 0x1d,
    PCI_SEC_STATUS = 0x1e,
    PCI_MEMORY_BASE = 0x20,
    PCI_MEMORY_LIMIT = 0x22,
    PCI_PREF_MEMORY_BASE = 0x24,
    PCI_PREF_MEMORY_LIMIT = 0x26,
    PCI_PREF_BASE_UPPER32 = 0x28,
    PCI_PREF_LIMIT_UPPER32 = 0x2c,
    PCI_IO_BASE_UPPER16 = 0x30,
    PCI_IO_LIMIT_UPPER16 = 0x32,
    PCI_BRIDGE_ROM_ADDRESS = 0x38,
    PCI_BRIDGE_CONTROL = 0x3e,
};
#define PCI_BRIDGE_BARS 2

/* Capability identifiers, appendix H. */
enum {
    PCI_CAP_ID_PM = 0x01,
    PCI_CAP_ID_MSI = 0x05,
    PCI_CAP_ID_VENDOR = 0x09,
    PCI_CAP_ID_EXPRESS = 0x10,
    PCI_CAP_ID_MSIX = 0x11,
    PCI_CAP_ID_SATA = 0x12,
};
#define PCI_CAP_NEXT 1

/* MSI, 6.8.1: offsets in the capability with a 64-bit address. */
enum {
    PCI_MSI_CONTROL = 2,
    PCI_MSI_ADDRESS_LOW = 4,
    PCI_MSI_ADDRESS_HIGH = 8,
    PCI_MSI_DATA = 12,
    PCI_MSI_MASK = 16,
    PCI_MSI_PENDING = 20,
    PCI_MSI_SIZE = 16,
    PCI_MSI_SIZE_MASKED = 24,
};
#define PCI_MSI_CTRL_ENABLE 0x0001
#define PCI_MSI_CTRL_CAPABLE_SHIFT 1
#define PCI_MSI_CTRL_ENABLED_SHIFT 4
#define PCI_MSI_CTRL_ENABLED 0x0070
#define PCI_MSI_CTRL_64BIT 0x0080
#define PCI_MSI_CTRL_MASKABLE 0x0100

/* MSI-X, 6.8.2. */
enum {
    PCI_MSIX_CONTROL = 2,
    PCI_MSIX_TABLE = 4, /* BAR in bits 2:0, offset above */
    PCI_MSIX_PBA = 8,
    PCI_MSIX_SIZE = 12,
};
#define PCI_MSIX_CTRL_SIZE 0x07ff /* vectors less one */
#define PCI_MSIX_CTRL_MASK_ALL 0x4000
#define PCI_MSIX_CTRL_ENABLE 0x8000

/* A row of the MSI-X table. */
enum {
    PCI_MSIX_ENTRY_ADDRESS_LOW = 0,
    PCI_MSIX_ENTRY_ADDRESS_HIGH = 4,
    PCI_MSIX_ENTRY_DATA = 8,
    PCI_MSIX_ENTRY_CONTROL = 12,
    PCI_MSIX_ENTRY_SIZE = 16,
};
#define PCI_MSIX_ENTRY_MASKED 0x1

/* Classes used here, appendix D: base class, sub-class, programming interface. */
enum {
    PCI_CLASS_STORAGE_SCSI = 0x010000,
    PCI_CLASS_STORAGE_IDE = 0x010100,
    PCI_CLASS_STORAGE_SATA_AHCI = 0x010601,
    PCI_CLASS_STORAGE_NVME = 0x010802,
    PCI_CLASS_NETWORK_ETHERNET = 0x020000,
    PCI_CLASS_DISPLAY_VGA = 0x030000,
    PCI_CLASS_DISPLAY_OTHER = 0x038000,
    PCI_CLASS_MULTIMEDIA_AUDIO = 0x040100,
    PCI_CLASS_MEMORY_RAM = 0x050000,
    PCI_CLASS_BRIDGE_HOST = 0x060000,
    PCI_CLASS_BRIDGE_ISA = 0x060100,
    PCI_CLASS_BRIDGE_PCI = 0x060400,
    PCI_CLASS_BRIDGE_OTHER = 0x068000,
    PCI_CLASS_COMMUNICATION_SERIAL = 0x070002,
    PCI_CLASS_COMMUNICATION_OTHER = 0x078000,
    PCI_CLASS_INPUT_KEYBOARD = 0x090000,
    PCI_CLASS_SERIAL_USB_UHCI = 0x0c0300,
    PCI_CLASS_SERIAL_USB_XHCI = 0x0c0330,
    PCI_CLASS_OTHERS = 0xff0000,
};

/* Device and function in one byte. */
#define PCI_DEVFN(slot, function) (((slot) << 3 | (function)) & 0xff)
#define PCI_SLOT(devfn) ((devfn) >> 3 & 0x1f)
#define PCI_FUNC(devfn) ((devfn) & 7)
#define PCI_SLOTS 32
#define PCI_DEVFNS 256

#endif
