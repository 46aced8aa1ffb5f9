/* api/connect.c - log, exec, attach, portforward of pods, and the proxies of pods, services and nodes: which node,
 * which address, which path. relay.c does the rest. Source: kubernetes pkg/registry/core/pod/strategy.go (LogLocation,
 * streamLocation), service/proxy.go, node/strategy.go; the kubelet's paths: pkg/kubelet/server. */
#include "api/relay.h"

static struct doc *find_pod(struct api_req *r, struct str name)
{
    const struct resource *pods = schema_resource(STR_NULL, STR("v1"), STR("pods"));
    const struct obj *o = cache_find(r->api->cache, pods, r->info.ns, name);
    if (!o) {
        err_not_found(&r->err, STR_NULL, STR("pods"), name);
        return NULL;
    }
    return obj_doc(r->mem, o);
}

/* ---- containers */

static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};

static bool has_container(const struct doc *pod, struct str name)
{
    for (int l = 0; l < 3; l++)
        doc_each (c, doc_path(pod, "spec", lists[l], NULL))
            if (str_eq(doc_str(c, "name"), name))
                return true;
    return false;
}

static void put_names(struct sb *b, const struct doc *pod, const char *list)
{
    int n = 0;
    doc_each (c, doc_path(pod, "spec", list, NULL))
        sb_addf(b, "%s" STR_FMT, n++ ? " " : "", STR_ARG(doc_str(c, "name")));
}

/* The container asked for, or the only one. */
static int pick_container(struct api_req *r, const struct doc *pod, struct str *ret)
{
    struct str name = query_get(&r->query, "container");
    if (name.len) {
        *ret = name;
        return has_container(pod, name)
                   ? 0
                   : err_set(&r->err, ERR_BAD_REQUEST, "container " STR_FMT " is not valid for pod " STR_FMT,
                             STR_ARG(name), STR_ARG(r->info.name));
    }
    const struct doc *list = doc_path(pod, "spec", "containers", NULL);
    if (doc_len(list) == 1) {
        *ret = doc_str(doc_first(list), "name");
        return 0;
    }
    struct sb b = SB(r->mem);
    sb_addf(&b, "a container name must be specified for pod " STR_FMT ", choose one of: [", STR_ARG(r->info.name));
    put_names(&b, pod, "containers");
    sb_addc(&b, ']');
    if (doc_len(doc_path(pod, "spec", "initContainers", NULL))) {
        sb_addz(&b, " or one of the init containers: [");
        put_names(&b, pod, "initContainers");
        sb_addc(&b, ']');
    }
    return err_set(&r->err, ERR_BAD_REQUEST, STR_FMT, STR_ARG(sb_str(&b)));
}

/* ---- the kubelet's queries */

static void put_param(struct sb *b, const char *key, struct str value)
{
    sb_addc(b, str_find(sb_str(b), '?') < 0 ? '?' : '&');
    sb_addz(b, key);
    sb_addc(b, '=');
    sb_add(b, url_encode(b->mem, value));
}

static void log_query(struct api_req *r, struct sb *path)
{
    static const char *const bools[] = {"follow", "previous", "timestamps"};
    static const char *const values[] = {"sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream"};
    for (size_t i = 0; i < sizeof(bools) / sizeof(bools[0]); i++)
        if (query_bool(&r->query, bools[i]))
            put_param(path, bools[i], STR("true"));
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        if (query_get(&r->query, values[i]).len)
            put_param(path, values[i], query_get(&r->query, values[i]));
}

