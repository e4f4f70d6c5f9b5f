/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm-img: the block layer from the command line, with qemu-img's spelling, output and exit statuses.
 *
 *   main.c       the table of commands, help, exit status
 *   args.c       options of a command, by table
 *   image.c      names and cache modes into nodes
 *   copy.c       disk to disk, in parallel (convert, dd, commit)
 *   progress.c   -p
 *   text.c       sizes for people, JSON
 *   and a file for each command
 *
 * A command's options are a struct that begins with ImgArgs, and a table that names them; help and the manual are made
 * from the table.
 *
 * Locking: the main thread has everything; copy.c and bench.c say what theirs do.
 */
#ifndef SRC_IMG_IMG_H
#define SRC_IMG_IMG_H

#include "block/block.h"

/* --- options (args.c) --- */

typedef enum ImgOptionKind {
    IMG_FLAG,   /* bool */
    IMG_STRING, /* const char *: the user's own */
    IMG_LIST,   /* GPtrArray * of const char *: may be repeated; NULL: not given */
    IMG_SIZE,   /* uint64_t, with suffixes */
    IMG_NUMBER, /* uint64_t */
    IMG_CHOICE, /* int, index into names */
    IMG_REFUSED, /* one of qemu-img's that is not here; help says why */
} ImgOptionKind;

typedef struct ImgOption {
    char letter;      /* 0: none */
    const char *name; /* NULL: none */
    const char *arg;  /* what help calls the value; NULL for flags */
    ImgOptionKind kind;
    size_t offset;    /* in the command's struct */
    const char *help;
    const char *def;  /* NULL: zero */
    const char *const *names;
    uint64_t min, max; /* of a number; max 0: any */
} ImgOption;

/* What many commands have. */
typedef struct ImgArgs {
    char **words;    /* the command line, options first */
    char **operands; /* the end of it; NULL-terminated */
    unsigned count;
    const char *format, *cache, *src_cache;
    int output; /* IMG_HUMAN, IMG_JSON */
    bool image_opts, force_share, quiet, progress;
} ImgArgs;

enum { IMG_HUMAN, IMG_JSON };
extern const char *const img_output_names[];

#define IMG_OPT_FORMAT {'f', NULL, "FMT", IMG_STRING, offsetof(ImgArgs, format), "the image's format; else it is guessed"}
#define IMG_OPT_CACHE(def_) {'t', NULL, "CACHE", IMG_STRING, offsetof(ImgArgs, cache), "cache mode of the image that is written", def_}
#define IMG_OPT_SRC_CACHE(letter_) \
    {letter_, NULL, "CACHE", IMG_STRING, offsetof(ImgArgs, src_cache), "cache mode of the image that is read", "writeback"}
#define IMG_OPT_OUTPUT \
    {0, "output", "FORM", IMG_CHOICE, offsetof(ImgArgs, output), "human or json", "human", img_output_names}
#define IMG_OPT_IMAGE_OPTS \
    {0, "image-opts", NULL, IMG_FLAG, offsetof(ImgArgs, image_opts), "FILENAME is a list of -blockdev's options"}
#define IMG_OPT_SHARE {'U', "force-share", NULL, IMG_FLAG, offsetof(ImgArgs, force_share), "look at an image that is in use"}
#define IMG_OPT_QUIET {'q', NULL, NULL, IMG_FLAG, offsetof(ImgArgs, quiet), "say nothing but errors"}
#define IMG_OPT_PROGRESS {'p', NULL, NULL, IMG_FLAG, offsetof(ImgArgs, progress), "show how far it is"}
/* Objects are for encryption and for network storage's passwords. */
#define IMG_OPT_OBJECT {0, "object", "OBJECT", IMG_REFUSED, 0, "no format here takes one; encrypted images are not supported"}
#define IMG_OPT_END {.kind = IMG_FLAG}

typedef struct ImgCommand {
    const char *name, *operands, *desc;
    const ImgOption *options; /* ends with neither letter nor name */
    size_t size;              /* of the struct the options lie in */
    unsigned min, max;        /* operands */
    int failure;              /* exit status of an error */
    /* The exit status; -1: *errp says why not. */
    int (*run)(void *args, GError **errp);
} ImgCommand;

