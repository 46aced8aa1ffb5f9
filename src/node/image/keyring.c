#include "node/image/keyring.h"

#include <fnmatch.h>

/* KEY without scheme and /v1/ or /v2/, which older docker clients wrote. */
static struct str plain_key(struct arena *mem, struct str key)
{
    struct str host, path;
    static const char *const schemes[] = {"https://", "http://"};
    for (int i = 0; i < 2; i++)
        if (str_starts(key, str_of(schemes[i])))
            key = str_from(key, strlen(schemes[i]));
    if (!str_cut(key, '/', &host, &path))
        return host;
    if (str_starts(path, STR("v1/")) || str_starts(path, STR("v2/")))
        path = str_from(path, 3);
    return path.len ? str_fmt(mem, STR_FMT "/" STR_FMT, STR_ARG(host), STR_ARG(path)) : host;
}

/* Part by part: a glob stays within its dots. */
static bool host_fits(struct arena *mem, struct str glob, struct str host)
{
    struct str g, h, g_port, h_port;
    str_cut(glob, ':', &glob, &g_port), str_cut(host, ':', &host, &h_port);
    if (!str_eq(g_port, h_port))
        return false;
    while (glob.len && host.len) {
        bool more_g = str_cut(glob, '.', &g, &glob), more_h = str_cut(host, '.', &h, &host);
        if (more_g != more_h || (g.len && memchr(g.ptr, 0, g.len)) ||
            fnmatch(str_z(mem, g), str_z(mem, h), FNM_NOESCAPE) != 0)
            return false;
    }
    return glob.len == host.len;
}

static bool fits(struct arena *mem, struct str key, const struct image_ref *ref)
{
    struct str host, path;
    str_cut(key, '/', &host, &path);
    if (str_is(ref->host, "docker.io") && str_is(key, "index.docker.io"))
        return true;
    return host_fits(mem, host, ref->host) && str_starts(ref->repository, path);
}

static bool read_auth(struct arena *mem, const struct doc *auth, struct image_credentials *ret)
{
    struct str both, text = doc_str(auth, "auth");
    ret->user = str_dup(mem, doc_str(auth, "username")), ret->password = str_dup(mem, doc_str(auth, "password"));
    if (text.len && (!str_base64_dec(mem, str_trim(text), &both) || !str_cut(both, ':', &ret->user, &ret->password)))
        return false;
    return ret->user.len > 0 || ret->password.len > 0;
}

static void insert(struct keyring *k, struct str key, struct image_credentials c)
{
    int at = 0;
    while (at < k->count && str_cmp(k->found[at].key, key) >= 0)
        at++;
    if (at == KEYRING_MAX)
        return;
    int last = k->count < KEYRING_MAX ? k->count++ : KEYRING_MAX - 1;
    for (int i = last; i > at; i--)
        k->found[i] = k->found[i - 1];
    k->found[at].key = key, k->found[at].credentials = c;
}

bool keyring_add(struct keyring *k, struct arena *mem, const struct doc *secret, const struct image_ref *ref)
{
    bool config = str_is(doc_str(secret, "type"), "kubernetes.io/dockerconfigjson");
    struct str text;
    if (!config && !str_is(doc_str(secret, "type"), "kubernetes.io/dockercfg"))
        return false;
    if (!str_base64_dec(mem, doc_str(doc_get(secret, "data"), config ? ".dockerconfigjson" : ".dockercfg"), &text) ||
        text.len > KEYRING_SECRET_BYTES_MAX)
        return false;
    const struct doc *d = doc_parse(mem, text, NULL, NULL), *auths = config ? doc_get(d, "auths") : d;
    if (!doc_is(auths, DOC_OBJECT))
        return false;
    doc_each (a, auths) {
        struct image_credentials c;
        struct str key = plain_key(mem, a->key);
        if (fits(mem, key, ref) && read_auth(mem, a, &c))
            insert(k, key, c);
    }
    return true;
}
