/* control/job_index.c - sets of completion indexes; a pod's index. */
#include "control/job_index.h"

#include "control/conditions.h"

/* ---- sets */

/* The first span that ends at index or later. */
static int find(const struct job_indexes *set, int64_t index)
{
    int low = 0, high = set->count;
    while (low < high) {
        int mid = low + (high - low) / 2;
        if (set->spans[mid].last >= index)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static void make_room(struct job_indexes *set)
{
    if (set->count < set->cap)
        return;
    int cap = set->cap ? set->cap * 2 : 8;
    struct job_span *more = arena_array(set->mem, struct job_span, cap);
    if (set->count)
        memcpy(more, set->spans, sizeof(*more) * (size_t)set->count);
    set->spans = more, set->cap = cap;
}

void job_indexes_add(struct job_indexes *set, int64_t first, int64_t last)
{
    int at = find(set, first - 1), end = at; /* at..end-1 touch the new span */
    for (; end < set->count && set->spans[end].first <= last + 1; end++) {
        first = set->spans[end].first < first ? set->spans[end].first : first;
        last = set->spans[end].last > last ? set->spans[end].last : last;
    }
    if (end == at)
        make_room(set);
    int keep = set->count - end, shift = end == at ? 1 : at + 1 - end;
    if (keep && shift)
        memmove(&set->spans[end + shift], &set->spans[end], sizeof(*set->spans) * (size_t)keep);
    set->spans[at] = (struct job_span){first, last};
    set->count += shift;
}

void job_indexes_merge(struct job_indexes *set, const struct job_indexes *more)
{
    for (int i = 0; i < more->count; i++)
        job_indexes_add(set, more->spans[i].first, more->spans[i].last);
}

bool job_indexes_has(const struct job_indexes *set, int64_t index)
{
    int i = find(set, index);
    return i < set->count && set->spans[i].first <= index;
}

int64_t job_indexes_count(const struct job_indexes *set)
{
    int64_t n = 0;
    for (int i = 0; i < set->count; i++)
        n += set->spans[i].last - set->spans[i].first + 1;
    return n;
}

int64_t job_indexes_overlap(const struct job_indexes *a, const struct job_indexes *b)
{
    int64_t n = 0;
    for (int i = 0, k = 0; i < a->count && k < b->count;) {
        const struct job_span *x = &a->spans[i], *y = &b->spans[k];
        int64_t first = x->first > y->first ? x->first : y->first, last = x->last < y->last ? x->last : y->last;
        n += last >= first ? last - first + 1 : 0;
        if (x->last < y->last)
            i++;
        else
            k++;
    }
    return n;
}

int64_t job_indexes_missing(const struct job_indexes *set, int64_t n, int64_t *ret, int64_t max)
{
    int64_t found = 0, next = 0;
    for (int i = 0; i <= set->count; i++) {
        int64_t end = i < set->count && set->spans[i].first < n ? set->spans[i].first : n;
        while (next < end && found < max)
            ret[found++] = next++;
        next = i < set->count ? set->spans[i].last + 1 : n;
    }
    return found;
}

struct job_indexes job_indexes_parse(struct arena *mem, struct str text, int64_t n)
{
    struct job_indexes set = job_indexes_of(mem);
    struct str part, first, last;
    while (str_next(&text, ',', &part)) {
        int64_t a, b;
        bool range = str_cut(part, '-', &first, &last);
        if (!str_to_i64(first, &a) || (range && !str_to_i64(last, &b)))
            continue;
        b = range ? b : a;
        b = b < n ? b : n - 1;
        if (a >= 0 && a <= b)
            job_indexes_add(&set, a, b);
    }
    return set;
}

struct str job_indexes_text(const struct job_indexes *set)
{
    struct sb out = SB(set->mem);
    for (int i = 0; i < set->count; i++) {
        const struct job_span *s = &set->spans[i];
        sb_addf(&out, "%s%lld", i ? "," : "", (long long)s->first);
        if (s->last > s->first)
            sb_addf(&out, "%c%lld", s->last == s->first + 1 ? ',' : '-', (long long)s->last);
    }
    return sb_str(&out);
}

/* ---- a pod's */

int64_t job_pod_index(const struct pod *p, int64_t n)
{
    int64_t index;
    struct str text = meta_annotation(p->doc, JOB_INDEX_LABEL);
    return str_to_i64(text, &index) && index >= 0 && index < n ? index : -1;
}

int64_t job_pod_failures(const struct pod *p, const char *annotation)
{
    int64_t n;
    return str_to_i64(meta_annotation(p->doc, annotation), &n) && n >= 0 && n <= INT32_MAX ? n : 0;
}
