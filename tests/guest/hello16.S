/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ten-line guest everyone knows: real mode, OUT to the serial port, HLT (here: debug exit).
 */
    .code16
    .text
    .globl _start
_start:
    cld
    mov $message, %si
    mov $0x3f8, %dx
next:
    lodsb %cs:(%si), %al
    test %al, %al
    jz done
    out %al, %dx
    jmp next
done:
    mov $0x10, %al
    out %al, $0xf4
halt:
    hlt
    jmp halt
message:
    .asciz "ok 1 - hello from real mode\n1..1\n"

    .section .reset, "ax"
    ljmp $0xf000, $_start
    .section .note.GNU-stack, "", @progbits
