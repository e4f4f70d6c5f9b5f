/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exits nothing can be done about: one report on stderr with the registers and the code around
 * RIP, and the machine stops in INTERNAL_ERROR, where a monitor can look at it.
 *
 * Locking: on the vCPU's own thread, none held.
 */
#include <string.h>

#include "core/log.h"
#include "core/machine.h"
#include "kvm-internal.h"

#define CODE_BEFORE 16
#define CODE_AFTER 32

/* The byte at a linear address, through the vCPU's page tables (api 4.36). */
static bool read_linear(KvmVcpu *kv, uint64_t linear, uint8_t *byte)
{
    struct kvm_translation tr = { .linear_address = linear };

    if (kvm_ioctl(kv->fd, KVM_TRANSLATE, &tr) < 0 || !tr.valid)
        return false;
    return address_space_read(&kv->cpu->machine->memory, tr.physical_address, byte, 1) == MEM_TX_OK;
}

/* "code 90 90 <f4> 00": RIP's byte in angle brackets, "??" where nothing is mapped. */
static void print_code(KvmVcpu *kv, GString *out)
{
    const CpuState *state = &kv->cpu->state;
    uint64_t base = cpu_state_code_bits(state) == 64 ? 0 : state->seg[SEG_CS].base;

    g_string_append(out, "code");
    for (int i = -CODE_BEFORE; i < CODE_AFTER; i++) {
        uint64_t linear = base + state->rip + (uint64_t)(int64_t)i;
        char text[3] = "??";
        uint8_t byte;

        if (i < 0 && state->rip < (uint64_t)-i)
            continue;
        if (read_linear(kv, linear, &byte))
            g_snprintf(text, sizeof(text), "%02x", byte);
        g_string_append_printf(out, i ? " %s" : " <%s>", text);
    }
    g_string_append_c(out, '\n');
}

KvmExitResult kvm_report_exit(KvmVcpu *kv, const char *what)
{
    g_autoptr(GString) text = g_string_new(NULL);

    vcpu_sync_state(kv->cpu);
    g_string_printf(text, "kvm: CPU %u stopped: %s\n", kv->cpu->index, what);
    cpu_state_print(&kv->cpu->state, kv->cpu->index, text);
    print_code(kv, text);
    g_strchomp(text->str);
    log_report(text->str);
    machine_request_stop(kv->cpu->machine, RUN_STATE_INTERNAL_ERROR);
    return KVM_EXIT_LEAVE;
}
