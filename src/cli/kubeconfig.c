/* cli/kubeconfig.c - `sampan kubeconfig`: the administrator's kubeconfig, for KUBECONFIG or ~/.kube/config. */
#include <stdio.h>

#include "base/io.h"
#include "cli/cli.h"

enum { KUBECONFIG_BYTES_MAX = 1 << 20 };

static int run(struct args *a)
{
    char *path = str_fmtz(a->mem, "%s/admin.kubeconfig", arg(a, "data-dir"));
    struct str text;
    int r = io_read_whole(a->mem, path, KUBECONFIG_BYTES_MAX, &text);
    if (r < 0)
        return cli_fail("%s: %s; is this the data directory of a server that has started once?", path, strerror(-r));
    return fwrite(text.ptr, 1, text.len, stdout) == text.len && fflush(stdout) == 0
               ? 0
               : cli_fail("standard output: can't write");
}

static const struct option_row options[] = {{"data-dir", "DIR", "the server's state", SAMPAN_DATA_DIR "/server"},
                                            {NULL, NULL, NULL, NULL}};
const struct command command_kubeconfig = {
    "kubeconfig", NULL, "print the administrator's kubeconfig", options, run, 0, 0};
