/* schema/rules/mounts.c - where a container mounts its volumes and block devices, and paths inside volumes. */
#include "schema/rules/rules.h"

bool check_no_backsteps(struct rule_ctx *c, const struct fpath *at, struct str path)
{
    struct str rest = path, part;
    bool more;
    do {
        more = str_cut(rest, '/', &part, &rest);
        if (str_is(part, "..")) {
            rule_invalid(c, at, path, "must not contain '..'");
            return false;
        }
    } while (more);
    return true;
}

void check_relative_path(struct rule_ctx *c, const struct fpath *at, struct str path)
{
    if (path.len && path.ptr[0] == '/')
        rule_invalid(c, at, path, "must be a relative path");
    check_no_backsteps(c, at, path);
}

void check_local_path(struct rule_ctx *c, const struct fpath *at, struct str path)
{
    check_relative_path(c, at, path);
    if (str_starts(path, STR("..")) && !str_starts(path, STR("../")))
        rule_invalid(c, at, path, "must not start with '..'");
}

static const struct doc *volume_named(const struct pod_rules *p, struct str name)
{
    return rule_set_node(p->volumes, name);
}

static void check_propagation(struct rule_ctx *c, const struct fpath *at, const struct doc *mount,
                              const struct doc *container)
{
    static const char *const modes[] = {"Bidirectional", "HostToContainer", "None", NULL};
    struct str mode = doc_str(mount, "mountPropagation");
    if (!rule_has(mount, "mountPropagation"))
        return;
    check_enum(c, at, mode, modes);
    if (str_is(mode, "Bidirectional") && !doc_bool(doc_get(container, "securityContext"), "privileged", false))
        rule_forbidden(c, at, "Bidirectional mount propagation is available only to privileged containers");
}

static void check_recursive_read_only(struct rule_ctx *c, const struct fpath *at, const struct doc *mount)
{
    static const char *const modes[] = {"Disabled", "Enabled", "IfPossible", NULL};
    struct str mode = doc_str(mount, "recursiveReadOnly"), propagation = doc_str(mount, "mountPropagation");
    if (!rule_has(mount, "recursiveReadOnly") || !check_enum(c, at, mode, modes) || str_is(mode, "Disabled"))
        return;
    if (!doc_bool(mount, "readOnly", false))
        rule_forbidden(c, at, "may only be specified when readOnly is true");
    if (propagation.len && !str_is(propagation, "None"))
        rule_forbidden(c, at, "may only be specified when mountPropagation is None or not specified");
}

static void check_sub_paths(struct rule_ctx *c, const struct fpath *list, const struct fpath *at,
                            const struct doc *mount)
{
    struct str path = doc_str(mount, "subPath"), expr = doc_str(mount, "subPathExpr");
    if (path.len)
        check_relative_path(c, AT(list, "subPath"), path);
    if (!expr.len)
        return;
    if (path.len)
        rule_invalid(c, AT(at, "subPathExpr"), expr, "subPathExpr and subPath are mutually exclusive");
    check_relative_path(c, AT(list, "subPathExpr"), expr);
}

static void check_mount(struct rule_ctx *c, const struct fpath *at, const struct doc *mount, const struct pod_rules *p)
{
    struct str name = doc_str(mount, "name");
    if (!name.len)
        rule_required(c, AT(at, "name"), NULL);
    if (!rule_set_has(p->volumes, name))
        rule_not_found(c, AT(at, "name"), name);
    if (!doc_str(mount, "mountPath").len)
        rule_required(c, AT(at, "mountPath"), NULL);
}

/* list: the path of the whole list, where Kubernetes reports some of it. */
static void check_mount_rest(struct rule_ctx *c, const struct fpath *list, const struct fpath *at,
                             const struct doc *mount, const struct doc *container)
{
    check_sub_paths(c, list, at, mount);
    check_propagation(c, AT(list, "mountPropagation"), mount, container);
    check_recursive_read_only(c, AT(list, "recursiveReadOnly"), mount);
}

struct seen {
    struct rule_set names, paths;
};

static void check_mounts(struct rule_ctx *c, const struct fpath *at, const struct doc *container,
                         const struct pod_rules *p, const struct seen *devices)
{
    cleanup_set struct rule_set paths = {0};
    rule_each (m, doc_get(container, "volumeMounts")) {
        const struct fpath *item = AT_INDEX(at, m_i);
        struct str name = doc_str(m, "name"), path = doc_str(m, "mountPath");
        check_mount(c, item, m, p);
        if (!rule_set_add(&paths, path))
            rule_invalid(c, AT(item, "mountPath"), path, "must be unique");
        if (rule_set_has(&devices->names, name))
            rule_invalid(c, AT(item, "name"), name, "must not already exist in volumeDevices");
        if (rule_set_has(&devices->paths, path))
            rule_invalid(c, AT(item, "mountPath"), path, "must not already exist as a path in volumeDevices");
        check_mount_rest(c, at, item, m, container);
    }
}

static void check_device_name(struct rule_ctx *c, const struct fpath *at, struct str name, const struct pod_rules *p,
                              struct rule_set *names)
{
    const struct doc *volume = volume_named(p, name);
    if (!name.len)
        rule_required(c, at, NULL);
    if (name.len && !rule_set_add(names, name))
        rule_invalid(c, at, name, "must be unique");
    if (!volume)
        rule_not_found(c, at, name);
    else if (!rule_has(volume, "persistentVolumeClaim") && !rule_has(volume, "ephemeral"))
        rule_invalid(c, at, name,
                     "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
}

static void check_devices(struct rule_ctx *c, const struct fpath *at, const struct doc *container,
                          const struct pod_rules *p, const struct seen *mounts)
{
    cleanup_set struct rule_set names = {0}, paths = {0};
    rule_each (d, doc_get(container, "volumeDevices")) {
        const struct fpath *item = AT_INDEX(at, d_i), *path_at = AT(item, "devicePath");
        struct str name = doc_str(d, "name"), path = doc_str(d, "devicePath");
        check_device_name(c, AT(item, "name"), name, p, &names);
        if (!path.len)
            rule_required(c, path_at, NULL);
        if (rule_set_has(&paths, path))
            rule_invalid(c, path_at, path, "must be unique");
        if (str_is(path, "..") || str_starts(path, STR("../")) || str_has(path, STR("/../")) ||
            str_ends(path, STR("/..")))
            rule_invalid(c, path_at, path, "can not contain backsteps ('..')");
        else
            rule_set_add(&paths, path);
        if (rule_set_has(&mounts->names, name))
            rule_invalid(c, AT(item, "name"), name, "must not already exist in volumeMounts");
        if (rule_set_has(&mounts->paths, path))
            rule_invalid(c, path_at, path, "must not already exist as a path in volumeMounts");
    }
}

static void gather(struct seen *s, const struct doc *list, const char *path)
{
    doc_each (m, list) {
        rule_set_add(&s->names, doc_str(m, "name"));
        rule_set_add(&s->paths, doc_str(m, path));
    }
}

void check_volume_mounts(struct rule_ctx *c, const struct fpath *at, const struct doc *container,
                         const struct pod_rules *p)
{
    struct seen mounts = {0}, devices = {0};
    gather(&mounts, doc_get(container, "volumeMounts"), "mountPath");
    gather(&devices, doc_get(container, "volumeDevices"), "devicePath");
    check_mounts(c, AT(at, "volumeMounts"), container, p, &devices);
    check_devices(c, AT(at, "volumeDevices"), container, p, &mounts);
    rule_set_done(&mounts.names), rule_set_done(&mounts.paths);
    rule_set_done(&devices.names), rule_set_done(&devices.paths);
}
