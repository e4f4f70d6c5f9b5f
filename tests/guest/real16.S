/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Real mode, from the reset vector: SDM vol. 1 chapter 3.3, vol. 3 chapter 21.
 *
 * Runs as a firmware image: code at F000h, data and stack in low memory with DS = SS = 0.
 */
    .code16
    .text
    .globl _start

    SCRATCH = 0x600

/* CHECK cc, "what": passes if the condition holds. */
    .macro CHECK cc, what
    j\cc 801f
    movw $1, failed
    push %si
    mov $text_not, %si
    call puts
    pop %si
801:
    pusha
    mov $802f, %si
    call report
    popa
    jmp 803f
802: .asciz "\what"
803:
    .endm

    failed = 0x500
    count = 0x502
    hits = 0x504
    resume = 0x506

_start:
    cli
    cld
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7000, %sp
    mov $0x400, %di
    mov $0x200, %cx
    rep stosw
    /* All vectors: count and resume. */
    xor %di, %di
    mov $256, %cx
1:  movw $on_interrupt, (%di)
    movw $0xf000, 2(%di)
    add $4, %di
    loop 1b

    /* --- reset state --- */
    smsw %ax
    test $1, %al
    CHECK z, "the processor starts in real mode"

    /* --- arithmetic and flags --- */
    mov $0x7fff, %ax
    add $1, %ax
    CHECK o, "ADD sets OF on signed overflow"
    mov $0xffff, %ax
    add $1, %ax
    CHECK c, "ADD sets CF on carry"
    mov $0x12345678, %eax
    mov $0x10, %ebx
    mul %ebx
    cmp $0x23456780, %eax
    CHECK e, "32-bit MUL works in a 16-bit segment"
    cmp $1, %edx
    CHECK e, "its high half is in EDX"
    mov $0x0304, %ax
    aam
    cmp $0x0004, %ax
    CHECK e, "AAM divides AL by ten"
    mov $0x9f, %al
    clc
    daa
    cmp $0x05, %al
    CHECK e, "DAA adjusts packed decimal"

    /* --- stack --- */
    mov %sp, %bp
    push %sp
    pop %ax
    cmp %bp, %ax
    CHECK e, "PUSH SP pushes the old value"
    push $0x1234
    mov %sp, %bx
    mov %ss:(%bx), %ax
    pop %bx
    cmp $0x1234, %ax
    CHECK e, "PUSH imm and SS-relative access agree"
    mov $0x1111, %ax
    mov $0x2222, %bx
    pusha
    mov $0, %ax
    mov $0, %bx
    popa
    cmp $0x2222, %bx
    CHECK e, "PUSHA and POPA restore registers"

    /* --- string instructions --- */
    mov $SCRATCH, %di
    mov $0xa5, %al
    mov $64, %cx
    rep stosb
    test %cx, %cx
    CHECK z, "REP STOSB runs CX to zero"
    cmpb $0xa5, SCRATCH + 63
    CHECK e, "REP STOSB stores to the last byte"
    movb $0x5a, SCRATCH + 40
    mov $SCRATCH, %di
    mov $64, %cx
    mov $0x5a, %al
    repne scasb
    cmp $SCRATCH + 41, %di
    CHECK e, "REPNE SCASB stops behind the match"
    std
    mov $SCRATCH + 0x1f, %si
    mov $SCRATCH + 0x20, %di
    mov $0x20, %cx
    movb $1, SCRATCH
    rep movsb
    cld
    cmpb $1, SCRATCH + 1
    CHECK e, "REP MOVSB moves downwards with DF set"

    /* --- control transfer --- */
    mov $3, %cx
    xor %ax, %ax
1:  inc %ax
    loop 1b
    cmp $3, %ax
    CHECK e, "LOOP counts CX"
    lcall $0xf000, $far_return
    cmp $0x77, %al
    CHECK e, "far CALL and RETF"
    mov $far_return, %ax
    mov %ax, SCRATCH
    movw $0xf000, SCRATCH + 2
    lcall *SCRATCH
    cmp $0x77, %al
    CHECK e, "far CALL through memory"

    /* --- interrupts --- */
    movw $0, hits
    int $0x40
    cmpw $1, hits
    CHECK e, "INT n goes through the vector table"
    stc
    int $0x41
    CHECK c, "IRET restores the flags"
    movw $after_div, resume
    movw $0, hits
    xor %dx, %dx
    xor %bx, %bx
    mov $1, %ax
    div %bx
    movw $9, hits
