/* cli/agent.c - `sampan agent`: the node agent, as root. */
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/notify.h"
#include "cli/pod_network.h"
#include "node/agent.h"

static int run(struct args *a)
{
    struct agent_opts o = AGENT_OPTS_INIT;
    const char *credentials = arg(a, "credentials");
    if (set_log_level(a))
        return EXIT_USAGE;
    o.server = arg(a, "server"), o.node_name = arg(a, "node-name"), o.node_ip = arg(a, "node-ip"),
    o.labels = arg(a, "labels");
    o.state_dir = arg(a, "state-dir"), o.run_dir = arg(a, "run-dir"), o.cgroup_parent = arg(a, "cgroup-parent");
    o.cluster_cidr = arg(a, "cluster-cidr"), o.pod_cidr = arg(a, "pod-cidr"), o.service_cidr = arg(a, "service-cidr"),
    o.cluster_dns = arg(a, "dns-ip");
    o.server_name = "kubernetes";
    if (credentials) {
        o.ca_file = str_fmtz(a->mem, "%s/ca.crt", credentials);
        o.cert_file = str_fmtz(a->mem, "%s/node.crt", credentials);
        o.key_file = str_fmtz(a->mem, "%s/node.key", credentials);
    }
    o.kubeconfig = arg(a, "kubeconfig");
    o.join_token = arg(a, "token"), o.ca_hash = arg(a, "ca-hash");
    if (o.join_token && !o.ca_hash)
        return cli_wrong(a, "token", "needs --ca-hash, or the token would be told to whoever answers");
    o.ready_fd = notify_fd(arg(a, "ready-fd"));
    o.network = cli_pod_network();
    return agent_main(&o);
}

static const struct option_row options[] = {
    {"server", "ADDR:PORT,...", "the API server; several addresses of it are tried in turn", "127.0.0.1:6443"},
    {"credentials", "DIR", "holds ca.crt, node.crt, node.key, and the same for kubelet and tunnel",
     SAMPAN_DATA_DIR "/server/agent"},
    {"token", "TOKEN", "join by a bootstrap token; what `sampan token create` prints", NULL},
    {"ca-hash", "sha256:HEX", "the cluster's CA, without which no server is believed", NULL},
    {"kubeconfig", "FILE", "instead of --server and --credentials", NULL},
    {"node-name", "NAME", "else the host's name", NULL},
    {"node-ip", "IP", "else the source address of the default route", NULL},
    {"labels", "A=B,C=D", "labels of the Node when it registers", NULL},
    {"state-dir", "DIR", "images and what must outlive a reboot", SAMPAN_DATA_DIR "/agent"},
    {"run-dir", "DIR", "what goes with a reboot", "/run/sampan/agent"},
    {"cgroup-parent", "PATH", "cgroup of all pods", "sampan"},
    {"pod-cidr", "CIDR", "addresses of this node's pods; else what the server gives it", NULL},
    {"cluster-cidr", "CIDR", "addresses of all pods, as the server has it", "10.244.0.0/16"},
    {"service-cidr", "CIDR", "addresses of Services", "10.96.0.0/16"},
    {"dns-ip", "IP", "address of cluster DNS", "10.96.0.10"},
    {"ready-fd", "FD", "a line is written here when the node is registered (for sampan up)", NULL},
    OPTION_LOG_LEVEL,
    {NULL, NULL, NULL, NULL},
};
const struct command command_agent = {"agent", NULL, "run the node agent (as root)", options, run, 0, 0};
