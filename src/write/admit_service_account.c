/* write/admit_service_account.c - a pod runs as a service account and gets its token mounted.
 *
 * Source: kubernetes plugin/pkg/admission/serviceaccount (KEP-1205: bound tokens). */
#include "write/admission.h"
#include "write/internal.h"

#define TOKEN_MOUNT_PATH "/var/run/secrets/kubernetes.io/serviceaccount"

/* The volume `kube-api-access-xxxxx`: token, CA and namespace. */
static struct doc *token_volume(struct arena *mem, struct str name)
{
    static const char text[] =
        "{\"name\":\"\",\"projected\":{\"defaultMode\":420,\"sources\":["
        "{\"serviceAccountToken\":{\"expirationSeconds\":3607,\"path\":\"token\"}},"
        "{\"configMap\":{\"name\":\"kube-root-ca.crt\",\"items\":[{\"key\":\"ca.crt\",\"path\":\"ca.crt\"}]}},"
        "{\"downwardAPI\":{\"items\":[{\"path\":\"namespace\",\"fieldRef\":{\"apiVersion\":\"v1\",\"fieldPath\":"
        "\"metadata.namespace\"}}]}}]}}";
    struct err ignored = ERR(mem);
    struct doc *v = doc_parse(mem, str_of(text), NULL, &ignored);
    doc_put_str(mem, v, "name", name);
    return v;
}

static bool has_token_mount(const struct doc *container)
{
    doc_each (m, doc_get(container, "volumeMounts"))
        if (str_is(doc_str(m, "mountPath"), TOKEN_MOUNT_PATH))
            return true;
    return false;
}

static bool mount_in(struct arena *mem, struct doc *containers, struct str volume)
{
    bool any = false;
    doc_each (c, containers) {
        if (has_token_mount(c))
            continue;
        struct doc *m = doc_push(doc_sub_array(mem, c, "volumeMounts"), doc_new_object(mem));
        doc_put_str(mem, m, "name", volume);
        doc_put_bool(mem, m, "readOnly", true);
        doc_put_str(mem, m, "mountPath", STR(TOKEN_MOUNT_PATH));
        any = true;
    }
    return any;
}

static void mount_token(struct admission *a, struct doc *spec)
{
    struct arena *mem = a->req->mem;
    doc_each (v, doc_get(spec, "volumes"))
        if (str_starts(doc_str(v, "name"), STR("kube-api-access-")))
            return;
    struct str name = meta_generate_name(a->req->priv[0], STR("kube-api-access-"));
    bool any = mount_in(mem, doc_get(spec, "initContainers"), name);
    any |= mount_in(mem, doc_get(spec, "containers"), name);
    if (any)
        doc_push(doc_sub_array(mem, spec, "volumes"), token_volume(mem, name));
}

static void mutate(struct admission *a)
{
    if (!admission_creates(a, "", "pods") ||
        doc_path(a->obj, "metadata", "annotations", "kubernetes.io/config.mirror", NULL))
        return;
    struct arena *mem = a->req->mem;
    struct doc *spec = doc_sub(mem, a->obj, "spec");
    if (!doc_str(spec, "serviceAccountName").len)
        doc_put_str(mem, spec, "serviceAccountName", STR("default"));
    struct str name = doc_str(spec, "serviceAccountName");
    doc_put_str(mem, spec, "serviceAccount", name);
    const struct obj *o = cache_find(a->w->cache, schema_stored("", "serviceaccounts"), a->req->ns, name);
    if (!o) {
        if (!cache_find(a->w->cache, schema_stored("", "namespaces"), STR_NULL, a->req->ns))
            return; /* NamespaceLifecycle says it better */
        admission_forbid(
            a, "error looking up service account " STR_FMT "/" STR_FMT ": serviceaccount \"" STR_FMT "\" not found",
            STR_ARG(a->req->ns), STR_ARG(name), STR_ARG(name));
        return;
    }
    const struct doc *account = obj_doc(mem, o);
    if (!doc_len(doc_get(spec, "imagePullSecrets")) && doc_len(doc_get(account, "imagePullSecrets")))
        doc_put(mem, spec, "imagePullSecrets", doc_copy(mem, doc_get(account, "imagePullSecrets")));
    if (doc_bool(spec, "automountServiceAccountToken", doc_bool(account, "automountServiceAccountToken", true)))
        mount_token(a, spec);
}

const struct admission_plugin admit_service_account = {.name = "ServiceAccount", .mutate = mutate};
