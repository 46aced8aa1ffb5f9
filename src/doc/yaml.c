/* libfyaml tells events; we build the tree without recursion, as parse.c does. The library is opened on first use: a
 * server that reads only JSON never carries it. */
#include "doc/doc.h"

#include <dlfcn.h>
#include <libfyaml.h>
#include <math.h>
#include <pthread.h>

#include "base/map.h"
#include "doc/dups.h"
#include "doc/scalar.h"
#include "doc/utf8.h"

enum { YAML_ALIAS_NODES_MAX = 200000, MERGE_SEARCH_MAX = 64 };

/* ---- the library */

#define FY_CALLS(X)                                                                                                    \
    X(fy_diag_cfg_default)                                                                                             \
    X(fy_diag_create)                                                                                                  \
    X(fy_diag_destroy)                                                                                                 \
    X(fy_diag_set_collect_errors)                                                                                      \
    X(fy_diag_errors_iterate)                                                                                          \
    X(fy_parser_create)                                                                                                \
    X(fy_parser_destroy)                                                                                               \
    X(fy_parser_set_string)                                                                                            \
    X(fy_parser_parse)                                                                                                 \
    X(fy_parser_event_free)                                                                                            \
    X(fy_event_start_mark)                                                                                             \
    X(fy_token_end_mark)                                                                                               \
    X(fy_token_start_mark)                                                                                             \
    X(fy_token_get_text)                                                                                               \
    X(fy_token_scalar_style)

static struct {
#define X(name) __typeof__(&name) name;
    FY_CALLS(X)
#undef X
    bool ready;
} fy;

static void library_open(void)
{
    void *lib = dlopen("libfyaml.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        return;
    bool all = true;
#define X(name) all = (fy.name = (__typeof__(fy.name))dlsym(lib, #name)) && all;
    FY_CALLS(X)
#undef X
    fy.ready = all;
}

static bool library(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, library_open);
    return fy.ready;
}

/* ---- state */

struct anchor {
    struct str name;
    struct doc *doc;
    size_t nodes; /* in it; 0 while it is open */
};

/* An open mapping or sequence. */
struct frame {
    struct frame *up;
    struct doc *d;
    struct anchor *anchor;
    size_t nodes_before;
    struct str key;     /* of the member whose value comes next */
    bool keyed;         /* key is set */
    bool merge;         /* ... and it is << */
    bool as_merge;      /* this container is itself the value of << */
    struct doc *merges; /* array of what << named, in order */
};

struct reader {
    struct arena *mem;
    struct err *err;
    struct str text;
    struct fy_parser *fyp;
    struct fy_diag *diag;
    struct dups dups;
    struct map anchors;
    struct frame *top, *spare;
    struct doc *root;
    size_t nodes, alias_nodes;
    int depth, depth_max, line;
};

static bool fail(struct reader *r, const char *why)
{
    err_set(r->err, ERR_BAD_REQUEST, "yaml: line %d: %s", r->line, why);
    return false;
}

static struct doc *node_new(struct reader *r, enum doc_type type)
{
    struct doc *d = arena_new_of(r->mem, struct doc);
    d->type = type;
    r->nodes++;
    return d;
}

/* ---- placing values */

static void append(struct doc *parent, struct doc *d)
{
    if (parent->last)
        parent->last->next = d;
    else
        parent->first = d;
    parent->last = d;
    parent->count++;
}

static bool mergeable(const struct doc *d)
{
    return d->type == DOC_OBJECT || d->type == DOC_ARRAY;
}

/* d is the next value of the innermost container. Containers are placed when they open; d->next is set afterwards. */
static bool place(struct reader *r, struct doc *d, bool *ret_merge)
{
    struct frame *f = r->top;
    *ret_merge = false;
    if (!f) {
        r->root = d;
        return true;
    }
    if (f->d->type == DOC_ARRAY) {
        append(f->d, d);
        return true;
    }
    f->keyed = false;
    if (f->merge) {
        f->merge = false;
        *ret_merge = true;
        return mergeable(d) || fail(r, "map merge requires map or sequence of maps as the value");
    }
    d->key = f->key;
    dups_note(&r->dups, f->d, d);
    append(f->d, d);
    return true;
}

