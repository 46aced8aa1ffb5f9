/* base/ipv4.h - IPv4 addresses and ranges as numbers, in host order.
 *
 * Strict: four decimal parts, no sign, no space, as inet_pton(3) has it. */
#ifndef SAMPAN_BASE_IPV4_H
#define SAMPAN_BASE_IPV4_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

bool ipv4_parse(struct str text, uint32_t *ret);
/* "10.42.0.7/24" to the network 10.42.0.0 and 24. False: no such CIDR. */
bool ipv4_parse_cidr(struct str text, uint32_t *ret_network, int *ret_prefix);
struct str ipv4_text(struct arena *mem, uint32_t address);
static inline uint32_t ipv4_mask(int prefix)
{
    return prefix <= 0 ? 0 : ~(uint32_t)((1ull << (32 - prefix)) - 1);
}

#endif
