/* schema/rules/pod_update.c - pods as they change: what an update, the ephemeral containers and a resize may do. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

static const struct fpath spec_at = {.name = "spec"};

static void check_common(struct rule_ctx *c, const struct doc *pod)
{
    const struct doc *meta = doc_get(pod, "metadata"), *spec = doc_get(pod, "spec");
    check_pod_annotations(c, AT_META(NULL, "annotations"), doc_get(meta, "annotations"), spec);
    check_pod_spec(c, &spec_at, spec, meta, /* is_pod= */ true);
    if (!doc_str(spec, "serviceAccountName").len)
        rule_each (v, doc_get(spec, "volumes"))
            rule_each (s, doc_get(doc_get(v, "projected"), "sources"))
                if (rule_has(s, "serviceAccountToken"))
                    rule_forbidden(
                        c,
                        AT(AT_INDEX(AT(AT(AT_INDEX(AT(&spec_at, "volumes"), v_i), "projected"), "sources"), s_i),
                           "serviceAccountToken"),
                        "must not be specified when serviceAccountName is not set");
    check_images_of_pod(c, &spec_at, spec);
}

static void check_create(struct rule_ctx *c, const struct doc *pod)
{
    const struct doc *spec = doc_get(pod, "spec");
    check_common(c, pod);
    if (doc_len(doc_get(spec, "ephemeralContainers")))
        rule_forbidden(c, AT(&spec_at, "ephemeralContainers"), "cannot be set on create");
    if (doc_str(spec, "nodeName").len && doc_len(doc_get(spec, "schedulingGates")))
        rule_forbidden(c, AT(&spec_at, "nodeName"), "cannot be set until all schedulingGates have been cleared");
    check_profile_annotations(c, &spec_at, spec, doc_get(doc_get(pod, "metadata"), "annotations"));
}

/* AppArmor and mirror annotations are of the kubelet's making: fixed. */
void check_annotation_changes(struct rule_ctx *c, const struct doc *value, const struct doc *old)
{
    const struct fpath *at = AT_META(NULL, "annotations");
    const struct str apparmor = STR("container.apparmor.security.beta.kubernetes.io/"),
                     mirror = STR("kubernetes.io/config.mirror");
    doc_each (a, old) {
        bool profile = str_starts(a->key, apparmor);
        if (!profile && !str_eq(a->key, mirror))
            continue;
        const struct doc *now = doc_get_str(value, a->key);
        if (!now || !str_eq(doc_string(now), doc_string(a)))
            rule_forbidden(c, AT_KEY(at, a->key), "may not remove or update %s",
                           profile ? "AppArmor annotations" : "mirror pod annotation");
    }
    doc_each (a, value) {
        bool profile = str_starts(a->key, apparmor);
        if ((profile || str_eq(a->key, mirror)) && !doc_get_str(old, a->key))
            rule_forbidden(c, AT_KEY(at, a->key), "may not add %s",
                           profile ? "AppArmor annotations" : "mirror pod annotation");
    }
}

static bool check_same_count(struct rule_ctx *c, const struct doc *spec, const struct doc *old, const char *list)
{
    if (doc_len(doc_get(spec, list)) == doc_len(doc_get(old, list)))
        return true;
    rule_forbidden(c, AT(&spec_at, list), "pod updates may not add or remove containers");
    return false;
}

/* From nothing to a deadline, or to an earlier one. false: nothing more is worth saying. */
static bool check_deadline(struct rule_ctx *c, const struct doc *spec, const struct doc *old)
{
    const struct fpath *at = AT(&spec_at, "activeDeadlineSeconds");
    const struct doc *now = doc_get(spec, "activeDeadlineSeconds"), *before = doc_get(old, "activeDeadlineSeconds");
    if (doc_is(now, DOC_INT)) {
        if (!check_range(c, at, now->i, 0, INT32_MAX))
            return false;
        if (doc_is(before, DOC_INT) && before->i < now->i) {
            rule_invalid_int(c, at, now->i, "must be less than or equal to previous value");
            return false;
        }
    } else if (doc_is(before, DOC_INT))
        rule_invalid_doc(c, at, NULL, "must not update from a positive integer to nil value");
    return true;
}

/* All of a toleration but its seconds. */
static struct str toleration_key(struct rule_ctx *c, const struct doc *t)
{
    struct sb b = SB(c->mem);
    static const char *const parts[] = {"key", "operator", "value", "effect", NULL};
    for (const char *const *p = parts; *p; p++)
        sb_addq(&b, doc_str(t, *p));
    return sb_str(&b);
}

