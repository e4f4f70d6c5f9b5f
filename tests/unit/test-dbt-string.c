/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String instructions of the interpreter: overlap, page ends, faults in the middle, directions,
 * address sizes, ports (accel/dbt/op-string.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/thread.h"
#include "dbt-rig.h"

#define PAGE 0x1000u

static uint64_t *pte(Rig *rig, uint64_t linear)
{
    return (uint64_t *)rig_mem(rig, 0x1000) + linear / PAGE;
}

/* Registers after the guest's code and mode were set up. */
static CpuState *prepare(Rig *rig, uint64_t rsi, uint64_t rdi, uint64_t rcx)
{
    CpuState *s = rig_state(rig, 0);

    rig_mode(rig, 0, 64);
    s->gpr[GPR_RSI] = rsi;
    s->gpr[GPR_RDI] = rdi;
    s->gpr[GPR_RCX] = rcx;
    return s;
}

static void fill(Rig *rig, uint64_t gpa, unsigned len, uint8_t first)
{
    uint8_t *p = rig_mem(rig, gpa);

    for (unsigned i = 0; i < len; i++)
        p[i] = (uint8_t)(first + i);
}

GUEST(rep_movsb, "rep movsb");
GUEST(rep_movsb_down, "std\n rep movsb");
GUEST(rep_movsq, "rep movsq");

static void movs_copies_across_pages(void **state)
{
    Rig *rig = *state;
    const CpuState *s;

    RIG_LOAD(rig, rep_movsb);
    fill(rig, RIG_DATA + 100, 10000, 1);
    s = prepare(rig, RIG_DATA + 100, 0x30003, 10000);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_memory_equal(rig_mem(rig, 0x30003), rig_mem(rig, RIG_DATA + 100), 10000);
    assert_int_equal(s->gpr[GPR_RCX], 0);
    assert_int_equal(s->gpr[GPR_RSI], RIG_DATA + 100 + 10000);
    assert_int_equal(s->gpr[GPR_RDI], 0x30003 + 10000);

    /* Elements that lie in two pages. */
    RIG_LOAD(rig, rep_movsq);
    s = prepare(rig, RIG_DATA + 100, 0x40003, 1000);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_memory_equal(rig_mem(rig, 0x40003), rig_mem(rig, RIG_DATA + 100), 8000);
    assert_int_equal(s->gpr[GPR_RDI], 0x40003 + 8000);
}

static void movs_upwards_into_its_own_source_repeats_the_pattern(void **state)
{
    Rig *rig = *state;
    const uint8_t *p = rig_mem(rig, RIG_DATA);

    RIG_LOAD(rig, rep_movsb);
    fill(rig, RIG_DATA, 3, 10);
    prepare(rig, RIG_DATA, RIG_DATA + 3, 5000);
    assert_int_equal(rig_run(rig, 0), -1);
    for (unsigned i = 0; i < 5003; i++)
        assert_int_equal(p[i], 10 + i % 3);
}

static void movs_downwards_moves_an_overlapping_block(void **state)
{
    Rig *rig = *state;
    const uint8_t *p = rig_mem(rig, RIG_DATA);
    const CpuState *s;

    RIG_LOAD(rig, rep_movsb_down);
    fill(rig, RIG_DATA, 200, 0);
    s = prepare(rig, RIG_DATA + 199, RIG_DATA + 209, 200);
    assert_int_equal(rig_run(rig, 0), -1);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(p[10 + i], i);
    assert_int_equal(s->gpr[GPR_RSI], RIG_DATA - 1);
}

static void a_fault_in_the_middle_leaves_a_restartable_state(void **state)
{
    Rig *rig = *state;
    CpuState *s;

    RIG_LOAD(rig, rep_movsb);
    fill(rig, RIG_DATA, 2 * PAGE, 1);
    *pte(rig, 0x31000) &= ~1ull;
    s = prepare(rig, RIG_DATA, 0x30ff0, 100);
    assert_int_equal(rig_run(rig, 0), EXC_PF);
    assert_int_equal(s->cr2, 0x31000);
    assert_int_equal(rig_fault_rip(rig, 64, true), RIG_CODE);
    assert_int_equal(s->gpr[GPR_RCX], 100 - 16);
    assert_int_equal(s->gpr[GPR_RSI], RIG_DATA + 16);
    assert_int_equal(s->gpr[GPR_RDI], 0x31000);
    /* The page comes, the instruction goes on. */
    *pte(rig, 0x31000) |= 1;
    s = prepare(rig, s->gpr[GPR_RSI], s->gpr[GPR_RDI], s->gpr[GPR_RCX]);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_memory_equal(rig_mem(rig, 0x30ff0), rig_mem(rig, RIG_DATA), 100);
}

static void an_element_that_straddles_a_missing_page_stores_nothing(void **state)
{
    Rig *rig = *state;
    const CpuState *s;

    RIG_LOAD(rig, rep_movsq);
    fill(rig, RIG_DATA, 64, 1);
    memset(rig_mem(rig, 0x30ff0), 0, 16);
    *pte(rig, 0x31000) &= ~1ull;
    s = prepare(rig, RIG_DATA, 0x30ff4, 4);
    assert_int_equal(rig_run(rig, 0), EXC_PF);
    assert_int_equal(s->gpr[GPR_RCX], 3);
    assert_int_equal(s->gpr[GPR_RDI], 0x30ffc);
    assert_int_equal(*(uint32_t *)rig_mem(rig, 0x30ffc), 0);
}

GUEST(rep_stos_32, "mov $0x11223344, %eax\n addr32 rep stosl");
GUEST(stos_zero, "rep stosb");

static void a_32_bit_address_size_uses_and_extends_ecx_and_edi(void **state)
{
    Rig *rig = *state;
    CpuState *s;
    const uint32_t *p = rig_mem(rig, RIG_DATA);

    RIG_LOAD(rig, rep_stos_32);
    s = prepare(rig, 0, 0xabcd00000000ull + RIG_DATA, 0x500000003ull);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RCX], 0);
    assert_int_equal(s->gpr[GPR_RDI], RIG_DATA + 12);
    assert_int_equal(p[0], 0x11223344);
    assert_int_equal(p[2], 0x11223344);
    assert_int_equal(p[3], 0);
}

