/* registry/registry.h - the image registry in the server: OCI distribution v1.1 under /v2/ on the API's own port.
 *
 * May use gate/, store/cache.h, schema/, http/, doc/, base/. Used by cli/, which sends it every request below /v2/.
 * May not use api/, control/, sched/, write/. Core thread only; all files are touched on the loop's pool.
 *
 * Names. A repository is NAMESPACE/IMAGE (IMAGE may have slashes): the cluster namespace owns it. Clients reach it at
 * the address of the API server (`skopeo copy ... docker://10.0.0.1:6443/default/app:v1`); pods and agents know it by
 * the API server's own name, `kubernetes.default.svc/default/app:v1`, which is in the server's certificate and in
 * cluster DNS already, so that neither a Service nor a certificate is added for it.
 *
 * Who may what (auth.c): a virtual resource `repositories` of group sampan.dev in NAMESPACE, named IMAGE: get pulls and
 * lists, create pushes, update moves a tag that is there, delete deletes. RBAC decides; besides it, service accounts
 * may get what their namespace owns, and an agent what a pod on its node names and that pod's service account may get.
 * Who asks: a client certificate, a bearer token, or Basic with any user and a token as password. GET /v2/token gives
 * that token back to clients that want a token service.
 *
 * On disk, below DIR (disk.h has the rules of durability and of the sweep):
 *   blobs/sha256/AB/ABCD...                     each content once, manifests too; complete and verified
 *   repos/UID/IMAGE/_blobs/ABCD...              hard link: this repository holds that blob. UID is the namespace's, so
 *                                               that a new namespace of an old name inherits nothing
 *   repos/UID/IMAGE/_manifests/ABCD...          hard link: and that manifest
 *   repos/UID/IMAGE/_tags/TAG                   text: sha256:ABCD...
 *   repos/UID/IMAGE/_referrers/SUBJECT/ABCD...  hard link: that manifest has SUBJECT as its subject
 *   repos/UID/IMAGE/_uploads/ID                 what has come of an upload; its offset is its length
 * Nothing is opened or made before the first request.
 *
 * Mirrors (mirror.c): HOST/IMAGE is a copy of another registry's IMAGE, in repos/HOST/IMAGE, fetched when asked for.
 *
 * Collection (gc.c). Who tells a client that a blob is there renews it (its mtime); the sweep takes only what nothing
 * refers to and nobody renewed for the grace. So pushes need no lock against it. It runs a grace after something
 * changed, and not otherwise. Untagged manifests stay, as a digest is a name too, unless the namespace says otherwise.
 *
 * Annotations of a namespace: `sampan.dev/registry-bytes` (a quantity) limits what its repositories hold, each
 * counted by itself; `sampan.dev/registry-untagged-seconds`: untagged manifests not pushed or asked for since go. */
#ifndef SAMPAN_REGISTRY_REGISTRY_H
#define SAMPAN_REGISTRY_REGISTRY_H

#include "gate/gate.h"
#include "http/server.h"
#include "store/cache.h"

enum {
    REGISTRY_MANIFEST_BYTES_MAX = 4 << 20,
    REGISTRY_NAME_BYTES_MAX = 255,
    REGISTRY_TAG_BYTES_MAX = 128,
    REGISTRY_REFERENCES_MAX = 4096,     /* of one manifest */
    REGISTRY_REQUESTS_MAX = 256,        /* at once; 429 beyond */
    REGISTRY_TRANSFERS_MAX = 64,        /* of those, pushing a blob: each may hold 0.7 MB of it */
    REGISTRY_UPLOADS_MAX = 1024,        /* whose state is in memory; further ones are hashed again when they go on */
    REGISTRY_PAGE_MAX = 1000,           /* of tags and referrers */
    REGISTRY_GRACE_S = 6 * 3600,        /* longer than a push takes from its first blob to its manifest */
    REGISTRY_MIRROR_KEEP_S = 30 * 86400 /* copies of other registries' images that nobody asked for */
};

struct registry;
struct registry_opts {
    struct loop *loop;
    struct gate *gate;
    struct cache *cache;
    const char *dir; /* DATA/registry; made when first needed */
    /* The pull-through cache: "docker.io=https://registry-1.docker.io,quay.io=https://quay.io"; NULL: none. A host has
     * a dot, as no namespace does: HOST/NAME is NAME of that registry, pulled by any user the cluster knows. */
    const char *mirrors;
    int64_t grace_s; /* 0: REGISTRY_GRACE_S. Uploads that rest for four of it are given up */
};
struct registry *registry_new(const struct registry_opts *o);
struct registry *registry_free(struct registry *g); /* after the HTTP server; before the loop. NULL is accepted */
bool registry_wants(const struct exchange *x);      /* a path below /v2/ */
/* Of the http_server, for what registry_wants: bodies are always streamed. ctx is the struct registry. */
void registry_handle(void *ctx, struct exchange *x);

#endif
