/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a PC BIOS leaves behind, for kernels that go back to real mode: interrupt vectors that
 * return, the BIOS data area, and the 8259 pair at its usual vectors with the timer running; and for
 * those that do not, the MTRRs: Linux leaves the PAT alone where it finds them off.
 *
 * Sources: IBM PC/AT Technical Reference, "ROM BIOS" (vectors 08h-0Fh and 70h-77h, data area at
 * 400h); F000:FF53 is where every BIOS has its lone IRET. Intel SDM vol. 3, 12.11 (MTRRs).
 *
 * Not modelled: BIOS services, and 8259 and 8254 of an accelerator with its own irqchip (its ports
 * are not ours to write).
 */
#include "core/bits.h"
#include "core/dma.h"
#include "pc-internal.h"

#define BIOS_SEGMENT 0xf000u
#define IRET_OFFSET 0xff53
#define EOI_MASTER_OFFSET 0xfea5
#define EOI_SLAVE_OFFSET 0xfeb0

#define BDA 0x400
enum {
    BDA_COM_PORTS = 0x00, /* four words */
    BDA_EBDA = 0x0e,      /* segment */
    BDA_EQUIPMENT = 0x10,
    BDA_BASE_MEMORY = 0x13, /* KiB */
    BDA_SIZE = 0x100,
};
#define EBDA_SEGMENT 0x9fc0
#define BASE_MEMORY_KIB 639
#define EQUIPMENT_FPU 0x0002
#define EQUIPMENT_COM_SHIFT 9

/* MTRRs: memory types in each byte of a fixed-range register; enables. */
#define MTRR_ALL_WP 0x0505050505050505ull
#define MTRR_ALL_WB 0x0606060606060606ull
#define MTRR_DEF_TYPE (BIT(11) | BIT(10) | 6) /* on, fixed ranges on, write-back */
#define MTRR_PHYS_MASK_VALID BIT(11)

#define VECTORS_MASTER 0x08
#define VECTORS_SLAVE 0x70

/* push ax; mov al, 20h; out 20h, al; pop ax; iret */
static const uint8_t eoi_master[] = {0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf};
/* push ax; mov al, 20h; out a0h, al; out 20h, al; pop ax; iret */
static const uint8_t eoi_slave[] = {0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf};
static const uint8_t iret[] = {0xcf};

static bool place_stub(AddressSpace *as, uint32_t offset, const uint8_t *code, size_t len)
{
    return dma_write(as, (BIOS_SEGMENT << 4) + offset, code, len);
}

static bool place_vectors(AddressSpace *as)
{
    uint8_t ivt[256 * 4];

    for (unsigned i = 0; i < 256; i++) {
        bool master = i - VECTORS_MASTER < 8, slave = i - VECTORS_SLAVE < 8;
        store_le(ivt + 4 * i, master ? EOI_MASTER_OFFSET : slave ? EOI_SLAVE_OFFSET : IRET_OFFSET, 2);
        store_le(ivt + 4 * i + 2, BIOS_SEGMENT, 2);
    }
    return place_stub(as, IRET_OFFSET, iret, sizeof(iret)) &&
           place_stub(as, EOI_MASTER_OFFSET, eoi_master, sizeof(eoi_master)) &&
           place_stub(as, EOI_SLAVE_OFFSET, eoi_slave, sizeof(eoi_slave)) && dma_write(as, 0, ivt, sizeof(ivt));
}

static bool place_data_area(PcMachine *pc)
{
    uint8_t bda[BDA_SIZE] = {0};
    unsigned coms = 0;

    for (unsigned i = 0; i < MAX_SERIALS; i++) {
        if (pc->machine.serial[i])
            store_le(bda + BDA_COM_PORTS + 2 * coms++, pc_com_port(i)->port, 2);
    }
    store_le(bda + BDA_EBDA, EBDA_SEGMENT, 2);
    store_le(bda + BDA_EQUIPMENT, EQUIPMENT_FPU | coms << EQUIPMENT_COM_SHIFT, 2);
    store_le(bda + BDA_BASE_MEMORY, BASE_MEMORY_KIB, 2);
    return dma_write(&pc->machine.memory, BDA, bda, sizeof(bda));
}

/* ICW1 to ICW4, then all masked but those in enabled. */
static void init_pic(PcMachine *pc, unsigned chip, uint8_t vectors, uint8_t icw3, uint8_t enabled)
{
    MemoryRegion *io = &pc->pic->chip[chip].io;
    const uint8_t words[] = {vectors, icw3, 0x01, (uint8_t)~enabled};

    memory_region_write(io, 0, 1, 0x11);
    for (size_t i = 0; i < sizeof(words); i++)
        memory_region_write(io, 1, 1, words[i]);
}

/* Channel 0 as the system timer: mode 3, 65536 clocks, 18.2 Hz. */
static void init_pit(PcMachine *pc)
{
    memory_region_write(&pc->pit->io, 3, 1, 0x36);
    memory_region_write(&pc->pit->io, 0, 1, 0);
    memory_region_write(&pc->pit->io, 0, 1, 0);
}

/* All of memory write-back, but the VGA window and the device hole below 4 GiB, which are uncached,
 * and the ROM area. */
static void set_mtrrs(const PcMachine *pc, MsrState *msr)
{
    uint64_t hole = 4 * GIB - MIN(pc->max_ram_below_4g, 4 * GIB - 1);

    msr->mtrr_def_type = MTRR_DEF_TYPE;
    msr->mtrr_fixed[0] = msr->mtrr_fixed[1] = MTRR_ALL_WB; /* to 9ffffh */
    msr->mtrr_fixed[2] = 0;                                /* a0000h..bffffh */
    for (int i = 3; i < 11; i++)
        msr->mtrr_fixed[i] = MTRR_ALL_WP; /* c0000h..fffffh */
    /* One register covers a power of two. */
    hole = BIT(63 - __builtin_clzll(hole));
    msr->mtrr_phys_base[0] = 4 * GIB - hole;
    msr->mtrr_phys_mask[0] = (BIT(cpu_model_phys_bits(pc->cpu_model)) - hole) | MTRR_PHYS_MASK_VALID;
}

bool pc_bios_state_place(PcMachine *pc)
{
    for (unsigned i = 0; i < pc->machine.smp.cpus; i++) {
        set_mtrrs(pc, &pc->machine.vcpus[i]->state.msr);
        vcpu_mark_dirty(pc->machine.vcpus[i]);
    }
    if (pc->pic) {
        init_pic(pc, I8259_MASTER, VECTORS_MASTER, 0x04, BIT(0) | BIT(2));
        init_pic(pc, I8259_SLAVE, VECTORS_SLAVE, 0x02, 0);
    }
    if (pc->pit)
        init_pit(pc);
    return place_vectors(&pc->machine.memory) && place_data_area(pc);
}