static void a_count_of_zero_touches_nothing(void **state)
{
    Rig *rig = *state;
    CpuState *s;

    RIG_LOAD(rig, stos_zero);
    *pte(rig, 0x31000) = 0;
    s = prepare(rig, 0, 0x31000, 0);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RDI], 0x31000);
}

GUEST(wrap16, ".code16\n mov $0x2000, %ax\n mov $0x3000, %bx\n mov %ax, %ds\n mov %bx, %es\n"
              "mov $0xfffe, %si\n mov $0xfffd, %di\n mov $6, %cx\n rep movsb");

static void indices_wrap_at_64_kib_in_16_bit_mode(void **state)
{
    Rig *rig = *state;
    const CpuState *s = rig_state(rig, 0);
    const uint8_t *p = rig_mem(rig, 0x30000);

    fill(rig, 0x2fffe, 2, 1); /* also 3000:... does not overlap what is written */
    fill(rig, 0x20000, 4, 3);
    assert_int_equal(RIG_RUN(rig, 16, wrap16), -1);
    assert_int_equal(s->gpr[GPR_RSI], 4);
    assert_int_equal(s->gpr[GPR_RDI], 3);
    assert_int_equal(p[0xfffd], 1);
    assert_int_equal(p[0xffff], 3);
    assert_int_equal(p[0], 4);
    assert_int_equal(p[2], 6);
}

GUEST(strlen_guest, "xor %eax, %eax\n mov $-1, %rcx\n repne scasb");
GUEST(memcmp_guest, "repe cmpsb");

static void scas_finds_and_cmps_compares(void **state)
{
    Rig *rig = *state;
    CpuState *s;
    uint8_t *a = rig_mem(rig, RIG_DATA), *b = rig_mem(rig, 0x30000);

    memset(a, 'x', 6000);
    a[5000] = 0;
    RIG_LOAD(rig, strlen_guest);
    s = prepare(rig, 0, RIG_DATA, 0);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RDI], RIG_DATA + 5001);
    assert_int_equal(s->gpr[GPR_RCX], (uint64_t)-5002);
    assert_true(s->rflags & RFLAGS_ZF);

    memcpy(b, a, 6000);
    b[4500]++;
    RIG_LOAD(rig, memcmp_guest);
    s = prepare(rig, RIG_DATA, 0x30000, 6000);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RSI], RIG_DATA + 4501);
    assert_int_equal(s->gpr[GPR_RCX], 6000 - 4501);
    assert_false(s->rflags & RFLAGS_ZF);
    assert_true(s->rflags & RFLAGS_CF);
}

