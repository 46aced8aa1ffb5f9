/* tests/fuzz/fuzz_spdy.c - SPDY frames; streams echo. */
#include "fuzz_http.h"
#include "http/spdy.h"

static bool is_open;

static void on_data(void *ctx, struct str bytes)
{
    stream_write(ctx, bytes);
}

static void on_eof(void *ctx)
{
    stream_shutdown(ctx);
}

static void on_stream_close(void *ctx, int error)
{
}

static const struct stream_events stream_events = {on_data, on_eof, NULL, on_stream_close};

static bool on_open(void *ctx, struct stream *s, const struct http_header *headers, int header_count)
{
    if (header_count > 5)
        return false;
    stream_on(s, &stream_events, s);
    return true;
}

static void on_close(void *ctx, int error)
{
    is_open = false;
}

static const struct spdy_events events = {on_open, on_close};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct loop *l = loop_new_uv();
    struct fuzz_peer p = fuzz_pair(l);
    is_open = true;
    spdy_new(l, p.s, &events, NULL);
    fuzz_feed(l, &p, data, size);
    if (is_open)
        stream_close(p.s);
    fuzz_turn(l);
    loop_free(l);
    return 0;
}
