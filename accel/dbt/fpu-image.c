/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images of x87, SSE and extended state: SDM vol. 1, 8.1.10 (environment), 10.5 (FXSAVE), 13.4
 * (XSAVE); vol. 1, 8.1.8 (instruction and data pointers).
 *
 * FpuState begins as an FXSAVE64 image, so most of this moves bytes. Only here is the tag word
 * expanded, which FNSTENV stores in full and which nothing else keeps.
 */
#include "accel/dbt/fpu.h"
#include "accel/dbt/native.h"

#define FSW_ES (1u << 7)
#define FSW_B (1u << 15)
#define FSW_TOP_MASK 0x3800u
#define FSW_TOP(fsw) ((fsw) >> 11 & 7)

enum {
    FX_FCW = 0,
    FX_FSW = 2,
    FX_FTW = 4,
    FX_FOP = 6,
    FX_FIP = 8,
    FX_FCS = 12,
    FX_FDP = 16,
    FX_FDS = 20,
    FX_ST = 32,
};

static uint32_t host_mxcsr_mask(void)
{
    uint8_t image[FXSAVE_SIZE] __attribute__((aligned(16))) = {0};
    uint32_t mask;

    __asm__ volatile("fxsave64 %0" : "=m"(image));
    mask = load_le(image + 28, 4);
    return mask ? mask : 0xffbf;
}

uint32_t fpu_mxcsr_mask(void)
{
    static uint32_t known; /* the host's, which does not change; atomic */
    uint32_t mask = __atomic_load_n(&known, __ATOMIC_RELAXED);

    if (!mask) {
        mask = host_mxcsr_mask();
        __atomic_store_n(&known, mask, __ATOMIC_RELAXED);
    }
    return mask;
}

void fpu_set_top(FpuState *fpu, unsigned top)
{
    unsigned shift = top - FSW_TOP(fpu->fsw);
    uint8_t st[8][16];

    memcpy(st, fpu->st, sizeof(st));
    for (unsigned i = 0; i < 8; i++) {
        memcpy(fpu->st[i], st[(i + shift) & 7], sizeof(st[0]));
    }
    fpu->fsw = (fpu->fsw & ~FSW_TOP_MASK) | top << 11;
}

void fpu_load_control(FpuState *fpu, uint16_t fcw, uint16_t fsw)
{
    fpu->fcw = (fcw & 0x1f3f) | 0x40;
    fpu->fsw = fsw & ~(FSW_ES | FSW_B);
    if (dbt_x87_pending(fpu)) {
        fpu->fsw |= FSW_ES | FSW_B;
    }
}

void fpu_x87_init(FpuState *fpu)
{
    fpu_set_top(fpu, 0);
    fpu->fcw = 0x37f;
    fpu->fsw = 0;
    fpu->ftw = 0;
    fpu->fop = 0;
    fpu->fip = fpu->fdp = 0;
    fpu->fcs = fpu->fds = 0;
}

void fpu_store_x87(const FpuState *fpu, uint8_t *image, bool wide)
{
    memcpy(image, fpu, FX_FIP);
    image[FX_FTW + 1] = 0;
    store_le(image + FX_FIP, fpu->fip, 8);
    store_le(image + FX_FDP, fpu->fdp, 8);
    if (!wide) {
        store_le(image + FX_FCS, fpu->fcs, 4);
        store_le(image + FX_FDS, fpu->fds, 4);
    }
    for (unsigned i = 0; i < 8; i++) {
        memcpy(image + FX_ST + 16 * i, fpu->st[i], 10);
        memset(image + FX_ST + 16 * i + 10, 0, 6);
    }
}

void fpu_load_x87(FpuState *fpu, const uint8_t *image, bool wide)
{
    fpu_load_control(fpu, load_le(image + FX_FCW, 2), load_le(image + FX_FSW, 2));
    fpu->ftw = image[FX_FTW];
    fpu->fop = load_le(image + FX_FOP, 2) & 0x7ff;
    fpu->fip = load_le(image + FX_FIP, wide ? 8 : 4);
    fpu->fdp = load_le(image + FX_FDP, wide ? 8 : 4);
    fpu->fcs = wide ? 0 : load_le(image + FX_FCS, 2);
    fpu->fds = wide ? 0 : load_le(image + FX_FDS, 2);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(fpu->st[i], image + FX_ST + 16 * i, 10);
        memset(fpu->st[i] + 10, 0, 6);
    }
}

