/* JSON for people: indented, as json.MarshalIndent writes it. */
#include "doc/doc.h"

/* An open container, in the arena of the output: documents may be deeper than the C stack. */
struct level {
    struct level *up;
    const struct doc *d;
};

static void line(struct sb *out, size_t indent)
{
    char *p = sb_room(out, indent + 1);
    *p = '\n';
    memset(p + 1, ' ', indent);
    out->len += indent + 1;
}

/* As json.MarshalIndent: each child on a line of its own, empty containers as {} and []. */
void doc_json_pretty(struct sb *out, const struct doc *d, int indent)
{
    struct level *open = NULL, *spare = NULL;
    size_t margin = 0;
    for (;;) {
        if (doc_first(d)) {
            struct level *l = spare ? spare : arena_new_of(out->mem, struct level);
            spare = spare ? spare->up : NULL;
            *l = (struct level){open, d};
            open = l;
            sb_addc(out, d->type == DOC_OBJECT ? '{' : '[');
            margin += (size_t)indent;
            d = d->first;
        } else {
            doc_json_sb(out, d);
            while (open && !d->next) {
                struct level *done = open;
                d = done->d;
                open = done->up;
                done->up = spare;
                spare = done;
                margin -= (size_t)indent;
                line(out, margin);
                sb_addc(out, d->type == DOC_OBJECT ? '}' : ']');
            }
            if (!open)
                return;
            sb_addc(out, ',');
            d = d->next;
        }
        line(out, margin);
        if (open->d->type != DOC_OBJECT)
            continue;
        doc_json_string(out, d->key);
        sb_addz(out, ": ");
    }
}
