/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paging and the software TLB: Intel SDM vol. 3, chapter 4. The expected outcome of every
 * combination of rights is computed here from the manual's tables (4.6.1), not by the walker.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "accel/dbt/mmu-priv.h"
#include "accel/dbt/sys.h"
#include "core/lock.h"
#include "core/thread.h"
#include "dbt-rig.h"

#define P 1u
#define W 2u
#define U 4u
#define A 0x20u
#define D 0x40u
#define PS 0x80u
#define G 0x100u
#define NX BIT(63)

#define ROOT 0x200000u  /* top-level table; the next ones follow */
#define PAGE 0x210000u  /* the page mapped */
#define OTHER 0x211000u
#define VA 0x40201000ull /* indices 0, 1, 1, 1 of 4 levels */

typedef struct Bench {
    Rig *rig;
    DbtVcpu *v;
    CpuState *s;
} Bench;

static Bench bench;

static uint64_t *table(unsigned n)
{
    return rig_mem(bench.rig, ROOT + n * 0x1000);
}

static void clear_tables(void)
{
    memset(table(0), 0, 0x8000);
}

/* Four levels down to PAGE at VA; upper and leaf are the bits of the last two levels. */
static void map_4level(uint64_t upper, uint64_t leaf)
{
    clear_tables();
    table(0)[0] = (ROOT + 0x1000) | P | W | U;
    table(1)[1] = (ROOT + 0x2000) | P | W | U;
    table(2)[1] = (ROOT + 0x3000) | upper;
    table(3)[1] = PAGE | leaf;
    table(3)[2] = OTHER | leaf;
}

static void start(unsigned bits, unsigned cpl)
{
    rig_mode(bench.rig, 0, bits);
    bench.s->cr3 = ROOT;
    bench.s->seg[SEG_SS].attr |= cpl << SEG_ATTR_DPL_SHIFT;
    bench.s->seg[SEG_CS].attr |= cpl << SEG_ATTR_DPL_SHIFT;
}

static void loaded(void)
{
    dbt_state_loaded(bench.v);
}

static int setup(void **state)
{
    bench.rig = rig_new(1);
    current_vcpu = bench.rig->machine->vcpus[0];
    bench.v = current_vcpu->accel;
    bench.s = bench.v->state;
    dbt_guest_enter(bench.v);
    return 0;
}

static int teardown(void **state)
{
    dbt_guest_leave(bench.v);
    current_vcpu = NULL;
    rig_free(bench.rig);
    return 0;
}

/* -1, or the error code of the page fault. */
static int access_result(MmuAccess access)
{
    uint64_t value = 0, gpa;
    bool ok;

    if (access == MMU_READ)
        ok = dbt_lin_read(bench.v, VA, &value, 8, MMU_CPL);
    else if (access == MMU_STORE)
        ok = dbt_lin_write(bench.v, VA, &value, 8, MMU_CPL);
    else
        ok = dbt_fetch_page(bench.v, VA, &gpa);
    if (ok)
        return -1;
    assert_int_equal(bench.v->fault.vector, EXC_PF);
    assert_true(bench.v->fault_linear == VA);
    return (int)bench.v->fault.error;
}

/* SDM vol. 3, 4.6.1, read as a list of refusals. */
static bool refused(unsigned cpl, MmuAccess access, bool user, bool write, bool nx)
{
    const CpuState *s = bench.s;

    if (access == MMU_FETCH && nx)
        return true;
    if (cpl == 3)
        return !user || (access == MMU_STORE && !write);
    if (access == MMU_FETCH)
        return user && s->cr4 & CR4_SMEP;
    if (user && s->cr4 & CR4_SMAP && !(s->rflags & RFLAGS_AC))
        return true;
    return access == MMU_STORE && !write && s->cr0 & CR0_WP;
}

static void check_rights(unsigned cpl, MmuAccess access, uint64_t upper, uint64_t leaf)
{
    bool user = upper & leaf & U, write = upper & leaf & W, nx = (upper | leaf) & NX;
    int expected = -1;

    map_4level(upper, leaf);
    loaded();
    if (refused(cpl, access, user, write, nx))
        expected = (int)(P | (access == MMU_STORE ? W : 0) | (cpl == 3 ? U : 0) | (access == MMU_FETCH ? 16 : 0));
    assert_int_equal(access_result(access), expected);
    /* The same again from the TLB. */
    assert_int_equal(access_result(access), expected);
    assert_int_equal((table(3)[1] & A) != 0, expected == -1);
    assert_int_equal((table(3)[1] & D) != 0, expected == -1 && access == MMU_STORE);
    assert_int_equal((table(2)[1] & (A | D)), A);
}

