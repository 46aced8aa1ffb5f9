/* http/fetch.c - outgoing requests by libcurl. */
#include "http/fetch.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <string.h>
#include <strings.h>

typedef CURLcode setopt_fn(CURL *c, CURLoption o, ...);
typedef CURLcode getinfo_fn(CURL *c, CURLINFO o, ...);

static struct {
    CURLcode (*global_init)(long flags);
    CURL *(*init)(void);
    void (*cleanup)(CURL *c);
    setopt_fn *set;
    CURLcode (*perform)(CURL *c);
    getinfo_fn *info;
    const char *(*error)(CURLcode code);
    struct curl_slist *(*append)(struct curl_slist *l, const char *s);
    void (*free_list)(struct curl_slist *l);
} lib;

static bool find(void *so, const char *name, void *to)
{
    void *at = dlsym(so, name);
    memcpy(to, &at, sizeof(at));
    return at != NULL;
}

bool fetch_open(void)
{
    static int state;
    if (state)
        return state > 0;
    state = -1;
    void *so = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!so || !find(so, "curl_global_init", &lib.global_init) || !find(so, "curl_easy_init", &lib.init) ||
        !find(so, "curl_easy_cleanup", &lib.cleanup) || !find(so, "curl_easy_setopt", &lib.set) ||
        !find(so, "curl_easy_perform", &lib.perform) || !find(so, "curl_easy_getinfo", &lib.info) ||
        !find(so, "curl_easy_strerror", &lib.error) || !find(so, "curl_slist_append", &lib.append) ||
        !find(so, "curl_slist_free_all", &lib.free_list))
        return false;
    if (lib.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return false;
    state = 1;
    return true;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct fetch *f = ctx;
    n *= size;
    if (f->data)
        return f->data(f->ctx, bytes, n) ? n : 0;
    if (f->body.len + n > f->body_max)
        return 0;
    sb_add(&f->body, str_mem(bytes, n));
    return n;
}

static size_t on_header(char *bytes, size_t size, size_t n, void *ctx)
{
    struct fetch *f = ctx;
    struct str line = str_trim(str_mem(bytes, n * size)), name, value;
    if (!str_cut(line, ':', &name, &value))
        return n * size;
    value = str_head(str_trim(value), 4096);
    if (str_ieq(name, STR("www-authenticate")))
        f->challenge = str_dup(f->mem, value);
    if (str_ieq(name, STR("content-type")))
        f->content_type = str_dup(f->mem, value);
    if (str_ieq(name, STR("docker-content-digest")))
        f->digest = str_dup(f->mem, value);
    return n * size;
}

static struct curl_slist *headers(const struct fetch *f)
{
    struct curl_slist *l = NULL;
    if (f->accept)
        l = lib.append(l, str_fmtz(f->mem, "Accept: %s", f->accept));
    if (f->authorization)
        l = lib.append(l, str_fmtz(f->mem, "Authorization: %s", f->authorization));
    for (size_t i = 0; i + 1 < f->header_count; i += 2)
        l = lib.append(l, str_fmtz(f->mem, STR_FMT ": " STR_FMT, STR_ARG(f->headers[i]), STR_ARG(f->headers[i + 1])));
    return l;
}

static struct curl_blob blob(const char *pem)
{
    return (struct curl_blob){.data = (void *)pem, .len = strlen(pem), .flags = CURL_BLOB_NOCOPY};
}

static struct curl_slist *set_peer(CURL *c, const struct fetch_peer *p)
{
    struct curl_blob ca = blob(p->ca), cert, key;
    struct curl_slist *to = lib.append(NULL, p->connect_to);
    lib.set(c, CURLOPT_CAINFO_BLOB, &ca), lib.set(c, CURLOPT_CONNECT_TO, to);
    lib.set(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1); /* nothing is shared, and it is the quicker one */
    if (p->cert) {
        cert = blob(p->cert), key = blob(p->key);
        lib.set(c, CURLOPT_SSLCERT_BLOB, &cert), lib.set(c, CURLOPT_SSLKEY_BLOB, &key);
    }
    return to;
}

void fetch_run(struct fetch *f)
{
    CURL *c = lib.init();
    if (!c) {
        f->why = STR("out of memory");
        return;
    }
    f->body = SB(f->mem), f->status = 0;
    struct curl_slist *l = headers(f);
    lib.set(c, CURLOPT_URL, f->url), lib.set(c, CURLOPT_NOSIGNAL, 1L), lib.set(c, CURLOPT_HTTPHEADER, l);
    lib.set(c, CURLOPT_PROTOCOLS_STR, "http,https");
    lib.set(c, CURLOPT_FOLLOWLOCATION, f->no_redirects || f->peer ? 0L : 1L),
        lib.set(c, CURLOPT_MAXREDIRS, (long)FETCH_REDIRECTS_MAX);
    lib.set(c, CURLOPT_CONNECTTIMEOUT, (long)FETCH_CONNECT_S), lib.set(c, CURLOPT_USERAGENT, "sampan/" SAMPAN_VERSION);
    lib.set(c, CURLOPT_LOW_SPEED_LIMIT, 1L), lib.set(c, CURLOPT_LOW_SPEED_TIME, (long)FETCH_STALL_S);
    lib.set(c, CURLOPT_WRITEFUNCTION, on_body), lib.set(c, CURLOPT_WRITEDATA, f);
    lib.set(c, CURLOPT_HEADERFUNCTION, on_header), lib.set(c, CURLOPT_HEADERDATA, f);
    if (f->head)
        lib.set(c, CURLOPT_NOBODY, 1L);
    if (f->timeout_ms)
        lib.set(c, CURLOPT_TIMEOUT_MS, (long)f->timeout_ms);
    if (f->insecure)
        lib.set(c, CURLOPT_SSL_VERIFYPEER, 0L), lib.set(c, CURLOPT_SSL_VERIFYHOST, 0L);
    if (f->user)
        lib.set(c, CURLOPT_USERNAME, f->user), lib.set(c, CURLOPT_PASSWORD, f->password ? f->password : "");
    struct curl_slist *to = f->peer ? set_peer(c, f->peer) : NULL;
    CURLcode r = lib.perform(c);
    lib.info(c, CURLINFO_RESPONSE_CODE, &f->status);
    if (r != CURLE_OK)
        f->why = str_of(lib.error(r)), f->status = 0;
    lib.free_list(l);
    lib.free_list(to);
    lib.cleanup(c);
}
