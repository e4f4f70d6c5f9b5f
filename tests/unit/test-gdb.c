/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gdb stub from its socket: a debugger that says exactly what the test wants, and a guest whose
 * CPUs add one to RIP for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/bits.h"
#include "core/lock.h"
#include "core/thread.h"
#include "debug/gdbstub.h"
#include "fake-accel.h"
#include "src/debug/gdb-packet.h"

#define RAM_SIZE MIB
#define PATIENCE_NS (100 * NS_PER_SEC)

typedef struct Bench {
    Machine *machine;
    MemoryRegion ram;
    char *path;
    Gdb *gdb;
    int fd; /* the debugger's end */
} Bench;

/* --- a guest that knows breakpoints --- */

static GArray *armed; /* of DebugPoint; changed while the vCPUs are paused */

static bool check_points(Accel *accel, const DebugPoint *points, unsigned count, GError **errp)
{
    return true;
}

static void arm_points(Accel *accel, const DebugPoint *points, unsigned count)
{
    g_array_set_size(armed, 0);
    g_array_append_vals(armed, points, count);
}

static VcpuExit count_up(Vcpu *vcpu)
{
    CpuState *registers = &fake_vcpu(vcpu)->registers;

    for (guint i = 0; i < armed->len; i++) {
        const DebugPoint *point = &g_array_index(armed, DebugPoint, i);
        if (point->addr == registers->rip && !vcpu->debug.step) {
            guest_debug_stop(vcpu, DEBUG_STOP_BREAK, point);
            return VCPU_EXIT_STOP;
        }
    }
    registers->rip++;
    if (!vcpu->debug.step)
        return VCPU_EXIT_REQUEST;
    guest_debug_stop(vcpu, DEBUG_STOP_STEP, NULL);
    return VCPU_EXIT_STOP;
}

static AccelOps ops;

/* --- the bench --- */

static int debugger_connect(Bench *b)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    g_strlcpy(addr.sun_path, b->path, sizeof(addr.sun_path));
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static int setup(void **state)
{
    Bench *b = g_new0(Bench, 1);
    g_autofree char *address = NULL;

    armed = g_array_new(FALSE, FALSE, sizeof(DebugPoint));
    ops = fake_accel_ops;
    ops.debug_check = check_points;
    ops.debug_arm = arm_points;
    b->machine = fake_machine_new(2, count_up);
    b->machine->accel->ops = &ops;
    machine_lock();
    memory_region_init_ram(&b->ram, "ram", b->machine->ram, 0, RAM_SIZE);
    memory_region_add(&b->machine->memory_root, 0, &b->ram, 0);
    for (unsigned i = 0; i < 2; i++)
        b->machine->vcpus[i]->has_long_mode = true;
    machine_unlock();
    b->path = g_strdup_printf("%s/vmm-test-gdb-%d", g_get_tmp_dir(), getpid());
    address = g_strdup_printf("unix:%s", b->path);
    b->gdb = gdbstub_new(b->machine, address, NULL);
    assert_non_null(b->gdb);
    b->fd = debugger_connect(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    Bench *b = *state;

    machine_stop(b->machine, RUN_STATE_PAUSED);
    if (b->gdb)
        gdbstub_free(b->gdb);
    assert_int_equal(access(b->path, F_OK), -1);
    close(b->fd);
    machine_lock();
    memory_region_remove(&b->ram);
    machine_unlock();
    machine_free(b->machine);
    memory_region_release(&b->ram);
    g_array_unref(armed);
    g_free(b->path);
    g_free(b);
    return 0;
}

/* One turn of the main loop, waiting for something to do. */
static void turn(void)
{
    machine_lock();
    g_main_context_iteration(NULL, TRUE);
    machine_unlock();
}

static void drain_loop(void)
{
    machine_lock();
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    machine_unlock();
}

static gboolean wake(gpointer opaque)
{
    return G_SOURCE_CONTINUE;
}

/* The next packet from the stub, or NULL when it has closed the connection. Acks are dropped. */
static char *receive_at(int fd)
{
    static GdbParser parser; /* its packets are taken whole */
    int64_t end = clock_get_ns(VMCLOCK_MONO) + PATIENCE_NS;
    guint timer = g_timeout_add(10, wake, NULL); /* the test's end of the socket is not in the loop */
    char *payload = NULL;
    char byte;
    ssize_t n;

    while (!payload && clock_get_ns(VMCLOCK_MONO) < end) {
        n = read(fd, &byte, 1);
        if (n == 0)
            break;
        if (n < 0)
            turn();
        else if (gdb_parser_feed(&parser, (uint8_t)byte) == GDB_EVENT_PACKET)
            payload = g_memdup2(parser.payload, parser.length + 1);
    }
    g_source_remove(timer);
    assert_true(clock_get_ns(VMCLOCK_MONO) < end);
    return payload;
}

static void send_raw(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t n = write(fd, bytes, length);
        if (n < 0) {
            turn();
            continue;
        }
        bytes += n;
        length -= (size_t)n;
    }
}

