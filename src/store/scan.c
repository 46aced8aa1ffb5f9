/* store/scan.c - a skipping reader of JSON that we wrote ourselves. At 10,000 objects a start must not build 10,000
 * trees. */
#include "store/scan.h"

#include <stdlib.h>

struct scan {
    const char *p, *end;
};

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
        s->p++;
}

/* At an opening quote: what stands between the quotes. */
static bool take_string(struct scan *s, struct str *ret)
{
    if (s->p >= s->end || *s->p != '"')
        return false;
    const char *start = ++s->p;
    for (;;) {
        const char *q = memchr(s->p, '"', (size_t)(s->end - s->p));
        if (!q)
            return false;
        s->p = q + 1;
        const char *b = q;
        while (b > start && b[-1] == '\\')
            b--;
        if ((q - b) % 2 == 0) {
            *ret = str_mem(start, (size_t)(q - start));
            return true;
        }
    }
}

static bool skip_nested(struct scan *s)
{
    int depth = 0;
    struct str ignored;
    while (s->p < s->end) {
        switch (*s->p) {
        case '"':
            if (!take_string(s, &ignored))
                return false;
            continue;
        case '{':
        case '[':
            if (++depth > SCAN_DEPTH_MAX)
                return false;
            break;
        case '}':
        case ']':
            if (--depth == 0) {
                s->p++;
                return true;
            }
            break;
        }
        s->p++;
    }
    return false;
}

static bool skip_value(struct scan *s)
{
    struct str ignored;
    skip_space(s);
    if (s->p >= s->end)
        return false;
    if (*s->p == '"')
        return take_string(s, &ignored);
    if (*s->p == '{' || *s->p == '[')
        return skip_nested(s);
    const char *start = s->p;
    while (s->p < s->end && *s->p != ',' && *s->p != '}' && *s->p != ']' && *s->p != ' ')
        s->p++;
    return s->p > start;
}

/* Step into an object or array: true when `open` stands here. */
static bool enter(struct scan *s, char open)
{
    skip_space(s);
    if (s->p >= s->end || *s->p != open)
        return false;
    s->p++;
    return true;
}

enum step { STEP_ITEM, STEP_END, STEP_BAD };

/* Between items: past a comma, or past the closing bracket. */
static enum step next_item(struct scan *s, char close, bool first)
{
    skip_space(s);
    if (s->p >= s->end)
        return STEP_BAD;
    if (*s->p == close) {
        s->p++;
        return STEP_END;
    }
    if (first)
        return STEP_ITEM;
    if (*s->p++ != ',')
        return STEP_BAD;
    skip_space(s);
    return STEP_ITEM;
}

static enum step next_member(struct scan *s, bool *first, struct str *ret_key)
{
    enum step step = next_item(s, '}', *first);
    *first = false;
    if (step != STEP_ITEM)
        return step;
    if (!take_string(s, ret_key))
        return STEP_BAD;
    skip_space(s);
    if (s->p >= s->end || *s->p++ != ':')
        return STEP_BAD;
    skip_space(s);
    return STEP_ITEM;
}

/* A string value, or null and the like, which leave *ret alone. */
static bool string_or_skip(struct scan *s, struct str *ret)
{
    if (s->p < s->end && *s->p == '"')
        return take_string(s, ret);
    return skip_value(s);
}

/* Room for one more item in an array that starts out inline. */
static void *more(void *items, void *inline_items, int count, int *cap, size_t size)
{
    if (count < *cap)
        return items;
    if (count >= SCAN_ITEMS_MAX)
        return NULL;
    int to = *cap * 2;
    void *p = items == inline_items ? malloc(size * (size_t)to) : realloc(items, size * (size_t)to);
    if (!p)
        return NULL;
    if (items == inline_items)
        memcpy(p, items, size * (size_t)count);
    *cap = to;
    return p;
}

static bool add_label(struct scan_found *f, struct str key, struct str value)
{
    void *p = more(f->labels, f->labels_inline, f->label_count, &f->label_cap, sizeof f->labels[0]);
    if (!p)
        return false;
    f->labels = p;
    f->labels[f->label_count++] = (struct obj_label){key, value};
    return true;
}

static bool add_owner(struct scan_found *f, struct str uid)
{
    void *p = more(f->owners, f->owners_inline, f->owner_count, &f->owner_cap, sizeof f->owners[0]);
    if (!p)
        return false;
    f->owners = p;
    f->owners[f->owner_count++] = uid;
    return true;
}

static bool scan_labels(struct scan *s, struct scan_found *f)
{
    struct str key;
    bool first = true;
    if (!enter(s, '{'))
        return skip_value(s);
    for (;;) {
        enum step step = next_member(s, &first, &key);
        if (step != STEP_ITEM)
            return step == STEP_END;
        struct str value = STR_NULL;
        if (!string_or_skip(s, &value) || !add_label(f, key, value))
            return false;
    }
}

static bool scan_owner(struct scan *s, struct scan_found *f)
{
    struct str key, uid = STR_NULL;
    bool first = true, controller = false;
    if (!enter(s, '{'))
        return skip_value(s);
    for (;;) {
        enum step step = next_member(s, &first, &key);
        if (step == STEP_BAD)
            return false;
        if (step == STEP_END)
            break;
        if (str_is(key, "controller"))
            controller = s->p < s->end && *s->p == 't';
        if (!(str_is(key, "uid") ? string_or_skip(s, &uid) : skip_value(s)))
            return false;
    }
    if (controller && f->owner_uid.len == 0)
        f->owner_uid = uid;
    return uid.len == 0 || add_owner(f, uid);
}

