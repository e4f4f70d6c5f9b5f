/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -p: how far the work is, in one line that is written over.
 */
#include <stdio.h>

#include "src/img/img.h"

#define STEP 25 /* hundredths of a percent */

static void show(ImgProgress *progress, int hundredths)
{
    progress->last = hundredths;
    printf("    (%d.%02d/100%%)\r", hundredths / 100, hundredths % 100);
    fflush(stdout);
}

void img_progress_start(ImgProgress *progress, bool shown, uint64_t total)
{
    *progress = (ImgProgress){.shown = shown, .total = total};
    if (shown)
        show(progress, 0);
}

void img_progress_add(ImgProgress *progress, uint64_t done)
{
    progress->done += done;
    if (!progress->shown || !progress->total)
        return;
    int hundredths = (int)(10000.0 * (double)progress->done / (double)progress->total);
    if (hundredths >= progress->last + STEP)
        show(progress, MIN(hundredths, 10000));
}

void img_progress_end(ImgProgress *progress)
{
    if (!progress->shown)
        return;
    show(progress, 10000);
    putchar('\n');
}
