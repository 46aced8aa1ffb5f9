/* write/meta.c - the part of metadata that only the server writes: names, uids, times.
 *
 * Source: apiserver registry/rest/{create,update,meta}.go, storage/names/generate.go. */
#include "write/internal.h"

#include "schema/times.h"

enum { NAME_BYTES_MAX = 63, NAME_RANDOM_BYTES = 5 };

struct str meta_time(struct arena *mem, int64_t wall_ms)
{
    return time_format(mem, wall_ms / 1000, 0, /* micro= */ false);
}

/* Letters and digits that form no words (apimachinery util/rand). */
struct str meta_generate_name(struct pending *p, struct str prefix)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    char random[NAME_RANDOM_BYTES];
    for (int i = 0; i < NAME_RANDOM_BYTES; i++)
        random[i] = alphabet[loop_rand(p->w->loop, RAND_NAME) % (sizeof(alphabet) - 1)];
    prefix = str_head(prefix, NAME_BYTES_MAX - NAME_RANDOM_BYTES);
    return str_fmt(p->req->mem, STR_FMT "%.*s", STR_ARG(prefix), NAME_RANDOM_BYTES, random);
}

static struct str new_uid(struct pending *p)
{
    uint8_t u[16];
    loop_rand_bytes(p->w->loop, RAND_UID, u, sizeof(u));
    u[6] = (uint8_t)((u[6] & 0x0f) | 0x40), u[8] = (uint8_t)((u[8] & 0x3f) | 0x80); /* RFC 9562: version 4 */
    static const char digits[] = "0123456789abcdef";
    char *to = arena_alloc(p->req->mem, 37), *end = to;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *end++ = '-';
        *end++ = digits[u[i] >> 4];
        *end++ = digits[u[i] & 15];
    }
    *end = '\0';
    return str_mem(to, (size_t)(end - to));
}

int meta_check_create(struct pending *p, struct doc *obj)
{
    struct write_req *r = p->req;
    const struct doc *meta = doc_get(obj, "metadata");
    struct str ns = doc_str(meta, "namespace"), rev = doc_str(meta, "resourceVersion");
    if (r->res->namespaced && ns.len && !str_eq(ns, r->ns))
        return err_set(&p->err, ERR_BAD_REQUEST,
                       "the namespace of the provided object does not match the namespace sent on the request");
    if (rev.len && !str_is(rev, "0"))
        return err_set(&p->err, ERR_INTERNAL, "resourceVersion should not be set on objects to be created");
    return 0;
}

void meta_stamp_create(struct pending *p, struct doc *obj)
{
    static const char *const server_only[] = {"deletionTimestamp", "deletionGracePeriodSeconds",
                                              "selfLink",          "managedFields",
                                              "resourceVersion",   "generation"};
    struct write_req *r = p->req;
    struct doc *meta = doc_get(obj, "metadata");
    for (size_t i = 0; i < sizeof(server_only) / sizeof(server_only[0]); i++)
        doc_del(meta, server_only[i]);
    if (r->res->namespaced)
        doc_put_str(r->mem, meta, "namespace", r->ns);
    else
        doc_del(meta, "namespace");
    doc_put_str(r->mem, meta, "uid", new_uid(p));
    doc_put_str(r->mem, meta, "creationTimestamp", meta_time(r->mem, loop_wall_ms(p->w->loop)));
    if (p->stored->has_generation)
        doc_put_int(r->mem, meta, "generation", 1);
}

/* Put from old what a client can't change, so that leaving it out is no mistake. */
void meta_keep_on_update(struct arena *mem, struct doc *obj, const struct doc *old)
{
    static const char *const server_only[] = {
        "uid",           "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
        "selfLink",      "generation",        "namespace",         "generateName",
        "managedFields", "resourceVersion"};
    struct doc *meta = doc_get(obj, "metadata");
    const struct doc *old_meta = doc_get(old, "metadata");
    for (size_t i = 0; i < sizeof(server_only) / sizeof(server_only[0]); i++) {
        const struct doc *kept = doc_get(old_meta, server_only[i]);
        if (kept)
            doc_put(mem, meta, server_only[i], doc_copy(mem, kept));
        else
            doc_del(meta, server_only[i]);
    }
}
