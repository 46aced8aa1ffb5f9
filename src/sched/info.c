/* sched/info.c - pods and nodes read into what filters and scores look at. */
#include "sched/framework.h"

#include <stdlib.h>

#include "base/slab.h"
#include "schema/quantity.h"

enum { DEFAULT_CPU_MILLI = 100 };
#define DEFAULT_MEMORY_BYTES (200LL << 20)

static const char *const fixed_names[RES_NAMED] = {"cpu", "memory", "ephemeral-storage"};

static int64_t amount_of(const char *fixed_name, struct str text)
{
    struct quantity q = quantity_of_str(text);
    return fixed_name && !strcmp(fixed_name, "cpu") ? quantity_milli(q) : quantity_value(q);
}

static int fixed_index(struct str name)
{
    for (int i = 0; i < RES_NAMED; i++)
        if (str_is(name, fixed_names[i]))
            return i;
    return -1;
}

static int64_t *named_slot(struct arena *mem, struct amounts *a, struct str name)
{
    int at = 0;
    while (at < a->named_count && str_cmp(a->named[at].name, name) < 0)
        at++;
    if (at < a->named_count && str_eq(a->named[at].name, name))
        return &a->named[at].value;
    a->named = arena_grow(mem, a->named, sizeof(struct amount) * (size_t)a->named_count,
                          sizeof(struct amount) * (size_t)(a->named_count + 1));
    memmove(a->named + at + 1, a->named + at, sizeof(struct amount) * (size_t)(a->named_count - at));
    a->named[at] = (struct amount){name, 0};
    a->named_count++;
    return &a->named[at].value;
}

int64_t amounts_named(const struct amounts *a, struct str name)
{
    int fixed = fixed_index(name);
    if (fixed >= 0)
        return a->fixed[fixed];
    for (int i = 0; i < a->named_count; i++)
        if (str_eq(a->named[i].name, name))
            return a->named[i].value;
    return 0;
}

static void read_amounts(struct arena *mem, struct amounts *a, const struct doc *list)
{
    doc_each (q, list) {
        int fixed = fixed_index(q->key);
        if (fixed >= 0)
            a->fixed[fixed] = amount_of(fixed_names[fixed], doc_string(q));
        else if (!str_is(q->key, "pods"))
            *named_slot(mem, a, q->key) = amount_of(NULL, doc_string(q));
    }
}

static void add_amounts(struct arena *mem, struct amounts *to, const struct amounts *a, int sign)
{
    for (int i = 0; i < RES_NAMED; i++)
        to->fixed[i] += sign * a->fixed[i];
    for (int i = 0; i < a->named_count; i++)
        *named_slot(mem, to, a->named[i].name) += sign * a->named[i].value;
}

static void max_amounts(struct arena *mem, struct amounts *to, const struct amounts *a)
{
    for (int i = 0; i < RES_NAMED; i++)
        to->fixed[i] = to->fixed[i] > a->fixed[i] ? to->fixed[i] : a->fixed[i];
    for (int i = 0; i < a->named_count; i++) {
        int64_t *slot = named_slot(mem, to, a->named[i].name);
        *slot = *slot > a->named[i].value ? *slot : a->named[i].value;
    }
}

static struct amounts container_amounts(struct arena *mem, const struct doc *container, bool non_zero)
{
    struct amounts a = {0};
    read_amounts(mem, &a, doc_path(container, "resources", "requests", NULL));
    if (non_zero && !a.fixed[RES_CPU])
        a.fixed[RES_CPU] = DEFAULT_CPU_MILLI;
    if (non_zero && !a.fixed[RES_MEMORY])
        a.fixed[RES_MEMORY] = DEFAULT_MEMORY_BYTES;
    return a;
}

/* What a pod holds at its highest: all containers together with the sidecars, or one init container with the sidecars
 * started before it (KEP-753); plus overhead. Pod-level requests stand where they are given (KEP-2837). */
