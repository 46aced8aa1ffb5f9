/* What a later agent must find: RUN/pods/UID/pod.json (the object and the addresses) and c.NAME.json (a container's run
 * and its former ends). On a tmpfs, so nothing is worn; a reboot ends the containers and their records together. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "node/agent/pods.h"
#include "node/files.h"
#include "node/runtime/cgroup.h"

enum { RECORD_BYTES_MAX = 8 << 20, RECORD_VERSION = 1 };

void record_pod(struct pod *p)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc *d = doc_new_object(mem);
    doc_put_int(mem, d, "version", RECORD_VERSION);
    doc_put_bool(mem, d, "fromFile", p->from_file), doc_put_int(mem, d, "startMs", p->start_ms);
    struct doc *ips = doc_sub_array(mem, d, "ips");
    for (int i = 0; i < p->ip_count; i++)
        doc_push(ips, doc_new_str(mem, str_of(p->ips[i].text)));
    doc_put_int(mem, d, "initPid", p->init_pid);
    doc_put(mem, d, "pod", doc_copy(mem, p->obj));
    int r = files_write_atomic(sandbox_path(p, mem, "pod.json"), 0600, doc_json(mem, d), /* durable= */ false);
    if (r < 0)
        log_warn("record", "a pod's record can't be written", "pod=" STR_FMT " error=%s", STR_ARG(p->name),
                 strerror(-r));
}

static void put_end(struct arena *mem, struct doc *to, const char *key, const struct container_end *e)
{
    if (!e->reason[0])
        return;
    struct doc *d = doc_sub(mem, to, key);
    doc_put_str(mem, d, "id", str_of(e->id)), doc_put_int(mem, d, "exitCode", e->exit_code);
    doc_put_int(mem, d, "startedMs", e->started_ms), doc_put_int(mem, d, "finishedMs", e->finished_ms);
    doc_put_str(mem, d, "reason", str_of(e->reason)), doc_put_str(mem, d, "message", str_of(e->message));
}

void record_container(struct container *c)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc *d = doc_new_object(mem);
    doc_put_str(mem, d, "id", str_of(c->id)), doc_put_int(mem, d, "restarts", c->restarts);
    doc_put_int(mem, d, "createdMs", c->created_ms), doc_put_int(mem, d, "startedMs", c->started_ms);
    doc_put_int(mem, d, "pid", c->pid), doc_put_int(mem, d, "logAttempt", c->log_attempt);
    doc_put_int(mem, d, "backoffS", c->crash_backoff_s);
    doc_put_bool(mem, d, "ended", c->state == CT_EXITED);
    doc_put_str(mem, d, "image", str_of(c->image_name)), doc_put_str(mem, d, "imageID", str_of(c->image_id));
    put_end(mem, d, "end", &c->end), put_end(mem, d, "last", &c->last);
    char *path = sandbox_path(c->pod, mem, str_fmtz(mem, "c." STR_FMT ".json", STR_ARG(c->name)));
    files_write_atomic(path, 0600, doc_json(mem, d), /* durable= */ false);
}

static void copy_text(char *to, size_t cap, struct str from)
{
    snprintf(to, cap, STR_FMT, STR_ARG(from));
}

static void get_end(const struct doc *d, struct container_end *e)
{
    if (!d)
        return;
    copy_text(e->id, sizeof(e->id), doc_str(d, "id")), copy_text(e->reason, sizeof(e->reason), doc_str(d, "reason"));
    e->exit_code = (int)doc_int(d, "exitCode", 0);
    e->started_ms = doc_int(d, "startedMs", 0), e->finished_ms = doc_int(d, "finishedMs", 0);
    struct str m = doc_str(d, "message");
    e->message = m.len ? strndup(m.ptr, m.len) : NULL;
}

