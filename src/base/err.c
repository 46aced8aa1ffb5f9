/* base/err.c - Kubernetes' error texts.
 *
 * Source: apimachinery pkg/util/validation/field (errors.go, path.go), pkg/api/errors, pkg/util/errors (Aggregate). */
#include "base/err.h"

#include <assert.h>
#include <stdio.h>

#include "base/map.h"

static const struct {
    int code;
    const char *word;
} reasons[] = {[ERR_NONE] = {200, ""},
#define X(id, http_code, text) [ERR_##id] = {http_code, text},
               ERR_REASONS(X)
#undef X
};

static const struct {
    const char *word, *text;
} cause_types[] = {
#define X(id, reason, words) [CAUSE_##id] = {reason, words},
    CAUSE_TYPES(X)
#undef X
};

int err_code(enum err_reason reason)
{
    return reasons[reason].code;
}

const char *err_word(enum err_reason reason)
{
    return reasons[reason].word;
}

const char *cause_word(enum cause_type type)
{
    return cause_types[type].word;
}

int err_set(struct err *err, enum err_reason reason, const char *fmt, ...)
{
    if (!err)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    err->reason = reason;
    err->message = str_vfmt(err->mem, fmt, ap);
    va_end(ap);
    return -1;
}

/* `pods "x"`, `deployments.apps "x"`: schema.GroupResource and GroupKind print alike. */
static void add_subject(struct sb *b, struct str group, struct str kind, struct str name)
{
    sb_add(b, kind);
    if (group.len)
        sb_addc(b, '.'), sb_add(b, group);
    sb_addc(b, ' ');
    sb_addq(b, name);
}

static void set_details(struct err *err, enum err_reason reason, struct str group, struct str kind, struct str name)
{
    err->reason = reason;
    err->group = str_dup(err->mem, group);
    err->kind = str_dup(err->mem, kind);
    err->name = str_dup(err->mem, name);
}

static int set_about(struct err *err, enum err_reason reason, const char *before, struct str group, struct str resource,
                     struct str name, const char *after)
{
    if (!err)
        return -1;
    struct sb b = SB(err->mem);
    sb_addz(&b, before);
    add_subject(&b, group, resource, name);
    sb_addz(&b, after);
    set_details(err, reason, group, resource, name);
    err->message = sb_str(&b);
    return -1;
}

int err_not_found(struct err *err, struct str group, struct str resource, struct str name)
{
    return set_about(err, ERR_NOT_FOUND, "", group, resource, name, " not found");
}

int err_already_exists(struct err *err, struct str group, struct str resource, struct str name)
{
    return set_about(err, ERR_ALREADY_EXISTS, "", group, resource, name, " already exists");
}

int err_conflict(struct err *err, struct str group, struct str resource, struct str name, const char *why)
{
    if (!err)
        return -1;
    const char *after = str_fmtz(err->mem, ": %s", why);
    return set_about(err, ERR_CONFLICT, "Operation cannot be fulfilled on ", group, resource, name, after);
}

/* ErrorList.ToAggregate: equal texts once, one alone bare, several as [a, b]. */
static void add_aggregate(struct sb *b, const struct err *err)
{
    struct map seen = MAP_INIT;
    size_t start = b->len;
    for (const struct cause *c = err->causes; c; c = c->next) {
        struct str text = str_fmt(err->mem, STR_FMT ": " STR_FMT, STR_ARG(c->field), STR_ARG(c->message));
        if (map_get(&seen, text))
            continue;
        map_put(&seen, text, &seen);
        if (b->len > start)
            sb_addz(b, ", ");
        sb_add(b, text);
    }
    if (seen.count > 1) {
        sb_addz(b, "[]"); /* room for both, then move the text between them */
        memmove(b->ptr + start + 1, b->ptr + start, b->len - 2 - start);
        b->ptr[start] = '[';
        b->ptr[b->len - 1] = ']';
    }
    map_done(&seen);
}

int err_invalid(struct err *err, struct str group, struct str kind, struct str name)
{
    if (!err || err->cause_count == 0)
        return 0;
    struct sb b = SB(err->mem);
    add_subject(&b, group, kind, name);
    sb_addz(&b, " is invalid: ");
    add_aggregate(&b, err);
    set_details(err, ERR_INVALID, group, kind, name);
    err->message = sb_str(&b);
    return -1;
}

void err_copy(struct err *to, const struct err *from)
{
    struct arena *mem = to->mem;
    assert(mem);
    *to = (struct err){.mem = mem,
                       .reason = from->reason,
                       .message = str_dup(mem, from->message),
                       .group = str_dup(mem, from->group),
                       .kind = str_dup(mem, from->kind),
                       .name = str_dup(mem, from->name),
                       .uid = str_dup(mem, from->uid),
                       .retry_after_s = from->retry_after_s,
                       .cause_count = from->cause_count};
    struct cause **tail = &to->causes;
    for (const struct cause *c = from->causes; c; c = c->next) {
        struct cause *copy = arena_new_of(mem, struct cause);
        copy->type = c->type;
        copy->field = str_dup(mem, c->field);
        copy->message = str_dup(mem, c->message);
        *tail = to->causes_last = copy;
        tail = &copy->next;
    }
}

