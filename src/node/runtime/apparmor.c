#include "node/runtime/apparmor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/files.h"

#define ENABLED_FILE  "/sys/module/apparmor/parameters/enabled"
#define PROFILES_FILE "/sys/kernel/security/apparmor/profiles"
#define REMOVE_FILE   "/sys/kernel/security/apparmor/.remove"
#define PARSER        "/sbin/apparmor_parser"
enum { PROFILES_BYTES_MAX = 4 << 20 };

/* What a container may not do to the machine even as root: mount, and write what /proc and /sys offer of the kernel.
 * Signals and traces stay among containers; the outside, which starts and stops them, is unconfined. */
static const char profile[] =
    "profile " APPARMOR_DEFAULT " flags=(attach_disconnected,mediate_deleted) {\n"
    "  network,\n"
    "  capability,\n"
    "  file,\n"
    "  umount,\n"
    "  unix,\n"
    "  signal (receive) peer=unconfined,\n"
    "  signal (send, receive) peer=" APPARMOR_DEFAULT ",\n"
    "  ptrace (trace, read, tracedby, readby) peer=" APPARMOR_DEFAULT ",\n"
    "  deny mount,\n"
    "  deny /proc/* w,\n"
    "  deny /proc/{[^1-9/],[^1-9/]*}/** w,\n" /* tty, irq, bus, fs and sys, but what follows */
    "  deny /proc/{sysrq-trigger,kcore,kmem,mem} rwklx,\n"
    "  deny /sys/[^f]*/** wklx,\n"
    "  deny /sys/f[^s]*/** wklx,\n"
    "  deny /sys/fs/[^c]*/** wklx,\n"
    "  deny /sys/fs/c[^g]*/** wklx,\n"
    "  deny /sys/firmware/** rwklx,\n"
    "  deny /sys/devices/virtual/powercap/** rwklx,\n"
    "  deny /sys/kernel/security/** rwklx,\n"
    "}\n";

bool apparmor_enabled(void)
{
    char c = 0;
    cleanup_fd int fd = open(ENABLED_FILE, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &c, 1) == 1 && c == 'Y' && access(PROFILES_FILE, F_OK) == 0;
}

int apparmor_load(void)
{
    int fds[2], status = -1;
    pid_t pid;
    char *argv[] = {(char[]){"apparmor_parser"}, (char[]){"-qKr"}, NULL}, *env[] = {NULL};
    if (access(PARSER, X_OK) < 0)
        return -ENOENT;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[0], 0);
    int r = posix_spawn(&pid, PARSER, &actions, NULL, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[0]);
    bool written = r == 0 && write(fds[1], profile, sizeof(profile) - 1) == sizeof(profile) - 1; /* fits a pipe */
    close(fds[1]);
    if (r != 0)
        return -r;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return written && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

void apparmor_unload(void)
{
    files_write_existing(REMOVE_FILE, STR(APPARMOR_DEFAULT));
}

/* Lines of "name (mode)"; a name may hold spaces. */
bool apparmor_is_loaded(struct arena *mem, struct str name)
{
    struct str text, line;
    if (files_read(AT_FDCWD, PROFILES_FILE, PROFILES_BYTES_MAX, mem, &text) < 0)
        return false;
    while (str_next(&text, '\n', &line)) {
        ptrdiff_t mode = str_rfind(line, '(');
        if (mode > 1 && str_eq(str_head(line, (size_t)mode - 1), name))
            return true;
    }
    return false;
}
