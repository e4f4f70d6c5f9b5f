/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linux bzImage: header checks, and the ways in.
 *
 * Documentation/arch/x86/boot.rst. Preferred: the payload (protocol 2.08) is unpacked on the host
 * and the vmlinux inside is entered in 64-bit mode; the guest's own decompressor never runs.
 * Without KASLR a kernel runs at the address it was linked for, so nothing is relocated. Otherwise
 * (lzma, lzo, a 32-bit kernel) the protected-mode part is entered by the 32-bit boot protocol and
 * unpacks itself. With firmware there is a third: the real-mode entry, for a boot loader that only looks like a
 * kernel, or because the user named the firmware.
 *
 * Not modelled: zImage and protocols before 2.02.
 */
#include <string.h>

#include "boot-params.h"
#include "core/bits.h"
#include "core/error.h"
#include "load.h"

#define LOADED_HIGH BIT(0)
#define CAN_USE_HEAP BIT(7)
#define SECTOR 512
#define PROT_BASE MIB /* where the protected-mode part of a bzImage goes */
#define PAYLOAD_MAX (1 * GIB)

/* boot.rst, "Memory layout": a 64 KiB segment with set-up code, heap and stack, then the command line. */
#define SETUP_BASE 0x10000
#define SETUP_MAX 0x8000
#define SETUP_HEAP_END 0xe000
#define SETUP_CMDLINE (SETUP_BASE + SETUP_HEAP_END)
#define SETUP_CMDLINE_MAX 0x2000
#define HEAP_END_BIAS 0x200 /* of heap_end_ptr */
#define INITRD_MAX_OLD 0x37ffffff

typedef struct BzImage {
    const BootFile *file;
    uint16_t version;
    const uint8_t *prot; /* the protected-mode part */
    size_t prot_len;
    const uint8_t *payload;
    size_t payload_len;
    uint64_t pref_address;
    uint32_t init_size;
} BzImage;

bool bzimage_probe(const uint8_t *data, size_t len)
{
    return len >= HDR_MAGIC + 4 && !memcmp(data + HDR_MAGIC, "HdrS", 4) && load_le(data + HDR_BOOT_FLAG, 2) == 0xaa55;
}

static bool parse_header(BzImage *bz, const BootFile *file, GError **errp)
{
    const uint8_t *d = file->data;

    *bz = (BzImage){.file = file};
    if (file->len < 2 * SECTOR)
        return error_set(errp, "kernel '%s' is truncated (%zu bytes): get a good copy", file->name, file->len);
    bz->version = load_le(d + HDR_VERSION, 2);
    if (bz->version < 0x202)
        return error_set(errp, "kernel '%s' uses boot protocol %u.%02u, older than 2.02: give a newer kernel",
                         file->name, bz->version >> 8, bz->version & 0xff);
    if (!(d[HDR_LOADFLAGS] & LOADED_HIGH))
        return error_set(errp, "kernel '%s' is a zImage, which is not supported: give a bzImage", file->name);
    size_t setup = ((d[HDR_SETUP_SECTS] ? d[HDR_SETUP_SECTS] : 4) + 1) * SECTOR;
    if (file->len <= setup)
        return error_set(errp, "kernel '%s' is truncated: nothing follows its %zu bytes of set-up code: "
                         "get a good copy", file->name, setup);
    bz->prot = d + setup;
    bz->prot_len = file->len - setup;
    if (bz->version >= 0x208) {
        uint64_t offset = load_le(d + HDR_PAYLOAD_OFFSET, 4), len = load_le(d + HDR_PAYLOAD_LENGTH, 4);
        if (!range_ok(offset, len, bz->prot_len))
            return error_set(errp, "kernel '%s' is truncated: its payload ends %" PRIu64
                             " bytes beyond the file: get a good copy",
                             file->name, offset + len - bz->prot_len);
        bz->payload = bz->prot + offset;
        bz->payload_len = len;
    }
    if (bz->version >= 0x20a) {
        bz->pref_address = load_le(d + HDR_PREF_ADDRESS, 8);
        bz->init_size = load_le(d + HDR_INIT_SIZE, 4);
    }
    return true;
}

