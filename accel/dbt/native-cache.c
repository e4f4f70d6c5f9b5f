/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forms of native instructions: each is translated once for all vCPUs.
 *
 * Code memory is one sealed memfd mapped twice, writable and executable, never both in one mapping.
 * It is divided into segments, filled in turn; the one after that being filled is kept empty:
 *
 *     EMPTY --filled first--> FILLING --full--> FULL --next in turn--> DRAINING
 *       ^------------------------------------------------- grace period ---'
 *
 * Draining takes the forms out of the table and sets their serial to 0, so that decoded
 * instructions notice (native_form_code); the memory is reused only after every thread has left the
 * RCU section in which it may still run a stub.
 *
 * Locking: lock guards everything but the readers of NativeForm.serial and code.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <urcu.h>
#include <urcu/call-rcu.h>

#include "accel/dbt/native.h"
#include "core/host.h"

#define SEGMENTS   8
#define STUB_ALIGN 16
#define BUCKETS    16384 /* a power of two */
#define FORM_BYTES 128   /* code memory per form, for sizing the table of forms */

struct NativeForm {
    uint64_t serial; /* atomic; 0: not in use */
    const void *code;
    uint8_t key[NATIVE_INSN_MAX + 1]; /* NativeInsn.bytes, zero padded; last byte: rsp_reg */
    NativeForm *next;                 /* in the bucket */
};

typedef enum SegmentState {
    SEGMENT_EMPTY,
    SEGMENT_FILLING,
    SEGMENT_FULL,
    SEGMENT_DRAINING
} SegmentState;

typedef struct Segment {
    struct rcu_head rcu; /* of DRAINING */
    DbtNative *cache;
    SegmentState state;
    size_t used; /* bytes of code */
    unsigned form_count;
    NativeForm *forms; /* max_forms of them */
} Segment;

struct DbtNative {
    GMutex lock;
    uint8_t *rw; /* the memfd, writable */
    uint8_t *rx; /* and executable */
    size_t segment_size;
    unsigned max_forms; /* of a segment */
    unsigned current;
    uint64_t last_serial;
    uint64_t segments_reclaimed;
    Segment segments[SEGMENTS];
    NativeForm *buckets[BUCKETS];
};

static void make_key(uint8_t key[NATIVE_INSN_MAX + 1], const NativeInsn *insn)
{
    memset(key, 0, NATIVE_INSN_MAX + 1);
    memcpy(key, insn->bytes, insn->len);
    key[NATIVE_INSN_MAX] = insn->rsp_reg;
}

static NativeForm **bucket_of(DbtNative *cache, const uint8_t *key)
{
    uint64_t a = load_le(key, 8), b = load_le(key + 8, 8);
    uint64_t h = (a ^ b * 0x9e3779b97f4a7c15) * 0xff51afd7ed558ccd;

    return &cache->buckets[h >> 40 & (BUCKETS - 1)];
}

static void segment_drained(struct rcu_head *head)
{
    Segment *segment = caa_container_of(head, Segment, rcu);
    DbtNative *cache = segment->cache;

    g_mutex_lock(&cache->lock);
    segment->state = SEGMENT_EMPTY;
    segment->used = 0;
    segment->form_count = 0;
    cache->segments_reclaimed++;
    g_mutex_unlock(&cache->lock);
}

static void segment_drain(DbtNative *cache, Segment *segment)
{
    for (unsigned i = 0; i < segment->form_count; i++) {
        NativeForm *form = &segment->forms[i];
        NativeForm **link = bucket_of(cache, form->key);

        while (*link != form) {
            link = &(*link)->next;
        }
        *link = form->next;
        __atomic_store_n(&form->serial, 0, __ATOMIC_RELEASE);
    }
    segment->state = SEGMENT_DRAINING;
    call_rcu(&segment->rcu, segment_drained);
}

/* The segment to fill, with room for one more form; NULL while the next one drains. */
static Segment *segment_with_room(DbtNative *cache)
{
    Segment *segment = &cache->segments[cache->current];
    Segment *after;

    if (segment->used + NATIVE_STUB_MAX <= cache->segment_size &&
        segment->form_count < cache->max_forms) {
        return segment;
    }
    if (cache->segments[(cache->current + 1) % SEGMENTS].state != SEGMENT_EMPTY) {
        return NULL;
    }
    segment->state = SEGMENT_FULL;
    cache->current = (cache->current + 1) % SEGMENTS;
    segment = &cache->segments[cache->current];
    segment->state = SEGMENT_FILLING;
    after = &cache->segments[(cache->current + 1) % SEGMENTS];
    if (after->state == SEGMENT_FULL) {
        segment_drain(cache, after);
    }
    return segment;
}

