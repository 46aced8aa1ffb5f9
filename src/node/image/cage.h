/* node/image/cage.h - shuts a short-lived process in before it reads a stranger's archive.
 *
 * In order: descriptors closed but those kept, chroot into one directory, no new privileges, capabilities dropped to
 * what ownership needs, Landlock to that directory, seccomp to an allow list, limits. What the kernel lacks is left out
 * with one line of log, except chroot, seccomp and the dropping of capabilities, which are required. */
#ifndef SAMPAN_NODE_IMAGE_CAGE_H
#define SAMPAN_NODE_IMAGE_CAGE_H

enum cage_kind { CAGE_UNPACK, CAGE_IMPORT }; /* import needs no ownership: no capabilities at all */
/* Call in the child right after fork, with libraries already opened. root_fd: the directory. keep: descriptors that
 * stay open besides 0-2. 0 or -errno: then leave at once. */
int cage_enter(enum cage_kind kind, int root_fd, const int *keep, int keep_count);

#endif
