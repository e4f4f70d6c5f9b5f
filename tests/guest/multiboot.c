/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a multiboot image finds: machine state and information (Multiboot Specification 0.6.96, 3.2
 * and 3.3). Run with -append "one two" and -initrd of this image itself, named twice, once with
 * arguments.
 */
#include "lib/guest.h"

extern uint32_t multiboot_info;

typedef struct Info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
    uint32_t drives_length, drives_addr, config_table, boot_loader_name;
} Info;

typedef struct Module {
    uint32_t start, end, string, reserved;
} Module;

typedef struct __attribute__((packed)) Range {
    uint32_t size;
    uint64_t base, length;
    uint32_t type;
} Range;

static bool ends_with(const char *s, const char *end)
{
    const char *p = s, *e = end;
    while (*p)
        p++;
    while (*e)
        e++;
    while (e > end && p > s && e[-1] == p[-1])
        e--, p--;
    return e == end;
}

static void test_memory(const Info *info)
{
    uint64_t ram = 0;
    for (uint32_t at = info->mmap_addr; at < info->mmap_addr + info->mmap_length;) {
        const Range *r = (const Range *)at;
        if (r->type == 1)
            ram += r->length;
        at += r->size + 4;
    }
    check(info->flags & 1 && info->mem_lower == 639 && info->mem_upper == 63 * 1024, "64 MiB in the simple form");
    check(info->flags & 1 << 6 && ram == 64 * 1024 * 1024 - 0x60400, "and in the memory map");
}

static void test_modules(const Info *info)
{
    const Module *m = (const Module *)info->mods_addr;

    check(info->flags & 1 << 3 && info->mods_count == 2, "two modules");
    check(m[0].start % 4096 == 0 && m[1].start % 4096 == 0, "on page boundaries");
    check(*(uint32_t *)m[0].start == 0x464c457f && *(uint32_t *)m[1].start == 0x464c457f, "with their contents");
    check(m[0].end - m[0].start == m[1].end - m[1].start, "and their lengths");
    check(ends_with((const char *)m[0].string, "multiboot.elf"), "the first's string is its name");
    check(ends_with((const char *)m[1].string, "multiboot.elf x=1 y"), "the second's has arguments");
    check(m[0].end <= m[1].start || m[1].end <= m[0].start, "they do not overlap");
}

void guest_main(void)
{
    const Info *info = (const Info *)multiboot_info;

    check(info->flags & 1 << 2 && ends_with((const char *)info->cmdline, "multiboot.elf one two"),
          "the command line is the image's name and -append");
    check(info->flags & 1 << 9 && ends_with((const char *)info->boot_loader_name, "vmm"), "the loader has a name");
    test_memory(info);
    test_modules(info);
    outb(0x64, 0xd0);
    check(inb(0x60) & 2, "A20 is open");
}
