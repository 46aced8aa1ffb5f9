/* control/queue.c - keys that are ready, running, or waiting for their time. */
#include "control/queue.h"

#include <assert.h>

#include "base/map.h"
#include "base/metrics.h"

struct item {
    struct list link; /* in ready */
    struct queue *q;
    struct loop_timer delay;
    int64_t due_ms;
    int64_t queued_us, started_us;
    int64_t memo;
    int failures;
    bool ready, busy, dirty; /* dirty: added while busy */
    struct str key;
    char bytes[];
};
struct queue {
    struct loop *loop;
    const char *name;
    void (*on_ready)(void *ctx);
    void *ctx;
    struct map items; /* every key that is not idle */
    struct list ready;
    int depth;
    struct metric *adds, *retries, *waited, *worked;
    struct metric_probe probe;
};

static const double seconds[] = {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10};
#define BUCKETS .buckets = seconds, .bucket_count = sizeof(seconds) / sizeof(seconds[0])
static struct metric_family adds = {.name = "workqueue_adds_total",
                                    .help = "Total number of adds handled by workqueue",
                                    .type = METRIC_COUNTER,
                                    .labels = {"name"}};
static struct metric_family depth = {
    .name = "workqueue_depth", .help = "Current depth of workqueue", .type = METRIC_GAUGE, .labels = {"name"}};
static struct metric_family retries = {.name = "workqueue_retries_total",
                                       .help = "Total number of retries handled by workqueue",
                                       .type = METRIC_COUNTER,
                                       .labels = {"name"}};
static struct metric_family waited = {.name = "workqueue_queue_duration_seconds",
                                      .help = "How long in seconds an item stays in workqueue before being requested.",
                                      .type = METRIC_HISTOGRAM,
                                      .labels = {"name"},
                                      BUCKETS};
static struct metric_family worked = {.name = "workqueue_work_duration_seconds",
                                      .help = "How long in seconds processing an item from workqueue takes.",
                                      .type = METRIC_HISTOGRAM,
                                      .labels = {"name"},
                                      BUCKETS};

static struct metric_family unfinished = {
    .name = "workqueue_unfinished_work_seconds",
    .help = "How many seconds of work has done that is in progress and hasn't been observed by work_duration. Large "
            "values indicate stuck threads. One can deduce the number of stuck threads by observing the rate at which "
            "this increases.",
    .type = METRIC_GAUGE,
    .labels = {"name"}};
static struct metric_family longest = {
    .name = "workqueue_longest_running_processor_seconds",
    .help = "How many seconds has the longest running processor for workqueue been running.",
    .type = METRIC_GAUGE,
    .labels = {"name"}};

static void look(struct metric_probe *p)
{
    struct queue *q = container_of(p, struct queue, probe);
    double sum = 0, max = 0;
    uint32_t at = 0;
    void *value;
    while (map_each(&q->items, &at, NULL, &value)) {
        const struct item *it = value;
        double ran = it->busy ? (double)(loop_now_us(q->loop) - it->started_us) / 1e6 : 0;
        sum += ran, max = ran > max ? ran : max;
    }
    metric_set(metric_get(&depth, q->name), q->depth);
    metric_set(metric_get(&unfinished, q->name), sum);
    metric_set(metric_get(&longest, q->name), max);
}

struct queue *queue_new(struct loop *l, const char *name, void (*ready)(void *ctx), void *ctx)
{
    struct queue *q = calloc(1, sizeof(*q));
    if (!q)
        abort(); /* at start */
    q->loop = l, q->name = name, q->on_ready = ready, q->ctx = ctx;
    list_init(&q->ready);
    q->adds = metric_get(&adds, name), q->retries = metric_get(&retries, name);
    q->waited = metric_get(&waited, name), q->worked = metric_get(&worked, name);
    q->probe.look = look;
    metric_probe_add(&q->probe);
    return q;
}

static void item_free(struct item *it)
{
    loop_timer_stop(&it->delay);
    list_remove(&it->link);
    free(it);
}

struct queue *queue_free(struct queue *q)
{
    if (!q)
        return NULL;
    uint32_t at = 0;
    struct str key;
    void *value;
    while (map_each(&q->items, &at, &key, &value)) {
        map_del(&q->items, key);
        item_free(value);
    }
    map_done(&q->items);
    metric_probe_remove(&q->probe);
    free(q);
    return NULL;
}

int queue_depth(const struct queue *q)
{
    return q->depth;
}

static void make_ready(struct item *it)
{
    struct queue *q = it->q;
    loop_timer_stop(&it->delay);
    if (it->busy)
        it->dirty = true;
    if (it->busy || it->ready)
        return;
    it->ready = true;
    it->queued_us = loop_now_us(q->loop);
    list_add_tail(&q->ready, &it->link);
    metric_add(q->adds, 1);
    if (++q->depth == 1)
        q->on_ready(q->ctx);
}

static void on_due(struct loop_timer *t)
{
    make_ready(container_of(t, struct item, delay));
}

static struct item *item_of(struct queue *q, struct str key)
{
    struct item *it = map_get(&q->items, key);
    if (it)
        return it;
    it = calloc(1, sizeof(*it) + key.len + 1);
    if (!it)
        abort(); /* a lost key would be a lost change */
    memcpy(it->bytes, key.ptr, key.len);
    it->q = q, it->key = str_mem(it->bytes, key.len);
    list_init(&it->link);
    loop_timer_init(q->loop, &it->delay, on_due);
    map_put(&q->items, it->key, it);
    return it;
}

void queue_add(struct queue *q, struct str key)
{
    make_ready(item_of(q, key));
}

static void delay_item(struct item *it, int64_t delay_ms)
{
    int64_t due = loop_now_ms(it->q->loop) + delay_ms;
    if (loop_timer_running(&it->delay) && it->due_ms <= due)
        return;
    it->due_ms = due;
    loop_timer_start(&it->delay, delay_ms);
}

void queue_add_after(struct queue *q, struct str key, int64_t delay_ms)
{
    struct item *it = item_of(q, key);
    if (delay_ms <= 0)
        make_ready(it);
    else if (!it->ready)
        delay_item(it, delay_ms);
}

bool queue_next(struct queue *q, struct str *ret_key, int64_t *ret_memo)
{
    if (list_empty(&q->ready))
        return false;
    struct item *it = container_of(q->ready.next, struct item, link);
    list_remove(&it->link);
    it->ready = false, it->busy = true, it->dirty = false;
    it->started_us = loop_now_us(q->loop);
    q->depth--;
    metric_observe(q->waited, (double)(it->started_us - it->queued_us) / 1e6);
    *ret_key = it->key, *ret_memo = it->memo;
    return true;
}

static int64_t backoff_ms(int failures)
{
    int64_t ms = BACKOFF_FIRST_MS;
    for (int i = 0; i < failures && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

void queue_done(struct queue *q, struct str key, bool failed, int64_t memo)
{
    struct item *it = map_get(&q->items, key);
    assert(it && it->busy);
    it->busy = false;
    it->memo = failed ? 0 : memo;
    metric_observe(q->worked, (double)(loop_now_us(q->loop) - it->started_us) / 1e6);
    if (failed) {
        metric_add(q->retries, 1);
        delay_item(it, backoff_ms(it->failures++));
    } else {
        it->failures = 0;
    }
    if (it->dirty)
        make_ready(it);
    if (!it->ready && !it->failures && !it->memo && !loop_timer_running(&it->delay)) {
        map_del(&q->items, it->key);
        item_free(it);
    }
}
