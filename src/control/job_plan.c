/* control/job_plan.c - the arithmetic of Jobs. */
#include "control/job_plan.h"

#include "control/conditions.h"

int64_t job_want_active(int64_t parallelism, int64_t completions, int64_t succeeded, int64_t active)
{
    if (completions < 0)
        return succeeded > 0 && active < parallelism ? active : parallelism;
    int64_t left = completions - succeeded;
    left = left < 0 ? 0 : left;
    return left < parallelism ? left : parallelism;
}

/* ---- back-off */

static int64_t finished_ms(const struct pod *p)
{
    static const char *const lists[] = {"containerStatuses", "initContainerStatuses"};
    int64_t last = 0;
    for (int i = 0; i < 2; i++)
        doc_each (c, doc_path(p->doc, "status", lists[i], NULL)) {
            int64_t t = time_ms(doc_str(doc_path(c, "state", "terminated", NULL), "finishedAt"));
            last = t > last ? t : last;
        }
    if (!last)
        last = time_ms(doc_str(condition_get(doc_get(p->doc, "status"), "Ready"), "lastTransitionTime"));
    return last ? last : p->obj->created_ms;
}

int64_t job_backoff_left_ms(const struct pod *pods, int count, int64_t wall_ms)
{
    int64_t last_success = 0, last_failure = 0, delay = JOB_BACKOFF_FIRST_MS;
    int failures = 0;
    for (int i = 0; i < count; i++)
        if (pod_phase_is(&pods[i], "Succeeded") && finished_ms(&pods[i]) > last_success)
            last_success = finished_ms(&pods[i]);
    for (int i = 0; i < count; i++) {
        if (!pod_phase_is(&pods[i], "Failed") || finished_ms(&pods[i]) <= last_success)
            continue;
        failures++;
        last_failure = finished_ms(&pods[i]) > last_failure ? finished_ms(&pods[i]) : last_failure;
    }
    if (!failures)
        return 0;
    for (int i = 1; i < failures && delay < JOB_BACKOFF_MAX_MS; i++)
        delay *= 2;
    int64_t left = last_failure + (delay < JOB_BACKOFF_MAX_MS ? delay : JOB_BACKOFF_MAX_MS) - wall_ms;
    return left > 0 ? left : 0;
}

int64_t job_restarts(const struct pod *pods, int count)
{
    static const char *const lists[] = {"containerStatuses", "initContainerStatuses"};
    int64_t n = 0;
    for (int i = 0; i < count; i++) {
        if (pods[i].finished)
            continue;
        for (int l = 0; l < 2; l++)
            doc_each (c, doc_path(pods[i].doc, "status", lists[l], NULL))
                n += doc_int(c, "restartCount", 0);
    }
    return n;
}

/* ---- indexes */

bool *job_indexes_parse(struct arena *mem, struct str text, int64_t n)
{
    bool *set = arena_array(mem, bool, n + 1);
    struct str part, first, last;
    while (str_next(&text, ',', &part)) {
        int64_t a, b;
        bool range = str_cut(part, '-', &first, &last);
        if (!str_to_i64(first, &a) || (range && !str_to_i64(last, &b)))
            continue;
        b = range ? b : a;
        for (int64_t i = a < 0 ? 0 : a; i <= b && i < n; i++)
            set[i] = true;
    }
    return set;
}

struct str job_indexes_text(struct arena *mem, const bool *set, int64_t n)
{
    struct sb out = SB(mem);
    for (int64_t i = 0; i < n; i++) {
        int64_t end = i;
        if (!set[i])
            continue;
        while (end + 1 < n && set[end + 1])
            end++;
        sb_addf(&out, "%s%lld", out.len ? "," : "", (long long)i);
        if (end > i)
            sb_addf(&out, "%c%lld", end == i + 1 ? ',' : '-', (long long)end);
        i = end;
    }
    return sb_str(&out);
}

int64_t job_indexes_count(const bool *set, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        count += set[i];
    return count;
}

int64_t job_pod_index(const struct pod *p, int64_t n)
{
    int64_t index;
    struct str text = meta_annotation(p->doc, "batch.kubernetes.io/job-completion-index");
    return str_to_i64(text, &index) && index >= 0 && index < n ? index : -1;
}
