/* cli/token.c - `sampan token create|list|delete`: bootstrap tokens, with which a machine joins the cluster.
 *
 * The same Secrets as kubeadm's, so its tokens are listed and deleted too. What is printed on creation is the command
 * to type on that machine; the hash pins the cluster's CA (kubeadm's --discovery-token-ca-cert-hash). */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/admin.h"
#include "cli/cli.h"
#include "http/pki.h"
#include "schema/bootstrap_token.h"
#include "schema/times.h"

#define SECRETS "/api/v1/namespaces/kube-system/secrets"

static struct str random_word(struct arena *mem, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char *word = arena_alloc(mem, len);
    for (size_t i = 0; i < len;) {
        uint8_t byte;
        if (RAND_bytes(&byte, 1) != 1)
            abort();
        if (byte < 252) /* 7 times 36: no letter is likelier than another */
            word[i++] = letters[byte % 36];
    }
    return str_mem(word, len);
}

static void put_data(struct arena *mem, struct doc *secret, const char *key, struct str value)
{
    doc_put_str(mem, doc_sub(mem, secret, "data"), key, str_base64(mem, value));
}

static struct doc *new_secret(struct arena *mem, struct str id, struct str secret, int64_t ttl, const char *description)
{
    struct doc *d = doc_new_object(mem), *meta = doc_sub(mem, d, "metadata");
    doc_put_str(mem, d, "apiVersion", STR("v1"));
    doc_put_str(mem, d, "kind", STR("Secret"));
    doc_put_str(mem, d, "type", STR(BOOTSTRAP_TOKEN_TYPE));
    doc_put_str(mem, meta, "name", str_fmt(mem, BOOTSTRAP_TOKEN_PREFIX STR_FMT, STR_ARG(id)));
    doc_put_str(mem, meta, "namespace", STR("kube-system"));
    put_data(mem, d, "token-id", id);
    put_data(mem, d, "token-secret", secret);
    put_data(mem, d, "usage-bootstrap-authentication", STR("true"));
    put_data(mem, d, "usage-bootstrap-signing", STR("true"));
    put_data(mem, d, "auth-extra-groups", STR(BOOTSTRAP_TOKEN_GROUP));
    if (description)
        put_data(mem, d, "description", str_of(description));
    if (ttl)
        put_data(mem, d, "expiration", time_format(mem, time(NULL) + ttl, 0, /* micro= */ false));
    return d;
}

static int answered(struct admin *a, const struct doc *answer)
{
    struct str why = answer ? STR_NULL : admin_why(a);
    return answer ? 0 : cli_fail(STR_FMT, STR_ARG(why));
}

static int create(struct args *args)
{
    struct arena *mem = args->mem;
    struct admin a;
    int64_t ttl = cli_duration_s(arg(args, "ttl"));
    if (ttl < 0)
        return cli_wrong(args, "ttl", "must be a number with s, m or h, or 0 for no end");
    int r = admin_open(&a, mem, arg(args, "data-dir"));
    if (!r) {
        struct str id = random_word(mem, BOOTSTRAP_ID_LEN), secret = random_word(mem, BOOTSTRAP_SECRET_LEN),
                   hash = str_hex(mem, pki_key_hash(mem, a.ca_pem));
        r = answered(&a, admin_ask(&a, "POST", SECRETS, new_secret(mem, id, secret, ttl, arg(args, "description"))));
        if (!r && arg(args, "quiet"))
            printf(STR_FMT "." STR_FMT "\n", STR_ARG(id), STR_ARG(secret));
        else if (!r)
            printf("sampan agent --server " STR_FMT " --token " STR_FMT "." STR_FMT " --ca-hash sha256:" STR_FMT "\n",
                   STR_ARG(a.server), STR_ARG(id), STR_ARG(secret), STR_ARG(hash));
    }
    admin_close(&a);
    return r;
}

static struct str left_of(struct arena *mem, const struct bootstrap_token *t)
{
    int64_t left = t->expires_ms / 1000 - time(NULL);
    return !t->expires_ms ? STR("forever")
           : left <= 0    ? STR("over")
           : left < 7200  ? str_fmt(mem, "%dm", (int)(left / 60))
                          : str_fmt(mem, "%dh", (int)(left / 3600));
}

static int list(struct args *args)
{
    struct admin a;
    int r = admin_open(&a, args->mem, arg(args, "data-dir"));
    if (!r) {
        const struct doc *secrets = admin_ask(&a, "GET", SECRETS "?fieldSelector=type%3D" BOOTSTRAP_TOKEN_TYPE, NULL);
        r = answered(&a, secrets);
        if (!r)
            printf("%-23s  %-8s  %-23s  %s\n", "TOKEN", "TTL", "USAGES", "DESCRIPTION");
        doc_each (s, doc_get(secrets, "items")) {
            struct bootstrap_token t;
            if (!bootstrap_token_read(args->mem, s, &t))
                continue;
            struct str left = left_of(args->mem, &t);
            printf(STR_FMT "." STR_FMT "  %-8.*s  %-23s  " STR_FMT "\n", STR_ARG(t.id), STR_ARG(t.secret),
                   STR_ARG(left),
                   t.authenticates && t.signs ? "authentication,signing"
                   : t.authenticates          ? "authentication"
                   : t.signs                  ? "signing"
                                              : "<none>",
                   STR_ARG(t.description));
        }
    }
    admin_close(&a);
    return r;
}

static int delete (struct args *args)
{
    struct admin a;
    struct str id = str_of(args->rest[0]), secret;
    bootstrap_token_split(id, &id, &secret); /* the whole token does as well */
    for (size_t i = 0; i < id.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789", id.ptr[i]) || id.len != BOOTSTRAP_ID_LEN)
            return cli_fail("\"%s\" is neither a token nor the id of one", args->rest[0]);
    int r = admin_open(&a, args->mem, arg(args, "data-dir"));
    if (!r) {
        const char *path = str_fmtz(args->mem, SECRETS "/" BOOTSTRAP_TOKEN_PREFIX STR_FMT, STR_ARG(id));
        r = answered(&a, admin_ask(&a, "DELETE", path, NULL));
        if (!r)
            printf("bootstrap token \"" STR_FMT "\" deleted\n", STR_ARG(id));
    }
    admin_close(&a);
    return r;
}

#define DATA_DIR                                                                                                       \
    {                                                                                                                  \
        "data-dir", "DIR", "the server's state", SAMPAN_DATA_DIR "/server"                                             \
    }
static const struct option_row create_options[] = {
    {"ttl", "DURATION", "how long it is good: 30m, 24h; 0: for ever", "24h"},
    {"description", "TEXT", "what it is for", NULL},
    {"quiet", NULL, "print the token alone", NULL},
    DATA_DIR,
    {NULL, NULL, NULL, NULL},
};
static const struct option_row options[] = {DATA_DIR, {NULL, NULL, NULL, NULL}};
const struct command command_token_create = {
    "token create", NULL, "make a token and print how a machine joins with it", create_options, create, 0, 0};
const struct command command_token_list = {"token list", NULL, "show the tokens", options, list, 0, 0};
const struct command command_token_delete = {
    "token delete", "TOKEN|ID", "make a token worthless", options, delete, 1, 1};
