/* cli/pod_network.c - the pod network that `sampan agent` brings up. */
#include "cli/pod_network.h"

#include "node/net/network.h"

const struct pod_network_ops *cli_pod_network(void)
{
    return &network_routed;
}
