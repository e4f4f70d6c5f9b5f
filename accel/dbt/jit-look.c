/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking inside the translator: host code in the log (-d out_asm), names of translated code for
 * perf and gdb (-accel dbt,perf-map=on), counters ("info jit").
 *
 * The perf map is the text file that perf looks for, /tmp/perf-PID.map (Linux:
 * tools/perf/Documentation/jit-interface.txt): start, size and name of each unit. A unit's name is
 * what it was made from: "guest-kernel:ffffffff81000000". Addresses that are used again after the code
 * buffer was full appear again; the last line counts.
 *
 * Locking: a line is written with one write(2) to a file opened for appending, so vCPUs need none.
 * Counters are read while the vCPUs stand still, or else are a little off.
 */
#include "accel/dbt/jit.h"

#include <Zydis/Zydis.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accel/dbt/mmu-priv.h"
#include "core/error.h"
#include "core/host.h"
#include "core/log.h"

/* --- -d out_asm --- */

static unsigned unit_cpl(const DbtJit *jit, const JitUnit *u)
{
    return jit->mode_keys[u->mode] >> JIT_MODE_CPL_SHIFT & 3;
}

static void append_host_insn(GString *out, ZydisFormatter *formatter, ZydisDecoder *decoder, const DbtJit *jit,
                             uint32_t *offset, uint32_t end)
{
    uint64_t address = (uintptr_t)jit->rx + *offset;
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    char text[96] = "(bad)";

    insn.length = 1;
    if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, jit->rw + *offset, end - *offset, &insn, operands)))
        ZydisFormatterFormatInstruction(formatter, &insn, operands, insn.operand_count_visible, text, sizeof(text),
                                        address, ZYAN_NULL);
    g_string_append_printf(out, "0x%012" G_GINT64_MODIFIER "x:  %s\n", address, text);
    *offset += insn.length;
}

/* Host code from begin on, with the guest's address where its instructions begin. */
static void append_host_code(GString *out, const DbtJit *jit, const JitUnit *u)
{
    ZydisFormatter formatter;
    ZydisDecoder decoder;
    unsigned n = 0;

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    for (uint32_t offset = u->begin; offset < u->end;) {
        for (; n < u->block->count && u->begin + jit->offsets[u->offsets + n] <= offset; n++)
            g_string_append_printf(out, "  -- guest 0x%016" G_GINT64_MODIFIER "x\n",
                                   u->rip + dbt_block_insns(jit->v, u->block)[n].offset);
        append_host_insn(out, &formatter, &decoder, jit, &offset, u->end);
    }
}

static void log_unit(const DbtJit *jit, const JitUnit *u)
{
    g_autoptr(GString) out = g_string_new(NULL);

    g_string_append_printf(out, "OUT: CPU%u unit %u, guest 0x%016" G_GINT64_MODIFIER "x gpa %" G_GINT64_MODIFIER
                           "x cpl %u, %u instructions in %u bytes\n", jit->v->cpu->index, u->id, u->rip, u->block->gpa,
                           unit_cpl(jit, u), u->block->count, u->end - u->begin);
    append_host_code(out, jit, u);
    log_printf(LOG_OUT_ASM, "%s\n", out->str);
}

/* --- The perf map --- */

static void perf_map_line(const DbtJit *jit, uint32_t begin, uint32_t end, const char *name)
{
    g_autofree char *line = g_strdup_printf("%" G_GINT64_MODIFIER "x %x %s\n", (uint64_t)(uintptr_t)jit->rx + begin,
                                            end - begin, name);

    /* A map that cannot be written is not worth more than losing a name. */
    (void)host_write_full(jit->v->accel->perf_map_fd, line, strlen(line));
}

static void perf_map_unit(const DbtJit *jit, const JitUnit *u)
{
    char name[64];

    g_snprintf(name, sizeof(name), "guest-%s:%" G_GINT64_MODIFIER "x", unit_cpl(jit, u) == 3 ? "user" : "kernel", u->rip);
    perf_map_line(jit, u->begin, u->end, name);
    jit_gdb_name_unit(jit, u, name);
}

void jit_look_glue(const DbtJit *jit)
{
    if (jit->v->accel->perf_map_fd >= 0)
        perf_map_line(jit, 0, jit->after_glue, "vmm-glue");
}

bool dbt_perf_map_open(DbtAccel *accel, GError **errp)
{
    g_autofree char *path = g_strdup_printf("/tmp/perf-%d.map", (int)getpid());
    struct stat info;

    accel->perf_map_fd = -1;
    if (!accel->perf_map)
        return true;
    /* Anybody may have put something there: it is followed nowhere, and must be ours. */
    accel->perf_map_fd = host_open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0600, "perf map", errp);
    if (accel->perf_map_fd < 0)
        return false;
    if (fstat(accel->perf_map_fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid() &&
        info.st_nlink == 1 && ftruncate(accel->perf_map_fd, 0) == 0)
        return true;
    dbt_perf_map_close(accel);
    return error_set(errp, "perf map %s: there is a file already that is not ours; remove it", path);
}

void dbt_perf_map_close(DbtAccel *accel)
{
    if (accel->perf_map_fd >= 0)
        close(accel->perf_map_fd);
    accel->perf_map_fd = -1;
}

