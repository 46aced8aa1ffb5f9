/* node/stream/command.c - exec, attach and run: what the agent has started or opened, joined with the client.
 *
 *   client -> remote -> pipe or terminal (exec), conmon's socket (attach); and back.
 *
 * An exec ends when its process has ended and its output is at its end; a client that goes away ends the process. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "http/stream.h"
#include "http/url.h"
#include "node/stream/attachment.h"
#include "node/stream/remote.h"
#include "node/stream/streams_priv.h"

enum { ARGS_MAX = 512, RUN_OUTPUT_BYTES_MAX = 10 << 20 };

struct command;
struct output {
    struct command *c;
    enum remote_channel channel;
    struct stream *s; /* NULL: none, or at its end */
};
struct command {
    struct session session;
    struct arena *mem;
    struct loop *loop;
    struct target target;
    struct remote_want want;
    struct str *args; /* exec */
    size_t arg_count;
    bool is_attach;

    struct remote *remote; /* NULL: gone, or a run */
    struct exchange *x;    /* of a run; NULL: gone, or no run */
    struct sb text;        /* of a run */
    uint32_t call;         /* EXEC or ATTACH under way */
    struct stream *in;     /* NULL: none; a terminal's is out[0].s */
    struct output out[2];
    struct attachment *attachment;
    bool started, exited, ended, tty, full; /* full: the client is slow, output is paused */
    bool input_ended;
    int code, streams; /* streams: not yet closed */
    struct str why;    /* of a code below 0 */
    int columns, rows; /* of the client's terminal; columns -1: not told */
    int64_t active_ms;
    struct loop_timer quiet, idle;
};

/* ---- the end */
static void maybe_free(struct command *c)
{
    if (c->call || c->remote || c->streams || c->attachment || c->x)
        return;
    loop_timer_stop(&c->quiet), loop_timer_stop(&c->idle);
    session_end(&c->session);
    arena_free(c->mem);
}

static void close_streams(struct command *c)
{
    if (c->in && c->in != c->out[0].s)
        stream_close(c->in);
    for (int i = 0; i < 2; i++)
        if (c->out[i].s)
            stream_close(c->out[i].s);
    if (c->attachment)
        attachment_close(c->attachment);
    c->in = c->out[0].s = c->out[1].s = NULL;
}

static void kill_exec(struct command *c)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    if (!c->session.exec_id || c->exited || !c->session.owner)
        return;
    ipc_put_u64(&b, c->session.exec_id);
    ipc_send(c->session.owner->o.agent, IPC_EXEC_KILL, &b, NULL, 0);
}

/* Nobody wants it any more. */
static void give_up(struct command *c)
{
    if (!c->ended)
        kill_exec(c);
    c->ended = true;
    close_streams(c);
    maybe_free(c);
}

static void finish(struct command *c, int code, struct str message)
{
    if (c->ended)
        return;
    c->ended = true;
    close_streams(c);
    if (c->remote) {
        remote_end(c->remote, code, message);
    } else if (c->x) {
        struct exchange *x = c->x;
        c->x = NULL, x->on_abort = NULL;
        if (code < 0)
            answer_error(x, error_code(code), message, false);
        else if (code)
            answer_error(
                x, 500,
                str_fmt(x->mem, STR_FMT "command terminated with exit code %d\n", STR_ARG(sb_str(&c->text)), code),
                false);
        else
            exchange_reply(x, 200, "text/plain", str_dup(x->mem, sb_str(&c->text)));
    }
    maybe_free(c);
}

/* The process has ended; its output may still be on the way, or be held open by a child that lives on. */
static void maybe_finish(struct command *c)
{
    if (!c->exited || c->ended || !c->started)
        return;
    if (!c->out[0].s && !c->out[1].s)
        finish(c, c->code, c->why);
    else
        loop_timer_start(&c->quiet, STREAMS_QUIET_MS);
}

static void on_quiet(struct loop_timer *t)
{
    struct command *c = container_of(t, struct command, quiet);
    if (c->full)
        loop_timer_start(&c->quiet, STREAMS_QUIET_MS); /* the client is what is slow */
    else
        finish(c, c->code, c->why);
}