static void every_combination_of_rights_is_as_the_manual_says(void **state)
{
    static const MmuAccess accesses[] = { MMU_READ, MMU_STORE, MMU_FETCH };
    static const uint64_t bits[] = { P, P | W, P | U, P | W | U, P | NX, P | W | NX, P | U | NX, P | W | U | NX };

    for (unsigned flags = 0; flags < 32; flags++) {
        unsigned cpl = flags & 1 ? 3 : 0;

        start(64, cpl);
        bench.s->cr0 |= flags & 2 ? CR0_WP : 0;
        bench.s->cr4 |= (flags & 4 ? CR4_SMEP : 0) | (flags & 8 ? CR4_SMAP : 0);
        bench.s->rflags |= flags & 16 ? RFLAGS_AC : 0;
        for (unsigned upper = 0; upper < G_N_ELEMENTS(bits); upper++)
            for (unsigned leaf = 0; leaf < G_N_ELEMENTS(bits); leaf++)
                for (unsigned a = 0; a < G_N_ELEMENTS(accesses); a++)
                    check_rights(cpl, accesses[a], bits[upper], bits[leaf]);
    }
}

static void implicit_supervisor_accesses_ignore_cpl_and_ac(void **state)
{
    uint64_t value;

    start(64, 3);
    map_4level(P | W | U, P | W);
    loaded();
    assert_true(dbt_lin_read(bench.v, VA, &value, 8, MMU_SYSTEM));
    start(64, 0);
    bench.s->cr4 |= CR4_SMAP;
    bench.s->rflags |= RFLAGS_AC;
    map_4level(P | W | U, P | W | U);
    loaded();
    assert_true(dbt_lin_read(bench.v, VA, &value, 8, MMU_CPL));
    assert_false(dbt_lin_read(bench.v, VA, &value, 8, MMU_SYSTEM));
    assert_int_equal(bench.v->fault.error, P);
}

static void a_reserved_bit_is_told_in_the_error_code(void **state)
{
    start(64, 0);
    map_4level(P | W, P | W | BIT(50));
    loaded();
    assert_int_equal(access_result(MMU_READ), P | 8);
    map_4level(P | W | PS | BIT(13), P | W);
    loaded();
    assert_int_equal(access_result(MMU_STORE), P | W | 8);
    map_4level(P | W, P | W);
    table(0)[0] |= PS;
    loaded();
    assert_int_equal(access_result(MMU_READ), P | 8);
    map_4level(P | W, P | W | NX);
    bench.s->efer &= ~(uint64_t)EFER_NXE;
    loaded();
    assert_int_equal(access_result(MMU_READ), P | 8);
    /* Without NX and SMEP a fetch is not told apart. */
    map_4level(P | W, 0);
    loaded();
    assert_int_equal(access_result(MMU_FETCH), 0);
}

static void a_write_after_a_read_still_sets_the_dirty_bit(void **state)
{
    start(64, 0);
    map_4level(P | W, P | W);
    loaded();
    assert_int_equal(access_result(MMU_READ), -1);
    assert_int_equal(table(3)[1] & (A | D), A);
    assert_int_equal(access_result(MMU_STORE), -1);
    assert_int_equal(table(3)[1] & (A | D), A | D);
}

static uint64_t where(uint64_t linear)
{
    uint64_t gpa = 0;

    assert_true(dbt_fetch_page(bench.v, linear, &gpa));
    return gpa;
}

static void large_pages_of_4_level_paging(void **state)
{
    start(64, 0);
    clear_tables();
    table(0)[0] = (ROOT + 0x1000) | P | W;
    table(1)[1] = (ROOT + 0x2000) | P | W;
    table(2)[1] = 0x600000 | P | W | PS;
    table(1)[2] = 0x80000000 | P | W | PS;
    loaded();
    assert_true(where(VA + 0x123) == 0x601123);
    assert_true(where(0x80000000 + 0x12345678) == 0x80000000 + 0x12345678);
}

