/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory as gdb reads and writes it.
 *
 * Virtual addresses (the usual case) go through the page tables of the selected thread, without
 * regard to permissions and without a trace in them, and reach RAM and ROM only: gdb reads memory on
 * its own account, to unwind a stack or to disassemble, and must not take bytes out of a device's
 * FIFO by that. Physical addresses (Qqemu.PhyMemMode:1) are asked for on purpose and reach devices too.
 *
 * Writes to ROM succeed: a debugger may change what the guest may not.
 *
 * Locking: the main loop, machine_lock held, vCPUs paused.
 */
#include <string.h>

#include "core/bits.h"
#include "core/paging.h"
#include "gdb-internal.h"

uint64_t gdb_translate(Gdb *gdb, uint64_t addr)
{
    Vcpu *vcpu = gdb_vcpu(gdb);
    uint64_t gpa;

    if (gdb->physical)
        return addr;
    vcpu_sync_state(vcpu);
    return paging_translate(&gdb->machine->memory, &vcpu->state, addr, &gpa) ? gpa : DEBUG_NO_GPA;
}

/* Host memory at gpa and how much of it follows there; NULL: a device, or nothing. */
static uint8_t *ram_at(Gdb *gdb, uint64_t gpa, uint64_t *left)
{
    MemorySection section;

    if (!address_space_lookup(&gdb->machine->memory, gpa, &section) || section.mr->kind == MEMORY_REGION_IO)
        return NULL;
    *left = section.addr + section.size - gpa;
    return memory_section_host(&section, gpa);
}

/* Up to length bytes within one page; the number done, 0: none can be. */
static size_t access_part(Gdb *gdb, uint64_t addr, uint8_t *bytes, size_t length, bool write)
{
    AddressSpace *as = &gdb->machine->memory;
    uint64_t gpa = gdb_translate(gdb, addr), left = 0;
    uint8_t *host;

    length = MIN(length, GUEST_PAGE_SIZE - (addr & ~GUEST_PAGE_MASK));
    if (!range_ok(gpa, length, MEMORY_SPACE_SIZE))
        return 0;
    host = ram_at(gdb, gpa, &left);
    if (host) {
        length = MIN(length, left);
        memcpy(write ? host : bytes, write ? bytes : host, length);
        if (write && as->ram_written)
            as->ram_written(as->ram_written_opaque, gpa, length);
        return length;
    }
    if (!gdb->physical)
        return 0;
    if (write)
        return address_space_write(as, gpa, bytes, length) == MEM_TX_OK ? length : 0;
    return address_space_read(as, gpa, bytes, length) == MEM_TX_OK ? length : 0;
}

/* The number of bytes done, from the beginning. */
static size_t access_memory(Gdb *gdb, uint64_t addr, uint8_t *bytes, size_t length, bool write)
{
    size_t done = 0;

    while (done < length) {
        size_t n = access_part(gdb, addr + done, bytes + done, length - done, write);
        if (!n)
            break;
        done += n;
    }
    return done;
}

static bool take_range(GdbArgs *args, uint64_t *addr, uint64_t *length)
{
    return gdb_take_hex(args, addr) && gdb_take_char(args, ',') && gdb_take_hex(args, length);
}

/* m addr,length. The answer may be shorter than asked for. */
void gdb_read_memory(Gdb *gdb, GdbArgs *args)
{
    uint8_t bytes[GDB_PACKET_MAX / 2];
    uint64_t addr, length;
    size_t done;

    if (!take_range(args, &addr, &length)) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    length = MIN(length, sizeof(bytes));
    done = access_memory(gdb, addr, bytes, length, false);
    if (!done && length)
        gdb_reply_error(gdb, GDB_ERROR_MEMORY);
    else
        gdb_append_hex(gdb->reply, bytes, done);
}

static void write_and_reply(Gdb *gdb, uint64_t addr, uint8_t *bytes, size_t length)
{
    if (access_memory(gdb, addr, bytes, length, true) == length)
        gdb_reply_ok(gdb);
    else
        gdb_reply_error(gdb, GDB_ERROR_MEMORY);
}

/* M addr,length:XX... */
void gdb_write_memory(Gdb *gdb, GdbArgs *args)
{
    uint8_t bytes[GDB_PACKET_MAX / 2];
    uint64_t addr, length;

    if (take_range(args, &addr, &length) && gdb_take_char(args, ':') && length <= sizeof(bytes) &&
        gdb_take_bytes(args, bytes, length))
        write_and_reply(gdb, addr, bytes, length);
    else
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
}

/* X addr,length:binary. Of length 0: gdb asks whether there is this packet. */
void gdb_write_memory_binary(Gdb *gdb, GdbArgs *args)
{
    uint8_t bytes[GDB_PACKET_MAX];
    uint64_t addr, length;

    if (!take_range(args, &addr, &length) || !gdb_take_char(args, ':') || length != gdb_args_left(args)) {
        gdb_reply_error(gdb, GDB_ERROR_SYNTAX);
        return;
    }
    memcpy(bytes, args->next, length);
    write_and_reply(gdb, addr, bytes, length);
}
