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
enum { CHECKS = sizeof(checks) / sizeof(checks[0]), PLACES = 3 };

/* How often each went well or not, by where it was asked for; for /metrics/slis. Core thread only. */
static const char *const place_names[PLACES] = {"livez", "readyz", "healthz"};
static struct tally {
    uint64_t good, bad;
    bool well;
} tallies[PLACES][CHECKS];

static const char *run_check(struct api *a, const struct check *c, int where)
{
    const char *why = c->run(a);
    struct tally *t = &tallies[where == LIVE ? 0 : where == READY ? 1 : 2][c - checks];
    t->well = !why;
    why ? t->bad++ : t->good++;
    return why;
}

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
            const char *why = run_check(r->api, &checks[i], where);
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
        } else if (run_check(r->api, &checks[i], where)) {
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

/* Only what was asked for at least once, as in Kubernetes. */
void handle_slis(struct api_req *r)
{
    struct sb b = SB(r->mem), total = SB(r->mem);
    sb_addz(&b, "# HELP kubernetes_healthcheck This metric records the result of a single healthcheck.\n"
                "# TYPE kubernetes_healthcheck gauge\n");
    sb_addz(&total, "# HELP kubernetes_healthchecks_total This metric records the results of all healthcheck.\n"
                    "# TYPE kubernetes_healthchecks_total counter\n");
    for (int place = 0; place < PLACES; place++) {
        for (int i = 0; i < CHECKS; i++) {
            const struct tally *t = &tallies[place][i];
            const char *name = checks[i].name, *type = place_names[place];
            if (!t->good && !t->bad)
                continue;
            sb_addf(&b, "kubernetes_healthcheck{name=\"%s\",type=\"%s\"} %d\n", name, type, t->well);
            const char *line = "kubernetes_healthchecks_total{name=\"%s\",status=\"%s\",type=\"%s\"} %llu\n";
            if (t->bad)
                sb_addf(&total, line, name, "error", type, (unsigned long long)t->bad);
            if (t->good)
                sb_addf(&total, line, name, "success", type, (unsigned long long)t->good);
        }
    }
    sb_add(&b, sb_str(&total));
    exchange_reply(r->x, 200, METRICS_TYPE, sb_str(&b));
}

struct doc *version_doc(const struct api *a, struct arena *mem)
{
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
    doc_put_str(mem, d, "gitCommit", str_of(a->git_commit));
    doc_put_str(mem, d, "gitTreeState", STR("clean"));
    doc_put_str(mem, d, "buildDate", str_of(a->build_date ? a->build_date : "1970-01-01T00:00:00Z"));
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
    return d;
}

void handle_version(struct api_req *r)
{
    struct sb b = SB(r->mem);
    doc_json_pretty(&b, version_doc(r->api, r->mem), 2);
    reply_json(r, 200, sb_str(&b));
}