static NativeForm *form_new(DbtNative *cache, const NativeInsn *insn, const uint8_t *key)
{
    Segment *segment = segment_with_room(cache);
    NativeForm **bucket = bucket_of(cache, key);
    NativeForm *form;
    size_t offset;

    if (!segment) {
        return NULL;
    }
    form = &segment->forms[segment->form_count++];
    offset = (segment - cache->segments) * cache->segment_size + segment->used;
    segment->used += align_up(native_emit(cache->rw + offset, insn), STUB_ALIGN);
    form->code = cache->rx + offset;
    memcpy(form->key, key, sizeof(form->key));
    form->next = *bucket;
    *bucket = form;
    __atomic_store_n(&form->serial, ++cache->last_serial, __ATOMIC_RELEASE);
    return form;
}

const NativeForm *native_cache_get(DbtNative *cache, const NativeInsn *insn, uint64_t *serial)
{
    uint8_t key[NATIVE_INSN_MAX + 1];
    NativeForm *form;

    make_key(key, insn);
    g_mutex_lock(&cache->lock);
    for (form = *bucket_of(cache, key); form; form = form->next) {
        if (!memcmp(form->key, key, sizeof(key))) {
            break;
        }
    }
    if (!form) {
        form = form_new(cache, insn, key);
    }
    *serial = form ? form->serial : 0;
    g_mutex_unlock(&cache->lock);
    return form;
}

const void *native_form_code(const NativeForm *form, uint64_t serial)
{
    return __atomic_load_n(&form->serial, __ATOMIC_ACQUIRE) == serial ? form->code : NULL;
}

bool native_cache_contains(const DbtNative *cache, uintptr_t address)
{
    return address - (uintptr_t)cache->rx < SEGMENTS * cache->segment_size;
}

NativeStats native_cache_stats(DbtNative *cache)
{
    NativeStats stats;

    g_mutex_lock(&cache->lock);
    stats = (NativeStats){cache->last_serial, cache->segments_reclaimed,
                          SEGMENTS * cache->segment_size};
    g_mutex_unlock(&cache->lock);
    return stats;
}

static bool map_code_memory(DbtNative *cache, GError **errp)
{
    size_t size = SEGMENTS * cache->segment_size;
    int fd = host_memfd("dbt-native", size, 0, errp);

    if (fd < 0) {
        return false;
    }
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    cache->rw = host_mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0, "dbt code memory", errp);
    if (cache->rw) {
        cache->rx = host_mmap(size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0,
                              "executable dbt code memory", errp);
    }
    close(fd);
    return cache->rx;
}

DbtNative *native_cache_new(size_t segment_size, GError **errp)
{
    DbtNative *cache = g_new0(DbtNative, 1);

    g_mutex_init(&cache->lock);
    cache->segment_size = align_up(segment_size, GUEST_PAGE_SIZE);
    cache->max_forms = cache->segment_size / FORM_BYTES;
    for (unsigned i = 0; i < SEGMENTS; i++) {
        cache->segments[i].cache = cache;
        cache->segments[i].forms = g_new0(NativeForm, cache->max_forms);
    }
    cache->segments[0].state = SEGMENT_FILLING;
    if (!map_code_memory(cache, errp)) {
        native_cache_free(cache);
        return NULL;
    }
    return cache;
}

/* No vCPU runs. */
void native_cache_free(DbtNative *cache)
{
    if (!cache) {
        return;
    }
    rcu_barrier();
    if (cache->rw) {
        munmap(cache->rw, SEGMENTS * cache->segment_size);
    }
    if (cache->rx) {
        munmap(cache->rx, SEGMENTS * cache->segment_size);
    }
    for (unsigned i = 0; i < SEGMENTS; i++) {
        g_free(cache->segments[i].forms);
    }
    g_mutex_clear(&cache->lock);
    g_free(cache);
}
