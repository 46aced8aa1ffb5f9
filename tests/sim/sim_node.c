/* tests/sim/sim_node.c - played nodes: they run the pods that are bound to them after a drawn while, report, stop them
 * when told, renew their leases; and fall silent on demand. */
#include "base/map.h"
#include "sim_priv.h"

enum {
    LEASE_MS = 10 * 1000,
    START_MS_MAX = 800,
    READY_MS_MAX = 1500,
    STOP_MS_MAX = 2000,
    WORK_MS_MAX = 5000,
    RETRY_MS_MAX = 200
};

struct sim_node {
    struct sim *s;
    char name[16];
    bool cut;
    struct loop_timer lease;
};
enum stage { STAGE_START, STAGE_READY, STAGE_FINISH, STAGE_STOP, STAGE_IDLE };
struct sim_pod {
    struct sim *s;
    struct str key, ns, name, uid;
    struct sim_node *node; /* NULL: not bound */
    enum stage stage;
    struct loop_timer timer;
    bool stopping, finite, ended, waiting_for_node;
    int ip;
    char bytes[];
};

static int64_t draw(struct sim *s, int64_t max)
{
    return (int64_t)(loop_rand(s->loop, RAND_TEST) % (uint64_t)max) + 1;
}

static struct sim_node *node_named(struct sim *s, struct str name)
{
    for (int i = 0; i < s->o.nodes; i++)
        if (str_is(name, s->nodes[i]->name))
            return s->nodes[i];
    return NULL;
}

/* ---- what the agent writes */

static void go(struct sim_pod *p, enum stage stage, int64_t within_ms)
{
    p->stage = stage;
    if (stage == STAGE_IDLE)
        loop_timer_stop(&p->timer);
    else
        loop_timer_start(&p->timer, draw(p->s, within_ms));
}

/* What a pod was written for, which may be gone when the answer comes. */
struct note {
    struct sim *s;
    enum stage stage;
    size_t key_len;
    char bytes[]; /* key, uid */
};

static struct note *note_new(const struct sim_pod *p)
{
    struct note *n = malloc(sizeof(*n) + p->key.len + p->uid.len);
    assert_non_null(n);
    *n = (struct note){.s = p->s, .stage = p->stage, .key_len = p->key.len};
    memcpy(n->bytes, p->bytes, p->key.len + p->uid.len);
    return n;
}

/* A server that died answers nobody: the step is taken again. */
static void on_answer(void *ctx, struct obj *obj, const struct err *err)
{
    struct note *n = ctx;
    struct sim_pod *p = map_get(&n->s->pods, str_mem(n->bytes, n->key_len));
    bool same = p && !memcmp(p->uid.ptr, n->bytes + n->key_len, p->uid.len);
    if (same && err && err->reason == ERR_UNAVAILABLE && (!p->stopping || n->stage == STAGE_STOP)) {
        p->ended &= n->stage != STAGE_FINISH;
        go(p, n->stage, RETRY_MS_MAX);
    }
    free(n);
}

static void report(struct sim_pod *p, const char *phase, bool ready)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str now = str_fmt(mem, "%s", "");
    int64_t sec = loop_wall_ms(p->s->loop) / 1000, day = sec % 86400;
    now = str_fmt(mem, "2026-01-%02dT%02d:%02d:%02dZ", (int)((sec - 1767225600) / 86400) + 1, (int)(day / 3600),
                  (int)(day / 60 % 60), (int)(day % 60));
    struct str text = str_fmt(mem,
                              "{'metadata':{'uid':'" STR_FMT "'},'status':{'phase':'%s','podIP':'10.0.%d.%d',"
                              "'podIPs':[{'ip':'10.0.%d.%d'}],'conditions':[{'type':'Ready','status':'%s',"
                              "'lastTransitionTime':'" STR_FMT "'}]}}",
                              STR_ARG(p->uid), phase, p->ip / 250, p->ip % 250 + 1, p->ip / 250, p->ip % 250 + 1,
                              ready ? "True" : "False", STR_ARG(now));
    write_merge(p->s->writer, NULL, schema_stored("", "pods"), "status", p->ns, p->name,
                sim_json(mem, str_z(mem, text)), on_answer, note_new(p));
}

static void renew(struct loop_timer *t)
{
    struct sim_node *n = container_of(t, struct sim_node, lease);
    loop_timer_start(t, LEASE_MS);
    if (n->cut)
        return;
    cleanup_arena struct arena *mem = arena_new();
    int64_t ms = loop_wall_ms(n->s->loop), sec = ms / 1000, day = sec % 86400;
    struct str text = str_fmt(mem,
                              "{'spec':{'holderIdentity':'%s','leaseDurationSeconds':40,'renewTime':"
                              "'2026-01-%02dT%02d:%02d:%02d.%06dZ'}}",
                              n->name, (int)((sec - 1767225600) / 86400) + 1, (int)(day / 3600), (int)(day / 60 % 60),
                              (int)(day % 60), (int)(ms % 1000) * 1000);
    write_merge(n->s->writer, NULL, schema_stored("coordination.k8s.io", "leases"), NULL, STR("kube-node-lease"),
                str_of(n->name), sim_json(mem, str_z(mem, text)), NULL, NULL);
    /* As a kubelet does: a node that finds itself thought unknown says that it is ready. */
    struct doc *node = sim_get(n->s, "", "nodes", "", n->name);
    doc_each (c, doc_path(node, "status", "conditions", NULL))
        if (str_is(doc_str(c, "type"), "Ready") && !str_is(doc_str(c, "status"), "True")) {
            struct str status = str_fmt(mem, "{'status':{'conditions':[{'type':'Ready','status':'True','reason':"
                                             "'KubeletReady'}]}}");
            write_merge(n->s->writer, NULL, schema_stored("", "nodes"), "status", STR_NULL, str_of(n->name),
                        sim_json(mem, str_z(mem, status)), NULL, NULL);
        }
}

