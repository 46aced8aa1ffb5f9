/* sampan-pod-init: process 1 of a pod whose containers share one PID namespace. Reaps, and ends on SIGTERM or SIGINT.
 * Static, without memory of its own beyond the stack. */
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD), sigaddset(&set, SIGTERM), sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_NAME, "sampan-init");
    for (;;) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
        int sig = 0;
        if (sigwait(&set, &sig) == 0 && sig != SIGCHLD)
            return 0;
    }
}
