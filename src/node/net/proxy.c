/* From watches to the kernel. */
#include "node/net/proxy.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"

enum { RETRY_MS_MIN = 200, RETRY_MS_MAX = 30000 };

struct proxy {
    struct proxy_opts o;
    struct services *services;
    struct api_watch watches[2];  /* services, slices */
    bool listed[2], told, broken; /* broken: what the kernel holds is not what the model believes */
    struct loop_task task;
    struct loop_timer retry;
    int retry_ms;
};

bool proxy_synced(const struct proxy *p)
{
    return p->listed[0] && p->listed[1];
}

struct services *proxy_services(struct proxy *p)
{
    return p->services;
}

/* The model learns what the kernel has; what makes no sense is removed first. */
static int learn(struct proxy *p)
{
    cleanup_arena struct arena *mem = arena_new();
    struct frontend *fronts = NULL;
    size_t n = 0;
    int r = nft_dump(p->o.nft, mem, &fronts, &n);
    if (r == -EBADMSG) {
        log_warn("net", "the service table was changed by others; it is written anew", NULL);
        r = nft_clear(p->o.nft), n = 0;
    }
    if (r == 0)
        services_found(p->services, fronts, n);
    return r;
}

static void failed(struct proxy *p, int error)
{
    p->broken = true;
    p->retry_ms = p->retry_ms ? p->retry_ms * 2 : RETRY_MS_MIN;
    if (p->retry_ms > RETRY_MS_MAX)
        p->retry_ms = RETRY_MS_MAX;
    log_warn("net", "service rules not written", "error=%d retry_ms=%d", -error, p->retry_ms);
    loop_timer_start(&p->retry, p->retry_ms);
}

static void step(struct proxy *p)
{
    if (!proxy_synced(p) || loop_timer_running(&p->retry))
        return;
    cleanup_arena struct arena *mem = arena_new();
    struct plan plan = {.mem = mem};
    int r = p->broken ? learn(p) : 0;
    if (r == 0) {
        services_plan(p->services, /* all= */ true, &plan);
        r = plan.count ? nft_apply(p->o.nft, &plan) : 0;
    }
    if (r < 0) {
        failed(p, r);
        return;
    }
    p->broken = false, p->retry_ms = 0;
    nft_forget_flows(plan.dead, plan.dead_count);
    if (!p->told && p->o.synced)
        p->told = true, p->o.synced(p->o.services.ctx);
}

static void run(struct loop_task *t)
{
    step(container_of(t, struct proxy, task));
}

static void retry(struct loop_timer *t)
{
    step(container_of(t, struct proxy, retry));
}

void proxy_event(struct proxy *p, bool slices, enum watch_event e, const struct doc *obj)
{
    switch (e) {
    case WATCH_ADDED:
    case WATCH_MODIFIED:
        slices ? services_put_slice(p->services, obj) : services_put(p->services, obj);
        break;
    case WATCH_DELETED:
        slices ? services_remove_slice(p->services, obj) : services_remove(p->services, obj);
        break;
    case WATCH_SYNC_BEGIN:
        services_list_begin(p->services, slices);
        break;
    case WATCH_SYNC_END:
        services_list_end(p->services, slices);
        p->listed[slices] = true;
        break;
    }
    loop_post(p->o.loop, &p->task);
}

static void on_service(struct api_watch *w, enum watch_event e, const struct doc *obj)
{
    proxy_event(container_of(w, struct proxy, watches[0]), /* slices= */ false, e, obj);
}

static void on_slice(struct api_watch *w, enum watch_event e, const struct doc *obj)
{
    proxy_event(container_of(w, struct proxy, watches[1]), /* slices= */ true, e, obj);
}

struct proxy *proxy_new(const struct proxy_opts *o)
{
    struct proxy *p = calloc(1, sizeof(*p));
    if (!p)
        abort();
    p->o = *o;
    p->broken = true; /* nothing is known yet */
    p->services = services_new(&o->services);
    loop_task_init(&p->task, run);
    loop_timer_init(o->loop, &p->retry, retry);
    p->watches[0] = (struct api_watch){.path = STR("/api/v1/services"), .event = on_service};
    p->watches[1] = (struct api_watch){.path = STR("/apis/discovery.k8s.io/v1/endpointslices"), .event = on_slice};
    for (int i = 0; o->api && i < 2; i++)
        api_watch_start(o->api, &p->watches[i]);
    return p;
}

struct proxy *proxy_free(struct proxy *p)
{
    if (!p)
        return NULL;
    for (int i = 0; p->o.api && i < 2; i++)
        api_watch_stop(&p->watches[i]);
    loop_task_cancel(&p->task);
    loop_timer_stop(&p->retry);
    p->services = services_free(p->services);
    free(p);
    return NULL;
}
