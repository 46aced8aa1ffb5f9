/* cli/pod_network.h - the pod network that `sampan agent` brings up; alone in a file, since it is the one thing of
 * node/ that cli/ picks. */
#ifndef SAMPAN_CLI_POD_NETWORK_H
#define SAMPAN_CLI_POD_NETWORK_H

struct pod_network_ops;
const struct pod_network_ops *cli_pod_network(void);

#endif
