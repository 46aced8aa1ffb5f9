/* The import process: an archive (OCI layout in a tar, or `docker save`) or a layout's directory in, blobs named by
 * their SHA-256 out, and for each image a message that says what it is made of. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "node/files.h"
#include "node/image/archive.h"
#include "node/image/cage.h"
#include "node/image/store_priv.h"
#include "node/image/unpack.h"

enum { IMPORT_FILES_MAX = 100000, IMPORT_BUF_BYTES = 64 << 10 };
#define IMPORT_BYTES_MAX (64ull << 30)

struct importer {
    const struct archive_calls *a;
    struct arena *mem;
    struct map names; /* name in the archive -> hex digits of its content (char *) */
    int fd, sock;
    uint64_t bytes, files;
    const char *arch, *why;
    char buf[IMPORT_BUF_BYTES];
};

static ssize_t read_archive(struct archive *a, void *ctx, const void **ret)
{
    struct importer *m = ctx;
    ssize_t n = read(m->fd, m->buf, sizeof(m->buf));
    *ret = m->buf;
    return n;
}

struct blob {
    int fd;
    EVP_MD_CTX *sum;
};

static int blob_begin(struct importer *m, struct blob *b)
{
    if (++m->files > IMPORT_FILES_MAX)
        return m->why = "the archive holds more files than the limit", -EFBIG;
    b->fd = open("part", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (b->fd < 0)
        return m->why = "a file can't be made", -errno;
    b->sum = EVP_MD_CTX_new();
    EVP_DigestInit_ex(b->sum, EVP_sha256(), NULL);
    return 0;
}

static int blob_add(struct importer *m, struct blob *b, const void *bytes, size_t n)
{
    m->bytes += n;
    if (m->bytes > IMPORT_BYTES_MAX)
        return m->why = "the archive is larger than the limit", -EFBIG;
    EVP_DigestUpdate(b->sum, bytes, n);
    for (const char *p = bytes; n;) {
        ssize_t w = write(b->fd, p, n);
        if (w <= 0)
            return m->why = "a file can't be written", w < 0 ? -errno : -EIO;
        p += w, n -= (size_t)w;
    }
    return 0;
}

/* Named by content; a file that calls itself blobs/sha256/X must be X. */
static int blob_end(struct importer *m, struct blob *b, struct str name)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_DigestFinal_ex(b->sum, md, &n);
    EVP_MD_CTX_free(b->sum);
    close(b->fd);
    char *hex = str_z(m->mem, str_hex(m->mem, str_mem((char *)md, n)));
    if (str_starts(name, STR("blobs/sha256/")) && !str_is(str_from(name, 13), hex))
        return m->why = "a blob's content does not have the digest that it is named by", -EBADMSG;
    if (rename("part", hex) < 0)
        return m->why = "a file can't be made", -errno;
    map_put(&m->names, str_dup(m->mem, name), hex);
    return 0;
}

static int copy_entry(struct importer *m, struct archive *tar, struct blob *b)
{
    static char buf[IMPORT_BUF_BYTES];
    for (;;) {
        ssize_t n = m->a->archive_read_data(tar, buf, sizeof(buf));
        if (n == 0)
            return 0;
        if (n < 0)
            return m->why = "the archive is damaged", -EBADMSG;
        int r = blob_add(m, b, buf, (size_t)n);
        if (r < 0)
            return r;
    }
}

static struct str bare(const char *name)
{
    struct str s = str_of(name);
    while (str_starts(s, STR("./")))
        s = str_from(s, 2);
    while (str_starts(s, STR("/")))
        s = str_from(s, 1);
    return s;
}

/* docker save writes a layer that it has already written as a link to it. */
static void note_link(struct importer *m, struct str name, const char *target)
{
    struct str to = bare(target), dir = name;
    char *hex = map_get(&m->names, to);
    while (str_starts(to, STR("../")))
        to = str_from(to, 3);
    if (!hex)
        hex = map_get(&m->names, to);
    (void)dir;
    if (hex)
        map_put(&m->names, str_dup(m->mem, name), hex);
}