static void check_toleration_changes(struct rule_ctx *c, const struct doc *value, const struct doc *old)
{
    const struct fpath *at = AT(&spec_at, "tolerations");
    cleanup_set struct rule_set now = {0};
    doc_each (t, value)
        rule_set_add(&now, toleration_key(c, t));
    doc_each (t, old) {
        if (rule_set_has(&now, toleration_key(c, t)))
            continue;
        rule_forbidden(c, at, "existing toleration can not be modified except its tolerationSeconds");
        return;
    }
    check_tolerations(c, at, value);
}

static void check_gate_changes(struct rule_ctx *c, const struct doc *value, const struct doc *old)
{
    const struct fpath *at = AT(&spec_at, "schedulingGates");
    cleanup_set struct rule_set before = {0};
    rule_set_index(&before, old, "name");
    rule_each (g, value) {
        if (!rule_set_has(&before, doc_str(g, "name")))
            rule_forbidden(c, AT(AT_INDEX(at, g_i), "name"),
                           "only deletion is allowed, but found new scheduling gate '" STR_FMT "'",
                           STR_ARG(doc_str(g, "name")));
    }
}

/* ---- the munging: what may change is put back, then both must be equal */
static void put_back(struct arena *mem, struct doc *spec, const struct doc *old, const char *name)
{
    const struct doc *before = doc_get(old, name);
    if (before)
        doc_put(mem, spec, name, doc_copy(mem, before));
    else
        doc_del(spec, name);
}

static void put_back_images(struct arena *mem, struct doc *spec, const struct doc *old, const char *list)
{
    struct doc *now = doc_first(doc_get(spec, list));
    for (const struct doc *before = doc_first(doc_get(old, list)); now && before;
         now = now->next, before = before->next)
        put_back(mem, now, before, "image");
}

static bool only_adds(const struct doc *now, const struct doc *old, const char *list)
{
    const struct doc *x = doc_first(doc_get(now, list));
    for (const struct doc *y = doc_first(doc_get(old, list)); y; y = y->next, x = x->next)
        if (!x || !rule_equal(x, y))
            return false;
    return true;
}

static bool term_only_adds(const struct doc *now, const struct doc *old)
{
    bool empty = !doc_len(doc_get(old, "matchExpressions")) && !doc_len(doc_get(old, "matchFields"));
    if (empty && (doc_len(doc_get(now, "matchExpressions")) || doc_len(doc_get(now, "matchFields"))))
        return false;
    return only_adds(now, old, "matchExpressions") && only_adds(now, old, "matchFields");
}

