/* Sends a pod's status when it has changed, once for many changes, and deletes the object of a pod that has ended and
 * is being deleted. Source: kubelet status_manager.go. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "node/agent/client.h"
#include "node/agent/pods.h"

enum { REPORT_RETRY_MS = 2000 };

/* A question under way: the pod may be gone when the answer comes. */
struct question {
    struct node *node;
    struct arena *mem;
    struct str uid;
};

static void report(struct pod *p);

static void run(struct loop_task *t)
{
    report(container_of(t, struct pod, status_task));
}

static void retry(struct loop_timer *t)
{
    report(container_of(t, struct pod, status_retry));
}

void report_init(struct pod *p)
{
    loop_task_init(&p->status_task, run);
    loop_timer_init(p->node->loop, &p->status_retry, retry);
}

void report_stop(struct pod *p)
{
    loop_task_cancel(&p->status_task);
    loop_timer_stop(&p->status_retry);
}

void pod_status_changed(struct pod *p)
{
    p->status_dirty = true;
    loop_post(p->node->loop, &p->status_task);
}

static struct question *question_new(struct pod *p)
{
    struct arena *mem = arena_new();
    struct question *q = arena_new_of(mem, struct question);
    *q = (struct question){p->node, mem, str_dup(mem, p->uid)};
    return q;
}

static struct str pod_path(struct pod *p, struct arena *mem, const char *sub)
{
    return str_fmt(mem, "/api/v1/namespaces/" STR_FMT "/pods/" STR_FMT "%s", STR_ARG(p->ns), STR_ARG(p->name), sub);
}

static void deleted(void *ctx, const struct api_answer *a)
{
    struct question *q = ctx;
    struct pod *p = pod_find(q->node, q->uid);
    if (p && a->status / 100 != 2 && a->status != 404 && a->status != 409) {
        p->delete_sent = false;
        loop_timer_start(&p->status_retry, REPORT_RETRY_MS);
    } else if (p && (a->status == 404 || a->status == 409)) {
        pod_gone(p);
    }
    arena_free(q->mem);
}

static void send_delete(struct pod *p)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str body = str_fmt(mem,
                              "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"gracePeriodSeconds\":0,"
                              "\"preconditions\":{\"uid\":\"" STR_FMT "\"}}",
                              STR_ARG(p->uid));
    p->delete_sent = true;
    api_send(p->node->api, "DELETE", pod_path(p, mem, ""), NULL, body, deleted, question_new(p));
}

static void patched(void *ctx, const struct api_answer *a)
{
    struct question *q = ctx;
    struct pod *p = pod_find(q->node, q->uid);
    if (p) {
        p->sending = false;
        if (a->status / 100 != 2) {
            free((char *)(uintptr_t)p->sent.ptr), p->sent = STR_NULL;
            if (a->status == 404)
                pod_gone(p);
            else {
                if (a->status)
                    log_warn("status", "the server refused a pod's status", "pod=" STR_FMT " status=%d why=" STR_FMT,
                             STR_ARG(p->name), a->status, STR_ARG(doc_str(a->doc, "message")));
                loop_timer_start(&p->status_retry, REPORT_RETRY_MS);
            }
        } else {
            loop_post(p->node->loop, &p->status_task);
        }
    }
    arena_free(q->mem);
}

/* A strategic merge keeps the elements of a list that it isn't told of: a pod that got another address, as after a
 * reboot, would have both, which the server refuses. */
static void replace_list(struct arena *mem, struct doc *status, const char *key)
{
    struct doc *list = doc_get(status, key);
    if (list)
        doc_put_str(mem, doc_push(list, doc_new_object(mem)), "$patch", STR("replace"));
}

static void send(struct pod *p, struct arena *mem, struct doc *status_doc)
{
    replace_list(mem, status_doc, "podIPs"), replace_list(mem, status_doc, "hostIPs");
    struct str status = doc_json(mem, status_doc);
    struct str body = str_fmt(mem, "{\"metadata\":{\"uid\":\"" STR_FMT "\"},\"status\":" STR_FMT "}", STR_ARG(p->uid),
                              STR_ARG(status));
    p->sending = true;
    api_send(p->node->api, "PATCH", pod_path(p, mem, "/status"), API_STRATEGIC, body, patched, question_new(p));
}

static void report(struct pod *p)
{
    cleanup_arena struct arena *mem = arena_new();
    if (p->sending || p->forced)
        return;
    struct doc *status = status_build(p, mem, loop_wall_ms(p->node->loop));
    struct str text = doc_json(mem, status);
    p->status_dirty = false;
    if (!p->over && !str_eq(text, p->sent)) {
        free((char *)(uintptr_t)p->sent.ptr);
        p->sent = str_mem(strndup(text.ptr, text.len), text.len);
        if (p->node->on_status)
            p->node->on_status(p->node, p, text);
        if (p->node->api && !p->from_file) {
            send(p, mem, status);
            return;
        }
    }
    if (p->state == POD_ENDED && p->deleting && p->node->api && !p->from_file && !p->delete_sent)
        send_delete(p);
}
