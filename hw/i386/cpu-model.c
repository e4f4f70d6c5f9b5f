/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a model's name, its changes and what the accelerator offers to one CpuModel.
 *
 * Order: the model's features (max, host: all on offer); for named models what this hypervisor adds
 * to every guest (paravirtual features, x2APIC) or cannot give (monitor, acpi, nested SVM unless
 * asked for); the user's changes in order; the filter against the offer; features left without
 * what they build on.
 *
 * The vendor of a named model is the host's unless vendor= says otherwise: the same instructions
 * behave differently by vendor (SYSCALL and SYSENTER outside 64-bit mode, AMD APM vol. 3, SYSCALL),
 * and the guest's code runs on the host's CPU.
 *
 * Locking: none; a model is immutable once made.
 */
#include <string.h>

#include "core/error.h"
#include "core/log.h"
#include "cpu-model-internal.h"

#define CPU_MODEL_DEFAULT "max"
#define PHYS_BITS_DEFAULT 40

static void features_of_def(FeatureSet *set, const CpuModelDef *def)
{
    if (def->base)
        features_of_def(set, cpu_model_def_find(def->base));
    feature_set_apply(set, def->features);
}

/* SDM vol. 2A, CPUID, figure 3-6. */
static uint32_t make_signature(uint32_t family, uint32_t model, uint32_t stepping)
{
    uint32_t base = MIN(family, 15);

    return (family - base) << 20 | (model >> 4 & 15) << 16 | base << 8 | (model & 15) << 4 | (stepping & 15);
}

static uint32_t signature_family(uint32_t sig)
{
    uint32_t base = sig >> 8 & 15;

    return base == 15 ? base + (sig >> 20 & 0xff) : base;
}

static uint32_t signature_model(uint32_t sig)
{
    return (sig >> 16 & 15) << 4 | (sig >> 4 & 15);
}

static void set_vendor_from_table(CpuModel *m)
{
    const CpuidEntry *e = cpuid_table_peek(&m->supported, 0, 0);

    if (e && e->ebx) {
        memcpy(m->vendor, &e->ebx, 4);
        memcpy(m->vendor + 4, &e->edx, 4);
        memcpy(m->vendor + 8, &e->ecx, 4);
    }
}

/* The brand string, leaves 80000002h..80000004h, without its leading blanks. */
static void set_model_id_from_table(CpuModel *m)
{
    char text[CPUID_MODEL_ID_LEN + 1] = "";

    for (unsigned i = 0; i < 3; i++) {
        const CpuidEntry *e = cpuid_table_peek(&m->supported, 0x80000002 + i, 0);

        if (e) {
            const uint32_t regs[4] = { e->eax, e->ebx, e->ecx, e->edx };

            memcpy(text + 16 * i, regs, 16);
        }
    }
    g_strstrip(text);
    g_strlcpy(m->model_id, *text ? text : "vmm virtual CPU", sizeof(m->model_id));
}

static void init_max(CpuModel *m, const CpuProps *props)
{
    const CpuidEntry *leaf0 = cpuid_table_peek(&m->supported, 0, 0);
    const CpuidEntry *leaf1 = cpuid_table_peek(&m->supported, 1, 0);
    const CpuidEntry *ext = cpuid_table_peek(&m->supported, 0x80000000, 0);

    g_strlcpy(m->vendor, VENDOR_INTEL, sizeof(m->vendor));
    set_vendor_from_table(m);
    set_model_id_from_table(m);
    m->signature = leaf1 && leaf1->eax ? leaf1->eax : make_signature(6, 6, 3);
    m->level = leaf0 ? leaf0->eax : 0xd;
    m->xlevel = ext ? ext->eax : 0x80000008;
    feature_set_from_cpuid(&m->features, &m->supported);
    if (props->migratable)
        feature_set_apply(&m->features, "-invtsc");
    /* A promise about host scheduling that only the user can make. */
    feature_set_apply(&m->features, "-kvm-hint-dedicated");
    /* KVM makes the MSR up on AMD hosts; no AMD CPU has it, and some guests fail on finding it. */
    if (cpu_model_is_amd(m))
        feature_set_apply(&m->features, "-arch-capabilities");
}

static void init_named(CpuModel *m, const CpuModelDef *def, const FeatureSet *offer)
{
    const CpuFeature *x2apic = cpu_feature_find("x2apic");

    m->named = true;
    g_strlcpy(m->vendor, def->vendor, sizeof(m->vendor));
    set_vendor_from_table(m);
    g_strlcpy(m->model_id, def->model_id, sizeof(m->model_id));
    m->signature = make_signature(def->family, def->model, def->stepping);
    m->level = def->level;
    m->xlevel = def->xlevel;
    features_of_def(&m->features, def);
    feature_set_apply(&m->features, "-monitor -acpi -svm -npt -nrip-save -svme-addr-chk");
    m->features.words[FEAT_KVM] |= offer->words[FEAT_KVM];
    if (feature_set_has(offer, x2apic))
        feature_set_change(&m->features, x2apic, true);
}

