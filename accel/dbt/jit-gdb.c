/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gdb on vmm itself: the way out of translated code for its backtraces, and names ("Debugging with GDB", JIT
 * Compilation Interface). gdb finds a list of object files in memory, one for each vCPU's code buffer:
 *
 *     ELF header | section headers and their names | .eh_frame | .symtab | .strtab
 *
 * .eh_frame (System V ABI AMD64, 3.7; DWARF 4, 6.4) says that everywhere in translated code RSP points at the frame, and how
 * far below it where glue, called by a unit, calls C. Symbols are the glue and, with perf-map=on, each unit and its stubs by
 * its name in the perf map, in the place of its id, so that a unit in another's place takes its name away; else one for all
 * units.
 *
 * gdb reads an object file when it attaches, and when one is registered: this is done anew whenever there are twice as
 * many units, since each time costs a gdb that is there a stop of the process. Not described: the few instructions of glue
 * in which RSP moves.
 *
 * Locking: `lock` guards gdb's list. An object file is written by the vCPU's thread; gdb reads while that stands still.
 */
#include <elf.h>
#include <stddef.h>
#include <sys/mman.h>

#include "accel/dbt/jit.h"
#include "core/host.h"

/* A name, "guest-kernel:" and 16 digits, and its NUL. */
#define NAME_BYTES 32
#define RENEW_MIN 256

enum { SECTION_NONE, SECTION_TEXT, SECTION_EH_FRAME, SECTION_SYMTAB, SECTION_STRTAB, SECTION_NAMES, SECTION_COUNT };
/* Each in two places: code, stubs. */
enum { SYMBOL_NONE, SYMBOL_GLUE, SYMBOL_UNITS };

typedef struct ObjectFile {
    Elf64_Ehdr header;
    Elf64_Shdr sections[SECTION_COUNT];
    char section_names[64];
    uint8_t eh_frame[2048];
    Elf64_Sym symbols[]; /* behind them names, NAME_BYTES apart: one for the two symbols of a unit */
} ObjectFile;

/* --- gdb's side. The names and layouts are its. --- */

typedef struct GdbEntry {
    struct GdbEntry *next, *prev;
    const void *file;
    uint64_t size;
} GdbEntry;

typedef enum GdbAction { GDB_NOTHING, GDB_REGISTER, GDB_UNREGISTER } GdbAction;

typedef struct GdbDescriptor {
    uint32_t version, action;
    GdbEntry *relevant, *first;
} GdbDescriptor;

void __jit_debug_register_code(void);
extern GdbDescriptor __jit_debug_descriptor;

GdbDescriptor __jit_debug_descriptor = {.version = 1};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* gdb has a breakpoint here. */
void __attribute__((noinline)) __jit_debug_register_code(void)
{
    __asm__ volatile("");
}

static void tell_gdb(GdbEntry *entry, GdbAction action)
{
    __jit_debug_descriptor.relevant = entry;
    __jit_debug_descriptor.action = action;
    __jit_debug_register_code();
    __jit_debug_descriptor.action = GDB_NOTHING;
}

static void register_entry(GdbEntry *entry)
{
    pthread_mutex_lock(&lock);
    entry->prev = NULL;
    entry->next = __jit_debug_descriptor.first;
    if (entry->next)
        entry->next->prev = entry;
    __jit_debug_descriptor.first = entry;
    tell_gdb(entry, GDB_REGISTER);
    pthread_mutex_unlock(&lock);
}

static void unregister_entry(GdbEntry *entry)
{
    pthread_mutex_lock(&lock);
    if (entry->next)
        entry->next->prev = entry->prev;
    if (entry->prev)
        entry->prev->next = entry->next;
    else
        __jit_debug_descriptor.first = entry->next;
    tell_gdb(entry, GDB_UNREGISTER);
    pthread_mutex_unlock(&lock);
}

/* --- .eh_frame --- */

typedef struct Bytes {
    uint8_t *at, *end;
} Bytes;

static void put(Bytes *b, const void *data, size_t size)
{
    g_assert((size_t)(b->end - b->at) >= size);
    memcpy(b->at, data, size);
    b->at += size;
}

static void put32(Bytes *b, uint32_t value)
{
    put(b, &value, sizeof(value));
}

static void put64(Bytes *b, uint64_t value)
{
    put(b, &value, sizeof(value));
}

