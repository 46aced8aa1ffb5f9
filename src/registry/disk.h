/* registry/disk.h - the registry's files. Everything here blocks: pool threads only; any number of them at once.
 *
 * Durable before return: what is pushed is fsynced, then renamed or linked, then its directory is fsynced, parents
 * first. So a process or machine that dies at any moment leaves whole blobs, links to whole blobs, whole tags, and
 * perhaps some that nothing refers to, which the sweep takes.
 *
 * The sweep's rule: disk_stat with renew and every push set a content's mtime (shared by all its links); the sweep
 * removes only what is older than the grace, looking again under the lock that all who renew hold shared. All return 0
 * or -errno, or a descriptor. Repositories are "UID/app/web"; hex is a digest's 64 digits; kind is a row of DISK_*. */
#ifndef SAMPAN_REGISTRY_DISK_H
#define SAMPAN_REGISTRY_DISK_H

#include <pthread.h>

#include "base/str.h"

struct disk {
    const char *root;
    int64_t grace_s;
    pthread_rwlock_t lock; /* shared: renew, commit, link. Exclusive: one removal by the sweep */
    pthread_mutex_t quota; /* held from the counting to the commit, in namespaces with a limit */
};
#define DISK_BLOBS     "_blobs"
#define DISK_MANIFESTS "_manifests"
#define DISK_TAGS      "_tags"
#define DISK_REFERRERS "_referrers"
#define DISK_UPLOADS   "_uploads"

char *disk_path(const struct disk *d, struct arena *mem, struct str repo, const char *kind, struct str name);
char *disk_blob_path(const struct disk *d, struct arena *mem, struct str hex);
int disk_make_dirs(const struct disk *d, struct arena *mem, const char *path); /* path and what is missing above it */
int disk_sync_dir(const char *path);

/* Size of a blob or manifest of a repository. renew: somebody is told that it is there; written only when the last time
 * was a quarter of the grace ago. */
int disk_stat(struct disk *d, struct arena *mem, struct str repo, const char *kind, struct str hex, bool renew,
              uint64_t *ret_size);
int disk_open(struct disk *d, struct arena *mem, struct str repo, const char *kind, struct str hex, uint64_t *ret_size);
/* The file at path, complete and fsynced, becomes content of the repository; path is gone. */
int disk_commit(struct disk *d, struct arena *mem, const char *path, struct str repo, const char *kind, struct str hex);
/* What from holds, to holds too. -ENOENT: it does not. */
int disk_mount(struct disk *d, struct arena *mem, struct str from, struct str to, struct str hex);
int disk_link_referrer(struct disk *d, struct arena *mem, struct str repo, struct str subject, struct str hex);
int disk_unlink(struct disk *d, struct arena *mem, struct str repo, const char *kind, struct str name);

int disk_tag_get(struct disk *d, struct arena *mem, struct str repo, struct str tag, struct str *ret_hex);
int disk_tag_put(struct disk *d, struct arena *mem, struct str repo, struct str tag, struct str hex);
/* Names in a directory, sorted bytewise, without those that begin with a dot. */
int disk_list(struct arena *mem, const char *path, struct str **ret, int *ret_count);
/* False: the file system is so full that what is left belongs to the server's store, which lies beside us: less than a
 * twentieth of it, or DISK_RESERVE_BYTES_MAX. */
#define DISK_RESERVE_BYTES_MAX (1ULL << 30)
bool disk_has_room(const struct disk *d);
bool disk_has_repo(struct disk *d, struct arena *mem, struct str repo);
/* Bytes that all repositories below `owner` (a namespace's uid) hold, each repository counted by itself. */
uint64_t disk_usage(struct disk *d, struct arena *mem, struct str owner);

#endif
