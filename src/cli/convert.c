/* cli/convert.c - `sampan convert FILE -o json|yaml|protobuf`: one object from any form into any other, by the server's
 * own tables. */
#include <stdio.h>

#include "base/io.h"
#include "cli/cli.h"
#include "schema/schema.h"

enum { FILE_BYTES_MAX = 64 << 20 };

static struct doc *read_object(struct args *a, struct str bytes, struct err *err)
{
    struct doc *d = NULL;
    if (str_starts(bytes, str_mem("k8s\0", 4)))
        return schema_decode_pb(a->mem, bytes, &d, err) < 0 ? NULL : d;
    struct str text = str_trim(bytes);
    return text.len && text.ptr[0] == '{' ? doc_parse(a->mem, bytes, NULL, err)
                                          : doc_parse_yaml(a->mem, bytes, NULL, NULL, err);
}

static const struct type *type_of(const struct doc *d)
{
    struct str group, version, api_version = doc_str(d, "apiVersion"), kind = doc_str(d, "kind");
    if (!str_cut(api_version, '/', &group, &version))
        version = api_version, group = STR_NULL;
    const struct resource *r = schema_kind(group, version, kind);
    return r ? r->type : NULL;
}

static int write_object(struct args *a, const struct type *t, const struct doc *d)
{
    struct sb out = SB(a->mem);
    const char *form = arg(a, "output");
    if (!strcmp(form, "json"))
        doc_json_pretty(&out, d, 4), sb_addc(&out, '\n');
    else if (!strcmp(form, "yaml"))
        doc_yaml(&out, d);
    else if (!strcmp(form, "protobuf"))
        schema_encode_pb(&out, t, d);
    else
        return cli_fail("--output: \"%s\" is none of json, yaml, protobuf", form), EXIT_USAGE;
    return fwrite(out.ptr, 1, out.len, stdout) == out.len && fflush(stdout) == 0
               ? 0
               : cli_fail("standard output: can't write");
}

static int run(struct args *a)
{
    struct err err = ERR(a->mem);
    struct str bytes;
    const char *file = strcmp(a->rest[0], "-") ? a->rest[0] : "/dev/stdin";
    int r = io_read_whole(a->mem, file, FILE_BYTES_MAX, &bytes);
    if (r < 0)
        return cli_fail("%s: %s", a->rest[0], strerror(-r));
    struct doc *d = read_object(a, bytes, &err);
    if (!d)
        return cli_fail("%s: %.*s", a->rest[0], STR_ARG(err.message));
    const struct type *t = type_of(d);
    if (!t)
        return cli_fail("%s: no kind \"%.*s\" is known in version \"%.*s\"", a->rest[0], STR_ARG(doc_str(d, "kind")),
                        STR_ARG(doc_str(d, "apiVersion")));
    if (schema_read(a->mem, t, d, FIELDS_STRICT, NULL, NULL, &err) < 0)
        return cli_fail("%s: %.*s", a->rest[0], STR_ARG(err.message));
    schema_order(a->mem, t, d);
    return write_object(a, t, d);
}

static const struct option_row options[] = {{"output", "json|yaml|protobuf", "form to write; also -o", "json"},
                                            {NULL, NULL, NULL, NULL}};
const struct command command_convert = {
    "convert", "FILE", "convert an object between JSON, YAML and protobuf", options, run, 1, 1};
