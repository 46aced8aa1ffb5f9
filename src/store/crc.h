/* store/crc.h - CRC-32C (Castagnoli), as in iSCSI and ext4: RFC 3720 B.4. */
#ifndef SAMPAN_STORE_CRC_H
#define SAMPAN_STORE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Continue from crc (0 at first). Uses the processor's instruction where it has one. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
uint32_t crc32c_table(uint32_t crc, const void *data, size_t len); /* the portable form: for its test */

#endif
