/* sched/pick.c - one pod, all nodes: filter, score, choose; or say why not, as kube-scheduler's FitError does. */
#include "sched/framework.h"

#include <stdlib.h>

enum { REASONS_MAX = 64 };

struct reason {
    struct str text;
    int nodes;
};

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.` The parts are sorted as text. */
static struct str explain(struct cycle *c, const struct reason *reasons, int count)
{
    struct str parts[REASONS_MAX];
    struct sb b = SB(c->mem);
    if (!c->node_count)
        return STR("no nodes available to schedule pods");
    for (int i = 0; i < count; i++)
        parts[i] = str_fmt(c->mem, "%d " STR_FMT, reasons[i].nodes, STR_ARG(reasons[i].text));
    qsort(parts, (size_t)count, sizeof(parts[0]), by_text);
    sb_addf(&b, "0/%d nodes are available: ", c->node_count);
    for (int i = 0; i < count; i++)
        sb_addf(&b, "%s" STR_FMT, i ? ", " : "", STR_ARG(parts[i]));
    sb_addc(&b, '.');
    return sb_str(&b);
}

static void add_reason(struct reason *reasons, int *count, struct str text)
{
    for (int i = 0; i < *count; i++)
        if (str_eq(reasons[i].text, text)) {
            reasons[i].nodes++;
            return;
        }
    if (*count < REASONS_MAX)
        reasons[(*count)++] = (struct reason){text, 1};
}

static const char *refusal(const struct cycle *c, const struct node_info *n)
{
    for (int row = 0; sched_filters[row].name; row++) {
        const char *why = sched_filters[row].filter(c, row, n);
        if (why)
            return why;
    }
    return NULL;
}

static void add_scores(struct cycle *c, int row, struct node_info **fit, int fit_count, int64_t *raw, int64_t *total)
{
    const struct score_plugin *p = &sched_scores[row];
    int64_t highest = 0;
    if (p->pre_score)
        p->pre_score(c, row);
    for (int i = 0; i < fit_count; i++) {
        raw[i] = p->score(c, row, fit[i]);
        highest = raw[i] > highest ? raw[i] : highest;
    }
    for (int i = 0; i < fit_count; i++) {
        int64_t s = p->norm == SCORE_AS_IS ? raw[i] : highest ? raw[i] * 100 / highest : 0;
        total[i] += p->weight * (p->norm == SCORE_REVERSE ? 100 - s : s);
    }
}

/* The highest; among equals one drawn by chance, so that equal nodes fill equally (reservoir of one). */
static struct node_info *best(struct loop *loop, struct node_info **fit, int fit_count, const int64_t *total)
{
    struct node_info *chosen = fit[0];
    int64_t top = total[0];
    uint64_t equals = 1;
    for (int i = 1; i < fit_count; i++) {
        if (total[i] > top)
            top = total[i], chosen = fit[i], equals = 1;
        else if (total[i] == top && loop_rand(loop, RAND_SCHED) % ++equals == 0)
            chosen = fit[i];
    }
    return chosen;
}

struct node_info *sched_pick(struct cycle *c, struct loop *loop, struct str *ret_message)
{
    struct node_info **fit = arena_array(c->mem, struct node_info *, c->node_count + 1);
    struct reason reasons[REASONS_MAX];
    int fit_count = 0, reason_count = 0;
    for (int row = 0; sched_filters[row].name; row++)
        if (sched_filters[row].pre_filter)
            sched_filters[row].pre_filter(c, row);
    for (int i = 0; i < c->node_count; i++) {
        const char *why = refusal(c, c->nodes[i]);
        if (why)
            add_reason(reasons, &reason_count, str_of(why));
        else
            fit[fit_count++] = c->nodes[i];
    }
    if (!fit_count) {
        *ret_message = explain(c, reasons, reason_count);
        return NULL;
    }
    if (fit_count == 1)
        return fit[0];
    int64_t *raw = arena_array(c->mem, int64_t, fit_count), *total = arena_array(c->mem, int64_t, fit_count);
    for (int row = 0; sched_scores[row].name; row++)
        add_scores(c, row, fit, fit_count, raw, total);
    return best(loop, fit, fit_count, total);
}
