/* Users of an image by name: its /etc/passwd and /etc/group, read from the topmost layer that has them, never through a
 * link that leads out of the layer. Source: OCI image spec, config.User. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "node/files.h"
#include "node/runtime/runtime.h"

enum { PASSWD_BYTES_MAX = 1 << 20 };

static bool layer_file(struct images *s, const struct image *i, struct arena *mem, const char *name, struct str *ret)
{
    struct str lower = image_lowerdir(s, i, mem), layer;
    while (str_next(&lower, ':', &layer)) {
        cleanup_fd int dir =
            open(str_fmtz(mem, "%s/layers/" STR_FMT, images_dir(s), STR_ARG(layer)), O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_IN_ROOT};
        cleanup_fd int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
            continue;
        return files_read(AT_FDCWD, str_fmtz(mem, "/proc/self/fd/%d", fd), PASSWD_BYTES_MAX, mem, ret) == 0;
    }
    return false;
}

/* The line whose first field is name, or whose third is id; its fields. */
static bool find_line(struct str text, struct str name, int64_t id, struct str fields[7])
{
    struct str line;
    while (str_next(&text, '\n', &line)) {
        int n = 0;
        int64_t number = -1;
        for (struct str rest = line; n < 7; n++)
            if (!str_cut(rest, ':', &fields[n], &rest)) {
                n++;
                break;
            }
        for (int k = n; k < 7; k++)
            fields[k] = STR_NULL;
        if ((name.len && str_eq(fields[0], name)) || (!name.len && str_to_i64(fields[2], &number) && number == id))
            return true;
    }
    return false;
}

static bool number_of(struct str s, int64_t *ret)
{
    return str_to_i64(s, ret) && *ret >= 0 && *ret <= UINT32_MAX - 1;
}

static void member_of(struct str text, struct str user, uint32_t *gids, int *count)
{
    struct str line, f[4], member;
    while (user.len && str_next(&text, '\n', &line)) {
        for (int i = 0; i < 4; i++)
            str_cut(line, ':', &f[i], &line);
        int64_t gid;
        while (str_next(&f[3], ',', &member))
            if (str_eq(member, user) && number_of(f[2], &gid) && *count < SPEC_GIDS_MAX)
                gids[(*count)++] = (uint32_t)gid;
    }
}

int runtime_user(struct images *s, const struct image *i, struct str user, struct arena *mem, uint32_t *ret_uid,
                 uint32_t *ret_gid, uint32_t *gids, int *gid_count, const char **ret_why)
{
    struct str name, group, passwd = STR_NULL, groups = STR_NULL, f[7];
    int64_t uid = 0, gid = 0;
    str_cut(user, ':', &name, &group);
    layer_file(s, i, mem, "etc/passwd", &passwd), layer_file(s, i, mem, "etc/group", &groups);
    bool by_number = name.len == 0 || number_of(name, &uid);
    if (find_line(passwd, by_number ? STR_NULL : name, uid, f))
        number_of(f[2], &uid), number_of(f[3], &gid), name = f[0];
    else if (!by_number)
        return *ret_why =
                   str_fmtz(mem, "unable to find user " STR_FMT ": no matching entries in passwd file", STR_ARG(name)),
               -ENOENT;
    else
        name = STR_NULL;
    if (group.len == 0)
        member_of(groups, name, gids, gid_count);
    else if (!number_of(group, &gid)) {
        if (!find_line(groups, group, 0, f) || !number_of(f[2], &gid))
            return *ret_why = str_fmtz(mem, "unable to find group " STR_FMT ": no matching entries in group file",
                                       STR_ARG(group)),
                   -ENOENT;
    }
    *ret_uid = (uint32_t)uid, *ret_gid = (uint32_t)gid;
    return 0;
}
