/* schema/rules/certificates.c - CertificateSigningRequest: what may be asked, and what each way of updating may change.
 *
 * Source: kubernetes pkg/apis/certificates/validation, 1.36. Ours differs: objects with mistakes that old versions of
 * the API let through do not exist here, so none is tolerated. */
#include "http/pki.h"
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

enum { EXPIRATION_S_MIN = 600, SIGNER_DOMAIN_MAX = 253, SIGNER_PATH_MAX = 317 };

static struct str bytes_of(struct rule_ctx *c, const struct doc *obj, const char *name)
{
    struct str bytes = STR_NULL;
    str_base64_dec(c->mem, doc_str(obj, name), &bytes);
    return bytes;
}

static void check_usages(struct rule_ctx *c, const struct fpath *at, const struct doc *usages)
{
    static const char *const known[] = {"any",
                                        "cert sign",
                                        "client auth",
                                        "code signing",
                                        "content commitment",
                                        "crl sign",
                                        "data encipherment",
                                        "decipher only",
                                        "digital signature",
                                        "email protection",
                                        "encipher only",
                                        "ipsec end system",
                                        "ipsec tunnel",
                                        "ipsec user",
                                        "key agreement",
                                        "key encipherment",
                                        "microsoft sgc",
                                        "netscape sgc",
                                        "ocsp signing",
                                        "s/mime",
                                        "server auth",
                                        "signing",
                                        "timestamping",
                                        NULL};
    cleanup_set struct rule_set seen = {0};
    if (!doc_len(usages))
        rule_required(c, at, NULL);
    rule_each (u, usages)
        check_enum(c, AT_INDEX(at, u_i), doc_string(u), known);
    rule_each (u, usages)
        if (!rule_set_add(&seen, doc_string(u)))
            rule_duplicate(c, AT_INDEX(at, u_i), doc_string(u));
}

