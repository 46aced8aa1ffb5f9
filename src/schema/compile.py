#!/usr/bin/env python3
"""Compile src/schema/kinds/*.kinds into one C file of constant tables (the notation: kinds/README.md).

usage: compile.py OUT.c FILE.kinds...

Every mistake in the notation is an error here, with file and line, never a surprise at run time.
"""
import os
import re
import sys

BUILTIN = {
    "string": "STRING", "bool": "BOOL", "int32": "INT32", "int64": "INT64", "double": "DOUBLE", "bytes": "BYTES",
    "Quantity": "QUANTITY", "IntOrString": "INT_OR_STRING", "Time": "TIME", "MicroTime": "MICRO_TIME",
    "Duration": "DURATION", "RawExtension": "RAW", "FieldsV1": "FIELDS_V1", "JSON": "JSON",
}
# Go structs: omitempty never drops them, so a value (not a pointer) is always written.
VALUE_STRUCTS = {"STRUCT", "QUANTITY", "INT_OR_STRING", "TIME", "MICRO_TIME", "DURATION", "RAW", "FIELDS_V1", "JSON",
                 "EITHER"}
VERBS = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "connect"]
VERB_BITS = {v: "VERB_" + ("DELETE_COLLECTION" if v == "deletecollection" else v.upper()) for v in VERBS}
FIELDS_MAX = 96  # SCHEMA_FIELDS_MAX in tables.h
TOKEN = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s"])+')


class Mistake(Exception):
    pass


class Field:
    pass


class Type:
    """A named type. rows: Field or (inlined type name, pb number)."""

    def __init__(self, gv, name, kind, where):
        self.gv, self.short, self.name, self.kind, self.where = gv, name, gv + "." + name, kind, where
        self.rows, self.values, self.alias, self.opts, self.fields, self.inlines = [], None, None, {}, None, []
        self.wrapped = False


class Resource:
    pass


