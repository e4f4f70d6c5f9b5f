/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU's request word, and the sleep that ends when something is in it.
 *
 * The word holds request bits, and VCPU_WAITING while the thread sleeps in vcpu_wait. It is the futex
 * the thread sleeps on, so the kernel compares it against the value the thread last saw:
 *
 *     sender (vcpu_request)                 vCPU thread (vcpu_wait)
 *     old = word |= bits                    a: word == 0 ? word = WAITING : return
 *     old & WAITING ? futex wake : kick     b: futex wait while word == WAITING
 *                                           c: word &= ~WAITING
 *
 *   - sender before a: the exchange fails, no sleep.
 *   - sender between a and b: it wakes nobody, but the kernel finds word != WAITING and returns.
 *   - sender after b fell asleep: it saw WAITING, so it wakes the thread.
 *   - sender after c, or never a: the thread is in AccelOps.run or on its way to it, and run looks at
 *     the word before it enters guest code; the kick gets it out if it has passed that look.
 *
 * A sender whose bits were all set already does nothing: the one who set them has woken or kicked
 * the thread or is just about to, and the bit is not cleared before the thread has seen it. A
 * running vCPU thus costs a sender one locked instruction and the kick (in dbt, a store), and only a
 * sleeping one a system call.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/machine.h"

/* A futex sleep and wake-up cost some 5 us of latency or more, so waits that end within this long
 * are polled for. What polling costs the host is bounded by doing it only while it pays. */
#define SPIN_MAX_NS (50 * NS_PER_US)
#define SPIN_MIN_NS (5 * NS_PER_US)

static int futex_wait_until(uint32_t *word, uint32_t value, int64_t deadline_ns)
{
    struct timespec ts = { deadline_ns / NS_PER_SEC, deadline_ns % NS_PER_SEC };

    /* The bitset form takes an absolute CLOCK_MONOTONIC time. */
    return (int)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, deadline_ns < 0 ? NULL : &ts, NULL,
                        FUTEX_BITSET_MATCH_ANY);
}

void vcpu_request(Vcpu *vcpu, uint32_t bits)
{
    uint32_t old = __atomic_fetch_or(&vcpu->requests, bits, __ATOMIC_SEQ_CST);

    if ((old & bits) == bits)
        return;
    if (old & VCPU_WAITING)
        syscall(SYS_futex, &vcpu->requests, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    else
        vcpu->machine->accel->ops->kick(vcpu);
}

static bool deadline_passed(int64_t deadline_ns, int64_t now_ns)
{
    return deadline_ns >= 0 && now_ns >= deadline_ns;
}

/* True if the wait is over. */
static bool wait_spin(Vcpu *vcpu, int64_t start_ns, int64_t deadline_ns)
{
    int64_t now_ns = start_ns;

    for (;;) {
        if (vcpu_requests(vcpu) || deadline_passed(deadline_ns, now_ns))
            return true;
        if (now_ns - start_ns >= vcpu->spin_ns)
            return false;
        for (int i = 0; i < 16 && !vcpu_requests(vcpu); i++)
            __builtin_ia32_pause();
        now_ns = clock_get_ns(VMCLOCK_MONO);
    }
}

static void wait_sleep(Vcpu *vcpu, int64_t deadline_ns)
{
    uint32_t none = 0;

    if (!__atomic_compare_exchange_n(&vcpu->requests, &none, VCPU_WAITING, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return;
    while (__atomic_load_n(&vcpu->requests, __ATOMIC_ACQUIRE) == VCPU_WAITING) {
        /* Anything but a time-out (a signal, a wake-up left over from earlier) means: look again. */
        if (futex_wait_until(&vcpu->requests, VCPU_WAITING, deadline_ns) < 0 && errno == ETIMEDOUT)
            break;
    }
    __atomic_fetch_and(&vcpu->requests, ~VCPU_WAITING, __ATOMIC_ACQ_REL);
}

/* Waits that polling would have caught lengthen it, long sleeps take it back. */
static void wait_adapt(Vcpu *vcpu, int64_t waited_ns)
{
    if (waited_ns <= vcpu->spin_ns)
        return;
    if (waited_ns <= SPIN_MAX_NS)
        vcpu->spin_ns = (uint32_t)CLAMP(2 * (int64_t)vcpu->spin_ns, SPIN_MIN_NS, SPIN_MAX_NS);
    else
        vcpu->spin_ns = vcpu->spin_ns / 2 < SPIN_MIN_NS ? 0 : vcpu->spin_ns / 2;
}

void vcpu_wait(Vcpu *vcpu, int64_t deadline_ns)
{
    int64_t start_ns = clock_get_ns(VMCLOCK_MONO);

    if (!wait_spin(vcpu, start_ns, deadline_ns))
        wait_sleep(vcpu, deadline_ns);
    wait_adapt(vcpu, clock_get_ns(VMCLOCK_MONO) - start_ns);
}
