/* api/create.c - POST of an object. Source: k8s.io/apiserver pkg/endpoints/handlers/create.go. */
#include "api/internal.h"

static int check_namespace(struct write_job *j, struct doc *body, struct err *err)
{
    struct doc *meta = doc_sub(j->mem, body, "metadata");
    struct str ns = doc_str(meta, "namespace");
    if (ns.len && !str_eq(ns, j->w.ns))
        return err_set(err, ERR_BAD_REQUEST,
                       "the namespace of the provided object does not match the namespace sent on the request");
    if (j->w.ns.len)
        doc_put_str(j->mem, meta, "namespace", j->w.ns);
    return 0;
}

void handle_create(struct api_req *r)
{
    struct write_opts o;
    enum media_form form;
    if (negotiate_body(exchange_header(r->x, "content-type"), &form, &r->err) < 0 ||
        write_options(r, "CreateOptions", &o) < 0) {
        reply_err(r);
        return;
    }
    struct write_job *j = write_job_new(r, WRITE_CREATE);
    j->w.dry_run = o.dry_run;
    j->w.field_manager = str_dup(j->mem, o.field_manager);
    j->w.body = decode_body(j->mem, j->body, form, r->res->type, r->res->kind, r->res->api_version, o.validation,
                            &j->warnings, &r->err);
    if (!j->w.body || check_namespace(j, j->w.body, &r->err) < 0) {
        write_job_fail(j, &r->err);
        return;
    }
    write_job_start(j);
}