static struct amounts pod_amounts(struct arena *mem, const struct doc *spec, bool non_zero)
{
    struct amounts running = {0}, sidecars = {0}, peak = {0};
    doc_each (c, doc_get(spec, "containers")) {
        struct amounts a = container_amounts(mem, c, non_zero);
        add_amounts(mem, &running, &a, 1);
    }
    doc_each (c, doc_get(spec, "initContainers")) {
        struct amounts a = container_amounts(mem, c, non_zero);
        if (str_is(doc_str(c, "restartPolicy"), "Always")) {
            add_amounts(mem, &sidecars, &a, 1);
            max_amounts(mem, &peak, &sidecars);
        } else {
            add_amounts(mem, &a, &sidecars, 1);
            max_amounts(mem, &peak, &a);
        }
    }
    add_amounts(mem, &running, &sidecars, 1);
    max_amounts(mem, &peak, &running);
    read_amounts(mem, &peak, doc_path(spec, "resources", "requests", NULL));
    struct amounts overhead = {0};
    read_amounts(mem, &overhead, doc_get(spec, "overhead"));
    add_amounts(mem, &peak, &overhead, 1);
    return peak;
}

/* ---- a pod in one block: the struct, its host ports, its named amounts, then their texts */

struct block {
    char *at;
};

static struct str keep_text(struct block *b, struct str s)
{
    struct str kept = str_mem(b->at, s.len);
    memcpy(b->at, s.ptr, s.len);
    b->at += s.len;
    return kept;
}

static int read_ports(struct arena *mem, const struct doc *spec, struct host_port **ret)
{
    int count = 0, max = 0;
    doc_each (c, doc_get(spec, "containers"))
        max += (int)doc_len(doc_get(c, "ports"));
    *ret = arena_array(mem, struct host_port, max + 1);
    doc_each (c, doc_get(spec, "containers"))
        doc_each (port, doc_get(c, "ports"))
            if (doc_int(port, "hostPort", 0) > 0) {
                struct str protocol = doc_str(port, "protocol"), ip = doc_str(port, "hostIP");
                (*ret)[count++] = (struct host_port){protocol.len ? protocol : STR("TCP"), ip.len ? ip : STR("0.0.0.0"),
                                                     (int)doc_int(port, "hostPort", 0)};
            }
    return count;
}

static size_t text_bytes(const struct amounts *a)
{
    size_t bytes = 0;
    for (int i = 0; i < a->named_count; i++)
        bytes += a->named[i].name.len;
    return bytes;
}

static void keep_amounts(struct block *b, struct amounts *a, struct amount *at)
{
    if (a->named_count) /* memcpy from NULL is undefined, even of nothing */
        memcpy(at, a->named, sizeof(*at) * (size_t)a->named_count);
    a->named = at;
    for (int i = 0; i < a->named_count; i++)
        at[i].name = keep_text(b, at[i].name);
}

static struct pod_info *pack(const struct amounts *requests, const struct amounts *non_zero,
                             const struct host_port *ports, int port_count)
{
    size_t texts = text_bytes(requests) + text_bytes(non_zero),
           amounts = (size_t)(requests->named_count + non_zero->named_count);
    for (int i = 0; i < port_count; i++)
        texts += ports[i].protocol.len + ports[i].ip.len;
    size_t bytes = sizeof(struct pod_info) + sizeof(struct host_port) * (size_t)port_count +
                   sizeof(struct amount) * amounts + texts;
    struct pod_info *p = slab_alloc(bytes);
    if (!p)
        abort();
    *p = (struct pod_info){.bytes = (uint32_t)bytes};
    p->ports = (struct host_port *)(p + 1), p->port_count = port_count;
    struct amount *named = (struct amount *)(p->ports + port_count);
    struct block b = {(char *)(named + amounts)};
    p->requests = *requests, p->non_zero = *non_zero;
    keep_amounts(&b, &p->requests, named);
    keep_amounts(&b, &p->non_zero, named + requests->named_count);
    for (int i = 0; i < port_count; i++)
        p->ports[i] = (struct host_port){keep_text(&b, ports[i].protocol), keep_text(&b, ports[i].ip), ports[i].port};
    return p;
}

