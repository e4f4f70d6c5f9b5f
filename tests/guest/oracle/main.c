/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oracle [-t] [-e] [-m 64|32|16] [-n STATES] [-s SEED] [-f TEXT] [-v]: compares every form, or those whose
 * name contains TEXT; -t: with the translator instead of the interpreter; -e: the forms of AVX-512, else all others; -v prints the first difference of each in full. Environment ORACLE_STATES
 * overrides the number of states. Exit status 1 if any form differs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

#define FLAGS_ARITH    0x8d5u
#define FLAGS_COMPARED (FLAGS_ARITH | 0x400)

typedef struct Options {
    unsigned states;
    uint64_t seed;
    const char *filter;
    unsigned code_bits;
    bool verbose;
    bool translate;
    bool avx512;
} Options;

/* Which byte of an image or of the active elements is touched first is not specified, nor which operand of CMPS. */
static uint64_t fault_page(const Case *c, const State *state)
{
    if (c->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
        return state->fault_address & ~UINT64_C(4095);
    switch (c->insn.mnemonic) {
    case ZYDIS_MNEMONIC_CMPSB:
    case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSD:
    case ZYDIS_MNEMONIC_CMPSQ:
        return 0;
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_VMASKMOVPS:
    case ZYDIS_MNEMONIC_VMASKMOVPD:
    case ZYDIS_MNEMONIC_VPMASKMOVD:
    case ZYDIS_MNEMONIC_VPMASKMOVQ:
        return state->fault_address & ~UINT64_C(4095);
    default:
        return state->fault_address;
    }
}

/* A fault of a memory operand: of its segment or address, or of its page. */
static bool is_memory_fault(uint8_t fault)
{
    return fault == 12 || fault == 13 || fault == 14;
}

/* FSW.ES: an exception that is not masked waits. */
static bool x87_waits(const State *state)
{
    return state->xsave[2] & 0x80;
}

/*
 * Whether the results may differ by vendor:
 * - AMD's processors may suppress the faults of more masked instructions than the manual says;
 * - an aligned move of AVX-512 none of whose elements is selected may look at the alignment;
 * - MASKMOVDQU may fault for bytes it does not store;
 * - an x87 store that an exception keeps from storing need not touch its operand;
 * - the SHA extensions want an aligned operand of Intel's processors only;
 * - VCVTPS2PH may see either its numeric exception or the fault of its operand first;
 * - MOVSXD r16 reads a word (Intel) or a doubleword (AMD);
 * - a stack access over the end of a 4 GiB segment may be a page fault (Intel) or one of the segment (AMD).
 */
static bool is_unspecified(const Case *c, const State *host, const State *guest)
{
    if (__builtin_cpu_is("amd") && c->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX &&
        c->insn.avx.mask.reg != ZYDIS_REGISTER_NONE && c->insn.avx.mask.reg != ZYDIS_REGISTER_K0 &&
        host->fault == NO_FAULT && is_memory_fault(guest->fault))
        return true;
    switch (c->insn.mnemonic) {
    case ZYDIS_MNEMONIC_VMOVAPS:
    case ZYDIS_MNEMONIC_VMOVAPD:
    case ZYDIS_MNEMONIC_VMOVDQA32:
    case ZYDIS_MNEMONIC_VMOVDQA64:
        return c->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && host->fault == 13 && guest->fault == NO_FAULT;
    case ZYDIS_MNEMONIC_MASKMOVQ:
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_VMASKMOVDQU:
        return host->fault == 14;
    case ZYDIS_MNEMONIC_FBSTP:
    case ZYDIS_MNEMONIC_FIST:
    case ZYDIS_MNEMONIC_FISTP:
    case ZYDIS_MNEMONIC_FISTTP:
    case ZYDIS_MNEMONIC_FST:
    case ZYDIS_MNEMONIC_FSTP:
        return (host->fault == NO_FAULT && is_memory_fault(guest->fault) && x87_waits(host)) ||
               (is_memory_fault(host->fault) && guest->fault == NO_FAULT && x87_waits(guest));
    case ZYDIS_MNEMONIC_SHA1MSG1:
    case ZYDIS_MNEMONIC_SHA1MSG2:
    case ZYDIS_MNEMONIC_SHA1NEXTE:
    case ZYDIS_MNEMONIC_SHA1RNDS4:
    case ZYDIS_MNEMONIC_SHA256MSG1:
    case ZYDIS_MNEMONIC_SHA256MSG2:
    case ZYDIS_MNEMONIC_SHA256RNDS2:
        return host->fault == 13 && guest->fault != 13;
    case ZYDIS_MNEMONIC_VCVTPS2PH:
        return host->fault != NO_FAULT && guest->fault != NO_FAULT;
    case ZYDIS_MNEMONIC_MOVSXD:
        return c->insn.operand_width == 16 && host->fault == 14 && guest->fault == NO_FAULT;
    case ZYDIS_MNEMONIC_ENTER:
        return host->fault == 14 && guest->fault == 12 && host->fault_address > UINT32_MAX - 16;
    default:
        return false;
    }
}

/* #XM of CVTPS2PI and its like, and the fault of an MMX store, may come before or after the switch to MMX. */
static bool x87_is_unspecified(const Case *c, const State *host)
{
    switch (c->insn.mnemonic) {
    case ZYDIS_MNEMONIC_MOVD:
    case ZYDIS_MNEMONIC_MOVQ:
    case ZYDIS_MNEMONIC_MOVNTQ:
        return is_memory_fault(host->fault) && c->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
    default:
        return host->fault == 19 && c->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
    }
}

/* What a gather that faults has done by then of the elements behind the faulting one, and above all elements, is the
 * processor's choice. */
static bool vectors_are_unspecified(const Case *c, const State *host)
{
    return is_memory_fault(host->fault) && (c->insn.meta.category == ZYDIS_CATEGORY_GATHER ||
                                            c->insn.meta.category == ZYDIS_CATEGORY_AVX2GATHER);
}

static bool is_repeated(const Case *c)
{
    return c->insn.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
}

/* A repeated CMPS or SCAS that faults has the flags of before (Intel) or of its last comparison (AMD). */
static bool flags_are_unspecified(const Case *c, const State *host)
{
    return is_memory_fault(host->fault) && is_repeated(c);
}

/* The ten bytes of an x87 store that reaches over the end of a page: Intel's write none, AMD's may write eight. */
static bool memory_is_unspecified(const Case *c, const State *host)
{
    return is_memory_fault(host->fault) &&
           (c->insn.mnemonic == ZYDIS_MNEMONIC_FSTP || c->insn.mnemonic == ZYDIS_MNEMONIC_FBSTP);
}

/*
 * The bits of a register that are defined: string instructions with 32-bit addresses that fault, or repeat zero times, may
 * have cleared the upper halves of their registers (Intel) or not (AMD). A signal's return to a 16-bit stack segment loses that of ESP.
 */
static uint64_t defined_bits(const Case *c, const State *host, unsigned reg)
{
    bool string = c->insn.meta.category == ZYDIS_CATEGORY_STRINGOP;

    if (reg == 4 && case_bits(c) == 16)
        return 0xffff;
    if (string && (is_memory_fault(host->fault) || is_repeated(c)) && c->insn.address_width == 32 &&
        (reg == 1 || reg == 6 || reg == 7))
        return UINT32_MAX;
    return ~UINT64_C(0);
}

/* What differs, as text; NULL: nothing. */
static const char *compare(const Case *c, const State *host, const State *guest, bool translated)
{
    uint32_t undefined = c->insn.cpu_flags ? c->insn.cpu_flags->undefined : 0;
    /* In translated code flags the instruction would have overwritten are lost when it faults, and those the
     * code behind a branch overwrites when it branches. */
    uint32_t lost = translated ? FLAGS_ARITH : 0;

    if (is_unspecified(c, host, guest))
        return NULL;
    if (host->fault != guest->fault)
        return "fault";
    if (fault_page(c, host) != fault_page(c, guest))
        return "fault address";
    if (host->rip != guest->rip)
        return "rip";
    for (unsigned i = 0; i < 16; i++) {
        if ((host->gpr[i] ^ guest->gpr[i]) & defined_bits(c, host, i))
            return "registers";
    }
    if (c->insn.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
        undefined |= lost;
    if (flags_are_unspecified(c, host))
        lost = FLAGS_ARITH;
    if ((host->rflags ^ guest->rflags) & FLAGS_COMPARED &
        ~(host->fault == NO_FAULT ? undefined : lost))
        return "flags";
    if (memcmp(host->xsave, guest->xsave, 5) && !x87_is_unspecified(c, host))
        return "x87 control";
    if (memcmp(host->xsave + X_MXCSR, guest->xsave + X_MXCSR, 4))
        return "mxcsr";
    for (unsigned i = 0; i < 8 && !x87_is_unspecified(c, host); i++) {
        if (memcmp(host->xsave + X_ST + 16 * i, guest->xsave + X_ST + 16 * i, 10))
            return "x87 registers";
    }
    if (vectors_are_unspecified(c, host))
        return NULL;
    if (memcmp(host->xsave + X_XMM, guest->xsave + X_XMM, 256))
        return "xmm";
    if (memcmp(host->xsave + X_YMM, guest->xsave + X_YMM, 256))
        return "ymm";
    if (memcmp(host->xsave + X_OPMASK, guest->xsave + X_OPMASK, 64))
        return "opmasks";
    if (memcmp(host->xsave + X_ZMM, guest->xsave + X_ZMM, X_SIZE - X_ZMM))
        return "zmm";
    if (memcmp(host_data(), guest_data(), DATA_SIZE) && !memory_is_unspecified(c, host))
        return "memory";
    return NULL;
}

static void print_bytes(const char *name, const uint8_t *a, const uint8_t *b, const uint8_t *before,
                        unsigned len)
{
    if (!memcmp(a, b, len))
        return;
    printf("    %s before ", name);
    for (unsigned i = len; i-- > 0;)
        printf("%02x", before[i]);
    printf("\n    %s host   ", name);
    for (unsigned i = len; i-- > 0;)
        printf("%02x", a[i]);
    printf("\n    %s guest  ", name);
    for (unsigned i = len; i-- > 0;)
        printf("%02x", b[i]);
    printf("\n");
}

static void print_difference(const Case *c, const State *before, const State *host,
                             const State *guest)
{
    ZydisFormatter formatter;
    char text[96], name[16];

    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    ZydisFormatterFormatInstruction(&formatter, &c->insn, c->operands,
                                    c->insn.operand_count_visible, text, sizeof(text), CODE_ADDRESS,
                                    ZYAN_NULL);
    printf("    %s   [", text);
    for (unsigned i = 0; i < c->len; i++)
        printf("%s%02x", i ? " " : "", c->bytes[i]);
    printf("]\n    fault %d %d address %lx %lx rip %lx %lx flags %lx: %lx %lx\n",
           (int8_t)host->fault, (int8_t)guest->fault, host->fault_address, guest->fault_address,
           host->rip, guest->rip, before->rflags & FLAGS_COMPARED, host->rflags & FLAGS_COMPARED,
           guest->rflags & FLAGS_COMPARED);
    for (unsigned i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "gpr%u", i);
        print_bytes(name, (uint8_t *)&host->gpr[i], (uint8_t *)&guest->gpr[i],
                    (uint8_t *)&before->gpr[i], 8);
        snprintf(name, sizeof(name), "xmm%u", i);
        print_bytes(name, host->xsave + X_XMM + 16 * i, guest->xsave + X_XMM + 16 * i,
                    before->xsave + X_XMM + 16 * i, 16);
        snprintf(name, sizeof(name), "ymmh%u", i);
        print_bytes(name, host->xsave + X_YMM + 16 * i, guest->xsave + X_YMM + 16 * i,
                    before->xsave + X_YMM + 16 * i, 16);
    }
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "k%u", i);
        print_bytes(name, host->xsave + X_OPMASK + 8 * i, guest->xsave + X_OPMASK + 8 * i,
                    before->xsave + X_OPMASK + 8 * i, 8);
    }
    for (unsigned i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "zmmh%u", i);
        print_bytes(name, host->xsave + X_ZMM + 32 * i, guest->xsave + X_ZMM + 32 * i,
                    before->xsave + X_ZMM + 32 * i, 32);
        snprintf(name, sizeof(name), "zmm%u", 16 + i);
        print_bytes(name, host->xsave + X_HIGH + 64 * i, guest->xsave + X_HIGH + 64 * i,
                    before->xsave + X_HIGH + 64 * i, 64);
    }
    print_bytes("fcw/fsw/ftw", host->xsave, guest->xsave, before->xsave, 5);
    print_bytes("mxcsr", host->xsave + X_MXCSR, guest->xsave + X_MXCSR, before->xsave + X_MXCSR, 4);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "st%u", i);
        print_bytes(name, host->xsave + X_ST + 16 * i, guest->xsave + X_ST + 16 * i,
                    before->xsave + X_ST + 16 * i, 10);
    }
    for (unsigned i = 0; i < DATA_SIZE; i += 16) {
        snprintf(name, sizeof(name), "+%x", i);
        print_bytes(name, host_data() + i, guest_data() + i, host_data() + i, 16);
    }
}

