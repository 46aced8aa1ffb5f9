/* cli/completion.c - `sampan completion bash|zsh|fish`: completion of commands and options, made from the command rows.
 */
#include <stdio.h>

#include "cli/cli.h"

static void bash(void)
{
    puts("_sampan() {\n    local words=\"${COMP_WORDS[*]:1:COMP_CWORD-1}\" cur=\"${COMP_WORDS[COMP_CWORD]}\" list=");
    puts("    case \"$words\" in");
    for (int i = 0; cli_commands[i]; i++) {
        const struct command *c = cli_commands[i];
        printf("    \"%s\"*) list=\"--help", c->name);
        for (const struct option_row *o = c->options; o->name; o++)
            printf(" --%s", o->name);
        puts("\" ;;");
    }
    printf("    *) list=\"");
    for (int i = 0; cli_commands[i]; i++)
        printf("%s%s", i ? " " : "", cli_commands[i]->name);
    puts("\" ;;\n    esac\n    [ \"${cur#-}\" = \"$cur\" ] && [ \"${list#--}\" != \"$list\" ] && { "
         "COMPREPLY=($(compgen -f -- \"$cur\")); return; }");
    puts("    COMPREPLY=($(compgen -W \"$list\" -- \"$cur\"))\n}\ncomplete -F _sampan sampan");
}

static void fish(void)
{
    for (int i = 0; cli_commands[i]; i++) {
        const struct command *c = cli_commands[i];
        struct str head, rest;
        str_cut(str_of(c->name), ' ', &head, &rest);
        printf("complete -c sampan -n __fish_use_subcommand -a %.*s -d '%s'\n", STR_ARG(head), c->text);
        for (const struct option_row *o = c->options; o->name; o++)
            printf("complete -c sampan -n '__fish_seen_subcommand_from %.*s' -l %s%s -d '%s'\n", STR_ARG(head), o->name,
                   o->value ? " -r" : "", o->text);
    }
}

static int run(struct args *a)
{
    const char *shell = a->rest[0];
    if (!strcmp(shell, "bash"))
        bash();
    else if (!strcmp(shell, "zsh"))
        puts("autoload -U +X bashcompinit && bashcompinit"), bash();
    else if (!strcmp(shell, "fish"))
        fish();
    else
        return cli_fail("completion: \"%s\" is none of bash, zsh, fish", shell), EXIT_USAGE;
    return 0;
}

static const struct option_row options[] = {{NULL, NULL, NULL, NULL}};
const struct command command_completion = {
    "completion", "bash|zsh|fish", "print a completion script for a shell", options, run, 1, 1};
