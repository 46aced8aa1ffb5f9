/* http/testcert.h - certificates for tests and benchmarks, made on the spot: a CA, and what it signs. Not part of the
 * product. */
#ifndef SAMPAN_HTTP_TESTCERT_H
#define SAMPAN_HTTP_TESTCERT_H

#include "base/str.h"

struct testcert {
    struct str cert_pem, key_pem;
};
/* ECDSA P-256. ca NULL: self-signed, a CA. organization NULL: none. Names in it: common_name, localhost, 127.0.0.1. */
struct testcert testcert_make(struct arena *mem, const struct testcert *ca, const char *common_name,
                              const char *organization);
#endif
