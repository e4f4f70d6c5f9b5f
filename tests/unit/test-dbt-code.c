/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code bytes in the interpreter: decode limits, features, self- and cross-modifying code, pages,
 * and locked operations between vCPU threads (accel/dbt/decode.c, block.c, dbt.c, code.c).
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/dma.h"
#include "core/lock.h"
#include "core/thread.h"
#include "dbt-rig.h"

GUEST(too_long, ".rept 15\n .byte 0x66\n .endr\n nop");
GUEST(longest, ".rept 14\n .byte 0x66\n .endr\n nop");
GUEST(lock_register, ".byte 0xf0, 0x01, 0xc8"); /* lock add %ecx, %eax */
GUEST(lock_load, ".byte 0xf0, 0x8b, 0x00");     /* lock mov (%rax), %eax */
GUEST(no_opcode, ".byte 0x0f, 0x0a");

static void illegal_encodings_fault(void **state)
{
    Rig *rig = *state;

    assert_int_equal(RIG_RUN(rig, 64, too_long), EXC_GP);
    assert_int_equal(RIG_RUN(rig, 64, longest), -1);
    assert_int_equal(RIG_RUN(rig, 64, lock_register), EXC_UD);
    assert_int_equal(RIG_RUN(rig, 64, lock_load), EXC_UD);
    assert_int_equal(RIG_RUN(rig, 64, no_opcode), EXC_UD);
    assert_int_equal(rig_fault_rip(rig, 64, false), RIG_CODE);
}

GUEST(use_movbe, "movbe (%rax), %ecx");
GUEST(use_tzcnt, "mov $8, %eax\n xor %ecx, %ecx\n tzcnt %ecx, %edx");

static void what_cpuid_does_not_offer_is_undefined(void **state)
{
    Rig *rig = *state;
    CpuidTable none = {.count = 2, .entries = {{.leaf = 0, .eax = 1}, {.leaf = 1}}};

    assert_true(vcpu_set_cpuid(rig->machine->vcpus[0], &none, NULL));
    assert_int_equal(RIG_RUN(rig, 64, use_movbe), EXC_UD);
    /* Without BMI1 TZCNT is BSF, which leaves the destination alone if the source is zero. */
    rig_code(rig, use_tzcnt, (size_t)(use_tzcnt_end - use_tzcnt));
    rig_mode(rig, 0, 64);
    rig_state(rig, 0)->gpr[GPR_RDX] = 99;
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RDX], 99);
}

/* The store changes the immediate of the instruction right behind it. */
GUEST(modify_next, "movb $42, 1f+1(%rip)\n 1: mov $1, %eax");
/* Each round raises the immediate, in a block that has run before. */
GUEST(modify_loop, "mov $100, %ecx\n xor %eax, %eax\n"
                   "1: add $0, %eax\n incb 1b+2(%rip)\n dec %ecx\n jnz 1b");
GUEST(modify_string, "lea 1f+1(%rip), %rdi\n mov $0x55, %al\n mov $4, %ecx\n rep stosb\n"
                     "1: mov $1, %ebx");

static void modified_code_is_seen_by_the_next_block(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);

    assert_int_equal(RIG_RUN(rig, 64, modify_next), -1);
    assert_int_equal(s->gpr[GPR_RAX], 42);
    assert_int_equal(RIG_RUN(rig, 64, modify_loop), -1);
    assert_int_equal(s->gpr[GPR_RAX], 99 * 100 / 2);
    assert_int_equal(RIG_RUN(rig, 64, modify_string), -1);
    assert_int_equal(s->gpr[GPR_RBX], 0x55555555);
}

GUEST(call_data, "mov $0x20ffb, %edx\n call *%rdx");
GUEST(mov_ret, "mov $0x11223344, %eax\n ret");