class Notation:
    def __init__(self):
        self.types, self.groups, self.resources, self.gates = {}, {}, [], []
        self.gv = self.here = None

    # ---- reading
    def read(self, path):
        item = None
        for number, line in enumerate(open(path, encoding="utf-8"), 1):
            where = "%s:%d" % (path, number)
            text = re.sub(r"(^|\s)#.*$", "", line.rstrip())
            if not text.strip():
                continue
            try:
                words = TOKEN.findall(text)
                if not text[0].isspace():
                    item = self.head(words, where)
                elif isinstance(item, Type):
                    self.row(item, words, where)
                elif isinstance(item, Resource):
                    self.resource_row(item, words)
                else:
                    raise Mistake("an indented line that belongs to nothing")
            except Mistake as e:
                sys.exit("%s: %s" % (where, e))

    def head(self, words, where):
        word = words[0]
        if word == "group":
            self.gv = words[1]
            self.groups[self.gv] = "" if words[3] == "v1" else words[3].rpartition("/")[0]
            return None
        if word == "gate":
            self.gates.append((words[1], words[2], words[3] == "on", "locked" in words[4:]))
            return None
        if word == "resource":
            r = Resource()
            r.gv, r.where, r.name, r.kind, r.flags = self.gv, where, words[1], words[2], words[3:]
            for f in r.flags:
                if f not in ("namespaced", "cluster", "status", "generation", "unserved", "volatile"):
                    raise Mistake("unknown flag " + f)
            r.subs, r.columns, r.opts = [], [], {}
            self.resources.append(r)
            return r
        if word not in ("type", "either", "enum", "string", "alias"):
            raise Mistake("unknown word " + word)
        kind = {"type": "STRUCT", "either": "EITHER", "enum": "STRING", "string": "STRING", "alias": "ALIAS"}[word]
        t = Type(self.gv, words[1], kind, where)
        if t.name in self.types:
            raise Mistake("%s is declared twice" % t.name)
        rest = words[2:]
        if word == "alias":
            t.alias, t.wrapped = rest[1], "wrapped" in rest[2:]
        elif word in ("enum", "string"):
            values = [w.strip('"') for w in rest[1:] if w != "|"]
            t.values = values if word == "enum" else None
        else:
            for w in rest:
                k, _, v = w.partition("=")
                if k not in ("check", "defaults"):
                    raise Mistake("unknown option " + w)
                t.opts[k] = v
        self.types[t.name] = t
        return t

    def row(self, t, words, where):
        if words[0] == "<inline>":
            number = int(words[2][1:]) if len(words) > 2 else 0
            t.rows.append((words[1], number))
            return
        f = Field()
        f.where, f.name, f.type, f.opts = where, words[0], words[1], {}
        f.optional = f.name.endswith("?")
        f.name = f.name.rstrip("?")
        f.ptr = f.type.startswith("*")
        f.type = f.type.lstrip("*")
        f.number, rest = 0, words[2:]
        if rest and re.fullmatch(r"=\d+", rest[0]):
            f.number, rest = int(rest[0][1:]), rest[1:]
        for w in rest:
            k, eq, v = w.partition("=")
            if k not in ("patch", "key", "list", "keys", "map", "struct", "default", "gate", "min", "max", "required", "immutable",
                         "deprecated", "check", "always", "omitzero", "values"):
                raise Mistake("unknown marker " + w)
            f.opts[k] = v if eq else True
        t.rows.append(f)

    def resource_row(self, r, words):
        word, rest = words[0], words[1:]
        if word == "sub":
            if len(rest) > 1 and "." in rest[-1]:
                body, rest = rest[-1], rest[:-1]
            else:
                body = None
            r.subs.append((rest[0], rest[1:], body))
        elif word == "column":
            r.columns.append(rest)
        elif word in ("verbs", "short", "categories", "select", "singular", "cells", "prepare_create", "prepare_update",
                      "validate", "validate_status", "name_rule", "stored_as", "to_stored", "from_stored"):
            r.opts[word] = rest
        else:
            raise Mistake("unknown word " + word)

    # ---- resolving
    def find(self, gv, name):
        if name.count(".") < 2:
            name = gv + "." + name
        if name not in self.types:
            raise Mistake("no type " + name)
        return self.types[name]

    def expand(self, t):
        """Fields with the inlined ones in their place; those have no number of their own (the part is a message)."""
        if t.fields is not None:
            return t.fields
        t.fields, seen, numbers = [], set(), set()
        for row in t.rows:
            if isinstance(row, Field):
                part = [(row, t.gv, row.number)]
                number = row.number
            else:
                inner = self.find(t.gv, row[0])
                part = [(f, gv, 0) for f, gv, _ in self.expand(inner)]
                number = row[1]
                if number:
                    t.inlines.append((number, inner.name))
            if number and number in numbers:
                raise Mistake("%s: number %d twice" % (t.name, number))
            numbers.add(number)
            for f, gv, n in part:
                if f.name in seen:
                    raise Mistake("%s: field %s twice" % (t.name, f.name))
                seen.add(f.name)
                t.fields.append((f, gv, n))
        if len(t.fields) > FIELDS_MAX:
            raise Mistake("%s: more than %d fields" % (t.name, FIELDS_MAX))
        return t.fields


def c_str(s):
    return "NULL" if s is None else '"%s"' % s.replace("\\", "\\\\").replace('"', '\\"')