static void on_idle(struct loop_timer *t)
{
    struct command *c = container_of(t, struct command, idle);
    int64_t quiet_ms = loop_now_ms(c->loop) - c->active_ms;
    if (quiet_ms < STREAMS_IDLE_MS_MAX)
        loop_timer_start(&c->idle, STREAMS_IDLE_MS_MAX - quiet_ms);
    else if (c->remote)
        remote_cut(c->remote);
}

static void cut(struct session *s)
{
    struct command *c = container_of(s, struct command, session);
    if (c->call)
        ipc_forget(s->owner->o.agent, c->call);
    c->call = 0;
    if (c->remote)
        remote_cut(c->remote);
    if (c->x) {
        c->x->on_abort = NULL;
        exchange_reset(c->x);
        c->x = NULL;
    }
    session_end(s);
    give_up(c);
}

static void on_exited(struct session *s, int code, struct str message)
{
    struct command *c = container_of(s, struct command, session);
    c->exited = true, c->code = code;
    if (code < 0)
        c->why = str_fmt(c->mem, "error executing command in container: " STR_FMT, STR_ARG(message));
    maybe_finish(c);
}

/* ---- output */
static bool put(struct command *c, enum remote_channel channel, struct str bytes)
{
    c->active_ms = loop_now_ms(c->loop);
    if (c->exited)
        loop_timer_start(&c->quiet, STREAMS_QUIET_MS);
    if (c->remote)
        return remote_write(c->remote, channel, bytes);
    if (c->text.len < RUN_OUTPUT_BYTES_MAX)
        sb_add(&c->text, bytes);
    return true;
}

static void pause_output(struct command *c, bool paused)
{
    c->full = paused;
    for (int i = 0; i < 2; i++)
        if (c->out[i].s)
            (paused ? stream_pause : stream_resume)(c->out[i].s);
    if (c->attachment)
        attachment_pause(c->attachment, paused);
}

static void out_data(void *ctx, struct str bytes)
{
    struct output *o = ctx;
    if (!o->c->ended && !put(o->c, o->channel, bytes))
        pause_output(o->c, true);
}

static void out_eof(void *ctx)
{
    struct output *o = ctx;
    if (o->s)
        stream_close(o->s);
}

static void in_drain(void *ctx)
{
    struct command *c = ctx;
    if (c->remote && !c->ended)
        remote_pause_input(c->remote, false);
}

static void out_drain(void *ctx) /* of a terminal, which is also the input */
{
    in_drain(((struct output *)ctx)->c);
}

static void out_close(void *ctx, int error)
{
    struct output *o = ctx;
    struct command *c = o->c;
    if (c->in == o->s)
        c->in = NULL;
    o->s = NULL, c->streams--;
    if (c->ended)
        maybe_free(c);
    else
        maybe_finish(c);
}

static void in_data(void *ctx, struct str bytes)
{
}

static void in_close(void *ctx, int error)
{
    struct command *c = ctx;
    c->in = NULL, c->streams--;
    in_drain(c); /* what still comes is thrown away */
    maybe_free(c);
}

static const struct stream_events out_events = {out_data, out_eof, out_drain, out_close};
static const struct stream_events in_events = {in_data, NULL, in_drain, in_close};

static void attach_output(void *ctx, int channel, struct str bytes)
{
    struct command *c = ctx;
    enum remote_channel to = channel == ATTACH_STDERR ? REMOTE_STDERR : REMOTE_STDOUT;
    if (!c->ended && !put(c, to, bytes))
        pause_output(c, true);
}

static void attach_close(void *ctx)
{
    struct command *c = ctx;
    c->attachment = NULL;
    if (c->ended)
        maybe_free(c);
    else
        finish(c, 0, STR_NULL);
}

static const struct attachment_events attach_events = {attach_output, in_drain, attach_close};

/* ---- the client */
static void on_input(void *ctx, struct str bytes)
{
    struct command *c = ctx;
    bool more = true;
    c->active_ms = loop_now_ms(c->loop);
    if (c->input_ended)
        return;
    if (c->attachment)
        more = attachment_write(c->attachment, bytes);
    else if (c->in)
        more = stream_write(c->in, bytes);
    if (!more)
        remote_pause_input(c->remote, true);
}

