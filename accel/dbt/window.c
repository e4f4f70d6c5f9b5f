/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Windows: scattered pages of the guest side by side on the host.
 *
 * A program's array lies anywhere in guest memory, a few pages here and there, so code that goes through it meets another
 * distance to the host on each page, and no span (jit-span.c) covers it. Where that happens often the pages get a second
 * address on the host: a window is a GiB of address space that stands for a GiB of linear addresses of one process (by its
 * CR3), and mremap() puts the pages into it that are wanted there.
 *
 *     linear    | A | B |   | C |        host, RAM    | C |    | A |      | B |
 *     window    | A | B |   | C |        TLB entries and spans of these three go to the window
 *
 * Both addresses are the same memory for ever, so nothing but TLB entries ever has to know which one it uses. What is in a
 * window is no promise about the guest's page tables: a fill asks them first, and then the window whether it has that very
 * page. A page costs two system calls and a fault of the host's, about as much as WINDOW_COST misses, so misses pay for
 * them.
 *
 * Only shared memory can have two addresses; ROMs, private files and huge pages of the host cannot. Then, or when there
 * are too many pages, code does without for a while.
 *
 * Owner: the vCPU's thread; window_direct also others within an exclusive section.
 */
#include "accel/dbt/mmu-priv.h"

#include <sys/mman.h>

#include "accel/dbt/jit.h"
#include "core/paging.h"

#define WINDOW_BITS 30
#define WINDOW_PAGES (1u << (WINDOW_BITS - GUEST_PAGE_BITS))
#define WINDOW_SIZE (1ull << WINDOW_BITS)
#define WINDOWS 64u
#define WAYS 4u             /* windows that an address may be in */
#define PAGES_MAX 16384u    /* of all vCPUs: each takes up to two of the 65530 mappings a process may have */
#define PAGES_PER_VCPU 8192u
#define REACH 16u           /* pages looked at on either side */
#define REST_FAILED (1u << 16) /* misses until the next try */
#define REST_FULL (1u << 20)
#define REST_EVICTED (1u << 14)

typedef struct Window {
    uint64_t key, base; /* CR3 and linear address; key WINDOW_NONE: unused */
    unsigned pages;
} Window;

#define WINDOW_NONE UINT64_MAX

struct DbtWindows {
    uint8_t *arena;     /* WINDOWS * WINDOW_SIZE */
    uint8_t **direct;   /* of each page of the arena: its other address; NULL: nothing is there */
    unsigned pages;
    unsigned next;      /* to be given up, modulo WAYS */
    bool lost;          /* a hole may be in the arena: it is left as it is for ever */
    Window window[WINDOWS];
};

static void *reserve(size_t size, int prot)
{
    void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static void windows_free(DbtMmu *mmu)
{
    DbtWindows *w = mmu->windows;

    if (!w)
        return;
    if (w->arena && !w->lost)
        munmap(w->arena, WINDOWS * WINDOW_SIZE);
    if (w->direct)
        munmap(w->direct, WINDOWS * WINDOW_PAGES * sizeof(*w->direct));
    g_clear_pointer(&mmu->windows, g_free);
    mmu->windows_size = 0;
}

static DbtWindows *windows_of(DbtMmu *mmu)
{
    DbtWindows *w = mmu->windows;

    if (w)
        return w;
    w = mmu->windows = g_new0(DbtWindows, 1);
    w->arena = reserve(WINDOWS * WINDOW_SIZE, PROT_NONE);
    w->direct = reserve(WINDOWS * WINDOW_PAGES * sizeof(*w->direct), PROT_READ | PROT_WRITE);
    for (unsigned i = 0; i < WINDOWS; i++)
        w->window[i].key = WINDOW_NONE;
    if (w->arena && w->direct) {
        mmu->windows_at = (uintptr_t)w->arena;
        mmu->windows_size = WINDOWS * WINDOW_SIZE;
        return w;
    }
    windows_free(mmu);
    return NULL;
}

/* The first of the WAYS windows an address may be in. */
static unsigned set_of(uint64_t key, uint64_t linear)
{
    uint64_t hash = (key ^ (linear >> WINDOW_BITS) * 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull;

    return (unsigned)((hash >> 48) % (WINDOWS / WAYS)) * WAYS;
}

static uint64_t key_of(const DbtVcpu *v)
{
    return v->state->cr3 & PTE_ADDR;
}

/* The window for the address; NULL: it has none. */
static Window *find(const DbtVcpu *v, uint64_t linear)
{
    Window *set = &v->mmu->windows->window[set_of(key_of(v), linear)];

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].key == key_of(v) && set[i].base == (linear & -WINDOW_SIZE))
            return &set[i];
    }
    return NULL;
}

