/* store/sqlite_pages.c - every table leaf of the file is read for cells that look like rows of the log. Damaged bytes
 * are a stranger's bytes: every offset is checked. */
#include "store/sqlite_pages.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/sqlite_db.h"

enum { LEAF_TABLE = 0x0d, LOG_COLUMNS = 5 };

struct page_cell {
    uint64_t id;
    size_t at;        /* of the payload, in the file */
    uint64_t payload; /* its length */
};

static size_t varint(const unsigned char *p, size_t left, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 9 && i < left; i++) {
        if (i == 8) {
            *ret = v << 8 | p[i];
            return 9;
        }
        v = v << 7 | (p[i] & 0x7f);
        if (!(p[i] & 0x80)) {
            *ret = v;
            return i + 1;
        }
    }
    return 0;
}

static void add_cell(struct pages *p, size_t page_at, size_t cell_at)
{
    uint64_t payload, id;
    size_t left = DB_PAGE - cell_at, at = page_at + cell_at;
    size_t a = varint(p->file + at, left, &payload), b = a ? varint(p->file + at + a, left - a, &id) : 0;
    if (!b || payload > OBJ_BYTES_MAX + OBJ_KEY_MAX + 64)
        return;
    if (p->count == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 1024;
        p->cells = realloc(p->cells, p->cap * sizeof *p->cells);
        if (!p->cells)
            abort();
    }
    p->cells[p->count++] = (struct page_cell){id, at + a + b, payload};
}

static void read_page(struct pages *p, size_t page_at)
{
    const unsigned char *page = p->file + page_at;
    if (page[0] != LEAF_TABLE)
        return;
    unsigned n = (unsigned)page[3] << 8 | page[4];
    for (unsigned i = 0; i < n && 8 + 2 * i + 1 < DB_PAGE; i++) {
        size_t cell_at = (size_t)page[8 + 2 * i] << 8 | page[8 + 2 * i + 1];
        if (cell_at >= 8 && cell_at < DB_PAGE)
            add_cell(p, page_at, cell_at);
    }
}

static int cell_cmp(const void *a, const void *b)
{
    uint64_t x = ((const struct page_cell *)a)->id, y = ((const struct page_cell *)b)->id;
    return x < y ? -1 : x > y;
}

static bool load(struct pages *p, const char *path)
{
    struct stat st;
    if (p->tried)
        return p->file != NULL;
    p->tried = true;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= DB_PAGE) {
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map != MAP_FAILED) {
            p->file = map;
            p->size = (size_t)st.st_size;
        }
    }
    /* The descriptor stays open: closing it would drop SQLite's lock on the file (POSIX locks belong to the process).
     */
    for (size_t at = DB_PAGE; p->file && at + DB_PAGE <= p->size; at += DB_PAGE)
        read_page(p, at);
    if (p->count)
        qsort(p->cells, p->count, sizeof *p->cells, cell_cmp);
    return p->file != NULL;
}

/* The payload, its overflow pages put together; malloc'd. */
static unsigned char *gather(const struct pages *p, const struct page_cell *c)
{
    const size_t usable = DB_PAGE, max_local = usable - 35, min_local = (usable - 12) * 32 / 255 - 23;
    size_t k = min_local + (c->payload - min_local) % (usable - 4);
    size_t local = c->payload <= max_local ? c->payload
                   : k <= max_local        ? k
                                           : min_local,
           left_in_page = DB_PAGE - c->at % DB_PAGE;
    if (local + (local < c->payload ? 4 : 0) > left_in_page)
        return NULL;
    unsigned char *out = malloc(c->payload + 1);
    if (!out)
        return NULL;
    memcpy(out, p->file + c->at, local);
    size_t done = local;
    const unsigned char *link = p->file + c->at + local;
    while (done < c->payload) {
        uint64_t page = (uint64_t)link[0] << 24 | (uint64_t)link[1] << 16 | (uint64_t)link[2] << 8 | link[3];
        if (page < 2 || page * DB_PAGE > p->size)
            break;
        size_t n = c->payload - done < usable - 4 ? c->payload - done : usable - 4;
        link = p->file + (page - 1) * DB_PAGE;
        memcpy(out + done, link + 4, n);
        done += n;
    }
    if (done == c->payload)
        return out;
    free(out);
    return NULL;
}

static bool integer(const unsigned char *p, size_t left, uint64_t type, size_t *len, int64_t *ret)
{
    static const unsigned char sizes[] = {0, 1, 2, 3, 4, 6, 8};
    *len = type < sizeof sizes ? sizes[type] : 0;
    if (type == 8 || type == 9) {
        *ret = (int64_t)type - 8;
        return true;
    }
    if (type == 0 || type >= sizeof sizes || *len > left)
        return false;
    uint64_t v = p[0] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = 0; i < *len; i++)
        v = v << 8 | p[i];
    *ret = (int64_t)v;
    return true;
}

/* Record: header length, types of id (null), kind, crc, key, value; then the values. */
static bool parse(const unsigned char *rec, size_t len, int64_t *kind, int64_t *crc, struct str *key, struct str *value)
{
    uint64_t head, type[LOG_COLUMNS];
    size_t at = varint(rec, len, &head), n;
    if (!at || head > len)
        return false;
    for (int i = 0; i < LOG_COLUMNS; i++) {
        size_t step = at < head ? varint(rec + at, head - at, &type[i]) : 0;
        if (!step)
            return false;
        at += step;
    }
    if (at != head || type[0] != 0 || type[3] < 12 || type[3] % 2 || type[4] < 12 || type[4] % 2)
        return false;
    if (!integer(rec + at, len - at, type[1], &n, kind))
        return false;
    at += n;
    if (!integer(rec + at, len - at, type[2], &n, crc))
        return false;
    at += n;
    uint64_t key_len = (type[3] - 12) / 2, value_len = (type[4] - 12) / 2;
    if (key_len > len - at || value_len > len - at - key_len)
        return false;
    *key = str_mem((const char *)rec + at, key_len);
    *value = str_mem((const char *)rec + at + key_len, value_len);
    return true;
}

bool pages_find(struct pages *p, const char *path, uint64_t id, int kind, struct str key, struct str *value)
{
    if (!load(p, path))
        return false;
    size_t lo = 0, hi = p->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (p->cells[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < p->count && p->cells[lo].id == id; lo++) {
        int64_t row_kind, crc;
        struct str row_key;
        free(p->value);
        p->value = (char *)gather(p, &p->cells[lo]);
        if (p->value && parse((unsigned char *)p->value, p->cells[lo].payload, &row_kind, &crc, &row_key, value) &&
            row_kind == kind && str_eq(row_key, key) && crc == (int64_t)db_row_crc(id, kind, key, *value))
            return true;
    }
    return false;
}

void pages_done(struct pages *p)
{
    if (p->file)
        munmap(p->file, p->size);
    free(p->cells);
    free(p->value);
    *p = (struct pages){0};
}
