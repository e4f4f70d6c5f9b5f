/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options as configuration files (src/config/config-file.h): what is read, which line is blamed, and
 * that what is written reads back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "core/bits.h"
#include "core/thread.h"
#include "src/config/config-file.h"

static void read_text(Options *options, const char *text)
{
    g_autoptr(GError) err = NULL;

    options_init(options);
    if (!config_file_parse(options, text, "f", &err))
        fail_msg("'%s' was refused: %s", text, err->message);
}

/* The error of reading or resolving the text. */
static void refuse(const char *text, const char *where, const char *mention)
{
    g_autoptr(GError) err = NULL;
    Options options;

    options_init(&options);
    if (config_file_parse(&options, text, "f", &err)) {
        assert_false(options_resolve(&options, &err));
        options_locate(&options, &err);
        assert_true(g_str_has_prefix(err->message, "-readconfig f: "));
    }
    if (!strstr(err->message, where) || !strstr(err->message, mention))
        fail_msg("'%s' does not mention '%s' and '%s'", err->message, where, mention);
    assert_null(strchr(err->message, '\n'));
    options_release(&options);
}

static void sections_are_options(void **state)
{
    g_autoptr(GError) err = NULL;
    Options options;

    read_text(&options, "# QEMU's form\n"
                        "[memory]\n  size = \"64M\"\n"
                        "[smp-opts]\n  cpus = \"4\"\n  threads = \"2\"\n\n"
                        "[machine]\n  type = \"pc\"\n  accel = \"dbt\"\n  kernel = \"vmlinuz\"\n"
                        "[device \"exit\"]\n  driver = \"isa-debug-exit\"\n  iobase = \"0xf4\"\n"
                        "[chardev \"c\"]\n  backend = \"null\"\n"
                        "[object \"r\"]\n\tqom-type=\"rng-random\"\n");
    assert_true(options_resolve(&options, &err));
    assert_int_equal(options.ram.size, 64 * MIB);
    assert_int_equal(options.topology.threads, 2);
    assert_string_equal(options.boot.kernel, "vmlinuz");
    assert_string_equal(g_ptr_array_index(options.accels, 0), "dbt");
    assert_string_equal(keyval_get(g_ptr_array_index(options.devices, 0), "id"), "exit");
    assert_string_equal(keyval_get(g_ptr_array_index(options.chardevs, 0), "backend"), "null");
    assert_string_equal(((Object *)g_ptr_array_index(options.objects, 0))->id, "r");
    options_release(&options);
}

static void lines_of_vmm_are_options_too(void **state)
{
    Options options;

    read_text(&options, "[vmm]\nkernel = \"a, b\"\nno-reboot = \"on\"\nS = \"off\"\nappend = \"x=\"y\" z\"\n"
                        "serial = \"null\"\nserial = \"none\"\n");
    assert_string_equal(options.boot.kernel, "a, b");
    assert_string_equal(options.boot.append, "x=\"y\" z");
    assert_true(options.no_reboot);
    assert_false(options.stopped);
    assert_int_equal(options.serials->len, 2);
    options_release(&options);
}

static void commas_belong_to_values(void **state)
{
    Options options;

    read_text(&options, "[name]\nguest = \"a,process=b\"\n");
    assert_string_equal(options.name, "a,process=b");
    assert_null(options.process_name);
    options_release(&options);
}

static void errors_have_the_line(void **state)
{
    refuse("\n\n[memory\n", "line 3:", "bracket");
    refuse("[memroy]\n", "line 1:", "did you mean 'memory'");
    refuse("[memory]\n\n# c\nsize = 64M\n", "line 4:", "key = \"value\"");
    refuse("[memory]\nsize\n", "line 2:", "'size'");
    refuse("size = \"64M\"\n", "line 1:", "before the first");
    refuse("[device \"x]\n", "line 1:", "[name \"id\"]");
    refuse("[ \"x\"]\n", "line 1:", "[name \"id\"]");
    refuse("[]\n", "line 1:", "[name");
    refuse("[vmm \"x\"]\n", "line 1:", "no id");
    refuse("[vmm]\nkernle = \"k\"\n", "line 2:", "did you mean '-kernel'");
    refuse("[vmm]\nno-reboot = \"maybe\"\n", "line 2:", "no-reboot");
    refuse("[vmm]\nreadconfig = \"f\"\n", "line 2:", "command line");
    refuse("[memory]\na,b = \"1\"\n", "line 2:", "'a,b'");
}

