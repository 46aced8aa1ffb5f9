/* schema/rules/warn_pod.c - warnings of a pod or a template. Source: kubernetes pkg/api/pod/warnings.go. */
#include "schema/rules/warn.h"

enum {
    SAME_PORT_MAX = 64,       /* earlier entries of the same port that one is compared with */
    PATHS_COMPARED_MAX = 512, /* paths of a volume that are compared: each with each */
};

struct visit {
    struct rule_ctx *c;
    const struct fpath *at; /* of the pod or template; NULL: the object */
    const struct doc *spec, *annotations;
};

typedef void container_fn(struct visit *v, const struct fpath *at, const struct doc *ctr, void *data);

/* Init containers first, as Kubernetes goes. */
static void each_container(struct visit *v, container_fn *fn, void *data)
{
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers", NULL};
    for (const char *const *l = lists; *l; l++) {
        const struct fpath *list = AT(AT(v->at, "spec"), *l);
        rule_each (ctr, doc_get(v->spec, *l))
            fn(v, AT_INDEX(list, ctr_i), ctr, data);
    }
}

/* ---- labels of nodes */
static void warn_scheduling(struct visit *v)
{
    struct rule_ctx *c = v->c;
    const struct fpath *at = AT(v->at, "spec"), *affinity_at = AT(AT(at, "affinity"), "nodeAffinity"),
                       *terms_at =
                           AT(AT(affinity_at, "requiredDuringSchedulingIgnoredDuringExecution"), "nodeSelectorTerms"),
                       *preferred_at = AT(affinity_at, "preferredDuringSchedulingIgnoredDuringExecution"),
                       *spread_at = AT(at, "topologySpreadConstraints");
    const struct doc *affinity = doc_get(doc_get(v->spec, "affinity"), "nodeAffinity");
    doc_each (label, doc_get(v->spec, "nodeSelector")) {
        const char *why = deprecated_node_label(label->key);
        if (why)
            warn_at(c, AT_KEY(AT(at, "nodeSelector"), label->key), "%s", why);
    }
    rule_each (term, doc_get(doc_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution"), "nodeSelectorTerms"))
        warn_node_selector_term(c, AT_INDEX(terms_at, term_i), term, /* check_values= */ false);
    rule_each (term, doc_get(affinity, "preferredDuringSchedulingIgnoredDuringExecution"))
        warn_node_selector_term(c, AT(AT_INDEX(preferred_at, term_i), "preference"), doc_get(term, "preference"),
                                /* check_values= */ true);
    rule_each (spread, doc_get(v->spec, "topologySpreadConstraints")) {
        struct str key = doc_str(spread, "topologyKey");
        const char *why = deprecated_node_label(key);
        if (why)
            warn_at(c, AT(AT_INDEX(spread_at, spread_i), "topologyKey"), STR_FMT " is %s", STR_ARG(key), why);
        if (!rule_has(spread, "labelSelector"))
            warn_at(c, AT(AT_INDEX(spread_at, spread_i), "labelSelector"),
                    "a null labelSelector results in matching no pod");
    }
}

static void warn_affinity_terms(struct visit *v, const char *kind)
{
    static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution",
                      preferred[] = "preferredDuringSchedulingIgnoredDuringExecution",
                      why[] = "a null labelSelector results in matching no pod";
    const struct doc *affinity = doc_get(doc_get(v->spec, "affinity"), kind);
    const struct fpath *at = AT(AT(AT(v->at, "spec"), "affinity"), kind);
    rule_each (t, doc_get(affinity, required))
        if (!rule_has(t, "labelSelector"))
            warn_at(v->c, AT(AT_INDEX(AT(at, required), t_i), "labelSelector"), "%s", why);
    rule_each (t, doc_get(affinity, preferred))
        if (!rule_has(doc_get(t, "podAffinityTerm"), "labelSelector"))
            warn_at(v->c, AT(AT(AT_INDEX(AT(at, preferred), t_i), "podAffinityTerm"), "labelSelector"), "%s", why);
}

/* ---- annotations that became fields */
static const char *const dead_annotations[][2] = {
    {"scheduler.alpha.kubernetes.io/critical-pod",
     "non-functional in v1.16+; use the \"priorityClassName\" field instead"},
    {"security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"},
    {"security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"},
};
static const char use_seccomp_field[] = "non-functional in v1.27+; use the \"seccompProfile\" field instead";

static void warn_annotation(struct visit *v, struct str key, const char *why)
{
    if (doc_get_str(v->annotations, key))
        warn_at(v->c, AT_KEY(AT_META(v->at, "annotations"), key), "%s", why);
}

/* Does the pod's own profile say what the annotation of a container does? */
static bool says_apparmor(const struct doc *profile, struct str annotation)
{
    struct str type = doc_str(profile, "type");
    if (str_is(annotation, "unconfined"))
        return str_is(type, "Unconfined");
    if (str_is(annotation, "runtime/default"))
        return str_is(type, "RuntimeDefault");
    return str_is(type, "Localhost") && str_starts(annotation, STR("localhost/")) &&
           str_eq(doc_str(profile, "localhostProfile"), str_from(annotation, strlen("localhost/")));
}

static void warn_container_annotations(struct visit *v, const struct doc *ctr)
{
    if (!doc_len(v->annotations)) /* as most: nothing to be put together for */
        return;
    const struct doc *sc = doc_get(ctr, "securityContext");
    struct str name = doc_str(ctr, "name"),
               key = str_fmt(v->c->mem, "container.apparmor.security.beta.kubernetes.io/" STR_FMT, STR_ARG(name));
    const struct doc *annotation = doc_get_str(v->annotations, key);
    if (!rule_has(sc, "seccompProfile"))
        warn_annotation(v, str_fmt(v->c->mem, "container.seccomp.security.alpha.kubernetes.io/" STR_FMT, STR_ARG(name)),
                        use_seccomp_field);
    if (v->at && annotation && !rule_has(sc, "appArmorProfile") &&
        !says_apparmor(doc_get(doc_get(v->spec, "securityContext"), "appArmorProfile"), doc_string(annotation)))
        warn_annotation(v, key, "deprecated since v1.30; use the \"appArmorProfile\" field instead");
}

/* ---- containers */
/* A variable may build on what it hides: X=a, X=$(X)b. */
static bool builds_on(struct rule_ctx *c, const struct doc *var)
{
    struct str ref = str_fmt(c->mem, "$(" STR_FMT ")", STR_ARG(doc_str(var, "name"))), value = doc_str(var, "value");
    return !rule_has(var, "valueFrom") && !str_eq(value, ref) && str_has(value, ref);
}

static void warn_env(struct rule_ctx *c, const struct fpath *at, const struct doc *env)
{
    cleanup_set struct rule_set seen = {0};
    rule_each (var, env)
        if (!rule_set_add(&seen, doc_str(var, "name")) && !builds_on(c, var))
            warn_at(c, AT_INDEX(at, var_i),
                    "hides previous definition of " STR_FMT ", which may be dropped when using apply",
                    STR_ARG(str_quote(c->mem, doc_str(var, "name"))));
}

static void warn_container(struct visit *v, const struct fpath *at, const struct doc *ctr, void *data)
{
    static const char *const names[] = {"memory", "ephemeral-storage", NULL}, *const lists[] = {"limits", "requests",
                                                                                                NULL};
    warn_container_annotations(v, ctr);
    for (const char *const *n = names; *n; n++)
        for (const char *const *l = lists; *l; l++)
            warn_fraction(v->c, AT(AT(at, "resources"), *l), doc_get(doc_get(ctr, "resources"), *l), *n);
    warn_env(v->c, AT(at, "env"), doc_get(ctr, "env"));
}

/* ---- ports of all containers */
struct seen_port {
    const struct doc *port;
    struct str where;
    struct seen_port *next; /* later ones of the same number and protocol */
    struct seen_port *last; /* of the first: the end of the chain */
    int count;
};

static const char *port_clash(const struct doc *a, const struct doc *b)
{
    struct str ip = doc_str(a, "hostIP"), other = doc_str(b, "hostIP");
    int64_t host = doc_int(a, "hostPort", 0), host_other = doc_int(b, "hostPort", 0);
    if (host == host_other && str_eq(ip, other))
        return "duplicate";
    if (!host || !host_other)
        return "overlapping";
    return host == host_other && (!ip.len != !other.len) ? "dangerously ambiguous" : NULL;
}

static void warn_port(struct visit *v, const struct fpath *at, const struct doc *port, struct rule_set *seen)
{
    struct rule_ctx *c = v->c;
    int64_t number = doc_int(port, "containerPort", 0), host = doc_int(port, "hostPort", 0);
    struct str ip = doc_str(port, "hostIP"), protocol = doc_str(port, "protocol"),
               key = str_fmt(c->mem, "%lld/" STR_FMT, (long long)number, STR_ARG(protocol));
    if (ip.len && !host)
        warn_at(c, at,
                "hostIP set without hostPort: {Name:" STR_FMT " HostPort:0 ContainerPort:%lld Protocol:" STR_FMT
                " HostIP:" STR_FMT "}",
                STR_ARG(doc_str(port, "name")), (long long)number, STR_ARG(protocol), STR_ARG(ip));
    struct seen_port *first = map_get(&seen->map, key), *own = arena_new_of(c->mem, struct seen_port);
    *own = (struct seen_port){.port = port, .where = fpath_str(c->mem, at), .last = own, .count = 1};
    if (!first) {
        map_put(&seen->map, key, own);
        return;
    }
    for (struct seen_port *s = first; s && !warned_enough(c); s = s->next) {
        const char *how = port_clash(port, s->port);
        if (how)
            warn_at(c, at, "%s port definition with " STR_FMT, how, STR_ARG(s->where));
    }
    if (first->count++ < SAME_PORT_MAX)
        first->last = first->last->next = own;
}

static void warn_ports(struct visit *v, const struct fpath *at, const struct doc *ctr, void *data)
{
    rule_each (port, doc_get(ctr, "ports"))
        warn_port(v, AT_INDEX(AT(at, "ports"), port_i), port, data);
}

/* The map holds where each name was seen first. */
static void warn_port_names(struct visit *v, const struct fpath *at, const struct doc *ctr, void *data)
{
    struct rule_set *seen = data;
    rule_each (port, doc_get(ctr, "ports")) {
        struct str name = doc_str(port, "name"), here = fpath_str(v->c->mem, AT_INDEX(AT(at, "ports"), port_i));
        const char *first = map_get(&seen->map, name);
        if (name.len && first)
            schema_warn(v->c,
                        STR_FMT ": duplicate port name " STR_FMT
                                " with %s, services and probes that select ports by name will use %s",
                        STR_ARG(here), STR_ARG(str_quote(v->c->mem, name)), first, first);
        else if (name.len)
            map_put(&seen->map, name, str_z(v->c->mem, here));
    }
}

/* ---- volumes */
static const struct dead_volume {
    const char *member, *path, *why;
} dead_volumes[] = {
    {"photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
    {"gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
    {"scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
    {"flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"},
    {"storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
    {"quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"},
    {"glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
    {"ephemeral", NULL, NULL}, /* the claim inside, in its place */
    {"cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
    {"rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"},
};

static void warn_volume(struct rule_ctx *c, const struct fpath *at, const struct doc *volume)
{
    for (size_t i = 0; i < sizeof dead_volumes / sizeof *dead_volumes; i++) {
        const struct dead_volume *d = &dead_volumes[i];
        if (!rule_has(volume, d->member))
            continue;
        if (d->why)
            warn_at(c, AT(at, d->path), "%s", d->why);
        else
            warn_claim_spec(c, AT(AT(AT(at, "ephemeral"), "volumeClaimTemplate"), "spec"),
                            doc_get(doc_get(doc_get(volume, "ephemeral"), "volumeClaimTemplate"), "spec"));
    }
}

/* Files of one volume: two at one path, or one below another. */
struct paths {
    struct rule_ctx *c;
    struct str volume, what; /* `volume "x" (ConfigMap "y")` */
    struct file {
        struct str path, source;
    } * files; /* grown as needed: nearly every pod has a volume of three */
    int count, cap;
};

static bool is_at_or_below(struct str path, struct str dir)
{
    return str_starts(path, dir) && (path.len == dir.len || path.ptr[dir.len] == '/');
}

/* `"a/b" (Secret "s")`, or without the source where the volume has only one. */
static struct str file_text(struct arena *mem, const struct file *f)
{
    return f->source.len ? str_fmt(mem, STR_FMT " (" STR_FMT ")", STR_ARG(str_quote(mem, f->path)), STR_ARG(f->source))
                         : str_quote(mem, f->path);
}

static void add_path(struct paths *p, struct str path, struct str source)
{
    struct file own = {.path = path, .source = source};
    while (str_ends(own.path, STR("/")))
        own.path.len--;
    for (int i = 0; own.path.len && i < p->count && !warned_enough(p->c); i++) {
        const struct file *f = &p->files[i];
        if (f->path.len && (is_at_or_below(f->path, own.path) || is_at_or_below(own.path, f->path)))
            schema_warn(p->c, "volume " STR_FMT " (" STR_FMT "): overlapping paths: " STR_FMT " with " STR_FMT,
                        STR_ARG(str_quote(p->c->mem, p->volume)), STR_ARG(p->what), STR_ARG(file_text(p->c->mem, &own)),
                        STR_ARG(file_text(p->c->mem, f)));
    }
    if (p->count == p->cap && p->cap < PATHS_COMPARED_MAX) {
        int cap = p->cap ? p->cap * 2 : 4;
        p->files = arena_grow(p->c->mem, p->files, sizeof(own) * (size_t)p->cap, sizeof(own) * (size_t)cap);
        p->cap = cap;
    }
    if (p->count < p->cap)
        p->files[p->count++] = own;
}

static void add_items(struct paths *p, const struct doc *items, struct str source)
{
    doc_each (item, items)
        add_path(p, doc_str(item, "path"), source);
}

static struct str named(struct rule_ctx *c, const char *kind, struct str name)
{
    return str_fmt(c->mem, "%s " STR_FMT, kind, STR_ARG(str_quote(c->mem, name)));
}

static void add_certificate(struct paths *p, const struct doc *cert)
{
    static const char *const files[][2] = {{"certificateChainPath", "PodCertificate chain"},
                                           {"keyPath", "PodCertificate key"},
                                           {"credentialBundlePath", "PodCertificate credential bundle"}};
    for (int i = 0; i < 3; i++)
        if (doc_str(cert, files[i][0]).len)
            add_path(p, doc_str(cert, files[i][0]), str_of(files[i][1]));
}

static void add_source(struct paths *p, const struct doc *source)
{
    const struct doc *map = doc_get(source, "configMap"), *secret = doc_get(source, "secret"),
                     *token = doc_get(source, "serviceAccountToken"), *bundle = doc_get(source, "clusterTrustBundle");
    if (rule_has(map, "items"))
        add_items(p, doc_get(map, "items"), named(p->c, "ConfigMap", doc_str(map, "name")));
    else if (rule_has(secret, "items"))
        add_items(p, doc_get(secret, "items"), named(p->c, "Secret", doc_str(secret, "name")));
    else if (rule_has(doc_get(source, "downwardAPI"), "items"))
        add_items(p, doc_get(doc_get(source, "downwardAPI"), "items"), STR("DownwardAPI"));
    else if (doc_is(token, DOC_OBJECT))
        add_path(p, doc_str(token, "path"), STR("ServiceAccountToken"));
    else if (doc_is(bundle, DOC_OBJECT))
        add_path(p, doc_str(bundle, "path"),
                 named(p->c, "ClusterTrustBundle", doc_str(bundle, rule_has(bundle, "name") ? "name" : "signerName")));
    else
        add_certificate(p, doc_get(source, "podCertificate"));
}

static void warn_paths(struct rule_ctx *c, const struct doc *volume, struct str what, const struct doc *items)
{
    struct paths p = {.c = c, .volume = doc_str(volume, "name"), .what = what};
    add_items(&p, items, STR_NULL);
}

static void warn_projected(struct rule_ctx *c, const struct doc *volume)
{
    struct paths p = {.c = c, .volume = doc_str(volume, "name"), .what = STR("Projected")};
    doc_each (source, doc_get(doc_get(volume, "projected"), "sources"))
        if (doc_len(source))
            add_source(&p, source);
        else
            schema_warn(c, "volume " STR_FMT " (Projected) has no sources provided",
                        STR_ARG(str_quote(c->mem, p.volume)));
}

static void warn_overlaps(struct rule_ctx *c, const struct doc *volume)
{
    const struct doc *map = doc_get(volume, "configMap"), *secret = doc_get(volume, "secret"),
                     *downward = doc_get(volume, "downwardAPI");
    if (doc_len(doc_get(map, "items")) > 1)
        warn_paths(c, volume, named(c, "ConfigMap", doc_str(map, "name")), doc_get(map, "items"));
    if (doc_len(doc_get(secret, "items")) > 1)
        warn_paths(c, volume, named(c, "Secret", doc_str(secret, "secretName")), doc_get(secret, "items"));
    if (doc_len(doc_get(downward, "items")) > 1)
        warn_paths(c, volume, STR("DownwardAPI"), doc_get(downward, "items"));
    if (rule_has(volume, "projected"))
        warn_projected(c, volume);
}

/* ---- the rest of the spec */
static void warn_repeated(struct rule_ctx *c, const struct fpath *at, const struct doc *list, const char *member)
{
    cleanup_set struct rule_set seen = {0};
    rule_each (item, list)
        if (!rule_set_add(&seen, doc_str(item, member)))
            warn_at(c, AT(AT_INDEX(at, item_i), member), "duplicate %s " STR_FMT, member,
                    STR_ARG(str_quote(c->mem, doc_str(item, member))));
}

static void warn_lists(struct visit *v)
{
    struct rule_ctx *c = v->c;
    const struct fpath *at = AT(v->at, "spec"), *secrets = AT(at, "imagePullSecrets");
    warn_repeated(c, AT(at, "hostAliases"), doc_get(v->spec, "hostAliases"), "ip");
    warn_repeated(c, secrets, doc_get(v->spec, "imagePullSecrets"), "name");
    rule_each (s, doc_get(v->spec, "imagePullSecrets"))
        if (!doc_str(s, "name").len)
            warn_at(c, AT(AT_INDEX(secrets, s_i), "name"), "invalid empty name \"\"");
    warn_fraction(c, AT(at, "overhead"), doc_get(v->spec, "overhead"), "memory");
    warn_fraction(c, AT(at, "overhead"), doc_get(v->spec, "overhead"), "ephemeral-storage");
    if (!rule_has(doc_get(v->spec, "securityContext"), "seccompProfile"))
        warn_annotation(v, STR("seccomp.security.alpha.kubernetes.io/pod"), use_seccomp_field);
}

static void warn_addresses(struct visit *v)
{
    const struct fpath *at = AT(v->at, "spec"), *servers = AT(AT(at, "dnsConfig"), "nameservers"),
                       *aliases = AT(at, "hostAliases");
    rule_each (ns, doc_get(doc_get(v->spec, "dnsConfig"), "nameservers"))
        warn_ip(v->c, AT_INDEX(servers, ns_i), doc_string(ns));
    rule_each (a, doc_get(v->spec, "hostAliases"))
        warn_ip(v->c, AT(AT_INDEX(aliases, a_i), "ip"), doc_str(a, "ip"));
}

void warn_pod(struct rule_ctx *c, const struct fpath *at, const struct doc *pod)
{
    struct visit v = {.c = c,
                      .at = at,
                      .spec = doc_get(pod, "spec"),
                      .annotations = doc_get(doc_get(pod, "metadata"), "annotations")};
    cleanup_set struct rule_set ports = {0}, names = {0};
    const struct fpath *volumes = AT(AT(at, "spec"), "volumes");
    warn_scheduling(&v);
    for (size_t i = 0; i < sizeof dead_annotations / sizeof *dead_annotations; i++)
        warn_annotation(&v, str_of(dead_annotations[i][0]), dead_annotations[i][1]);
    rule_each (volume, doc_get(v.spec, "volumes"))
        warn_volume(c, AT_INDEX(volumes, volume_i), volume);
    doc_each (volume, doc_get(v.spec, "volumes"))
        warn_overlaps(c, volume);
    warn_lists(&v);
    each_container(&v, warn_container, NULL);
    each_container(&v, warn_ports, &ports);
    each_container(&v, warn_port_names, &names);
    if (doc_int(v.spec, "terminationGracePeriodSeconds", 0) < 0)
        warn_at(c, AT(AT(at, "spec"), "terminationGracePeriodSeconds"),
                "must be >= 0; negative values are invalid and will be treated as 1");
    warn_affinity_terms(&v, "podAffinity");
    warn_affinity_terms(&v, "podAntiAffinity");
    warn_addresses(&v);
}