static void send_packet(Bench *b, const char *payload)
{
    g_autoptr(GString) packet = g_string_new(NULL);

    gdb_packet_append(packet, payload, strlen(payload));
    send_raw(b->fd, packet->str, packet->len);
}

static char *ask(Bench *b, const char *payload)
{
    send_packet(b, payload);
    return receive_at(b->fd);
}

static void expect(Bench *b, const char *payload, const char *answer)
{
    g_autofree char *got = ask(b, payload);

    assert_non_null(got);
    assert_string_equal(got, answer);
}

static void expect_next(Bench *b, const char *answer)
{
    g_autofree char *got = receive_at(b->fd);

    assert_non_null(got);
    assert_string_equal(got, answer);
}

/* --- who connects --- */

static void who_says_nothing_does_not_stop_the_guest(void **state)
{
    Bench *b = *state;

    machine_start(b->machine);
    send_raw(b->fd, "GET / HTTP/1.1\r\n\r\n\x03$g#00", 24);
    drain_loop();
    fake_wait_steps(b->machine->vcpus[0], 100);
    assert_true(machine_is_running(b->machine));
    /* What can be told without looking at the guest is. */
    expect(b, "qAttached", "1");
    expect(b, "vMustReplyEmpty", "");
    assert_true(machine_is_running(b->machine));
    expect(b, "?", "T02thread:1;");
    assert_false(machine_is_running(b->machine));
}

static void a_silent_peer_makes_way_for_a_debugger(void **state)
{
    Bench *b = *state;
    int silent = b->fd;
    char byte;

    drain_loop();
    b->fd = debugger_connect(b);
    expect(b, "qC", "QC1");
    assert_int_equal(read(silent, &byte, 1), 0);
    close(silent);
}

static void a_second_debugger_is_refused_and_told_why(void **state)
{
    Bench *b = *state;
    g_autofree char *told = NULL;
    int second;

    expect(b, "qC", "QC1");
    second = debugger_connect(b);
    told = receive_at(second);
    assert_non_null(told);
    assert_non_null(strstr(told, "another debugger is connected"));
    assert_null(receive_at(second));
    close(second);
    expect(b, "qC", "QC1");
}

/* The stub finds the old connection's last packet and end, and the new connection, at once. */
static void a_debugger_that_comes_back_at_once_is_not_refused(void **state)
{
    Bench *b = *state;

    expect(b, "qC", "QC1");
    assert_false(machine_is_running(b->machine));
    send_packet(b, "D");
    close(b->fd);
    b->fd = debugger_connect(b);
    expect(b, "qAttached", "1");
    assert_true(machine_is_running(b->machine)); /* the last packet was taken too */
}

static void a_debugger_that_vanishes_leaves_no_breakpoint(void **state)
{
    Bench *b = *state;

    expect(b, "?", "T05thread:1;");
    expect(b, "Z0,7fffffff,1", "OK");
    send_packet(b, "c");
    while (!machine_is_running(b->machine))
        turn();
    assert_int_equal(armed->len, 1);
    close(b->fd);
    while (armed->len)
        turn();
    assert_true(machine_is_running(b->machine));
    fake_wait_steps(b->machine->vcpus[0], 100);
    b->fd = debugger_connect(b);
    expect(b, "?", "T02thread:1;");
}