static int take_tar(struct importer *m)
{
    struct archive *tar = m->a->archive_read_new();
    m->a->archive_read_support_filter_gzip(tar), m->a->archive_read_support_filter_zstd(tar);
    m->a->archive_read_support_format_tar(tar);
    if (m->a->archive_read_open(tar, m, NULL, read_archive, NULL) != ARCHIVE_OK)
        return m->why = "not a tar archive", -EBADMSG;
    for (;;) {
        struct archive_entry *e;
        int h = m->a->archive_read_next_header(tar, &e);
        if (h == ARCHIVE_EOF)
            return 0;
        const char *name = h < ARCHIVE_WARN ? NULL : m->a->archive_entry_pathname(e);
        if (!name)
            return m->why = "not a tar archive, or damaged", -EBADMSG;
        const char *link = m->a->archive_entry_hardlink(e);
        link = link ? link : m->a->archive_entry_symlink(e);
        if (link)
            note_link(m, bare(name), link);
        if (link || m->a->archive_entry_filetype(e) != AE_IFREG)
            continue;
        struct blob b;
        struct str kept = str_dup(m->mem, bare(name));
        int r = blob_begin(m, &b);
        r = r < 0 ? r : copy_entry(m, tar, &b);
        r = r < 0 ? r : blob_end(m, &b, kept);
        if (r < 0)
            return r;
    }
}

