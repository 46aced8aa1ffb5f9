/* store/sqlite_job.h - one piece of work of the pool thread on the database; there is never more than one. For
 * src/store/ only. */
#ifndef SAMPAN_STORE_SQLITE_JOB_H
#define SAMPAN_STORE_SQLITE_JOB_H

#include <pthread.h>

#include "store/sqlite_db.h"

enum { JOB_WAL_MAX = 4096 /* frames, 16 MiB: then a batch waits for a checkpoint */ };
enum job_kind { JOB_WRITE, JOB_CHECKPOINT, JOB_BACKUP };

struct job_row {
    uint64_t id;
    enum store_op_kind kind;
    struct str key, value;
};
struct job {
    struct loop_work work; /* first */
    pthread_mutex_t lock;
    pthread_cond_t change;
    enum { JOB_NONE, JOB_QUEUED, JOB_RUNNING, JOB_DONE } state;
    bool in_pool; /* the loop will call done */
    void (*done)(void *owner);
    void *owner; /* NULL: nobody is left, done frees the job */
    struct db *db;

    enum job_kind kind;
    struct job_row *rows;
    size_t row_count, row_cap;
    uint64_t *dels;
    size_t del_count, del_cap;
    struct list *metas; /* of struct meta_put; NULL: none */
    uint64_t mark;      /* 0: none; else write "reserved" and take "clean" away */
    uint64_t clean;     /* 0: none; else write "clean" */
    struct backup *backup;
    bool backup_more;
    int error;
};
struct job *job_new(struct db *db, void (*done)(void *owner), void *owner);
void job_clear(struct job *j); /* ready to be filled */
void job_add_row(struct job *j, uint64_t id, enum store_op_kind kind, const struct obj *o);
void job_add_del(struct job *j, uint64_t id);
/* Hand it to the pool; done runs from the loop. */
void job_start(struct job *j, struct loop *loop);
void job_run(struct job *j); /* here and now, without done */
/* Wait for one that was started, or run it here if the pool has not begun. False: none was started. done is not called
 * any more. */
bool job_wait(struct job *j);
void job_free(struct job *j); /* not while it runs */

#endif
