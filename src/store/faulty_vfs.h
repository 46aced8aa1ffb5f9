/* store/faulty_vfs.h - tests only: a disk of memory under SQLite that forgets what was not synced.
 *
 * A power cut keeps, of the writes since the last sync of a file, any subset, in any order, each torn at any sector.
 * Errors can be injected from a given operation on. Creating and deleting files is durable at once. */
#ifndef SAMPAN_STORE_FAULTY_VFS_H
#define SAMPAN_STORE_FAULTY_VFS_H

#include <stdint.h>

enum fault { FAULT_NONE, FAULT_FULL, FAULT_READONLY, FAULT_IO, FAULT_FSYNC /* only syncs fail */ };

void faulty_vfs_install(uint64_t seed); /* becomes the default; all files are gone */
void faulty_vfs_remove(void);
/* After so many more writes and syncs each one fails so; FAULT_NONE ends it. */
void faulty_vfs_fail(enum fault f, int after);
void faulty_vfs_power_cut(
    void);                     /* every file is what the disk may hold; open handles must be closed already, or fail */
void faulty_vfs_lie(void);     /* from now on a sync does nothing and says it did */
uint64_t faulty_vfs_ops(void); /* writes and syncs so far */
int faulty_vfs_errors(void);   /* injected so far */

#endif