/* Keep what a << named until its mapping is complete: keys that stand there win. */
static bool merge_later(struct reader *r, struct frame *f, struct doc *d)
{
    if (!f->merges)
        f->merges = doc_new_array(r->mem);
    if (d->type == DOC_OBJECT) {
        doc_push(f->merges, d);
        return true;
    }
    for (struct doc *item = d->first, *next; item; item = next) {
        next = item->next;
        if (item->type != DOC_OBJECT)
            return fail(r, "map merge requires map or sequence of maps as the value");
        doc_push(f->merges, item);
    }
    return true;
}

/* Of several maps the earlier one wins. */
static void merge_now(struct reader *r, struct doc *obj, const struct doc *merges)
{
    struct map keys = MAP_INIT;
    size_t all = obj->count;
    doc_each (from, merges)
        all += from->count;
    bool hashed = all > MERGE_SEARCH_MAX;
    if (hashed)
        doc_each (d, obj)
            map_put(&keys, d->key, d);
    doc_each (from, merges) {
        for (struct doc *d = from->first, *next; d; d = next) {
            next = d->next;
            if (hashed ? map_get(&keys, d->key) != NULL : doc_get_str(obj, d->key) != NULL)
                continue;
            d->next = NULL;
            append(obj, d);
            if (hashed)
                map_put(&keys, d->key, d);
        }
    }
    map_done(&keys);
}

/* ---- scalars */

static struct str token_text(struct reader *r, struct fy_token *token)
{
    size_t len = 0;
    const char *text = token ? fy.fy_token_get_text(token, &len) : NULL;
    return text ? str_dup(r->mem, str_mem(text, len)) : STR("");
}

static bool is_blank_char(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Line breaks at raw.ptr[i] with the white space around them become a space, or one break less than there are. */
static size_t fold(struct str raw, size_t i, struct sb *out, size_t line_start)
{
    int breaks = 0;
    while (out->len > line_start && is_blank_char(out->ptr[out->len - 1]))
        out->len--;
    for (; i < raw.len && is_blank_char(raw.ptr[i]); i++)
        breaks += raw.ptr[i] == '\n' || (raw.ptr[i] == '\r' && (i + 1 == raw.len || raw.ptr[i + 1] != '\n'));
    if (breaks == 1)
        sb_addc(out, ' ');
    for (; breaks > 1; breaks--)
        sb_addc(out, '\n');
    return i;
}

/* libfyaml 0.7.12 decodes two doubled quotes in a row wrongly ('a''''b' loses the b), so what stands in single quotes
 * is decoded here, from the source between its marks. */
static struct str single_quoted(struct reader *r, struct fy_token *token)
{
    const struct fy_mark *from = fy.fy_token_start_mark(token), *to = fy.fy_token_end_mark(token);
    if (!from || !to || from->input_pos > to->input_pos || to->input_pos > r->text.len)
        return token_text(r, token);
    struct str raw = str_mem(r->text.ptr + from->input_pos, to->input_pos - from->input_pos);
    struct sb out = SB(r->mem);
    size_t line_start = 0;
    for (size_t i = 0; i < raw.len;) {
        if (raw.ptr[i] == '\n' || raw.ptr[i] == '\r') {
            i = fold(raw, i, &out, line_start);
            line_start = out.len;
            continue;
        }
        sb_addc(&out, raw.ptr[i]);
        i += raw.ptr[i] == '\'' ? 2 : 1;
    }
    return out.len ? sb_str(&out) : STR("");
}

static struct doc *text_node(struct reader *r, struct str text)
{
    struct doc *d = node_new(r, DOC_STRING);
    d->s = text;
    return d;
}

static struct doc *resolved_node(struct reader *r, struct scalar s, struct str text)
{
    struct sb out = SB(r->mem);
    struct doc *d;
    switch (s.type) {
    case SCALAR_NULL:
        return node_new(r, DOC_NULL);
    case SCALAR_BOOL:
        d = node_new(r, DOC_BOOL);
        d->b = s.b;
        return d;
    case SCALAR_INT:
        d = node_new(r, DOC_INT);
        d->i = s.i;
        return d;
    case SCALAR_UINT:
        sb_addf(&out, "%llu", (unsigned long long)s.u);
        break;
    case SCALAR_FLOAT:
        if (!isfinite(s.f)) {
            err_set(r->err, ERR_BAD_REQUEST, "json: unsupported value: %s",
                    isnan(s.f) ? "NaN"
                    : s.f > 0  ? "+Inf"
                               : "-Inf");
            return NULL;
        }
        scalar_put_json_float(&out, s.f);
        break;
    case SCALAR_STR:
    case SCALAR_TIME:
        return text_node(r, text);
    }
    /* An integral float is an integer in JSON: 1e3 is 1000. */
    d = node_new(r, DOC_NUMBER);
    d->s = sb_str(&out);
    int64_t i;
    if (!str_is(d->s, "-0") && str_to_i64(d->s, &i)) {
        d->type = DOC_INT;
        d->i = i;
    }
    return d;
}

static const char longtag[] = "tag:yaml.org,2002:";
static const char *const tag_words[] = {"str", "null", "bool", "int", "int", "float", "timestamp"}; /* by scalar_type */

static bool binary(struct reader *r, struct str text, struct str *ret)
{
    struct sb packed = SB(r->mem);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '\n' && text.ptr[i] != ' ')
            sb_addc(&packed, text.ptr[i]);
    if (!str_base64_dec(r->mem, sb_str(&packed), ret))
        return fail(r, "!!binary value contains invalid base64 data");
    return utf8_valid(*ret) || fail(r, "!!binary value is not UTF-8, which JSON cannot hold");
}