enum { INDEX_TEXT_MAX = 16 };

/* One step of a path as text: `.name`, `name` at the top, `[3]` or `[key]`; number is scratch. */
static void fpath_step(const struct fpath *at, char number[INDEX_TEXT_MAX], struct str part[3])
{
    if (at->name) {
        part[0] = at->up ? STR(".") : STR("");
        part[1] = str_of(at->name);
        part[2] = STR("");
        return;
    }
    part[0] = STR("[");
    part[1] = at->key.ptr ? at->key : str_mem(number, (size_t)snprintf(number, INDEX_TEXT_MAX, "%d", at->index));
    part[2] = STR("]");
}

struct str fpath_str(struct arena *mem, const struct fpath *at)
{
    char number[INDEX_TEXT_MAX];
    struct str part[3];
    size_t len = 0;
    if (!at)
        return STR("<nil>");
    for (const struct fpath *p = at; p; p = p->up) {
        fpath_step(p, number, part);
        len += part[0].len + part[1].len + part[2].len;
    }
    char *text = arena_alloc(mem, len + 1), *end = text + len;
    *end = 0;
    for (const struct fpath *p = at; p; p = p->up) {
        fpath_step(p, number, part);
        for (int i = 2; i >= 0; i--) {
            end -= part[i].len;
            if (part[i].len)
                memcpy(end, part[i].ptr, part[i].len);
        }
    }
    return str_mem(text, len);
}

/* Error.ErrorBody prints the bad value of some types only. */
static bool shows_value(enum cause_type type)
{
    switch (type) {
    case CAUSE_REQUIRED:
    case CAUSE_FORBIDDEN:
    case CAUSE_TOO_LONG:
    case CAUSE_TOO_SHORT:
    case CAUSE_INTERNAL:
    case CAUSE_CONFLICT:
        return false;
    default:
        return true;
    }
}

static void add_part(struct sb *b, struct str text)
{
    if (b->len && text.len)
        sb_addz(b, ": ");
    sb_add(b, text);
}

/* value is NULL where there is none; detail may be NULL. */
static void add_cause(struct err *err, enum cause_type type, const struct fpath *at, const struct str *value,
                      const char *detail, va_list ap)
{
    if (err->cause_count++ >= ERR_CAUSES_MAX)
        return;
    struct sb b = SB(err->mem);
    add_part(&b, str_of(cause_types[type].text));
    if (value && shows_value(type))
        sb_addz(&b, ": "), sb_add(&b, *value); /* an empty raw value still has its colon, as in Go */
    if (detail)
        add_part(&b, str_vfmt(err->mem, detail, ap));
    struct cause *c = arena_new_of(err->mem, struct cause);
    c->type = type;
    c->field = fpath_str(err->mem, at);
    c->message = sb_str(&b);
    if (err->causes)
        err->causes_last->next = c;
    else
        err->causes = c;
    err->causes_last = c;
}

void err_cause_str(struct err *err, enum cause_type type, const struct fpath *at, struct str value, const char *detail,
                   ...)
{
    if (!err)
        return;
    struct str quoted = str_quote(err->mem, value);
    va_list ap;
    va_start(ap, detail);
    add_cause(err, type, at, &quoted, detail, ap);
    va_end(ap);
}

void err_cause_int(struct err *err, enum cause_type type, const struct fpath *at, int64_t value, const char *detail,
                   ...)
{
    if (!err)
        return;
    struct str text = str_fmt(err->mem, "%lld", (long long)value);
    va_list ap;
    va_start(ap, detail);
    add_cause(err, type, at, &text, detail, ap);
    va_end(ap);
}

void err_cause_raw(struct err *err, enum cause_type type, const struct fpath *at, struct str value, const char *detail,
                   ...)
{
    if (!err)
        return;
    va_list ap;
    va_start(ap, detail);
    add_cause(err, type, at, &value, detail, ap);
    va_end(ap);
}

void err_cause(struct err *err, enum cause_type type, const struct fpath *at, const char *detail, ...)
{
    if (!err)
        return;
    va_list ap;
    va_start(ap, detail);
    add_cause(err, type, at, /* value= */ NULL, detail, ap);
    va_end(ap);
}

void err_cause_enum(struct err *err, const struct fpath *at, struct str value, const char *const *supported, int count)
{
    if (!err)
        return;
    struct sb b = SB(err->mem);
    for (int i = 0; i < count; i++) {
        sb_addz(&b, i ? ", " : "supported values: ");
        sb_addq(&b, str_of(supported[i]));
    }
    err_cause_str(err, CAUSE_NOT_SUPPORTED, at, value, STR_FMT, STR_ARG(sb_str(&b)));
}