static void two_level_paging_with_and_without_pse(void **state)
{
    uint32_t *pd, *pt;

    start(32, 0);
    bench.s->cr0 |= CR0_PG;
    clear_tables();
    pd = rig_mem(bench.rig, ROOT);
    pt = rig_mem(bench.rig, ROOT + 0x1000);
    pd[VA >> 22] = (ROOT + 0x1000) | P | W;
    pt[VA >> 12 & 0x3ff] = PAGE | P | W;
    pd[2] = 0x00c00000 | P | W | PS | 3u << 13; /* PSE-36: address bits 33:32 */
    bench.s->cr4 |= CR4_PSE;
    loaded();
    assert_true(where(VA + 5) == PAGE + 5);
    assert_true(where(0x812345) == (3ull << 32 | 0xc12345));
    assert_int_equal(access_result(MMU_STORE), -1);
    assert_int_equal(pt[VA >> 12 & 0x3ff] & (A | D), A | D);
    pd[2] |= 1u << 21; /* reserved in a 4 MiB page */
    loaded();
    assert_false(dbt_fetch_page(bench.v, 0x812345, &(uint64_t){ 0 }));
    assert_int_equal(bench.v->fault.error, P | 8);
    /* Without PSE the bit means nothing and the entry is a table. */
    pd[2] = (ROOT + 0x1000) | P | W | PS;
    bench.s->cr4 &= ~(uint64_t)CR4_PSE;
    loaded();
    assert_true(where(0x800000 | (VA & 0x3ff000) | 7) == PAGE + 7);
}

static void start_pae(void)
{
    start(32, 0);
    clear_tables();
    table(0)[1] = (ROOT + 0x1000) | P;
    table(1)[VA >> 21 & 511] = (ROOT + 0x2000) | P | W;
    table(2)[VA >> 12 & 511] = PAGE | P | W | NX;
    bench.s->cr4 |= CR4_PAE;
    bench.s->efer = EFER_NXE;
    bench.s->cr0 |= CR0_PG;
    loaded();
}

static void pae_loads_its_pointers_with_cr3(void **state)
{
    start_pae();
    assert_int_equal(access_result(MMU_READ), -1);
    assert_int_equal(access_result(MMU_FETCH), P | 16);
    /* Entries in memory are not looked at again before the next load. */
    table(0)[1] = 0;
    dbt_tlb_flush(bench.v, true);
    assert_int_equal(access_result(MMU_READ), -1);
    assert_true(dbt_cr3_write(bench.v, ROOT));
    assert_int_equal(access_result(MMU_READ), 0);
    table(0)[1] = (ROOT + 0x1000) | P | W; /* bit 1 is reserved there */
    assert_false(dbt_cr3_write(bench.v, ROOT));
    assert_int_equal(bench.v->fault.vector, EXC_GP);
}

static void a_non_canonical_address_is_a_general_protection_fault(void **state)
{
    uint64_t value;

    start(64, 0);
    map_4level(P | W, P | W);
    loaded();
    assert_false(dbt_lin_read(bench.v, 0x800000000000, &value, 8, MMU_CPL));
    assert_int_equal(bench.v->fault.vector, EXC_GP);
    assert_false(dbt_load(bench.v, SEG_SS, 0x7ffffffffffc, 8, &value));
    assert_int_equal(bench.v->fault.vector, EXC_SS);
}

static void a_store_across_pages_that_faults_stores_nothing(void **state)
{
    uint8_t *page = rig_mem(bench.rig, PAGE);
    uint64_t value = 0;

    start(64, 0);
    map_4level(P | W, P | W);
    table(3)[2] = 0;
    memset(page, 0x11, 0x1000);
    loaded();
    assert_false(dbt_store(bench.v, SEG_DS, VA + 0xffc, 8, ~0ull));
    assert_true(bench.v->fault_linear == VA + 0x1000);
    assert_int_equal(page[0xfff], 0x11);
    table(3)[2] = OTHER | P | W;
    assert_true(dbt_store(bench.v, SEG_DS, VA + 0xffc, 8, 0x8877665544332211));
    assert_int_equal(page[0xfff], 0x44);
    assert_int_equal(*(uint8_t *)rig_mem(bench.rig, OTHER), 0x55);
    assert_true(dbt_load(bench.v, SEG_DS, VA + 0xffc, 8, &value));
    assert_true(value == 0x8877665544332211);
}

static void invlpg_takes_one_page_and_all_of_a_large_one(void **state)
{
    uint64_t value = 0;

    start(64, 0);
    map_4level(P | W, P | W);
    *(uint64_t *)rig_mem(bench.rig, PAGE) = 1;
    *(uint64_t *)rig_mem(bench.rig, OTHER) = 2;
    loaded();
    assert_true(dbt_load(bench.v, SEG_DS, VA, 8, &value));
    table(3)[1] = OTHER | P | W;
    assert_true(dbt_load(bench.v, SEG_DS, VA, 8, &value));
    assert_true(value == 1);
    dbt_tlb_flush_page(bench.v, VA + 8);
    assert_true(dbt_load(bench.v, SEG_DS, VA, 8, &value));
    assert_true(value == 2);

    table(2)[1] = 0x200000 | P | W | PS;
    dbt_tlb_flush(bench.v, true);
    assert_true(dbt_load(bench.v, SEG_DS, 0x40200000 + PAGE - 0x200000, 8, &value));
    assert_true(value == 1);
    table(2)[1] = 0;
    dbt_tlb_flush_page(bench.v, 0x40200000); /* another page of the same 2 MiB */
    assert_false(dbt_load(bench.v, SEG_DS, 0x40200000 + PAGE - 0x200000, 8, &value));
}

