/* write/admit_default_toleration_seconds.c - a pod stays 300 s on a node that is not ready or unreachable, unless it
 * says. */
#include "write/admission.h"

enum { TOLERATION_S = 300 };

static bool tolerates(const struct doc *tolerations, const char *key)
{
    doc_each (t, tolerations) {
        struct str k = doc_str(t, "key"), effect = doc_str(t, "effect");
        if ((!k.len || str_is(k, key)) && (!effect.len || str_is(effect, "NoExecute")))
            return true;
    }
    return false;
}

static void mutate(struct admission *a)
{
    static const char *const keys[] = {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"};
    if (!admission_creates(a, "", "pods"))
        return;
    struct arena *mem = a->req->mem;
    struct doc *tolerations = doc_sub_array(mem, doc_sub(mem, a->obj, "spec"), "tolerations");
    for (int i = 0; i < 2; i++) {
        if (tolerates(tolerations, keys[i]))
            continue;
        struct doc *t = doc_push(tolerations, doc_new_object(mem));
        doc_put_str(mem, t, "key", str_of(keys[i]));
        doc_put_str(mem, t, "operator", STR("Exists"));
        doc_put_str(mem, t, "effect", STR("NoExecute"));
        doc_put_int(mem, t, "tolerationSeconds", TOLERATION_S);
    }
}

const struct admission_plugin admit_default_toleration_seconds = {.name = "DefaultTolerationSeconds", .mutate = mutate};
