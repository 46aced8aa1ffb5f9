/* tests/fuzz/fuzz_websocket.c - WebSocket frames; every other message pauses for a moment. */
#include "fuzz_http.h"
#include "http/websocket.h"

static struct websocket *open_ws;
static unsigned count;

static void on_message(void *ctx, bool is_binary, struct str bytes)
{
    websocket_send(open_ws, is_binary, bytes);
    if (count++ % 2)
        websocket_pause(open_ws);
}

static void on_close(void *ctx, int code)
{
    open_ws = NULL;
}

static const struct websocket_events events = {on_message, NULL, on_close};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct loop *l = loop_new_uv();
    struct fuzz_peer p = fuzz_pair(l);
    count = 0;
    open_ws = websocket_new(p.s, /* is_client= */ false);
    websocket_on(open_ws, &events, NULL);
    fuzz_feed(l, &p, data, size);
    for (int i = 0; i < 3 && open_ws; i++) {
        websocket_resume(open_ws);
        fuzz_turn(l);
    }
    if (open_ws)
        stream_close(p.s);
    fuzz_turn(l);
    loop_free(l);
    return 0;
}
