/* http/spdy_test.c - a client made of frames against the server's side. */
#include "http/http_test.h"

#include "http/spdy.h"
#include "http/spdy_headers.h"

struct fixture {
    struct loop *loop;
    struct stream *s;
    struct spdy *spdy;
    struct peer streams[8];
    int count, closed;
    struct peer p;
    char header[64];
    struct spdy_headers z; /* of the client: out packs with the same dictionary */
    struct arena *mem;
};

static bool on_open(void *ctx, struct stream *s, const struct http_header *headers, int header_count)
{
    struct fixture *f = ctx;
    for (int i = 0; i < header_count; i++)
        if (str_is(headers[i].name, "streamtype"))
            snprintf(f->header, sizeof f->header, STR_FMT, STR_ARG(headers[i].value));
    if (strcmp(f->header, "refuse") == 0)
        return false;
    peer_on(&f->streams[f->count++], s);
    return true;
}

static void on_close(void *ctx, int error)
{
    ((struct fixture *)ctx)->closed++;
}

static const struct spdy_events events = {on_open, on_close};

static void start(struct fixture *f)
{
    struct stream *pair[2];
    *f = (struct fixture){.loop = loop_new_uv(), .mem = arena_new()};
    assert_int_equal(stream_pair(f->loop, pair), 0);
    peer_on(&f->p, pair[0]);
    f->spdy = spdy_new(f->loop, pair[1], &events, f);
    spdy_headers_init(&f->z);
}

static void finish(struct fixture *f)
{
    peer_done(f->loop, &f->p);
    run_ms(f->loop, 5);
    assert_int_equal(f->closed, 1);
    for (int i = 0; i < f->count; i++) {
        assert_true(f->streams[i].closed);
        free(f->streams[i].got);
    }
    spdy_headers_done(&f->z);
    arena_free(f->mem);
    run_ms(f->loop, 2);
    loop_free(f->loop);
}

static void syn(struct fixture *f, int id, const char *type, int flags)
{
    struct http_header h = {STR("streamtype"), str_of(type)};
    struct str block = spdy_headers_pack(&f->z, f->mem, &h, 1);
    unsigned char head[18] = {
        0x80, 3, 0, 1, (unsigned char)flags, 0, 0, (unsigned char)(10 + block.len), 0, 0, 0, (unsigned char)id};
    stream_write(f->p.s, str_mem((char *)head, 18));
    stream_write(f->p.s, block);
    run_ms(f->loop, 5);
}

static void data(struct fixture *f, int id, const char *text, int flags)
{
    unsigned char head[8] = {0, 0, 0, (unsigned char)id, (unsigned char)flags, 0, 0, (unsigned char)strlen(text)};
    stream_write(f->p.s, str_mem((char *)head, 8));
    stream_write(f->p.s, str_of(text));
    run_ms(f->loop, 5);
}

static bool got(struct fixture *f, const char *bytes, size_t len)
{
    return memmem(f->p.got, f->p.len, bytes, len) != NULL;
}

static void test_streams(void **state)
{
    struct fixture f;
    start(&f);
    syn(&f, 1, "stdin", 0);
    assert_int_equal(f.count, 1);
    assert_string_equal(f.header, "stdin");
    assert_true(got(&f, "\x80\x03\x00\x02\x00", 5)); /* SYN_REPLY */
    syn(&f, 3, "stdout", 0);
    assert_int_equal(f.count, 2);
    assert_string_equal(f.header, "stdout"); /* the second block of one compression */
    data(&f, 1, "hello", 0);
    assert_string_equal(f.streams[0].got, "hello");
    stream_write(f.streams[1].s, STR("world"));
    run_ms(f.loop, 5);
    assert_true(got(&f, "\x00\x00\x00\x03\x00\x00\x00\x05world", 13));
    data(&f, 1, "!", 1);
    assert_string_equal(f.streams[0].got, "hello!");
    assert_true(f.streams[0].eof);
    stream_shutdown(f.streams[0].s);
    run_ms(f.loop, 5);
    assert_true(f.streams[0].closed);
    assert_int_equal(f.streams[0].error, 0);
    assert_true(got(&f, "\x00\x00\x00\x01\x01\x00\x00\x00", 8)); /* FIN */
    stream_close(f.streams[1].s);
    run_ms(f.loop, 5);
    assert_true(got(&f, "\x80\x03\x00\x03\x00\x00\x00\x08\x00\x00\x00\x03\x00\x00\x00\x05", 16)); /* RST CANCEL */
    finish(&f);
}

