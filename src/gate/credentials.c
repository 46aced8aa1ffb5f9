/* gate/credentials.c - what this machine's own parts log in with, written under data_dir with mode 0600, each file
 * whole or not at all: ca.crt, admin.kubeconfig agent/{ca,node,kubelet,tunnel}.crt, agent/{node,kubelet,tunnel}.key
 * (for the node of this machine) node is the agent's own identity; kubelet serves its endpoint; tunnel is all that its
 * unprivileged helper holds. */
#include "gate/internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"

static int issue(struct gate *g, const char *cn, const char *organization, const struct str *names, int name_count,
                 int usage, struct pki_pair *ret, struct str *ret_why)
{
    struct str org = str_of(organization);
    struct pki_request req = {.common_name = str_of(cn),
                              .organizations = &org,
                              .organization_count = organization ? 1 : 0,
                              .names = names,
                              .name_count = name_count,
                              .usage = usage};
    const char *why = "";
    if (pki_issue(g->mem, &g->ca, &req, loop_wall_ms(g->o.loop) / 1000, ret, &why) == 0)
        return 0;
    *ret_why = str_of(why);
    return -1;
}

int credentials_serving(struct gate *g, struct str *ret_why)
{
    static const char *const always[] = {"kubernetes",
                                         "kubernetes.default",
                                         "kubernetes.default.svc",
                                         "kubernetes.default.svc.cluster.local",
                                         "localhost",
                                         "127.0.0.1",
                                         "::1"};
    enum { ALWAYS = sizeof(always) / sizeof(always[0]) };
    struct str *names = arena_array(g->mem, struct str, g->o.name_count + ALWAYS + 1);
    int n = 0;
    for (; n < ALWAYS; n++)
        names[n] = str_of(always[n]);
    if (g->o.service_ip.len)
        names[n++] = g->o.service_ip;
    for (int i = 0; i < g->o.name_count; i++)
        names[n++] = g->o.names[i];
    return issue(g, "kube-apiserver", NULL, names, n, PKI_SERVER, &g->serving, ret_why);
}

static int put_file(struct gate *g, const char *name, struct str text, struct str *ret_why)
{
    char *path = str_fmtz(g->mem, "%s/%s", g->o.data_dir, name);
    int r = io_write_whole(path, text, 0600);
    if (r < 0)
        *ret_why = str_fmt(g->mem, "%s: %s", path, strerror(-r));
    return r;
}

static int put_pair(struct gate *g, const char *name, const struct pki_pair *p, struct str *ret_why)
{
    return put_file(g, str_fmtz(g->mem, "agent/%s.crt", name), p->cert_pem, ret_why) < 0 ||
                   put_file(g, str_fmtz(g->mem, "agent/%s.key", name), p->key_pem, ret_why) < 0
               ? -1
               : 0;
}

static struct str kubeconfig(struct gate *g, const struct pki_pair *p)
{
    struct arena *mem = g->mem;
    struct str ca = str_base64(mem, g->ca.cert_pem), cert = str_base64(mem, p->cert_pem),
               key = str_base64(mem, p->key_pem);
    return str_fmt(mem,
                   "apiVersion: v1\nkind: Config\nclusters:\n- name: sampan\n  cluster:\n    server: https://" STR_FMT
                   "\n    certificate-authority-data: " STR_FMT
                   "\ncontexts:\n- name: sampan\n  context:\n    cluster: sampan\n    user: admin\n"
                   "current-context: sampan\nusers:\n- name: admin\n  user:\n    client-certificate-data: " STR_FMT
                   "\n    client-key-data: " STR_FMT "\n",
                   STR_ARG(g->o.advertise), STR_ARG(ca), STR_ARG(cert), STR_ARG(key));
}

static int write_agent(struct gate *g, struct str *ret_why)
{
    struct pki_pair node, kubelet, tunnel;
    char *user = str_fmtz(g->mem, "system:node:" STR_FMT, STR_ARG(g->o.node_name));
    char *tunnel_user = str_fmtz(g->mem, "sampan:tunnel:" STR_FMT, STR_ARG(g->o.node_name));
    struct str *names = arena_array(g->mem, struct str, g->o.node_address_count + 2);
    int n = 0;
    names[n++] = g->o.node_name, names[n++] = STR("127.0.0.1");
    for (int i = 0; i < g->o.node_address_count; i++)
        names[n++] = g->o.node_addresses[i];
    if (mkdir(str_fmtz(g->mem, "%s/agent", g->o.data_dir), 0700) < 0 && errno != EEXIST) {
        *ret_why = str_fmt(g->mem, "%s/agent: %s", g->o.data_dir, strerror(errno));
        return -1;
    }
    if (issue(g, user, "system:nodes", NULL, 0, PKI_CLIENT, &node, ret_why) < 0 ||
        issue(g, user, "system:nodes", names, n, PKI_SERVER, &kubelet, ret_why) < 0 ||
        issue(g, tunnel_user, "sampan:tunnels", NULL, 0, PKI_CLIENT, &tunnel, ret_why) < 0)
        return -1;
    return put_pair(g, "node", &node, ret_why) < 0 || put_pair(g, "kubelet", &kubelet, ret_why) < 0 ||
                   put_pair(g, "tunnel", &tunnel, ret_why) < 0
               ? -1
               : put_file(g, "agent/ca.crt", g->ca.cert_pem, ret_why);
}

static int write_all(struct gate *g, struct str *ret_why)
{
    struct pki_pair admin;
    if (issue(g, "kubernetes-admin", "system:masters", NULL, 0, PKI_CLIENT, &admin, ret_why) < 0 ||
        put_file(g, "ca.crt", g->ca.cert_pem, ret_why) < 0 ||
        put_file(g, "admin.kubeconfig", kubeconfig(g, &admin), ret_why) < 0)
        return -1;
    return g->o.node_name.len ? write_agent(g, ret_why) : 0;
}

/* Those of an earlier start are still good, as the CA is. */
static bool have_earlier(struct gate *g)
{
    static const char *const names[] = {"ca.crt",           "admin.kubeconfig", "agent/node.key", "agent/kubelet.key",
                                        "agent/tunnel.key", "agent/ca.crt"};
    size_t count = g->o.node_name.len ? sizeof(names) / sizeof(names[0]) : 2;
    for (size_t i = 0; i < count; i++)
        if (access(str_fmtz(g->mem, "%s/%s", g->o.data_dir, names[i]), R_OK) < 0)
            return false;
    struct str ca;
    return io_read_whole(g->mem, str_fmtz(g->mem, "%s/ca.crt", g->o.data_dir), 64 << 10, &ca) == 0 &&
           str_eq(ca, g->ca.cert_pem);
}

int credentials_write(struct gate *g, struct str *ret_why)
{
    if (!g->o.data_dir || write_all(g, ret_why) == 0)
        return 0;
    if (!have_earlier(g))
        return -1;
    log_warn("gate", "credentials could not be renewed, the earlier ones stay", "why=\"" STR_FMT "\"",
             STR_ARG(*ret_why));
    return 0;
}
