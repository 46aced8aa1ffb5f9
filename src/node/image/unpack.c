#include "node/image/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "node/image/archive.h"
#include "node/image/cage.h"
#include "node/ipc.h"

enum { CHUNK_BYTES = 64 << 10 };

/* Two archives in a row: `raw` takes the blob apart (gzip, zstd or nothing), `tar` reads what comes out of it; each end
 * is hashed on the way. */
struct unpacker {
    const struct archive_calls *a;
    struct archive *raw, *tar, *disk;
    const struct unpack_job *job;
    EVP_MD_CTX *blob_sum, *tar_sum;
    uint64_t blob_bytes, tar_bytes, files;
    bool blob_done;
    struct arena *mem;
    const char *why;
    char blob_chunk[CHUNK_BYTES], tar_chunk[CHUNK_BYTES];
};

static ssize_t read_blob(struct archive *a, void *ctx, const void **ret)
{
    struct unpacker *u = ctx;
    ssize_t n = read(u->job->blob_fd, u->blob_chunk, CHUNK_BYTES);
    if (n < 0)
        return u->why = "the blob can't be read", ARCHIVE_FATAL;
    u->blob_bytes += (uint64_t)n, u->blob_done = n == 0;
    EVP_DigestUpdate(u->blob_sum, u->blob_chunk, (size_t)n);
    *ret = u->blob_chunk;
    return n;
}

static ssize_t read_tar(struct archive *a, void *ctx, const void **ret)
{
    struct unpacker *u = ctx;
    ssize_t n = u->a->archive_read_data(u->raw, u->tar_chunk, CHUNK_BYTES);
    if (n < 0)
        return u->why = "the layer can't be decompressed", ARCHIVE_FATAL;
    u->tar_bytes += (uint64_t)n;
    EVP_DigestUpdate(u->tar_sum, u->tar_chunk, (size_t)n);
    uint64_t max = u->job->bytes_max ? u->job->bytes_max : UNPACK_BYTES_MAX;
    if (u->tar_bytes > max)
        return u->why = "the layer is larger than the limit", ARCHIVE_FATAL;
    if (u->tar_bytes > UNPACK_RATIO_FREE_BYTES && u->tar_bytes / UNPACK_RATIO_MAX > u->blob_bytes)
        return u->why = "the layer grows beyond the limit when decompressed", ARCHIVE_FATAL;
    *ret = u->tar_chunk;
    return n;
}

static int open_archives(struct unpacker *u)
{
    const struct archive_calls *a = u->a;
    u->raw = a->archive_read_new(), u->tar = a->archive_read_new(), u->disk = a->archive_write_disk_new();
    if (!u->raw || !u->tar || !u->disk)
        return -ENOMEM;
    a->archive_read_support_filter_gzip(u->raw), a->archive_read_support_filter_zstd(u->raw);
    a->archive_read_support_format_raw(u->raw), a->archive_read_support_format_empty(u->raw);
    a->archive_read_support_format_tar(u->tar), a->archive_read_support_format_empty(u->tar);
    /* not EXTRACT_UNLINK: it would turn a symlink in the way into a directory, where we want a refusal */
    a->archive_write_disk_set_options(u->disk, ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_OWNER |
                                                   ARCHIVE_EXTRACT_XATTR | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                                                   ARCHIVE_EXTRACT_SECURE_NODOTDOT);
    struct archive_entry *e;
    if (a->archive_read_open(u->raw, u, NULL, read_blob, NULL) != ARCHIVE_OK)
        return u->why = "the layer is neither gzip, zstd nor tar", -EBADMSG;
    int r = a->archive_read_next_header(u->raw, &e);
    if (r != ARCHIVE_OK && r != ARCHIVE_EOF)
        return u->why = "the layer is neither gzip, zstd nor tar", -EBADMSG;
    if (a->archive_read_open(u->tar, u, NULL, read_tar, NULL) != ARCHIVE_OK)
        return u->why = u->why ? u->why : "the layer is no tar", -EBADMSG;
    return 0;
}

/* A relative path without "." parts, without "..". NULL: refused. "" is the root itself. */
static const char *clean_path(struct unpacker *u, const char *path)
{
    struct sb out = SB(u->mem);
    struct str rest = str_of(path), part;
    while (str_next(&rest, '/', &part)) {
        if (part.len == 0 || str_is(part, "."))
            continue;
        if (str_is(part, ".."))
            return u->why = "a name in the layer contains \"..\"", NULL;
        if (out.len)
            sb_addc(&out, '/');
        sb_add(&out, part);
    }
    if (out.len > 4000)
        return u->why = "a name in the layer is too long", NULL;
    return sb_z(&out);
}

/* Open a directory of the layer without following any symlink, making what is missing. */
static int open_dir(const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH};
    return (int)syscall(SYS_openat2, AT_FDCWD, *path ? path : ".", &how, sizeof(how));
}

static int make_dirs(char *path)
{
    for (char *p = path; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(path, 0755);
            *p = '/';
        }
    mkdir(path, 0755);
    return open_dir(path);
}

static int whiteout(struct unpacker *u, const char *path, const char *base)
{
    char *parent = str_z(u->mem, str_head(str_of(path), (size_t)(base - path)));
    if (*parent)
        parent[strlen(parent) - 1] = 0;
    int dir = make_dirs(parent);
    if (dir < 0)
        return u->why = "a whiteout leads through what is no directory", -EBADMSG;
    int r = 0;
    if (strcmp(base, ".wh..wh..opq") == 0)
        r = fsetxattr(dir, "user.overlay.opaque", "y", 1, 0);
    else if (base[4] && strncmp(base, ".wh..wh.", 8) != 0) {
        unlinkat(dir, base + 4, 0);
        r = mknodat(dir, base + 4, S_IFCHR, 0);
    }
    r = r < 0 && errno != EEXIST ? -errno : 0;
    if (r)
        u->why = "a whiteout can't be made";
    close(dir);
    return r;
}

