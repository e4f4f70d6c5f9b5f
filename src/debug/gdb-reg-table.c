/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers gdb is shown, in the order it numbers them. GDB manual, G.5.6 "i386 Features": names
 * and types of the features org.gnu.gdb.i386.*; what is beyond them (control and debug registers) is
 * in a feature of our own, with the names QEMU uses.
 *
 * A debugger can write what would be no state of a processor. Setters take what software could have
 * loaded in the current mode, and refuse the rest: a mode change (PG, PE, PAE, LME), a non-canonical
 * base. Selectors load their descriptors (gdb-segment.c). Sources: Intel SDM vol. 3, 2.5 (control registers), 2.2.1
 * (EFER), 18.2 (debug registers); vol. 1, 8.1.7 (x87 tag word), 10.2.3 (MXCSR).
 */
#include "gdb-regs.h"

#include "core/bits.h"
#include "gdb-segment.h"

#define MXCSR_BITS 0xffffu
#define RFLAGS_WRITABLE                                                                            \
    (RFLAGS_ARITH | RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_RF | RFLAGS_AC | RFLAGS_ID)
#define CR0_KEPT (CR0_PE | CR0_PG | CR0_ET)
#define CR0_KNOWN                                                                                  \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define CR4_KEPT (CR4_PAE | CR4_LA57 | CR4_PCIDE)
#define EFER_WRITABLE (EFER_SCE | EFER_NXE)
#define DR6_FIXED_ONES 0xffff0ff0u
#define DR6_WRITABLE 0xe00fu
#define DR7_FIXED_ONES 0x400u
#define DR7_WRITABLE 0xffff23ffu

static bool in_long_mode(const CpuState *s)
{
    return s->efer & EFER_LMA;
}

static bool canonical(uint64_t addr)
{
    return (uint64_t)((int64_t)(addr << 16) >> 16) == addr;
}

/* --- general and segment registers --- */

static bool set_rip(CpuState *s, unsigned n, uint64_t value)
{
    if (in_long_mode(s) && !canonical(value))
        return false;
    s->rip = in_long_mode(s) ? value : (uint32_t)value;
    return true;
}

static bool set_rflags(CpuState *s, unsigned n, uint64_t value)
{
    s->rflags = (s->rflags & ~(uint64_t)RFLAGS_WRITABLE) | (value & RFLAGS_WRITABLE);
    return true;
}

static const SegIndex seg_order[] = {SEG_CS, SEG_SS, SEG_DS, SEG_ES, SEG_FS, SEG_GS};

static uint64_t get_selector(const CpuState *s, unsigned n)
{
    return s->seg[seg_order[n]].selector;
}

/* gdb writes all registers when it calls a function: one that stays needs no descriptor. */
static bool load_selector(AddressSpace *memory, CpuState *s, unsigned n, uint64_t value)
{
    SegIndex seg = seg_order[n];

    if (value == s->seg[seg].selector)
        return true;
    return value <= 0xffff && gdb_segment_load(memory, s, seg, (uint16_t)value);
}

static bool set_seg_base(CpuState *s, unsigned n, uint64_t value)
{
    if (!canonical(value))
        return false;
    s->seg[SEG_FS + n].base = value;
    return true;
}

static bool set_kernel_gs_base(CpuState *s, unsigned n, uint64_t value)
{
    if (!canonical(value))
        return false;
    s->msr.kernel_gs_base = value;
    return true;
}

/* --- x87 and SSE --- */

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

static unsigned fpu_top(const CpuState *s)
{
    return s->fpu.fsw >> 11 & 7;
}

/* SDM vol. 1, table 10-2: what the full tag of a register in use says. */
static unsigned tag_of(const uint8_t *st)
{
    unsigned exponent = (unsigned)load_le(st + 8, 2) & 0x7fff;
    uint64_t mantissa = load_le(st, 8);

    if (exponent == 0x7fff)
        return TAG_SPECIAL;
    if (exponent == 0)
        return mantissa ? TAG_SPECIAL : TAG_ZERO;
    return mantissa >> 63 ? TAG_VALID : TAG_SPECIAL;
}

/* Tags are of physical registers, st[] is relative to TOP. */
static uint64_t get_tag_word(const CpuState *s, unsigned n)
{
    uint64_t word = 0;

    for (unsigned i = 0; i < 8; i++) {
        unsigned tag = s->fpu.ftw >> i & 1 ? tag_of(s->fpu.st[(i - fpu_top(s)) & 7]) : TAG_EMPTY;
        word |= (uint64_t)tag << (2 * i);
    }
    return word;
}

static bool set_tag_word(CpuState *s, unsigned n, uint64_t value)
{
    s->fpu.ftw = 0;
    for (unsigned i = 0; i < 8; i++) {
        if ((value >> (2 * i) & 3) != TAG_EMPTY)
            s->fpu.ftw |= (uint8_t)(1u << i);
    }
    return true;
}

