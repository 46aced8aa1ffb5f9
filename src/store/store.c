/* store/store.c - compare-and-swap, revisions, order and group commit; what all kinds of store share.
 *
 * A write is accepted or refused at once, against the newest accepted state of its keys, so that writes to one key can
 * queue up behind each other. Accepted transactions gather while the backend makes the batch before durable. Fed and
 * answered is in order of revision: a volatile transaction waits only for durable ones before it. */
#include "store/store_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static void kick_run(struct loop_task *t);
static void refuse_run(struct loop_task *t);

static void batch_init(struct batch *b)
{
    *b = (struct batch){0};
    list_init(&b->txns);
    list_init(&b->metas);
}

static bool batch_empty(const struct batch *b)
{
    return list_empty(&b->txns) && list_empty(&b->metas);
}

void store_init(struct store *s, const struct store_opts *o, store_feed_fn *feed, void *ctx)
{
    s->loop = o->loop;
    s->feed = feed;
    s->feed_ctx = ctx;
    s->rev = s->next = s->complete_since = 1;
    batch_init(&s->gathering);
    batch_init(&s->flight);
    list_init(&s->refused);
    loop_task_init(&s->kick, kick_run);
    loop_task_init(&s->refuse, refuse_run);
}

/* ---- transactions */

static struct txn *txn_new(struct store_op *ops, int count, store_done_fn *done, void *ctx)
{
    struct txn *t = malloc(sizeof *t + (size_t)count * sizeof *ops);
    if (!t)
        return NULL;
    *t = (struct txn){.done = done, .ctx = ctx, .count = count};
    memcpy(t->ops, ops, (size_t)count * sizeof *ops);
    for (int i = 0; i < count; i++) {
        assert(ops[i].obj && str_eq(ops[i].key, ops[i].obj->key));
        t->ops[i].key = ops[i].obj->key;
        t->bytes += ops[i].obj->json.len;
        t->durable |= !ops[i].is_volatile;
    }
    list_init(&t->link);
    return t;
}

static void txn_free(struct txn *t)
{
    list_remove(&t->link);
    for (int i = 0; i < t->count; i++)
        obj_unref(t->ops[i].obj);
    free(t);
}

static void txn_answer(struct txn *t, int error)
{
    if (t->done)
        t->done(t->ctx, error, t->failed, error ? 0 : t->rev);
    txn_free(t);
}

static void refuse(struct store *s, struct txn *t, int error, int failed)
{
    t->rev = (uint64_t)-error; /* kept here until the answer */
    t->failed = failed;
    list_add_tail(&s->refused, &t->link);
    loop_post(s->loop, &s->refuse);
}

static void refuse_run(struct loop_task *task)
{
    struct store *s = (struct store *)((char *)task - offsetof(struct store, refuse));
    struct list now;
    list_init(&now);
    while (!list_empty(&s->refused)) {
        struct list *l = s->refused.next;
        list_remove(l);
        list_add_tail(&now, l);
    }
    while (!list_empty(&now)) {
        struct txn *t = (struct txn *)now.next; /* link is the first member */
        list_remove(&t->link);
        txn_answer(t, -(int)t->rev);
    }
}

/* The revision a key is at, writes under way counted; 0: absent. */
static uint64_t newest_rev(const struct store *s, struct str key)
{
    const struct store_op *op = map_get(&s->pending, key);
    if (op)
        return op->kind == STORE_DELETE ? 0 : op->obj->rev;
    const struct obj *o = map_get(&s->head, key);
    return o ? o->rev : 0;
}

static int compare(const struct store *s, const struct txn *t, bool fed_only)
{
    for (int i = 0; i < t->count; i++) {
        const struct store_op *op = &t->ops[i];
        const struct obj *o = fed_only ? map_get(&s->head, op->key) : NULL;
        uint64_t rev = fed_only ? (o ? o->rev : 0) : newest_rev(s, op->key);
        if (rev != op->expect_rev || (op->kind == STORE_DELETE && rev == 0))
            return i;
    }
    return -1;
}

