/* cli/commands.c - every command, in the order of the help text. */
#include "cli/cli.h"

const struct command *const cli_commands[] = {
    &command_server, &command_kubeconfig, &command_store_repair, &command_version, NULL,
};