static bool apply_items(CpuModel *m, CpuProps *props, const GPtrArray *items, bool features, GError **errp)
{
    for (guint i = 0; items && i < items->len; i++) {
        CpuListItem item;

        if (!cpu_list_item_parse(items->pdata[i], &item, errp))
            return false;
        if (features && item.feature)
            feature_set_change(&m->features, item.feature, item.on);
        if (!features && item.prop && !property_parse(item.prop, props, item.value, errp))
            return false;
    }
    return true;
}

static bool check_number(const char *name, int32_t value, int32_t max, GError **errp)
{
    if (value < -1 || value > max)
        return error_set_code(errp, VMM_ERROR_USAGE, "-cpu: %s=%d: expected 0 to %d", name, value, max);
    return true;
}

static bool apply_identity(CpuModel *m, const CpuProps *p, GError **errp)
{
    uint32_t sig = m->signature;

    if (!check_number("family", p->family, 15 + 255, errp) || !check_number("model", p->model, 255, errp) ||
        !check_number("stepping", p->stepping, 15, errp))
        return false;
    m->signature = make_signature(p->family >= 0 ? (uint32_t)p->family : signature_family(sig),
                                  p->model >= 0 ? (uint32_t)p->model : signature_model(sig),
                                  p->stepping >= 0 ? (uint32_t)p->stepping : sig & 15);
    if (p->vendor) {
        if (strlen(p->vendor) != CPUID_VENDOR_LEN)
            return error_set_code(errp, VMM_ERROR_USAGE, "-cpu: vendor=%s: expected %d characters, such as %s",
                                  p->vendor, CPUID_VENDOR_LEN, VENDOR_INTEL);
        g_strlcpy(m->vendor, p->vendor, sizeof(m->vendor));
    }
    if (p->model_id) {
        if (strlen(p->model_id) > CPUID_MODEL_ID_LEN)
            return error_set_code(errp, VMM_ERROR_USAGE, "-cpu: model-id: expected at most %d characters",
                                  CPUID_MODEL_ID_LEN);
        g_strlcpy(m->model_id, p->model_id, sizeof(m->model_id));
    }
    if (p->xlevel && p->xlevel < 0x80000000)
        return error_set_code(errp, VMM_ERROR_USAGE, "-cpu: xlevel=%#x: expected 0x80000000 or more", p->xlevel);
    m->level_fixed = p->level != 0;
    m->xlevel_fixed = p->xlevel != 0;
    m->level = p->level ? p->level : m->level;
    m->xlevel = p->xlevel ? p->xlevel : m->xlevel;
    return true;
}

/* MAXPHYADDR: more than the host's would be reserved bits in its page tables. */
static bool apply_phys_bits(CpuModel *m, const CpuProps *p, GError **errp)
{
    const CpuidEntry *e = cpuid_table_peek(&m->supported, 0x80000008, 0);
    unsigned host = e && (e->eax & 0xff) ? e->eax & 0xff : PHYS_BITS_DEFAULT;

    if (p->phys_bits && (p->phys_bits < 32 || p->phys_bits > host))
        return error_set_code(errp, VMM_ERROR_USAGE, "-cpu: phys-bits=%u: expected 32 to %u, what this host has",
                              p->phys_bits, host);
    if (p->phys_bits)
        m->phys_bits = p->phys_bits;
    else
        m->phys_bits = p->host_phys_bits ? host : MIN(PHYS_BITS_DEFAULT, host);
    return true;
}

static bool apply_frequencies(CpuModel *m, const CpuProps *p, GError **errp)
{
    const CpuidEntry *e = cpuid_table_peek(&m->supported, 0x40000010, 0);

    if (e) {
        m->tsc_khz = e->eax;
        m->bus_khz = e->ebx;
    }
    if (!p->tsc_frequency)
        return true;
    if (p->tsc_frequency < 1000000 || p->tsc_frequency / 1000 > UINT32_MAX)
        return error_set_code(errp, VMM_ERROR_USAGE, "-cpu: tsc-frequency=%" G_GUINT64_FORMAT
                              ": expected 1000000 Hz or more, such as 2500000000", p->tsc_frequency);
    if (!p->kvm)
        return error_set_code(errp, VMM_ERROR_USAGE, "-cpu: tsc-frequency needs kvm=on");
    m->tsc_khz = p->tsc_frequency / 1000;
    return true;
}

/* Features that follow from the topology or say what this program is, not what the CPU can do. */
static void apply_derived(CpuModel *m)
{
    bool multi = cpu_topology_package_threads(&m->topology) > 1;

    feature_set_apply(&m->features, multi ? "ht" : "-ht");
    feature_set_apply(&m->features, multi && cpu_model_is_amd(m) ? "cmp-legacy" : "-cmp-legacy");
    if (!m->kvm)
        m->features.words[FEAT_KVM] = m->features.words[FEAT_KVM_HINTS] = 0;
    if (!m->pmu)
        feature_set_apply(&m->features, "-pdcm");
}

