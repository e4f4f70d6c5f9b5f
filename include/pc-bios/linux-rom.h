/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option ROM of linux-rom.S, as assembled: its length and checksums are still zero.
 */
#ifndef PC_BIOS_LINUX_ROM_H
#define PC_BIOS_LINUX_ROM_H

#include <stdint.h>

extern const uint8_t linux_rom[], linux_rom_end[];

#endif
