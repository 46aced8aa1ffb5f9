/* cli/trim.h - gives memory back to the system once a burst of writes is over.
 *
 * A burst leaves the heap full of holes where its requests were; malloc keeps whole free pages between objects at rest
 * until it is asked. After at least TRIM_CHANGES_MIN changes and then TRIM_QUIET_MS without one it is asked, so an idle
 * server, whose few leases and heartbeats don't count, never wakes for it. Core thread only. */
#ifndef SAMPAN_CLI_TRIM_H
#define SAMPAN_CLI_TRIM_H

#include "store/cache.h"

enum { TRIM_CHANGES_MIN = 512, TRIM_QUIET_MS = 1000 };

struct trim {
    struct cache *cache;
    struct cache_sub sub;
    struct loop_timer timer;
    int changes;         /* since the last time */
    int changes_at_fire; /* as they were when the timer was started */
};
/* What the start itself used up counts as a burst. */
void trim_start(struct trim *t, struct loop *loop, struct cache *cache);
void trim_stop(struct trim *t); /* also of one that was never started, if zero */

#endif