static bool scan_owners(struct scan *s, struct scan_found *f)
{
    if (!enter(s, '['))
        return skip_value(s);
    for (bool first = true;; first = false) {
        enum step step = next_item(s, ']', first);
        if (step != STEP_ITEM)
            return step == STEP_END;
        if (!scan_owner(s, f))
            return false;
    }
}

static bool scan_metadata_field(struct scan *s, const char *text, struct str key, struct scan_found *f)
{
    struct str value = STR_NULL;
    switch (key.len) {
    case 3:
        return str_is(key, "uid") ? string_or_skip(s, &f->uid) : skip_value(s);
    case 4:
        return str_is(key, "name") ? string_or_skip(s, &f->name) : skip_value(s);
    case 6:
        return str_is(key, "labels") ? scan_labels(s, f) : skip_value(s);
    case 9:
        return str_is(key, "namespace") ? string_or_skip(s, &f->ns) : skip_value(s);
    case 15:
        if (str_is(key, "ownerReferences"))
            return scan_owners(s, f);
        if (str_is(key, "resourceVersion"))
            f->rev_at = (size_t)(s->p - text);
        return skip_value(s);
    case 17:
        if (!str_is(key, "creationTimestamp") && !str_is(key, "deletionTimestamp"))
            return skip_value(s);
        if (!string_or_skip(s, &value))
            return false;
        if (*key.ptr == 'd')
            f->deleting = value.len > 0;
        else if (value.len)
            scan_time(value, &f->created_ms);
        return true;
    default:
        return skip_value(s);
    }
}

static bool scan_metadata(struct scan *s, const char *text, struct scan_found *f)
{
    struct str key;
    bool first = true;
    if (!enter(s, '{'))
        return false;
    for (;;) {
        enum step step = next_member(s, &first, &key);
        if (step != STEP_ITEM)
            return step == STEP_END;
        if (!scan_metadata_field(s, text, key, f))
            return false;
    }
}

static bool scan_spec(struct scan *s, struct scan_found *f)
{
    struct str key;
    bool first = true;
    if (!enter(s, '{'))
        return skip_value(s);
    for (;;) {
        enum step step = next_member(s, &first, &key);
        if (step != STEP_ITEM)
            return step == STEP_END;
        if (!(str_is(key, "nodeName") ? string_or_skip(s, &f->node) : skip_value(s)))
            return false;
    }
}

bool scan_object(struct str json, bool want_node, struct scan_found *f)
{
    struct scan s = {json.ptr, json.ptr + json.len};
    struct str key;
    bool first = true, have_meta = false, have_spec = !want_node;
    *f = (struct scan_found){.rev_at = SIZE_MAX, .label_cap = SCAN_INLINE, .owner_cap = SCAN_INLINE};
    f->labels = f->labels_inline;
    f->owners = f->owners_inline;
    if (!enter(&s, '{'))
        return false;
    while (!have_meta || !have_spec) {
        enum step step = next_member(&s, &first, &key);
        if (step == STEP_BAD)
            return false;
        if (step == STEP_END)
            break;
        if (str_is(key, "metadata"))
            have_meta = scan_metadata(&s, json.ptr, f);
        else if (want_node && str_is(key, "spec"))
            have_spec = scan_spec(&s, f);
        else if (!skip_value(&s))
            return false;
        if ((str_is(key, "metadata") && !have_meta) || (want_node && str_is(key, "spec") && !have_spec))
            return false;
    }
    return have_meta;
}

void scan_done(struct scan_found *f)
{
    if (f->labels != f->labels_inline)
        free(f->labels);
    if (f->owners != f->owners_inline)
        free(f->owners);
}

static bool digits(const char *p, int n, int64_t *ret)
{
    int64_t v = 0;
    for (int i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        v = v * 10 + (p[i] - '0');
    }
    *ret = v;
    return true;
}

/* Days since 1970-01-01 of a day of the proleptic Gregorian calendar. Years are counted from March, so that the leap
 * day is the last of its year. */
static int64_t days(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool scan_time(struct str s, int64_t *ret_ms)
{
    int64_t y, mo, d, h, mi, sec, ms = 0;
    if (s.len < 20 || s.ptr[s.len - 1] != 'Z' || s.ptr[4] != '-' || s.ptr[7] != '-' || s.ptr[10] != 'T' ||
        s.ptr[13] != ':' || s.ptr[16] != ':')
        return false;
    if (!digits(s.ptr, 4, &y) || !digits(s.ptr + 5, 2, &mo) || !digits(s.ptr + 8, 2, &d) ||
        !digits(s.ptr + 11, 2, &h) || !digits(s.ptr + 14, 2, &mi) || !digits(s.ptr + 17, 2, &sec))
        return false;
    if (s.len > 20 && (s.ptr[19] != '.' || s.len < 24 || !digits(s.ptr + 20, 3, &ms)))
        return false;
    *ret_ms = (((days(y, mo, d) * 24 + h) * 60 + mi) * 60 + sec) * 1000 + ms;
    return true;
}
