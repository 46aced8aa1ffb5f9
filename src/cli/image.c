/* cli/image.c - `sampan image import`, `sampan image ls`: the image store of this machine's agent. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "node/agent.h"

static void say(void *ctx, struct str name, struct str digest)
{
    printf("%.*s %.*s\n", STR_ARG(name), STR_ARG(digest));
}

/* --state-dir says it all, --data-dir as `sampan up` takes it. */
static const char *state_dir(struct args *a)
{
    return arg(a, "state-dir") ? arg(a, "state-dir") : str_fmtz(a->mem, "%s/agent", arg(a, "data-dir"));
}

static int run_import(struct args *a)
{
    char *why = NULL;
    if (image_import(state_dir(a), a->rest[0], arg(a, "name"), say, NULL, &why) == 0)
        return 0;
    int r = cli_fail("%s: %s", a->rest[0], why ? why : "can't import");
    free(why);
    return r;
}

static void row(void *ctx, struct str name, struct str digest, uint64_t bytes)
{
    printf("%-48.*s %.*s  %8.1f MB\n", STR_ARG(name), STR_ARG(str_head(digest, 19)), (double)bytes / 1e6);
}

static int run_ls(struct args *a)
{
    int r = image_list(state_dir(a), row, NULL);
    return r < 0 ? cli_fail("%s: %s", state_dir(a), strerror(-r)) : 0;
}

#define DATA_DIR                                                                                                       \
    {                                                                                                                  \
        "data-dir", "DIR", "as given to sampan up", SAMPAN_DATA_DIR                                                    \
    }
#define STATE_DIR                                                                                                      \
    {                                                                                                                  \
        "state-dir", "DIR", "the agent's state, where it isn't DATA-DIR/agent", NULL                                   \
    }
static const struct option_row import_options[] = {
    DATA_DIR, STATE_DIR, {"name", "NAME", "for an image that has no name of its own", NULL}, {NULL, NULL, NULL, NULL}};
static const struct option_row ls_options[] = {DATA_DIR, STATE_DIR, {NULL, NULL, NULL, NULL}};
const struct command command_image_import = {"image import",
                                             "FILE",
                                             "put an OCI archive, OCI layout or docker-save tar into the image store",
                                             import_options,
                                             run_import,
                                             1,
                                             1};
const struct command command_image_ls = {"image ls", NULL, "list the images of this machine", ls_options, run_ls, 0, 0};