static void an_option_refused_is_blamed_on_its_line(void **state)
{
    static const char head[] = "# 1\n[name]\n  guest = \"g\"\n\n";

    g_autofree char *value = g_strconcat(head, "[device \"d\"]\n  driver = \"isa-serial\"\n  id = \"a\"\n"
                                               "[object \"o\"]\n  qom-type = \"iothread\"\n  poll-grow = \"lots\"\n", NULL);
    refuse(value, "line 10:", "'lots'");
    g_autofree char *key = g_strconcat(head, "[rtc]\n  base = \"utc\"\n  clocj = \"vm\"\n", NULL);
    refuse(key, "line 7:", "did you mean 'clock'");
    g_autofree char *driver = g_strconcat(head, "[device \"d\"]\n  driver = \"isa-sereal\"\n[msg]\n", NULL);
    refuse(driver, "line 6:", "'isa-serial'");
    g_autofree char *whole = g_strconcat(head, "[device \"d\"]\n  iobase = \"1\"\n", NULL);
    refuse(whole, "line 5:", "name is missing");
}

static void what_is_found_later_is_blamed_on_its_line_too(void **state)
{
    refuse("[name]\nguest = \"g\"\n[memory]\nsize = \"lots\"\n", "line 4:", "'lots'");
    refuse("[smp-opts]\ncpus = \"2\"\nmaxcpus = \"1\"\n", "line ", "maxcpus=1");
    refuse("[machine]\naccel = \"dbt\"\ntype = \"q35\"\n", "line 3:", "'q35'");
}

static void assert_round_trip(int argc, const char *const *argv)
{
    g_autoptr(GString) first = g_string_new(NULL), second = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    Options options, again;

    options_init(&options);
    if (options_parse(&options, argc, (char *const *)argv, &err) != OPTIONS_RUN || !config_file_print(&options, first, &err))
        fail_msg("%s", err->message);
    read_text(&again, first->str);
    assert_int_equal(options.given->len, again.given->len);
    assert_true(config_file_print(&again, second, &err));
    assert_string_equal(first->str, second->str);
    options_release(&options);
    options_release(&again);
}

static void what_is_written_reads_back(void **state)
{
    static const char *const argv[] = {
        "vmm", "-machine", "pc,accel=dbt", "-M", "acpi=off", "-accel", "kvm,kernel-irqchip=split", "-cpu", "max,-avx2",
        "-smp", "4,threads=2", "-m", "1G", "-name", "a,,b,process=p", "-chardev", "file,id=c0,path=/a \"b\" = c",
        "-device", "{\"driver\":\"isa-serial\",\"index\":1,\"id\":\"s\"}", "-object", "rng-builtin,id=r", "-serial", "null",
        "-kernel", "vm linuz", "-append", "root=/dev/vda1 quote=\"x\"", "-no-reboot", "-nodefaults", "-S", "-global",
        "isa-serial.index=2", "-action", "panic=none", "-rtc", "base=utc,clock=vm", "-d", "int,mmu", "-s", NULL,
    };

    assert_round_trip((int)G_N_ELEMENTS(argv) - 1, argv);
}

static void what_no_file_holds_is_not_written(void **state)
{
    static const char *const line_end[] = {"vmm", "-append", "a\nb", NULL};
    static const char *const secret[] = {"vmm", "-object", "secret,id=s,data=hush", NULL};
    const char *const *cases[] = {line_end, secret};

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) out = g_string_new(NULL);
        g_autoptr(GError) err = NULL;
        Options options;
        options_init(&options);
        assert_int_equal(options_parse(&options, 3, (char *const *)cases[i], &err), OPTIONS_RUN);
        assert_false(config_file_print(&options, out, &err));
        assert_null(strstr(err->message, "hush"));
        options_release(&options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_are_options),
        cmocka_unit_test(lines_of_vmm_are_options_too),
        cmocka_unit_test(commas_belong_to_values),
        cmocka_unit_test(errors_have_the_line),
        cmocka_unit_test(an_option_refused_is_blamed_on_its_line),
        cmocka_unit_test(what_is_found_later_is_blamed_on_its_line_too),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(what_no_file_holds_is_not_written),
    };

    core_init();
    return cmocka_run_group_tests_name("config-file", tests, NULL, NULL);
}
