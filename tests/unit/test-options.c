/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: what each option leaves in Options, and what is refused with which words
 * (config/options.h). The effects are tested by tests/functional.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "config/options.h"
#include "core/bits.h"
#include "core/thread.h"
#include "monitor/monitor.h"
#include "src/config/options-int.h"

/* Splits the words at spaces. */
static OptionsResult parse(Options *options, const char *line, GError **errp)
{
    g_autofree char *all = g_strconcat("vmm ", line, NULL);
    g_auto(GStrv) argv = g_strsplit(all, " ", -1);

    options_init(options);
    OptionsResult result = options_parse(options, (int)g_strv_length(argv), argv, errp);
    if (result == OPTIONS_RUN && !options_resolve(options, errp))
        result = OPTIONS_BAD;
    return result;
}

static void accept(Options *options, const char *line)
{
    g_autoptr(GError) err = NULL;

    if (parse(options, line, &err) != OPTIONS_RUN)
        fail_msg("'%s' was refused: %s", line, err ? err->message : "(no reason)");
}

static void refuse(const char *line, const char *mention)
{
    g_autoptr(GError) err = NULL;
    Options options;

    assert_int_equal(parse(&options, line, &err), OPTIONS_BAD);
    assert_non_null(err);
    if (!strstr(err->message, mention))
        fail_msg("'%s' does not mention '%s'", err->message, mention);
    assert_null(strchr(err->message, '\n'));
    options_release(&options);
}

static void defaults_are_qemus(void **state)
{
    Options options;

    accept(&options, "-name x");
    assert_int_equal(options.ram.size, 128 * MIB);
    assert_int_equal(options.topology.cpus, 1);
    assert_ptr_equal(options.machine_type, machine_types[0]);
    assert_int_equal(options.serials->len, 1);
    assert_int_equal(options.accels->len, 0);
    options_release(&options);
}

static void one_dash_or_two(void **state)
{
    Options options;

    accept(&options, "--no-reboot -no-shutdown --kernel k");
    assert_true(options.no_reboot);
    assert_true(options.no_shutdown);
    assert_string_equal(options.boot.kernel, "k");
    options_release(&options);
    refuse("---kernel k", "'---kernel'");
    refuse("- x", "'-'");
    refuse("-- x", "'--'");
}

static void versions_of_the_board_are_the_board(void **state)
{
    static const char *const names[] = {"pc-i440fx-7.2", "pc-i440fx-2.12", "pc-i440fx-10.0"};

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *line = g_strconcat("-machine ", names[i], ",accel=dbt", NULL);
        Options options;
        accept(&options, line);
        assert_string_equal(options.machine_type->name, "pc");
        options_release(&options);
    }
    refuse("-machine pc-i440fx-7", "'pc-i440fx-7'");
    refuse("-machine pc-i440fx-7.2.1", "'pc-i440fx-7.2.1'");
    refuse("-machine pc-i440fx-jammy", "'pc-i440fx-jammy'");
    refuse("-M q35", "no machine 'q35'; did you mean 'pc'");
    refuse("-M pc-q35-7.2", "did you mean 'pc'");
}

static void older_names_set_the_board(void **state)
{
    Options options;

    accept(&options, "-no-acpi -no-hpet");
    assert_string_equal(keyval_get(options.machine, "acpi"), "off");
    options_release(&options);
}

static void a_uuid_is_sixteen_bytes_in_groups(void **state)
{
    static const uint8_t expected[16] = {0x55, 0x0e, 0x84, 0x00, 0xe2, 0x9b, 0x41, 0xd4,
                                         0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0x00, 0x0F};
    Options options;

    accept(&options, "-uuid 550e8400-e29b-41d4-a716-44665544000F");
    assert_memory_equal(options.uuid, expected, 16);
    options_release(&options);
    refuse("-uuid 550e8400e29b41d4a71644665544000f", "not a UUID");
    refuse("-uuid 550e8400-e29b-41d4-a716-44665544000", "not a UUID");
    refuse("-uuid 550e8400-e29b-41d4-a716-4466554400000", "not a UUID");
    refuse("-uuid 550e8400-e29b-41d4-a716-44665544000g", "not a UUID");
    refuse("-uuid 550e840-0e29b-41d4-a716-44665544000f", "not a UUID");
    refuse("-uuid -550e8400-e29b-41d4-a716-44665544000f", "not a UUID");
    refuse("-uuid 550e8400--e29b-41d4-a716-44665544000f", "not a UUID");
}

