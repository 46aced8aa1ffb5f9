/* api/health.c - /livez, /readyz, /healthz, each check by name; /version.
 * Source: k8s.io/apiserver pkg/server/healthz, k8s.io/apimachinery pkg/version. */
#include "api/internal.h"

static const char *check_ping(struct api *a)
{
    return NULL;
}

static const char *check_store(struct api *a)
{
    struct store_state s;
    store_get_state(a->store, &s);
    return s.read_only ? "the store is read-only" : NULL;
}

static const char *check_started(struct api *a)
{
    return a->ready ? NULL : "not all bootstrap objects exist yet";
}

static const char *check_shutdown(struct api *a)
{
    return a->stopping ? "the server is shutting down" : NULL;
}

enum { LIVE = 1, READY = 2, HEALTH = 4 };
static const struct check {
    const char *name;
    const char *(*run)(struct api *a); /* NULL: fine */
    int where;
} checks[] = {
    {"ping", check_ping, LIVE | READY | HEALTH}, {"log", check_ping, LIVE | READY | HEALTH},
    {"store", check_store, READY | HEALTH},      {"poststarthook/bootstrap", check_started, READY},
    {"shutdown", check_shutdown, READY},
};
enum { CHECKS = sizeof(checks) / sizeof(checks[0]) };

/* Why a check failed is for those who are known: what the store lost has names. */
static struct str why_failed(struct api_req *r, const struct check *c)
{
    struct err ignored = ERR(r->mem);
    struct store_state s;
    const struct user *u = gate_authenticate(r->api->gate, r->x, &ignored);
    if (!u || str_is(u->name, "system:anonymous"))
        return STR("reason withheld");
    store_get_state(r->api->store, &s);
    return c->run == check_store && s.why.len ? s.why : str_of(c->run(r->api));
}

static bool is_excluded(const struct query *q, const char *name)
{
    for (int i = 0; i < q->count; i++)
        if (str_is(q->keys[i], "exclude") && str_is(q->values[i], name))
            return true;
    return false;
}

static void warn_unknown(const struct query *q, int where, struct sb *out)
{
    int n = 0;
    for (int i = 0; i < q->count; i++) {
        bool known = !str_is(q->keys[i], "exclude");
        for (int k = 0; k < CHECKS; k++)
            known |= (checks[k].where & where) && str_is(q->values[i], checks[k].name);
        if (known)
            continue;
        sb_addz(out, n++ ? "," : "warn: some health checks cannot be excluded: no matches for ");
        sb_addq(out, q->values[i]);
    }
    if (n)
        sb_addc(out, '\n');
}

static void one_check(struct api_req *r, int where, struct str name)
{
    for (int i = 0; i < CHECKS; i++)
        if (checks[i].where & where && str_is(name, checks[i].name)) {
            const char *why = checks[i].run(r->api);
            if (why)
                reply_text(r, 500, str_fmtz(r->mem, "internal server error: %s", why));
            else
                exchange_reply(r->x, 200, "text/plain; charset=utf-8", STR("ok"));
            return;
        }
    reply_text(r, 404, "404 page not found");
}

/* path is "/readyz" or "/readyz/CHECK" */
void handle_health(struct api_req *r, struct str path)
{
    struct str name, one;
    bool failed = false;
    struct sb b = SB(r->mem);
    str_cut(str_from(path, 1), '/', &name, &one);
    int where = str_is(name, "livez") ? LIVE : str_is(name, "readyz") ? READY : HEALTH;
    if (one.len) {
        one_check(r, where, one);
        return;
    }
    for (int i = 0; i < CHECKS; i++) {
        if (!(checks[i].where & where))
            continue;
        if (is_excluded(&r->query, checks[i].name)) {
            sb_addf(&b, "[+]%s excluded: ok\n", checks[i].name);
        } else if (checks[i].run(r->api)) {
            sb_addf(&b, "[-]%s failed: " STR_FMT "\n", checks[i].name, STR_ARG(why_failed(r, &checks[i])));
            failed = true;
        } else {
            sb_addf(&b, "[+]%s ok\n", checks[i].name);
        }
    }
    warn_unknown(&r->query, where, &b);
    exchange_set_header(r->x, "X-Content-Type-Options", STR("nosniff"));
    if (failed) {
        sb_addf(&b, STR_FMT " check failed\n", STR_ARG(name));
        exchange_reply(r->x, 500, "text/plain; charset=utf-8", sb_str(&b));
    } else if (query_has(&r->query, "verbose")) {
        sb_addf(&b, STR_FMT " check passed\n", STR_ARG(name));
        exchange_reply(r->x, 200, "text/plain; charset=utf-8", sb_str(&b));
    } else {
        exchange_reply(r->x, 200, "text/plain; charset=utf-8", STR("ok"));
    }
}

void handle_version(struct api_req *r)
{
    struct arena *mem = r->mem;
    struct str major, minor, rest = STR(KUBERNETES_VERSION);
    struct doc *d = doc_new_object(mem);
    str_cut(rest, '.', &major, &rest);
    str_cut(rest, '.', &minor, &rest);
#ifdef __aarch64__
    const char *arch = "arm64";
#else
    const char *arch = "amd64";
#endif
    doc_put_str(mem, d, "major", major);
    doc_put_str(mem, d, "minor", minor);
    doc_put_str(mem, d, "gitVersion", STR("v" KUBERNETES_VERSION "+sampan." SAMPAN_VERSION));
    doc_put_str(mem, d, "gitCommit", str_of(r->api->git_commit));
    doc_put_str(mem, d, "gitTreeState", STR("clean"));
    doc_put_str(mem, d, "buildDate", str_of(r->api->build_date ? r->api->build_date : "1970-01-01T00:00:00Z"));
    doc_put_str(mem, d, "goVersion", STR(""));
    doc_put_str(mem, d, "compiler",
                STR(
#ifdef __clang__
                    "clang"
#else
                    "gcc"
#endif
                    ));
    doc_put_str(mem, d, "platform", str_fmt(mem, "linux/%s", arch));
    struct sb b = SB(mem);
    doc_json_pretty(&b, d, 2);
    reply_json(r, 200, sb_str(&b));
}
