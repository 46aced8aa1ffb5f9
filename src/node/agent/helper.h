/* node/agent/helper.h - the net helper as the agent starts and asks it. */
#ifndef SAMPAN_NODE_AGENT_HELPER_H
#define SAMPAN_NODE_AGENT_HELPER_H

#include "node/node.h"

/* Starts it, and again a second after it ends; node.net is NULL in between. */
void helper_start(struct node *n);

#endif
