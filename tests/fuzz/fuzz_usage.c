/* Any bytes of a node's /metrics/resource, in two parts, twice: rates come out sane and every point is found again. */
#include <stdlib.h>

#include "api/usage_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct usage_table *read_cut(const uint8_t *data, size_t size, const struct usage_table *before, int64_t now_ms)
{
    struct usage_table *t = usage_table_new();
    size_t cut = size ? data[0] % size : 0;
    usage_table_read(t, str_mem((const char *)data, cut));
    usage_table_read(t, str_mem((const char *)data + cut, size - cut));
    usage_table_end(t, before, now_ms);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct usage_table *before = read_cut(data, size / 2, NULL, 0), *t = read_cut(data, size, before, 1000);
    for (int i = 0; i < t->count; i++) {
        const struct usage_point *p = t->points[i];
        int count;
        if (p->cpu_nano < 0 || p->window_ms < 0 || p->window_ms > USAGE_WINDOW_MS_MAX ||
            !usage_table_find(t, p->ns, p->pod, &count))
            abort();
    }
    usage_table_free(before);
    usage_table_free(t);
    return 0;
}
