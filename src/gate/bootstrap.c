/* gate/bootstrap.c - makes what a cluster is born with, and makes it again when somebody deletes it.
 *
 * An object that is there is left alone, so a restart writes nothing; roles and bindings get back what they lack of
 * their defaults at each start, unless their annotation autoupdate says no. The rules of aggregated roles are summed by
 * control/clusterrole_aggregation.c. Namespaces come first: the rest lives in them. Source: kubernetes
 * pkg/registry/rbac/rest, component-helpers/auth/rbac/reconciliation. */
#include "gate/bootstrap.h"
#include "gate/escalate.h"
#include "gate/internal.h"

#include "base/log.h"

enum { STAGES = 4, RETRY_MS = 1000 };
#define AUTHENTICATION_CONFIG "extension-apiserver-authentication"
#define CLUSTER_INFO          "cluster-info"

struct bootstrap {
    struct gate *g;
    struct cache_sub sub;
    struct loop_timer again; /* after a delete or an error */
    struct loop_task task;
    int stage, waiting;
    bool failed, dirty; /* dirty: something changed while a pass was under way */
    bool was_complete;  /* defaults were completed since the start; what is changed afterwards is meant so */
    void (*complete)(void *ctx);
    void *ctx;
};

static void start_pass(struct bootstrap *b);

static void on_written(void *ctx, struct obj *obj, const struct err *err)
{
    struct bootstrap *b = ctx;
    if (err && err->reason != ERR_ALREADY_EXISTS) {
        log_warn("bootstrap", "an object could not be made", "message=" STR_FMT, STR_ARG(err->message));
        b->failed = true;
    }
    if (--b->waiting == 0)
        loop_post(b->g->o.loop, &b->task);
}

/* ---- small builders */

static struct doc *new_object(struct arena *mem, const struct resource *res, const char *name)
{
    struct doc *d = doc_new_object(mem);
    doc_put_str(mem, d, "kind", str_of(res->kind));
    doc_put_str(mem, d, "apiVersion", str_of(res->api_version));
    doc_put_str(mem, doc_sub(mem, d, "metadata"), "name", str_of(name));
    return d;
}

static void ensure(struct bootstrap *b, struct arena *mem, const struct resource *res, const char *ns, struct doc *d)
{
    struct str name = doc_str(doc_get(d, "metadata"), "name"), in = str_of(ns);
    const struct obj *home = ns ? cache_find(b->g->o.cache, schema_stored("", "namespaces"), STR_NULL, in) : NULL;
    if (cache_find(b->g->o.cache, res, in, name) || (ns && (!home || home->deleting)))
        return;
    b->waiting++;
    write_create(b->g->o.writer, NULL, res, in, d, on_written, b);
}

static struct doc *words(struct arena *mem, const char *text)
{
    struct doc *list = doc_new_array(mem);
    struct str rest = str_of(text), word;
    while (str_next(&rest, ' ', &word))
        doc_push(list, doc_new_str(mem, str_is(word, "-") ? STR("") : word));
    return list;
}

static void put_words(struct arena *mem, struct doc *to, const char *key, const char *text)
{
    if (text)
        doc_put(mem, to, key, words(mem, text));
}

/* ---- roles */

static struct doc *rules_of(struct arena *mem, const struct role_rule *rows, const char *role)
{
    struct doc *rules = doc_new_array(mem);
    for (const struct role_rule *r = rows; r->role; r++) {
        if (strcmp(r->role, role) != 0)
            continue;
        struct doc *d = doc_push(rules, doc_new_object(mem));
        put_words(mem, d, "verbs", r->verbs);
        put_words(mem, d, "apiGroups", r->groups);
        put_words(mem, d, "resources", r->resources);
        put_words(mem, d, "resourceNames", r->names);
        put_words(mem, d, "nonResourceURLs", r->paths);
    }
    return rules;
}

#define RBAC       "rbac.authorization.k8s.io"
#define AUTOUPDATE "rbac.authorization.kubernetes.io/autoupdate"

static struct doc *new_default(struct arena *mem, const struct resource *res, const char *name)
{
    struct doc *d = new_object(mem, res, name), *meta = doc_get(d, "metadata");
    doc_put_str(mem, doc_sub(mem, meta, "labels"), "kubernetes.io/bootstrapping", STR("rbac-defaults"));
    doc_put_str(mem, doc_sub(mem, meta, "annotations"), AUTOUPDATE, STR("true"));
    return d;
}

