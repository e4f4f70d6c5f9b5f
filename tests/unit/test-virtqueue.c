/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues of both layouts, with a driver in the test: buffers go round, the hints about
 * notifications hold, and a driver that breaks the rules breaks its queue and nothing else.
 */
#include "virtio-rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/bits.h"
#include "core/lock.h"
#include "core/thread.h"
#include "hw/virtio/ring.h"

#define EVENT_IDX BIT(VIRTIO_F_EVENT_IDX)
#define INDIRECT  BIT(VIRTIO_F_INDIRECT_DESC)
#define PACKED    BIT(VIRTIO_F_RING_PACKED)

static const uint64_t layouts[] = { 0, PACKED };
static const RigBuffer one_out[] = { { RIG_DATA, 64, false } };

#define FOR_EACH_LAYOUT(f) for (const uint64_t *f = layouts; f < layouts + G_N_ELEMENTS(layouts); f++)

static void a_buffer_goes_to_the_device_and_back(void **state)
{
    static const RigBuffer buffers[] = {
        { RIG_DATA, 16, false }, { RIG_DATA + 0x1000, 100, false }, { RIG_DATA + 0x2000, 512, true }, { RIG_DATA + 0x3000, 1, true }
    };

    FOR_EACH_LAYOUT(f)
    {
        Rig rig;
        uint16_t id;
        uint32_t len;

        rig_init(&rig, *f, 8);
        assert_true(virtqueue_empty(&rig.vq));
        assert_null(virtqueue_pop(&rig.vq));
        uint16_t added = rig_add(&rig, buffers, 4);
        assert_false(virtqueue_empty(&rig.vq));
        VirtqElement *e = virtqueue_pop(&rig.vq);
        assert_non_null(e);
        assert_int_equal(e->out_count, 2);
        assert_int_equal(e->in_count, 2);
        assert_int_equal(e->out_bytes, 116);
        assert_int_equal(e->in_bytes, 513);
        assert_ptr_equal(e->out[0].iov_base, rig.ram->host + RIG_DATA);
        assert_ptr_equal(e->in[1].iov_base, rig.ram->host + RIG_DATA + 0x3000);
        assert_null(virtqueue_pop(&rig.vq));

        uint64_t events = rig.written_events;
        virtqueue_push(&rig.vq, e, 513);
        assert_true(rig.written_events >= events + 3); /* both parts, and the ring */
        assert_false(rig_take(&rig, &id, &len));       /* not before the flush */
        assert_true(virtqueue_flush(&rig.vq));
        assert_true(rig_take(&rig, &id, &len));
        assert_int_equal(id, added);
        assert_int_equal(len, 513);
        assert_false(rig_take(&rig, &id, &len));
        rig_release(&rig);
    }
}