struct pod_info *pod_info_new(const struct obj *pod, const struct doc *d, struct str *ret_node)
{
    cleanup_arena struct arena *mem = arena_new();
    const struct doc *spec = doc_get(d, "spec");
    struct amounts requests = pod_amounts(mem, spec, /* non_zero= */ false),
                   non_zero = pod_amounts(mem, spec, /* non_zero= */ true);
    struct host_port *ports;
    int port_count = read_ports(mem, spec, &ports);
    struct pod_info *p = pack(&requests, &non_zero, ports, port_count);
    struct str phase = doc_str(doc_get(d, "status"), "phase"), scheduler = doc_str(spec, "schedulerName");
    p->obj = obj_ref(pod);
    p->priority = doc_int(spec, "priority", 0);
    p->is_over = str_is(phase, "Succeeded") || str_is(phase, "Failed");
    p->is_ours = (!scheduler.len || str_is(scheduler, "default-scheduler")) && !pod->deleting &&
                 !doc_len(doc_get(spec, "schedulingGates"));
    p->is_bound = doc_str(spec, "nodeName").len > 0;
    if (ret_node)
        *ret_node = pod->node;
    p->heap.index = -1;
    list_init(&p->link);
    return p;
}

struct pod_info *pod_info_free(struct pod_info *p)
{
    if (!p)
        return NULL;
    obj_unref(p->obj);
    slab_free(p, p->bytes);
    return NULL;
}

struct node_info *node_info_new(struct str name)
{
    struct node_info *n = calloc(1, sizeof(*n));
    if (!n || !(n->name.ptr = strndup(name.ptr, name.len)))
        abort();
    n->name.len = name.len;
    n->mem = arena_new();
    list_init(&n->pods);
    return n;
}

static void recount(struct node_info *n)
{
    n->used = (struct amounts){0}, n->used_non_zero = (struct amounts){0};
    list_each (l, &n->pods) {
        struct pod_info *p = container_of(l, struct pod_info, link);
        add_amounts(n->mem, &n->used, &p->requests, 1);
        add_amounts(n->mem, &n->used_non_zero, &p->non_zero, 1);
    }
}

void node_info_set(struct node_info *n, const struct obj *node)
{
    struct obj *was = n->obj;
    arena_reset(n->mem);
    n->obj = node ? obj_ref(node) : NULL;
    n->spec = NULL, n->allocatable = (struct amounts){0}, n->pods_max = 0;
    if (node) {
        const struct doc *d = obj_doc(n->mem, node), *allocatable = doc_path(d, "status", "allocatable", NULL);
        n->spec = doc_get(d, "spec");
        read_amounts(n->mem, &n->allocatable, allocatable);
        n->pods_max = amount_of(NULL, doc_str(allocatable, "pods"));
    }
    recount(n);
    obj_unref(was);
}

struct node_info *node_info_free(struct node_info *n)
{
    if (!n)
        return NULL;
    obj_unref(n->obj);
    arena_free(n->mem);
    free((char *)n->name.ptr);
    free(n);
    return NULL;
}

void node_info_add(struct node_info *n, struct pod_info *p)
{
    list_add_tail(&n->pods, &p->link);
    n->pod_count++;
    p->node = n;
    add_amounts(n->mem, &n->used, &p->requests, 1);
    add_amounts(n->mem, &n->used_non_zero, &p->non_zero, 1);
}

void node_info_remove(struct node_info *n, struct pod_info *p)
{
    list_remove(&p->link);
    n->pod_count--;
    p->node = NULL;
    add_amounts(n->mem, &n->used, &p->requests, -1);
    add_amounts(n->mem, &n->used_non_zero, &p->non_zero, -1);
}
