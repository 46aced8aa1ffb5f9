/* schema/bootstrap_token.c - see bootstrap_token.h. */
#include "schema/bootstrap_token.h"

#include <stdlib.h>

#include "schema/times.h"

static bool is_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(struct str s, size_t len)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_lower(s.ptr[i]))
            return false;
    return s.len == len;
}

bool bootstrap_token_split(struct str token, struct str *ret_id, struct str *ret_secret)
{
    struct str id, secret;
    if (!str_cut(token, '.', &id, &secret) || !is_word(id, BOOTSTRAP_ID_LEN) || !is_word(secret, BOOTSTRAP_SECRET_LEN))
        return false;
    *ret_id = id, *ret_secret = secret;
    return true;
}

static struct str data_of(struct arena *mem, const struct doc *secret, const char *key)
{
    struct str value = STR_NULL;
    str_base64_dec(mem, doc_str(doc_get(secret, "data"), key), &value);
    return value;
}

static int64_t end_ms(struct arena *mem, struct str text)
{
    int64_t sec;
    int32_t nano;
    struct str why;
    if (!text.len)
        return 0;
    return time_parse(mem, text, /* micro= */ false, &sec, &nano, &why) && sec > 0 ? sec * 1000 : 1;
}

bool bootstrap_token_read(struct arena *mem, const struct doc *secret, struct bootstrap_token *ret)
{
    struct str name = doc_str(doc_get(secret, "metadata"), "name"), prefix = STR(BOOTSTRAP_TOKEN_PREFIX);
    struct bootstrap_token t = {.id = data_of(mem, secret, "token-id"), .secret = data_of(mem, secret, "token-secret")};
    if (!str_is(doc_str(secret, "type"), BOOTSTRAP_TOKEN_TYPE) || !is_word(t.id, BOOTSTRAP_ID_LEN) ||
        !is_word(t.secret, BOOTSTRAP_SECRET_LEN) || !str_starts(name, prefix) ||
        !str_eq(str_from(name, prefix.len), t.id))
        return false;
    t.groups = data_of(mem, secret, "auth-extra-groups"), t.description = data_of(mem, secret, "description");
    t.expires_ms = end_ms(mem, data_of(mem, secret, "expiration"));
    t.authenticates = str_is(data_of(mem, secret, "usage-bootstrap-authentication"), "true");
    t.signs = str_is(data_of(mem, secret, "usage-bootstrap-signing"), "true");
    *ret = t;
    return true;
}

static bool is_group(struct str s)
{
    struct str prefix = STR("system:bootstrappers:"), rest = str_from(s, prefix.len);
    if (!str_starts(s, prefix) || !rest.len || rest.len > 256 || !is_lower(rest.ptr[rest.len - 1]))
        return false;
    for (size_t i = 0; i < rest.len; i++)
        if (!is_lower(rest.ptr[i]) && rest.ptr[i] != ':' && rest.ptr[i] != '-')
            return false;
    return true;
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

struct str *bootstrap_token_groups(struct arena *mem, struct str extra, int *ret_count)
{
    size_t max = 2, n = 0, unique = 0;
    struct str one;
    for (size_t i = 0; i < extra.len; i++)
        max += extra.ptr[i] == ',';
    struct str *groups = arena_array(mem, struct str, max);
    groups[n++] = STR("system:bootstrappers");
    while (str_next(&extra, ',', &one)) {
        if (!is_group(one))
            return NULL;
        groups[n++] = one;
    }
    qsort(groups, n, sizeof(*groups), by_text);
    for (size_t i = 0; i < n; i++)
        if (!unique || !str_eq(groups[unique - 1], groups[i]))
            groups[unique++] = groups[i];
    *ret_count = (int)unique;
    return groups;
}
