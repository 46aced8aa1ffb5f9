/* cli/cli.h - the command line: one row a command; wires server and agent together.
 *
 * Exit codes: 0 done, 1 failed (one line on standard error says why), 2 wrong usage. May use every layer. */
#ifndef SAMPAN_CLI_CLI_H
#define SAMPAN_CLI_CLI_H

#include "base/arena.h"
#include "base/str.h"

enum { EXIT_USAGE = 2 };
#define SAMPAN_DATA_DIR "/var/lib/sampan"

struct option_row {
    const char *name;  /* "data-dir" */
    const char *value; /* "DIR"; NULL: a switch */
    const char *text;  /* for help */
    const char *dflt;  /* shown in help and used; NULL: none */
};
struct args;
struct command {
    const char *name, *args, *text;   /* "image import", "FILE", one line */
    const struct option_row *options; /* ended by a row without a name */
    int (*run)(struct args *a);
    int args_min, args_max;
};
struct args {
    struct arena *mem;
    const struct command *command;
    const char **values; /* of the options, in their order; a switch that is set has "" */
    const char **rest;
    int rest_count;
};
extern const struct command *const cli_commands[];                        /* NULL-terminated */
const char *arg(const struct args *a, const char *option);                /* value, default or NULL */
int cli_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* prints `sampan: ...`; returns 1 */
/* The value of an option is wrong: says so and returns EXIT_USAGE. */
int cli_wrong(const struct args *a, const char *option, const char *why);
int64_t cli_duration_s(const char *text); /* "1h0m0s", "24h", "90s", "0"; -1: no duration */
#define OPTION_LOG_LEVEL                                                                                               \
    {                                                                                                                  \
        "log-level", "LEVEL", "debug, info, warn or error: the least that is logged", "info"                           \
    }
int set_log_level(const struct args *a); /* 0, or EXIT_USAGE after a line that says why */

extern const struct command command_agent, command_completion, command_convert, command_down, command_image_import,
    command_image_ls, command_kubeconfig, command_server, command_status, command_store_repair, command_token_create,
    command_token_delete, command_token_list, command_up, command_version;

#endif
