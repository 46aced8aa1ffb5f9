/* http/http1_client.c - one HTTP/1.1 request over a stream, for proxying. */
#include <errno.h>
#include <http_parser.h>
#include <stdlib.h>

#include "http/client.h"

enum { HTTP1_HEADERS_MAX = 128 };

struct http1 {
    http_parser parser;
    struct arena *mem;
    struct stream *s;
    void (*on_header)(void *ctx, int status, const struct http_header *headers, int header_count);
    void (*on_data)(void *ctx, struct str bytes);
    void (*on_done)(void *ctx, int error);
    void *ctx;
    struct http_header headers[HTTP1_HEADERS_MAX];
    int header_count;
    bool is_head, value_begun, told, complete, upgraded, done;
};
static const struct stream_events http1_events;

static struct str append(struct http1 *h, struct str to, const char *at, size_t len)
{
    char *p = arena_grow(h->mem, (void *)to.ptr, to.len, to.len + len + 1);
    if (len)
        memcpy(p + to.len, at, len);
    return str_mem(p, to.len + len);
}

static int on_name(http_parser *p, const char *at, size_t len)
{
    struct http1 *h = p->data;
    if (h->told)
        return 0;
    if (h->value_begun || h->header_count == 0) {
        if (h->header_count == HTTP1_HEADERS_MAX)
            return -1;
        h->headers[h->header_count++] = (struct http_header){0};
        h->value_begun = false;
    }
    struct http_header *last = &h->headers[h->header_count - 1];
    size_t was = last->name.len;
    last->name = append(h, last->name, at, len);
    for (size_t i = was; i < last->name.len; i++)
        if (last->name.ptr[i] >= 'A' && last->name.ptr[i] <= 'Z')
            ((char *)last->name.ptr)[i] |= 0x20;
    return 0;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
    struct http1 *h = p->data;
    if (h->told)
        return 0;
    h->value_begun = true;
    struct http_header *last = &h->headers[h->header_count - 1];
    last->value = append(h, last->value, at, len);
    return 0;
}

static int on_headers(http_parser *p)
{
    struct http1 *h = p->data;
    if (p->status_code < 200 && p->status_code != 101) {
        h->header_count = 0;
        h->value_begun = false;
        return 1; /* no body; the real answer follows */
    }
    h->told = true;
    h->upgraded = p->status_code == 101;
    p->upgrade = h->upgraded;
    for (int i = 0; i < h->header_count; i++)
        h->headers[i].value = str_trim(h->headers[i].value);
    h->on_header(h->ctx, p->status_code, h->headers, h->header_count);
    return h->is_head ? 1 : 0;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
    struct http1 *h = p->data;
    if (!h->done)
        h->on_data(h->ctx, str_mem(at, len));
    return 0;
}

static int on_complete(http_parser *p)
{
    struct http1 *h = p->data;
    h->complete = h->told;
    if (h->complete)
        http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_headers,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

static void finish(struct http1 *h, int error)
{
    if (h->done)
        return;
    h->done = true;
    h->on_done(h->ctx, error);
}

/* The caller has taken the stream over in on_header: what came with the header is his. */
static bool taken_over(const struct http1 *h)
{
    return h->s->events != &http1_events;
}

static void on_data(void *ctx, struct str bytes)
{
    struct http1 *h = ctx;
    if (h->done)
        return;
    if (h->upgraded) {
        h->on_data(h->ctx, bytes);
        return;
    }
    struct stream *s = h->s;
    size_t n = http_parser_execute(&h->parser, &settings, bytes.ptr, bytes.len);
    enum http_errno e = HTTP_PARSER_ERRNO(&h->parser);
    if (h->upgraded) {
        bytes = str_from(bytes, n);
        bool taken = taken_over(h);
        if (bytes.len && taken)
            s->events->data(s->ctx, bytes);
        else if (bytes.len)
            h->on_data(h->ctx, bytes);
        if (taken)
            free(h);
    } else if (h->complete) {
        finish(h, 0);
        stream_close(s);
    } else if (e != HPE_OK) {
        finish(h, -EPROTO);
        stream_close(s);
    }
}

static void on_eof(void *ctx)
{
    struct http1 *h = ctx;
    if (h->upgraded) {
        finish(h, 0);
    } else {
        http_parser_execute(&h->parser, &settings, NULL, 0); /* a body that ends with the connection */
        finish(h, h->complete ? 0 : -ECONNRESET);
    }
    stream_close(h->s);
}

static void on_close(void *ctx, int error)
{
    struct http1 *h = ctx;
    finish(h, error ? error : -ECONNRESET);
    free(h);
}

static const struct stream_events http1_events = {.data = on_data, .eof = on_eof, .close = on_close};

void http1_request(struct arena *mem, struct stream *s, const char *method, struct str path,
                   const struct http_header *headers, int header_count, struct str body,
                   void (*on_header)(void *ctx, int status, const struct http_header *headers, int header_count),
                   void (*on_data_)(void *ctx, struct str bytes), void (*on_done)(void *ctx, int error), void *ctx)
{
    struct http1 *h = calloc(1, sizeof *h);
    if (!h)
        abort();
    http_parser_init(&h->parser, HTTP_RESPONSE);
    h->parser.data = h;
    h->mem = mem;
    h->s = s;
    h->on_header = on_header;
    h->on_data = on_data_;
    h->on_done = on_done;
    h->ctx = ctx;
    h->is_head = strcmp(method, "HEAD") == 0;
    stream_on(s, &http1_events, h);
    struct sb b = SB(mem);
    bool has_length = false, has_host = false;
    sb_addf(&b, "%s " STR_FMT " HTTP/1.1\r\n", method, STR_ARG(path));
    for (int i = 0; i < header_count; i++) {
        sb_addf(&b, STR_FMT ": " STR_FMT "\r\n", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
        has_length = has_length || str_ieq(headers[i].name, STR("content-length"));
        has_host = has_host || str_ieq(headers[i].name, STR("host"));
    }
    if (!has_host)
        sb_addz(&b, "Host: localhost\r\n");
    if (!has_length && (body.len || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0))
        sb_addf(&b, "Content-Length: %zu\r\n", body.len);
    sb_addz(&b, "\r\n");
    sb_add(&b, body);
    stream_write(s, sb_str(&b));
}
