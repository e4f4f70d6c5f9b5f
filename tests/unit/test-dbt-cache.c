/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoded and translated code that does not stay: more of it than fits (accel/dbt/block-store.c, jit-part.c),
 * and what is written over all the time (jit-run.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "accel/dbt/block.h"
#include "accel/dbt/jit.h"
#include "dbt-rig.h"

#define PIECES 20000u
#define PIECE_SIZE 64u
#define PIECES_AT (2 * MIB)
#define ROUNDS 3

static int setup(void **state)
{
    *state = rig_new_sized(1, 1);
    return *state ? 0 : -1;
}

static const DbtVcpu *vcpu_of(Rig *rig)
{
    return rig->machine->vcpus[0]->accel;
}

static void put_rel32(uint8_t *at, uint64_t from, uint64_t to)
{
    store_le(at, to - (from + 4), 4);
}

/* Many pieces of code, each of which counts in RAX and RBX's memory and goes on to the next; the last one
 * counts rounds in ECX and ends. */
static void write_pieces(Rig *rig)
{
    static const uint8_t count[] = {0x48, 0xff, 0xc0, 0xff, 0x03, 0xe9}; /* inc rax; inc dword [rbx]; jmp */
    static const uint8_t last[] = {0xff, 0xc9, 0x0f, 0x85};              /* dec ecx; jnz */
    uint64_t at = PIECES_AT;

    for (unsigned i = 0; i < PIECES; i++, at += PIECE_SIZE) {
        uint8_t *code = rig_mem(rig, at);

        memcpy(code, count, sizeof(count));
        put_rel32(code + sizeof(count), at + sizeof(count), at + PIECE_SIZE);
    }
    memcpy(rig_mem(rig, at), last, sizeof(last));
    put_rel32((uint8_t *)rig_mem(rig, at) + sizeof(last), at + sizeof(last), PIECES_AT);
    at += sizeof(last) + 4;
    *(uint8_t *)rig_mem(rig, at) = 0xe9; /* jmp to the end of the guest */
    put_rel32((uint8_t *)rig_mem(rig, at + 1), at + 1, RIG_CODE + 5);
}

static void run_pieces(Rig *rig)
{
    uint8_t jump[5] = {0xe9};
    CpuState *s = rig_state(rig, 0);

    rig_reset_memory(rig);
    put_rel32(jump + 1, RIG_CODE + 1, PIECES_AT);
    rig_code(rig, jump, sizeof(jump));
    write_pieces(rig);
    rig_mode(rig, 0, 64);
    s->gpr[GPR_RAX] = 0;
    s->gpr[GPR_RBX] = RIG_DATA;
    s->gpr[GPR_RCX] = ROUNDS;
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RAX], PIECES * ROUNDS);
    assert_int_equal(load_le(rig_mem(rig, RIG_DATA), 4), PIECES * ROUNDS);
}

static void more_code_than_fits_runs_right_and_a_part_is_forgotten_at_a_time(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);
    const DbtRing *blocks = &v->cache->blocks;

    run_pieces(rig);
    assert_true(v->cache->parts_recycled > v->cache->blocks.parts);
    /* The parts behind the one in use are still full. */
    assert_true(dbt_ring_used(blocks) > (blocks->parts - 2) * (blocks->part_size - BLOCK_BYTES));
    if (!v->jit)
        return;
    assert_true(v->jit->stats.units_dropped > PIECES);
    assert_true(v->jit->stats.flushes <= 1); /* that of the mode the vCPU began in, at most */
    assert_true(jit_usage(v->jit).code <= v->jit->size);
}

GUEST(small_loop, "mov $1000, %ecx\n 1: inc %eax\n dec %ecx\n jnz 1b");

static void what_runs_now_is_kept_although_memory_was_short(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);
    uint64_t units;

    run_pieces(rig);
    assert_int_equal(RIG_RUN(rig, 64, small_loop), -1);
    if (!v->jit)
        return;
    units = v->jit->stats.units;
    for (int i = 0; i < 3; i++) {
        rig_mode(rig, 0, 64);
        assert_int_equal(rig_run(rig, 0), -1);
    }
    assert_int_equal(v->jit->stats.units, units);
}

/* A counter between the instructions of the loop that counts. */
GUEST(counter_in_code, "mov $20000, %ecx\n 1: incl 2f(%rip)\n jmp 3f\n 2: .long 0\n 3: dec %ecx\n jnz 1b\n"
                       "mov 2b(%rip), %eax");

static void data_among_code_does_not_have_it_translated_for_ever(void **state)
{
    Rig *rig = *state;
    const DbtVcpu *v = vcpu_of(rig);

    v->accel->translate_after = 4;
    assert_int_equal(RIG_RUN(rig, 64, counter_in_code), -1);
    assert_int_equal(rig_state(rig, 0)->gpr[GPR_RAX], 20000);
    if (!v->jit)
        return;
    assert_true(v->jit->stats.pages_changed > 0);
    assert_true(v->jit->stats.units < 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(more_code_than_fits_runs_right_and_a_part_is_forgotten_at_a_time, setup,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(what_runs_now_is_kept_although_memory_was_short, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(data_among_code_does_not_have_it_translated_for_ever, setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