/* boot_params with what its protocol version defines of the header. */
static uint8_t *new_boot_params(BootPlan *plan, const BzImage *bz)
{
    uint8_t *bp = boot_plan_alloc(plan, GUEST_PAGE_SIZE);
    const uint8_t *d = bz->file->data;
    size_t end = MIN(HDR_MAGIC + d[HDR_JUMP_LENGTH], HDR_END_MAX);

    memcpy(bp + HDR_SETUP_SECTS, d + HDR_SETUP_SECTS, end - HDR_SETUP_SECTS);
    if (bz->version < 0x206)
        store_le(bp + HDR_CMDLINE_SIZE, 255, 4);
    return bp;
}

/*
 * Unpacks the payload into an ELF image with memory owned by the plan. NULL, with the reason, if
 * only the kernel itself can.
 */
static const uint8_t *unpack_payload(BootPlan *plan, const BzImage *bz, ElfImage *elf, GError **errp)
{
    if (bz->payload_len < 8) {
        error_set(errp, "it has no payload field");
        return NULL;
    }
    /* The build appends the unpacked size to the payload (gzip has it there anyway). */
    uint64_t max = load_le(bz->payload + bz->payload_len - 4, 4);
    uint8_t *image;
    size_t len;
    if (!max || max > PAYLOAD_MAX) {
        error_set(errp, "its unpacked size of %" PRIu64 " MiB is out of bounds", max / MIB);
        return NULL;
    }
    if (elf_probe(bz->payload, bz->payload_len)) { /* CONFIG_KERNEL_UNCOMPRESSED */
        image = g_memdup2(bz->payload, bz->payload_len);
        len = bz->payload_len;
    } else if (!unpack(bz->payload, bz->payload_len, max, &image, &len, errp)) {
        return NULL;
    }
    boot_plan_own(plan, image);
    if (len != max && !elf_probe(bz->payload, bz->payload_len)) {
        error_set(errp, "its payload unpacks to %zu bytes instead of %" PRIu64, len, max);
        return NULL;
    }
    if (!elf_probe(image, len)) {
        error_set(errp, "the payload is not an ELF image");
        return NULL;
    }
    if (!elf_parse(elf, image, len, bz->file->name, errp))
        return NULL;
    if (!elf->is64) {
        error_set(errp, "it is a 32-bit kernel");
        return NULL;
    }
    return image;
}

/* Keeps others out of what the kernel uses before it reads the memory map. */
static void reserve(BootPlan *plan, const MemMap *map, uint64_t gpa, uint64_t len)
{
    BootBlob blob = {.gpa = gpa, .mem_len = len, .reserved = true};
    boot_plan_add(plan, map, &blob); /* not RAM: nothing else goes there either */
}

static bool load_direct(BootPlan *plan, const BzImage *bz, const ElfImage *elf, const uint8_t *image,
                        const BootSource *source, const BootBoard *board, GError **errp)
{
    if (!elf_place(elf, image, plan, board->map, bz->file->name, errp))
        return false;
    uint64_t end = bz->pref_address + bz->init_size;
    if (end > elf->high && elf->low >= bz->pref_address)
        reserve(plan, board->map, elf->high, end - elf->high);
    return linux_finish(plan, source, board, new_boot_params(plan, bz), errp) &&
           linux_enter_64(plan, board, elf->entry, errp);
}

static bool load_protected(BootPlan *plan, const BzImage *bz, const BootSource *source, const BootBoard *board,
                           GError **errp)
{
    BootBlob blob = {.gpa = PROT_BASE, .data = bz->prot, .len = bz->prot_len, .mem_len = bz->prot_len};

    /* The decompressor moves itself to pref_address and works there in init_size bytes. */
    uint64_t low = PROT_BASE + bz->prot_len, end = MAX(low, bz->pref_address + bz->init_size);
    if (!memmap_is_ram(board->map, PROT_BASE, end - PROT_BASE) || !boot_plan_add(plan, board->map, &blob))
        return error_set(errp, "kernel '%s' needs RAM up to %" PRIu64 " MiB: give the guest more with -m",
                         bz->file->name, end / MIB + 1);
    reserve(plan, board->map, low, end - low);
    return linux_finish(plan, source, board, new_boot_params(plan, bz), errp) &&
           linux_enter_32(plan, board, PROT_BASE, errp);
}