/* The members of wanted that has lacks; what is there stays. true: some. */
static bool complete_map(struct arena *mem, struct doc *meta, const char *key, const struct doc *wanted)
{
    bool changed = false;
    doc_each (m, doc_get(wanted, key))
        if (!doc_get_str(doc_get(meta, key), m->key)) {
            doc_set(doc_sub(mem, meta, key), m->key, doc_copy(mem, m));
            changed = true;
        }
    return changed;
}

/* What a list lacks: single rights of rules, whole items of subjects. */
static bool complete_list(struct arena *mem, struct doc *have, const char *key, const struct doc *wanted)
{
    const struct doc *held = doc_get(have, key), *want = doc_get(wanted, key);
    struct doc *missing = doc_new_array(mem);
    if (!held || !doc_eq(held, want)) {
        if (!strcmp(key, "rules"))
            missing = escalate_missing(mem, held, want);
        else
            doc_each (item, want) {
                bool found = false;
                doc_each (h, held)
                    found |= doc_eq(h, item);
                if (!found)
                    doc_push(missing, doc_copy(mem, item));
            }
    }
    bool changed = doc_len(missing);
    for (struct doc *item; (item = doc_first(missing));)
        doc_push(doc_sub_array(mem, have, key), doc_remove(missing, item));
    return changed;
}

/* Present and lacking something of d: completed, once a start. key: "rules", "subjects", or NULL for a role that is the
 * sum of others. Else made when absent. */
static void ensure_default(struct bootstrap *b, struct arena *mem, const struct resource *res, const char *ns,
                           struct doc *d, const char *key)
{
    const struct obj *present = cache_find(b->g->o.cache, res, str_of(ns), doc_str(doc_get(d, "metadata"), "name"));
    if (!present || b->was_complete || present->deleting) {
        ensure(b, mem, res, ns, d);
        return;
    }
    struct doc *have = obj_doc(mem, present), *meta = doc_get(have, "metadata");
    if (str_is(doc_str(doc_get(meta, "annotations"), AUTOUPDATE), "false") ||
        !doc_eq(doc_get(have, "roleRef"), doc_get(d, "roleRef")))
        return;
    bool changed = complete_map(mem, meta, "labels", doc_get(d, "metadata"));
    changed |= complete_map(mem, meta, "annotations", doc_get(d, "metadata"));
    changed |= key && complete_list(mem, have, key, d);
    if (!changed)
        return;
    b->waiting++;
    write_update(b->g->o.writer, NULL, res, NULL, have, on_written, b);
}

#define RBAC_LABEL RBAC "/"

static void ensure_role(struct bootstrap *b, struct arena *mem, const struct default_role *r)
{
    struct doc *d = new_default(mem, schema_stored(RBAC, r->ns ? "roles" : "clusterroles"), r->name);
    if (r->label)
        doc_put_str(mem, doc_sub(mem, doc_get(d, "metadata"), "labels"), str_fmtz(mem, RBAC_LABEL "%s", r->label),
                    STR("true"));
    if (r->aggregate) {
        struct doc *selector = doc_push(doc_sub_array(mem, doc_sub(mem, d, "aggregationRule"), "clusterRoleSelectors"),
                                        doc_new_object(mem));
        doc_put_str(mem, doc_sub(mem, selector, "matchLabels"), str_fmtz(mem, RBAC_LABEL "%s", r->aggregate),
                    STR("true"));
    }
    const char *role = r->ns ? str_fmtz(mem, "%s/%s", r->ns, r->name) : r->name;
    doc_put(mem, d, "rules", rules_of(mem, default_rules, role));
    ensure_default(b, mem, schema_stored(RBAC, r->ns ? "roles" : "clusterroles"), r->ns, d,
                   r->aggregate ? NULL : "rules");
}

static void ensure_binding(struct bootstrap *b, struct arena *mem, const struct default_binding *row)
{
    const struct resource *res = schema_stored(RBAC, row->ns ? "rolebindings" : "clusterrolebindings");
    struct doc *d = new_default(mem, res, row->name), *subjects = doc_sub_array(mem, d, "subjects"),
               *ref = doc_sub(mem, d, "roleRef");
    doc_put_str(mem, ref, "apiGroup", STR(RBAC));
    doc_put_str(mem, ref, "kind", str_of(row->role_kind));
    doc_put_str(mem, ref, "name", str_of(row->role));
    struct str rest = str_of(row->subjects), word;
    while (str_next(&rest, ' ', &word)) {
        struct doc *s = doc_push(subjects, doc_new_object(mem));
        struct str ns, name;
        doc_put_str(mem, s, "kind", str_of(row->subject_kind));
        if (!strcmp(row->subject_kind, "ServiceAccount") && str_cut(word, '/', &ns, &name)) {
            doc_put_str(mem, s, "name", name);
            doc_put_str(mem, s, "namespace", ns);
        } else {
            doc_put_str(mem, s, "apiGroup", STR(RBAC));
            doc_put_str(mem, s, "name", word);
        }
    }
    ensure_default(b, mem, res, row->ns, d, "subjects");
}

