#include "node/image/archive.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

const struct archive_calls *archive_open(void)
{
    static struct archive_calls calls;
    static int state; /* 0: not tried */
    if (state)
        return state > 0 ? &calls : NULL;
    state = -1;
    void *lib = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        return NULL;
    void *at;
#define X(name)                                                                                                        \
    if (!(at = dlsym(lib, #name)))                                                                                     \
        return NULL;                                                                                                   \
    memcpy(&calls.name, &at, sizeof(at));
    ARCHIVE_CALLS(X)
#undef X
    state = 1;
    return &calls;
}
