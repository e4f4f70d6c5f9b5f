/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software TLB behind mmu.h: filling it, flushing it, and accesses by linear address.
 *
 * Entries have 4 KiB; part of a large page is entered like any other, and a filter remembers in
 * which large pages that happened, so that INVLPG takes all of one (SDM vol. 3, 4.10.4.1), and nothing else.
 *
 * These tables are of the current address space. Another one's entries take their place from mmu-cache.c, which
 * knows of process-context identifiers: what CR3 writes, INVPCID and INVLPG leave there is back without a walk.
 *
 * While accesses need checks an entry can't express (alignment, data breakpoints) the vCPU's tables
 * are a pair nobody fills, so everything comes here.
 *
 * Locking: own vCPU thread, inside guest code; flushes also within an exclusive section.
 */
#include "accel/dbt/guest-debug.h"
#include "accel/dbt/jit.h"
#include "accel/dbt/mmu-priv.h"

#include <errno.h>
#include <sys/mman.h>

#include "core/log.h"
#include "core/trace.h"

static const uint8_t large_shift[MMU_LARGE_CLASSES] = { 21, 22, 30 };

/* The tag of a page that belongs to another index. */
static uint64_t invalid_tag(unsigned index)
{
    return index ? 0 : GUEST_PAGE_SIZE;
}

static void tables_clear(DbtMmu *mmu, unsigned table)
{
    memset(mmu->tables[table], 0, sizeof(mmu->tables[table]));
    mmu->tables[table][0].tag = invalid_tag(0);
}

static MmuEntry *table_read(DbtMmu *mmu, MmuContext context)
{
    return mmu->tables[2 * context];
}

static MmuEntry *table_write(DbtMmu *mmu, MmuContext context)
{
    return mmu->tables[2 * context + 1];
}

/* What translated code has of its own lies behind the tables. */
static JitArea *mmu_area(DbtMmu *mmu)
{
    return (JitArea *)(void *)&mmu->tables[MMU_TABLES_ALL];
}

static void log_slot(MmuLog *log, unsigned table, unsigned index)
{
    if (log->count == MMU_LOG_SIZE) {
        log->overflow = true;
        return;
    }
    log->slot[log->count++] = (uint16_t)(table << MMU_TLB_BITS | index);
}

static void log_flush(DbtMmu *mmu, MmuLog *log)
{
    for (unsigned i = 0; i < log->count; i++) {
        unsigned index = log->slot[i] & (MMU_TLB_SIZE - 1);
        mmu->tables[log->slot[i] >> MMU_TLB_BITS][index].tag = invalid_tag(index);
    }
    log->count = 0;
}

/* What was found through the fetch tables in half of the address space may be void. */
static void forget_fetches(DbtVcpu *v, unsigned half)
{
    MmuCache *cache = &v->mmu->cache;

    if (half) {
        v->fetch_epoch[1]++;
        memset(v->mmu->fetched_upper, 0, sizeof(v->mmu->fetched_upper));
    } else {
        mmu_space_renew_epoch(cache, cache->space);
        v->fetch_epoch[0] = cache->space->fetch_epoch;
    }
}

static uint64_t *fetched_pages(DbtMmu *mmu, unsigned half)
{
    return half ? mmu->fetched_upper : mmu->cache.space->fetched;
}

static void tables_flush_all(DbtMmu *mmu)
{
    for (unsigned t = 0; t < MMU_TABLES; t++) {
        if (mmu->filled & 1u << t)
            tables_clear(mmu, t);
    }
    mmu->filled = 0;
    for (unsigned l = 0; l < 2; l++) {
        mmu->log[l].count = 0;
        mmu->log[l].overflow = false;
    }
    memset(mmu->large, 0, sizeof(mmu->large));
}

/* Empties the tables of what is not global, or of everything; the current space may be another one. */
static void tables_flush(DbtVcpu *v, bool global)
{
    DbtMmu *mmu = v->mmu;
    bool upper = global || mmu->upper_local;

    mmu->stats.flushes++;
    mmu->window_misses = 0;
    mmu->window_due = WINDOW_DUE_FIRST;
    v->tlb_epoch++;
    v->fetch_epoch[0] = mmu->cache.space->fetch_epoch;
    if (upper)
        forget_fetches(v, 1);
    jit_sites_flush(mmu_area(mmu), upper);
    mmu->upper_local &= !upper;
    if (mmu->log[0].overflow || mmu->log[1].overflow) {
        tables_flush_all(mmu);
        return;
    }
    log_flush(mmu, &mmu->log[0]);
    if (global) {
        log_flush(mmu, &mmu->log[1]);
        memset(mmu->large, 0, sizeof(mmu->large));
    }
}

