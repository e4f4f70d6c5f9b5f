/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same code at several linear addresses (accel/dbt/jit-move.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/dbt/jit.h"
#include "core/thread.h"
#include "dbt-rig.h"

static const DbtVcpu *vcpu_of(Rig *rig)
{
    return rig->machine->vcpus[0]->accel;
}

/*
 * Code that says where it is, in each way an address gets into translated code: RAX, a return address in
 * RBX, RCX by an indirect jump. Counts its runs at RIG_DATA.
 */
GUEST(where_am_i, "lea where_am_i(%rip), %rax\n"
                  "incl where_am_i + 0x10000(%rip)\n"
                  "incl where_am_i + 0x10004(%rip)\n"
                  "movl $5, where_am_i + 0x11000(%rip)\n"
                  "mov where_am_i + 0x11000(%rip), %edx\n"
                  "mov $70, %esi\n"
                  "bts %rsi, where_am_i + 0x12000(%rip)\n"
                  "call 2f\n"
                  "1: lea 3f(%rip), %rcx\n"
                  "jmp *%rcx\n"
                  "2: mov (%rsp), %rbx\n"
                  "ret\n"
                  "3: dec %edx\n"
                  "jnz 3b\n"
                  "lea 1b(%rip), %rdi\n"
                  "lea 3b(%rip), %rsi\n");

/* 512 GiB and 1 GiB from each other, as programs and libraries are. */
static const uint64_t elsewhere[] = {0, 1ull << 30, 0x55ull << 39, 0x7full << 39, ~0ull << 47, ~0ull << 39 | 1ull << 30};

static void map_elsewhere(Rig *rig)
{
    uint64_t *pml4 = rig_mem(rig, 0x2000), *pdpt = rig_mem(rig, 0x3000);

    pdpt[1] = pdpt[0];
    for (size_t i = 0; i < G_N_ELEMENTS(elsewhere); i++)
        pml4[elsewhere[i] >> 39 & 511] = pml4[0];
}

/* Loads nothing: the code is in memory. */
static void run_at(Rig *rig, uint64_t base)
{
    CpuState *s = rig_state(rig, 0);

    rig_mode(rig, 0, 64);
    s->rip = base + RIG_CODE;
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], base + RIG_CODE);
    assert_int_equal(s->gpr[GPR_RBX], s->gpr[GPR_RDI]);
    assert_int_equal(s->gpr[GPR_RCX], s->gpr[GPR_RSI]);
    assert_int_equal(s->gpr[GPR_RBX] >> 12, (base + RIG_CODE) >> 12);
}

static void code_runs_at_any_address_and_is_translated_a_few_times_only(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);
    uint64_t units = 0;

    RIG_LOAD(rig, where_am_i);
    map_elsewhere(rig);
    for (unsigned round = 0; round < 40; round++) {
        for (size_t i = 0; i < G_N_ELEMENTS(elsewhere); i++)
            run_at(rig, elsewhere[i]);
        if (v->jit && round == 1)
            units = v->jit->stats.units;
    }
    assert_int_equal(*(uint32_t *)rig_mem(rig, RIG_DATA), 40 * G_N_ELEMENTS(elsewhere));
    assert_int_equal(*(uint32_t *)rig_mem(rig, RIG_DATA + 4), 40 * G_N_ELEMENTS(elsewhere));
    assert_int_equal(*(uint64_t *)rig_mem(rig, RIG_DATA + 0x2008), 1 << 6);
    if (!v->jit)
        return;
    assert_true(v->jit->stats.moved > 40);
    assert_true(v->jit->stats.units < 3 * units);
}

/* Jumps through a table beside it, to where RAX is. */
GUEST(through_a_table, "mov $40, %ecx\n"
                       "1: lea 2f(%rip), %rax\n mov %rax, through_a_table + 0x10000(%rip)\n"
                       "jmp *through_a_table + 0x10000(%rip)\n ud2\n .skip 4096\n"
                       "2: lea 2b(%rip), %rbx\n dec %ecx\n jnz 1b\n");

static void what_a_table_is_expected_to_say_moves_with_the_code(void **state)
{
    Rig *rig = *state;
    DbtVcpu *v = rig->machine->vcpus[0]->accel;
    CpuState *s = rig_state(rig, 0);

    v->accel->translate_after = 2;
    v->accel->hot_after = 8;
    RIG_LOAD(rig, through_a_table);
    map_elsewhere(rig);
    for (unsigned round = 0; round < 4; round++) {
        for (size_t i = 0; i < G_N_ELEMENTS(elsewhere); i++) {
            rig_mode(rig, 0, 64);
            s->rip = elsewhere[i] + RIG_CODE;
            assert_int_equal(rig_run(rig, 0), -1);
            assert_true(s->gpr[GPR_RAX] == s->gpr[GPR_RBX] && s->gpr[GPR_RBX] >> 13 == s->rip >> 13);
        }
    }
    if (v->jit)
        assert_true(v->jit->stats.moved > 10);
}

