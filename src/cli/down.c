/* cli/down.c - `sampan down`: stop `sampan up`, then all pods of this node, and leave nothing of them behind; --purge
 * takes the data too. */
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/install.h"
#include "cli/up.h"
#include "node/agent.h"

enum { STOP_MS_MAX = 20000, STEP_MS = 50 };

static int stop_up(void)
{
    int pid = up_pid();
    if (!pid)
        return 0;
    if (kill(pid, SIGTERM) < 0)
        return cli_fail("down: pid %d: %s", pid, strerror(errno));
    for (int waited = 0; waited < STOP_MS_MAX; waited += STEP_MS) {
        if (up_pid() != pid)
            return 0;
        poll(NULL, 0, STEP_MS);
    }
    return cli_fail("down: pid %d did not stop in %d s", pid, STOP_MS_MAX / 1000);
}

/* The directory itself stays when it is a file system of its own. */
static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path) < 0 && !(at->level == 0 && errno == EBUSY) ? -1 : 0;
}

static int remove_tree(const char *path)
{
    return nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT
               ? cli_fail("%s: %s", path, strerror(errno))
               : 0;
}

static int run(struct args *a)
{
    struct agent_opts o = AGENT_OPTS_INIT;
    const char *dir = arg(a, "data-dir");
    char *why = NULL;
    if (geteuid() != 0)
        return cli_fail("down: must be root");
    o.state_dir = str_fmtz(a->mem, "%s/agent", dir);
    bool installed = install_is_there();
    o.cgroup_parent = installed ? INSTALL_CGROUP_PARENT : arg(a, "cgroup-parent");
    int r = installed ? install_stop() : stop_up();
    if (r)
        return r;
    if (agent_clean(&o, &why) < 0) {
        r = cli_fail("down: %s", why ? why : "something is left behind");
        free(why);
        return r;
    }
    if (installed && install_end(a->mem, dir, arg(a, "purge") != NULL))
        return 1;
    return arg(a, "purge") ? remove_tree(dir) | remove_tree(UP_RUN_DIR) : 0;
}

static const struct option_row options[] = {
    {"purge", NULL, "remove the data directory too: objects, images, everything", NULL},
    {"data-dir", "DIR", "as given to sampan up", SAMPAN_DATA_DIR},
    {"cgroup-parent", "PATH", "as given to sampan up", "sampan"},
    {NULL, NULL, NULL, NULL},
};
const struct command command_down = {"down", NULL, "stop the cluster of this machine and all its pods", options, run,
                                     0,      0};