void mmu_tables_empty(DbtVcpu *v)
{
    tables_flush(v, true);
}

/* SDM vol. 3, 4.10.1: without CR4.PCIDE it is 0. */
static uint16_t pcid_now(const DbtVcpu *v)
{
    return v->state->cr4 & CR4_PCIDE ? v->state->cr3 & 0xfff : 0;
}

void dbt_tlb_flush(DbtVcpu *v, bool global)
{
    log_printf(LOG_MMU, "CPU%u TLB flush, %s\n", v->cpu->index, global ? "all" : "not the global pages");
    if (global)
        mmu_cache_flush(&v->mmu->cache, pcid_now(v));
    else
        mmu_cache_flush_spaces(&v->mmu->cache);
    tables_flush(v, global);
}

void dbt_tlb_switch(DbtVcpu *v, bool keep)
{
    MmuCache *cache = &v->mmu->cache;

    log_printf(LOG_MMU, "CPU%u TLB switch to PCID %x%s\n", v->cpu->index, pcid_now(v), keep ? ", kept" : "");
    v->mmu->stats.kept += keep && mmu_cache_space(cache, pcid_now(v));
    if (!mmu_cache_switch(cache, pcid_now(v), keep))
        tables_flush(v, false);
}

void dbt_tlb_flush_pcid(DbtVcpu *v, uint16_t pcid)
{
    log_printf(LOG_MMU, "CPU%u TLB flush, PCID %x\n", v->cpu->index, pcid);
    mmu_cache_flush_pcid(&v->mmu->cache, pcid);
    if (pcid == pcid_now(v))
        tables_flush(v, false);
}

/* The filter's bit of a large page: user and kernel halves must not fall together. */
static unsigned large_bit(unsigned class, uint64_t linear)
{
    uint64_t page = linear >> large_shift[class];

    return (unsigned)(page ^ page >> 10 ^ page >> 21) & (MMU_LARGE_BITS - 1);
}

static bool large_filter(const DbtMmu *mmu, unsigned class, uint64_t linear)
{
    unsigned bit = large_bit(class, linear);

    return mmu->large[class][bit / 64] >> bit % 64 & 1;
}

/* log2 of the size of the largest page that linear may be part of. */
static unsigned page_bits_of(const DbtMmu *mmu, uint64_t linear)
{
    for (unsigned class = MMU_LARGE_CLASSES; class-- > 0;) {
        if (large_filter(mmu, class, linear))
            return large_shift[class];
    }
    return GUEST_PAGE_BITS;
}

/* Some page with these numbers, modulo the tables' size, was fetched from. */
static bool is_fetched(DbtMmu *mmu, unsigned half, unsigned index, unsigned count)
{
    const uint64_t *fetched = fetched_pages(mmu, half);

    if (count == 1)
        return fetched[index / 64] >> index % 64 & 1;
    for (unsigned i = 0; i < count / 64; i++) {
        if (fetched[index / 64 + i])
            return true;
    }
    return false;
}

/* Drops the page from the tables; all of it, if it may be a large one. */
static void tables_flush_page(DbtVcpu *v, uint64_t linear)
{
    DbtMmu *mmu = v->mmu;
    unsigned bits = page_bits_of(mmu, linear);
    uint64_t first = linear & -BIT(bits);
    unsigned index = first >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1), count = MIN(1u << (bits - GUEST_PAGE_BITS), MMU_TLB_SIZE);

    mmu->stats.page_flushes++;
    v->tlb_epoch++;
    if (is_fetched(mmu, linear >> 63, index, count))
        forget_fetches(v, linear >> 63);
    jit_sites_flush_pages(mmu_area(mmu), first, BIT(bits - GUEST_PAGE_BITS));
    for (unsigned t = 0; t < MMU_TABLES; t++) {
        for (unsigned i = index; mmu->filled >> t & 1 && i < index + count; i++) {
            if ((mmu->tables[t][i].tag ^ first) >> bits == 0)
                mmu->tables[t][i].tag = invalid_tag(i);
        }
    }
}

