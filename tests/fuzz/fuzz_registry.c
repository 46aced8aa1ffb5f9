/* The registry's paths, names, ranges and manifests: what it takes for safe must be safe as a part of a file's path. */
#include <stdlib.h>

#include "registry/manifest.h"
#include "registry/name.h"

static void must(bool fine)
{
    if (!fine)
        abort();
}

static void check_path_parts(struct str s)
{
    struct str hex;
    if (name_valid(s))
        must(!str_has(s, STR("..")) && !str_has(s, STR("/_")) && !str_has(s, STR("//")) && s.ptr[0] != '/' &&
             s.ptr[0] != '_');
    if (name_tag_valid(s))
        must(s.ptr[0] != '.' && str_find(s, '/') < 0);
    if (name_digest(s, &hex))
        must(str_find(hex, '/') < 0 && str_find(hex, '.') < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct str text = str_dup(mem, str_mem((const char *)data, size)), head, rest;
    struct manifest m;
    uint64_t first, last;
    struct target t = name_route(text);
    check_path_parts(text), check_path_parts(t.name), check_path_parts(t.ref);
    if (name_range(text, size, &first, &last) > 0)
        must(first <= last && last < size);
    name_content_range(text, &first, &last);
    str_cut(text, '\n', &head, &rest);
    if (manifest_read(mem, rest, head, &m, &err))
        for (int i = 0; i < m.blob_count; i++)
            must(m.blobs[i].len == 64);
    return 0;
}
