/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USDT probes of provider "vmm": a nop in the code and a note in the ELF file. perf, bpftrace and gdb
 * read them ("bpftrace -e 'usdt:./vmm:vmm:kvm_exit { @[arg1] = count(); }'"). Without sys/sdt.h they
 * are nothing.
 *
 *     kvm_run   vcpu                        about to enter guest code
 *     kvm_exit  vcpu, exit reason           KVM_EXIT_*
 *     mmio      vcpu, address, size, write
 *     pio       vcpu, port, size, write, count
 *     block_submit    request, operation (BLOCK_READ ...), offset, bytes
 *     block_complete  request, operation, offset, result
 *     virtqueue_pop   device, queue, id, bytes to the device, bytes from it
 *     virtqueue_push  device, queue, id, bytes written
 */
#ifndef CORE_TRACE_H
#define CORE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef HAVE_SDT
#include <sys/sdt.h>
#define TRACE1(name, a) DTRACE_PROBE1(vmm, name, a)
#define TRACE2(name, a, b) DTRACE_PROBE2(vmm, name, a, b)
#define TRACE3(name, a, b, c) DTRACE_PROBE3(vmm, name, a, b, c)
#define TRACE4(name, a, b, c, d) DTRACE_PROBE4(vmm, name, a, b, c, d)
#define TRACE5(name, a, b, c, d, e) DTRACE_PROBE5(vmm, name, a, b, c, d, e)
#else
#define TRACE1(name, a) ((void)(a))
#define TRACE2(name, a, b) ((void)(a), (void)(b))
#define TRACE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#define TRACE4(name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#define TRACE5(name, a, b, c, d, e) ((void)(a), (void)(b), (void)(c), (void)(d), (void)(e))
#endif

/* The probes mmio and pio. Any thread. */
void trace_mmio(uint32_t vcpu, uint64_t address, uint32_t size, bool write);
void trace_pio(uint32_t vcpu, uint16_t port, uint32_t size, bool write, uint32_t count);

#endif
