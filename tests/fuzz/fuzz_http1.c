/* tests/fuzz/fuzz_http1.c - HTTP/1.1 requests. */
#include "fuzz_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_server(data, size, STR(""));
    return 0;
}