/* ---- pods */

static void step(struct loop_timer *t)
{
    struct sim_pod *p = container_of(t, struct sim_pod, timer);
    struct sim *s = p->s;
    if (p->node && p->node->cut) { /* tried again when it is back */
        p->waiting_for_node = true;
        return;
    }
    switch (p->stage) {
    case STAGE_START:
        report(p, "Running", /* ready= */ false);
        go(p, STAGE_READY, READY_MS_MAX);
        break;
    case STAGE_READY:
        report(p, "Running", /* ready= */ true);
        go(p, p->finite ? STAGE_FINISH : STAGE_IDLE, WORK_MS_MAX);
        break;
    case STAGE_FINISH:
        p->ended = true;
        report(p, draw(s, 100) <= s->pods_failing ? "Failed" : "Succeeded", /* ready= */ false);
        go(p, STAGE_IDLE, 1);
        break;
    case STAGE_STOP:
        if (!s->keep_terminating) {
            if (p->finite && !p->ended)
                report(p, "Failed", /* ready= */ false);
            write_delete(s->writer, NULL, schema_stored("", "pods"), p->ns, p->name, p->uid, 0, on_answer, note_new(p));
        }
        break;
    case STAGE_IDLE:
        break;
    }
}

static struct sim_pod *pod_new(struct sim *s, const struct obj *o)
{
    struct sim_pod *p = calloc(1, sizeof(*p) + o->key.len + o->uid.len);
    assert_non_null(p);
    memcpy(p->bytes, o->key.ptr, o->key.len);
    memcpy(p->bytes + o->key.len, o->uid.ptr, o->uid.len);
    p->s = s, p->key = str_mem(p->bytes, o->key.len), p->uid = str_mem(p->bytes + o->key.len, o->uid.len);
    p->name = str_from(p->key, p->key.len - o->name.len);
    p->ns = str_mem(p->name.ptr - 1 - o->ns.len, o->ns.len);
    const struct doc *d = obj_doc(s->mem, o);
    p->finite = !str_is(doc_str(doc_get(d, "spec"), "restartPolicy"), "Always");
    p->ip = s->ips++;
    loop_timer_init(s->loop, &p->timer, step);
    map_put(&s->pods, p->key, p);
    return p;
}

static void pod_free(struct sim_pod *p)
{
    loop_timer_stop(&p->timer);
    map_del(&p->s->pods, p->key);
    free(p);
}

static void on_pod(struct cache_sub *sub, struct cache_event *ev)
{
    struct sim *s = container_of(sub, struct sim, pod_sub);
    struct sim_pod *p = map_get(&s->pods, ev->obj->key);
    if (ev->type == CACHE_DELETED) {
        if (p)
            pod_free(p);
        return;
    }
    if (!p) {
        p = pod_new(s, ev->obj);
        p->stage = STAGE_IDLE;
    }
    if (!p->node && ev->obj->node.len) {
        p->node = node_named(s, ev->obj->node);
        go(p, STAGE_START, START_MS_MAX);
    }
    if (ev->obj->deleting && !p->stopping) {
        p->stopping = true;
        go(p, STAGE_STOP, STOP_MS_MAX);
    }
}

/* ---- nodes */

static void node_new(struct sim *s, int i)
{
    struct sim_node *n = calloc(1, sizeof(*n));
    assert_non_null(n);
    n->s = s;
    snprintf(n->name, sizeof(n->name), "n%d", i + 1);
    s->nodes[i] = n;
    loop_timer_init(s->loop, &n->lease, renew);
    sim_create(s, "", "nodes", "",
               str_fmtz(s->mem,
                        "{'metadata':{'name':'%s'},'status':{'allocatable':{'cpu':'64','memory':'64Gi','pods':'250'},'"
                        "conditions':[{'type':'Ready','status':'True'}]}}",
                        n->name));
    sim_create(s, "coordination.k8s.io", "leases", "kube-node-lease",
               str_fmtz(s->mem, "{'metadata':{'name':'%s','namespace':'kube-node-lease'}}", n->name));
    loop_timer_start(&n->lease, 1 + i);
}

void sim_nodes_start(struct sim *s)
{
    s->pod_sub = (struct cache_sub){.prefix = STR("pods/"), .on_event = on_pod};
    assert_int_equal(cache_subscribe(s->cache, &s->pod_sub, 0, NULL), 0);
    for (int i = 0; i < s->o.nodes; i++)
        node_new(s, i);
}

void sim_nodes_stop(struct sim *s)
{
    uint32_t it = 0;
    struct str key;
    void *p;
    cache_unsubscribe(s->cache, &s->pod_sub);
    while (map_each(&s->pods, &it, &key, &p))
        pod_free(p);
    map_done(&s->pods);
    for (int i = 0; i < s->o.nodes; i++) {
        loop_timer_stop(&s->nodes[i]->lease);
        free(s->nodes[i]);
    }
}

void sim_cut(struct sim *s, const char *node)
{
    node_named(s, str_of(node))->cut = true;
}

void sim_join(struct sim *s, const char *node)
{
    struct sim_node *n = node_named(s, str_of(node));
    n->cut = false;
    loop_timer_start(&n->lease, 0);
    /* In order of key: nothing may depend on the hash. */
    struct cache_iter it = cache_list(s->cache, STR("pods/"), STR_NULL);
    for (struct obj *o; (o = cache_next(&it));) {
        struct sim_pod *p = map_get(&s->pods, o->key);
        if (p && p->node == n && p->waiting_for_node) {
            p->waiting_for_node = false;
            loop_timer_start(&p->timer, draw(s, 100));
        }
    }
}