after_div:
    cmpw $1, hits
    CHECK e, "DIV by zero raises interrupt 0"
    movw $after_ud, resume
    movw $0, hits
    ud2
after_ud:
    cmpw $1, hits
    CHECK e, "UD2 raises interrupt 6"
    movw $after_gp, resume
    movw $0, hits
    mov $0xffff, %bx
    mov (%bx), %ax
after_gp:
    cmpw $1, hits
    CHECK e, "a word at offset FFFFh raises interrupt 13"
    movw $0, resume

    /* --- segments --- */
    mov $0x1000, %ax
    mov %ax, %es
    movw $0xbeef, %es:0x10
    mov $0x1001, %ax
    mov %ax, %es
    cmpw $0xbeef, %es:0
    CHECK e, "segments are paragraphs"
    xor %ax, %ax
    mov %ax, %es

    /* --- A20: FFFF:0510 is 1 MiB + 500h, or 500h with the gate closed --- */
    mov $0xffff, %ax
    mov %ax, %es
    movw $0x1357, 0x580
    movw $0x2468, %es:0x590
    cmpw $0x1357, 0x580
    CHECK e, "A20 is open after reset"
    in $0x92, %al
    and $0xfc, %al
    out %al, $0x92
    cmpw $0x1357, %es:0x590
    CHECK e, "port 92h closes A20"
    or $2, %al
    out %al, $0x92
    cmpw $0x2468, %es:0x590
    CHECK e, "port 92h opens A20"
    xor %ax, %ax
    mov %ax, %es

    /* --- to protected mode and back, with a big segment limit kept ("unreal mode") --- */
    lgdtl %cs:gdt_pointer
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    jmp 1f
1:  mov $8, %bx
    mov %bx, %es
    and $0xfe, %al
    mov %eax, %cr0
    jmp 1f
1:  xor %bx, %bx
    mov %bx, %ds
    mov $0x200000, %edi
    movl $0xcafe1234, %es:(%edi)
    movl %es:(%edi), %eax
    cmp $0xcafe1234, %eax
    CHECK e, "a 4 GiB limit survives the return to real mode"
    xor %ax, %ax
    mov %ax, %es

    /* --- verdict --- */
    mov $text_plan, %si
    call puts
    mov count, %ax
    call put_number
    mov $'\n', %al
    out %al, $0xe9
    mov $0x10, %al
    add failed, %al
    out %al, $0xf4
1:  hlt
    jmp 1b

far_return:
    mov $0x77, %al
    lret

/* Counts; goes on at resume if that is set. */
on_interrupt:
    push %bp
    mov %sp, %bp
    push %ax
    incw %ds:hits
    mov %ds:resume, %ax
    test %ax, %ax
    jz 1f
    mov %ax, 2(%bp)
1:  pop %ax
    pop %bp
    iret

/* "ok N - " and the string at CS:SI. */
report:
    push %si
    mov $text_ok, %si
    call puts
    incw count
    mov count, %ax
    call put_number
    mov $text_dash, %si
    call puts
    pop %si
    call puts
    mov $'\n', %al
    out %al, $0xe9
    ret

puts:
    push %ax
1:  lodsb %cs:(%si), %al
    test %al, %al
    jz 2f
    out %al, $0xe9
    jmp 1b
2:  pop %ax
    ret

/* AX below 100. */
put_number:
    mov $10, %bl
    div %bl
    add $0x3030, %ax
    cmp $'0', %al
    je 1f
    out %al, $0xe9
1:  mov %ah, %al
    out %al, $0xe9
    ret

text_not: .asciz "not "
text_ok: .asciz "ok "
text_dash: .asciz " - "
text_plan: .asciz "1.."

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf93000000ffff
gdt_pointer:
    .word 15
    .long 0xf0000 + gdt

    .section .reset, "ax"
    ljmp $0xf000, $_start
    .section .note.GNU-stack, "", @progbits