/* Pages of all sizes, of which one is taken away after the other; what stays is where translated code finds it. */
static void invlpg_of_a_large_page_takes_nothing_else(void **state)
{
    static const struct {
        uint64_t first, size, invlpg;
    } pages[] = {
        {VA, 0x1000, VA + 0xfff},
        {0x40400000, 0x200000, 0x405fe000},
        {0x80000000, 0x40000000, 0x80abc000},
    };
    const MmuStats *stats = &bench.v->mmu->stats;
    uint64_t value;

    start(64, 0);
    for (unsigned taken = 0; taken < G_N_ELEMENTS(pages); taken++) {
        uint64_t fills;

        map_4level(P | W, P | W);
        table(2)[2] = 0x200000 | P | W | PS;
        table(1)[2] = P | W | PS;
        loaded();
        dbt_tlb_flush(bench.v, true);
        for (unsigned i = 0; i < G_N_ELEMENTS(pages); i++) {
            for (uint64_t at = 0; at < MIN(pages[i].size, 512 * 0x1000); at += 0x1000)
                assert_true(dbt_load(bench.v, SEG_DS, pages[i].first + at, 8, &value));
        }
        clear_tables();
        dbt_tlb_flush_page(bench.v, pages[taken].invlpg);
        fills = stats->fills;
        for (unsigned i = 0; i < G_N_ELEMENTS(pages); i++) {
            for (uint64_t at = 0; at < MIN(pages[i].size, 512 * 0x1000); at += 0x1000)
                assert_int_equal(dbt_load(bench.v, SEG_DS, pages[i].first + at, 8, &value), i != taken);
        }
        assert_int_equal(stats->fills, fills);
    }
}

static void global_pages_outlive_a_load_of_cr3(void **state)
{
    uint64_t value;

    start(64, 0);
    bench.s->cr4 |= CR4_PGE;
    map_4level(P | W, P | W | G);
    table(3)[2] = OTHER | P | W;
    loaded();
    assert_true(dbt_load(bench.v, SEG_DS, VA, 8, &value));
    assert_true(dbt_load(bench.v, SEG_DS, VA + 0x1000, 8, &value));
    table(3)[1] = table(3)[2] = 0;
    assert_true(dbt_cr3_write(bench.v, ROOT));
    assert_true(dbt_load(bench.v, SEG_DS, VA, 8, &value));
    assert_false(dbt_load(bench.v, SEG_DS, VA + 0x1000, 8, &value));
    assert_true(dbt_cr4_write(bench.v, bench.s->cr4 & ~(uint64_t)CR4_PGE));
    assert_false(dbt_load(bench.v, SEG_DS, VA, 8, &value));
}

/* --- Process-context identifiers: SDM vol. 3, 4.10. Whether an entry is still there is seen by changing what it came from. --- */

#define SPACES 2
#define KEEP BIT(63)

/* Space n has PCID n + 1 and its tables at table(8 * n). VA is a page of its own, the next one a global page of both. */
static uint64_t space_root(unsigned n)
{
    return ROOT + 0x8000u * n;
}

static void map_spaces(void)
{
    start(64, 0);
    for (unsigned n = 0; n < SPACES; n++) {
        uint64_t root = space_root(n);

        memset(table(8 * n), 0, 0x8000);
        table(8 * n)[0] = (root + 0x1000) | P | W;
        table(8 * n + 1)[1] = (root + 0x2000) | P | W;
        table(8 * n + 2)[1] = (root + 0x3000) | P | W;
        table(8 * n + 3)[1] = (PAGE + 0x10000 + n * 0x1000u) | P | W;
        table(8 * n + 3)[2] = (PAGE + 0x14000) | P | W | G;
        *(uint64_t *)rig_mem(bench.rig, PAGE + 0x10000 + n * 0x1000u) = 10 + n;
    }
    *(uint64_t *)rig_mem(bench.rig, PAGE + 0x14000) = 14;
    *(uint64_t *)rig_mem(bench.rig, PAGE + 0x15000) = 15;
    bench.s->cr3 = space_root(0) | 1;
    bench.s->cr4 |= CR4_PGE | CR4_PCIDE;
    loaded();
}