static int take_file(struct importer *m, int dir, const char *at, struct str name)
{
    cleanup_fd int fd = openat(dir, at, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return m->why = "the layout's files can't be read", -EBADMSG;
    struct blob b;
    int r = blob_begin(m, &b);
    for (ssize_t n; r == 0 && (n = read(fd, m->buf, sizeof(m->buf))) != 0;)
        r = n < 0 ? -errno : blob_add(m, &b, m->buf, (size_t)n);
    return r < 0 ? r : blob_end(m, &b, name);
}

/* The layout was opened before the cage was shut; only descriptors below it are used. */
static int take_layout(struct importer *m)
{
    int r = take_file(m, m->fd, "index.json", STR("index.json"));
    int dir = openat(m->fd, "blobs/sha256", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = dir < 0 ? NULL : fdopendir(dir);
    if (!d)
        return m->why = "not an OCI layout", -EBADMSG;
    for (struct dirent *e; r == 0 && (e = readdir(d));)
        if (e->d_name[0] != '.')
            r = take_file(m, dir, e->d_name, str_fmt(m->mem, "blobs/sha256/%s", e->d_name));
    closedir(d);
    return r;
}

static int read_named(struct importer *m, struct str name, struct str *ret)
{
    const char *hex = map_get(&m->names, name);
    if (!hex)
        return -ENOENT;
    return files_read(AT_FDCWD, hex, IMAGE_MANIFEST_BYTES_MAX, m->mem, ret);
}

static int read_blob(struct importer *m, struct str digest, struct str *ret)
{
    return image_digest_valid(digest)
               ? files_read(AT_FDCWD, str_z(m->mem, str_from(digest, 7)), IMAGE_MANIFEST_BYTES_MAX, m->mem, ret)
               : -EBADMSG;
}

static int tell(struct importer *m, const struct image_info *info)
{
    struct ipc_body b = IPC_BODY(m->mem);
    image_put(&b, info);
    return ipc_reply_sync(m->sock, 2, 0, STR_NULL, &b);
}

static struct str name_of(struct importer *m, const struct doc *descriptor)
{
    const struct doc *notes = doc_get(descriptor, "annotations");
    struct str name = doc_str(notes, "io.containerd.image.name");
    if (name.len == 0)
        name = doc_str(notes, "org.opencontainers.image.ref.name");
    struct image_ref ref;
    if (name.len == 0 || !image_ref_parse(m->mem, name, &ref))
        return STR_NULL;
    return image_ref_name(m->mem, &ref);
}

static int oci_image(struct importer *m, const struct doc *descriptor, struct err *err)
{
    struct image_info *info = arena_new_of(m->mem, struct image_info);
    struct str text, digest = doc_str(descriptor, "digest");
    for (int depth = 0;; depth++) {
        if (read_blob(m, digest, &text) < 0)
            return err_set(err, ERR_BAD_REQUEST, "invalid image: a blob that the index names is not in the archive");
        if (!image_is_index(m->mem, text))
            break;
        if (depth == 4)
            return err_set(err, ERR_BAD_REQUEST, "invalid image: indexes too deep");
        if (image_index_pick(m->mem, text, str_of(m->arch), &digest, err) < 0)
            return -1;
    }
    info->digest = digest, info->name = name_of(m, descriptor);
    if (image_read_manifest(m->mem, text, info, err) < 0)
        return -1;
    if (read_blob(m, info->id, &text) < 0)
        return err_set(err, ERR_BAD_REQUEST, "invalid image: its config is not in the archive");
    if (image_read_config(m->mem, text, info, err) < 0)
        return -1;
    return tell(m, info) < 0 ? err_set(err, ERR_INTERNAL, "the image's description is too large") : 0;
}

static int docker_image(struct importer *m, const struct doc *entry, struct err *err)
{
    struct image_info *info = arena_new_of(m->mem, struct image_info);
    struct str text;
    const char *config = map_get(&m->names, doc_str(entry, "Config"));
    if (!config || read_named(m, doc_str(entry, "Config"), &text) < 0)
        return err_set(err, ERR_BAD_REQUEST, "invalid image: its config is not in the archive");
    info->id = str_fmt(m->mem, "sha256:%s", config);
    info->digest = info->id; /* no manifest was saved; the config stands for it */
    doc_each (l, doc_get(entry, "Layers")) {
        const char *hex = map_get(&m->names, doc_string(l));
        struct stat st;
        if (!hex || stat(hex, &st) < 0 || info->layer_count == IMAGE_LAYERS_MAX)
            return err_set(err, ERR_BAD_REQUEST, "invalid image: a layer is not in the archive, or there are too many");
        info->layers[info->layer_count++] =
            (struct image_layer){.digest = str_fmt(m->mem, "sha256:%s", hex), .bytes = (uint64_t)st.st_size};
        info->bytes += (uint64_t)st.st_size;
    }
    if (image_read_config(m->mem, text, info, err) < 0)
        return -1;
    int told = 0;
    doc_each (tag, doc_get(entry, "RepoTags")) {
        struct image_ref ref;
        if (!image_ref_parse(m->mem, doc_string(tag), &ref))
            continue;
        info->name = image_ref_name(m->mem, &ref);
        tell(m, info), told++;
    }
    return told || tell(m, info) == 0 ? 0 : err_set(err, ERR_INTERNAL, "the image's description is too large");
}

static int find_images(struct importer *m, struct err *err)
{
    struct str text;
    bool oci = read_named(m, STR("index.json"), &text) == 0;
    if (!oci && read_named(m, STR("manifest.json"), &text) < 0)
        return err_set(err, ERR_BAD_REQUEST, "neither an OCI layout (index.json) nor a docker archive (manifest.json)");
    const struct doc_opts opts = {.depth_max = 64};
    struct doc *d = doc_parse(m->mem, text, &opts, err);
    if (!d)
        return -1;
    int found = 0;
    doc_each (i, oci ? doc_get(d, "manifests") : d) {
        if ((oci ? oci_image(m, i, err) : docker_image(m, i, err)) < 0)
            return -1;
        found++;
    }
    return found ? 0 : err_set(err, ERR_BAD_REQUEST, "the archive holds no image");
}

static _Noreturn void child(int archive_fd, bool is_directory, int dir_fd, const char *arch, int sock)
{
    prctl(PR_SET_NAME, "sampan-import");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    static struct importer m;
    m.mem = arena_new(), m.a = archive_open(), m.fd = archive_fd, m.sock = sock, m.arch = arch;
    EVP_MD_CTX_free(EVP_MD_CTX_new());
    EVP_sha256();
    const int keep[] = {archive_fd, sock};
    struct err err = ERR(m.mem);
    int r = -ENOSYS;
    if (!m.a)
        m.why = "libarchive.so.13 is not installed";
    else if ((r = cage_enter(CAGE_IMPORT, dir_fd, keep, 2)) < 0)
        m.why = "the process can't be shut in";
    else if ((r = is_directory ? take_layout(&m) : take_tar(&m)) == 0 && find_images(&m, &err) < 0)
        r = -EBADMSG, m.why = str_z(m.mem, err.message);
    ipc_reply_sync(sock, 1, r, str_of(r < 0 && !m.why ? "failed" : m.why), NULL);
    _exit(r < 0);
}

int import_start(int archive_fd, bool is_directory, int blobs_dir_fd, const char *arch, int *ret_fd)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0)
        child(archive_fd, is_directory, blobs_dir_fd, arch, pair[1]);
    int error = errno;
    close(pair[1]);
    if (pid < 0)
        return close(pair[0]), -error;
    *ret_fd = pair[0];
    return pid;
}