static void other_processes_are_refused_by_name(void **state)
{
    Bench *b = *state;
    g_autofree char *answer = ask(b, "vAttach;7");

    assert_true(g_str_has_prefix(answer, "E.cannot attach to process 7: there is one process, the VM"));
    expect(b, "Hgp2.1", "E16");
    expect(b, "Tp1.3", "E16");
    expect(b, "vAttach;1", "T05thread:1;");
}

/* --- running --- */

static void continuing_ends_at_a_breakpoint(void **state)
{
    Bench *b = *state;
    CpuState *state1 = &b->machine->vcpus[1]->state;
    g_autofree char *answer = NULL;

    answer = ask(b, "qSupported:multiprocess+;swbreak+;hwbreak+");
    assert_non_null(strstr(answer, "multiprocess+"));
    assert_non_null(strstr(answer, "PacketSize=4000"));
    expect(b, "Hgp1.2", "OK");
    vcpu_sync_state(b->machine->vcpus[1]);
    state1->rip = 0x1000000;
    vcpu_mark_dirty(b->machine->vcpus[1]);
    expect(b, "Z0,1001000,1", "OK");
    expect(b, "vCont;c:p1.-1", "T05swbreak:;thread:p1.2;");
    assert_int_equal(armed->len, 0); /* nobody sees it in the stopped guest */
    assert_int_equal(b->machine->run_state, RUN_STATE_DEBUG);
    expect(b, "p10", "0010000100000000"); /* rip */
    expect(b, "z0,1001000,1", "OK");
    expect(b, "qC", "QCp1.2");
}

static void a_step_moves_one_cpu_alone(void **state)
{
    Bench *b = *state;
    uint64_t before;

    expect(b, "?", "T05thread:1;");
    before = fake_steps(b->machine->vcpus[0]);
    expect(b, "vCont;s:2", "T05thread:2;");
    assert_int_equal(fake_steps(b->machine->vcpus[0]), before);
    /* The other one may run meanwhile, if the debugger wants that. */
    expect(b, "vCont;s:2;c", "T05thread:2;");
    expect(b, "vCont;t:2", "E16"); /* nobody would run */
    expect(b, "vCont;x", "E16");
    expect(b, "vCont;s:3", "E16");
}

static void a_range_is_stepped_through_without_a_word(void **state)
{
    Bench *b = *state;
    Vcpu *vcpu = b->machine->vcpus[0];

    expect(b, "?", "T05thread:1;");
    vcpu_sync_state(vcpu);
    vcpu->state.rip = 0x2000;
    vcpu_mark_dirty(vcpu);
    expect(b, "vCont;r2000,2020:1", "T05thread:1;");
    vcpu_sync_state(vcpu);
    assert_int_equal(vcpu->state.rip, 0x2020);
}

static void control_c_stops_what_runs(void **state)
{
    Bench *b = *state;

    expect(b, "?", "T05thread:1;");
    send_packet(b, "c");
    while (!machine_is_running(b->machine))
        turn();
    send_raw(b->fd, "\x03", 1);
    expect_next(b, "T02thread:1;");
    assert_int_equal(b->machine->run_state, RUN_STATE_PAUSED);
}

/* E.9: "Interrupts received while the program is stopped are queued". */
static void control_c_ahead_of_the_resumption_stops_it(void **state)
{
    Bench *b = *state;

    expect(b, "?", "T05thread:1;");
    send_raw(b->fd, "\x03", 1);
    expect(b, "qC", "QC1");
    expect(b, "vCont;c", "T02thread:1;");
    assert_int_equal(b->machine->run_state, RUN_STATE_PAUSED);
    /* Once. */
    send_packet(b, "c");
    while (!machine_is_running(b->machine))
        turn();
    drain_loop();
    fake_wait_steps(b->machine->vcpus[0], 100);
    assert_true(machine_is_running(b->machine));
}