static uint64_t get_fpu_ip_high(const CpuState *s, unsigned n)
{
    return s->fpu.fcs ? s->fpu.fcs : s->fpu.fip >> 32 & 0xffff;
}

static uint64_t get_fpu_data_high(const CpuState *s, unsigned n)
{
    return s->fpu.fds ? s->fpu.fds : s->fpu.fdp >> 32 & 0xffff;
}

/* Selectors of the last x87 operands are of no use to change. */
static bool keep(CpuState *s, unsigned n, uint64_t value)
{
    return true;
}

static bool set_mxcsr(CpuState *s, unsigned n, uint64_t value)
{
    s->fpu.mxcsr = (uint32_t)value & MXCSR_BITS;
    return true;
}

/* --- control and debug registers --- */

static bool set_cr0(CpuState *s, unsigned n, uint64_t value)
{
    if ((value ^ s->cr0) & CR0_KEPT || value & ~(uint64_t)CR0_KNOWN || (value & CR0_NW && !(value & CR0_CD)))
        return false;
    s->cr0 = value;
    return true;
}

static bool set_cr3(CpuState *s, unsigned n, uint64_t value)
{
    if (value & BITS(63, 52))
        return false;
    s->cr3 = value;
    return true;
}

/* Only bits the guest has set itself are known to exist on this CPU. */
static bool set_cr4(CpuState *s, unsigned n, uint64_t value)
{
    if ((value ^ s->cr4) & CR4_KEPT || value & ~s->cr4)
        return false;
    s->cr4 = value;
    return true;
}

static bool set_cr8(CpuState *s, unsigned n, uint64_t value)
{
    if (value > 15)
        return false;
    s->cr8 = value;
    return true;
}

static bool set_efer(CpuState *s, unsigned n, uint64_t value)
{
    if ((value ^ s->efer) & ~(uint64_t)EFER_WRITABLE)
        return false;
    s->efer = value;
    return true;
}

static bool set_dr6(CpuState *s, unsigned n, uint64_t value)
{
    s->dr[6] = (value & DR6_WRITABLE) | DR6_FIXED_ONES;
    return true;
}

static bool set_dr7(CpuState *s, unsigned n, uint64_t value)
{
    s->dr[7] = (value & DR7_WRITABLE) | DR7_FIXED_ONES;
    return true;
}

/* --- types --- */

#define FLAG(name, bit) "<field name=\"" name "\" start=\"" #bit "\" end=\"" #bit "\"/>"

#define EFLAGS_TYPE                                                                                \
    "<flags id=\"i386_eflags\" size=\"4\">"                                                        \
    FLAG("CF", 0) FLAG("", 1) FLAG("PF", 2) FLAG("AF", 4) FLAG("ZF", 6) FLAG("SF", 7) FLAG("TF", 8) FLAG("IF", 9) \
    FLAG("DF", 10) FLAG("OF", 11) FLAG("NT", 14) FLAG("RF", 16) FLAG("VM", 17) FLAG("AC", 18) FLAG("VIF", 19)   \
    FLAG("VIP", 20) FLAG("ID", 21) "</flags>"

#define VEC128_TYPES                                                                               \
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"                                        \
    "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"                                        \
    "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"                                            \
    "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"                                            \
    "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"                                            \
    "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"                                            \
    "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>" \
    "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"           \
    "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"           \
    "<field name=\"uint128\" type=\"uint128\"/></union>"

#define MXCSR_TYPE                                                                                 \
    "<flags id=\"i386_mxcsr\" size=\"4\">"                                                         \
    FLAG("IE", 0) FLAG("DE", 1) FLAG("ZE", 2) FLAG("OE", 3) FLAG("UE", 4) FLAG("PE", 5) FLAG("DAZ", 6)          \
    FLAG("IM", 7) FLAG("DM", 8) FLAG("ZM", 9) FLAG("OM", 10) FLAG("UM", 11) FLAG("PM", 12) FLAG("FZ", 15) "</flags>"

