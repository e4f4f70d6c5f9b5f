/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting application processors: INIT, then two start-up IPIs (MultiProcessor Specification B.4).
 */
#include "guest.h"

extern uint8_t ap_trampoline[], ap_trampoline_end[];
extern volatile uint64_t ap_stack;
void ap_start(void);
void *memcpy(void *to, const void *from, size_t n);

#define MAX_APS 16

static uint8_t stacks[MAX_APS][8192] __attribute__((aligned(16)));
static unsigned started;
static void (*volatile ap_fn)(void *arg);
static void *volatile ap_arg;
static volatile uint32_t ap_alive;

void ap_start(void)
{
    void (*fn)(void *arg) = ap_fn;
    void *arg = ap_arg;

    idt_load();
    apic_enable();
    ap_alive = 1;
    fn(arg);
    for (;;)
        asm volatile("cli; hlt");
}

bool smp_launch(uint32_t apic_id, void (*fn)(void *arg), void *arg)
{
    if (started == MAX_APS)
        return false;
    memcpy((void *)(unsigned long)AP_TRAMPOLINE, ap_trampoline, ap_trampoline_end - ap_trampoline);
    ap_stack = (unsigned long)stacks[started++] + sizeof(stacks[0]);
    ap_fn = fn;
    ap_arg = arg;
    ap_alive = 0;
    apic_send(apic_id, 0x4500); /* INIT, assert */
    delay_us(10000);
    for (int i = 0; i < 2; i++) { /* the second means nothing to one that the first has started */
        apic_send(apic_id, 0x4600 | AP_TRAMPOLINE >> 12);
        delay_us(200);
    }
    return true;
}

bool smp_start(uint32_t apic_id, void (*fn)(void *arg), void *arg)
{
    return smp_launch(apic_id, fn, arg) && spin_for(&ap_alive, 1);
}