static int check_log(struct api_req *r)
{
    static const char *const numbers[] = {"sinceSeconds", "tailLines", "limitBytes"};
    static const char *const too_small[] = {"must be greater than 0", "must be greater than or equal to 0",
                                            "must be greater than 0"};
    static const struct fpath at[] = {
        {NULL, "sinceSeconds", 0, {0}}, {NULL, "tailLines", 0, {0}}, {NULL, "limitBytes", 0, {0}}};
    for (int i = 0; i < 3; i++) {
        int64_t n = 1;
        if (query_int(&r->query, numbers[i], &n, &r->err) < 0)
            return -1;
        if (n < (i == 1 ? 0 : 1))
            err_cause_int(&r->err, CAUSE_INVALID, &at[i], n, "%s", too_small[i]);
    }
    if (query_get(&r->query, "sinceSeconds").len && query_get(&r->query, "sinceTime").len)
        err_cause(&r->err, CAUSE_FORBIDDEN, &at[0], "at most one of `sinceTime` or `sinceSeconds` may be specified");
    return err_invalid(&r->err, STR_NULL, STR("PodLogOptions"), r->info.name);
}

static void exec_query(struct api_req *r, struct sb *path, bool command)
{
    static const char *const flags[][2] = {
        {"stdin", "input"}, {"stdout", "output"}, {"stderr", "error"}, {"tty", "tty"}};
    for (int i = 0; i < 4; i++)
        if (query_bool(&r->query, flags[i][0]))
            put_param(path, flags[i][1], STR("1"));
    for (int i = 0; command && i < r->query.count; i++)
        if (str_is(r->query.keys[i], "command"))
            put_param(path, "command", r->query.values[i]);
}

