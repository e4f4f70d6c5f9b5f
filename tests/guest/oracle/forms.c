/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forms: every opcode of the four legacy, three VEX and five EVEX maps, with every prefix that selects
 * an instruction or an operand size, with a register and with a memory operand. What decodes to the
 * same mnemonic with the same kinds of operands is one form. Opmasks are drawn anew like registers.
 *
 * Left out: what is privileged, changes segments, differs between any two runs (RDTSC,
 * RDRAND), or would change the test process itself (WRFSBASE, segment loads, XRSTOR, POPF). State
 * images (XSAVE, FXSAVE) hold host specifics and have tests of their own.
 */
#include <string.h>

#include "oracle.h"

static ZydisDecoder decoder;
static bool long_mode;
static bool of_avx512;          /* forms of EVEX and of opmasks, no others */
static bool other_address_size; /* draw the address-size prefix too */

static bool category_excluded(ZydisInstructionCategory category)
{
    switch (category) {
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
    case ZYDIS_CATEGORY_INTERRUPT:
    case ZYDIS_CATEGORY_IO:
    case ZYDIS_CATEGORY_IOSTRINGOP:
    case ZYDIS_CATEGORY_SYSTEM:
    case ZYDIS_CATEGORY_SEGOP:
    case ZYDIS_CATEGORY_VTX:
    case ZYDIS_CATEGORY_SGX:
    case ZYDIS_CATEGORY_CET:
    case ZYDIS_CATEGORY_MPX:
    case ZYDIS_CATEGORY_PKU:
    case ZYDIS_CATEGORY_PT:
    case ZYDIS_CATEGORY_RDRAND:
    case ZYDIS_CATEGORY_RDSEED:
    case ZYDIS_CATEGORY_RDPID:
    case ZYDIS_CATEGORY_RDPRU:
    case ZYDIS_CATEGORY_RDWRFSGS:
    case ZYDIS_CATEGORY_SMAP:
    case ZYDIS_CATEGORY_WAITPKG:
    case ZYDIS_CATEGORY_UINTR:
    case ZYDIS_CATEGORY_XSAVE:
    case ZYDIS_CATEGORY_XSAVEOPT:
    case ZYDIS_CATEGORY_XOP:
    case ZYDIS_CATEGORY_FMA4:
    case ZYDIS_CATEGORY_TBM:
    case ZYDIS_CATEGORY_AMD3DNOW:
    case ZYDIS_CATEGORY_AMX_TILE:
    case ZYDIS_CATEGORY_KEYLOCKER:
    case ZYDIS_CATEGORY_KEYLOCKER_WIDE:
    case ZYDIS_CATEGORY_AVX512_4FMAPS: /* not offered */
    case ZYDIS_CATEGORY_AVX512_4VNNIW:
    case ZYDIS_CATEGORY_AVX512_VP2INTERSECT:
    case ZYDIS_CATEGORY_KNC:
    case ZYDIS_CATEGORY_KNCMASK:
    case ZYDIS_CATEGORY_KNCSCALAR:
    case ZYDIS_CATEGORY_PADLOCK:
    case ZYDIS_CATEGORY_ENQCMD:
    case ZYDIS_CATEGORY_MOVDIR:
    case ZYDIS_CATEGORY_SERIALIZE:
    case ZYDIS_CATEGORY_TSX_LDTRK:
    case ZYDIS_CATEGORY_HRESET:
    case ZYDIS_CATEGORY_CLZERO:
    case ZYDIS_CATEGORY_CLDEMOTE:
        return true;
    default:
        return false;
    }
}

static bool mnemonic_excluded(ZydisMnemonic mnemonic)
{
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_POPF: /* TF */
    case ZYDIS_MNEMONIC_POPFD:
    case ZYDIS_MNEMONIC_POPFQ:
    case ZYDIS_MNEMONIC_PUSHF: /* IF of the host */
    case ZYDIS_MNEMONIC_PUSHFD:
    case ZYDIS_MNEMONIC_PUSHFQ:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64:
    case ZYDIS_MNEMONIC_FNSTENV: /* FIP of the host */
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_MONITOR:
    case ZYDIS_MNEMONIC_MONITORX:
    case ZYDIS_MNEMONIC_MWAITX:
    case ZYDIS_MNEMONIC_XBEGIN:
    case ZYDIS_MNEMONIC_XABORT:
    case ZYDIS_MNEMONIC_XEND:
    case ZYDIS_MNEMONIC_XTEST:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
    case ZYDIS_MNEMONIC_LSS:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
        return true;
    default:
        return false;
    }
}