/* The tag decides, else the style: what is quoted is a string. */
static bool scalar_of(struct reader *r, struct fy_event *e, struct scalar *ret, struct str *ret_text)
{
    struct fy_token *token = e->scalar.value;
    enum fy_scalar_style style = token ? fy.fy_token_scalar_style(token) : FYSS_PLAIN;
    bool plain = style == FYSS_PLAIN;
    struct str tag = token_text(r, e->scalar.tag);
    struct str text = style == FYSS_SINGLE_QUOTED ? single_quoted(r, token) : token_text(r, token);
    *ret_text = text;
    *ret = (struct scalar){.type = SCALAR_STR};
    if (!utf8_valid(text))
        return fail(r, "found invalid Unicode character escape code");
    if (tag.len == 0) {
        if (plain)
            *ret = scalar_resolve(text);
        return true;
    }
    if (!str_starts(tag, str_of(longtag)))
        return true; /* of an application: the text as it is */
    tag = str_from(tag, sizeof longtag - 1);
    if (str_is(tag, "binary"))
        return binary(r, text, ret_text);
    bool known = false;
    for (int i = SCALAR_NULL; i <= SCALAR_TIME; i++)
        known = known || str_is(tag, tag_words[i]);
    if (!known)
        return true;
    *ret = scalar_resolve(text);
    if (ret->type == SCALAR_INT && str_is(tag, "float"))
        *ret = (struct scalar){SCALAR_FLOAT, {.f = (double)ret->i}};
    if (str_is(tag, tag_words[ret->type]))
        return true;
    return fail(r, str_fmtz(r->mem, "cannot decode !!%s `%.*s` as a !!%.*s", tag_words[ret->type], STR_ARG(text),
                            STR_ARG(tag)));
}

/* JSON knows only string keys; Kubernetes turns the others into one where it can. */
static bool key_of(struct reader *r, struct scalar s, struct str text, struct str *ret)
{
    struct sb out = SB(r->mem);
    switch (s.type) {
    case SCALAR_STR:
    case SCALAR_TIME:
        *ret = text;
        return true;
    case SCALAR_BOOL:
        *ret = s.b ? STR("true") : STR("false");
        return true;
    case SCALAR_INT:
        *ret = str_fmt(r->mem, "%lld", (long long)s.i);
        return true;
    case SCALAR_FLOAT:
        scalar_put_key_float(&out, s.f);
        *ret = sb_str(&out);
        return true;
    case SCALAR_NULL:
    case SCALAR_UINT:
        break;
    }
    return fail(r, str_fmtz(r->mem, "unsupported map key of type: %s, key: %.*s",
                            s.type == SCALAR_NULL ? "null" : "uint64", STR_ARG(text)));
}

/* ---- events */

static struct anchor *anchor_note(struct reader *r, struct fy_token *token, struct doc *d)
{
    struct str name = token_text(r, token);
    if (!token || name.len == 0)
        return NULL;
    struct anchor *a = arena_new_of(r->mem, struct anchor);
    *a = (struct anchor){name, d, 0};
    map_put(&r->anchors, a->name, a); /* a name may be used again: the newest stands */
    return a;
}

static bool value(struct reader *r, struct doc *d)
{
    bool merge;
    return place(r, d, &merge) && (!merge || merge_later(r, r->top, d));
}