static void flush_page(DbtVcpu *v, uint16_t pcid, uint64_t linear, bool global_too)
{
    log_printf(LOG_MMU, "CPU%u TLB flush, page 0x%016" G_GINT64_MODIFIER "x of PCID %x\n", v->cpu->index,
               linear & GUEST_PAGE_MASK, pcid);
    mmu_cache_drop(&v->mmu->cache, pcid, linear, global_too);
    if (pcid == pcid_now(v)) {
        tables_flush_page(v, linear);
    } else {
        MmuSpace *space = mmu_cache_space(&v->mmu->cache, pcid);

        if (space)
            mmu_space_renew_epoch(&v->mmu->cache, space);
    }
}

void dbt_tlb_flush_page(DbtVcpu *v, uint64_t linear)
{
    flush_page(v, pcid_now(v), linear, true);
}

void dbt_tlb_flush_page_of(DbtVcpu *v, uint16_t pcid, uint64_t linear)
{
    flush_page(v, pcid, linear, false);
}

static bool is_write_table(unsigned table)
{
    return table < MMU_TABLE_FETCH_USER && table % 2;
}

/* The table is one of writes. */
static void drop_if_at(DbtMmu *mmu, unsigned table, unsigned index, const uint8_t *host)
{
    MmuEntry *e = &mmu->tables[table][index];
    uint64_t at = e->tag + e->value;

    if (at == (uintptr_t)host || (window_has(mmu, at) && window_direct(mmu, (const uint8_t *)(uintptr_t)at) == host))
        e->tag = invalid_tag(index);
}

void mmu_drop_write(DbtVcpu *v, const uint8_t *host)
{
    DbtMmu *mmu = v->mmu;

    v->tlb_epoch++;
    jit_sites_drop_host(mmu, mmu_area(mmu), host);
    if (mmu->log[0].overflow || mmu->log[1].overflow) {
        for (unsigned t = 1; t < MMU_TABLE_FETCH_USER; t += 2) {
            for (unsigned i = 0; mmu->filled >> t & 1 && i < MMU_TLB_SIZE; i++)
                drop_if_at(mmu, t, i, host);
        }
        return;
    }
    for (unsigned l = 0; l < 2; l++) {
        const MmuLog *log = &mmu->log[l];
        for (unsigned i = 0; i < log->count; i++) {
            if (is_write_table(log->slot[i] >> MMU_TLB_BITS))
                drop_if_at(mmu, log->slot[i] >> MMU_TLB_BITS, log->slot[i] & (MMU_TLB_SIZE - 1), host);
        }
    }
}

static void enter(DbtMmu *mmu, unsigned table, uint64_t linear, uint64_t value, const MmuWalk *walk)
{
    unsigned index = linear >> GUEST_PAGE_BITS & (MMU_TLB_SIZE - 1);

    mmu->tables[table][index] = (MmuEntry){ linear & GUEST_PAGE_MASK, value };
    mmu->filled |= 1u << table;
    mmu->stats.fills++;
    mmu->upper_local |= !walk->global && linear >> 63;
    if (table >= MMU_TABLE_FETCH_USER)
        fetched_pages(mmu, linear >> 63)[index / 64] |= BIT(index % 64);
    log_slot(&mmu->log[walk->global], table, index);
    for (unsigned class = 0; class < MMU_LARGE_CLASSES; class++) {
        unsigned bit = large_bit(class, linear);
        if (walk->page_bits == large_shift[class])
            mmu->large[class][bit / 64] |= BIT(bit % 64);
    }
}

static bool is_write(MmuAccess access)
{
    return access == MMU_WRITE || access == MMU_STORE;
}

/* Accesses by segment have checked this already, with #SS for the stack segment. */
static bool canonical(const DbtVcpu *v, uint64_t linear)
{
    return !(v->state->efer & EFER_LMA) || (uint64_t)((int64_t)(linear << 16) >> 16) == linear;
}

/* Enters the page where that is allowed; whether it was. */
static bool enter_data(DbtVcpu *v, uint64_t linear, MmuAccess access, MmuContext context, const MmuWalk *walk,
                       const MapEntry *map)
{
    bool write = is_write(access);
    const uint8_t *host;

    if (!map->host || dbt_debug_page_watched(v, linear))
        return false;
    if (write && (map->read_only || !code_allow_write_entry(v, map->page)))
        return false;
    host = window_address(v, linear, map->host);
    enter(v->mmu, 2 * context + write, linear, (uintptr_t)host - (linear & GUEST_PAGE_MASK), walk);
    return true;
}

