#include "schema/rules/rules.h"

#include "schema/quantity.h"

struct str rule_json(struct rule_ctx *c, const struct doc *value)
{
    return value ? doc_json(c->mem, value) : STR("null");
}

bool rule_set_add(struct rule_set *s, struct str key)
{
    if (map_get(&s->map, key))
        return false;
    map_put(&s->map, key, s);
    return true;
}

bool rule_set_has(const struct rule_set *s, struct str key)
{
    return s && map_get(&s->map, key);
}

bool rule_set_put(struct rule_set *s, struct str key, const struct doc *node)
{
    if (map_get(&s->map, key))
        return false;
    map_put(&s->map, key, (void *)(uintptr_t)node);
    return true;
}

const struct doc *rule_set_node(const struct rule_set *s, struct str key)
{
    const void *node = map_get(&s->map, key);
    return node == s ? NULL : node;
}

void rule_set_index(struct rule_set *s, const struct doc *arr, const char *name)
{
    doc_each (item, arr)
        rule_set_put(s, doc_str(item, name), item);
}

void rule_set_members(struct rule_set *s, const struct doc *obj)
{
    doc_each (m, obj)
        rule_set_put(s, m->key, m);
}

/* The old object's node at a path; NULL: none. Some of Kubernetes' paths begin a field with a capital, and those
 * of a template leave out its metadata. */
static const struct doc *old_at(const struct rule_ctx *c, const struct fpath *at)
{
    if (!at)
        return c->old_root;
    const struct doc *up = old_at(c, at->up);
    if (at->name) {
        const struct doc *d = doc_get(up, at->name);
        char first = at->name[0];
        if (!d && first >= 'A' && first <= 'Z') {
            char *name = str_z(c->mem, str_of(at->name));
            name[0] = (char)(first + ('a' - 'A'));
            d = doc_get(up, name);
        }
        return d ? d : doc_get(doc_get(up, "metadata"), at->name);
    }
    return at->key.ptr ? doc_get_str(up, at->key) : doc_at(up, at->index);
}

bool rule_kept(struct rule_ctx *c, const struct fpath *at, const struct doc *value)
{
    const struct doc *old = c->old_root ? old_at(c, at) : NULL;
    return old && value && rule_equal(old, value);
}

bool rule_kept_str(struct rule_ctx *c, const struct fpath *at, struct str value)
{
    const struct doc *old = c->old_root ? old_at(c, at) : NULL;
    return doc_is(old, DOC_STRING) && str_eq(old->s, value);
}

bool check_name(struct rule_ctx *c, const struct fpath *at, struct str value, name_rule *rule)
{
    const char *msgs[NAME_MSGS_MAX];
    int n = rule(value, msgs);
    for (int i = 0; i < n; i++)
        rule_invalid(c, at, value, "%s", msgs[i]);
    return n == 0;
}

bool check_required_name(struct rule_ctx *c, const struct fpath *at, struct str value, name_rule *rule)
{
    if (value.len)
        return check_name(c, at, value, rule);
    rule_required(c, at, NULL);
    return false;
}

bool check_enum(struct rule_ctx *c, const struct fpath *at, struct str value, const char *const *allowed)
{
    int n = 0;
    for (; allowed[n]; n++)
        if (str_is(value, allowed[n]))
            return true;
    err_cause_enum(c->err, at, value, allowed, n);
    return false;
}

bool check_range(struct rule_ctx *c, const struct fpath *at, int64_t value, int64_t min, int64_t max)
{
    if (value >= min && value <= max)
        return true;
    rule_invalid_int(c, at, value, "must be between %lld and %lld, inclusive", (long long)min, (long long)max);
    return false;
}

bool check_nonnegative(struct rule_ctx *c, const struct fpath *at, int64_t value)
{
    if (value >= 0)
        return true;
    rule_invalid_int(c, at, value, "must be greater than or equal to 0");
    return false;
}

void check_nonnegative_in(struct rule_ctx *c, const struct fpath *up, const struct doc *obj, const char *const *names)
{
    for (; *names; names++)
        check_nonnegative(c, AT(up, *names), doc_int(obj, *names, 0));
}

bool check_port(struct rule_ctx *c, const struct fpath *at, int64_t value)
{
    return check_range(c, at, value, 1, 65535);
}

bool check_port_or_name(struct rule_ctx *c, const struct fpath *at, const struct doc *value)
{
    if (doc_is(value, DOC_STRING))
        return check_name(c, at, value->s, name_port);
    return check_port(c, at, doc_is(value, DOC_INT) ? value->i : 0);
}

void check_int_or_percent(struct rule_ctx *c, const struct fpath *at, const struct doc *value)
{
    if (doc_is(value, DOC_STRING))
        check_name(c, at, value->s, name_percent);
    else if (doc_is(value, DOC_INT))
        check_nonnegative(c, at, value->i);
}

