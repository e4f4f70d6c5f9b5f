/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2 images for tests: a disk under random requests beside a plain copy of what it must hold, and qemu-img as
 * the second opinion.
 */
#ifndef TESTS_UNIT_QCOW2_RIG_H
#define TESTS_UNIT_QCOW2_RIG_H

#include "block/block.h"

typedef struct Model {
    BlockNode *node;
    uint8_t *expect;  /* size bytes */
    uint8_t *touched; /* per sector: changed since the caller cleared it */
    bool no_discard;  /* whose outcome only the image knows */
    uint64_t size;
    uint64_t seed;
} Model;

/* A file name in a directory of this test's own, freed by the caller; the directory goes at rig_cleanup. */
char *rig_path(const char *name);
void rig_cleanup(void);

/* Options as for qemu-img -o, "" for none. */
void rig_create(const char *path, const char *options, uint64_t size);
void rig_create_on(BlockNode *file, const char *options, uint64_t size);
BlockNode *rig_open(const char *path, unsigned flags);
/* A qcow2 node on file, which is taken over; NULL with an error. */
BlockNode *rig_open_on(BlockNode *file, unsigned flags, GError **errp);

uint32_t model_random(Model *m, uint32_t below);
/* Takes over node; its contents are what is expected from now on. */
void model_init(Model *m, BlockNode *node, uint64_t seed);
/* The same requests on no image: the disk, zeroes at first, as they leave it. no_discard is to be set. */
void model_init_blind(Model *m, uint64_t size, uint64_t seed);
void model_release(Model *m);
/* One random write, zeroing, discard, flush or read; reads are compared. */
void model_step(Model *m);
void model_compare(Model *m);
/* Our own check finds nothing. */
void assert_clean(BlockNode *node);

bool have_qemu_img(void);
/* Runs qemu-img with these words ("%s" in front: rig's directory is the working directory); fails the test unless status is as
 * expected. Output is kept for the failure. */
void qemu_img(int expect_status, const char *command);

#endif
