/* node/agent/configs.h - what pods refer to: config maps, secrets, services, service account tokens.
 *
 * An object is watched while a pod holds it, so that volumes follow its changes; services are watched as a whole for
 * the environment variables. Without an API server objects come from the manifest directory. */
#ifndef SAMPAN_NODE_AGENT_CONFIGS_H
#define SAMPAN_NODE_AGENT_CONFIGS_H

#include "node/node.h"

enum config_kind { CONFIG_MAP, CONFIG_SECRET };
enum config_state { CONFIG_WAITING, CONFIG_MISSING, CONFIG_READY };
struct configs;

struct configs *configs_new(struct node *n);
struct configs *configs_free(struct configs *c);
/* The object as it is now, in *ret (borrowed until the next turn of the loop). The first call makes p a holder: p is
 * kicked when the answer comes and whenever the object changes. */
enum config_state configs_get(struct configs *c, struct pod *p, enum config_kind kind, struct str name,
                              const struct doc **ret);
void configs_release(struct configs *c, struct pod *p);            /* of all that p holds */
void configs_add_static(struct configs *c, const struct doc *obj); /* ConfigMap or Secret from a file */

/* Services have been listed; pods with service links wait for it. */
bool configs_services_known(const struct configs *c);
/* Each service that the namespace sees: its own, then default/kubernetes. */
void configs_services(struct configs *c, struct str ns, void (*each)(void *ctx, const struct doc *service), void *ctx);

#endif