static void two_processes_do_not_take_their_code_from_each_other_for_ever(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);
    uint64_t units, moved;

    RIG_LOAD(rig, where_am_i);
    map_elsewhere(rig);
    for (unsigned round = 0; round < 4; round++) {
        run_at(rig, elsewhere[2]);
        run_at(rig, elsewhere[3]);
    }
    if (!v->jit)
        return;
    units = v->jit->stats.units;
    moved = v->jit->stats.moved;
    for (unsigned round = 0; round < 4; round++) {
        run_at(rig, elsewhere[2]);
        run_at(rig, elsewhere[3]);
    }
    assert_int_equal(v->jit->stats.units, units);
    assert_int_equal(v->jit->stats.moved, moved);
}

/*
 * A jump through the pointer at RIG_DATA, and code at LOOP that counts RCX down and goes to where the jump is, and 2 GiB further. Where
 * the two are made the pointer leads up, to the upper half; at 2 GiB the same distance leads down, round the end of addresses.
 */
GUEST(wraps, "mov wraps + 0x10000(%rip), %rax\n jmp 1f\n 1: jmp *wraps + 0x10000(%rip)\n");
GUEST(comes_back, "dec %rcx\n jz 1f\n jmp comes_back + 0x7ffe0000\n 1: out %al, $0xf4\n hlt\n");
#define LOOP 0x30000u
#define UP 0xffffffff80000000ull
#define TURNS (1ull << 30)

typedef struct Interrupter {
    Rig *rig;
    bool stop;
} Interrupter;

static void *interrupt(void *opaque)
{
    Interrupter *in = opaque;

    while (!__atomic_load_n(&in->stop, __ATOMIC_ACQUIRE)) {
        g_usleep(1000);
        __atomic_store_n(&in->rig->stopped[0], -3, __ATOMIC_RELEASE);
        vcpu_request(in->rig->machine->vcpus[0], VCPU_REQ_PAUSE);
    }
    return NULL;
}

static void a_loop_that_moving_would_close_can_be_interrupted(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);
    uint64_t *pml4 = rig_mem(rig, 0x2000), *pdpt = rig_mem(rig, 0x3000), *pointer = rig_mem(rig, RIG_DATA);
    Interrupter in = {.rig = rig};
    pthread_t thread;
    int vector;

    RIG_LOAD(rig, wraps);
    memcpy(rig_mem(rig, LOOP), comes_back, (size_t)(comes_back_end - comes_back));
    pml4[511] = pml4[0];
    pdpt[2] = pdpt[510] = pdpt[0];
    *pointer = UP + LOOP;
    for (unsigned i = 0; i < 2; i++) {
        rig_mode(rig, 0, 64);
        s->gpr[GPR_RCX] = 1;
        s->rip = i ? RIG_CODE : LOOP;
        assert_int_equal(rig_run(rig, 0), -1);
    }
    rig_mode(rig, 0, 64);
    s->gpr[GPR_RCX] = TURNS;
    s->rip = 2 * GIB + RIG_CODE;
    *pointer = LOOP;
    assert_true(thread_create(&thread, "interrupter", interrupt, &in, NULL));
    vector = rig_run(rig, 0);
    __atomic_store_n(&in.stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_int_equal(vector, -3);
    assert_true(s->gpr[GPR_RCX]);
}

GUEST(near_base, "incl %fs:near_base + 0x10008(%rip)\n mov %fs:near_base + 0x10008(%rip), %eax");

/* What it counts is at 3 GiB and more; one GiB from there is other memory. */
static void an_address_from_rip_and_a_base_moves_with_the_code(void **state)
{
    Rig *rig = *state;
    CpuState *s = rig_state(rig, 0);
    uint64_t *pdpt = rig_mem(rig, 0x3000);

    RIG_LOAD(rig, near_base);
    pdpt[1] = pdpt[3] = pdpt[0];
    pdpt[2] = pdpt[4] = (RIG_DATA + 0x1000) | 7;
    *(uint64_t *)rig_mem(rig, RIG_DATA + 0x1000) = 0x200000 | 0x87; /* a large page */
    for (uint32_t round = 1; round < 9; round++) {
        uint64_t at = (round & 1) * GIB;

        rig_mode(rig, 0, 64);
        s->rip = at + RIG_CODE;
        s->seg[SEG_FS].base = 3 * GIB - at;
        assert_int_equal(rig_run(rig, 0), -1);
        assert_int_equal(s->gpr[GPR_RAX], round);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(code_runs_at_any_address_and_is_translated_a_few_times_only),
        RIG_CASE(what_a_table_is_expected_to_say_moves_with_the_code),
        RIG_CASE(an_address_from_rip_and_a_base_moves_with_the_code),
        RIG_CASE(a_loop_that_moving_would_close_can_be_interrupted),
        RIG_CASE(two_processes_do_not_take_their_code_from_each_other_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
