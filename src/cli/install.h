/* cli/install.h - Sampan as services of systemd: `sampan up --install`, and what `sampan down` undoes of it.
 *
 * Three units. sampan-server: the control plane as user "sampan", shut in. sampan-agent: the agent as root, with
 * KillMode=process: it is restarted without its containers. sampan-pods: no process, only the delegated cgroup that all
 * pods lie in, so that a shutdown ends the agent first and then all containers with SIGTERM and time.
 * DATA/installed lists what was made, a line each; --purge removes that and no more. */
#ifndef SAMPAN_CLI_INSTALL_H
#define SAMPAN_CLI_INSTALL_H

#include "cli/cli.h"

#define INSTALL_CGROUP_PARENT "system.slice/sampan-pods.service"

/* Write, enable and start the units for the options of `sampan up`; again: with the new binary and options. Returns
 * when the node is ready. 0, or 1 after it said why. */
int install_run(struct args *up);
bool install_is_there(void);
int install_stop(void); /* server and agent, not the pods; 0, or 1 after it said why */
/* Stop the pods' unit; with purge disable all, and remove units, binary and user. 0, or 1 after it said why. */
int install_end(struct arena *mem, const char *data_dir, bool purge);

#endif
