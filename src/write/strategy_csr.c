/* write/strategy_csr.c - certificate requests: who asked is written down by the server, nothing of it changes later;
 * one subresource takes the verdict, the other the certificate.
 *
 * Source: kubernetes pkg/registry/certificates/certificates/strategy.go. */
#include "write/internal.h"

void csr_create(struct pending *p, struct doc *obj)
{
    static const char *const ours[] = {"username", "uid", "groups", "extra"};
    struct arena *mem = p->req->mem;
    struct doc *spec = doc_sub(mem, obj, "spec");
    const struct user *u = p->req->user;
    doc_put(mem, obj, "status", doc_new_object(mem));
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        doc_del(spec, ours[i]);
    if (!u)
        return;
    doc_put_str(mem, spec, "username", u->name);
    if (u->uid.len)
        doc_put_str(mem, spec, "uid", u->uid);
    struct doc *groups = u->group_count ? doc_sub_array(mem, spec, "groups") : NULL;
    for (int i = 0; i < u->group_count; i++)
        doc_push(groups, doc_new_str(mem, u->groups[i]));
    struct doc *extra = u->extra_count ? doc_sub(mem, spec, "extra") : NULL;
    for (int i = 0; i < u->extra_count; i++) {
        struct doc *values = doc_set(extra, u->extra[i].key, doc_new_array(mem));
        for (int k = 0; k < u->extra[i].count; k++)
            doc_push(values, doc_new_str(mem, u->extra[i].values[k]));
    }
}

static int count_of(const struct doc *conditions, const char *type)
{
    int n = 0;
    doc_each (c, conditions)
        n += str_is(doc_str(c, "type"), type);
    return n;
}

/* Through status the verdicts stay as they are; added or removed ones are left for validation to refuse. */
static void keep_verdict(struct arena *mem, struct doc *conditions, const struct doc *old, const char *type)
{
    if (count_of(conditions, type) != count_of(old, type))
        return;
    const struct doc *was = doc_first(old);
    doc_each (c, conditions) {
        if (!str_is(doc_str(c, "type"), type))
            continue;
        while (was && !str_is(doc_str(was, "type"), type))
            was = was->next;
        doc_assign(c, doc_copy(mem, was));
        was = was->next;
    }
}

static void stamp(struct pending *p, struct doc *conditions, const struct doc *old)
{
    struct arena *mem = p->req->mem;
    struct str now = meta_time(mem, loop_wall_ms(p->w->loop));
    doc_each (c, conditions) {
        struct str since = now;
        if (!doc_str(c, "lastUpdateTime").len)
            doc_put_str(mem, c, "lastUpdateTime", now);
        if (doc_str(c, "lastTransitionTime").len)
            continue;
        doc_each (was, old)
            if (str_eq(doc_str(was, "type"), doc_str(c, "type")) &&
                str_eq(doc_str(was, "status"), doc_str(c, "status")) && doc_str(was, "lastTransitionTime").len)
                since = doc_str(was, "lastTransitionTime");
        doc_put_str(mem, c, "lastTransitionTime", since);
    }
}

void csr_update(struct pending *p, struct doc *obj, const struct doc *old)
{
    struct arena *mem = p->req->mem;
    const char *sub = p->req->sub ? p->req->sub->name : "";
    const struct doc *was = doc_get(old, "status"), *old_conditions = doc_get(was, "conditions");
    struct doc *conditions = doc_path(obj, "status", "conditions", NULL);
    doc_put(mem, obj, "spec", doc_copy(mem, doc_get(old, "spec")));
    if (!sub[0])
        return;
    if (!strcmp(sub, "status")) {
        keep_verdict(mem, conditions, old_conditions, "Approved");
        keep_verdict(mem, conditions, old_conditions, "Denied");
    }
    stamp(p, conditions, old_conditions);
    if (strcmp(sub, "approval") != 0)
        return;
    struct doc *list = conditions ? doc_copy(mem, conditions) : NULL;
    struct doc *status = doc_put(mem, obj, "status", was ? doc_copy(mem, was) : doc_new_object(mem));
    if (list)
        doc_put(mem, status, "conditions", list);
    else
        doc_del(status, "conditions");
}
