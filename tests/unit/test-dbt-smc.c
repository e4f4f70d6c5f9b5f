/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cross-modifying code under stress (accel/dbt/code.c): a vCPU or a device rewrites a function that
 * another vCPU calls. After a handshake in memory the caller must never run the old bytes
 * (Intel SDM vol. 3, 9.1.3: the caller's branch to it is enough for us, CPUID would serialise).
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/dma.h"
#include "core/thread.h"
#include "dbt-rig.h"

#define ROUNDS "2000"
#define ROUND_COUNT 2000u
#define WRITER 0x12000u
#define TARGET 0x13000u   /* mov $n, %eax; ret */
#define SEQUENCE 0x20000u /* what the writer has written */
#define ANSWER 0x20040u   /* what the caller has run */

/* The caller, at RIG_CODE: stops with UD2 when it got the wrong number. */
GUEST(caller, "mov $1, %ecx\n 1: pause\n cmp %ecx, 0x20000\n jne 1b\n mov $0x13000, %edx\n call *%rdx\n"
              " cmp %ecx, %eax\n jne 2f\n mov %ecx, 0x20040\n inc %ecx\n cmp $" ROUNDS ", %ecx\n jne 1b\n"
              " out %al, $0xf4\n hlt\n 2: ud2");
/* Rewrites the immediate; every store is a plain one. */
GUEST(writer, "mov $1, %ecx\n 1: mov %ecx, 0x13001\n mov %ecx, 0x20000\n 2: pause\n cmp %ecx, 0x20040\n jne 2b\n"
              " inc %ecx\n cmp $" ROUNDS ", %ecx\n jne 1b\n out %al, $0xf4\n hlt");
/* The same, and it writes data beside the code all the time: the page goes back and forth. */
GUEST(busy_writer, "mov $1, %ecx\n 1: mov %ecx, 0x13800\n mov %ecx, 0x13001\n mov %ecx, 0x20000\n"
                   " 2: incl 0x13804\n cmp %ecx, 0x20040\n jne 2b\n"
                   " inc %ecx\n cmp $" ROUNDS ", %ecx\n jne 1b\n out %al, $0xf4\n hlt");

static void write_target(Rig *rig)
{
    static const uint8_t target[] = { 0xb8, 0, 0, 0, 0, 0xc3 };

    dma_write(&rig->machine->memory, TARGET, target, sizeof(target));
}

static void *run_second(void *opaque)
{
    rig_run(opaque, 1);
    return NULL;
}

static void between_vcpus(const uint8_t *code, const uint8_t *end)
{
    Rig *rig = rig_new(2);
    pthread_t thread;

    RIG_LOAD(rig, caller);
    dma_write(&rig->machine->memory, WRITER, code, (size_t)(end - code));
    write_target(rig);
    rig_mode(rig, 0, 64);
    rig_mode(rig, 1, 64);
    rig_state(rig, 1)->rip = WRITER;
    assert_true(thread_create(&thread, "writer", run_second, rig, NULL));
    assert_int_equal(rig_run(rig, 0), -1);
    pthread_join(thread, NULL);
    assert_int_equal(rig->stopped[1], -1);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RCX], ROUND_COUNT);
    rig_free(rig);
}

static void a_vcpu_rewrites_what_another_calls(void **state)
{
    between_vcpus(writer, writer_end);
}

static void data_beside_the_code_changes_all_the_time(void **state)
{
    between_vcpus(busy_writer, busy_writer_end);
}

/* A device: writes by DMA, waits for the answer. */
static void *device(void *opaque)
{
    Rig *rig = opaque;
    const uint32_t *answer = rig_mem(rig, ANSWER);

    for (uint32_t n = 1; n < ROUND_COUNT; n++) {
        dma_write(&rig->machine->memory, TARGET + 1, &n, 4);
        dma_write(&rig->machine->memory, SEQUENCE, &n, 4);
        while (__atomic_load_n(answer, __ATOMIC_ACQUIRE) != n) {
            if (__atomic_load_n(&rig->stopped[0], __ATOMIC_RELAXED) >= 0)
                return NULL; /* the caller has failed */
            sched_yield();
        }
    }
    return NULL;
}

static void a_device_rewrites_what_a_vcpu_calls(void **state)
{
    Rig *rig = rig_new(1);
    pthread_t thread;

    RIG_LOAD(rig, caller);
    write_target(rig);
    rig_mode(rig, 0, 64);
    rig->stopped[0] = -2;
    assert_true(thread_create(&thread, "device", device, rig, NULL));
    assert_int_equal(rig_run(rig, 0), -1);
    pthread_join(thread, NULL);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RCX], ROUND_COUNT);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vcpu_rewrites_what_another_calls),
        cmocka_unit_test(data_beside_the_code_changes_all_the_time),
        cmocka_unit_test(a_device_rewrites_what_a_vcpu_calls),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