bool mmu_fill(DbtVcpu *v, uint64_t linear, MmuAccess access, MmuContext context)
{
    uint32_t error;
    MmuWalk walk;
    MapEntry map;

    if (!canonical(v, linear) || !mmu_walk(v, linear, access, context, &walk, &error))
        return false;
    map = dbt_map_lookup(v->accel->map, walk.gpa);
    return enter_data(v, linear, access, context, &walk, &map);
}

/* Translates one page and enters it where that is allowed. */
static bool resolve(DbtVcpu *v, uint64_t linear, MmuAccess access, MmuContext context, MmuPart *part)
{
    uint32_t error;
    MmuWalk walk;

    if (!canonical(v, linear)) {
        dbt_fault_error(v, EXC_GP, 0);
        return false;
    }
    if (!mmu_walk(v, linear, access, context, &walk, &error)) {
        dbt_page_fault(v, linear, error);
        return false;
    }
    part->gpa = walk.gpa;
    part->map = dbt_map_lookup(v->accel->map, walk.gpa);
    enter_data(v, linear, access, context, &walk, &part->map);
    return true;
}

bool dbt_fetch_page(DbtVcpu *v, uint64_t linear, uint64_t *gpa)
{
    MmuContext context = v->cpl == 3 ? MMU_USER : MMU_SUPERVISOR;
    uint32_t error;
    MmuWalk walk;

    if (!canonical(v, linear)) {
        dbt_fault_error(v, EXC_GP, 0);
        return false;
    }
    if (!mmu_walk(v, linear, MMU_FETCH, context, &walk, &error)) {
        dbt_page_fault(v, linear, error);
        return false;
    }
    *gpa = walk.gpa;
    if (dbt_map_lookup(v->accel->map, walk.gpa).host)
        enter(v->mmu, context == MMU_USER ? MMU_TABLE_FETCH_USER : MMU_TABLE_FETCH_SUPERVISOR, linear,
              walk.gpa & GUEST_PAGE_MASK, &walk);
    return true;
}

/* Linear addresses have 32 bits outside long mode and wrap there. */
static uint64_t linear_wrap(const DbtVcpu *v, uint64_t linear)
{
    return v->state->efer & EFER_LMA ? linear : (uint32_t)linear;
}

unsigned mmu_split(DbtVcpu *v, uint64_t linear, unsigned len, MmuAccess access, MmuContext context,
                   MmuPart parts[MMU_MAX_PARTS])
{
    unsigned count = 0;

    g_assert(len && len <= (MMU_MAX_PARTS - 1) * GUEST_PAGE_SIZE);
    while (len) {
        unsigned left = (unsigned)(GUEST_PAGE_SIZE - (linear & ~GUEST_PAGE_MASK));
        MmuPart *part = &parts[count++];
        part->len = MIN(len, left);
        if (!resolve(v, linear, access, context, part))
            return 0;
        len -= part->len;
        linear = linear_wrap(v, linear + part->len);
    }
    return count;
}

/* The largest aligned piece of a device access. */
static unsigned mmio_piece(uint64_t gpa, unsigned len)
{
    unsigned size = 8;

    while (size > len || gpa & (size - 1))
        size /= 2;
    return size;
}

static void mmio_read(DbtVcpu *v, uint64_t gpa, uint8_t *buf, unsigned len)
{
    AddressSpace *as = dbt_map_space(v->accel->map);

    if (v->journaling)
        dbt_journal_lost(v);
    trace_mmio(v->cpu->index, gpa, len, false);
    dbt_guest_leave(v);
    for (unsigned size; len; gpa += size, buf += size, len -= size) {
        uint64_t value = ~0ull;
        size = mmio_piece(gpa, len);
        address_space_load(as, gpa, size, &value);
        store_le(buf, value, size);
    }
    dbt_guest_enter(v);
}

