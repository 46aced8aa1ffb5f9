/* Images of containers: policy, pulls, back-off. Source: kubelet images/image_manager.go. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/agent/pods.h"
#include "node/image/store.h"

static void set_text(char **to, struct str text)
{
    free(*to);
    *to = strndup(text.ptr ? text.ptr : "", text.len);
}

static void have(struct container *c, const struct image *i, const struct image_ref *ref, struct arena *mem)
{
    image_pin(i);
    if (c->image)
        image_unpin(c->image);
    c->image = i;
    set_text(&c->image_name, image_ref_name(mem, ref));
    set_text(&c->image_id, image_ref_digest(mem, ref, i->info.digest));
    c->pull_backoff_s = 0;
}

static void wait_again(struct container *c, const char *reason, const char *what)
{
    struct str image = doc_str(c->spec, "image");
    c->pull_backoff_s = backoff_next(c->pull_backoff_s);
    container_wait(c, reason, "Back-off pulling image \"" STR_FMT "\"%s%s", STR_ARG(image), *what ? ": " : "", what);
    loop_timer_start(&c->backoff, (int64_t)c->pull_backoff_s * 1000);
}

static void pulled(void *ctx, const struct image *i, int error, struct str message)
{
    struct container *c = ctx;
    struct pod *p = c->pod;
    cleanup_arena struct arena *mem = arena_new();
    struct str image = doc_str(c->spec, "image");
    struct image_ref ref;
    c->pulling = false;
    if (p->deleting || p->state >= POD_STOP || !image_ref_parse(mem, image, &ref)) {
        pod_kick(p);
        return;
    }
    if (error == 0) {
        int64_t us = loop_now_us(p->node->loop) - c->pull_started_us;
        have(c, i, &ref, mem);
        pod_event(p, c, "Normal", "Pulled",
                  "Successfully pulled image \"" STR_FMT
                  "\" in %lld.%03llds (%lld.%03llds including waiting). Image size: %llu bytes.",
                  STR_ARG(image), (long long)(us / 1000000), (long long)(us / 1000 % 1000), (long long)(us / 1000000),
                  (long long)(us / 1000 % 1000), (unsigned long long)i->info.bytes);
        pod_kick(p);
        return;
    }
    pod_event(p, c, "Warning", "Failed", "Failed to pull image \"" STR_FMT "\": " STR_FMT, STR_ARG(image),
              STR_ARG(message));
    pod_event(p, c, "Warning", "Failed", "Error: ErrImagePull");
    container_wait(c, "ErrImagePull", STR_FMT, STR_ARG(message));
    c->pull_backoff_s = backoff_next(c->pull_backoff_s);
    c->backoff_told = false;
    loop_timer_start(&c->backoff, 1000);
}

/* The pod's pull secrets. False: one is awaited, and the pod will be kicked. */
static bool pull_secrets(struct container *c, const struct image_ref *ref, struct keyring *ret, struct arena *mem)
{
    struct pod *p = c->pod;
    struct sb missing = SB(mem);
    *ret = (struct keyring){0};
    doc_each (s, doc_get(p->spec, "imagePullSecrets")) {
        const struct doc *secret;
        struct str name = doc_str(s, "name");
        if (name.len == 0)
            continue;
        enum config_state state = configs_get(p->node->configs, p, CONFIG_SECRET, name, &secret);
        if (state == CONFIG_WAITING)
            return false;
        if (state == CONFIG_MISSING || !keyring_add(ret, mem, secret, ref))
            sb_addf(&missing, "%s" STR_FMT, missing.len ? ", " : "", STR_ARG(name));
    }
    if (missing.len)
        pod_event(p, NULL, "Warning", "FailedToRetrieveImagePullSecret",
                  "Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.",
                  sb_z(&missing));
    return true;
}

static void begin(struct container *c, struct str image, const struct image_ref *ref, struct arena *mem)
{
    struct pod *p = c->pod;
    struct keyring keyring;
    if (c->pull_backoff_s && strcmp(c->waiting_reason, "ErrImagePull") == 0) {
        /* the failure was shown; now the wait is */
        pod_event(p, c, "Normal", "BackOff", "Back-off pulling image \"" STR_FMT "\"", STR_ARG(image));
        pod_event(p, c, "Warning", "Failed", "Error: ImagePullBackOff");
        container_wait(c, "ImagePullBackOff", "Back-off pulling image \"" STR_FMT "\": ErrImagePull: %s",
                       STR_ARG(image), c->waiting_message ? c->waiting_message : "");
        loop_timer_start(&c->backoff, (int64_t)c->pull_backoff_s * 1000 - 1000);
        return;
    }
    if (!pull_secrets(c, ref, &keyring, mem))
        return;
    pod_event(p, c, "Normal", "Pulling", "Pulling image \"" STR_FMT "\"", STR_ARG(image));
    c->pulling = true, c->pull_started_us = loop_now_us(p->node->loop);
    images_pull(p->node->images, p->node->net, image, &keyring, pulled, c);
}

int image_ensure(struct container *c)
{
    if (c->pulling)
        return 0;
    cleanup_arena struct arena *mem = arena_new();
    struct str image = doc_str(c->spec, "image"), policy = doc_str(c->spec, "imagePullPolicy");
    struct image_ref ref;
    if (!image_ref_parse(mem, image, &ref)) {
        pod_event(c->pod, c, "Warning", "InspectFailed",
                  "Failed to apply default image tag \"" STR_FMT "\": couldn't parse image name \"" STR_FMT
                  "\": invalid reference format",
                  STR_ARG(image), STR_ARG(image));
        wait_again(c, "InvalidImageName", "invalid reference format");
        return 0;
    }
    if (c->image)
        return 1; /* pulled for this run */
    const struct image *i = images_find(c->pod->node->images, &ref);
    bool always = policy.len ? str_is(policy, "Always") : image_ref_is_latest(&ref);
    if (i && (!always || (ref.digest.len && !str_is(policy, "Always")))) {
        have(c, i, &ref, mem);
        pod_event(c->pod, c, "Normal", "Pulled", "Container image \"" STR_FMT "\" already present on machine",
                  STR_ARG(image));
        return 1;
    }
    if (str_is(policy, "Never")) {
        pod_event(c->pod, c, "Warning", "ErrImageNeverPull",
                  "Container image \"" STR_FMT "\" is not present with pull policy of Never", STR_ARG(image));
        pod_event(c->pod, c, "Warning", "Failed", "Error: ErrImageNeverPull");
        container_wait(c, "ErrImageNeverPull",
                       "Container image \"" STR_FMT "\" is not present with pull policy of Never", STR_ARG(image));
        loop_timer_start(&c->backoff, 10000);
        return 0;
    }
    begin(c, image, &ref, mem);
    return 0;
}
