/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every option there is, in the order -help prints them within their group.
 */
#include "src/config/options-int.h"

#define FIELD(name) offsetof(Options, name)

const char *const option_group_titles[GROUP_COUNT] = {
    [GROUP_STANDARD] = "Standard options",
    [GROUP_CPU] = "Machine, CPUs and memory",
    [GROUP_BOOT] = "Boot",
    [GROUP_BLOCK] = "Disks",
    [GROUP_DEVICE] = "Devices",
    [GROUP_CHAR] = "Serial ports and the terminal",
    [GROUP_DEBUG] = "Logs, debugging and tests",
};

const OptionSpec option_table[] = {
    {"help", NULL, GROUP_STANDARD, opt_help, 0, "print this"},
    {"h", NULL, GROUP_STANDARD, opt_help, 0, "the same"},
    {"version", NULL, GROUP_STANDARD, opt_version, 0, "print the version"},
    {"name", "[guest=]NAME[,process=NAME][,debug-threads=on|off]", GROUP_STANDARD, opt_name, 0,
     "name the VM, and the process as ps shows it; threads have names unless off"},
    {"uuid", "UUID", GROUP_STANDARD, opt_uuid, 0, "the VM's identity, which the firmware tells the guest"},
    {"msg", "[timestamp=on|off][,guest-name=on|off]", GROUP_STANDARD, opt_msg, 0,
     "begin messages with the time, with the VM's name"},
    {"pidfile", "FILE", GROUP_STANDARD, opt_set_string, FIELD(pidfile),
     "write the process id to FILE; it is removed at exit"},
    {"daemonize", NULL, GROUP_STANDARD, opt_set_flag, FIELD(daemonize),
     "run in the background; the command returns when everything listens"},
    {"add-fd", "fd=N,set=M[,opaque=TEXT]", GROUP_STANDARD, opt_add_fd, 0,
     "put the inherited descriptor N into a set: /dev/fdset/M opens it"},
    {"sandbox", "on[,obsolete=allow|deny][,elevateprivileges=allow|deny|children][,spawn=allow|deny][,resourcecontrol=allow|deny]",
     GROUP_STANDARD, opt_sandbox, 0, "end the process when it makes a system call of a denied group"},
    {"run-with", "[chroot=DIR][,user=NAME|UID:GID]", GROUP_STANDARD, opt_run_with, 0,
     "when everything is open, change root directory and user"},
    {"chroot", "DIR", GROUP_STANDARD, opt_chroot, 0, "the same as -run-with chroot=DIR"},
    {"runas", "USER", GROUP_STANDARD, opt_runas, 0, "the same as -run-with user=USER"},
    {"nodefaults", NULL, GROUP_STANDARD, opt_set_flag, FIELD(nodefaults),
     "no device that was not asked for (the first serial port)"},
    {"readconfig", "FILE", GROUP_STANDARD, opt_readconfig, 0, "options from a file, in QEMU's form: [section], key = \"value\""},
    {"writeconfig", "FILE", GROUP_STANDARD, opt_writeconfig, 0,
     "write the options given to FILE (- for stdout), for -readconfig, and go on"},
    {"no-user-config", NULL, GROUP_STANDARD, opt_no_effect, 0, "accepted: there are no configuration files to skip"},

    {"machine", "[type=]TYPE[,PROP=VALUE...]", GROUP_CPU, opt_machine, 0,
     "the board, and its properties; repeats are merged. For all boards:\n"
     "  accel=NAME[:NAME...]      as -accel\n"
     "  kernel-irqchip=on|split|off  interrupt controllers in kvm\n"
     "  memory-backend=ID         RAM is this -object\n"
     "  dump-guest-core=on|off    RAM in core files (default on)\n"
     "'-machine help' lists boards, '-machine TYPE,help' properties"},
    {"M", "[type=]TYPE[,PROP=VALUE...]", GROUP_CPU, opt_machine, 0, "the same"},
    {"no-acpi", NULL, GROUP_CPU, opt_no_acpi, 0, "the same as -machine acpi=off"},
    {"no-hpet", NULL, GROUP_CPU, opt_no_hpet, 0, "the same as -machine hpet=off"},
    {"accel", "NAME[,PROP=VALUE...]", GROUP_CPU, opt_accel, 0,
     "what runs the guest's code: kvm, dbt (also called tcg) or qtest; repeats\n"
     "give the order of preference. Default: kvm where it works, else dbt"},
    {"enable-kvm", NULL, GROUP_CPU, opt_enable_kvm, 0, "the same as -accel kvm"},
    {"cpu", "MODEL[,+F][,-F][,F=on|off]", GROUP_CPU, opt_cpu, 0,
     "CPU model and features; '-cpu help' lists both. Default: max"},
    {"smp", "[cpus=]N[,maxcpus=N][,sockets=N][,dies=N][,cores=N][,threads=N]", GROUP_CPU, opt_smp, 0,
     "number of CPUs and their topology (default 1)"},
    {"m", "[size=]SIZE", GROUP_CPU, opt_memory, 0, "RAM in MiB, or with a suffix K, M, G, T (default 128)"},
    {"mem-path", "PATH", GROUP_CPU, opt_set_string, FIELD(mem_path), "RAM in this file, or in a file in this directory"},
    {"mem-prealloc", NULL, GROUP_CPU, opt_set_flag, FIELD(mem_prealloc), "allocate all RAM at start"},
    {"vcpu", "vcpunum=N,affinity=LIST|thread-context=ID", GROUP_CPU, opt_vcpu, 0,
     "the host's CPUs on which a vCPU's thread runs: 0-3:6"},
    {"overcommit", "[mem-lock=on|off][,cpu-pm=on|off]", GROUP_CPU, opt_overcommit, 0,
     "lock all memory in RAM; let the guest idle the host's CPU (kvm)"},
    {"object", "TYPE,id=ID[,PROP=VALUE...]", GROUP_CPU, opt_object, 0,
     "an object others refer to; '-object help' lists types"},
    {"rtc", "[base=utc|localtime|DATE][,clock=host|vm]", GROUP_CPU, opt_rtc, 0,
     "the real-time clock: start time, and whether it stops with the VM"},

    {"kernel", "FILE", GROUP_BOOT, opt_set_string, FIELD(boot.kernel), "Linux bzImage, ELF or multiboot image to boot"},
    {"initrd", "FILE", GROUP_BOOT, opt_set_string, FIELD(boot.initrd),
     "initial RAM disk; for multiboot: modules, FILE[ ARGS][,FILE...]"},
    {"append", "TEXT", GROUP_BOOT, opt_set_string, FIELD(boot.append), "the kernel's command line"},
    {"bios", "FILE", GROUP_BOOT, opt_set_string, FIELD(boot.firmware),
     "firmware image, looked for as -L says. Default without -kernel: bios-256k.bin. With a bzImage: what starts it"},
    {"L", "DIR", GROUP_BOOT, opt_firmware_dir, 0,
     "look for firmware and option ROMs here first; repeats are looked through in order"},
    {"boot", "[order=]DRIVES[,once=DRIVES][,PROP=VALUE...]", GROUP_BOOT, opt_boot, 0,
     "what the firmware boots: drives are a, b (floppy), c (disk), d (CD-ROM), n\n"
     "(network); once= is for the first boot only; menu=on lets a user choose, for\n"
     "splash-time= ms; strict=on tries only devices with bootindex=; when all fail it\n"
     "tries again after reboot-timeout= ms (-1: never)"},
    {"option-rom", "FILE[,bootindex=N]", GROUP_BOOT, opt_option_rom, 0, "an option ROM for the firmware to run"},
    {"action", "EVENT=ACTION[,EVENT=ACTION...]", GROUP_BOOT, opt_action, 0,
     "what to do when something happens to the guest:\n"
     "  reboot=reset|shutdown  shutdown=poweroff|pause\n"
     "  panic=shutdown|pause|exit-failure|none\n"
     "  watchdog=reset|shutdown|poweroff|inject-nmi|pause|debug|none"},
    {"no-reboot", NULL, GROUP_BOOT, opt_set_flag, FIELD(no_reboot), "exit instead of rebooting: -action reboot=shutdown"},
    {"no-shutdown", NULL, GROUP_BOOT, opt_set_flag, FIELD(no_shutdown),
     "stop instead of exiting when the guest shuts down: -action shutdown=pause"},
    {"S", NULL, GROUP_BOOT, opt_set_flag, FIELD(stopped), "do not start the CPUs"},

    {"drive", "[file=]FILE[,PROP=VALUE...]", GROUP_BLOCK, opt_drive, 0,
     "a disk: its image, and where it is; '-drive help' lists properties"},
    {"hda", "FILE", GROUP_BLOCK, opt_disk, 0, "the first disk; short for -drive file=FILE,index=0"},
    {"hdb", "FILE", GROUP_BLOCK, opt_disk, 0, "the second"},
    {"hdc", "FILE", GROUP_BLOCK, opt_disk, 0, "the third"},
    {"hdd", "FILE", GROUP_BLOCK, opt_disk, 0, "the fourth"},
    {"cdrom", "FILE", GROUP_BLOCK, opt_cdrom, 0, "a CD; short for -drive file=FILE,index=2,media=cdrom"},
    {"snapshot", NULL, GROUP_BLOCK, opt_set_flag, FIELD(snapshot), "as if each -drive had snapshot=on"},
    {"blockdev", "[driver=]DRIVER,node-name=NAME[,PROP=VALUE...]", GROUP_BLOCK, opt_blockdev, 0,
     "an image or a file under one, for file=, backing= and drive=; also as JSON"},

    {"device", "NAME[,PROP=VALUE...]", GROUP_DEVICE, opt_device, 0,
     "add a device; '-device help' lists them, '-device NAME,help' properties"},
    {"global", "DRIVER.PROP=VALUE", GROUP_DEVICE, opt_global, 0,
     "a default for a property of all devices of a kind, those of the board\n"
     "included; also driver=DRIVER,property=PROP,value=VALUE"},
    {"display", "none", GROUP_DEVICE, opt_only_none, 0, "accepted: there is no display"},
    {"vga", "none", GROUP_DEVICE, opt_only_none, 0, "accepted: there is no display adapter"},
    {"vnc", "none", GROUP_DEVICE, opt_only_none, 0, "accepted: there is no display"},
    {"nic", "none", GROUP_DEVICE, opt_only_none, 0, "accepted: there is no network card"},
    {"net", "none", GROUP_DEVICE, opt_only_none, 0, "accepted: there is no network card"},
    {"parallel", "none", GROUP_DEVICE, opt_only_none, 0, "accepted: there is no parallel port"},

    {"chardev", "BACKEND,id=ID[,PROP=VALUE...]", GROUP_CHAR, opt_chardev, 0,
     "where the bytes of a serial port or the like come from and go to, for\n"
     "'chardev=ID'; '-chardev help' lists backends and their properties"},
    {"serial", "DEV", GROUP_CHAR, opt_serial, 0,
     "connect the next serial port: stdio, mon:stdio, pty, unix:PATH,\n"
     "tcp:HOST:PORT, telnet:HOST:PORT (each [,server=on][,wait=off]...),\n"
     "file:PATH, pipe:PATH, null, chardev:ID, or none for no port"},
    {"nographic", NULL, GROUP_CHAR, opt_set_flag, FIELD(nographic),
     "the first serial port on the terminal, shared with a monitor (mon:stdio):\n"
     "Ctrl-C goes to the guest, Ctrl-a x exits, Ctrl-a c switches, Ctrl-a h helps"},
    {"monitor", "DEV", GROUP_CHAR, opt_monitor, 0,
     "commands typed by people: DEV as for -serial (stdio, unix:PATH,server=on,\n"
     "chardev:ID, ...), or none; '-monitor help' lists the commands"},
    {"qmp", "DEV", GROUP_CHAR, opt_qmp, 0,
     "commands of tools, in QMP (JSON): DEV as for -serial; '-qmp help' lists them"},
    {"qmp-pretty", "DEV", GROUP_CHAR, opt_qmp, 0, "the same, with indented answers"},
    {"mon", "[chardev=]ID[,mode=readline|control][,pretty=on|off]", GROUP_CHAR, opt_mon, 0,
     "a monitor on a -chardev: for people (readline), or QMP (control)"},
    {"debugcon", "DEV", GROUP_CHAR, opt_set_string, FIELD(debugcon), "connect the debug console, port 0xe9"},

    {"d", "ITEM[,ITEM...]", GROUP_DEBUG, opt_log_items, 0, "log these; '-d help' lists them"},
    {"D", "FILE", GROUP_DEBUG, opt_set_string, FIELD(log_file), "log to FILE instead of stderr"},
    {"gdb", "tcp:[HOST]:PORT|unix:PATH|stdio", GROUP_DEBUG, opt_set_string, FIELD(gdb),
     "gdb can connect here ('target remote'). No HOST: this one only"},
    {"s", NULL, GROUP_DEBUG, opt_gdb_default, 0, "the same as -gdb tcp::1234"},
    {"qtest", "unix:PATH|stdio", GROUP_DEBUG, opt_set_string, FIELD(qtest), "a test drives the machine from here"},
    {"qtest-log", "FILE", GROUP_DEBUG, opt_set_string, FIELD(qtest_log), "log the test's commands and our answers"},

    {.name = NULL},
};