static void the_end_of_the_vm_is_reported(void **state)
{
    Bench *b = *state;

    expect(b, "?", "T05thread:1;");
    send_packet(b, "c");
    while (!machine_is_running(b->machine))
        turn();
    machine_stop(b->machine, RUN_STATE_SHUTDOWN);
    b->machine->exit_status = 3;
    gdbstub_free(b->gdb);
    b->gdb = NULL;
    expect_next(b, "W03");
    assert_null(receive_at(b->fd));
}

static void detaching_lets_the_vm_run(void **state)
{
    Bench *b = *state;

    expect(b, "?", "T05thread:1;");
    expect(b, "Z0,ffffffff,1", "OK");
    expect(b, "D;1", "OK");
    assert_true(machine_is_running(b->machine));
    assert_int_equal(armed->len, 0);
    expect(b, "qfThreadInfo", "m1,2");
    expect(b, "qsThreadInfo", "l");
    assert_true(machine_is_running(b->machine));
    expect(b, "vAttach;1", "T02thread:1;");
}

/* --- registers and memory --- */

static void registers_are_written_as_they_are_read(void **state)
{
    Bench *b = *state;
    g_autofree char *all = ask(b, "g"), *again = NULL, *write = g_strconcat("G", all, NULL);

    expect(b, write, "OK");
    again = ask(b, "g");
    assert_string_equal(again, all);
    expect(b, "P0=efcdab8967452301", "OK");
    expect(b, "p0", "efcdab8967452301");
    expect(b, "P0=efcdab89674523", "E16");
    expect(b, "pffff", "E16");
    expect(b, "G00", "E16");
}

static void a_mode_no_cpu_can_be_in_is_refused(void **state)
{
    Bench *b = *state;
    g_autofree char *xml = ask(b, "qXfer:features:read:target.xml:0,1fff"), *answer = NULL, *packet = NULL;
    const char *at = strstr(xml, "<reg name=\"cr0\"");
    unsigned number = 0;

    assert_non_null(at);
    for (const char *p = xml; (p = strstr(p, "<reg ")) != at; p++)
        number++;
    packet = g_strdup_printf("P%x=0000008000000000", number); /* PG without PE */
    answer = ask(b, packet);
    assert_true(g_str_has_prefix(answer, "E.the CPU cannot have"));
}

static void the_description_comes_in_parts_and_can_be_of_i386(void **state)
{
    Bench *b = *state;
    g_autoptr(GString) xml = g_string_new(NULL);
    bool more = true;

    expect(b, "qRcmd,617263682069333836", /* arch i386 */
           "O6e6f772027756e7365742074646573632066696c656e616d6527206d616b65732067646220726561642074686520726567697374"
           "65727327206465736372697074696f6e20616761696e0a");
    expect_next(b, "OK");
    while (more) {
        g_autofree char *packet = g_strdup_printf("qXfer:features:read:target.xml:%zx,100", xml->len);
        g_autofree char *part = ask(b, packet);
        more = part[0] == 'm';
        g_string_append(xml, part + 1);
    }
    assert_non_null(strstr(xml->str, "<architecture>i386</architecture>"));
    assert_non_null(strstr(xml->str, "\"eip\""));
    assert_true(g_str_has_suffix(xml->str, "</target>\n"));
    expect(b, "qXfer:features:read:target.xml:fffff,100", "E16");
    expect(b, "qXfer:features:read:other.xml:0,100", "E00");
}

static void memory_is_read_and_written_and_ends_somewhere(void **state)
{
    Bench *b = *state;

    expect(b, "?", "T05thread:1;");
    expect(b, "M1000,4:01020304", "OK");
    expect(b, "m1000,4", "01020304");
    expect(b, "X1000,2:#$", "OK"); /* sent escaped */
    expect(b, "m1000,4", "23240304");
    expect(b, "mffffe,4", "0000"); /* the last two bytes of RAM */
    expect(b, "m100000,4", "E0e");
    expect(b, "Mfffff,2:0102", "E0e");
    expect(b, "M1000,4:0102", "E16");
    expect(b, "Mffffffffffffffff,ffffffffffffffff:00", "E16");
    expect(b, "mfffffffffffffffe,8", "E0e");
    expect(b, "Qqemu.PhyMemMode:1", "OK");
    expect(b, "qqemu.PhyMemMode", "1");
    expect(b, "m1000,2", "2324");
    expect(b, "mfffffffffffffffe,8", "E0e");
}

