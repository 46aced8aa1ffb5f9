/* api/continue.c - continue tokens: base64url of {"v":"meta.k8s.io/v1","rv":N,"start":"ns/name\u0000"}.
 * Source: k8s.io/apiserver pkg/storage/continue.go. start is relative to the list's prefix
 * (list_prefix), so of a cluster-wide resource it is the bare name. */
#include "api/internal.h"

struct str continue_encode(struct arena *mem, int64_t rev, struct str prefix, struct str last_key)
{
    struct sb b = SB(mem), start = SB(mem);
    sb_add(&start, str_from(last_key, prefix.len));
    sb_addc(&start, 0);
    sb_addf(&b, "{\"v\":\"meta.k8s.io/v1\",\"rv\":%lld,\"start\":", (long long)rev);
    doc_json_string(&b, sb_str(&start));
    sb_addc(&b, '}');
    return str_base64url(mem, sb_str(&b));
}

static bool is_clean(struct str start)
{
    struct str part, rest = start;
    if (start.ptr[start.len - 1] == '/')
        return false;
    while (str_next(&rest, '/', &part))
        if (!part.len || str_is(part, ".") || str_is(part, ".."))
            return false;
    return true;
}

int continue_decode(struct arena *mem, struct str token, struct str prefix, int64_t *ret_rev, struct str *ret_after,
                    struct err *err)
{
    struct str json, invalid = STR("invalid continue token: continue key is not valid");
    struct err parse = ERR(mem);
    if (token.len > API_CONTINUE_BYTES_MAX || !str_base64url_dec(mem, token, &json))
        return err_set(err, ERR_BAD_REQUEST, STR_FMT ": illegal base64 data", STR_ARG(invalid));
    const struct doc *d = doc_parse(mem, json, NULL, &parse);
    if (!doc_is(d, DOC_OBJECT))
        return err_set(err, ERR_BAD_REQUEST, STR_FMT ": " STR_FMT, STR_ARG(invalid), STR_ARG(parse.message));
    if (!str_is(doc_str(d, "v"), "meta.k8s.io/v1"))
        return err_set(err, ERR_BAD_REQUEST, STR_FMT ": server does not recognize this encoded version " STR_FMT,
                       STR_ARG(invalid), STR_ARG(doc_str(d, "v")));
    int64_t rev = doc_int(d, "rv", 0);
    if (rev == 0 || rev < -1)
        return err_set(err, ERR_BAD_REQUEST,
                       STR_FMT ": incorrect encoded start resourceVersion (version meta.k8s.io/v1)", STR_ARG(invalid));
    struct str start = doc_str(d, "start");
    if (!start.len)
        return err_set(err, ERR_BAD_REQUEST, STR_FMT ": encoded start key empty (version meta.k8s.io/v1)",
                       STR_ARG(invalid));
    if (start.ptr[start.len - 1] == 0)
        start.len--;
    if (start.len && start.ptr[0] == '/')
        start = str_from(start, 1);
    if (!start.len || !is_clean(start))
        return err_set(err, ERR_BAD_REQUEST, STR_FMT ": " STR_FMT, STR_ARG(invalid), STR_ARG(doc_str(d, "start")));
    struct sb after = SB(mem);
    sb_add(&after, prefix);
    sb_add(&after, start);
    *ret_after = sb_str(&after);
    *ret_rev = rev;
    return 0;
}
