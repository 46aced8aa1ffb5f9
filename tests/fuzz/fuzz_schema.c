/* Strangers' JSON against the tables: what schema_read lets pass is canonical after schema_order, so protobuf and back
 * gives the same JSON. Then the same bytes, cut in two at a NUL, are an object and a strategic merge patch: any answer
 * will do, but no crash. */
#include <stdio.h>
#include <stdlib.h>

#include "schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = {"core.v1.Pod",
                                    "core.v1.ConfigMap",
                                    "core.v1.Secret",
                                    "apps.v1.Deployment",
                                    "core.v1.Service",
                                    "apiextensions.v1.JSONSchemaProps",
                                    "discovery.v1.EndpointSlice",
                                    "rbac.v1.ClusterRole"};

static void check_canonical(struct arena *mem, const struct type *t, struct doc *obj)
{
    struct err err = ERR(mem);
    struct sb out = SB(mem);
    struct doc *again = NULL;
    schema_default_type(mem, t, obj);
    doc_del(obj, "kind"); /* the envelope's */
    doc_del(obj, "apiVersion");
    schema_order(mem, t, obj);
    struct str before = doc_json(mem, obj);
    if (schema_encode_pb_message(&out, t, obj) < 0 ||
        schema_decode_pb_message(mem, t, sb_str(&out), &again, &err) < 0) {
        fprintf(stderr, "%s: " STR_FMT "\n" STR_FMT "\n", t->name, STR_ARG(err.message), STR_ARG(before));
        abort();
    }
    struct str after = doc_json(mem, again);
    if (!str_eq(before, after)) {
        fprintf(stderr, "%s\nbefore " STR_FMT "\nafter  " STR_FMT "\n", t->name, STR_ARG(before), STR_ARG(after));
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    if (size == 0)
        return 0;
    const struct type *t = schema_type(types[data[0] % (sizeof(types) / sizeof(*types))]);
    struct str text = str_mem((const char *)data + 1, size - 1), first, rest;
    str_cut(text, '\0', &first, &rest);
    struct doc *obj = doc_parse(mem, first, NULL, &err), *patch = doc_parse(mem, rest, NULL, &err);
    if (!obj || schema_read(mem, t, obj, FIELDS_WARN, NULL, NULL, &err) < 0)
        return 0;
    if (patch)
        schema_strategic_merge(mem, t, obj, patch, &err);
    else
        check_canonical(mem, t, obj);
    return 0;
}
