/* control/deployment_rollout.c - the arithmetic of rolling updates and proportional scaling. */
#include "control/deployment_rollout.h"

#include <stdlib.h>

#include "control/conditions.h"

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void rollout_fenceposts(const struct doc *strategy, int64_t replicas, int64_t *ret_surge, int64_t *ret_unavailable)
{
    const struct doc *ru = doc_get(strategy, "rollingUpdate");
    *ret_surge = *ret_unavailable = 0;
    if (!str_is(doc_str(strategy, "type"), "RollingUpdate"))
        return;
    int64_t surge = value_or_percent(doc_get(ru, "maxSurge"), replicas, /* round_up= */ true, 0);
    int64_t unavailable = value_or_percent(doc_get(ru, "maxUnavailable"), replicas, /* round_up= */ false, 0);
    if (surge == 0 && unavailable == 0)
        unavailable = 1;
    *ret_surge = surge;
    *ret_unavailable = replicas ? min64(unavailable, replicas) : 0;
}

/* ---- sums */

static struct rollout_set *new_set(const struct rollout *in)
{
    return in->new_at < 0 ? NULL : &in->sets[in->new_at];
}

static bool is_old(const struct rollout *in, int i)
{
    return i != in->new_at;
}

/* Pods that exist or may come to exist at any moment. */
static int64_t pods_possible(const struct rollout *in)
{
    int64_t n = 0;
    for (int i = 0; i < in->count; i++)
        n += max64(in->sets[i].want, in->sets[i].actual);
    return n;
}

/* Pods that will certainly stay available: of more than are wanted, some are about to go. */
static int64_t sure(const struct rollout_set *s)
{
    return min64(s->want, s->available);
}

static int64_t pods_sure(const struct rollout *in)
{
    int64_t n = 0;
    for (int i = 0; i < in->count; i++)
        n += sure(&in->sets[i]);
    return n;
}

static int64_t pods_wanted(const struct rollout *in)
{
    int64_t n = 0;
    for (int i = 0; i < in->count; i++)
        n += in->sets[i].want;
    return n;
}

/* ---- rolling */

static bool all_seen(const struct rollout *in)
{
    for (int i = 0; i < in->count; i++)
        if (in->sets[i].unseen)
            return false;
    return true;
}

int64_t rollout_first_size(const struct rollout *in)
{
    if (in->recreate)
        return in->replicas;
    if (!all_seen(in))
        return 0;
    return max64(0, min64(in->replicas, in->replicas + in->max_surge - pods_possible(in)));
}

static bool resize_new(struct rollout *in)
{
    struct rollout_set *s = new_set(in);
    if (!s || s->spec == in->replicas)
        return false;
    if (s->spec > in->replicas || in->recreate) {
        s->want = in->replicas;
        return true;
    }
    int64_t room = in->replicas + in->max_surge - pods_possible(in);
    /* A pod that the set already asks for but has not made is counted in pods_possible: room is for more. */
    if (room > 0)
        s->want += min64(room, in->replicas - s->spec);
    return s->want != s->spec;
}

/* Old pods that don't serve anyway go first, and without a look at what they leave behind. */
static void drop_unhealthy(struct rollout *in, int64_t most)
{
    for (int i = 0; i < in->count && most > 0; i++) {
        struct rollout_set *s = &in->sets[i];
        if (!is_old(in, i) || s->want == 0)
            continue;
        int64_t n = min64(most, s->want - sure(s));
        s->want -= n;
        most -= n;
    }
}

static void drop_healthy(struct rollout *in, int64_t min_available)
{
    int64_t most = pods_sure(in) - min_available;
    for (int i = 0; i < in->count && most > 0; i++) {
        struct rollout_set *s = &in->sets[i];
        if (!is_old(in, i) || s->want == 0)
            continue;
        int64_t n = min64(s->want, most);
        s->want -= n;
        most -= n;
    }
}

static void shrink_old(struct rollout *in)
{
    const struct rollout_set *s = new_set(in);
    int64_t min_available = in->replicas - in->max_unavailable;
    int64_t new_unavailable = s ? s->want - sure(s) : 0;
    int64_t most = pods_wanted(in) - min_available - new_unavailable;
    if (most <= 0)
        return;
    drop_unhealthy(in, most);
    drop_healthy(in, min_available);
}

