/* cli/up.c - `sampan up`: the parent of a server and an agent on this machine.
 *
 * The server runs as an ordinary user, the agent as root; each is started again when it dies (1 s doubling to 30 s,
 * forgotten after a minute of running). Containers are nobody's children here: they outlive all of it until `sampan
 * down`. */
#include "cli/up.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "cli/address.h"
#include "cli/cli.h"
#include "cli/install.h"

enum { RESTART_MS = 1000, RESTART_MS_MAX = 30000, SETTLED_MS = 60000, STOP_MS = 8000, READY_MS_MAX = 60000 };

struct child {
    const char *name;
    char **argv;
    const struct passwd *user; /* NULL: as we are */
    pid_t pid;                 /* 0: not running */
    int64_t started_ms, again_ms;
    int delay_ms;
    int ready_fd; /* reading end, -1 once it said so */
    bool is_ready;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int up_pid(void)
{
    char text[32] = "";
    int fd = open(UP_PID_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    bool running = flock(fd, LOCK_SH | LOCK_NB) < 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    return running && n > 0 ? atoi(text) : 0;
}

/* The child's own process: give up what it must not have, then become it. */
static void become(struct child *c, int ready_fd, pid_t parent)
{
    char fd_text[16];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    snprintf(fd_text, sizeof(fd_text), "%d", ready_fd);
    for (int i = 0; c->argv[i]; i++)
        if (!strcmp(c->argv[i], "READY_FD"))
            c->argv[i] = fd_text;
    if (c->user && (setgroups(0, NULL) < 0 || setgid(c->user->pw_gid) < 0 || setuid(c->user->pw_uid) < 0)) {
        perror("sampan: giving up privileges");
        _exit(1);
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* after the change of user, which would forget it */
    if (getppid() != parent)
        _exit(1);
    char self[4096] = "";
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) > 0)
        execv(self, c->argv); /* by its name, so that ps shows it */
    perror("sampan: exec");
    _exit(1);
}

static int start(struct child *c)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        fcntl(fds[1], F_SETFD, 0);
        become(c, fds[1], parent);
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return -errno;
    }
    if (c->ready_fd >= 0)
        close(c->ready_fd);
    c->pid = pid, c->ready_fd = fds[0], c->is_ready = false, c->started_ms = now_ms();
    log_info("up", "started", "what=%s pid=%d", c->name, (int)pid);
    return 0;
}

static void reap(struct child *children, int count)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (int i = 0; i < count; i++) {
            struct child *c = &children[i];
            if (c->pid != pid)
                continue;
            bool settled = now_ms() - c->started_ms > SETTLED_MS;
            c->delay_ms = settled || !c->delay_ms            ? RESTART_MS
                          : c->delay_ms * 2 > RESTART_MS_MAX ? RESTART_MS_MAX
                                                             : c->delay_ms * 2;
            c->again_ms = now_ms() + c->delay_ms, c->pid = 0;
            log_warn("up", "ended", "what=%s status=%d again_in_ms=%d", c->name,
                     WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), c->delay_ms);
        }
}

static void read_ready(struct child *c)
{
    char text[16];
    ssize_t n = read(c->ready_fd, text, sizeof(text));
    if (n > 0)
        c->is_ready = true;
    close(c->ready_fd);
    c->ready_fd = -1;
}

static int next_timeout(const struct child *children, int count, bool all_wanted)
{
    int64_t now = now_ms(), best = -1;
    for (int i = 0; i < count; i++)
        if (!children[i].pid && children[i].again_ms && all_wanted) {
            int64_t wait = children[i].again_ms > now ? children[i].again_ms - now : 0;
            best = best < 0 || wait < best ? wait : best;
        }
    return (int)best;
}

static void stop_all(struct child *children, int count)
{
    for (int i = count - 1; i >= 0; i--)
        if (children[i].pid)
            kill(children[i].pid, SIGTERM);
    for (int64_t end = now_ms() + STOP_MS; now_ms() < end;) {
        int left = 0;
        reap(children, count);
        for (int i = 0; i < count; i++)
            left += children[i].pid != 0;
        if (!left)
            return;
        poll(NULL, 0, 20);
    }
    for (int i = 0; i < count; i++)
        if (children[i].pid)
            kill(children[i].pid, SIGKILL);
}