int64_t int_or_percent(const struct doc *value)
{
    int64_t n = 0;
    if (doc_is(value, DOC_INT))
        return value->i;
    if (doc_is(value, DOC_STRING) && name_ok(value->s, name_percent) &&
        !str_to_i64(str_head(value->s, value->s.len - 1), &n))
        n = INT64_MAX;
    return n;
}

void check_at_most_100_percent(struct rule_ctx *c, const struct fpath *at, const struct doc *value)
{
    if (doc_is(value, DOC_STRING) && int_or_percent(value) > 100)
        rule_invalid_doc(c, at, value, "must not be greater than 100%%");
}

/* nil, null, {} and [] are one value to Semantic.DeepEqual. */
static bool is_nothing(const struct doc *d)
{
    return !d || d->type == DOC_NULL || ((d->type == DOC_OBJECT || d->type == DOC_ARRAY) && d->count == 0);
}

enum { FEW_MEMBERS = 16 }; /* up to here, looking along the members is cheaper than an index */

static bool objects_equal(const struct doc *a, const struct doc *b)
{
    cleanup_set struct rule_set in_a = {0}, in_b = {0};
    bool many = doc_len(a) > FEW_MEMBERS && doc_len(b) > FEW_MEMBERS;
    if (many)
        rule_set_members(&in_a, a), rule_set_members(&in_b, b);
    doc_each (m, a)
        if (!rule_equal(m, many ? rule_set_node(&in_b, m->key) : doc_get_str(b, m->key)))
            return false;
    doc_each (m, b)
        if (!is_nothing(m) && !(many ? rule_set_node(&in_a, m->key) : doc_get_str(a, m->key)))
            return false;
    return true;
}

bool rule_equal(const struct doc *a, const struct doc *b)
{
    if (is_nothing(a) || is_nothing(b))
        return is_nothing(a) && is_nothing(b);
    if (a->type != b->type)
        return false;
    if (a->type == DOC_OBJECT)
        return objects_equal(a, b);
    if (a->type != DOC_ARRAY)
        return doc_eq(a, b);
    const struct doc *x = a->first, *y = b->first;
    for (; x && y; x = x->next, y = y->next)
        if (!rule_equal(x, y))
            return false;
    return !x && !y;
}

bool check_immutable(struct rule_ctx *c, const struct fpath *at, const struct doc *value, const struct doc *old)
{
    if (rule_equal(value, old))
        return true;
    if (doc_is(value, DOC_STRING))
        rule_invalid(c, at, value->s, "field is immutable");
    else
        rule_invalid_doc(c, at, value, "field is immutable");
    return false;
}

enum { DIFF_BYTES_MAX = 4096 }; /* of the whole diff: it goes into a message that clients print */

static void add_side(struct sb *out, char sign, const struct fpath *at, const struct doc *d, struct arena *mem)
{
    if (is_nothing(d) || out->len > DIFF_BYTES_MAX)
        return;
    sb_addf(out, "%c " STR_FMT ": ", sign, STR_ARG(fpath_str(mem, at)));
    sb_add(out, str_head(doc_json(mem, d), DIFF_BYTES_MAX));
    sb_addc(out, '\n');
}

static void add_diff(struct sb *out, const struct fpath *at, const struct doc *old, const struct doc *value,
                     struct arena *mem)
{
    if (out->len > DIFF_BYTES_MAX || rule_equal(old, value))
        return;
    if (doc_is(old, DOC_OBJECT) && doc_is(value, DOC_OBJECT)) {
        cleanup_set struct rule_set before = {0}, now = {0};
        rule_set_members(&before, old), rule_set_members(&now, value);
        doc_each (m, old)
            add_diff(out, AT(at, str_z(mem, m->key)), m, rule_set_node(&now, m->key), mem);
        doc_each (m, value)
            if (!rule_set_has(&before, m->key))
                add_side(out, '+', AT(at, str_z(mem, m->key)), m, mem);
    } else if (doc_is(old, DOC_ARRAY) && doc_is(value, DOC_ARRAY)) {
        const struct doc *x = old->first, *y = value->first;
        for (int i = 0; x || y; i++, x = x ? x->next : NULL, y = y ? y->next : NULL)
            add_diff(out, AT_INDEX(at, i), x, y, mem);
    } else {
        add_side(out, '-', at, old, mem);
        add_side(out, '+', at, value, mem);
    }
}

struct str rule_diff(struct arena *mem, const struct doc *old, const struct doc *value)
{
    struct sb out = SB(mem);
    add_diff(&out, &(const struct fpath){.name = "spec"}, old, value, mem);
    return sb_str(&out);
}
