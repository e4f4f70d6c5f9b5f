/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a port access costs: a guest that does nothing else, run by a bare KVM_RUN loop and by the
 * whole path (vCPU thread, exit dispatch, address space, device handler), alternating in one process.
 *
 * The device takes no lock, as devices that are written often should; the cost with machine_lock is
 * shown as well. Measured is the CPU time of the thread that runs the guest, in many short rounds of
 * which the best counts, as anything worse is the host's doing. Fails above LIMIT, unless the host is
 * too busy for two bare rounds to agree.
 */
#include "../guest/kvm/kvm-machine.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/lock.h"
#include "core/loop.h"

#define LIMIT 1.05
#define PORT 0x3f8

enum { ROUNDS = 60, WARM_UP = 100, EXITS = 1000 };

GUEST(hammer, ".code16\n"
              "mov $0x3f8, %dx\n"
              "1: out %al, (%dx)\n"
              "jmp 1b\n");

static int64_t thread_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* --- bare --- */

typedef struct Bare {
    int vcpu;
    struct kvm_run *run;
    uint64_t sum; /* of what the guest wrote: the least a monitor must look at */
} Bare;

static void bare_init(Bare *bare)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = ioctl(kvm, KVM_CREATE_VM, 0);
    uint8_t *ram = mmap(NULL, GUEST_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region region = {
        .memory_size = GUEST_RAM_SIZE, .userspace_addr = (uintptr_t)ram,
    };
    struct kvm_sregs sregs;
    struct kvm_regs regs = { .rip = GUEST_ENTRY, .rflags = 2, .rsp = GUEST_STACK };
    struct kvm_pit_config pit = { 0 };

    /* The same kind of VM: with the controllers in the kernel. */
    if (vm < 0 || ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000) < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0 ||
        ioctl(vm, KVM_CREATE_PIT2, &pit) < 0 || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        die("bare VM");
    memcpy(ram + GUEST_ENTRY, hammer, (size_t)(hammer_end - hammer));
    bare->vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (bare->vcpu < 0)
        die("bare vCPU");
    bare->run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED,
                     bare->vcpu, 0);
    if (bare->run == MAP_FAILED || ioctl(bare->vcpu, KVM_GET_SREGS, &sregs) < 0)
        die("bare vCPU");
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    if (ioctl(bare->vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(bare->vcpu, KVM_SET_REGS, &regs) < 0)
        die("bare vCPU");
}

static void bare_exits(Bare *bare, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (ioctl(bare->vcpu, KVM_RUN, 0) < 0 || bare->run->exit_reason != KVM_EXIT_IO || bare->run->io.port != PORT)
            die("KVM_RUN");
        bare->sum += *((uint8_t *)bare->run + bare->run->io.data_offset);
    }
}

static double bare_round(Bare *bare)
{
    int64_t start;

    bare_exits(bare, WARM_UP);
    start = thread_ns();
    bare_exits(bare, EXITS);
    return (double)(thread_ns() - start) / EXITS;
}

/* --- the whole path --- */

static struct {
    MemoryRegion port;
    KvmMachine *machine;
    unsigned count;
    int64_t start_ns, end_ns;
    uint64_t sum;
} device;

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    device.sum += value;
    device.count++;
    if (device.count == WARM_UP) {
        device.start_ns = thread_ns();
    } else if (device.count == WARM_UP + EXITS) {
        device.end_ns = thread_ns();
        machine_request_stop(&device.machine->machine, RUN_STATE_PAUSED);
    }
}

static const MemoryRegionOps lockless_ops = { .write = device_write, .valid = { 1, 1, false }, .lockless = true };
static const MemoryRegionOps locked_ops = { .write = device_write, .valid = { 1, 1, false } };

static double vmm_round(KvmMachine *m, const MemoryRegionOps *ops)
{
    device.machine = m;
    device.count = 0;
    device.port.ops = ops; /* the machine stands still */
    kvm_machine_start(m);
    while (machine_is_running(&m->machine))
        kvm_machine_turn();
    return (double)(device.end_ns - device.start_ns) / EXITS;
}

static void build_device(KvmMachine *m)
{
    memory_region_init_io(&device.port, &lockless_ops, NULL, "hammered", 1);
    memory_region_add(&m->machine.io_root, PORT, &device.port, 0);
}

int main(void)
{
    KvmConfig config = { GUEST_CODE(hammer), .build = build_device };
    double bare_best = 1e12, bare_second = 1e12, lockless_best = 1e12, locked_best = 1e12, ratio;
    Bare bare = { 0 };
    KvmMachine *m;

    kvm_machine_setup();
    bare_init(&bare);
    m = kvm_machine_new(&config);
    for (unsigned i = 0; i < ROUNDS; i++) {
        double ns = bare_round(&bare);

        bare_second = MIN(bare_second, MAX(ns, bare_best));
        bare_best = MIN(bare_best, ns);
        lockless_best = MIN(lockless_best, vmm_round(m, &lockless_ops));
        locked_best = MIN(locked_best, vmm_round(m, &locked_ops));
    }
    memory_region_release(&device.port);
    kvm_machine_free(m);
    ratio = lockless_best / bare_best;
    printf("port write, ns per exit: bare KVM_RUN %.0f, vmm %.0f (%.3fx), vmm with machine_lock %.0f (%.3fx)\n",
           bare_best, lockless_best, ratio, locked_best, locked_best / bare_best);
    if (bare_second > bare_best * LIMIT) {
        printf("the host is too busy to tell: two bare rounds differ by %.0f %%\n", 100 * (bare_second / bare_best - 1));
        return 77;
    }
    return ratio <= LIMIT ? 0 : 1;
}
