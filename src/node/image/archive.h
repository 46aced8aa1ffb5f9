/* node/image/archive.h - libarchive, opened on first use: only the short-lived unpack processes carry it. */
#ifndef SAMPAN_NODE_IMAGE_ARCHIVE_H
#define SAMPAN_NODE_IMAGE_ARCHIVE_H

#include <archive.h>
#include <archive_entry.h>

/* clang-format off */
#define ARCHIVE_CALLS(X)                                                                                               \
    X(archive_read_new)                                                                                                \
    X(archive_read_free)                                                                                               \
    X(archive_read_support_filter_gzip)                                                                                \
    X(archive_read_support_filter_zstd)                                                                                \
    X(archive_read_support_format_tar)                                                                                 \
    X(archive_read_support_format_gnutar) X(archive_read_support_format_raw) X(archive_read_support_format_empty)      \
        X(archive_read_open) X(archive_read_next_header) X(archive_read_data) X(archive_read_data_block)               \
            X(archive_error_string) X(archive_write_disk_new) X(archive_write_disk_set_options)                        \
                X(archive_write_header) X(archive_write_data_block) X(archive_write_finish_entry)                      \
                    X(archive_write_close) X(archive_write_free) X(archive_entry_pathname)                             \
                        X(archive_entry_set_pathname) X(archive_entry_hardlink) X(archive_entry_set_hardlink)          \
                            X(archive_entry_filetype) X(archive_entry_size) X(archive_entry_uid)                       \
                                X(archive_entry_set_uid) X(archive_entry_gid) X(archive_entry_set_gid)                 \
                                    X(archive_entry_symlink) X(archive_entry_size_is_set) X(archive_entry_perm)        \
                                        X(archive_entry_set_perm) X(archive_errno)
/* clang-format on */
struct archive_calls {
#define X(name) __typeof__(&name) name;
    ARCHIVE_CALLS(X)
#undef X
};
/* NULL: the library is not installed. Call before the cage is shut. */
const struct archive_calls *archive_open(void);

#endif