static void actions_add_up(void **state)
{
    Options options;

    accept(&options, "-action reboot=shutdown,panic=exit-failure -no-shutdown -action watchdog=pause");
    assert_true(options.no_reboot);
    assert_true(options.no_shutdown);
    assert_int_equal(options.panic_action, PANIC_ACTION_EXIT_FAILURE);
    assert_int_equal(options.watchdog_action, WATCHDOG_ACTION_PAUSE);
    options_release(&options);
    accept(&options, "-no-reboot -action reboot=reset");
    assert_false(options.no_reboot);
    assert_int_equal(options.panic_action, PANIC_ACTION_SHUTDOWN);
    options_release(&options);
    refuse("-action reboot=poweroff", "reset, shutdown");
    refuse("-action panick=none", "'panic'");
    refuse("-action watchdog=injectnmi", "did you mean 'inject-nmi'");
    refuse("-action pause", "-action");
}

static void globals_are_checked_when_given(void **state)
{
    Options options;

    accept(&options, "-global isa-serial.index=1 -global driver=isa-debug-exit,property=iobase,value=0xf4");
    assert_int_equal(options.globals->len, 2);
    const GlobalProperty *global = g_ptr_array_index(options.globals, 1);
    assert_string_equal(global->driver, "isa-debug-exit");
    assert_string_equal(global->property, "iobase");
    assert_string_equal(global->value, "0xf4");
    options_release(&options);
    refuse("-global isa-sereal.index=1", "'isa-sereal'; did you mean 'isa-serial'");
    refuse("-global isa-serial.indes=1", "did you mean 'index'");
    refuse("-global isa-serial.index=many", "'many'");
    refuse("-global isa-serial.chardev=c", "-device");
    refuse("-global isa-serial", "DRIVER.PROPERTY=VALUE");
    refuse("-global driver=isa-serial,property=index", "value=");
    refuse("-global driver=isa-serial,property=index,value=1,x=2", "'x'");
}

static void messages_and_names(void **state)
{
    Options options;

    accept(&options, "-msg timestamp=on,guest-name=on -name guest=g,process=p,debug-threads=off");
    assert_true(options.msg_timestamp);
    assert_true(options.msg_guest_name);
    assert_true(options.unnamed_threads);
    assert_string_equal(options.name, "g");
    assert_string_equal(options.process_name, "p");
    options_release(&options);
    refuse("-msg timestamp=maybe", "timestamp=maybe");
    refuse("-msg timestampt=on", "'timestamp'");
    refuse("-name g,debug-threads=2", "debug-threads=2");
}

static void unknown_options_name_the_nearest(void **state)
{
    refuse("-kernle k", "'-kernle'; did you mean '-kernel'?");
    refuse("--acell kvm", "'-accel'");
    refuse("-xyzzy", "-help");
    refuse("disk.img", "'disk.img'");
    refuse("-kernel", "needs an argument: FILE");
}

static void memory_takes_mib_and_suffixes(void **state)
{
    static const struct {
        const char *line;
        uint64_t size;
    } cases[] = {
        {"-m 512", 512 * MIB},     {"-m 1.5G", 1536 * MIB},         {"-m size=64M", 64 * MIB},
        {"-m 1048576K", 1 * GIB},  {"-m 64 -m size=32", 32 * MIB}, {"-m 2T", 2048 * GIB},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Options options;
        accept(&options, cases[i].line);
        assert_int_equal(options.ram.size, cases[i].size);
        options_release(&options);
    }
    refuse("-m 0", "'0'");
    refuse("-m 512Q", "'512Q'");
    refuse("-m -5", "'-5'");
    refuse("-m 16E", "'16E'");
    refuse("-m 8E", "'8E'");
    refuse("-m 512,slots=2", "'slots'");
}