static void end_input(struct command *c)
{
    c->input_ended = true;
    if (c->tty)
        return; /* a terminal has no half close */
    if (c->attachment)
        attachment_shutdown(c->attachment);
    else if (c->in)
        stream_shutdown(c->in);
}

static void on_input_end(void *ctx)
{
    struct command *c = ctx;
    if (c->started)
        end_input(c);
    c->input_ended = true;
}

static void send_resize(struct command *c)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    if (!c->session.owner || !c->started || c->columns < 0)
        return;
    if (c->is_attach)
        target_put(&b, &c->target, true);
    else
        ipc_put_u64(&b, c->session.exec_id);
    ipc_put_u64(&b, (uint64_t)c->columns), ipc_put_u64(&b, (uint64_t)c->rows);
    ipc_send(c->session.owner->o.agent, c->is_attach ? IPC_ATTACH_RESIZE : IPC_EXEC_RESIZE, &b, NULL, 0);
}

static void on_resize(void *ctx, int columns, int rows)
{
    struct command *c = ctx;
    c->columns = columns, c->rows = rows;
    send_resize(c); /* or when it has started */
}

static void on_drain(void *ctx)
{
    pause_output(ctx, false);
}

static void on_gone(void *ctx)
{
    struct command *c = ctx;
    c->remote = NULL;
    give_up(c);
}

static void start(void *ctx);
static const struct remote_events remote_events = {start, on_input, on_input_end, on_resize, on_drain, on_gone};

/* ---- the agent's answer */
static int take_fd(struct ipc_msg *m, int *at)
{
    int fd = *at < m->fd_count ? m->fds[*at] : -1;
    if (fd >= 0)
        m->fds[(*at)++] = -1;
    return fd;
}

static struct stream *open_one(struct command *c, struct ipc_msg *m, int *at, const struct stream_events *events,
                               void *ctx)
{
    int fd = take_fd(m, at);
    struct stream *s = fd >= 0 ? stream_open_fd(c->loop, fd) : NULL;
    if (s) {
        c->streams++;
        stream_on(s, events, ctx);
    }
    return s;
}

static void open_exec(struct command *c, struct ipc_msg *m)
{
    int at = 0;
    if (c->want.tty) {
        c->in = c->out[0].s = open_one(c, m, &at, &out_events, &c->out[0]);
        return;
    }
    if (c->want.in)
        c->in = open_one(c, m, &at, &in_events, c);
    if (c->want.out)
        c->out[0].s = open_one(c, m, &at, &out_events, &c->out[0]);
    if (c->want.err)
        c->out[1].s = open_one(c, m, &at, &out_events, &c->out[1]);
}

static void answered(void *ctx, struct ipc_msg *m)
{
    struct command *c = ctx;
    struct ipc_reader r = IPC_READER(m->body);
    uint64_t value = m->error ? 0 : ipc_get_u64(&r); /* exec: its id; attach: has it a terminal */
    c->call = 0;
    if (!m->error && !c->is_attach)
        c->session.exec_id = value;
    if (c->ended) {
        kill_exec(c);
        maybe_free(c);
        return;
    }
    if (m->error) {
        finish(c, m->error, m->message);
        return;
    }
    c->started = true;
    c->tty = c->is_attach ? value != 0 : c->want.tty;
    if (!c->is_attach) {
        open_exec(c, m);
    } else if (m->fd_count > 0) {
        c->attachment = attachment_new(c->loop, m->fds[0], &attach_events, c);
        m->fds[0] = -1;
    }
    if (c->is_attach && !c->attachment) {
        finish(c, -EIO, STR("no connection to the container"));
        return;
    }
    send_resize(c);
    if (c->input_ended)
        end_input(c);
    if (c->remote)
        remote_pause_input(c->remote, false);
    maybe_finish(c);
}

