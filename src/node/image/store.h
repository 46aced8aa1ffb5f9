/* node/image/store.h - the images of a node: STATE/images.
 *
 *   meta/HEX.json   one file an image (by the manifest's digest): names, layers, what to run
 *   layers/HEX      one directory a layer (by its diff_id), unpacked, ready to be a lowerdir of overlayfs
 *   incoming/       half-done work; emptied when the agent starts
 * A record is written after everything it names is on disk (one syncfs an image), so a power cut leaves whole images or
 * none. Layer blobs are not kept once unpacked. Writers hold a lock on meta/.lock, so `sampan image import` may run
 * beside the agent, which notices new records by the directory's time. */
#ifndef SAMPAN_NODE_IMAGE_STORE_H
#define SAMPAN_NODE_IMAGE_STORE_H

#include "base/list.h"
#include "base/loop.h"
#include "node/image/info.h"
#include "node/image/keyring.h"
#include "node/image/ref.h"

struct image {
    struct list link;
    struct arena *mem;
    struct image_info info;
    struct strv names;
    int pins; /* containers that use it; a record that is replaced lives on until they let go */
    bool gone;
    int64_t first_ms,
        used_ms; /* Unix time: its record was written; a container had it (0: not since the agent began) */
};
struct images;
struct ipc;

/* Makes the directories. NULL: they can't be made (*ret_error -errno). loop is NULL for the command line. */
struct images *images_open(const char *state_dir, struct loop *loop, int *ret_error);
struct images *images_close(struct images *s);
/* By name or digest. NULL: not here. Pin what you keep. */
const struct image *images_find(struct images *s, const struct image_ref *ref);
void image_pin(const struct image *i);
void image_unpin(const struct image *i);
/* In order of digest; NULL: the end. */
const struct image *images_next(struct images *s, const struct image *after);
/* "lowerdir" of overlayfs: highest first, joined by ':'. */
struct str image_lowerdir(struct images *s, const struct image *i, struct arena *mem);
const char *images_dir(const struct images *s);
bool images_has_layer(struct images *s, struct str diff_id);
/* The diff_id of a blob that some image here came with; empty: not known. */
struct str images_diff_of(struct images *s, struct str blob_digest);

/* Unpack: a fresh directory to unpack into, then its move to its place, or its removal. */
int images_layer_begin(struct images *s, struct arena *mem,
                       char **ret_path); /* a descriptor of the directory, or -errno */
int images_layer_end(struct images *s, struct str diff_id, const char *path, bool keep);
/* A nameless file for a blob. */
int images_blob_file(struct images *s);
/* Record an image under name (normalised; may be empty) after its layers are in place. 0 or -errno. */
int images_record(struct images *s, const struct image_info *info, struct str name);

/* Pull by the net helper, unpack, record. done is called from the loop; several pulls of one name are one.
 *   error -errno and message (kubelet's words) on failure. image is pinned by whoever wants it. */
typedef void images_done_fn(void *ctx, const struct image *image, int error, struct str message);
/* keyring: tried one after the other until the registry gives the image; NULL or empty: without credentials. Pulls of
 * one name with other credentials are others: who may not pull an image does not get it by another's leave. */
void images_pull(struct images *s, struct ipc *net, struct str ref, const struct keyring *keyring, images_done_fn *done,
                 void *ctx);
void images_forget(struct images *s, void *ctx); /* no more done() with this ctx */
/* What net asks: BLOB_WANT and BLOB_DONE. */
void images_message(struct images *s, struct ipc *net, struct ipc_msg *m);
/* Forget images until there is room again: when available is so little that high_percent is in use, unused images go,
 * the least recently used first, until low_percent would be. Not those recorded less than min_age_ms ago, and none
 * while a pull is under way. Returns how many bytes were wanted (0: enough room), *ret_freed how many were found. */
struct images_gc {
    int64_t capacity, available; /* of the file system, bytes */
    int high_percent, low_percent;
    int64_t min_age_ms, now_ms; /* Unix time */
    bool (*used)(void *ctx, const struct image *i);
    void (*remove)(void *ctx, const char *path); /* a directory that nobody needs: remove it at leisure */
    void *ctx;
};
int64_t images_collect(struct images *s, const struct images_gc *g, int64_t *ret_freed);
const char *image_arch(void); /* Go's word for this machine: amd64, arm64 */

/* The import process (image/import.c): like unpack_start; speaks one IPC_IMPORT a found image (image_put), then REPLY.
 */
int import_start(int archive_fd, bool is_directory, int blobs_dir_fd, const char *arch, int *ret_fd);

#endif
