/* Whatever decodes is canonical: it encodes, and decodes again to the same JSON. The first byte picks between the
 * envelope and the message of a type, so that deep types are reached without guessing names. */
#include <stdio.h>
#include <stdlib.h>

#include "schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = {"core.v1.Pod",
                                    "core.v1.ConfigMap",
                                    "apiextensions.v1.JSONSchemaProps",
                                    "apps.v1.ControllerRevision",
                                    "core.v1.Service",
                                    "admissionregistration.v1.ValidatingWebhookConfiguration",
                                    "authentication.v1.TokenReview",
                                    "core.v1.Event"};

static void check(struct arena *mem, const struct type *t, struct doc *obj)
{
    struct err err = ERR(mem);
    struct sb out = SB(mem);
    struct doc *again = NULL;
    struct str before = doc_json(mem, obj);
    if (schema_encode_pb_message(&out, t, obj) < 0 || schema_decode_pb_message(mem, t, sb_str(&out), &again, &err) < 0)
        abort();
    if (doc_get(obj, "kind") && !doc_get(again, "kind")) /* the envelope's, not the message's */
        return;
    struct str after = doc_json(mem, again);
    if (!str_eq(before, after)) {
        fprintf(stderr, "before " STR_FMT "\nafter  " STR_FMT "\n", STR_ARG(before), STR_ARG(after));
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct doc *obj = NULL;
    if (size == 0)
        return 0;
    struct str bytes = str_mem((const char *)data + 1, size - 1);
    unsigned pick = data[0] % (sizeof(types) / sizeof(*types) + 1);
    if (pick == sizeof(types) / sizeof(*types)) {
        schema_decode_pb(mem, bytes, &obj, &err);
        return 0;
    }
    const struct type *t = schema_type(types[pick]);
    if (schema_decode_pb_message(mem, t, bytes, &obj, &err) == 0)
        check(mem, t, obj);
    return 0;
}
