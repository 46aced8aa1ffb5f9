/* node/agent/events.h - Events about pods and the node. Repeats of the same thing are counted into one object (patch of
 * count and lastTimestamp), at most EVENTS_BURST of one source at once; the memory of what was sent is bounded.
 * Source: client-go record.EventCorrelator. */
#ifndef SAMPAN_NODE_AGENT_EVENTS_H
#define SAMPAN_NODE_AGENT_EVENTS_H

#include "node/node.h"

enum { EVENTS_REMEMBERED_MAX = 512, EVENTS_OPEN_MAX = 64 };
struct events;
struct events *events_new(struct node *n);
struct events *events_free(struct events *e);
struct event_subject {
    struct str kind, ns, name, uid, field_path, version; /* ns empty: the node */
};
void events_send(struct events *e, const struct event_subject *about, const char *type, const char *reason,
                 struct str message);

#endif
