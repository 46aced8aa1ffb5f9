#include "cli/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int notify_fd(const char *option)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (option)
        return atoi(option);
    size_t len = path ? strlen(path) : 0;
    if (len < 2 || len >= sizeof(to.sun_path))
        return -1;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@') /* the abstract namespace */
        to.sun_path[0] = 0;
    unsetenv("NOTIFY_SOCKET"); /* not for our children */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, size) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}
