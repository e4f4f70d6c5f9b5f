#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vmm-img, command by command, as a script would use it: output, exit status, what it refuses."""

import json
import os
import re
import struct

from imgtest import IMG, KIB, MIB, contents, disk, folder, img, qemu, qemu_io, refused, resident_mib, run
from vmmtest import Suite

suite = Suite()


def patch(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def same_text(command):
    """Both programs print the same."""
    ours, theirs = img(command), qemu(command)
    assert ours == theirs, f"{command}:\n{ours}\n--- and qemu-img:\n{theirs}"


def same_json(command, ignore=()):
    ours, theirs = json.loads(img(command)), json.loads(qemu(command))
    for key in ignore:
        theirs.pop(key, None)
    assert ours == theirs, f"{command}: {ours} and {theirs}"


def make_chain():
    img("create -q -f qcow2 base.qcow2 4M")
    qemu_io("base.qcow2", "write -P 5 0 1M", "write -P 6 3M 100k")
    img("create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2")
    img("snapshot -c first top.qcow2")
    qemu_io("top.qcow2", "write -P 7 2M 320k", "write -z 0 128k", "discard 3M 64k")


# --- the program ---

@suite.test
def every_command_shows_its_help():
    names = re.findall(r"^  (\w+) ", img("--help").split("\n\n")[2], re.M)
    assert len(names) == 14, names
    for name in names:
        text = img(f"{name} --help")
        assert text.startswith(f"Usage: vmm-img {name} ") and "-h, --help" in text, text
    assert re.match(r"vmm-img version \d", img("--version"))


@suite.test
def wrong_command_lines_get_one_line():
    with folder():
        img("create -q x.raw 1M")
        refused("", "no command", "--help")
        refused("craete x 1M", "craete", "did you mean 'create'")
        refused("create --size", "there is no option '--size'", "vmm-img create --help")
        refused("info -x x.raw", "there is no option '-x'")
        refused("info -f", "'-f' wants a value")
        refused("info", "FILENAME")
        refused("info a b", "too many")
        refused("info --output=xml x.raw", "xml", "human", "json")
        refused("info -f qcow3 x.raw", "qcow3", "qcow2")
        refused("create -f raw y.raw 1x", "1x")
        refused("create y.raw", "size")
        refused("convert -t fast x.raw y.raw", "fast", "writeback")
        refused("convert -m 17 x.raw y.raw", "17")
        refused("info nbd:localhost:1", "nbd", "./nbd:localhost:1")
        assert not os.path.exists("y.raw")


@suite.test
def every_option_of_qemu_img_is_there_or_refused_by_name():
    syntax = dict(re.findall(r"^  (\w+) (\[.*|--.*|\(.*)$", qemu("--help").split("Command parameters:")[0], re.M))
    assert len(syntax) == 15, sorted(syntax)
    syntax.pop("bitmap")
    refused("bitmap --add a b", "no command 'bitmap'")
    for command, text in syntax.items():
        help_text = img(f"{command} --help")
        for option in sorted(set(re.findall(r"(?<=[\[ ])(--?[a-zA-Z][\w-]*)", text))):
            if not re.search(rf"^  (-\w, )?{option}\b", help_text, re.M):
                done = run(IMG, [command, option, "x"])
                assert done.returncode in (1, 2) and f"{option}: " in done.stderr, f"{command} {option}: {done.stderr}"


# --- create ---

@suite.test
def create_checks_everything_before_it_writes():
    with folder():
        img("create -q -f raw precious 1M")
        patch("precious", 0, b"precious")
        before = contents("precious")
        refused("create -f qcow2 -o cluster_size=100 precious 1M", "cluster_size")
        refused("create -f qcow2 -o clustersize=64k precious 1M", "clustersize", "cluster_size")
        refused("create -f qcow2 -o compat=0.10,extended_l2=on precious 1M", "compat")
        refused("create -f qcow2 -b nothing -F qcow2 precious 1M", "nothing")
        refused("create -f qcow2 -b nothing precious 1M", "-F")
        refused("create -f qcow2 -o cluster_size=512 precious 1P", "cluster_size")
        assert contents("precious") == before
        refused("create -f qcow2 -o refcount_bits=3 new 1M", "refcount_bits")
        assert not os.path.exists("new")


@suite.test
def create_makes_all_kinds():
    with folder():
        for options in ("", "-o cluster_size=512", "-o cluster_size=2M", "-o compat=0.10", "-o compat=v3,lazy_refcounts=on",
                        "-o extended_l2=on", "-o compression_type=zstd", "-o refcount_bits=1", "-o refcount_bits=64",
                        "-o preallocation=metadata", "-o preallocation=falloc,cluster_size=4k", "-o preallocation=full,extended_l2=on"):
            img(f"create -q -f qcow2 {options} a.qcow2 3M")
            qemu("check a.qcow2")
            assert json.loads(qemu("info --output=json a.qcow2"))["virtual-size"] == 3 * MIB
            qemu("create -q z.raw 3M")
            qemu("compare a.qcow2 z.raw")
        img("create -q -f raw -o preallocation=full a.raw 1M")
        assert os.stat("a.raw").st_blocks * 512 >= MIB
        assert img("create -f qcow2 -o help").startswith("Supported qcow2 options:")


@suite.test
def preallocation_takes_the_space_at_once():
    with folder():
        img("create -q -f qcow2 -o preallocation=falloc a.qcow2 8M")
        assert os.stat("a.qcow2").st_blocks * 512 >= 8 * MIB
        img("resize --preallocation=metadata a.qcow2 +4M")
        assert all(entry["present"] for entry in json.loads(img("map --output=json a.qcow2")))
        qemu("check a.qcow2")
        refused("create -f qcow2 -o preallocation=full -b a.qcow2 -F qcow2 b.qcow2", "extended_l2")


# --- what is there ---

@suite.test
def info_map_check_and_snapshot_print_what_qemu_img_prints():
    with folder():
        make_chain()
        for command in ("info top.qcow2", "map top.qcow2", "map --output=json top.qcow2", "map --output=json base.qcow2",
                        "check top.qcow2", "snapshot -l top.qcow2", "map --start-offset=1M --max-length=2M --output=json top.qcow2",
                        "measure -O qcow2 --size 1G", "measure -O qcow2 -o cluster_size=4k,refcount_bits=64 --size 3T", "measure -O raw top.qcow2"):
            same_text(command)
        same_json("info --output=json top.qcow2")
        same_json("info --output=json --backing-chain top.qcow2")
        same_json("check --output=json top.qcow2")
        same_json("measure --output=json -O qcow2 top.qcow2", ignore=["bitmaps"])
        same_json("measure --output=json -O qcow2 -l first top.qcow2", ignore=["bitmaps"])
        same_json("measure --output=json -O qcow2 -o preallocation=full base.qcow2", ignore=["bitmaps"])


@suite.test
def a_chain_that_leads_into_itself_ends():
    with folder():
        img("create -q -f qcow2 -u -b b.qcow2 -F qcow2 a.qcow2 1M")
        img("create -q -f qcow2 -u -b a.qcow2 -F qcow2 b.qcow2 1M")
        assert run(IMG, "info --backing-chain a.qcow2").stderr.count("\n") == 1
        refused("map a.qcow2", "its own backing file")
        refused("commit a.qcow2", "a.qcow2")


# --- check ---

@suite.test
def check_has_a_status_for_each_outcome():
    with folder():
        disk("a.raw")
        img("convert -O qcow2 a.raw a.qcow2")
        img("check a.qcow2")
        end = os.path.getsize("a.qcow2")
        refblock = struct.unpack(">Q", contents("a.qcow2")[65536:65544])[0]
        patch("a.qcow2", refblock + 2 * (end // 65536), b"\0\1")  # a cluster nobody uses
        with open("a.qcow2", "ab") as file:
            file.truncate(end + 65536)
        assert "1 leaked clusters" in img("check a.qcow2", status=3)
        qemu("check a.qcow2", status=3)
        assert json.loads(img("check --output=json a.qcow2", status=3))["leaks"] == 1
        assert "1 leaked clusters\n    0 corruptions" in img("check -r leaks a.qcow2")
        patch("a.qcow2", refblock + 2 * 5, b"\0\0")  # a cluster in use
        assert "1 errors were found" in img("check a.qcow2", status=2)
        img("check -r all a.qcow2")
        qemu("check a.qcow2")
        img("compare a.raw a.qcow2")
        refused("check a.raw", "nothing to check", status=63)
        refused("check nothing.qcow2", "nothing.qcow2")


# --- convert, compare, dd ---

@suite.test
def convert_keeps_the_disk_whatever_the_options():
    with folder():
        disk("a.raw", 5 * MIB + 512 * 3)
        for options in ("", "-W -m 16", "-m 1", "-S 0", "-S 64k", "-c", "-c -W -o compression_type=zstd", "-o cluster_size=512", "-t none -T none",
                        "-t directsync", "-c -o cluster_size=2M", "-o extended_l2=on", "-o preallocation=metadata", "-r 1G"):
            img(f"convert -O qcow2 {options} a.raw b.qcow2")
            qemu("check b.qcow2")
            qemu("compare a.raw b.qcow2")
            img("convert -O raw b.qcow2 c.raw")
            assert contents("a.raw") == contents("c.raw"), options


@suite.test
def convert_writes_the_clusters_in_the_disks_order():
    with folder():
        disk("a.raw", 16 * MIB)
        img("convert -O qcow2 -m 8 a.raw a.qcow2")
        offsets = [entry["offset"] for entry in json.loads(img("map --output=json a.qcow2")) if entry["data"]]
        assert offsets == sorted(offsets)


@suite.test
def convert_makes_holes():
    with folder():
        with open("a.raw", "wb") as file:
            file.write(b"x" * 65536 + bytes(16 * MIB))
        img("convert -O raw a.raw b.raw")
        assert os.stat("b.raw").st_blocks * 512 <= 128 * KIB
        img("convert -O qcow2 a.raw b.qcow2")
        assert os.path.getsize("b.qcow2") <= 6 * 65536


@suite.test
def convert_joins_images_and_takes_snapshots():
    with folder():
        disk("a.raw", seed=1)
        disk("b.raw", seed=2)
        img("convert a.raw b.raw both.raw")
        assert contents("both.raw") == contents("a.raw") + contents("b.raw")
        img("convert -O qcow2 a.raw s.qcow2")
        img("snapshot -c old s.qcow2")
        img("convert -n -O qcow2 b.raw s.qcow2")
        img("convert -l old s.qcow2 old.raw")
        img("convert -l snapshot.name=old s.qcow2 old2.raw")
        img("convert s.qcow2 new.raw")
        assert contents("old.raw") == contents("old2.raw") == contents("a.raw") and contents("new.raw") == contents("b.raw")
        refused("convert -l nothing s.qcow2 no.raw", "nothing")
        refused("convert -l old a.raw no.raw", "no snapshots")


@suite.test
def convert_over_a_backing_file_leaves_out_what_that_has():
    with folder():
        make_chain()
        img("convert -O qcow2 -B base.qcow2 -F qcow2 top.qcow2 new.qcow2")
        qemu("compare top.qcow2 new.qcow2")
        assert os.path.getsize("new.qcow2") < os.path.getsize("base.qcow2")
        refused("convert -O qcow2 -B base.qcow2 top.qcow2 new2.qcow2", "-F")
        refused("convert -O raw -c top.qcow2 new.raw", "compression")


@suite.test
def convert_lets_the_host_copy_what_it_can():
    with folder():
        disk("a.raw", 4 * MIB + 512)
        img("convert -O qcow2 a.raw a.qcow2")
        for source in ("a.raw", "a.qcow2"):
            for target in ("raw", "qcow2"):
                img(f"convert -C -O {target} {source} b")
                img(f"compare -F {target} a.raw b")
            img(f"convert -C -W -m 4 {source} b.raw")
            img("compare -f raw -F raw a.raw b.raw")
        img("convert -C -n -O qcow2 a.raw a.qcow2")
        img("compare a.raw a.qcow2")
        qemu("check a.qcow2")
        refused("convert -C -c -O qcow2 a.raw c.qcow2", "-C", "leave out -c")
        refused("convert -C -S 4k a.raw c.raw", "-C", "leave out -S")
        refused("convert -S 100 a.raw c.raw", "-S", "'100'", "multiple of 512")
        assert not os.path.exists("c.qcow2") and not os.path.exists("c.raw")


@suite.test
def bitmaps_of_qemu_are_kept_by_readers_and_out_of_date_after_writes():
    with folder():
        img("create -q -f qcow2 a.qcow2 8M")
        qemu_io("a.qcow2", "write -P 5 0 1M")
        qemu("bitmap --add a.qcow2 marks")
        before = contents("a.qcow2")
        img("info a.qcow2")
        img("check a.qcow2")
        img("convert -O raw a.qcow2 a.raw")
        img("bench -q -c 10 -f qcow2 a.qcow2")
        assert contents("a.qcow2") == before
        assert "marks" in qemu("info a.qcow2")
        img("bench -q -w --pattern 7 -c 10 -f qcow2 a.qcow2")
        assert struct.unpack_from(">Q", contents("a.qcow2"), 88)[0] == 0  # autoclear features
        assert "marks" not in qemu("info a.qcow2")
        img("check a.qcow2")
        assert run("qemu-img", "check a.qcow2").returncode in (0, 3)  # the bitmap's clusters may be lost space now
        refused("convert --bitmaps -O qcow2 a.qcow2 b.qcow2", "--bitmaps", "persistent bitmaps")


@suite.test
def convert_shows_how_far_it_is():
    with folder():
        disk("a.raw")
        text = run(IMG, "convert -p -O qcow2 a.raw a.qcow2").stdout
        steps = [float(step) for step in re.findall(r"\(([\d.]+)/100%\)", text)]
        assert steps[0] == 0 and steps[-1] == 100 and steps == sorted(steps), steps


@suite.test
def compare_has_a_status_for_each_outcome():
    with folder():
        disk("a.raw")
        img("convert -O qcow2 a.raw b.qcow2")
        assert img("compare a.raw b.qcow2") == "Images are identical.\n"
        qemu_io("b.qcow2", "write -P 200 2097664 512")
        same = img("compare a.raw b.qcow2", status=1)
        assert same == qemu("compare a.raw b.qcow2", status=1), same
        img("create -q c.raw 5M")
        img("create -q d.raw 6M")
        assert img("compare c.raw d.raw") == "Warning: Image size mismatch!\nImages are identical.\n"
        assert img("compare -s c.raw d.raw", status=1) == "Strict mode: Image size mismatch!\n"
        img("compare -q a.raw c.raw", status=1)
        refused("compare a.raw nothing", "nothing", status=2)


@suite.test
def dd_copies_a_part():
    with folder():
        disk("a.raw")
        img("dd if=a.raw of=b.raw bs=1M count=2 skip=1")
        assert contents("b.raw") == contents("a.raw")[MIB:3 * MIB]
        img("dd -O qcow2 if=a.raw of=b.qcow2 bs=512")
        qemu("compare a.raw b.qcow2")
        refused("dd if=a.raw bs=1M of=c.raw seek=1", "seek=1")


# --- changes ---

@suite.test
def resize_grows_with_zeroes_and_asks_before_it_cuts():
    with folder():
        disk("a.raw")
        for form, options in (("qcow2", ""), ("qcow2", "-o extended_l2=on"), ("raw", "")):
            img(f"convert -O {form} {options} a.raw b")
            refused(f"resize -f {form} b 1M", "--shrink")
            refused(f"resize -f {form} b -100M", "-100M")
            img(f"resize -q -f {form} --shrink b 1049088")
            assert img(f"resize -f {form} b +3M") == "Image resized.\n"
            img(f"convert -f {form} b c.raw")
            assert contents("c.raw") == contents("a.raw")[:1049088] + bytes(3 * MIB)
            if form == "qcow2":
                qemu("check b")
                assert os.path.getsize("b") < 2 * MIB


@suite.test
def snapshots_come_and_go():
    with folder():
        disk("a.raw", seed=1)
        disk("b.raw", seed=2)
        img("convert -O qcow2 a.raw s.qcow2")
        img("snapshot -c one s.qcow2")
        img("convert -n -O qcow2 b.raw s.qcow2")
        img("snapshot -c two s.qcow2")
        for name, raw in (("one", "a.raw"), ("two", "b.raw"), ("1", "a.raw")):
            img(f"snapshot -a {name} s.qcow2")
            qemu(f"compare {raw} s.qcow2")
            qemu("check s.qcow2")
        img("snapshot -d one s.qcow2")
        img("snapshot -d two s.qcow2")
        assert img("snapshot s.qcow2") == ""
        qemu("check s.qcow2")
        refused("snapshot -a one s.qcow2", "one")
        refused("snapshot -c x a.raw", "no snapshots")
        refused("snapshot -c x -d y s.qcow2", "at a time")


@suite.test
def commit_moves_changes_down_and_empties_the_image():
    with folder():
        make_chain()
        img("snapshot -d first top.qcow2")
        img("convert top.qcow2 expected.raw")
        img("commit -d top.qcow2")
        qemu("compare base.qcow2 expected.raw")
        assert img("commit -p top.qcow2").endswith("Image committed.\n")
        for name in ("base.qcow2", "top.qcow2"):
            qemu(f"compare {name} expected.raw")
            qemu(f"check {name}")
        assert not any(entry["depth"] == 0 for entry in json.loads(img("map --output=json top.qcow2")))
        refused("commit base.qcow2", "no backing file")


@suite.test
def commit_goes_further_down_when_told():
    with folder():
        make_chain()
        img("create -q -f qcow2 -b top.qcow2 -F qcow2 third.qcow2 6M")
        qemu_io("third.qcow2", "write -P 9 5M 64k", "write -P 10 0 512")
        img("convert third.qcow2 expected.raw")
        img("commit -q -b base.qcow2 third.qcow2")
        qemu("compare base.qcow2 expected.raw")
        qemu("check base.qcow2")
        refused("commit -b other.qcow2 third.qcow2", "other.qcow2")


@suite.test
def rebase_keeps_what_the_disk_shows():
    with folder():
        make_chain()
        disk("other.raw", 3 * MIB, seed=9)
        img("convert -O qcow2 other.raw other.qcow2")
        img("convert top.qcow2 expected.raw")
        for backing in ("other.qcow2", "base.qcow2"):
            img(f"rebase -b {backing} -F qcow2 top.qcow2")
            qemu("compare top.qcow2 expected.raw")
            qemu("check top.qcow2")
        img("rebase -p -b '' top.qcow2")
        assert "backing" not in img("info --output=json top.qcow2")
        qemu("compare top.qcow2 expected.raw")


@suite.test
def an_unsafe_rebase_changes_the_name_alone():
    with folder():
        make_chain()
        os.rename("base.qcow2", "moved.qcow2")
        refused("rebase -b moved.qcow2 -F qcow2 top.qcow2", "base.qcow2")
        img("rebase -u -b moved.qcow2 -F qcow2 top.qcow2")
        assert json.loads(img("info --output=json top.qcow2"))["backing-filename"] == "moved.qcow2"
        qemu("check top.qcow2")
        refused("rebase -b '' other.qcow2", "other.qcow2")


@suite.test
def amend_changes_what_can_be_changed():
    with folder():
        disk("a.raw")
        img("convert -O qcow2 -o compat=0.10 a.raw a.qcow2")
        refused("amend -o lazy_refcounts=on a.qcow2", "compat")
        assert "(100.00/100%)" in img("amend -p -o compat=1.1,lazy_refcounts=on,size=8M a.qcow2")
        assert json.loads(qemu("info --output=json a.qcow2"))["format-specific"]["data"]["lazy-refcounts"] is True
        qemu("check a.qcow2")
        qemu("compare a.raw a.qcow2")
        refused("amend -o compat=0.10 a.qcow2", "convert")
        refused("amend -o cluster_size=4k a.qcow2", "cluster_size")


# --- bench ---

@suite.test
def bench_sends_what_it_says():
    with folder():
        img("create -q -f qcow2 -o preallocation=metadata a.qcow2 8M")
        plan = "Sending 500 write requests, 4096 bytes each, 8 in parallel (starting at offset 0, step size 8192)\n"
        text = img("bench -w -c 500 -d 8 -S 8k --pattern 7 --flush-interval 100 -i threads -f qcow2 a.qcow2")
        assert text.startswith(plan + "Sending flush every 100 requests\n") and "Run completed in" in text, text
        img("bench -c 200 --random -n -t none -f qcow2 a.qcow2")
        img("bench -w -c 100 --flush-interval 10 --no-drain -d 4 -f qcow2 a.qcow2")
        qemu("check a.qcow2")
        refused("bench -o 9M a.qcow2", "8388608")


@suite.test
def metadata_of_a_disk_of_1_tib_take_at_most_32_mib_of_memory():
    with folder():
        img("create -q -f qcow2 small.qcow2 1M")
        img("create -q -f qcow2 large.qcow2 1T")
        base = resident_mib("bench -q -f qcow2 -c 10 -d 1 small.qcow2")
        for way in ("-w", ""):  # each request has an L2 table of its own
            more = resident_mib(f"bench -q {way} -f qcow2 -c 2047 -d 1 -S 512M large.qcow2") - base
            assert more <= 32, f"{more:.1f} MiB"
        img("check large.qcow2")


# --- images in use, damaged images ---

@suite.test
def an_image_in_use_is_left_alone():
    with folder():
        img("create -q -f qcow2 a.qcow2 1M")
        import fcntl
        with open("a.qcow2", "rb") as file:  # the writer's permission bytes, as QEMU locks them
            for byte in (101, 103, 201, 203):
                fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, byte, 1, 0))
            before = contents("a.qcow2")
            refused("info a.qcow2", "in use")
            refused("resize a.qcow2 2M", "in use")
            refused("create -f qcow2 a.qcow2 2M", "in use")
            img("info -U a.qcow2")
            assert contents("a.qcow2") == before


@suite.test
def damaged_headers_get_one_line_and_nothing_is_written():
    with folder():
        disk("good.raw", MIB)
        img("convert -O qcow2 good.raw good.qcow2")
        good = contents("good.qcow2")
        bombs = [(4, ">I", 4, "version"), (20, ">I", 63, "clusters"), (24, ">Q", 1 << 63, "disk"), (32, ">I", 1, "encrypted"),
                 (36, ">I", 0x7fffffff, "L1 table"), (40, ">Q", 1 << 62, "L1 table"), (48, ">Q", 77, "refcount table"),
                 (56, ">I", 0xffffffff, "refcount table"), (60, ">I", 0xffffffff, "snapshots"), (72, ">Q", 1 << 40, "feature"),
                 (96, ">I", 7, "refcounts"), (100, ">I", 3, "length"), (8, ">Q", 1 << 50, "backing file")]
        for at, form, value, mention in bombs:
            bad = bytearray(good)
            struct.pack_into(form, bad, at, value)
            if at == 8:
                struct.pack_into(">I", bad, 16, 100)
            with open("bad.qcow2", "wb") as file:
                file.write(bad)
            for command in ("info -f qcow2 bad.qcow2", "check -f qcow2 -r all bad.qcow2", "resize -f qcow2 bad.qcow2 +1M"):
                refused(command, "bad.qcow2", mention)
            refused("convert -f qcow2 -O raw bad.qcow2 out.raw", "bad.qcow2", mention)
            assert contents("bad.qcow2") == bytes(bad) and not os.path.exists("out.raw")
        for length in (0, 4, 71, 100, 512, 65536, 65537):
            with open("bad.qcow2", "wb") as file:
                file.write(good[:length])
            refused("check -f qcow2 bad.qcow2", "bad.qcow2")
            assert contents("bad.qcow2") == good[:length]


suite.main()