static void buffers_in_any_order_keep_their_identity_over_many_rounds(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        for (unsigned size = *f ? 7 : 8; size <= 64; size *= 4) {
            Rig rig;
            g_autoptr(GRand) rand = g_rand_new_with_seed(size);
            GPtrArray *out = g_ptr_array_new();
            uint64_t added = 0, taken = 0;
            uint32_t expect[VIRTQUEUE_MAX_SIZE] = { 0 };

            rig_init(&rig, *f | INDIRECT, size);
            for (unsigned round = 0; round < 20000; round++) {
                unsigned n = g_rand_int_range(rand, 1, 4);
                RigBuffer b[3];
                for (unsigned i = 0; i < n; i++)
                    b[i] = (RigBuffer){ RIG_DATA + 0x1000 * i, 1 + (uint32_t)(added * 3 + i), true };
                /* A packed driver frees ids in the order of the ring here: a new buffer only if its id is free. */
                if (rig.free_count >= n && g_rand_boolean(rand) && !expect[rig.next_free]) {
                    bool indirect = g_rand_boolean(rand);
                    uint16_t id = indirect ? rig_add_indirect(&rig, RIG_INDIRECT + 64 * rig.next_free, b, n)
                                           : rig_add(&rig, b, n);
                    uint64_t bytes = 0;
                    for (unsigned i = 0; i < n; i++)
                        bytes += b[i].len;
                    expect[id] = bytes;
                    added++;
                }
                VirtqElement *e;
                while ((e = virtqueue_pop(&rig.vq)))
                    g_ptr_array_add(out, e);
                assert_int_equal(rig.broken, 0);
                while (out->len && g_rand_boolean(rand)) {
                    /* Used out of order only with the split ring, whose driver here keeps chains in place. */
                    guint pick = *f ? 0 : g_rand_int_range(rand, 0, out->len);
                    e = g_ptr_array_remove_index(out, pick);
                    virtqueue_push(&rig.vq, e, e->in_bytes);
                }
                virtqueue_flush(&rig.vq);
                uint16_t id;
                uint32_t len;
                while (rig_take(&rig, &id, &len)) {
                    assert_int_equal(len, expect[id]);
                    expect[id] = 0;
                    taken++;
                }
                if (!*f && rig.free_count < 4) {
                    /* Chains lie one behind the other, so the split driver lets the ring run dry now and then. */
                    for (guint i = 0; i < out->len; i++)
                        virtqueue_push(&rig.vq, g_ptr_array_index(out, i),
                                       ((VirtqElement *)g_ptr_array_index(out, i))->in_bytes);
                    g_ptr_array_set_size(out, 0);
                    virtqueue_flush(&rig.vq);
                }
            }
            assert_true(added > 500 && taken + out->len + rig.config.size >= added);
            for (guint i = 0; i < out->len; i++)
                virtqueue_drop(&rig.vq, g_ptr_array_index(out, i));
            g_ptr_array_free(out, true);
            rig_release(&rig);
        }
    }
}

static void a_batch_becomes_visible_at_once(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        Rig rig;
        VirtqElement *e[3];
        uint16_t id;
        uint32_t len;

        rig_init(&rig, *f, 8);
        for (unsigned i = 0; i < 3; i++)
            rig_add(&rig, one_out, 1);
        for (unsigned i = 0; i < 3; i++)
            assert_non_null(e[i] = virtqueue_pop(&rig.vq));
        for (unsigned i = 0; i < 3; i++) {
            virtqueue_push(&rig.vq, e[i], 0);
            assert_false(rig_take(&rig, &id, &len));
        }
        assert_true(virtqueue_flush(&rig.vq));
        for (unsigned i = 0; i < 3; i++)
            assert_true(rig_take(&rig, &id, &len));
        assert_false(virtqueue_flush(&rig.vq)); /* nothing more to show */
        rig_release(&rig);
    }
}

static void the_driver_may_turn_interrupts_off(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        Rig rig;

        rig_init(&rig, *f, 8);
        for (unsigned round = 0; round < 20; round++) {
            uint16_t id;
            uint32_t len;

            rig_want_interrupt(&rig, round & 1);
            rig_add(&rig, one_out, 1);
            virtqueue_push(&rig.vq, virtqueue_pop(&rig.vq), 0);
            assert_int_equal(virtqueue_flush(&rig.vq), round & 1);
            assert_true(rig_take(&rig, &id, &len));
        }
        rig_release(&rig);
    }
}

static void the_event_index_says_after_which_buffer_to_interrupt(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        Rig rig;

        rig_init(&rig, *f | EVENT_IDX, 8);
        /* Over many turns of the ring, and over the wrap of the 16-bit indices. */
        for (unsigned round = 0; round < 70000; round++) {
            unsigned batch = 1 + round % 3, ahead = 1 + round / 3 % 4;
            uint16_t id;
            uint32_t len;

            rig_want_interrupt_after(&rig, ahead);
            for (unsigned i = 0; i < batch; i++)
                rig_add(&rig, one_out, 1);
            for (unsigned i = 0; i < batch; i++)
                virtqueue_push(&rig.vq, virtqueue_pop(&rig.vq), 0);
            assert_int_equal(virtqueue_flush(&rig.vq), batch >= ahead);
            while (rig_take(&rig, &id, &len))
                ;
        }
        rig_release(&rig);
    }
}