static void mmio_write(DbtVcpu *v, uint64_t gpa, const uint8_t *buf, unsigned len)
{
    AddressSpace *as = dbt_map_space(v->accel->map);

    if (v->journaling)
        dbt_journal_lost(v);
    trace_mmio(v->cpu->index, gpa, len, true);
    dbt_guest_leave(v);
    for (unsigned size; len; gpa += size, buf += size, len -= size) {
        size = mmio_piece(gpa, len);
        address_space_store(as, gpa, size, load_le(buf, size));
    }
    dbt_guest_enter(v);
}

static bool is_scalar(unsigned len)
{
    return len == 1 || len == 2 || len == 4 || len == 8;
}

static void ram_read(const uint8_t *host, void *buf, unsigned len)
{
    if (is_scalar(len))
        store_le(buf, mmu_host_load(host, len), len);
    else if (len == 16) /* a descriptor: of a known size, as compilers make REP MOVS of others */
        memcpy(buf, host, 16);
    else
        memcpy(buf, host, len);
}

static void ram_write(DbtVcpu *v, uint8_t *host, const void *buf, unsigned len)
{
    if (G_UNLIKELY(v->journaling))
        dbt_journal_write(v, host, len);
    if (is_scalar(len))
        mmu_host_store(host, len, load_le(buf, len));
    else
        memcpy(host, buf, len);
}

void mmu_parts_read(DbtVcpu *v, const MmuPart *parts, unsigned count, void *buf)
{
    uint8_t *p = buf;

    for (unsigned i = 0; i < count; p += parts[i++].len) {
        if (parts[i].map.host)
            ram_read(parts[i].map.host + (parts[i].gpa & ~GUEST_PAGE_MASK), p, parts[i].len);
    }
    p = buf;
    for (unsigned i = 0; i < count; p += parts[i++].len) {
        if (!parts[i].map.host)
            mmio_read(v, parts[i].gpa, p, parts[i].len);
    }
}

void mmu_parts_write(DbtVcpu *v, const MmuPart *parts, unsigned count, const void *buf)
{
    const uint8_t *p = buf;

    for (unsigned i = 0; i < count; p += parts[i++].len) {
        unsigned offset = (unsigned)(parts[i].gpa & ~GUEST_PAGE_MASK);
        if (!parts[i].map.host || parts[i].map.read_only)
            continue;
        ram_write(v, parts[i].map.host + offset, p, parts[i].len);
        code_written(v, v->accel->map, parts[i].map.page, offset, parts[i].len);
    }
    p = buf;
    for (unsigned i = 0; i < count; p += parts[i++].len) {
        if (!parts[i].map.host || parts[i].map.read_only)
            mmio_write(v, parts[i].gpa, p, parts[i].len);
    }
}

