/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers as gdb reads and writes them, and the target description that says which there are (GDB
 * manual, appendix G "Target Descriptions"; E.2: g, G, p, P).
 *
 * gdb cannot change between 64- and 32-bit registers by itself: it has what the description said when
 * it was read. A CPU with long mode is amd64 in all its modes unless "monitor arch i386" says
 * otherwise; see docs/debugging.md for how gdb is made to read it again.
 *
 * Locking: the main loop, machine_lock held, vCPUs paused.
 */
#include "gdb-regs.h"

#include <string.h>

#include "core/bits.h"
#include "gdb-internal.h"

/* One register: gdb's number is its index in the layout. */
typedef struct GdbReg {
    const GdbRegRow *row;
    unsigned n; /* 0..count - 1 */
} GdbReg;

struct GdbLayout {
    GArray *regs; /* of GdbReg */
    GString *xml;
};

/* --- layout --- */

static void append_register(GString *xml, const GdbRegRow *row, unsigned n)
{
    g_string_append(xml, "<reg name=\"");
    for (const char *p = row->name; *p; p++) {
        if (p[0] == '%' && p[1] == 'u') {
            g_string_append_printf(xml, "%u", row->first + n);
            p++;
        } else {
            g_string_append_c(xml, *p);
        }
    }
    g_string_append_printf(xml, "\" bitsize=\"%u\" type=\"%s\"", row->size * 8u, row->type);
    if (row->group)
        g_string_append_printf(xml, " group=\"%s\"", row->group);
    g_string_append(xml, "/>\n");
}

static void add_feature(GdbLayout *layout, const GdbFeature *feature)
{
    g_string_append_printf(layout->xml, "<feature name=\"%s\">%s\n", feature->name, feature->types);
    for (const GdbRegRow *row = feature->rows; row->name; row++) {
        for (unsigned n = 0; n < row->count; n++) {
            const GdbReg reg = {row, n};
            g_array_append_val(layout->regs, reg);
            append_register(layout->xml, row, n);
        }
    }
    g_string_append(layout->xml, "</feature>\n");
}

GdbLayout *gdb_layout_new(bool amd64, uint64_t xcr0_mask)
{
    GdbLayout *layout = g_new0(GdbLayout, 1);

    layout->regs = g_array_new(FALSE, FALSE, sizeof(GdbReg));
    layout->xml = g_string_new("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target>");
    g_string_append_printf(layout->xml, "<architecture>%s</architecture>\n", amd64 ? "i386:x86-64" : "i386");
    for (const GdbFeature *f = amd64 ? gdb_features_amd64 : gdb_features_i386; f->name; f++) {
        if ((xcr0_mask & f->xcr0) == f->xcr0)
            add_feature(layout, f);
    }
    g_string_append(layout->xml, "</target>\n");
    return layout;
}

void gdb_layout_free(GdbLayout *layout)
{
    if (!layout)
        return;
    g_array_unref(layout->regs);
    g_string_free(layout->xml, TRUE);
    g_free(layout);
}

const char *gdb_layout_xml(const GdbLayout *layout)
{
    return layout->xml->str;
}

void gdb_layout_choose(Gdb *gdb)
{
    const Vcpu *vcpu = gdb->machine->vcpus[0];
    bool amd64 = gdb->arch == GDB_ARCH_AUTO ? vcpu->has_long_mode : gdb->arch == GDB_ARCH_AMD64;

    gdb_layout_free(gdb->layout);
    gdb->layout = gdb_layout_new(amd64, vcpu->xcr0_mask);
}

/* --- one register --- */

static void read_reg(const CpuState *state, const GdbReg *reg, uint8_t *bytes)
{
    const GdbRegRow *row = reg->row;

    memset(bytes, 0, row->size);
    if (row->get)
        store_le(bytes, row->get(state, row->first + reg->n), row->size);
    else
        memcpy(bytes, (const uint8_t *)state + row->offset + reg->n * row->stride, row->host_size);
}