static void an_instruction_may_lie_in_two_pages(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);
    AddressSpace *as = &rig->machine->memory;
    uint64_t *pt = rig_mem(rig, 0x1000);

    /* Four bytes in the first page, one in the second. */
    dma_write(as, 0x20ffc, mov_ret, (size_t)(mov_ret_end - mov_ret));
    RIG_LOAD(rig, call_data);
    *(uint8_t *)rig_mem(rig, 0x20ffb) = 0x90;
    rig_mode(rig, 0, 64);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], 0x11223344);

    /* Another page behind the first: same linear and physical start, other bytes. */
    ((uint8_t *)rig_mem(rig, 0x25000))[0] = 0x99;
    ((uint8_t *)rig_mem(rig, 0x25000))[1] = 0xc3;
    pt[0x21] = 0x25007;
    rig_mode(rig, 0, 64);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], 0x99223344);

    /* A write to the second page only. */
    dma_write(as, 0x25000, "\x77", 1);
    rig_mode(rig, 0, 64);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], 0x77223344);

    /* The second page is gone: the fault names its first byte, rip the instruction. */
    pt[0x21] = 0;
    rig_mode(rig, 0, 64);
    assert_int_equal(rig_run(rig, 0), EXC_PF);
    assert_int_equal(s->cr2, 0x21000);
    assert_int_equal(rig_fault_rip(rig, 64, true), 0x20ffc);
}

/* --- two vCPUs --- */

GUEST(count_inc, "mov $200000, %ecx\n 1: lock incl 0x20000\n dec %ecx\n jnz 1b");
GUEST(count_xadd, "mov $200000, %ecx\n 1: mov $1, %eax\n lock xadd %rax, 0x20000\n dec %ecx\n jnz 1b");
GUEST(count_cmpxchg, "mov $100000, %ecx\n 1: mov 0x20000, %eax\n 2: lea 1(%rax), %edx\n"
                     "lock cmpxchg %edx, 0x20000\n jnz 2b\n dec %ecx\n jnz 1b");
GUEST(count_crossing, "mov $3000, %ecx\n 1: lock incl 0x20ffe\n dec %ecx\n jnz 1b");
GUEST(count_xchg, "mov $100000, %ecx\n" /* a spin lock around a plain increment */
                  "1: mov $1, %eax\n 2: xchg %eax, 0x20008\n test %eax, %eax\n jz 3f\n pause\n jmp 2b\n"
                  "3: incl 0x20000\n movl $0, 0x20008\n dec %ecx\n jnz 1b");

static void *run_second(void *opaque)
{
    rig_run(opaque, 1);
    return NULL;
}

static void run_both(Rig *rig, const uint8_t *code, const uint8_t *end)
{
    pthread_t thread;

    rig_code(rig, code, (size_t)(end - code));
    memset(rig_mem(rig, RIG_DATA), 0, 0x2000);
    rig_mode(rig, 0, 64);
    rig_mode(rig, 1, 64);
    assert_true(thread_create(&thread, "second", run_second, rig, NULL));
    assert_int_equal(rig_run(rig, 0), -1);
    pthread_join(thread, NULL);
    assert_int_equal(rig->stopped[1], -1);
}

#define TURNS "500"
#define TURN_COUNT 500u
/* Each adds 1 to the word at RIG_DATA + 64 when it is its turn, and waits for the other. */
GUEST(in_turns, "mov $0x20000, %ebx\n mov $1, %esi\n lock xadd %esi, (%rbx)\n 1: pause\n mov 64(%rbx), %eax\n cmp $" TURNS ", %eax\n"
                "jae 2f\n mov %eax, %edx\n and $1, %edx\n cmp %esi, %edx\n jne 1b\n incl 64(%rbx)\n jmp 1b\n 2:");
/* Without yielding it is a time slice of the host: some 20,000 interpreted, 60,000 translated. */
#define PAUSES_PER_TURN 4096u

static void who_waits_with_pause_gives_its_cpu_to_the_one_it_waits_for(void **state)
{
    Rig *rig = rig_new(2);
    uint64_t pauses = 0;
    cpu_set_t all, one;

    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    run_both(rig, in_turns, in_turns_end);
    assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
    assert_int_equal(*(uint32_t *)rig_mem(rig, RIG_DATA + 64), TURN_COUNT);
    for (unsigned i = 0; i < 2; i++)
        pauses += ((const DbtVcpu *)rig->machine->vcpus[i]->accel)->pauses;
    assert_in_range(pauses, TURN_COUNT, TURN_COUNT * PAUSES_PER_TURN);
    rig_free(rig);
}

static void locked_operations_are_atomic_between_vcpus(void **state)
{
    Rig *rig = rig_new(2);
    const uint64_t *p = rig_mem(rig, RIG_DATA);

    run_both(rig, count_inc, count_inc_end);
    assert_int_equal(*p, 400000);
    run_both(rig, count_xadd, count_xadd_end);
    assert_int_equal(*p, 400000);
    run_both(rig, count_cmpxchg, count_cmpxchg_end);
    assert_int_equal(*p, 200000);
    run_both(rig, count_xchg, count_xchg_end);
    assert_int_equal((uint32_t)*p, 200000);
    rig_free(rig);
}

