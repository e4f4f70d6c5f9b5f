#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Images that qemu-img wrote read back equal here, and ours there, whatever they were made with."""

import itertools
import os

from imgtest import MIB, contents, disk, folder, img, qemu, qemu_io
from vmmtest import Suite

suite = Suite()

LAYOUTS = [
    "cluster_size=512", "cluster_size=4k", "cluster_size=64k", "cluster_size=2M", "compat=0.10", "compat=0.10,cluster_size=1k",
    "extended_l2=on", "extended_l2=on,cluster_size=16k", "extended_l2=on,cluster_size=2M", "lazy_refcounts=on",
    "compression_type=zstd", *(f"refcount_bits={bits}" for bits in (1, 2, 4, 8, 16, 32, 64)),
    *(f"preallocation={mode}" for mode in ("metadata", "falloc", "full")), "preallocation=metadata,extended_l2=on",
    "refcount_bits=64,cluster_size=512,lazy_refcounts=on",
]


def both_ways():
    return itertools.permutations((img, qemu))


@suite.test
def every_layout_is_read_by_the_other():
    with folder():
        disk("a.raw", 3 * MIB + 512)
        for layout in LAYOUTS:
            for writer, reader in both_ways():
                writer(f"convert -O qcow2 -o {layout} a.raw b.qcow2")
                reader("check b.qcow2")
                reader("compare a.raw b.qcow2")
                reader("convert -O raw b.qcow2 c.raw")
                assert contents("a.raw") == contents("c.raw"), layout


@suite.test
def compressed_images_are_read_by_the_other():
    with folder():
        disk("a.raw", 3 * MIB + 512)
        for layout in ("cluster_size=512", "cluster_size=64k", "cluster_size=2M", "compression_type=zstd", "extended_l2=on", "compat=0.10",
                       "refcount_bits=1,cluster_size=4k", "refcount_bits=64"):
            for writer, reader in both_ways():
                writer(f"convert -c -O qcow2 -o {layout} a.raw b.qcow2")
                reader("check b.qcow2")
                reader("compare a.raw b.qcow2")


@suite.test
def chains_of_both_are_read_by_the_other():
    with folder():
        disk("base.raw", 2 * MIB)
        for layout in ("cluster_size=64k", "extended_l2=on", "compat=0.10", "cluster_size=512"):
            for writer, reader in both_ways():
                writer(f"create -q -f qcow2 -o {layout} -b base.raw -F raw one.qcow2")
                qemu_io("one.qcow2", "write -P 1 100k 300k", "write -z 700k 64k")
                writer(f"create -q -f qcow2 -o {layout} -b one.qcow2 -F qcow2 two.qcow2 3M")
                qemu_io("two.qcow2", "write -P 2 3k 70k", "write -P 3 2500k 10k", "discard 128k 64k")
                writer("convert -O raw two.qcow2 a.raw")
                reader("convert -O raw two.qcow2 b.raw")
                assert contents("a.raw") == contents("b.raw"), layout
                reader("compare a.raw two.qcow2")
                reader("check two.qcow2")
                writer("rebase -b base.raw -F raw two.qcow2")
                reader("compare a.raw two.qcow2")
                reader("commit -q two.qcow2")
                writer("compare a.raw base.raw")
                disk("base.raw", 2 * MIB)


@suite.test
def snapshots_of_both_are_applied_by_the_other():
    with folder():
        states = [disk(f"{n}.raw", 2 * MIB, seed=n) for n in range(3)]
        for layout in ("cluster_size=64k", "extended_l2=on", "compat=0.10", "cluster_size=512", "refcount_bits=8"):
            for writer, reader in both_ways():
                writer(f"create -q -f qcow2 -o {layout} s.qcow2 2M")
                for number, state in enumerate(states):
                    writer(f"convert -n -O qcow2 {state} s.qcow2")
                    writer(f"snapshot -c state{number} s.qcow2")
                for number in (1, 0, 2):
                    reader(f"snapshot -a state{number} s.qcow2")
                    writer(f"compare {states[number]} s.qcow2")
                    writer("check s.qcow2")
                reader("snapshot -d state1 s.qcow2")
                writer("check s.qcow2")
                writer("snapshot -d state0 s.qcow2")
                reader("check s.qcow2")
                reader(f"convert -l state2 -O raw s.qcow2 old.raw")
                assert contents("old.raw") == contents(states[2])


@suite.test
def images_that_were_resized_are_read_by_the_other():
    with folder():
        disk("a.raw", 2 * MIB)
        for layout in ("cluster_size=64k", "extended_l2=on", "cluster_size=4k", "compat=0.10", "refcount_bits=1"):
            for writer, reader in both_ways():
                writer(f"convert -O qcow2 -o {layout} a.raw b.qcow2")
                reader("resize -q b.qcow2 40M")
                writer("check b.qcow2")
                writer("resize -q --shrink b.qcow2 1M")
                reader("check b.qcow2")
                reader("resize -q --preallocation=metadata b.qcow2 2M")
                writer("check b.qcow2")
                writer("convert -O raw b.qcow2 c.raw")
                assert contents("c.raw") == contents("a.raw")[:MIB] + bytes(MIB), layout
                assert os.path.getsize("b.qcow2") < 6 * MIB


suite.main()
