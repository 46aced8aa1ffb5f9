/* api/usage_table.c - lines to points, points to rates. */
#include "api/usage_table.h"

#include <math.h>
#include <stdlib.h>

static const double too_large = 9e18;

struct usage_table *usage_table_new(void)
{
    struct arena *mem = arena_new();
    struct usage_table *t = arena_new_of(mem, struct usage_table);
    t->mem = mem;
    return t;
}

struct usage_table *usage_table_free(struct usage_table *t)
{
    if (!t)
        return NULL;
    map_done(&t->index);
    arena_free(t->mem);
    return NULL;
}

/* ---- one line */

/* Up to the quote that ends it. Names of Kubernetes hold nothing that would be escaped. */
static bool take_quoted(struct str *rest, struct str *ret)
{
    if (!rest->len || rest->ptr[0] != '"' || !str_cut(str_from(*rest, 1), '"', ret, rest))
        return false;
    return str_find(*ret, '\\') < 0 && str_find(*ret, '/') < 0;
}

/* `a="b",c="d"}`; *rest is then what follows. */
static bool take_labels(struct str *rest, struct usage_point *p)
{
    struct str key, value;
    while (str_cut(*rest, '=', &key, rest)) {
        if (!take_quoted(rest, &value))
            return false;
        if (str_is(key, "container"))
            p->container = value;
        else if (str_is(key, "namespace"))
            p->ns = value;
        else if (str_is(key, "pod"))
            p->pod = value;
        if (!rest->len)
            return false;
        char c = rest->ptr[0];
        *rest = str_from(*rest, 1);
        if (c == '}')
            return true;
        if (c != ',')
            return false;
    }
    return false;
}

static bool number(struct str s, double *ret)
{
    char text[64], *end;
    if (!s.len || s.len >= sizeof(text))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    *ret = strtod(text, &end);
    return end == text + s.len && isfinite(*ret) && *ret >= 0;
}

/* "VALUE" or "VALUE MILLISECONDS", times scale. */
static bool take_sample(struct str rest, double scale, int64_t *ret, int64_t *ret_at_ms)
{
    struct str value, at;
    double v;
    str_cut(str_trim(rest), ' ', &value, &at);
    if (!number(value, &v) || v * scale >= too_large)
        return false;
    *ret = (int64_t)(v * scale);
    return str_to_i64(at, ret_at_ms) && *ret_at_ms > 0;
}

static struct usage_point *point_of(struct usage_table *t, const struct usage_point *names)
{
    char text[USAGE_LINE_BYTES_MAX + 4];
    size_t len = 0;
    const struct str parts[] = {names->ns, names->pod, names->container};
    for (int i = 0; i < 3; i++) {
        if (parts[i].len)
            memcpy(text + len, parts[i].ptr, parts[i].len);
        len += parts[i].len;
        text[len++] = '/';
    }
    struct usage_point *p = map_get(&t->index, str_mem(text, len));
    if (p || t->count == USAGE_POINTS_MAX)
        return p;
    if (t->count == t->cap) {
        size_t one = sizeof(*t->points), had = one * (size_t)t->cap;
        t->cap = t->cap ? 2 * t->cap : 32;
        t->points = arena_grow(t->mem, t->points, had, one * (size_t)t->cap);
    }
    p = arena_new_of(t->mem, struct usage_point);
    struct str key = str_dup(t->mem, str_mem(text, len));
    *p = (struct usage_point){.cpu_ns = -1, .memory_bytes = -1};
    p->ns = str_head(key, names->ns.len);
    p->pod = str_head(str_from(key, names->ns.len + 1), names->pod.len);
    p->container = str_head(str_from(key, names->ns.len + names->pod.len + 2), names->container.len);
    map_put(&t->index, key, p);
    return t->points[t->count++] = p;
}

