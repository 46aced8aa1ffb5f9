/* base/io.h - small files, whole. For the modules that may touch files; never from a reconcile or a request. */
#ifndef SAMPAN_BASE_IO_H
#define SAMPAN_BASE_IO_H

#include "base/str.h"

/* Replace path by text: written beside it, made durable, renamed. 0 or -errno. */
int io_write_whole(const char *path, struct str text, unsigned mode);
/* The whole file, at most max_bytes (-EFBIG beyond). 0 or -errno. */
int io_read_whole(struct arena *mem, const char *path, size_t max_bytes, struct str *ret);
int io_mkdir_p(const char *path, unsigned mode); /* 0 also when it is there */

#endif
