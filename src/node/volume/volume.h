/* node/volume/volume.h - volumes of pods under KUBELET/pods/UID, and the files that every container gets (/etc/hosts,
 * resolv.conf, hostname, the termination log).
 *
 * Kinds: emptyDir (disk, Memory), configMap, secret, downwardAPI, projected (with service account tokens renewed at 80
 * % of their life), hostPath. Others are refused by name. Contents are swapped atomically through ..data, as kubelet's
 * AtomicWriter does; secrets, tokens and projections live on tmpfs. subPath is resolved below the volume and bound from
 * a descriptor, so that no symlink leads out. */
#ifndef SAMPAN_NODE_VOLUME_VOLUME_H
#define SAMPAN_NODE_VOLUME_VOLUME_H

#include "node/node.h"
#include "node/runtime/spec.h"
#include "node/volume/env.h"

/* Bring every volume up to date: at first, and whenever something it is made of changed. Safe to repeat, cheap when
 * nothing changed. 1: all are there; 0: something is awaited (p is kicked); -1: *ret_why in mem says what is wrong. */
int volumes_step(struct pod *p, struct arena *mem, struct str *ret_why);
void volumes_stop(struct pod *p); /* its timers; the volumes stay. Safe to repeat */
struct removal;                   /* runtime/removal.h */
/* Unmount and remove; emptyDir's content too. Safe to repeat. */
void volumes_remove(struct pod *p, struct removal *to);
void volumes_remove_tree(const char *root); /* a pod's directory, whoever made it, with what is mounted below */
/* The mounts of one container, volumes and files, into in->mounts. 0, or -1 with *ret_why in mem. */
int volumes_mounts(struct pod *p, struct container *c, struct spec_in *in, struct arena *mem, struct str *ret_why);
char *volume_termination_log(struct pod *p, struct container *c, struct arena *mem); /* on the host */

/* /etc files: written once the addresses are known. 0 or -errno. */
int volume_etc_files(struct pod *p);
struct str volume_hostname(struct pod *p, struct arena *mem);
/* What fields resolve to, for env and downward files. */
void volume_env_in(struct pod *p, struct container *c, struct env_in *in, struct arena *mem);

/* ---- payload.c: a set of files that changes at once */
struct payload_file {
    struct str path; /* relative, no ".." */
    struct str bytes;
    uint32_t mode;
};
struct payload {
    struct payload_file *files;
    int count, cap;
};
void payload_add(struct arena *mem, struct payload *p, struct str path, struct str bytes, uint32_t mode);
uint64_t payload_hash(const struct payload *p);
bool payload_path_valid(struct str path);
/* Write below dir; gid -1: root's. 0 or -errno. */
int payload_write(const char *dir, const struct payload *p, int64_t gid);

#endif
