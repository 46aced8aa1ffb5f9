#include "node/volume/env.h"

#include "schema/quantity.h"

enum { ENV_MAX = 20000 };

const struct doc *env_container(const struct doc *pod, struct str name)
{
    static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};
    for (int i = 0; i < 3; i++)
        doc_each (c, doc_path(pod, "spec", lists[i], NULL))
            if (str_eq(doc_str(c, "name"), name))
                return c;
    return NULL;
}

bool env_key(struct arena *mem, const struct doc *obj, bool secret, struct str key, struct str *ret)
{
    const struct doc *d = doc_get_str(doc_get(obj, "data"), key);
    if (doc_is(d, DOC_STRING) && !secret)
        return *ret = d->s, true;
    if (!d && secret && doc_is(doc_get_str(doc_get(obj, "stringData"), key), DOC_STRING))
        return *ret = doc_get_str(doc_get(obj, "stringData"), key)->s, true; /* from a manifest file */
    if (!d && !secret)
        d = doc_get_str(doc_get(obj, "binaryData"), key);
    return doc_is(d, DOC_STRING) && str_base64_dec(mem, d->s, ret);
}

static struct str find(const struct strv *env, struct str name, bool *ret_found)
{
    for (size_t i = env->n; i-- > 0;) {
        struct str k, v;
        if (str_cut(env->v[i], '=', &k, &v) && str_eq(k, name))
            return *ret_found = true, v;
    }
    return *ret_found = false, STR_NULL;
}

struct str env_expand(struct arena *mem, struct str text, const struct strv *env)
{
    struct sb out = SB(mem);
    if (str_find(text, '$') < 0)
        return text;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '$' || i + 1 == text.len) {
            sb_addc(&out, text.ptr[i]);
            continue;
        }
        char next = text.ptr[i + 1];
        ptrdiff_t end = next == '(' ? str_find(str_from(text, i + 2), ')') : -1;
        if (next == '$') {
            sb_addc(&out, '$'), i++;
        } else if (end >= 0) {
            bool found;
            struct str name = str_head(str_from(text, i + 2), (size_t)end), value = find(env, name, &found);
            if (found)
                sb_add(&out, value);
            else
                sb_addf(&out, "$(" STR_FMT ")", STR_ARG(name));
            i += 2 + (size_t)end;
        } else {
            sb_addc(&out, '$'); /* "$x" and an open "$(" stand as they are */
            sb_addc(&out, next), i++;
        }
    }
    return sb_str(&out);
}

static struct str map_text(struct arena *mem, const struct doc *map)
{
    struct sb out = SB(mem);
    doc_each (m, map) {
        if (out.len)
            sb_addc(&out, '\n');
        sb_add(&out, m->key), sb_addc(&out, '='), sb_addq(&out, doc_string(m));
    }
    return sb_str(&out);
}