/* "example.com/path": a domain, then segments of subdomains (apis/core/validation ValidateSignerName). */
void check_signer_name(struct rule_ctx *c, const struct fpath *at, struct str signer)
{
    struct str domain, path, rest, segment;
    const char *msgs[NAME_MSGS_MAX];
    if (!signer.len) {
        rule_required(c, at, NULL);
        return;
    }
    if (!str_cut(signer, '/', &domain, &path)) {
        rule_invalid(c, at, signer, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
        return;
    }
    int labels = 1;
    for (size_t i = 0; i < domain.len; i++)
        labels += domain.ptr[i] == '.';
    int count = name_dns1123_subdomain(domain, msgs);
    for (int i = 0; i < count; i++)
        rule_invalid(c, at, signer, "validating label \"" STR_FMT "\": %s", STR_ARG(domain), msgs[i]);
    if (!count && labels < 2)
        rule_invalid(c, at, signer, "should be a domain with at least two segments separated by dots");
    rest = path;
    if (!path.len)
        rule_invalid(c, at, signer, "validating label \"\": must not be empty");
    while (str_next(&rest, '/', &segment)) {
        count = name_dns1123_subdomain(segment, msgs);
        for (int i = 0; i < count; i++)
            rule_invalid(c, at, signer, "validating label \"" STR_FMT "\": %s", STR_ARG(segment), msgs[i]);
    }
    if (signer.len > SIGNER_DOMAIN_MAX + 1 + SIGNER_PATH_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, at, "may not be more than %d bytes", SIGNER_DOMAIN_MAX + 1 + SIGNER_PATH_MAX);
}

/* ---- conditions */

static bool is_verdict(struct str type)
{
    return str_is(type, "Approved") || str_is(type, "Denied") || str_is(type, "Failed");
}

static void check_csr_conditions(struct rule_ctx *c, const struct fpath *at, const struct doc *conditions)
{
    static const char *const any[] = {"False", "True", "Unknown", NULL}, *const only[] = {"True", NULL};
    cleanup_set struct rule_set seen = {0};
    bool approved = false, denied = false;
    rule_each (item, conditions) {
        struct str type = doc_str(item, "type"), status = doc_str(item, "status");
        const struct fpath *item_at = AT_INDEX(at, item_i);
        if (!type.len)
            rule_required(c, AT(item_at, "type"), NULL);
        if (!status.len)
            rule_required(c, AT(item_at, "status"), NULL);
        else
            check_enum(c, AT(item_at, "status"), status, is_verdict(type) ? only : any);
        if ((str_is(type, "Approved") && denied) || (str_is(type, "Denied") && approved))
            rule_invalid(c, AT(item_at, "type"), type, "Approved and Denied conditions are mutually exclusive");
        approved |= str_is(type, "Approved"), denied |= str_is(type, "Denied");
        if (!rule_set_add(&seen, type))
            rule_duplicate(c, AT(item_at, "type"), type);
    }
}

static const struct doc *find(const struct doc *status, const char *type)
{
    doc_each (item, doc_get(status, "conditions"))
        if (str_is(doc_str(item, "type"), type))
            return item;
    return NULL;
}

static void check_verdicts_stay(struct rule_ctx *c, const struct fpath *at, const struct doc *status,
                                const struct doc *old, bool approving)
{
    static const char *const types[] = {"Approved", "Denied", "Failed"};
    for (int i = 0; i < 3; i++)
        if (find(old, types[i]) && !find(status, types[i]))
            rule_forbidden(c, at, "updates may not remove a condition of type \"%s\"", types[i]);
    for (int i = 0; i < 2 && !approving; i++) {
        const struct doc *now = find(status, types[i]), *was = find(old, types[i]);
        if (now && !was)
            rule_forbidden(c, at, "updates may not add a condition of type \"%s\"", types[i]);
        else if (now && !rule_equal(now, was))
            rule_forbidden(c, at, "updates may not modify a condition of type \"%s\"\n" STR_FMT, types[i],
                           STR_ARG(rule_diff(c->mem, was, now)));
    }
}

/* ---- the whole */

static void check_certificate(struct rule_ctx *c, const struct fpath *at, const struct doc *status,
                              const struct doc *old, bool setting)
{
    const char *why = "";
    struct str now = doc_str(status, "certificate"), was = doc_str(old, "certificate");
    if (str_eq(now, was))
        return;
    if (now.len && !pki_is_certificates(bytes_of(c, status, "certificate"), &why))
        rule_invalid(c, at, STR("<certificate data>"), "%s", why);
    if (!c->old_root)
        return;
    if (!setting)
        rule_forbidden(c, at, "updates may not set certificate content");
    else if (was.len)
        rule_forbidden(c, at, "updates may not modify existing certificate content");
}

void validate_certificate_signing_request(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                          const struct fpath *at)
{
    const struct doc *spec = doc_get(obj, "spec"), *status = doc_get(obj, "status"), *was = doc_get(old, "status");
    const struct fpath *spec_at = AT(at, "spec"), *status_at = AT(at, "status");
    const char *sub = c->sub ? c->sub->name : "", *why;
    struct pki_csr csr;
    struct str signer = doc_str(spec, "signerName");
    if (!old && pki_csr_read(c->mem, bytes_of(c, spec, "request"), &csr, &why) < 0) /* it never changes afterwards */
        rule_invalid(c, AT(spec_at, "request"), doc_str(spec, "request"), "%s", why);
    check_usages(c, AT(spec_at, "usages"), doc_get(spec, "usages"));
    if (str_is(signer, "kubernetes.io/legacy-unknown"))
        rule_invalid(c, AT(spec_at, "signerName"), signer, "the legacy signerName is not allowed via this API version");
    else
        check_signer_name(c, AT(spec_at, "signerName"), signer);
    if (rule_has(spec, "expirationSeconds") && doc_int(spec, "expirationSeconds", 0) < EXPIRATION_S_MIN)
        rule_invalid_int(c, AT(spec_at, "expirationSeconds"), doc_int(spec, "expirationSeconds", 0),
                         "may not specify a duration less than 600 seconds (10 minutes)");
    check_csr_conditions(c, AT(status_at, "conditions"), doc_get(status, "conditions"));
    if (old)
        check_verdicts_stay(c, AT(status_at, "conditions"), status, was, !strcmp(sub, "approval"));
    check_certificate(c, AT(status_at, "certificate"), status, was, !strcmp(sub, "status"));
}
