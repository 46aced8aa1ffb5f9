/* schema/rules/probe.c - probes and lifecycle hooks: exactly one handler each. */
#include "schema/rules/rules.h"

static void check_http_get(struct rule_ctx *c, const struct fpath *at, const struct doc *get)
{
    static const char *const schemes[] = {"HTTP", "HTTPS", NULL};
    if (!doc_str(get, "path").len)
        rule_required(c, AT(at, "path"), NULL);
    check_port_or_name(c, AT(at, "port"), doc_get(get, "port"));
    check_enum(c, AT(at, "scheme"), doc_str(get, "scheme"), schemes);
    doc_each (h, doc_get(get, "httpHeaders"))
        check_name(c, AT(at, "httpHeaders"), doc_str(h, "name"), name_http_header);
}

static void check_sleep(struct rule_ctx *c, const struct fpath *at, const struct doc *sleep, const struct pod_rules *p)
{
    int64_t seconds = doc_int(sleep, "seconds", 0);
    if (p->has_grace && (seconds < 0 || seconds > p->grace_s))
        rule_invalid_int(c, at, seconds, "must be non-negative and less than terminationGracePeriodSeconds (%lld)",
                         (long long)p->grace_s);
}

static void check_exec(struct rule_ctx *c, const struct fpath *at, const struct doc *exec, const struct pod_rules *p)
{
    if (!doc_len(doc_get(exec, "command")))
        rule_required(c, AT(at, "command"), NULL);
}

static void check_http(struct rule_ctx *c, const struct fpath *at, const struct doc *get, const struct pod_rules *p)
{
    check_http_get(c, at, get);
}

static void check_tcp(struct rule_ctx *c, const struct fpath *at, const struct doc *tcp, const struct pod_rules *p)
{
    check_port_or_name(c, AT(at, "port"), doc_get(tcp, "port"));
}

static const struct handler {
    const char *name;
    void (*check)(struct rule_ctx *c, const struct fpath *at, const struct doc *value, const struct pod_rules *p);
    bool probe, hook; /* where it may stand */
} handlers[] = {
    {"exec", check_exec, true, true}, {"httpGet", check_http, true, true}, {"tcpSocket", check_tcp, true, true},
    {"grpc", check_tcp, true, false}, {"sleep", check_sleep, false, true},
};

static void check_handler(struct rule_ctx *c, const struct fpath *at, const struct doc *holder,
                          const struct pod_rules *p, bool probe)
{
    int found = 0;
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
        const struct handler *h = &handlers[i];
        if (!(probe ? h->probe : h->hook) || !rule_has(holder, h->name))
            continue;
        if (found++)
            rule_forbidden(c, AT(at, h->name), "may not specify more than 1 handler type");
        else
            h->check(c, AT(at, h->name), doc_get(holder, h->name), p);
    }
    if (!found)
        rule_required(c, at, "must specify a handler type");
}

static void check_probe(struct rule_ctx *c, const struct fpath *at, const struct doc *probe, const struct pod_rules *p,
                        bool readiness)
{
    static const char *const counts[] = {"initialDelaySeconds", "timeoutSeconds",   "periodSeconds",
                                         "successThreshold",    "failureThreshold", NULL};
    const struct doc *grace = doc_get(probe, "terminationGracePeriodSeconds");
    int64_t successes = doc_int(probe, "successThreshold", 0);
    if (!doc_is(probe, DOC_OBJECT))
        return;
    check_handler(c, at, probe, p, /* probe= */ true);
    check_nonnegative_in(c, at, probe, counts);
    if (doc_is(grace, DOC_INT) && grace->i <= 0)
        rule_invalid_int(c, AT(at, "terminationGracePeriodSeconds"), grace->i, "must be greater than 0");
    if (!readiness && successes != 1)
        rule_invalid_int(c, AT(at, "successThreshold"), successes, "must be 1");
    if (readiness && doc_is(grace, DOC_INT))
        rule_invalid_int(c, AT(at, "terminationGracePeriodSeconds"), grace->i, "must not be set for readinessProbes");
}

static bool is_signal(struct str s)
{
    static const char *const names[] = {
        "ABRT", "ALRM", "BUS",  "CHLD", "CLD",    "CONT",  "FPE",    "HUP",  "ILL",   "INT",   "IO",   "IOT",  "KILL",
        "PIPE", "POLL", "PROF", "PWR",  "QUIT",   "SEGV",  "STKFLT", "STOP", "SYS",   "TERM",  "TRAP", "TSTP", "TTIN",
        "TTOU", "URG",  "USR1", "USR2", "VTALRM", "WINCH", "XCPU",   "XFSZ", "RTMIN", "RTMAX", NULL};
    int64_t n;
    if (!str_starts(s, STR("SIG")))
        return false;
    s = str_from(s, 3);
    for (const char *const *name = names; *name; name++)
        if (str_is(s, *name))
            return true;
    if (str_starts(s, STR("RTMIN+")))
        return str_to_i64(str_from(s, 6), &n) && n >= 1 && n <= 15;
    return str_starts(s, STR("RTMAX-")) && str_to_i64(str_from(s, 6), &n) && n >= 1 && n <= 14;
}

static void check_stop_signal(struct rule_ctx *c, const struct fpath *at, const struct doc *lifecycle,
                              const struct pod_rules *p)
{
    struct str sig = doc_str(lifecycle, "stopSignal"), os = doc_str(doc_get(p->spec, "os"), "name");
    if (!rule_has(lifecycle, "stopSignal"))
        return;
    if (!os.len)
        rule_forbidden(c, at, "may not be set for containers with empty `spec.os.name`");
    else if (str_is(os, "windows") ? !str_is(sig, "SIGTERM") && !str_is(sig, "SIGKILL") : !is_signal(sig))
        err_cause_str(c->err, CAUSE_NOT_SUPPORTED, at, sig, NULL);
}

void check_probes(struct rule_ctx *c, const struct fpath *at, const struct doc *container, const struct pod_rules *p)
{
    const struct doc *lifecycle = doc_get(container, "lifecycle");
    const struct fpath *life = AT(at, "lifecycle");
    if (rule_has(lifecycle, "postStart"))
        check_handler(c, AT(life, "postStart"), doc_get(lifecycle, "postStart"), p, /* probe= */ false);
    if (rule_has(lifecycle, "preStop"))
        check_handler(c, AT(life, "preStop"), doc_get(lifecycle, "preStop"), p, /* probe= */ false);
    check_stop_signal(c, AT(life, "stopSignal"), lifecycle, p);
    check_probe(c, AT(at, "livenessProbe"), doc_get(container, "livenessProbe"), p, /* readiness= */ false);
    check_probe(c, AT(at, "readinessProbe"), doc_get(container, "readinessProbe"), p, /* readiness= */ true);
    check_probe(c, AT(at, "startupProbe"), doc_get(container, "startupProbe"), p, /* readiness= */ false);
}