bool env_field(struct arena *mem, const struct env_in *in, struct str path, struct str *ret)
{
    const struct doc *meta = doc_get(in->pod, "metadata"), *spec = doc_get(in->pod, "spec");
    static const char *const maps[] = {"labels", "annotations"};
    for (int i = 0; i < 2; i++) {
        struct str head = str_fmt(mem, "metadata.%s", maps[i]);
        if (str_eq(path, head))
            return *ret = map_text(mem, doc_get(meta, maps[i])), true;
        head = str_fmt(mem, "metadata.%s['", maps[i]);
        if (str_starts(path, head) && str_ends(path, STR("']"))) {
            struct str key = str_from(str_head(path, path.len - 2), head.len);
            return *ret = doc_string(doc_get_str(doc_get(meta, maps[i]), key)), true;
        }
    }
    struct str pod_ip = in->pod_ips.n ? in->pod_ips.v[0] : STR_NULL;
    struct sb ips = SB(mem);
    for (size_t i = 0; i < in->pod_ips.n; i++)
        sb_addf(&ips, "%s" STR_FMT, i ? "," : "", STR_ARG(in->pod_ips.v[i]));
    struct str account = doc_str(spec, "serviceAccountName");
    const struct {
        const char *path;
        struct str value;
    } table[] = {{"metadata.name", doc_str(meta, "name")},
                 {"metadata.namespace", doc_str(meta, "namespace")},
                 {"metadata.uid", doc_str(meta, "uid")},
                 {"spec.nodeName", in->node_name},
                 {"spec.serviceAccountName", account.len ? account : STR("default")},
                 {"status.hostIP", in->host_ip},
                 {"status.hostIPs", in->host_ip},
                 {"status.podIP", pod_ip},
                 {"status.podIPs", sb_str(&ips)}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (str_is(path, table[i].path))
            return *ret = table[i].value, true;
    return false;
}

bool env_resource(struct arena *mem, const struct env_in *in, const struct doc *ref, struct str *ret)
{
    struct str name = doc_str(ref, "containerName"), what = doc_str(ref, "resource"), kind, which;
    const struct doc *c = name.len ? env_container(in->pod, name) : in->container;
    if (!c || !str_cut(what, '.', &kind, &which) || !(str_is(kind, "limits") || str_is(kind, "requests")))
        return false;
    struct str text =
        doc_string(doc_get_str(doc_path(c, "resources", str_is(kind, "limits") ? "limits" : "requests", NULL), which));
    struct quantity q = quantity_of_str(text), divisor = quantity_of_str(doc_str(ref, "divisor"));
    bool cpu = str_is(which, "cpu");
    if (text.len == 0 && str_is(kind, "limits"))
        q = cpu                       ? quantity_of_milli(in->node_cpu_milli)
            : str_is(which, "memory") ? quantity_of(in->node_memory_bytes, QUANTITY_BINARY)
                                      : q;
    if (quantity_sign(divisor) == 0)
        divisor = quantity_of(1, QUANTITY_DECIMAL);
    __int128 n = q.nano / divisor.nano + (q.nano % divisor.nano != 0);
    *ret = str_fmt(mem, "%lld", (long long)n);
    return true;
}

static void add_form(struct arena *mem, struct strv *to, size_t cap, struct str name, const char *suffix,
                     struct str value)
{
    if (to->n < cap)
        to->v[to->n++] = str_fmt(mem, STR_FMT "%s=" STR_FMT, STR_ARG(name), suffix, STR_ARG(value));
}

static struct str upper(struct arena *mem, struct str s)
{
    char *z = str_z(mem, s);
    for (char *c = z; *c; c++)
        *c = *c == '-' || *c == '.' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
    return str_of(z);
}

/* Source: kubelet envvars.FromServices: {NAME}_SERVICE_HOST, _PORT, _PORT_NAME, and Docker's links. */
void env_service(struct arena *mem, const struct doc *service, struct strv *to, size_t cap)
{
    const struct doc *spec = doc_get(service, "spec"), *ports = doc_get(spec, "ports");
    struct str ip = doc_str(spec, "clusterIP"), name = upper(mem, doc_str(doc_get(service, "metadata"), "name"));
    if (ip.len == 0 || str_is(ip, "None") || doc_len(ports) == 0)
        return;
    add_form(mem, to, cap, name, "_SERVICE_HOST", ip);
    add_form(mem, to, cap, name, "_SERVICE_PORT",
             str_fmt(mem, "%lld", (long long)doc_int(doc_first(ports), "port", 0)));
    doc_each (p, ports) {
        struct str port_name = doc_str(p, "name");
        if (port_name.len)
            add_form(mem, to, cap, name, str_fmtz(mem, "_SERVICE_PORT_" STR_FMT, STR_ARG(upper(mem, port_name))),
                     str_fmt(mem, "%lld", (long long)doc_int(p, "port", 0)));
    }
    bool v6 = str_find(ip, ':') >= 0, first = true;
    doc_each (p, ports) {
        struct str proto = doc_str(p, "protocol");
        proto = proto.len ? proto : STR("TCP");
        char *low = str_z(mem, proto);
        for (char *c = low; *c; c++)
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
        long long port = (long long)doc_int(p, "port", 0);
        struct str url = str_fmt(mem, v6 ? "%s://[" STR_FMT "]:%lld" : "%s://" STR_FMT ":%lld", low, STR_ARG(ip), port);
        if (first)
            add_form(mem, to, cap, name, "_PORT", url);
        first = false;
        struct str head = str_fmt(mem, STR_FMT "_PORT_%lld_" STR_FMT, STR_ARG(name), port, STR_ARG(proto));
        add_form(mem, to, cap, head, "", url), add_form(mem, to, cap, head, "_PROTO", str_of(low));
        add_form(mem, to, cap, head, "_PORT", str_fmt(mem, "%lld", port)), add_form(mem, to, cap, head, "_ADDR", ip);
    }
}

/* ---- building */

struct build {
    struct arena *mem;
    const struct env_in *in;
    struct strv out;  /* the result */
    struct strv seen; /* what $(VAR) sees: services first, then what was defined */
    size_t cap;
    struct str why;
};

static void set(struct build *b, struct str name, struct str value)
{
    struct str both = str_fmt(b->mem, STR_FMT "=" STR_FMT, STR_ARG(name), STR_ARG(value));
    if (b->seen.n < b->cap)
        b->seen.v[b->seen.n++] = both;
    for (size_t i = 0; i < b->out.n; i++) {
        struct str k, v;
        str_cut(b->out.v[i], '=', &k, &v);
        if (str_eq(k, name)) {
            b->out.v[i] = both;
            return;
        }
    }
    if (b->out.n < b->cap)
        b->out.v[b->out.n++] = both;
}

static int config_of(struct build *b, const struct doc *ref, bool secret, const struct doc **ret)
{
    struct str name = doc_str(ref, "name");
    enum env_lookup r = b->in->lookup(b->in->ctx, secret, name, ret);
    if (r == ENV_WAITING)
        return 0;
    if (r == ENV_FOUND || doc_bool(ref, "optional", false))
        return 1;
    b->why = str_fmt(b->mem, "%s \"" STR_FMT "\" not found", secret ? "secret" : "configmap", STR_ARG(name));
    return -1;
}

static bool name_valid(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e || s.ptr[i] == '=')
            return false;
    return s.len > 0;
}