static void restore_container(struct container *c)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text;
    char *path = sandbox_path(c->pod, mem, str_fmtz(mem, "c." STR_FMT ".json", STR_ARG(c->name)));
    if (files_read(AT_FDCWD, path, RECORD_BYTES_MAX, mem, &text) < 0)
        return;
    const struct doc *d = doc_parse(mem, text, NULL, NULL);
    copy_text(c->id, sizeof(c->id), doc_str(d, "id"));
    if (strlen(c->id) != 64) {
        c->id[0] = 0;
        return;
    }
    c->restarts = (int)doc_int(d, "restarts", 0), c->log_attempt = (int)doc_int(d, "logAttempt", 0);
    c->created_ms = doc_int(d, "createdMs", 0), c->started_ms = doc_int(d, "startedMs", 0);
    c->crash_backoff_s = (int)doc_int(d, "backoffS", 0);
    struct str image = doc_str(d, "image"), image_id = doc_str(d, "imageID");
    c->image_name = strndup(image.ptr, image.len), c->image_id = strndup(image_id.ptr, image_id.len);
    get_end(doc_get(d, "end"), &c->end), get_end(doc_get(d, "last"), &c->last);
    struct image_ref ref;
    const struct image *i = image_ref_parse(mem, image, &ref) ? images_find(c->pod->node->images, &ref) : NULL;
    if (i)
        image_pin(i), c->image = i;
    if (doc_bool(d, "ended", false)) {
        c->state = CT_EXITED;
        return;
    }
    c->pid = (int)doc_int(d, "pid", 0);
    c->state = CT_RUN;
    c->started = c->kind == KIND_INIT || !doc_get(c->spec, "startupProbe");
    c->ready = c->started && !doc_get(c->spec, "readinessProbe");
}

/* What ended while nobody looked is told now; what runs is watched and probed again. */
static void attach(struct container *c)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text;
    int64_t code;
    if (c->state != CT_RUN)
        return;
    if (runtime_adopt(c) == 0) {
        /* readiness was true or not before: the API's copy says, until a probe speaks */
        doc_each (s, doc_path(c->pod->obj, "status", "containerStatuses", NULL))
            if (str_eq(doc_str(s, "name"), c->name))
                c->ready = c->ready || doc_bool(s, "ready", false),
                c->started = c->started || doc_bool(s, "started", false);
        probes_start(c);
        return;
    }
    if (files_read(AT_FDCWD, str_fmtz(mem, "%s/exits/%s", c->pod->node->run_dir, c->id), 64, mem, &text) == 0 &&
        str_to_i64(str_trim(text), &code)) {
        container_exited(c, (int)code,
                         cgroup_oom_killed(c->pod->node->cgroup_mode, str_fmtz(mem, "%s/%s", c->pod->cgroup, c->id)));
        return;
    }
    runtime_kill(c);
    container_exited(c, 137, false);
}

static void restore(struct node *n, const char *uid)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text;
    char *path = str_fmtz(mem, "%s/pods/%s/pod.json", n->run_dir, uid);
    const struct doc *d =
        files_read(AT_FDCWD, path, RECORD_BYTES_MAX, mem, &text) < 0 ? NULL : doc_parse(mem, text, NULL, NULL);
    if (doc_int(d, "version", 0) != RECORD_VERSION ||
        !str_is(doc_str(doc_path(d, "pod", "metadata", NULL), "uid"), uid)) {
        log_warn("record", "a pod's record can't be read; its containers are ended", "uid=%s", uid);
        return; /* strays_end does */
    }
    struct pod *p = pod_new(n, doc_get(d, "pod"));
    p->adopted = true, p->from_file = doc_bool(d, "fromFile", false);
    p->start_ms = doc_int(d, "startMs", p->start_ms), p->init_pid = (int)doc_int(d, "initPid", 0);
    doc_each (ip, doc_get(d, "ips"))
        if (p->ip_count < 2)
            copy_text(p->ips[p->ip_count++].text, sizeof(p->ips[0].text), doc_string(ip));
    for (int i = 0; i < p->container_count; i++)
        restore_container(p->containers[i]);
    p->admitted = true;
    for (int i = 0; i < p->container_count; i++)
        attach(p->containers[i]);
    pod_kick(p);
}

void record_restore_all(struct node *n)
{
    cleanup_arena struct arena *mem = arena_new();
    char **names;
    int count = files_list(str_fmtz(mem, "%s/pods", n->run_dir), mem, &names);
    for (int i = 0; i < count; i++)
        restore(n, names[i]);
    if (count > 0)
        log_info("agent", "found pods of a former agent", "count=%d", count);
}
