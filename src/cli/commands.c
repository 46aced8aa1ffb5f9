/* cli/commands.c - every command, in the order of the help text. */
#include "cli/cli.h"

const struct command *const cli_commands[] = {
    &command_up,           &command_down,         &command_status,       &command_server,
    &command_agent,        &command_kubeconfig,   &command_token_create, &command_token_list,
    &command_token_delete, &command_image_import, &command_image_ls,     &command_convert,
    &command_store_repair, &command_completion,   &command_version,      NULL,
};