static void check_topology(const char *line, SmpTopology expected)
{
    Options options;

    accept(&options, line);
    assert_int_equal(options.topology.cpus, expected.cpus);
    assert_int_equal(options.topology.sockets, expected.sockets);
    assert_int_equal(options.topology.dies, expected.dies);
    assert_int_equal(options.topology.cores, expected.cores);
    assert_int_equal(options.topology.threads, expected.threads);
    options_release(&options);
}

static void smp_fills_in_what_is_missing(void **state)
{
    check_topology("-smp 4", (SmpTopology){4, 1, 1, 4, 1});
    check_topology("-smp cpus=8,threads=2", (SmpTopology){8, 1, 1, 4, 2});
    check_topology("-smp 8,sockets=2", (SmpTopology){8, 2, 1, 4, 1});
    check_topology("-smp 8,cores=2", (SmpTopology){8, 4, 1, 2, 1});
    check_topology("-smp 8,sockets=2,cores=2", (SmpTopology){8, 2, 1, 2, 2});
    check_topology("-smp sockets=2,dies=2,cores=2,threads=2", (SmpTopology){16, 2, 2, 2, 2});
    check_topology("-smp 2,maxcpus=4", (SmpTopology){2, 1, 1, 4, 1});
    check_topology("-smp 4 -smp threads=2", (SmpTopology){4, 1, 1, 2, 2});
    check_topology("-smp 255", (SmpTopology){255, 1, 1, 255, 1});
}

static void inconsistent_smp_is_refused(void **state)
{
    refuse("-smp 0", "cpus=0");
    refuse("-smp 1000", "cpus=1000");
    refuse("-smp 256", "1 to 255");
    refuse("-smp -1", "cpus=-1");
    refuse("-smp 4,cores=0", "cores=0");
    refuse("-smp 4,sockets=3,cores=1,threads=1", "3 sockets");
    refuse("-smp 3,sockets=2,threads=2", "are not 3 CPUs");
    refuse("-smp 4,maxcpus=2", "maxcpus=2");
    refuse("-smp sockets=255,dies=255,cores=255,threads=255", "too many");
    refuse("-smp 4,kores=2", "'cores'");
}

static void machine_options_are_merged(void **state)
{
    Options options;

    accept(&options, "-machine pc,accel=kvm:tcg -M kernel_irqchip=split -machine dump-guest-core=off");
    assert_int_equal(options.accels->len, 2);
    assert_string_equal(g_ptr_array_index(options.accels, 0), "kvm,kernel-irqchip=split");
    assert_string_equal(g_ptr_array_index(options.accels, 1), "tcg");
    assert_false(options.ram.dump);
    options_release(&options);
    refuse("-machine q36", "'q36'");
    refuse("-machine accel=kvm -accel dbt", "exclude each other");
    refuse("-machine kernel-irqchip=off", "-accel kvm");
    refuse("-machine dump-guest-core=maybe", "maybe");
    refuse("-machine a=1,a.b=2", "'a'");
}

static void accelerators_keep_their_order(void **state)
{
    Options options;

    accept(&options, "-accel kvm -accel dbt -enable-kvm");
    assert_int_equal(options.accels->len, 3);
    assert_string_equal(g_ptr_array_index(options.accels, 1), "dbt");
    assert_string_equal(g_ptr_array_index(options.accels, 2), "kvm");
    options_release(&options);
}

static void qtest_is_its_own_accelerator(void **state)
{
    Options options;

    accept(&options, "-qtest stdio");
    assert_int_equal(options.accels->len, 1);
    assert_string_equal(g_ptr_array_index(options.accels, 0), "qtest");
    options_release(&options);
    accept(&options, "-qtest stdio -accel kvm");
    assert_int_equal(options.accels->len, 1);
    assert_string_equal(g_ptr_array_index(options.accels, 0), "kvm");
    options_release(&options);
}

static void nographic_puts_the_first_serial_on_the_terminal(void **state)
{
    Options options;

    accept(&options, "-nographic");
    assert_string_equal(g_ptr_array_index(options.serials, 0), "mon:stdio");
    options_release(&options);
    accept(&options, "-nographic -serial file:x -serial none");
    assert_int_equal(options.serials->len, 2);
    assert_string_equal(g_ptr_array_index(options.serials, 0), "file:x");
    options_release(&options);
    accept(&options, "-nodefaults");
    assert_int_equal(options.serials->len, 0);
    options_release(&options);
    refuse("-serial null -serial null -serial null -serial null -serial null", "4 serial ports");
}

