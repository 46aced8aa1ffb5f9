/* Defaults of pods, which their templates do not have, and of pod specs. */
#include "schema/defaults.h"
#include "schema/quantity.h"

/* Requests that are not said equal the limits. */
static void requests_from_limits(struct arena *mem, struct doc *containers)
{
    doc_each (c, containers) {
        struct doc *resources = doc_get(c, "resources");
        if (is_unset(resources, "limits"))
            continue;
        struct doc *requests = doc_sub(mem, resources, "requests");
        doc_each (limit, doc_get(resources, "limits"))
            if (!doc_get_str(requests, limit->key))
                doc_set(requests, limit->key, doc_copy(mem, limit));
    }
}

static bool is_pod_level(struct str resource)
{
    return str_is(resource, "cpu") || str_is(resource, "memory") || str_starts(resource, STR("hugepages-"));
}

static struct quantity amount(const struct doc *container, const char *list, struct str resource)
{
    return quantity_of_str(doc_string(doc_get_str(doc_path(container, "resources", list, NULL), resource)));
}

static bool restarts(const struct doc *init)
{
    return str_is(doc_str(init, "restartPolicy"), "Always");
}

/* What all containers need at once: the running ones with the sidecars, or the largest step of initialization. */
static struct quantity aggregate(const struct doc *spec, const char *list, struct str resource)
{
    struct quantity sum = QUANTITY_ZERO, sidecars = QUANTITY_ZERO, peak = QUANTITY_ZERO;
    doc_each (c, doc_get(spec, "containers"))
        sum = quantity_add(sum, amount(c, list, resource));
    doc_each (c, doc_get(spec, "initContainers")) {
        struct quantity own = amount(c, list, resource), now = quantity_add(own, sidecars);
        if (restarts(c))
            sidecars = now;
        if (quantity_cmp(now, peak) > 0)
            peak = now;
    }
    sum = quantity_add(sum, sidecars);
    return quantity_cmp(peak, sum) > 0 ? peak : sum;
}

/* The pod's own list gets every resource of the containers' lists that `wanted` accepts and that it lacks. */
static void fill_from_containers(struct arena *mem, const struct doc *spec, struct doc *to, const char *list,
                                 bool (*wanted)(struct str resource, const struct doc *resources),
                                 const struct doc *resources)
{
    static const char *const kinds[] = {"containers", "initContainers"};
    for (int i = 0; i < 2; i++)
        doc_each (c, doc_get(spec, kinds[i]))
            doc_each (d, doc_path(c, "resources", list, NULL)) {
                if (is_pod_level(d->key) && wanted(d->key, resources) && !doc_get_str(to, d->key))
                    doc_set(to, d->key, doc_new_str(mem, quantity_str(mem, aggregate(spec, list, d->key))));
            }
}

static bool is_unrequested_hugepages(struct str resource, const struct doc *resources)
{
    return str_starts(resource, STR("hugepages-")) && !doc_get_str(doc_get(resources, "requests"), resource);
}

static bool may_overcommit(struct str resource, const struct doc *resources)
{
    return !str_starts(resource, STR("hugepages-"));
}

static void put_if_filled(struct arena *mem, struct doc *resources, const char *key, struct doc *list)
{
    if (doc_len(list) && is_unset(resources, key))
        doc_put(mem, resources, key, list);
}

/* KEP-2837: requests of the pod follow those of its containers, or its limits, once its own limits are said. */
static void pod_level_resources(struct arena *mem, struct doc *spec)
{
    struct doc *resources = doc_get(spec, "resources");
    if (!gate_on(gate_find(STR("PodLevelResources"))) || !doc_is(resources, DOC_OBJECT))
        return;
    if (doc_len(doc_get(resources, "limits")) || doc_len(doc_get(resources, "requests"))) {
        struct doc *limits = is_unset(resources, "limits") ? doc_new_object(mem) : doc_get(resources, "limits");
        fill_from_containers(mem, spec, limits, "limits", is_unrequested_hugepages, resources);
        put_if_filled(mem, resources, "limits", limits);
    }
    if (!doc_len(doc_get(resources, "limits")))
        return;
    struct doc *requests = is_unset(resources, "requests") ? doc_new_object(mem) : doc_get(resources, "requests");
    fill_from_containers(mem, spec, requests, "requests", may_overcommit, resources);
    doc_each (d, doc_get(resources, "limits"))
        if (is_pod_level(d->key) && !doc_get_str(requests, d->key))
            doc_set(requests, d->key, doc_copy(mem, d));
    put_if_filled(mem, resources, "requests", requests);
}

/* On the host's network a container's port is the host's. */
static void host_ports(struct arena *mem, struct doc *containers)
{
    doc_each (c, containers)
        doc_each (port, doc_get(c, "ports"))
            if (doc_int(port, "hostPort", 0) == 0)
                doc_put_int(mem, port, "hostPort", doc_int(port, "containerPort", 0));
}

void default_pod(struct arena *mem, struct doc *pod, const struct doc *root)
{
    struct doc *spec = doc_sub(mem, pod, "spec");
    requests_from_limits(mem, doc_get(spec, "containers"));
    requests_from_limits(mem, doc_get(spec, "initContainers"));
    pod_level_resources(mem, spec);
    if (is_unset(spec, "enableServiceLinks"))
        doc_put_bool(mem, spec, "enableServiceLinks", true);
    if (doc_bool(spec, "hostNetwork", false)) {
        host_ports(mem, doc_get(spec, "containers"));
        host_ports(mem, doc_get(spec, "initContainers"));
    }
}

/* serviceAccount is the old name of serviceAccountName: they are written alike (pkg/apis/core/v1/conversion.go). */
void default_pod_spec(struct arena *mem, struct doc *spec, const struct doc *root)
{
    if (is_blank(spec, "serviceAccountName") && !is_blank(spec, "serviceAccount"))
        doc_put_str(mem, spec, "serviceAccountName", doc_str(spec, "serviceAccount"));
    if (!is_blank(spec, "serviceAccountName"))
        doc_put_str(mem, spec, "serviceAccount", doc_str(spec, "serviceAccountName"));
    default_resource_list(mem, doc_get(spec, "overhead"));
}
