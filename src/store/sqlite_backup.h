/* store/sqlite_backup.h - a copy of sampan.db, taken between batches while the store works. For src/store/ only. */
#ifndef SAMPAN_STORE_SQLITE_BACKUP_H
#define SAMPAN_STORE_SQLITE_BACKUP_H

#include "store/sqlite_job.h"

struct backup;
/* Core thread, the database free or about to be: the first step comes as a job. `to` must not exist. */
int backup_begin(struct backup **ret, struct db *d, const char *to, void (*done)(void *ctx, int error), void *ctx);
/* On the pool thread: some pages, and after the last the finish. */
int backup_step(struct backup *b, bool *ret_more);
/* After the job. Returns b while there is more to do; else has called done, and returns NULL. */
struct backup *backup_stepped(struct backup *b, const struct job *j);
struct backup *backup_abandon(struct backup *b); /* NULL accepted; returns NULL; done gets -ECANCELED */

#endif
