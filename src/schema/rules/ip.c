/* schema/rules/ip.c - IP addresses and CIDRs, judged strictly (StrictIPCIDRValidation).
 *
 * Source: apimachinery pkg/util/validation/ip.go: what Go's older, sloppy parser takes, then what is wrong with it. */
#include "schema/rules/warn.h"

#include <arpa/inet.h>

struct ip {
    uint8_t b[16];  /* the first four of a v4 address */
    bool v4;        /* also of ::ffff:1.2.3.4, as in Go */
    bool mapped;    /* written as ::ffff:1.2.3.4 */
    bool leading_0; /* an octet with a leading zero */
};

/* Dotted decimal, where leading zeros are passed over. */
static bool parse_v4(struct str s, struct ip *ret)
{
    struct str rest = s, part;
    *ret = (struct ip){.v4 = true};
    for (int i = 0; i < 4; i++) {
        bool more = str_cut(rest, '.', &part, &rest);
        int64_t v;
        if (more != (i < 3) || !part.len || part.len > 19 || part.ptr[0] == '+' || part.ptr[0] == '-' ||
            !str_to_i64(part, &v) || v > 255)
            return false;
        ret->leading_0 |= part.len > 1 && part.ptr[0] == '0';
        ret->b[i] = (uint8_t)v;
    }
    return true;
}

static bool parse_v6(struct arena *mem, struct str s, struct ip *ret)
{
    struct ip tail = {0};
    ptrdiff_t colon = str_rfind(s, ':');
    char *text = str_z(mem, s);
    *ret = (struct ip){0};
    if (str_find(s, '.') >= 0) { /* an embedded v4: inet_pton does not take its leading zeros */
        if (!parse_v4(str_from(s, (size_t)colon + 1), &tail))
            return false;
        text = str_fmtz(mem, STR_FMT ":%d.%d.%d.%d", (int)colon, s.ptr, tail.b[0], tail.b[1], tail.b[2], tail.b[3]);
    }
    if (inet_pton(AF_INET6, text, ret->b) != 1)
        return false;
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(ret->b, mapped, sizeof mapped) == 0) {
        memmove(ret->b, ret->b + 12, 4);
        ret->v4 = ret->mapped = true;
    }
    ret->leading_0 = tail.leading_0;
    return true;
}

static bool parse_ip(struct arena *mem, struct str s, struct ip *ret)
{
    if (s.len > 64 || memchr(s.ptr ? s.ptr : "", 0, s.len))
        return false;
    return str_find(s, ':') >= 0 ? parse_v6(mem, s, ret) : parse_v4(s, ret);
}

