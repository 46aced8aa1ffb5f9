/* Host-local addresses: a file each. */
#include "node/net/ipam.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/files.h"

enum { OWNER_MAX = 256 };

struct ipam {
    int dir;
    uint32_t network, size; /* size: addresses of the range */
    uint32_t last;          /* the one given last, as an offset */
    char **owners;          /* by offset; NULL: free */
};

static void load(struct ipam *p)
{
    cleanup_arena struct arena *mem = arena_new();
    char self[64], **names;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", p->dir);
    int n = files_list(self, mem, &names);
    for (int i = 0; i < n; i++) {
        struct str text;
        uint32_t a;
        if (strncmp(names[i], "new.", 4) == 0)
            unlinkat(p->dir, names[i], 0); /* of one that was killed before it took an address */
        if (!ipv4_parse(str_of(names[i]), &a) || a - p->network >= p->size)
            continue;
        if (files_read(p->dir, names[i], OWNER_MAX, mem, &text) == 0 && text.len)
            p->owners[a - p->network] = strndup(text.ptr, text.len);
    }
    struct str last;
    uint32_t a;
    if (files_read(p->dir, "last", 64, mem, &last) == 0 && ipv4_parse(last, &a) && a - p->network < p->size)
        p->last = a - p->network;
}

int ipam_open(const char *dir, uint32_t network, int prefix, struct ipam **ret)
{
    if (prefix < IPAM_PREFIX_MIN || prefix > IPAM_PREFIX_MAX)
        return -EINVAL;
    int r = files_mkdirs(dir, 0700);
    if (r < 0)
        return r;
    struct ipam *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    p->network = network, p->size = 1u << (32 - prefix), p->last = 1;
    p->owners = calloc(p->size, sizeof(*p->owners));
    if (p->dir < 0 || !p->owners) {
        r = p->dir < 0 ? -errno : -ENOMEM;
        ipam_close(p);
        return r;
    }
    load(p);
    *ret = p;
    return 0;
}

struct ipam *ipam_close(struct ipam *p)
{
    if (!p)
        return NULL;
    for (uint32_t i = 0; p->owners && i < p->size; i++)
        free(p->owners[i]);
    free(p->owners);
    if (p->dir >= 0)
        close(p->dir);
    free(p);
    return NULL;
}

bool ipam_find(const struct ipam *p, struct str owner, uint32_t *ret)
{
    for (uint32_t i = 0; i < p->size; i++)
        if (p->owners[i] && str_is(owner, p->owners[i])) {
            *ret = p->network + i;
            return true;
        }
    return false;
}

static void name_of(const struct ipam *p, uint32_t offset, char ret[INET_ADDRSTRLEN])
{
    struct in_addr a = {htonl(p->network + offset)};
    inet_ntop(AF_INET, &a, ret, INET_ADDRSTRLEN);
}

static int write_new(struct ipam *p, const char *name, struct str text)
{
    cleanup_fd int fd = openat(p->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    return write(fd, text.ptr, text.len) == (ssize_t)text.len ? 0 : -EIO;
}

static int occupy(struct ipam *p, struct str owner, uint32_t offset)
{
    char name[INET_ADDRSTRLEN], fresh[INET_ADDRSTRLEN + 8];
    name_of(p, offset, name);
    snprintf(fresh, sizeof(fresh), "new.%s", name);
    int r = write_new(p, fresh, owner);
    if (r == 0 && linkat(p->dir, fresh, p->dir, name, 0) < 0)
        r = -errno;
    unlinkat(p->dir, fresh, 0);
    if (r < 0)
        return r;
    p->owners[offset] = strndup(owner.ptr, owner.len);
    return p->owners[offset] ? 0 : -ENOMEM;
}

int ipam_take(struct ipam *p, struct str owner, uint32_t *ret)
{
    if (owner.len == 0 || owner.len > OWNER_MAX)
        return -EINVAL;
    if (ipam_find(p, owner, ret))
        return 0;
    for (uint32_t i = 1; i <= p->size; i++) {
        uint32_t offset = (p->last + i) % p->size;
        if (offset < 2 || offset == p->size - 1 || p->owners[offset])
            continue;
        int r = occupy(p, owner, offset);
        if (r == -EEXIST)
            continue; /* a file we could not read: not ours to give */
        if (r < 0)
            return r;
        char name[INET_ADDRSTRLEN];
        name_of(p, offset, name);
        p->last = offset;
        if (write_new(p, "new.last", str_of(name)) == 0)
            renameat(p->dir, "new.last", p->dir, "last"); /* a lost one only shortens the rest of an address */
        *ret = p->network + offset;
        return 0;
    }
    return -ENOSPC;
}

int ipam_claim(struct ipam *p, struct str owner, uint32_t address)
{
    uint32_t offset = address - p->network, has;
    if (offset >= p->size)
        return -ERANGE;
    if (p->owners[offset])
        return str_is(owner, p->owners[offset]) ? 0 : -EADDRINUSE;
    if (ipam_find(p, owner, &has))
        ipam_release(p, owner);
    return occupy(p, owner, offset);
}

static void vacate(struct ipam *p, uint32_t offset)
{
    char name[INET_ADDRSTRLEN];
    name_of(p, offset, name);
    unlinkat(p->dir, name, 0);
    free(p->owners[offset]), p->owners[offset] = NULL;
}

void ipam_release(struct ipam *p, struct str owner)
{
    uint32_t a;
    while (ipam_find(p, owner, &a))
        vacate(p, a - p->network);
}

int ipam_count(const struct ipam *p)
{
    int n = 0;
    for (uint32_t i = 0; i < p->size; i++)
        n += p->owners[i] != NULL;
    return n;
}

void ipam_sweep(struct ipam *p, bool (*keep)(void *ctx, struct str owner, uint32_t address), void *ctx)
{
    for (uint32_t i = 0; i < p->size; i++)
        if (p->owners[i] && !keep(ctx, str_of(p->owners[i]), p->network + i))
            vacate(p, i);
}
