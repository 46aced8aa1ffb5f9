/* http/websocket.c - frames in and out. */
#include "http/websocket.h"

#include <assert.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>

enum ws_op { WS_CONT = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
enum { WS_HEADER_MAX = 14, WS_CONTROL_MAX = 125 };

struct websocket {
    struct stream *s;
    const struct websocket_events *events;
    void *ctx;
    bool is_client, paused, close_sent, failed;
    int close_code; /* what close() will say */
    /* the frame being read */
    unsigned char head[WS_HEADER_MAX];
    int head_len;
    bool in_payload, fin;
    int op;
    uint64_t left, at;
    unsigned char mask[4];
    unsigned char control[WS_CONTROL_MAX];
    int control_len;
    /* the message being joined */
    int message_op; /* 0: none */
    char *message;
    size_t len, cap;
    /* arrived while paused */
    char *backlog;
    size_t backlog_len;
    bool feeding;
};

/* ---- sending */
static int frame_head(struct websocket *w, int op, size_t len, unsigned char *h)
{
    int n = 2;
    h[0] = (unsigned char)(0x80 | op);
    h[1] = w->is_client ? 0x80 : 0;
    if (len < 126) {
        h[1] |= (unsigned char)len;
    } else if (len < 65536) {
        h[1] |= 126;
        h[n++] = (unsigned char)(len >> 8);
        h[n++] = (unsigned char)len;
    } else {
        h[1] |= 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            h[n++] = (unsigned char)((uint64_t)len >> shift);
    }
    return n;
}

static bool send_masked(struct websocket *w, const unsigned char *h, int n, struct str a, struct str b)
{
    unsigned char mask[4];
    char *copy = malloc((size_t)n + 4 + a.len + b.len), *p = copy;
    if (!copy || RAND_bytes(mask, 4) != 1)
        abort();
    memcpy(p, h, (size_t)n);
    memcpy(p + n, mask, 4);
    p += n + 4;
    for (size_t i = 0; i < a.len + b.len; i++)
        p[i] = (char)((i < a.len ? a.ptr[i] : b.ptr[i - a.len]) ^ mask[i & 3]);
    return stream_write_buf(w->s, (struct stream_buf){str_mem(copy, (size_t)n + 4 + a.len + b.len), free, copy});
}

static bool send_frame(struct websocket *w, int op, struct str a, struct str b)
{
    unsigned char h[WS_HEADER_MAX];
    if (w->close_sent)
        return true;
    int n = frame_head(w, op, a.len + b.len, h);
    if (w->is_client)
        return send_masked(w, h, n, a, b);
    stream_write(w->s, str_mem((char *)h, (size_t)n));
    if (a.len)
        stream_write(w->s, a);
    return b.len ? stream_write(w->s, b) : stream_queued(w->s) <= STREAM_HIGH_BYTES;
}

bool websocket_send2(struct websocket *w, bool is_binary, struct str head, struct str bytes)
{
    return send_frame(w, is_binary ? WS_BINARY : WS_TEXT, head, bytes);
}

bool websocket_send(struct websocket *w, bool is_binary, struct str bytes)
{
    return websocket_send2(w, is_binary, STR_NULL, bytes);
}

void websocket_ping(struct websocket *w)
{
    send_frame(w, WS_PING, STR_NULL, STR_NULL);
}

size_t websocket_queued(const struct websocket *w)
{
    return stream_queued(w->s);
}

void websocket_close(struct websocket *w, int code, struct str reason)
{
    char c[2] = {(char)(code >> 8), (char)code};
    if (w->close_sent)
        return;
    send_frame(w, WS_CLOSE, str_mem(c, 2), str_head(reason, WS_CONTROL_MAX - 2));
    w->close_sent = true;
    if (w->close_code == 1006)
        w->close_code = code;
    if (!w->is_client)
        stream_shutdown(w->s); /* the server is the one to end the connection */
}

void websocket_abort(struct websocket *w)
{
    w->close_sent = w->failed = true;
    stream_close(w->s);
}

static void fail(struct websocket *w, int code)
{
    w->failed = true;
    w->close_code = code;
    websocket_close(w, code, STR_NULL);
    if (w->is_client)
        stream_close(w->s);
}

/* ---- receiving */
static bool is_utf8(struct str s)
{
    for (size_t i = 0; i < s.len;) {
        unsigned char c = (unsigned char)s.ptr[i];
        int more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : -1;
        if (more < 0 || (size_t)more >= s.len - i)
            return false;
        unsigned char next = more ? (unsigned char)s.ptr[i + 1] : 0;
        bool bad = (c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) || (c == 0xf0 && next < 0x90) ||
                   (c == 0xf4 && next > 0x8f);
        for (int j = 1; j <= more; j++)
            bad = bad || ((unsigned char)s.ptr[i + (size_t)j] & 0xc0) != 0x80;
        if (bad)
            return false;
        i += (size_t)more + 1;
    }
    return true;
}

static bool valid_close_code(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static void on_close_frame(struct websocket *w)
{
    int code = 1005;
    if (w->control_len == 1) {
        fail(w, 1002);
        return;
    }
    if (w->control_len >= 2) {
        code = w->control[0] << 8 | w->control[1];
        if (!valid_close_code(code) || !is_utf8(str_mem((char *)w->control + 2, (size_t)w->control_len - 2))) {
            fail(w, 1002);
            return;
        }
    }
    if (w->close_code == 1006)
        w->close_code = code;
    websocket_close(w, code == 1005 ? 1000 : code, STR_NULL);
    w->failed = true; /* nothing after it counts */
    stream_shutdown(w->s);
}

static void frame_done(struct websocket *w)
{
    w->in_payload = false;
    w->head_len = 0;
    if (w->op == WS_CLOSE) {
        on_close_frame(w);
    } else if (w->op == WS_PING) {
        send_frame(w, WS_PONG, str_mem((char *)w->control, (size_t)w->control_len), STR_NULL);
    } else if (w->op != WS_PONG && w->fin) {
        bool is_binary = w->message_op == WS_BINARY;
        struct str bytes = str_mem(w->message, w->len);
        w->message_op = 0;
        if (!is_binary && !is_utf8(bytes)) {
            fail(w, 1007);
            return;
        }
        char *message = w->message;
        size_t cap = w->cap;
        w->message = NULL;
        w->len = w->cap = 0;
        if (w->events)
            w->events->message(w->ctx, is_binary, bytes);
        if (cap > 4096 || w->message) { /* keep a small one for the next */
            free(message);
        } else {
            w->message = message;
            w->cap = cap;
        }
    }
}

/* 0: not yet whole; else its length. */
static int head_need(const struct websocket *w)
{
    if (w->head_len < 2)
        return 2;
    int len = w->head[1] & 0x7f;
    return 2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (w->head[1] & 0x80 ? 4 : 0);
}

static bool head_done(struct websocket *w)
{
    const unsigned char *h = w->head;
    int at = 2;
    w->fin = h[0] & 0x80;
    w->op = h[0] & 15;
    bool masked = h[1] & 0x80, is_control = w->op & 8;
    w->left = h[1] & 0x7f;
    if (w->left >= 126) {
        int bytes = w->left == 126 ? 2 : 8;
        w->left = 0;
        for (int i = 0; i < bytes; i++)
            w->left = w->left << 8 | h[at++];
    }
    if (masked)
        memcpy(w->mask, h + at, 4);
    else
        memset(w->mask, 0, 4);
    w->at = 0;
    w->control_len = 0;
    bool known = w->op <= WS_BINARY || (w->op >= WS_CLOSE && w->op <= WS_PONG);
    bool bad = (h[0] & 0x70) || !known || masked == w->is_client ||
               (is_control && (!w->fin || w->left > WS_CONTROL_MAX)) ||
               (!is_control && (w->op == WS_CONT) != (w->message_op != 0));
    if (bad) {
        fail(w, 1002);
        return false;
    }
    if (!is_control && (w->left > WEBSOCKET_MESSAGE_BYTES_MAX || w->len + w->left > WEBSOCKET_MESSAGE_BYTES_MAX)) {
        fail(w, 1009);
        return false;
    }
    if (!is_control && w->op != WS_CONT) {
        w->message_op = w->op;
        w->len = 0;
    }
    w->in_payload = true;
    return true;
}

static char *message_room(struct websocket *w, size_t n)
{
    if (w->len + n > w->cap) {
        size_t cap = w->len + n > 2 * w->cap ? w->len + n : 2 * w->cap;
        char *p = realloc(w->message, cap);
        if (!p)
            abort(); /* bounded by WEBSOCKET_MESSAGE_BYTES_MAX */
        w->message = p;
        w->cap = cap;
    }
    return w->message + w->len;
}

static size_t payload(struct websocket *w, struct str bytes)
{
    size_t n = bytes.len < w->left ? bytes.len : (size_t)w->left;
    char *to = w->op & 8 ? (char *)w->control + w->control_len : n ? message_room(w, n) : NULL;
    for (size_t i = 0; i < n; i++)
        to[i] = (char)(bytes.ptr[i] ^ w->mask[(w->at + i) & 3]);
    w->at += n;
    w->left -= n;
    if (w->op & 8)
        w->control_len += (int)n;
    else
        w->len += n;
    return n;
}

static void keep(struct websocket *w, struct str bytes)
{
    char *p = realloc(w->backlog, w->backlog_len + bytes.len);
    if (!p)
        abort(); /* what one read brought: the stream is paused */
    memcpy(p + w->backlog_len, bytes.ptr, bytes.len);
    w->backlog = p;
    w->backlog_len += bytes.len;
}

static void feed(struct websocket *w, struct str bytes)
{
    w->feeding = true;
    while (!w->failed && !w->paused && (bytes.len || (w->in_payload && w->left == 0))) {
        if (!w->in_payload) {
            w->head[w->head_len++] = (unsigned char)bytes.ptr[0];
            bytes = str_from(bytes, 1);
            if (w->head_len < 2 || w->head_len < head_need(w) || !head_done(w))
                continue;
        }
        if (w->in_payload)
            bytes = str_from(bytes, payload(w, bytes));
        if (w->in_payload && w->left == 0)
            frame_done(w);
    }
    w->feeding = false;
    if (w->paused && bytes.len && !w->failed)
        keep(w, bytes);
}

static void on_data(void *ctx, struct str bytes)
{
    struct websocket *w = ctx;
    if (w->failed)
        return;
    if (w->paused)
        keep(w, bytes);
    else
        feed(w, bytes);
}

static void on_eof(void *ctx)
{
    struct websocket *w = ctx;
    if (w->close_sent)
        stream_shutdown(w->s);
    else
        stream_close(w->s);
}

static void on_drain(void *ctx)
{
    struct websocket *w = ctx;
    if (w->events && w->events->drain && !w->close_sent)
        w->events->drain(w->ctx);
}

static void on_close(void *ctx, int error)
{
    struct websocket *w = ctx;
    if (w->events)
        w->events->close(w->ctx, w->close_code);
    free(w->message);
    free(w->backlog);
    free(w);
}

static const struct stream_events events = {on_data, on_eof, on_drain, on_close};

void websocket_pause(struct websocket *w)
{
    w->paused = true;
    stream_pause(w->s);
}

void websocket_resume(struct websocket *w)
{
    if (!w->paused)
        return;
    w->paused = false;
    char *p = w->backlog;
    size_t n = w->backlog_len;
    w->backlog = NULL;
    w->backlog_len = 0;
    if (n && !w->feeding)
        feed(w, str_mem(p, n));
    free(p);
    if (!w->paused)
        stream_resume(w->s);
}

struct websocket *websocket_new(struct stream *s, bool is_client)
{
    struct websocket *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    w->s = s;
    w->is_client = is_client;
    w->close_code = 1006;
    stream_on(s, &events, w);
    return w;
}

void websocket_on(struct websocket *w, const struct websocket_events *ev, void *ctx)
{
    w->events = ev;
    w->ctx = ctx;
}

/* ---- the handshake */
struct str websocket_accept_key(struct arena *mem, struct str key)
{
    struct str text = str_fmt(mem, STR_FMT "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", STR_ARG(key));
    unsigned char md[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)text.ptr, text.len, md);
    return str_base64(mem, str_mem((char *)md, sizeof md));
}

bool websocket_wanted(const struct exchange *x)
{
    return x->is_upgrade && str_is(x->method, "GET") && http_token_in(exchange_header(x, "upgrade"), "websocket");
}

/* The first of the client's, over all its headers, that is ours. */
static const char *choose(const struct exchange *x, const char *const *protocols, bool *ret_asked)
{
    for (int i = 0; i < x->header_count; i++) {
        struct str list = x->headers[i].value, item;
        if (!str_is(x->headers[i].name, "sec-websocket-protocol"))
            continue;
        while (str_next(&list, ',', &item)) {
            *ret_asked = true;
            for (const char *const *p = protocols; p && *p; p++)
                if (str_is(str_trim(item), *p))
                    return *p;
        }
    }
    return NULL;
}

struct websocket *websocket_accept(struct exchange *x, const char *const *protocols, const char **ret_protocol)
{
    bool asked = false;
    const char *chosen = choose(x, protocols, &asked);
    struct str key = exchange_header(x, "sec-websocket-key");
    struct str version = exchange_header(x, "sec-websocket-version");
    if (!websocket_wanted(x) || !str_is(version, "13") || (x->http_major == 1 && key.len == 0)) {
        exchange_set_header(x, "Sec-WebSocket-Version", STR("13"));
        exchange_reply(x, 400, "text/plain; charset=utf-8", STR("bad WebSocket handshake\n"));
        return NULL;
    }
    if (asked && !chosen && protocols && *protocols) {
        exchange_reply(x, 400, "text/plain; charset=utf-8", STR("no WebSocket subprotocol in common\n"));
        return NULL;
    }
    exchange_set_header(x, "Upgrade", STR("websocket"));
    if (x->http_major == 1)
        exchange_set_header(x, "Sec-WebSocket-Accept", websocket_accept_key(x->mem, key));
    if (chosen)
        exchange_set_header(x, "Sec-WebSocket-Protocol", str_of(chosen));
    if (ret_protocol)
        *ret_protocol = chosen;
    return websocket_new(exchange_upgrade(x, 101), /* is_client= */ false);
}
