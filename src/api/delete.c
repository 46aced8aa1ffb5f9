/* api/delete.c - DELETE of one object. Source: k8s.io/apiserver pkg/endpoints/handlers/delete.go. */
#include "api/internal.h"

/* ReturnDeletedObject of the kinds' stores: what is gone is shown; of others a Status tells. */
static bool shows_deleted(const struct resource *res)
{
    static const char *const names[] = {
        "pods", "podtemplates", "persistentvolumes", "persistentvolumeclaims", "resourcequotas", "serviceaccounts"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !res->group[0]; i++)
        if (!strcmp(res->name, names[i]))
            return true;
    return false;
}

static void answer(struct write_job *j, struct obj *o)
{
    struct api_req *r = j->r;
    bool accepted = !j->w.gone && j->state;
    if (!j->w.gone || shows_deleted(r->res)) {
        reply_obj(r, accepted ? 202 : 200, o);
        return;
    }
    reply_doc(r, 200, schema_type("meta.v1.Status"),
              status_success(r->mem, str_of(r->res->group), str_of(r->res->name), r->info.name, o->uid));
}

void handle_delete(struct api_req *r)
{
    struct delete_opts o;
    if (delete_options(r, &o) < 0) {
        reply_err(r);
        return;
    }
    struct write_job *j = write_job_new(r, WRITE_DELETE);
    j->w.dry_run = o.dry_run;
    j->w.grace_s = o.grace_s;
    j->w.want_uid = str_dup(j->mem, o.want_uid);
    j->w.want_rev = o.want_rev;
    j->w.propagation = (unsigned)o.propagation;
    j->answer = answer;
    j->state = o.orphan_false ? j : NULL;
    write_job_start(j);
}
