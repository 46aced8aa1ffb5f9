/* control/csr.c - certificate requests: approved when the asker may have it so, signed once approved, removed when old.
 *
 * Three controllers of Kubernetes in one pass over a request: csrapproving, csrsigning, csrcleaner. Who may do what and
 * the CA's key stay behind struct csr_authority. Source: kubernetes pkg/controller/certificates. */
#include "control/conditions.h"
#include "control/csr_rules.h"
#include "control/internal.h"

#define HOUR_MS INT64_C(3600000)

static bool is_allowed(struct reconcile *r, const struct doc *spec, const char *permission)
{
    const struct csr_authority *ca = &controller_opts(r->c)->csr;
    struct user u = {.name = doc_str(spec, "username"), .uid = doc_str(spec, "uid")};
    u.groups = arena_array(r->mem, struct str, doc_len(doc_get(spec, "groups")) + 1);
    doc_each (g, doc_get(spec, "groups"))
        u.groups[u.group_count++] = doc_string(g);
    return ca->may_create(ca->ctx, r->mem, &u, permission);
}

static void put_verdict(struct reconcile *r, struct doc *csr, const char *type, const char *reason, struct str message)
{
    struct doc *c =
        doc_push(doc_sub_array(r->mem, doc_sub(r->mem, csr, "status"), "conditions"), doc_new_object(r->mem));
    doc_put_str(r->mem, c, "type", str_of(type));
    doc_put_str(r->mem, c, "status", STR("True"));
    doc_put_str(r->mem, c, "reason", str_of(reason));
    doc_put_str(r->mem, c, "message", message);
}

/* A machine that joins may not take the name of one that lives. */
static bool deny_taken(struct reconcile *r, const struct obj *o, struct doc *csr, struct str node_name)
{
    const struct obj *node = cache_find(r->cache, schema_stored("", "nodes"), STR_NULL, node_name);
    const struct doc *ready = node ? condition_get(doc_get(obj_doc(r->mem, node), "status"), "Ready") : NULL;
    if (!str_is(doc_str(ready, "status"), "True"))
        return false;
    put_verdict(r, csr, "Denied", "NodeNameTaken",
                str_fmt(r->mem,
                        "a node \"" STR_FMT "\" is part of the cluster and Ready: choose another name, or delete that "
                        "node first",
                        STR_ARG(node_name)));
    reconcile_update(r, o->res, "approval", csr);
    return true;
}

static const struct doc *node_of(struct reconcile *r, struct str user)
{
    struct str prefix = STR("system:node:");
    const struct obj *o = str_starts(user, prefix)
                              ? cache_find(r->cache, schema_stored("", "nodes"), STR_NULL, str_from(user, prefix.len))
                              : NULL;
    return o ? obj_doc(r->mem, o) : NULL;
}

static void approve(struct reconcile *r, const struct obj *o, struct doc *csr, const struct pki_csr *asked)
{
    const struct doc *spec = doc_get(csr, "spec");
    const char *permissions[2], *own = csr_own_of_node(spec, asked, node_of(r, doc_str(spec, "username")));
    if (own) {
        put_verdict(r, csr, "Approved", "AutoApproved", str_of(own));
        reconcile_update(r, o->res, "approval", csr);
        return;
    }
    int count = csr_auto_permissions(r->mem, spec, asked, permissions);
    for (int i = 0; i < count; i++) {
        if (!is_allowed(r, spec, permissions[i]))
            continue;
        if (permissions[i][0] == 'n' && deny_taken(r, o, csr, str_from(asked->common_name, strlen("system:node:"))))
            return;
        put_verdict(r, csr, "Approved", "AutoApproved",
                    str_fmt(r->mem, "Auto approving %skubelet client certificate after SubjectAccessReview.",
                            permissions[i][0] == 's' ? "self " : ""));
        reconcile_update(r, o->res, "approval", csr);
        return;
    }
}

static void sign(struct reconcile *r, const struct obj *o, struct doc *csr, const struct pki_csr *asked, struct str pem)
{
    const struct csr_authority *ca = &controller_opts(r->c)->csr;
    const struct doc *spec = doc_get(csr, "spec"), *usages = doc_get(spec, "usages");
    const char *why = csr_refusal(r->mem, doc_str(spec, "signerName"), asked, usages);
    struct str cert;
    if (why) {
        put_verdict(r, csr, "Failed", "SignerValidationFailure", str_of(why));
    } else if (ca->sign(ca->ctx, r->mem, pem, csr_usage_bits(usages), csr_lifetime_s(spec), &cert, &why) < 0) {
        r->failed = true;
        return;
    } else {
        doc_put_str(r->mem, doc_sub(r->mem, csr, "status"), "certificate", str_base64(r->mem, cert));
    }
    reconcile_update(r, o->res, "status", csr);
}

/* ---- the cleaner: when a request may go. 0: it stays for now. */

static int64_t certificate_end_ms(struct arena *mem, const struct doc *status)
{
    struct str pem = STR_NULL;
    str_base64_dec(mem, doc_str(status, "certificate"), &pem);
    return pki_not_after_s(pem) * 1000;
}

static int64_t ends_ms(struct arena *mem, const struct obj *o, const struct doc *status)
{
    const struct doc *approved = condition_get(status, "Approved"), *denied = condition_get(status, "Denied"),
                     *failed = condition_get(status, "Failed");
    if (!doc_len(doc_get(status, "conditions")))
        return o->created_ms + 24 * HOUR_MS;
    const struct doc *end = denied ? denied : failed;
    if (end)
        return time_ms(doc_str(end, "lastUpdateTime")) + HOUR_MS;
    if (!approved || !doc_str(status, "certificate").len)
        return 0;
    int64_t old_ms = time_ms(doc_str(approved, "lastUpdateTime")) + HOUR_MS,
            expired_ms = certificate_end_ms(mem, status);
    return expired_ms && expired_ms < old_ms ? expired_ms : old_ms;
}

static void reconcile(struct reconcile *r)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o || o->deleting)
        return;
    struct doc *csr = obj_doc(r->mem, o);
    const struct doc *status = doc_get(csr, "status"), *spec = doc_get(csr, "spec");
    int64_t end_ms = ends_ms(r->mem, o, status);
    if (end_ms && end_ms <= r->wall_ms) {
        reconcile_delete(r, o);
        return;
    }
    if (end_ms)
        r->again_ms = end_ms - r->wall_ms;
    struct str pem = STR_NULL;
    struct pki_csr asked;
    const char *why;
    bool approved = condition_get(status, "Approved"), denied = condition_get(status, "Denied"),
         failed = condition_get(status, "Failed"), issued = doc_str(status, "certificate").len > 0;
    if (issued || denied || failed || !controller_opts(r->c)->csr.sign || !csr_is_ours(doc_str(spec, "signerName")) ||
        !str_base64_dec(r->mem, doc_str(spec, "request"), &pem) || pki_csr_read(r->mem, pem, &asked, &why) < 0)
        return;
    if (approved)
        sign(r, o, csr, &asked, pem);
    else
        approve(r, o, csr, &asked);
}

const struct controller_kind controller_csr = {
    .name = "certificate",
    .watches = {{"certificates.k8s.io", "certificatesigningrequests"}},
    .reconcile = reconcile,
};
