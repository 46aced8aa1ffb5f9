#include "base/ipv4.h"

#include <arpa/inet.h>

bool ipv4_parse(struct str text, uint32_t *ret)
{
    char z[INET_ADDRSTRLEN];
    struct in_addr a;
    if (text.len == 0 || text.len >= sizeof(z) || memchr(text.ptr, 0, text.len))
        return false;
    memcpy(z, text.ptr, text.len), z[text.len] = 0;
    if (inet_pton(AF_INET, z, &a) != 1)
        return false;
    *ret = ntohl(a.s_addr);
    return true;
}

bool ipv4_parse_cidr(struct str text, uint32_t *ret_network, int *ret_prefix)
{
    struct str address, length;
    uint32_t a;
    uint64_t n;
    if (!str_cut(text, '/', &address, &length) || !ipv4_parse(address, &a) || !str_to_u64(length, &n) || n > 32)
        return false;
    *ret_network = a & ipv4_mask((int)n);
    *ret_prefix = (int)n;
    return true;
}

struct str ipv4_text(struct arena *mem, uint32_t a)
{
    return str_fmt(mem, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}
