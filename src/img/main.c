/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm-img COMMAND: which command, its help, what it ends with.
 *
 * Exit status: 0, or 1 after an error; check and compare have more to say (check.c, compare.c).
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/log.h"
#include "core/thread.h"
#include "src/img/img.h"

#define KEPT_BYTES (8 << 20) /* of free memory, by each thread */

const ImgCommand *const img_commands[] = {
    &img_amend, &img_bench, &img_check, &img_commit, &img_compare, &img_convert, &img_create, &img_dd, &img_info, &img_map,
    &img_measure, &img_rebase, &img_resize, &img_snapshot, NULL,
};

static const ImgCommand *find_command(const char *name, GError **errp)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (const ImgCommand *const *c = img_commands; *c; c++) {
        if (strcmp((*c)->name, name) == 0)
            return *c;
        g_ptr_array_add(names, (char *)(*c)->name);
    }
    g_ptr_array_add(names, NULL);
    const char *near = nearest_name(name, (const char *const *)names->pdata);
    error_set_code(errp, VMM_ERROR_USAGE, "there is no command '%s'%s%s%s; 'vmm-img --help' lists them", name,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
    return NULL;
}

static void print_help(void)
{
    g_autoptr(GString) out = g_string_new("Usage: vmm-img COMMAND [OPTION]... FILENAME...\n\nDisk images: makes, shows, copies, "
                                          "checks and changes them.\n\nCommands:\n");

    for (const ImgCommand *const *c = img_commands; *c; c++)
        g_string_append_printf(out, "  %-9s %s\n", (*c)->name, (*c)->desc);
    g_string_append(out, "\n'vmm-img COMMAND --help' shows a command's options, '-o help' those of a format.\n\nFormats:\n");
    for (const BlockDriver *const *d = block_drivers; *d; d++) {
        if (!(*d)->is_protocol)
            g_string_append_printf(out, "  %-9s %s\n", (*d)->name, (*d)->desc);
    }
    fputs(out->str, stdout);
}

static int run_command(const ImgCommand *command, int argc, char **argv, GError **errp)
{
    void *args = g_malloc0(command->size);
    bool help = false;
    int status = -1;

    if (img_args_parse(command, argc, argv, args, &help, errp))
        status = command->run(args, errp);
    if (help) {
        g_autoptr(GString) out = g_string_new(NULL);
        img_args_print_help(command, out);
        fputs(out->str, stdout);
        status = 0;
    }
    img_args_release(command, args);
    g_free(args);
    if (fflush(stdout) != 0 && status == 0)
        return error_set(errp, "cannot write to standard output"), command->failure;
    return status < 0 ? command->failure : status;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    const ImgCommand *command;
    int status = EXIT_FAILURE;

    /* Compression takes and gives back a quarter of a MiB for each cluster: not from and to the kernel each time. */
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
    core_init();
    log_set_program("vmm-img");
    if (argc < 2) {
        error_set_code(&err, VMM_ERROR_USAGE, "no command; 'vmm-img --help' lists them");
    } else if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_help();
        return 0;
    } else if (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0) {
        puts("vmm-img version " VMM_VERSION);
        return 0;
    } else if ((command = find_command(argv[1], &err))) {
        status = run_command(command, argc - 1, argv + 1, &err);
    }
    if (err)
        log_error("%s", err->message);
    return status;
}
