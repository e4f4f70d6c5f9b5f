/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small ISA devices a user names with -device and no board code touches further.
 *
 *   isa-debugcon    hw/char/debugcon.c
 *   isa-debug-exit  hw/misc/debugexit.c
 *   pc-testdev      hw/misc/pc-testdev.c
 */
#ifndef HW_MISC_PC_DEVICES_H
#define HW_MISC_PC_DEVICES_H

#include "core/device.h"

extern const DeviceType isa_debugcon_type;
extern const DeviceType isa_debug_exit_type;
extern const DeviceType pc_testdev_type;

#endif
