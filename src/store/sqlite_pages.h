/* store/sqlite_pages.h - rows of the log straight from the pages of the file, past broken trees. For src/store/ only.
 * Source: sqlite.org/fileformat2.html, 1.6 (b-tree pages) and 2.1 (records). */
#ifndef SAMPAN_STORE_SQLITE_PAGES_H
#define SAMPAN_STORE_SQLITE_PAGES_H

#include "base/map.h"
#include "base/str.h"

struct pages {
    unsigned char *file; /* whole; NULL: not read yet */
    size_t size;
    struct page_cell *cells; /* sorted by id */
    size_t count, cap;
    char *value; /* of the last row found */
    bool tried;
};
/* The row of log with this id, kind and key and a right checksum, on whatever page it stands; *value lives until the
 * next call. The WAL is not read: what is in it has not been damaged by time. */
bool pages_find(struct pages *p, const char *path, uint64_t id, int kind, struct str key, struct str *value);
void pages_done(struct pages *p);

#endif
