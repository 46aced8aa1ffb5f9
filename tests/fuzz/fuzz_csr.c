/* tests/fuzz/fuzz_csr.c - certificate requests and certificates as strangers send them: PEM of the fuzzer's choice, and
 * DER of its choice in a well-formed frame. What is read as a request can be signed, and then is a certificate. */
#include <stdint.h>
#include <stdlib.h>

#include "http/pki.h"

static struct pki_pair ca;
static struct arena *tmp, *keep;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why = NULL;
    if (!tmp) {
        tmp = arena_new(), keep = arena_new();
        if (pki_new_ca(keep, STR("ca"), 1000000000, &ca, &why) < 0)
            abort();
    }
    struct str text = str_mem((const char *)data, size), cert;
    if (size && data[0] == 0x30)
        text = str_fmt(tmp, "-----BEGIN CERTIFICATE REQUEST-----\n" STR_FMT "\n-----END CERTIFICATE REQUEST-----\n",
                       STR_ARG(str_base64(tmp, text)));
    struct pki_csr csr;
    if (pki_csr_read(tmp, text, &csr, &why) == 0 &&
        pki_sign_csr(tmp, &ca, text, PKI_CLIENT, 600, 1000000000, &cert, &why) == 0 && !pki_is_certificates(cert, &why))
        abort();
    pki_is_certificates(text, &why);
    pki_not_after_s(text);
    arena_reset(tmp);
    return 0;
}
