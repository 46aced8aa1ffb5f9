/* api/query.c - query parameters, as Kubernetes' options see them. */
#include "api/internal.h"

void query_parse(struct arena *mem, struct str text, struct query *ret)
{
    *ret = (struct query){0};
    if (!text.len)
        return;
    int cap = 1;
    for (size_t i = 0; i < text.len; i++)
        cap += text.ptr[i] == '&';
    if (cap > API_PARAMS_MAX)
        cap = API_PARAMS_MAX;
    ret->keys = arena_array(mem, struct str, cap);
    ret->values = arena_array(mem, struct str, cap);
    struct str pair;
    while (ret->count < cap && str_next(&text, '&', &pair)) {
        struct str key, value;
        str_cut(pair, '=', &key, &value);
        if (!pair.len || str_find(pair, ';') >= 0 || !url_decode_query(mem, key, &ret->keys[ret->count]) ||
            !url_decode_query(mem, value, &ret->values[ret->count]))
            continue;
        ret->count++;
    }
}

static int find(const struct query *q, const char *key)
{
    for (int i = 0; i < q->count; i++)
        if (str_is(q->keys[i], key))
            return i;
    return -1;
}

struct str query_get(const struct query *q, const char *key)
{
    int i = find(q, key);
    return i < 0 ? STR_NULL : q->values[i];
}

bool query_has(const struct query *q, const char *key)
{
    return find(q, key) >= 0;
}

bool query_bool(const struct query *q, const char *key)
{
    int i = find(q, key);
    return i >= 0 && !str_ieq(q->values[i], STR("false")) && !str_is(q->values[i], "0");
}

int query_int(const struct query *q, const char *key, int64_t *ret, struct err *err)
{
    int i = find(q, key);
    if (i < 0 || !q->values[i].len)
        return 0;
    if (str_to_i64(q->values[i], ret))
        return 1;
    bool digits = true;
    for (size_t k = 0; k < q->values[i].len; k++)
        digits &= (q->values[i].ptr[k] >= '0' && q->values[i].ptr[k] <= '9') || (k == 0 && q->values[i].ptr[k] == '-');
    return err_set(err, ERR_BAD_REQUEST, "strconv.ParseInt: parsing " STR_FMT ": %s",
                   STR_ARG(str_quote(err->mem, q->values[i])), digits ? "value out of range" : "invalid syntax");
}