static bool filter(CpuModel *m, const FeatureSet *offer, const CpuProps *p, GError **errp)
{
    FeatureSet allowed = *offer;
    g_autoptr(GString) missing = g_string_new(NULL);

    feature_set_apply(&allowed, "ht cmp-legacy hypervisor kvm-hint-dedicated");
    for (const CpuFeature *f = cpu_features; f->name; f++) {
        if (!feature_set_has(&m->features, f) || feature_set_has(&allowed, f))
            continue;
        g_string_append_printf(missing, " %s", f->name);
        feature_set_change(&m->features, f, false);
    }
    if (!missing->len)
        return true;
    if (p->enforce)
        return error_set_code(errp, VMM_ERROR_ABSENT, "-cpu %s,enforce: this host or accelerator lacks%s", m->name,
                              missing->str);
    if (p->check)
        log_warn("-cpu %s: left out, as this host or accelerator lacks it:%s", m->name, missing->str);
    return true;
}

static bool resolve(CpuModel *m, const CpuOptions *options, CpuProps *props, GError **errp)
{
    const CpuModelDef *def = cpu_model_def_find(m->name);
    FeatureSet offer;

    if (!apply_items(m, props, options->features, false, errp))
        return false;
    feature_set_from_cpuid(&offer, &m->supported);
    if (def)
        init_named(m, def, &offer);
    else
        init_max(m, props);
    feature_set_apply(&m->features, "hypervisor");
    m->kvm = props->kvm;
    m->pmu = props->pmu == PMU_ON || (props->pmu == PMU_AUTO && !m->named);
    if (!apply_items(m, props, options->features, true, errp) || !apply_identity(m, props, errp) ||
        !apply_phys_bits(m, props, errp) || !apply_frequencies(m, props, errp))
        return false;
    apply_derived(m);
    if (m->supported.count && !filter(m, &offer, props, errp))
        return false;
    feature_set_drop_orphans(&m->features);
    cpu_caches_init(m->caches, &m->supported, props->l3_cache);
    return true;
}

CpuModel *cpu_model_new(const CpuOptions *options, const SmpTopology *smp, const CpuidTable *supported, GError **errp)
{
    g_autoptr(CpuModel) m = g_new0(CpuModel, 1);
    CpuProps props = { 0 };
    bool ok;

    m->name = g_strdup(options->model ? options->model : CPU_MODEL_DEFAULT);
    m->supported = *supported;
    property_set_defaults(cpu_props, &props);
    ok = cpu_model_name_check(m->name, errp) && cpu_topology_init(&m->topology, smp, errp) &&
         resolve(m, options, &props, errp);
    property_release(cpu_props, &props);
    if (ok)
        cpu_model_settle_levels(m);
    return ok ? g_steal_pointer(&m) : NULL;
}

CpuModel *cpu_model_new_for_machine(Machine *machine, GError **errp)
{
    g_autofree CpuidTable *supported = g_new0(CpuidTable, 1);

    if (machine->accel->ops->supported_cpuid)
        machine->accel->ops->supported_cpuid(machine->accel, supported);
    return cpu_model_new(&machine->cpu, &machine->smp, supported, errp);
}

CpuModel *cpu_model_expand(Machine *machine, const char *text, GError **errp)
{
    g_autofree CpuidTable *supported = g_new0(CpuidTable, 1);
    CpuOptions options = {0};
    CpuModel *model;

    if (!cpu_options_parse(&options, text, errp))
        return NULL;
    if (cpu_model_is_max(options.model) && machine->accel->ops->supported_cpuid)
        machine->accel->ops->supported_cpuid(machine->accel, supported);
    model = cpu_model_new(&options, &machine->smp, supported, errp);
    cpu_options_release(&options);
    return model;
}

void cpu_model_foreach_feature(const CpuModel *model, void (*fn)(const char *name, bool on, void *opaque),
                               void *opaque)
{
    for (const CpuFeature *f = cpu_features; f->name; f++)
        fn(f->name, feature_set_has(&model->features, f), opaque);
}

void cpu_model_free(CpuModel *model)
{
    if (!model)
        return;
    g_free(model->name);
    g_free(model);
}

const char *cpu_model_name(const CpuModel *model)
{
    return model->name;
}

uint32_t cpu_model_apic_id(const CpuModel *model, unsigned index)
{
    return cpu_topology_apic_id(&model->topology, index);
}

uint32_t cpu_model_signature(const CpuModel *model)
{
    return model->signature;
}

unsigned cpu_model_phys_bits(const CpuModel *model)
{
    return model->phys_bits;
}

bool cpu_model_has(const CpuModel *model, const char *feature)
{
    const CpuFeature *f = cpu_feature_find(feature);

    g_assert(f);
    return feature_set_has(&model->features, f);
}
