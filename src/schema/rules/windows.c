/* schema/rules/windows.c - what a pod says of its operating system: what a Windows pod may not set, what a Linux pod
 * may not, the options of Windows and its host process containers. Source: kubernetes pkg/apis/core/validation. */
#include "schema/rules/rules.h"

enum { GMSA_SPEC_KIB_MAX = 64, DOMAIN_LEN_MAX = 256, USER_LEN_MAX = 104, NETBIOS_LEN_MAX = 15 };

static bool is_dns_domain(struct str s)
{
    struct str label;
    for (bool more = true; more;) {
        more = str_cut(s, '.', &label, &s);
        if (!label.len || label.len > 63 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++) {
            char ch = label.ptr[i];
            if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z') && !(ch >= '0' && ch <= '9') && ch != '-')
                return false;
        }
    }
    return true;
}

static bool has_any(struct str s, const char *chars)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] && strchr(chars, s.ptr[i]))
            return true;
    return false;
}

/* Go counts characters, and so do we: bytes that do not continue one. */
static size_t char_count(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static bool is_netbios(struct str s)
{
    return s.len && s.ptr[0] != '.' && char_count(s) <= NETBIOS_LEN_MAX && !has_any(s, "\\/:*?\"<>|");
}

static void check_user_parts(struct rule_ctx *c, const struct fpath *at, struct str name)
{
    struct str domain = STR_NULL, user = name;
    bool blank = true;
    if (str_find(name, '\\') >= 0) {
        str_cut(name, '\\', &domain, &user);
        if (domain.len >= DOMAIN_LEN_MAX)
            rule_invalid(c, at, name, "runAsUserName's Domain length must be under %d characters", DOMAIN_LEN_MAX);
        if (!is_netbios(domain) && !is_dns_domain(domain))
            rule_invalid(c, at, name, "runAsUserName's Domain doesn't match the NetBios nor the DNS format");
    }
    if (!user.len)
        rule_invalid(c, at, name, "runAsUserName's User cannot be empty");
    else if (user.len > USER_LEN_MAX)
        rule_invalid(c, at, name, "runAsUserName's User length must not be longer than %d characters", USER_LEN_MAX);
    for (size_t i = 0; i < user.len; i++)
        blank &= user.ptr[i] == '.' || user.ptr[i] == ' ';
    if (user.len && blank)
        rule_invalid(c, at, name, "runAsUserName's User cannot contain only periods or spaces");
    if (has_any(user, "\"/\\:;|=,+*?<>@[]"))
        rule_invalid(c, at, name, "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
}

static void check_user_name(struct rule_ctx *c, const struct fpath *at, struct str name)
{
    bool control = false;
    int backslashes = 0;
    for (size_t i = 0; i < name.len; i++) {
        control |= (unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f;
        backslashes += name.ptr[i] == '\\';
    }
    if (!name.len)
        rule_invalid(c, at, name, "runAsUserName cannot be an empty string");
    else if (control)
        rule_invalid(c, at, name, "runAsUserName cannot contain control characters");
    else if (backslashes > 1)
        rule_invalid(c, at, name, "runAsUserName cannot contain more than one backslash");
    else
        check_user_parts(c, at, name);
}

void check_windows_options(struct rule_ctx *c, const struct fpath *at, const struct doc *options)
{
    const struct fpath *spec_at = AT(at, "gmsaCredentialSpec");
    struct str spec = doc_str(options, "gmsaCredentialSpec");
    if (rule_has(options, "gmsaCredentialSpecName"))
        check_name(c, AT(at, "gmsaCredentialSpecName"), doc_str(options, "gmsaCredentialSpecName"),
                   name_dns1123_subdomain);
    if (rule_has(options, "gmsaCredentialSpec") && !spec.len)
        rule_invalid(c, spec_at, spec, "gmsaCredentialSpec cannot be an empty string");
    else if (spec.len > GMSA_SPEC_KIB_MAX << 10)
        rule_invalid(c, spec_at, spec, "gmsaCredentialSpec size must be under %d KiB", GMSA_SPEC_KIB_MAX);
    if (rule_has(options, "runAsUserName"))
        check_user_name(c, AT(at, "runAsUserName"), doc_str(options, "runAsUserName"));
}

/* Calls fn for every container, init containers first. */
static void each_container(struct rule_ctx *c, const struct fpath *at, const struct doc *spec,
                           void (*fn)(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr, void *data),
                           void *data)
{
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers", NULL};
    for (const char *const *l = lists; *l; l++)
        rule_each (ctr, doc_get(spec, *l))
            fn(c, AT_INDEX(AT(at, *l), ctr_i), ctr, data);
}

struct host_processes {
    const struct doc *pod; /* the pod's own word; NULL: none */
    int containers, host;
};

static void count_host_process(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr, void *data)
{
    struct host_processes *h = data;
    const struct doc *own = doc_get(doc_get(doc_get(ctr, "securityContext"), "windowsOptions"), "hostProcess");
    h->containers++;
    if (doc_is(own, DOC_BOOL) && doc_is(h->pod, DOC_BOOL) && own->b != h->pod->b)
        err_cause_raw(c->err, CAUSE_INVALID, AT(AT(AT(at, "securityContext"), "windowsOptions"), "hostProcess"),
                      own->b ? STR("true") : STR("false"),
                      "pod hostProcess value must be identical if both are specified, was %s",
                      h->pod->b ? "true" : "false");
    const struct doc *last = doc_is(own, DOC_BOOL) ? own : h->pod;
    h->host += doc_is(last, DOC_BOOL) && last->b;
}

void check_host_processes(struct rule_ctx *c, const struct fpath *at, const struct pod_rules *p)
{
    struct host_processes h = {
        .pod = doc_get(doc_get(doc_get(p->spec, "securityContext"), "windowsOptions"), "hostProcess")};
    each_container(c, at, p->spec, count_host_process, &h);
    if (h.host && h.host != h.containers)
        rule_invalid(c, at, STR(""),
                     "If pod contains any hostProcess containers then all containers must be HostProcess containers");
    if (h.host && !p->host_network)
        err_cause_raw(c->err, CAUSE_INVALID, AT(at, "hostNetwork"), STR("false"),
                      "hostNetwork must be true if pod contains any hostProcess containers");
}

/* ---- spec.os */
static void forbid(struct rule_ctx *c, const struct fpath *at, const struct doc *obj, const char *name, const char *why)
{
    const struct doc *v = doc_get(obj, name);
    if (rule_has(obj, name) && !(doc_is(v, DOC_ARRAY) && !v->count))
        rule_forbidden(c, AT(at, name), "%s", why);
}

static const char not_on_windows[] = "cannot be set for a windows pod",
                  not_on_linux[] = "windows options cannot be set for a linux pod";

static void check_windows_container(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr, void *data)
{
    static const char *const fields[] = {"appArmorProfile",
                                         "seLinuxOptions",
                                         "seccompProfile",
                                         "capabilities",
                                         "readOnlyRootFilesystem",
                                         "privileged",
                                         "allowPrivilegeEscalation",
                                         "procMount",
                                         "runAsUser",
                                         "runAsGroup",
                                         NULL};
    for (const char *const *f = fields; *f; f++)
        forbid(c, AT(at, "securityContext"), doc_get(ctr, "securityContext"), *f, not_on_windows);
}

static void check_linux_container(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr, void *data)
{
    forbid(c, AT(at, "securityContext"), doc_get(ctr, "securityContext"), "windowsOptions", not_on_linux);
}

static void check_windows(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    static const struct {
        const char *name;
        bool of_spec; /* false: of the security context */
        bool flag;    /* false is as good as absent */
    } fields[] = {
        {"appArmorProfile"},
        {"seLinuxOptions"},
        {"hostUsers", true},
        {"hostPID", true, true},
        {"hostIPC", true, true},
        {"seccompProfile"},
        {"fsGroup"},
        {"fsGroupChangePolicy"},
        {"sysctls"},
        {"shareProcessNamespace", true},
        {"runAsUser"},
        {"runAsGroup"},
        {"supplementalGroups"},
        {"supplementalGroupsPolicy"},
        {"seLinuxChangePolicy"},
    };
    const struct doc *sc = doc_get(spec, "securityContext");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!fields[i].flag || doc_bool(spec, fields[i].name, false))
            forbid(c, fields[i].of_spec ? at : AT(at, "securityContext"), fields[i].of_spec ? spec : sc, fields[i].name,
                   not_on_windows);
    each_container(c, at, spec, check_windows_container, NULL);
}

void check_os(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    struct str name = doc_str(doc_get(spec, "os"), "name");
    const struct fpath *os = AT(at, "os");
    if (!rule_has(spec, "os"))
        return;
    if (!name.len)
        rule_required(c, AT(os, "name"), "cannot be empty");
    else if (str_is(name, "linux")) {
        forbid(c, AT(at, "securityContext"), doc_get(spec, "securityContext"), "windowsOptions", not_on_linux);
        each_container(c, at, spec, check_linux_container, NULL);
    } else if (str_is(name, "windows"))
        check_windows(c, at, spec);
    else
        rule_unsupported(c, os, name, "linux", "windows");
}

/* ---- annotations that say what fields say too, on create (what older clients of profiles wrote) */
static void check_profile(struct rule_ctx *c, const struct fpath *at, const struct doc *profile, struct str annotation,
                          bool apparmor)
{
    const char *kind = apparmor ? "apparmor" : "seccomp";
    struct str type = doc_str(profile, "type");
    bool same = true, docker = !apparmor && str_is(annotation, "docker/default");
    if (str_is(type, "Unconfined"))
        same = str_is(annotation, "unconfined");
    else if (str_is(type, "RuntimeDefault"))
        same = str_is(annotation, "runtime/default") || docker;
    else if (str_is(type, "Localhost")) {
        same = str_starts(annotation, STR("localhost/"));
        if (same && (!rule_has(profile, "localhostProfile") ||
                     !str_eq(str_from(annotation, strlen("localhost/")), doc_str(profile, "localhostProfile"))))
            rule_forbidden(c, AT(at, "localhostProfile"), "%s profile in annotation and field must match", kind);
    }
    if (!same)
        rule_forbidden(c, AT(at, "type"), "%s type in annotation and field must match", kind);
}

struct profiles {
    const struct doc *annotations, *pod_apparmor;
};

static void check_container_seccomp(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr, void *data)
{
    const struct profiles *p = data;
    const struct doc *profile = doc_get(doc_get(ctr, "securityContext"), "seccompProfile"),
                     *said = doc_get_str(p->annotations,
                                         str_fmt(c->mem, "container.seccomp.security.alpha.kubernetes.io/" STR_FMT,
                                                 STR_ARG(doc_str(ctr, "name"))));
    if (said && doc_is(profile, DOC_OBJECT))
        check_profile(c, AT(AT(at, "securityContext"), "seccompProfile"), profile, doc_string(said), false);
}

static void check_container_apparmor(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr, void *data)
{
    const struct profiles *p = data;
    const struct doc *own = doc_get(doc_get(ctr, "securityContext"), "appArmorProfile"),
                     *profile = doc_is(own, DOC_OBJECT) ? own : p->pod_apparmor,
                     *said = doc_get_str(p->annotations,
                                         str_fmt(c->mem, "container.apparmor.security.beta.kubernetes.io/" STR_FMT,
                                                 STR_ARG(doc_str(ctr, "name"))));
    if (said && doc_is(profile, DOC_OBJECT))
        check_profile(c, AT(AT(at, "securityContext"), "appArmorProfile"), profile, doc_string(said), true);
}

void check_profile_annotations(struct rule_ctx *c, const struct fpath *at, const struct doc *spec,
                               const struct doc *annotations)
{
    const struct doc *sc = doc_get(spec, "securityContext"), *seccomp = doc_get(sc, "seccompProfile"),
                     *said = doc_get(annotations, "seccomp.security.alpha.kubernetes.io/pod");
    struct profiles p = {.annotations = annotations, .pod_apparmor = doc_get(sc, "appArmorProfile")};
    if (!doc_len(annotations))
        return;
    if (said && doc_is(seccomp, DOC_OBJECT))
        check_profile(c, AT(AT(at, "securityContext"), "seccompProfile"), seccomp, doc_string(said), false);
    each_container(c, at, spec, check_container_seccomp, &p);
    each_container(c, at, spec, check_container_apparmor, &p);
}
