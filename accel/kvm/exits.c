/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exit reasons (api 5): what each asks of the process.
 *
 * Locking: none held; the address spaces take machine_lock around handlers that need it.
 */
#include <errno.h>
#include <string.h>

#include "core/lock.h"
#include "core/log.h"
#include "core/machine.h"
#include "core/trace.h"
#include "kvm-internal.h"

/* count elements of size bytes follow each other at data_offset: a string instruction's run. */
static void exit_io(KvmVcpu *kv)
{
    struct kvm_run *run = kv->run;
    AddressSpace *io = &kv->cpu->machine->io;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    unsigned size = run->io.size;
    uint16_t port = run->io.port;

    kv->io_pending = true;
    trace_pio(kv->cpu->index, port, size, run->io.direction, run->io.count);
    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        uint64_t value = 0;

        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, size);
            address_space_store(io, port, size, value);
        } else {
            address_space_load(io, port, size, &value);
            memcpy(data, &value, size);
        }
    }
}

static void exit_mmio(KvmVcpu *kv)
{
    struct kvm_run *run = kv->run;
    AddressSpace *memory = &kv->cpu->machine->memory;
    uint64_t addr = run->mmio.phys_addr;
    uint32_t len = MIN(run->mmio.len, sizeof(run->mmio.data));

    kv->io_pending = true;
    trace_mmio(kv->cpu->index, addr, len, run->mmio.is_write);
    if (run->mmio.is_write)
        address_space_write(memory, addr, run->mmio.data, len);
    else
        address_space_read(memory, addr, run->mmio.data, len);
}

static KvmExitResult exit_triple_fault(KvmVcpu *kv)
{
    machine_request_reset(kv->cpu->machine, SHUTDOWN_CAUSE_TRIPLE_FAULT);
    return KVM_EXIT_LEAVE;
}

static KvmExitResult exit_system_event(KvmVcpu *kv)
{
    Machine *machine = kv->cpu->machine;

    switch (kv->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        machine_request_shutdown(machine, SHUTDOWN_CAUSE_GUEST_SHUTDOWN, 0);
        return KVM_EXIT_LEAVE;
    case KVM_SYSTEM_EVENT_RESET:
        machine_request_reset(machine, SHUTDOWN_CAUSE_GUEST_RESET);
        return KVM_EXIT_LEAVE;
    case KVM_SYSTEM_EVENT_CRASH:
        machine_guest_panicked(machine);
        return KVM_EXIT_LEAVE;
    default:
        return kvm_report_exit(kv, "unknown system event");
    }
}

static void exit_ioapic_eoi(KvmVcpu *kv)
{
    Machine *machine = kv->cpu->machine;

    machine_lock();
    if (machine->ioapic_eoi)
        machine->ioapic_eoi(machine->ioapic_eoi_opaque, kv->run->eoi.vector);
    machine_unlock();
}

/* KVM hands over hypercalls only where that was asked for; the guest gets "not there" (-KVM_ENOSYS). */
static void exit_hypercall(KvmVcpu *kv)
{
    kv->io_pending = true;
    kv->run->hypercall.ret = (uint64_t)-ENOSYS;
}

/* Likewise for MSRs: #GP, as for any MSR that does not exist. */
static void exit_msr(KvmVcpu *kv)
{
    kv->io_pending = true;
    kv->run->msr.error = 1;
}

static KvmExitResult exit_fail_entry(KvmVcpu *kv)
{
    g_autofree char *what =
        g_strdup_printf("the CPU refused to enter guest code (KVM_EXIT_FAIL_ENTRY, hardware reason %#llx)",
                        (unsigned long long)kv->run->fail_entry.hardware_entry_failure_reason);

    return kvm_report_exit(kv, what);
}

static const char *internal_error_name(uint32_t suberror)
{
    switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
        return "KVM cannot emulate the instruction";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
        return "two exceptions at once";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
        return "an exit while an event was delivered";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
        return "an exit KVM does not know";
    default:
        return "unknown reason";
    }
}

static KvmExitResult exit_internal_error(KvmVcpu *kv)
{
    struct kvm_run *run = kv->run;
    g_autoptr(GString) what = g_string_new(NULL);

    g_string_printf(what, "KVM internal error %u: %s", run->internal.suberror,
                    internal_error_name(run->internal.suberror));
    for (uint32_t i = 0; i < MIN(run->internal.ndata, G_N_ELEMENTS(run->internal.data)); i++)
        g_string_append_printf(what, "%s%#llx", i ? " " : "; data ", (unsigned long long)run->internal.data[i]);
    return kvm_report_exit(kv, what->str);
}

static KvmExitResult exit_unknown(KvmVcpu *kv)
{
    g_autofree char *what = g_strdup_printf("exit reason %u (hardware %#llx), which this program does not handle",
                                            kv->run->exit_reason, (unsigned long long)kv->run->hw.hardware_exit_reason);

    return kvm_report_exit(kv, what);
}

KvmExitResult kvm_handle_exit(KvmVcpu *kv)
{
    switch (kv->run->exit_reason) {
    case KVM_EXIT_IO:
        exit_io(kv);
        return KVM_EXIT_AGAIN;
    case KVM_EXIT_MMIO:
        exit_mmio(kv);
        return KVM_EXIT_AGAIN;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN: /* the next turn injects */
    case KVM_EXIT_SET_TPR:         /* kvm_intr_after_run has read CR8 */
        return KVM_EXIT_AGAIN;
    case KVM_EXIT_HLT: /* only with a LAPIC in the process: KVM's halt in the kernel */
        kv->halted = true;
        return KVM_EXIT_AGAIN;
    case KVM_EXIT_IOAPIC_EOI:
        exit_ioapic_eoi(kv);
        return KVM_EXIT_AGAIN;
    case KVM_EXIT_SHUTDOWN:
        return exit_triple_fault(kv);
    case KVM_EXIT_SYSTEM_EVENT:
        return exit_system_event(kv);
    case KVM_EXIT_HYPERCALL:
        exit_hypercall(kv);
        return KVM_EXIT_AGAIN;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        exit_msr(kv);
        return KVM_EXIT_AGAIN;
    case KVM_EXIT_FAIL_ENTRY:
        return exit_fail_entry(kv);
    case KVM_EXIT_INTERNAL_ERROR:
        return exit_internal_error(kv);
    case KVM_EXIT_DEBUG:
        return kvm_debug_exit(kv);
    default:
        return exit_unknown(kv);
    }
}
