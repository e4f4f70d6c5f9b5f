/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Human monitor commands that look at memory, ports and numbers.
 */
#include <Zydis/Zydis.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/paging.h"
#include "hmp-internal.h"

#define LINE_BYTES 16
#define INSN_MAX 15

static void print_char(GString *out, uint8_t c)
{
    if (c == '\'' || c == '\\')
        g_string_append_printf(out, "'\\%c'", c);
    else if (g_ascii_isprint(c))
        g_string_append_printf(out, "'%c'", c);
    else
        g_string_append_printf(out, "'\\x%02x'", c);
}

static void print_number(GString *out, const HmpFormat *format, uint64_t value)
{
    unsigned unused = 64 - 8 * format->size;

    value &= size_mask(format->size);
    switch (format->format) {
    case 'd':
        g_string_append_printf(out, "%" G_GINT64_FORMAT, (int64_t)(value << unused) >> unused);
        break;
    case 'u':
        g_string_append_printf(out, "%" G_GUINT64_FORMAT, value);
        break;
    case 'o':
        g_string_append_printf(out, "%#" G_GINT64_MODIFIER "o", value);
        break;
    case 'c':
        print_char(out, (uint8_t)value);
        break;
    default:
        g_string_append_printf(out, "0x%0*" G_GINT64_MODIFIER "x", (int)(2 * format->size), value);
        break;
    }
}

/* --- x, xp --- */

static ZydisMachineMode machine_mode(const CpuState *state)
{
    unsigned bits = cpu_state_code_bits(state);

    return bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
           : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                        : ZYDIS_MACHINE_MODE_LEGACY_16;
}

static void disassemble(HmpContext *ctx, Vcpu *vcpu, uint64_t addr, unsigned count)
{
    Vcpu *selected = hmp_vcpu(ctx);
    ZydisDisassembledInstruction insn;
    uint8_t bytes[INSN_MAX];

    vcpu_sync_state(selected);
    for (unsigned i = 0; i < count && !hmp_out_is_full(ctx); i++) {
        size_t n = guest_memory_read(ctx->machine, vcpu, addr, bytes, sizeof(bytes));
        bool ok = n && ZYAN_SUCCESS(ZydisDisassembleATT(machine_mode(&selected->state), addr, bytes, n, &insn));
        unsigned length = ok ? insn.info.length : 1;
        if (!n) {
            g_string_append_printf(ctx->out, "Cannot access memory at %#" G_GINT64_MODIFIER "x\n", addr);
            return;
        }
        g_string_append_printf(ctx->out, "0x%08" G_GINT64_MODIFIER "x:  ", addr);
        for (unsigned b = 0; b < length; b++)
            g_string_append_printf(ctx->out, "%02x ", bytes[b]);
        g_string_append_printf(ctx->out, "%*s%s\n", (int)(3 * (8 - MIN(length, 8))), "", ok ? insn.text : "(bad)");
        addr += length;
    }
}

static void dump(HmpContext *ctx, Vcpu *vcpu, uint64_t addr, const HmpFormat *format)
{
    uint8_t line[LINE_BYTES];
    uint64_t left = (uint64_t)format->count * format->size;

    while (left && !hmp_out_is_full(ctx)) {
        size_t wanted = MIN(left, LINE_BYTES);
        size_t n = guest_memory_read(ctx->machine, vcpu, addr, line, wanted) / format->size * format->size;
        if (n)
            g_string_append_printf(ctx->out, "%016" G_GINT64_MODIFIER "x:", addr);
        for (size_t i = 0; i < n; i += format->size) {
            g_string_append_c(ctx->out, ' ');
            print_number(ctx->out, format, load_le(line + i, format->size));
        }
        if (n)
            g_string_append_c(ctx->out, '\n');
        if (n < wanted) {
            g_string_append_printf(ctx->out, "Cannot access memory at %#" G_GINT64_MODIFIER "x\n", addr + n);
            return;
        }
        addr += n;
        left -= n;
    }
}

static bool examine(HmpContext *ctx, bool physical, GError **errp)
{
    HmpFormat format = {1, 'x', 4};
    Vcpu *vcpu = physical ? NULL : hmp_vcpu(ctx);
    uint64_t addr;

    if (!hmp_take_format(ctx, &format, errp) || !hmp_take_number(ctx, "the address", &addr, errp) || !hmp_end(ctx, errp))
        return false;
    if (format.format == 'c')
        format.size = 1;
    if (format.format == 'i')
        disassemble(ctx, vcpu, addr, format.count);
    else
        dump(ctx, vcpu, addr, &format);
    return true;
}

static bool examine_virtual(HmpContext *ctx, GError **errp)
{
    return examine(ctx, false, errp);
}

static bool examine_physical(HmpContext *ctx, GError **errp)
{
    return examine(ctx, true, errp);
}

/* --- Numbers, ports --- */

static bool print(HmpContext *ctx, GError **errp)
{
    HmpFormat format = {1, 'd', 8};
    uint64_t value;

    if (!hmp_take_format(ctx, &format, errp) || !hmp_take_number(ctx, "an expression", &value, errp) ||
        !hmp_end(ctx, errp))
        return false;
    if (format.format == 'x')
        g_string_append_printf(ctx->out, "%#" G_GINT64_MODIFIER "x", value & size_mask(format.size));
    else
        print_number(ctx->out, &format, value);
    g_string_append_c(ctx->out, '\n');
    return true;
}