extern const ImgCommand *const img_commands[];

/* Into args, which is zeroed; false with an error, or with *help set. */
bool img_args_parse(const ImgCommand *command, int argc, char **argv, void *args, bool *help, GError **errp);
void img_args_release(const ImgCommand *command, void *args);
void img_args_print_help(const ImgCommand *command, GString *out);
/* "NAME=VALUE,..." of -o, several of them merged into one tree; NULL: an error. */
KvNode *img_create_options(GPtrArray *lists, GError **errp);

/* --- images (image.c) --- */

typedef struct ImgOpen {
    const char *format; /* NULL: guessed */
    const char *cache;  /* NULL: writeback */
    const char *aio;    /* NULL: threads */
    unsigned flags;     /* BLOCK_OPEN_* */
    bool image_opts, force_share;
} ImgOpen;

/* NULL: an error. */
BlockNode *img_open(const char *name, const ImgOpen *how, GError **errp);
/* The one image of a command that takes one. */
BlockNode *img_open_operand(const ImgArgs *args, unsigned flags, GError **errp);
/* Of a cache mode's writes: BLOCK_FUA or 0; false: there is no such mode. */
bool img_cache_write_flags(const char *cache, unsigned *flags, GError **errp);
const BlockDriver *img_driver(const char *name, GError **errp);
/* An instance of driver->create_props from -o; *size is changed if it has one. Freed with img_create_options_free. */
void *img_create_struct(const BlockDriver *driver, KvNode *options, uint64_t *size, GError **errp);
void img_create_struct_free(const BlockDriver *driver, void *instance);
/* The driver's -o help. */
void img_print_create_help(const BlockDriver *driver);
/* Whether -o has "help". */
bool img_wants_create_help(GPtrArray *lists);
/* The file a node's header names, where it is, relative names resolved; NULL: none. */
char *img_backing_path(BlockNode *node, char **format);
/* Node shows the disk as it was in an internal snapshot: "snapshot.id=..,snapshot.name=..", or plainly an id or a name. */
bool img_load_snapshot(BlockNode *node, const char *param, GError **errp);
/* Everything written so far is on disk, or an error. */
bool img_flush(BlockNode *node, GError **errp);
bool img_parse_size(const char *text, const char *what, uint64_t *out, GError **errp);

/* --- progress (progress.c) --- */

typedef struct ImgProgress {
    bool shown;
    uint64_t total, done;
    int last; /* hundredths of a percent that were shown */
} ImgProgress;

void img_progress_start(ImgProgress *progress, bool shown, uint64_t total);
void img_progress_add(ImgProgress *progress, uint64_t done);
void img_progress_end(ImgProgress *progress);

/* --- copying (copy.c) --- */

typedef struct ImgCopy {
    /* Sources, one behind the other. */
    BlockNode **sources;
    unsigned count;
    BlockNode *base;     /* what only this one and those below decide is left out; NULL: nothing */
    BlockNode *target;
    uint64_t size;       /* of all sources together, as far as they are copied */
    uint64_t target_at;  /* where in the target the copy begins */
    uint64_t min_sparse; /* so many zero bytes in a row are not written as data; 0: all is data */
    uint64_t rate;       /* bytes a second; 0: no limit */
    unsigned threads;
    unsigned write_flags;
    bool target_is_zero; /* zeroes need not be written */
    bool compressed;
    bool any_order;      /* writes need not be in order */
    bool offload;        /* the host may copy by itself */
    bool salvage;        /* unreadable parts become zeroes, with a warning */
    ImgProgress *progress;
} ImgCopy;

bool img_copy(ImgCopy *copy, GError **errp);

/* --- text (text.c) --- */

/* "1.5 MiB"; the caller's. */
char *img_size_text(uint64_t bytes);
void img_print_json(json_t *value); /* takes over value */
/* qemu-img's table of snapshots. */
void img_print_snapshots(GPtrArray *snapshots);

extern const ImgCommand img_amend, img_bench, img_check, img_commit, img_compare, img_convert, img_create, img_dd, img_info,
    img_map, img_measure, img_rebase, img_resize, img_snapshot;

#endif
