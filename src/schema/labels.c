#include "schema/labels.h"

#include <stdlib.h>

#include "schema/rules/names.h"

/* ---- the text of a label selector: a lexer that cuts all of it, then one pass over the tokens */
enum token { T_END, T_CLOSE, T_COMMA, T_NOT, T_EQEQ, T_EQ, T_GT, T_WORD, T_IN, T_LT, T_NE, T_NOTIN, T_OPEN, T_ERROR };
struct item {
    enum token tok;
    struct str text;
};
struct parser {
    struct arena *mem;
    struct err *err;
    struct str rest;
    struct item next; /* looked at, not yet consumed */
};

static bool is_space(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}

static bool is_special(char ch)
{
    return ch && strchr("=!(),><", ch);
}

static struct str take(struct parser *p, size_t n)
{
    struct str head = str_head(p->rest, n);
    p->rest = str_from(p->rest, n);
    return head;
}

static struct item lex_special(struct parser *p)
{
    static const struct {
        const char *text;
        enum token tok;
    } symbols[] = {{"==", T_EQEQ}, {"!=", T_NE},   {"=", T_EQ}, {"!", T_NOT}, {"(", T_OPEN},
                   {")", T_CLOSE}, {",", T_COMMA}, {">", T_GT}, {"<", T_LT}};
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        if (str_starts(p->rest, str_of(symbols[i].text)))
            return (struct item){symbols[i].tok, take(p, strlen(symbols[i].text))};
    return (struct item){T_ERROR, take(p, 1)}; /* not reached: every special character is a symbol */
}

static struct item lex(struct parser *p)
{
    while (p->rest.len && is_space(*p->rest.ptr))
        p->rest = str_from(p->rest, 1);
    if (!p->rest.len || !*p->rest.ptr)
        return (struct item){T_END, STR("")};
    if (is_special(*p->rest.ptr))
        return lex_special(p);
    size_t n = 0;
    while (n < p->rest.len && p->rest.ptr[n] && !is_special(p->rest.ptr[n]) && !is_space(p->rest.ptr[n]))
        n++;
    struct str word = take(p, n);
    enum token tok = str_is(word, "in") ? T_IN : str_is(word, "notin") ? T_NOTIN : T_WORD;
    return (struct item){tok, word};
}

/* `in` and `notin` are words everywhere but where an operator stands. */
static struct item as_value(struct item it)
{
    if (it.tok == T_IN || it.tok == T_NOTIN)
        it.tok = T_WORD;
    return it;
}

static struct item look(const struct parser *p)
{
    return as_value(p->next);
}

static struct item consume_raw(struct parser *p)
{
    struct item it = p->next;
    if (it.tok != T_END)
        p->next = lex(p);
    return it;
}

static struct item consume(struct parser *p)
{
    return as_value(consume_raw(p));
}

static bool complain(struct parser *p, const char *fmt, struct str found)
{
    err_set(p->err, ERR_BAD_REQUEST, fmt, STR_ARG(found));
    return false;
}

/* field.Invalid(path, value, "msg; msg").Error(); several of them as one aggregate. */
static void add_invalid(struct parser *p, struct sb *all, int *count, const char *path, struct str value,
                        name_rule *rule)
{
    const char *msgs[NAME_MSGS_MAX];
    int n = rule(value, msgs);
    if (!n)
        return;
    sb_addf(all, "%s%s: Invalid value: " STR_FMT ": ", (*count)++ ? ", " : "", path, STR_ARG(str_quote(p->mem, value)));
    for (int i = 0; i < n; i++)
        sb_addf(all, "%s%s", i ? "; " : "", msgs[i]);
}

static bool finish(struct parser *p, const struct sb *all, int count)
{
    if (!count)
        return true;
    err_set(p->err, ERR_BAD_REQUEST,
            count > 1 ? "unable to parse requirement: [" STR_FMT "]" : "unable to parse requirement: " STR_FMT,
            STR_ARG(sb_str(all)));
    return false;
}