static void ensure_controllers(struct bootstrap *b, struct arena *mem)
{
    const struct resource *res = schema_stored(RBAC, "clusterroles");
    const char *last = "";
    for (const struct role_rule *r = default_controllers; r->role; last = r->role, r++) {
        if (!strcmp(last, r->role))
            continue;
        char *role = str_fmtz(mem, "system:controller:%s", r->role);
        struct doc *d = new_default(mem, res, role);
        doc_put(mem, d, "rules", rules_of(mem, default_controllers, r->role));
        ensure_default(b, mem, res, NULL, d, "rules");
        ensure_binding(b, mem,
                       &(struct default_binding){.name = role,
                                                 .role_kind = "ClusterRole",
                                                 .role = role,
                                                 .subject_kind = "ServiceAccount",
                                                 .subjects = str_fmtz(mem, "kube-system/%s", r->role)});
    }
}

/* ---- priority levels and flow schemas */

#define FLOW_GROUP "flowcontrol.apiserver.k8s.io"

static void mark_updated(struct arena *mem, struct doc *d)
{
    doc_put_str(mem, doc_sub(mem, doc_get(d, "metadata"), "annotations"), "apf.kubernetes.io/autoupdate-spec",
                STR("true"));
}

static void ensure_level(struct bootstrap *b, struct arena *mem, const struct default_level *row)
{
    const struct resource *res = schema_stored(FLOW_GROUP, "prioritylevelconfigurations");
    struct doc *d = new_object(mem, res, row->name), *spec = doc_sub(mem, d, "spec");
    mark_updated(mem, d);
    doc_put_str(mem, spec, "type", row->exempt ? STR("Exempt") : STR("Limited"));
    struct doc *how = doc_sub(mem, spec, row->exempt ? "exempt" : "limited");
    doc_put_int(mem, how, "nominalConcurrencyShares", row->shares);
    doc_put_int(mem, how, "lendablePercent", row->lendable_percent);
    if (!row->exempt) {
        struct doc *excess = doc_sub(mem, how, "limitResponse");
        doc_put_str(mem, excess, "type", row->queues ? STR("Queue") : STR("Reject"));
        if (row->queues) {
            struct doc *queuing = doc_sub(mem, excess, "queuing");
            doc_put_int(mem, queuing, "queues", row->queues);
            doc_put_int(mem, queuing, "handSize", row->hand_size);
            doc_put_int(mem, queuing, "queueLengthLimit", row->queue_length);
        }
    }
    ensure(b, mem, res, NULL, d);
}

static void put_flow_subjects(struct arena *mem, struct doc *rule, const char *pairs)
{
    struct doc *list = doc_sub_array(mem, rule, "subjects");
    struct str rest = str_of(pairs), kind, name;
    while (str_next(&rest, ' ', &kind) && str_next(&rest, ' ', &name)) {
        bool is_account = str_is(kind, "s"), is_group = str_is(kind, "g");
        struct doc *s = doc_push(list, doc_new_object(mem));
        doc_put_str(mem, s, "kind", is_account ? STR("ServiceAccount") : is_group ? STR("Group") : STR("User"));
        struct doc *who = doc_sub(mem, s, is_account ? "serviceAccount" : is_group ? "group" : "user");
        if (is_account)
            doc_put_str(mem, who, "namespace", STR("kube-system"));
        doc_put_str(mem, who, "name", name);
    }
}

static void put_flow_rule(struct arena *mem, struct doc *rule, const struct flow_rule *row)
{
    struct doc *d =
        doc_push(doc_sub_array(mem, rule, row->paths ? "nonResourceRules" : "resourceRules"), doc_new_object(mem));
    put_words(mem, d, "verbs", row->verbs);
    put_words(mem, d, "nonResourceURLs", row->paths);
    if (row->paths)
        return;
    put_words(mem, d, "apiGroups", row->groups);
    put_words(mem, d, "resources", row->resources);
    put_words(mem, d, "namespaces", "*");
    if (row->cluster_scope)
        doc_put_bool(mem, d, "clusterScope", true);
}