static bool waits_for_key(const struct reader *r)
{
    return r->top && r->top->d->type == DOC_OBJECT && !r->top->keyed;
}

static bool on_scalar(struct reader *r, struct fy_event *e)
{
    struct scalar s;
    struct str text;
    if (!scalar_of(r, e, &s, &text))
        return false;
    struct frame *f = r->top;
    if (waits_for_key(r)) {
        bool plain = !e->scalar.tag && e->scalar.value && fy.fy_token_scalar_style(e->scalar.value) == FYSS_PLAIN;
        f->merge = plain && str_is(text, "<<");
        f->keyed = true;
        if (e->scalar.anchor) {
            struct anchor *a = anchor_note(r, e->scalar.anchor, resolved_node(r, s, text));
            if (a)
                a->nodes = 1;
            if (a && !a->doc)
                return false;
        }
        return key_of(r, s, text, &f->key);
    }
    struct doc *d = resolved_node(r, s, text);
    if (!d)
        return false;
    struct anchor *a = anchor_note(r, e->scalar.anchor, d);
    if (a)
        a->nodes = 1;
    return value(r, d);
}

static bool on_start(struct reader *r, enum doc_type type, struct fy_token *anchor)
{
    if (waits_for_key(r))
        return fail(r, type == DOC_OBJECT ? "invalid map key: a mapping" : "invalid map key: a sequence");
    if (++r->depth > r->depth_max)
        return fail(r, "exceeded max depth");
    struct frame *f = r->spare ? r->spare : arena_alloc(r->mem, sizeof *f);
    r->spare = r->spare ? r->spare->up : NULL;
    *f = (struct frame){.up = r->top, .nodes_before = r->nodes};
    f->d = node_new(r, type);
    f->anchor = anchor_note(r, anchor, f->d);
    if (!place(r, f->d, &f->as_merge))
        return false;
    f->d->next = r->top ? r->top->d : NULL;
    r->top = f;
    return true;
}

static bool on_end(struct reader *r)
{
    struct frame *f = r->top;
    if (f->d->type == DOC_OBJECT)
        dups_close(&r->dups, f->d);
    if (f->merges)
        merge_now(r, f->d, f->merges);
    f->d->next = NULL;
    if (f->anchor)
        f->anchor->nodes = r->nodes - f->nodes_before;
    r->depth--;
    r->top = f->up;
    f->up = r->spare;
    r->spare = f;
    return !f->as_merge || merge_later(r, r->top, f->d);
}

static bool key_from_alias(struct reader *r, const struct doc *d)
{
    r->top->keyed = true;
    r->top->merge = false;
    if (d->type == DOC_STRING)
        r->top->key = d->s;
    else if (d->type == DOC_INT || d->type == DOC_BOOL)
        r->top->key = doc_json(r->mem, d);
    else
        return fail(r, "invalid map key: an alias of no string");
    return true;
}

static bool on_alias(struct reader *r, struct fy_event *e)
{
    struct str name = token_text(r, e->alias.anchor);
    const struct anchor *a = map_get(&r->anchors, name);
    if (!a)
        return fail(r, str_fmtz(r->mem, "unknown anchor '%.*s' referenced", STR_ARG(name)));
    if (a->nodes == 0)
        return fail(r, str_fmtz(r->mem, "anchor '%.*s' value contains itself", STR_ARG(name)));
    if (waits_for_key(r))
        return key_from_alias(r, a->doc);
    r->alias_nodes += a->nodes;
    r->nodes += a->nodes;
    if (r->alias_nodes > YAML_ALIAS_NODES_MAX)
        return fail(r, "document contains excessive aliasing");
    return value(r, doc_copy(r->mem, a->doc));
}

static bool on_event(struct reader *r, struct fy_event *e, bool *ret_done)
{
    const struct fy_mark *mark = fy.fy_event_start_mark(e);
    if (mark)
        r->line = mark->line + 1;
    switch (e->type) {
    case FYET_SCALAR:
        return on_scalar(r, e);
    case FYET_ALIAS:
        return on_alias(r, e);
    case FYET_MAPPING_START:
        return on_start(r, DOC_OBJECT, e->mapping_start.anchor);
    case FYET_SEQUENCE_START:
        return on_start(r, DOC_ARRAY, e->sequence_start.anchor);
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        return on_end(r);
    case FYET_DOCUMENT_END:
    case FYET_STREAM_END:
        *ret_done = true;
        return true;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_DOCUMENT_START:
        break;
    }
    return true;
}

