/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option ROM that starts a -kernel by the real-mode boot protocol, after the firmware.
 *
 * Firmware finds a boot entry in its plug-and-play header (BIOS Boot Specification 1.01, 3.3) and calls it by a
 * far call in real mode. It copies set-up code, kernel, initrd and command line to where vmm says, by fw_cfg's
 * DMA, and jumps to the set-up code as Documentation/arch/x86/boot.rst, "Running the Kernel", has it.
 *
 * Size and checksums are filled in where the ROM is handed out: hw/i386/pc-boot-rom.c, which also knows the header's
 * offsets.
 */

/* include/hw/misc/fw_cfg.h */
#define FW_CFG_SELECT 0x510
#define FW_CFG_DMA_HIGH 0x514
#define FW_CFG_DMA_LOW 0x518
#define KERNEL_ADDR 0x07
#define KERNEL_SIZE 0x08
#define INITRD_ADDR 0x0a
#define INITRD_SIZE 0x0b
#define KERNEL_DATA 0x11
#define INITRD_DATA 0x12
#define CMDLINE_ADDR 0x13
#define CMDLINE_SIZE 0x14
#define CMDLINE_DATA 0x15
#define SETUP_ADDR 0x16
#define SETUP_SIZE 0x17
#define SETUP_DATA 0x18

/* A DMA request's control field, big-endian in memory. */
#define DMA_READ 0x02
#define DMA_SELECT 0x08
#define DMA_ERROR_IN_MEMORY 0x01000000

#define STACK_WHILE_LOADING 0x7c00
#define STACK_OF_KERNEL 0xe000 /* as heap_end_ptr says */

    .section .rodata
    .globl linux_rom, linux_rom_end
    .balign 16
linux_rom:
    .code16
    .byte 0x55, 0xaa
    .byte 0 /* length in 512 bytes */
    /* +3: initialization, called once */
    xorw %ax, %ax
    lretw
    .skip 0x1a - (. - linux_rom)
    .word pnp - linux_rom

    .balign 16
pnp:
    .ascii "$PnP"
    .byte 1, 2   /* revision, length in 16 bytes */
    .word 0      /* no further header */
    .byte 0, 0   /* -, checksum */
    .long 0      /* device id */
    .word 0, product - linux_rom
    .byte 2, 0, 0x80, 0x64 /* a mass storage controller for initial program load */
    .word 0, 0   /* no connection to the BIOS's services */
    .word boot - linux_rom
    .word 0, 0
product:
    .asciz "Linux kernel"
failed:
    .asciz "vmm: the kernel cannot be loaded\r\n"

/* Triples of selectors: where to, how much, what. */
    .balign 2
items:
    .word SETUP_ADDR, SETUP_SIZE, SETUP_DATA
    .word KERNEL_ADDR, KERNEL_SIZE, KERNEL_DATA
    .word INITRD_ADDR, INITRD_SIZE, INITRD_DATA
    .word CMDLINE_ADDR, CMDLINE_SIZE, CMDLINE_DATA
items_end:

/* The value of the 32-bit item ax, in eax. Changes cx, dx. */
read_u32:
    movw $FW_CFG_SELECT, %dx
    outw %ax, %dx
    incw %dx
    movw $4, %cx
1:  inb %dx, %al
    rorl $8, %eax
    loop 1b
    ret

/* esi bytes of item ax to physical address ebx. ss is 0. Changes eax, ebx, esi, bp, dx. */
load:
    shll $16, %eax
    orl $(DMA_READ | DMA_SELECT), %eax
    bswapl %eax
    bswapl %esi
    bswapl %ebx
    pushl %ebx
    pushl $0
    pushl %esi
    pushl %eax
    movw $FW_CFG_DMA_HIGH, %dx
    xorl %eax, %eax
    outl %eax, %dx
    movl %esp, %eax /* ss is 0 */
    movw %sp, %bp
    bswapl %eax
    movw $FW_CFG_DMA_LOW, %dx
    outl %eax, %dx
1:  movl (%bp), %eax
    testl %eax, %eax
    jz 2f
    testl $DMA_ERROR_IN_MEMORY, %eax
    jz 1b
    jmp fail
2:  addw $16, %sp
    ret

fail:
    movw $(failed - linux_rom), %si
1:  lodsb
    testb %al, %al
    jz 2f
    movb $0x0e, %ah
    xorw %bx, %bx
    int $0x10
    jmp 1b
2:  int $0x18

boot:
    cli
    xorw %ax, %ax
    movw %ax, %ss
    movl $STACK_WHILE_LOADING, %esp
    movw %cs, %ax
    movw %ax, %ds
    cld
    movw $(items - linux_rom), %di
next:
    movw (%di), %ax
    call read_u32
    movl %eax, %ebx
    movw 2(%di), %ax
    call read_u32
    movl %eax, %esi
    testl %esi, %esi
    jz 1f
    movw 4(%di), %ax
    call load
1:  addw $6, %di
    cmpw $(items_end - linux_rom), %di
    jb next

    movw $SETUP_ADDR, %ax
    call read_u32
    shrl $4, %eax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    movl $STACK_OF_KERNEL, %esp
    addw $0x20, %ax /* behind the boot sector */
    pushw %ax
    pushw $0
    lretw
linux_rom_end:

    .section .note.GNU-stack, "", @progbits
