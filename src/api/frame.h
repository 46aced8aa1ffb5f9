/* api/frame.h - events of a watch as bytes. Internal to api/. Each returned frame is one reference; NULL: out of
 * memory. type is one of the literals of watch.c (compared by address). */
#ifndef SAMPAN_API_FRAME_H
#define SAMPAN_API_FRAME_H

#include "api/internal.h"

/* headers: a Table with its columnDefinitions (the first of a watch). */
struct cache_frame *frame_obj(struct arena *mem, const struct view *v, bool headers, const char *type,
                              const struct obj *o, int64_t now_ms);
/* A bookmark or a Status. */
struct cache_frame *frame_doc(struct arena *mem, const struct view *v, bool headers, const char *type,
                              const struct type *t, struct doc *d, int64_t now_ms);

enum { FRAME_SLOTS = 4 };
struct frame_slot {
    struct obj *obj; /* referenced: its address then stands for its contents */
    const struct resource *res;
    const char *type, *include;
    uint8_t form, as;
    bool beta;
    struct cache_frame *frame;
};
struct frame_slots {
    struct frame_slot slots[FRAME_SLOTS];
    int next;
};
struct cache_frame *frame_shared(struct frame_slots *f, struct arena *mem, const struct view *v, const char *type,
                                 const struct obj *o, int64_t now_ms);
void frame_slots_drop(struct frame_slots *f);
#endif
