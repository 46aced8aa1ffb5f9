/* control/conditions.h - status.conditions and the other small things that all reconcilers read and write. Pure. */
#ifndef SAMPAN_CONTROL_CONDITIONS_H
#define SAMPAN_CONTROL_CONDITIONS_H

#include "doc/doc.h"

struct doc *condition_get(const struct doc *status, const char *type); /* NULL: absent */
bool condition_is(const struct doc *status, const char *type, const char *value);
struct condition {
    const char *type, *status, *reason;
    struct str message;
    bool has_update_time; /* as Deployments have: lastUpdateTime */
    bool refresh;         /* renew it even where status and reason stay */
};
/* Put it into status.conditions. One that stands with the same status and reason is left as it is; with the same status
 * it keeps its lastTransitionTime. true: something changed. */
bool condition_set(struct arena *mem, struct doc *status, const struct condition *c, struct str now);
bool condition_del(struct doc *status, const char *type);

/* A count as Go's omitempty keeps it: 0 removes the member. */
void status_count(struct arena *mem, struct doc *status, const char *name, int64_t n);

int64_t time_ms(struct str text); /* 0: none or no time; micro times too */

/* An int-or-string: a number, or a percentage of total. */
int64_t value_or_percent(const struct doc *v, int64_t total, bool round_up, int64_t absent);

struct str meta_annotation(const struct doc *obj, const char *name); /* empty: absent */
bool meta_has_finalizer(const struct doc *obj, const char *name);
/* A copy of the list of finalizers without the one, for a merge patch; NULL: it was not there. */
struct doc *meta_without_finalizer(struct arena *mem, const struct doc *obj, const char *name);

#endif
