/* node/ipc.h - small typed messages between the agent and its helpers (net, unpack) over SOCK_SEQPACKET.
 *
 * One message is one packet: a header (type, id, length), a body of at most IPC_BODY_MAX bytes and up to IPC_FDS_MAX
 * descriptors (SCM_RIGHTS). Bodies are flat sequences of numbers and strings in the order the table below says; a body
 * that ends early, has bytes left over or a count beyond its limit is refused as a whole (ipc_read_ok), and the agent
 * then ends that helper: nothing of a helper is trusted but what has been read and checked.
 *
 * A request carries an id that is not 0; its answer is IPC_REPLY with the same id: i64 error (0 or -errno), str
 * message, then what the table says. Messages without an answer have id 0. Either side may ask. Both sides: one thread,
 * a uv loop. May use base/. */
#ifndef SAMPAN_NODE_IPC_H
#define SAMPAN_NODE_IPC_H

#include "base/loop.h"
#include "base/str.h"

enum { IPC_BODY_MAX = 64 << 10, IPC_FDS_MAX = 4, IPC_QUEUE_MAX = 1024, IPC_LIST_MAX = 1024 };

/* X(NAME, direction, body, answer). A: from the agent; N: from net; U: from unpack. fds in brackets.
 * strv is u64 count, then strs. */
#define IPC_TYPES(X)                                                                                                   \
    X(REPLY, "any", "i64 error, str message, ...", "")                                                                 \
    X(LOG, "NU", "u64 level, str area, str message", "")                                                               \
    /* images */                                                                                                       \
    X(PULL, "A", "u64 id, str ref, str user, str password, str arch", "image (image_put)")                             \
    X(BLOB_WANT, "N", "u64 id of the PULL, str digest, u64 size", "u64 have; [fd to write] when have is 0")            \
    X(BLOB_DONE, "N", "u64 id of the PULL, str digest", "")                                                            \
    X(UNPACK, "A", "str digest, str diff_id, u64 idmap; [fd of blob, directory]", "u64 bytes, u64 files")              \
    X(IMPORT, "A", "str name, str arch; [fd of tar, directory for blobs]", "u64 n, then n times: image (image_put)")   \
    /* probes: the answer's error is 0 success, -ECONNREFUSED... failure; message says why, as kubelet's does */       \
    X(PROBE_HTTP, "A", "u64 tls, str host, u64 port, str path, strv headers (name, value...), u64 timeout_ms", "")     \
    X(PROBE_TCP, "A", "str host, u64 port, u64 timeout_ms", "")                                                        \
    X(PROBE_GRPC, "A", "str host, u64 port, str service, u64 timeout_ms", "")                                          \
    /* streams: asked by net's kubelet endpoint or tunnel, done by the agent. Pods are named by uid, or, with an empty \
     * uid, by namespace and name */                                                                                   \
    X(EXEC, "N", "str ns, str pod, str uid, str container, strv argv, u64 flags (IPC_STDIN...)",                       \
      "u64 exec id; [stdin, stdout, stderr] as far as asked for, or [terminal]")                                       \
    X(EXEC_EXIT, "A", "u64 exec id, u64 code (an int64), str message (of a code below 0)", "")                         \
    X(EXEC_RESIZE, "N", "u64 exec id, u64 columns, u64 rows", "")                                                      \
    X(EXEC_KILL, "N", "u64 exec id", "")                                                                               \
    X(ATTACH, "N", "str ns, str pod, str uid, str container, u64 flags", "u64 tty; [conmon's attach socket]")          \
    X(ATTACH_RESIZE, "N", "str ns, str pod, str uid, str container, u64 columns, u64 rows", "")                        \
    X(LOGS, "N", "str ns, str pod, str uid, str container, u64 previous",                                              \
      "u64 running, str file name; [the newest log file, its directory, conmon's pidfd while it runs]")                \
    X(FORWARD, "N", "str ns, str pod, str uid, u64 port", "[socket connected inside the pod's network]")               \
    X(USAGE, "N", "u64 form (stream/usage_text.h)", "[fd of a memory file: the text]")                                 \
    X(PODS, "N", "", "[fd of a memory file: the PodList as JSON]")                                                     \
    /* cluster DNS, see net/dns_zone.h. kind: 0 gone, 1 has a cluster IP or external name, 2 headless. Addresses       \
     * are numbers in host order */                                                                                    \
    X(DNS_LISTEN, "A", "strv upstream addresses; [bound UDP socket, listening TCP socket]", "")                        \
    X(DNS_RESET, "A", "str zone, u64 service network, u64 prefix, u64 pod network, u64 prefix", "")                    \
    X(DNS_SERVICE, "A",                                                                                                \
      "str ns, str name, u64 kind, u64 address, str external name, u64 n, n times: (str port name, u64 port, u64 "     \
      "protocol), u64 n, n times: (u64 address, str hostname)",                                                        \
      "")                                                                                                              \
    X(DNS_SYNCED, "A", "", "")                                                                                         \
    X(TLS, "A", "str purpose (kubelet, tunnel), str server address; [fd of a memory file: cert, key and CA, PEM]", "")

