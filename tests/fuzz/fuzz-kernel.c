/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel images: the input is the file given with -kernel. Whatever it is, the loaders refuse it or
 * plan blobs that lie in RAM and do not overlap.
 */
#include <stdint.h>
#include <stdlib.h>

#include "core/bits.h"
#include "hw/i386/boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_plan(const BootPlan *plan, const MemMap *map)
{
    for (guint i = 0; i < plan->blobs->len; i++) {
        const BootBlob *a = &g_array_index(plan->blobs, BootBlob, i);
        if (a->len > a->mem_len || !memmap_is_ram(map, a->gpa, a->mem_len))
            abort();
        for (guint j = 0; j < i; j++) {
            const BootBlob *b = &g_array_index(plan->blobs, BootBlob, j);
            if (ranges_overlap(a->gpa, a->mem_len, b->gpa, b->mem_len))
                abort();
        }
        /* Reads every byte under the sanitizer's eyes. */
        volatile uint8_t sum = 0;
        for (uint64_t n = 0; n < a->len; n++)
            sum += a->data[n];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t module[100];
    MemMap map = {0};
    BootBoard board = {.map = &map, .rsdp = 0xe0000};

    memmap_add(&map, 0, 0x9fc00, MEMMAP_RAM);
    memmap_add(&map, MIB, 63 * MIB, MEMMAP_RAM);
    memmap_add(&map, 4 * GIB, 64 * MIB, MEMMAP_RAM);
    g_autoptr(BootSource) source = boot_source_from_data("kernel", data, size, "console=ttyS0", NULL);
    if (!source)
        return 0;
    boot_source_add_module(source, "module", module, sizeof(module));
    g_autoptr(BootPlan) plan = boot_plan_make(source, &board, NULL);
    if (plan)
        check_plan(plan, &map);
    return 0;
}