static void the_device_asks_for_notifications_only_when_it_wants_them(void **state)
{
    static const uint64_t features[] = { 0, EVENT_IDX, PACKED, PACKED | EVENT_IDX };

    for (unsigned n = 0; n < G_N_ELEMENTS(features); n++) {
        Rig rig;

        rig_init(&rig, features[n], 8);
        for (unsigned round = 0; round < 50; round++) {
            uint16_t id;
            uint32_t len;

            virtqueue_set_notify(&rig.vq, true);
            rig_add(&rig, one_out, 1);
            assert_true(rig_must_notify(&rig));
            virtqueue_set_notify(&rig.vq, false);
            virtqueue_push(&rig.vq, virtqueue_pop(&rig.vq), 0);
            rig_add(&rig, one_out, 1);
            assert_false(rig_must_notify(&rig));
            virtqueue_push(&rig.vq, virtqueue_pop(&rig.vq), 0);
            virtqueue_flush(&rig.vq);
            while (rig_take(&rig, &id, &len))
                ;
        }
        rig_release(&rig);
    }
}

/* A device that never turns notifications off, and pops until there is nothing, hears of each buffer. */
static void the_event_follows_what_was_popped(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        Rig rig;

        rig_init(&rig, *f | EVENT_IDX, 8);
        for (unsigned round = 0; round < 50; round++) {
            uint16_t id;
            uint32_t len;

            rig_add(&rig, one_out, 1);
            if (round)
                assert_true(rig_must_notify(&rig));
            virtqueue_push(&rig.vq, virtqueue_pop(&rig.vq), 0);
            assert_null(virtqueue_pop(&rig.vq));
            virtqueue_flush(&rig.vq);
            while (rig_take(&rig, &id, &len))
                ;
        }
        rig_release(&rig);
    }
}

static void an_indirect_table_may_follow_direct_descriptors(void **state)
{
    Rig rig;
    RingDesc row = { .addr = RIG_DATA, .len = 8, .split = { DESC_F_NEXT, 1 } };
    RingDesc table = { .addr = RIG_INDIRECT, .len = 16, .split = { DESC_F_INDIRECT | DESC_F_WRITE, 0 } };
    RingDesc inner = { .addr = RIG_DATA + 64, .len = 8, .split = { DESC_F_WRITE, 0 } };

    rig_init(&rig, INDIRECT, 8);
    memcpy(rig.ram->host + RIG_RING, &row, 16);
    memcpy(rig.ram->host + RIG_RING + 16, &table, 16);
    memcpy(rig.ram->host + RIG_INDIRECT, &inner, 16);
    rig_write16(&rig, rig.config.driver + 2, 1);
    VirtqElement *e = virtqueue_pop(&rig.vq);
    assert_non_null(e);
    assert_int_equal(e->out_bytes, 8);
    assert_int_equal(e->in_bytes, 8); /* WRITE at the table itself means nothing */
    virtqueue_drop(&rig.vq, e);
    rig_release(&rig);
}

static void neighbouring_descriptors_become_one_vector(void **state)
{
    static const RigBuffer pages[] = { { RIG_DATA, 4096, true }, { RIG_DATA + 4096, 4096, true }, { RIG_DATA + 0x4000, 1, true } };

    FOR_EACH_LAYOUT(f)
    {
        Rig rig;

        rig_init(&rig, *f, 8);
        rig_add(&rig, pages, 3);
        VirtqElement *e = virtqueue_pop(&rig.vq);
        assert_int_equal(e->in_count, 2);
        assert_int_equal(e->in[0].iov_len, 8192);
        virtqueue_drop(&rig.vq, e);
        rig_release(&rig);
    }
}