static int copy_data(struct unpacker *u)
{
    const void *block;
    size_t n;
    int64_t at;
    for (;;) {
        int r = u->a->archive_read_data_block(u->tar, &block, &n, &at);
        if (r == ARCHIVE_EOF)
            return 0;
        if (r != ARCHIVE_OK)
            return u->why = u->why ? u->why : "the layer is damaged", -EBADMSG;
        if (u->a->archive_write_data_block(u->disk, block, n, at) < ARCHIVE_OK)
            return u->why = "a file can't be written", -EIO;
    }
}

static int entry(struct unpacker *u, struct archive_entry *e)
{
    const struct archive_calls *a = u->a;
    const char *name = a->archive_entry_pathname(e);
    const char *path = name ? clean_path(u, name) : NULL;
    if (!path)
        return u->why = u->why ? u->why : "a name in the layer can't be read", -EBADMSG;
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    if (strncmp(base, ".wh.", 4) == 0)
        return whiteout(u, path, base);
    const char *link = a->archive_entry_hardlink(e);
    if (link) {
        const char *to = clean_path(u, link);
        if (!to)
            return -EBADMSG;
        a->archive_entry_set_hardlink(e, to);
    }
    mode_t type = a->archive_entry_filetype(e);
    if (!link && (type == AE_IFBLK || type == AE_IFCHR))
        return 0;
    a->archive_entry_set_pathname(e, *path ? path : ".");
    int r = a->archive_write_header(u->disk, e);
    if (r < ARCHIVE_WARN)
        return u->why = str_fmtz(u->mem, "%s: %s", path, a->archive_error_string(u->disk)), -EBADMSG;
    if (!link || a->archive_entry_size(e) > 0) {
        if (type == AE_IFREG && (r = copy_data(u)) < 0)
            return r;
    }
    if (a->archive_write_finish_entry(u->disk) < ARCHIVE_WARN)
        return u->why = str_fmtz(u->mem, "%s: %s", path, a->archive_error_string(u->disk)), -EIO;
    return 0;
}

static int drain(struct unpacker *u)
{
    const void *at;
    ssize_t n;
    while ((n = read_tar(u->tar, u, &at)) > 0)
        continue;
    if (n < 0)
        return -EBADMSG;
    while (!u->blob_done)
        if (read_blob(u->raw, u, &at) < 0)
            return -EIO;
    return 0;
}

static bool sum_is(EVP_MD_CTX *sum, struct arena *mem, struct str want)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_DigestFinal_ex(sum, md, &n);
    return str_eq(str_hex(mem, str_mem((char *)md, n)), str_from(want, 7));
}

static int unpack(struct unpacker *u)
{
    int r = open_archives(u);
    uint64_t files_max = u->job->files_max ? u->job->files_max : UNPACK_FILES_MAX;
    while (r == 0) {
        struct archive_entry *e;
        int h = u->a->archive_read_next_header(u->tar, &e);
        if (h == ARCHIVE_EOF)
            break;
        if (h < ARCHIVE_WARN)
            return u->why = u->why ? u->why : "the layer is no tar, or damaged", -EBADMSG;
        if (++u->files > files_max)
            return u->why = "the layer holds more files than the limit", -EFBIG;
        r = entry(u, e);
        if (r < 0 && u->why)
            u->why = strdup(u->why); /* it may stand in the arena; the process is about to end */
        arena_reset(u->mem);
    }
    if (r < 0)
        return r;
    if (u->a->archive_write_close(u->disk) < ARCHIVE_WARN)
        return u->why = "directories can't be finished", -EIO;
    if ((r = drain(u)) < 0)
        return r;
    if (!sum_is(u->blob_sum, u->mem, u->job->digest))
        return u->why = "the layer's content does not have the digest that it was asked for by", -EBADMSG;
    if (!sum_is(u->tar_sum, u->mem, u->job->diff_id))
        return u->why = "the layer's content does not have the diff_id that the image's config says", -EBADMSG;
    return 0;
}

static _Noreturn void child(const struct unpack_job *job, int sock)
{
    prctl(PR_SET_NAME, "sampan-unpack");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    static struct unpacker u;
    u.a = archive_open(), u.job = job, u.mem = arena_new();
    const EVP_MD *sha256 = EVP_sha256();
    u.blob_sum = EVP_MD_CTX_new(), u.tar_sum = EVP_MD_CTX_new();
    EVP_DigestInit_ex(u.blob_sum, sha256, NULL), EVP_DigestInit_ex(u.tar_sum, sha256, NULL);
    int keep[] = {job->blob_fd, sock}, r = -ENOSYS;
    lseek(job->blob_fd, 0, SEEK_SET);
    if (!u.a)
        u.why = "libarchive.so.13 is not installed";
    else if ((r = cage_enter(CAGE_UNPACK, job->dir_fd, keep, 2)) < 0)
        u.why = "the process can't be shut in";
    else
        r = unpack(&u);
    struct ipc_body body = IPC_BODY(u.mem);
    ipc_put_u64(&body, u.tar_bytes), ipc_put_u64(&body, u.files);
    ipc_reply_sync(sock, 1, r, str_of(r < 0 && !u.why ? "failed" : u.why), &body);
    _exit(r < 0);
}

int unpack_start(const struct unpack_job *job, int *ret_fd)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0)
        child(job, pair[1]);
    int error = errno;
    close(pair[1]);
    if (pid < 0)
        return close(pair[0]), -error;
    *ret_fd = pair[0];
    return pid;
}