/* VEX.W = 1 outside 64-bit mode, where the manuals say it is ignored and processors disagree. */
static bool w_is_unspecified(const ZydisDecodedInstruction *insn)
{
    if (long_mode || insn->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX || !insn->raw.vex.W) {
        return false;
    }
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_VPINSRD:
    case ZYDIS_MNEMONIC_VPEXTRD:
    case ZYDIS_MNEMONIC_VPCMPESTRI:
    case ZYDIS_MNEMONIC_VPCMPESTRM:
        return true;
    default:
        return false;
    }
}

static bool case_is_wanted(const Case *c)
{
    const ZydisDecodedInstruction *insn = &c->insn;

    if (insn->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED || category_excluded(insn->meta.category) ||
        mnemonic_excluded(insn->mnemonic) || w_is_unspecified(insn)) {
        return false;
    }
    /* Near branches, without the operand-size prefix that vendors treat differently. */
    if (insn->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE &&
        (insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ||
         insn->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE)) {
        return false;
    }
    if (of_avx512 != (insn->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX || insn->meta.category == ZYDIS_CATEGORY_KMASK) ||
        (insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && insn->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX &&
         insn->encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX)) {
        return false;
    }
    /* 0F 0D with a register is NOP or #UD, by vendor; so is REX.B with PAUSE. */
    if ((insn->opcode_map == ZYDIS_OPCODE_MAP_0F && insn->opcode == 0x0d &&
         insn->raw.modrm.mod == 3) ||
        (insn->mnemonic == ZYDIS_MNEMONIC_PAUSE && insn->raw.rex.B)) {
        return false;
    }
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (c->operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER) {
            ZydisRegisterClass class = ZydisRegisterGetClass(c->operands[i].reg.value);

            if (class == ZYDIS_REGCLASS_SEGMENT || class == ZYDIS_REGCLASS_CONTROL ||
                class == ZYDIS_REGCLASS_DEBUG) {
                return false;
            }
        }
    }
    return true;
}

static bool decode(Case *c)
{
    if (!ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoder, c->bytes, sizeof(c->bytes), &c->insn, c->operands))) {
        return false;
    }
    c->len = c->insn.length;
    for (unsigned i = 0; i < c->insn.operand_count; i++) {
        ZydisDecodedOperandMem *mem = &c->operands[i].mem;

        /* Zydis 4.0 takes R13D for "no base" where REX.B is set. */
        if (c->operands[i].encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM &&
            c->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            c->insn.attributes & ZYDIS_ATTRIB_HAS_SIB && c->insn.raw.modrm.mod == 0 &&
            c->insn.raw.sib.base == 5) {
            mem->base = ZYDIS_REGISTER_NONE;
            mem->disp.value = c->insn.raw.disp.value;
        }
    }
    return true;
}

static const char *class_name(ZydisRegister reg)
{
    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_XMM:
        return "xmm";
    case ZYDIS_REGCLASS_YMM:
        return "ymm";
    case ZYDIS_REGCLASS_ZMM:
        return "zmm";
    case ZYDIS_REGCLASS_MASK:
        return "k";
    case ZYDIS_REGCLASS_MMX:
        return "mm";
    case ZYDIS_REGCLASS_X87:
        return "st";
    default:
        return "r";
    }
}

static void case_key(const Case *c, GString *key)
{
    const ZydisDecodedInstruction *insn = &c->insn;

    g_string_printf(key, "%s%s%s%s", insn->attributes & ZYDIS_ATTRIB_HAS_LOCK ? "lock " : "",
                    insn->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE) ? "rep " : "",
                    insn->attributes & ZYDIS_ATTRIB_HAS_REPNE ? "repne " : "",
                    ZydisMnemonicGetString(insn->mnemonic));
    for (unsigned i = 0; i < insn->operand_count_visible; i++) {
        const ZydisDecodedOperand *op = &c->operands[i];
        const char *name = op->type == ZYDIS_OPERAND_TYPE_MEMORY      ? "m"
                           : op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? "i"
                           : op->encoding == ZYDIS_OPERAND_ENCODING_NONE
                               ? ZydisRegisterGetString(op->reg.value)
                               : class_name(op->reg.value);

        g_string_append_printf(key, "%s%s%u", i ? ", " : " ", name, op->size);
    }
}

/* Only the opcode's place in its map tells two encodings of one key apart (ADD r, rm and rm, r). */
static void form_key(const Form *form, const Case *c, GString *key)
{
    case_key(c, key);
    if (c->insn.meta.category != ZYDIS_CATEGORY_WIDENOP) {
        g_string_append_printf(key, "  {%u:%02x%s%s}", form->map, form->opcode, form->w ? " w" : "", form->b ? " b" : "");
    }
}

/* What is drawn anew for each case. Bit 4 of the register fields is EVEX's alone. */
typedef struct Drawn {
    uint8_t rxb, vvvv;
    bool rex, r4, v4;
    uint8_t opmask;
    bool zeroing;
} Drawn;

