/* node/volume/priv.h - what the files of volume/ share. */
#ifndef SAMPAN_NODE_VOLUME_PRIV_H
#define SAMPAN_NODE_VOLUME_PRIV_H

#include "node/volume/volume.h"

enum { VOLUME_TOKENS_MAX = 8 };
struct pod_volume {
    struct pod *pod;
    struct str name;
    char *path; /* what is mounted into containers */
    bool ready, mounted;
    uint64_t written; /* payload_hash of what stands there; 0: nothing yet */
    struct volume_token {
        struct pod_volume *volume;
        char *text; /* heap */
        bool asked, failed;
        int64_t renew_at_ms; /* wall */
        struct http_call *call;
    } tokens[VOLUME_TOKENS_MAX]; /* one a serviceAccountToken source, in order */
    struct loop_timer renew;
};

typedef int volume_step_fn(struct pod *p, struct pod_volume *v, const struct doc *spec, struct arena *mem,
                           struct str *ret_why);
volume_step_fn volume_empty_dir, volume_host_path, volume_payload;
int volume_tmpfs(const char *path, const char *options);
int64_t volume_fs_group(const struct pod *p);
/* 1: *ret is a token; 0: asked for; -1: *ret_why. */
int volume_token(struct pod *p, struct pod_volume *v, int index, const struct doc *source, struct str *ret,
                 struct str *ret_why);
void volume_tokens_free(struct pod_volume *v);

#endif
