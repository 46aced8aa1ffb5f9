/* cli/version.c - `sampan version`. */
#include <stdio.h>

#include "cli/cli.h"

static int run(struct args *a)
{
    puts("sampan " SAMPAN_VERSION " (Kubernetes v" KUBERNETES_VERSION ")");
    return 0;
}

static const struct option_row options[] = {{NULL, NULL, NULL, NULL}};
const struct command command_version = {"version", NULL, "print the version", options, run, 0, 0};