/* Children in order: each starts once the one before has been ready. Runs until a signal asks to stop. */
static void supervise(struct child *children, int count, int signal_fd, int ready_fd)
{
    bool told = false;
    for (;;) {
        struct pollfd fds[8] = {{signal_fd, POLLIN, 0}};
        for (int i = 0; i < count; i++) {
            struct child *c = &children[i];
            bool in_turn = i == 0 || children[i - 1].is_ready || c->started_ms;
            if (!c->pid && in_turn && now_ms() >= c->again_ms && start(c) < 0)
                c->again_ms = now_ms() + RESTART_MS;
            fds[1 + i] = (struct pollfd){c->ready_fd, POLLIN, 0};
        }
        if (!told && children[count - 1].is_ready && ready_fd >= 0) {
            told = true;
            (void)!write(ready_fd, "ready\n", 6);
            close(ready_fd);
        }
        if (poll(fds, (nfds_t)(1 + count), next_timeout(children, count, true)) < 0 && errno != EINTR)
            return;
        for (int i = 0; i < count; i++)
            if (children[i].ready_fd >= 0 && fds[1 + i].revents)
                read_ready(&children[i]);
        struct signalfd_siginfo si;
        if (fds[0].revents && read(signal_fd, &si, sizeof(si)) == sizeof(si) && si.ssi_signo != SIGCHLD)
            return;
        reap(children, count);
    }
}

/* ---- what is started */

static char **words(struct arena *mem, const char *const *list)
{
    int n = 0;
    while (list[n])
        n++;
    char **argv = arena_array(mem, char *, n + 1);
    for (int i = 0; i < n; i++)
        argv[i] = str_z(mem, str_of(list[i]));
    return argv;
}

static const char *host_name(struct arena *mem)
{
    char name[256] = "localhost";
    gethostname(name, sizeof(name) - 1);
    for (char *c = name; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c |= 0x20;
    return str_z(mem, str_of(name));
}

static int give_dir(const char *path, const struct passwd *user)
{
    int r = io_mkdir_p(path, 0700);
    if (r < 0)
        return r;
    return user && chown(path, user->pw_uid, user->pw_gid) < 0 ? -errno : 0;
}

static int lock_pid_file(void)
{
    char text[32];
    int r = io_mkdir_p(UP_RUN_DIR, 0755);
    if (r < 0)
        return r;
    int fd = open(UP_PID_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return -EWOULDBLOCK;
    }
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)n) != n) {
        close(fd);
        return -EIO;
    }
    return fd;
}

struct str up_port(const char *listen)
{
    ptrdiff_t colon = str_rfind(str_of(listen), ':');
    return colon < 0 ? STR("6443") : str_from(str_of(listen), (size_t)colon + 1);
}

static bool is_everywhere(const char *listen)
{
    ptrdiff_t colon = str_rfind(str_of(listen), ':');
    struct str host = str_head(str_of(listen), colon < 0 ? strlen(listen) : (size_t)colon);
    return host.len == 0 || str_is(host, "0.0.0.0") || str_is(host, "[::]") || str_is(host, "*");
}

char *up_local_address(struct arena *mem, const char *listen)
{
    return is_everywhere(listen) ? str_fmtz(mem, "127.0.0.1:" STR_FMT, STR_ARG(up_port(listen)))
                                 : str_z(mem, str_of(listen));
}

