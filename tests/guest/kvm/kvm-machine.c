/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kvm-machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/lock.h"
#include "core/loop.h"
#include "core/thread.h"
#include "hw/i386/cpu-model.h"

static KvmMachine *of(Machine *machine)
{
    return (KvmMachine *)machine;
}

static void print_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    KvmMachine *m = opaque;

    g_string_append_c(m->output, (char)value);
}

static void end_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    KvmMachine *m = opaque;

    m->status = (uint8_t)value;
    __atomic_store_n(&m->ended, true, __ATOMIC_RELEASE);
    machine_request_stop(&m->machine, RUN_STATE_PAUSED);
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    return size_mask(size);
}

static const MemoryRegionOps print_ops = { .read = port_read, .write = print_write, .valid = { 1, 1, false } };
static const MemoryRegionOps end_ops = { .read = port_read, .write = end_write, .valid = { 1, 4, false } };

static bool build_lapics(KvmMachine *m, GError **errp)
{
    Machine *machine = &m->machine;

    if (machine->accel->irqchip != IRQCHIP_USERSPACE)
        return true;
    m->lapics = (LapicBus *)device_new(&lapic_bus_type, machine, NULL);
    lapic_bus_connect(m->lapics, NULL, NULL, NULL, NULL);
    if (!device_realize(&m->lapics->dev, errp))
        return false;
    memory_region_add(&machine->memory_root, LAPIC_DEFAULT_BASE, &m->lapics->mmio, 2);
    machine->msi = lapic_bus_msi(m->lapics);
    return true;
}

static void send_msi(void *opaque, uint64_t address, uint32_t data)
{
    Accel *accel = opaque;

    accel->ops->irqchip_send_msi(accel, address, data);
}

static bool build_vcpus(KvmMachine *m, GError **errp)
{
    Machine *machine = &m->machine;
    g_autoptr(CpuModel) model = cpu_model_new_for_machine(machine, errp);
    g_autofree CpuidTable *table = g_new0(CpuidTable, 1);

    for (unsigned i = 0; model && i < machine->smp.cpus; i++) {
        machine->vcpus[i] = vcpu_new(machine, i, cpu_model_apic_id(model, i), errp);
        if (!machine->vcpus[i])
            return false;
        cpu_model_get_cpuid(model, i, table);
        if (!vcpu_set_cpuid(machine->vcpus[i], table, errp))
            return false;
        if (m->lapics)
            lapic_bus_attach(m->lapics, machine->vcpus[i]);
    }
    return model != NULL;
}

static bool build(Machine *machine, GError **errp)
{
    KvmMachine *m = of(machine);

    machine->msi = (MsiSink){ send_msi, machine->accel };
    memory_region_init_ram(&m->ram, "ram", machine->ram, 0, GUEST_RAM_SIZE);
    memory_region_add(&machine->memory_root, 0, &m->ram, 0);
    memory_region_init_io(&m->print, &print_ops, m, "print", 1);
    memory_region_add(&machine->io_root, PORT_PRINT, &m->print, 0);
    memory_region_init_io(&m->end, &end_ops, m, "end", 4);
    memory_region_add(&machine->io_root, PORT_END, &m->end, 0);
    if (m->config->build)
        m->config->build(m);
    return build_lapics(m, errp) && build_vcpus(m, errp);
}

static void enter_protected(CpuState *s)
{
    for (SegIndex i = 0; i < SEG_COUNT; i++)
        s->seg[i] = (SegmentReg){
            .selector = i == SEG_CS ? 8 : 16, .limit = UINT32_MAX, .attr = i == SEG_CS ? 0xc09b : 0xc093,
        };
    s->cr0 |= CR0_PE;
}

