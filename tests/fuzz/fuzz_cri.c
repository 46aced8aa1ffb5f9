/* Lines of a container's log, and where the last of them begin. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "node/stream/cri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct str all = str_mem((const char *)data, size), line;
    struct cri_line l;
    char time[40];
    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    while (str_next(&all, '\n', &line))
        if (cri_parse(line, &l) && (cri_time_text(l.time, time) > 40 || l.text.len > line.len))
            abort();
    if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        return 0;
    for (int64_t n = 0; n < 4; n++) {
        int64_t at = cri_tail(fd, (int64_t)size, n);
        if (at < 0 || at > (int64_t)size || (at > 0 && data[at - 1] != '\n'))
            abort();
    }
    return 0;
}