bool check_ip(struct rule_ctx *c, const struct fpath *at, struct str value)
{
    struct ip ip;
    bool ok = parse_ip(c->mem, value, &ip);
    if ((!ok || ip.leading_0 || ip.mapped) && rule_kept_str(c, at, value))
        return true;
    if (!ok) {
        rule_invalid(c, at, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        return false;
    }
    if (ip.leading_0)
        rule_invalid(c, at, value, "must not have leading 0s");
    else if (ip.mapped)
        rule_invalid(c, at, value, "must not be an IPv4-mapped IPv6 address");
    return !ip.leading_0 && !ip.mapped;
}

/* Bits of an address beyond the prefix. */
static bool has_host_bits(const struct ip *ip, int bits)
{
    int total = ip->v4 ? 32 : 128;
    for (int i = bits; i < total; i++)
        if (ip->b[i / 8] & (0x80 >> i % 8))
            return true;
    return false;
}

static bool parse_cidr(struct arena *mem, struct str s, struct ip *ret, int *ret_bits, bool *ret_zeros)
{
    struct str addr, len;
    int64_t bits;
    if (!str_cut(s, '/', &addr, &len) || !len.len || len.len > 8 || len.ptr[0] == '+' || len.ptr[0] == '-' ||
        !parse_ip(mem, addr, ret) || !str_to_i64(len, &bits))
        return false;
    if (bits > (ret->v4 && !ret->mapped ? 32 : 128))
        return false;
    *ret_zeros = ret->leading_0 || (len.len > 1 && len.ptr[0] == '0');
    *ret_bits = (int)bits - (ret->mapped ? 96 : 0);
    return true;
}

bool check_cidr(struct rule_ctx *c, const struct fpath *at, struct str value)
{
    struct ip ip;
    int bits;
    bool zeros;
    const char *wrong = NULL;
    if (!parse_cidr(c->mem, value, &ip, &bits, &zeros))
        wrong = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    else if (zeros)
        wrong = "must not have leading 0s in IP or prefix length";
    else if (ip.mapped)
        wrong = "must not have an IPv4-mapped IPv6 address";
    else if (has_host_bits(&ip, bits))
        wrong = "must not have bits set beyond the prefix length";
    if (wrong && rule_kept_str(c, at, value))
        return true;
    if (wrong)
        rule_invalid(c, at, value, "%s", wrong);
    return !wrong;
}

int ip_family(struct arena *mem, struct str value)
{
    struct ip ip;
    return !parse_ip(mem, value, &ip) ? 0 : ip.v4 ? 4 : 6;
}

int cidr_family(struct arena *mem, struct str value)
{
    struct ip ip;
    int bits;
    bool zeros;
    return !parse_cidr(mem, value, &ip, &bits, &zeros) ? 0 : ip.v4 ? 4 : 6;
}

bool cidr_inside(struct arena *mem, struct str inner, struct str outer)
{
    struct ip a, b;
    int a_bits, b_bits;
    bool zeros;
    if (!parse_cidr(mem, inner, &a, &a_bits, &zeros) || !parse_cidr(mem, outer, &b, &b_bits, &zeros))
        return true; /* said elsewhere */
    if (a.v4 != b.v4 || b_bits >= a_bits)
        return false;
    for (int i = 0; i < b_bits; i++)
        if ((a.b[i / 8] ^ b.b[i / 8]) & (0x80 >> i % 8))
            return false;
    return true;
}

bool check_not_special_ip(struct rule_ctx *c, const struct fpath *at, struct str value)
{
    struct ip ip;
    if (!parse_ip(c->mem, value, &ip)) {
        rule_invalid(c, at, value, "must be a valid IP address");
        return false;
    }
    int before = c->err->cause_count;
    static const uint8_t zero[16], one[16] = {[15] = 1};
    const uint8_t *b = ip.b;
    if (memcmp(b, zero, ip.v4 ? 4 : 16) == 0)
        rule_invalid(c, at, value, "may not be unspecified (" STR_FMT ")", STR_ARG(value));
    if (ip.v4 ? b[0] == 127 : memcmp(b, one, 16) == 0)
        rule_invalid(c, at, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    if (ip.v4 ? b[0] == 169 && b[1] == 254 : b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
        rule_invalid(c, at, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    if (ip.v4 ? b[0] == 224 && b[1] == 0 && b[2] == 0 : b[0] == 0xff && (b[1] & 0x0f) == 2)
        rule_invalid(c, at, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    return c->err->cause_count == before;
}

/* RFC 5952: the longest run of two or more zero groups, the first of equals, becomes "::". */
static struct str ip_text(struct arena *mem, const struct ip *ip)
{
    const uint8_t *b = ip->b;
    if (ip->v4)
        return str_fmt(mem, "%d.%d.%d.%d", b[0], b[1], b[2], b[3]);
    int run = -1, len = 1;
    for (int i = 0, n; i < 8; i += n + 1) {
        for (n = 0; i + n < 8 && !b[2 * (i + n)] && !b[2 * (i + n) + 1];)
            n++;
        if (n > len)
            run = i, len = n;
    }
    struct sb out = SB(mem);
    for (int i = 0; i < 8; i++) {
        if (i == run) {
            sb_addz(&out, "::");
            i += len - 1;
            continue;
        }
        sb_addf(&out, "%s%x", i && i != run + len ? ":" : "", b[2 * i] << 8 | b[2 * i + 1]);
    }
    return sb_str(&out);
}

void warn_ip(struct rule_ctx *c, const struct fpath *at, struct str value)
{
    struct ip ip;
    if (!parse_ip(c->mem, value, &ip))
        return;
    struct str good = ip_text(c->mem, &ip), where = fpath_str(c->mem, at), said = str_quote(c->mem, value);
    if (ip.leading_0 || ip.mapped)
        schema_warn(c,
                    STR_FMT ": non-standard IP address " STR_FMT
                            " will be considered invalid in a future Kubernetes release: use \"" STR_FMT "\"",
                    STR_ARG(where), STR_ARG(said), STR_ARG(good));
    else if (!str_eq(good, value))
        schema_warn(c, STR_FMT ": IPv6 address " STR_FMT " should be in RFC 5952 canonical format (\"" STR_FMT "\")",
                    STR_ARG(where), STR_ARG(said), STR_ARG(good));
}

static struct str cidr_text(struct arena *mem, struct ip ip, int bits)
{
    for (int i = bits; i < (ip.v4 ? 32 : 128); i++)
        ip.b[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    return str_fmt(mem, STR_FMT "/%d", STR_ARG(ip_text(mem, &ip)), bits);
}

void warn_cidr(struct rule_ctx *c, const struct fpath *at, struct str value)
{
    struct ip ip;
    int bits;
    bool zeros;
    if (!parse_cidr(c->mem, value, &ip, &bits, &zeros))
        return;
    struct str net = cidr_text(c->mem, ip, bits), host = cidr_text(c->mem, ip, ip.v4 ? 32 : 128),
               where = fpath_str(c->mem, at), said = str_quote(c->mem, value);
    bool odd = has_host_bits(&ip, bits);
    if (odd)
        schema_warn(c,
                    STR_FMT ": CIDR value " STR_FMT " is ambiguous in this context (should be \"" STR_FMT
                            "\" or \"" STR_FMT "\"?)",
                    STR_ARG(where), STR_ARG(said), STR_ARG(net), STR_ARG(host));
    if (zeros || ip.mapped)
        schema_warn(c,
                    STR_FMT ": non-standard CIDR value " STR_FMT
                            " will be considered invalid in a future Kubernetes release: use \"" STR_FMT "\"",
                    STR_ARG(where), STR_ARG(said), STR_ARG(net));
    else if (!odd && !str_eq(net, value))
        schema_warn(c, STR_FMT ": IPv6 CIDR value " STR_FMT " should be in RFC 5952 canonical format (\"" STR_FMT "\")",
                    STR_ARG(where), STR_ARG(said), STR_ARG(net));
}
