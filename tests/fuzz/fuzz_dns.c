/* DNS questions to the zone, upstreams' answers, and the agent's messages to the helper. The first byte chooses. */
#include <stddef.h>
#include <stdint.h>

#include "node/net/dns_zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_zone *zone;
    if (size == 0)
        return 0;
    if (!zone)
        zone = dns_zone_new();
    struct arena *mem = arena_new();
    struct str bytes = str_mem((const char *)data + 1, size - 1), message;
    struct dns_query q;
    struct dns_name target;
    if (data[0] % 4 == 0) {
        dns_zone_message(zone, IPC_DNS_RESET + data[0] / 4 % 3, bytes);
    } else if (dns_parse_query(mem, bytes, &q)) {
        enum dns_verdict v = dns_zone_answer(zone, mem, &q, q.udp_max, data[0], &message, &target);
        if (v == DNS_ANSWER && (message.len < DNS_HEADER || message.len > DNS_UDP_MAX))
            __builtin_trap();
    } else if (bytes.len >= DNS_HEADER) {
        struct dns_record *records = arena_array(mem, struct dns_record, 8);
        dns_answers(mem, bytes, records, 8);
        struct dns_query none = {.udp_max = 512};
        dns_name_of(mem, STR("a.b"), &target);
        dns_zone_chased(mem, &none, &target, bytes, 512);
    }
    arena_free(mem);
    return 0;
}
