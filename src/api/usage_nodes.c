/* api/usage_nodes.c - asking the nodes, and remembering for a while what they said. */
#include <errno.h>

#include "api/usage.h"

/* One GET /metrics/resource. It outlives the node that gave it up: its stream ends later. */
struct scrape {
    struct arena *mem;
    struct usage_node *node; /* NULL: given up */
    struct stream *s;        /* NULL: not dialed yet */
    struct usage_table *table;
    size_t bytes;
    int status;
};

struct usage_node {
    struct api *api;
    struct str name; /* behind the struct */
    enum { IDLE, ASKING, PAUSING } state;
    struct usage_table *table; /* the last reading; without rates while PAUSING */
    struct scrape *scrape;     /* while ASKING */
    struct loop_timer timer;   /* until the answer is late; the pause is over; the table is forgotten */
    struct list waits;         /* struct wait_link.link */
};

struct wait_link {
    struct list link;
    struct usage_wait *wait;
};
struct usage_wait {
    struct arena *mem;
    int pending;
    void (*done)(void *ctx);
    void *ctx;
    struct wait_link *links;
    int count;
};

static struct scrape *scrape_free(struct scrape *c)
{
    usage_table_free(c->table);
    arena_free(c->mem);
    return NULL;
}

static void give_up(struct usage_node *n)
{
    struct scrape *c = n->scrape;
    n->scrape = NULL;
    if (!c)
        return;
    c->node = NULL;
    if (c->s)
        stream_close(c->s); /* on_done frees */
}

static void node_free(struct usage_node *n)
{
    map_del(&n->api->usage, n->name);
    loop_timer_stop(&n->timer);
    give_up(n);
    usage_table_free(n->table);
    free(n);
}

void usage_done(struct api *a)
{
    uint32_t it = 0;
    void *value;
    while (map_each(&a->usage, &it, NULL, &value))
        node_free(value);
    map_done(&a->usage);
}

/* ---- who waits */

static void wait_free(struct usage_wait *w)
{
    arena_free(w->mem);
}

void usage_wait_cancel(struct usage_wait *w)
{
    for (int i = 0; i < w->count; i++)
        list_remove(&w->links[i].link);
    wait_free(w);
}

static void wake(struct list *waits)
{
    while (!list_empty(waits)) {
        struct usage_wait *w = container_of(waits->next, struct wait_link, link)->wait;
        list_remove(waits->next);
        if (--w->pending)
            continue;
        w->done(w->ctx);
        wait_free(w);
    }
}

/* The node has answered (it has a table) or has not. */
static void settle(struct usage_node *n)
{
    struct list waits;
    list_init(&waits);
    while (!list_empty(&n->waits)) {
        struct list *l = n->waits.next;
        list_remove(l);
        list_add_tail(&waits, l);
    }
    n->state = IDLE;
    if (n->table)
        loop_timer_start(&n->timer, USAGE_BASE_MS);
    else
        node_free(n);
    wake(&waits);
}

/* ---- one reading */

static void ask(struct usage_node *n);

static void failed(struct usage_node *n)
{
    n->table = usage_table_free(n->table);
    settle(n);
}

static void answered(struct usage_node *n, struct usage_table *t)
{
    int64_t now = loop_now_ms(n->api->loop);
    bool has_base = n->table && now - n->table->taken_ms <= USAGE_BASE_MS + USAGE_ANSWER_MS;
    usage_table_end(t, has_base ? n->table : NULL, now);
    usage_table_free(n->table);
    n->table = t;
    if (has_base) {
        settle(n);
        return;
    }
    n->state = PAUSING;
    loop_timer_start(&n->timer, USAGE_PAUSE_MS);
}

static void on_header(void *ctx, int status, const struct http_header *headers, int count)
{
    struct scrape *c = ctx;
    c->status = status;
}

