#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes a symbol file for gdb from what there is of a Linux kernel.

    kernel-symbols.py vmlinuz vmlinux.sym          a distribution's kernel, by the table of symbols in it
    kernel-symbols.py System.map vmlinux.sym       or /proc/kallsyms of a guest that runs

The result is an ELF file without code: names and addresses, as linked. A kernel that vmm boots with
-kernel is where it was linked; elsewhere boot it with nokaslr.

The table (kernel/kallsyms.c, scripts/kallsyms.c of Linux; CONFIG_KALLSYMS): names are sequences of
tokens, found here by the token table's recognisable digits, which stand for themselves.

    num_syms u32 | names: length, tokens | markers u32 each 256 names | token_table | token_index u16[256]
    offsets s32[num_syms], relative_base u64: before num_syms until Linux 6.4, behind token_index since
"""

import bz2
import gzip
import lzma
import re
import struct
import subprocess
import sys
import zlib

KERNEL_HALF = 0xFFFFFFFF80000000


class Problem(Exception):
    pass


def u32(data, at):
    return struct.unpack_from("<I", data, at)[0]


def align(value, to=8):
    return -(-value // to) * to


# --- From a bzImage to the kernel in it (Linux: Documentation/arch/x86/boot.rst) ---

def inflate(payload):
    """By its magic; what follows the compressed stream (its size) is ignored."""
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(payload)
    if payload.startswith(b"BZh"):
        return bz2.BZ2Decompressor().decompress(payload)
    if payload.startswith(b"\x5d\0\0"):
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(payload)
    for magic, program in ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\x02\x21\x4c\x18", "lz4")):
        if payload.startswith(magic):
            done = subprocess.run([program, "-dcq"], input=payload, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  check=False)
            return done.stdout
    return payload


def kernel_of(data):
    if data[0x202:0x206] != b"HdrS":
        return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    start = (data[0x1F1] + 1) * 512 + u32(data, 0x248)
    return inflate(data[start:start + u32(data, 0x24C)])


# --- The table ---

def token_table(kernel):
    """(where it begins, the 256 tokens, where the index ends)"""
    digits = b"".join(bytes([c, 0]) for c in b"0123456789")
    at = kernel.find(digits)
    while at >= 0:
        begin = at
        for _ in range(ord("0")):  # back over the tokens before
            begin = kernel.rfind(b"\0", max(0, begin - 64), begin - 1) + 1
        # The first token has no zero of its own before it but the padding's: any of these may be it.
        for first in range(begin, begin + 64):
            tokens, end, offsets = [], first, []
            for _ in range(256):
                offsets.append(end - first)
                stop = kernel.index(b"\0", end)
                tokens.append(kernel[end:stop])
                end = stop + 1
            index = align(end)
            if kernel[index:index + 512] == struct.pack("<256H", *(o & 0xFFFF for o in offsets)):
                return first, tokens, index + 512
        at = kernel.find(digits, at + 1)
    raise Problem("there is no table of symbols (CONFIG_KALLSYMS) in it")


def name_length(kernel, at):
    """(tokens of the name, bytes of the length itself)"""
    first = kernel[at]
    return (first & 0x7F | kernel[at + 1] << 7, 2) if first & 0x80 else (first, 1)


def skip_names(kernel, at, count, limit):
    for _ in range(count):
        if at >= limit:
            return None
        length, width = name_length(kernel, at)
        at += width + length
    return at


def names_before(kernel, table):
    """(where num_syms is, their number): the place from which that many names end where markers fit."""
    for at in range(align(table) - 8, max(0, table - (16 << 20)), -8):
        count = u32(kernel, at)
        if not 1000 < count < 1 << 21 or u32(kernel, at + 4) or at + 8 + 2 * count > table:
            continue
        first_marker = skip_names(kernel, at + 8, 256, table)
        end = first_marker and skip_names(kernel, first_marker, count - 256, table)
        if end and u32(kernel, align(end)) == 0 and u32(kernel, align(end) + 4) == first_marker - at - 8:
            return at, count
    raise Problem("the table of symbols is of a form that is not known here")


def addresses(kernel, num_syms, count, index_end):
    size = align(4 * count)
    for offsets, base_at in ((num_syms - 8 - size, num_syms - 8), (align(index_end), align(index_end) + size)):
        base = struct.unpack_from("<Q", kernel, base_at)[0]
        if base >= KERNEL_HALF and base & 0xFFF == 0:
            values = struct.unpack_from(f"<{count}i", kernel, offsets)
            # Per-CPU symbols are absolute and positive, the others are stored as -1 - offset.
            return [base - 1 - v if v < 0 else v for v in values] if any(v < 0 for v in values) else \
                [base + (v & 0xFFFFFFFF) for v in values]
    raise Problem("the addresses are of a form that is not known here")


def symbols_of(kernel):
    table, tokens, index_end = token_table(kernel)
    num_syms, count = names_before(kernel, table)
    at, names = num_syms + 8, []
    for _ in range(count):
        length, width = name_length(kernel, at)
        names.append(b"".join(tokens[t] for t in kernel[at + width:at + width + length]))
        at += width + length
    return kernel_half((address, chr(name[0]), name[1:].decode("ascii", "replace"))
                       for address, name in zip(addresses(kernel, num_syms, count, index_end), names))


def symbols_of_text(text):
    return kernel_half((int(address, 16), kind, name) for address, kind, name in
                       re.findall(r"^([0-9a-f]{16}) (\w) (\S+)$", text, re.M))


def kernel_half(symbols):
    return [s for s in symbols if s[0] >= KERNEL_HALF and s[1] in "tTwWdDbBrRvV"]


# --- The ELF file (System V ABI, chapter 4) ---

def elf(symbols):
    """Two sections without contents, for code and data, so that gdb knows functions from variables."""
    symbols = sorted(symbols)
    if not symbols:
        raise Problem("there are no symbols in it; /proc/kallsyms shows them to root")
    code = [a for a, kind, _ in symbols if kind in "tTwW"]
    data = [a for a, kind, _ in symbols if kind not in "tTwW"] or code
    strings, table = bytearray(b"\0"), bytearray(24)
    for number, (address, kind, name) in enumerate(symbols):
        is_code = kind in "tTwW"
        following = symbols[number + 1][0] if number + 1 < len(symbols) else address + 8
        table += struct.pack("<IBBHQQ", len(strings), 0x10 | (2 if is_code else 1), 0, 1 if is_code else 2, address,
                             min(following - address, 1 << 20))
        strings += name.encode() + b"\0"
    section_names = b"\0.text\0.data\0.symtab\0.strtab\0.shstrtab\0"

    def header(name, kind, flags, address, offset, size, link=0, info=0, entry=0):
        return struct.pack("<IIQQQQIIQQ", section_names.index(b"\0" + name + b"\0") + 1 if name else 0, kind, flags,
                           address, offset, size, link, info, 8, entry)

    at = 64
    sections = [bytes(64),
                header(b".text", 8, 6, code[0], at, code[-1] + 4096 - code[0]),
                header(b".data", 8, 3, data[0], at, data[-1] + 4096 - data[0]),
                header(b".symtab", 2, 0, 0, at, len(table), 4, 1, 24),
                header(b".strtab", 3, 0, 0, at + len(table), len(strings)),
                header(b".shstrtab", 3, 0, 0, at + len(table) + len(strings), len(section_names))]
    body = bytes(table) + bytes(strings) + section_names
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    return (ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, code[0], 0, align(at + len(body)), 0, 64, 56, 0, 64,
                                len(sections), 5) + body).ljust(align(at + len(body)), b"\0") + b"".join(sections)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    try:
        if re.match(rb"[0-9a-f]{16} \w \S+\n", data):
            symbols = symbols_of_text(data.decode("ascii", "replace"))
        else:
            symbols = symbols_of(kernel_of(data))
        result = elf(symbols)
    except Problem as problem:
        sys.exit(f"{sys.argv[1]}: {problem}")
    with open(sys.argv[2], "wb") as file:
        file.write(result)


if __name__ == "__main__":
    main()