static int cmp_str(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Sorted, each once: they are a set in Go. */
static void sort_values(struct selector_req *r)
{
    int n = 0;
    if (r->count > 1)
        qsort(r->values, (size_t)r->count, sizeof *r->values, cmp_str);
    for (int i = 0; i < r->count; i++)
        if (!n || !str_eq(r->values[n - 1], r->values[i]))
            r->values[n++] = r->values[i];
    r->count = n;
}

static void add_value(struct parser *p, struct selector_req *r, struct str value)
{
    if ((r->count & (r->count - 1)) == 0) { /* a power of two: full */
        size_t old = sizeof value * (size_t)r->count;
        r->values = arena_grow(p->mem, r->values, old, old ? old * 2 : sizeof value);
    }
    r->values[r->count++] = value;
}

static bool parse_list(struct parser *p, struct selector_req *r)
{
    for (;;) {
        struct item it = consume(p);
        if (it.tok == T_WORD) {
            add_value(p, r, it.text);
            if (look(p).tok == T_COMMA)
                continue;
            return look(p).tok == T_CLOSE ||
                   complain(p, "unable to parse requirement: found '" STR_FMT "', expected: ',' or ')'", look(p).text);
        }
        if (it.tok != T_COMMA)
            return complain(p, "unable to parse requirement: found '" STR_FMT "', expected: ',', or identifier",
                            it.text);
        if (!r->count || look(p).tok == T_CLOSE || look(p).tok == T_COMMA)
            add_value(p, r, STR(""));
        if (look(p).tok == T_CLOSE)
            return true;
    }
}

static bool parse_set(struct parser *p, struct selector_req *r)
{
    struct item it = consume(p);
    if (it.tok != T_OPEN)
        return complain(p, "unable to parse requirement: found '" STR_FMT "' expected: '('", it.text);
    it = look(p);
    if (it.tok == T_CLOSE)
        add_value(p, r, STR(""));
    else if (it.tok != T_WORD && it.tok != T_COMMA)
        return complain(p, "unable to parse requirement: found '" STR_FMT "', expected: ',', ')' or identifier",
                        it.text);
    else if (!parse_list(p, r))
        return false;
    if (consume(p).tok != T_CLOSE)
        return complain(p, "unable to parse requirement: found '" STR_FMT "', expected: ')'", it.text);
    return true;
}

static bool parse_exact(struct parser *p, struct selector_req *r)
{
    enum token tok = look(p).tok;
    if (tok == T_END || tok == T_COMMA) {
        add_value(p, r, STR(""));
        return true;
    }
    struct item it = consume(p);
    if (it.tok != T_WORD)
        return complain(p, "unable to parse requirement: found '" STR_FMT "', expected: identifier", it.text);
    add_value(p, r, it.text);
    return true;
}

static bool parse_operator(struct parser *p, struct selector_req *r)
{
    struct item it = consume_raw(p);
    switch (it.tok) {
    case T_IN:
        return r->op = SELECTOR_IN, true;
    case T_NOTIN:
        return r->op = SELECTOR_NOT_IN, true;
    case T_EQ:
        return r->op = SELECTOR_EQUALS, true;
    case T_EQEQ:
        return r->op = SELECTOR_DOUBLE_EQUALS, true;
    case T_NE:
        return r->op = SELECTOR_NOT_EQUALS, true;
    case T_GT:
        return r->op = SELECTOR_GT, true;
    case T_LT:
        return r->op = SELECTOR_LT, true;
    default:
        return complain(p, "unable to parse requirement: found '" STR_FMT "', expected: in, notin, =, ==, !=, gt, lt",
                        it.text);
    }
}

/* NewRequirement: what the grammar let pass but a label can't be. */
static bool check_req(struct parser *p, const struct selector_req *r)
{
    struct sb all = SB(p->mem);
    int count = 0;
    int64_t number;
    add_invalid(p, &all, &count, "key", r->key, name_qualified);
    for (int i = 0; i < r->count; i++)
        if ((r->op == SELECTOR_GT || r->op == SELECTOR_LT) && !str_to_i64(r->values[i], &number))
            sb_addf(&all,
                    "%svalues[%d]: Invalid value: " STR_FMT ": for 'Gt', 'Lt' operators, the value must be an integer",
                    count++ ? ", " : "", i, STR_ARG(str_quote(p->mem, r->values[i])));
    for (int i = 0; i < r->count; i++)
        add_invalid(p, &all, &count, str_fmtz(p->mem, "values[%d][" STR_FMT "]", i, STR_ARG(r->key)), r->values[i],
                    name_label_value);
    return finish(p, &all, count);
}

static bool parse_req(struct parser *p, struct selector_req *r)
{
    struct item it = consume(p);
    bool negated = it.tok == T_NOT;
    if (negated)
        it = consume(p);
    if (it.tok != T_WORD)
        return complain(p, "unable to parse requirement: found '" STR_FMT "', expected: identifier", it.text);
    *r = (struct selector_req){.key = it.text};
    struct sb all = SB(p->mem);
    int count = 0;
    add_invalid(p, &all, &count, "<nil>", r->key, name_qualified);
    if (!finish(p, &all, count))
        return false;
    enum token tok = look(p).tok;
    if (negated || tok == T_END || tok == T_COMMA) {
        r->op = negated ? SELECTOR_NOT_EXISTS : SELECTOR_EXISTS;
        return true;
    }
    if (!parse_operator(p, r))
        return false;
    bool set = r->op == SELECTOR_IN || r->op == SELECTOR_NOT_IN;
    if (!(set ? parse_set(p, r) : parse_exact(p, r)))
        return false;
    sort_values(r);
    return check_req(p, r);
}

static void add_req(struct arena *mem, struct selector *s, struct selector_req r)
{
    if ((s->count & (s->count - 1)) == 0) {
        size_t old = sizeof r * (size_t)s->count;
        struct selector_req *grown = arena_alloc(mem, old ? old * 2 : sizeof r);
        if (old)
            memcpy(grown, s->reqs, old);
        s->reqs = grown;
    }
    s->reqs[s->count++] = r;
}

/* Stable, so that equal keys stay as they were written. Insertion would be quadratic on a stranger's text. */
static void sort_reqs(struct arena *mem, struct selector *s)
{
    struct selector_req *from = s->reqs, *to = arena_array(mem, struct selector_req, s->count + 1);
    for (int width = 1; width < s->count; width *= 2) {
        for (int lo = 0; lo < s->count; lo += 2 * width) {
            int mid = lo + width < s->count ? lo + width : s->count,
                hi = mid + width < s->count ? mid + width : s->count;
            for (int i = lo, j = mid, k = lo; k < hi; k++)
                to[k] = i < mid && (j >= hi || str_cmp(from[i].key, from[j].key) <= 0) ? from[i++] : from[j++];
        }
        struct selector_req *swap = from;
        from = to, to = swap;
    }
    s->reqs = from;
}

struct selector *selector_parse(struct arena *mem, struct str text, struct err *err)
{
    struct parser p = {.mem = mem, .err = err, .rest = text};
    struct selector *s = arena_new_of(mem, struct selector);
    if (text.len > SELECTOR_BYTES_MAX) {
        err_set(err, ERR_BAD_REQUEST, "the selector is longer than %d bytes", SELECTOR_BYTES_MAX);
        return NULL;
    }
    p.next = lex(&p);
    while (look(&p).tok != T_END) {
        struct item it = look(&p);
        struct selector_req r;
        if (it.tok != T_WORD && it.tok != T_NOT)
            return complain(&p, "found '" STR_FMT "', expected: !, identifier, or 'end of string'", it.text), NULL;
        if (!parse_req(&p, &r))
            return NULL;
        add_req(mem, s, r);
        it = consume(&p);
        if (it.tok == T_END)
            break;
        if (it.tok != T_COMMA)
            return complain(&p, "found '" STR_FMT "', expected: ',' or 'end of string'", it.text), NULL;
        it = look(&p);
        if (it.tok != T_WORD && it.tok != T_NOT)
            return complain(&p, "found '" STR_FMT "', expected: identifier after ','", it.text), NULL;
    }
    sort_reqs(mem, s);
    return s;
}

/* ---- field selectors */

/* The value behind the operator, escapes resolved; false with *err filled. */
static bool unescape(struct arena *mem, struct str raw, struct str *ret, struct err *err)
{
    struct sb out = SB(mem);
    for (size_t i = 0; i < raw.len; i++) {
        char ch = raw.ptr[i];
        if (ch == ',' || ch == '=') {
            err_set(err, ERR_BAD_REQUEST, "invalid field selector: unescaped character in value: %d", ch);
            return false;
        }
        if (ch == '\\') {
            if (++i == raw.len || !strchr("\\,=", raw.ptr[i]) || !raw.ptr[i]) {
                size_t n = 1; /* one whole character of UTF-8 */
                while (i + n < raw.len && (raw.ptr[i + n] & 0xc0) == 0x80)
                    n++;
                struct str bad = i < raw.len ? str_mem(raw.ptr + i, n) : STR("");
                err_set(err, ERR_BAD_REQUEST, "invalid field selector: invalid escape sequence: \\" STR_FMT,
                        STR_ARG(bad));
                return false;
            }
            ch = raw.ptr[i];
        }
        sb_addc(&out, ch);
    }
    *ret = sb_str(&out);
    return true;
}

static bool parse_field(struct arena *mem, struct str text, struct str term, struct selector_req *ret, struct err *err)
{
    size_t i = 0, len = 1;
    for (; i < term.len; i++)
        if (term.ptr[i] == '=' || (term.ptr[i] == '!' && i + 1 < term.len && term.ptr[i + 1] == '='))
            break;
    if (i == term.len) {
        err_set(err, ERR_BAD_REQUEST, "invalid selector: '" STR_FMT "'; can't understand '" STR_FMT "'", STR_ARG(text),
                STR_ARG(term));
        return false;
    }
    bool negated = term.ptr[i] == '!';
    if (negated || (i + 1 < term.len && term.ptr[i + 1] == '='))
        len = 2;
    *ret = (struct selector_req){
        .key = str_head(term, i), .op = negated ? SELECTOR_NOT_EQUALS : SELECTOR_EQUALS, .count = 1};
    ret->values = arena_new_of(mem, struct str);
    return unescape(mem, str_from(term, i + len), ret->values, err);
}

/* The next term of *rest, up to a comma that no backslash escapes. */
static struct str next_term(struct str *rest)
{
    size_t n = 0;
    while (n < rest->len && rest->ptr[n] != ',')
        n += rest->ptr[n] == '\\' ? 2 : 1;
    struct str term = str_head(*rest, n);
    *rest = str_from(*rest, n + 1);
    return term;
}

struct selector *field_selector_parse(struct arena *mem, struct str text, struct err *err)
{
    struct selector *s = arena_new_of(mem, struct selector);
    s->fields = true;
    if (text.len > SELECTOR_BYTES_MAX) {
        err_set(err, ERR_BAD_REQUEST, "the selector is longer than %d bytes", SELECTOR_BYTES_MAX);
        return NULL;
    }
    for (struct str rest = text; rest.len;) {
        struct selector_req r;
        struct str term = next_term(&rest);
        if (!term.len)
            continue;
        if (!parse_field(mem, text, term, &r, err))
            return NULL;
        add_req(mem, s, r);
    }
    sort_reqs(mem, s);
    return s;
}

/* ---- from documents */

struct selector *selector_from_map(struct arena *mem, const struct doc *labels)
{
    struct selector *s = arena_new_of(mem, struct selector);
    doc_each (pair, labels) {
        struct selector_req r = {.key = pair->key, .op = SELECTOR_EQUALS, .count = 1};
        r.values = arena_new_of(mem, struct str);
        *r.values = doc_string(pair);
        add_req(mem, s, r);
    }
    sort_reqs(mem, s);
    return s;
}

static bool read_expression(struct arena *mem, const struct doc *expr, struct selector_req *ret, struct err *err)
{
    static const struct {
        const char *word;
        enum selector_op op;
    } ops[] = {{"In", SELECTOR_IN},
               {"NotIn", SELECTOR_NOT_IN},
               {"Exists", SELECTOR_EXISTS},
               {"DoesNotExist", SELECTOR_NOT_EXISTS}};
    struct str word = doc_str(expr, "operator");
    *ret = (struct selector_req){.key = doc_str(expr, "key")};
    size_t i = 0;
    while (i < sizeof ops / sizeof *ops && !str_is(word, ops[i].word))
        i++;
    if (i == sizeof ops / sizeof *ops) {
        err_set(err, ERR_BAD_REQUEST, STR_FMT " is not a valid label selector operator", STR_ARG(str_quote(mem, word)));
        return false;
    }
    ret->op = ops[i].op;
    const struct doc *values = doc_get(expr, "values");
    ret->values = arena_array(mem, struct str, doc_len(values) + 1);
    doc_each (v, values)
        ret->values[ret->count++] = doc_string(v);
    sort_values(ret);
    bool set = ret->op == SELECTOR_IN || ret->op == SELECTOR_NOT_IN;
    if (set == (ret->count > 0))
        return true;
    err_set(err, ERR_BAD_REQUEST,
            set ? "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
                : "values: Invalid value: " STR_FMT ": values set must be empty for exists and does not exist",
            STR_ARG(doc_json(mem, values ? values : doc_new_array(mem))));
    return false;
}

struct selector *selector_from_doc(struct arena *mem, const struct doc *label_selector, struct err *err)
{
    if (!doc_is(label_selector, DOC_OBJECT)) {
        struct selector *none = arena_new_of(mem, struct selector);
        none->nothing = true;
        return none;
    }
    struct selector *s = selector_from_map(mem, doc_get(label_selector, "matchLabels"));
    doc_each (expr, doc_get(label_selector, "matchExpressions")) {
        struct selector_req r;
        if (!read_expression(mem, expr, &r, err))
            return NULL;
        add_req(mem, s, r);
    }
    sort_reqs(mem, s);
    return s;
}

/* ---- matching */

static bool has_value(const struct selector_req *r, struct str value)
{
    int lo = 0, hi = r->count;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2, order = str_cmp(r->values[mid], value);
        if (order == 0)
            return true;
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

static bool req_matches(const struct selector_req *r, struct str value, bool found)
{
    int64_t a, b;
    switch (r->op) {
    case SELECTOR_IN:
    case SELECTOR_EQUALS:
    case SELECTOR_DOUBLE_EQUALS:
        return found && has_value(r, value);
    case SELECTOR_NOT_IN:
    case SELECTOR_NOT_EQUALS:
        return !found || !has_value(r, value);
    case SELECTOR_EXISTS:
        return found;
    case SELECTOR_NOT_EXISTS:
        return !found;
    case SELECTOR_GT:
    case SELECTOR_LT:
        if (!found || r->count != 1 || !str_to_i64(value, &a) || !str_to_i64(r->values[0], &b))
            return false;
        return r->op == SELECTOR_GT ? a > b : a < b;
    }
    return false;
}

bool selector_matches_get(const struct selector *sel, selector_get_fn *get, void *data)
{
    if (sel->nothing)
        return false;
    for (int i = 0; i < sel->count; i++) {
        bool found = false;
        struct str value = get(data, sel->reqs[i].key, &found);
        if (sel->fields && !found)
            value = STR(""), found = true;
        if (!req_matches(&sel->reqs[i], value, found))
            return false;
    }
    return true;
}

static struct str get_label(void *data, struct str key, bool *found)
{
    const struct doc *labels = data, *value = doc_get_str(labels, key);
    *found = value != NULL;
    return doc_string(value);
}

bool selector_matches(const struct selector *sel, const struct doc *labels)
{
    return selector_matches_get(sel, get_label, (void *)(uintptr_t)labels);
}

bool selector_is_everything(const struct selector *sel)
{
    return !sel->nothing && sel->count == 0;
}

bool selector_exact(const struct selector *sel, struct str key, struct str *ret)
{
    for (int i = 0; i < sel->count; i++) {
        const struct selector_req *r = &sel->reqs[i];
        bool exact = r->op == SELECTOR_EQUALS || r->op == SELECTOR_DOUBLE_EQUALS || r->op == SELECTOR_IN;
        if (!str_eq(r->key, key) || !exact || r->count != 1)
            continue;
        *ret = r->values[0];
        return true;
    }
    return false;
}

/* ---- printing */

static void add_escaped(struct sb *out, struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] && strchr("\\,=", value.ptr[i]))
            sb_addc(out, '\\');
        sb_addc(out, value.ptr[i]);
    }
}

struct str selector_str(struct arena *mem, const struct selector *sel)
{
    static const char *const before[] = {" in (", " notin (", "=", "==", "!=", "", "", ">", "<"};
    struct sb out = SB(mem);
    for (int i = 0; i < sel->count; i++) {
        const struct selector_req *r = &sel->reqs[i];
        if (i)
            sb_addc(&out, ',');
        if (r->op == SELECTOR_NOT_EXISTS)
            sb_addc(&out, '!');
        sb_add(&out, r->key);
        sb_addz(&out, before[r->op]);
        for (int v = 0; v < r->count; v++) {
            if (v)
                sb_addc(&out, ',');
            if (sel->fields)
                add_escaped(&out, r->values[v]);
            else
                sb_add(&out, r->values[v]);
        }
        if (r->op == SELECTOR_IN || r->op == SELECTOR_NOT_IN)
            sb_addc(&out, ')');
    }
    return sb_str(&out);
}
