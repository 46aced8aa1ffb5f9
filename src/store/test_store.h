/* store/test_store.h - objects and a recorder for the tests of this folder. */
#ifndef SAMPAN_STORE_TEST_STORE_H
#define SAMPAN_STORE_TEST_STORE_H

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/cache.h"
#include "store/store.h"

/* The tests bring their own resources, so that nothing here depends on the tables. */
static const struct resource test_pods = {
    .group = "", .version = "v1", .name = "pods", .kind = "Pod", .api_version = "v1", .namespaced = true};
static const struct resource test_deployments = {.group = "apps",
                                                 .version = "v1",
                                                 .name = "deployments",
                                                 .kind = "Deployment",
                                                 .api_version = "apps/v1",
                                                 .namespaced = true};
static const struct resource test_namespaces = {
    .group = "", .version = "v1", .name = "namespaces", .kind = "Namespace", .api_version = "v1"};

static inline struct obj *test_seal(const struct resource *res, const char *json)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct doc *d = doc_parse(mem, str_of(json), NULL, &err);
    assert_non_null(d);
    struct obj *o = obj_seal(res, d, 0, &err);
    if (!o)
        fail_msg(STR_FMT, STR_ARG(err.message));
    return o;
}

/* A pod of name in namespace "ns"; note goes into an annotation. */
static inline struct obj *test_pod(const char *name, const char *note)
{
    cleanup_arena struct arena *mem = arena_new();
    return test_seal(
        &test_pods,
        str_fmtz(mem,
                 "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"ns\","
                 "\"uid\":\"uid-%s\",\"creationTimestamp\":\"2026-01-02T03:04:05Z\",\"annotations\":{\"note\":\"%s\"}},"
                 "\"spec\":{\"nodeName\":\"n1\"}}",
                 name, name, note));
}

static inline struct store_op test_put(struct obj *o, uint64_t expect)
{
    return (struct store_op){.kind = STORE_PUT, .key = o->key, .expect_rev = expect, .obj = o};
}

static inline struct store_op test_del(struct obj *o, uint64_t expect)
{
    return (struct store_op){.kind = STORE_DELETE, .key = o->key, .expect_rev = expect, .obj = o};
}

/* What done said. */
struct test_result {
    bool called;
    int error, failed;
    uint64_t rev;
};
static inline void test_done(void *ctx, int error, int failed, uint64_t rev)
{
    struct test_result *r = ctx;
    assert_false(r->called);
    *r = (struct test_result){true, error, failed, rev};
}

#endif