static void ensure_flow(struct bootstrap *b, struct arena *mem, const struct default_flow *row)
{
    static const struct flow_rule everything[] = {{"", "*", "*", "*", true, NULL}, {"", "*", NULL, NULL, false, "*"}};
    const struct resource *res = schema_stored(FLOW_GROUP, "flowschemas");
    struct doc *d = new_object(mem, res, row->name), *spec = doc_sub(mem, d, "spec");
    mark_updated(mem, d);
    doc_put_str(mem, doc_sub(mem, spec, "priorityLevelConfiguration"), "name", str_of(row->level));
    doc_put_int(mem, spec, "matchingPrecedence", row->precedence);
    if (row->by)
        doc_put_str(mem, doc_sub(mem, spec, "distinguisherMethod"), "type", str_of(row->by));
    struct doc *rule = doc_push(doc_sub_array(mem, spec, "rules"), doc_new_object(mem));
    put_flow_subjects(mem, rule, row->subjects);
    bool some = false;
    for (const struct flow_rule *r = default_flow_rules; r->flow; r++)
        if (!strcmp(r->flow, row->name)) {
            put_flow_rule(mem, rule, r);
            some = true;
        }
    for (int i = 0; i < 2 && !some; i++)
        put_flow_rule(mem, rule, &everything[i]);
    ensure(b, mem, res, NULL, d);
}

/* ---- everything else: objects as text, with what this cluster is called filled in */

struct text_row {
    const char *group, *resource, *ns, *text;
};
/* $IP $CIDR $DNS $HOST $PORT are replaced. */
static const struct text_row texts[] = {
    {"networking.k8s.io", "servicecidrs", NULL,
     "{\"metadata\":{\"name\":\"kubernetes\"},\"spec\":{\"cidrs\":[\"$CIDR\"]}}"},
    {"", "services", "default",
     "{\"metadata\":{\"name\":\"kubernetes\",\"labels\":{\"component\":\"apiserver\",\"provider\":\"kubernetes\"}},"
     "\"spec\":{\"type\":\"ClusterIP\","
     "\"clusterIP\":\"$IP\",\"ports\":[{\"name\":\"https\",\"port\":443,\"protocol\":\"TCP\",\"targetPort\":$PORT}]}}"},
    {"", "endpoints", "default",
     "{\"metadata\":{\"name\":\"kubernetes\",\"labels\":{\"endpointslice.kubernetes.io/skip-mirror\":\"true\"}},"
     "\"subsets\":[{\"addresses\":[{\"ip\":\"$HOST\"}],\"ports\":[{\"name\":\"https\",\"port\":$PORT,\"protocol\":"
     "\"TCP\"}]}]}"},
    {"discovery.k8s.io", "endpointslices", "default",
     "{\"metadata\":{\"name\":\"kubernetes\",\"labels\":{\"kubernetes.io/"
     "service-name\":\"kubernetes\"}},\"addressType\":\"IPv4\","
     "\"endpoints\":[{\"addresses\":[\"$HOST\"],\"conditions\":{\"ready\":true}}],\"ports\":[{\"name\":\"https\","
     "\"port\":$PORT,\"protocol\":\"TCP\"}]}"},
    {"", "services", "kube-system",
     "{\"metadata\":{\"name\":\"kube-dns\",\"labels\":{\"k8s-app\":\"kube-dns\",\"kubernetes.io/"
     "cluster-service\":\"true\",\"kubernetes.io/name\":\"CoreDNS\"}},"
     "\"spec\":{\"clusterIP\":\"$DNS\",\"ports\":[{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\",\"targetPort\":53}"
     ","
     "{\"name\":\"dns-tcp\",\"port\":53,\"protocol\":\"TCP\",\"targetPort\":53}]}}"},
    {"scheduling.k8s.io", "priorityclasses", NULL,
     "{\"metadata\":{\"name\":\"system-cluster-critical\"},\"value\":2000000000,\"description\":\"Used for system "
     "critical pods that must run in the cluster, but "
     "can be moved to another node if necessary.\"}"},
    {"scheduling.k8s.io", "priorityclasses", NULL,
     "{\"metadata\":{\"name\":\"system-node-critical\"},\"value\":2000001000,\"description\":\"Used for system "
     "critical pods that must not be moved from their current "
     "node.\"}"},
};

static const char *const namespaces[] = {"default", "kube-node-lease", "kube-public", "kube-system"};

