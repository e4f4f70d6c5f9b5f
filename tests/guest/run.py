#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one guest program on one accelerator and passes its TAP on.

The guest prints TAP on the debug console (or the serial port) and ends through isa-debug-exit, by
powering off, or by a fault. What this program adds: a bound on the time, the judgement of the exit
status, and skips, with a reason, of what the host cannot do. It always ends and leaves no process.
"""

import argparse
import os
import subprocess
import sys


def skip_all(reason):
    print(f'1..0 # SKIP {reason}')
    sys.exit(0)


def host_has_virtualisation():
    """KVM without VT-x or AMD-V behind it has the kernel emulate each ring 0 instruction."""
    with open('/proc/cpuinfo', encoding='ascii', errors='replace') as f:
        for line in f:
            if line.startswith('flags'):
                words = line.split()
                return 'vmx' in words or 'svm' in words
    return False


def check_accelerator(args):
    if args.accel.split(',')[0] != 'kvm':
        return
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        skip_all('/dev/kvm cannot be opened')
    if args.needs_hardware and not host_has_virtualisation():
        skip_all('no VT-x or AMD-V: ' + args.needs_hardware)


def command(args):
    cmd = [args.vmm, '-accel', args.accel, '-m', '64', '-smp', str(args.smp), '-display', 'none', '-nodefaults',
           '-device', 'isa-debug-exit,iobase=0xf4,iosize=4']
    if args.serial:
        cmd += ['-serial', 'stdio']
    else:
        cmd += ['-serial', 'null', '-debugcon', 'stdio']
    cmd += ['-bios' if args.image.endswith('.bin') else '-kernel', args.image]
    return cmd + args.options


def run(args):
    proc = subprocess.Popen(command(args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = proc.communicate(timeout=args.timeout)
        return proc.returncode, out, err
    except subprocess.TimeoutExpired:
        proc.kill()
        out, err = proc.communicate()
        return None, out, err


def judge(args, status, out, err):
    """The verdict on the run as a whole is one more TAP line, so a lost plan cannot pass."""
    lines = [l for l in out.decode('utf-8', 'replace').replace('\r', '').split('\n') if l]
    plan = [l for l in lines if l.startswith('1..')]
    results = [l for l in lines if l.startswith(('ok ', 'not ok '))]
    for line in lines:
        if not line.startswith('1..'):
            print(line)
    ok = True
    if status is None:
        ok = False
        print(f'# the guest did not end within {args.timeout} s')
    elif status != args.status:
        ok = False
        print(f'# exit status {status}, expected {args.status}')
    if not args.no_plan and (len(plan) != 1 or plan[0] != f'1..{len(results)}'):
        ok = False
        print(f'# {len(results)} results, plan {plan}')
    if args.stderr_has and args.stderr_has not in err.decode('utf-8', 'replace'):
        ok = False
        print(f'# standard error lacks "{args.stderr_has}"')
    number = len(results) + 1
    print(f'{"ok" if ok else "not ok"} {number} - the machine ends as it should')
    print(f'1..{number}')
    if not ok:
        for line in err.decode('utf-8', 'replace').splitlines()[:60]:
            print(f'# {line}')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--vmm', required=True)
    p.add_argument('--accel', required=True)
    p.add_argument('--image', required=True)
    p.add_argument('--smp', type=int, default=1)
    p.add_argument('--timeout', type=float, default=240)
    p.add_argument('--status', type=int, default=33, help='expected exit status (isa-debug-exit with 10h: 33)')
    p.add_argument('--serial', action='store_true', help='TAP comes from the serial port')
    p.add_argument('--no-plan', action='store_true', help='the guest prints nothing')
    p.add_argument('--stderr-has', help='text the VMM has to print')
    p.add_argument('--needs-hardware', help='why KVM needs VT-x or AMD-V for this guest')
    p.add_argument('options', nargs='*', help='for the VMM, after --')
    args = p.parse_args()
    check_accelerator(args)
    judge(args, *run(args))


if __name__ == '__main__':
    main()
