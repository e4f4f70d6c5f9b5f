#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A kernel that changes its own code while all CPUs run it: function tracing (35,000 calls patched at once), kprobes, of
# which none may be missed, and static keys. In the stock guest, outside the host's userland.
#
#     kernel-code.sh ROUNDS
TRACING=/sys/kernel/tracing
[ -e $TRACING ] || mount -t sysfs sysfs /sys
[ -e $TRACING/trace ] || mount -t tracefs tracefs $TRACING
cd $TRACING || exit

work() {
    while [ -e /tmp/working ]; do
        ls -lR /proc/self /sys/class >/dev/null 2>&1
    done
}

trace() {
    echo "$1" >current_tracer
    head -n 1000 trace | grep -c "$2" | sed "s/^[1-9].*/$1 traces/"
    echo nop >current_tracer
    cat trace | grep -c "$2"
}

: >/tmp/working
work &
for round in $(seq "$1"); do
    trace function ' <-[a-z]'
    trace function_graph '();$'
done
echo 'p:entry __x64_sys_sync' >kprobe_events
echo 'r:return __x64_sys_sync' >>kprobe_events
for round in $(seq "$1"); do
    echo 1 >events/kprobes/enable
    sync
    sync
    echo 0 >events/kprobes/enable
    sync
done
sed 's/  */ /g' kprobe_profile
for i in $(seq 100); do
    echo $((i % 2)) >/proc/sys/kernel/sched_schedstats
done
rm /tmp/working
wait
