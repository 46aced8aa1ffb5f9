/* node/image/unpack.h - one layer, from blob to directory, in a process of its own that is shut into that directory.
 *
 * The blob's digest and the tar's diff_id are both checked; whiteouts become overlayfs' (mounted with userxattr, so
 * that no privilege beyond ownership is needed). Refused: ".." in names, anything through a symlink, hard links to what
 * is not in the layer, more than UNPACK_FILES_MAX entries or UNPACK_BYTES_MAX bytes, a ratio beyond UNPACK_RATIO_MAX.
 * Devices are left out. Source: OCI image spec, layer. */
#ifndef SAMPAN_NODE_IMAGE_UNPACK_H
#define SAMPAN_NODE_IMAGE_UNPACK_H

#include "base/str.h"

#define UNPACK_BYTES_MAX (64ull << 30)
enum { UNPACK_FILES_MAX = 1000000, UNPACK_RATIO_MAX = 1100, UNPACK_RATIO_FREE_BYTES = 64 << 20 };

/* The process: forks, and speaks IPC_UNPACK's answer (one IPC_REPLY with id 1) on *ret_fd, then ends. The descriptors
 * are the caller's; the directory must be empty. Returns its pid or -errno. limits: 0 for the above (tests give less).
 */
struct unpack_job {
    int blob_fd, dir_fd;
    struct str digest, diff_id;
    uint64_t bytes_max, files_max;
};
int unpack_start(const struct unpack_job *job, int *ret_fd);

#endif