static void read_line(struct usage_table *t, struct str line)
{
    static const struct {
        const char *name;
        bool of_node;
        double scale;
        size_t to;
    } rows[] = {
        {"container_cpu_usage_seconds_total", false, 1e9, offsetof(struct usage_point, cpu_ns)},
        {"container_memory_working_set_bytes", false, 1, offsetof(struct usage_point, memory_bytes)},
        {"container_start_time_seconds", false, 1e3, offsetof(struct usage_point, start_ms)},
        {"node_cpu_usage_seconds_total", true, 1e9, offsetof(struct usage_point, cpu_ns)},
        {"node_memory_working_set_bytes", true, 1, offsetof(struct usage_point, memory_bytes)},
    };
    struct usage_point names = {0};
    size_t len = 0;
    while (len < line.len && line.ptr[len] != '{' && line.ptr[len] != ' ')
        len++;
    struct str rest = str_from(line, len);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t value, at_ms;
        if (!str_is(str_head(line, len), rows[i].name))
            continue;
        if (str_starts(rest, STR("{"))) {
            rest = str_from(rest, 1);
            if (!take_labels(&rest, &names))
                return;
        }
        if (rows[i].of_node != !names.pod.len || rows[i].of_node != !names.container.len ||
            !take_sample(rest, rows[i].scale, &value, &at_ms))
            return;
        struct usage_point *p = point_of(t, &names);
        if (!p)
            return;
        memcpy((char *)p + rows[i].to, &value, sizeof(value));
        if (rows[i].to == offsetof(struct usage_point, cpu_ns)) /* what the rate is of */
            p->at_ms = at_ms;
        return;
    }
}

void usage_table_read(struct usage_table *t, struct str bytes)
{
    struct str part;
    while (bytes.len) {
        bool ends = str_cut(bytes, '\n', &part, &bytes);
        t->skip |= t->line_len + part.len > sizeof(t->line);
        if (!t->skip && part.len) {
            memcpy(t->line + t->line_len, part.ptr, part.len);
            t->line_len += part.len;
        }
        if (!ends)
            return;
        if (!t->skip)
            read_line(t, str_mem(t->line, t->line_len));
        t->line_len = 0, t->skip = false;
    }
}

/* ---- the whole */

static int by_names(const void *a, const void *b)
{
    const struct usage_point *x = *(struct usage_point *const *)a, *y = *(struct usage_point *const *)b;
    int c = str_cmp(x->ns, y->ns);
    c = c ? c : str_cmp(x->pod, y->pod);
    return c ? c : str_cmp(x->container, y->container);
}

static const struct usage_point *same(const struct usage_table *before, const struct usage_point *p)
{
    struct usage_point *const *found =
        before && before->count ? bsearch(&p, before->points, (size_t)before->count, sizeof(*before->points), by_names)
                                : NULL;
    return found && (*found)->start_ms == p->start_ms && (*found)->cpu_ns <= p->cpu_ns ? *found : NULL;
}

static void rate(struct usage_point *p, const struct usage_point *was, int64_t elapsed_ms)
{
    int64_t used = p->cpu_ns, window = 0;
    if (was) {
        used -= was->cpu_ns;
        window = p->at_ms - was->at_ms;
        if (window < elapsed_ms - USAGE_CLOCK_SLACK_MS || window > elapsed_ms + USAGE_CLOCK_SLACK_MS)
            window = elapsed_ms;
    } else if (p->start_ms) {
        window = p->at_ms - p->start_ms;
    }
    if (window < USAGE_WINDOW_MS_MIN || window > USAGE_WINDOW_MS_MAX)
        return;
    p->window_ms = window;
    p->cpu_nano = (int64_t)((double)used / (double)window * 1e3);
}

void usage_table_end(struct usage_table *t, const struct usage_table *before, int64_t now_ms)
{
    int kept = 0;
    map_done(&t->index);
    t->index = MAP_INIT;
    t->taken_ms = now_ms;
    for (int i = 0; i < t->count; i++)
        if (t->points[i]->cpu_ns >= 0 && t->points[i]->memory_bytes >= 0)
            t->points[kept++] = t->points[i];
    t->count = kept;
    if (kept)
        qsort(t->points, (size_t)kept, sizeof(*t->points), by_names);
    for (int i = 0; i < kept; i++)
        rate(t->points[i], same(before, t->points[i]), before ? now_ms - before->taken_ms : 0);
}

struct usage_point *const *usage_table_find(const struct usage_table *t, struct str ns, struct str pod, int *ret_count)
{
    struct usage_point want = {.ns = ns, .pod = pod}, *key = &want;
    int low = 0, high = t->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (by_names(&t->points[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    int count = 0;
    while (low + count < t->count && str_eq(t->points[low + count]->ns, ns) && str_eq(t->points[low + count]->pod, pod))
        count++;
    *ret_count = count;
    return count ? t->points + low : NULL;
}
