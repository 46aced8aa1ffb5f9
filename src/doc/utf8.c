#include "doc/utf8.h"

int utf8_seq(const char *p, const char *end)
{
    const uint8_t *u = (const uint8_t *)p;
    size_t left = (size_t)(end - p);
    if (u[0] < 0x80)
        return 1;
    if (u[0] < 0xc2 || u[0] > 0xf4)
        return 0;
    int len = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
    if (left < (size_t)len)
        return 0;
    for (int i = 1; i < len; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f)) /* too long; surrogate */
        return 0;
    if ((u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f)) /* too long; above U+10FFFF */
        return 0;
    return len;
}

bool utf8_valid(struct str s)
{
    const char *p = s.ptr, *end = s.len ? p + s.len : p;
    while (p < end) {
        uint64_t word;
        if (end - p >= 8 && (memcpy(&word, p, 8), (word & 0x8080808080808080u) == 0)) {
            p += 8;
            continue;
        }
        int n = utf8_seq(p, end);
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

int utf8_put(char *to, uint32_t rune)
{
    if (rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000))
        rune = 0xfffd;
    if (rune < 0x80) {
        to[0] = (char)rune;
        return 1;
    }
    if (rune < 0x800) {
        to[0] = (char)(0xc0 | rune >> 6);
        to[1] = (char)(0x80 | (rune & 0x3f));
        return 2;
    }
    if (rune < 0x10000) {
        to[0] = (char)(0xe0 | rune >> 12);
        to[1] = (char)(0x80 | (rune >> 6 & 0x3f));
        to[2] = (char)(0x80 | (rune & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | rune >> 18);
    to[1] = (char)(0x80 | (rune >> 12 & 0x3f));
    to[2] = (char)(0x80 | (rune >> 6 & 0x3f));
    to[3] = (char)(0x80 | (rune & 0x3f));
    return 4;
}

uint32_t utf8_rune(const char *p, int len)
{
    const uint8_t *u = (const uint8_t *)p;
    if (len == 1)
        return u[0];
    uint32_t rune = u[0] & (0x7f >> len);
    for (int i = 1; i < len; i++)
        rune = rune << 6 | (u[i] & 0x3f);
    return rune;
}
