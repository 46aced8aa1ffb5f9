#include "cli/install.h"

#include <errno.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/up.h"

#define UNIT_DIR   "/etc/systemd/system"
#define SERVER     "sampan-server.service"
#define AGENT      "sampan-agent.service"
#define PODS       "sampan-pods.service"
#define USER       "sampan"
#define BINARY     "/usr/local/bin/sampan"
#define INIT       "/usr/local/libexec/sampan/sampan-pod-init"
#define STATE_ROOT "/var/lib/"
enum { BINARY_BYTES_MAX = 256 << 20, PORT_ORDINARY = 1024, RECORD_BYTES_MAX = 1 << 16 };

/* ---- the units; %s are filled in below */

static const char unit_server[] = "[Unit]\n"
                                  "Description=Sampan control plane\n"
                                  "Wants=network-online.target\n"
                                  "After=network-online.target\n"
                                  "StartLimitIntervalSec=0\n"
                                  "\n"
                                  "[Service]\n"
                                  "Type=notify\n"
                                  "ExecStart=%s\n"
                                  "User=" USER "\n"
                                  "Restart=always\n"
                                  "RestartSec=1\n"
                                  "%s" /* where its state is */
                                  "UMask=0077\n"
                                  "LimitNOFILE=1048576\n"
                                  "%s" /* capabilities */
                                  "NoNewPrivileges=yes\n"
                                  "ProtectSystem=strict\n"
                                  "ProtectHome=yes\n"
                                  "PrivateTmp=yes\n"
                                  "PrivateDevices=yes\n"
                                  "DevicePolicy=closed\n"
                                  "ProtectHostname=yes\n"
                                  "ProtectClock=yes\n"
                                  "ProtectKernelTunables=yes\n"
                                  "ProtectKernelModules=yes\n"
                                  "ProtectKernelLogs=yes\n"
                                  "ProtectControlGroups=yes\n"
                                  "ProtectProc=invisible\n"
                                  "ProcSubset=pid\n"
                                  "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n"
                                  "RestrictNamespaces=yes\n"
                                  "RestrictRealtime=yes\n"
                                  "RestrictSUIDSGID=yes\n"
                                  "LockPersonality=yes\n"
                                  "MemoryDenyWriteExecute=yes\n"
                                  "KeyringMode=private\n"
                                  "RemoveIPC=yes\n"
                                  "SystemCallArchitectures=native\n"
                                  "SystemCallFilter=@system-service\n"
                                  "SystemCallFilter=~@privileged @resources\n"
                                  "SystemCallErrorNumber=EPERM\n"
                                  "\n"
                                  "[Install]\n"
                                  "WantedBy=multi-user.target\n";

/* It makes namespaces, mounts and cgroups for others, and its children inherit what it is forbidden, so little can be
 * forbidden here. Containers' monitors stay in its cgroup; the containers lie in that of the pods' unit. */
static const char unit_agent[] = "[Unit]\n"
                                 "Description=Sampan node agent\n"
                                 "Wants=network-online.target\n"
                                 "Requires=" PODS "\n"
                                 "After=network-online.target " PODS " " SERVER "\n"
                                 "StartLimitIntervalSec=0\n"
                                 "\n"
                                 "[Service]\n"
                                 "Type=notify\n"
                                 "ExecStart=%s\n"
                                 "Restart=always\n"
                                 "RestartSec=1\n"
                                 "KillMode=process\n"
                                 "Delegate=yes\n"
                                 "TasksMax=infinity\n"
                                 "LimitNOFILE=1048576\n"
                                 "LimitCORE=0\n"
                                 "OOMPolicy=continue\n"
                                 "OOMScoreAdjust=-999\n"
                                 "KeyringMode=private\n"
                                 "\n"
                                 "[Install]\n"
                                 "WantedBy=multi-user.target\n";

static const char unit_pods[] = "[Unit]\n"
                                "Description=Sampan pods\n"
                                "\n"
                                "[Service]\n"
                                "Type=oneshot\n"
                                "RemainAfterExit=yes\n"
                                "ExecStart=/bin/true\n"
                                "Delegate=yes\n"
                                "TasksMax=infinity\n"
                                "OOMPolicy=continue\n"
                                "TimeoutStopSec=30\n";

/* ---- programs */

extern char **environ;

/* Run a program to its end; its exit code, or -1. Its errors go where ours go. */
static int command(const char *const *argv)
{
    pid_t pid;
    int status;
    if (posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ) != 0)
        return -1;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
#define RUN(...) command((const char *const[]){__VA_ARGS__, NULL})

static int systemctl_failed(const char *what)
{
    return cli_fail("systemctl %s failed; `journalctl -u " SERVER " -u " AGENT "` says why", what);
}

/* ---- what is written */

/* One word of ExecStart=. Source: systemd.service(5), command lines; systemd.unit(5), specifiers. */
static void add_word(struct sb *b, const char *word)
{
    sb_addz(b, b->len ? " \"" : "\"");
    for (const char *c = word; *c; c++) {
        if (*c == '"' || *c == '\\')
            sb_addc(b, '\\');
        if (*c == '%' || *c == '$')
            sb_addc(b, *c);
        sb_addc(b, *c);
    }
    sb_addc(b, '"');
}

