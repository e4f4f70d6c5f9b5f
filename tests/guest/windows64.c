/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where exactly an interrupt that waits is taken when IF is set: behind the instruction after STI, right behind POPF.
 */
#include "lib/guest.h"

static volatile uint32_t hits[256];

static void on_apic(Frame *frame)
{
    hits[frame->vector]++;
    apic_eoi();
}

/* hits[0x52] behind the instruction given, with interrupts off again. */
#define HITS_AFTER(insns)                                                                                              \
    ({                                                                                                                 \
        uint32_t hits_seen;                                                                                            \
        __asm__ volatile(insns "\n mov %1, %0\n cli" : "=r"(hits_seen) : "m"(hits[0x52]) : "memory", "cc");            \
        hits_seen;                                                                                                     \
    })

/* Often enough that all of it is translated, with and without an interrupt that waits. */
void guest_main(void)
{
    bool quiet = true, shadow = true, sti_late = true, popf_at_once = true;

    apic_enable();
    intr_set_handler(0x52, on_apic);
    for (uint32_t i = 0; i < 200; i++) {
        uint32_t before = hits[0x52];

        quiet &= HITS_AFTER("sti\n nop") == before && HITS_AFTER("pushfq\n orq $0x200, (%%rsp)\n popfq") == before;
        apic_write(APIC_ICR, 0x40052); /* to itself */
        shadow &= HITS_AFTER("sti\n cli") == before;
        shadow &= HITS_AFTER("sti\n nop\n cli") == before + 1;
        apic_write(APIC_ICR, 0x40052);
        sti_late &= HITS_AFTER("sti") == before + 1 && hits[0x52] == before + 2;
        apic_write(APIC_ICR, 0x40052);
        popf_at_once &= HITS_AFTER("pushfq\n orq $0x200, (%%rsp)\n popfq") == before + 3;
    }
    check(quiet, "STI and POPF bring no interrupt when none waits");
    check(shadow, "STI and CLI behind it let no interrupt in, with an instruction between they do");
    check(sti_late, "an interrupt is taken behind the instruction after STI");
    check(popf_at_once, "an interrupt is taken right behind POPF");
}
