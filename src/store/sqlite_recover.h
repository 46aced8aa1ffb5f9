/* store/sqlite_recover.h - read everything, whatever state the file is in. For src/store/ only. */
#ifndef SAMPAN_STORE_SQLITE_RECOVER_H
#define SAMPAN_STORE_SQLITE_RECOVER_H

#include "store/sqlite_db.h"

enum { LOST_KEYS_MAX = 10000 };

struct recover {
    struct arena *mem; /* names of what is lost live here */
    /* The newest sound row of a key, newest first. False: it can't be used, count it as lost. */
    bool (*on_row)(void *ctx, uint64_t id, int kind, struct str key, struct str value);
    /* A row that a newer one has superseded, or a delete; newest first. */
    void (*on_garbage)(void *ctx, uint64_t id, size_t bytes);
    void *ctx;
    bool use_older; /* for a lost key take the newest older row that is sound (repair) */

    uint64_t max_rev;
    uint64_t rows;    /* seen, all kinds */
    bool damaged;     /* something could not be read or had a wrong checksum */
    bool unnamed;     /* parts are lost that nothing names any more */
    const char *what; /* the first damage found */
    struct str *lost; /* keys */
    int lost_count;
    struct str *older; /* of these an older revision was taken */
    int older_count;
};
/* 0 also when damaged; an error only where reading is impossible (EIO on every page, ENOMEM). */
int recover_all(struct db *d, struct recover *r);

#endif
