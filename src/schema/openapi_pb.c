/* schema/openapi_pb.c - the v2 document in the protobuf form of gnostic (openapiv2/OpenAPIv2.proto), which kubectl
 * before 1.27 asks for: definitions for validation and explain, paths for what a PATCH takes. Numbers are that file's.
 */
#include "doc/wire.h"
#include "schema/openapi_gen.h"

static void put_string(struct sb *out, uint32_t number, struct str s)
{
    if (s.len)
        wire_put_bytes(out, number, s);
}

static void put_strings(struct sb *out, uint32_t number, const struct doc *list)
{
    doc_each (s, list)
        wire_put_bytes(out, number, doc_string(s));
}

static void put_any(struct sb *out, uint32_t number, const struct doc *value)
{
    cleanup_arena struct arena *mem = arena_new();
    size_t at = wire_open(out, number);
    put_string(out, 2, doc_json(mem, value)); /* yaml; JSON is YAML */
    wire_close(out, at);
}

static void put_extensions(struct sb *out, uint32_t number, const struct doc *obj)
{
    doc_each (m, obj)
        if (str_starts(m->key, STR("x-"))) {
            size_t at = wire_open(out, number);
            put_string(out, 1, m->key);
            put_any(out, 2, m);
            wire_close(out, at);
        }
}

static void put_schema(struct sb *out, const struct doc *d);

static void put_schema_at(struct sb *out, uint32_t number, const struct doc *d)
{
    size_t at = wire_open(out, number);
    put_schema(out, d);
    wire_close(out, at);
}

static void put_named_schemas(struct sb *out, const struct doc *map)
{
    doc_each (m, map) {
        size_t at = wire_open(out, 1);
        put_string(out, 1, m->key);
        put_schema_at(out, 2, m);
        wire_close(out, at);
    }
}

static void put_schema(struct sb *out, const struct doc *d)
{
    const struct doc *dflt = doc_get(d, "default"), *extra = doc_get(d, "additionalProperties"),
                     *items = doc_get(d, "items");
    const struct doc *properties = doc_get(d, "properties");
    size_t at;
    put_string(out, 1, doc_str(d, "$ref"));
    put_string(out, 2, doc_str(d, "format"));
    put_string(out, 4, doc_str(d, "description"));
    if (dflt)
        put_any(out, 5, dflt);
    put_strings(out, 19, doc_get(d, "required"));
    doc_each (e, doc_get(d, "enum"))
        put_any(out, 20, e);
    if (extra) {
        at = wire_open(out, 21);
        put_schema_at(out, 1, extra);
        wire_close(out, at);
    }
    if (doc_str(d, "type").len) {
        at = wire_open(out, 22);
        put_string(out, 1, doc_str(d, "type"));
        wire_close(out, at);
    }
    if (items) {
        at = wire_open(out, 23);
        put_schema_at(out, 1, items);
        wire_close(out, at);
    }
    if (properties) {
        at = wire_open(out, 25);
        put_named_schemas(out, properties);
        wire_close(out, at);
    }
    put_extensions(out, 31, d);
}

/* ParametersItem > Parameter > NonBodyParameter or BodyParameter */
static void put_parameter(struct sb *out, uint32_t number, const struct doc *p)
{
    struct str in = doc_str(p, "in");
    size_t item = wire_open(out, number), parameter = wire_open(out, 1);
    if (str_is(in, "body")) {
        size_t body = wire_open(out, 1);
        put_string(out, 2, doc_str(p, "name"));
        put_string(out, 3, in);
        wire_put_uint(out, 4, 1);
        put_schema_at(out, 5, doc_get(p, "schema"));
        wire_close(out, body);
    } else {
        bool in_path = str_is(in, "path");
        size_t non_body = wire_open(out, 2), sub = wire_open(out, in_path ? 4 : 3);
        if (in_path)
            wire_put_uint(out, 1, 1);
        put_string(out, 2, in);
        put_string(out, 4, doc_str(p, "name"));
        put_string(out, in_path ? 5 : 6, doc_str(p, "type"));
        wire_close(out, sub);
        wire_close(out, non_body);
    }
    wire_close(out, parameter);
    wire_close(out, item);
}

static void put_responses(struct sb *out, const struct doc *responses)
{
    size_t all = wire_open(out, 9);
    doc_each (r, responses) {
        size_t named = wire_open(out, 1);
        put_string(out, 1, r->key);
        size_t value = wire_open(out, 2), response = wire_open(out, 1);
        put_string(out, 1, doc_str(r, "description"));
        if (doc_get(r, "schema")) {
            size_t item = wire_open(out, 2);
            put_schema_at(out, 1, doc_get(r, "schema"));
            wire_close(out, item);
        }
        wire_close(out, response);
        wire_close(out, value);
        wire_close(out, named);
    }
    wire_close(out, all);
}

static void put_operation(struct sb *out, uint32_t number, const struct doc *op)
{
    size_t at = wire_open(out, number);
    put_strings(out, 1, doc_get(op, "tags"));
    put_string(out, 5, doc_str(op, "operationId"));
    put_strings(out, 6, doc_get(op, "produces"));
    put_strings(out, 7, doc_get(op, "consumes"));
    doc_each (p, doc_get(op, "parameters"))
        put_parameter(out, 8, p);
    put_responses(out, doc_get(op, "responses"));
    put_strings(out, 10, doc_get(op, "schemes"));
    put_extensions(out, 13, op);
    wire_close(out, at);
}

static void put_path_item(struct sb *out, const struct doc *item)
{
    static const struct {
        const char *method;
        uint32_t number;
    } methods[] = {{"get", 2}, {"put", 3}, {"post", 4}, {"delete", 5}, {"patch", 8}};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (doc_get(item, methods[i].method))
            put_operation(out, methods[i].number, doc_get(item, methods[i].method));
    doc_each (p, doc_get(item, "parameters"))
        put_parameter(out, 9, p);
}

void openapi_v2_pb(struct sb *out)
{
    cleanup_arena struct arena *mem = arena_new();
    struct sb text = SB(mem);
    struct err err = ERR(mem);
    openapi_v2_json(&text);
    const struct doc *d = doc_parse(mem, sb_str(&text), NULL, &err), *info = doc_get(d, "info");
    put_string(out, 1, doc_str(d, "swagger"));
    size_t at = wire_open(out, 2);
    put_string(out, 1, doc_str(info, "title"));
    put_string(out, 2, doc_str(info, "version"));
    wire_close(out, at);
    at = wire_open(out, 8);
    doc_each (p, doc_get(d, "paths")) {
        size_t named = wire_open(out, 2);
        put_string(out, 1, p->key);
        size_t item = wire_open(out, 2);
        put_path_item(out, p);
        wire_close(out, item);
        wire_close(out, named);
    }
    wire_close(out, at);
    at = wire_open(out, 9);
    put_named_schemas(out, doc_get(d, "definitions"));
    wire_close(out, at);
}
