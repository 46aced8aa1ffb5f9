/* What a former agent left and nobody claims: runs of pods whose record can't be read, and, once the API has told which
 * pods there are, directories of pods that went while no agent ran. */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/log.h"
#include "node/agent/pods.h"
#include "node/files.h"
#include "node/runtime/cgroup.h"
#include "node/volume/volume.h"

enum { CONFIG_BYTES_MAX = 4 << 20 };

/* Its bundle says where its processes are. */
static void end_run(struct node *n, const char *id)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text;
    const struct doc *config = NULL;
    if (files_read(AT_FDCWD, runtime_bundle(n, mem, id, "config.json"), CONFIG_BYTES_MAX, mem, &text) == 0)
        config = doc_parse(mem, text, NULL, NULL);
    struct str cgroup = doc_str(doc_get(config, "linux"), "cgroupsPath");
    log_warn("agent", "a container of no known pod is ended", "id=%s", id);
    if (cgroup.len > 1) {
        char *path = str_z(mem, str_from(cgroup, 1));
        cgroup_kill(n->cgroup_mode, path);
        cgroup_remove(n->cgroup_mode, path);
    }
    files_remove_tree(str_fmtz(mem, "%s/crun/%s", n->run_dir, id));
    unlink(str_fmtz(mem, "%s/exits/%s", n->run_dir, id)), unlink(str_fmtz(mem, "%s/socks/%s", n->run_dir, id));
    files_remove_tree(runtime_bundle(n, mem, id, ""));
    files_remove_tree(str_fmtz(mem, "%s/containers/%s", n->state_dir, id));
}

static void remove_sandbox(const char *dir, struct arena *mem)
{
    char **names;
    for (int i = 0, count = files_list(dir, mem, &names); i < count; i++)
        umount2(str_fmtz(mem, "%s/%s", dir, names[i]), MNT_DETACH | UMOUNT_NOFOLLOW);
    files_remove_tree(dir);
}

void strays_end(struct node *n)
{
    cleanup_arena struct arena *mem = arena_new();
    char **names;
    for (int i = 0, count = files_list(str_fmtz(mem, "%s/containers", n->run_dir), mem, &names); i < count; i++)
        if (!container_find(n, names[i]))
            end_run(n, names[i]);
    char *pods = str_fmtz(mem, "%s/pods", n->run_dir);
    for (int i = 0, count = files_list(pods, mem, &names); i < count; i++)
        if (!pod_find(n, str_of(names[i])))
            remove_sandbox(str_fmtz(mem, "%s/%s", pods, names[i]), mem);
}

/* NS_NAME_UID: neither namespaces nor names have underscores. */
static struct str uid_of_log(struct str name)
{
    return str_from(name, (size_t)(str_rfind(name, '_') + 1));
}

void strays_remove_files(struct node *n)
{
    cleanup_arena struct arena *mem = arena_new();
    char **names, *pods = str_fmtz(mem, "%s/pods", n->kubelet_dir);
    for (int i = 0, count = files_list(pods, mem, &names); i < count; i++)
        if (!pod_find(n, str_of(names[i])))
            volumes_remove_tree(str_fmtz(mem, "%s/%s", pods, names[i]));
    for (int i = 0, count = files_list(n->log_dir, mem, &names); i < count; i++)
        if (str_find(str_of(names[i]), '_') > 0 && !pod_find(n, uid_of_log(str_of(names[i]))))
            files_remove_tree(str_fmtz(mem, "%s/%s", n->log_dir, names[i]));
}
