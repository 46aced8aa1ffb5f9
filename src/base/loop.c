/* base/loop.c - timers and tasks, the same for both drivers. */
#include "base/loop_priv.h"

#include <assert.h>

void loop_init(struct loop *l, const struct loop_driver *driver)
{
    *l = (struct loop){.driver = driver, .next_id = 1};
    list_init(&l->tasks);
    list_init(&l->running);
}

static void forget(struct list *tasks)
{
    while (!list_empty(tasks))
        list_remove(tasks->next);
}

void loop_done(struct loop *l)
{
    heap_done(&l->timers);
    forget(&l->tasks);
    forget(&l->running);
}

struct loop *loop_free(struct loop *l)
{
    if (l)
        l->driver->free(l);
    return NULL;
}

void loop_run(struct loop *l)
{
    l->driver->run(l);
}

void loop_stop(struct loop *l)
{
    l->driver->stop(l);
}

int64_t loop_now_ms(const struct loop *l)
{
    return l->driver->now_ms(l);
}

int64_t loop_now_us(const struct loop *l)
{
    return l->driver->now_us(l);
}

int64_t loop_wall_ms(const struct loop *l)
{
    return l->driver->wall_ms(l);
}

struct uv_loop_s *loop_uv_handle(struct loop *l)
{
    return l->driver->uv_handle(l);
}

int loop_work(struct loop *l, struct loop_work *w)
{
    assert(w->work && w->done);
    return l->driver->work(l, w);
}

void loop_timer_init(struct loop *l, struct loop_timer *t, void (*fire)(struct loop_timer *t))
{
    *t = (struct loop_timer){.heap.index = -1, .loop = l, .fire = fire};
}

/* The earliest timer was `was`. */
static void rearm_if_moved(struct loop *l, const struct heap_item *was, int64_t was_key)
{
    const struct heap_item *now = heap_peek(&l->timers);
    if (!l->firing && (now != was || (now && now->key != was_key)))
        l->driver->rearm(l);
}

void loop_timer_start(struct loop_timer *t, int64_t delay_ms)
{
    struct loop *l = t->loop;
    const struct heap_item *first = heap_peek(&l->timers);
    int64_t first_key = first ? first->key : 0;
    heap_remove(&l->timers, &t->heap);
    if (delay_ms < 0)
        delay_ms = 0;
    if (__builtin_add_overflow(loop_now_ms(l), delay_ms, &t->heap.key))
        t->heap.key = INT64_MAX;
    t->heap.id = l->next_id++;
    heap_push(&l->timers, &t->heap);
    rearm_if_moved(l, first, first_key);
}

void loop_timer_stop(struct loop_timer *t)
{
    if (!loop_timer_running(t))
        return;
    struct loop *l = t->loop;
    const struct heap_item *first = heap_peek(&l->timers);
    int64_t first_key = first->key;
    heap_remove(&l->timers, &t->heap);
    rearm_if_moved(l, first, first_key);
}

int loop_run_timers(struct loop *l)
{
    int fired = 0;
    uint64_t id_end = l->next_id;
    int64_t now = loop_now_ms(l);
    struct heap_item *first;
    l->firing = true;
    while ((first = heap_peek(&l->timers)) && first->key <= now && first->id < id_end) {
        struct loop_timer *t = container_of(first, struct loop_timer, heap);
        heap_remove(&l->timers, first);
        t->fire(t);
        loop_run_tasks(l);
        fired++;
    }
    l->firing = false;
    l->driver->rearm(l);
    return fired;
}

void loop_task_init(struct loop_task *t, void (*run)(struct loop_task *t))
{
    list_init(&t->link);
    t->run = run;
}

void loop_post(struct loop *l, struct loop_task *t)
{
    if (!list_empty(&t->link))
        return;
    bool first = list_empty(&l->tasks);
    list_add_tail(&l->tasks, &t->link);
    if (first)
        l->driver->wake(l);
}

void loop_task_cancel(struct loop_task *t)
{
    list_remove(&t->link);
}

/* Append all of from to `to`. */
static void splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev, to->prev->next = from->next;
    from->prev->next = to, to->prev = from->prev;
    list_init(from);
}

bool loop_run_tasks(struct loop *l)
{
    splice(&l->running, &l->tasks);
    while (!list_empty(&l->running)) {
        struct loop_task *t = container_of(l->running.next, struct loop_task, link);
        list_remove(&t->link);
        t->run(t);
    }
    return !list_empty(&l->tasks);
}

uint64_t loop_rand(struct loop *l, enum loop_stream stream)
{
    uint64_t v;
    loop_rand_bytes(l, stream, &v, sizeof v);
    return v;
}

void loop_rand_bytes(struct loop *l, enum loop_stream stream, void *buf, size_t len)
{
    l->driver->rand_bytes(l, stream, buf, len);
}

bool sim_chance(struct loop *l, int n)
{
    return l->driver->chance(l, n);
}
