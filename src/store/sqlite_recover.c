/* store/sqlite_recover.c - one pass from the newest row down; the first row met of a key is its state.
 *
 * log and names are read side by side: each names what the other has lost. Where log can't be walked any further, the
 * rest is fetched row by row, as names lists them; rows whose way through the tree is broken are looked for on every
 * page of the file (a row with the wanted id and a right checksum is the row, wherever it lies: ids are never used
 * twice). */
#include "store/sqlite_recover.h"

#include <errno.h>
#include <stdlib.h>

#include "base/map.h"
#include "store/sqlite_pages.h"

struct walk {
    struct db *d;
    struct recover *r;
    struct map seen; /* key -> anything: its newest row has been met. Keys in r->mem or, of rows, in keys */
    struct map owed; /* key -> anything: lost, and an older row is welcome */
    struct arena *keys;
    sqlite3_stmt *one; /* a row by id */
    struct pages pages;
    bool names_bad, log_bad;
};

static void damage(struct walk *w, const char *what)
{
    w->r->damaged = true;
    if (!w->r->what)
        w->r->what = what;
}

static bool key_is_sane(struct str key)
{
    for (size_t i = 0; i < key.len; i++)
        if ((unsigned char)key.ptr[i] < 0x20)
            return false;
    return key.len > 0 && key.len <= OBJ_KEY_MAX && memchr(key.ptr, '/', key.len);
}

static void add_lost(struct walk *w, struct str key)
{
    struct recover *r = w->r;
    if (!r->lost)
        r->lost = arena_array(r->mem, struct str, LOST_KEYS_MAX);
    if (r->lost_count < LOST_KEYS_MAX)
        r->lost[r->lost_count++] = str_dup(r->mem, key);
}

/* The newest row of key is gone. A lost delete loses nothing. */
static void lose(struct walk *w, int kind, struct str key)
{
    if (!key_is_sane(key)) {
        w->r->unnamed = true;
        return;
    }
    if (map_get(&w->seen, key))
        return;
    key = str_dup(w->keys, key);
    map_put(&w->seen, key, w);
    if (kind == STORE_DELETE)
        return;
    if (w->r->use_older)
        map_put(&w->owed, key, w);
    else
        add_lost(w, key);
}

/* A sound row. */
static void take(struct walk *w, uint64_t id, int kind, struct str key, struct str value)
{
    struct recover *r = w->r;
    bool owed = w->owed.count && map_get(&w->owed, key);
    if (!owed && map_get(&w->seen, key)) {
        r->on_garbage(r->ctx, id, value.len);
        return;
    }
    struct str kept = str_dup(w->keys, key);
    map_put(&w->seen, kept, w);
    if (kind == STORE_DELETE) {
        map_del(&w->owed, key); /* older than the lost row: then the lost row was a creation */
        if (owed)
            add_lost(w, kept);
        r->on_garbage(r->ctx, id, 0);
    } else if (!r->on_row(r->ctx, id, kind, key, value)) {
        damage(w, "a row that holds no object");
        add_lost(w, kept);
    } else if (owed) {
        map_del(&w->owed, key);
        if (!r->older)
            r->older = arena_array(r->mem, struct str, LOST_KEYS_MAX);
        if (r->older_count < LOST_KEYS_MAX)
            r->older[r->older_count++] = str_dup(r->mem, kept);
    }
}

/* Columns kind, crc, key, value from column `at` on. */
static bool take_checked(struct walk *w, uint64_t id, sqlite3_stmt *s, int at)
{
    int kind = sqlite3_column_int(s, at);
    struct str key = db_column(s, at + 2), value = db_column(s, at + 3);
    if ((int64_t)db_row_crc(id, kind, key, value) != sqlite3_column_int64(s, at + 1))
        return false;
    if (db_row_rev(id) > w->r->max_rev)
        w->r->max_rev = db_row_rev(id);
    w->r->rows++;
    take(w, id, kind, key, value);
    return true;
}

/* ---- names, a cursor going down */

struct name {
    bool ok; /* false: at the end */
    uint64_t id;
    int kind;
    struct str key; /* valid until the next step */
};

static struct name name_step(struct walk *w, sqlite3_stmt *s)
{
    struct name n = {0};
    for (int rc; !w->names_bad && (rc = sqlite3_step(s)) != SQLITE_DONE;) {
        if (rc != SQLITE_ROW) {
            w->names_bad = true;
            damage(w, "the table of names");
            break;
        }
        n = (struct name){true, (uint64_t)sqlite3_column_int64(s, 0), sqlite3_column_int(s, 1), db_column(s, 2)};
        if ((int64_t)db_row_crc(n.id, n.kind, n.key, STR_NULL) == sqlite3_column_int64(s, 3))
            return n;
        damage(w, "a row of the table of names");
        n.ok = false;
    }
    return n;
}