void jit_look_unit(const DbtJit *jit, const JitUnit *unit)
{
    if (G_UNLIKELY(log_enabled(LOG_OUT_ASM)))
        log_unit(jit, unit);
    if (G_UNLIKELY(jit->v->accel->perf_map_fd >= 0))
        perf_map_unit(jit, unit);
}

/* --- "info jit" --- */

typedef struct LookTotals {
    JitStats jit;
    MmuStats mmu;
    uint64_t live, vcpus;
    uint64_t code_used, code_size;   /* translated code, in bytes */
    uint64_t block_used, block_size; /* decoded blocks */
    uint64_t blocks_recycled, decoded_again;
    uint64_t reclaim_us;             /* the longest of any vCPU */
    uint64_t tables_size;            /* TLBs, jump caches */
    uint64_t index_used;             /* what is known about units */
} LookTotals;

static void add_counters(uint64_t *to, const uint64_t *from, size_t size)
{
    for (size_t i = 0; i < size / sizeof(*to); i++)
        to[i] += from[i];
}

static void add_jit(LookTotals *t, const DbtJit *jit)
{
    JitUsage usage = jit_usage(jit);

    add_counters((uint64_t *)&t->jit, (const uint64_t *)&jit->stats, sizeof(t->jit));
    t->live += usage.live;
    t->code_size += jit->size;
    t->code_used += usage.code;
    t->index_used += usage.index;
}

static LookTotals totals_of(const DbtAccel *accel)
{
    LookTotals t = {0};

    for (guint i = 0; i < accel->vcpus->len; i++) {
        const DbtVcpu *v = accel->vcpus->pdata[i];

        t.vcpus++;
        t.block_used += dbt_ring_used(&v->cache->blocks) + dbt_ring_used(&v->cache->insns);
        t.block_size += v->cache->blocks.part_size * v->cache->blocks.parts + v->cache->insns.part_size * v->cache->insns.parts;
        t.blocks_recycled += v->cache->parts_recycled;
        t.decoded_again += v->cache->decoded_again;
        t.reclaim_us = MAX(t.reclaim_us, (uint64_t)(v->cache->reclaim_ns + 999) / 1000);
        t.tables_size += dbt_mmu_size();
        add_counters((uint64_t *)&t.mmu, (const uint64_t *)&v->mmu->stats, sizeof(t.mmu));
        if (v->jit)
            add_jit(&t, v->jit);
    }
    return t;
}

static void line(GString *out, const char *name, uint64_t value)
{
    g_string_append_printf(out, "%s: %" G_GUINT64_FORMAT "\n", name, value);
}

bool dbt_print_stats(Accel *base, GString *out, GError **errp)
{
    const DbtAccel *accel = (const DbtAccel *)base;
    LookTotals t = totals_of(accel);

    line(out, "vcpus", t.vcpus);
    line(out, "code.used-bytes", t.code_used);
    line(out, "code.size-bytes", t.code_size);
    line(out, "code.index-bytes", t.index_used);
    line(out, "blocks.used-bytes", t.block_used);
    line(out, "blocks.size-bytes", t.block_size);
    line(out, "tlb.size-bytes", t.tables_size);
    line(out, "units.live", t.live);
    line(out, "units.made", t.jit.units);
    line(out, "units.instructions", t.jit.insns);
    line(out, "units.code-bytes", t.jit.code_bytes);
    line(out, "units.dropped", t.jit.units_dropped);
    line(out, "units.links", t.jit.links);
    line(out, "units.fallbacks", t.jit.fallbacks);
    line(out, "units.interrupted", t.jit.interrupted);
    line(out, "units.moved", t.jit.moved);
    line(out, "blocks.hot", t.jit.hot);
    line(out, "blocks.joined", t.jit.paths);
    line(out, "units.sites-adapted", t.jit.sites_adapted);
    line(out, "units.sites-displaced", t.jit.sites_displaced);
    line(out, "accesses.shared", t.jit.shared);
    line(out, "spans.misses", t.jit.span_misses);
    line(out, "spans.pages", t.jit.span_pages);
    line(out, "code.parts-recycled", t.jit.parts_recycled);
    line(out, "blocks.parts-recycled", t.blocks_recycled);
    line(out, "blocks.decoded-again", t.decoded_again);
    line(out, "reclaim.longest-us", t.reclaim_us);
    line(out, "flushes", t.jit.flushes);
    line(out, "code-pages.written", t.jit.pages_changed);
    line(out, "run.entries", t.jit.entries);
    line(out, "run.jump-misses", t.jit.jump_misses);
    line(out, "run.interpreted", t.jit.interpreted);
    line(out, "run.compared", t.jit.compared);
    line(out, "windows.pages", t.mmu.windowed);
    line(out, "tlb.fills", t.mmu.fills);
    line(out, "tlb.walks", t.mmu.walks);
    line(out, "tlb.found", t.mmu.found);
    line(out, "tlb.flushes", t.mmu.flushes);
    line(out, "tlb.kept", t.mmu.kept);
    line(out, "tlb.page-flushes", t.mmu.page_flushes);
    return true;
}