static uint64_t load(uint64_t linear)
{
    uint64_t value = 0;

    assert_true(dbt_load(bench.v, SEG_DS, linear, 8, &value));
    return value;
}

static void use_space(unsigned n, uint64_t keep)
{
    assert_true(dbt_cr3_write(bench.v, space_root(n) | (n + 1) | keep));
}

/* Both spaces have been used, space 0 is current; then all entries lead to 15. */
static void change_spaces(void)
{
    map_spaces();
    for (unsigned n = SPACES; n-- > 0;) {
        use_space(n, KEEP);
        assert_int_equal(load(VA), 10 + n);
        assert_int_equal(load(VA + 0x1000), 14);
    }
    for (unsigned n = 0; n < SPACES; n++) {
        table(8 * n + 3)[1] = (PAGE + 0x15000) | P | W;
        table(8 * n + 3)[2] = (PAGE + 0x15000) | P | W | G;
    }
}

/* What each space sees at VA, and what both see behind it: by old entries 10, 11, 14. */
static void expect(uint64_t first, uint64_t second, uint64_t shared)
{
    uint64_t gpa;

    assert_int_equal(load(VA), first);
    assert_true(dbt_fetch_page(bench.v, VA, &gpa));
    assert_int_equal(*(uint64_t *)rig_mem(bench.rig, gpa), first);
    assert_int_equal(load(VA + 0x1000), shared);
    use_space(1, KEEP);
    assert_int_equal(load(VA), second);
    assert_int_equal(load(VA + 0x1000), shared);
    use_space(0, KEEP);
    assert_int_equal(load(VA), first);
}

static void a_switch_between_pcids_keeps_what_is_known_of_both(void **state)
{
    uint64_t walks;

    change_spaces();
    walks = bench.v->mmu->stats.walks;
    expect(10, 11, 14);
    assert_true(bench.v->mmu->stats.walks == walks);
}

static void a_cr3_write_without_bit_63_takes_the_entries_of_its_pcid_alone(void **state)
{
    change_spaces();
    use_space(0, 0);
    expect(15, 11, 14);
    change_spaces();
    use_space(1, 0);
    use_space(0, KEEP);
    expect(10, 15, 14);
}

static void invlpg_takes_a_page_of_the_current_pcid_and_a_global_page_of_all(void **state)
{
    change_spaces();
    dbt_tlb_flush_page(bench.v, VA + 0x123);
    expect(15, 11, 14);
    change_spaces();
    dbt_tlb_flush_page(bench.v, VA + 0x1000);
    expect(10, 11, 15);
}

