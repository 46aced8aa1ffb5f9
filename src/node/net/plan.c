/* The difference between two states of a frontend. */
#include "node/net/plan.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/net/ipam.h"

void group_name(const struct group *g, char ret[GROUP_NAME_MAX])
{
    int n =
        snprintf(ret, GROUP_NAME_MAX, "pick-%u%s%s", g->count, g->node ? "-node" : "", g->masquerade ? "-masq" : "");
    if (g->sticky_s)
        snprintf(ret + n, GROUP_NAME_MAX - (size_t)n, "-sticky-%u", g->sticky_s);
}

bool group_parse(struct str name, struct group *ret)
{
    struct group g = {0};
    struct str word;
    uint64_t n;
    if (!str_next(&name, '-', &word) || !str_is(word, "pick") || !str_next(&name, '-', &word) ||
        !str_to_u64(word, &n) || n == 0 || n > UINT32_MAX)
        return false;
    g.count = (uint32_t)n;
    while (str_next(&name, '-', &word)) {
        if (str_is(word, "node"))
            g.node = true;
        else if (str_is(word, "masq"))
            g.masquerade = true;
        else if (str_is(word, "sticky") && str_next(&name, '-', &word) && str_to_u64(word, &n) && n && n < UINT32_MAX)
            g.sticky_s = (uint32_t)n;
        else
            return false;
    }
    *ret = g;
    return true;
}

static bool group_eq(const struct group *a, const struct group *b)
{
    return a->count == b->count && a->sticky_s == b->sticky_s && a->node == b->node && a->masquerade == b->masquerade;
}

int backend_cmp(const void *a, const void *b)
{
    const struct backend *x = a, *y = b;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    return (int)x->port - (int)y->port;
}

void plan_add(struct plan *p, struct plan_op op)
{
    if (p->count == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 16;
        p->ops = arena_grow(p->mem, p->ops, p->cap * sizeof(op), cap * sizeof(op));
        p->cap = cap;
    }
    p->ops[p->count++] = op;
}

static void dead_add(struct plan *p, struct plan_dead d)
{
    if (p->dead_count == p->dead_cap) {
        size_t cap = p->dead_cap ? 2 * p->dead_cap : 8;
        p->dead = arena_grow(p->mem, p->dead, p->dead_cap * sizeof(d), cap * sizeof(d));
        p->dead_cap = cap;
    }
    p->dead[p->dead_count++] = d;
}

static const struct backend *find(const struct backend *sorted, uint32_t n, const struct backend *b)
{
    return n ? bsearch(b, sorted, n, sizeof(*b), backend_cmp) : NULL;
}

static struct backend *sorted_copy(struct arena *mem, const struct backend *v, uint32_t n)
{
    struct backend *copy = arena_array(mem, struct backend, n ? n : 1);
    if (n)
        memcpy(copy, v, n * sizeof(*v)), qsort(copy, n, sizeof(*v), backend_cmp);
    return copy;
}

/* Survivors keep their index as far as it still exists; newcomers, and those beyond the new end, fill the holes. */
static void put_in_order(struct plan *p, const struct frontend *is, struct frontend *want)
{
    uint32_t n = want->count, next = 0;
    struct backend *slots = arena_array(p->mem, struct backend, n ? n : 1);
    bool *filled = arena_array(p->mem, bool, n ? n : 1), *placed = arena_array(p->mem, bool, n ? n : 1);
    for (uint32_t i = 0; i < n && i < is->count; i++) {
        const struct backend *at = find(want->backends, n, &is->backends[i]);
        if (at && !placed[at - want->backends])
            slots[i] = *at, filled[i] = true, placed[at - want->backends] = true;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (placed[i])
            continue;
        while (filled[next])
            next++;
        slots[next] = want->backends[i], filled[next] = true;
    }
    if (n)
        memcpy(want->backends, slots, n * sizeof(*slots));
}

static void plan_endpoints(struct plan *p, const struct frontend *is, const struct frontend *want)
{
    uint32_t most = is->count > want->count ? is->count : want->count;
    for (uint32_t i = 0; i < most; i++) {
        const struct backend *old = i < is->count ? &is->backends[i] : NULL;
        const struct backend *new = i < want->count ? &want->backends[i] : NULL;
        if (old && new &&backend_cmp(old, new) == 0)
            continue;
        if (old)
            plan_add(p, (struct plan_op){.map = PLAN_ENDPOINT, .key = is->key, .index = i, .backend = *old});
        if (new)
            plan_add(p,
                     (struct plan_op){.add = true, .map = PLAN_ENDPOINT, .key = is->key, .index = i, .backend = *new});
    }
}

