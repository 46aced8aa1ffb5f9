/* base/process.c */
#include "base/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/metrics.h"

static double cpu_seconds(void *data)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* A field of /proc/self/stat, counted as proc(5) does; 0 when it can't be read. */
static unsigned long long stat_field(int number)
{
    enum { STAT_BYTES_MAX = 1024, FIRST = 3 }; /* the second is a name that may hold anything */
    char text[STAT_BYTES_MAX];
    unsigned long long value = 0;
    FILE *f = fopen("/proc/self/stat", "re");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = '\0';
    char *at = strrchr(text, ')');
    for (int i = FIRST - 1; at && i < number; i++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, " %llu", &value) == 1 ? value : 0;
}

enum { STAT_START = 22, STAT_VSIZE = 23, STAT_RSS = 24 };

static double start_seconds(void *data)
{
    struct timespec wall, boot;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    double booted = (double)(wall.tv_sec - boot.tv_sec) + (double)(wall.tv_nsec - boot.tv_nsec) / 1e9;
    return booted + (double)stat_field(STAT_START) / (double)sysconf(_SC_CLK_TCK);
}

static double virtual_bytes(void *data)
{
    return (double)stat_field(STAT_VSIZE);
}

static double resident_bytes(void *data)
{
    return (double)stat_field(STAT_RSS) * (double)sysconf(_SC_PAGESIZE);
}

static double open_fds(void *data)
{
    int n = -3; /* ".", ".." and the directory itself */
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static double max_fds(void *data)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (double)limit.rlim_cur : 0;
}

static struct {
    struct metric_family family;
    double (*value)(void *data);
} rows[] = {
    {{.name = "process_cpu_seconds_total",
      .help = "Total user and system CPU time spent in seconds.",
      .type = METRIC_COUNTER},
     cpu_seconds},
    {{.name = "process_max_fds", .help = "Maximum number of open file descriptors.", .type = METRIC_GAUGE}, max_fds},
    {{.name = "process_open_fds", .help = "Number of open file descriptors.", .type = METRIC_GAUGE}, open_fds},
    {{.name = "process_resident_memory_bytes", .help = "Resident memory size in bytes.", .type = METRIC_GAUGE},
     resident_bytes},
    {{.name = "process_start_time_seconds",
      .help = "Start time of the process since unix epoch in seconds.",
      .type = METRIC_GAUGE},
     start_seconds},
    {{.name = "process_virtual_memory_bytes", .help = "Virtual memory size in bytes.", .type = METRIC_GAUGE},
     virtual_bytes},
};

void process_metrics_start(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        metric_callback(&rows[i].family, rows[i].value, NULL);
}
