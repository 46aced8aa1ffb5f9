/* schema/rules/selector.c - label selectors and node selectors, as documents. */
#include "schema/rules/rules.h"

static void check_values(struct rule_ctx *c, const struct fpath *at, const struct doc *values)
{
    rule_each (v, values)
        if (!name_ok(doc_string(v), name_label_value) && !rule_kept(c, AT_INDEX(at, v_i), v))
            check_name(c, AT_INDEX(at, v_i), doc_string(v), name_label_value);
}

/* What In, NotIn, Exists and DoesNotExist ask of the values; false: another operator. */
static bool check_set_operator(struct rule_ctx *c, const struct fpath *at, struct str op, uint32_t values)
{
    if (str_is(op, "In") || str_is(op, "NotIn")) {
        if (!values)
            rule_required(c, AT(at, "values"), "must be specified when `operator` is 'In' or 'NotIn'");
        return true;
    }
    if (!str_is(op, "Exists") && !str_is(op, "DoesNotExist"))
        return false;
    if (values)
        rule_forbidden(c, AT(at, "values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    return true;
}

void check_label_selector(struct rule_ctx *c, const struct fpath *at, const struct doc *selector)
{
    check_labels(c, AT(at, "matchLabels"), doc_get(selector, "matchLabels"));
    const struct fpath *list = AT(at, "matchExpressions");
    rule_each (e, doc_get(selector, "matchExpressions")) {
        const struct fpath *item = AT_INDEX(list, e_i);
        struct str op = doc_str(e, "operator");
        if (!check_set_operator(c, item, op, doc_len(doc_get(e, "values"))))
            rule_invalid(c, AT(item, "operator"), op, "not a valid selector operator");
        check_name(c, AT(item, "key"), doc_str(e, "key"), name_qualified);
        check_values(c, AT(item, "values"), doc_get(e, "values"));
    }
}

static void check_node_expression(struct rule_ctx *c, const struct fpath *at, const struct doc *req, bool any_value)
{
    struct str op = doc_str(req, "operator");
    const struct doc *values = doc_get(req, "values");
    if (str_is(op, "Gt") || str_is(op, "Lt")) {
        if (doc_len(values) != 1)
            rule_required(c, AT(at, "values"), "must be specified single value when `operator` is 'Lt' or 'Gt'");
    } else if (!check_set_operator(c, at, op, doc_len(values)))
        rule_invalid(c, AT(at, "operator"), op, "not a valid selector operator");
    check_name(c, AT(at, "key"), doc_str(req, "key"), name_qualified);
    if (!any_value)
        check_values(c, AT(at, "values"), values);
}

static void check_node_field(struct rule_ctx *c, const struct fpath *at, const struct doc *req)
{
    struct str op = doc_str(req, "operator"), key = doc_str(req, "key");
    const struct doc *values = doc_get(req, "values");
    if (!str_is(op, "In") && !str_is(op, "NotIn"))
        rule_invalid(c, AT(at, "operator"), op, "not a valid selector operator");
    else if (doc_len(values) != 1)
        rule_required(c, AT(at, "values"),
                      "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
    if (!str_is(key, "metadata.name")) {
        rule_invalid(c, AT(at, "key"), key, "not a valid field selector key");
        return;
    }
    rule_each (v, values)
        check_name(c, AT_INDEX(AT(at, "values"), v_i), doc_string(v), name_dns1123_subdomain);
}

void check_node_selector_term(struct rule_ctx *c, const struct fpath *at, const struct doc *term, bool any_value)
{
    rule_each (req, doc_get(term, "matchExpressions"))
        check_node_expression(c, AT_INDEX(AT(at, "matchExpressions"), req_i), req, any_value);
    rule_each (req, doc_get(term, "matchFields"))
        check_node_field(c, AT_INDEX(AT(at, "matchFields"), req_i), req);
}

void check_node_selector(struct rule_ctx *c, const struct fpath *at, const struct doc *selector)
{
    const struct fpath *list = AT(at, "nodeSelectorTerms");
    const struct doc *terms = doc_get(selector, "nodeSelectorTerms");
    if (!doc_len(terms)) {
        rule_required(c, list, "must have at least one node selector term");
        return;
    }
    rule_each (term, terms)
        check_node_selector_term(c, AT_INDEX(list, term_i), term, /* any_value= */ false);
}
