/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the multiboot entry (32-bit, flat, paging off) to guest_start(): in 64-bit mode with 4 GiB
 * mapped one to one for 64-bit guests, else in 32-bit protected mode with paging off. Also the
 * application processors' way from real mode (start-up IPI) to ap_start(), and the interrupt stubs.
 */
#define STACK_SIZE 16384

    .section .multiboot, "a"
    .balign 4
    .long 0x1badb002
    .long 3
    .long -(0x1badb002 + 3)

    .bss
    .balign 16
    .globl guest_stack_top
    .skip STACK_SIZE
guest_stack_top:
    .globl multiboot_info
multiboot_info:
    .skip 8

#ifdef __x86_64__
    /* PML4, PDPT, four directories of 2 MiB pages. */
    .balign 4096
    .globl boot_pml4
boot_pml4:
    .skip 4096
boot_pdpt:
    .skip 4096
boot_pd:
    .skip 4 * 4096
#endif

    .data
    .balign 16
    .globl gdt
    .globl gdt_end
gdt:
    .quad 0
#ifdef __x86_64__
    .quad 0x00af9b000000ffff    /* 08 kernel code */
#else
    .quad 0x00cf9b000000ffff
#endif
    .quad 0x00cf93000000ffff    /* 10 kernel data */
    .quad 0x00cffb000000ffff    /* 18 user code, 32-bit */
    .quad 0x00cff3000000ffff    /* 20 user data */
    .quad 0x00affb000000ffff    /* 28 user code, 64-bit */
    .quad 0x00cf9b000000ffff    /* 30 kernel code, 32-bit */
    .fill 25, 8, 0              /* 38 TSS; from 50 the guest's own */
gdt_end:
    .globl gdt_pointer
gdt_pointer:
    .word gdt_end - gdt - 1
#ifdef __x86_64__
    .quad gdt
#else
    .long gdt
#endif

    .text
    .code32
    .globl _start
_start:
    cli
    cld
    mov $guest_stack_top, %esp
    mov %ebx, multiboot_info
    lgdt gdt_pointer
#ifdef __x86_64__
    mov $boot_pdpt + 3 + 4, %eax
    mov %eax, boot_pml4
    mov $boot_pd + 3 + 4, %eax
    mov $boot_pdpt, %edi
    mov $4, %ecx
1:  mov %eax, (%edi)
    add $4096, %eax
    add $8, %edi
    loop 1b
    mov $0x83 + 4, %eax
    mov $boot_pd, %edi
    mov $2048, %ecx
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    call enter_long_mode
    ljmp $8, $2f
    .code64
2:  mov $guest_stack_top, %rsp
    call load_data_segments
    call guest_start
#else
    ljmp $8, $2f
2:  call load_data_segments
    call guest_start
#endif
3:  hlt
    jmp 3b

#ifdef __x86_64__
    .code32
enter_long_mode:
    mov $0x620, %eax            /* PAE, OSFXSR, OSXMMEXCPT */
    mov %eax, %cr4
    mov $boot_pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx       /* EFER: LME, SCE */
    rdmsr
    or $0x101, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80010023, %eax        /* PG, WP, NE, MP, PE */
    and $~0xc, %eax
    mov %eax, %cr0
    ret
    .code64
#endif

load_data_segments:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    ret

/* Copied to AP_TRAMPOLINE; the start-up IPI's vector makes CS:0 point there. */
    .globl ap_trampoline, ap_trampoline_end, ap_stack
    .code16
ap_trampoline:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl ap_gdt_pointer - ap_trampoline
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $0x30, $ap_protected
ap_gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
ap_trampoline_end:
    .code32
ap_protected:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov ap_stack, %esp
#ifdef __x86_64__
    call enter_long_mode
    ljmp $8, $1f
    .code64
1:  mov %esp, %esp
    lgdt gdt_pointer
    call load_data_segments
    call ap_start
#else
    ljmp $8, $1f
1:  call load_data_segments
    call ap_start
#endif
2:  cli
    hlt
    jmp 2b

    .data
    .balign 8
ap_stack:
    .quad 0

/* Interrupt stubs of 16 bytes each: an error code (0 where the CPU pushes none) and the vector. */
    .text
#ifdef __x86_64__
    .code64
#else
    .code32
#endif
    .balign 16
    .globl intr_stubs
intr_stubs:
    vector = 0
    .rept 256
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
    push $0
    .endif
    push $vector
    jmp intr_common
    vector = vector + 1
    .endr

    .balign 16
intr_common:
    cld
#ifdef __x86_64__
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, %rdi
    mov %rsp, %rbp
    and $-16, %rsp
    call intr_dispatch
    mov %rbp, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq
#else
    pushal
    push %ds
    push %es
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %esp, %eax
    push %eax
    call intr_dispatch
    add $4, %esp
    pop %es
    pop %ds
    popal
    add $8, %esp
    iret
#endif
    .section .note.GNU-stack, "", @progbits
