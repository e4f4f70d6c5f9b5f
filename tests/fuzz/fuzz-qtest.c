/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes every device region of the pc: the input is a list of accesses, clock steps and line
 * changes, carried out on a machine without CPUs as qtest would.
 *
 * The regions come from the address spaces' flat views, so a device cannot be forgotten here.
 *
 *     operation:  1 byte   bits 2:0 what, 4:3 size (1, 2, 4, 8)
 *                 then     region (1 byte), offset (2), value (4), as far as it needs them
 *
 * Bit 5 with OP_RAM is what only a CPU does: MSRs of the LAPIC, acknowledge, TPR, EOI, INIT. Bit 6 is a write to
 * PCI configuration space: which function, which register, what.
 *
 * The machine is built once and reset after each input: what a reset does not undo is a bug this
 * finds as an input that does not reproduce alone.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "config/configure.h"
#include "config/options.h"
#include "core/bits.h"
#include "core/lock.h"
#include "core/loop.h"
#include "core/machine.h"
#include "core/thread.h"

#define MAX_OPS     512
#define MAX_STEP_NS (20 * NS_PER_MS)

enum { OP_IO_READ, OP_IO_WRITE, OP_IO_WRITE_SAME, OP_MEM_READ, OP_MEM_WRITE, OP_STEP, OP_LINE, OP_RAM };

typedef struct Input {
    const uint8_t *data;
    size_t len;
} Input;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static Machine *machine;

/* Past its end an input reads as zeros. */
static uint64_t take(Input *in, unsigned bytes)
{
    uint64_t value = 0;
    size_t n = MIN(bytes, in->len);

    memcpy(&value, in->data, n);
    in->data += n;
    in->len -= n;
    return value;
}

/* The nth I/O region of a view, counted around; NULL if it has none. */
static const MemorySection *pick_section(const AddressSpace *as, unsigned n)
{
    const FlatView *view = as->view;
    unsigned count = 0;

    for (guint i = 0; i < view->count; i++)
        count += view->sections[i].mr->kind == MEMORY_REGION_IO;
    if (!count)
        return NULL;
    n %= count;
    for (guint i = 0; i < view->count; i++)
        if (view->sections[i].mr->kind == MEMORY_REGION_IO && n-- == 0)
            return &view->sections[i];
    return NULL;
}

static uint64_t pick_address(const AddressSpace *as, Input *in)
{
    const MemorySection *section = pick_section(as, take(in, 1));
    uint64_t offset = take(in, 2);

    return section ? section->addr + offset % section->size : offset;
}

static void run_cpu_op(Input *in)
{
    static const uint32_t msrs[] = {0x1b, 0x6e0};
    Vcpu *vcpu = machine->vcpus[take(in, 1) % machine->smp.cpus];
    const VcpuIntrOps *ops = vcpu->intr;
    unsigned what = take(in, 1);
    uint32_t msr = what & 0x80 ? 0x800 + (what & 0x3f) : msrs[what >> 4 & 1];
    uint64_t value;

    switch (what & 0x80 ? what >> 6 & 1 : what & 7) {
    case 0:
        ops->write_msr(vcpu->intr_opaque, msr, take(in, 8));
        break;
    case 1:
        ops->read_msr(vcpu->intr_opaque, msr, &value);
        break;
    case 2:
    case 3:
        if (ops->pending(vcpu->intr_opaque))
            ops->ack(vcpu->intr_opaque);
        break;
    case 4:
        ops->set_tpr(vcpu->intr_opaque, take(in, 1));
        break;
    case 5:
        ops->eoi(vcpu->intr_opaque);
        break;
    case 6:
        ops->init(vcpu->intr_opaque);
        break;
    case 7:
        vcpu->state.msr.kvm_pv_eoi = take(in, 3);
        break;
    }
}

/* As a guest does it, by ports CF8h and CFCh; function 0 to 7 of slot 0 or 1, and the slots behind them. */
static void run_config_op(Input *in, unsigned size)
{
    uint8_t devfn = take(in, 1) % 64, reg = take(in, 1);

    size = MIN(size, 4);
    address_space_store(&machine->io, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
    address_space_store(&machine->io, 0xcfc + (reg & 3 & -size), size, take(in, size));
}

static void run_op(Input *in, uint64_t *last_port)
{
    uint8_t op = take(in, 1);
    unsigned size = 1u << (op >> 3 & 3);
    uint64_t value;

    switch (op & 7) {
    case OP_IO_READ:
        *last_port = pick_address(&machine->io, in);
        address_space_load(&machine->io, *last_port, MIN(size, 4), &value);
        break;
    case OP_IO_WRITE:
        *last_port = pick_address(&machine->io, in);
        address_space_store(&machine->io, *last_port, MIN(size, 4), take(in, MIN(size, 4)));
        break;
    case OP_IO_WRITE_SAME: /* sequences of commands to one port are cheap to find */
        address_space_store(&machine->io, *last_port, MIN(size, 4), take(in, MIN(size, 4)));
        break;
    case OP_MEM_READ:
        address_space_load(&machine->memory, pick_address(&machine->memory, in), size, &value);
        break;
    case OP_MEM_WRITE:
        value = pick_address(&machine->memory, in);
        address_space_store(&machine->memory, value, size, take(in, size));
        break;
    case OP_STEP:
        clock_step_to(clock_get_ns(VMCLOCK_VIRTUAL) + take(in, 4) % MAX_STEP_NS);
        break;
    case OP_LINE:
        value = take(in, 1);
        irq_set(&machine->gsi[value % GSI_COUNT], value >> 7);
        break;
    case OP_RAM: /* what DMA of fw_cfg and others will read */
        if (op & 0x20) {
            run_cpu_op(in);
            break;
        }
        if (op & 0x40) {
            run_config_op(in, size);
            break;
        }
        value = take(in, 2);
        address_space_store(&machine->memory, value, size, take(in, size));
        break;
    }
}

static void serve_requests(void)
{
    timer_del(&machine->request_timer);
    machine_serve_requests(machine);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static Options options;
    char **args = g_strsplit("vmm -accel qtest -m 2 -smp 2 -nodefaults -serial null -debugcon null"
                             " -device pc-testdev -no-shutdown"
                             " -blockdev driver=null-co,node-name=n0,size=1G -blockdev driver=null-co,node-name=n1"
                             " -device ide-hd,drive=n0 -device ide-cd,drive=n1,bus=ide.1", " ", -1);
    g_autoptr(GError) err = NULL;

    core_init();
    options_init(&options);
    if (options_parse(&options, g_strv_length(args), args, &err) != OPTIONS_RUN ||
        !options_resolve(&options, &err) || !(machine = machine_from_options(&options, &err)) ||
        !machine_build(machine, &err))
        g_error("%s", err ? err->message : "no machine");
    g_strfreev(args);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    Input in = {data, len};
    uint64_t last_port = 0;

    machine_lock();
    for (unsigned i = 0; i < MAX_OPS && in.len; i++) {
        run_op(&in, &last_port);
        if (timer_pending(&machine->request_timer))
            serve_requests();
    }
    machine_reset(machine);
    machine_unlock();
    return 0;
}
