/* schema/rules/tolerations.c - tolerations of pods and the effects of taints. */
#include "schema/rules/rules.h"

void check_taint_effect(struct rule_ctx *c, const struct fpath *at, struct str effect)
{
    static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};
    check_enum(c, at, effect, effects);
}

/* Joined into one cause, as Kubernetes does here. */
static void check_toleration_value(struct rule_ctx *c, const struct fpath *at, struct str value)
{
    const char *msgs[NAME_MSGS_MAX];
    int n = name_label_value(value, msgs);
    struct sb all = SB(c->mem);
    for (int i = 0; i < n; i++) {
        if (i)
            sb_addc(&all, ';');
        sb_addz(&all, msgs[i]);
    }
    if (n)
        rule_invalid(c, at, value, STR_FMT, STR_ARG(sb_str(&all)));
}

void check_tolerations(struct rule_ctx *c, const struct fpath *at, const struct doc *tolerations)
{
    rule_each (t, tolerations) {
        const struct fpath *item = AT_INDEX(at, t_i), *op_at = AT(item, "operator");
        struct str key = doc_str(t, "key"), op = doc_str(t, "operator"), value = doc_str(t, "value"),
                   effect = doc_str(t, "effect");
        if (key.len)
            check_name(c, AT(item, "key"), key, name_qualified);
        else if (!str_is(op, "Exists"))
            rule_invalid(c, op_at, op,
                         "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
        if (rule_has(t, "tolerationSeconds") && !str_is(effect, "NoExecute"))
            rule_invalid(c, AT(item, "effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        if (!op.len || str_is(op, "Equal"))
            check_toleration_value(c, op_at, value);
        else if (!str_is(op, "Exists"))
            rule_unsupported(c, op_at, op, "Equal", "Exists");
        else if (value.len)
            rule_invalid(c, op_at, value, "value must be empty when `operator` is 'Exists'");
        if (effect.len)
            check_taint_effect(c, AT(item, "effect"), effect);
    }
}
