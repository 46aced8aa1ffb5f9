/* control/deployment_revision.c - templates, revisions and the history of a Deployment.
 *
 * Source: kubernetes pkg/controller/deployment/{sync.go,util/deployment_util.go}. The hash is of our canonical JSON and
 * so differs from Kubernetes' (a print of Go structs); nobody but the collision check depends on its value. */
#include "control/conditions.h"
#include "control/deployment.h"
#include "control/owner.h"

enum { HISTORY_BYTES_MAX = 2000 };

static struct doc *template_without_hash(struct arena *mem, const struct doc *obj)
{
    struct doc *t = doc_copy(mem, doc_path(obj, "spec", "template", NULL));
    doc_del(doc_path(t, "metadata", "labels", NULL), LABEL_TEMPLATE_HASH);
    return t;
}

bool deployment_same_template(struct arena *mem, const struct doc *deployment, const struct doc *set)
{
    return doc_path(set, "spec", "template", NULL) &&
           doc_eq(template_without_hash(mem, deployment), template_without_hash(mem, set));
}

int deployment_find_new(const struct deployment *d)
{
    for (int i = 0; i < d->rollout.count; i++)
        if (deployment_same_template(d->r->mem, d->doc, d->sets[i].doc))
            return i;
    return -1;
}

/* ---- annotations */

static bool is_own_annotation(struct str name)
{
    static const char *const own[] = {"kubectl.kubernetes.io/last-applied-configuration",
                                      ANNOTATION_REVISION,
                                      ANNOTATION_HISTORY,
                                      ANNOTATION_DESIRED,
                                      ANNOTATION_MAX,
                                      "deprecated.deployment.rollback.to"};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (str_is(name, own[i]))
            return true;
    return false;
}

static struct doc *annotations_of(struct arena *mem, struct doc *obj)
{
    return doc_sub(mem, doc_sub(mem, obj, "metadata"), "annotations");
}

static void copy_annotations(struct deployment *d, struct doc *set)
{
    doc_each (a, doc_path(d->doc, "metadata", "annotations", NULL))
        if (!is_own_annotation(a->key))
            doc_set(annotations_of(d->r->mem, set), a->key, doc_copy(d->r->mem, a));
}

static int64_t newest_old_revision(const struct deployment *d)
{
    int64_t most = 0;
    for (int i = 0; i < d->rollout.count; i++)
        if (i != d->rollout.new_at && d->sets[i].revision > most)
            most = d->sets[i].revision;
    return most;
}

static void put_number(struct arena *mem, struct doc *annotations, const char *name, int64_t n)
{
    doc_put_str(mem, annotations, name, str_fmt(mem, "%lld", (long long)n));
}

/* The revisions that a set had before it was rolled back to. */
static void remember_revision(struct arena *mem, struct doc *annotations, struct str old)
{
    struct str history = doc_str(annotations, ANNOTATION_HISTORY);
    while (history.len + old.len + 1 > HISTORY_BYTES_MAX && str_cut(history, ',', &(struct str){0}, &history))
        ;
    if (history.len)
        old = str_fmt(mem, STR_FMT "," STR_FMT, STR_ARG(history), STR_ARG(old));
    doc_put_str(mem, annotations, ANNOTATION_HISTORY, old);
}

static void put_revision(struct arena *mem, struct doc *set, int64_t old, int64_t wanted)
{
    struct doc *annotations = annotations_of(mem, set);
    if (old >= wanted)
        return;
    struct str was = doc_str(annotations, ANNOTATION_REVISION);
    if (was.len)
        remember_revision(mem, annotations, was);
    put_number(mem, annotations, ANNOTATION_REVISION, wanted);
}

void deployment_put_sizes(struct deployment *d, struct replica_set *s)
{
    struct doc *annotations = annotations_of(d->r->mem, s->doc);
    put_number(d->r->mem, annotations, ANNOTATION_DESIRED, d->rollout.replicas);
    put_number(d->r->mem, annotations, ANNOTATION_MAX, d->rollout.replicas + d->rollout.max_surge);
}

void deployment_sync_revision(struct deployment *d)
{
    struct arena *mem = d->r->mem;
    if (d->rollout.new_at < 0)
        return;
    struct replica_set *s = &d->sets[d->rollout.new_at];
    copy_annotations(d, s->doc);
    put_revision(mem, s->doc, s->revision, newest_old_revision(d) + 1);
    int64_t min_ready = doc_int(d->spec, "minReadySeconds", 0);
    if (doc_int(doc_get(s->doc, "spec"), "minReadySeconds", 0) != min_ready)
        doc_put_int(mem, doc_get(s->doc, "spec"), "minReadySeconds", min_ready);
    doc_put_str(mem, annotations_of(mem, d->doc), ANNOTATION_REVISION, meta_annotation(s->doc, ANNOTATION_REVISION));
    struct doc *status = doc_sub(mem, d->doc, "status");
    struct condition found = {.type = "Progressing",
                              .status = "True",
                              .reason = "FoundNewReplicaSet",
                              .has_update_time = true,
                              .message = str_fmt(mem, "Found new replica set \"" STR_FMT "\"", STR_ARG(s->obj->name))};
    if (!condition_get(status, "Progressing") && doc_get(d->spec, "progressDeadlineSeconds"))
        condition_set(mem, status, &found, d->now);
}