static bool library_error(struct reader *r)
{
    void *prev = NULL;
    const struct fy_diag_error *first = fy.fy_diag_errors_iterate(r->diag, &prev);
    if (first && first->line > 0)
        r->line = first->line;
    return fail(r, first && first->msg ? first->msg : "could not be read");
}

static bool read_events(struct reader *r)
{
    bool done = false, good = true;
    while (good && !done) {
        struct fy_event *e = fy.fy_parser_parse(r->fyp);
        if (!e)
            return library_error(r);
        good = on_event(r, e, &done);
        fy.fy_parser_event_free(r->fyp, e);
    }
    return good;
}

/* ---- documents of a stream */

/* A line that begins with --- and a space or nothing more ends the document before it, wherever it stands. */
static bool is_separator(struct str text)
{
    return str_starts(text, STR("---")) && (text.len == 3 || strchr(" \t\r\n", text.ptr[3]) != NULL);
}

/* Nothing but white space, comments, directives and separators. */
static bool is_blank(struct str text)
{
    struct str line;
    while (str_next(&text, '\n', &line)) {
        line = str_trim(line);
        if (line.len && line.ptr[0] != '#' && line.ptr[0] != '%' && !str_is(line, "---"))
            return false;
    }
    return true;
}

/* The first document of text that holds something, and what follows it. */
static struct str first_document(struct str text, struct str *ret_rest)
{
    for (;;) {
        size_t at = 0;
        bool found = false;
        while (at < text.len && !(found = is_separator(str_from(text, at)))) {
            const char *eol = memchr(text.ptr + at, '\n', text.len - at);
            at = eol ? (size_t)(eol - text.ptr) + 1 : text.len;
        }
        struct str doc = str_head(text, at);
        *ret_rest = found ? str_from(text, at + 3) : str_from(text, text.len);
        if (is_blank(*ret_rest))
            *ret_rest = STR_NULL; /* so that whoever loops over documents sees no empty last one */
        if (ret_rest->len == 0 || !is_blank(doc))
            return doc;
        text = *ret_rest;
    }
}

static bool read_text(struct reader *r, struct str text)
{
    struct fy_diag_cfg diag_cfg;
    fy.fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    diag_cfg.level = FYET_ERROR;
    r->text = text;
    r->diag = fy.fy_diag_create(&diag_cfg);
    if (!r->diag)
        return fail(r, "out of memory");
    fy.fy_diag_set_collect_errors(r->diag, true);
    /* Where a flow mapping's lines begin means nothing to go-yaml. */
    struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DISABLE_DEPTH_LIMIT |
                                        FYPCF_SLOPPY_FLOW_INDENTATION,
                               .diag = r->diag};
    r->fyp = fy.fy_parser_create(&cfg);
    bool good = r->fyp && fy.fy_parser_set_string(r->fyp, text.ptr, text.len) == 0;
    good = good ? read_events(r) : fail(r, "out of memory");
    if (r->fyp)
        fy.fy_parser_destroy(r->fyp);
    fy.fy_diag_destroy(r->diag);
    return good;
}

struct doc *doc_parse_yaml(struct arena *mem, struct str text, struct str *rest, const struct doc_opts *opts,
                           struct err *err)
{
    struct reader r = {.mem = mem, .err = err, .line = 1, .anchors = MAP_INIT};
    struct str after, first = first_document(text, &after);
    r.depth_max = opts && opts->depth_max > 0 ? opts->depth_max : DOC_DEPTH_MAX;
    dups_init(&r.dups, mem, opts ? opts->ret_dups : NULL);
    if (rest)
        *rest = after;
    bool good = true;
    if (text.len > DOC_BYTES_MAX)
        good = fail(&r, "the document is too large");
    else if (!utf8_valid(first))
        good = fail(&r, "invalid leading UTF-8 octet");
    else if (!is_blank(first) && !library())
        err_set(err, ERR_INTERNAL, "cannot read YAML: libfyaml.so.0 is not installed"), good = false;
    else if (!is_blank(first))
        good = read_text(&r, first);
    map_done(&r.anchors);
    dups_done(&r.dups);
    if (!good)
        return NULL;
    return r.root ? r.root : doc_new_null(mem);
}