bool mmu_update_byte(DbtVcpu *v, uint64_t linear, uint8_t set, uint8_t clear)
{
    MmuPart part = { .len = 1 };
    unsigned offset;
    uint8_t *host, old, byte;

    if (!resolve(v, linear, MMU_WRITE, MMU_SUPERVISOR, &part))
        return false;
    if (!part.map.host || part.map.read_only) {
        mmu_parts_read(v, &part, 1, &byte);
        byte = (byte & ~clear) | set;
        mmu_parts_write(v, &part, 1, &byte);
        return true;
    }
    offset = (unsigned)(part.gpa & ~GUEST_PAGE_MASK);
    host = part.map.host + offset;
    old = __atomic_load_n(host, __ATOMIC_RELAXED);
    do
        byte = (old & ~clear) | set;
    while (!__atomic_compare_exchange_n(host, &old, byte, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    code_written(v, v->accel->map, part.map.page, offset, 1);
    return true;
}

bool mmu_read(DbtVcpu *v, uint64_t linear, void *buf, unsigned len, MmuContext context)
{
    const void *host = len <= GUEST_PAGE_SIZE ? mmu_entry_host(table_read(v->mmu, context), linear, len) : NULL;
    MmuPart parts[MMU_MAX_PARTS];
    unsigned count;

    if (host) {
        ram_read(host, buf, len);
        return true;
    }
    count = mmu_split(v, linear, len, MMU_READ, context, parts);
    mmu_parts_read(v, parts, count, buf);
    return count > 0;
}

bool mmu_write(DbtVcpu *v, uint64_t linear, const void *buf, unsigned len, MmuContext context)
{
    void *host = len <= GUEST_PAGE_SIZE ? mmu_entry_host(table_write(v->mmu, context), linear, len) : NULL;
    MmuPart parts[MMU_MAX_PARTS];
    unsigned count;

    if (host) {
        ram_write(v, host, buf, len);
        return true;
    }
    count = mmu_split(v, linear, len, MMU_STORE, context, parts);
    mmu_parts_write(v, parts, count, buf);
    return count > 0;
}

static MmuContext mode_context(const DbtVcpu *v, MmuMode mode)
{
    return mode == MMU_SYSTEM ? MMU_SUPERVISOR : v->mmu->context;
}

bool dbt_lin_read(DbtVcpu *v, uint64_t linear, void *buf, unsigned len, MmuMode mode)
{
    return mmu_read(v, linear_wrap(v, linear), buf, len, mode_context(v, mode));
}

bool dbt_lin_write(DbtVcpu *v, uint64_t linear, const void *buf, unsigned len, MmuMode mode)
{
    return mmu_write(v, linear_wrap(v, linear), buf, len, mode_context(v, mode));
}

void *dbt_host_span(DbtVcpu *v, uint64_t linear, MmuAccess access, unsigned *len)
{
    const MmuEntry *table = is_write(access) ? v->tlb->write : v->tlb->read;

    *len = (unsigned)(GUEST_PAGE_SIZE - (linear & ~GUEST_PAGE_MASK));
    return mmu_entry_host(table, linear, 1);
}

void dbt_context_changed(DbtVcpu *v)
{
    const CpuState *s = v->state;
    DbtMmu *mmu = v->mmu;
    bool ac = s->rflags & RFLAGS_AC;

    if (v->cpl == 3)
        mmu->context = MMU_USER;
    else
        mmu->context = ac && (s->cr4 & CR4_SMAP) ? MMU_SUPERVISOR_AC : MMU_SUPERVISOR;
    mmu->align_check = v->cpl == 3 && ac && (s->cr0 & CR0_AM);
    v->fetch_tlb = (MmuFetchTlb *)(void *)mmu->tables[v->cpl == 3 ? MMU_TABLE_FETCH_USER
                                                                  : MMU_TABLE_FETCH_SUPERVISOR];
    v->tlb = (MmuTlb *)(void *)mmu->tables[mmu->align_check || dbt_debug_data_enabled(v)
                                               ? MMU_TABLE_CHECKED
                                               : 2 * mmu->context];
}

void dbt_mmu_sync(DbtVcpu *v)
{
    if (!__atomic_exchange_n(&v->mmu->map_changed, false, __ATOMIC_ACQ_REL))
        return;
    dbt_tlb_flush(v, true);
    windows_forget(v);
    dbt_cache_flush(v);
    dbt_end_block(v);
}

/* The tables, and translated code's own behind them. */
static size_t tables_size(void)
{
    return sizeof(MmuEntry[MMU_TABLES_ALL][MMU_TLB_SIZE]) + sizeof(JitArea);
}

size_t dbt_mmu_size(void)
{
    return tables_size() + sizeof(DbtMmu) - (JIT_MODES - JIT_MODES_USUAL) * sizeof(JitModeArea);
}

JitArea *dbt_mmu_area(DbtVcpu *v, uint32_t *offset)
{
    *offset = sizeof(MmuEntry[MMU_TABLES_ALL][MMU_TLB_SIZE]);
    return mmu_area(v->mmu);
}

bool dbt_mmu_init(DbtVcpu *v, GError **errp)
{
    size_t size = tables_size();
    void *tables = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (tables == MAP_FAILED)
        return error_set_errno(errp, errno, "dbt: memory for a vCPU's TLB (%zu bytes)", size);
    v->mmu = g_new0(DbtMmu, 1);
    v->mmu->window_due = WINDOW_DUE_FIRST;
    v->mmu->tables = tables;
    mmu_cache_flush(&v->mmu->cache, 0);
    for (unsigned t = 0; t < MMU_TABLES_ALL; t++)
        v->mmu->tables[t][0].tag = invalid_tag(0);
    v->tlb = (MmuTlb *)tables;
    v->fetch_tlb = (MmuFetchTlb *)(void *)v->mmu->tables[MMU_TABLE_FETCH_SUPERVISOR];
    return true;
}

void dbt_mmu_release(DbtVcpu *v)
{
    if (!v->mmu)
        return;
    windows_release(v);
    munmap(v->mmu->tables, tables_size());
    g_clear_pointer(&v->mmu, g_free);
}