bool load_bzimage(BootPlan *plan, const BootSource *source, const BootBoard *board, GError **errp)
{
    g_autoptr(GError) why = NULL;
    BzImage bz;
    ElfImage elf;

    if (!parse_header(&bz, &source->kernel, errp))
        return false;
    const uint8_t *image = unpack_payload(plan, &bz, &elf, &why);
    if (image)
        return load_direct(plan, &bz, &elf, image, source, board, errp);
    plan->note = g_strdup_printf("kernel '%s' is left to unpack itself: %s", source->kernel.name, why->message);
    return load_protected(plan, &bz, source, board, errp);
}

/* --- through the real-mode entry --- */

const char *bzimage_needs_firmware(const BootFile *kernel)
{
    /* A kernel with an entry in protected mode gives its address; boot loaders in this format have none. */
    return kernel->len > HDR_CODE32_START + 4 && load_le(kernel->data + HDR_CODE32_START, 4) != PROT_BASE
               ? "it has an entry in real mode only" : NULL;
}

static bool place_real_mode_initrd(BootRealMode *parts, const BootSource *source, const BzImage *bz, uint64_t ram_end,
                                   GError **errp)
{
    const BootFile *initrd = &g_array_index(source->modules, BootFile, 0);
    uint64_t max = bz->version >= 0x203 ? load_le(bz->file->data + HDR_INITRD_ADDR_MAX, 4) : INITRD_MAX_OLD;
    uint64_t low = PROT_BASE + MAX(bz->prot_len, bz->init_size), high = MIN(ram_end, max + 1);

    if (high < low || initrd->len > high - low || align_down(high - initrd->len, GUEST_PAGE_SIZE) < low)
        return linux_initrd_too_large(initrd, errp);
    parts->initrd = initrd->data;
    parts->initrd_len = initrd->len;
    parts->initrd_addr = align_down(high - initrd->len, GUEST_PAGE_SIZE);
    return true;
}

/* The fields a boot loader writes. */
static void fill_setup(const BootRealMode *parts)
{
    uint8_t *d = parts->setup;

    d[HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
    d[HDR_LOADFLAGS] |= CAN_USE_HEAP;
    store_le(d + HDR_HEAP_END_PTR, SETUP_HEAP_END - HEAP_END_BIAS, 2);
    store_le(d + HDR_RAMDISK_IMAGE, parts->initrd_addr, 4);
    store_le(d + HDR_RAMDISK_SIZE, parts->initrd_len, 4);
    store_le(d + HDR_CMD_LINE_PTR, parts->cmdline_addr, 4);
}

BootRealMode *bzimage_real_mode(const BootSource *source, uint64_t ram_end, GError **errp)
{
    BzImage bz;

    if (!parse_header(&bz, &source->kernel, errp))
        return NULL;
    uint64_t max = bz.version >= 0x206 ? load_le(bz.file->data + HDR_CMDLINE_SIZE, 4) : 255;
    if (!linux_check_append(source, MIN(max, SETUP_CMDLINE_MAX - 1), errp))
        return NULL;
    if (bz.prot - bz.file->data > SETUP_MAX) {
        error_set(errp, "kernel '%s' has more than %d KiB of set-up code: get a good copy", bz.file->name, (int)(SETUP_MAX / KIB));
        return NULL;
    }
    g_autoptr(BootRealMode) parts = g_new0(BootRealMode, 1);
    parts->setup_addr = SETUP_BASE;
    parts->setup_len = bz.prot - bz.file->data;
    parts->setup = g_memdup2(bz.file->data, parts->setup_len);
    parts->kernel_addr = PROT_BASE;
    parts->kernel = bz.prot;
    parts->kernel_len = bz.prot_len;
    parts->cmdline_addr = SETUP_CMDLINE;
    if (PROT_BASE + bz.prot_len > ram_end) {
        error_set(errp, "kernel '%s' needs RAM up to %" PRIu64 " MiB: give the guest more with -m", bz.file->name,
                  (PROT_BASE + bz.prot_len) / MIB + 2);
        return NULL;
    }
    if (source->modules->len && !place_real_mode_initrd(parts, source, &bz, ram_end, errp))
        return NULL;
    fill_setup(parts);
    return g_steal_pointer(&parts);
}
