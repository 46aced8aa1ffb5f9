/* cli/address.c - which address of this machine others should use. */
#include "cli/address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include "base/str.h"

const char *address_of_host(struct arena *mem)
{
    struct ifaddrs *list = NULL;
    char text[INET_ADDRSTRLEN] = "10.244.0.1";
    if (getifaddrs(&list) < 0)
        return str_z(mem, str_of(text));
    for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP) ||
            (i->ifa_flags & IFF_LOOPBACK))
            continue;
        inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, text, sizeof(text));
        break;
    }
    freeifaddrs(list);
    return str_z(mem, str_of(text));
}
