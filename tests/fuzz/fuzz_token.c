/* tests/fuzz/fuzz_token.c - bearer tokens: as they come, and with claims of the fuzzer's choice under a good signature,
 * so that what reads claims is reached too. Only what gate_issue_token made may be believed. */
#include <stdint.h>
#include <stdlib.h>

#include "gate/internal.h"

static struct gate *gate;
static struct arena *tmp;

static void on_ready(void *ctx, int error, struct str why)
{
}

static void start(void)
{
    struct loop *loop = loop_new_sim(1);
    struct cache *cache = cache_new(&(struct cache_opts){.loop = loop});
    struct store *store;
    if (store_open_memory(&(struct store_opts){.loop = loop}, cache_feed, cache, &store) < 0)
        abort();
    cache_set_store(cache, store);
    gate =
        gate_new(&(struct gate_opts){.loop = loop, .cache = cache, .store = store, .advertise = STR("192.0.2.1:6443")},
                 on_ready, NULL);
    loop_sim_run(loop, 1000);
    tmp = arena_new();
}

static struct str sign(struct str head, struct str claims)
{
    struct str text = str_fmt(tmp, STR_FMT "." STR_FMT, STR_ARG(str_base64url(tmp, head)),
                              STR_ARG(str_base64url(tmp, claims))),
               signature;
    if (pki_sign_es256(tmp, gate->sa.key_pem, text, &signature) < 0)
        abort();
    return str_fmt(tmp, STR_FMT "." STR_FMT, STR_ARG(text), STR_ARG(str_base64url(tmp, signature)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!gate)
        start();
    if (!size)
        return 0;
    struct str text = str_mem((const char *)data + 1, size - 1), token = text;
    if (data[0] % 3 == 1)
        token = sign(STR("{\"alg\":\"ES256\"}"), text);
    else if (data[0] % 3 == 2)
        token = sign(text, STR("{\"iss\":\"x\"}"));
    struct err err = ERR(tmp);
    const struct user *u = gate_authenticate_token(gate, tmp, token, NULL, 0, &err);
    if (u) /* no account exists here that a token could be bound to, and unbound claims need our issuer */
        user_in_group(u, "system:masters") ? abort() : (void)0;
    arena_reset(tmp);
    return 0;
}