static void invpcid_takes_a_page_a_pcid_all_but_global_pages_or_all(void **state)
{
    static const struct {
        uint64_t type, pcid, first, second, shared;
    } rows[] = {
        { 0, 1, 15, 11, 14 }, { 0, 2, 10, 15, 14 }, { 0, 3, 10, 11, 14 }, { 1, 1, 15, 11, 14 },
        { 1, 2, 10, 15, 14 }, { 1, 9, 10, 11, 14 }, { 2, 0, 15, 15, 15 }, { 3, 0, 15, 15, 14 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        change_spaces();
        if (rows[i].type == 0)
            dbt_tlb_flush_page_of(bench.v, (uint16_t)rows[i].pcid, VA);
        else if (rows[i].type == 1)
            dbt_tlb_flush_pcid(bench.v, (uint16_t)rows[i].pcid);
        else
            dbt_tlb_flush(bench.v, rows[i].type == 2);
        expect(rows[i].first, rows[i].second, rows[i].shared);
    }
}

static void changes_of_control_registers_take_everything(void **state)
{
    change_spaces();
    assert_true(dbt_cr4_write(bench.v, bench.s->cr4 & ~(uint64_t)CR4_PGE));
    assert_true(dbt_cr4_write(bench.v, bench.s->cr4 | CR4_PGE));
    expect(15, 15, 15);
    change_spaces();
    assert_true(dbt_cr4_write(bench.v, bench.s->cr4 | CR4_SMEP));
    expect(15, 15, 15);
    change_spaces();
    assert_true(dbt_cr0_write(bench.v, bench.s->cr0 ^ CR0_WP));
    expect(15, 15, 15);
    change_spaces();
    assert_true(dbt_cr4_write(bench.v, bench.s->cr4 & ~(uint64_t)CR4_PCIDE));
    assert_int_equal(load(VA), 15);
    assert_int_equal(load(VA + 0x1000), 15);
}

static void without_pcide_bit_63_is_reserved_and_every_cr3_write_flushes(void **state)
{
    map_spaces();
    assert_true(dbt_cr4_write(bench.v, bench.s->cr4 & ~(uint64_t)CR4_PCIDE));
    assert_int_equal(load(VA), 10);
    table(3)[1] = (PAGE + 0x15000) | P | W;
    assert_false(dbt_cr3_write(bench.v, space_root(0) | 1 | KEEP));
    assert_int_equal(load(VA), 10);
    assert_true(dbt_cr3_write(bench.v, space_root(0) | 1));
    assert_int_equal(load(VA), 15);
}

/* Few identifiers are remembered; those forgotten are walked again. */
static void more_pcids_than_are_known_never_show_each_others_pages(void **state)
{
    enum { MANY = 3 * MMU_SPACES };

    map_spaces();
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned n = 0; n < MANY; n++) {
            uint64_t gpa = PAGE + 0x20000 + n * 0x1000u;

            *(uint64_t *)rig_mem(bench.rig, gpa) = 100 + n;
            table(3)[1] = gpa | P | W;
            assert_true(dbt_cr3_write(bench.v, ROOT | (n + 100) | (round ? KEEP : 0)));
            assert_int_equal(load(VA), 100 + n);
        }
    }
    table(3)[1] = 0;
    for (unsigned n = MANY - MMU_SPACES; n < MANY; n++) {
        assert_true(dbt_cr3_write(bench.v, ROOT | (n + 100) | KEEP));
        assert_int_equal(load(VA), 100 + n);
    }
}

static void when_numbers_of_spaces_end_everything_is_forgotten(void **state)
{
    change_spaces();
    bench.v->mmu->cache.last_number = (1u << 26) - 1;
    use_space(0, 0);
    expect(15, 15, 14); /* global: still in the tables */
    dbt_tlb_flush(bench.v, true);
    expect(15, 15, 15);
}

static void accessed_and_dirty_bits_are_set_again_when_cleared_and_flushed(void **state)
{
    map_spaces();
    for (unsigned way = 0; way < 3; way++) {
        assert_true(dbt_store(bench.v, SEG_DS, VA, 8, 10));
        assert_int_equal(table(3)[1] & (A | D), A | D);
        table(3)[1] &= ~(uint64_t)(A | D);
        if (way == 0)
            dbt_tlb_flush_page(bench.v, VA);
        else if (way == 1)
            use_space(0, 0);
        else
            dbt_tlb_flush_pcid(bench.v, 1);
        use_space(1, KEEP);
        use_space(0, KEEP);
        assert_int_equal(load(VA), 10);
        assert_int_equal(table(3)[1] & (A | D), A);
        use_space(1, KEEP);
        use_space(0, KEEP);
        assert_true(dbt_store(bench.v, SEG_DS, VA, 8, 10));
        assert_int_equal(table(3)[1] & (A | D), A | D);
    }
}

static void a_large_page_is_walked_once(void **state)
{
    const MmuStats *stats = &bench.v->mmu->stats;
    uint64_t walks;

    map_spaces();
    table(2)[2] = P | W | PS | 0x200000;
    walks = stats->walks;
    for (unsigned i = 0; i < 512; i++)
        load(0x40400000 + i * 0x1000u);
    assert_int_equal(stats->walks - walks, 1);
    use_space(1, KEEP);
    use_space(0, KEEP);
    load(0x40400000);
    load(0x405ff000);
    assert_int_equal(stats->walks - walks, 1);
}

static void a_walk_goes_on_from_the_last_table_until_that_is_taken_back(void **state)
{
    uint64_t value;

    map_spaces();
    table(3)[3] = (PAGE + 0x15000) | P | W;
    table(3)[4] = (PAGE + 0x14000) | P | W;
    table(3)[5] = (PAGE + 0x14000) | P | W;
    assert_int_equal(load(VA), 10);
    table(2)[1] = 0;
    assert_int_equal(load(VA + 0x2000), 15); /* the table is known, for the current space */
    use_space(1, KEEP);
    assert_false(dbt_load(bench.v, SEG_DS, VA + 0x2000, 8, &value));
    use_space(0, KEEP);
    assert_int_equal(load(VA + 0x3000), 14);
    dbt_tlb_flush_page(bench.v, 0x12345000); /* any address takes all structures (4.10.4.1) */
    assert_false(dbt_load(bench.v, SEG_DS, VA + 0x4000, 8, &value));
}