static bool take_port(HmpContext *ctx, HmpFormat *format, uint64_t *port, GError **errp)
{
    if (!hmp_take_format(ctx, format, errp) || !hmp_take_number(ctx, "the port", port, errp))
        return false;
    if (format->size > 4)
        return error_set(errp, "a port is of 1, 2 or 4 bytes: use b, h or w");
    return range_ok(*port, format->size, IO_SPACE_SIZE) || error_set(errp, "ports end at 0xffff");
}

static bool port_in(HmpContext *ctx, GError **errp)
{
    HmpFormat format = {1, 'x', 1};
    uint64_t port, value = 0;

    if (!take_port(ctx, &format, &port, errp) || !hmp_end(ctx, errp))
        return false;
    address_space_load(&ctx->machine->io, port, format.size, &value);
    g_string_append_printf(ctx->out, "port%c[0x%04x] = ", " bw l"[format.size], (unsigned)port);
    print_number(ctx->out, &format, value);
    g_string_append_c(ctx->out, '\n');
    return true;
}

static bool port_out(HmpContext *ctx, GError **errp)
{
    HmpFormat format = {1, 'x', 1};
    uint64_t port, value;

    if (!take_port(ctx, &format, &port, errp) || !hmp_take_number(ctx, "the value", &value, errp) || !hmp_end(ctx, errp))
        return false;
    address_space_store(&ctx->machine->io, port, format.size, value & size_mask(format.size));
    return true;
}

/* --- Ranges --- */

/* The checksum of the BSD program sum, as on QEMU. */
static bool sum(HmpContext *ctx, GError **errp)
{
    uint64_t addr, size;
    uint16_t total = 0;

    if (!hmp_take_number(ctx, "the address", &addr, errp) || !hmp_take_number(ctx, "the size", &size, errp) ||
        !hmp_end(ctx, errp))
        return false;
    while (size) {
        uint8_t chunk[4096];
        size_t part = MIN(size, sizeof(chunk));
        if (guest_memory_read(ctx->machine, NULL, addr, chunk, part) < part)
            return error_set(errp, "there is no memory at all of %#" G_GINT64_MODIFIER "x to %#" G_GINT64_MODIFIER "x",
                             addr, addr + part - 1);
        for (size_t i = 0; i < part; i++)
            total = (uint16_t)((total >> 1 | total << 15) + chunk[i]);
        addr += part;
        size -= part;
    }
    g_string_append_printf(ctx->out, "%05u\n", total);
    return true;
}

static bool save(HmpContext *ctx, Vcpu *vcpu, GError **errp)
{
    g_autofree char *path = NULL;
    uint64_t addr, size;

    return hmp_take_number(ctx, "the address", &addr, errp) && hmp_take_number(ctx, "the size", &size, errp) &&
           hmp_need_word(ctx, "the file's name", &path, errp) && hmp_end(ctx, errp) &&
           guest_memory_save(ctx->machine, vcpu, addr, size, path, errp);
}

static bool save_virtual(HmpContext *ctx, GError **errp)
{
    return save(ctx, hmp_vcpu(ctx), errp);
}

static bool save_physical(HmpContext *ctx, GError **errp)
{
    return save(ctx, NULL, errp);
}

static bool translate(HmpContext *ctx, GError **errp)
{
    Vcpu *vcpu = hmp_vcpu(ctx);
    uint64_t addr, gpa;

    if (!hmp_take_number(ctx, "the address", &addr, errp) || !hmp_end(ctx, errp))
        return false;
    vcpu_sync_state(vcpu);
    if (paging_translate(&ctx->machine->memory, &vcpu->state, addr, &gpa))
        g_string_append_printf(ctx->out, "gpa: %#" G_GINT64_MODIFIER "x\n", gpa);
    else
        g_string_append(ctx->out, "Unmapped\n");
    return true;
}

const HmpCommand hmp_memory_commands[] = {
    {"gva2gpa", "ADDR", translate, "where a virtual address lies in guest-physical memory", .paused = true},
    {"i", "[/FMT] PORT", port_in, "read a port", .paused = true},
    {"memsave", "ADDR SIZE FILE", save_virtual, "save virtual memory to a file", .paused = true},
    {"o", "[/FMT] PORT VALUE", port_out, "write a port", .paused = true},
    {"pmemsave", "ADDR SIZE FILE", save_physical, "save physical memory to a file", .paused = true},
    {"print|p", "[/FMT] EXPR", print, "the value of an expression; $rip and the like are registers", .paused = true},
    {"sum", "ADDR SIZE", sum, "checksum of physical memory (BSD's)", .paused = true},
    {"x", "[/FMT] ADDR", examine_virtual, "virtual memory; FMT: count, x d u o c or i, and b h w or g", .paused = true},
    {"xp", "[/FMT] ADDR", examine_physical, "the same of physical memory", .paused = true},
    {0},
};
