/* store/fanout.h - who sees an event: subscriptions found by hash of the prefixes that its key has.
 * For src/store/ only. */
#ifndef SAMPAN_STORE_FANOUT_H
#define SAMPAN_STORE_FANOUT_H

#include "base/map.h"
#include "store/cache.h"

/* All subscriptions of one prefix. */
struct cache_group {
    struct list link;  /* among the odd ones */
    struct list subs;  /* of struct cache_sub, in order of arrival; a walk's place marker may stand among them */
    struct str prefix; /* behind the struct */
    int walks;         /* under way: must not go */
    bool odd;          /* neither a whole key nor at a slash: compared with every event */
};
struct fanout {
    struct map groups; /* prefix -> struct cache_group * */
    struct list odd;
};
void fanout_init(struct fanout *f);
void fanout_done(struct fanout *f); /* subscriptions that are left become unsubscribed */
void fanout_add(struct fanout *f, struct cache_sub *sub);
void fanout_remove(struct fanout *f, struct cache_sub *sub);
/* Call on_event of every subscription under whose prefix o lies and that began before event `number`. */
void fanout_send(struct fanout *f, struct cache_event *ev, uint64_t number);

#endif
