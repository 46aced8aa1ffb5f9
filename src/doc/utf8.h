/* doc/utf8.h - UTF-8 as the readers of this folder need it: strict, one sequence at a time.
 *
 * Strict: shortest form, no surrogates, nothing above U+10FFFF (RFC 3629; Unicode table 3-7). May use base/. */
#ifndef SAMPAN_DOC_UTF8_H
#define SAMPAN_DOC_UTF8_H

#include "base/str.h"

/* Length of the well-formed sequence that starts at p and ends before end, 1 to 4; 0: there is none. p < end. */
int utf8_seq(const char *p, const char *end);
bool utf8_valid(struct str s);
/* Writes up to 4 bytes, returns how many. Surrogates and what is above U+10FFFF become U+FFFD. */
int utf8_put(char *to, uint32_t rune);
/* The rune of a sequence whose length utf8_seq has told. */
uint32_t utf8_rune(const char *p, int len);

#endif
