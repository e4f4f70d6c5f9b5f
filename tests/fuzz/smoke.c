/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a libFuzzer harness without libFuzzer, in any build: each seed file as it is, and then so many
 * mutations of the seeds. The same every time.
 *
 *     smoke-NAME MUTATIONS SEED-FILE...
 */
#include <glib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 4096

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint32_t pick(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 32) % below);
}

static const GString *any_seed(const GPtrArray *seeds)
{
    return g_ptr_array_index(seeds, pick(seeds->len));
}

/* A piece of a seed, put in or over what is there. */
static void splice(GString *input, const GString *from)
{
    gsize start = pick((uint32_t)from->len), len = 1 + pick((uint32_t)MIN(from->len - start, 40));
    gsize at = 1 + pick((uint32_t)input->len);

    if (pick(2) && at < input->len)
        g_string_erase(input, (gssize)at, (gssize)MIN(len, input->len - at));
    g_string_insert_len(input, (gssize)MIN(at, input->len), from->str + start, (gssize)len);
}

static void mutate(GString *input, const GPtrArray *seeds)
{
    static const char interesting[] = ",=.{}[]\"\n\\:-+0129%x \x7f\xff";
    gsize at = pick((uint32_t)input->len);

    switch (pick(5)) {
    case 0:
        input->str[at] = interesting[pick(sizeof(interesting) - 1)];
        break;
    case 1:
        input->str[at] = (char)pick(256);
        break;
    case 2:
        if (input->len > 2)
            g_string_erase(input, (gssize)at, 1 + (gssize)pick((uint32_t)MIN(input->len - at, 16)));
        break;
    default:
        splice(input, any_seed(seeds));
        break;
    }
}

static void run(const GString *input)
{
    LLVMFuzzerTestOneInput((const uint8_t *)input->str, input->len);
}

static void run_mutation(const GPtrArray *seeds)
{
    const GString *seed = any_seed(seeds);
    GString *input = g_string_new_len(seed->str, (gssize)seed->len);

    for (uint32_t n = 1 + pick(6); n > 0 && input->len > 0; n--)
        mutate(input, seeds);
    g_string_truncate(input, MIN(input->len, INPUT_MAX));
    run(input);
    g_string_free(input, TRUE);
}

int main(int argc, char **argv)
{
    g_autoptr(GPtrArray) seeds = g_ptr_array_new();
    unsigned mutations = argc > 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;

    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 2; i < argc; i++) {
        char *text;
        gsize len;
        if (!g_file_get_contents(argv[i], &text, &len, NULL) || !len)
            return EXIT_FAILURE;
        g_ptr_array_add(seeds, g_string_new_len(text, (gssize)len));
        g_free(text);
    }
    for (guint i = 0; i < seeds->len; i++)
        run(g_ptr_array_index(seeds, i));
    for (unsigned i = 0; i < mutations && seeds->len; i++)
        run_mutation(seeds);
    for (guint i = 0; i < seeds->len; i++)
        g_string_free(g_ptr_array_index(seeds, i), TRUE);
    return seeds->len ? EXIT_SUCCESS : EXIT_FAILURE;
}