static int check_exec(struct api_req *r, bool command)
{
    static const struct fpath at = {NULL, "command", 0, {0}};
    if (command && !query_has(&r->query, "command")) {
        err_cause(&r->err, CAUSE_REQUIRED, &at, NULL);
        return err_invalid(&r->err, STR_NULL, STR("PodExecOptions"), r->info.name);
    }
    if (!query_bool(&r->query, "stdin") && !query_bool(&r->query, "stdout") && !query_bool(&r->query, "stderr"))
        return err_set(&r->err, ERR_BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr");
    return 0;
}

static void to_kubelet(struct api_req *r, struct str node, const struct sb *path)
{
    relay(r,
          &(struct relay_to){.node = node, .authority = STR("kubelet"), .path = sb_str(path), .host = STR("kubelet")});
}

static int to_pod_stream(struct api_req *r, const char *sub)
{
    struct sb path = SB(r->mem);
    struct str container = STR_NULL, node;
    bool is_log = !strcmp(sub, "log"), is_exec = !strcmp(sub, "exec"), is_forward = !strcmp(sub, "portforward");
    const struct doc *pod = find_pod(r, r->info.name);
    if (!pod || (is_log && check_log(r) < 0) || (!is_forward && pick_container(r, pod, &container) < 0) ||
        (!is_log && !is_forward && check_exec(r, is_exec) < 0))
        return -1;
    node = doc_str(doc_get(pod, "spec"), "nodeName");
    if (!node.len && is_log) { /* nothing has been said yet */
        exchange_reply(r->x, 200, "text/plain", STR_NULL);
        return 0;
    }
    if (!node.len)
        return err_set(&r->err, ERR_BAD_REQUEST, "pod " STR_FMT " does not have a host assigned",
                       STR_ARG(r->info.name));
    sb_addf(&path, "/%s/" STR_FMT "/" STR_FMT,
            is_log       ? "containerLogs"
            : is_exec    ? "exec"
            : is_forward ? "portForward"
                         : "attach",
            STR_ARG(url_encode(r->mem, r->info.ns)), STR_ARG(url_encode(r->mem, r->info.name)));
    if (!is_forward)
        sb_addf(&path, "/" STR_FMT, STR_ARG(url_encode(r->mem, container)));
    if (is_log)
        log_query(r, &path);
    else if (!is_forward)
        exec_query(r, &path, is_exec);
    for (int i = 0; is_forward && i < r->query.count; i++)
        if (str_is(r->query.keys[i], "ports") || str_is(r->query.keys[i], "port"))
            put_param(&path, "port", r->query.values[i]);
    to_kubelet(r, node, &path);
    return 0;
}

/* ---- proxies */

/* "https:name:port", "name:port", "name". */
static int split_name(struct api_req *r, struct str *scheme, struct str *name, struct str *port)
{
    struct str rest = r->info.name, parts[3];
    int n = 0;
    for (bool more = true; more && n < 3; n++)
        more = str_cut(rest, ':', &parts[n], &rest);
    *scheme = n == 3 ? parts[0] : STR_NULL;
    *name = n == 3 ? parts[1] : parts[0];
    *port = n == 3 ? parts[2] : n == 2 ? parts[1] : STR_NULL;
    if ((scheme->len && !str_is(*scheme, "http") && !str_is(*scheme, "https")) || !name->len)
        return err_set(&r->err, ERR_BAD_REQUEST, "invalid %s request " STR_FMT, r->res->singular,
                       STR_ARG(str_quote(r->mem, r->info.name)));
    if (str_is(*scheme, "https"))
        return err_set(&r->err, ERR_NOT_IMPLEMENTED, "proxying to https backends is not supported by this server yet");
    return 0;
}

/* The path behind "/proxy", still encoded, and the query. */
static struct str proxied_path(struct api_req *r)
{
    struct str path = r->x->path, mark = STR("/proxy");
    size_t at = 0;
    int slashes = 0,
        want = r->res->namespaced ? 7 : 5; /* /api/v1/namespaces/NS/pods/NAME/proxy, /api/v1/nodes/NAME/proxy */
    for (; at < path.len; at++)
        if (path.ptr[at] == '/' && ++slashes == want)
            break;
    struct str rest = str_from(path, at + mark.len);
    if (!rest.len || rest.ptr[0] != '/')
        rest = STR("/");
    return r->x->query.len ? str_fmt(r->mem, STR_FMT "?" STR_FMT, STR_ARG(rest), STR_ARG(r->x->query)) : rest;
}

static struct str proxy_prefix(struct api_req *r)
{
    struct str path = r->info.path;
    size_t rest = r->info.rest.len;
    return str_head(path, path.len - rest);
}

static int to_address(struct api_req *r, struct str node, struct str ip, struct str port)
{
    struct str authority = str_find(ip, ':') >= 0
                               ? str_fmt(r->mem, "[" STR_FMT "]:" STR_FMT, STR_ARG(ip), STR_ARG(port))
                               : str_fmt(r->mem, STR_FMT ":" STR_FMT, STR_ARG(ip), STR_ARG(port));
    relay(r, &(struct relay_to){.node = node,
                                .authority = authority,
                                .path = proxied_path(r),
                                .host = authority,
                                .prefix = proxy_prefix(r)});
    return 0;
}

static int to_pod(struct api_req *r)
{
    struct str scheme, name, port;
    if (split_name(r, &scheme, &name, &port) < 0)
        return -1;
    const struct doc *pod = find_pod(r, name);
    if (!pod)
        return -1;
    struct str node = doc_str(doc_get(pod, "spec"), "nodeName"), ip = doc_str(doc_get(pod, "status"), "podIP");
    doc_each (c, doc_path(pod, "spec", "containers", NULL))
        doc_each (p, doc_get(c, "ports")) {
            if (!port.len || str_eq(doc_str(p, "name"), port))
                port = str_fmt(r->mem, "%lld", (long long)doc_int(p, "containerPort", 0));
        }
    if (!ip.len || !node.len)
        return err_set(&r->err, ERR_BAD_REQUEST, "address not allowed: pod " STR_FMT " has no address yet",
                       STR_ARG(name));
    return to_address(r, node, ip, port.len ? port : STR("80"));
}

/* The number a service's port has in a slice: by the port's name. */
static int64_t slice_port(const struct doc *slice, struct str port_name)
{
    doc_each (p, doc_get(slice, "ports"))
        if (str_eq(doc_str(p, "name"), port_name))
            return doc_int(p, "port", 0);
    return 0;
}

/* The name of the service's port that was asked for by name or number; the only one when none was. */
static int service_port(struct api_req *r, const struct doc *svc, struct str port, struct str *ret)
{
    const struct doc *ports = doc_path(svc, "spec", "ports", NULL);
    int64_t number = 0;
    str_to_i64(port, &number);
    doc_each (p, ports)
        if (!port.len || str_eq(doc_str(p, "name"), port) || (number && doc_int(p, "port", 0) == number)) {
            if (!port.len && doc_len(ports) > 1 && doc_str(p, "name").len)
                continue;
            *ret = doc_str(p, "name");
            return 0;
        }
    return err_set(&r->err, ERR_UNAVAILABLE, "no service port " STR_FMT " found for service " STR_FMT,
                   STR_ARG(str_quote(r->mem, port)), STR_ARG(str_quote(r->mem, r->info.name)));
}

struct backend {
    struct str ip, node;
    int64_t port;
};

static bool pick_backend(struct api_req *r, struct str service, struct str port_name, struct backend *ret)
{
    const struct resource *res = schema_resource(STR("discovery.k8s.io"), STR("v1"), STR("endpointslices"));
    struct cache_iter it = cache_list(r->api->cache, obj_prefix(r->mem, res, r->info.ns), STR_NULL);
    uint64_t seen = 0;
    for (const struct obj *o; (o = cache_next(&it));) {
        bool has;
        if (!str_eq(obj_label_value(o, STR("kubernetes.io/service-name"), &has), service) || !has)
            continue;
        const struct doc *slice = obj_doc(r->mem, o);
        int64_t port = slice_port(slice, port_name);
        doc_each (e, doc_get(slice, "endpoints")) {
            struct str node = doc_str(e, "nodeName");
            if (!port || !doc_bool(doc_get(e, "conditions"), "ready", true) || !api_has_tunnel(r->api, node))
                continue;
            if (loop_rand(r->api->loop, RAND_JITTER) % ++seen == 0) /* each with the same chance */
                *ret = (struct backend){doc_string(doc_first(doc_get(e, "addresses"))), node, port};
        }
    }
    return seen > 0;
}

static int to_service(struct api_req *r)
{
    struct str scheme, name, port, port_name;
    struct backend b;
    if (split_name(r, &scheme, &name, &port) < 0)
        return -1;
    const struct obj *o = cache_find(r->api->cache, r->res, r->info.ns, name);
    if (!o)
        return err_not_found(&r->err, STR_NULL, STR("services"), name);
    if (service_port(r, obj_doc(r->mem, o), port, &port_name) < 0)
        return -1;
    if (!pick_backend(r, name, port_name, &b))
        return err_set(&r->err, ERR_UNAVAILABLE, "no endpoints available for service " STR_FMT,
                       STR_ARG(str_quote(r->mem, r->info.name)));
    return to_address(r, b.node, b.ip, str_fmt(r->mem, "%lld", (long long)b.port));
}

static int to_node(struct api_req *r)
{
    struct str name, port;
    struct sb path = SB(r->mem);
    str_cut(r->info.name, ':', &name, &port);
    if (!cache_find(r->api->cache, r->res, STR_NULL, name))
        return err_not_found(&r->err, STR_NULL, STR("nodes"), name);
    sb_add(&path, proxied_path(r));
    to_kubelet(r, name, &path);
    return 0;
}

void handle_connect(struct api_req *r)
{
    const char *sub = r->sub->name;
    int failed;
    if (query_has(&r->query, "dryRun"))
        failed = err_set(&r->err, ERR_BAD_REQUEST, "dryRun is not supported");
    else if (strcmp(sub, "proxy") != 0)
        failed = to_pod_stream(r, sub);
    else if (!strcmp(r->res->name, "nodes"))
        failed = to_node(r);
    else
        failed = !strcmp(r->res->name, "services") ? to_service(r) : to_pod(r);
    if (failed < 0)
        reply_err(r);
}