static void start(void *ctx)
{
    struct command *c = ctx;
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    const struct remote_want *w = &c->want;
    target_put(&b, &c->target, true);
    if (!c->is_attach)
        ipc_put_strv(&b, c->args, c->arg_count);
    ipc_put_u64(&b, (w->in ? IPC_STDIN : 0) | (w->out ? IPC_STDOUT : 0) | (w->err ? IPC_STDERR : 0) |
                        (w->tty ? IPC_TTY : 0));
    c->call = ipc_call(c->session.owner->o.agent, c->is_attach ? IPC_ATTACH : IPC_EXEC, &b, NULL, 0, answered, c);
}

/* ---- the request */
static bool flag(struct exchange *x, const char *key)
{
    return url_query_bool(x->mem, x->query, key, false, NULL);
}

static void read_args(struct command *c, struct exchange *x)
{
    struct str rest = x->query, key, value;
    c->args = arena_array(c->mem, struct str, ARGS_MAX);
    while (c->arg_count < ARGS_MAX && url_query_next(&rest, &key, &value))
        if (str_is(key, "command") && url_decode_query(x->mem, value, &value))
            c->args[c->arg_count++] = str_dup(c->mem, value);
}

static struct command *command_new(struct streams *s, struct exchange *x, const struct target *t)
{
    struct arena *mem = arena_new();
    struct command *c = arena_new_of(mem, struct command);
    *c = (struct command){
        .mem = mem, .loop = s->o.loop, .text = SB(mem), .columns = -1, .active_ms = loop_now_ms(s->o.loop)};
    c->target = target_dup(mem, t);
    c->out[0] = (struct output){c, REMOTE_STDOUT, NULL}, c->out[1] = (struct output){c, REMOTE_STDERR, NULL};
    loop_timer_init(c->loop, &c->quiet, on_quiet), loop_timer_init(c->loop, &c->idle, on_idle);
    c->session.exited = on_exited;
    if (session_begin(s, &c->session, cut, x))
        return c;
    arena_free(mem);
    return NULL;
}

static void remote_command(struct streams *s, struct exchange *x, const struct target *t, bool is_attach)
{
    struct command *c = command_new(s, x, t);
    if (!c)
        return;
    c->is_attach = is_attach;
    c->want = (struct remote_want){flag(x, "input"), flag(x, "output"), flag(x, "error"), flag(x, "tty")};
    if (c->want.tty)
        c->want.err = false; /* a terminal has one output */
    read_args(c, x);
    const char *why = !c->want.in && !c->want.out && !c->want.err
                          ? "you must specify at least 1 of stdin, stdout, stderr"
                      : !is_attach && c->arg_count == 0 ? "you must specify a command"
                                                        : NULL;
    if (why)
        answer_error(x, 400, str_of(why), false);
    else
        c->remote = remote_accept(x, &c->want, &remote_events, c);
    if (c->remote)
        loop_timer_start(&c->idle, STREAMS_IDLE_MS_MAX);
    else
        give_up(c);
}

void exec_handle(struct streams *s, struct exchange *x, const struct target *t)
{
    remote_command(s, x, t, false);
}

void attach_handle(struct streams *s, struct exchange *x, const struct target *t)
{
    remote_command(s, x, t, true);
}

static void run_abort(struct exchange *x)
{
    struct command *c = x->user;
    c->x = NULL;
    give_up(c);
}

/* POST /run/...?cmd=a+b: the whole output at once. The command is split at white space, as kubelet does. */
void run_handle(struct streams *s, struct exchange *x, const struct target *t)
{
    struct str cmd, word;
    struct command *c = command_new(s, x, t);
    if (!c)
        return;
    c->args = arena_array(c->mem, struct str, ARGS_MAX);
    if (!url_query_get(x->mem, x->query, "cmd", &cmd))
        cmd = STR_NULL;
    cmd = str_dup(c->mem, cmd);
    while (c->arg_count < ARGS_MAX && str_next(&cmd, ' ', &word))
        if (str_trim(word).len)
            c->args[c->arg_count++] = str_trim(word);
    if (c->arg_count == 0) {
        answer_error(x, 400, STR("missing cmd"), false);
        give_up(c);
        return;
    }
    c->want = (struct remote_want){.out = true, .err = true};
    c->x = x, x->user = c, x->on_abort = run_abort;
    start(c);
}
