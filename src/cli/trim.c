/* cli/trim.c - see its header. */
#include "cli/trim.h"

#include <malloc.h>

static void wait_for_quiet(struct trim *t)
{
    t->changes_at_fire = t->changes;
    loop_timer_start(&t->timer, TRIM_QUIET_MS);
}

static void on_event(struct cache_sub *sub, struct cache_event *ev)
{
    struct trim *t = container_of(sub, struct trim, sub);
    t->changes++;
    if (t->changes >= TRIM_CHANGES_MIN && !loop_timer_running(&t->timer))
        wait_for_quiet(t);
}

static void on_timer(struct loop_timer *timer)
{
    struct trim *t = container_of(timer, struct trim, timer);
    if (t->changes != t->changes_at_fire) {
        wait_for_quiet(t);
        return;
    }
    malloc_trim(0);
    t->changes = 0;
}

void trim_start(struct trim *t, struct loop *loop, struct cache *cache)
{
    struct err never = {0}; /* only a revision to start from can be refused */
    *t = (struct trim){.cache = cache, .sub = {.prefix = STR(""), .on_event = on_event}};
    loop_timer_init(loop, &t->timer, on_timer);
    cache_subscribe(cache, &t->sub, 0, &never);
    wait_for_quiet(t);
}

void trim_stop(struct trim *t)
{
    if (!t->cache)
        return;
    cache_unsubscribe(t->cache, &t->sub);
    loop_timer_stop(&t->timer);
    *t = (struct trim){0};
}