static void test_refused_ping_goaway(void **state)
{
    struct fixture f;
    start(&f);
    syn(&f, 1, "refuse", 0);
    assert_true(got(&f, "\x80\x03\x00\x03\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x03", 16));
    f.header[0] = 0;
    stream_write(f.p.s, STR("\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x07"));
    run_ms(f.loop, 5);
    assert_true(got(&f, "\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x07", 12));
    syn(&f, 3, "a", 0);
    stream_write(f.p.s, STR("\x80\x03\x00\x03\x00\x00\x00\x08\x00\x00\x00\x03\x00\x00\x00\x05"));
    run_ms(f.loop, 5);
    assert_true(f.streams[0].closed);
    assert_true(f.streams[0].error < 0);
    spdy_close(f.spdy);
    run_ms(f.loop, 5);
    assert_true(got(&f, "\x80\x03\x00\x07", 4));
    finish(&f);
}

/* A client that never updates windows must not stall us; one that does is obeyed. */
static void test_windows(void **state)
{
    struct fixture f;
    static char big[200000];
    start(&f);
    syn(&f, 1, "a", 0);
    stream_write(f.streams[0].s, str_mem(big, sizeof big));
    run_ms(f.loop, 20);
    assert_true(f.p.len > sizeof big);
    size_t before = f.p.len;
    stream_write(f.p.s, STR("\x80\x03\x00\x09\x00\x00\x00\x08\x00\x00\x00\x00\x00\x03\x00\x00")); /* connection */
    stream_write(f.p.s,
                 STR("\x80\x03\x00\x09\x00\x00\x00\x08\x00\x00\x00\x01\x00\x02\x20\x00")); /* stream: a little over 0 */
    run_ms(f.loop, 5);
    stream_write(f.streams[0].s, str_mem(big, sizeof big));
    run_ms(f.loop, 20);
    size_t sent = f.p.len - before;
    assert_true(sent < 10000);
    stream_write(f.p.s, STR("\x80\x03\x00\x09\x00\x00\x00\x08\x00\x00\x00\x00\x00\x04\x00\x00"));
    stream_write(f.p.s, STR("\x80\x03\x00\x09\x00\x00\x00\x08\x00\x00\x00\x01\x00\x04\x00\x00"));
    run_ms(f.loop, 20);
    assert_true(f.p.len - before > sizeof big);
    finish(&f);
}

static void test_bad_frames(void **state)
{
    static const struct str bad[] = {
        {"\x80\x02\x00\x01\x00\x00\x00\x04\x00\x00\x00\x01", 12},                             /* version 2 */
        {"\x80\x03\x00\x01\x00\xff\xff\xff", 8},                                              /* too large */
        {"\x80\x03\x00\x01\x00\x00\x00\x04\x00\x00\x00\x01", 12},                             /* too short */
        {"\x80\x03\x00\x01\x00\x00\x00\x0e\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00zzzz", 22}, /* not zlib */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fixture f;
        start(&f);
        stream_write(f.p.s, bad[i]);
        assert_true(run_until(f.loop, peer_ended, &f.p, 500));
        finish(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_streams), cmocka_unit_test(test_refused_ping_goaway),
                                       cmocka_unit_test(test_windows), cmocka_unit_test(test_bad_frames)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