void store_commit(struct store *s, struct store_op *ops, int count, store_done_fn *done, void *ctx)
{
    assert(count > 0 && count <= STORE_OPS_MAX);
    struct txn *t = txn_new(ops, count, done, ctx);
    if (!t)
        abort(); /* a few hundred bytes: no request can be answered then either */
    if (s->refuse_error)
        return refuse(s, t, s->refuse_error, 0);
    int failed = compare(s, t, /* fed_only= */ false);
    if (failed >= 0)
        return refuse(s, t, -EAGAIN, failed);
    t->rev = ++s->next;
    if (t->rev > s->volatile_max)
        t->durable = true;
    for (int i = 0; i < count; i++) {
        obj_set_rev(t->ops[i].obj, t->rev);
        map_put(&s->pending, t->ops[i].key, &t->ops[i]);
    }
    list_add_tail(&s->gathering.txns, &t->link);
    loop_post(s->loop, &s->kick);
}

/* ---- effect */

static void apply_op(struct store *s, struct txn *t, int i)
{
    struct store_op *op = &t->ops[i];
    struct obj *old = map_get(&s->head, op->key);
    if (map_get(&s->pending, op->key) == op)
        map_del(&s->pending, op->key);
    s->be->applied(s, t, i, old, t->durable);
    if (op->kind == STORE_PUT)
        map_put(&s->head, op->obj->key, obj_ref(op->obj));
    else
        map_del(&s->head, op->key);
    s->rev = t->rev;
    const struct store_event ev = {t->rev, op->kind, op->obj};
    s->feed(s->feed_ctx, &ev);
    obj_unref(old);
}

static void txn_apply(struct store *s, struct txn *t)
{
    list_remove(&t->link);
    for (int i = 0; i < t->count; i++)
        apply_op(s, t, i);
    txn_answer(t, 0);
}

/* Move what is pending to another place, so that answers may start new writes meanwhile. */
static void move_all(struct list *to, struct list *from)
{
    while (!list_empty(from)) {
        struct list *l = from->next;
        list_remove(l);
        list_add_tail(to, l);
    }
}

static void forget_pending(struct store *s, struct txn *t)
{
    for (int i = 0; i < t->count; i++)
        if (map_get(&s->pending, t->ops[i].key) == &t->ops[i])
            map_del(&s->pending, t->ops[i].key);
}

/* The batch has failed: it and what is stacked on it is refused. Volatile transactions need no disk: those whose
 * compare still holds take effect. */
static void fail_all(struct store *s, struct list *txns, int error)
{
    list_each (l, txns)
        forget_pending(s, (struct txn *)l);
    while (!list_empty(txns)) {
        struct txn *t = (struct txn *)txns->next;
        if (!t->durable && compare(s, t, /* fed_only= */ true) < 0) {
            txn_apply(s, t);
        } else {
            list_remove(&t->link);
            txn_answer(t, error);
        }
    }
}

static void metas_done(struct store *s, struct list *metas, int error)
{
    while (!list_empty(metas)) {
        struct meta_put *p = (struct meta_put *)metas->next;
        list_remove(&p->link);
        if (error)
            free(p->value);
        else
            store_meta_set(s, p->value);
        if (p->done)
            p->done(p->ctx, error);
        free(p);
    }
}

void store_batch_done(struct store *s, int error)
{
    struct list txns, metas;
    list_init(&txns);
    list_init(&metas);
    move_all(&txns, &s->flight.txns);
    move_all(&metas, &s->flight.metas);
    if (error) {
        move_all(&txns, &s->gathering.txns);
        move_all(&metas, &s->gathering.metas);
        batch_init(&s->gathering);
    }
    batch_init(&s->flight);
    s->busy = false;
    if (error)
        fail_all(s, &txns, error);
    while (!list_empty(&txns))
        txn_apply(s, (struct txn *)txns.next);
    metas_done(s, &metas, error);
    if (!s->closing)
        loop_post(s->loop, &s->kick);
}

/* ---- batches */

bool store_next_batch(struct store *s)
{
    struct batch *b = &s->flight;
    assert(batch_empty(b));
    move_all(&b->metas, &s->gathering.metas);
    b->durable = !list_empty(&b->metas);
    while (!list_empty(&s->gathering.txns) && b->txn_count < BATCH_TXNS_MAX && b->bytes < BATCH_BYTES_MAX) {
        if (s->splits && b->txn_count && sim_chance(s->loop, 4))
            break;
        struct txn *t = (struct txn *)s->gathering.txns.next;
        list_remove(&t->link);
        list_add_tail(&b->txns, &t->link);
        b->txn_count++;
        b->bytes += t->bytes;
        b->durable |= t->durable;
    }
    return !batch_empty(b);
}

