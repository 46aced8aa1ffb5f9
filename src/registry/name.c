/* registry/name.c - what a path below /v2/ names. */
#include "registry/name.h"

#include "registry/registry.h"

static bool is_low(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool component_valid(struct str s)
{
    for (size_t i = 0; i < s.len;) {
        if (!is_low(s.ptr[i]))
            return false;
        while (i < s.len && is_low(s.ptr[i]))
            i++;
        if (i == s.len)
            return true;
        char c = s.ptr[i];
        size_t n = 0;
        while (i < s.len && s.ptr[i] == c)
            i++, n++;
        if (!(c == '-' || (c == '.' && n == 1) || (c == '_' && n <= 2)))
            return false;
    }
    return false; /* empty, or ends in a separator */
}

bool name_valid(struct str name)
{
    struct str rest = name, part;
    int parts = 0;
    if (name.len > REGISTRY_NAME_BYTES_MAX || !name.len || name.ptr[name.len - 1] == '/')
        return false;
    for (; str_next(&rest, '/', &part); parts++)
        if (!component_valid(part))
            return false;
    return parts >= 2;
}

bool name_tag_valid(struct str tag)
{
    for (size_t i = 0; i < tag.len; i++) {
        char c = tag.ptr[i];
        bool word = is_low(c) || (c >= 'A' && c <= 'Z') || c == '_';
        if (!word && (i == 0 || (c != '.' && c != '-')))
            return false;
    }
    return tag.len > 0 && tag.len <= REGISTRY_TAG_BYTES_MAX;
}

static bool is_hex(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f')))
            return false;
    return true;
}

bool name_upload_valid(struct str id)
{
    return id.len == 32 && is_hex(id);
}

bool name_digest(struct str digest, struct str *ret_hex)
{
    struct str hex = str_from(digest, 7);
    if (!str_starts(digest, STR("sha256:")) || hex.len != 64 || !is_hex(hex))
        return false;
    *ret_hex = hex;
    return true;
}

/* From the end, as names have slashes too. */
static bool cut_last(struct str path, struct str *ret_head, struct str *ret_tail)
{
    ptrdiff_t slash = str_rfind(path, '/');
    if (slash < 0)
        return false;
    *ret_tail = str_from(path, (size_t)slash + 1);
    *ret_head = str_head(path, (size_t)slash);
    return true;
}

struct target name_route(struct str path)
{
    static const struct {
        const char *word;
        enum route route;
    } rows[] = {{"/blobs", ROUTE_BLOB},
                {"/manifests", ROUTE_MANIFEST},
                {"/referrers", ROUTE_REFERRERS},
                {"/blobs/uploads", ROUTE_UPLOAD}};
    struct target t = {ROUTE_NONE, STR_NULL, STR_NULL};
    struct str head, tail;
    if (str_is(path, "/v2") || str_is(path, "/v2/"))
        t.route = ROUTE_BASE;
    else if (str_is(path, "/v2/token"))
        t.route = ROUTE_TOKEN;
    if (t.route != ROUTE_NONE || !str_starts(path, STR("/v2/")))
        return t;
    if (str_ends(path, STR("/blobs/uploads"))) /* the slash may be missing */
        head = path, tail = STR_NULL;
    else if (!cut_last(path, &head, &tail))
        return t;
    if (str_is(tail, "list") && str_ends(head, STR("/tags"))) {
        t.route = ROUTE_TAGS;
        t.name = str_head(head, head.len - 5);
    } else {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            if (str_ends(head, str_of(rows[i].word))) {
                t.route = rows[i].route;
                t.name = str_head(head, head.len - strlen(rows[i].word));
            }
        t.ref = tail;
    }
    if (t.route == ROUTE_UPLOAD && !t.ref.len)
        t.route = ROUTE_UPLOADS;
    t.name = str_from(t.name, 4); /* "/v2/" */
    return t;
}

static bool number(struct str s, uint64_t *ret)
{
    return s.len && str_to_u64(s, ret);
}

int name_range(struct str header, uint64_t size, uint64_t *ret_first, uint64_t *ret_last)
{
    struct str first_text, last_text;
    uint64_t first = 0, last = size ? size - 1 : 0;
    if (!str_starts(header, STR("bytes=")) || str_find(header, ',') >= 0 ||
        !str_cut(str_from(header, 6), '-', &first_text, &last_text))
        return 0;
    if (first_text.len == 0) {
        uint64_t n;
        if (!number(last_text, &n))
            return 0;
        if (n == 0 || size == 0)
            return -1;
        first = n < size ? size - n : 0;
    } else {
        if (!number(first_text, &first) || (last_text.len && !number(last_text, &last)) ||
            (last_text.len && last < first))
            return 0;
        if (first >= size)
            return -1;
        last = last < size ? last : size - 1;
    }
    *ret_first = first, *ret_last = last;
    return 1;
}

bool name_content_range(struct str header, uint64_t *ret_first, uint64_t *ret_last)
{
    struct str first, last;
    header = str_starts(header, STR("bytes ")) ? str_from(header, 6) : header; /* as Docker's clients may say */
    str_cut(header, '/', &header, &last);
    uint64_t a, b;
    if (!str_cut(header, '-', &first, &last) || !number(first, &a) || !number(last, &b) || b < a)
        return false;
    *ret_first = a, *ret_last = b;
    return true;
}