#define SYSTEM_TYPES                                                                               \
    "<flags id=\"x86_cr0\" size=\"8\">"                                                            \
    FLAG("PE", 0) FLAG("MP", 1) FLAG("EM", 2) FLAG("TS", 3) FLAG("ET", 4) FLAG("NE", 5) FLAG("WP", 16)          \
    FLAG("AM", 18) FLAG("NW", 29) FLAG("CD", 30) FLAG("PG", 31) "</flags>"                         \
    "<flags id=\"x86_cr4\" size=\"8\">"                                                            \
    FLAG("VME", 0) FLAG("PVI", 1) FLAG("TSD", 2) FLAG("DE", 3) FLAG("PSE", 4) FLAG("PAE", 5) FLAG("MCE", 6)     \
    FLAG("PGE", 7) FLAG("PCE", 8) FLAG("OSFXSR", 9) FLAG("OSXMMEXCPT", 10) FLAG("UMIP", 11) FLAG("LA57", 12)    \
    FLAG("FSGSBASE", 16) FLAG("PCIDE", 17) FLAG("OSXSAVE", 18) FLAG("SMEP", 20) FLAG("SMAP", 21) FLAG("PKE", 22) \
    "</flags>"                                                                                     \
    "<flags id=\"x86_efer\" size=\"8\">"                                                           \
    FLAG("SCE", 0) FLAG("LME", 8) FLAG("LMA", 10) FLAG("NXE", 11) FLAG("FFXSR", 14) "</flags>"

#define AVX512_TYPES VEC128_TYPES "<vector id=\"v2ui128\" type=\"uint128\" count=\"2\"/>"

/* --- rows --- */

#define STATE(field) (uint16_t)offsetof(CpuState, field)
#define END {.name = NULL}
/* One register that is stored as it is. */
#define ONE(n, s, t, field)                                                                        \
    {.name = n, .count = 1, .size = s, .type = t, .offset = STATE(field), .host_size = s}
/* The same, with checks. */
#define CHECKED(n, s, t, field, setter)                                                            \
    {.name = n, .count = 1, .size = s, .type = t, .offset = STATE(field), .host_size = s, .set = setter}
#define SELECTOR(n, i)                                                                             \
    {.name = n, .first = i, .count = 1, .size = 4, .type = "int32", .get = get_selector, .load = load_selector}
#define SELECTORS                                                                                  \
    SELECTOR("cs", 0), SELECTOR("ss", 1), SELECTOR("ds", 2), SELECTOR("es", 3), SELECTOR("fs", 4), SELECTOR("gs", 5)
/* 16 or 32 bits of the x87 environment in a register of 32. */
#define X87_ENV(n, field, hs)                                                                      \
    {.name = n, .count = 1, .size = 4, .type = "int", .group = "float", .offset = STATE(field), .host_size = hs}
#define X87_SPECIAL(n, getter, setter)                                                             \
    {.name = n, .count = 1, .size = 4, .type = "int", .group = "float", .get = getter, .set = setter}
#define X87                                                                                        \
    {.name = "st%u", .count = 8, .size = 10, .type = "i387_ext", .offset = STATE(fpu.st), .stride = 16,             \
     .host_size = 10},                                                                             \
    X87_ENV("fctrl", fpu.fcw, 2), X87_ENV("fstat", fpu.fsw, 2),                                    \
    X87_SPECIAL("ftag", get_tag_word, set_tag_word), X87_SPECIAL("fiseg", get_fpu_ip_high, keep),  \
    X87_ENV("fioff", fpu.fip, 4), X87_SPECIAL("foseg", get_fpu_data_high, keep), X87_ENV("fooff", fpu.fdp, 4),  \
    X87_ENV("fop", fpu.fop, 2)
/* Slices of the vector registers. */
#define VECTOR(n, f, c, s, t, byte)                                                                \
    {.name = n, .first = f, .count = c, .size = s, .type = t, .offset = STATE(fpu.zmm) + (f) * 64 + (byte),         \
     .stride = 64, .host_size = s}
#define MXCSR                                                                                      \
    {.name = "mxcsr", .count = 1, .size = 4, .type = "i386_mxcsr", .group = "vector", .offset = STATE(fpu.mxcsr),   \
     .host_size = 4, .set = set_mxcsr}
#define OPMASKS                                                                                    \
    {.name = "k%u", .count = 8, .size = 8, .type = "uint64", .offset = STATE(fpu.opmask), .stride = 8, .host_size = 8}
#define DEBUG(n, i, setter)                                                                        \
    {.name = n, .count = 1, .size = 8, .type = "uint64", .group = "system", .offset = STATE(dr[i]), .host_size = 8, \
     .set = setter}

static const GdbRegRow core_amd64[] = {
    ONE("rax", 8, "int64", gpr[GPR_RAX]), ONE("rbx", 8, "int64", gpr[GPR_RBX]), ONE("rcx", 8, "int64", gpr[GPR_RCX]),
    ONE("rdx", 8, "int64", gpr[GPR_RDX]), ONE("rsi", 8, "int64", gpr[GPR_RSI]), ONE("rdi", 8, "int64", gpr[GPR_RDI]),
    ONE("rbp", 8, "data_ptr", gpr[GPR_RBP]), ONE("rsp", 8, "data_ptr", gpr[GPR_RSP]),
    {.name = "r%u", .first = 8, .count = 8, .size = 8, .type = "int64", .offset = STATE(gpr[GPR_R8]), .stride = 8,
     .host_size = 8},
    CHECKED("rip", 8, "code_ptr", rip, set_rip), CHECKED("eflags", 4, "i386_eflags", rflags, set_rflags),
    SELECTORS, X87, END,
};