void store_kick(struct store *s)
{
    if (s->busy || s->closing)
        return;
    if (!store_next_batch(s)) {
        s->busy = s->be->idle && s->be->idle(s);
    } else {
        s->busy = true;
        if (s->flight.durable)
            s->be->write(s, &s->flight);
        else
            store_batch_done(s, 0);
    }
}

void store_idle_done(struct store *s)
{
    s->busy = false;
    if (!s->closing)
        loop_post(s->loop, &s->kick);
}

static void kick_run(struct loop_task *t)
{
    store_kick((struct store *)((char *)t - offsetof(struct store, kick)));
}

/* ---- recovery, state, end */

void store_recovered(struct store *s, struct obj *o)
{
    const struct store_event ev = {o->rev, STORE_PUT, o};
    obj_unref(map_put(&s->head, o->key, o));
    if (o->rev > s->rev)
        s->rev = s->next = o->rev;
    s->feed(s->feed_ctx, &ev);
}

void store_get_state(const struct store *s, struct store_state *ret)
{
    *ret = (struct store_state){.rev = s->rev, .complete_since = s->complete_since};
    if (s->be->state)
        s->be->state(s, ret);
}

void store_compact(struct store *s)
{
    if (s->be->compact)
        s->be->compact(s);
}

int store_backup_sqlite(struct store *s, const char *to, void (*done)(void *ctx, int error), void *ctx)
{
    return s->be->backup ? s->be->backup(s, to, done, ctx) : -ENOTSUP;
}

void store_done(struct store *s)
{
    uint32_t it = 0;
    void *value;
    loop_task_cancel(&s->kick);
    loop_task_cancel(&s->refuse);
    refuse_run(&s->refuse);
    loop_task_cancel(&s->refuse); /* an answer may have tried once more */
    while (!list_empty(&s->refused))
        txn_free((struct txn *)s->refused.next);
    while (map_each(&s->head, &it, NULL, &value))
        obj_unref(value);
    for (it = 0; map_each(&s->meta, &it, NULL, &value);)
        free(value);
    map_done(&s->head);
    map_done(&s->pending);
    map_done(&s->meta);
}

/* What is accepted is written, what it starts by its answers is not: the store refuses from here on. */
struct store *store_close(struct store *s)
{
    if (!s)
        return NULL;
    s->closing = true;
    if (!s->refuse_error)
        s->refuse_error = -ESHUTDOWN;
    s->be->close(s);
    store_done(s);
    free(s);
    return NULL;
}

/* ---- values of the server itself */

struct meta_value *store_meta_new(struct str name, struct str value)
{
    struct meta_value *v = malloc(sizeof *v + name.len + value.len + 1);
    if (!v)
        abort();
    char *p = (char *)(v + 1);
    memcpy(p, name.ptr, name.len);
    if (value.len)
        memcpy(p + name.len, value.ptr, value.len);
    p[name.len + value.len] = '\0';
    *v = (struct meta_value){str_mem(p, name.len), str_mem(p + name.len, value.len)};
    return v;
}

void store_meta_set(struct store *s, struct meta_value *v)
{
    free(map_put(&s->meta, v->name, v));
}

int store_meta_get(struct store *s, struct arena *mem, const char *name, struct str *ret)
{
    const struct meta_value *v = map_get(&s->meta, str_of(name));
    if (!v)
        return -ENOENT;
    *ret = str_dup(mem, v->value);
    return 0;
}

void store_meta_put(struct store *s, const char *name, struct str value, void (*done)(void *ctx, int error), void *ctx)
{
    struct meta_put *p = malloc(sizeof *p);
    if (!p)
        abort();
    *p = (struct meta_put){.value = store_meta_new(str_of(name), value), .done = done, .ctx = ctx};
    list_add_tail(&s->gathering.metas, &p->link);
    loop_post(s->loop, &s->kick);
}
