/* node/files.h - small file work of the agent: whole files, atomic replacement, trees. 0 or -errno throughout.
 * May use base/. */
#ifndef SAMPAN_NODE_FILES_H
#define SAMPAN_NODE_FILES_H

#include <sys/types.h>

#include "base/str.h"

int files_mkdirs(const char *path, mode_t mode); /* parents 0755; fine if it is there */
int files_read(int dir, const char *path, size_t max, struct arena *mem, struct str *ret); /* -EFBIG beyond max */
/* By rename; durable: fsync of file and directory. */
int files_write_atomic(const char *path, mode_t mode, struct str text, bool durable);
int files_write(const char *path, mode_t mode, struct str text); /* in place, no promise */
int files_write_existing(const char *path, struct str text);     /* cgroup and proc files */
/* Names in a directory without . and ..; the count or -errno. */
int files_list(const char *path, struct arena *mem, char ***ret);
/* Remove what is there, never through a symlink and never across a mount point; -EBUSY when a mount is in the way. */
int files_remove_tree(const char *path);
void files_remove_older(const char *dir, int age_s); /* entries of dir */

static inline void fd_cleanup(int *fd);
#define cleanup_fd __attribute__((cleanup(fd_cleanup)))

#include <unistd.h>
static inline void fd_cleanup(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#endif
