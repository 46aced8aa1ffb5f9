/* api/get.c - GET of one object, or of a subresource that shows the whole object (status, approval, resize...). */
#include "api/internal.h"

void handle_get(struct api_req *r)
{
    const struct obj *o = cache_find(r->api->cache, r->res, r->info.ns, r->info.name);
    uint64_t ignored;
    if (parse_rev(r, query_get(&r->query, "resourceVersion"), false, &ignored) < 0) {
        reply_err(r);
        return;
    }
    if (!o) {
        err_not_found(&r->err, str_of(r->res->group), str_of(r->res->name), r->info.name);
        reply_err(r);
        return;
    }
    reply_obj(r, 200, o);
}