static void add_option(struct sb *b, struct args *a, const char *name)
{
    if (arg(a, name))
        add_word(b, str_fmtz(a->mem, "--%s=%s", name, arg(a, name)));
}

/* What the node is called is settled now: a name that comes and goes with DHCP would be another node. Addresses are
 * found anew at each start. */
static const char *node_name(struct args *a)
{
    char name[256] = "localhost";
    if (arg(a, "node-name"))
        return arg(a, "node-name");
    gethostname(name, sizeof(name) - 1);
    for (char *c = name; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
    return str_z(a->mem, str_of(name));
}

static char *server_unit(struct args *a, const char *binary, const char *name)
{
    const char *data = arg(a, "data-dir"), *ip = arg(a, "node-ip");
    struct sb line = {.mem = a->mem};
    int64_t port = 0;
    struct str port_text = up_port(arg(a, "listen"));
    add_word(&line, binary), add_word(&line, "server");
    add_word(&line, str_fmtz(a->mem, "--data-dir=%s/server", data));
    add_option(&line, a, "listen"), add_option(&line, a, "store"), add_option(&line, a, "feature-gates");
    add_option(&line, a, "cluster-cidr"), add_option(&line, a, "registry-mirrors");
    add_option(&line, a, "log-level");
    add_word(&line, str_fmtz(a->mem, "--node-name=%s", name));
    if (ip) {
        add_word(&line, str_fmtz(a->mem, "--node-address=%s", ip));
        add_word(&line, str_fmtz(a->mem, "--advertise=%s:" STR_FMT, ip, STR_ARG(port_text)));
    }
    size_t root = strlen(STATE_ROOT);
    char *state = strncmp(data, STATE_ROOT, root) == 0
                      ? str_fmtz(a->mem, "StateDirectory=%s/server\nStateDirectoryMode=0700\n", data + root)
                      : str_fmtz(a->mem, "ReadWritePaths=%s/server\n", data);
    bool low = str_to_i64(port_text, &port) && port < PORT_ORDINARY;
    const char *caps = low ? "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n"
                           : "CapabilityBoundingSet=\nPrivateUsers=yes\n";
    return str_fmtz(a->mem, unit_server, sb_z(&line), state, caps);
}

static char *agent_unit(struct args *a, const char *binary, const char *name)
{
    const char *data = arg(a, "data-dir");
    struct sb line = {.mem = a->mem};
    add_word(&line, binary), add_word(&line, "agent");
    add_word(&line, str_fmtz(a->mem, "--server=%s", up_local_address(a->mem, arg(a, "listen"))));
    add_word(&line, str_fmtz(a->mem, "--credentials=%s/server/agent", data));
    add_word(&line, str_fmtz(a->mem, "--state-dir=%s/agent", data));
    add_word(&line, str_fmtz(a->mem, "--node-name=%s", name));
    add_word(&line, "--cgroup-parent=" INSTALL_CGROUP_PARENT);
    add_option(&line, a, "cluster-cidr"), add_option(&line, a, "node-ip"), add_option(&line, a, "log-level");
    return str_fmtz(a->mem, unit_agent, sb_z(&line));
}

/* ---- installation */

static int copy(struct arena *mem, const char *from, const char *to)
{
    struct str bytes;
    int r = io_mkdir_p(str_z(mem, str_head(str_of(to), (size_t)str_rfind(str_of(to), '/'))), 0755);
    r = r < 0 ? r : io_read_whole(mem, from, BINARY_BYTES_MAX, &bytes);
    return r < 0 ? r : io_write_whole(to, bytes, 0755);
}

/* The binary where units can reach it: as it is when it lies in /usr, else a copy. NULL after saying why. */
static const char *place_binary(struct arena *mem, struct sb *record)
{
    static const char *const inits[] = {"sampan-pod-init", "../node/sampan-pod-init",
                                        "../libexec/sampan/sampan-pod-init"};
    char self[4096] = "";
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
        return cli_fail("/proc/self/exe: %s", strerror(errno)), NULL;
    if (strncmp(self, "/usr/", 5) == 0 && strcmp(self, BINARY) != 0)
        return str_z(mem, str_of(self));
    int r = strcmp(self, BINARY) == 0 ? 0 : copy(mem, self, BINARY);
    for (size_t i = 0; i < sizeof(inits) / sizeof(inits[0]); i++) {
        char *init = str_fmtz(mem, "%.*s/%s", (int)str_rfind(str_of(self), '/'), self, inits[i]);
        if (r == 0 && access(init, X_OK) == 0) {
            r = strcmp(self, BINARY) == 0 ? 0 : copy(mem, init, INIT);
            break;
        }
    }
    if (r < 0)
        return cli_fail("%s: %s", BINARY, strerror(-r)), NULL;
    sb_addz(record, BINARY "\n" INIT "\n");
    return BINARY;
}

static int make_user(const char *data_dir, struct sb *record, struct str old_record)
{
    bool ours = old_record.len && strstr(str_z(record->mem, old_record), "user " USER "\n");
    if (!getpwnam(USER)) {
        if (RUN("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", data_dir, "--shell",
                "/usr/sbin/nologin", USER) != 0)
            return cli_fail("useradd " USER " failed");
        ours = true;
    }
    if (ours)
        sb_addz(record, "user " USER "\n");
    return 0;
}

/* What `sampan up` made as another user becomes the unit's. */
static int give_state(struct arena *mem, const char *data_dir)
{
    char *dir = str_fmtz(mem, "%s/server", data_dir);
    int r = io_mkdir_p(data_dir, 0755);
    r = r < 0 ? r : io_mkdir_p(dir, 0700);
    if (r < 0)
        return cli_fail("%s: %s", dir, strerror(-r));
    return RUN("chown", "-R", "-h", USER ":" USER, dir) ? cli_fail("%s: chown failed", dir) : 0;
}

static int write_units(struct args *a, const char *binary, struct sb *record)
{
    const char *name = node_name(a);
    const struct {
        const char *path, *text;
    } units[] = {{UNIT_DIR "/" SERVER, server_unit(a, binary, name)},
                 {UNIT_DIR "/" AGENT, agent_unit(a, binary, name)},
                 {UNIT_DIR "/" PODS, unit_pods}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        int r = io_write_whole(units[i].path, str_of(units[i].text), 0644);
        if (r < 0)
            return cli_fail("%s: %s", units[i].path, strerror(-r));
        sb_addf(record, "%s\n", units[i].path);
    }
    return 0;
}

static struct str read_record(struct arena *mem, const char *data_dir)
{
    struct str text = STR_NULL;
    return io_read_whole(mem, str_fmtz(mem, "%s/installed", data_dir), RECORD_BYTES_MAX, &text) < 0 ? STR_NULL : text;
}

/* What the units settle is not to be asked for otherwise. */
static int refuse_settled(struct args *a)
{
    static const struct {
        const char *option, *why;
    } settled[] = {{"server-user", "with --install the server runs as user " USER},
                   {"cgroup-parent", "with --install pods lie in the cgroup of " PODS}};
    for (size_t i = 0; i < sizeof(settled) / sizeof(settled[0]); i++)
        for (const struct option_row *o = a->command->options; o->name; o++)
            if (!strcmp(o->name, settled[i].option) && strcmp(arg(a, o->name), o->dflt) != 0)
                return cli_wrong(a, o->name, settled[i].why);
    return 0;
}

int install_run(struct args *a)
{
    const char *data = arg(a, "data-dir");
    struct sb record = {.mem = a->mem};
    if (refuse_settled(a))
        return EXIT_USAGE;
    if (geteuid() != 0)
        return cli_fail("up: must be root, to install services");
    if (access("/run/systemd/system", F_OK) < 0)
        return cli_fail("up: --install needs systemd, which does not run on this machine");
    if (up_pid())
        return cli_fail("up: already running, pid %d: first `sampan down`", up_pid());
    if (data[0] != '/' || strncmp(data, "/home/", 6) == 0 || strncmp(data, "/root/", 6) == 0)
        return cli_fail("up: --data-dir: services can't reach %s; take a directory below /var", data);
    const char *binary = place_binary(a->mem, &record);
    if (!binary || make_user(data, &record, read_record(a->mem, data)) || give_state(a->mem, data) ||
        write_units(a, binary, &record))
        return 1;
    int r = io_write_whole(str_fmtz(a->mem, "%s/installed", data), sb_str(&record), 0644);
    if (r < 0)
        return cli_fail("%s/installed: %s", data, strerror(-r));
    if (RUN("systemctl", "daemon-reload") || RUN("systemctl", "--quiet", "enable", SERVER, AGENT))
        return systemctl_failed("enable");
    if (RUN("systemctl", "restart", SERVER, AGENT))
        return systemctl_failed("restart " SERVER " " AGENT);
    puts("sampan is up and starts at boot: " SERVER ", " AGENT);
    return 0;
}

/* ---- and back */

bool install_is_there(void)
{
    return access(UNIT_DIR "/" AGENT, F_OK) == 0;
}

int install_stop(void)
{
    return RUN("systemctl", "stop", AGENT, SERVER) ? systemctl_failed("stop") : 0;
}

int install_end(struct arena *mem, const char *data_dir, bool purge)
{
    struct str rest = read_record(mem, data_dir), line;
    if (RUN("systemctl", "stop", PODS))
        return systemctl_failed("stop " PODS);
    if (!purge)
        return 0;
    if (RUN("systemctl", "--quiet", "disable", SERVER, AGENT))
        return systemctl_failed("disable");
    while (str_next(&rest, '\n', &line)) {
        if (str_starts(line, STR(UNIT_DIR "/sampan-")) || str_starts(line, STR("/usr/local/")))
            unlink(str_z(mem, line));
        if (str_is(line, "user " USER) && RUN("userdel", USER))
            return cli_fail("userdel " USER " failed");
    }
    rmdir("/usr/local/libexec/sampan"); /* only when it is empty */
    return RUN("systemctl", "daemon-reload") ? systemctl_failed("daemon-reload") : 0;
}
