/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flat views: a region tree rendered to sorted, disjoint ranges, and listeners told the difference.
 *
 * Rendering visits regions from the most to the least important; each leaf fills the gaps that are
 * still free in its range. Example: ROM (priority 1) at 0x1000 over RAM 0x0..0x3000 renders as
 * RAM 0x0, ROM 0x1000, RAM 0x2000.
 *
 * Positions are int64_t while rendering: an alias of the middle of a region puts that region's
 * start before the alias, possibly below zero. All magnitudes are at most 2^53.
 *
 * Locking: building and publishing under machine_lock; views are immutable but for last_hit.
 */
#include "src/core/memory-internal.h"

#include "core/bits.h"
#include "core/lock.h"

/* The part of the parent's range a region may show itself in, and what it inherits. */
typedef struct RenderClip {
    int64_t start, end;
    bool read_only;
} RenderClip;

/* Adds a leaf's range where nothing more important is. sections stays sorted. */
static void fill_gaps(GArray *sections, MemoryRegion *mr, int64_t base, const RenderClip *clip)
{
    int64_t pos = clip->start;

    for (guint i = 0; pos < clip->end; i++) {
        int64_t gap_end = clip->end;
        int64_t next = clip->end;
        if (i < sections->len) {
            const MemorySection *s = &g_array_index(sections, MemorySection, i);
            gap_end = MIN(gap_end, (int64_t)s->addr);
            next = (int64_t)(s->addr + s->size);
        }
        if (pos < gap_end) {
            MemorySection part = {
                .mr = mr,
                .addr = (uint64_t)pos,
                .size = (uint64_t)(gap_end - pos),
                .mr_offset = (uint64_t)(pos - base),
                .read_only = clip->read_only || mr->kind == MEMORY_REGION_ROM,
            };
            g_array_insert_val(sections, i, part);
            i++;
        }
        pos = MAX(pos, next);
    }
}

static void render(GArray *sections, MemoryRegion *mr, int64_t parent_base, RenderClip clip)
{
    int64_t base = parent_base + (int64_t)mr->offset;

    clip.start = MAX(clip.start, base);
    clip.end = MIN(clip.end, base + (int64_t)mr->size);
    clip.read_only |= mr->read_only;
    if (!mr->enabled || clip.start >= clip.end)
        return;
    if (mr->kind == MEMORY_REGION_ALIAS) {
        render(sections, mr->alias, base - (int64_t)mr->alias_offset - (int64_t)mr->alias->offset, clip);
        return;
    }
    for (guint i = 0; mr->children && i < mr->children->len; i++)
        render(sections, g_ptr_array_index(mr->children, i), base, clip);
    if (mr->kind != MEMORY_REGION_CONTAINER)
        fill_gaps(sections, mr, base, &clip);
}

static bool continues(const MemorySection *a, const MemorySection *b)
{
    return a->mr == b->mr && a->addr + a->size == b->addr && a->mr_offset + a->size == b->mr_offset &&
           a->read_only == b->read_only;
}

static void merge_adjacent(GArray *sections)
{
    guint kept = 0;

    for (guint i = 1; i < sections->len; i++) {
        MemorySection *last = &g_array_index(sections, MemorySection, kept);
        const MemorySection *s = &g_array_index(sections, MemorySection, i);
        if (continues(last, s))
            last->size += s->size;
        else
            g_array_index(sections, MemorySection, ++kept) = *s;
    }
    if (sections->len)
        g_array_set_size(sections, kept + 1);
}

static void collect_eventfds(GArray *out, const MemorySection *section)
{
    const RegionEventFds *fds = section->mr->eventfds;

    for (guint i = 0; fds && i < fds->count; i++) {
        const RegionEventFd *efd = &fds->fds[i];
        if (efd->offset < section->mr_offset ||
            !range_ok(efd->offset - section->mr_offset, MAX(efd->size, 1), section->size))
            continue;
        FlatEventFd flat = { .section = *section,
                             .addr = section->addr + (efd->offset - section->mr_offset),
                             .efd = *efd };
        g_array_append_val(out, flat);
    }
}

