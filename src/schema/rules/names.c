#include "schema/rules/names.h"

#include <ctype.h>

#define LABEL_FMT     "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define SUBDOMAIN_FMT LABEL_FMT "(\\." LABEL_FMT ")*"
#define LABEL_US_FMT  "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
#define QUALIFIED_FMT "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
#define REGEX(fmt)    "regex used for validation is '" fmt "')"
#define SUBDOMAIN_MSG                                                                                                  \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "   \
    "and end "                                                                                                         \
    "with an alphanumeric character (e.g. 'example.com', " REGEX(SUBDOMAIN_FMT)
#define QUALIFIED_MSG                                                                                                  \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character " \
    "(e.g. "                                                                                                           \
    "'MyName',  or 'my.name',  or '123-abc', " REGEX(QUALIFIED_FMT)

enum { LABEL_MAX = 63, SUBDOMAIN_MAX = 253, PORT_NAME_MAX = 15 };

static bool lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool alnum(char c)
{
    return lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* LABEL_FMT, or LABEL_US_FMT when underscores may stand in it. */
static bool is_label(struct str s, bool underscore)
{
    if (underscore && s.len && s.ptr[0] == '_')
        s = str_from(s, 1);
    if (!s.len || !lower_alnum(s.ptr[0]) || !lower_alnum(s.ptr[s.len - 1]))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!lower_alnum(s.ptr[i]) && s.ptr[i] != '-' && !(underscore && s.ptr[i] == '_'))
            return false;
    return true;
}

static bool is_subdomain(struct str s, bool underscore)
{
    struct str head;
    while (str_cut(s, '.', &head, &s))
        if (!is_label(head, underscore))
            return false;
    return is_label(head, underscore);
}

static bool is_qualified(struct str s)
{
    if (!s.len || !alnum(s.ptr[0]) || !alnum(s.ptr[s.len - 1]))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!alnum(s.ptr[i]) && s.ptr[i] != '-' && s.ptr[i] != '_' && s.ptr[i] != '.')
            return false;
    return true;
}

int name_dns1123_label(struct str v, const char **msgs)
{
    int n = 0;
    if (v.len > LABEL_MAX)
        msgs[n++] = "must be no more than 63 characters";
    if (!is_label(v, false))
        msgs[n++] = is_subdomain(v, false)
                        ? "must not contain dots"
                        : "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
                          "must start and "
                          "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', " REGEX(LABEL_FMT);
    return n;
}

int name_dns1123_subdomain(struct str v, const char **msgs)
{
    int n = 0;
    if (v.len > SUBDOMAIN_MAX)
        msgs[n++] = "must be no more than 253 characters";
    if (!is_subdomain(v, false))
        msgs[n++] = SUBDOMAIN_MSG;
    return n;
}

int name_subdomain_underscore(struct str v, const char **msgs)
{
    int n = 0;
    if (v.len > SUBDOMAIN_MAX)
        msgs[n++] = "must be no more than 253 characters";
    if (!is_subdomain(v, true))
        msgs[n++] = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or "
                    "'.', and must "
                    "start and end with an alphanumeric character (e.g. 'example.com', " REGEX(
                        LABEL_US_FMT "(\\." LABEL_US_FMT ")*");
    return n;
}

int name_dns1035_label(struct str v, const char **msgs)
{
    int n = 0;
    if (v.len > LABEL_MAX)
        msgs[n++] = "must be no more than 63 characters";
    if (!is_label(v, false) || (v.ptr[0] >= '0' && v.ptr[0] <= '9'))
        msgs[n++] = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
                    "alphabetic character, "
                    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', " REGEX(
                        "[a-z]([-a-z0-9]*[a-z0-9])?");
    return n;
}

int name_wildcard_subdomain(struct str v, const char **msgs)
{
    int n = 0;
    if (v.len > SUBDOMAIN_MAX)
        msgs[n++] = "must be no more than 253 characters";
    if (!str_starts(v, STR("*.")) || !is_subdomain(str_from(v, 2), false))
        msgs[n++] = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must "
                    "consist of lower "
                    "case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. "
                    "'*.example.com', " REGEX("\\*\\." SUBDOMAIN_FMT);
    return n;
}

int name_qualified(struct str v, const char **msgs)
{
    int n = 0;
    struct str prefix, name;
    if (!str_cut(v, '/', &prefix, &name))
        name = v;
    else if (str_find(name, '/') >= 0)
        return msgs[0] = "a valid label key " QUALIFIED_MSG
                         " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
               1;
    else if (!prefix.len)
        msgs[n++] = "prefix part must be non-empty";
    else {
        if (prefix.len > SUBDOMAIN_MAX)
            msgs[n++] = "prefix part must be no more than 253 bytes";
        if (!is_subdomain(prefix, false))
            msgs[n++] = "prefix part " SUBDOMAIN_MSG;
    }
    if (!name.len)
        msgs[n++] = "name part must be non-empty";
    else if (name.len > LABEL_MAX)
        msgs[n++] = "name part must be no more than 63 bytes";
    if (!is_qualified(name))
        msgs[n++] = "name part " QUALIFIED_MSG;
    return n;
}

int name_qualified_caseless(struct str v, const char **msgs)
{
    char lower[SUBDOMAIN_MAX + LABEL_MAX + 3]; /* longer is too long in any case: what follows is not looked at twice */
    size_t n = 0;
    for (; n < v.len && n < sizeof lower; n++)
        lower[n] = (char)tolower((unsigned char)v.ptr[n]);
    return name_qualified(n < v.len ? v : str_mem(lower, n), msgs);
}