/* The tag of a register that is not empty: 0 valid, 1 zero, 2 special (SDM vol. 1, 8.1.7). */
static unsigned value_tag(const uint8_t *st)
{
    uint64_t mantissa = load_le(st, 8);
    unsigned exponent = load_le(st + 8, 2) & 0x7fff;

    if (exponent == 0 && mantissa == 0) {
        return 1;
    }
    return exponent == 0 || exponent == 0x7fff || !(mantissa >> 63) ? 2 : 0;
}

/* Tags are of physical registers, FpuState.st of stack positions. */
static uint16_t full_tag_word(const FpuState *fpu)
{
    uint16_t tags = 0;

    for (unsigned reg = 0; reg < 8; reg++) {
        unsigned position = (reg - FSW_TOP(fpu->fsw)) & 7;
        unsigned tag = fpu->ftw >> reg & 1 ? value_tag(fpu->st[position]) : 3;

        tags |= tag << 2 * reg;
    }
    return tags;
}

void fpu_store_env(const FpuState *fpu, uint8_t *image, EnvFormat format)
{
    uint32_t fip = fpu->fip, fdp = fpu->fdp;
    uint32_t fields[7] = {fpu->fcw, fpu->fsw, full_tag_word(fpu), fip, fpu->fcs, fdp, fpu->fds};

    if (format.real) {
        fip += fpu->fcs << 4;
        fdp += fpu->fds << 4;
        fields[3] = fip & 0xffff;
        fields[4] = (fip >> 16) << 12 | fpu->fop;
        fields[5] = fdp & 0xffff;
        fields[6] = (fdp >> 16) << 12;
    } else if (format.wide) {
        fields[4] |= (uint32_t)fpu->fop << 16;
    }
    if (format.wide) {
        /* Reserved halves read as ones. */
        for (unsigned i = 0; i < 3; i++) {
            fields[i] |= 0xffff0000;
        }
        fields[6] |= format.real ? 0 : 0xffff0000;
    }
    for (unsigned i = 0; i < 7; i++) {
        store_le(image + i * env_size(format) / 7, fields[i], env_size(format) / 7);
    }
}

void fpu_load_env(FpuState *fpu, const uint8_t *image, EnvFormat format)
{
    uint32_t fields[7];

    for (unsigned i = 0; i < 7; i++) {
        fields[i] = load_le(image + i * env_size(format) / 7, env_size(format) / 7);
    }
    fpu_set_top(fpu, FSW_TOP(fields[1]));
    fpu_load_control(fpu, fields[0], fields[1]);
    fpu->ftw = 0;
    for (unsigned reg = 0; reg < 8; reg++) {
        fpu->ftw |= (fields[2] >> 2 * reg & 3) != 3 ? BIT(reg) : 0;
    }
    if (format.real) {
        fpu->fip = fields[3] & 0xffff;
        fpu->fip |= (format.wide ? fields[4] >> 12 & 0xffff : fields[4] >> 12 & 0xf) << 16;
        fpu->fdp = fields[5] & 0xffff;
        fpu->fdp |= (format.wide ? fields[6] >> 12 & 0xffff : fields[6] >> 12 & 0xf) << 16;
        fpu->fcs = fpu->fds = 0;
        fpu->fop = fields[4] & 0x7ff;
        return;
    }
    fpu->fip = fields[3];
    fpu->fcs = fields[4];
    fpu->fdp = fields[5];
    fpu->fds = fields[6];
    fpu->fop = format.wide ? fields[4] >> 16 & 0x7ff : 0;
}

/* len: a multiple of 8. */
static inline bool any_set(const void *bytes, unsigned len)
{
    uint64_t all = 0, word;

    for (unsigned i = 0; i < len; i += 8) {
        memcpy(&word, (const uint8_t *)bytes + i, 8);
        all |= word;
    }
    return all;
}

/* Where component i of the vector registers lies in FpuState.zmm. */
typedef struct VecPart {
    uint8_t first, count, offset, len;
} VecPart;

