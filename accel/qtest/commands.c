/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of accel/qtest.h. Each is a row of the table at the end: its name, how many words it
 * has, and what it does; most functions serve several names and look at the last letter for the size.
 *
 * Locking: the main loop, machine_lock held.
 */
#include <stdlib.h>
#include <string.h>

#include "core/bits.h"
#include "core/loop.h"
#include "core/machine.h"
#include "qtest-internal.h"

#define MAX_WORDS 6

typedef struct Command {
    const char *name;
    unsigned min_words, max_words; /* the name counts */
    void (*run)(Qtest *qtest, char **words);
} Command;

static bool parse_number(Qtest *qtest, const char *word, uint64_t *value)
{
    char *end;

    *value = strtoull(word, &end, 0);
    if (end != word && *end == '\0')
        return true;
    qtest_answer(qtest, "FAIL '%s' is not a number", word);
    return false;
}

static unsigned size_of_command(const char *name)
{
    switch (name[strlen(name) - 1]) {
    case 'b':
        return 1;
    case 'w':
        return 2;
    case 'l':
        return 4;
    default:
        return 8;
    }
}

/* --- Single accesses --- */

static void command_in(Qtest *qtest, char **words)
{
    uint64_t port, value;

    if (!parse_number(qtest, words[1], &port))
        return;
    address_space_load(&qtest->machine->io, port & (IO_SPACE_SIZE - 1), size_of_command(words[0]), &value);
    qtest_answer(qtest, "OK 0x%04" G_GINT64_MODIFIER "x", value);
}

static void command_out(Qtest *qtest, char **words)
{
    uint64_t port, value;

    if (!parse_number(qtest, words[1], &port) || !parse_number(qtest, words[2], &value))
        return;
    address_space_store(&qtest->machine->io, port & (IO_SPACE_SIZE - 1), size_of_command(words[0]), value);
    qtest_answer(qtest, "OK");
}

static void command_read_value(Qtest *qtest, char **words)
{
    uint64_t addr, value;

    if (!parse_number(qtest, words[1], &addr))
        return;
    address_space_load(&qtest->machine->memory, addr, size_of_command(words[0]), &value);
    qtest_answer(qtest, "OK 0x%016" G_GINT64_MODIFIER "x", value);
}

static void command_write_value(Qtest *qtest, char **words)
{
    uint64_t addr, value;

    if (!parse_number(qtest, words[1], &addr) || !parse_number(qtest, words[2], &value))
        return;
    address_space_store(&qtest->machine->memory, addr, size_of_command(words[0]), value);
    qtest_answer(qtest, "OK");
}

/* --- Blocks --- */

static bool parse_range(Qtest *qtest, char **words, uint64_t *addr, uint64_t *size)
{
    if (!parse_number(qtest, words[1], addr) || !parse_number(qtest, words[2], size))
        return false;
    if (*size && *size <= QTEST_MAX_SIZE && range_ok(*addr, *size, MEMORY_SPACE_SIZE))
        return true;
    qtest_answer(qtest, "FAIL a block has 1 to %d bytes inside the address space", QTEST_MAX_SIZE);
    return false;
}

static void command_read(Qtest *qtest, char **words)
{
    g_autofree uint8_t *buf = NULL;
    g_autoptr(GString) hex = g_string_new(NULL);
    uint64_t addr, size;

    if (!parse_range(qtest, words, &addr, &size))
        return;
    buf = g_malloc0(size);
    address_space_read(&qtest->machine->memory, addr, buf, size);
    for (uint64_t i = 0; i < size; i++)
        g_string_append_printf(hex, "%02x", buf[i]);
    qtest_answer(qtest, "OK 0x%s", hex->str);
}

/* As QEMU: what the digits do not reach is written as zero. */
static void command_write(Qtest *qtest, char **words)
{
    g_autofree uint8_t *buf = NULL;
    uint64_t addr, size;
    const char *hex = words[3] + (g_str_has_prefix(words[3], "0x") ? 2 : 0);

    if (!parse_range(qtest, words, &addr, &size))
        return;
    buf = g_malloc0(size);
    for (uint64_t i = 0; i < size && g_ascii_isxdigit(hex[0]) && g_ascii_isxdigit(hex[1]); i++, hex += 2)
        buf[i] = g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]);
    address_space_write(&qtest->machine->memory, addr, buf, size);
    qtest_answer(qtest, "OK");
}

static void command_memset(Qtest *qtest, char **words)
{
    g_autofree uint8_t *buf = NULL;
    uint64_t addr, size, byte;

    if (!parse_range(qtest, words, &addr, &size) || !parse_number(qtest, words[3], &byte))
        return;
    buf = g_malloc(size);
    memset(buf, byte, size);
    address_space_write(&qtest->machine->memory, addr, buf, size);
    qtest_answer(qtest, "OK");
}

static void command_b64read(Qtest *qtest, char **words)
{
    g_autofree uint8_t *buf = NULL;
    g_autofree char *text = NULL;
    uint64_t addr, size;

    if (!parse_range(qtest, words, &addr, &size))
        return;
    buf = g_malloc0(size);
    address_space_read(&qtest->machine->memory, addr, buf, size);
    text = g_base64_encode(buf, size);
    qtest_answer(qtest, "OK %s", text);
}

