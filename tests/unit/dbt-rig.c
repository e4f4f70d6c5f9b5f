/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dbt-rig.h"

#include "accel/dbt/native.h"
#include "core/dma.h"
#include "core/lock.h"

#define PTE_P_RW_US 7u
#define PDE_PS 0x80u
#define DESC_BASE_0(type, flags) ((uint64_t)(type) << 40 | (uint64_t)(flags) << 52 | 0x000f00000000ffffull)

static Rig *rig_of(void *opaque)
{
    return opaque;
}

static void stop(Rig *rig, int vector)
{
    Vcpu *vcpu = current_vcpu;

    rig->stopped[vcpu->index] = vector;
    vcpu_request(vcpu, VCPU_REQ_PAUSE);
}

static void exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    stop(rig_of(opaque), -1);
}

static void vector_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    stop(rig_of(opaque), (int)offset);
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    rig_of(opaque)->port_accesses++;
    return rig_of(opaque)->port_in;
}

static void data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    rig_of(opaque)->port_accesses++;
    rig_of(opaque)->port_out = (uint32_t)value;
}

static const MemoryRegionOps exit_ops = {.read = data_read, .write = exit_write, .lockless = true};
static const MemoryRegionOps vector_ops = {.read = data_read, .write = vector_write, .lockless = true};
static const MemoryRegionOps data_ops = {.read = data_read, .write = data_write, .lockless = true};

static void build_tables(Rig *rig)
{
    uint64_t *pt = rig_mem(rig, 0x1000), *pml4 = rig_mem(rig, 0x2000), *pdpt = rig_mem(rig, 0x3000);
    uint64_t *pd = rig_mem(rig, 0x4000), *gdt = rig_mem(rig, 0x5000);
    uint32_t *ivt = rig_mem(rig, 0);

    for (unsigned i = 0; i < 512; i++) {
        pt[i] = i * GUEST_PAGE_SIZE | PTE_P_RW_US;
        pd[i] = i * 2 * MIB | PTE_P_RW_US | PDE_PS;
    }
    pd[0] = 0x1000 | PTE_P_RW_US;
    pdpt[0] = 0x4000 | PTE_P_RW_US;
    pml4[0] = 0x3000 | PTE_P_RW_US;
    gdt[RIG_CS64 / 8] = DESC_BASE_0(0x9b, 0xa);
    gdt[RIG_DS / 8] = DESC_BASE_0(0x93, 0xc);
    gdt[RIG_CS32 / 8] = DESC_BASE_0(0x9b, 0xc);
    gdt[RIG_CS16 / 8] = DESC_BASE_0(0x9b, 0x0);
    gdt[RIG_DS16 / 8] = DESC_BASE_0(0x93, 0x0);
    for (unsigned i = 0; i < 32; i++) {
        uint8_t *handler = rig_mem(rig, 0x6000 + 4 * i);

        handler[0] = 0xe6; /* out imm8, al */
        handler[1] = (uint8_t)(0x80 + i);
        handler[2] = 0xf4;
        ivt[i] = 0x6000 + 4 * i;
    }
}

void rig_reset_memory(Rig *rig)
{
    dma_fill(&rig->machine->memory, 0, 0, 2 * MIB);
    build_tables(rig);
}

/* Gates of 16 bytes in long mode, else of 8. */
static void build_idt(Rig *rig, unsigned bits)
{
    uint64_t *idt = rig_mem(rig, 0x5800);

    for (uint64_t i = 0; i < 32; i++) {
        uint64_t offset = 0x6000 + 4 * i, cs = bits == 64 ? RIG_CS64 : RIG_CS32;
        uint64_t gate = (offset & 0xffff) | cs << 16 | 0x8e0000000000ull | offset >> 16 << 48;

        if (bits == 64) {
            idt[2 * i] = gate;
            idt[2 * i + 1] = 0;
        } else {
            idt[i] = gate;
        }
    }
}

static SegmentReg segment(uint16_t selector, uint32_t attr)
{
    return (SegmentReg){.selector = selector, .attr = attr, .limit = 0xffffffff, .base = 0};
}

