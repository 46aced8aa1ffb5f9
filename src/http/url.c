/* http/url.c - see its header. */
#include "http/url.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(struct arena *mem, struct str text, bool plus, struct str *ret)
{
    if (str_find(text, '%') < 0 && (!plus || str_find(text, '+') < 0)) {
        *ret = text;
        return true;
    }
    char *out = arena_alloc(mem, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            bool whole = i + 2 < text.len;
            int hi = whole ? hex(text.ptr[i + 1]) : -1, lo = whole ? hex(text.ptr[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return false;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    out[n] = 0;
    *ret = str_mem(out, n);
    return true;
}

bool url_decode_path(struct arena *mem, struct str text, struct str *ret)
{
    return decode(mem, text, /* plus= */ false, ret);
}

bool url_decode_query(struct arena *mem, struct str text, struct str *ret)
{
    return decode(mem, text, /* plus= */ true, ret);
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

struct str url_encode(struct arena *mem, struct str text)
{
    struct sb b = SB(mem);
    char *p = sb_room(&b, text.len * 3 + 1);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (is_unreserved((char)c)) {
            *p++ = (char)c;
            b.len++;
            continue;
        }
        *p++ = '%', *p++ = "0123456789ABCDEF"[c >> 4], *p++ = "0123456789ABCDEF"[c & 15];
        b.len += 3;
    }
    return sb_str(&b);
}

bool url_path_next(struct str *rest, struct str *ret_segment)
{
    if (rest->len && rest->ptr[0] == '/')
        *rest = str_from(*rest, 1);
    if (rest->len == 0)
        return false;
    ptrdiff_t slash = str_find(*rest, '/');
    size_t len = slash < 0 ? rest->len : (size_t)slash;
    *ret_segment = str_head(*rest, len);
    *rest = str_from(*rest, len);
    return true;
}

bool url_query_next(struct str *rest, struct str *ret_key, struct str *ret_value)
{
    struct str pair;
    do
        if (!str_next(rest, '&', &pair))
            return false;
    while (pair.len == 0);
    str_cut(pair, '=', ret_key, ret_value);
    return true;
}

bool url_query_get(struct arena *mem, struct str query, const char *name, struct str *ret)
{
    struct str key, value;
    while (url_query_next(&query, &key, &value)) {
        struct str plain;
        if (!url_decode_query(mem, key, &plain) || !str_is(plain, name))
            continue;
        if (url_decode_query(mem, value, ret))
            return true;
        *ret = STR_NULL;
        return false;
    }
    return false;
}

bool url_query_bool(struct arena *mem, struct str query, const char *name, bool otherwise, bool *ret_bad)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    struct str v;
    if (!url_query_get(mem, query, name, &v) || v.len == 0)
        return otherwise;
    for (int i = 0; i < 6; i++) {
        if (str_is(v, yes[i]))
            return true;
        if (str_is(v, no[i]))
            return false;
    }
    if (ret_bad)
        *ret_bad = true;
    return false;
}
