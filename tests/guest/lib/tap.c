/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reporting: TAP on the debug console, verdict through isa-debug-exit.
 */
#include <stdarg.h>

#include "guest.h"

#define DEBUGCON 0xe9
#define DEBUG_EXIT 0xf4
/* isa-debug-exit makes (value << 1) | 1 the exit status: 33 and 35. */
#define EXIT_GOOD 0x10
#define EXIT_BAD 0x11

static unsigned tests, failures;
static char line[256];
static unsigned line_len;

static void put(char c)
{
    if (line_len < sizeof(line))
        line[line_len++] = c;
}

/* A line at a time, so that processors do not mix theirs. */
static void flush(void)
{
    const char *p = line;
    unsigned long n = line_len;
    asm volatile("rep outsb" : "+S"(p), "+c"(n) : "d"((uint16_t)DEBUGCON) : "memory");
    line_len = 0;
}

static void put_number(unsigned long v, unsigned base)
{
    char digits[24];
    unsigned n = 0;
    do {
        unsigned d = v % base;
        digits[n++] = d < 10 ? '0' + d : 'a' + d - 10;
        v /= base;
    } while (v);
    while (n)
        put(digits[--n]);
}

static void put_signed(long v)
{
    if (v < 0)
        put('-');
    put_number(v < 0 ? -(unsigned long)v : (unsigned long)v, 10);
}

static void vput(const char *fmt, va_list ap)
{
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            put(*fmt);
            continue;
        }
        bool is_long = *++fmt == 'l';
        if (is_long)
            fmt++;
        if (*fmt == 'c') {
            put(va_arg(ap, int));
        } else if (*fmt == 's') {
            for (const char *s = va_arg(ap, const char *); *s; s++)
                put(*s);
        } else if (*fmt == 'd') {
            put_signed(is_long ? va_arg(ap, long) : va_arg(ap, int));
        } else if (*fmt == 'u' || *fmt == 'x') {
            put_number(is_long ? va_arg(ap, unsigned long) : va_arg(ap, unsigned), *fmt == 'x' ? 16 : 10);
        } else if (*fmt == 'p') {
            put_number((unsigned long)va_arg(ap, void *), 16);
        } else {
            put(*fmt);
        }
    }
}

void say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vput(fmt, ap);
    va_end(ap);
    flush();
}

void check(bool ok, const char *fmt, ...)
{
    va_list ap;

    tests++;
    if (!ok) {
        failures++;
        put('n');
        put('o');
        put('t');
        put(' ');
    }
    put('o');
    put('k');
    put(' ');
    put_number(tests, 10);
    put(' ');
    put('-');
    put(' ');
    va_start(ap, fmt);
    vput(fmt, ap);
    va_end(ap);
    put('\n');
    flush();
}

void skip(const char *what, const char *why)
{
    tests++;
    say("ok %u - %s # SKIP %s\n", tests, what, why);
}

void finish_tap(void)
{
    say("1..%u\n", tests);
}

void guest_exit(uint32_t value)
{
    outl(DEBUG_EXIT, value);
    for (;;)
        asm volatile("cli; hlt");
}

void finish(void)
{
    finish_tap();
    guest_exit(failures ? EXIT_BAD : EXIT_GOOD);
}

void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("Bail out! ");
    vput(fmt, ap);
    va_end(ap);
    put('\n');
    flush();
    guest_exit(EXIT_BAD);
}

/* The compiler calls these. */
void *memset(void *p, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);

void *memset(void *p, int c, size_t n)
{
    void *start = p;
    asm volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
    return start;
}

void *memcpy(void *to, const void *from, size_t n)
{
    void *start = to;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
    return start;
}
