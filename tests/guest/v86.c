/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual-8086 mode: entry by IRET, sensitive instructions, interrupts out of it, the I/O bitmap
 * (SDM vol. 3, chapter 21).
 */
#include "lib/guest.h"

#define V86_CODE 0x10000 /* segment 1000h */
#define V86_STACK 0x2000 /* segment, SP = 1000h */

void *memcpy(void *to, const void *from, size_t n);

static uint8_t io_tss[sizeof(Tss) + 8192 + 1] __attribute__((aligned(16)));

/* The frame of an interrupt out of virtual-8086 mode. */
typedef struct V86Frame {
    Frame f;
    uint32_t v_es, v_ds, v_fs, v_gs;
} V86Frame;

static V86Frame end;
static volatile uint32_t ended;
uint32_t saved_esp;

/* Runs the 16-bit code at 1000:0 with these flags until an interrupt or exception ends it. */
void enter_v86(uint32_t flags);
asm("enter_v86:\n"
    "mov 4(%esp), %eax\n"
    "pushal\n"
    "mov %esp, saved_esp\n"
    "push $0x4000\n"  /* GS */
    "push $0x3000\n"  /* FS */
    "push $0x1000\n"  /* DS */
    "push $0x1000\n"  /* ES */
    "push $0x2000\n"  /* SS */
    "push $0x1000\n"  /* ESP */
    "or $0x20002, %eax\n"
    "push %eax\n"
    "push $0x1000\n"  /* CS */
    "push $0\n"
    "iret\n"
    "leave_v86:\n"
    "mov saved_esp, %esp\n"
    "popal\n"
    "ret\n");

static void on_end(Frame *frame)
{
    extern char leave_v86[];
    end = *(V86Frame *)frame;
    ended++;
    asm volatile("jmp *%0" ::"r"(leave_v86));
}

static void run(const char *code, size_t len, uint32_t flags)
{
    memcpy((void *)V86_CODE, code, len);
    ended = 0;
    enter_v86(flags);
}
#define RUN(bytes, flags) run(bytes, sizeof(bytes) - 1, flags)

#define IOPL3 0x3000

static void test_code(void)
{
    /* mov ax, cs; mov bx, 1234h; mov [0100h], bx; int 80h */
    RUN("\x8c\xc8\xbb\x34\x12\x89\x1e\x00\x01\xcd\x80", IOPL3);
    check(ended == 1 && end.f.vector == 0x80, "INT with IOPL 3 leaves through the IDT");
    check((end.f.eax & 0xffff) == 0x1000, "CS is a paragraph number");
    check(*(volatile uint16_t *)(V86_CODE + 0x100) == 0x1234, "DS is one too");
    check(end.f.flags & 1 << 17, "the saved flags have VM");
    check(end.v_gs == 0x4000 && end.v_fs == 0x3000 && end.v_ds == 0x1000 && end.v_es == 0x1000,
          "the data segments are on the ring 0 stack");
    uint16_t ds;
    asm volatile("mov %%fs, %0" : "=r"(ds));
    check(ds == 0, "and null in the handler");
}

static void test_sensitive(void)
{
    static const struct {
        const char *code, *what;
        uint8_t len;
    } cases[] = {
        {"\xfa\xcd\x80", "CLI", 3}, {"\xfb\xcd\x80", "STI", 3},       {"\x9c\xcd\x80", "PUSHF", 3},
        {"\x9d\xcd\x80", "POPF", 3}, {"\xcf\xcd\x80", "IRET", 3},     {"\xcd\x80", "INT n", 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        run(cases[i].code, cases[i].len, 0);
        check(ended == 1 && end.f.vector == 13 && end.f.error == 0, "%s with IOPL 0 is #GP(0)", cases[i].what);
    }
    RUN("\xf4", IOPL3);
    check(end.f.vector == 13, "HLT is #GP whatever the IOPL");
    RUN("\xfa\x9c\x58\xcd\x80", IOPL3); /* cli; pushf; pop ax; int 80h */
    check(end.f.vector == 0x80 && !(end.f.eax & 0x200), "CLI with IOPL 3 clears IF");
}

static void test_limits(void)
{
    RUN("\xbb\xff\xff\x8b\x07\xcd\x80", IOPL3); /* mov bx, ffffh; mov ax, [bx] */
    check(end.f.vector == 13, "a word at offset FFFFh is #GP");
    RUN("\x0f\x22\xc0", IOPL3); /* mov cr0, eax */
    check(end.f.vector == 13, "MOV CR0 is #GP");
    RUN("\x0f\x00\xd8", IOPL3); /* ltr ax */
    check(end.f.vector == 6, "LTR is #UD");
}

static void test_io_bitmap(void)
{
    Tss *t = (Tss *)io_tss;
    *t = tss;
    t->io_map = sizeof(Tss);
    for (int i = 0; i < 8193; i++)
        io_tss[sizeof(Tss) + i] = 0xff;
    io_tss[sizeof(Tss) + 0x61 / 8] &= ~(1 << 0x61 % 8);
    gdt[SEL_FREE / 8] = tss_descriptor(t, sizeof(io_tss) - 1);
    asm volatile("ltr %w0" ::"r"(SEL_FREE));
    RUN("\xe4\x61\xcd\x80", IOPL3); /* in al, 61h */
    check(end.f.vector == 0x80, "a port whose bit is clear can be read");
    RUN("\xe4\x62\xcd\x80", IOPL3);
    check(end.f.vector == 13, "a port whose bit is set is #GP, even with IOPL 3");
    RUN("\xe5\x61\xcd\x80", IOPL3); /* in ax, 61h */
    check(end.f.vector == 13, "so is a word that touches one");
}

void guest_main(void)
{
    idt_set_dpl(0x80, 3);
    intr_set_handler(0x80, on_end);
    intr_set_handler(13, on_end);
    intr_set_handler(6, on_end);
    test_code();
    test_sensitive();
    test_limits();
    test_io_bitmap();
}