static void headers_are_copied_wherever_the_driver_cut_them(void **state)
{
    static const RigBuffer cut[] = { { RIG_DATA, 3, false }, { RIG_DATA + 16, 5, false }, { RIG_DATA + 32, 2, true }, { RIG_DATA + 48, 2, true } };
    Rig rig;
    char text[8];

    rig_init(&rig, 0, 8);
    memcpy(rig.ram->host + RIG_DATA, "abc", 3);
    memcpy(rig.ram->host + RIG_DATA + 16, "defgh", 5);
    rig_add(&rig, cut, 4);
    VirtqElement *e = virtqueue_pop(&rig.vq);
    assert_int_equal(virtq_element_read(e, 2, text, 4), 4);
    assert_memory_equal(text, "cdef", 4);
    assert_int_equal(virtq_element_read(e, 6, text, 8), 2);
    assert_int_equal(virtq_element_write(e, 1, "xyz", 3), 3);
    assert_memory_equal(rig.ram->host + RIG_DATA + 33, "x", 1);
    assert_memory_equal(rig.ram->host + RIG_DATA + 48, "yz", 2);
    assert_int_equal(virtq_element_write(e, 4, "x", 1), 0);

    assert_true(virtq_vectors_cut_front(&e->out, &e->out_count, 4));
    assert_int_equal(e->out_count, 1);
    assert_memory_equal(e->out[0].iov_base, "efgh", 4);
    assert_true(virtq_vectors_cut_back(e->in, &e->in_count, 3));
    assert_int_equal(e->in_count, 1);
    assert_int_equal(e->in[0].iov_len, 1);
    assert_false(virtq_vectors_cut_back(e->in, &e->in_count, 3));
    virtqueue_push(&rig.vq, e, 4); /* what was cut still counts as written */
    rig_release(&rig);
}

static void what_was_popped_before_a_stop_is_dropped_after_it(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        Rig rig;
        uint16_t id;
        uint32_t len;

        rig_init(&rig, *f, 8);
        rig_add(&rig, one_out, 1);
        VirtqElement *e = virtqueue_pop(&rig.vq);
        assert_true(rig_restart(&rig));
        virtqueue_push(&rig.vq, e, 0);
        assert_false(virtqueue_flush(&rig.vq));
        assert_false(rig_take(&rig, &id, &len));
        rig_add(&rig, one_out, 1);
        assert_non_null(e = virtqueue_pop(&rig.vq));
        virtqueue_push(&rig.vq, e, 0);
        assert_true(virtqueue_flush(&rig.vq));
        rig_release(&rig);
    }
}

/* Moving RAM away under a running queue: the next access looks again. */
static void the_ring_is_found_again_after_the_memory_map_changed(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        Rig rig;
        uint16_t id;
        uint32_t len;

        rig_init(&rig, *f, 8);
        machine_lock();
        memory_region_set_enabled(&rig.ram_mr, false);
        machine_unlock();
        assert_null(virtqueue_pop(&rig.vq));
        assert_int_equal(rig.broken, 1);
        machine_lock();
        memory_region_set_enabled(&rig.ram_mr, true);
        machine_unlock();
        assert_null(virtqueue_pop(&rig.vq)); /* broken stays broken */
        assert_true(rig_restart(&rig));
        rig_add(&rig, one_out, 1);
        virtqueue_push(&rig.vq, virtqueue_pop(&rig.vq), 0);
        assert_true(virtqueue_flush(&rig.vq));
        assert_true(rig_take(&rig, &id, &len));
        rig_release(&rig);
    }
}

