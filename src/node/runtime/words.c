/* What crun says, in runc's words: people and programs look for them. Source: runc libcontainer (Go's os/exec and
 * syscall texts), crun 1.8 src/libcrun/linux.c and utils.c. */
#include "node/runtime/runtime.h"

static bool has(struct str s, const char *text)
{
    return str_has(s, str_of(text));
}

struct str runtime_words(struct arena *mem, struct str crun, struct str program, struct str cwd)
{
    struct str quoted = str_quote(mem, program);
    bool path = str_find(program, '/') >= 0;
    if (has(crun, "executable file") && path)
        return str_fmt(mem, "exec: " STR_FMT ": stat " STR_FMT ": no such file or directory", STR_ARG(quoted),
                       STR_ARG(program));
    if (has(crun, "executable file"))
        return str_fmt(mem, "exec: " STR_FMT ": executable file not found in $PATH", STR_ARG(quoted));
    if (has(crun, "open executable: Operation not permitted"))
        return str_fmt(mem, "exec: " STR_FMT ": is a directory", STR_ARG(quoted));
    if (has(crun, "open executable: Permission denied"))
        return str_fmt(mem, "exec: " STR_FMT ": permission denied", STR_ARG(quoted));
    if (has(crun, "chdir"))
        return str_fmt(mem, "chdir to cwd (" STR_FMT ") set in config.json failed: %s", STR_ARG(str_quote(mem, cwd)),
                       has(crun, "Permission denied") ? "permission denied" : "no such file or directory");
    return str_trim(crun);
}