static const GdbRegRow core_i386[] = {
    ONE("eax", 4, "int32", gpr[GPR_RAX]), ONE("ecx", 4, "int32", gpr[GPR_RCX]), ONE("edx", 4, "int32", gpr[GPR_RDX]),
    ONE("ebx", 4, "int32", gpr[GPR_RBX]), ONE("esp", 4, "data_ptr", gpr[GPR_RSP]),
    ONE("ebp", 4, "data_ptr", gpr[GPR_RBP]), ONE("esi", 4, "int32", gpr[GPR_RSI]),
    ONE("edi", 4, "int32", gpr[GPR_RDI]),
    CHECKED("eip", 4, "code_ptr", rip, set_rip), CHECKED("eflags", 4, "i386_eflags", rflags, set_rflags),
    SELECTORS, X87, END,
};

static const GdbRegRow sse_amd64[] = {VECTOR("xmm%u", 0, 16, 16, "vec128", 0), MXCSR, END};
static const GdbRegRow sse_i386[] = {VECTOR("xmm%u", 0, 8, 16, "vec128", 0), MXCSR, END};
static const GdbRegRow avx_amd64[] = {VECTOR("ymm%uh", 0, 16, 16, "uint128", 16), END};
static const GdbRegRow avx_i386[] = {VECTOR("ymm%uh", 0, 8, 16, "uint128", 16), END};

static const GdbRegRow avx512_amd64[] = {
    OPMASKS,
    VECTOR("zmm%uh", 0, 16, 32, "v2ui128", 32),
    VECTOR("xmm%u", 16, 16, 16, "vec128", 0),
    VECTOR("ymm%uh", 16, 16, 16, "uint128", 16),
    VECTOR("zmm%uh", 16, 16, 32, "v2ui128", 32),
    END,
};
static const GdbRegRow avx512_i386[] = {OPMASKS, VECTOR("zmm%uh", 0, 8, 32, "v2ui128", 32), END};

static const GdbRegRow segments[] = {
    {.name = "fs_base", .first = 0, .count = 1, .size = 8, .type = "int64", .offset = STATE(seg[SEG_FS].base),
     .host_size = 8, .set = set_seg_base},
    {.name = "gs_base", .first = 1, .count = 1, .size = 8, .type = "int64", .offset = STATE(seg[SEG_GS].base),
     .host_size = 8, .set = set_seg_base},
    END,
};

static const GdbRegRow system_registers[] = {
    CHECKED("k_gs_base", 8, "int64", msr.kernel_gs_base, set_kernel_gs_base),
    CHECKED("cr0", 8, "x86_cr0", cr0, set_cr0), ONE("cr2", 8, "int64", cr2), CHECKED("cr3", 8, "int64", cr3, set_cr3),
    CHECKED("cr4", 8, "x86_cr4", cr4, set_cr4), CHECKED("cr8", 8, "int64", cr8, set_cr8),
    CHECKED("efer", 8, "x86_efer", efer, set_efer),
    DEBUG("dr0", 0, NULL), DEBUG("dr1", 1, NULL), DEBUG("dr2", 2, NULL), DEBUG("dr3", 3, NULL),
    DEBUG("dr6", 6, set_dr6), DEBUG("dr7", 7, set_dr7),
    END,
};

#define XCR0_AVX512 (XCR0_AVX | XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM)

const GdbFeature gdb_features_amd64[] = {
    {"org.gnu.gdb.i386.core", EFLAGS_TYPE, 0, core_amd64},
    {"org.gnu.gdb.i386.sse", VEC128_TYPES MXCSR_TYPE, 0, sse_amd64},
    {"org.gnu.gdb.i386.segments", "", 0, segments},
    {"org.gnu.gdb.i386.avx", "", XCR0_AVX, avx_amd64},
    {"org.gnu.gdb.i386.avx512", AVX512_TYPES, XCR0_AVX512, avx512_amd64},
    {"org.vmm.x86.system", SYSTEM_TYPES, 0, system_registers},
    {.name = NULL},
};

const GdbFeature gdb_features_i386[] = {
    {"org.gnu.gdb.i386.core", EFLAGS_TYPE, 0, core_i386},
    {"org.gnu.gdb.i386.sse", VEC128_TYPES MXCSR_TYPE, 0, sse_i386},
    {"org.gnu.gdb.i386.avx", "", XCR0_AVX, avx_i386},
    {"org.gnu.gdb.i386.avx512", AVX512_TYPES, XCR0_AVX512, avx512_i386},
    {"org.vmm.x86.system", SYSTEM_TYPES, 0, system_registers},
    {.name = NULL},
};