/* Two halves of RAM in reverse order: the ring lies across the seam and has no single host address. */
static void a_ring_across_two_pieces_of_ram_works(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        Rig rig;
        MemoryRegion low, high;
        const uint64_t base = 0x2000000, seam = base + 0x1000;
        uint8_t *host_low, *host_high;

        rig_init(&rig, *f, 256);
        host_low = rig.ram->host + RIG_RING + 0x1000, host_high = rig.ram->host + RIG_RING;
        machine_lock();
        memory_region_init_ram(&low, "low", rig.ram, RIG_RING + 0x1000, 0x1000);
        memory_region_init_ram(&high, "high", rig.ram, RIG_RING, 0x1000);
        memory_region_add(&rig.root, base, &low, 0);
        memory_region_add(&rig.root, seam, &high, 0);
        machine_unlock();
        rig.as.ram_written = NULL;
        virtqueue_stop(&rig.vq);
        memset(rig.ram->host + RIG_RING, 0, 0x4000);
        VirtqueueConfig config = rig.config;
        config.desc = base + 0x800; /* 4 KiB of descriptors: half below the seam */
        assert_true(virtqueue_start(&rig.vq, &config, *f));
        assert_null(rig.vq.desc.host);
        for (unsigned i = 0; i < 200; i++) {
            RingDesc row = { .addr = RIG_DATA + i, .len = 1 };
            if (*f)
                row.packed.flags = DESC_F_AVAIL;
            memcpy(i < 128 ? host_low + 0x800 + 16 * i : host_high + 16 * (i - 128), &row, 16);
            rig_write16(&rig, config.driver + 4 + 2 * i, i);
        }
        if (!*f)
            rig_write16(&rig, config.driver + 2, 200);
        else
            memset(rig.ram->host + config.driver, 0, 4);
        for (unsigned i = 0; i < 200; i++) {
            VirtqElement *e = virtqueue_pop(&rig.vq);
            assert_non_null(e);
            assert_ptr_equal(e->out[0].iov_base, rig.ram->host + RIG_DATA + i);
            virtqueue_push(&rig.vq, e, 0);
        }
        virtqueue_flush(&rig.vq);
        assert_int_equal(rig.broken, 0);
        virtqueue_stop(&rig.vq);
        machine_lock();
        memory_region_remove(&low);
        memory_region_remove(&high);
        memory_region_release(&low);
        memory_region_release(&high);
        machine_unlock();
        rig_release(&rig);
    }
}

/* --- what breaks a queue --- */

static void expect_broken(Rig *rig)
{
    unsigned broken = rig->broken;

    assert_null(virtqueue_pop(&rig->vq));
    assert_int_equal(rig->broken, broken + 1);
    assert_null(virtqueue_pop(&rig->vq));
    assert_int_equal(rig->broken, broken + 1); /* said once */
    assert_true(rig_restart(rig));
}

static void a_buffer_outside_ram_breaks_the_queue(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        static const RigBuffer bad[] = {
            { RIG_RAM_SIZE, 4, false },             /* the hole */
            { RIG_RAM_SIZE - 4, 8, true },          /* RAM, then the hole */
            { RIG_ROM, 4, true },                   /* ROM is not for writing */
            { UINT64_MAX - 3, 8, false },           /* wraps */
            { MEMORY_SPACE_SIZE - 4, 0xffffffff, true },
        };
        Rig rig;

        rig_init(&rig, *f, 8);
        for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
            rig_add(&rig, &bad[i], 1);
            expect_broken(&rig);
        }
        RigBuffer rom = { RIG_ROM, 4, false };
        rig_add(&rig, &rom, 1);
        VirtqElement *e = virtqueue_pop(&rig.vq);
        assert_non_null(e);
        virtqueue_drop(&rig.vq, e);
        rig_release(&rig);
    }
}

static void a_part_for_reading_behind_one_for_writing_breaks_the_queue(void **state)
{
    static const RigBuffer bad[] = { { RIG_DATA, 4, true }, { RIG_DATA + 64, 4, false } };

    FOR_EACH_LAYOUT(f)
    {
        Rig rig;

        rig_init(&rig, *f | INDIRECT, 8);
        rig_add(&rig, bad, 2);
        expect_broken(&rig);
        rig_add_indirect(&rig, RIG_INDIRECT, bad, 2);
        expect_broken(&rig);
        rig_release(&rig);
    }
}

static void a_loop_of_descriptors_breaks_the_queue(void **state)
{
    Rig rig;

    rig_init(&rig, INDIRECT, 8);
    rig_add_raw(&rig, RIG_DATA, 1, DESC_F_NEXT, 0); /* names itself */
    expect_broken(&rig);
    rig_add_raw(&rig, RIG_DATA, 1, DESC_F_NEXT, 8); /* outside the table */
    expect_broken(&rig);
    RingDesc self = { .addr = RIG_DATA, .len = 1, .split = { DESC_F_NEXT, 0 } };
    memcpy(rig.ram->host + RIG_INDIRECT, &self, 16);
    rig_add_raw(&rig, RIG_INDIRECT, 32, DESC_F_INDIRECT, 0);
    expect_broken(&rig);
    self.split.next = 2;
    memcpy(rig.ram->host + RIG_INDIRECT, &self, 16);
    rig_add_raw(&rig, RIG_INDIRECT, 32, DESC_F_INDIRECT, 0);
    expect_broken(&rig);
    /* No end: all eight descriptors of a packed ring say NEXT. */
    Rig packed;
    rig_init(&packed, PACKED, 8);
    for (unsigned i = 0; i < 8; i++)
        rig_add_raw(&packed, RIG_DATA, 1, DESC_F_NEXT, 0);
    expect_broken(&packed);
    rig_release(&packed);
    rig_release(&rig);
}