static void reset(Machine *machine)
{
    KvmMachine *m = of(machine);
    CpuState *s = &machine->vcpus[0]->state;

    m->resets++;
    memcpy(kvm_machine_ram(m, GUEST_ENTRY), m->config->code, (size_t)(m->config->code_end - m->config->code));
    s->seg[SEG_CS].selector = 0;
    s->seg[SEG_CS].base = 0;
    s->rip = GUEST_ENTRY;
    s->gpr[GPR_RSP] = GUEST_STACK;
    if (m->config->mode == GUEST_PROTECTED)
        enter_protected(s);
    if (m->config->reset)
        m->config->reset(m);
}

static void release(Machine *machine)
{
    KvmMachine *m = of(machine);

    memory_region_release(&m->ram);
    memory_region_release(&m->print);
    memory_region_release(&m->end);
}

static const MachineType kvm_machine_type = {
    .name = "kvm-test",
    .desc = "RAM and two ports",
    .instance_size = sizeof(KvmMachine),
    .build = build,
    .reset = reset,
    .release = release,
};

KvmMachine *kvm_machine_new(const KvmConfig *config)
{
    KvmMachine *m = of(machine_new(&kvm_machine_type));
    g_autofree char *spec = g_strdup_printf("kvm,kernel-irqchip=%s", config->irqchip ? config->irqchip : "on");
    const char *const specs[] = { spec };
    g_autoptr(GError) err = NULL;

    m->config = config;
    m->output = g_string_new(NULL);
    m->machine.ram_size = GUEST_RAM_SIZE;
    m->machine.smp.cpus = m->machine.smp.sockets = MAX(config->cpus, 1);
    m->machine.no_reboot = config->no_reboot;
    m->machine.accel = accel_create(specs, 1, &err);
    if (config->cpu && !cpu_options_parse(&m->machine.cpu, config->cpu, &err))
        fail_msg("%s", err->message);
    if (!m->machine.accel || !machine_build(&m->machine, &err))
        fail_msg("%s", err->message);
    return m;
}

void kvm_machine_free(KvmMachine *m)
{
    g_string_free(m->output, true);
    machine_free(&m->machine);
}

void kvm_machine_turn(void)
{
    machine_lock();
    g_main_context_iteration(event_loop_context(event_loop_main()), TRUE);
    machine_unlock();
}

static void wake(void *opaque)
{
    timer_mod(opaque, clock_get_ns(VMCLOCK_MONO) + NS_PER_MS);
}

/* machine_lock keeps the guest's port handlers away. */
static bool holds(KvmMachine *m, bool (*condition)(KvmMachine *m))
{
    bool result;

    machine_lock();
    result = condition && condition(m);
    machine_unlock();
    return result;
}

void kvm_machine_wait(KvmMachine *m, bool (*condition)(KvmMachine *m))
{
    int64_t limit = clock_get_ns(VMCLOCK_MONO) + GUEST_TIME_LIMIT_NS;
    Timer tick;

    timer_init(&tick, event_loop_main(), VMCLOCK_MONO, wake, &tick);
    wake(&tick);
    while (machine_is_running(&m->machine) && !holds(m, condition)) {
        if (clock_get_ns(VMCLOCK_MONO) > limit) {
            machine_stop(&m->machine, RUN_STATE_PAUSED);
            fail_msg("the guest did not end; output so far: \"%s\"", m->output->str);
        }
        kvm_machine_turn();
    }
    timer_release(&tick);
}

void kvm_machine_start(KvmMachine *m)
{
    assert_true(machine_start(&m->machine));
}

void kvm_machine_run(KvmMachine *m)
{
    kvm_machine_start(m);
    kvm_machine_wait(m, NULL);
}

CpuState kvm_machine_state(KvmMachine *m, unsigned index)
{
    Vcpu *vcpu = m->machine.vcpus[index];
    CpuState state;

    machine_lock();
    vcpu_pause(vcpu);
    vcpu_sync_state(vcpu);
    state = vcpu->state;
    vcpu_resume(vcpu);
    machine_unlock();
    return state;
}

void kvm_machine_setup(void)
{
    g_autoptr(GError) reason = NULL;

    core_init();
    if (kvm_accel_ops.probe(&reason))
        return;
    printf("1..0 # SKIP %s\n", reason->message);
    exit(0);
}
