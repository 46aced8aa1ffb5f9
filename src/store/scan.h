/* store/scan.h - find what an object's header needs in its canonical JSON, in one pass without a tree.
 *
 * Memory-safe on any bytes; slices point into the text. May use base/. */
#ifndef SAMPAN_STORE_SCAN_H
#define SAMPAN_STORE_SCAN_H

#include "store/obj.h"

enum {
    SCAN_INLINE = 32 /* labels and owners without a heap allocation */,
    SCAN_DEPTH_MAX = 10100,
    SCAN_ITEMS_MAX = UINT16_MAX
};

struct scan_found {
    struct str ns, name, uid, owner_uid, node;
    int64_t created_ms;
    bool deleting;
    size_t rev_at; /* of the slot; SIZE_MAX: none */
    struct obj_label *labels;
    int label_count, label_cap;
    struct str *owners;
    int owner_count, owner_cap;
    struct obj_label labels_inline[SCAN_INLINE];
    struct str owners_inline[SCAN_INLINE];
};
/* want_node: go on to spec.nodeName (pods). False: no JSON object with metadata, or out of memory. Call scan_done in
 * any case. */
bool scan_object(struct str json, bool want_node, struct scan_found *ret);
void scan_done(struct scan_found *f);
/* RFC 3339 in UTC with whole seconds or a fraction: "2026-01-02T03:04:05Z". */
bool scan_time(struct str s, int64_t *ret_ms);

#endif