/* The number of the page's place in the arena if there is a window for it. */
static bool place_of(const DbtVcpu *v, uint64_t linear, size_t *place)
{
    const Window *window = find(v, linear);

    if (!window)
        return false;
    *place = (size_t)(window - v->mmu->windows->window) * WINDOW_PAGES + (linear >> GUEST_PAGE_BITS & (WINDOW_PAGES - 1));
    return true;
}

uint8_t *window_address(const DbtVcpu *v, uint64_t linear, uint8_t *host)
{
    const DbtWindows *w = v->mmu->windows;
    size_t place;

    if (!w || linear >> 63 || !place_of(v, linear, &place) || w->direct[place] != host)
        return host;
    return w->arena + (place << GUEST_PAGE_BITS);
}

const uint8_t *window_direct(const DbtMmu *mmu, const uint8_t *host)
{
    const DbtWindows *w = mmu->windows;

    if (!window_has(mmu, (uintptr_t)host))
        return host;
    return w->direct[(size_t)(host - w->arena) >> GUEST_PAGE_BITS];
}

/* Nothing refers to the window any more; false: the host is out of mappings. */
static bool empty(DbtWindows *w, unsigned i)
{
    Window *window = &w->window[i];

    if (w->lost)
        return false;
    if (window->pages &&
        mmap(w->arena + i * WINDOW_SIZE, WINDOW_SIZE, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        return false;
    if (window->pages)
        (void)madvise(w->direct + (size_t)i * WINDOW_PAGES, WINDOW_PAGES * sizeof(*w->direct), MADV_DONTNEED);
    w->pages -= window->pages;
    *window = (Window){.key = WINDOW_NONE};
    return true;
}

void windows_forget(DbtVcpu *v)
{
    bool ok = true;

    for (unsigned i = 0; v->mmu->windows && i < WINDOWS; i++)
        ok &= empty(v->mmu->windows, i);
    if (!ok)
        windows_free(v->mmu);
}

void windows_release(DbtVcpu *v)
{
    windows_free(v->mmu);
}

/* All are given up, with what the TLB knows of them: the unit that runs has to end. */
static void start_again(DbtVcpu *v)
{
    mmu_tables_empty(v);
    windows_forget(v);
    dbt_end_block(v);
}

/* The one of the set that is to go, or is free: one of another process rather than of this one. */
static Window *victim(const DbtVcpu *v, DbtWindows *w, Window *set)
{
    Window *best = &set[w->next % WAYS];

    for (unsigned i = 0; i < WAYS; i++) {
        Window *window = &set[(w->next + i) % WAYS];

        if (!window->pages)
            return window;
        if (best->key == key_of(v) && window->key != key_of(v))
            best = window;
    }
    w->next++;
    return best;
}

/*
 * There is a window for the address. If another one had to go for it that is not to happen again soon: all that the TLB knows goes
 * with it.
 */
static bool claim(DbtVcpu *v, uint64_t linear)
{
    DbtWindows *w = v->mmu->windows;
    Window *window = find(v, linear);

    if (window)
        return true;
    window = victim(v, w, &w->window[set_of(key_of(v), linear)]);
    if (window->pages) {
        v->mmu->window_rest = REST_EVICTED;
        mmu_tables_empty(v);
        dbt_end_block(v);
        if (!empty(w, (unsigned)(window - w->window)))
            return false;
    }
    *window = (Window){.key = key_of(v), .base = linear & -WINDOW_SIZE};
    return true;
}

/* The host's address of a page that some table of data accesses has; NULL: none has it. */
static uint8_t *entered_at(const DbtMmu *mmu, uint64_t page)
{
    for (unsigned t = 0; t < MMU_TABLE_FETCH_USER; t++) {
        const MmuEntry *e = &mmu->tables[t][page >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1)];

        if (e->tag == page)
            return (uint8_t *)(uintptr_t)(e->tag + e->value);
    }
    return NULL;
}

/* The TLB goes to the other address of the page from now on. */
static void redirect(DbtMmu *mmu, uint64_t page, const uint8_t *from, const uint8_t *to)
{
    for (unsigned t = 0; t < MMU_TABLE_FETCH_USER; t++) {
        MmuEntry *e = &mmu->tables[t][page >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1)];

        if (e->tag == page && e->tag + e->value == (uintptr_t)from)
            e->value = (uintptr_t)to - page;
    }
}