static void recreate(struct rollout *in)
{
    bool shrunk = false;
    for (int i = 0; i < in->count; i++) {
        if (!is_old(in, i) || in->sets[i].spec == 0)
            continue;
        in->sets[i].want = 0;
        shrunk = true;
    }
    in->old_pods_running |= shrunk;
    if (!in->old_pods_running)
        resize_new(in);
}

void rollout_step(struct rollout *in)
{
    if (in->recreate)
        recreate(in);
    else if (all_seen(in) && !resize_new(in))
        shrink_old(in);
}

/* ---- scaling */

bool rollout_is_scaling(const struct rollout *in)
{
    for (int i = 0; i < in->count; i++)
        if (in->sets[i].spec > 0 && in->sets[i].desired >= 0 && in->sets[i].desired != in->replicas)
            return true;
    return false;
}

/* The only set with pods, or the newest when none has; NULL: several have. */
static struct rollout_set *active_or_latest(const struct rollout *in)
{
    struct rollout_set *found = NULL;
    for (int i = 0; i < in->count; i++) {
        if (in->sets[i].spec == 0)
            continue;
        if (found)
            return NULL;
        found = &in->sets[i];
    }
    if (found)
        return found;
    return new_set(in) ? new_set(in) : in->count ? &in->sets[in->count - 1] : NULL;
}

static bool is_saturated(const struct rollout *in)
{
    const struct rollout_set *s = new_set(in);
    return s && s->desired == in->replicas && s->spec == in->replicas && s->reported == in->replicas;
}

struct sized {
    struct rollout_set *set;
    int order, growing;
};

/* Largest first; of equals the newer when growing, the older when shrinking. */
static int by_size(const void *x, const void *y)
{
    const struct sized *a = x, *b = y;
    if (a->set->spec != b->set->spec)
        return a->set->spec > b->set->spec ? -1 : 1;
    return a->growing ? b->order - a->order : a->order - b->order;
}

static int64_t rounded(double x)
{
    return (int64_t)(x < 0 ? x - 0.5 : x + 0.5);
}

static int64_t share(const struct rollout *in, const struct rollout_set *s, int64_t to_add, int64_t added)
{
    if (s->spec == 0 || to_add == 0 || to_add == added)
        return 0;
    int64_t before = s->max ? s->max : in->total_reported, fraction = -s->spec;
    if (in->replicas > 0 && before > 0)
        fraction = rounded((double)(s->spec * (in->replicas + in->max_surge)) / (double)before) - s->spec;
    else if (in->replicas > 0)
        fraction = 0;
    int64_t left = to_add - added;
    return to_add > 0 ? min64(fraction, left) : max64(fraction, left);
}

static void scale_in_proportion(struct rollout *in)
{
    int64_t allowed = in->replicas > 0 ? in->replicas + in->max_surge : 0, total = 0, added = 0;
    struct sized *list = calloc((size_t)in->count + 1, sizeof(*list));
    int n = 0;
    if (!list)
        abort();
    for (int i = 0; i < in->count; i++)
        total += in->sets[i].spec;
    int64_t to_add = allowed - total;
    for (int i = 0; i < in->count; i++)
        if (in->sets[i].spec > 0)
            list[n++] = (struct sized){&in->sets[i], i, to_add > 0};
    qsort(list, (size_t)n, sizeof(*list), by_size);
    for (int i = 0; i < n; i++) {
        int64_t part = share(in, list[i].set, to_add, added);
        list[i].set->want = list[i].set->spec + part;
        added += part;
    }
    if (n && to_add)
        list[0].set->want = max64(0, list[0].set->want + to_add - added);
    free(list);
}

void rollout_scale(struct rollout *in)
{
    struct rollout_set *only = active_or_latest(in);
    if (only) {
        only->want = in->replicas;
        return;
    }
    if (is_saturated(in)) {
        for (int i = 0; i < in->count; i++)
            if (is_old(in, i))
                in->sets[i].want = 0;
        return;
    }
    if (!in->recreate)
        scale_in_proportion(in);
}
