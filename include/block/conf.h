/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The properties every disk device has: its drive, block sizes and geometry.
 *
 *     static const Property disk_props[] = {
 *         BLOCK_CONF_PROPERTIES(Disk, conf),
 *         ...
 *
 * and in realize: block_conf_check(&disk->conf, ...).
 */
#ifndef BLOCK_CONF_H
#define BLOCK_CONF_H

#include "block/backend.h"
#include "core/device.h"

enum { BLOCK_CACHE_AUTO, BLOCK_CACHE_ON, BLOCK_CACHE_OFF };

typedef struct BlockConf {
    BlockBackend *blk;
    uint32_t logical_block_size, physical_block_size; /* bytes; powers of two */
    uint32_t min_io_size, opt_io_size;                /* bytes; 0: nothing said */
    uint32_t discard_granularity;                     /* bytes; UINT32_MAX: the drive's own */
    uint32_t cylinders, heads, sectors;               /* 0: worked out from the size */
    int write_cache;
} BlockConf;

extern const char *const block_conf_cache_names[];

#define BLOCK_CONF_PROPERTIES(type, conf)                                                                              \
    {"drive", PROP_DRIVE, offsetof(type, conf.blk), NULL, "the -drive (id) or -blockdev (node-name) behind it"},       \
    {"logical_block_size", PROP_U32, offsetof(type, conf.logical_block_size), "512", "sector size in bytes",           \
     .min = 512, .max = 32768},                                                                                        \
    {"physical_block_size", PROP_U32, offsetof(type, conf.physical_block_size), "512", "what the disk writes at once", \
     .min = 512, .max = 2097152},                                                                                      \
    {"min_io_size", PROP_U32, offsetof(type, conf.min_io_size), "0", "smallest good transfer; 0: not told"},           \
    {"opt_io_size", PROP_U32, offsetof(type, conf.opt_io_size), "0", "best transfer; 0: not told"},                    \
    {"discard_granularity", PROP_U32, offsetof(type, conf.discard_granularity), "4294967295",                          \
     "bytes; 0: no discard; 4294967295: what suits the image"},                                                        \
    {"cyls", PROP_U32, offsetof(type, conf.cylinders), "0", "geometry: cylinders"},                                    \
    {"heads", PROP_U32, offsetof(type, conf.heads), "0", "geometry: heads"},                                           \
    {"secs", PROP_U32, offsetof(type, conf.sectors), "0", "geometry: sectors a track"},                                \
    {"write-cache", PROP_ENUM, offsetof(type, conf.write_cache), "auto", "the disk's volatile cache, as the guest finds it",  \
     block_conf_cache_names}

/* Checks and completes the properties, once the drive is known; writes: the device cannot do without. An empty drive is
 * an error unless removable. */
bool block_conf_check(BlockConf *conf, bool writes, bool removable, GError **errp);
/* The classic geometry of a disk this large: what its partition table implies, else 16 heads and 63 sectors. */
void block_guess_geometry(BlockBackend *blk, uint32_t *cylinders, uint32_t *heads, uint32_t *sectors);

#endif
