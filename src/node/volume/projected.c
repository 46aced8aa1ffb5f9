/* configMap, secret, downwardAPI and projected: what files they are made of. Source: kubelet volume plugins of the same
 * names. */
#include <stdlib.h>

#include "base/log.h"
#include "node/agent/configs.h"
#include "node/files.h"
#include "node/volume/priv.h"

struct gather {
    struct pod *pod;
    struct pod_volume *volume;
    struct payload out;
    struct arena *mem;
    uint32_t mode; /* default */
    int tokens;
    struct str why;
};

static uint32_t mode_of(const struct doc *item, uint32_t dflt)
{
    return (uint32_t)doc_int(item, "mode", dflt) & 07777;
}

static int put_items(struct gather *g, const struct doc *source, const struct doc *obj, bool secret, bool optional)
{
    struct str value;
    doc_each (item, doc_get(source, "items")) {
        struct str key = doc_str(item, "key"), path = doc_str(item, "path");
        if (!payload_path_valid(path))
            return g->why = STR("invalid path: must be relative and hold no '..'"), -1;
        if (env_key(g->mem, obj, secret, key, &value))
            payload_add(g->mem, &g->out, path, value, mode_of(item, g->mode));
        else if (!optional)
            return g->why = str_fmt(g->mem, "references non-existent %s key: " STR_FMT, secret ? "secret" : "config",
                                    STR_ARG(key)),
                   -1;
    }
    if (doc_len(doc_get(source, "items")))
        return 1;
    static const char *const maps[] = {"data", "binaryData", "stringData"};
    for (int i = 0; i < 3; i++)
        doc_each (k, doc_get(obj, maps[i]))
            if (payload_path_valid(k->key) && env_key(g->mem, obj, secret, k->key, &value))
                payload_add(g->mem, &g->out, k->key, value, g->mode);
    return 1;
}

static int put_config(struct gather *g, const struct doc *source, bool secret, const char *name_key)
{
    const struct doc *obj;
    struct str name = doc_str(source, name_key);
    bool optional = doc_bool(source, "optional", false);
    enum config_state s = configs_get(g->pod->node->configs, g->pod, secret ? CONFIG_SECRET : CONFIG_MAP, name, &obj);
    if (s == CONFIG_WAITING)
        return 0;
    if (s == CONFIG_MISSING && optional)
        return 1;
    if (s == CONFIG_MISSING)
        return g->why = str_fmt(g->mem, "%s \"" STR_FMT "\" not found", secret ? "secret" : "configmap", STR_ARG(name)),
               -1;
    return put_items(g, source, obj, secret, optional);
}

static int put_downward(struct gather *g, const struct doc *source)
{
    struct env_in in;
    volume_env_in(g->pod, NULL, &in, g->mem);
    doc_each (item, doc_get(source, "items")) {
        struct str path = doc_str(item, "path"), value;
        const struct doc *field = doc_get(item, "fieldRef"), *res = doc_get(item, "resourceFieldRef");
        bool fine = payload_path_valid(path) && (field ? env_field(g->mem, &in, doc_str(field, "fieldPath"), &value)
                                                       : env_resource(g->mem, &in, res, &value));
        if (!fine)
            return g->why = STR("unsupported field of the downward API, or an invalid path"), -1;
        payload_add(g->mem, &g->out, path, value, mode_of(item, g->mode));
    }
    return 1;
}

static int put_token(struct gather *g, const struct doc *source)
{
    struct str token, path = doc_str(source, "path");
    if (g->tokens == VOLUME_TOKENS_MAX || !payload_path_valid(path))
        return g->why = STR("too many tokens, or an invalid path"), -1;
    int r = volume_token(g->pod, g->volume, g->tokens++, source, &token, &g->why);
    if (r > 0)
        payload_add(g->mem, &g->out, path, token, volume_fs_group(g->pod) >= 0 ? 0600 : g->mode);
    return r;
}

static int put_source(struct gather *g, const struct doc *s)
{
    const struct doc *d;
    if ((d = doc_get(s, "configMap")))
        return put_config(g, d, false, "name");
    if ((d = doc_get(s, "secret")))
        return put_config(g, d, true, "name");
    if ((d = doc_get(s, "downwardAPI")))
        return put_downward(g, d);
    if ((d = doc_get(s, "serviceAccountToken")))
        return put_token(g, d);
    return g->why = STR("a projected source is not supported by the node"), -1;
}

static int gather(struct gather *g, const struct doc *spec, const struct doc *volume)
{
    const struct doc *sources = doc_get(spec, "sources");
    if (doc_is(sources, DOC_ARRAY)) {
        int all = 1;
        doc_each (s, sources) {
            int r = put_source(g, s);
            if (r < 0)
                return r;
            all = r == 0 ? 0 : all; /* ask for all at once */
        }
        return all;
    }
    if (doc_get(spec, "secretName"))
        return put_config(g, spec, true, "secretName");
    if (doc_get(spec, "name"))
        return put_config(g, spec, false, "name");
    return put_downward(g, spec);
}

int volume_payload(struct pod *p, struct pod_volume *v, const struct doc *spec, struct arena *mem, struct str *ret_why)
{
    struct gather g = {.pod = p, .volume = v, .mem = mem, .mode = (uint32_t)doc_int(spec, "defaultMode", 0644) & 07777};
    int r = gather(&g, spec, NULL);
    if (r < 0 && v->ready)
        return 1; /* an object that has gone does not take the pod's files away */
    if (r <= 0)
        return *ret_why = g.why, r;
    uint64_t hash = payload_hash(&g.out);
    if (v->written == hash)
        return 1;
    if (!v->mounted && files_mkdirs(v->path, 0755) < 0)
        return *ret_why = STR("the volume's directory can't be made"), -1;
    r = payload_write(v->path, &g.out, volume_fs_group(p));
    if (r < 0)
        return *ret_why = str_fmt(mem, "writing failed: %s", strerror(-r)), -1;
    v->written = hash;
    return 1;
}
