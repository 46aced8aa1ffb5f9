/* cli/address.h - which address of this machine others should use. */
#ifndef SAMPAN_CLI_ADDRESS_H
#define SAMPAN_CLI_ADDRESS_H

#include "base/arena.h"

/* The first IPv4 address of an interface that is up and no loopback; without one the first address of the default pod
 * range, which the agent's network puts on the loopback device, since Kubernetes refuses 127.0.0.1 as an endpoint. */
const char *address_of_host(struct arena *mem);

#endif