static struct str fill(struct gate *g, struct arena *mem, const char *text)
{
    struct str host, port;
    ptrdiff_t colon = str_rfind(g->o.advertise, ':');
    host = colon < 0 ? g->o.advertise : str_head(g->o.advertise, (size_t)colon);
    port = colon < 0 ? STR("6443") : str_from(g->o.advertise, (size_t)colon + 1);
    const struct {
        const char *word;
        struct str value;
    } rows[] = {{"$IP", g->o.service_ip},
                {"$CIDR", g->o.service_cidr},
                {"$DNS", g->o.dns_ip},
                {"$HOST", host},
                {"$PORT", port}};
    struct sb b = SB(mem);
    while (*text) {
        size_t i = 0, n = sizeof(rows) / sizeof(rows[0]);
        while (i < n && strncmp(text, rows[i].word, strlen(rows[i].word)) != 0)
            i++;
        if (i < n) {
            sb_add(&b, rows[i].value);
            text += strlen(rows[i].word);
        } else {
            sb_addc(&b, *text++);
        }
    }
    return sb_str(&b);
}

/* Kubernetes refuses loopback addresses in endpoints: a server that only listens there is reached by nobody through the
 * Service. */
static bool is_unreachable(const struct gate *g, const char *text)
{
    return strstr(text, "$HOST") &&
           (str_starts(g->o.advertise, STR("127.")) || str_starts(g->o.advertise, STR("localhost")) ||
            str_starts(g->o.advertise, STR("[::1]")));
}

static void ensure_text(struct bootstrap *b, struct arena *mem, const struct text_row *row)
{
    struct err err = ERR(mem);
    if (is_unreachable(b->g, row->text))
        return;
    const struct resource *res = schema_stored(row->group, row->resource);
    struct doc *d = doc_parse(mem, fill(b->g, mem, row->text), NULL, &err);
    if (!d) {
        log_error("bootstrap", "a built-in text is no JSON", "resource=%s", row->resource);
        return;
    }
    doc_put_str(mem, d, "kind", str_of(res->kind));
    doc_put_str(mem, d, "apiVersion", str_of(res->api_version));
    ensure(b, mem, res, row->ns, d);
}

/* Made, or given what it lacks of data; what others put there stays. */
static void ensure_config_map(struct bootstrap *b, struct arena *mem, const char *ns, const char *name,
                              struct doc *data)
{
    const struct resource *res = schema_stored("", "configmaps");
    const struct obj *present = cache_find(b->g->o.cache, res, str_of(ns), str_of(name));
    if (!present) {
        struct doc *d = new_object(mem, res, name);
        doc_put(mem, d, "data", data);
        ensure(b, mem, res, ns, d);
        return;
    }
    const struct doc *was = doc_get(obj_doc(mem, present), "data");
    bool same = true;
    doc_each (v, data)
        same &= doc_eq(v, doc_get_str(was, v->key));
    if (same)
        return;
    struct doc *patch = doc_new_object(mem);
    doc_put(mem, patch, "data", data);
    b->waiting++;
    write_merge(b->g->o.writer, NULL, res, NULL, str_of(ns), str_of(name), patch, on_written, b);
}

/* What API servers beside this one need to know whom to believe. */
static void ensure_authentication_config(struct bootstrap *b, struct arena *mem)
{
    struct doc *data = doc_new_object(mem);
    doc_put_str(mem, data, "client-ca-file", b->g->ca.cert_pem);
    doc_put_str(mem, data, "requestheader-allowed-names", STR("[\"front-proxy-client\"]"));
    doc_put_str(mem, data, "requestheader-client-ca-file", b->g->front_ca.cert_pem);
    doc_put_str(mem, data, "requestheader-extra-headers-prefix", STR("[\"X-Remote-Extra-\"]"));
    doc_put_str(mem, data, "requestheader-group-headers", STR("[\"X-Remote-Group\"]"));
    doc_put_str(mem, data, "requestheader-username-headers", STR("[\"X-Remote-User\"]"));
    ensure_config_map(b, mem, "kube-system", AUTHENTICATION_CONFIG, data);
}

/* What a machine reads before it trusts anybody, in kubeadm's form; control/bootstrap_tokens.c signs it. */
static void ensure_cluster_info(struct bootstrap *b, struct arena *mem)
{
    struct doc *data = doc_new_object(mem);
    struct str ca = str_base64(mem, b->g->ca.cert_pem);
    doc_put_str(mem, data, "kubeconfig",
                str_fmt(mem,
                        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: " STR_FMT
                        "\n    server: https://" STR_FMT "\n  name: \"\"\ncontexts: null\ncurrent-context: \"\"\n"
                        "kind: Config\npreferences: {}\nusers: null\n",
                        STR_ARG(ca), STR_ARG(b->g->o.advertise)));
    ensure_config_map(b, mem, "kube-public", CLUSTER_INFO, data);
}

