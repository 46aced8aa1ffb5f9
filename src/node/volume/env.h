/* node/volume/env.h - the environment of a container, and the values that fields of pods resolve to.
 *
 * Source: kubelet makeEnvironmentVariables; third_party/forked/golang/expansion ($(VAR), $$). May use doc/, base/,
 * schema/. Looks nothing up itself. */
#ifndef SAMPAN_NODE_VOLUME_ENV_H
#define SAMPAN_NODE_VOLUME_ENV_H

#include "doc/doc.h"
#include "node/image/info.h"

enum env_lookup { ENV_WAITING, ENV_MISSING, ENV_FOUND };
struct env_in {
    const struct doc *pod, *container; /* the Pod; one of its containers */
    struct str node_name, host_ip;
    struct strv pod_ips;
    int64_t node_cpu_milli, node_memory_bytes; /* allocatable: the default of limits */
    struct strv image_env;                     /* K=V */
    struct strv service_env;                   /* K=V, from env_services */
    /* The object (ConfigMap or Secret). */
    enum env_lookup (*lookup)(void *ctx, bool secret, struct str name, const struct doc **ret);
    void *ctx;
};
/* 1: *ret is K=V in order; 0: something is still awaited; -1: *ret_why says what is wrong in kubelet's words
 * (CreateContainerConfigError). Strings are in mem. */
int env_build(struct arena *mem, const struct env_in *in, struct strv *ret, struct str *ret_why);
/* $(VAR) by the variables in env (K=V); $$ is $; what is unknown stays as it is. */
struct str env_expand(struct arena *mem, struct str text, const struct strv *env);
/* KUBERNETES_SERVICE_HOST and its like, for one service; appended. */
void env_service(struct arena *mem, const struct doc *service, struct strv *to, size_t cap);
/* fieldRef: metadata.labels['x'], status.podIP... False: not supported. */
bool env_field(struct arena *mem, const struct env_in *in, struct str path, struct str *ret);
/* resourceFieldRef; container is the one it names, or in->container. */
bool env_resource(struct arena *mem, const struct env_in *in, const struct doc *ref, struct str *ret);
const struct doc *env_container(const struct doc *pod, struct str name); /* by name, init containers too */
/* The value in a ConfigMap (data, binaryData) or Secret (data, decoded). */
bool env_key(struct arena *mem, const struct doc *obj, bool secret, struct str key, struct str *ret);

#endif