/* A row of log that can't be read where it should be: by id, then anywhere in the file. */
static void fetch(struct walk *w, const struct name *n)
{
    struct str kind_key = n->key, value;
    bool found = false;
    if (!w->one)
        sqlite3_prepare_v2(w->d->sql, "SELECT kind, crc, key, value FROM log WHERE id = ?", -1, &w->one, NULL);
    if (w->one) {
        sqlite3_bind_int64(w->one, 1, (int64_t)n->id);
        found = sqlite3_step(w->one) == SQLITE_ROW && take_checked(w, n->id, w->one, 0);
        sqlite3_reset(w->one);
    }
    if (!found && kind_key.len && pages_find(&w->pages, w->d->path, n->id, n->kind, n->key, &value)) {
        if (db_row_rev(n->id) > w->r->max_rev)
            w->r->max_rev = db_row_rev(n->id);
        w->r->rows++;
        take(w, n->id, n->kind, n->key, value);
        found = true;
    }
    if (!found) {
        damage(w, "a page of the log");
        lose(w, n->kind, n->key);
    }
}

/* ---- the walk */

/* log has stopped in the middle: go on by names. */
static void rest_by_names(struct walk *w, sqlite3_stmt *names, struct name n)
{
    for (; n.ok; n = name_step(w, names))
        fetch(w, &n);
}

/* Neither table can be walked down: what log still has from its other end. */
static void rest_from_below(struct walk *w, uint64_t above)
{
    sqlite3_stmt *s = NULL;
    uint64_t *ids = NULL;
    size_t n = 0, cap = 0;
    w->r->unnamed = true;
    if (sqlite3_prepare_v2(w->d->sql, "SELECT id FROM log WHERE id < ? ORDER BY id", -1, &s, NULL) == SQLITE_OK) {
        sqlite3_bind_int64(s, 1, (int64_t)(above > INT64_MAX ? INT64_MAX : above));
        while (sqlite3_step(s) == SQLITE_ROW) {
            if (n == cap) {
                cap = cap ? cap * 2 : 1024;
                ids = realloc(ids, cap * sizeof *ids);
                if (!ids)
                    abort();
            }
            ids[n++] = (uint64_t)sqlite3_column_int64(s, 0);
        }
    }
    sqlite3_finalize(s);
    while (n) {
        const struct name name = {.ok = true, .id = ids[--n]};
        fetch(w, &name);
    }
    free(ids);
}

/* Both tables downwards in step. Returns the id that log was at last. */
static uint64_t walk_down(struct walk *w, sqlite3_stmt *log, sqlite3_stmt *names, struct name *n)
{
    uint64_t last = UINT64_MAX;
    int rc = SQLITE_DONE;
    *n = name_step(w, names);
    while (log && (rc = sqlite3_step(log)) == SQLITE_ROW) {
        uint64_t id = (uint64_t)sqlite3_column_int64(log, 0);
        for (; n->ok && n->id > id; *n = name_step(w, names))
            fetch(w, n);
        bool named = n->ok && n->id == id;
        if (!named && !w->names_bad)
            damage(w, "the table of names");
        if (!take_checked(w, id, log, 1)) {
            damage(w, "a row of the log");
            const struct name guess = {
                .ok = true, .id = id, .kind = sqlite3_column_int(log, 1), .key = db_column(log, 3)};
            fetch(w, named ? n : &guess);
        }
        if (named)
            *n = name_step(w, names);
        last = id;
    }
    if (!log || rc != SQLITE_DONE) {
        w->log_bad = true;
        damage(w, "a page of the log");
    }
    return last;
}

static void settle_owed(struct walk *w)
{
    uint32_t it = 0;
    struct str key;
    while (map_each(&w->owed, &it, &key, NULL))
        add_lost(w, key);
}

static int key_cmp(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

int recover_all(struct db *d, struct recover *r)
{
    struct walk w = {.d = d, .r = r, .keys = arena_new()};
    sqlite3_stmt *log = NULL, *names = NULL;
    struct name n;
    sqlite3_prepare_v2(d->sql, "SELECT id, kind, crc, key, value FROM log ORDER BY id DESC", -1, &log, NULL);
    sqlite3_prepare_v2(d->sql, "SELECT id, kind, key, crc FROM names ORDER BY id DESC", -1, &names, NULL);
    if (!names)
        w.names_bad = true, damage(&w, "the table of names");
    uint64_t last = walk_down(&w, log, names, &n);
    rest_by_names(&w, names, n);
    if (w.log_bad && w.names_bad)
        rest_from_below(&w, last);
    settle_owed(&w);
    if (r->lost_count)
        qsort(r->lost, (size_t)r->lost_count, sizeof r->lost[0], key_cmp);
    sqlite3_finalize(log);
    sqlite3_finalize(names);
    sqlite3_finalize(w.one);
    pages_done(&w.pages);
    map_done(&w.seen);
    map_done(&w.owed);
    arena_free(w.keys);
    return 0;
}