/* DW_CFA_def_cfa_offset, in two bytes of LEB128. */
static void put_cfa_offset(Bytes *b, uint32_t offset)
{
    g_assert(offset < 1 << 14);
    put(b, (const uint8_t[]){0x0e, (uint8_t)(offset | 0x80), (uint8_t)(offset >> 7)}, 3);
}

static void put_advance(Bytes *b, uint32_t bytes)
{
    put(b, (const uint8_t[]){0x04}, 1); /* DW_CFA_advance_loc4 */
    put32(b, bytes);
}

/* Lengths do not count their own field. */
static void end_record(Bytes *b, uint8_t *begin)
{
    uint32_t length;

    while ((b->at - begin) % 8)
        put(b, (const uint8_t[]){0}, 1); /* DW_CFA_nop */
    length = (uint32_t)(b->at - begin) - 4;
    memcpy(begin, &length, sizeof(length));
}

static void put_cie(Bytes *b)
{
    static const uint8_t common[] = {
        1, 0,       /* version, no augmentation: addresses are absolute */
        1, 0x78, 16, /* factors 1 and -8; the return address is register 16 */
        0x0c, 7, 0, /* DW_CFA_def_cfa: RSP plus what follows */
        0x90, 1, 0x83, 2, 0x86, 3, 0x8c, 4, 0x8d, 5, 0x8e, 6, 0x8f, 7, /* DW_CFA_offset: return address, RBX, RBP, R12 ... */
    };
    uint8_t *begin = b->at;

    put32(b, 0);
    put32(b, 0); /* a CIE */
    put(b, common, sizeof(common));
    end_record(b, begin);
}

/* The caller of this glue is a unit, whose registers that C would save are the guest's. */
static void put_glue_call(Bytes *b, const JitGlueCall *call)
{
    put(b, (const uint8_t[]){0x0a}, 1); /* DW_CFA_remember_state */
    put_cfa_offset(b, call->depth);
    put(b, (const uint8_t[]){8, 3, 8, 6, 8, 12, 8, 13, 8, 14, 8, 15}, 12); /* DW_CFA_same_value */
    put_advance(b, call->end - call->begin);
    put(b, (const uint8_t[]){0x0b}, 1); /* DW_CFA_restore_state */
}

static void put_fde(Bytes *b, const uint8_t *cie, const DbtJit *jit)
{
    uint8_t *begin = b->at;
    uint32_t at = 0;

    put32(b, 0);
    put32(b, (uint32_t)(b->at - cie));
    put64(b, (uintptr_t)jit->rx);
    put64(b, jit->size);
    put_cfa_offset(b, sizeof(JitFrame) + 7 * 8); /* six registers and the return address */
    for (unsigned i = 0; i < jit->glue.call_count; i++) {
        const JitGlueCall *call = &jit->glue.calls[i];

        put_advance(b, call->begin - at);
        put_glue_call(b, call);
        at = call->end;
    }
    end_record(b, begin);
}

static size_t fill_eh_frame(const DbtJit *jit, ObjectFile *file)
{
    Bytes b = {file->eh_frame, file->eh_frame + sizeof(file->eh_frame)};

    put_cie(&b);
    put_fde(&b, file->eh_frame, jit);
    put32(&b, 0);
    return (size_t)(b.at - file->eh_frame);
}

/* --- The object file --- */

struct JitGdb {
    GdbEntry entry;
    ObjectFile *file;
    size_t size;
    uint32_t names;    /* room for so many, and twice as many symbols */
    uint32_t units;    /* named so far */
    uint32_t renew_at; /* when it will be so many */
};

static void set_name(JitGdb *gdb, uint32_t n, const char *name)
{
    char *names = (char *)&gdb->file->symbols[2 * gdb->names];

    g_strlcpy(names + n * NAME_BYTES, name, NAME_BYTES);
}

static void set_symbol(const DbtJit *jit, JitGdb *gdb, uint32_t n, bool stubs, uint32_t begin, uint32_t end)
{
    gdb->file->symbols[2 * n + stubs] = (Elf64_Sym){
        .st_name = n * NAME_BYTES,
        .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC),
        .st_shndx = SECTION_TEXT,
        .st_value = (uintptr_t)jit->rx + begin,
        .st_size = end - begin,
    };
}