static void threads_have_names(void **state)
{
    Bench *b = *state;

    b->machine->vcpus[1]->state.mp_state = MP_INIT_RECEIVED;
    vcpu_mark_dirty(b->machine->vcpus[1]);
    expect(b, "qThreadExtraInfo,1", "4350552330205b72756e6e696e675d"); /* CPU#0 [running] */
    expect(b, "qThreadExtraInfo,2", "4350552331205b68616c7465645d");
    expect(b, "T2", "OK");
}

/* --- hostile peers --- */

static void steps_flags_are_checked(void **state)
{
    Bench *b = *state;

    expect(b, "qqemu.sstepbits", "ENABLE=1,NOIRQ=2,NOTIMER=4");
    expect(b, "qqemu.sstep", "0x7");
    expect(b, "Qqemu.sstep=5", "OK");
    expect(b, "qqemu.sstep", "0x5");
    expect(b, "Qqemu.sstep=8", "E16");
}

static void malformed_packets_get_an_error(void **state)
{
    static const char *const packets[] = {
        "Z", "Z0", "Z0,", "Z0,1", "Z0,1,", "Z5,1,1", "Z2,0,0", "Z2,ffffffffffffffff,2", "Z2,0,ffffffffffffffff",
        "z9", "m", "m,", "m1", "m1,", "M1", "X1,1", "X1,1:", "H", "Hx1", "Hg", "Hgp", "Hg99999999999999999999", "T",
        "Tx", "p", "px", "P0", "P0=", "G0", "C", "Cx", "Sg", "cx", "vCont", "vCont;", "vCont;r", "vCont;r1", "vCont;s:",
        "qThreadExtraInfo", "qThreadExtraInfo,", "qRcmd", "qRcmd,0", "qRcmd,zz", "Qqemu.sstep", "D;x", "vAttach;",
        "vKill;x", "Qqemu.PhyMemMode", "qXfer:features:read:target.xml:", "qXfer:features:read:",
    };
    Bench *b = *state;

    expect(b, "?", "T05thread:1;");
    for (unsigned i = 0; i < G_N_ELEMENTS(packets); i++) {
        g_autofree char *answer = ask(b, packets[i]);
        if (strcmp(packets[i], "qRcmd,0") == 0) { /* an empty command line does nothing */
            assert_string_equal(answer, "OK");
            continue;
        }
        if (answer[0] != 'E')
            fail_msg("%s was answered %s", packets[i], answer);
    }
    assert_int_equal(b->machine->run_state, RUN_STATE_PRELAUNCH);
}

static void breakpoints_are_bounded(void **state)
{
    Bench *b = *state;
    g_autofree char *answer = NULL;

    for (unsigned i = 0; i < 1024; i++) {
        g_autofree char *packet = g_strdup_printf("Z0,%x,1", i);
        expect(b, packet, "OK");
    }
    expect(b, "Z0,5,1", "OK"); /* again */
    answer = ask(b, "Z0,400,1");
    assert_true(g_str_has_prefix(answer, "E.there are 1024"));
    expect(b, "z0,5,1", "OK");
    expect(b, "z0,5,1", "OK");
    expect(b, "Z0,400,1", "OK");
}

/* A peer that asks and asks and does not read gets no more than fits, and all of it when it reads. */
static void a_peer_that_does_not_read_costs_no_memory(void **state)
{
    enum { QUESTIONS = 2000 };
    static const char question[] = "$m0,2000#8b";
    Bench *b = *state;
    unsigned answers = 0, sent = 0;

    expect(b, "QStartNoAckMode", "OK");
    while (sent < QUESTIONS) {
        ssize_t n = write(b->fd, question, sizeof(question) - 1);
        if (n != sizeof(question) - 1)
            break;
        sent++;
        drain_loop();
    }
    assert_true(sent > 100 && sent < QUESTIONS); /* it was made to wait */
    drain_loop();
    while (answers < sent) {
        g_autofree char *answer = receive_at(b->fd);
        assert_int_equal(strlen(answer), 0x4000);
        answers++;
    }
    expect(b, "qC", "QC1");
}

