/* control/job_failure_policy.c - spec.podFailurePolicy: what a pod's failure means, by exit code or condition. */
#include "control/job_policy.h"

static bool has_value(const struct doc *values, int64_t code)
{
    doc_each (v, values) {
        if (doc_is(v, DOC_INT) && v->i == code)
            return true;
    }
    return false;
}

/* The first container of the list that ended with a code that the rule is about. */
static const struct doc *container_in(const struct doc *list, const struct doc *rule)
{
    struct str name = doc_str(rule, "containerName"), op = doc_str(rule, "operator");
    doc_each (c, list) {
        const struct doc *ended = doc_path(c, "state", "terminated", NULL);
        int64_t code = doc_int(ended, "exitCode", 0);
        if (!code || (name.len && !str_eq(name, doc_str(c, "name"))))
            continue;
        bool listed = has_value(doc_get(rule, "values"), code);
        if ((str_is(op, "In") && listed) || (str_is(op, "NotIn") && !listed))
            return c;
    }
    return NULL;
}

static const struct doc *match_exit_codes(const struct doc *status, const struct doc *rule)
{
    const struct doc *c = container_in(doc_get(status, "containerStatuses"), rule);
    return c ? c : container_in(doc_get(status, "initContainerStatuses"), rule);
}

static const struct doc *match_conditions(const struct doc *status, const struct doc *patterns)
{
    doc_each (c, doc_get(status, "conditions"))
        doc_each (p, patterns)
            if (str_eq(doc_str(c, "type"), doc_str(p, "type")) && str_eq(doc_str(c, "status"), doc_str(p, "status")))
                return c;
    return NULL;
}

static struct str say(struct arena *mem, const struct pod *p, const struct doc *container, const struct doc *condition,
                      int rule)
{
    struct str ns = p->obj->ns, name = p->obj->name;
    if (condition)
        return str_fmt(mem, "Pod " STR_FMT "/" STR_FMT " has condition " STR_FMT " matching FailJob rule at index %d",
                       STR_ARG(ns), STR_ARG(name), STR_ARG(doc_str(condition, "type")), rule);
    int64_t code = doc_int(doc_path(container, "state", "terminated", NULL), "exitCode", 0);
    return str_fmt(mem,
                   "Container " STR_FMT " for pod " STR_FMT "/" STR_FMT
                   " failed with exit code %lld matching FailJob rule at index %d",
                   STR_ARG(doc_str(container, "name")), STR_ARG(ns), STR_ARG(name), (long long)code, rule);
}

enum job_action job_failure_match(struct arena *mem, const struct doc *policy, const struct pod *p,
                                  struct str *ret_message)
{
    const struct doc *status = doc_get(p->doc, "status");
    int index = -1;
    doc_each (rule, doc_get(policy, "rules")) {
        const struct doc *codes = doc_get(rule, "onExitCodes"), *patterns = doc_get(rule, "onPodConditions");
        const struct doc *container = codes ? match_exit_codes(status, codes) : NULL;
        const struct doc *condition = codes ? NULL : match_conditions(status, patterns);
        struct str action = doc_str(rule, "action");
        index++;
        if (!container && !condition)
            continue;
        if (str_is(action, "Ignore"))
            return JOB_ACTION_IGNORE;
        if (str_is(action, "FailIndex"))
            return JOB_ACTION_FAIL_INDEX;
        if (str_is(action, "Count"))
            return JOB_ACTION_COUNT;
        if (!str_is(action, "FailJob"))
            continue;
        *ret_message = say(mem, p, container, condition, index);
        return JOB_ACTION_FAIL_JOB;
    }
    return JOB_ACTION_COUNT;
}