static void a_bad_indirect_table_breaks_the_queue(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        static const struct {
            uint64_t addr;
            uint32_t len;
            uint16_t flags;
        } bad[] = {
            { RIG_INDIRECT, 0, 0 },            { RIG_INDIRECT, 24, 0 },
            { RIG_RAM_SIZE, 16, 0 },           { RIG_RAM_SIZE - 16, 32, 0 },
            { UINT64_MAX - 15, 32, 0 },        { RIG_INDIRECT, 32, DESC_F_NEXT },
        };
        Rig rig;
        RingDesc nested = { .addr = RIG_INDIRECT + 64, .len = 16 };

        rig_init(&rig, *f | INDIRECT, 8);
        for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
            rig_add_raw(&rig, bad[i].addr, bad[i].len, bad[i].flags | DESC_F_INDIRECT, 0);
            /* Rows that would be fine by themselves. */
            RingDesc row = { .addr = RIG_DATA, .len = 1 };
            row.split.flags = *f ? 0 : DESC_F_NEXT;
            row.split.next = *f ? 0 : 1;
            memcpy(rig.ram->host + RIG_RAM_SIZE - 16, &row, 16);
            expect_broken(&rig);
        }
        *(*f ? &nested.packed.flags : &nested.split.flags) = DESC_F_INDIRECT;
        memcpy(rig.ram->host + RIG_INDIRECT, &nested, 16);
        rig_add_raw(&rig, RIG_INDIRECT, 16, DESC_F_INDIRECT, 0);
        expect_broken(&rig);
        rig_release(&rig);

        rig_init(&rig, *f, 8); /* not negotiated */
        rig_add_indirect(&rig, RIG_INDIRECT, one_out, 1);
        expect_broken(&rig);
        rig_release(&rig);
    }
}

static void more_pieces_or_bytes_than_a_buffer_may_have_break_the_queue(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        Rig rig;
        g_autofree RigBuffer *many = g_new0(RigBuffer, 1025);

        rig_init(&rig, *f | INDIRECT, 8);
        for (unsigned i = 0; i < 1025; i++)
            many[i] = (RigBuffer){ RIG_DATA + 32 * (i & 1023), 16, true };
        rig_add_indirect(&rig, RIG_INDIRECT, many, 1024);
        VirtqElement *e = virtqueue_pop(&rig.vq);
        assert_non_null(e);
        assert_int_equal(e->in_count, 1024);
        virtqueue_push(&rig.vq, e, e->in_bytes);
        assert_true(rig_restart(&rig));
        rig_add_indirect(&rig, RIG_INDIRECT, many, 1025);
        expect_broken(&rig);
        /* Parts that overlap count each time: 512 times 8 MiB is just not too much. */
        for (unsigned i = 0; i < 513; i++)
            many[i] = (RigBuffer){ 0, RIG_RAM_SIZE, true };
        rig_add_indirect(&rig, RIG_INDIRECT, many, 512);
        assert_non_null(e = virtqueue_pop(&rig.vq));
        assert_int_equal(e->in_bytes, UINT64_C(1) << 32);
        virtqueue_drop(&rig.vq, e);
        assert_true(rig_restart(&rig));
        many[512].len = 1;
        rig_add_indirect(&rig, RIG_INDIRECT, many, 513);
        expect_broken(&rig);
        rig_release(&rig);
    }
}

