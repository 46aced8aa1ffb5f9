#include "node/image/ref.h"

enum { REF_BYTES_MAX = 512, REPOSITORY_BYTES_MAX = 255, TAG_BYTES_MAX = 128 };

static bool is_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

bool image_digest_valid(struct str digest)
{
    if (digest.len != 71 || !str_starts(digest, STR("sha256:")))
        return false;
    for (size_t i = 7; i < digest.len; i++)
        if (!((digest.ptr[i] >= '0' && digest.ptr[i] <= '9') || (digest.ptr[i] >= 'a' && digest.ptr[i] <= 'f')))
            return false;
    return true;
}

/* path-component: alnum runs joined by one '.', one or two '_', or any number of '-' */
static bool component_valid(struct str s)
{
    if (s.len == 0 || !is_lower(s.ptr[0]) || !is_lower(s.ptr[s.len - 1]))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (is_lower(s.ptr[i]))
            continue;
        size_t run = i;
        while (run < s.len && s.ptr[run] == s.ptr[i])
            run++;
        bool fine = s.ptr[i] == '-' || (s.ptr[i] == '.' && run - i == 1) || (s.ptr[i] == '_' && run - i <= 2);
        if (!fine || !is_lower(s.ptr[run]))
            return false;
        i = run - 1;
    }
    return true;
}

static bool repository_valid(struct str s)
{
    if (s.len == 0 || s.len > REPOSITORY_BYTES_MAX || s.ptr[s.len - 1] == '/')
        return false;
    struct str part;
    while (str_next(&s, '/', &part))
        if (!component_valid(part))
            return false;
    return true;
}

static bool tag_valid(struct str s)
{
    if (s.len == 0 || s.len > TAG_BYTES_MAX || !(is_word(s.ptr[0]) || s.ptr[0] == '_'))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_word(s.ptr[i]) && s.ptr[i] != '_' && s.ptr[i] != '.' && s.ptr[i] != '-')
            return false;
    return true;
}

static bool host_valid(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_word(s.ptr[i]) && s.ptr[i] != '.' && s.ptr[i] != '-' && s.ptr[i] != ':' && s.ptr[i] != '[' &&
            s.ptr[i] != ']')
            return false;
    return s.len > 0 && s.ptr[0] != '-' && s.ptr[0] != '.' && s.ptr[0] != ':';
}

bool image_ref_parse(struct arena *mem, struct str text, struct image_ref *ret)
{
    if (text.len == 0 || text.len > REF_BYTES_MAX)
        return false;
    struct image_ref r = {.host = STR("docker.io")};
    ptrdiff_t at = str_find(text, '@');
    if (at >= 0) {
        r.digest = str_dup(mem, str_from(text, (size_t)at + 1));
        if (!image_digest_valid(r.digest))
            return false;
        text = str_head(text, (size_t)at);
    }
    ptrdiff_t colon = str_rfind(text, ':'), slash = str_rfind(text, '/');
    if (colon > slash && colon >= 0) {
        r.tag = str_dup(mem, str_from(text, (size_t)colon + 1));
        if (!tag_valid(r.tag))
            return false;
        text = str_head(text, (size_t)colon);
    }
    slash = str_find(text, '/');
    if (slash >= 0) {
        struct str head = str_head(text, (size_t)slash);
        if (str_find(head, '.') >= 0 || str_find(head, ':') >= 0 || str_is(head, "localhost")) {
            if (!host_valid(head))
                return false;
            r.host = str_is(head, "index.docker.io") ? STR("docker.io") : str_dup(mem, head);
            text = str_from(text, (size_t)slash + 1);
        }
    }
    bool short_name = str_is(r.host, "docker.io") && str_find(text, '/') < 0;
    r.repository = short_name ? str_fmt(mem, "library/" STR_FMT, STR_ARG(text)) : str_dup(mem, text);
    if (!repository_valid(r.repository))
        return false;
    if (r.tag.len == 0 && r.digest.len == 0)
        r.tag = STR("latest");
    *ret = r;
    return true;
}

struct str image_ref_name(struct arena *mem, const struct image_ref *r)
{
    if (r->digest.len)
        return image_ref_digest(mem, r, r->digest);
    return str_fmt(mem, STR_FMT "/" STR_FMT ":" STR_FMT, STR_ARG(r->host), STR_ARG(r->repository), STR_ARG(r->tag));
}

struct str image_ref_digest(struct arena *mem, const struct image_ref *r, struct str digest)
{
    return str_fmt(mem, STR_FMT "/" STR_FMT "@" STR_FMT, STR_ARG(r->host), STR_ARG(r->repository), STR_ARG(digest));
}

bool image_ref_is_latest(const struct image_ref *r)
{
    return r->digest.len == 0 && str_is(r->tag, "latest");
}

bool image_ref_is_cluster(const struct image_ref *r)
{
    struct str name, port;
    str_cut(r->host, ':', &name, &port);
    return (str_is(name, "kubernetes.default.svc") || str_is(name, "kubernetes.default.svc.cluster.local")) &&
           (port.len == 0 || str_is(port, "443"));
}

struct str image_ref_base_url(struct arena *mem, const struct image_ref *r)
{
    if (str_is(r->host, "docker.io"))
        return STR("https://registry-1.docker.io");
    struct str name = r->host, port;
    str_cut(name, ':', &name, &port);
    bool local = str_is(name, "localhost") || str_starts(name, STR("127.")) || str_starts(r->host, STR("[::1]"));
    return str_fmt(mem, "%s://" STR_FMT, local ? "http" : "https", STR_ARG(r->host));
}
