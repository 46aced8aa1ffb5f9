/* api/negotiate.c - Accept and Content-Type. Source: k8s.io/apiserver pkg/endpoints/handlers/negotiation, goautoneg. */
#include "api/internal.h"

enum { CLAUSES_MAX = 32 };

static const char *const types[] = {
    [MEDIA_JSON] = "application/json",
    [MEDIA_YAML] = "application/yaml",
    [MEDIA_PB] = "application/vnd.kubernetes.protobuf",
};

const char *media_type(const struct media *m)
{
    return m->stream && m->form == MEDIA_PB ? "application/vnd.kubernetes.protobuf;stream=watch" : types[m->form];
}

struct clause {
    struct str type; /* "application/json" */
    struct str params;
    int q; /* thousandths */
};

/* "0.9" to 900; what is no number counts as 1. */
static int quality(struct str s)
{
    int q = 0, scale = 1000;
    if (!s.len || s.ptr[0] < '0' || s.ptr[0] > '1')
        return 1000;
    q = (s.ptr[0] - '0') * 1000;
    for (size_t i = 2; i < s.len && i < 5 && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++)
        q += (s.ptr[i] - '0') * (scale /= 10);
    return q > 1000 ? 1000 : q;
}

static struct str unquote(struct str s)
{
    return s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"' ? str_mem(s.ptr + 1, s.len - 2) : s;
}

static bool next_param(struct str *params, struct str *key, struct str *value)
{
    struct str item;
    while (str_next(params, ';', &item)) {
        item = str_trim(item);
        if (!item.len)
            continue;
        str_cut(item, '=', key, value);
        *key = str_trim(*key);
        *value = unquote(str_trim(*value));
        return true;
    }
    return false;
}

/* Clauses by falling quality, equal ones in the order given. */
static int parse_accept(struct str accept, struct clause *ret)
{
    struct str item, key, value;
    int n = 0;
    while (n < CLAUSES_MAX && str_next(&accept, ',', &item)) {
        struct clause c = {.q = 1000};
        str_cut(item, ';', &c.type, &c.params);
        c.type = str_trim(c.type);
        struct str params = c.params;
        while (next_param(&params, &key, &value))
            if (str_is(key, "q"))
                c.q = quality(value);
        if (!c.type.len)
            continue;
        int at = n++;
        for (; at > 0 && ret[at - 1].q < c.q; at--)
            ret[at] = ret[at - 1];
        ret[at] = c;
    }
    return n;
}

static bool type_matches(struct str wanted, const char *have)
{
    return str_ieq(wanted, str_of(have)) || str_is(wanted, "*/*") || str_ieq(wanted, STR("application/*"));
}

struct transform {
    struct str as, group, version;
    bool known, stream;
};

static bool read_params(struct str params, struct transform *t, bool *pretty)
{
    struct str key, value;
    *t = (struct transform){0};
    while (next_param(&params, &key, &value)) {
        if (str_is(key, "as"))
            t->as = value, t->known = true;
        else if (str_is(key, "g"))
            t->group = value, t->known = true;
        else if (str_is(key, "v"))
            t->version = value, t->known = true;
        else if (str_is(key, "stream") && value.len) {
            if (!str_is(value, "watch"))
                return false;
            t->stream = true;
        } else if (str_is(key, "sv") && value.len && !str_is(value, "v1"))
            return false;
        else if (str_is(key, "pretty"))
            *pretty = str_is(value, "1");
    }
    return true;
}

static bool settle_transform(const struct transform *t, enum media_form form, struct media *ret)
{
    if (!t->known)
        return true;
    ret->beta = str_is(t->version, "v1beta1");
    if (!str_is(t->group, "meta.k8s.io") || (!ret->beta && !str_is(t->version, "v1")))
        return false;
    if (str_is(t->as, "Table")) {
        ret->as = AS_TABLE;
        return form != MEDIA_PB;
    }
    if (str_is(t->as, "PartialObjectMetadata"))
        ret->as = AS_PARTIAL;
    else if (str_is(t->as, "PartialObjectMetadataList"))
        ret->as = AS_PARTIAL_LIST;
    return ret->as != AS_IS;
}

int negotiate(struct str accept, bool watch, struct media *ret, struct err *err)
{
    struct clause clauses[CLAUSES_MAX];
    *ret = (struct media){0};
    if (!str_trim(accept).len)
        return 0;
    int n = parse_accept(accept, clauses);
    for (int i = 0; i < n; i++)
        for (int form = MEDIA_JSON; form <= MEDIA_PB; form++) {
            struct media m = {.form = (uint8_t)form};
            struct transform t;
            if (!type_matches(clauses[i].type, types[form]) || (watch && form == MEDIA_YAML))
                continue;
            if (!read_params(clauses[i].params, &t, &m.pretty) || !settle_transform(&t, (enum media_form)form, &m))
                continue;
            m.stream = watch;
            *ret = m;
            return 0;
        }
    return err_set(err, ERR_NOT_ACCEPTABLE, "only the following media types are accepted: %s",
                   watch ? "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
                         : "application/json, application/yaml, application/vnd.kubernetes.protobuf");
}

int negotiate_discovery(struct str accept, struct media *ret)
{
    struct clause clauses[CLAUSES_MAX];
    *ret = (struct media){0};
    int n = parse_accept(accept, clauses);
    for (int i = 0; i < n; i++)
        for (int form = MEDIA_JSON; form <= MEDIA_PB; form++) {
            struct media m = {.form = (uint8_t)form};
            struct transform t;
            if (!type_matches(clauses[i].type, types[form]) || !read_params(clauses[i].params, &t, &m.pretty))
                continue;
            if (t.known) {
                m.beta = str_is(t.version, "v2beta1");
                if (form != MEDIA_JSON || !str_is(t.as, "APIGroupDiscoveryList") ||
                    !str_is(t.group, "apidiscovery.k8s.io") || (!m.beta && !str_is(t.version, "v2")))
                    continue;
                m.as = AS_DISCOVERY;
            }
            *ret = m;
            return 0;
        }
    return n ? -1 : 0;
}

int negotiate_body(struct str content_type, enum media_form *ret, struct err *err)
{
    struct str type, params;
    str_cut(content_type, ';', &type, &params);
    type = str_trim(type);
    *ret = MEDIA_JSON;
    if (!type.len)
        return 0;
    for (int form = MEDIA_JSON; form <= MEDIA_PB; form++)
        if (str_ieq(type, str_of(types[form]))) {
            *ret = (enum media_form)form;
            return 0;
        }
    return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE,
                   "the body of the request was in an unknown format - accepted media types include: application/json, "
                   "application/yaml, application/vnd.kubernetes.protobuf");
}