static void an_available_index_that_jumps_breaks_the_queue(void **state)
{
    Rig rig;

    rig_init(&rig, 0, 8);
    rig_write16(&rig, rig.config.driver + 2, 9);
    expect_broken(&rig);
    rig_write16(&rig, rig.config.driver + 2, 0xffff);
    expect_broken(&rig);
    rig_write16(&rig, rig.config.driver + 4, 8); /* a head outside the table */
    rig_write16(&rig, rig.config.driver + 2, 1);
    expect_broken(&rig);
    rig_release(&rig);
}

static void no_more_buffers_are_out_than_the_ring_has_entries(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        Rig rig;
        VirtqElement *e[8];

        rig_init(&rig, *f, 8);
        for (unsigned i = 0; i < 8; i++)
            rig_add(&rig, one_out, 1);
        for (unsigned i = 0; i < 8; i++)
            assert_non_null(e[i] = virtqueue_pop(&rig.vq));
        rig_add_raw(&rig, RIG_DATA, 1, 0, 0); /* nothing came back yet */
        assert_null(virtqueue_pop(&rig.vq));
        assert_int_equal(rig.broken, 1);
        for (unsigned i = 0; i < 8; i++)
            virtqueue_push(&rig.vq, e[i], 0);
        assert_false(virtqueue_flush(&rig.vq));
        rig_release(&rig);
    }
}

static void a_queue_does_not_start_where_no_ring_can_be(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        Rig rig;

        rig_init(&rig, *f, 8);
        VirtqueueConfig good = rig.config;
        VirtqueueConfig bad[] = { good, good, good, good, good, good, good };
        bad[0].size = 0;
        bad[1].size = 512; /* more than the device offers */
        bad[2].desc += 8;
        bad[3].driver += *f ? 2 : 1;
        bad[4].device += 2;
        bad[5].desc = MEMORY_SPACE_SIZE - 16;
        bad[6].device = UINT64_MAX - 3;
        for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
            virtqueue_stop(&rig.vq);
            assert_false(virtqueue_start(&rig.vq, &bad[i], *f));
            assert_int_equal(rig.broken, i + 1);
            assert_null(virtqueue_pop(&rig.vq));
        }
        bad[0].size = 7; /* a packed ring's size is any number */
        virtqueue_stop(&rig.vq);
        assert_int_equal(virtqueue_start(&rig.vq, &bad[0], *f), *f != 0);
        rig_release(&rig);
    }
}

static void a_ring_in_rom_cannot_be_used(void **state)
{
    FOR_EACH_LAYOUT(f)
    {
        Rig rig;

        rig_init(&rig, *f, 8);
        rig.config.device = RIG_ROM;
        assert_true(rig_restart(&rig));
        rig_add(&rig, one_out, 1);
        VirtqElement *e = virtqueue_pop(&rig.vq);
        if (e) {
            virtqueue_set_notify(&rig.vq, false);
            virtqueue_push(&rig.vq, e, 0);
            virtqueue_flush(&rig.vq);
        }
        assert_int_equal(rig.broken, 1);
        rig_release(&rig);
    }
}

