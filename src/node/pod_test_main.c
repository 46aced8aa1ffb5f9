/* sampan-pod-test: the agent without a server, for tests and for looking by hand.
 *
 *   sampan-pod-test import STATE ARCHIVE [NAME]
 *   sampan-pod-test images STATE
 *   sampan-pod-test run DIR [CGROUP-PARENT]   DIR/{state,run,kubelet,logs} are used, DIR/manifests is read
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/agent.h"

static void show(void *ctx, struct str name, struct str digest)
{
    printf(STR_FMT " " STR_FMT "\n", STR_ARG(name), STR_ARG(digest));
}

static void show_image(void *ctx, struct str name, struct str digest, uint64_t bytes)
{
    printf(STR_FMT " " STR_FMT " %llu\n", STR_ARG(name), STR_ARG(digest), (unsigned long long)bytes);
}

static int run(const char *dir, const char *parent, const char *kubeconfig)
{
    struct arena *mem = arena_new();
    struct agent_opts o = AGENT_OPTS_INIT;
    o.state_dir = str_fmtz(mem, "%s/state", dir), o.run_dir = str_fmtz(mem, "%s/run", dir);
    o.kubelet_dir = str_fmtz(mem, "%s/kubelet", dir), o.log_dir = str_fmtz(mem, "%s/logs", dir);
    o.manifest_dir = str_fmtz(mem, "%s/manifests", dir), o.cgroup_parent = parent, o.kubelet_port = -1,
    o.node_name = "test";
    o.kubeconfig = kubeconfig;
    int r = agent_main(&o);
    arena_free(mem);
    return r;
}

int main(int argc, char **argv)
{
    char *why = NULL;
    log_set_level(getenv("SAMPAN_DEBUG") ? LOG_DEBUG : LOG_INFO);
    if (argc >= 4 && strcmp(argv[1], "import") == 0) {
        int r = image_import(argv[2], argv[3], argc > 4 ? argv[4] : NULL, show, NULL, &why);
        if (r < 0)
            fprintf(stderr, "error: %s\n", why);
        free(why);
        return r < 0;
    }
    if (argc == 3 && strcmp(argv[1], "images") == 0)
        return image_list(argv[2], show_image, NULL) < 0;
    if (argc >= 3 && strcmp(argv[1], "run") == 0)
        return run(argv[2], argc > 3 ? argv[3] : NULL, argc > 4 ? argv[4] : NULL);
    fprintf(
        stderr,
        "usage: sampan-pod-test import STATE ARCHIVE [NAME] | images STATE | run DIR [CGROUP-PARENT [KUBECONFIG]]\n");
    return 2;
}
