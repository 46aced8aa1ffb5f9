/* http/fetch_token.c - tokens of registries: Bearer realm="https://auth...",service="...",scope="..." */
#include "doc/doc.h"
#include "http/fetch.h"

enum { TOKEN_BYTES_MAX = 64 << 10 };

static struct str parameter(struct str challenge, const char *name)
{
    struct str part;
    while (challenge.len) {
        size_t i = 0;
        bool quoted = false;
        while (i < challenge.len && (quoted || challenge.ptr[i] != ','))
            quoted ^= challenge.ptr[i++] == '"';
        part = str_trim(str_head(challenge, i));
        challenge = str_from(challenge, i + 1);
        struct str k, v;
        if (str_cut(part, '=', &k, &v) && str_ieq(str_trim(k), str_of(name))) {
            v = str_trim(v);
            return v.len >= 2 && v.ptr[0] == '"' ? str_mem(v.ptr + 1, v.len - 2) : v;
        }
    }
    return STR_NULL;
}

static void put_query(struct sb *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '_' || c == '.';
        if (plain)
            sb_addc(out, c);
        else
            sb_addf(out, "%%%02X", (unsigned char)c);
    }
}

static struct str bearer(const struct fetch *f, struct str user, struct str password, struct str scope_asked)
{
    struct str challenge = str_from(f->challenge, 7);
    struct str realm = parameter(challenge, "realm"), scope = parameter(challenge, "scope");
    if (!str_starts(realm, STR("https://")) && !str_starts(str_of(f->url), STR("http://")))
        return STR_NULL; /* credentials never leave TLS for plain HTTP */
    struct sb url = SB(f->mem);
    sb_add(&url, realm), sb_addz(&url, str_find(realm, '?') >= 0 ? "&service=" : "?service=");
    put_query(&url, parameter(challenge, "service"));
    sb_addz(&url, "&scope=");
    put_query(&url, scope.len ? scope : scope_asked);
    struct fetch t = {
        .url = sb_z(&url), .peer = f->peer, .mem = f->mem, .body_max = TOKEN_BYTES_MAX, .timeout_ms = 30000};
    if (user.len)
        t.user = str_z(f->mem, user), t.password = str_z(f->mem, password);
    fetch_run(&t);
    const struct doc *d = t.status == 200 ? doc_parse(f->mem, sb_str(&t.body), NULL, NULL) : NULL;
    struct str token = doc_str(d, "token");
    token = token.len ? token : doc_str(d, "access_token");
    return token.len ? str_fmt(f->mem, "Bearer " STR_FMT, STR_ARG(token)) : STR_NULL;
}

struct str fetch_authorization(const struct fetch *f, struct str user, struct str password, struct str scope)
{
    if (str_ieq(str_head(f->challenge, 6), STR("Basic ")) && user.len)
        return str_fmt(
            f->mem, "Basic " STR_FMT,
            STR_ARG(str_base64(f->mem, str_fmt(f->mem, STR_FMT ":" STR_FMT, STR_ARG(user), STR_ARG(password)))));
    return str_ieq(str_head(f->challenge, 7), STR("Bearer ")) ? bearer(f, user, password, scope) : STR_NULL;
}
