/* Feature gates: the table is kinds/gates.kinds; here is its reading and setting. Source: component-base featuregate.
 */
#include "schema/tables.h"

bool gate_on(const struct feature_gate *g)
{
    return !g || *g->on;
}

const struct feature_gate *gate_find(struct str name)
{
    int low = 0, high = schema_gate_count;
    while (low < high) {
        int mid = (low + high) / 2, order = str_cmp(name, str_of(schema_gates[mid].name));
        if (order == 0)
            return &schema_gates[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

/* Go's strconv.ParseBool. */
static bool parse_bool(struct str s, bool *ret)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (int i = 0; i < 6; i++) {
        if (str_is(s, yes[i]) || str_is(s, no[i])) {
            *ret = str_is(s, yes[i]);
            return true;
        }
    }
    return false;
}

/* AllAlpha and AllBeta set the gates of their stage that the list does not name itself. */
static void set_stage(enum gate_stage stage, bool on)
{
    for (int i = 0; i < schema_gate_count; i++)
        if (schema_gates[i].stage == stage && !schema_gates[i].locked)
            *schema_gates[i].on = on;
}

static int check_item(struct str item, struct str *ret_name, bool *ret_on, struct err *err)
{
    struct str value;
    bool has_value = str_cut(item, '=', ret_name, &value);
    *ret_name = str_trim(*ret_name);
    value = str_trim(value);
    if (!has_value)
        return err_set(err, ERR_BAD_REQUEST, "missing bool value for " STR_FMT, STR_ARG(*ret_name));
    if (!parse_bool(value, ret_on))
        return err_set(err, ERR_BAD_REQUEST,
                       "invalid value of " STR_FMT "=" STR_FMT ", err: strconv.ParseBool: parsing \"" STR_FMT
                       "\": invalid syntax",
                       STR_ARG(*ret_name), STR_ARG(value), STR_ARG(value));
    if (str_is(*ret_name, "AllAlpha") || str_is(*ret_name, "AllBeta"))
        return 0;
    const struct feature_gate *g = gate_find(*ret_name);
    if (!g)
        return err_set(err, ERR_BAD_REQUEST, "unrecognized feature gate: " STR_FMT, STR_ARG(*ret_name));
    if (g->locked && *ret_on != g->on_by_default)
        return err_set(err, ERR_BAD_REQUEST, "cannot set feature gate %s to %s, feature is locked to %s", g->name,
                       *ret_on ? "true" : "false", g->on_by_default ? "true" : "false");
    return 0;
}

int gates_set(struct str list, struct err *err)
{
    struct str rest = list, item, name;
    bool on;
    while (str_next(&rest, ',', &item))
        if (str_trim(item).len && check_item(item, &name, &on, err) < 0)
            return -1;
    for (int pass = 0; pass < 2; pass++) { /* the two wide switches first: a gate's own value stands */
        rest = list;
        while (str_next(&rest, ',', &item)) {
            if (!str_trim(item).len || check_item(item, &name, &on, NULL) < 0)
                continue;
            bool alpha = str_is(name, "AllAlpha"), beta = str_is(name, "AllBeta");
            if (pass == 0 && (alpha || beta))
                set_stage(alpha ? GATE_ALPHA : GATE_BETA, on);
            else if (pass == 1 && !alpha && !beta)
                *gate_find(name)->on = on;
        }
    }
    return 0;
}