static void a_lost_answer_is_sent_again(void **state)
{
    Bench *b = *state;

    expect(b, "qC", "QC1");
    send_raw(b->fd, "-", 1);
    expect_next(b, "QC1");
    expect(b, "QStartNoAckMode", "OK");
    send_raw(b->fd, "-", 1);
    expect(b, "qAttached", "1");
}

/* --- addresses --- */

static void check_refused(Bench *b, const char *address, const char *mention)
{
    g_autoptr(GError) err = NULL;

    assert_null(gdbstub_new(b->machine, address, &err));
    assert_non_null(err);
    if (!strstr(err->message, mention))
        fail_msg("%s: %s", address, err->message);
}

static void bad_addresses_are_refused_with_the_reason(void **state)
{
    Bench *b = *state;
    g_autofree char *same = g_strdup_printf("unix:%s", b->path);
    g_autofree char *dir = g_strdup_printf("unix:%s", g_get_tmp_dir());
    g_autofree char *longest = g_strnfill(200, 'x'), *long_address = g_strconcat("unix:/tmp/", longest, NULL);

    check_refused(b, same, "another program listens there");
    check_refused(b, dir, "is not a socket");
    check_refused(b, long_address, "a path of 1 to 107 bytes");
    check_refused(b, "unix:/nonexistent/gdb", "No such file or directory");
    check_refused(b, "unix:", "a path of");
    check_refused(b, "tcp::", "from 1 to 65535");
    check_refused(b, "tcp:1234", "a port from 1 to 65535");
    check_refused(b, "tcp::0", "from 1 to 65535");
    check_refused(b, "tcp::65536", "from 1 to 65535");
    check_refused(b, "tcp::1234,wait=on", "'wait=on' is not known");
    check_refused(b, "tcp:no such host:1234", "host=no such host: there is no such host");
    check_refused(b, "1234", "an address is tcp:[HOST]:PORT");
    check_refused(b, "", "an address is tcp:[HOST]:PORT");
}

static void a_socket_left_behind_is_taken_over(void **state)
{
    Bench *b = *state;
    g_autofree char *path = g_strconcat(b->path, "-stale", NULL), *address = g_strconcat("unix:", path, NULL);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct stat st;
    Gdb *second;

    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    close(fd);
    second = gdbstub_new(b->machine, address, NULL);
    assert_non_null(second);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 077, 0); /* it is its owner's */
    gdbstub_free(second);
    assert_int_equal(access(path, F_OK), -1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(who_says_nothing_does_not_stop_the_guest),
        CASE(a_silent_peer_makes_way_for_a_debugger),
        CASE(a_second_debugger_is_refused_and_told_why),
        CASE(a_debugger_that_comes_back_at_once_is_not_refused),
        CASE(a_debugger_that_vanishes_leaves_no_breakpoint),
        CASE(other_processes_are_refused_by_name),
        CASE(continuing_ends_at_a_breakpoint),
        CASE(a_step_moves_one_cpu_alone),
        CASE(a_range_is_stepped_through_without_a_word),
        CASE(control_c_stops_what_runs),
        CASE(control_c_ahead_of_the_resumption_stops_it),
        CASE(the_end_of_the_vm_is_reported),
        CASE(detaching_lets_the_vm_run),
        CASE(registers_are_written_as_they_are_read),
        CASE(a_mode_no_cpu_can_be_in_is_refused),
        CASE(the_description_comes_in_parts_and_can_be_of_i386),
        CASE(memory_is_read_and_written_and_ends_somewhere),
        CASE(threads_have_names),
        CASE(steps_flags_are_checked),
        CASE(malformed_packets_get_an_error),
        CASE(breakpoints_are_bounded),
        CASE(a_peer_that_does_not_read_costs_no_memory),
        CASE(a_lost_answer_is_sent_again),
        CASE(bad_addresses_are_refused_with_the_reason),
        CASE(a_socket_left_behind_is_taken_over),
    };

    signal(SIGPIPE, SIG_IGN);
    core_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
