/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer harness: the input is a qcow2 image. Corpus: small images of qemu-img and vmm-img with clusters of 512 bytes.
 */
#include <stddef.h>
#include <stdint.h>

#include "core/thread.h"
#include "tests/unit/qcow2-exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int ready;

    if (!ready) {
        core_init();
        ready = 1;
    }
    qcow2_exercise(data, size);
    return 0;
}