void rig_mode(Rig *rig, unsigned cpu, unsigned bits)
{
    CpuState *s = rig_state(rig, cpu);
    uint16_t cs = bits == 64 ? RIG_CS64 : RIG_CS32;
    uint64_t tsc_offset = s->tsc_offset;

    cpu_state_reset(s, 0, true);
    s->tsc_offset = tsc_offset;
    s->rip = RIG_CODE;
    s->gpr[GPR_RSP] = RIG_STACK - cpu * 0x1000;
    s->gdtr = (DescTableReg){.base = 0x5000, .limit = 0x7ff};
    if (bits == 16) {
        s->seg[SEG_CS].selector = RIG_CODE >> 4;
        s->seg[SEG_CS].base = RIG_CODE;
        s->rip = 0;
        s->gpr[GPR_RSP] = 0xff00;
        s->seg[SEG_SS].selector = 0x6000;
        s->seg[SEG_SS].base = 0x60000;
        return;
    }
    build_idt(rig, bits);
    s->idtr = (DescTableReg){.base = 0x5800, .limit = 0x1ff};
    s->cr0 |= CR0_PE;
    s->seg[SEG_CS] = segment(cs, bits == 64 ? 0xa09b : 0xc09b);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (i != SEG_CS)
            s->seg[i] = segment(RIG_DS, 0xc093);
    }
    if (bits == 64) {
        s->cr3 = 0x2000;
        s->cr4 |= CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
        s->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
        s->cr0 |= CR0_PG;
    }
}

void rig_code(Rig *rig, const void *code, size_t len)
{
    static const uint8_t end[] = {0xe6, RIG_PORT_EXIT, 0xf4};
    AddressSpace *as = &rig->machine->memory;

    /* As a device would write it: the accelerator hears of the new code. */
    dma_write(as, RIG_CODE, code, len);
    dma_write(as, RIG_CODE + len, end, sizeof(end));
}

int rig_run(Rig *rig, unsigned cpu)
{
    Vcpu *vcpu = rig->machine->vcpus[cpu];

    native_signals_init(); /* cmocka has set its own since */
    current_vcpu = vcpu;
    rig->stopped[cpu] = -2;
    __atomic_store_n(&vcpu->requests, 0, __ATOMIC_SEQ_CST);
    while (rig->stopped[cpu] == -2)
        rig->machine->accel->ops->run(vcpu);
    current_vcpu = NULL;
    return rig->stopped[cpu];
}

void *rig_run_until_told(void *opaque)
{
    Vcpu *vcpu = opaque;

    current_vcpu = vcpu;
    vcpu->machine->accel->ops->run(vcpu);
    current_vcpu = NULL;
    return NULL;
}

int rig_run_code(Rig *rig, unsigned bits, const void *code, size_t len)
{
    rig_code(rig, code, len);
    rig_mode(rig, 0, bits);
    return rig_run(rig, 0);
}

uint64_t rig_fault_rip(Rig *rig, unsigned bits, bool has_error)
{
    const CpuState *s = rig_state(rig, 0);
    uint64_t sp = s->seg[SEG_SS].base + s->gpr[GPR_RSP];

    if (bits == 16)
        return *(uint16_t *)rig_mem(rig, sp);
    if (bits == 32)
        return *(uint32_t *)rig_mem(rig, sp + (has_error ? 4 : 0));
    return *(uint64_t *)rig_mem(rig, sp + (has_error ? 8 : 0));
}

static bool rig_build(Machine *machine, GError **errp)
{
    return true;
}

static const MachineType rig_type = {.name = "rig", .instance_size = sizeof(Machine), .build = rig_build};

static void choose_tier(DbtAccel *accel)
{
    const char *tier = g_getenv("RIG_TIER");

    accel->interpret = !tier;
    accel->translate_after = 1;
    accel->lock_step = g_strcmp0(tier, "lock-step") == 0;
}

Rig *rig_new(unsigned cpus)
{
    return rig_new_sized(cpus, 0);
}