static int run_here(struct args *a, int ready_fd)
{
    struct arena *mem = a->mem;
    const char *dir = arg(a, "data-dir"), *listen = arg(a, "listen"), *user_name = arg(a, "server-user");
    const char *node = arg(a, "node-name") ? arg(a, "node-name") : host_name(mem);
    const struct passwd *user = strcmp(user_name, "root") ? getpwnam(user_name) : NULL;
    const char *address = arg(a, "node-ip") ? arg(a, "node-ip") : address_of_host(mem);
    char *server_dir = str_fmtz(mem, "%s/server", dir), *credentials = str_fmtz(mem, "%s/server/agent", dir);
    char *local = up_local_address(mem, listen);
    char *advertise = is_everywhere(listen) ? str_fmtz(mem, "%s:" STR_FMT, address, STR_ARG(up_port(listen))) : local;
    int r;
    if (geteuid() != 0)
        return cli_fail("up: must be root, to run containers");
    if (!user && strcmp(user_name, "root") != 0)
        return cli_fail("--server-user: no user \"%s\" on this machine", user_name);
    if ((r = io_mkdir_p(dir, 0755)) < 0 || (r = give_dir(server_dir, user)) < 0)
        return cli_fail("%s: %s", dir, strerror(-r));
    if ((r = lock_pid_file()) < 0)
        return r == -EWOULDBLOCK ? cli_fail("up: already running, pid %d", up_pid())
                                 : cli_fail("%s: %s", UP_PID_FILE, strerror(-r));
    const char *server[] = {"sampan",
                            "server",
                            "--data-dir",
                            server_dir,
                            "--listen",
                            listen,
                            "--advertise",
                            advertise,
                            "--store",
                            arg(a, "store"),
                            "--node-name",
                            node,
                            "--cluster-cidr",
                            arg(a, "cluster-cidr"),
                            "--node-address",
                            address,
                            "--ready-fd",
                            "READY_FD",
                            "--log-level",
                            arg(a, "log-level"),
                            "--registry-mirrors",
                            arg(a, "registry-mirrors"),
                            arg(a, "feature-gates") ? "--feature-gates" : NULL,
                            arg(a, "feature-gates"),
                            NULL};
    const char *agent[] = {"sampan",
                           "agent",
                           "--server",
                           local,
                           "--credentials",
                           credentials,
                           "--node-name",
                           node,
                           "--node-ip",
                           address,
                           "--state-dir",
                           str_fmtz(mem, "%s/agent", dir),
                           "--cgroup-parent",
                           arg(a, "cgroup-parent"),
                           "--cluster-cidr",
                           arg(a, "cluster-cidr"),
                           "--ready-fd",
                           "READY_FD",
                           "--log-level",
                           arg(a, "log-level"),
                           NULL};
    struct child children[2] = {{.name = "server", .argv = words(mem, server), .user = user, .ready_fd = -1},
                                {.name = "agent", .argv = words(mem, agent), .ready_fd = -1}};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM), sigaddset(&set, SIGINT), sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    supervise(children, 2, signalfd(-1, &set, SFD_CLOEXEC), ready_fd);
    stop_all(children, 2);
    unlink(UP_PID_FILE);
    return 0;
}

/* Fork away, wait for the word that the node has registered. */
static int run_background(struct args *a)
{
    int fds[2];
    if (up_pid())
        return cli_fail("up: already running, pid %d", up_pid());
    if (io_mkdir_p(UP_RUN_DIR, 0755) < 0 || pipe2(fds, O_CLOEXEC) < 0)
        return cli_fail("up: %s: %s", UP_RUN_DIR, strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        int log = open(UP_LOG_FILE, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640),
            null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        setsid();
        dup2(null, 0), dup2(log, 1), dup2(log, 2);
        close(fds[0]);
        _exit(run_here(a, fds[1]));
    }
    close(fds[1]);
    struct pollfd p = {fds[0], POLLIN, 0};
    char text[16];
    if (pid < 0)
        return cli_fail("up: fork: %s", strerror(errno));
    if (poll(&p, 1, READY_MS_MAX) == 1 && read(fds[0], text, sizeof(text)) > 0) {
        printf("sampan is up, pid %d; log in %s\n", (int)pid, UP_LOG_FILE);
        return 0;
    }
    return cli_fail("up: not ready after %d s; see %s", READY_MS_MAX / 1000, UP_LOG_FILE);
}

static int run(struct args *a)
{
    if (arg(a, "install"))
        return install_run(a);
    return arg(a, "background") ? run_background(a) : run_here(a, -1);
}

static const struct option_row options[] = {
    {"background", NULL, "return when the node is ready; the log goes to " UP_LOG_FILE, NULL},
    {"install", NULL, "as services of systemd, now and at each boot; server as user sampan", NULL},
    {"data-dir", "DIR", "state of server and agent", SAMPAN_DATA_DIR},
    {"listen", "ADDR:PORT", "where the API is served", "0.0.0.0:6443"},
    {"store", "sqlite|memory", "where objects are kept", "sqlite"},
    {"server-user", "USER", "the ordinary user that the server runs as", "nobody"},
    {"node-name", "NAME", "else the host's name", NULL},
    {"node-ip", "IP", "else the source address of the default route", NULL},
    {"cluster-cidr", "CIDR", "addresses of all pods", "10.244.0.0/16"},
    {"cgroup-parent", "PATH", "cgroup of all pods", "sampan"},
    {"registry-mirrors", "HOST=URL,...", "registries whose images are copied when HOST/IMAGE is pulled", ""},
    {"feature-gates", "A=true,B=false", "Kubernetes' feature gates", NULL},
    OPTION_LOG_LEVEL,
    {NULL, NULL, NULL, NULL},
};
const struct command command_up = {"up", NULL, "run a whole cluster on this machine: server and agent", options, run,
                                   0,    0};