GUEST(rep_insw, "mov $0xf6, %edx\n rep insw");
GUEST(rep_outsb, "mov $0xf6, %edx\n rep outsb");

static void ins_reads_no_port_for_a_page_that_is_missing(void **state)
{
    Rig *rig = *state;
    CpuState *s;

    rig->port_in = 0x4321;
    RIG_LOAD(rig, rep_insw);
    *pte(rig, 0x31000) &= ~1ull;
    s = prepare(rig, 0, 0x30ffc, 5);
    rig->port_accesses = 0;
    assert_int_equal(rig_run(rig, 0), EXC_PF);
    assert_int_equal(rig->port_accesses, 2);
    assert_int_equal(s->gpr[GPR_RCX], 3);
    assert_int_equal(*(uint32_t *)rig_mem(rig, 0x30ffc), 0x43214321);
}

static void outs_writes_every_element(void **state)
{
    Rig *rig = *state;
    CpuState *s;

    fill(rig, RIG_DATA, 200, 1);
    RIG_LOAD(rig, rep_outsb);
    s = prepare(rig, RIG_DATA, 0, 200);
    rig->port_accesses = 0;
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(rig->port_accesses, 200);
    assert_int_equal(rig->port_out, 200);
    assert_int_equal(s->gpr[GPR_RCX], 0);
}

static void outs_writes_what_comes_before_a_missing_page_once(void **state)
{
    Rig *rig = *state;
    CpuState *s;

    fill(rig, 0x30000, PAGE, 1);
    RIG_LOAD(rig, rep_outsb);
    *pte(rig, 0x31000) &= ~1ull;
    s = prepare(rig, 0x30fd8, 0, 100);
    rig->port_accesses = 0;
    assert_int_equal(rig_run(rig, 0), EXC_PF);
    assert_int_equal(rig->port_accesses, 40);
    assert_int_equal(s->gpr[GPR_RSI], 0x31000);
    assert_int_equal(s->gpr[GPR_RCX], 60);
}

GUEST(traced_rep, "pushf\n orl $0x100, (%rsp)\n popf\n rep stosb\n nop");

static void a_trap_flag_traps_after_each_element(void **state)
{
    Rig *rig = *state;
    CpuState *s;

    RIG_LOAD(rig, traced_rep);
    s = prepare(rig, 0, RIG_DATA, 3);
    assert_int_equal(rig_run(rig, 0), EXC_DB);
    assert_int_equal(s->gpr[GPR_RCX], 2);
    assert_int_equal(rig_fault_rip(rig, 64, false), RIG_CODE + 9);
}

/*
 * Each instruction over pages that are in another order in physical memory, compared with the same instruction over
 * memory of this process.
 */
#define WINDOW 0x30000u
#define WINDOW_PAGES 16u
#define WINDOW_SIZE (WINDOW_PAGES * PAGE)

typedef struct StringRegs {
    uint64_t rsi, rdi, rcx, rax;
    bool zf, cf;
} StringRegs;

typedef struct StringForm {
    const uint8_t *code, *end;
    void (*native)(StringRegs *regs);
    uint8_t size;
    bool down;
} StringForm;

/* RBX: 0, or the window, whose pages are touched before. */
#define TOUCH                                                                                                          \
    "test %ebx, %ebx\n jz 8f\n"                                                                                        \
    "9: movb (%rbx), %dl\n orb $0, (%rbx)\n add $0x1000, %ebx\n cmp $0x40000, %ebx\n jne 9b\n"                          \
    "8: por %xmm0, %xmm0\n cmp %eax, %eax\n"

