/* api/tunnel.c - the agents' tunnels: `POST /sampan/v1/tunnel/NODE` with `Upgrade: sampan-tunnel`, one a node.
 *
 * A new tunnel of a node takes the place of the old one: an agent that comes back from a cut network must not wait for
 * the old connection to time out. */
#include <errno.h>

#include "api/internal.h"
#include "base/log.h"

struct tunnel {
    struct api *api;
    struct str node; /* behind the struct */
    struct http_dialer *dialer;
};

static void on_closed(void *ctx, int error)
{
    struct tunnel *t = ctx;
    log_info("api", "tunnel closed", "node=%.*s error=%d", STR_ARG(t->node), error);
    if (map_get(&t->api->tunnels, t->node) == t)
        map_del(&t->api->tunnels, t->node);
    free(t);
}

static void drop(struct tunnel *t)
{
    map_del(&t->api->tunnels, t->node);
    http_dialer_free(t->dialer); /* closed is not called */
    free(t);
}

void tunnels_done(struct api *a)
{
    uint32_t it = 0;
    void *value;
    while (map_each(&a->tunnels, &it, NULL, &value))
        drop(value);
}

/* system:node:NODE itself, or a helper of it that holds no other right: group sampan:tunnels, name sampan:tunnel:NODE.
 */
static bool may_open(const struct user *u, struct str node)
{
    struct str of_node = STR("system:node:"), of_helper = STR("sampan:tunnel:");
    if (str_starts(u->name, of_node) && user_in_group(u, "system:nodes"))
        return str_eq(str_from(u->name, of_node.len), node);
    return user_in_group(u, "sampan:tunnels") && str_starts(u->name, of_helper) &&
           str_eq(str_from(u->name, of_helper.len), node);
}

static struct tunnel *tunnel_new(struct api *a, struct str node)
{
    struct tunnel *t = malloc(sizeof(*t) + node.len);
    if (!t)
        return NULL;
    memcpy(t + 1, node.ptr, node.len);
    *t = (struct tunnel){.api = a, .node = str_mem((const char *)(t + 1), node.len)};
    return t;
}

void handle_tunnel(struct api_req *r)
{
    struct api *a = r->api;
    struct str prefix = STR("/sampan/v1/tunnel/"), node = str_from(r->info.path, prefix.len);
    if (!node.len || str_find(node, '/') >= 0) {
        reply_text(r, 404, "404 page not found");
        return;
    }
    if (!may_open(r->user, node)) {
        err_set(&r->err, ERR_FORBIDDEN,
                "forbidden: User \"" STR_FMT "\" cannot open the tunnel of node \"" STR_FMT "\"",
                STR_ARG(r->user->name), STR_ARG(node));
        reply_err(r);
        return;
    }
    if (!r->x->is_upgrade || !http_token_in(exchange_header(r->x, "upgrade"), "sampan-tunnel")) {
        err_set(&r->err, ERR_BAD_REQUEST, "a tunnel needs Upgrade: sampan-tunnel");
        reply_err(r);
        return;
    }
    struct tunnel *old = map_get(&a->tunnels, node), *t = tunnel_new(a, node);
    if (!t || (!old && a->tunnels.count >= API_TUNNELS_MAX)) {
        free(t);
        err_set(&r->err, ERR_UNAVAILABLE, "too many tunnels");
        reply_err(r);
        return;
    }
    if (old)
        drop(old);
    exchange_set_header(r->x, "Upgrade", STR("sampan-tunnel"));
    t->dialer = http_dialer_new(a->loop, exchange_upgrade(r->x, 101), on_closed, t);
    map_put(&a->tunnels, t->node, t);
    log_info("api", "tunnel open", "node=%.*s", STR_ARG(t->node));
}

bool api_has_tunnel(const struct api *a, struct str node)
{
    return map_get(&a->tunnels, node) != NULL;
}

void tunnel_dial(struct api *a, struct str node, struct str authority,
                 void (*opened)(void *ctx, struct stream *s, int error), void *ctx)
{
    struct tunnel *t = map_get(&a->tunnels, node);
    if (!t)
        opened(ctx, NULL, -ENOTCONN);
    else
        http_dialer_dial(t->dialer, authority, opened, ctx);
}
