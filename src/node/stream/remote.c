#include <stdlib.h>

#include "doc/doc.h"
#include "http/websocket.h"
#include "node/stream/remote_priv.h"
#include "node/stream/streams.h"

static void on_timer(struct loop_timer *t)
{
    remote_cut(container_of(t, struct remote, timer));
}

static void tell_ready(struct loop_task *t)
{
    struct remote *r = container_of(t, struct remote, ready_task);
    r->events->ready(r->ctx);
}

void remote_init(struct remote *r, const struct remote_ops *ops, struct loop *l, const struct remote_want *want,
                 const struct remote_events *events, void *ctx)
{
    r->ops = ops, r->loop = l, r->want = *want, r->events = events, r->ctx = ctx;
    loop_timer_init(l, &r->timer, on_timer);
    loop_task_init(&r->ready_task, tell_ready);
    loop_timer_start(&r->timer, STREAMS_OPEN_MS_MAX);
}

void remote_ready(struct remote *r)
{
    if (r->ready)
        return;
    r->ready = true;
    loop_timer_stop(&r->timer);
    loop_post(r->loop, &r->ready_task);
}

void remote_input(struct remote *r, struct str bytes)
{
    if (!r->ending)
        r->events->input(r->ctx, bytes);
}

void remote_input_end(struct remote *r)
{
    if (!r->ending)
        r->events->input_end(r->ctx);
}

static void resize_one(struct remote *r, struct str text)
{
    cleanup_arena struct arena *mem = arena_new();
    const struct doc *d = doc_parse(mem, text, NULL, NULL);
    int64_t w = doc_int(d, "Width", -1), h = doc_int(d, "Height", -1);
    if (w >= 0 && w <= 65535 && h >= 0 && h <= 65535 && !r->ending)
        r->events->resize(r->ctx, (int)w, (int)h);
}

/* Flat objects: each ends at its brace. */
void remote_resize(struct remote *r, struct str bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (r->resize_len == sizeof(r->resize))
            r->resize_len = 0; /* no terminal is that large */
        r->resize[r->resize_len++] = bytes.ptr[i];
        if (bytes.ptr[i] != '}')
            continue;
        resize_one(r, str_mem(r->resize, r->resize_len));
        r->resize_len = 0;
    }
}

void remote_drain(struct remote *r)
{
    if (!r->ending && r->events->drain)
        r->events->drain(r->ctx);
}

void remote_closed(struct remote *r)
{
    loop_timer_stop(&r->timer);
    loop_task_cancel(&r->ready_task);
    r->events->close(r->ctx);
    free(r);
}

bool remote_write(struct remote *r, enum remote_channel channel, struct str bytes)
{
    bool wanted = (channel == REMOTE_STDOUT && r->want.out) || (channel == REMOTE_STDERR && r->want.err);
    return r->ending || !wanted || !bytes.len || r->ops->write(r, channel, bytes);
}

void remote_pause_input(struct remote *r, bool paused)
{
    r->ops->pause(r, paused);
}

/* ---- the end. Source: apimachinery metav1.Status; k8s.io/apimachinery/pkg/util/remotecommand NonZeroExitCode. */
static struct str status_text(struct arena *mem, int code, struct str message)
{
    struct doc *s = doc_new_object(mem);
    doc_put(mem, s, "metadata", doc_new_object(mem));
    doc_put_str(mem, s, "status", code ? STR("Failure") : STR("Success"));
    if (code == 0)
        return doc_json(mem, s);
    doc_put_str(mem, s, "message",
                code > 0 ? str_fmt(mem, "command terminated with non-zero exit code: exit status %d", code)
                         : str_fmt(mem, "Internal error occurred: " STR_FMT, STR_ARG(message)));
    doc_put_str(mem, s, "reason", code > 0 ? STR("NonZeroExitCode") : STR("InternalError"));
    struct doc *cause = doc_push(doc_sub_array(mem, doc_sub(mem, s, "details"), "causes"), doc_new_object(mem));
    if (code > 0)
        doc_put_str(mem, cause, "reason", STR("ExitCode"));
    doc_put_str(mem, cause, "message", code > 0 ? str_fmt(mem, "%d", code) : message);
    if (code < 0)
        doc_put_int(mem, s, "code", 500);
    return doc_json(mem, s);
}

static struct str plain_text(struct arena *mem, int code, struct str message)
{
    return code > 0 ? str_fmt(mem, "command terminated with non-zero exit code: exit status %d", code) : message;
}

void remote_end(struct remote *r, int code, struct str message)
{
    cleanup_arena struct arena *mem = arena_new();
    if (r->ending)
        return;
    struct str text = r->version >= 4 ? status_text(mem, code, message) : plain_text(mem, code, message);
    if (r->version >= 4 || code)
        r->ops->write(r, REMOTE_ERROR, text);
    r->ending = true;
    loop_timer_start(&r->timer, STREAMS_FLUSH_MS_MAX);
    r->ops->finish(r);
}

void remote_cut(struct remote *r)
{
    r->ending = true;
    r->ops->cut(r);
}

struct remote *remote_accept(struct exchange *x, const struct remote_want *want, const struct remote_events *events,
                             void *ctx)
{
    return websocket_wanted(x) ? remote_ws_accept(x, want, events, ctx) : remote_spdy_accept(x, want, events, ctx);
}
