/* control/job_success_policy.c - spec.successPolicy: an Indexed Job that is done before all its indexes are. */
#include "control/job_policy.h"

static bool fulfils(struct arena *mem, const struct doc *rule, int64_t n, const struct job_indexes *done)
{
    const struct doc *count = doc_get(rule, "succeededCount");
    int64_t wanted = doc_int(rule, "succeededCount", 0);
    if (!doc_get(rule, "succeededIndexes"))
        return count && job_indexes_count(done) >= wanted;
    struct job_indexes asked = job_indexes_parse(mem, doc_str(rule, "succeededIndexes"), n);
    int64_t got = job_indexes_overlap(&asked, done), all = job_indexes_count(&asked);
    return all > 0 && (got == all || (count && got >= wanted));
}

int job_success_match(struct arena *mem, const struct doc *policy, int64_t n, const struct job_indexes *done)
{
    int index = 0;
    if (!done->count)
        return -1;
    doc_each (rule, doc_get(policy, "rules")) {
        if (fulfils(mem, rule, n, done))
            return index;
        index++;
    }
    return -1;
}