void plan_frontend(struct plan *p, const struct frontend *is, struct frontend *want)
{
    const struct backend *want_sorted = sorted_copy(p->mem, want->backends, want->count);
    bool same = is->kind == want->kind && (is->kind != FRONTEND_SERVED || group_eq(&is->group, &want->group));
    put_in_order(p, is, want);
    if (!same && is->kind)
        plan_add(p, (struct plan_op){.map = PLAN_FRONTEND, .key = is->key, .kind = is->kind, .group = is->group});
    plan_endpoints(p, is, want);
    if (!same && want->kind)
        plan_add(p, (struct plan_op){
                        .add = true, .map = PLAN_FRONTEND, .key = is->key, .kind = want->kind, .group = want->group});
    for (uint32_t i = 0; is->key.protocol == IPPROTO_UDP && i < is->count; i++)
        if (!find(want_sorted, want->count, &is->backends[i]))
            dead_add(p, (struct plan_dead){is->key, is->backends[i]});
}

static int op_rank(const struct plan_op *o)
{
    int kind = o->map == PLAN_FRONTEND ? (o->kind == FRONTEND_SERVED ? 1 : 0) : 0;
    return (o->add ? 100 : 0) + (int)o->map * 10 + kind * 2 + (o->key.address ? 1 : 0);
}

static int op_cmp(const void *a, const void *b)
{
    const struct plan_op *x = a, *y = b;
    int order = op_rank(x) - op_rank(y);
    if (order)
        return order;
    if (x->key.address != y->key.address)
        return x->key.address < y->key.address ? -1 : 1;
    if (x->key.port != y->key.port)
        return (int)x->key.port - (int)y->key.port;
    if (x->key.protocol != y->key.protocol)
        return (int)x->key.protocol - (int)y->key.protocol;
    return x->index != y->index ? (x->index < y->index ? -1 : 1) : backend_cmp(&x->backend, &y->backend);
}

void plan_sort(struct plan *p)
{
    if (p->count)
        qsort(p->ops, p->count, sizeof(*p->ops), op_cmp);
}

static const char *protocol_word(uint8_t p)
{
    return p == IPPROTO_UDP ? "udp" : p == IPPROTO_SCTP ? "sctp" : "tcp";
}

static void print_key(struct sb *out, const struct frontend_key *k)
{
    struct str address = k->address ? ipv4_text(out->mem, k->address) : STR("node");
    sb_addf(out, STR_FMT " %s %u", STR_ARG(address), protocol_word(k->protocol), k->port);
}

static void print_backend(struct sb *out, const struct backend *b)
{
    struct str address = ipv4_text(out->mem, b->address);
    sb_addf(out, STR_FMT ":%u", STR_ARG(address), b->port);
}

static void print_op(struct sb *out, const struct plan_op *o)
{
    char name[GROUP_NAME_MAX];
    static const char *const words[] = {"frontend ", "endpoint "};
    sb_addz(out, o->add ? "+ " : "- "), sb_addz(out, words[o->map]);
    print_key(out, &o->key);
    if (o->map == PLAN_ENDPOINT)
        sb_addf(out, " #%u", o->index);
    sb_addz(out, " ");
    if (o->map != PLAN_FRONTEND) {
        print_backend(out, &o->backend);
    } else if (o->kind == FRONTEND_SERVED) {
        group_name(&o->group, name);
        sb_addz(out, name);
    } else {
        sb_addz(out, o->kind == FRONTEND_DROPPED ? "drop" : "reject");
    }
    sb_addc(out, '\n');
}

void plan_print(const struct plan *p, struct sb *out)
{
    for (size_t i = 0; i < p->count; i++)
        print_op(out, &p->ops[i]);
    for (size_t i = 0; i < p->dead_count; i++) {
        sb_addz(out, "dead "), print_key(out, &p->dead[i].key);
        sb_addc(out, ' '), print_backend(out, &p->dead[i].backend), sb_addc(out, '\n');
    }
}
