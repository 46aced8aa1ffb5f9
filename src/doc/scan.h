/* doc/scan.h - find the bytes of a string that need care, 16 (SSE2) or 8 at a time.
 *
 * Nothing here reads outside the given bytes: short strings are covered by two loads that overlap. Private to doc/. */
#ifndef SAMPAN_DOC_SCAN_H
#define SAMPAN_DOC_SCAN_H

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define SCAN_ONES  0x0101010101010101u
#define SCAN_HIGHS 0x8080808080808080u

static inline uint64_t scan_load64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t scan_load32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* ---- reading: a quote, a backslash, a control character or a byte above ASCII ends a plain run */
static inline bool scan_in_special(unsigned char c)
{
    return c == '"' || c == '\\' || c < 0x20 || c >= 0x80;
}

#ifdef __SSE2__
static inline unsigned scan_in_mask(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i odd = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)); /* signed: catches what is above ASCII too */
    odd = _mm_or_si128(odd, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
    odd = _mm_or_si128(odd, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(odd);
}
#endif

/* The first special byte at or after p, or end. */
static inline const char *scan_in(const char *p, const char *end)
{
#ifdef __SSE2__
    while (end - p >= 16) {
        unsigned mask = scan_in_mask(p);
        if (mask)
            return p + __builtin_ctz(mask);
        p += 16;
    }
#else
    while (end - p >= 8) {
        uint64_t v = scan_load64(p);
        uint64_t quote = v ^ SCAN_ONES * '"', slash = v ^ SCAN_ONES * '\\';
        uint64_t hit = v | (v - SCAN_ONES * 0x20) | (quote - SCAN_ONES) | (slash - SCAN_ONES);
        if (hit & SCAN_HIGHS) /* may be too careful, never too careless: the byte loop decides */
            break;
        p += 8;
    }
#endif
    while (p < end && !scan_in_special((unsigned char)*p))
        p++;
    return p;
}

/* ---- writing: a quote, a backslash, a control character, or 0xE2, which begins U+2028 and U+2029 */
static inline bool scan_out_special(unsigned char c)
{
    return c == '"' || c == '\\' || c < 0x20 || c == 0xe2;
}

#ifdef __SSE2__
typedef __m128i scan_block;
static inline scan_block scan_block_load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}
static inline scan_block scan_block_pair(uint64_t a, uint64_t b)
{
    return _mm_set_epi64x((long long)b, (long long)a);
}
static inline bool scan_block_odd(scan_block v)
{
    __m128i odd = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    odd = _mm_or_si128(odd, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
    odd = _mm_or_si128(odd, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    odd = _mm_or_si128(odd, _mm_cmpeq_epi8(v, _mm_set1_epi8((char)0xe2)));
    return _mm_movemask_epi8(odd) != 0;
}
#else
typedef struct {
    uint64_t a, b;
} scan_block;
static inline scan_block scan_block_pair(uint64_t a, uint64_t b)
{
    return (scan_block){a, b};
}
static inline scan_block scan_block_load(const char *p)
{
    return scan_block_pair(scan_load64(p), scan_load64(p + 8));
}
static inline uint64_t scan_word_odd(uint64_t v)
{
    uint64_t quote = v ^ SCAN_ONES * '"', slash = v ^ SCAN_ONES * '\\', e2 = v ^ SCAN_ONES * 0xe2;
    uint64_t control = (v - SCAN_ONES * 0x20) & ~v;
    return (control | ((quote - SCAN_ONES) & ~quote) | ((slash - SCAN_ONES) & ~slash) | ((e2 - SCAN_ONES) & ~e2)) &
           SCAN_HIGHS;
}
static inline bool scan_block_odd(scan_block v)
{
    return (scan_word_odd(v.a) | scan_word_odd(v.b)) != 0;
}
#endif

/* True when no byte of s needs an escape. */
static inline bool scan_out_plain(const char *s, size_t len)
{
    if (len >= 16) {
        for (size_t i = 0; i + 16 < len; i += 16)
            if (scan_block_odd(scan_block_load(s + i)))
                return false;
        return !scan_block_odd(scan_block_load(s + len - 16));
    }
    if (len >= 8)
        return !scan_block_odd(scan_block_pair(scan_load64(s), scan_load64(s + len - 8)));
    if (len >= 4) {
        uint64_t both = (uint64_t)scan_load32(s + len - 4) << 32 | scan_load32(s);
        return !scan_block_odd(scan_block_pair(both, both));
    }
    bool plain = true;
    for (size_t i = 0; i < len; i++)
        plain &= !scan_out_special((unsigned char)s[i]);
    return plain;
}

/* Copy s to `to` while looking; false when a byte needs an escape (what has been copied is then to be overwritten). */
static inline bool scan_out_copy(char *to, const char *s, size_t len)
{
    if (len >= 16) {
        for (size_t i = 0; i + 16 < len; i += 16) {
            scan_block v = scan_block_load(s + i);
            if (scan_block_odd(v))
                return false;
            memcpy(to + i, &v, 16);
        }
        scan_block v = scan_block_load(s + len - 16);
        memcpy(to + len - 16, &v, 16);
        return !scan_block_odd(v);
    }
    if (len >= 8) {
        uint64_t a = scan_load64(s), b = scan_load64(s + len - 8);
        memcpy(to, &a, 8), memcpy(to + len - 8, &b, 8);
        return !scan_block_odd(scan_block_pair(a, b));
    }
    if (len >= 4) {
        uint32_t a = scan_load32(s), b = scan_load32(s + len - 4);
        memcpy(to, &a, 4), memcpy(to + len - 4, &b, 4);
        uint64_t both = (uint64_t)b << 32 | a;
        return !scan_block_odd(scan_block_pair(both, both));
    }
    bool plain = true;
    for (size_t i = 0; i < len; i++) {
        to[i] = s[i];
        plain &= !scan_out_special((unsigned char)s[i]);
    }
    return plain;
}

#endif