static void boot_needs_a_kernel_for_its_arguments(void **state)
{
    refuse("-append x", "-kernel");
    refuse("-initrd x", "-kernel");
}

static void memory_backends_become_ram_options(void **state)
{
    Options options;

    accept(&options, "-object memory-backend-file,id=r,size=64M,mem-path=/x,share=on,prealloc=on -machine memory-backend=r");
    assert_int_equal(options.ram.size, 64 * MIB);
    assert_string_equal(options.ram.path, "/x");
    assert_true(options.ram.share);
    assert_true(options.ram.prealloc);
    assert_true(options.ram.dump);
    options_release(&options);
    accept(&options, "-m 64 -object memory-backend-memfd,id=r,size=64M,hugetlb=on,seal=off,dump=off -machine memory-backend=r");
    assert_null(options.ram.path);
    assert_int_equal(options.ram.hugepage_size, 2 * MIB);
    assert_false(options.ram.seal);
    assert_false(options.ram.dump);
    options_release(&options);
    accept(&options, "-mem-path /x -mem-prealloc");
    assert_string_equal(options.ram.path, "/x");
    assert_true(options.ram.prealloc);
    options_release(&options);
}

static void json_means_the_same_as_key_value(void **state)
{
    Options options;

    accept(&options, "-object {\"qom-type\":\"memory-backend-ram\",\"id\":\"r\",\"size\":67108864,\"prealloc\":true} "
                     "-machine memory-backend=r");
    assert_int_equal(options.ram.size, 64 * MIB);
    assert_true(options.ram.prealloc);
    options_release(&options);
}

static void wrong_memory_backends_are_refused(void **state)
{
#define USE " -machine memory-backend=r"
    refuse("-object memory-backend-ram,id=r,size=64M", "nothing uses 'r'");
    refuse("-object memory-backend-ram,id=r" USE, "size=");
    refuse("-object memory-backend-ram,id=r,size=1M,id=r,sise=2" USE, "'sise'; did you mean 'size'?");
    refuse("-object memory-backend-ram,size=64M" USE, "id=");
    refuse("-object memory-backend-file,id=r,size=64M" USE, "mem-path=");
    refuse("-object memory-backend-ram,id=r,size=64M,hugetlb=on" USE, "'hugetlb'");
    refuse("-object memory-backend-memfd,id=r,size=64M,hugetlbsize=2M" USE, "hugetlb=on");
    refuse("-object memory-backend-memfd,id=r,size=64M,hugetlb=on,hugetlbsize=3M" USE, "hugetlbsize=");
    refuse("-object memory-backend-ram,id=r,size=64M -object memory-backend-ram,id=r,size=64M" USE, "used twice");
    refuse("-m 32 -object memory-backend-ram,id=r,size=64M" USE, "'r'");
    refuse("-mem-prealloc -object memory-backend-ram,id=r,size=64M" USE, "-mem-prealloc");
    refuse("-machine memory-backend=r", "memory-backend=r");
    refuse("-object memory-bakend-ram,id=r" USE, "'memory-backend-ram'");
    refuse("-object id=r", "type is missing");
#undef USE
}

static void devices_are_known_and_addable(void **state)
{
    Options options;

    accept(&options, "-device isa-serial,index=1 -device {\"driver\":\"isa-debugcon\"}");
    assert_int_equal(options.devices->len, 2);
    options_release(&options);
    refuse("-device isa-sereal", "'isa-serial'");
    refuse("-device id=x", "name is missing");
    for (unsigned i = 0; device_types[i]; i++) {
        if (!device_types[i]->user_creatable) {
            g_autofree char *line = g_strconcat("-device ", device_types[i]->name, NULL);
            refuse(line, "part of the board");
        }
    }
}

static void what_is_not_there_can_only_be_none(void **state)
{
    Options options;

    accept(&options, "-display none -vga none -net none -monitor none");
    assert_int_equal(options.monitors->len, 0);
    options_release(&options);
    refuse("-display gtk", "'gtk'");
}