static void check_gated_affinity(struct rule_ctx *c, const struct doc *value, const struct doc *old)
{
    static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution";
    const struct fpath *at = AT(AT(AT(AT(&spec_at, "affinity"), "nodeAffinity"), required), "nodeSelectorTerms");
    const struct doc *now = doc_get(doc_get(value, required), "nodeSelectorTerms"),
                     *before = doc_get(doc_get(old, required), "nodeSelectorTerms");
    if (!doc_len(before))
        return;
    if (doc_len(now) != doc_len(before)) {
        rule_invalid_doc(c, at, now, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
        return;
    }
    const struct doc *y = doc_first(before);
    rule_each (x, now) {
        if (!term_only_adds(x, y))
            rule_invalid_doc(c, AT_INDEX(at, x_i), x, "only additions are allowed (no mutations or deletions)");
        y = y->next;
    }
}

/* While a gate holds a pod, its node selector and node affinity may still grow. */
static void munge_gated(struct rule_ctx *c, struct doc *spec, const struct doc *old)
{
    const struct doc *now = doc_get(spec, "nodeSelector"), *before = doc_get(old, "nodeSelector");
    cleanup_set struct rule_set labels = {0};
    rule_set_members(&labels, now);
    doc_each (pair, before) {
        const struct doc *v = rule_set_node(&labels, pair->key);
        if (v && str_eq(doc_string(v), doc_string(pair)))
            continue;
        rule_invalid_doc(c, AT(&spec_at, "nodeSelector"), now,
                         "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
        break;
    }
    put_back(c->mem, spec, old, "nodeSelector");
    const struct doc *old_na = doc_get(doc_get(old, "affinity"), "nodeAffinity"),
                     *na = doc_get(doc_get(spec, "affinity"), "nodeAffinity");
    if (rule_equal(na, old_na))
        return;
    check_gated_affinity(c, na, old_na);
    put_back(c->mem, doc_sub(c->mem, spec, "affinity"), doc_get(old, "affinity"), "nodeAffinity");
}

static void check_rest_is_equal(struct rule_ctx *c, const struct doc *spec, const struct doc *old)
{
    static const char *const free_fields[] = {"activeDeadlineSeconds", "schedulingGates", "tolerations", NULL};
    if (rule_equal(spec, old))
        return;
    struct doc *munged = doc_copy(c->mem, spec);
    put_back_images(c->mem, munged, old, "containers");
    put_back_images(c->mem, munged, old, "initContainers");
    for (const char *const *f = free_fields; *f; f++)
        put_back(c->mem, munged, old, *f);
    if (doc_int(old, "terminationGracePeriodSeconds", 0) < 0 &&
        doc_int(munged, "terminationGracePeriodSeconds", 0) == 1)
        put_back(c->mem, munged, old, "terminationGracePeriodSeconds");
    if (doc_len(doc_get(old, "schedulingGates")))
        munge_gated(c, munged, old);
    if (!rule_equal(munged, old))
        rule_forbidden(
            c, &spec_at,
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n" STR_FMT,
            STR_ARG(rule_diff(c->mem, old, munged)));
}

static void check_update(struct rule_ctx *c, const struct doc *pod, const struct doc *old_pod)
{
    const struct doc *spec = doc_get(pod, "spec"), *old = doc_get(old_pod, "spec");
    check_common(c, pod);
    check_annotation_changes(c, doc_get(doc_get(pod, "metadata"), "annotations"),
                             doc_get(doc_get(old_pod, "metadata"), "annotations"));
    if (!check_same_count(c, spec, old, "containers") || !check_same_count(c, spec, old, "initContainers") ||
        !check_deadline(c, spec, old))
        return;
    check_toleration_changes(c, doc_get(spec, "tolerations"), doc_get(old, "tolerations"));
    check_gate_changes(c, doc_get(spec, "schedulingGates"), doc_get(old, "schedulingGates"));
    check_rest_is_equal(c, spec, old);
}

static void check_ephemeral_update(struct rule_ctx *c, const struct doc *pod, const struct doc *old_pod)
{
    const struct fpath *at = AT(&spec_at, "ephemeralContainers");
    check_common(c, pod);
    if (doc_get(doc_get(doc_get(old_pod, "metadata"), "annotations"), "kubernetes.io/config.mirror"))
        rule_forbidden(c, &(const struct fpath){.name = ""}, "static pods do not support ephemeral containers");
    cleanup_set struct rule_set by_name = {0};
    rule_set_index(&by_name, doc_get(doc_get(pod, "spec"), "ephemeralContainers"), "name");
    doc_each (before, doc_get(doc_get(old_pod, "spec"), "ephemeralContainers")) {
        struct str name = doc_str(before, "name"), quoted = str_quote(c->mem, name);
        const struct doc *now = rule_set_node(&by_name, name);
        if (!now)
            rule_forbidden(c, at, "existing ephemeral containers " STR_FMT " may not be removed\n", STR_ARG(quoted));
        else if (!rule_equal(now, before))
            rule_forbidden(c, at, "existing ephemeral containers " STR_FMT " may not be changed\n" STR_FMT,
                           STR_ARG(quoted), STR_ARG(rule_diff(c->mem, before, now)));
    }
}

/* ---- resize: cpu and memory of containers, of nothing else */
static bool lost_amount(const struct doc *now, const struct doc *before)
{
    cleanup_set struct rule_set names = {0};
    rule_set_members(&names, now);
    doc_each (r, before)
        if (!rule_set_has(&names, r->key))
            return true;
    return false;
}

static void check_resized(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr, const struct doc *old)
{
    const struct doc *now = doc_get(ctr, "resources"), *before = doc_get(old, "resources");
    if (lost_amount(doc_get(now, "requests"), doc_get(before, "requests")))
        rule_forbidden(c, AT(at, "requests"), "resource requests cannot be removed");
    if (lost_amount(doc_get(now, "limits"), doc_get(before, "limits")))
        rule_forbidden(c, AT(at, "limits"), "resource limits cannot be removed");
}

static void munge_amounts(struct arena *mem, struct doc *ctr, const struct doc *old)
{
    static const char *const lists[] = {"limits", "requests", NULL};
    for (const char *const *l = lists; *l; l++) {
        struct doc *now = doc_sub(mem, doc_sub(mem, ctr, "resources"), *l);
        const struct doc *before = doc_get(doc_get(old, "resources"), *l);
        put_back(mem, now, before, "cpu");
        put_back(mem, now, before, "memory");
    }
}

static void check_resize_list(struct rule_ctx *c, struct doc *munged, const struct doc *old, const char *list,
                              bool init)
{
    struct doc *ctr = doc_first(doc_get(munged, list));
    rule_each (before, doc_get(old, list)) {
        bool may = !init || str_is(doc_str(before, "restartPolicy"), "Always");
        const char *what = !init ? "only cpu and memory resources are mutable"
                           : may ? "only cpu and memory resources for sidecar containers are mutable"
                                 : "resources for non-sidecar init containers are immutable";
        if (!ctr)
            return;
        if (may) {
            check_resized(c, AT(AT_INDEX(AT(&spec_at, list), before_i), "resources"), ctr, before);
            munge_amounts(c->mem, ctr, before);
        }
        if (!rule_equal(ctr, before))
            rule_forbidden(c, &spec_at, "%s", what);
        ctr = ctr->next;
    }
}

/* Guaranteed, Burstable, BestEffort by the rules of the kubelet. */
static int qos_class(const struct doc *spec)
{
    static const char *const names[] = {"cpu", "memory"}, *const lists[] = {"containers", "initContainers"};
    bool any = false, guaranteed = true;
    for (int l = 0; l < 2; l++)
        doc_each (ctr, doc_get(spec, lists[l]))
            for (int r = 0; r < 2; r++) {
                const struct doc *res = doc_get(ctr, "resources");
                struct quantity limit = quantity_of_str(doc_str(doc_get(res, "limits"), names[r]));
                struct quantity request = quantity_of_str(doc_str(doc_get(res, "requests"), names[r]));
                any |= quantity_sign(limit) > 0 || quantity_sign(request) > 0;
                guaranteed &=
                    quantity_sign(limit) > 0 && (quantity_sign(request) == 0 || quantity_cmp(limit, request) == 0);
            }
    return !any ? 2 : guaranteed ? 0 : 1;
}

/* Both lists hold the same containers in the same order. */
static bool check_resize_order(struct rule_ctx *c, const struct doc *spec, const struct doc *old)
{
    static const char *const lists[] = {"containers", "initContainers", NULL};
    int before = c->err->cause_count;
    for (const char *const *l = lists; *l; l++) {
        const struct doc *now = doc_get(spec, *l), *was = doc_first(doc_get(old, *l));
        if (doc_len(now) != doc_len(doc_get(old, *l))) {
            rule_forbidden(c, AT(&spec_at, *l), "%s may not be added or removed on resize", *l);
            continue;
        }
        rule_each (ctr, now) {
            if (!str_eq(doc_str(ctr, "name"), doc_str(was, "name")))
                rule_forbidden(c, AT(AT_INDEX(AT(&spec_at, *l), ctr_i), "name"),
                               "%s may not be renamed or reordered on resize", *l);
            was = was->next;
        }
    }
    return c->err->cause_count == before;
}

static void check_resize(struct rule_ctx *c, const struct doc *pod, const struct doc *old_pod)
{
    const struct doc *spec = doc_get(pod, "spec"), *old = doc_get(old_pod, "spec");
    const struct fpath whole = {.name = ""};
    if (doc_get(doc_get(doc_get(old_pod, "metadata"), "annotations"), "kubernetes.io/config.mirror")) {
        rule_forbidden(c, &whole, "static pods cannot be resized");
        return;
    }
    if (str_is(doc_str(doc_get(old, "os"), "name"), "windows")) {
        rule_forbidden(c, &whole, "windows pods cannot be resized");
        return;
    }
    check_common(c, pod);
    if (qos_class(spec) != qos_class(old))
        rule_invalid(c, &spec_at, doc_str(doc_get(pod, "status"), "qosClass"),
                     "Pod QOS Class may not change as a result of resizing");
    if (!check_resize_order(c, spec, old))
        return;
    struct doc *munged = doc_copy(c->mem, spec);
    check_resize_list(c, munged, old, "initContainers", /* init= */ true);
    check_resize_list(c, munged, old, "containers", /* init= */ false);
    if (!c->err->cause_count && !rule_equal(munged, old))
        rule_forbidden(c, &spec_at, "only cpu and memory resources are mutable");
}

void validate_binding(struct rule_ctx *c, const struct doc *binding, const struct doc *old, const struct fpath *at)
{
    const struct doc *target = doc_get(binding, "target");
    struct str kind = doc_str(target, "kind");
    if (kind.len && !str_is(kind, "Node"))
        rule_unsupported(c, AT(AT(at, "target"), "kind"), kind, "Node", "<empty>");
    if (!doc_str(target, "name").len)
        rule_required(c, AT(AT(at, "target"), "name"), NULL);
}

void validate_pod(struct rule_ctx *c, const struct doc *pod, const struct doc *old, const struct fpath *at)
{
    struct str sub = c->sub ? str_of(c->sub->name) : STR("");
    if (str_is(sub, "binding"))
        validate_binding(c, pod, old, at);
    else if (!old)
        check_create(c, pod);
    else if (str_is(sub, "ephemeralcontainers"))
        check_ephemeral_update(c, pod, old);
    else if (str_is(sub, "resize"))
        check_resize(c, pod, old);
    else
        check_update(c, pod, old);
}