FlatView *flat_view_new(MemoryRegion *root)
{
    GArray *sections = g_array_new(false, false, sizeof(MemorySection));
    GArray *eventfds = g_array_new(false, false, sizeof(FlatEventFd));
    PublishedView *published = g_new0(PublishedView, 1);
    RenderClip whole = { 0, (int64_t)root->size, false };

    render(sections, root, 0, whole);
    merge_adjacent(sections);
    for (guint i = 0; i < sections->len; i++)
        collect_eventfds(eventfds, &g_array_index(sections, MemorySection, i));
    published->view.count = sections->len;
    published->view.sections = (MemorySection *)(void *)g_array_free(sections, false);
    published->view.eventfd_count = eventfds->len;
    published->view.eventfds = (FlatEventFd *)(void *)g_array_free(eventfds, false);
    return &published->view;
}

static void published_view_free(struct rcu_head *head)
{
    PublishedView *published = caa_container_of(head, PublishedView, rcu);

    g_free(published->view.sections);
    g_free(published->view.eventfds);
    g_free(published);
}

void flat_view_free_rcu(FlatView *view)
{
    PublishedView *published = caa_container_of(view, PublishedView, view);

    call_rcu(&published->rcu, published_view_free);
}

const MemorySection *flat_view_find(FlatView *view, uint64_t addr)
{
    guint hint = __atomic_load_n(&view->last_hit, __ATOMIC_RELAXED);
    guint low = 0, high = view->count;

    if (hint < high && addr - view->sections[hint].addr < view->sections[hint].size)
        return &view->sections[hint];
    while (low < high) {
        guint mid = low + (high - low) / 2;
        const MemorySection *s = &view->sections[mid];
        if (addr < s->addr) {
            high = mid;
        } else if (addr - s->addr >= s->size) {
            low = mid + 1;
        } else {
            __atomic_store_n(&view->last_hit, mid, __ATOMIC_RELAXED);
            return s;
        }
    }
    return NULL;
}

static bool section_equal(const MemorySection *a, const MemorySection *b)
{
    return a->mr == b->mr && a->addr == b->addr && a->size == b->size && a->mr_offset == b->mr_offset &&
           a->read_only == b->read_only;
}

static bool flat_eventfd_equal(const FlatEventFd *a, const FlatEventFd *b)
{
    return a->addr == b->addr && a->section.mr == b->section.mr && a->efd.fd == b->efd.fd &&
           a->efd.size == b->efd.size && a->efd.match == b->efd.match && a->efd.data == b->efd.data;
}

static bool view_has_section(const FlatView *view, const MemorySection *section)
{
    for (guint i = 0; i < view->count; i++) {
        if (section_equal(&view->sections[i], section))
            return true;
    }
    return false;
}

static bool view_has_eventfd(const FlatView *view, const FlatEventFd *efd)
{
    for (guint i = 0; i < view->eventfd_count; i++) {
        if (flat_eventfd_equal(&view->eventfds[i], efd))
            return true;
    }
    return false;
}

/* What only one of the two views has goes to the listener as del (in from) or add (in to). */
static void tell_difference(MemoryListener *l, const FlatView *from, const FlatView *to)
{
    if (l->begin)
        l->begin(l);
    for (guint i = 0; l->eventfd_del && i < from->eventfd_count; i++) {
        if (!view_has_eventfd(to, &from->eventfds[i]))
            l->eventfd_del(l, &from->eventfds[i].section, &from->eventfds[i].efd);
    }
    for (guint i = 0; l->section_del && i < from->count; i++) {
        if (!view_has_section(to, &from->sections[i]))
            l->section_del(l, &from->sections[i]);
    }
    for (guint i = 0; l->section_add && i < to->count; i++) {
        if (!view_has_section(from, &to->sections[i]))
            l->section_add(l, &to->sections[i]);
    }
    for (guint i = 0; l->eventfd_add && i < to->eventfd_count; i++) {
        if (!view_has_eventfd(from, &to->eventfds[i]))
            l->eventfd_add(l, &to->eventfds[i].section, &to->eventfds[i].efd);
    }
    if (l->commit)
        l->commit(l);
}

void flat_view_replay(const FlatView *view, MemoryListener *listener)
{
    static const FlatView empty;

    tell_difference(listener, &empty, view);
}

void address_space_update(AddressSpace *as)
{
    FlatView *old = as->view;
    FlatView *view = flat_view_new(as->root);

    g_assert(machine_lock_held());
    rcu_assign_pointer(as->view, view);
    __atomic_add_fetch(&as->generation, 1, __ATOMIC_RELEASE);
    for (guint i = 0; i < as->listeners->len; i++)
        tell_difference(g_ptr_array_index(as->listeners, i), old, view);
    flat_view_free_rcu(old);
}
