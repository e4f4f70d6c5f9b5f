/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Building, resetting and taking down a machine.
 *
 *     machine_new --> (options) --> machine_build: accelerator, RAM, board, vCPU threads, reset
 *                 --> machine_start / requests (runstate.c) --> machine_free
 */
#include "core/machine.h"

#include "core/bits.h"
#include "core/bootorder.h"
#include "core/lock.h"
#include "core/object.h"
#include "core/thread-context.h"
#include "core/tsc.h"

#define DEFAULT_RAM_SIZE (128 * MIB)

Machine *machine_new(const MachineType *type)
{
    Machine *machine = g_malloc0(type->instance_size);

    g_assert(type->instance_size >= sizeof(Machine));
    machine->type = type;
    machine->ram_size = DEFAULT_RAM_SIZE;
    machine->ram_options = (RamOptions){ .share = true, .seal = true, .dump = true };
    machine->smp = (SmpTopology){ 1, 1, 1, 1, 1 };
    machine->cpu.features = g_ptr_array_new_with_free_func(g_free);
    machine->user_devices = g_ptr_array_new();
    machine->devices = g_ptr_array_new();
    machine->objects = g_ptr_array_new();
    machine->firmware_dirs = g_ptr_array_new_with_free_func(g_free);
    machine->boot_order = boot_order_new();
    machine->boot.splash_time = machine->boot.reboot_timeout = -1;
    machine->run_state = RUN_STATE_PRELAUNCH;
    pthread_mutex_init(&machine->request_lock, NULL);
    timer_init(&machine->request_timer, event_loop_main(), VMCLOCK_MONO, machine_serve_requests, machine);
    property_set_defaults(type->props, machine);

    machine_lock();
    memory_region_init_container(&machine->memory_root, "memory", MEMORY_SPACE_SIZE);
    memory_region_init_container(&machine->io_root, "io", IO_SPACE_SIZE);
    address_space_init(&machine->memory, &machine->memory_root, "memory");
    address_space_init(&machine->io, &machine->io_root, "io");
    machine_unlock();
    return machine;
}

static bool build_ram(Machine *machine, GError **errp)
{
    RamOptions options = machine->ram_options;

    options.size = machine->ram_size;
    if (options.prealloc_context) {
        options.prealloc_cpus = thread_context_cpus(machine, options.prealloc_context, errp);
        if (!options.prealloc_cpus) {
            g_prefix_error(errp, "prealloc-context=%s: ", options.prealloc_context);
            return false;
        }
    }
    machine->ram = ram_block_new("ram", &options, errp);
    return machine->ram != NULL;
}

static bool place_vcpu(Machine *machine, const VcpuAffinity *affinity, GError **errp)
{
    const cpu_set_t *cpus = affinity->context ? thread_context_cpus(machine, affinity->context, errp) : &affinity->cpus;
    g_autofree char *what = g_strdup_printf("-vcpu vcpunum=%u", affinity->vcpu);

    if (cpus)
        return thread_set_cpus(machine->vcpus[affinity->vcpu]->thread, cpus, what, errp);
    g_prefix_error(errp, "%s: ", what);
    return false;
}

static bool start_vcpus(Machine *machine, GError **errp)
{
    for (unsigned i = 0; i < machine->smp.cpus; i++) {
        if (!vcpu_start(machine->vcpus[i], errp))
            return false;
    }
    for (guint i = 0; machine->vcpu_affinity && i < machine->vcpu_affinity->len; i++) {
        if (!place_vcpu(machine, &g_array_index(machine->vcpu_affinity, VcpuAffinity, i), errp))
            return false;
    }
    return true;
}

static bool build_locked(Machine *machine, GError **errp)
{
    Accel *accel = machine->accel;

    accel->machine = machine;
    if (!accel->ops->init(accel, machine, errp)) {
        accel->machine = NULL;
        return false;
    }
    machine->vcpus = g_new0(Vcpu *, machine->smp.cpus);
    if (!build_ram(machine, errp) || !machine->type->build(machine, errp) || !start_vcpus(machine, errp))
        return false;
    machine_reset(machine);
    return true;
}