static bool write_reg(const Gdb *gdb, CpuState *state, const GdbReg *reg, const uint8_t *bytes)
{
    const GdbRegRow *row = reg->row;

    if (row->load)
        return row->load(&gdb->machine->memory, state, row->first + reg->n, load_le(bytes, MIN(row->size, 8)));
    if (row->set)
        return row->set(state, row->first + reg->n, load_le(bytes, MIN(row->size, 8)));
    memcpy((uint8_t *)state + row->offset + reg->n * row->stride, bytes, row->host_size);
    return true;
}

/* The TPR of a LAPIC in the process is not in CpuState (core/cpu-state.h). */
static void load_tpr(Vcpu *vcpu)
{
    if (vcpu->intr && vcpu->intr->get_tpr)
        vcpu->state.cr8 = vcpu->intr->get_tpr(vcpu->intr_opaque);
}

static void store_tpr(Vcpu *vcpu)
{
    if (vcpu->intr && vcpu->intr->set_tpr && vcpu->intr->get_tpr(vcpu->intr_opaque) != vcpu->state.cr8)
        vcpu->intr->set_tpr(vcpu->intr_opaque, vcpu->state.cr8);
}

static CpuState *load_state(Gdb *gdb)
{
    Vcpu *vcpu = gdb_vcpu(gdb);

    vcpu_sync_state(vcpu);
    load_tpr(vcpu);
    return &vcpu->state;
}

static void store_state(Gdb *gdb, const CpuState *state)
{
    Vcpu *vcpu = gdb_vcpu(gdb);

    vcpu->state = *state;
    vcpu_mark_dirty(vcpu);
    store_tpr(vcpu);
}

static const GdbReg *find_reg(const Gdb *gdb, uint64_t number)
{
    if (number >= gdb->layout->regs->len)
        return NULL;
    return &g_array_index(gdb->layout->regs, GdbReg, number);
}

/* --- packets --- */

void gdb_read_registers(Gdb *gdb, GdbArgs *args)
{
    const CpuState *state = load_state(gdb);
    uint8_t bytes[GDB_REG_MAX_SIZE];

    for (guint i = 0; i < gdb->layout->regs->len; i++) {
        const GdbReg *reg = find_reg(gdb, i);
        read_reg(state, reg, bytes);
        gdb_append_hex(gdb->reply, bytes, reg->row->size);
    }
}

void gdb_read_register(Gdb *gdb, GdbArgs *args)
{
    uint8_t bytes[GDB_REG_MAX_SIZE];
    const GdbReg *reg = NULL;
    uint64_t number;

    if (gdb_take_hex(args, &number))
        reg = find_reg(gdb, number);
    if (!reg) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    read_reg(load_state(gdb), reg, bytes);
    gdb_append_hex(gdb->reply, bytes, reg->row->size);
}

/* All or, from the beginning, some: gdb may leave off the rest. Nothing is written unless all can be. */
void gdb_write_registers(Gdb *gdb, GdbArgs *args)
{
    CpuState state = *load_state(gdb);
    uint8_t bytes[GDB_REG_MAX_SIZE];
    bool ok = true;

    for (guint i = 0; ok && i < gdb->layout->regs->len && gdb_args_left(args); i++) {
        const GdbReg *reg = find_reg(gdb, i);
        ok = gdb_take_bytes(args, bytes, reg->row->size) && write_reg(gdb, &state, reg, bytes);
    }
    if (!ok || gdb_args_left(args)) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    store_state(gdb, &state);
    gdb_reply_ok(gdb);
}

/* P n=value */
void gdb_write_register(Gdb *gdb, GdbArgs *args)
{
    CpuState state = *load_state(gdb);
    uint8_t bytes[GDB_REG_MAX_SIZE];
    const GdbReg *reg = NULL;
    uint64_t number;

    if (gdb_take_hex(args, &number) && gdb_take_char(args, '='))
        reg = find_reg(gdb, number);
    if (!reg || !gdb_take_bytes(args, bytes, reg->row->size)) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    if (!write_reg(gdb, &state, reg, bytes)) {
        gdb_reply_failure(gdb, "the CPU cannot have this value in its present mode");
        return;
    }
    store_state(gdb, &state);
    gdb_reply_ok(gdb);
}
