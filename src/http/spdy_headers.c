/* http/spdy_headers.c - see its header. */
#include "http/spdy_headers.h"

#include <errno.h>

/* SPDY/3 draft, 2.6.10.1: names and values with their lengths before them, then bare text. */
/* clang-format off */
static const char dictionary[] =
    "\0\0\0\x07" "options" "\0\0\0\x04" "head" "\0\0\0\x04" "post" "\0\0\0\x03" "put" "\0\0\0\x06" "delete"
    "\0\0\0\x05" "trace" "\0\0\0\x06" "accept" "\0\0\0\x0e" "accept-charset" "\0\0\0\x0f" "accept-encoding"
    "\0\0\0\x0f" "accept-language" "\0\0\0\x0d" "accept-ranges" "\0\0\0\x03" "age" "\0\0\0\x05" "allow"
    "\0\0\0\x0d" "authorization" "\0\0\0\x0d" "cache-control" "\0\0\0\x0a" "connection" "\0\0\0\x0c" "content-base"
    "\0\0\0\x10" "content-encoding" "\0\0\0\x10" "content-language" "\0\0\0\x0e" "content-length"
    "\0\0\0\x10" "content-location" "\0\0\0\x0b" "content-md5" "\0\0\0\x0d" "content-range"
    "\0\0\0\x0c" "content-type" "\0\0\0\x04" "date" "\0\0\0\x04" "etag" "\0\0\0\x06" "expect" "\0\0\0\x07" "expires"
    "\0\0\0\x04" "from" "\0\0\0\x04" "host" "\0\0\0\x08" "if-match" "\0\0\0\x11" "if-modified-since"
    "\0\0\0\x0d" "if-none-match" "\0\0\0\x08" "if-range" "\0\0\0\x13" "if-unmodified-since"
    "\0\0\0\x0d" "last-modified" "\0\0\0\x08" "location" "\0\0\0\x0c" "max-forwards" "\0\0\0\x06" "pragma"
    "\0\0\0\x12" "proxy-authenticate" "\0\0\0\x13" "proxy-authorization" "\0\0\0\x05" "range" "\0\0\0\x07" "referer"
    "\0\0\0\x0b" "retry-after" "\0\0\0\x06" "server" "\0\0\0\x02" "te" "\0\0\0\x07" "trailer"
    "\0\0\0\x11" "transfer-encoding" "\0\0\0\x07" "upgrade" "\0\0\0\x0a" "user-agent" "\0\0\0\x04" "vary"
    "\0\0\0\x03" "via" "\0\0\0\x07" "warning" "\0\0\0\x10" "www-authenticate" "\0\0\0\x06" "method" "\0\0\0\x03" "get"
    "\0\0\0\x06" "status" "\0\0\0\x06" "200 OK" "\0\0\0\x07" "version" "\0\0\0\x08" "HTTP/1.1" "\0\0\0\x03" "url"
    "\0\0\0\x06" "public" "\0\0\0\x0a" "set-cookie" "\0\0\0\x0a" "keep-alive" "\0\0\0\x06" "origin"
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authori"
    "tative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not "
    "Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug S"
    "ept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,imag"
    "e/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,"
    "sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
/* clang-format on */
enum { DICTIONARY_BYTES = sizeof dictionary - 1 };
_Static_assert(DICTIONARY_BYTES == 1423, "the length the draft gives");

int spdy_headers_init(struct spdy_headers *h)
{
    *h = (struct spdy_headers){0};
    if (inflateInit(&h->in) != Z_OK)
        return -ENOMEM;
    /* a small window: replies carry next to nothing */
    if (deflateInit2(&h->out, 1, Z_DEFLATED, 11, 1, Z_DEFAULT_STRATEGY) != Z_OK) {
        inflateEnd(&h->in);
        return -ENOMEM;
    }
    deflateSetDictionary(&h->out, (const Bytef *)dictionary, DICTIONARY_BYTES);
    return 0;
}

void spdy_headers_done(struct spdy_headers *h)
{
    inflateEnd(&h->in);
    deflateEnd(&h->out);
}

static bool take_u32(struct str *rest, uint32_t *ret)
{
    const unsigned char *p = (const unsigned char *)rest->ptr;
    if (rest->len < 4)
        return false;
    *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    *rest = str_from(*rest, 4);
    return true;
}

static bool take_text(struct str *rest, struct str *ret)
{
    uint32_t len;
    if (!take_u32(rest, &len) || len > rest->len)
        return false;
    *ret = str_head(*rest, len);
    *rest = str_from(*rest, len);
    return true;
}

static int inflate_block(struct spdy_headers *h, struct arena *mem, struct str block, size_t max, struct str *ret)
{
    size_t cap = block.len * 4 + 512 < max ? block.len * 4 + 512 : max, len = 0;
    char *out = arena_alloc(mem, cap);
    h->in.next_in = (Bytef *)block.ptr;
    h->in.avail_in = (uInt)block.len;
    for (;;) {
        h->in.next_out = (Bytef *)out + len;
        h->in.avail_out = (uInt)(cap - len);
        int r = inflate(&h->in, Z_SYNC_FLUSH);
        if (r == Z_NEED_DICT)
            r = inflateSetDictionary(&h->in, (const Bytef *)dictionary, DICTIONARY_BYTES);
        len = cap - h->in.avail_out;
        if (r == Z_BUF_ERROR && h->in.avail_in == 0)
            r = Z_OK;
        if (r != Z_OK)
            return -EPROTO;
        if (h->in.avail_in == 0 && h->in.avail_out > 0)
            break;
        if (len < cap)
            continue;
        if (cap == max)
            return -EPROTO;
        size_t more = cap * 2 < max ? cap * 2 : max;
        out = arena_grow(mem, out, cap, more);
        cap = more;
    }
    *ret = str_mem(out, len);
    return 0;
}

int spdy_headers_unpack(struct spdy_headers *h, struct arena *mem, struct str block, size_t max_bytes, int max_count,
                        struct http_header *ret)
{
    struct str rest, name, value, part;
    uint32_t pairs;
    int n = 0;
    if (inflate_block(h, mem, block, max_bytes, &rest) < 0 || !take_u32(&rest, &pairs))
        return -EPROTO;
    for (uint32_t i = 0; i < pairs; i++) {
        if (!take_text(&rest, &name) || name.len == 0 || !take_text(&rest, &value))
            return -EPROTO;
        bool more = true;
        while (more) {
            more = str_cut(value, 0, &part, &value);
            if (n == max_count)
                return -EPROTO;
            ret[n++] = (struct http_header){name, part};
        }
    }
    return n;
}

static void add_u32(struct sb *b, size_t v)
{
    char p[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    sb_add(b, str_mem(p, 4));
}

struct str spdy_headers_pack(struct spdy_headers *h, struct arena *mem, const struct http_header *headers, int count)
{
    struct sb plain = SB(mem), out = SB(mem);
    add_u32(&plain, (size_t)count);
    for (int i = 0; i < count; i++) {
        add_u32(&plain, headers[i].name.len);
        sb_add(&plain, headers[i].name);
        add_u32(&plain, headers[i].value.len);
        sb_add(&plain, headers[i].value);
    }
    size_t cap = deflateBound(&h->out, plain.len) + 64;
    h->out.next_out = (Bytef *)sb_room(&out, cap);
    h->out.avail_out = (uInt)cap;
    h->out.next_in = (Bytef *)plain.ptr;
    h->out.avail_in = (uInt)plain.len;
    deflate(&h->out, Z_SYNC_FLUSH);
    out.len = cap - h->out.avail_out;
    return sb_str(&out);
}