static void encode_evex_head(const Form *form, const Drawn *d, Case *c)
{
    uint8_t rxb = long_mode ? d->rxb : d->rxb & 1, vvvv = long_mode ? d->vvvv : d->vvvv & 7;

    c->bytes[c->len++] = 0x62;
    c->bytes[c->len++] = (~rxb & 7) << 5 | !(d->r4 && long_mode) << 4 | form->map;
    c->bytes[c->len++] = form->w << 7 | (~vvvv & 15) << 3 | 4 | form->pp;
    c->bytes[c->len++] = d->zeroing << 7 | form->l << 5 | form->b << 4 | !(d->v4 && long_mode) << 3 | d->opmask;
}

static void encode_head(const Form *form, const Drawn *d, Case *c)
{
    uint8_t rxb = d->rxb, vvvv = d->vvvv;
    bool rex = d->rex;

    c->len = 0;
    if (form->evex) {
        encode_evex_head(form, d, c);
    } else if (form->vex) {
        c->bytes[c->len++] = 0xc4;
        c->bytes[c->len++] = (~(long_mode ? rxb : rxb & 1) & 7) << 5 | form->map;
        c->bytes[c->len++] = form->w << 7 | (~vvvv & 15) << 3 | form->l << 2 | form->pp;
    } else {
        memcpy(c->bytes, form->prefix, form->prefix_len);
        c->len = form->prefix_len;
        if (long_mode && (form->w || rex)) {
            c->bytes[c->len++] = 0x40 | form->w << 3 | rxb;
        }
        if (form->map) {
            c->bytes[c->len++] = 0x0f;
        }
        if (form->map > 1) {
            c->bytes[c->len++] = form->map == 2 ? 0x38 : 0x3a;
        }
    }
    c->bytes[c->len++] = form->opcode;
}

/* Tries one encoding; a new key becomes a form. */
static void consider_with(GPtrArray *forms, GHashTable *seen, Form *candidate, uint8_t opmask, Rng *rng)
{
    g_autoptr(GString) key = g_string_new(NULL);
    Case c = {0};

    for (unsigned i = 0; i < sizeof(c.bytes); i++) {
        c.bytes[i] = rng_next(rng);
    }
    encode_head(candidate, &(Drawn){.opmask = opmask}, &c);
    c.bytes[c.len++] = candidate->modrm;
    if (!decode(&c) || !case_is_wanted(&c)) {
        return;
    }
    candidate->has_modrm = c.insn.attributes & ZYDIS_ATTRIB_HAS_MODRM;
    form_key(candidate, &c, key);
    if (!g_hash_table_contains(seen, key->str)) {
        Form *form = g_memdup2(candidate, sizeof(*candidate));

        form->key = g_strdup(key->str);
        g_hash_table_add(seen, form->key);
        g_ptr_array_add(forms, form);
    }
}

/* Gathers have no address without a SIB byte. */
static bool may_need_sib(const Form *form)
{
    return form->evex || (form->vex && form->map == 2 && form->opcode >= 0x90 && form->opcode <= 0x93);
}

/* Gathers of AVX-512 have no form without an opmask. */
static void consider(GPtrArray *forms, GHashTable *seen, Form *candidate, Rng *rng)
{
    consider_with(forms, seen, candidate, 0, rng);
    if (may_need_sib(candidate) && candidate->modrm < 0xc0) {
        candidate->modrm = (candidate->modrm & 0x38) | 4; /* with SIB */
        consider_with(forms, seen, candidate, 1, rng);
    }
}

static bool is_prefix(const Form *form, uint8_t opcode)
{
    static const uint8_t prefixes[] = {0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x62, 0x64, 0x65,
                                       0x66, 0x67, 0xc4, 0xc5, 0xf0, 0xf2, 0xf3};

    if (form->vex || form->evex || form->map > 1) {
        return false;
    }
    if (form->map == 1) {
        return opcode == 0x0f || opcode == 0x38 || opcode == 0x3a;
    }
    return (long_mode && (opcode & 0xf0) == 0x40) || memchr(prefixes, opcode, sizeof(prefixes));
}

/* Opcode 0..255 with each ModRM.reg, and each ModRM.rm of the register form, which select too. */
static void consider_opcodes(GPtrArray *forms, GHashTable *seen, Form *candidate, Rng *rng)
{
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        if (is_prefix(candidate, opcode)) {
            continue;
        }
        candidate->opcode = opcode;
        for (unsigned reg = 0; reg < 8; reg++) {
            candidate->modrm = reg << 3 | 3;
            consider(forms, seen, candidate, rng);
            for (unsigned rm = 0; rm < (candidate->evex ? 1 : 8); rm++) {
                candidate->modrm = 0xc0 | reg << 3 | rm;
                consider(forms, seen, candidate, rng);
            }
        }
    }
}

