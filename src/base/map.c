/* base/map.c - linear probing with tombstones, SipHash-1-3 keyed per process. */
#include "base/map.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { MAP_CAP_MIN = 8 };

struct map_slot {
    const char *key;
    uint32_t key_len;
    uint32_t hash;
    void *value; /* NULL: free, or a tombstone when key is `tombstone` */
};

static const char tombstone[1];
static uint64_t seed[2];

/* Before main, so that threads never race for it. */
static __attribute__((constructor)) void seed_from_kernel(void)
{
    if (getrandom(seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
        map_seed((uint64_t)(uintptr_t)&seed ^ 0x9e3779b97f4a7c15u); /* an early boot: address layout must do */
}

void map_seed(uint64_t s)
{
    seed[0] = s;
    seed[1] = s * 0x9e3779b97f4a7c15u + 0xd1b54a32d192ed03u;
}

static inline uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = rotl(v[1], 13) ^ v[0], v[0] = rotl(v[0], 32);
    v[2] += v[3], v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotl(v[1], 17) ^ v[2], v[2] = rotl(v[2], 32);
}

static uint32_t hash_of(struct str s)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du, seed[0] ^ 0x6c7967656e657261u,
                     seed[1] ^ 0x7465646279746573u};
    size_t at = 0;
    uint64_t word;
    for (; at + 8 <= s.len; at += 8) {
        memcpy(&word, s.ptr + at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = 0;
    if (at < s.len)
        memcpy(&word, s.ptr + at, s.len - at);
    word |= (uint64_t)s.len << 56;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    uint64_t h = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (uint32_t)(h ^ h >> 32);
}

void map_done(struct map *m)
{
    free(m->slots);
    *m = MAP_INIT;
}

/* The slot that holds key, or NULL. */
static struct map_slot *find(const struct map *m, struct str key, uint32_t hash)
{
    if (m->count == 0)
        return NULL;
    for (uint32_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct map_slot *s = &m->slots[i];
        if (s->value && s->hash == hash && str_eq(str_mem(s->key, s->key_len), key))
            return s;
        if (!s->value && s->key != tombstone)
            return NULL;
    }
}

void *map_get(const struct map *m, struct str key)
{
    struct map_slot *s = m->count ? find(m, key, hash_of(key)) : NULL;
    return s ? s->value : NULL;
}

/* The first free slot for a key known to be absent, in a table without tombstones or with: either will do. */
static struct map_slot *vacant(struct map_slot *slots, uint32_t cap, uint32_t hash)
{
    uint32_t i = hash & (cap - 1);
    while (slots[i].value)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static void rehash(struct map *m)
{
    uint32_t cap = MAP_CAP_MIN;
    while (cap / 2 < m->count + 1) /* half full at most afterwards; also sheds tombstones */
        cap *= 2;
    struct map_slot *slots = calloc(cap, sizeof *slots);
    if (!slots) {
        fputs("sampan: out of memory\n", stderr);
        abort();
    }
    for (uint32_t i = 0; i < m->cap; i++)
        if (m->slots[i].value)
            *vacant(slots, cap, m->slots[i].hash) = m->slots[i];
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
    m->used = m->count;
}

void *map_put(struct map *m, struct str key, void *value)
{
    assert(value && key.len <= UINT32_MAX);
    uint32_t hash = hash_of(key);
    struct map_slot *s = find(m, key, hash);
    if (s) {
        void *old = s->value;
        s->key = key.ptr;
        s->value = value;
        return old;
    }
    if (m->used + 1 > m->cap - m->cap / 4)
        rehash(m);
    s = vacant(m->slots, m->cap, hash);
    m->used += s->key != tombstone;
    m->count++;
    *s = (struct map_slot){key.ptr, (uint32_t)key.len, hash, value};
    return NULL;
}

void *map_del(struct map *m, struct str key)
{
    struct map_slot *s = m->count ? find(m, key, hash_of(key)) : NULL;
    if (!s)
        return NULL;
    void *old = s->value;
    const struct map_slot *after = &m->slots[(uint32_t)(s - m->slots + 1) & (m->cap - 1)];
    bool last_of_run = !after->value && after->key != tombstone;
    *s = (struct map_slot){.key = last_of_run ? NULL : tombstone};
    m->used -= last_of_run;
    m->count--;
    return old;
}

bool map_each(const struct map *m, uint32_t *it, struct str *ret_key, void **ret_value)
{
    for (; *it < m->cap; ++*it) {
        const struct map_slot *s = &m->slots[*it];
        if (!s->value)
            continue;
        if (ret_key)
            *ret_key = str_mem(s->key, s->key_len);
        if (ret_value)
            *ret_value = s->value;
        ++*it;
        return true;
    }
    return false;
}
