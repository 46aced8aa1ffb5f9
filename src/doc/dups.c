#include "doc/dups.h"

#include <stdio.h>

#include "base/map.h"

/* A member that a later one has replaced; it stays linked until its object is closed. `b` of the object says there is
 * one. Its key matches nothing. */
enum { DEAD = 255 };

struct dups_wide {
    struct dups_wide *up;
    const struct doc *obj;
    struct map keys; /* key -> member */
};

void dups_init(struct dups *d, struct arena *mem, struct doc_dups *ret)
{
    *d = (struct dups){.mem = mem, .ret = ret};
    if (ret)
        *ret = (struct doc_dups){NULL, 0};
}

static void pop(struct dups *d)
{
    map_done(&d->wide->keys);
    d->wide = d->wide->up;
}

void dups_done(struct dups *d)
{
    while (d->wide)
        pop(d);
}

/* Puts s before *at; false when there is no room left. */
static bool prepend(char *start, char **at, struct str s)
{
    if ((size_t)(*at - start) < s.len)
        return false;
    *at -= s.len;
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    return true;
}

struct str dups_path(struct arena *mem, const struct doc *obj, struct str key)
{
    static const struct str cut = {"...", 3};
    char *start = arena_alloc(mem, DUPS_PATH_BYTES_MAX), *end = start + DUPS_PATH_BYTES_MAX, *at = end;
    char *body = start + cut.len, index[16];
    bool fits = prepend(body, &at, key), dot = true; /* an index is not followed by a dot */
    for (const struct doc *open = obj, *up; fits && (up = open->next) != NULL; open = up) {
        fits = prepend(body, &at, dot ? STR(".") : STR_NULL);
        dot = up->type == DOC_OBJECT;
        if (fits && dot)
            fits = prepend(body, &at, open->key);
        else if (fits)
            fits = prepend(body, &at, str_mem(index, (size_t)snprintf(index, sizeof index, "[%u]", up->count - 1)));
    }
    if (!fits)
        prepend(start, &at, cut);
    return str_mem(at, (size_t)(end - at));
}

static void report(struct dups *d, const struct doc *obj, struct str key)
{
    struct doc_dups *ret = d->ret;
    if (!ret || ret->count == DUPS_REPORT_MAX)
        return;
    struct str path = dups_path(d->mem, obj, key);
    for (int i = 0; i < ret->count; i++)
        if (str_eq(ret->paths[i], path))
            return;
    if (!ret->paths)
        ret->paths = arena_array(d->mem, struct str, DUPS_REPORT_MAX);
    ret->paths[ret->count++] = path;
}

static bool replace(struct dups *d, struct doc *obj, struct doc *old)
{
    report(d, obj, old->key);
    old->type = DEAD;
    old->key = (struct str){"", SIZE_MAX};
    obj->b = true;
    return true;
}

bool dups_search(struct dups *d, struct doc *obj, struct doc *node)
{
    for (struct doc *at = obj->first; at; at = at->next)
        if (at->type != DEAD && str_eq(at->key, node->key))
            return replace(d, obj, at);
    return false;
}

bool dups_search_wide(struct dups *d, struct doc *obj, struct doc *node)
{
    if (!d->wide || d->wide->obj != obj) {
        struct dups_wide *w = arena_new_of(d->mem, struct dups_wide);
        *w = (struct dups_wide){d->wide, obj, MAP_INIT};
        for (struct doc *at = obj->first; at; at = at->next)
            if (at->type != DEAD)
                map_put(&w->keys, at->key, at);
        d->wide = w;
    }
    struct doc *old = map_put(&d->wide->keys, node->key, node);
    return old && replace(d, obj, old);
}

void dups_sweep(struct dups *d, struct doc *obj)
{
    if (d->wide && d->wide->obj == obj)
        pop(d);
    if (!obj->b)
        return;
    struct doc **link = &obj->first, *last = NULL;
    uint32_t count = 0;
    for (struct doc *at = obj->first; at; at = at->next) {
        if (at->type == DEAD)
            continue;
        *link = last = at;
        link = &at->next;
        count++;
    }
    *link = NULL;
    obj->last = last;
    obj->count = count;
    obj->b = false;
}
