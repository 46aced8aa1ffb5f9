/* registry/lists.c - tags of a repository, and what refers to a manifest. */
#include "registry/internal.h"

#include "base/io.h"
#include "http/url.h"

enum { REFERRERS_BYTES_MAX = 1 << 20 /* of one page */ };

struct page {
    int n;
    struct str last, filter;
    struct sb out;
    struct str next; /* the `last` of the page behind this one; empty: this is the end */
};

static int first_after(const struct str *names, int count, struct str last)
{
    int i = 0;
    while (i < count && last.len && str_cmp(names[i], last) <= 0)
        i++;
    return i;
}

static void tags(struct request *r)
{
    struct page *p = r->state;
    struct str *names = NULL;
    int count = 0;
    bool any = disk_list(r->mem, disk_path(&r->g->disk, r->mem, r->repo, DISK_TAGS, STR_NULL), &names, &count) == 0;
    if (!any && !disk_has_repo(&r->g->disk, r->mem, r->repo)) {
        request_fail(r, 404, CODE_NAME_UNKNOWN, "repository name not known to registry");
        return;
    }
    int i = first_after(names, count, p->last), end = count - i > p->n ? i + p->n : count;
    sb_addz(&p->out, "{\"name\":");
    doc_json_string(&p->out, r->target.name);
    sb_addz(&p->out, ",\"tags\":[");
    for (int at = i; at < end; at++) {
        sb_addz(&p->out, at > i ? "," : "");
        doc_json_string(&p->out, names[at]);
    }
    sb_addz(&p->out, "]}\n");
    if (end < count && end > i)
        p->next = names[end - 1];
}

/* False: it is filtered out, or has been deleted meanwhile. */
static bool add_descriptor(struct request *r, struct arena *tmp, struct str hex, bool is_first)
{
    struct page *p = r->state;
    struct str text;
    struct manifest m;
    struct err err = ERR(tmp);
    const char *path = disk_path(&r->g->disk, tmp, r->repo, DISK_MANIFESTS, hex);
    if (io_read_whole(tmp, path, REGISTRY_MANIFEST_BYTES_MAX, &text) < 0 ||
        !manifest_read(tmp, text, STR_NULL, &m, &err) || (p->filter.len && !str_eq(p->filter, m.artifact_type)))
        return false;
    sb_addf(&p->out, "%s{\"mediaType\":\"%s\",\"digest\":\"sha256:%.*s\",\"size\":%zu", is_first ? "" : ",", m.type,
            STR_ARG(hex), text.len);
    if (m.artifact_type.len) {
        sb_addz(&p->out, ",\"artifactType\":");
        doc_json_string(&p->out, m.artifact_type);
    }
    if (m.annotations) {
        sb_addz(&p->out, ",\"annotations\":");
        doc_json_sb(&p->out, m.annotations);
    }
    sb_addc(&p->out, '}');
    return true;
}

static void referrers(struct request *r)
{
    struct page *p = r->state;
    struct str *names = NULL;
    struct arena *tmp = arena_new();
    int count = 0, put = 0;
    if (disk_list(r->mem, disk_path(&r->g->disk, r->mem, r->repo, DISK_REFERRERS, r->hex), &names, &count) < 0)
        count = 0; /* none, as of a subject that is not here: the spec wants an empty list */
    sb_addz(&p->out, "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[");
    for (int i = first_after(names, count, p->last); i < count; i++) {
        put += add_descriptor(r, tmp, names[i], put == 0);
        arena_reset(tmp);
        if ((put >= p->n || p->out.len > REFERRERS_BYTES_MAX) && i + 1 < count) {
            p->next = names[i];
            break;
        }
    }
    sb_addz(&p->out, "]}\n");
    arena_free(tmp);
}

static void send_page(struct request *r, const char *type, const char *what)
{
    struct page *p = r->state;
    if (r->code) {
        request_answer_failure(r);
        return;
    }
    if (p->next.len)
        exchange_set_header(r->x, "Link",
                            str_fmt(r->x->mem, "</v2/%.*s/%s?n=%d&last=%.*s%s%.*s>; rel=\"next\"",
                                    STR_ARG(r->target.name), what, p->n, STR_ARG(p->next),
                                    p->filter.len ? "&artifactType=" : "", STR_ARG(url_encode(r->mem, p->filter))));
    if (p->filter.len)
        exchange_set_header(r->x, "OCI-Filters-Applied", STR("artifactType"));
    request_reply(r, 200, type, sb_str(&p->out));
}

static void send_tags(struct request *r)
{
    send_page(r, "application/json", "tags/list");
}

static void send_referrers(struct request *r)
{
    send_page(r, "application/vnd.oci.image.index.v1+json", str_fmtz(r->mem, "referrers/sha256:%.*s", STR_ARG(r->hex)));
}

static struct page *page_new(struct request *r)
{
    struct page *p = arena_new_of(r->mem, struct page);
    p->out = SB(r->mem);
    r->state = p;
    return auth_require(r, "get") && request_page(r, &p->n, &p->last) ? p : NULL;
}

void serve_tags(struct request *r)
{
    if (page_new(r))
        request_run(r, tags, send_tags);
}

void serve_referrers(struct request *r)
{
    struct page *p = page_new(r);
    if (!p || !request_digest(r, r->target.ref))
        return;
    p->filter = request_query(r, "artifactType");
    if (p->n == 0)
        p->n = 1;
    request_run(r, referrers, send_referrers);
}