/*
 * The page at host is at to as well. In two steps, because what can fail fails in the first one: a failure with a fixed address may
 * leave a hole there that other threads' memory gets into.
 */
static bool give_address(DbtWindows *w, uint8_t *host, uint8_t *to)
{
    void *copy = mremap(host, 0, GUEST_PAGE_SIZE, MREMAP_MAYMOVE);

    if (copy == MAP_FAILED)
        return false;
    if (mremap(copy, GUEST_PAGE_SIZE, GUEST_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED)
        return true;
    munmap(copy, GUEST_PAGE_SIZE);
    w->lost = true;
    return false;
}

/* The page is in its window, if it can be; false: no more around it. *budget: pages that may be put there. */
static bool gather_page(DbtVcpu *v, uint64_t page, unsigned *budget)
{
    DbtWindows *w = v->mmu->windows;
    uint8_t *host = entered_at(v->mmu, page), *to;
    size_t place;

    if (!host || !place_of(v, page, &place))
        return false;
    if (window_has(v->mmu, (uintptr_t)host))
        return true;
    if (!*budget || vcpu_requests(v->cpu)) /* a page may take 20 us: whoever asks for the vCPU does not wait for all */
        return false;
    to = w->arena + (place << GUEST_PAGE_BITS);
    if (w->direct[place] != host) {
        if (w->direct[place]) { /* another page: what still goes there does so against the page tables */
            dbt_tlb_flush_page(v, page);
            dbt_end_block(v);
        }
        if (!give_address(w, host, to)) {
            v->mmu->window_rest = w->lost ? UINT64_MAX : REST_FAILED;
            return false;
        }
        w->pages += !w->direct[place];
        w->window[place / WINDOW_PAGES].pages += !w->direct[place];
        w->direct[place] = host;
    }
    redirect(v->mmu, page, host, to);
    --*budget;
    return true;
}

static void gather_around(DbtVcpu *v, uint64_t linear, unsigned *budget)
{
    uint64_t page = linear & GUEST_PAGE_MASK;

    if (!gather_page(v, page, budget))
        return;
    for (unsigned i = 1; i <= REACH && gather_page(v, page + i * GUEST_PAGE_SIZE, budget); i++)
        ;
    for (unsigned i = 1; i <= REACH && gather_page(v, page - i * GUEST_PAGE_SIZE, budget); i++)
        ;
}

void window_gather(DbtVcpu *v, uint64_t linear, uint64_t other)
{
    DbtWindows *w = windows_of(v->mmu);
    unsigned budget = (unsigned)(v->mmu->window_misses / WINDOW_COST), now;

    v->mmu->window_misses = 0;
    v->mmu->window_due = WINDOW_DUE;
    if (!w || w->lost) {
        v->mmu->window_rest = UINT64_MAX;
        return;
    }
    now = w->pages;
    if (now + budget > MIN(PAGES_PER_VCPU, PAGES_MAX / v->accel->vcpus->len)) {
        v->mmu->window_rest = REST_FULL;
        start_again(v);
        return;
    }
    if (!claim(v, linear))
        return;
    gather_around(v, linear, &budget);
    gather_around(v, other, &budget);
    v->mmu->stats.windowed += w->pages - MIN(now, w->pages);
}
