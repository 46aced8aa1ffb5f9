/* As sigs.k8s.io/yaml writes, which is what kubectl -o yaml shows: keys in go-yaml's natural order, block style, lists
 * not indented, text folded after column 80, double quotes where a plain scalar would read back as something else,
 * single quotes where its characters forbid the plain style, literals where there are lines. Rules: go-yaml v2
 * encode.go, sorter.go, emitterc.go. */
#include "doc/doc.h"

#include <stdlib.h>

#include "doc/scalar.h"
#include "doc/utf8.h"

enum { INDENT = 2, WIDTH = 80, SIMPLE_KEY_MAX = 128 };

/* ---- the order of keys */

static bool is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(uint32_t c)
{
    return (c | 0x20) - 'a' < 26 || c >= 0x80;
}

static uint32_t at(struct str s, size_t i)
{
    return i < s.len ? (unsigned char)s.ptr[i] : 0;
}

static size_t number_at(struct str s, size_t i, uint64_t *v)
{
    for (; is_digit(at(s, i)); i++)
        *v = *v * 10 + (at(s, i) - '0');
    return i;
}

/* Letters bytewise and after all else, numbers by value. Bytes order as runes do in UTF-8. */
static int key_order(struct str a, struct str b)
{
    size_t i = 0;
    while (i < a.len && i < b.len && a.ptr[i] == b.ptr[i])
        i++;
    if (i == a.len || i == b.len)
        return (a.len > b.len) - (a.len < b.len);
    uint32_t x = at(a, i), y = at(b, i);
    if (is_letter(x) && is_letter(y))
        return x < y ? -1 : 1;
    if (is_letter(x) || is_letter(y))
        return is_letter(y) ? -1 : 1;
    uint64_t an = 0, bn = 0;
    if (x == '0' || y == '0')
        for (size_t j = i; j > 0 && is_digit(at(a, j - 1)); j--)
            if (at(a, j - 1) != '0') {
                an = bn = 1;
                break;
            }
    size_t ai = number_at(a, i, &an), bi = number_at(b, i, &bn);
    if (an != bn)
        return an < bn ? -1 : 1;
    if (ai != bi)
        return ai < bi ? -1 : 1;
    return x < y ? -1 : 1;
}

static int member_order(const void *a, const void *b)
{
    return key_order((*(const struct doc *const *)a)->key, (*(const struct doc *const *)b)->key);
}

/* ---- which style a string can have */

struct shape {
    bool plain, single, literal;
};

static bool starts_indicator(struct str s)
{
    bool alone = s.len == 1 || s.ptr[1] == ' ' || s.ptr[1] == '\n';
    if (strchr("?:-", s.ptr[0]))
        return alone;
    return strchr("#,[]{}&*!|>'\"%@`", s.ptr[0]) != NULL;
}

/* What YAML can show as it is; a tab is written as \t. */
static bool printable(uint32_t rune)
{
    if (rune < 0x80)
        return rune == '\n' || (rune >= 0x20 && rune < 0x7f);
    return rune >= 0xa0 && rune != 0xfeff && rune != 0xfffe && rune != 0xffff && rune != 0x2028 && rune != 0x2029;
}

static struct shape shape_of(struct str s)
{
    struct shape ok = {true, true, true};
    const char *end = s.ptr + s.len;
    if (s.len == 0)
        return (struct shape){true, true, false};
    if (str_starts(s, STR("---")) || str_starts(s, STR("...")) || s.ptr[0] == 0 || starts_indicator(s))
        ok.plain = false;
    char last = s.ptr[s.len - 1];
    if (s.ptr[0] == ' ' || s.ptr[0] == '\n' || last == ' ' || last == '\n')
        ok.plain = false;
    if (last == ' ')
        ok.literal = false;
    for (const char *p = s.ptr; p < end;) {
        int n = utf8_seq(p, end);
        if (n == 0 || !printable(utf8_rune(p, n)))
            return (struct shape){false, false, false};
        char next = p + 1 < end ? p[1] : '\n';
        if (*p == '\n')
            ok.plain = ok.single = false;
        if (*p == ' ' && next == '\n' && p + 1 < end)
            return (struct shape){false, false, false};
        if ((*p == ':' && (next == ' ' || next == '\n')) || (*p == ' ' && next == '#' && p + 1 < end))
            ok.plain = false;
        p += n;
    }
    return ok;
}

/* ---- scalars */

static void newline(struct sb *out, size_t indent)
{
    char *p = sb_room(out, indent + 1);
    *p = '\n';
    memset(p + 1, ' ', indent);
    out->len += indent + 1;
}

static size_t column_of(const struct sb *out)
{
    size_t n = 0;
    for (size_t i = out->len; i > 0 && out->ptr[i - 1] != '\n'; i--)
        n += ((unsigned char)out->ptr[i - 1] & 0xc0) != 0x80;
    return n;
}

static void put_escaped(struct sb *out, uint32_t rune)
{
    static const char from[] = "\a\b\t\n\v\f\r\x1b\"\\", into[] = "abtnvfre\"\\";
    const char *hit = rune && rune < 0x80 ? strchr(from, (int)rune) : NULL;
    if (hit)
        sb_addf(out, "\\%c", into[hit - from]);
    else if (rune == 0)
        sb_addz(out, "\\0");
    else if (rune == 0x85 || rune == 0xa0)
        sb_addz(out, rune == 0x85 ? "\\N" : "\\_");
    else if (rune == 0x2028 || rune == 0x2029)
        sb_addz(out, rune == 0x2028 ? "\\L" : "\\P");
    else
        sb_addf(out, rune < 0x100 ? "\\x%02X" : rune < 0x10000 ? "\\u%04X" : "\\U%08X", rune);
}