static void command_b64write(Qtest *qtest, char **words)
{
    g_autofree uint8_t *data = NULL;
    uint64_t addr, size;
    gsize len;

    if (!parse_range(qtest, words, &addr, &size))
        return;
    data = g_base64_decode(words[3], &len);
    address_space_write(&qtest->machine->memory, addr, data, MIN(len, size));
    qtest_answer(qtest, "OK");
}

/* --- Time --- */

static void step_to(Qtest *qtest, int64_t ns)
{
    if (ns > clock_get_ns(VMCLOCK_VIRTUAL))
        clock_step_to(ns);
    qtest_answer(qtest, "OK %" G_GINT64_FORMAT, clock_get_ns(VMCLOCK_VIRTUAL));
}

static void command_clock_step(Qtest *qtest, char **words)
{
    int64_t now = clock_get_ns(VMCLOCK_VIRTUAL);
    uint64_t ns;

    if (!words[1])
        step_to(qtest, clock_next_deadline_ns());
    else if (parse_number(qtest, words[1], &ns))
        step_to(qtest, now + MIN(ns, (uint64_t)(G_MAXINT64 - now)));
}

static void command_clock_set(Qtest *qtest, char **words)
{
    uint64_t ns;

    if (parse_number(qtest, words[1], &ns))
        step_to(qtest, MIN(ns, (uint64_t)G_MAXINT64));
}

/* --- Interrupt lines --- */

static void command_intercept_in(Qtest *qtest, char **words)
{
    qtest->machine->gsi_watch = (Irq){.handler = qtest_irq, .opaque = qtest};
    qtest_answer(qtest, "OK");
}

static Device *find_device(Machine *machine, const char *name)
{
    for (guint i = 0; i < machine->devices->len; i++) {
        Device *dev = g_ptr_array_index(machine->devices, i);

        if (g_strcmp0(dev->id, name) == 0 || g_str_equal(dev->type->name, name))
            return dev;
    }
    return NULL;
}

static void command_intercept_out(Qtest *qtest, char **words)
{
    Device *dev = find_device(qtest->machine, words[1]);

    if (!dev || !dev->type->wires) {
        qtest_answer(qtest, "FAIL no device '%s' with interrupt outputs", words[1]);
        return;
    }
    for (int i = 0; dev->type->wires[i].name; i++) {
        Irq *irq = (Irq *)((char *)dev + dev->type->wires[i].offset);

        *irq = (Irq){.handler = qtest_irq, .opaque = qtest, .pin = i};
    }
    qtest_answer(qtest, "OK");
}

static void command_set_irq_in(Qtest *qtest, char **words)
{
    uint64_t gsi, level;

    if (!parse_number(qtest, words[3], &gsi) || !parse_number(qtest, words[4], &level))
        return;
    if (!g_str_equal(words[1], "gsi") || gsi >= GSI_COUNT) {
        qtest_answer(qtest, "FAIL lines are gsi 0 to %d", GSI_COUNT - 1);
        return;
    }
    irq_set(&qtest->machine->gsi[gsi], level != 0);
    qtest_answer(qtest, "OK");
}

static void command_endianness(Qtest *qtest, char **words)
{
    qtest_answer(qtest, "OK little");
}

static const Command commands[] = {
    {"inb", 2, 2, command_in},
    {"inw", 2, 2, command_in},
    {"inl", 2, 2, command_in},
    {"outb", 3, 3, command_out},
    {"outw", 3, 3, command_out},
    {"outl", 3, 3, command_out},
    {"readb", 2, 2, command_read_value},
    {"readw", 2, 2, command_read_value},
    {"readl", 2, 2, command_read_value},
    {"readq", 2, 2, command_read_value},
    {"writeb", 3, 3, command_write_value},
    {"writew", 3, 3, command_write_value},
    {"writel", 3, 3, command_write_value},
    {"writeq", 3, 3, command_write_value},
    {"read", 3, 3, command_read},
    {"write", 4, 4, command_write},
    {"memset", 4, 4, command_memset},
    {"b64read", 3, 3, command_b64read},
    {"b64write", 4, 4, command_b64write},
    {"clock_step", 1, 2, command_clock_step},
    {"clock_set", 2, 2, command_clock_set},
    {"irq_intercept_in", 2, 2, command_intercept_in},
    {"irq_intercept_out", 2, 2, command_intercept_out},
    {"set_irq_in", 5, 5, command_set_irq_in},
    {"endianness", 1, 1, command_endianness},
};

void qtest_command(Qtest *qtest, char *line)
{
    g_auto(GStrv) words = g_strsplit(g_strchomp(line), " ", MAX_WORDS);
    unsigned count = g_strv_length(words);

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        const Command *command = &commands[i];

        if (!count || !g_str_equal(words[0], command->name))
            continue;
        if (count >= command->min_words && count <= command->max_words)
            command->run(qtest, words);
        else
            qtest_answer(qtest, "FAIL %s takes %u to %u arguments", words[0], command->min_words - 1,
                       command->max_words - 1);
        return;
    }
    qtest_answer(qtest, "FAIL unknown command '%s'", count ? words[0] : "");
}
