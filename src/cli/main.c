/* cli/main.c - finds the command, reads its options, runs it; help for all of them comes from the same rows. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "cli/cli.h"

int cli_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("sampan: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return 1;
}

static int usage(const struct command *c, const char *what, const char *about)
{
    fprintf(stderr, "sampan %s: %s%s\nSee 'sampan %s --help'.\n", c->name, what, about, c->name);
    return EXIT_USAGE;
}

int cli_wrong(const struct args *a, const char *option, const char *why)
{
    return usage(a->command, str_fmtz(a->mem, "--%s: ", option), why);
}

int set_log_level(const struct args *a)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    const char *value = arg(a, "log-level");
    for (int i = 0; i < (int)(sizeof(names) / sizeof(*names)); i++)
        if (!strcmp(value, names[i])) {
            log_set_level((enum log_level)i);
            return 0;
        }
    return cli_wrong(a, "log-level", str_fmtz(a->mem, "\"%s\" is none of debug, info, warn, error", value));
}

const char *arg(const struct args *a, const char *option)
{
    for (int i = 0; a->command->options[i].name; i++)
        if (!strcmp(a->command->options[i].name, option))
            return a->values[i] ? a->values[i] : a->command->options[i].dflt;
    return NULL;
}

static void help_command(FILE *to, const struct command *c)
{
    fprintf(to, "%s\n\nUsage: sampan %s%s%s%s\n", c->text, c->name, c->options[0].name ? " [OPTION...]" : "",
            c->args ? " " : "", c->args ? c->args : "");
    if (c->options[0].name)
        fputs("\nOptions:\n", to);
    for (const struct option_row *o = c->options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        fprintf(to, "  %-28s %s%s%s%s\n", left, o->text, o->dflt ? " (default " : "", o->dflt ? o->dflt : "",
                o->dflt ? ")" : "");
    }
}

static void help(FILE *to)
{
    fputs("Sampan runs containers and speaks the Kubernetes API.\n\nUsage: sampan COMMAND [OPTION...]\n\nCommands:\n",
          to);
    for (int i = 0; cli_commands[i]; i++)
        fprintf(to, "  %-16s %s\n", cli_commands[i]->name, cli_commands[i]->text);
    fputs("\n`sampan COMMAND --help` says more.\n", to);
}

/* The longest name that the first words spell: "store repair" before "store". */
static const struct command *find(char **argv, int argc, int *ret_words)
{
    for (int words = argc >= 2 ? 2 : argc; words > 0; words--) {
        char name[64];
        snprintf(name, sizeof(name), words == 2 ? "%s %s" : "%s", argv[0], words == 2 ? argv[1] : "");
        for (int i = 0; cli_commands[i]; i++)
            if (!strcmp(cli_commands[i]->name, name)) {
                *ret_words = words;
                return cli_commands[i];
            }
    }
    return NULL;
}

static int option_index(const struct command *c, struct str name)
{
    for (int i = 0; c->options[i].name; i++)
        if (str_is(name, c->options[i].name) ||
            (name.len == 1 && name.ptr[0] == c->options[i].name[0] && !strcmp(c->options[i].name, "output")))
            return i;
    return -1;
}

/* Reads --name value, --name=value, -o value and plain words in any order. */
static int parse(struct args *a, char **argv, int argc)
{
    const struct command *c = a->command;
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        struct str word = str_of(argv[i]), name, value;
        if (only_words || word.len < 2 || word.ptr[0] != '-') {
            a->rest[a->rest_count++] = argv[i];
            continue;
        }
        if (str_is(word, "--")) {
            only_words = true;
            continue;
        }
        bool has_value = str_cut(str_from(word, word.ptr[1] == '-' ? 2 : 1), '=', &name, &value);
        int at = option_index(c, name);
        if (at < 0)
            return usage(c, "unknown option: ", argv[i]);
        if (!c->options[at].value && has_value)
            return usage(c, "option takes no value: ", argv[i]);
        if (c->options[at].value && !has_value && i + 1 == argc)
            return usage(c, "option needs a value: ", argv[i]);
        a->values[at] = !c->options[at].value ? "" : has_value ? str_z(a->mem, value) : argv[++i];
    }
    if (a->rest_count < c->args_min || a->rest_count > c->args_max)
        return usage(c, a->rest_count < c->args_min ? "missing argument: " : "too many arguments",
                     a->rest_count < c->args_min ? c->args : "");
    return 0;
}

static bool wants_help(char **argv, int argc)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    int words = 0;
    if (argc < 2 || !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        const struct command *about = argc > 2 ? find(argv + 2, argc - 2, &words) : NULL;
        if (about)
            help_command(stdout, about);
        else
            help(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : 0;
    }
    if (!strcmp(argv[1], "--version"))
        argv[1] += 2; /* version */
    const struct command *c = find(argv + 1, argc - 1, &words);
    if (!c) {
        fprintf(stderr, "sampan: unknown command \"%s\"\nSee 'sampan --help'.\n", argv[1]);
        return EXIT_USAGE;
    }
    argv += 1 + words, argc -= 1 + words;
    if (wants_help(argv, argc)) {
        help_command(stdout, c);
        return 0;
    }
    struct arena *mem = arena_new();
    int options = 0;
    while (c->options[options].name)
        options++;
    struct args a = {.mem = mem,
                     .command = c,
                     .values = arena_array(mem, const char *, options + 1),
                     .rest = arena_array(mem, const char *, argc + 1)};
    int r = parse(&a, argv, argc);
    if (!r)
        r = c->run(&a);
    arena_free(mem);
    return r;
}
