/* node/image/store_priv.h - what store.c, fetch.c and import.c share. */
#ifndef SAMPAN_NODE_IMAGE_STORE_PRIV_H
#define SAMPAN_NODE_IMAGE_STORE_PRIV_H

#include <time.h>

#include "node/agent.h"
#include "node/image/store.h"

struct images {
    struct arena *keep;
    struct loop *loop;
    char *dir, *meta, *layers, *incoming;
    struct list all;      /* struct image, in order of digest */
    struct timespec seen; /* of meta when all was read */
    struct list pulls;    /* fetch.c */
    uint64_t next_pull;
};

#endif