static void fill_sections(const DbtJit *jit, JitGdb *gdb)
{
    static const char names[] = "\0.text\0.eh_frame\0.symtab\0.strtab\0.shstrtab";
    static const Elf64_Word name_at[SECTION_COUNT] = {0, 1, 7, 17, 25, 33};
    ObjectFile *file = gdb->file;
    Elf64_Off symbols = offsetof(ObjectFile, symbols), strings = symbols + 2 * gdb->names * sizeof(Elf64_Sym);
    Elf64_Shdr *s = file->sections;

    memcpy(file->section_names, names, sizeof(names));
    s[SECTION_TEXT] = (Elf64_Shdr){.sh_type = SHT_NOBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                                   .sh_addr = (uintptr_t)jit->rx, .sh_size = jit->size};
    s[SECTION_EH_FRAME] = (Elf64_Shdr){.sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC,
                                       .sh_addr = (uintptr_t)file->eh_frame, .sh_offset = offsetof(ObjectFile, eh_frame),
                                       .sh_size = fill_eh_frame(jit, file)};
    s[SECTION_SYMTAB] = (Elf64_Shdr){.sh_type = SHT_SYMTAB, .sh_offset = symbols, .sh_size = strings - symbols,
                                     .sh_link = SECTION_STRTAB, .sh_info = 2 * gdb->names, .sh_entsize = sizeof(Elf64_Sym)};
    s[SECTION_STRTAB] = (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = strings, .sh_size = gdb->names * NAME_BYTES};
    s[SECTION_NAMES] = (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = offsetof(ObjectFile, section_names),
                                    .sh_size = sizeof(names)};
    for (unsigned i = 1; i < SECTION_COUNT; i++) {
        s[i].sh_name = name_at[i];
        s[i].sh_addralign = 8;
    }
}

static void fill_header(ObjectFile *file)
{
    file->header = (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_shoff = offsetof(ObjectFile, sections),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = SECTION_COUNT,
        .e_shstrndx = SECTION_NAMES,
    };
}

bool jit_gdb_init(DbtJit *jit, GError **errp)
{
    JitGdb *gdb = jit->gdb = g_new0(JitGdb, 1);

    gdb->names = SYMBOL_UNITS + (jit->v->accel->perf_map ? jit->part_count * jit->part_units : 1);
    gdb->renew_at = RENEW_MIN;
    gdb->size = sizeof(ObjectFile) + gdb->names * (2 * sizeof(Elf64_Sym) + NAME_BYTES);
    gdb->file = host_mmap(gdb->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0,
                          "symbols for gdb", errp);
    if (!gdb->file)
        return false;
    fill_header(gdb->file);
    fill_sections(jit, gdb);
    set_name(gdb, SYMBOL_GLUE, "vmm-glue");
    set_symbol(jit, gdb, SYMBOL_GLUE, false, 0, jit->after_glue);
    if (!jit->v->accel->perf_map) {
        set_name(gdb, SYMBOL_UNITS, "translated-code");
        set_symbol(jit, gdb, SYMBOL_UNITS, false, jit->after_glue, jit->size);
    }
    gdb->entry.file = gdb->file;
    gdb->entry.size = gdb->size;
    register_entry(&gdb->entry);
    return true;
}

void jit_gdb_release(DbtJit *jit)
{
    JitGdb *gdb = jit->gdb;

    if (gdb && gdb->file) {
        unregister_entry(&gdb->entry);
        munmap(gdb->file, gdb->size);
    }
    g_clear_pointer(&jit->gdb, g_free);
}

void jit_gdb_name_unit(const DbtJit *jit, const JitUnit *unit, const char *name)
{
    JitGdb *gdb = jit->gdb;

    set_name(gdb, SYMBOL_UNITS + unit->id, name);
    set_symbol(jit, gdb, SYMBOL_UNITS + unit->id, false, unit->begin, unit->end);
    set_symbol(jit, gdb, SYMBOL_UNITS + unit->id, true, unit->cold, unit->cold_end);
    if (++gdb->units < gdb->renew_at)
        return;
    gdb->renew_at *= 2;
    unregister_entry(&gdb->entry);
    register_entry(&gdb->entry);
}

void jit_gdb_forget_part(const DbtJit *jit, unsigned part)
{
    if (jit->v->accel->perf_map)
        memset(&jit->gdb->file->symbols[2 * (SYMBOL_UNITS + part * jit->part_units)], 0,
               2 * jit->parts[part].units * sizeof(Elf64_Sym));
}