static void consider_evex(GPtrArray *forms, GHashTable *seen, Rng *rng)
{
    static const uint8_t maps[] = {1, 2, 3, 5, 6};

    for (unsigned i = 0; i < G_N_ELEMENTS(maps) * 4 * 3 * 2 * 2; i++) {
        Form form = {.evex = true, .map = maps[i % 5], .pp = i / 5 % 4, .l = i / 20 % 3, .w = i / 60 % 2, .b = i / 120};

        consider_opcodes(forms, seen, &form, rng);
    }
}

GPtrArray *forms_enumerate(unsigned code_bits, bool avx512)
{
    static const struct {
        uint8_t len, bytes[2];
    } prefixes[] = {{0, {0}},          {1, {0x66}},       {1, {0xf2}}, {1, {0xf3}},
                    {2, {0x66, 0xf2}}, {2, {0x66, 0xf3}}, {1, {0xf0}}, {2, {0x66, 0xf0}}};
    GPtrArray *forms = g_ptr_array_new();
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    Rng rng = {1};

    long_mode = code_bits == 64;
    if (long_mode) {
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    } else if (code_bits == 32) {
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    } else {
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    }
    other_address_size = code_bits != 32; /* 16-bit addresses would not reach the data there */
    of_avx512 = avx512;
    if (avx512) {
        consider_evex(forms, seen, &rng);
    }
    for (unsigned map = 0; map < 4 && !avx512; map++) {
        for (unsigned p = 0; p < G_N_ELEMENTS(prefixes); p++) {
            for (unsigned w = 0; w < (long_mode ? 2 : 1); w++) {
                Form form = {.map = map, .w = w, .prefix_len = prefixes[p].len};

                memcpy(form.prefix, prefixes[p].bytes, 2);
                consider_opcodes(forms, seen, &form, &rng);
            }
        }
    }
    for (unsigned i = 0; i < 3 * 4 * 2 * 2; i++) {
        Form form = {.vex = true, .map = 1 + i % 3, .pp = i / 3 % 4, .l = i / 12 % 2, .w = i / 24};

        consider_opcodes(forms, seen, &form, &rng);
    }
    return forms;
}

/* Random addressing: ModRM, SIB and displacement behind the opcode. */
static void draw_memory(const Form *form, Case *c, uint8_t reg, Rng *rng)
{
    bool sib = may_need_sib(form) && (form->modrm & 7) == 4;
    uint8_t mod = rng_below(rng, 3), rm = sib ? 4 : rng_below(rng, 8);

    c->bytes[c->len++] = mod << 6 | reg << 3 | rm;
    if (rm == 4) {
        c->bytes[c->len++] = rng_next(rng);
    }
}

static void draw_evex(Drawn *drawn, unsigned attempt, Rng *rng)
{
    drawn->r4 = attempt < 32 && rng_below(rng, 2);
    drawn->v4 = attempt < 16 && rng_below(rng, 2);
    drawn->vvvv = attempt < 16 ? drawn->vvvv : 0;
    drawn->opmask = rng_below(rng, 3) || attempt > 60 ? rng_below(rng, 8) : 0;
    drawn->zeroing = drawn->opmask && rng_below(rng, 2);
}

bool form_draw(const Form *form, Rng *rng, Case *c)
{
    g_autoptr(GString) key = g_string_new(NULL);

    for (unsigned attempt = 0; attempt < 64; attempt++) {
        bool memory = form->modrm < 0xc0;
        uint8_t random = rng_next(rng);
        /* Early attempts vary everything; later ones keep more of the first encoding. */
        uint8_t reg = attempt < 32 ? random & 7 : form->modrm >> 3 & 7;
        uint8_t rm = attempt < 16 ? random >> 3 & 7 : form->modrm & 7;
        uint8_t rxb = attempt < 48 ? rng_below(rng, 8) : 0;

        for (unsigned i = 0; i < sizeof(c->bytes); i++) {
            c->bytes[i] = rng_next(rng);
        }
        Drawn drawn = {.rxb = rxb, .vvvv = attempt < 56 ? rng_below(rng, 16) : 0,
                       .rex = rng_below(rng, 2) && attempt < 48};

        if (form->evex) {
            draw_evex(&drawn, attempt, rng);
        }
        encode_head(form, &drawn, c);
        if (other_address_size && attempt < 32 && rng_below(rng, 8) == 0) {
            memmove(c->bytes + 1, c->bytes, c->len++);
            c->bytes[0] = 0x67;
        }
        if (form->has_modrm && memory) {
            draw_memory(form, c, reg, rng);
        } else if (form->has_modrm) {
            c->bytes[c->len++] = 0xc0 | reg << 3 | rm;
        }
        if (!decode(c) || !case_is_wanted(c)) {
            continue;
        }
        form_key(form, c, key);
        if (!strcmp(key->str, form->key)) {
            return true;
        }
    }
    return false;
}
