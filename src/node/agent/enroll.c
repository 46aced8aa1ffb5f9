#include "node/agent/enroll.h"

#include <fcntl.h>

#include "base/ipv4.h"
#include "base/log.h"
#include "node/agent/client.h"
#include "node/agent/nodestatus.h"
#include "node/files.h"

enum { RETRY_MS = 1000, RANGE_BYTES_MAX = 64, SAY_MS = 30000 };

struct enroll {
    struct node *node;
    struct api_watch watch;
    struct loop_timer retry, say;
    char *range; /* in node->keep */
};

static char *path_of(const char *state_dir, struct arena *mem)
{
    return str_fmtz(mem, "%s/pod-cidr", state_dir);
}

const char *enroll_remembered(const char *state_dir, struct arena *mem)
{
    struct str text;
    uint32_t network;
    int prefix;
    if (files_read(AT_FDCWD, path_of(state_dir, mem), RANGE_BYTES_MAX, mem, &text) < 0)
        return NULL;
    text = str_trim(text);
    return ipv4_parse_cidr(text, &network, &prefix) ? str_z(mem, text) : NULL;
}

static void on_node(struct api_watch *w, enum watch_event e, const struct doc *node)
{
    struct enroll *en = container_of(w, struct enroll, watch);
    struct str range = doc_str(doc_get(node, "spec"), "podCIDR");
    if (e > WATCH_MODIFIED || !range.len || en->range)
        return;
    en->range = str_z(en->node->keep, range);
    loop_stop(en->node->loop);
}

static void registered(void *ctx, const struct api_answer *a)
{
    struct enroll *en = ctx;
    if (a->status / 100 == 2 || a->status == 409 || en->range)
        return; /* the watch tells the rest */
    if (a->status)
        log_warn("agent", "the server refused the node", "status=%d why=" STR_FMT, a->status,
                 STR_ARG(doc_str(a->doc, "message")));
    loop_timer_start(&en->retry, RETRY_MS);
}

static void on_retry(struct loop_timer *t)
{
    struct enroll *en = container_of(t, struct enroll, retry);
    nodestatus_post(en->node, registered, en);
}

static void on_say(struct loop_timer *t)
{
    log_info("agent", "waits for a range of pod addresses; a server that gives none needs --pod-cidr here", NULL);
    loop_timer_start(t, SAY_MS);
}

static void ask(struct node *n)
{
    struct enroll *en = arena_new_of(n->keep, struct enroll); /* a late answer finds it */
    en->node = n;
    en->watch.path = str_fmt(n->keep, "/api/v1/nodes?fieldSelector=metadata.name%%3D%s", n->name);
    en->watch.event = on_node;
    loop_timer_init(n->loop, &en->retry, on_retry), loop_timer_init(n->loop, &en->say, on_say);
    loop_timer_start(&en->say, SAY_MS);
    nodestatus_post(n, registered, en);
    api_watch_start(n->api, &en->watch);
    while (!en->range)
        loop_run(n->loop);
    api_watch_stop(&en->watch);
    loop_timer_stop(&en->retry), loop_timer_stop(&en->say);
    n->opts.pod_cidr = en->range;
}

void enroll(struct node *n)
{
    if (n->opts.pod_cidr) {
        n->pod_cidr_given = true;
        return;
    }
    n->opts.pod_cidr = enroll_remembered(n->state_dir, n->keep);
    if (n->opts.pod_cidr)
        return;
    ask(n);
    if (files_write_atomic(path_of(n->state_dir, n->keep), 0600, str_of(n->opts.pod_cidr), /* durable= */ true) < 0)
        log_warn("agent", "the range of pod addresses could not be kept", NULL);
    log_info("agent", "has a range of pod addresses", "range=%s", n->opts.pod_cidr);
}