bool machine_build(Machine *machine, GError **errp)
{
    bool ok;

    machine_lock();
    ok = build_locked(machine, errp);
    machine_unlock();
    return ok;
}

void machine_reset(Machine *machine)
{
    Accel *accel = machine->accel;
    uint64_t tsc_offset;

    machine_lock();
    if (accel->ops->irqchip_reset && accel->irqchip != IRQCHIP_USERSPACE)
        accel->ops->irqchip_reset(accel);
    for (guint i = 0; i < machine->devices->len; i++)
        device_reset(g_ptr_array_index(machine->devices, i));
    /* One zero for all TSCs: a guest that finds them apart stops using them. */
    tsc_offset = -host_tsc();
    for (unsigned i = 0; i < machine->smp.cpus; i++)
        vcpu_reset(machine->vcpus[i], tsc_offset);
    if (machine->type->reset)
        machine->type->reset(machine);
    machine_unlock();
}

char *machine_uuid_text(const Machine *machine)
{
    GString *out = g_string_new(NULL);

    for (unsigned i = 0; i < sizeof(machine->uuid); i++)
        g_string_append_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", machine->uuid[i]);
    return g_string_free(out, FALSE);
}

void machine_inject_nmi(Machine *machine)
{
    for (unsigned i = 0; i < machine->smp.cpus; i++)
        vcpu_request(machine->vcpus[i], VCPU_REQ_NMI);
}

/* Threads end first and vCPUs go after the devices: a LAPIC holds on to its vCPU. */
static void free_parts_locked(Machine *machine)
{
    unsigned vcpu_count = machine->vcpus ? machine->smp.cpus : 0;

    for (unsigned i = 0; i < vcpu_count; i++) {
        if (machine->vcpus[i])
            vcpu_exit(machine->vcpus[i]);
    }
    timer_release(&machine->request_timer);
    clock_set_running(false);
    for (guint i = 0; i < machine->user_devices->len; i++) {
        Device *dev = g_ptr_array_index(machine->user_devices, i);
        if (!dev->realized) /* the build failed before its turn */
            device_free(dev);
    }
    while (machine->devices->len)
        device_free(g_ptr_array_index(machine->devices, machine->devices->len - 1));
    if (machine->type->release)
        machine->type->release(machine);
    for (unsigned i = 0; i < vcpu_count; i++) {
        if (machine->vcpus[i])
            vcpu_free(machine->vcpus[i]);
    }
    if (machine->accel)
        accel_free(machine->accel);
    address_space_release(&machine->io);
    address_space_release(&machine->memory);
    memory_region_release(&machine->io_root);
    memory_region_release(&machine->memory_root);
    if (machine->ram)
        ram_block_free(machine->ram);
    while (machine->objects->len)
        object_free(g_ptr_array_steal_index(machine->objects, machine->objects->len - 1));
}

static void free_options(Machine *machine)
{
    property_release(machine->type->props, machine);
    g_free(machine->name);
    g_free(machine->cpu.model);
    g_ptr_array_unref(machine->cpu.features);
    g_free(machine->boot.kernel);
    g_free(machine->boot.initrd);
    g_free(machine->boot.append);
    g_free(machine->boot.firmware);
    g_free(machine->boot.order);
    g_free(machine->boot.once);
    g_clear_pointer(&machine->boot.option_roms, g_ptr_array_unref);
    for (unsigned i = 0; i < MAX_SERIALS; i++)
        g_free(machine->serial[i]);
}

void machine_free(Machine *machine)
{
    machine_lock();
    free_parts_locked(machine);
    machine_unlock();
    pthread_mutex_destroy(&machine->request_lock);
    g_ptr_array_unref(machine->user_devices);
    g_ptr_array_unref(machine->devices);
    g_ptr_array_unref(machine->objects);
    g_ptr_array_unref(machine->firmware_dirs);
    g_ptr_array_unref(machine->boot_order);
    g_free(machine->vcpus);
    free_options(machine);
    g_free(machine);
}
