/* schema/rules/security.c - security contexts of pods and containers, sysctls, profiles. */
#include "schema/rules/rules.h"

enum { SYSCTL_NAME_MAX = 253, APPARMOR_PROFILE_MAX = 4095 };
#define SYSCTL_FMT "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"

static void check_id(struct rule_ctx *c, const struct fpath *at, const struct doc *id)
{
    if (doc_is(id, DOC_INT))
        check_range(c, at, id->i, 0, INT32_MAX);
}

static void check_seccomp(struct rule_ctx *c, const struct fpath *at, const struct doc *profile)
{
    struct str type = doc_str(profile, "type");
    const struct doc *local = doc_get(profile, "localhostProfile");
    if (!doc_is(profile, DOC_OBJECT))
        return;
    if (!type.len)
        rule_required(c, AT(at, "type"), "type is required when seccompProfile is set");
    else if (!str_is(type, "Localhost") && !str_is(type, "RuntimeDefault") && !str_is(type, "Unconfined"))
        rule_unsupported(c, AT(at, "type"), type, "Localhost", "RuntimeDefault", "Unconfined");
    if (!str_is(type, "Localhost")) {
        if (doc_is(local, DOC_STRING))
            rule_invalid_doc(c, AT(at, "localhostProfile"), profile, "can only be set when seccomp type is Localhost");
    } else if (!doc_is(local, DOC_STRING))
        rule_required(c, AT(at, "localhostProfile"), "must be set when seccomp type is Localhost");
    else
        check_relative_path(c, AT(at, "localhostProfile"), local->s);
}

static void check_apparmor_local(struct rule_ctx *c, const struct fpath *at, const struct doc *local)
{
    if (!doc_is(local, DOC_STRING) || !local->s.len)
        rule_required(c, at, "must be set when AppArmor type is Localhost");
    else if (str_trim(local->s).len != local->s.len)
        rule_invalid(c, at, local->s, "must not be padded with whitespace");
    if (doc_string(local).len > APPARMOR_PROFILE_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, at, "may not be more than %d bytes", APPARMOR_PROFILE_MAX);
}

static void check_apparmor(struct rule_ctx *c, const struct fpath *at, const struct doc *profile)
{
    struct str type = doc_str(profile, "type");
    const struct doc *local = doc_get(profile, "localhostProfile");
    if (!doc_is(profile, DOC_OBJECT))
        return;
    if (str_is(type, "Localhost"))
        check_apparmor_local(c, AT(at, "localhostProfile"), local);
    else if (str_is(type, "RuntimeDefault") || str_is(type, "Unconfined")) {
        if (doc_is(local, DOC_STRING))
            rule_invalid(c, AT(at, "localhostProfile"), local->s, "can only be set when AppArmor type is Localhost");
    } else if (!type.len)
        rule_required(c, AT(at, "type"), "type is required when appArmorProfile is set");
    else
        rule_unsupported(c, AT(at, "type"), type, "Localhost", "RuntimeDefault", "Unconfined");
}

static bool is_sysctl_name(struct str s)
{
    bool alnum_before = false;
    if (!s.len || s.len > SYSCTL_NAME_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.ptr[i];
        bool alnum = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9'), sep = ch == '.' || ch == '/';
        bool starts = i == 0 || s.ptr[i - 1] == '.' || s.ptr[i - 1] == '/';
        if (!alnum && !sep && ch != '-' && ch != '_')
            return false;
        if ((starts && !alnum) || (sep && !alnum_before))
            return false;
        alnum_before = alnum;
    }
    return alnum_before;
}

static const char *sysctl_conflict(struct str name, const struct pod_rules *p)
{
    static const char *const ipc[] = {"kernel.shm", "kernel.msg", "fs.mqueue.", NULL};
    if (p->host_network && str_starts(name, STR("net.")))
        return "may not be specified when 'hostNetwork' is true";
    if (!doc_bool(p->spec, "hostIPC", false))
        return NULL;
    for (const char *const *prefix = ipc; *prefix; prefix++)
        if (str_starts(name, str_of(*prefix)))
            return "may not be specified when 'hostIPC' is true";
    return str_is(name, "kernel.sem") ? "may not be specified when 'hostIPC' is true" : NULL;
}

