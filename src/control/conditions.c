/* control/conditions.c - conditions, times, annotations. */
#include "control/conditions.h"

#include "schema/times.h"

struct doc *condition_get(const struct doc *status, const char *type)
{
    doc_each (c, doc_get(status, "conditions"))
        if (str_is(doc_str(c, "type"), type))
            return c;
    return NULL;
}

bool condition_is(const struct doc *status, const char *type, const char *value)
{
    return str_is(doc_str(condition_get(status, type), "status"), value);
}

bool condition_set(struct arena *mem, struct doc *status, const struct condition *c, struct str now)
{
    struct doc *old = condition_get(status, c->type);
    bool same_status = old && str_is(doc_str(old, "status"), c->status);
    if (!c->refresh && same_status && str_is(doc_str(old, "reason"), c->reason))
        return false;
    struct doc *list = doc_sub_array(mem, status, "conditions"), *d = doc_new_object(mem);
    doc_put_str(mem, d, "type", str_of(c->type));
    doc_put_str(mem, d, "status", str_of(c->status));
    if (c->has_update_time)
        doc_put_str(mem, d, "lastUpdateTime", now);
    doc_put_str(mem, d, "lastTransitionTime", same_status ? doc_str(old, "lastTransitionTime") : now);
    doc_put_str(mem, d, "reason", str_of(c->reason));
    doc_put_str(mem, d, "message", c->message);
    if (old)
        doc_remove(list, old);
    doc_push(list, d);
    return true;
}

bool condition_del(struct doc *status, const char *type)
{
    struct doc *c = condition_get(status, type), *list = doc_get(status, "conditions");
    if (!c)
        return false;
    doc_remove(list, c);
    if (!doc_len(list))
        doc_del(status, "conditions");
    return true;
}

void status_count(struct arena *mem, struct doc *status, const char *name, int64_t n)
{
    if (n)
        doc_put_int(mem, status, name, n);
    else
        doc_del(status, name);
}

int64_t time_ms(struct str text)
{
    cleanup_arena struct arena *mem = arena_new();
    int64_t sec;
    int32_t nano;
    struct str why;
    if (!text.len || !time_parse(mem, text, /* micro= */ false, &sec, &nano, &why))
        return 0;
    return sec * 1000 + nano / 1000000;
}

int64_t value_or_percent(const struct doc *v, int64_t total, bool round_up, int64_t absent)
{
    int64_t percent;
    struct str s = doc_string(v);
    if (doc_is(v, DOC_INT))
        return v->i;
    if (!str_ends(s, STR("%")) || !str_to_i64(str_head(s, s.len - 1), &percent))
        return absent;
    return (percent * total + (round_up ? 99 : 0)) / 100;
}

struct str meta_annotation(const struct doc *obj, const char *name)
{
    return doc_str(doc_path(obj, "metadata", "annotations", NULL), name);
}

bool meta_has_finalizer(const struct doc *obj, const char *name)
{
    doc_each (f, doc_path(obj, "metadata", "finalizers", NULL))
        if (str_is(doc_string(f), name))
            return true;
    return false;
}

struct doc *meta_without_finalizer(struct arena *mem, const struct doc *obj, const char *name)
{
    if (!meta_has_finalizer(obj, name))
        return NULL;
    struct doc *rest = doc_new_array(mem);
    doc_each (f, doc_path(obj, "metadata", "finalizers", NULL))
        if (!str_is(doc_string(f), name))
            doc_push(rest, doc_new_str(mem, doc_string(f)));
    return rest;
}