static int from_all(struct build *b, const struct doc *from)
{
    bool secret = doc_get(from, "secretRef") != NULL;
    const struct doc *obj = NULL, *ref = doc_get(from, secret ? "secretRef" : "configMapRef");
    int r = config_of(b, ref, secret, &obj);
    if (r <= 0)
        return r;
    struct str prefix = doc_str(from, "prefix"), value;
    doc_each (k, doc_get(obj, "data")) {
        struct str name = str_fmt(b->mem, STR_FMT STR_FMT, STR_ARG(prefix), STR_ARG(k->key));
        if (name_valid(name) && env_key(b->mem, obj, secret, k->key, &value))
            set(b, name, value);
    }
    if (secret)
        doc_each (k, doc_get(obj, "stringData"))
            set(b, str_fmt(b->mem, STR_FMT STR_FMT, STR_ARG(prefix), STR_ARG(k->key)), doc_string(k));
    return 1;
}

static int from_one(struct build *b, const struct doc *from, struct str *ret, bool *ret_skip)
{
    const struct doc *field = doc_get(from, "fieldRef"), *res = doc_get(from, "resourceFieldRef");
    if (field || res) {
        if (field ? env_field(b->mem, b->in, doc_str(field, "fieldPath"), ret) : env_resource(b->mem, b->in, res, ret))
            return 1;
        b->why = field ? str_fmt(b->mem, "unsupported fieldPath: " STR_FMT, STR_ARG(doc_str(field, "fieldPath")))
                       : STR("unsupported container resource");
        return -1;
    }
    bool secret = doc_get(from, "secretKeyRef") != NULL;
    const struct doc *ref = doc_get(from, secret ? "secretKeyRef" : "configMapKeyRef"), *obj = NULL;
    int r = config_of(b, ref, secret, &obj);
    if (r <= 0)
        return r;
    if (env_key(b->mem, obj, secret, doc_str(ref, "key"), ret))
        return 1;
    if (doc_bool(ref, "optional", false))
        return *ret_skip = true, 1;
    b->why = str_fmt(b->mem, "couldn't find key " STR_FMT " in %s " STR_FMT "/" STR_FMT, STR_ARG(doc_str(ref, "key")),
                     secret ? "Secret" : "ConfigMap", STR_ARG(doc_str(doc_get(b->in->pod, "metadata"), "namespace")),
                     STR_ARG(doc_str(ref, "name")));
    return -1;
}

static int put_env(struct build *b)
{
    doc_each (e, doc_get(b->in->container, "env")) {
        struct str value = doc_str(e, "value");
        const struct doc *from = doc_get(e, "valueFrom");
        bool skip = false;
        int r = doc_is(from, DOC_OBJECT) ? from_one(b, from, &value, &skip) : 1;
        if (r <= 0)
            return r;
        if (!skip)
            set(b, doc_str(e, "name"), from ? value : env_expand(b->mem, value, &b->seen));
    }
    return 1;
}

int env_build(struct arena *mem, const struct env_in *in, struct strv *ret, struct str *ret_why)
{
    struct build b = {.mem = mem, .in = in};
    b.cap = in->image_env.n + in->service_env.n + ENV_MAX;
    size_t bytes = 256 + in->image_env.n + in->service_env.n + doc_len(doc_get(in->container, "env"));
    doc_each (f, doc_get(in->container, "envFrom")) {
        const struct doc *obj = NULL;
        bool secret = doc_get(f, "secretRef") != NULL;
        in->lookup(in->ctx, secret, doc_str(doc_get(f, secret ? "secretRef" : "configMapRef"), "name"), &obj);
        bytes += doc_len(doc_get(obj, "data")) + doc_len(doc_get(obj, "stringData"));
    }
    b.cap = bytes < b.cap ? bytes : b.cap;
    b.out.v = arena_array(mem, struct str, b.cap), b.seen.v = arena_array(mem, struct str, b.cap * 2);
    struct str k, v;
    for (size_t i = 0; i < in->image_env.n; i++)
        if (str_cut(in->image_env.v[i], '=', &k, &v))
            set(&b, k, v);
    b.seen.n = 0; /* $(VAR) does not see the image's */
    for (size_t i = 0; i < in->service_env.n; i++)
        if (str_cut(in->service_env.v[i], '=', &k, &v))
            set(&b, k, v);
    int r = 1;
    doc_each (f, doc_get(in->container, "envFrom"))
        if (r > 0)
            r = from_all(&b, f);
    r = r > 0 ? put_env(&b) : r;
    *ret = b.out, *ret_why = b.why;
    return r;
}