static void check_sysctls(struct rule_ctx *c, const struct fpath *at, const struct doc *sysctls,
                          const struct pod_rules *p)
{
    cleanup_set struct rule_set names = {0};
    rule_each (s, sysctls) {
        const struct fpath *name_at = AT(AT_INDEX(at, s_i), "name");
        struct str name = doc_str(s, "name");
        if (!name.len)
            rule_required(c, name_at, NULL);
        else if (!is_sysctl_name(name))
            rule_invalid(c, name_at, name, "must have at most %d characters and match regex %s", SYSCTL_NAME_MAX,
                         SYSCTL_FMT);
        else if (rule_set_has(&names, name))
            rule_duplicate(c, name_at, name);
        struct str dotted = name;
        if (str_find(name, '/') >= 0 && (str_find(name, '.') < 0 || str_find(name, '/') < str_find(name, '.'))) {
            char *text = str_z(c->mem, name); /* a/b.c: slashes separate, dots belong to names */
            for (char *ch = text; *ch; ch++)
                *ch = *ch == '/' ? '.' : *ch == '.' ? '/' : *ch;
            dotted = str_of(text);
        }
        const char *conflict = sysctl_conflict(dotted, p);
        if (conflict && !rule_kept(c, name_at, doc_get(s, "name")))
            rule_invalid(c, name_at, name, "%s", conflict);
        rule_set_add(&names, name);
    }
}

static void check_choice(struct rule_ctx *c, const struct fpath *up, const struct doc *obj, const char *name,
                         const char *const *allowed)
{
    if (rule_has(obj, name))
        check_enum(c, AT(up, name), doc_str(obj, name), allowed);
}

void check_pod_security(struct rule_ctx *c, const struct fpath *spec_at, const struct pod_rules *p)
{
    static const char *const fs_policies[] = {"Always", "OnRootMismatch", NULL},
                             *const group_policies[] = {"Merge", "Strict", NULL},
                             *const selinux_policies[] = {"MountOption", "Recursive", NULL};
    const struct doc *sc = doc_get(p->spec, "securityContext");
    const struct fpath *at = AT(spec_at, "securityContext");
    check_id(c, AT(at, "fsGroup"), doc_get(sc, "fsGroup"));
    check_id(c, AT(at, "runAsUser"), doc_get(sc, "runAsUser"));
    check_id(c, AT(at, "runAsGroup"), doc_get(sc, "runAsGroup"));
    rule_each (g, doc_get(sc, "supplementalGroups"))
        check_id(c, AT_INDEX(AT(at, "supplementalGroups"), g_i), g);
    if (doc_bool(p->spec, "shareProcessNamespace", false) && doc_bool(p->spec, "hostPID", false))
        err_cause_raw(c->err, CAUSE_INVALID, AT(at, "shareProcessNamespace"), STR("true"),
                      "ShareProcessNamespace and HostPID cannot both be enabled");
    check_sysctls(c, AT(at, "sysctls"), doc_get(sc, "sysctls"), p);
    check_choice(c, at, sc, "fsGroupChangePolicy", fs_policies);
    check_seccomp(c, AT(at, "seccompProfile"), doc_get(sc, "seccompProfile"));
    check_windows_options(c, AT(at, "windowsOptions"), doc_get(sc, "windowsOptions"));
    check_apparmor(c, AT(at, "appArmorProfile"), doc_get(sc, "appArmorProfile"));
    check_choice(c, at, sc, "supplementalGroupsPolicy", group_policies);
    check_choice(c, at, sc, "seLinuxChangePolicy", selinux_policies);
}

/* Escalation can't be barred from who already has everything. */
static void check_escalation(struct rule_ctx *c, const struct fpath *at, const struct doc *sc)
{
    if (doc_bool(sc, "allowPrivilegeEscalation", true))
        return;
    if (doc_bool(sc, "privileged", false))
        rule_invalid_doc(c, at, sc, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    doc_each (cap, doc_get(doc_get(sc, "capabilities"), "add"))
        if (str_is(doc_string(cap), "CAP_SYS_ADMIN"))
            rule_invalid_doc(c, at, sc,
                             "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
}

void check_security_context(struct rule_ctx *c, const struct fpath *at, const struct doc *sc, bool host_users)
{
    static const char *const mounts[] = {"Default", "Unmasked", NULL};
    if (!doc_is(sc, DOC_OBJECT))
        return;
    check_id(c, AT(at, "runAsUser"), doc_get(sc, "runAsUser"));
    check_id(c, AT(at, "runAsGroup"), doc_get(sc, "runAsGroup"));
    check_choice(c, at, sc, "procMount", mounts);
    if (host_users && str_is(doc_str(sc, "procMount"), "Unmasked"))
        rule_invalid(c, AT(at, "procMount"), STR("Unmasked"), "`hostUsers` must be false to use `Unmasked`");
    check_seccomp(c, AT(at, "seccompProfile"), doc_get(sc, "seccompProfile"));
    check_escalation(c, at, sc);
    check_windows_options(c, AT(at, "windowsOptions"), doc_get(sc, "windowsOptions"));
    check_apparmor(c, AT(at, "appArmorProfile"), doc_get(sc, "appArmorProfile"));
}
