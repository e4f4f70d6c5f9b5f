/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU models: from "-cpu NAME,+f,-f,f=on,prop=value", what the accelerator can offer and the SMP
 * topology to each vCPU's final CPUID table and feature MSRs.
 *
 *     CpuOptions (command line) --+
 *     AccelOps.supported_cpuid ---+--> cpu_model_new --> cpu_model_get_cpuid(index) --> vcpu_set_cpuid
 *     SmpTopology ----------------+
 *
 * A CpuModel is immutable once made: any thread may read it. The board keeps it as long as its vCPUs.
 *
 * Names and feature sets are QEMU's. "max" and "host" are all the accelerator offers; without -cpu
 * the model is "max". What a named model has and the accelerator lacks is dropped with one line on
 * stderr that lists it (check=off: silently; enforce=on: an error).
 */
#ifndef HW_I386_CPU_MODEL_H
#define HW_I386_CPU_MODEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/accel.h"
#include "core/machine.h"

typedef struct CpuModel CpuModel;

/* Takes the argument of -cpu apart: model up to the first comma, then features in order. options'
 * old contents are freed. Names are checked: an unknown model, feature or property is an error that
 * names it and the nearest known one. On failure options is unchanged. */
bool cpu_options_parse(CpuOptions *options, const char *arg, GError **errp);
void cpu_options_release(CpuOptions *options);

/*
 * Resolves the model. options->model NULL means the default. supported is what CPUID may offer at
 * most, feature MSRs included; with count 0 (qtest) nothing is filtered. smp is the full topology:
 * cpus == sockets * dies * cores * threads, or fewer cpus. NULL with an error: unknown name, bad
 * value, a feature missing under enforce=on, or more APIC ids than MAX_VCPUS allows.
 */
CpuModel *cpu_model_new(const CpuOptions *options, const SmpTopology *smp, const CpuidTable *supported,
                        GError **errp);
/* The same with the machine's options, topology and accelerator (which must be initialised). */
CpuModel *cpu_model_new_for_machine(Machine *machine, GError **errp);
void cpu_model_free(CpuModel *model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CpuModel, cpu_model_free)

const char *cpu_model_name(const CpuModel *model);
/* The APIC id of vCPU index: thread, core, die and socket number in bit fields (SDM vol. 3, 9.9).
 * Ids are dense only if threads, cores and dies are powers of two. */
uint32_t cpu_model_apic_id(const CpuModel *model, unsigned index);
/* Everything CPUID shows on vCPU index, topology and APIC id included. */
void cpu_model_get_cpuid(const CpuModel *model, unsigned index, CpuidTable *table);
/* CPUID.1:EAX: family, model, stepping; RDX at reset. */
uint32_t cpu_model_signature(const CpuModel *model);
/* MAXPHYADDR, for the board's memory map. */
unsigned cpu_model_phys_bits(const CpuModel *model);
/* Whether the guest sees a feature, by its name in the feature table ("x2apic"). The name must exist. */
bool cpu_model_has(const CpuModel *model, const char *feature);

/* What "-cpu text" would be on this machine: max and host with what its accelerator offers, others as they are. */
CpuModel *cpu_model_expand(Machine *machine, const char *text, GError **errp);
/* Each feature by its first name, and whether the model has it. */
void cpu_model_foreach_feature(const CpuModel *model, void (*fn)(const char *name, bool on, void *opaque),
                               void *opaque);

/* Names and descriptions of the models, in the table's order. */
void cpu_model_foreach(void (*fn)(const char *name, const char *desc, void *opaque), void *opaque);
/* "-cpu help": models with their descriptions, then features and properties. */
void cpu_model_print_help(GString *out);

#endif