static void make_namespaces(struct bootstrap *b, struct arena *mem)
{
    const struct resource *res = schema_stored("", "namespaces");
    for (size_t i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]); i++)
        ensure(b, mem, res, NULL, new_object(mem, res, namespaces[i]));
}

static void make_texts_and_flows(struct bootstrap *b, struct arena *mem)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        ensure_text(b, mem, &texts[i]);
    ensure_authentication_config(b, mem);
    ensure_cluster_info(b, mem);
    for (const struct default_level *r = default_levels; r->name; r++)
        ensure_level(b, mem, r);
    for (const struct default_flow *r = default_flows; r->name; r++)
        ensure_flow(b, mem, r);
}

static void make_roles(struct bootstrap *b, struct arena *mem)
{
    for (const struct default_role *r = default_roles; r->name; r++)
        ensure_role(b, mem, r);
    for (const struct default_binding *r = default_bindings; r->name; r++)
        ensure_binding(b, mem, r);
}

/* One after the other, each when the writes of the one before are durable: all at once would take memory for hundreds
 * of requests at a first start. */
static void (*const stages[])(struct bootstrap *b, struct arena *mem) = {make_namespaces, make_texts_and_flows,
                                                                         make_roles, ensure_controllers};

static void end_pass(struct bootstrap *b)
{
    if (b->failed || b->dirty) {
        loop_timer_start(&b->again, b->failed ? RETRY_MS : 0);
        b->failed = b->dirty = false;
        return;
    }
    void (*complete)(void *ctx) = b->complete;
    b->complete = NULL, b->was_complete = true;
    if (complete)
        complete(b->ctx);
}

/* The writes of a stage are done: on to the next. */
static void on_task(struct loop_task *t)
{
    struct bootstrap *b = container_of(t, struct bootstrap, task);
    cleanup_arena struct arena *mem = arena_new();
    while (b->stage < STAGES && !b->waiting) {
        stages[b->stage](b, mem);
        b->stage++;
    }
    if (!b->waiting)
        end_pass(b);
}

static void start_pass(struct bootstrap *b)
{
    b->stage = 0, b->dirty = false;
    loop_post(b->g->o.loop, &b->task);
}

static void on_again(struct loop_timer *t)
{
    start_pass(container_of(t, struct bootstrap, again));
}

static bool is_watched(const struct obj *o)
{
    return !strcmp(o->res->group, RBAC) || !strcmp(o->res->group, FLOW_GROUP) || !strcmp(o->res->kind, "Namespace") ||
           !strcmp(o->res->kind, "PriorityClass") || !strcmp(o->res->kind, "ServiceCIDR") ||
           str_is(o->name, "kubernetes") || str_is(o->name, "kube-dns") || str_is(o->name, AUTHENTICATION_CONFIG) ||
           str_is(o->name, CLUSTER_INFO);
}

static void on_event(struct cache_sub *sub, struct cache_event *ev)
{
    struct bootstrap *b = container_of(sub, struct bootstrap, sub);
    if (ev->type != CACHE_DELETED || !is_watched(ev->obj))
        return;
    if (b->waiting || b->stage < STAGES)
        b->dirty = true;
    else
        loop_timer_start(&b->again, 0);
}

void gate_bootstrap_start(struct gate *g, void (*complete)(void *ctx), void *ctx)
{
    struct bootstrap *b = calloc(1, sizeof(*b));
    if (!b)
        abort(); /* at start */
    b->g = g, b->complete = complete, b->ctx = ctx;
    g->bootstrap = b;
    loop_timer_init(g->o.loop, &b->again, on_again);
    loop_task_init(&b->task, on_task);
    list_init(&b->sub.link);
    b->sub.prefix = STR(""), b->sub.on_event = on_event;
    cache_subscribe(g->o.cache, &b->sub, 0, NULL);
    start_pass(b);
}

struct bootstrap *bootstrap_free(struct bootstrap *b)
{
    if (!b)
        return NULL;
    cache_unsubscribe(b->g->o.cache, &b->sub);
    loop_timer_stop(&b->again);
    loop_task_cancel(&b->task);
    free(b);
    return NULL;
}