Rig *rig_new_sized(unsigned cpus, uint32_t tb_size)
{
    Rig *rig = g_new0(Rig, 1);
    Machine *machine = machine_new(&rig_type);
    g_autofree CpuidTable *cpuid = g_new0(CpuidTable, 1);
    RamOptions ram = {.size = RIG_RAM_SIZE, .share = true, .seal = true};
    Accel *accel = g_malloc0(dbt_accel_ops.instance_size);
    bool ok;

    rig->machine = machine;
    machine->smp.cpus = cpus;
    accel->ops = &dbt_accel_ops;
    property_set_defaults(dbt_accel_ops.props, accel);
    choose_tier((DbtAccel *)accel);
    if (tb_size)
        ((DbtAccel *)accel)->tb_size = tb_size;
    machine->accel = accel;
    machine_lock();
    accel->machine = machine;
    ok = dbt_accel_ops.init(accel, machine, NULL);
    g_assert(ok);
    machine->ram = ram_block_new("ram", &ram, NULL);
    memory_region_init_ram(&rig->ram, "ram", machine->ram, 0, RIG_RAM_SIZE);
    memory_region_init_io(&rig->port_exit, &exit_ops, rig, "exit", 1);
    memory_region_init_io(&rig->port_data, &data_ops, rig, "data", 4);
    memory_region_init_io(&rig->port_vectors, &vector_ops, rig, "vectors", 32);
    memory_region_add(&machine->memory_root, 0, &rig->ram, 0);
    memory_region_add(&machine->io_root, RIG_PORT_EXIT, &rig->port_exit, 0);
    memory_region_add(&machine->io_root, RIG_PORT_DATA, &rig->port_data, 0);
    memory_region_add(&machine->io_root, 0x80, &rig->port_vectors, 0);
    machine_unlock();
    dbt_accel_ops.supported_cpuid(accel, cpuid);
    machine->vcpus = g_new0(Vcpu *, cpus);
    for (unsigned i = 0; i < cpus; i++) {
        machine->vcpus[i] = vcpu_new(machine, i, i, NULL);
        g_assert(machine->vcpus[i]);
        ok = vcpu_set_cpuid(machine->vcpus[i], cpuid, NULL);
        g_assert(ok);
    }
    build_tables(rig);
    return rig;
}

void rig_free(Rig *rig)
{
    Machine *machine = rig->machine;

    machine_lock();
    memory_region_remove(&rig->ram);
    memory_region_remove(&rig->port_exit);
    memory_region_remove(&rig->port_data);
    memory_region_remove(&rig->port_vectors);
    machine_unlock();
    machine_free(machine);
    memory_region_release(&rig->ram);
    memory_region_release(&rig->port_exit);
    memory_region_release(&rig->port_data);
    memory_region_release(&rig->port_vectors);
    g_free(rig);
}

int rig_setup(void **state)
{
    *state = rig_new(1);
    return 0;
}

int rig_teardown(void **state)
{
    rig_free(*state);
    return 0;
}

void rig_enable_units(Rig *rig, unsigned bits, uint64_t xcr0)
{
    CpuState *s = rig_state(rig, 0);

    rig_mode(rig, 0, bits);
    s->gpr[GPR_RBX] = bits == 16 ? 0 : RIG_DATA;
    if (bits == 16) {
        s->seg[SEG_DS] = (SegmentReg){.selector = RIG_DATA >> 4, .base = RIG_DATA, .limit = 0xffff,
                                      .attr = s->seg[SEG_DS].attr};
    }
    s->cr0 |= CR0_NE | CR0_MP;
    s->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    s->xcr0 = xcr0;
    memset(rig_mem(rig, RIG_DATA), 0, 0x4000);
    native_signals_init(); /* cmocka has taken SIGSEGV and the like for itself */
}

bool rig_gates_hold(Rig *rig, uint64_t xcr0, const RigGate *gates, size_t count)
{
    CpuState *s = rig_state(rig, 0);
    bool hold = true;

    for (size_t i = 0; i < count; i++) {
        const RigGate *g = &gates[i];
        rig_enable_units(rig, 64, xcr0);
        rig_code(rig, g->code, (size_t)(g->end - g->code));
        s->cr0 |= g->cr0_set;
        s->cr4 &= ~g->cr4_clear;
        s->xcr0 &= ~g->xcr0_clear;
        int vector = rig_run(rig, 0);
        if (vector != g->vector)
            g_printerr("%s: vector %d, not %d\n", g->what, vector, g->vector);
        hold &= vector == g->vector;
    }
    return hold;
}
