/* schema/rules/events.c - Events, as core/v1 stores them; what events.k8s.io/v1 asks beyond that. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

enum { SHORT_MAX = 128, NOTE_MAX = 1024 };

static void check_short(struct rule_ctx *c, const struct fpath *up, const struct doc *obj, const char *name)
{
    struct str v = doc_str(obj, name);
    if (!v.len)
        rule_required(c, AT(up, name), NULL);
    if (v.len > SHORT_MAX)
        rule_invalid(c, AT(up, name), STR(""), "can have at most %d characters", SHORT_MAX);
}

static void check_event_namespace(struct rule_ctx *c, const struct fpath *at, const struct doc *obj, bool timed)
{
    struct str about = doc_str(doc_get(obj, "involvedObject"), "namespace"),
               own = doc_str(doc_get(obj, "metadata"), "namespace");
    bool ok;
    if (about.len)
        ok = timed || str_eq(about, own);
    else
        ok = str_is(own, "default") || (timed ? str_is(own, "kube-system") : !own.len);
    if (!ok)
        rule_invalid(c, AT(AT(at, "involvedObject"), "namespace"), about, "does not match event.namespace");
}

static void check_timed(struct rule_ctx *c, const struct fpath *at, const struct doc *obj)
{
    struct str controller = doc_str(obj, "reportingComponent");
    if (!controller.len)
        rule_required(c, AT(at, "reportingComponent"), NULL);
    check_name(c, AT(at, "reportingComponent"), controller, name_qualified);
    check_short(c, at, obj, "reportingInstance");
    check_short(c, at, obj, "action");
    check_short(c, at, obj, "reason");
    if (doc_str(obj, "message").len > NOTE_MAX)
        rule_invalid(c, AT(at, "message"), STR(""), "can have at most %d characters", NOTE_MAX);
}

static void check_unset(struct rule_ctx *c, const struct fpath *at, bool set)
{
    if (set)
        rule_invalid(c, at, STR(""), "needs to be unset");
}

static void check_new_event(struct rule_ctx *c, const struct fpath *at, const struct doc *obj)
{
    const struct doc *series = doc_get(obj, "series"), *source = doc_get(obj, "source");
    struct str type = doc_str(obj, "type");
    if (doc_is(series, DOC_OBJECT) && doc_int(series, "count", 0) < 2)
        rule_invalid(c, AT(at, "series.count"), STR(""), "should be at least 2");
    if (doc_is(series, DOC_OBJECT) && !rule_has(series, "lastObservedTime"))
        rule_required(c, AT(at, "series.lastObservedTime"), NULL);
    if (!rule_has(obj, "eventTime"))
        rule_required(c, AT(at, "eventTime"), NULL);
    if (!str_is(type, "Normal") && !str_is(type, "Warning"))
        rule_invalid(c, AT(at, "type"), STR(""), "has invalid value: " STR_FMT, STR_ARG(type));
    check_unset(c, AT(at, "firstTimestamp"), rule_has(obj, "firstTimestamp"));
    check_unset(c, AT(at, "lastTimestamp"), rule_has(obj, "lastTimestamp"));
    check_unset(c, AT(at, "count"), doc_int(obj, "count", 0) != 0);
    check_unset(c, AT(at, "source"), doc_str(source, "component").len || doc_str(source, "host").len);
}

/* Of the stored form. Requests through events.k8s.io arrive here converted, with c->res naming that group. */
void validate_event(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    struct str ns = doc_str(doc_get(obj, "metadata"), "namespace");
    bool timed = rule_has(obj, "eventTime");
    check_event_namespace(c, at, obj, timed);
    if (timed)
        check_timed(c, at, obj);
    check_name(c, AT(at, "namespace"), ns, name_dns1123_subdomain);
    if (!old && c->res && str_is(str_of(c->res->group), "events.k8s.io"))
        check_new_event(c, at, obj);
}
