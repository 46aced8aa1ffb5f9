/* What a stranger says about a request: path, query, Accept, Content-Type, continue token, body, patch. Each line of
 * the input is one of them; nothing may crash, and what is refused has a reason. A token that is accepted stays under
 * its prefix. */
#include <stdlib.h>

#include "api/internal.h"
#include "api/patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void request(struct arena *mem, struct str method, struct str path, struct str query, struct str accept)
{
    struct err err = ERR(mem);
    struct exchange x = {.mem = mem};
    struct api_req r = {.mem = mem, .x = &x, .err = ERR(mem)};
    struct list_opts lo;
    struct write_opts wo;
    struct delete_opts d;
    struct media m;
    query_parse(mem, query, &r.query);
    check(r.query.count <= API_PARAMS_MAX);
    if (request_parse(mem, method, path, &r.query, &r.info, &err) < 0)
        check(err.reason == ERR_BAD_REQUEST);
    if (list_options(&r, &lo) < 0)
        check(r.err.reason == ERR_BAD_REQUEST || r.err.reason == ERR_INVALID);
    r.err = ERR(mem);
    if (write_options(&r, "PatchOptions", &wo) < 0)
        check(r.err.reason == ERR_INVALID);
    r.err = ERR(mem);
    delete_options(&r, &d);
    if (negotiate(accept, query.len & 1, &m, &err) == 0)
        check(m.form <= MEDIA_PB && m.as <= AS_PARTIAL_LIST);
    negotiate_discovery(accept, &m);
    warning_header(mem, accept);
}

static void token(struct arena *mem, struct str text)
{
    struct err err = ERR(mem);
    struct str after;
    int64_t rev;
    if (continue_decode(mem, text, STR("pods/ns/"), &rev, &after, &err) == 0)
        check(str_starts(after, STR("pods/ns/")) && !str_has(after, STR("..//")));
    else
        check(err.reason == ERR_BAD_REQUEST);
    if (continue_decode(mem, str_base64url(mem, text), STR("pods/"), &rev, &after, &err) == 0)
        check(str_starts(after, STR("pods/")));
}

static void body(struct arena *mem, struct str type, struct str text)
{
    const struct resource *pods = schema_resource(STR_NULL, STR("v1"), STR("pods"));
    struct err err = ERR(mem);
    struct warnings w = {0};
    enum media_form form;
    if (negotiate_body(type, &form, &err) < 0)
        form = MEDIA_JSON;
    struct doc *d = decode_body(mem, text, form, pods->type, pods->kind, pods->api_version, FIELDS_WARN, &w, &err);
    check(d || err.reason == ERR_BAD_REQUEST || err.reason == ERR_UNSUPPORTED_MEDIA_TYPE);
    static const char *const kinds[] = {"application/json-patch+json", "application/merge-patch+json",
                                        "application/strategic-merge-patch+json"};
    for (int i = 0; i < 3; i++) {
        struct err why = ERR(mem);
        const struct patch *p = patch_read(mem, str_of(kinds[i]), text, FIELDS_STRICT, &why);
        struct doc *pod =
            doc_parse(mem,
                      STR("{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"},\"spec\":{"
                          "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"),
                      NULL, &why);
        if (!p || !patch_apply(mem, p, pods->type, pod, &w, &why))
            check(why.reason != ERR_NONE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str rest = str_dup(mem, str_mem((const char *)data, size)), line[6];
    for (int i = 0; i < 6; i++)
        str_cut(rest, i < 5 ? '\n' : '\0', &line[i], &rest);
    request(mem, line[0], line[1], line[2], line[3]);
    token(mem, line[4]);
    body(mem, line[4], line[5]);
    return 0;
}