static void check_monitors(const char *args, unsigned humans, unsigned tools)
{
    Options options;

    accept(&options, args);
    for (guint i = 0; i < options.monitors->len; i++) {
        const MonitorOptions *monitor = g_ptr_array_index(options.monitors, i);
        humans -= monitor->mode == MONITOR_HUMAN;
        tools -= monitor->mode == MONITOR_QMP;
    }
    assert_int_equal(humans, 0);
    assert_int_equal(tools, 0);
    options_release(&options);
}

static void monitors_are_those_asked_for_and_those_of_shared_terminals(void **state)
{
    check_monitors("-serial stdio", 0, 0);
    check_monitors("-nographic", 1, 0);
    check_monitors("-nographic -monitor none", 0, 0);
    check_monitors("-nographic -monitor null", 1, 0);
    check_monitors("-nographic -qmp null -qmp-pretty null", 1, 2);
    check_monitors("-serial mon:stdio -monitor null", 2, 0);
    check_monitors("-chardev null,id=c -mon c -mon chardev=c,mode=control,pretty=on", 1, 1);
    refuse("-mon mode=control", "chardev= is missing");
    refuse("-mon c,mode=tree", "mode=tree");
    refuse("-mon c,pretty=on", "mode=control");
    refuse("-mon c,mode=control,prety=on", "'prety'");
}

static void names_have_parts(void **state)
{
    Options options;

    accept(&options, "-name box,process=box-vm,debug-threads=on");
    assert_string_equal(options.name, "box");
    assert_string_equal(options.process_name, "box-vm");
    options_release(&options);
    refuse("-name box,proces=x", "'process'");
}

static void rtc_is_merged_and_checked(void **state)
{
    Options options;

    accept(&options, "-rtc base=utc -rtc clock=vm,driftfix=none");
    assert_string_equal(keyval_get(options.rtc, "base"), "utc");
    assert_string_equal(keyval_get(options.rtc, "clock"), "vm");
    options_release(&options);
    refuse("-rtc bas=utc", "'base'");
    refuse("-rtc driftfix=slew", "slew");
}

/* -help is made of the table: every option is in it, and each says what it is. */
static void every_option_has_help(void **state)
{
    for (const OptionSpec *spec = option_table; spec->name; spec++) {
        assert_non_null(spec->help);
        assert_non_null(spec->handle);
        assert_true(*spec->help);
        assert_true(spec->group < GROUP_COUNT);
        for (const OptionSpec *other = spec + 1; other->name; other++)
            assert_string_not_equal(spec->name, other->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_qemus),
        cmocka_unit_test(one_dash_or_two),
        cmocka_unit_test(versions_of_the_board_are_the_board),
        cmocka_unit_test(older_names_set_the_board),
        cmocka_unit_test(a_uuid_is_sixteen_bytes_in_groups),
        cmocka_unit_test(actions_add_up),
        cmocka_unit_test(globals_are_checked_when_given),
        cmocka_unit_test(messages_and_names),
        cmocka_unit_test(unknown_options_name_the_nearest),
        cmocka_unit_test(memory_takes_mib_and_suffixes),
        cmocka_unit_test(smp_fills_in_what_is_missing),
        cmocka_unit_test(inconsistent_smp_is_refused),
        cmocka_unit_test(machine_options_are_merged),
        cmocka_unit_test(accelerators_keep_their_order),
        cmocka_unit_test(qtest_is_its_own_accelerator),
        cmocka_unit_test(nographic_puts_the_first_serial_on_the_terminal),
        cmocka_unit_test(boot_needs_a_kernel_for_its_arguments),
        cmocka_unit_test(memory_backends_become_ram_options),
        cmocka_unit_test(json_means_the_same_as_key_value),
        cmocka_unit_test(wrong_memory_backends_are_refused),
        cmocka_unit_test(devices_are_known_and_addable),
        cmocka_unit_test(what_is_not_there_can_only_be_none),
        cmocka_unit_test(monitors_are_those_asked_for_and_those_of_shared_terminals),
        cmocka_unit_test(names_have_parts),
        cmocka_unit_test(rtc_is_merged_and_checked),
        cmocka_unit_test(every_option_has_help),
    };

    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