enum ipc_type {
    IPC_NONE,
#define X(name, direction, body, answer) IPC_##name,
    IPC_TYPES(X)
#undef X
        IPC_TYPE_COUNT
};
enum { IPC_STDIN = 1, IPC_STDOUT = 2, IPC_STDERR = 4, IPC_TTY = 8 };
const char *ipc_word(enum ipc_type type);

/* ---- bodies */
struct ipc_body { /* a writer; lives on the stack of who builds it */
    struct sb sb;
};
#define IPC_BODY(arena) ((struct ipc_body){.sb = SB(arena)})
void ipc_put_u64(struct ipc_body *b, uint64_t v);
void ipc_put_i64(struct ipc_body *b, int64_t v);
void ipc_put_str(struct ipc_body *b, struct str s);
void ipc_put_strv(struct ipc_body *b, const struct str *v, size_t n);

struct ipc_reader {
    struct str rest;
    bool bad; /* an earlier read failed; all later reads give 0 and empty strings */
};
#define IPC_READER(body) ((struct ipc_reader){.rest = (body)})
uint64_t ipc_get_u64(struct ipc_reader *r);
int64_t ipc_get_i64(struct ipc_reader *r);
struct str ipc_get_str(struct ipc_reader *r); /* borrowed from the body */
/* At most max strings (more makes it bad); the array is in mem, the strings are borrowed. */
struct str *ipc_get_strv(struct ipc_reader *r, struct arena *mem, size_t max, size_t *ret_n);
bool ipc_read_ok(const struct ipc_reader *r); /* not bad, and nothing left over */

/* ---- a channel */
struct ipc;
struct ipc_msg {
    enum ipc_type type;
    uint32_t id;          /* not 0: wants, or is, an answer */
    int error;            /* of a REPLY: already read; 0 or -errno (-ECANCELED: the channel went away) */
    struct str message;   /* of a REPLY: already read */
    struct str body;      /* of a REPLY: what follows error and message */
    int fds[IPC_FDS_MAX]; /* close-on-exec. Taken by setting to -1; what is left is closed after the callback */
    int fd_count;
};
struct ipc_handler {
    void (*message)(void *ctx, struct ipc *c, struct ipc_msg *m); /* not for REPLYs to ipc_call */
    void (*closed)(void *ctx, struct ipc *c, int error);          /* peer gone or broke the rules; last call */
};

/* Takes fd (made non-blocking and close-on-exec). NULL: no resources. */
struct ipc *ipc_new(struct loop *l, int fd, const struct ipc_handler *handler, void *ctx);
/* Every open call ends with -ECANCELED. NULL is accepted; returns NULL. Safe inside its callbacks. */
struct ipc *ipc_free(struct ipc *c);
/* Send without waiting for an answer (id 0). fds are duplicated by the kernel: the caller keeps his. 0, -EMSGSIZE,
 * -ENOBUFS (IPC_QUEUE_MAX waiting) or -errno. */
int ipc_send(struct ipc *c, enum ipc_type type, const struct ipc_body *body, const int *fds, int fd_count);
/* Ask. done is called once, from the loop, with m->type IPC_REPLY; on a failure to send too. Returns the id, never 0.
 */
uint32_t ipc_call(struct ipc *c, enum ipc_type type, const struct ipc_body *body, const int *fds, int fd_count,
                  void (*done)(void *ctx, struct ipc_msg *reply), void *ctx);
/* The other side will answer id without having been asked by a message (an unpack process: id 1). */
void ipc_expect(struct ipc *c, uint32_t id, void (*done)(void *ctx, struct ipc_msg *reply), void *ctx);
void ipc_forget(struct ipc *c, uint32_t id); /* the answer no longer matters: done will not be called */
/* Answer the request id. body may be NULL. */
int ipc_reply(struct ipc *c, uint32_t id, int error, struct str message, const struct ipc_body *body, const int *fds,
              int fd_count);
/* Blocking, for the short-lived unpack process: one message each. Bytes live in mem. 0 or -errno; -EPIPE at the end. */
int ipc_recv_sync(int fd, struct arena *mem, struct ipc_msg *ret);
int ipc_reply_sync(int fd, uint32_t id, int error, struct str message, const struct ipc_body *body);

#endif
