/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block sizes and geometry of disk devices (block/conf.h).
 *
 * CHS addresses matter to a boot loader that asks the BIOS by them. The partition table of the MBR was written with
 * some geometry in mind: the last head and sector of a partition that ends on a cylinder's boundary tell which.
 */
#include "block/conf.h"

#include "core/bits.h"
#include "core/error.h"

const char *const block_conf_cache_names[] = {"auto", "on", "off", NULL};

#define MBR_TABLE 446
#define MBR_ENTRY 16
#define DEFAULT_HEADS 16u
#define DEFAULT_SECTORS 63u
#define MAX_CYLINDERS 16383u

static bool is_power_of_two(uint32_t n)
{
    return n && !(n & (n - 1));
}

/* Heads and sectors from the partition table; false if it says nothing. */
static bool geometry_from_mbr(BlockBackend *blk, uint32_t *heads, uint32_t *sectors)
{
    uint8_t mbr[BLOCK_SECTOR_SIZE];

    if (blk_size(blk) < sizeof(mbr) || blk_pread(blk, 0, mbr, sizeof(mbr)) < 0 || load_le(mbr + 510, 2) != 0xaa55)
        return false;
    for (const uint8_t *entry = mbr + MBR_TABLE; entry < mbr + 510; entry += MBR_ENTRY) {
        uint32_t count = (uint32_t)load_le(entry + 12, 4), end_head = entry[5], end_sector = entry[6] & 63u;
        if (count && end_head && end_sector) {
            *heads = end_head + 1;
            *sectors = end_sector;
            return *heads <= 16;
        }
    }
    return false;
}

void block_guess_geometry(BlockBackend *blk, uint32_t *cylinders, uint32_t *heads, uint32_t *sectors)
{
    uint64_t total = blk_size(blk) / BLOCK_SECTOR_SIZE;

    if (!geometry_from_mbr(blk, heads, sectors)) {
        *heads = DEFAULT_HEADS;
        *sectors = DEFAULT_SECTORS;
    }
    uint64_t n = total / (*heads * *sectors);
    *cylinders = (uint32_t)CLAMP(n, 2, MAX_CYLINDERS);
}

static bool check_sizes(const BlockConf *conf, GError **errp)
{
    if (!is_power_of_two(conf->logical_block_size) || !is_power_of_two(conf->physical_block_size))
        return error_set_code(errp, VMM_ERROR_USAGE, "block sizes are powers of two");
    if (conf->logical_block_size > conf->physical_block_size)
        return error_set_code(errp, VMM_ERROR_USAGE, "logical_block_size is at most physical_block_size");
    if (conf->min_io_size % conf->logical_block_size || conf->opt_io_size % conf->logical_block_size)
        return error_set_code(errp, VMM_ERROR_USAGE, "min_io_size and opt_io_size are multiples of logical_block_size");
    if (blk_size(conf->blk) % conf->logical_block_size)
        return error_set(errp, "drive '%s' has %" G_GUINT64_FORMAT " bytes, no multiple of logical_block_size=%u; resize "
                         "the image", blk_name(conf->blk), blk_size(conf->blk), conf->logical_block_size);
    return true;
}

static bool check_geometry(BlockConf *conf, GError **errp)
{
    unsigned given = !!conf->cylinders + !!conf->heads + !!conf->sectors;

    if (given && given < 3)
        return error_set_code(errp, VMM_ERROR_USAGE, "cyls, heads and secs go together");
    if (!given)
        block_guess_geometry(conf->blk, &conf->cylinders, &conf->heads, &conf->sectors);
    if (conf->cylinders > 65535 || conf->heads > 255 || conf->sectors > 255)
        return error_set_code(errp, VMM_ERROR_USAGE, "cyls goes up to 65535, heads and secs to 255");
    return true;
}

/* Smaller discards would give nothing back. */
static uint32_t default_granularity(const BlockConf *conf)
{
    if (!blk_can_discard(conf->blk))
        return 0;
    return MAX(conf->logical_block_size, MAX(blk_root(conf->blk)->discard_alignment, 4096));
}

bool block_conf_check(BlockConf *conf, bool writes, bool removable, GError **errp)
{
    if (!conf->blk)
        return error_set_code(errp, VMM_ERROR_USAGE, "drive= is missing: the id of a -drive or the node-name of a "
                              "-blockdev");
    if (!removable && !blk_is_inserted(conf->blk))
        return error_set(errp, "drive '%s' is empty; give it a file=", blk_name(conf->blk));
    if (writes && !blk_require_writable(conf->blk, errp))
        return false;
    if (!check_sizes(conf, errp) || !check_geometry(conf, errp))
        return false;
    if (conf->discard_granularity == UINT32_MAX)
        conf->discard_granularity = default_granularity(conf);
    if (conf->write_cache != BLOCK_CACHE_AUTO)
        blk_set_write_cache(conf->blk, conf->write_cache == BLOCK_CACHE_ON);
    return true;
}