/* ---- a new set */

/* Letters and digits that form no words (apimachinery util/rand SafeEncodeString). */
static struct str hash_text(struct arena *mem, struct str bytes)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    uint64_t h = str_hash(bytes);
    struct str digits = str_fmt(mem, "%u", (unsigned)(h ^ h >> 32));
    struct sb out = SB(mem);
    for (size_t i = 0; i < digits.len; i++)
        sb_addc(&out, alphabet[(unsigned char)digits.ptr[i] % (sizeof(alphabet) - 1)]);
    return sb_str(&out);
}

static struct str template_hash(struct deployment *d)
{
    struct sb text = SB(d->r->mem);
    doc_json_sb(&text, doc_get(d->spec, "template"));
    int64_t collisions = doc_int(doc_get(d->doc, "status"), "collisionCount", 0);
    if (collisions)
        sb_addf(&text, "#%lld", (long long)collisions);
    return hash_text(d->r->mem, sb_str(&text));
}

struct doc *deployment_new_set(struct deployment *d, int64_t size)
{
    struct arena *mem = d->r->mem;
    struct str hash = template_hash(d);
    struct doc *set = doc_new_object(mem), *meta = doc_sub(mem, set, "metadata"), *spec = doc_sub(mem, set, "spec");
    struct doc *template = doc_copy(mem, doc_get(d->spec, "template"));
    struct doc *labels = doc_sub(mem, doc_sub(mem, template, "metadata"), "labels");
    doc_put_str(mem, labels, LABEL_TEMPLATE_HASH, hash);
    doc_put_str(mem, set, "apiVersion", STR("apps/v1"));
    doc_put_str(mem, set, "kind", STR("ReplicaSet"));
    doc_put_str(mem, meta, "name", str_fmt(mem, STR_FMT "-" STR_FMT, STR_ARG(d->obj->name), STR_ARG(hash)));
    doc_put_str(mem, meta, "namespace", d->obj->ns);
    doc_put(mem, meta, "labels", doc_copy(mem, labels));
    owner_put(mem, meta, d->obj);
    doc_put_int(mem, spec, "replicas", size);
    if (doc_int(d->spec, "minReadySeconds", 0))
        doc_put_int(mem, spec, "minReadySeconds", doc_int(d->spec, "minReadySeconds", 0));
    struct doc *selector = doc_put(mem, spec, "selector", doc_copy(mem, doc_get(d->spec, "selector")));
    doc_put_str(mem, doc_sub(mem, selector, "matchLabels"), LABEL_TEMPLATE_HASH, hash);
    doc_put(mem, spec, "template", template);
    copy_annotations(d, set);
    put_number(mem, annotations_of(mem, set), ANNOTATION_REVISION, newest_old_revision(d) + 1);
    deployment_put_sizes(d, &(struct replica_set){.doc = set});
    return set;
}

/* ---- history */

static bool is_cleanable(const struct replica_set *s)
{
    const struct doc *status = doc_get(s->doc, "status");
    return !s->obj->deleting && doc_int(doc_get(s->doc, "spec"), "replicas", 0) == 0 &&
           doc_int(status, "replicas", 0) == 0 &&
           doc_int(doc_get(s->doc, "metadata"), "generation", 0) <= doc_int(status, "observedGeneration", 0);
}

void deployment_clean_history(struct deployment *d)
{
    const struct rollout *ro = &d->rollout;
    const struct doc *limit = doc_get(d->spec, "revisionHistoryLimit");
    int64_t excess = -doc_int(d->spec, "revisionHistoryLimit", 0);
    if (!limit)
        return;
    bool *passed = arena_array(d->r->mem, bool, ro->count + 1);
    for (int i = 0; i < ro->count; i++)
        excess += i != ro->new_at && !d->sets[i].obj->deleting;
    for (; excess > 0; excess--) { /* of the lowest revisions; one in use counts, but stays */
        int oldest = -1;
        for (int i = 0; i < ro->count; i++)
            if (i != ro->new_at && !passed[i] && !d->sets[i].obj->deleting &&
                (oldest < 0 || d->sets[i].revision < d->sets[oldest].revision))
                oldest = i;
        if (oldest < 0)
            return;
        passed[oldest] = true;
        if (is_cleanable(&d->sets[oldest]))
            reconcile_delete(d->r, d->sets[oldest].obj);
    }
}
