/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory for people who look at it (hmp-internal.h).
 *
 * Locking: machine_lock.
 */
#include <fcntl.h>
#include <unistd.h>

#include <errno.h>

#include "core/bits.h"
#include "core/error.h"
#include "core/host.h"
#include "core/paging.h"
#include "hmp-internal.h"

#define SAVE_CHUNK 65536

/* Within one page. A device's registers are read only by physical address, which somebody typed on purpose. */
static bool read_part(Machine *machine, Vcpu *vcpu, uint64_t addr, void *bytes, size_t len)
{
    AddressSpace *as = &machine->memory;
    MemorySection section;
    uint64_t gpa = addr;

    if (vcpu && !paging_translate(as, &vcpu->state, addr, &gpa))
        return false;
    if (!range_ok(gpa, len, MEMORY_SPACE_SIZE) || !address_space_lookup(as, gpa, &section))
        return false;
    if (vcpu && section.mr->kind == MEMORY_REGION_IO)
        return false;
    return address_space_read(as, gpa, bytes, len) == MEM_TX_OK;
}

size_t guest_memory_read(Machine *machine, Vcpu *vcpu, uint64_t addr, void *bytes, size_t len)
{
    size_t done = 0;

    if (vcpu)
        vcpu_sync_state(vcpu);
    while (done < len) {
        size_t part = MIN(len - done, GUEST_PAGE_SIZE - ((addr + done) & ~GUEST_PAGE_MASK));
        if (!read_part(machine, vcpu, addr + done, (uint8_t *)bytes + done, part))
            break;
        done += part;
    }
    return done;
}

bool guest_memory_save(Machine *machine, Vcpu *vcpu, uint64_t addr, uint64_t len, const char *path, GError **errp)
{
    int fd = host_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, "copy of guest memory", errp);
    bool ok = fd >= 0;

    for (uint64_t done = 0; ok && done < len;) {
        uint8_t chunk[SAVE_CHUNK];
        size_t part = MIN(len - done, sizeof(chunk));
        if (guest_memory_read(machine, vcpu, addr + done, chunk, part) < part)
            ok = error_set(errp, "there is no memory at all of %#" G_GINT64_MODIFIER "x to %#" G_GINT64_MODIFIER "x",
                           addr + done, addr + done + part - 1);
        else if (!host_write_full(fd, chunk, part))
            ok = error_set_errno(errp, errno, "cannot write %s", path);
        done += part;
    }
    if (fd >= 0)
        close(fd);
    return ok;
}