static bool vec_part(unsigned component, unsigned vecs, VecPart *part)
{
    switch (component) {
    case 1: *part = (VecPart){0, vecs, 0, 16}; return true;  /* XMM */
    case 2: *part = (VecPart){0, vecs, 16, 16}; return true; /* upper halves of YMM */
    case 6: *part = (VecPart){0, vecs, 32, 32}; return true; /* ZMM_Hi256 */
    case 7: *part = (VecPart){16, vecs == 16 ? 16 : 0, 0, 64}; return true; /* Hi16_ZMM */
    default: return false;
    }
}

/* count pieces of len bytes, at distances of their own on both sides. */
static inline void copy_pieces(uint8_t *to, unsigned to_step, const uint8_t *from, unsigned from_step, unsigned len,
                               unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        memcpy(to + i * to_step, from + i * from_step, len);
    }
}

/* By constant lengths, which the compiler makes moves of. */
static void copy_part(uint8_t *to, unsigned to_step, const uint8_t *from, unsigned from_step, const VecPart *part)
{
    switch (part->len) {
    case 16: copy_pieces(to, to_step, from, from_step, 16, part->count); break;
    case 32: copy_pieces(to, to_step, from, from_step, 32, part->count); break;
    default: copy_pieces(to, to_step, from, from_step, 64, part->count); break;
    }
}

#define VEC_SIZE sizeof(((FpuState *)0)->zmm[0])

unsigned fpu_component_size(unsigned component)
{
    switch (component) {
    case 2: return 256;
    case 5: return 64;
    case 6: return 512;
    case 7: return 1024;
    case 9: return 8;
    default: return 0;
    }
}

/* Outside 64-bit mode registers 8 and up are left alone. */
unsigned fpu_component_used(unsigned component, unsigned vecs)
{
    VecPart part;

    return vec_part(component, vecs, &part) ? part.count * part.len : fpu_component_size(component);
}

static bool x87_in_use(const FpuState *fpu)
{
    return fpu->fcw != 0x37f || fpu->fsw || fpu->ftw || fpu->fop || fpu->fip || fpu->fdp ||
           fpu->fcs || fpu->fds || any_set(fpu->st[0], sizeof(fpu->st));
}

static bool component_in_use(const CpuState *state, unsigned component, unsigned vecs)
{
    VecPart part;

    if (vec_part(component, vecs, &part)) {
        for (unsigned i = 0; i < part.count; i++) {
            if (any_set(state->fpu.zmm[part.first + i] + part.offset, part.len)) {
                return true;
            }
        }
        return component == 1 && state->fpu.mxcsr != MXCSR_RESET;
    }
    switch (component) {
    case 0: return x87_in_use(&state->fpu);
    case 5: return any_set(state->fpu.opmask, sizeof(state->fpu.opmask));
    case 9: return state->pkru;
    default: return false;
    }
}

void dbt_vectors_changed(DbtVcpu *v)
{
    v->wide_vectors = component_in_use(v->state, 6, 16);
}

uint64_t fpu_in_use(const CpuState *state, unsigned vecs)
{
    uint64_t in_use = 0;

    for (unsigned i = 0; i < 10; i++) {
        in_use |= component_in_use(state, i, vecs) ? BIT(i) : 0;
    }
    return in_use;
}

void fpu_store_component(const CpuState *state, unsigned component, unsigned vecs, uint8_t *image)
{
    VecPart part;

    if (vec_part(component, vecs, &part)) {
        copy_part(image, part.len, state->fpu.zmm[part.first] + part.offset, VEC_SIZE, &part);
    } else if (component == 5) {
        memcpy(image, state->fpu.opmask, sizeof(state->fpu.opmask));
    } else if (component == 9) {
        store_le(image, state->pkru, 8);
    }
}

void fpu_load_component(CpuState *state, unsigned component, unsigned vecs, const uint8_t *image)
{
    static const uint8_t initial[1024];
    VecPart part;

    image = image ? image : initial;
    if (vec_part(component, vecs, &part)) {
        copy_part(state->fpu.zmm[part.first] + part.offset, VEC_SIZE, image, part.len, &part);
    } else if (component == 5) {
        memcpy(state->fpu.opmask, image, sizeof(state->fpu.opmask));
    } else if (component == 9) {
        state->pkru = load_le(image, 4);
    }
}