static void a_locked_operation_across_pages_is_atomic_too(void **state)
{
    Rig *rig = rig_new(2);
    uint32_t count;

    run_both(rig, count_crossing, count_crossing_end);
    memcpy(&count, rig_mem(rig, 0x20ffe), 4);
    assert_int_equal(count, 6000);
    rig_free(rig);
}

/* vCPU 0 rewrites a function of vCPU 1's, and waits for it to see each new version. */
GUEST(rewrite, "mov $1, %ecx\n"
               "1: mov %cl, patched+1-cross+0x12000\n 2: cmp %cl, 0x20000\n jne 2b\n"
               "inc %ecx\n cmp $100, %ecx\n jne 1b");
GUEST(cross, "1: call patched\n mov %al, 0x20000\n cmp $99, %al\n jne 1b\n out %al, $0xf4\n hlt\n"
             "patched: mov $0, %al\n ret");

static void code_written_by_another_vcpu_is_seen(void **state)
{
    Rig *rig = rig_new(2);
    pthread_t thread;

    RIG_LOAD(rig, rewrite);
    dma_write(&rig->machine->memory, 0x12000, cross, (size_t)(cross_end - cross));
    rig_mode(rig, 0, 64);
    rig_mode(rig, 1, 64);
    rig_state(rig, 1)->rip = 0x12000;
    assert_true(thread_create(&thread, "second", run_second, rig, NULL));
    assert_int_equal(rig_run(rig, 0), -1);
    pthread_join(thread, NULL);
    assert_int_equal(rig_state(rig, 1)->gpr[GPR_RAX], 99);
    rig_free(rig);
}

GUEST(busy, "1: lock incl 0x20ffe\n mov 0x400000, %eax\n mov %eax, 0x400000\n out %al, $0xf6\n"
            "incb 2f+1(%rip)\n 2: mov $0, %cl\n jmp 1b");

/* A device whose handlers take machine_lock, as most do. */
static uint64_t slow_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void slow_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

/* Commits hold machine_lock and want all vCPUs out of guest code; vCPUs want machine_lock for a
 * device, and each other out of guest code for a locked access across pages. Nobody waits for ever. */
static void the_memory_map_changes_under_running_vcpus(void **state)
{
    static const MemoryRegionOps ops = {.read = slow_read, .write = slow_write};
    Rig *rig = rig_new(2);
    MemoryRegion slow;
    pthread_t threads[2];

    machine_lock();
    memory_region_init_io(&slow, &ops, NULL, "slow", GUEST_PAGE_SIZE);
    memory_region_add(&rig->machine->memory_root, 0x400000, &slow, 1);
    machine_unlock();
    RIG_LOAD(rig, busy);
    for (unsigned i = 0; i < 2; i++) {
        rig_mode(rig, i, 64);
        vcpu_take_requests(rig->machine->vcpus[i], ~0u);
        assert_true(thread_create(&threads[i], "busy", rig_run_until_told, rig->machine->vcpus[i], NULL));
    }
    for (unsigned i = 0; i < 400; i++) {
        machine_lock();
        memory_region_set_enabled(&slow, i & 1);
        machine_unlock();
    }
    for (unsigned i = 0; i < 2; i++) {
        vcpu_request(rig->machine->vcpus[i], VCPU_REQ_PAUSE);
        pthread_join(threads[i], NULL);
    }
    machine_lock();
    memory_region_remove(&slow);
    machine_unlock();
    rig_free(rig);
    memory_region_release(&slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(illegal_encodings_fault),
        RIG_CASE(what_cpuid_does_not_offer_is_undefined),
        RIG_CASE(modified_code_is_seen_by_the_next_block),
        RIG_CASE(an_instruction_may_lie_in_two_pages),
        cmocka_unit_test(who_waits_with_pause_gives_its_cpu_to_the_one_it_waits_for),
        cmocka_unit_test(locked_operations_are_atomic_between_vcpus),
        cmocka_unit_test(a_locked_operation_across_pages_is_atomic_too),
        cmocka_unit_test(code_written_by_another_vcpu_is_seen),
        cmocka_unit_test(the_memory_map_changes_under_running_vcpus),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
