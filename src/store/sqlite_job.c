/* store/sqlite_job.c - what happens on the pool thread. */
#include "store/sqlite_job.h"

#include <errno.h>
#include <stdlib.h>

#include "store/sqlite_backup.h"

static void work(struct loop_work *w);
static void finished(struct loop_work *w);

struct job *job_new(struct db *db, void (*done)(void *owner), void *owner)
{
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        abort();
    j->work = (struct loop_work){.work = work, .done = finished};
    j->db = db;
    j->done = done;
    j->owner = owner;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->change, NULL);
    return j;
}

void job_clear(struct job *j)
{
    j->kind = JOB_WRITE;
    j->row_count = j->del_count = 0;
    j->metas = NULL;
    j->mark = j->clean = 0;
    j->error = 0;
}

static void *grown(void *items, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return items;
    *cap = *cap ? *cap * 2 : 64;
    items = realloc(items, *cap * size);
    if (!items)
        abort();
    return items;
}

void job_add_row(struct job *j, uint64_t id, enum store_op_kind kind, const struct obj *o)
{
    j->rows = grown(j->rows, j->row_count, &j->row_cap, sizeof *j->rows);
    /* What a deleted object was like interests watchers, not the disk. */
    j->rows[j->row_count++] = (struct job_row){id, kind, o->key, kind == STORE_DELETE ? STR_NULL : o->json};
}

void job_add_del(struct job *j, uint64_t id)
{
    j->dels = grown(j->dels, j->del_count, &j->del_cap, sizeof *j->dels);
    j->dels[j->del_count++] = id;
}

/* ---- a transaction */

static int write_metas(struct job *j)
{
    cleanup_arena struct arena *mem = arena_new();
    int error = 0;
    if (!error && j->mark)
        error = db_meta_put_u64(j->db, "reserved", j->mark);
    if (!error && j->mark)
        error = db_meta_del(j->db, "clean");
    if (!error && j->clean)
        error = db_meta_put_u64(j->db, "clean", j->clean);
    if (j->metas)
        list_each (l, j->metas) {
            const struct meta_value *v = ((struct meta_put *)l)->value; /* link is the first member */
            if (!error)
                error = db_meta_put(j->db, str_fmt(mem, "v:" STR_FMT, STR_ARG(v->name)), v->value);
        }
    return error;
}

static int write_all(struct job *j)
{
    int error = db_begin(j->db);
    for (size_t i = 0; !error && i < j->row_count; i++)
        error = db_put(j->db, j->rows[i].id, j->rows[i].kind, j->rows[i].key, j->rows[i].value);
    for (size_t i = 0; !error && i < j->del_count; i++)
        error = db_del(j->db, j->dels[i]);
    if (!error)
        error = write_metas(j);
    if (!error)
        error = db_commit(j->db);
    if (error)
        db_rollback(j->db);
    return error;
}

/* The directory could not be written when we started and we read a copy: back to the real file once it can. */
static int leave_copy(struct job *j)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str why;
    struct db real;
    if (!db_writable(j->db->dir))
        return -EROFS;
    int error = db_open(&real, j->db->dir, 0, mem, &why);
    if (error)
        return error;
    db_close(j->db);
    *j->db = real;
    sqlite3_wal_hook(real.sql, db_on_wal, j->db);
    return 0;
}

static int write_job(struct job *j)
{
    if (j->db->copy_dir) {
        int error = leave_copy(j);
        if (error)
            return error;
    }
    if (j->db->frames >= JOB_WAL_MAX)
        db_checkpoint(j->db); /* what fails here will be tried again; the batch is safe in the WAL */
    return write_all(j);
}

void job_run(struct job *j)
{
    j->error = j->kind == JOB_WRITE        ? write_job(j)
               : j->kind == JOB_CHECKPOINT ? db_checkpoint(j->db)
                                           : backup_step(j->backup, &j->backup_more);
}

/* ---- threads */

static void work(struct loop_work *w)
{
    struct job *j = (struct job *)w;
    pthread_mutex_lock(&j->lock);
    bool mine = j->state == JOB_QUEUED;
    if (mine)
        j->state = JOB_RUNNING;
    pthread_mutex_unlock(&j->lock);
    if (!mine)
        return; /* job_wait() took it */
    job_run(j);
    pthread_mutex_lock(&j->lock);
    j->state = JOB_DONE;
    pthread_cond_signal(&j->change);
    pthread_mutex_unlock(&j->lock);
}

static void finished(struct loop_work *w)
{
    struct job *j = (struct job *)w;
    j->in_pool = false;
    if (!j->owner) {
        job_free(j);
    } else if (j->state == JOB_DONE) {
        j->state = JOB_NONE;
        j->done(j->owner);
    }
}

void job_start(struct job *j, struct loop *loop)
{
    j->state = JOB_QUEUED;
    j->in_pool = true;
    if (loop_work(loop, &j->work) < 0)
        abort(); /* no memory for a few bytes */
}

bool job_wait(struct job *j)
{
    pthread_mutex_lock(&j->lock);
    bool mine = j->state == JOB_QUEUED, any = j->state != JOB_NONE;
    if (mine)
        j->state = JOB_NONE;
    while (!mine && j->state == JOB_RUNNING)
        pthread_cond_wait(&j->change, &j->lock);
    j->state = JOB_NONE;
    pthread_mutex_unlock(&j->lock);
    if (mine)
        job_run(j);
    return any;
}

void job_free(struct job *j)
{
    if (j->in_pool) {
        j->owner = NULL;
        return;
    }
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->change);
    free(j->rows);
    free(j->dels);
    free(j);
}