typedef struct Totals {
    unsigned forms, differing, cases, faults;
} Totals;

/* The number of states that differ. */
static unsigned check_form(const Form *form, const Options *options, Totals *totals)
{
    Rng rng = {options->seed ^ g_str_hash(form->key)};
    unsigned differences = 0;
    State before, host, guest;
    Case c;

    for (unsigned i = 0; i < options->states; i++) {
        const char *what;

        if (i % 4 == 0 && !form_draw(form, &rng, &c))
            break;
        state_random(&before, guest_data(), &c, &rng);
        memcpy(host_data(), guest_data(), DATA_SIZE);
        host = guest = before;
        host_run(&c, &host);
        guest_run(&c, &guest);
        totals->cases++;
        totals->faults += host.fault != NO_FAULT;
        what = compare(&c, &host, &guest, options->translate);
        if (!what)
            continue;
        if (differences++ == 0) {
            printf("DIFFERS %s: %s\n", form->key, what);
            if (options->verbose)
                print_difference(&c, &before, &host, &guest);
        }
    }
    return differences;
}

static void parse(int argc, char **argv, Options *options)
{
    const char *states = getenv("ORACLE_STATES");

    *options = (Options){.states = 400, .seed = 1, .code_bits = 64};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-n") && i + 1 < argc)
            options->states = strtoul(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "-s") && i + 1 < argc)
            options->seed = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "-f") && i + 1 < argc)
            options->filter = argv[++i];
        else if (!strcmp(argv[i], "-m") && i + 1 < argc)
            options->code_bits = strtoul(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "-t"))
            options->translate = true;
        else if (!strcmp(argv[i], "-e"))
            options->avx512 = true;
        else if (!strcmp(argv[i], "-v"))
            options->verbose = true;
    }
    if (states)
        options->states = strtoul(states, NULL, 0);
}

int main(int argc, char **argv)
{
    Totals totals = {0};
    g_autoptr(GError) err = NULL;
    Options options;
    GPtrArray *forms;

    parse(argc, argv, &options);
    host_init(); /* first: accel/dbt passes on the signals that are not its own */
    if (!guest_init(options.translate, &err)) {
        fprintf(stderr, "oracle: %s\n", err->message);
        return 1;
    }
    guest_set_code_bits(options.code_bits);
    if (options.code_bits == 16) {
        host_use_ldt();
    }
    if (options.avx512 && !host_has_avx512()) {
        fprintf(stderr, "oracle: this processor has no AVX-512\n");
        return 77;
    }
    forms = forms_enumerate(options.code_bits, options.avx512);
    for (unsigned i = 0; i < forms->len; i++) {
        const Form *form = g_ptr_array_index(forms, i);

        if (options.filter && !strstr(form->key, options.filter))
            continue;
        totals.forms++;
        totals.differing += check_form(form, &options, &totals) > 0;
        fflush(stdout);
    }
    printf("%u-bit code: %u forms, %u cases of which %u faulted, %u forms differ\n",
           options.code_bits, totals.forms, totals.cases, totals.faults, totals.differing);
    guest_release();
    return totals.differing > 0;
}