/* A table that was exchanged without telling may serve; but what is not in it is looked for in the new one. */
static void no_fault_comes_from_what_is_only_remembered(void **state)
{
    map_spaces();
    assert_int_equal(load(VA), 10);
    memset(table(5), 0, 0x1000);
    table(5)[3] = (PAGE + 0x15000) | P | W;
    table(2)[1] = (ROOT + 0x5000) | P | W;
    assert_int_equal(load(VA + 0x2000), 15);
    map_spaces();
    table(3)[1] &= ~(uint64_t)W;
    bench.s->cr0 |= CR0_WP;
    loaded();
    assert_int_equal(load(VA), 10);
    table(3)[1] |= W;
    assert_true(dbt_store(bench.v, SEG_DS, VA, 8, 10));
}

static void alignment_is_checked_for_users_who_ask(void **state)
{
    uint64_t value;

    start(64, 3);
    map_4level(P | W | U, P | W | U);
    bench.s->cr0 |= CR0_AM;
    bench.s->rflags |= RFLAGS_AC;
    loaded();
    assert_true(dbt_load(bench.v, SEG_DS, VA, 8, &value));
    assert_false(dbt_load(bench.v, SEG_DS, VA + 4, 8, &value));
    assert_int_equal(bench.v->fault.vector, EXC_AC);
    bench.s->rflags &= ~(uint64_t)RFLAGS_AC;
    dbt_context_changed(bench.v);
    assert_true(dbt_load(bench.v, SEG_DS, VA + 4, 8, &value));
}

/* Device memory: what was written, and how. */
typedef struct Mmio {
    uint64_t value[8];
    unsigned sizes[8], writes, reads;
} Mmio;

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    Mmio *m = opaque;

    m->reads++;
    return 0x40 + offset;
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Mmio *m = opaque;

    m->value[m->writes] = value;
    m->sizes[m->writes++] = size;
}

static const MemoryRegionOps mmio_ops = {
    .read = mmio_read, .write = mmio_write, .valid = { 1, 8, true }, .impl = { 1, 8, true }, .lockless = true,
};

static void an_operand_may_lie_in_ram_and_a_device(void **state)
{
    const uint64_t end = RIG_RAM_SIZE;
    MemoryRegion mr;
    Mmio mmio = { .writes = 0 };
    uint64_t value = 0;
    DbtMemRef ref;

    dbt_guest_leave(bench.v);
    memory_region_init_io(&mr, &mmio_ops, &mmio, "mmio", 0x1000);
    machine_lock();
    memory_region_add(&bench.rig->machine->memory_root, end, &mr, 0);
    machine_unlock();
    dbt_guest_enter(bench.v);
    start(32, 0);
    loaded();
    *(uint32_t *)rig_mem(bench.rig, end - 4) = 0x11223344;
    assert_true(dbt_load(bench.v, SEG_DS, end - 4, 8, &value));
    assert_true(value == 0x4011223344);
    assert_true(dbt_store(bench.v, SEG_DS, end - 2, 4, 0xaabbccdd));
    assert_int_equal(mmio.writes, 1);
    assert_int_equal(mmio.sizes[0], 2);
    assert_int_equal(mmio.value[0], 0xaabb);
    /* A pure store does not read the device; a read-modify-write does. */
    mmio.reads = 0;
    assert_true(dbt_mem_begin(bench.v, SEG_DS, end, 8, MMU_STORE, false, &ref));
    memset(ref.host, 0x77, 8);
    dbt_mem_end(bench.v, &ref);
    assert_int_equal(mmio.reads, 0);
    assert_true(mmio.value[1] == 0x7777777777777777);
    assert_true(dbt_mem_begin(bench.v, SEG_DS, end, 4, MMU_WRITE, true, &ref));
    assert_int_equal(mmio.reads, 1);
    dbt_mem_cancel(bench.v, &ref);
    assert_int_equal(mmio.writes, 2);
    dbt_guest_leave(bench.v);
    machine_lock();
    memory_region_remove(&mr);
    machine_unlock();
    memory_region_release(&mr);
    dbt_guest_enter(bench.v);
}

