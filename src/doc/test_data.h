/* doc/test_data.h - the public test data beside the project, for the tests of this folder. */
#ifndef SAMPAN_DOC_TEST_DATA_H
#define SAMPAN_DOC_TEST_DATA_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

/* False, with a clear line, where the data is absent. */
static inline bool test_data_file(struct arena *mem, const char *path, struct str *ret)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        printf("SKIPPED: no %s\n", path);
        return false;
    }
    struct sb all = SB(mem);
    size_t n;
    while ((n = fread(sb_room(&all, 65536), 1, 65536, f)) > 0)
        all.len += n;
    fclose(f);
    *ret = sb_str(&all);
    return true;
}

static inline const char *test_data_path(struct arena *mem, const char *name)
{
    const char *root = getenv("SAMPAN_TEST_DATA");
    return str_fmtz(mem, "%s/%s", root ? root : "../shared/data", name);
}

#endif
