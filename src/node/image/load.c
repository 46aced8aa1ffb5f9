/* `sampan image import`: what image_import() does, blocking, in the command line's process. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/files.h"
#include "node/image/store_priv.h"
#include "node/image/unpack.h"

enum { IMPORT_IMAGES_MAX = 256 };

static int unpack_layer(struct images *s, int blobs, const struct image_layer *l, struct arena *mem,
                        struct str *ret_why)
{
    cleanup_fd int blob = openat(blobs, str_z(mem, str_from(l->digest, 7)), O_RDONLY | O_CLOEXEC);
    if (blob < 0)
        return *ret_why = STR("a layer is not in the archive"), -ENOENT;
    char *path;
    cleanup_fd int dir = images_layer_begin(s, mem, &path);
    if (dir < 0)
        return *ret_why = STR("the image store can't be written"), dir;
    const struct unpack_job job = {.blob_fd = blob, .dir_fd = dir, .digest = l->digest, .diff_id = l->diff_id};
    cleanup_fd int sock = -1;
    int pid = unpack_start(&job, &sock);
    struct ipc_msg m = {.error = pid < 0 ? pid : -EPIPE, .message = STR("the unpack process can't start")};
    if (pid > 0) {
        int r = ipc_recv_sync(sock, mem, &m);
        if (r < 0)
            m.error = r, m.message = STR("the unpack process died");
        waitpid(pid, NULL, 0);
    }
    *ret_why = m.message;
    int r = images_layer_end(s, l->diff_id, path, m.error == 0);
    return m.error ? m.error : r;
}

static int take_image(struct images *s, int blobs, const struct image_info *info, struct str name, struct arena *mem,
                      struct str *ret_why)
{
    for (size_t i = 0; i < info->layer_count; i++) {
        if (images_has_layer(s, info->layers[i].diff_id))
            continue;
        int r = unpack_layer(s, blobs, &info->layers[i], mem, ret_why);
        if (r < 0)
            return r;
    }
    *ret_why = STR("the image store can't be written");
    return images_record(s, info, name);
}

static int take_all(struct images *s, int sock, int blobs, struct str dflt, struct arena *mem,
                    void (*each)(void *ctx, struct str name, struct str digest), void *ctx, struct str *ret_why)
{
    struct image_info *found = arena_array(mem, struct image_info, IMPORT_IMAGES_MAX);
    int n = 0;
    for (;;) {
        struct ipc_msg m;
        int r = ipc_recv_sync(sock, mem, &m);
        if (r < 0 || m.type != IPC_REPLY)
            return *ret_why = STR("the import process died"), -EPIPE;
        if (m.error < 0)
            return *ret_why = m.message, m.error;
        if (m.id == 1)
            break;
        struct ipc_reader rd = IPC_READER(m.body);
        if (n == IMPORT_IMAGES_MAX || !image_get(&rd, mem, &found[n]) || !ipc_read_ok(&rd))
            return *ret_why = STR("the import process does not keep to its messages"), -EBADMSG;
        n++;
    }
    for (int i = 0; i < n; i++) {
        struct str name = dflt.len && n == 1 ? dflt : found[i].name;
        int r = take_image(s, blobs, &found[i], name, mem, ret_why);
        if (r < 0)
            return r;
        if (each)
            each(ctx, name, found[i].digest);
    }
    return 0;
}

static int import_into(struct images *s, const char *path, struct str name, struct arena *mem,
                       void (*each)(void *ctx, struct str name, struct str digest), void *ctx, struct str *ret_why)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return *ret_why = str_fmt(mem, "%s: %s", path, strerror(errno)), -errno;
    char *work = str_fmtz(mem, "%s/import.XXXXXX", s->incoming);
    if (!mkdtemp(work))
        return *ret_why = STR("the image store can't be written"), -errno;
    cleanup_fd int blobs = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_fd int sock = -1;
    int pid = import_start(fd, S_ISDIR(st.st_mode), blobs, image_arch(), &sock);
    int r = pid;
    *ret_why = STR("the import process can't start");
    if (pid > 0) {
        r = take_all(s, sock, blobs, name, mem, each, ctx, ret_why);
        close(sock), sock = -1;
        waitpid(pid, NULL, 0);
    }
    files_remove_tree(work);
    return r;
}

int image_import(const char *state_dir, const char *path, const char *name,
                 void (*each)(void *ctx, struct str name, struct str digest), void *ctx, char **ret_why)
{
    cleanup_arena struct arena *mem = arena_new();
    int r = 0;
    struct str why = STR("the image store can't be opened");
    struct image_ref ref;
    struct str want = STR_NULL;
    if (name) {
        if (!image_ref_parse(mem, str_of(name), &ref))
            return *ret_why = strdup("the name is no valid image reference"), -1;
        want = image_ref_name(mem, &ref);
    }
    struct images *s = images_open(state_dir, NULL, &r);
    if (s)
        r = import_into(s, path, want, mem, each, ctx, &why);
    images_close(s);
    if (r < 0)
        *ret_why = strdup(str_fmtz(mem, STR_FMT " (%s)", STR_ARG(why), strerror(-r)));
    return r < 0 ? -1 : 0;
}
