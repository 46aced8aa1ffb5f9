/* api/status.c - an error as a Status: the only place that turns struct err into bytes, codes and headers.
 * Source: apimachinery pkg/api/errors, metav1.Status. */
#include "api/internal.h"

static void add_causes(struct arena *mem, struct doc *details, const struct err *err, const char *cause_type,
                       struct str cause_text)
{
    if (!err->causes && !cause_type)
        return;
    struct doc *list = doc_sub_array(mem, details, "causes");
    for (const struct cause *c = err->causes; c; c = c->next) {
        struct doc *d = doc_push(list, doc_new_object(mem));
        doc_put_str(mem, d, "reason", str_of(cause_word(c->type)));
        doc_put_str(mem, d, "message", c->message);
        if (c->field.len)
            doc_put_str(mem, d, "field", c->field);
    }
    if (cause_type) {
        struct doc *d = doc_push(list, doc_new_object(mem));
        if (cause_type[0])
            doc_put_str(mem, d, "reason", str_of(cause_type));
        doc_put_str(mem, d, "message", cause_text);
    }
}

static struct doc *status_base(struct arena *mem, const char *status, struct str continue_token)
{
    struct doc *s = doc_new_object(mem);
    doc_put_str(mem, s, "kind", STR("Status"));
    doc_put_str(mem, s, "apiVersion", STR("v1"));
    struct doc *meta = doc_put(mem, s, "metadata", doc_new_object(mem));
    if (continue_token.len)
        doc_put_str(mem, meta, "continue", continue_token);
    doc_put_str(mem, s, "status", str_of(status));
    return s;
}

struct doc *status_doc(struct arena *mem, const struct err *err, const char *cause_type, struct str cause_text,
                       struct str continue_token)
{
    struct doc *s = status_base(mem, "Failure", continue_token), *details = doc_new_object(mem);
    const struct {
        const char *key;
        struct str value;
    } rows[] = {{"name", err->name}, {"group", err->group}, {"kind", err->kind}, {"uid", err->uid}};
    doc_put_str(mem, s, "message", err->message);
    doc_put_str(mem, s, "reason", str_of(err_word(err->reason)));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].value.len)
            doc_put_str(mem, details, rows[i].key, rows[i].value);
    add_causes(mem, details, err, cause_type, cause_text);
    if (err->retry_after_s)
        doc_put_int(mem, details, "retryAfterSeconds", err->retry_after_s);
    if (doc_len(details))
        doc_put(mem, s, "details", details);
    doc_put_int(mem, s, "code", err_code(err->reason));
    return s;
}

struct doc *status_success(struct arena *mem, struct str group, struct str kind, struct str name, struct str uid)
{
    struct doc *s = status_base(mem, "Success", STR_NULL), *details = doc_new_object(mem);
    if (name.len)
        doc_put_str(mem, details, "name", name);
    if (group.len)
        doc_put_str(mem, details, "group", group);
    if (kind.len)
        doc_put_str(mem, details, "kind", kind);
    if (uid.len)
        doc_put_str(mem, details, "uid", uid);
    if (doc_len(details))
        doc_put(mem, s, "details", details);
    return s;
}

void reply_status(struct api_req *r, const struct err *err)
{
    if (err->retry_after_s)
        exchange_set_header(r->x, "Retry-After", str_fmt(r->mem, "%d", err->retry_after_s));
    if (err->reason == ERR_UNAUTHORIZED)
        exchange_set_header(r->x, "WWW-Authenticate", STR("Bearer"));
    struct media m = r->out; /* a Status is never a Table */
    r->out.as = AS_IS;
    r->out.stream = false;
    reply_doc(r, err_code(err->reason), schema_type("meta.v1.Status"),
              status_doc(r->mem, err, r->cause_type, r->cause_text, r->continue_token));
    r->out = m;
}

void reply_text(struct api_req *r, int code, const char *text)
{
    exchange_set_header(r->x, "X-Content-Type-Options", STR("nosniff"));
    exchange_reply(r->x, code, "text/plain; charset=utf-8", str_fmt(r->mem, "%s\n", text));
}

/* RFC 7234 section 5.5; control characters and invalid bytes would break the header, so they become spaces. */
struct str warning_header(struct arena *mem, struct str text)
{
    struct sb b = SB(mem);
    sb_addz(&b, "299 - \"");
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '"' || c == '\\')
            sb_addc(&b, '\\');
        sb_addc(&b, (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c);
    }
    sb_addc(&b, '"');
    return sb_str(&b);
}

/* Kubernetes cuts at 4 KiB in all, then at 256 bytes each. */
void set_warnings(struct api_req *r, const struct warnings *w)
{
    enum { ALL_BYTES_MAX = 4096, ONE_BYTES_MAX = 256 };
    size_t total = 0;
    for (int i = 0; i < w->count; i++) {
        bool seen = false;
        for (int k = 0; k < i; k++)
            seen |= str_eq(w->texts[i], w->texts[k]);
        if (seen)
            continue;
        struct str text = total > ALL_BYTES_MAX / 2 ? str_head(w->texts[i], ONE_BYTES_MAX) : w->texts[i];
        if ((total += text.len) > ALL_BYTES_MAX)
            break;
        exchange_add_header(r->x, "Warning", warning_header(r->mem, text));
    }
}