/* A flowing style: plain (quote 0), ' or ". Folded at single spaces past WIDTH, except in keys. */
static void put_flow(struct sb *out, struct str s, char quote, size_t indent, bool fold)
{
    const char *end = s.ptr + s.len;
    size_t column = column_of(out) + (quote != 0);
    bool spaces = false;
    if (quote)
        sb_addc(out, quote);
    for (const char *p = s.ptr; p < end;) {
        int n = utf8_seq(p, end);
        uint32_t rune = n ? utf8_rune(p, n) : 0xfffd;
        size_t before = out->len;
        n = n ? n : 1;
        bool inside = p > s.ptr && p + 1 < end;
        if (*p == ' ' && fold && !spaces && column > WIDTH && inside && (quote == '"' || p[1] != ' ')) {
            newline(out, indent);
            if (p[1] == ' ')
                sb_addc(out, '\\');
            column = indent + (p[1] == ' ');
        } else {
            if (quote == '"' && (!printable(rune) || rune == '\n' || rune == '"' || rune == '\\'))
                put_escaped(out, rune);
            else if (quote == '\'' && *p == '\'')
                sb_addz(out, "''");
            else
                sb_add(out, str_mem(p, (size_t)n));
            column += n > 1 && out->len - before == (size_t)n ? 1 : out->len - before;
        }
        spaces = *p == ' ';
        p += n;
    }
    if (quote)
        sb_addc(out, quote);
}

static void put_literal(struct sb *out, struct str s, size_t indent)
{
    size_t n = s.len;
    sb_addc(out, '|');
    if (s.ptr[0] == ' ' || s.ptr[0] == '\n')
        sb_addc(out, '0' + INDENT);
    if (s.ptr[n - 1] != '\n')
        sb_addc(out, '-');
    else if (n == 1 || s.ptr[n - 2] == '\n')
        sb_addc(out, '+');
    struct str line, rest = s.ptr[n - 1] == '\n' ? str_head(s, n - 1) : s;
    bool more;
    do {
        more = str_cut(rest, '\n', &line, &rest);
        newline(out, line.len ? indent : 0);
        sb_add(out, line);
    } while (more);
}

static void put_string(struct sb *out, struct str s, size_t indent, bool key)
{
    struct shape can = shape_of(s);
    bool lines = s.len && memchr(s.ptr, '\n', s.len);
    /* go-yaml leaves << bare, and then reads a merge. */
    bool same = scalar_resolve(s).type == SCALAR_STR && !scalar_base60(s) && !str_is(s, "<<");
    if (lines && can.literal && !key)
        put_literal(out, s, indent);
    else if (!lines && same && can.plain)
        put_flow(out, s, 0, indent, !key);
    else if (!lines && same && can.single)
        put_flow(out, s, '\'', indent, !key);
    else
        put_flow(out, s, '"', indent, !key);
}

/* ---- structure */

/* An open container, in the arena of the output: documents may be deeper than the C stack. */
struct level {
    struct level *up;
    const struct doc *d;
    const struct doc *item;    /* next one of an array */
    const struct doc **sorted; /* members of an object */
    uint32_t at;
    size_t indent;
    bool begun; /* the line of the next child is open: after `- ` or at the start */
};

static struct level *open_level(struct arena *mem, struct level *up, const struct doc *d, size_t indent, bool begun)
{
    struct level *l = arena_new_of(mem, struct level);
    *l = (struct level){.up = up, .d = d, .item = d->first, .indent = indent, .begun = begun};
    if (d->type != DOC_OBJECT)
        return l;
    uint32_t n = 0;
    l->sorted = arena_alloc(mem, d->count * sizeof(struct doc *));
    doc_each (m, d)
        l->sorted[n++] = m;
    qsort(l->sorted, n, sizeof(struct doc *), member_order);
    return l;
}

static const struct doc *next_child(struct level *l)
{
    const struct doc *d = l->item;
    if (l->d->type == DOC_OBJECT)
        return l->at < l->d->count ? l->sorted[l->at++] : NULL;
    l->item = d ? d->next : NULL;
    return d;
}

static void put_scalar(struct sb *out, const struct doc *d, size_t indent)
{
    if (d->type == DOC_STRING)
        put_string(out, d->s, indent, /* key= */ false);
    else
        doc_json_sb(out, d); /* empty containers too */
}

static void put_key(struct sb *out, struct str key, size_t indent, bool *ret_long)
{
    *ret_long = key.len > SIMPLE_KEY_MAX;
    if (*ret_long)
        sb_addz(out, "? ");
    put_string(out, key, indent + INDENT, /* key= */ true);
    if (*ret_long)
        newline(out, indent);
    sb_addc(out, ':');
}

void doc_yaml(struct sb *out, const struct doc *d)
{
    if (!doc_first(d)) {
        put_scalar(out, d, INDENT);
        sb_addc(out, '\n');
        return;
    }
    struct level *l = open_level(out->mem, NULL, d, 0, /* begun= */ true);
    while (l) {
        const struct doc *child = next_child(l);
        if (!child) {
            l = l->up;
            continue;
        }
        if (!l->begun)
            newline(out, l->indent);
        l->begun = false;
        bool in_line = l->d->type == DOC_ARRAY;
        if (in_line)
            sb_addc(out, '-');
        else
            put_key(out, child->key, l->indent, &in_line);
        if (!doc_first(child)) {
            sb_addc(out, ' ');
            put_scalar(out, child, l->indent + INDENT);
            continue;
        }
        if (in_line)
            sb_addc(out, ' ');
        bool deeper = in_line || child->type == DOC_OBJECT;
        l = open_level(out->mem, l, child, l->indent + (deeper ? INDENT : 0), in_line);
    }
    sb_addc(out, '\n');
}
