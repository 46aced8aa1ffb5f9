/* gate/bootstrap_authn.c - a bearer of a bootstrap token is system:bootstrap:ID.
 *
 * Whatever is wrong with the token, the answer is the same. Source: kubernetes
 * plugin/pkg/auth/authenticator/token/bootstrap. */
#include "gate/internal.h"
#include "schema/bootstrap_token.h"

const struct user *bootstrap_token_authenticate(struct gate *g, struct arena *mem, struct str id, struct str secret,
                                                struct err *err)
{
    struct bootstrap_token t;
    int count = 0;
    const struct obj *o = cache_find(g->o.cache, schema_stored("", "secrets"), STR("kube-system"),
                                     str_fmt(mem, BOOTSTRAP_TOKEN_PREFIX STR_FMT, STR_ARG(id)));
    struct str *groups = NULL;
    if (o && !o->deleting && bootstrap_token_read(mem, obj_doc(mem, o), &t) && pki_same_secret(t.secret, secret) &&
        !bootstrap_token_is_over(&t, loop_wall_ms(g->o.loop)) && t.authenticates)
        groups = bootstrap_token_groups(mem, t.groups, &count);
    if (!groups) {
        err_set(err, ERR_UNAUTHORIZED, "Unauthorized");
        return NULL;
    }
    struct user *u = arena_new_of(mem, struct user);
    u->name = str_fmt(mem, "system:bootstrap:" STR_FMT, STR_ARG(t.id));
    u->groups = arena_array(mem, struct str, count + 1);
    for (int i = 0; i < count; i++)
        u->groups[u->group_count++] = str_dup(mem, groups[i]);
    u->groups[u->group_count++] = STR("system:authenticated");
    return u;
}