/* Random rings and random changes to them: whatever happens, the process and the bounds hold. */
static void random_rings_break_nothing_but_themselves(void **state)
{
    const char *depth = g_getenv("VMM_TEST_DEPTH");
    unsigned seeds = depth && !strcmp(depth, "full") ? 20000 : 1000;

    for (unsigned seed = 0; seed < seeds; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        uint64_t features = (seed & 1 ? PACKED : 0) | (seed & 2 ? EVENT_IDX : 0) | (seed & 4 ? INDIRECT : 0);
        static Rig rig;
        GPtrArray *out = g_ptr_array_new();

        if (!seed)
            rig_init(&rig, features, 16);
        rig.features = features;
        rig.packed = features & PACKED;
        assert_true(rig_restart(&rig));
        for (unsigned step = 0; step < 60; step++) {
            unsigned row = g_rand_int_range(rand, 0, 24);
            RingDesc desc = {
                .addr = g_rand_int_range(rand, 0, 4) ? (uint64_t)g_rand_int_range(rand, 0, RIG_RAM_SIZE)
                                                     : (uint64_t)g_rand_int(rand) << g_rand_int_range(rand, 0, 33),
                .len = g_rand_int(rand) >> g_rand_int_range(rand, 8, 32),
                .split = { g_rand_int_range(rand, 0, 8), g_rand_int_range(rand, 0, 20) },
            };
            if (rig.packed)
                desc.packed.id = g_rand_int(rand),
                desc.packed.flags = g_rand_int_range(rand, 0, 8) | (g_rand_boolean(rand) ? DESC_F_AVAIL : DESC_F_USED);
            if (row >= 16)
                memcpy(rig.ram->host + RIG_INDIRECT + 16 * (row - 16), &desc, 16);
            else
                memcpy(rig.ram->host + RIG_RING + 16 * row, &desc, 16);
            if (g_rand_int_range(rand, 0, 3) == 0) {
                rig_write16(&rig, rig.config.driver + 4 + 2 * (rig.avail_idx & 15), g_rand_int_range(rand, 0, 17));
                rig_write16(&rig, rig.config.driver + 2, ++rig.avail_idx);
            }
            VirtqElement *e = virtqueue_pop(&rig.vq);
            if (e) {
                assert_true(e->out_count + e->in_count <= VIRTQUEUE_MAX_VECTORS);
                assert_true(e->out_bytes + e->in_bytes <= UINT64_C(1) << 32);
                for (unsigned i = 0; i < e->in_count; i++)
                    memset(e->in[i].iov_base, seed, MIN(e->in[i].iov_len, 64));
                g_ptr_array_add(out, e);
            }
            assert_true(out->len <= 16);
            if (out->len && g_rand_boolean(rand)) {
                e = g_ptr_array_remove_index(out, 0);
                virtqueue_push(&rig.vq, e, e->in_bytes);
            }
            if (g_rand_boolean(rand))
                virtqueue_flush(&rig.vq);
            virtqueue_set_notify(&rig.vq, g_rand_boolean(rand));
            if (rig.vq.broken && !out->len)
                assert_true(rig_restart(&rig));
        }
        for (guint i = 0; i < out->len; i++)
            virtqueue_drop(&rig.vq, g_ptr_array_index(out, i));
        g_ptr_array_free(out, true);
        if (seed + 1 == seeds)
            rig_release(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_goes_to_the_device_and_back),
        cmocka_unit_test(buffers_in_any_order_keep_their_identity_over_many_rounds),
        cmocka_unit_test(a_batch_becomes_visible_at_once),
        cmocka_unit_test(the_driver_may_turn_interrupts_off),
        cmocka_unit_test(the_event_index_says_after_which_buffer_to_interrupt),
        cmocka_unit_test(the_device_asks_for_notifications_only_when_it_wants_them),
        cmocka_unit_test(the_event_follows_what_was_popped),
        cmocka_unit_test(an_indirect_table_may_follow_direct_descriptors),
        cmocka_unit_test(neighbouring_descriptors_become_one_vector),
        cmocka_unit_test(headers_are_copied_wherever_the_driver_cut_them),
        cmocka_unit_test(what_was_popped_before_a_stop_is_dropped_after_it),
        cmocka_unit_test(the_ring_is_found_again_after_the_memory_map_changed),
        cmocka_unit_test(a_ring_across_two_pieces_of_ram_works),
        cmocka_unit_test(a_buffer_outside_ram_breaks_the_queue),
        cmocka_unit_test(a_part_for_reading_behind_one_for_writing_breaks_the_queue),
        cmocka_unit_test(a_loop_of_descriptors_breaks_the_queue),
        cmocka_unit_test(a_bad_indirect_table_breaks_the_queue),
        cmocka_unit_test(more_pieces_or_bytes_than_a_buffer_may_have_break_the_queue),
        cmocka_unit_test(an_available_index_that_jumps_breaks_the_queue),
        cmocka_unit_test(no_more_buffers_are_out_than_the_ring_has_entries),
        cmocka_unit_test(a_queue_does_not_start_where_no_ring_can_be),
        cmocka_unit_test(a_ring_in_rom_cannot_be_used),
        cmocka_unit_test(random_rings_break_nothing_but_themselves),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
