# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of a few instructions, as multiboot images made here: no assembler is needed to run them.

Multiboot specification 0.6.96: the image's header gives its addresses (flag 16), entry is 32-bit
protected mode with flat segments.
"""

import struct

LOAD_ADDRESS = 0x100000
COM1, DEBUGCON, DEBUG_EXIT = 0x3F8, 0xE9, 0xF4


def multiboot(code):
    """The image whose code runs at entry."""
    magic, flags = 0x1BADB002, 1 << 16
    entry = LOAD_ADDRESS + 32
    header = struct.pack("<8I", magic, flags, -(magic + flags) & 0xFFFFFFFF, LOAD_ADDRESS, LOAD_ADDRESS, 0, 0, entry)
    return header + code


def out(port, value):
    """mov dx, port; mov al, value; out dx, al"""
    return b"\x66\xba" + struct.pack("<H", port) + b"\xb0" + bytes([value]) + b"\xee"


def text(string, port=COM1):
    return b"".join(out(port, byte) for byte in string.encode())


HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp to the hlt
TRIPLE_FAULT = b"\x0f\x01\x1d" + struct.pack("<I", LOAD_ADDRESS + 0x10) + b"\x0f\x0b"  # lidt [zeros]; ud2
SPIN = b"\xeb\xfe"


def echo(*ports):
    """Sends what it receives on each of these serial ports back to it, for ever. For each:
      mov dx, lsr; in al, dx; test al, 1; jz next; mov dx, rbr; in al, dx; out dx, al"""
    code = b"".join(b"\x66\xba" + struct.pack("<H", port + 5) + b"\xec\xa8\x01\x74\x06" +
                    b"\x66\xba" + struct.pack("<H", port) + b"\xec\xee" for port in ports)
    return code + b"\xeb" + struct.pack("b", -len(code) - 2)


ECHO = echo(COM1)


def write(path, code):
    with open(path, "wb") as file:
        file.write(multiboot(code))
    return path
