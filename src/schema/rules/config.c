/* schema/rules/config.c - ConfigMap and Secret: keys, a size of 1 MiB, what their types need, and those that never
 * change. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

enum { DATA_BYTES_MAX = 1 << 20 };

/* Bytes behind base64 text, without decoding it. */
static size_t base64_len(struct str text)
{
    size_t n = text.len / 4 * 3;
    return n - str_ends(text, STR("=")) - str_ends(text, STR("=="));
}

static void check_frozen(struct rule_ctx *c, const struct fpath *at, const struct doc *obj, const struct doc *old,
                         const char *const *fields)
{
    if (!doc_bool(old, "immutable", false))
        return;
    if (!doc_bool(obj, "immutable", false))
        rule_forbidden(c, AT(at, "immutable"), "field is immutable when `immutable` is set");
    for (; *fields; fields++)
        if (!rule_equal(doc_get(obj, *fields), doc_get(old, *fields)))
            rule_forbidden(c, AT(at, *fields), "field is immutable when `immutable` is set");
}

void validate_config_map(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct doc *data = doc_get(obj, "data"), *binary = doc_get(obj, "binaryData");
    cleanup_set struct rule_set in_binary = {0};
    size_t bytes = 0;
    check_frozen(c, at, obj, old, (const char *const[]){"data", "binaryData", NULL});
    rule_set_members(&in_binary, binary);
    doc_each (pair, data) {
        check_name(c, AT_KEY(AT(at, "data"), pair->key), pair->key, name_config_key);
        if (rule_set_has(&in_binary, pair->key))
            rule_invalid(c, AT_KEY(AT(at, "data"), pair->key), pair->key, "duplicate of key present in binaryData");
        bytes += doc_string(pair).len;
    }
    doc_each (pair, binary) {
        check_name(c, AT_KEY(AT(at, "binaryData"), pair->key), pair->key, name_config_key);
        bytes += base64_len(doc_string(pair));
    }
    if (bytes > DATA_BYTES_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, &(const struct fpath){.name = "[]"}, /* so field.NewPath("") prints */
                  "may not be more than %d bytes", DATA_BYTES_MAX);
}

static void check_secret_json(struct rule_ctx *c, const struct fpath *at, const struct doc *data, const char *key)
{
    const struct doc *value = doc_get(data, key);
    const struct fpath *key_at = AT_KEY(at, str_of(key));
    struct str text;
    struct err parse = ERR(c->mem);
    if (!value) {
        rule_required(c, key_at, NULL);
        return;
    }
    const struct doc *json =
        str_base64_dec(c->mem, doc_string(value), &text) ? doc_parse(c->mem, text, NULL, &parse) : NULL;
    if (!json)
        rule_invalid(c, key_at, STR("<secret contents redacted>"), STR_FMT, STR_ARG(parse.message));
    else if (json->type != DOC_OBJECT && json->type != DOC_NULL)
        rule_invalid(c, key_at, STR("<secret contents redacted>"),
                     "json: cannot unmarshal %s into Go value of type map[string]interface {}",
                     json->type == DOC_ARRAY    ? "array"
                     : json->type == DOC_STRING ? "string"
                     : json->type == DOC_BOOL   ? "bool"
                                                : "number");
}

static void check_secret_type(struct rule_ctx *c, const struct fpath *at, const struct doc *obj)
{
    const struct doc *data = doc_get(obj, "data");
    const struct fpath *data_at = AT(at, "data");
    struct str type = doc_str(obj, "type");
    if (str_is(type, "kubernetes.io/service-account-token")) {
        if (!doc_str(doc_get(doc_get(obj, "metadata"), "annotations"), "kubernetes.io/service-account.name").len)
            rule_required(c, AT_KEY(AT_META(at, "annotations"), STR("kubernetes.io/service-account.name")), NULL);
    } else if (str_is(type, "kubernetes.io/dockercfg"))
        check_secret_json(c, data_at, data, ".dockercfg");
    else if (str_is(type, "kubernetes.io/dockerconfigjson"))
        check_secret_json(c, data_at, data, ".dockerconfigjson");
    else if (str_is(type, "kubernetes.io/basic-auth")) {
        if (doc_get(data, "username") || doc_get(data, "password"))
            return;
        rule_required(c, AT_KEY(data_at, STR("username")), NULL);
        rule_required(c, AT_KEY(data_at, STR("password")), NULL);
    } else if (str_is(type, "kubernetes.io/ssh-auth")) {
        if (!doc_str(data, "ssh-privatekey").len)
            rule_required(c, AT_KEY(data_at, STR("ssh-privatekey")), NULL);
    } else if (str_is(type, "kubernetes.io/tls")) {
        if (!doc_get(data, "tls.crt"))
            rule_required(c, AT_KEY(data_at, STR("tls.crt")), NULL);
        if (!doc_get(data, "tls.key"))
            rule_required(c, AT_KEY(data_at, STR("tls.key")), NULL);
    }
}

void validate_secret(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    size_t bytes = 0;
    if (old) {
        if (!str_eq(doc_str(obj, "type"), doc_str(old, "type")))
            rule_invalid(c, AT(at, "type"), doc_str(obj, "type"), "field is immutable");
        check_frozen(c, at, obj, old, (const char *const[]){"data", NULL});
    }
    doc_each (pair, doc_get(obj, "data")) {
        check_name(c, AT_KEY(AT(at, "data"), pair->key), pair->key, name_config_key);
        bytes += base64_len(doc_string(pair));
    }
    if (bytes > DATA_BYTES_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, AT(at, "data"), "may not be more than %d bytes", DATA_BYTES_MAX);
    check_secret_type(c, at, obj);
}
