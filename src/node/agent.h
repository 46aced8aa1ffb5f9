/* node/agent.h - the node agent: one process (root) with its helpers; an API client of the server.
 *
 * What may be called from outside node/: this header only. node/ may use http/, schema/, doc/ and base/.
 *
 * Processes (design.md, Processes): the agent owns pods and containers and reads only typed messages; net (an ordinary
 * user, same network namespace) pulls images, probes and serves DNS and streams; unpack (short-lived, shut in) unpacks
 * layers. Containers outlive all of them: crash-only. */
#ifndef SAMPAN_NODE_AGENT_H
#define SAMPAN_NODE_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct pod_network_ops;

struct agent_opts {
    const char *server; /* "10.0.0.1:6443", several separated by commas, or "unix:/path"; NULL: no API server (pods come
                           from manifest_dir) */
    const char *server_name;                    /* for TLS; NULL: the host part of server */
    const char *ca_file, *cert_file, *key_file; /* PEM; the certificate's name is system:node:NAME */
    const char *token_file;                     /* a bearer token instead of a certificate; NULL: none */
    const char *join_token, *ca_hash; /* get a certificate by a bootstrap token, unless joined before; NULL: none */
    const char *kubeconfig;           /* instead of the five above; NULL: none */
    const char *node_name;            /* NULL: the host's name */
    const char *node_ip;       /* NULL: the source address of the default route, else of the server's, else 127.0.0.1 */
    const char *labels;        /* "a=b,c=d" at registration; NULL: none */
    const char *state_dir;     /* NULL: /var/lib/sampan/agent */
    const char *run_dir;       /* NULL: /run/sampan/agent */
    const char *kubelet_dir;   /* NULL: /var/lib/kubelet */
    const char *log_dir;       /* NULL: /var/log/pods */
    const char *cgroup_parent; /* NULL: "sampan" */
    const char *pod_cidr;      /* NULL: what the Node's spec.podCIDR says; without a server 10.244.0.0/24 */
    const char *cluster_cidr;  /* of the pods of all nodes; NULL, or without pod_cidr in it: the /16 around that */
    const char *service_cidr;  /* NULL: 10.96.0.0/16 */
    const char *cluster_domain; /* NULL: cluster.local */
    const char *cluster_dns;    /* NULL: what the network says */
    const char *manifest_dir;   /* static pods and tests: *.yaml, *.json read once at start; NULL: none */
    const char *init_path;      /* sampan-pod-init; NULL: beside the executable, else /usr/lib/sampan/pod-init */
    unsigned net_uid;           /* of the net helper; 0: 65534 */
    int kubelet_port;           /* 0: 10250; -1: none */
    int pods_max;               /* 0: 110 */
    const struct pod_network_ops *network; /* NULL: namespaces with lo only */
    int ready_fd;                          /* -1: none; else a line "READY=1\n" is written to it once, then closed */
};
#define AGENT_OPTS_INIT ((struct agent_opts){.ready_fd = -1})

/* Runs until SIGTERM or SIGINT; containers go on. Returns the exit code. Needs root. */
int agent_main(const struct agent_opts *opts);

/* End every pod of this node and remove what they hold on the machine: processes, cgroups, mounts, namespaces, links,
 * routes, nftables tables, run_dir, the pods' directories. Images stay. Safe to repeat. The agent must not run. 0, or
 * -1 with *ret_why in malloc'ed memory. Needs root. */
int agent_clean(const struct agent_opts *opts, char **ret_why);

/* Import every image of an OCI archive, an OCI layout directory or a `docker save` tar into the store of state_dir,
 * running agent or not. name: what to call an image that has no name of its own; may be NULL. The names are given to
 * each(), which may be NULL. 0, or -1 with *ret_why in malloc'ed memory. Needs root. */
int image_import(const char *state_dir, const char *path, const char *name,
                 void (*each)(void *ctx, struct str name, struct str digest), void *ctx, char **ret_why);
/* Every image of the store, in order of name. 0 or -errno. */
int image_list(const char *state_dir, void (*each)(void *ctx, struct str name, struct str digest, uint64_t bytes),
               void *ctx);

#endif
