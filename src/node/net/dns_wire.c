#include "node/net/dns_wire.h"

static uint16_t u16(struct str s, size_t at)
{
    return (uint16_t)((uint8_t)s.ptr[at] << 8 | (uint8_t)s.ptr[at + 1]);
}

static void put16(struct sb *b, unsigned v)
{
    sb_addc(b, (char)(v >> 8 & 255)), sb_addc(b, (char)(v & 255));
}

static void put32(struct sb *b, uint32_t v)
{
    put16(b, v >> 16), put16(b, v & 0xffff);
}

static struct str lower(struct arena *mem, struct str s)
{
    struct str copy = str_dup(mem, s);
    for (char *c = (char *)(uintptr_t)copy.ptr; c < copy.ptr + copy.len; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    return copy;
}

/* A name at *at, which moves behind it. Pointers (where allowed) lead strictly backwards, so this ends. */
static bool read_name(struct arena *mem, struct str m, size_t *at, bool pointers, struct dns_name *ret)
{
    size_t pos = *at, limit = m.len, total = 1;
    bool jumped = false;
    ret->count = 0;
    for (;;) {
        if (pos >= limit)
            return false;
        uint8_t n = (uint8_t)m.ptr[pos];
        if (n >= 0xc0) {
            if (!pointers || pos + 1 >= limit)
                return false;
            size_t to = (size_t)(n & 0x3f) << 8 | (uint8_t)m.ptr[pos + 1];
            if (!jumped)
                *at = pos + 2, jumped = true;
            if (to >= pos)
                return false;
            limit = pos, pos = to; /* what a pointer leads to ends before it */
            continue;
        }
        if (n > 63 || pos + 1 + n > limit || (total += n + 1u) > DNS_NAME_MAX)
            return false;
        if (n == 0) {
            if (!jumped)
                *at = pos + 1;
            return true;
        }
        if (ret->count == DNS_LABELS_MAX)
            return false;
        ret->labels[ret->count++] = lower(mem, str_mem(m.ptr + pos + 1, n));
        pos += n + 1u;
    }
}

/* OPT has an empty owner, its class is the client's size, its TTL holds the version. */
static void read_additional(struct arena *mem, struct str m, size_t at, unsigned count, struct dns_query *q)
{
    struct dns_name name;
    for (unsigned i = 0; i < count && i < 16; i++) {
        if (!read_name(mem, m, &at, /* pointers= */ true, &name) || m.len - at < 10) {
            q->error = DNS_FORMERR;
            return;
        }
        uint16_t type = u16(m, at), class = u16(m, at + 2), len = u16(m, at + 8);
        if (type == DNS_OPT && !q->edns) {
            q->edns = true;
            q->udp_max = class < 512 ? 512 : class > DNS_UDP_MAX ? DNS_UDP_MAX : class;
            if (m.ptr[at + 5] != 0)
                q->error = DNS_BADVERS;
        }
        if (m.len - at - 10 < len) {
            q->error = DNS_FORMERR;
            return;
        }
        at += 10u + len;
    }
}

bool dns_parse_query(struct arena *mem, struct str m, struct dns_query *q)
{
    *q = (struct dns_query){.udp_max = 512};
    if (m.len < DNS_HEADER || ((uint8_t)m.ptr[2] & 0x80))
        return false;
    q->id = u16(m, 0), q->recursion = (m.ptr[2] & 1) != 0;
    size_t at = DNS_HEADER;
    if ((m.ptr[2] >> 3 & 15) != 0)
        q->error = DNS_NOTIMP;
    else if (u16(m, 4) != 1 || u16(m, 6) != 0 || u16(m, 8) != 0 ||
             !read_name(mem, m, &at, /* pointers= */ false, &q->name) || m.len - at < 4)
        q->error = DNS_FORMERR;
    if (q->error)
        return true;
    q->type = u16(m, at), q->class = u16(m, at + 2);
    q->question = str_dup(mem, str_mem(m.ptr + DNS_HEADER, at + 4 - DNS_HEADER));
    read_additional(mem, m, at + 4, u16(m, 10), q);
    return true;
}

bool dns_name_of(struct arena *mem, struct str text, struct dns_name *ret)
{
    struct str label;
    size_t total = 1;
    ret->count = 0;
    while (str_next(&text, '.', &label)) {
        total += label.len + 1;
        if (label.len == 0 || label.len > 63 || total > DNS_NAME_MAX || ret->count == DNS_LABELS_MAX)
            return false;
        ret->labels[ret->count++] = lower(mem, label);
    }
    return ret->count > 0;
}

bool dns_is_answer(struct arena *mem, struct str m, uint16_t id, struct str question)
{
    if (m.len < DNS_HEADER + question.len || u16(m, 0) != id || !((uint8_t)m.ptr[2] & 0x80) || u16(m, 4) != 1)
        return false;
    return str_ieq(str_mem(m.ptr + DNS_HEADER, question.len), question);
}

int dns_rcode(struct str m)
{
    return m.len < DNS_HEADER ? DNS_SERVFAIL : m.ptr[3] & 15;
}

int dns_answers(struct arena *mem, struct str m, struct dns_record *ret, int max)
{
    size_t at = DNS_HEADER;
    int kept = 0;
    struct dns_name name;
    if (m.len < DNS_HEADER || u16(m, 4) != 1 || !read_name(mem, m, &at, /* pointers= */ false, &name) || m.len - at < 4)
        return -1;
    at += 4;
    for (unsigned i = 0, n = u16(m, 6); i < n; i++) {
        struct dns_record r = {0};
        if (!read_name(mem, m, &at, /* pointers= */ true, &r.name) || m.len - at < 10)
            return -1;
        r.type = u16(m, at), r.class = u16(m, at + 2);
        r.ttl = (uint32_t)u16(m, at + 4) << 16 | u16(m, at + 6);
        size_t len = u16(m, at + 8), data = at + 10;
        if (m.len - data < len)
            return -1;
        at = data + len, r.data = str_mem(m.ptr + data, len);
        bool address = (r.type == DNS_A && len == 4) || (r.type == DNS_AAAA && len == 16);
        if (r.type == DNS_CNAME && !read_name(mem, m, &data, /* pointers= */ true, &r.target))
            return -1;
        if ((address || r.type == DNS_CNAME) && kept < max)
            ret[kept++] = r;
    }
    return kept;
}

struct str dns_name_wire(struct arena *mem, const struct dns_name *n)
{
    struct sb out = SB(mem);
    for (int i = 0; i < n->count; i++)
        sb_addc(&out, (char)n->labels[i].len), sb_add(&out, n->labels[i]);
    sb_addc(&out, 0);
    return sb_str(&out);
}

void dns_write_begin(struct dns_writer *w, struct arena *mem, const struct dns_query *q)
{
    static const char zero[DNS_HEADER];
    *w = (struct dns_writer){.sb = SB(mem), .query = q};
    sb_add(&w->sb, str_mem(zero, sizeof(zero)));
    sb_add(&w->sb, q->question);
    w->question_end = w->sb.len;
}

void dns_write_record(struct dns_writer *w, const struct dns_name *name, uint16_t type, uint32_t ttl, struct str data,
                      bool authority)
{
    if (name)
        sb_add(&w->sb, dns_name_wire(w->sb.mem, name));
    else
        put16(&w->sb, 0xc000 | DNS_HEADER);
    put16(&w->sb, type), put16(&w->sb, DNS_IN), put32(&w->sb, ttl), put16(&w->sb, (unsigned)data.len);
    sb_add(&w->sb, data);
    authority ? w->authorities++ : w->answers++;
}

static void set16(char *at, unsigned v)
{
    at[0] = (char)(v >> 8 & 255), at[1] = (char)(v & 255);
}

struct str dns_write_end(struct dns_writer *w, int rcode, bool authoritative, size_t max)
{
    const struct dns_query *q = w->query;
    size_t opt = q->edns ? 11 : 0;
    bool cut = w->sb.len + opt > max;
    if (cut)
        w->sb.len = w->question_end, w->answers = w->authorities = 0;
    if (q->edns) {
        sb_addc(&w->sb, 0);
        put16(&w->sb, DNS_OPT), put16(&w->sb, DNS_UDP_MAX), put32(&w->sb, (uint32_t)(rcode >> 4) << 24);
        put16(&w->sb, 0);
    }
    char *h = w->sb.ptr;
    set16(h, q->id);
    h[2] = (char)(0x80 | (authoritative ? 4 : 0) | (cut ? 2 : 0) | (q->recursion ? 1 : 0));
    h[3] = (char)(0x80 | (rcode & 15));
    set16(h + 4, q->question.len ? 1 : 0), set16(h + 6, w->answers), set16(h + 8, w->authorities);
    set16(h + 10, q->edns ? 1 : 0);
    return sb_str(&w->sb);
}