static void on_data(void *ctx, struct str bytes)
{
    struct scrape *c = ctx;
    c->bytes += bytes.len;
    if (c->bytes <= USAGE_TEXT_BYTES_MAX && c->status == 200 && c->node)
        usage_table_read(c->table, bytes);
    else
        stream_close(c->s);
}

static void on_done(void *ctx, int error)
{
    struct scrape *c = ctx;
    struct usage_node *n = c->node;
    struct usage_table *t = c->table;
    bool ok = !error && c->status == 200;
    if (n) {
        n->scrape = NULL;
        loop_timer_stop(&n->timer);
    }
    if (n && ok)
        c->table = NULL; /* the node's */
    scrape_free(c);
    if (n && ok)
        answered(n, t);
    else if (n)
        failed(n);
}

static void on_opened(void *ctx, struct stream *s, int error)
{
    static const struct http_header host = {STR("Host"), STR("kubelet")};
    struct scrape *c = ctx;
    if (!s) {
        on_done(c, error ? error : -ENOTCONN);
        return;
    }
    c->s = s;
    http1_request(c->mem, s, "GET", STR("/metrics/resource"), &host, 1, STR_NULL, on_header, on_data, on_done, c);
    if (!c->node) /* too late; on_done frees */
        stream_close(s);
}

static void ask(struct usage_node *n)
{
    struct arena *mem = arena_new();
    struct scrape *c = arena_new_of(mem, struct scrape);
    *c = (struct scrape){.mem = mem, .node = n, .table = usage_table_new()};
    n->scrape = c;
    n->state = ASKING;
    loop_timer_start(&n->timer, USAGE_ANSWER_MS);
    tunnel_dial(n->api, n->name, STR("kubelet"), on_opened, c); /* may fail before it returns: n is then gone */
}

static void on_timer(struct loop_timer *timer)
{
    struct usage_node *n = container_of(timer, struct usage_node, timer);
    switch (n->state) {
    case ASKING:
        give_up(n);
        failed(n);
        break;
    case PAUSING:
        ask(n);
        break;
    case IDLE:
        node_free(n);
        break;
    }
}

/* ---- questions */

static struct usage_node *node_of(struct api *a, struct str name)
{
    struct usage_node *n = map_get(&a->usage, name);
    if (n || !api_has_tunnel(a, name) || !(n = malloc(sizeof(*n) + name.len)))
        return n;
    memcpy(n + 1, name.ptr, name.len);
    *n = (struct usage_node){.api = a, .name = str_mem((const char *)(n + 1), name.len), .state = IDLE};
    list_init(&n->waits);
    loop_timer_init(a->loop, &n->timer, on_timer);
    map_put(&a->usage, n->name, n);
    return n;
}

static bool is_fresh(const struct usage_node *n, bool again)
{
    return n->state == IDLE && n->table &&
           loop_now_ms(n->api->loop) - n->table->taken_ms < (again ? USAGE_AGAIN_MS : USAGE_FRESH_MS);
}

struct usage_wait *usage_ask(struct api *a, const struct usage_want *wants, int count, void (*done)(void *ctx),
                             void *ctx)
{
    struct arena *mem = arena_new();
    struct usage_wait *w = arena_new_of(mem, struct usage_wait);
    *w = (struct usage_wait){.mem = mem, .done = done, .ctx = ctx, .pending = 1 /* our own, until all are asked */};
    w->links = arena_array(mem, struct wait_link, count);
    for (int i = 0; i < count; i++) {
        struct usage_node *n = node_of(a, wants[i].node);
        if (!n || is_fresh(n, wants[i].again))
            continue;
        struct wait_link *l = &w->links[w->count++];
        l->wait = w;
        list_add_tail(&n->waits, &l->link);
        w->pending++;
        if (n->state == IDLE)
            ask(n);
    }
    if (--w->pending)
        return w;
    wait_free(w);
    return NULL;
}

const struct usage_table *usage_known(struct api *a, struct str node)
{
    const struct usage_node *n = map_get(&a->usage, node);
    return n && n->state != PAUSING ? n->table : NULL;
}
