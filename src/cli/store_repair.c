/* cli/store_repair.c - `sampan store repair`: make a damaged store sound again, offline; says what it saved and what is
 * lost. */
#include <stdio.h>

#include "cli/cli.h"
#include "store/store.h"

static int run(struct args *a)
{
    struct sb out = SB(a->mem);
    int r = store_repair_sqlite(arg(a, "data-dir"), &out);
    fwrite(out.ptr, 1, out.len, stdout);
    return r == 0 ? 0 : cli_fail("store repair: %s", strerror(-r));
}

static const struct option_row options[] = {
    {"data-dir", "DIR", "the server's state; the server must not run", SAMPAN_DATA_DIR "/server"},
    {NULL, NULL, NULL, NULL}};
const struct command command_store_repair = {
    "store repair", NULL, "check a stopped server's store and salvage what is whole", options, run, 0, 0};
