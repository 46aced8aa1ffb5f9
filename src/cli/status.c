/* cli/status.c - `sampan status`: at a glance what is healthy and what is not, and why. Exit code 0: all is well; 1:
 * something is not. */
#include <stdio.h>
#include <string.h>

#include "cli/admin.h"
#include "cli/cli.h"

struct status {
    struct admin admin;
    int bad;
};

static const struct doc *get(struct status *s, const char *path)
{
    return admin_ask(&s->admin, "GET", path, NULL);
}

static void line(struct status *s, bool good, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void line(struct status *s, bool good, const char *what, const char *fmt, ...)
{
    va_list ap;
    printf("%s %-10s ", good ? "ok  " : "BAD ", what);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    s->bad += !good;
}

static bool show_server(struct status *s)
{
    get(s, "/readyz?verbose");
    if (s->admin.code == 200) {
        line(s, true, "server", "ready");
        return true;
    }
    if (!s->admin.code) {
        line(s, false, "server", "no answer: %s", strerror(-s->admin.error));
        return false;
    }
    struct str rest = s->admin.body, one;
    while (str_next(&rest, '\n', &one))
        if (str_starts(one, STR("[-]")))
            line(s, false, "server", STR_FMT, STR_ARG(str_from(one, 3)));
    return true;
}

static void show_nodes(struct status *s)
{
    const struct doc *list = get(s, "/api/v1/nodes");
    if (!doc_len(doc_get(list, "items")))
        line(s, false, "node", "none has registered; is an agent running?");
    doc_each (node, doc_get(list, "items")) {
        struct str name = doc_str(doc_get(node, "metadata"), "name"), why = STR("has never reported");
        bool ready = false;
        doc_each (c, doc_path(node, "status", "conditions", NULL))
            if (str_is(doc_str(c, "type"), "Ready"))
                ready = str_is(doc_str(c, "status"), "True"), why = doc_str(c, "message");
        line(s, ready, "node", STR_FMT ": " STR_FMT, STR_ARG(name), STR_ARG(ready ? STR("Ready") : why));
    }
}

/* Why a pod does not run: what its containers wait for, else its conditions, newest word last. */
static struct str reason_of(struct arena *mem, const struct doc *pod)
{
    static const char *const lists[] = {"initContainerStatuses", "containerStatuses"};
    const struct doc *status = doc_get(pod, "status");
    for (int i = 0; i < 2; i++)
        doc_each (c, doc_get(status, lists[i])) {
            const struct doc *waiting = doc_path(c, "state", "waiting", NULL);
            if (doc_str(waiting, "reason").len)
                return str_fmt(mem, STR_FMT ": " STR_FMT " " STR_FMT, STR_ARG(doc_str(c, "name")),
                               STR_ARG(doc_str(waiting, "reason")), STR_ARG(doc_str(waiting, "message")));
        }
    doc_each (c, doc_get(status, "conditions"))
        if (str_is(doc_str(c, "status"), "False") && doc_str(c, "message").len)
            return doc_str(c, "message");
    return doc_str(status, "message").len ? doc_str(status, "message") : doc_str(status, "reason");
}

static bool pod_is_well(const struct doc *pod)
{
    struct str phase = doc_path(pod, "status", NULL) ? doc_str(doc_get(pod, "status"), "phase") : STR_NULL;
    if (str_is(phase, "Succeeded") || doc_str(doc_get(pod, "metadata"), "deletionTimestamp").len)
        return true;
    doc_each (c, doc_path(pod, "status", "conditions", NULL))
        if (str_is(doc_str(c, "type"), "Ready"))
            return str_is(doc_str(c, "status"), "True");
    return false;
}

static void show_pods(struct status *s)
{
    const struct doc *list = get(s, "/api/v1/pods");
    int good = 0, all = 0;
    doc_each (pod, doc_get(list, "items")) {
        const struct doc *meta = doc_get(pod, "metadata");
        all++;
        if (pod_is_well(pod))
            good++;
        else
            line(s, false, "pod", STR_FMT "/" STR_FMT " " STR_FMT ": " STR_FMT, STR_ARG(doc_str(meta, "namespace")),
                 STR_ARG(doc_str(meta, "name")), STR_ARG(doc_str(doc_get(pod, "status"), "phase")),
                 STR_ARG(reason_of(s->admin.mem, pod)));
    }
    line(s, true, "pods", "%d of %d well", good, all);
}

static int run(struct args *a)
{
    struct status s = {.bad = 0};
    int r = admin_open(&s.admin, a->mem, arg(a, "data-dir"));
    if (!r && show_server(&s)) {
        show_nodes(&s);
        show_pods(&s);
    }
    admin_close(&s.admin);
    return r ? r : s.bad != 0;
}

static const struct option_row options[] = {{"data-dir", "DIR", "the server's state", SAMPAN_DATA_DIR "/server"},
                                            {NULL, NULL, NULL, NULL}};
const struct command command_status = {"status", NULL, "show what is healthy and what is not, and why", options, run,
                                       0,        0};
