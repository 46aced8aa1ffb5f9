#include "node/image/cage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CAGE_CPU_SECONDS_MAX = 3600, CAGE_MEMORY_BYTES_MAX = 1 << 30, CAGE_FDS_MAX = 64 };

static void close_others(const int *keep, int keep_count)
{
    int from = 3;
    for (;;) {
        int next = INT32_MAX;
        for (int i = 0; i < keep_count; i++)
            if (keep[i] >= from && keep[i] < next)
                next = keep[i];
        if (next == INT32_MAX)
            break;
        if (next > from)
            syscall(SYS_close_range, from, next - 1, 0);
        from = next + 1;
    }
    syscall(SYS_close_range, from, ~0U, 0);
}

static int drop_caps(enum cage_kind kind)
{
    uint32_t keep = 0;
    if (kind == CAGE_UNPACK)
        keep = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER | 1u << CAP_FSETID | 1u << CAP_SETFCAP;
    for (int cap = 0; cap <= 63; cap++)
        if ((cap > 31 || !(keep & 1u << cap)) && prctl(PR_CAPBSET_DROP, cap) < 0 && errno != EINVAL)
            return -errno;
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{keep, keep, 0}, {0, 0, 0}};
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return -errno;
    return syscall(SYS_capset, &h, data) < 0 ? -errno : 0;
}

/* Everything below "/" (which is the cage's directory by now), nothing else, and no execution. */
static int landlock(void)
{
    struct landlock_ruleset_attr attr = {.handled_access_fs =
                                             LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                                             LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_WRITE_FILE};
    int set = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (set < 0)
        return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct landlock_path_beneath_attr rule = {.allowed_access = LANDLOCK_ACCESS_FS_WRITE_FILE, .parent_fd = root};
    int r = syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ||
                    syscall(SYS_landlock_restrict_self, set, 0) < 0
                ? -errno
                : 0;
    close(root), close(set);
    return r;
}

static const int allowed[] = {
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_lseek,
    SYS_close,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_openat,
    SYS_openat2,
    SYS_mkdirat,
    SYS_unlinkat,
    SYS_linkat,
    SYS_symlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_readlinkat,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_fchownat,
    SYS_utimensat,
    SYS_mknodat,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fsetxattr,
    SYS_lsetxattr,
    SYS_setxattr,
    SYS_fgetxattr,
    SYS_lgetxattr,
    SYS_fremovexattr,
    SYS_getdents64,
    SYS_fchdir,
    SYS_chdir,
    SYS_getcwd,
    SYS_umask,
    SYS_fsync,
    SYS_fdatasync,
    SYS_fcntl,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_fadvise64,
    SYS_dup,
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_brk,
    SYS_madvise,
    SYS_futex,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_getpid,
    SYS_gettid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_gettimeofday,
    SYS_getrandom,
    SYS_exit,
    SYS_exit_group,
    SYS_fstatfs,
    SYS_statfs,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_prlimit64,
    SYS_sysinfo,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_restart_syscall,
#ifdef __x86_64__
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_mkdir,
    SYS_rmdir,
    SYS_unlink,
    SYS_link,
    SYS_symlink,
    SYS_rename,
    SYS_readlink,
    SYS_chmod,
    SYS_chown,
    SYS_lchown,
    SYS_utimes,
    SYS_futimesat,
    SYS_mknod,
    SYS_dup2,
    SYS_time,
    SYS_arch_prctl,
    SYS_poll,
#endif
};
#ifdef __x86_64__
#define CAGE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define CAGE_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv)
#define CAGE_ARCH AUDIT_ARCH_RISCV64
#else
#error "name this machine's AUDIT_ARCH"
#endif

/* mprotect and mmap stay for malloc and the loader's lazy work; nothing here can execute another program, open a socket
 * or leave the namespaces. Anything else is EPERM rather than death: libraries probe. */
static int seccomp(void)
{
    enum { COUNT = sizeof(allowed) / sizeof(allowed[0]) };
    struct sock_filter f[COUNT * 2 + 8];
    unsigned n = 0;
    f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CAGE_ARCH, 1, 0);
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < COUNT; i++) {
        f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1);
        f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    struct sock_fprog prog = {.len = (unsigned short)n, .filter = f};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0 ? -errno : 0;
}

int cage_enter(enum cage_kind kind, int root_fd, const int *keep, int keep_count)
{
    if (fchdir(root_fd) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return -errno;
    umask(0);
    close_others(keep, keep_count); /* root_fd too, unless kept: no descriptor outside of the cage is left */
    const struct rlimit cpu = {CAGE_CPU_SECONDS_MAX, CAGE_CPU_SECONDS_MAX}, fds = {CAGE_FDS_MAX, CAGE_FDS_MAX};
    setrlimit(RLIMIT_CPU, &cpu), setrlimit(RLIMIT_NOFILE, &fds);
#ifndef __SANITIZE_ADDRESS__
    const struct rlimit memory = {CAGE_MEMORY_BYTES_MAX, CAGE_MEMORY_BYTES_MAX};
    setrlimit(RLIMIT_AS, &memory);
#endif
    prctl(PR_SET_DUMPABLE, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    int r = landlock();
    if (r == 0)
        r = drop_caps(kind);
    return r == 0 ? seccomp() : r;
}
