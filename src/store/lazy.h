/* store/lazy.h - what is volatile and not on disk yet, and how many bytes an hour may be spent on it. For src/store/
 * only. */
#ifndef SAMPAN_STORE_LAZY_H
#define SAMPAN_STORE_LAZY_H

#include "base/list.h"
#include "base/map.h"
#include "store/store.h"

struct lazy_item {
    struct list link; /* in order of first change since the last write */
    struct obj *obj;  /* the newest state, or of a delete the last; a reference */
    enum store_op_kind kind;
    uint64_t id; /* its row, once written */
};
struct lazy {
    struct map items; /* key -> struct lazy_item * */
    struct list order;
    int64_t budget_per_h, tokens, filled_at_ms; /* bytes; tokens may be below 0 */
};
void lazy_init(struct lazy *l, int64_t bytes_per_h, int64_t now_ms);
void lazy_done(struct lazy *l);
/* Takes the place of an older state of the key. */
void lazy_put(struct lazy *l, struct obj *obj, enum store_op_kind kind, uint64_t id);
struct lazy_item *lazy_get(const struct lazy *l, struct str key);
void lazy_drop(struct lazy *l, struct str key); /* it is on disk, or of no interest */
/* Bytes that may be written now. */
int64_t lazy_allowance(struct lazy *l, int64_t now_ms);

#endif
