/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Expressions of the human monitor, as on QEMU: 64-bit, with C's operators and precedence.
 *
 *     sum   = logic { ("+" | "-") logic }          logic  = product { ("&" | "|" | "^") product }
 *     product = unary { ("*" | "/" | "%") unary }  unary  = ("+" | "-" | "~") unary | primary
 *     primary = number | 'c' | $register | "(" sum ")"
 *
 * As there, "&", "|" and "^" bind tighter than "+".
 */
#include <stddef.h>
#include <string.h>

#include "core/bits.h"
#include "core/error.h"
#include "hmp-internal.h"

#define NESTING_MAX 64

typedef struct Expr {
    HmpContext *ctx;
    const char *p;
    unsigned depth;
    GError **errp;
} Expr;

/* --- Registers --- */

typedef struct RegisterName {
    const char *name;
    size_t offset; /* in CpuState */
    unsigned size;
} RegisterName;

#define GPR(name, index) {name, offsetof(CpuState, gpr) + 8 * (index), 8}
#define GPR32(name, index) {name, offsetof(CpuState, gpr) + 8 * (index), 4}
#define SEGMENT(name, reg) {name, offsetof(CpuState, reg.selector), 2}, {name "_base", offsetof(CpuState, reg.base), 8}
#define FIELD(name, field, size) {name, offsetof(CpuState, field), size}

static const RegisterName registers[] = {
    GPR("rax", GPR_RAX), GPR("rbx", GPR_RBX), GPR("rcx", GPR_RCX), GPR("rdx", GPR_RDX),
    GPR("rsi", GPR_RSI), GPR("rdi", GPR_RDI), GPR("rbp", GPR_RBP), GPR("rsp", GPR_RSP), GPR("sp", GPR_RSP),
    GPR("r8", GPR_R8), GPR("r9", GPR_R9), GPR("r10", GPR_R10), GPR("r11", GPR_R11),
    GPR("r12", GPR_R12), GPR("r13", GPR_R13), GPR("r14", GPR_R14), GPR("r15", GPR_R15),
    GPR32("eax", GPR_RAX), GPR32("ebx", GPR_RBX), GPR32("ecx", GPR_RCX), GPR32("edx", GPR_RDX),
    GPR32("esi", GPR_RSI), GPR32("edi", GPR_RDI), GPR32("ebp", GPR_RBP), GPR32("esp", GPR_RSP),
    FIELD("rip", rip, 8), FIELD("eip", rip, 4), FIELD("pc", rip, 8),
    FIELD("rflags", rflags, 8), FIELD("eflags", rflags, 4),
    SEGMENT("es", seg[SEG_ES]), SEGMENT("cs", seg[SEG_CS]), SEGMENT("ss", seg[SEG_SS]),
    SEGMENT("ds", seg[SEG_DS]), SEGMENT("fs", seg[SEG_FS]), SEGMENT("gs", seg[SEG_GS]),
    SEGMENT("ldtr", ldtr), SEGMENT("tr", tr),
    FIELD("gdt_base", gdtr.base, 8), FIELD("idt_base", idtr.base, 8),
    FIELD("cr0", cr0, 8), FIELD("cr2", cr2, 8), FIELD("cr3", cr3, 8), FIELD("cr4", cr4, 8), FIELD("cr8", cr8, 8),
    FIELD("efer", efer, 8),
};

static bool take_register(Expr *e, uint64_t *value)
{
    size_t length = strspn(e->p, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "_");
    g_autofree char *name = g_ascii_strdown(e->p, (gssize)length);

    for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
        if (strcmp(registers[i].name, name) != 0)
            continue;
        Vcpu *vcpu = hmp_vcpu(e->ctx);
        vcpu_sync_state(vcpu);
        *value = load_le((const char *)&vcpu->state + registers[i].offset, registers[i].size);
        e->p += length;
        return true;
    }
    return error_set(e->errp, "there is no register '$%s'", name);
}

/* --- The grammar --- */

static char next_char(Expr *e)
{
    e->p += strspn(e->p, " \t");
    return *e->p;
}

static bool take_sum(Expr *e, uint64_t *value);

static bool take_primary(Expr *e, uint64_t *value)
{
    char c = next_char(e), *end;

    if (c == '(') {
        e->p++;
        if (!take_sum(e, value))
            return false;
        if (next_char(e) != ')')
            return error_set(e->errp, "')' is missing");
        e->p++;
        return true;
    }
    if (c == '$') {
        e->p++;
        return take_register(e, value);
    }
    if (c == '\'' && e->p[1] && e->p[2] == '\'') {
        *value = (uint8_t)e->p[1];
        e->p += 3;
        return true;
    }
    if (!g_ascii_isdigit(c))
        return error_set(e->errp, c ? "a number is wanted at '%s'" : "a number is missing%s", e->p);
    *value = g_ascii_strtoull(e->p, &end, 0);
    if (g_ascii_isalnum(*end))
        return error_set(e->errp, "'%s' is not a number", e->p);
    e->p = end;
    return true;
}

static bool take_unary(Expr *e, uint64_t *value)
{
    char c = next_char(e);
    bool ok;

    if (++e->depth > NESTING_MAX)
        return error_set(e->errp, "the expression nests too deep");
    if (c == '+' || c == '-' || c == '~') {
        e->p++;
        ok = take_unary(e, value);
        if (ok && c != '+')
            *value = c == '-' ? -*value : ~*value;
    } else {
        ok = take_primary(e, value);
    }
    e->depth--;
    return ok;
}

/* Not the beginning of a path, in "memsave 0 4096 /tmp/x". */
static bool divides(const char *p)
{
    p += 1 + strspn(p + 1, " \t");
    return *p && (g_ascii_isdigit(*p) || strchr("$('+-~", *p));
}

static bool take_product(Expr *e, uint64_t *value)
{
    uint64_t right;

    if (!take_unary(e, value))
        return false;
    for (char c; (c = next_char(e)) == '*' || (c == '/' && divides(e->p)) || c == '%';) {
        e->p++;
        if (!take_unary(e, &right))
            return false;
        if (c != '*' && !right)
            return error_set(e->errp, "division by zero");
        *value = c == '*' ? *value * right : c == '/' ? *value / right : *value % right;
    }
    return true;
}

static bool take_logic(Expr *e, uint64_t *value)
{
    uint64_t right;

    if (!take_product(e, value))
        return false;
    for (char c; (c = next_char(e)) == '&' || c == '|' || c == '^';) {
        e->p++;
        if (!take_product(e, &right))
            return false;
        *value = c == '&' ? *value & right : c == '|' ? *value | right : *value ^ right;
    }
    return true;
}

static bool take_sum(Expr *e, uint64_t *value)
{
    uint64_t right;

    if (!take_logic(e, value))
        return false;
    for (char c; (c = next_char(e)) == '+' || c == '-';) {
        e->p++;
        if (!take_logic(e, &right))
            return false;
        *value = c == '+' ? *value + right : *value - right;
    }
    return true;
}

bool hmp_take_number(HmpContext *ctx, const char *what, uint64_t *value, GError **errp)
{
    Expr e = {.ctx = ctx, .p = ctx->args, .errp = errp};

    if (hmp_is_at_end(ctx))
        return error_set(errp, "%s is missing", what);
    if (!take_sum(&e, value)) {
        g_prefix_error(errp, "%s: ", what);
        return false;
    }
    ctx->args = e.p;
    return true;
}