class Writer:
    """Turns a Notation into C."""

    def __init__(self, n):
        self.n = n
        self.ids, self.order, self.anon = {}, [], {}
        self.index, self.index_seen = [], {}
        self.lists, self.functions = {}, {"schema_check_fn": set(), "schema_default_fn": set(), "cells": set(), "prepare_create": set(),
                                          "prepare_update": set(), "convert": set()}
        self.out = []

    def strings(self, values):
        """A NULL-terminated list of strings; equal lists are shared."""
        if not values:
            return "NULL"
        key = tuple(values)
        if key not in self.lists:
            self.lists[key] = "list_%d" % len(self.lists)
        return self.lists[key]

    def indexes(self, values):
        key = tuple(values)
        if key not in self.index_seen:
            self.index_seen[key] = len(self.index)
            self.index += values
        return "&indexes[%d]" % self.index_seen[key]

    def function(self, kind, name):
        if not name:
            return "NULL"
        self.functions[kind].add(name)
        return name

    def type_key(self, gv, text):
        """The key of a type expression: a name, a builtin, or a list or map of one. Aliases are followed."""
        if text.startswith("[]"):
            return "[]" + self.type_key(gv, text[2:])
        m = re.match(r"map\[string\](.+)", text)
        if m:
            return "map:" + self.type_key(gv, m.group(1))
        if text in BUILTIN:
            return text
        t = self.n.find(gv, text)
        if t.kind == "ALIAS":
            return "@" + t.name + "@" + self.type_key(t.gv, t.alias)
        return t.name

    def collect(self):
        names = sorted((t.name for t in self.n.types.values() if t.kind != "ALIAS"), key=lambda s: s.encode())
        self.named = len(names)
        self.keys = names[:]
        self.pos = {k: i for i, k in enumerate(names)}

        def need(key):
            if key in self.pos:
                return
            self.pos[key] = len(self.keys)
            self.keys.append(key)
            if key.startswith("@"):
                need_elem = key.split("@", 2)[2]
                need(re.sub(r"^(\[\]|map:)", "", need_elem))
            elif key.startswith("[]") or key.startswith("map:"):
                need(re.sub(r"^(\[\]|map:)", "", key))
        for t in self.n.types.values():
            if t.kind in ("STRUCT", "EITHER"):
                for f, gv, _ in self.n.expand(t):
                    try:
                        need(self.type_key(gv, f.type))
                    except Mistake as e:
                        sys.exit("%s: %s" % (f.where, e))
            elif t.kind == "ALIAS":
                need(self.type_key(t.gv, t.short))

    def kind_of(self, key):
        if key.startswith("@"):
            key = key.split("@", 2)[2]
        if key.startswith("[]"):
            return "LIST"
        if key.startswith("map:"):
            return "MAP"
        if key in BUILTIN:
            return BUILTIN[key]
        return self.n.types[key].kind

    def types_with(self, field_option, type_option=None):
        """The types that have such a field (or are such a type) anywhere below: walks of the tables enter no others."""
        found, grew = set(), True
        while grew:
            grew = False
            for key in self.keys:
                if key not in found and self.has_below(key, found, field_option, type_option):
                    found.add(key)
                    grew = True
        return found

    def has_below(self, key, found, field_option, type_option):
        expr = key.split("@", 2)[2] if key.startswith("@") else key
        if expr.startswith("[]") or expr.startswith("map:"):
            return re.sub(r"^(\[\]|map:)", "", expr) in found
        t = self.n.types.get(expr)
        if not t or t.kind != "STRUCT":
            return False
        return type_option in t.opts or any(field_option in f.opts or self.type_key(gv, f.type) in found
                                            for f, gv, _ in self.n.expand(t))

    def field(self, f, gv, number):
        key = self.type_key(gv, f.type)
        kind, o, flags = self.kind_of(key), f.opts, []
        if f.optional:
            flags.append("FIELD_OPTIONAL")
        if f.ptr:
            flags.append("FIELD_PTR")
        always = not f.optional or "always" in o or (kind in VALUE_STRUCTS and not f.ptr)
        if always and "omitzero" not in o:
            flags.append("FIELD_ALWAYS")
        for p in (o.get("patch") or "").split(","):
            if p:
                flags.append({"merge": "FIELD_PATCH_MERGE", "retainKeys": "FIELD_PATCH_RETAIN_KEYS", "replace": "FIELD_PATCH_REPLACE"}[p])
        if o.get("map") == "atomic" or o.get("struct") == "atomic":
            flags.append("FIELD_MAP_ATOMIC")
        for m in ("deprecated", "required", "immutable"):
            if m in o:
                flags.append("FIELD_" + m.upper())
        if number == 0 and f.number:
            flags.append("FIELD_INLINED")
        elem = self.n.types.get(re.sub(r"^@[^@]*@", "", key))
        values = o["values"].split("|") if "values" in o else (elem.values if elem else None)
        parts = [c_str(f.name), str(len(f.name)), str(number), "|".join(flags) or "0",
                 {None: "0", "atomic": "LIST_ATOMIC", "set": "LIST_SET", "map": "LIST_MAP"}[o.get("list")],
                 "&types[%d]" % self.pos[key]]
        more = [("patch_key", c_str(o.get("key")) if "key" in o else None),
                ("list_keys", self.strings(o["keys"].split(",")) if "keys" in o else None),
                ("dflt", c_str(o.get("default")) if "default" in o else None),
                ("gate", "&schema_gates[%d]" % self.gate(o["gate"]) if "gate" in o else None),
                ("enums", self.strings(values) if values else None),
                ("min", o.get("min")), ("max", o.get("max")),
                ("check", self.function("schema_check_fn", o.get("check")) if "check" in o else None)]
        if o.get("list") == "map" and "keys" not in o:
            raise Mistake("list=map needs keys=")
        return "{%s%s}" % (", ".join(parts), "".join(", .%s = %s" % (k, v) for k, v in more if v))

    def gate(self, name):
        for i, g in enumerate(self.gates):
            if g[0] == name:
                return i
        raise Mistake("no gate " + name)

    def write_types(self):
        fields, rows, inlines = [], [], []
        for key in self.keys:
            shown, expr = None, key
            if key.startswith("@"):
                _, shown, expr = key.split("@", 2)
            if expr.startswith("[]") or expr.startswith("map:"):
                kind = "LIST" if expr.startswith("[]") else "MAP"
                elem = self.pos[re.sub(r"^(\[\]|map:)", "", expr)]
                more = ", .pb_wrapped = true" if shown and self.n.types[shown].wrapped else ""
                more += ", .has_defaults = true" if key in self.defaulted else ""
                more += ", .has_gates = true" if key in self.gated else ""
                rows.append("{.name = %s, .kind = TYPE_%s, .elem = &types[%d]%s}" % (c_str(shown), kind, elem, more))
                continue
            if expr in BUILTIN:
                rows.append("{.kind = TYPE_%s}" % BUILTIN[expr])
                continue
            t = self.n.types[expr]
            row = [".name = " + c_str(t.name), ".kind = TYPE_" + t.kind]
            if t.kind == "STRING":
                if t.values:
                    row.append(".enums = " + self.strings(t.values))
            else:
                ex = self.n.expand(t)
                row += [".fields = &fields[%d]" % len(fields), ".field_count = %d" % len(ex)]
                by_name = sorted(range(len(ex)), key=lambda i: ex[i][0].name.encode())
                by_number = [(n, i) for i, (f, gv, n) in enumerate(ex) if n]
                by_number += [(n, len(ex) + i) for i, (n, _) in enumerate(t.inlines)]
                by_number = [i for n, i in sorted(by_number)]
                row += [".by_name = " + self.indexes(by_name), ".by_number = " + self.indexes(by_number),
                        ".number_count = %d" % len(by_number)]
                if t.inlines:
                    row.append(".inlines = &inlines[%d]" % len(inlines))
                    inlines += ["{&types[%d], %d}" % (self.pos[name], n) for n, name in t.inlines]
                if expr in self.defaulted:
                    row.append(".has_defaults = true")
                if expr in self.gated:
                    row.append(".has_gates = true")
                if "check" in t.opts:
                    row.append(".check = " + self.function("schema_check_fn", t.opts["check"]))
                if "defaults" in t.opts:
                    row.append(".defaults = " + self.function("schema_default_fn", t.opts["defaults"]))
                for f, gv, n in ex:
                    try:
                        fields.append(self.field(f, gv, n) + ", /* %d %s */" % (len(fields), t.name))
                    except Mistake as e:
                        sys.exit("%s: %s" % (f.where, e))
            rows.append("{%s}" % ", ".join(row))
        body = []
        body.append("static const struct type types[%d];" % len(rows))
        body.append("static const struct type_inline inlines[] = {\n%s};" % "".join("    %s,\n" % i for i in inlines))
        body.append("static const struct field fields[] = {\n%s};" % "".join("    %s\n" % f for f in fields))
        body.append("static const struct type types[%d] = {\n%s};" % (len(rows), "".join("    %s,\n" % r for r in rows)))
        body.append("const struct type *const schema_types = types;\nconst int schema_type_count = %d;" % self.named)
        return "\n\n".join(body)

    def verbs(self, words):
        if words == ["all"]:
            words = VERBS[:-1]
        for w in words:
            if w not in VERB_BITS:
                raise Mistake("unknown verb " + w)
        return " | ".join(VERB_BITS[w] for w in words) or "0"

    def write_resources(self):
        served = [r for r in self.n.resources if "unserved" not in r.flags]
        for r in served:
            r.group, r.version = self.n.groups[r.gv], r.gv.split(".")[1]
        served.sort(key=lambda r: (r.group, r.version, r.name))
        at = {(r.gv, r.name): i for i, r in enumerate(served)}
        subs, columns, rows = [], [], []
        for r in served:
            try:
                rows.append(self.resource(r, at, subs, columns))
            except Mistake as e:
                sys.exit("%s: %s" % (r.where, e))
        body = []
        for name, kind, items in (("subresources", "subresource", subs), ("columns", "column", columns)):
            if items:
                body.append("static const struct %s %s[] = {\n%s};" % (kind, name, "".join("    %s,\n" % i for i in items)))
        body.append("static const struct resource resources[%d];" % len(rows))
        body.append("static const struct resource resources[%d] = {\n%s};" % (len(rows), "".join("    %s,\n" % r for r in rows)))
        body.append("const struct resource *const schema_resources[] = {\n    %s, NULL,\n};"
                    % ", ".join("&resources[%d]" % i for i in range(len(rows))))
        body.append("const int schema_resource_count = %d;" % len(rows))
        groups = sorted(self.n.groups.items(), key=lambda g: (g[1], g[0]))
        body.append("const struct schema_group schema_groups[] = {\n%s    {0},\n};"
                    % "".join("    {%s, %s, %s},\n" % (c_str(api), c_str(gv.split(".")[1]), c_str(gv)) for gv, api in groups))
        return "\n\n".join(body)

    def resource(self, r, at, subs, columns):
        o = r.opts
        api = "%s/%s" % (r.group, r.version) if r.group else r.version
        row = [".group = " + c_str(r.group), ".version = " + c_str(r.version), ".name = " + c_str(r.name),
               ".singular = " + c_str(o.get("singular", [r.kind.lower()])[0]), ".kind = " + c_str(r.kind),
               ".list_kind = " + c_str(r.kind + "List"), ".api_version = " + c_str(api),
               ".verbs = " + self.verbs(o.get("verbs", ["all"])), ".type = &types[%d]" % self.pos[self.n.find(r.gv, r.kind).name]]
        for flag, member in (("namespaced", "namespaced"), ("status", "has_status"), ("generation", "has_generation"),
                             ("volatile", "volatile_writes")):
            if flag in r.flags:
                row.append(".%s = true" % member)
        for word, member in (("short", "short_names"), ("categories", "categories"), ("select", "selectable")):
            if word in o:
                row.append(".%s = %s" % (member, self.strings(o[word])))
        if r.subs:
            row += [".subresources = &subresources[%d]" % len(subs), ".subresource_count = %d" % len(r.subs)]
        for name, verbs, body in r.subs:
            s = [c_str(name), self.verbs(verbs)]
            if body:
                t = self.n.find(r.gv, body)
                kind, gv = t.short, t.gv
                own = gv == r.gv
                s += ["NULL, NULL" if own else "%s, %s" % (c_str(self.n.groups[gv]), c_str(gv.split(".")[1])), c_str(kind),
                      "&types[%d]" % self.pos[t.name]]
            else:
                s += ["NULL, NULL", c_str(r.kind), "NULL"]
            subs.append("{%s}" % ", ".join(s))
        if r.columns:
            row += [".columns = &columns[%d]" % len(columns), ".column_count = %d" % len(r.columns)]
        for words in r.columns:
            name, kind = words[0].strip('"'), words[1].split("/")
            priority = next((w[5:] for w in words[2:] if w.startswith("wide=")), "1" if "wide" in words[2:] else "0")
            text = next((w for w in words[2:] if w.startswith('"')), '""')
            columns.append("{%s, %s, %s, %s, %s}" % (c_str(name), c_str(kind[0]), c_str(kind[1] if len(kind) > 1 else ""), text, priority))
        if "stored_as" in o:
            gv, _, name = o["stored_as"][0].rpartition(".")
            if (gv, name) not in at:
                raise Mistake("stored_as: no resource " + o["stored_as"][0])
            row.append(".stored_as = &resources[%d]" % at[(gv, name)])
        for word, kind in (("to_stored", "convert"), ("from_stored", "convert"), ("cells", "cells"), ("prepare_create", "prepare_create"),
                           ("prepare_update", "prepare_update"), ("validate", "schema_check_fn"), ("validate_status", "schema_check_fn")):
            if word in o:
                row.append(".%s = %s" % (word, self.function(kind, o[word][0])))
        if "name_rule" in o:
            row.append(".name_rule = " + c_str(o["name_rule"][0]))
        return "{%s}" % ", ".join(row)

    def write_gates(self):
        rows = ["{%s, GATE_%s, %s, %s, &gate_state[%d]}" % (c_str(n), stage.upper(), "true" if on else "false",
                                                         "true" if locked else "false", i)
                for i, (n, stage, on, locked) in enumerate(self.gates)]
        states = ", ".join("true" if g[2] else "false" for g in self.gates)
        return ("static bool gate_state[] = {%s};\nconst struct feature_gate schema_gates[] = {\n%s};\nconst int schema_gate_count = %d;"
                % (states, "".join("    %s,\n" % r for r in rows), len(rows)))

    def prototypes(self):
        forms = {"schema_check_fn": "extern schema_check_fn %s;", "schema_default_fn": "extern schema_default_fn %s;",
                 "cells": "void %s(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells);",
                 "prepare_create": "void %s(struct rule_ctx *c, struct doc *obj);",
                 "prepare_update": "void %s(struct rule_ctx *c, struct doc *obj, const struct doc *old);",
                 "convert": "void %s(struct arena *mem, struct doc *obj);"}
        return "\n".join(forms[kind] % name for kind in self.functions for name in sorted(self.functions[kind]))

    def text(self):
        self.gates = sorted(self.n.gates)
        self.collect()
        self.defaulted = self.types_with("default", "defaults")
        self.gated = self.types_with("gate")
        types, resources, gates = self.write_types(), self.write_resources(), self.write_gates()
        lists = "\n".join("static const char *const %s[] = {%s, NULL};" % (name, ", ".join(c_str(v) for v in key))
                          for key, name in self.lists.items())
        index = "static const uint16_t indexes[] = {%s};" % ", ".join(map(str, self.index or [0]))
        return "\n\n".join(["/* Made by src/schema/compile.py from src/schema/kinds/; do not edit. */\n#include \"schema/tables.h\"",
                             self.prototypes(), gates, lists, index, types, resources]) + "\n"


def main(args):
    n = Notation()
    for path in args[1:]:
        n.read(path)
    try:
        text = Writer(n).text()
    except Mistake as e:
        sys.exit("kinds: %s" % e)
    tmp = args[0] + ".tmp"
    with open(tmp, "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(tmp, args[0])


if __name__ == "__main__":
    main(sys.argv[1:])