static void an_operand_across_pages_is_a_copy_that_is_written_back(void **state)
{
    DbtMemRef ref;

    start(64, 0);
    map_4level(P | W, P | W);
    loaded();
    *(uint8_t *)rig_mem(bench.rig, PAGE + 0xfff) = 0x12;
    *(uint8_t *)rig_mem(bench.rig, OTHER) = 0x34;
    assert_true(dbt_mem_begin(bench.v, SEG_DS, VA + 0xfff, 2, MMU_WRITE, true, &ref));
    assert_int_equal(*(uint16_t *)ref.host, 0x3412);
    *(uint16_t *)ref.host = 0xbbaa;
    dbt_mem_end(bench.v, &ref);
    assert_int_equal(*(uint8_t *)rig_mem(bench.rig, PAGE + 0xfff), 0xaa);
    assert_int_equal(*(uint8_t *)rig_mem(bench.rig, OTHER), 0xbb);
    assert_true(dbt_mem_begin(bench.v, SEG_DS, VA + 8, 8, MMU_WRITE, true, &ref));
    assert_ptr_equal(ref.host, rig_mem(bench.rig, PAGE + 8));
    dbt_mem_end(bench.v, &ref);
}

static void a_write_to_watched_code_counts_and_elsewhere_in_the_page_does_not(void **state)
{
    const uint32_t *now;
    uint32_t generation;

    start(64, 0);
    map_4level(P | W, P | W);
    loaded();
    assert_true(dbt_store(bench.v, SEG_DS, VA, 8, 0)); /* a write entry that must go */
    now = dbt_code_watch(bench.v, PAGE + 0x40, 0x10, &generation);
    assert_non_null(now);
    assert_true(dbt_store(bench.v, SEG_DS, VA + 0x38, 8, 0));
    assert_true(dbt_store(bench.v, SEG_DS, VA + 0x80, 8, 0));
    assert_int_equal(*now, generation);
    assert_true(dbt_store(bench.v, SEG_DS, VA + 0x3c, 8, 0));
    assert_int_equal(*now, generation + 1);
    /* Through a name of the page of a device's making. */
    now = dbt_code_watch(bench.v, PAGE, 1, &generation);
    bench.rig->machine->memory.ram_written(bench.rig->machine->memory.ram_written_opaque, PAGE - 4, 8);
    assert_int_equal(*now, generation + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_of_rights_is_as_the_manual_says),
        cmocka_unit_test(implicit_supervisor_accesses_ignore_cpl_and_ac),
        cmocka_unit_test(a_reserved_bit_is_told_in_the_error_code),
        cmocka_unit_test(a_write_after_a_read_still_sets_the_dirty_bit),
        cmocka_unit_test(large_pages_of_4_level_paging),
        cmocka_unit_test(two_level_paging_with_and_without_pse),
        cmocka_unit_test(pae_loads_its_pointers_with_cr3),
        cmocka_unit_test(a_non_canonical_address_is_a_general_protection_fault),
        cmocka_unit_test(a_store_across_pages_that_faults_stores_nothing),
        cmocka_unit_test(invlpg_takes_one_page_and_all_of_a_large_one),
        cmocka_unit_test(invlpg_of_a_large_page_takes_nothing_else),
        cmocka_unit_test(global_pages_outlive_a_load_of_cr3),
        cmocka_unit_test(a_switch_between_pcids_keeps_what_is_known_of_both),
        cmocka_unit_test(a_cr3_write_without_bit_63_takes_the_entries_of_its_pcid_alone),
        cmocka_unit_test(invlpg_takes_a_page_of_the_current_pcid_and_a_global_page_of_all),
        cmocka_unit_test(invpcid_takes_a_page_a_pcid_all_but_global_pages_or_all),
        cmocka_unit_test(changes_of_control_registers_take_everything),
        cmocka_unit_test(without_pcide_bit_63_is_reserved_and_every_cr3_write_flushes),
        cmocka_unit_test(more_pcids_than_are_known_never_show_each_others_pages),
        cmocka_unit_test(when_numbers_of_spaces_end_everything_is_forgotten),
        cmocka_unit_test(accessed_and_dirty_bits_are_set_again_when_cleared_and_flushed),
        cmocka_unit_test(a_large_page_is_walked_once),
        cmocka_unit_test(a_walk_goes_on_from_the_last_table_until_that_is_taken_back),
        cmocka_unit_test(no_fault_comes_from_what_is_only_remembered),
        cmocka_unit_test(alignment_is_checked_for_users_who_ask),
        cmocka_unit_test(an_operand_may_lie_in_ram_and_a_device),
        cmocka_unit_test(an_operand_across_pages_is_a_copy_that_is_written_back),
        cmocka_unit_test(a_write_to_watched_code_counts_and_elsewhere_in_the_page_does_not),
    };

    core_init();
    return cmocka_run_group_tests(tests, setup, teardown);
}