int name_label_value(struct str v, const char **msgs)
{
    int n = 0;
    if (v.len > LABEL_MAX)
        msgs[n++] = "must be no more than 63 bytes";
    if (v.len && !is_qualified(v))
        msgs[n++] = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
                    "must start and end "
                    "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', " REGEX(
                        "(" QUALIFIED_FMT ")?");
    return n;
}

int name_path_prefix(struct str v, const char **msgs)
{
    int n = 0;
    if (str_find(v, '/') >= 0)
        msgs[n++] = "may not contain '/'";
    if (str_find(v, '%') >= 0)
        msgs[n++] = "may not contain '%'";
    return n;
}

int name_path_segment(struct str v, const char **msgs)
{
    if (str_is(v, "."))
        return msgs[0] = "may not be '.'", 1;
    if (str_is(v, ".."))
        return msgs[0] = "may not be '..'", 1;
    return name_path_prefix(v, msgs);
}

int name_port(struct str v, const char **msgs)
{
    int n = 0;
    bool chars = v.len > 0, letter = false;
    for (size_t i = 0; i < v.len; i++) {
        chars &= lower_alnum(v.ptr[i]) || v.ptr[i] == '-';
        letter |= v.ptr[i] >= 'a' && v.ptr[i] <= 'z';
    }
    if (v.len > PORT_NAME_MAX)
        msgs[n++] = "must be no more than 15 characters";
    if (!chars)
        msgs[n++] = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
    if (!letter)
        msgs[n++] = "must contain at least one letter (a-z)";
    if (str_has(v, STR("--")))
        msgs[n++] = "must not contain consecutive hyphens";
    if (v.len && (v.ptr[0] == '-' || v.ptr[v.len - 1] == '-'))
        msgs[n++] = "must not begin or end with a hyphen";
    return n;
}

int name_env_var(struct str v, const char **msgs)
{
    if (!v.len)
        return msgs[0] = "environment variable name must be non-empty", 1;
    for (size_t i = 0; i < v.len; i++)
        if (v.ptr[i] < ' ' || v.ptr[i] > '~' || v.ptr[i] == '=')
            return msgs[0] = "a valid environment variable name must consist only of printable ASCII characters other "
                             "than '='",
                   1;
    return 0;
}

int name_config_key(struct str v, const char **msgs)
{
    int n = 0;
    bool ok = v.len > 0;
    for (size_t i = 0; i < v.len; i++)
        ok &= alnum(v.ptr[i]) || v.ptr[i] == '-' || v.ptr[i] == '.' || v.ptr[i] == '_';
    if (v.len > SUBDOMAIN_MAX)
        msgs[n++] = "must be no more than 253 characters";
    if (!ok)
        msgs[n++] = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
                    "'KEY_NAME',  or "
                    "'key-name', " REGEX("[-._a-zA-Z0-9]+");
    if (str_is(v, "."))
        msgs[n++] = "must not be '.'";
    else if (str_is(v, ".."))
        msgs[n++] = "must not be '..'";
    else if (str_starts(v, STR("..")))
        msgs[n++] = "must not start with '..'";
    return n;
}

int name_http_header(struct str v, const char **msgs)
{
    bool ok = v.len > 0;
    for (size_t i = 0; i < v.len; i++)
        ok &= alnum(v.ptr[i]) || v.ptr[i] == '-';
    if (ok)
        return 0;
    msgs[0] = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', " REGEX(
        "[-A-Za-z0-9]+");
    return 1;
}

int name_percent(struct str v, const char **msgs)
{
    bool ok = v.len > 1 && v.ptr[v.len - 1] == '%';
    for (size_t i = 0; i + 1 < v.len; i++)
        ok &= v.ptr[i] >= '0' && v.ptr[i] <= '9';
    if (ok)
        return 0;
    msgs[0] = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', " REGEX(
        "[0-9]+%");
    return 1;
}

int name_condition_reason(struct str v, const char **msgs)
{
    bool ok = v.len && alnum(v.ptr[0]) && !(v.ptr[0] >= '0' && v.ptr[0] <= '9') &&
              (alnum(v.ptr[v.len - 1]) || v.ptr[v.len - 1] == '_');
    for (size_t i = 0; i < v.len; i++)
        ok &= alnum(v.ptr[i]) || v.ptr[i] == '_' || v.ptr[i] == ',' || v.ptr[i] == ':';
    if (ok)
        return 0;
    msgs[0] = "a condition reason must start with alphabetic character, optionally followed by a string of "
              "alphanumeric characters or '_,:', "
              "and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or "
              "'ReasonA,ReasonB',  or "
              "'ReasonA:ReasonB', " REGEX("[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?");
    return 1;
}

name_rule *name_rule_of(const char *word, bool prefix)
{
    struct str w = str_of(word);
    if (str_is(w, "dns1123label"))
        return name_dns1123_label;
    if (str_is(w, "dns1035label"))
        return name_dns1035_label;
    if (str_is(w, "path"))
        return prefix ? name_path_prefix : name_path_segment;
    return name_dns1123_subdomain;
}

struct str name_mask_dash(struct arena *mem, struct str name)
{
    if (name.len < 2 || name.ptr[name.len - 1] != '-')
        return name;
    struct sb b = SB(mem);
    sb_add(&b, str_head(name, name.len - 2));
    sb_addc(&b, 'a');
    return sb_str(&b);
}