#define STRING_FORM(name, code)                                                                                         \
    GUEST(name, TOUCH code "\n cld\n por %xmm0, %xmm0");                                                \
    static void name##_native(StringRegs *r)                                                                           \
    {                                                                                                                  \
        __asm__ volatile("cmp %%eax, %%eax\n" code "\n cld\n sete %[zf]\n setc %[cf]"                                 \
                         : "+S"(r->rsi), "+D"(r->rdi), "+c"(r->rcx), [zf] "=m"(r->zf), [cf] "=m"(r->cf)                \
                         : "a"(r->rax)                                                                                 \
                         : "memory", "cc");                                                                            \
    }
#define STRING_SIZES(name, prefix, insn)                                                                               \
    STRING_FORM(name##_b, prefix insn "b")                                                                             \
    STRING_FORM(name##_w, prefix insn "w")                                                                             \
    STRING_FORM(name##_l, prefix insn "l")                                                                             \
    STRING_FORM(name##_q, prefix insn "q")
#define STRING_FORMS(name, prefix, insn)                                                                               \
    STRING_SIZES(name##_up, prefix, insn)                                                                              \
    STRING_SIZES(name##_down, "std\n " prefix, insn)

STRING_FORMS(movs, "rep ", "movs")
STRING_FORMS(stos, "rep ", "stos")
STRING_FORMS(repe_cmps, "repe ", "cmps")
STRING_FORMS(repne_cmps, "repne ", "cmps")
STRING_FORMS(repe_scas, "repe ", "scas")
STRING_FORMS(repne_scas, "repne ", "scas")

#define ROW(name, bytes, is_down) {name, name##_end, name##_native, bytes, is_down}
#define ROW_SIZES(name, is_down)                                                                                       \
    ROW(name##_b, 1, is_down), ROW(name##_w, 2, is_down), ROW(name##_l, 4, is_down), ROW(name##_q, 8, is_down)
#define ROWS(name) ROW_SIZES(name##_up, false), ROW_SIZES(name##_down, true)

static const StringForm string_forms[] = {
    ROWS(movs), ROWS(stos), ROWS(repe_cmps), ROWS(repne_cmps), ROWS(repe_scas), ROWS(repne_scas),
};

/* Bytes that are often equal, so that comparisons get somewhere. */
static void fill_window(Rig *rig, uint8_t *mine, GRand *random)
{
    bool plain = g_rand_boolean(random);

    for (unsigned i = 0; i < WINDOW_SIZE; i++)
        mine[i] = plain ? g_rand_int_range(random, 0, 3000) == 0 : (uint8_t)g_rand_int(random);
    for (unsigned i = 0; i < WINDOW_PAGES; i++)
        memcpy(rig_mem(rig, WINDOW + (i * 7 + 3) % WINDOW_PAGES * PAGE), mine + i * PAGE, PAGE);
}

static void check_window(Rig *rig, const uint8_t *mine)
{
    for (unsigned i = 0; i < WINDOW_PAGES; i++)
        assert_memory_equal(rig_mem(rig, WINDOW + (i * 7 + 3) % WINDOW_PAGES * PAGE), mine + i * PAGE, PAGE);
}

/* Where an operand of so many bytes begins, from its first element in the instruction's order. */
static uint32_t random_place(const StringForm *form, GRand *random, uint32_t bytes)
{
    uint32_t low = (uint32_t)g_rand_int_range(random, 0, (gint32)(WINDOW_SIZE - bytes));

    if (g_rand_boolean(random))
        low &= ~63u;
    return form->down ? low + bytes - form->size : low;
}

static void run_form(Rig *rig, const StringForm *form, GRand *random, uint8_t *mine)
{
    uint32_t count = (uint32_t)g_rand_int_range(random, 0, g_rand_boolean(random) ? 100 : 12000) / form->size;
    uint32_t from = random_place(form, random, (count + 1) * form->size);
    uint32_t to = g_rand_int_range(random, 0, 4) ? random_place(form, random, (count + 1) * form->size)
                                                 : from + (uint32_t)g_rand_int_range(random, 0, 9) * form->size;
    uint8_t vectors[4][32];
    StringRegs r;
    CpuState *s;

    if (to + (count + 1) * form->size > WINDOW_SIZE && !form->down)
        to = from;
    to = MIN(to, WINDOW_SIZE - form->size);
    rig_code(rig, form->code, (size_t)(form->end - form->code));
    s = prepare(rig, WINDOW + from, WINDOW + to, count);
    s->gpr[GPR_RBX] = g_rand_boolean(random) ? WINDOW : 0;
    s->gpr[GPR_RAX] = g_rand_boolean(random) ? 0 : 0x1234567890abcdef;
    for (unsigned i = 0; i < 4; i++) {
        memset(s->fpu.zmm[i], (int)(0x51 + i), 32);
        memcpy(vectors[i], s->fpu.zmm[i], 32);
    }
    r = (StringRegs){(uintptr_t)mine + from, (uintptr_t)mine + to, count, s->gpr[GPR_RAX], false, false};
    form->native(&r);
    assert_int_equal(rig_run(rig, 0), -1);
    assert_int_equal(s->gpr[GPR_RSI] - WINDOW, r.rsi - (uintptr_t)mine);
    assert_int_equal(s->gpr[GPR_RDI] - WINDOW, r.rdi - (uintptr_t)mine);
    assert_int_equal(s->gpr[GPR_RCX], r.rcx);
    assert_int_equal(!!(s->rflags & RFLAGS_ZF), r.zf);
    assert_int_equal(!!(s->rflags & RFLAGS_CF), r.cf);
    for (unsigned i = 0; i < 4; i++)
        assert_memory_equal(s->fpu.zmm[i], vectors[i], 32);
    check_window(rig, mine);
}

static void repeated_strings_over_scattered_pages_are_the_hosts(void **state)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(5);
    g_autofree uint8_t *mine = g_malloc(WINDOW_SIZE + PAGE);
    Rig *rig = *state;

    for (unsigned i = 0; i < WINDOW_PAGES; i++)
        *pte(rig, WINDOW + i * PAGE) = (*pte(rig, WINDOW + i * PAGE) & 0xfff) | (WINDOW + (i * 7 + 3) % WINDOW_PAGES * PAGE);
    for (unsigned round = 0; round < 12; round++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(string_forms); i++) {
            if (i % 8 == 0)
                fill_window(rig, mine, random);
            run_form(rig, &string_forms[i], random, mine);
        }
    }
}

/* As many as a unit has of what takes the most code, of which nothing is done; units of all lengths before it. */
static void code_of_nothing_but_repeated_strings_has_room(void **state)
{
    static const uint8_t rep_movsw[] = {0x66, 0xf3, 0xa5}, adc[] = {0x83, 0xd0, 0};
    Rig *rig = rig_new_sized(1, 1);

    for (unsigned round = 0; round < 60; round++) {
        for (unsigned count = round * 7 % 60; count; count = count == 60 ? 0 : 60) {
            g_autoptr(GByteArray) code = g_byte_array_new();

            for (unsigned i = 0; i < count; i++)
                g_byte_array_append(code, rep_movsw, sizeof(rep_movsw));
            g_byte_array_append(code, adc, sizeof(adc));
            rig_code(rig, code->data, code->len);
            prepare(rig, RIG_DATA, RIG_DATA, 0);
            assert_int_equal(rig_run(rig, 0), -1);
        }
    }
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_CASE(movs_copies_across_pages),
        RIG_CASE(movs_upwards_into_its_own_source_repeats_the_pattern),
        RIG_CASE(movs_downwards_moves_an_overlapping_block),
        RIG_CASE(a_fault_in_the_middle_leaves_a_restartable_state),
        RIG_CASE(an_element_that_straddles_a_missing_page_stores_nothing),
        RIG_CASE(a_32_bit_address_size_uses_and_extends_ecx_and_edi),
        RIG_CASE(a_count_of_zero_touches_nothing),
        RIG_CASE(indices_wrap_at_64_kib_in_16_bit_mode),
        RIG_CASE(scas_finds_and_cmps_compares),
        RIG_CASE(repeated_strings_over_scattered_pages_are_the_hosts),
        RIG_CASE(ins_reads_no_port_for_a_page_that_is_missing),
        RIG_CASE(outs_writes_every_element),
        RIG_CASE(outs_writes_what_comes_before_a_missing_page_once),
        RIG_CASE(a_trap_flag_traps_after_each_element),
        cmocka_unit_test(code_of_nothing_but_repeated_strings_has_room),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
