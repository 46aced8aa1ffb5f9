/* control/queue.h - a controller's work queue: each key waits once, and runs once at a time.
 *
 * A key added while it runs is run again afterwards. Delays are timers of the loop, so an idle queue costs nothing.
 * Source: client-go util/workqueue (queue, delaying queue, exponential back-off per item); its metrics by name. */
#ifndef SAMPAN_CONTROL_QUEUE_H
#define SAMPAN_CONTROL_QUEUE_H

#include "base/loop.h"

enum { BACKOFF_FIRST_MS = 5, BACKOFF_MAX_MS = 1000 * 1000 };

struct queue;
/* name: the label of its metrics. ready(ctx) is called when there is work where there was none. */
struct queue *queue_new(struct loop *l, const char *name, void (*ready)(void *ctx), void *ctx);
struct queue *queue_free(struct queue *q); /* NULL accepted */

void queue_add(struct queue *q, struct str key);
/* Of several delays the earliest stands. delay_ms <= 0: now. */
void queue_add_after(struct queue *q, struct str key, int64_t delay_ms);
/* The next key in order of arrival; it runs from now until queue_done. false: nothing is ready. *ret_memo is the
 * number the key was left with. ret_key lives until queue_done. */
bool queue_next(struct queue *q, struct str *ret_key, int64_t *ret_memo);
/* failed: the key runs again after its back-off, and memo is forgotten; else its back-off starts anew. A key that waits
 * for its back-off is still woken by queue_add. */
void queue_done(struct queue *q, struct str key, bool failed, int64_t memo);
int queue_depth(const struct queue *q);

#endif
