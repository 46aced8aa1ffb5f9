#include "node/net/dns_zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct arena *mem;
static struct dns_zone *zone;

struct given_host {
    uint64_t address;
    const char *name;
};

static void put(const char *ns, const char *name, uint64_t kind, uint64_t ip, const char *external,
                const struct given_host *hosts, size_t n)
{
    struct ipc_body b = IPC_BODY(mem);
    ipc_put_str(&b, str_of(ns)), ipc_put_str(&b, str_of(name)), ipc_put_u64(&b, kind), ipc_put_u64(&b, ip);
    ipc_put_str(&b, str_of(external));
    ipc_put_u64(&b, kind ? 1 : 0);
    if (kind)
        ipc_put_str(&b, STR("http")), ipc_put_u64(&b, 80), ipc_put_u64(&b, 6);
    ipc_put_u64(&b, n);
    for (size_t i = 0; i < n; i++)
        ipc_put_u64(&b, hosts[i].address), ipc_put_str(&b, str_of(hosts[i].name));
    assert_true(dns_zone_message(zone, IPC_DNS_SERVICE, sb_str(&b.sb)));
}

static int setup(void **state)
{
    static const struct given_host hosts[] = {{0x0a2a0005, "db-0"}, {0x0a2a0006, ""}};
    mem = arena_new(), zone = dns_zone_new();
    struct ipc_body b = IPC_BODY(mem);
    ipc_put_str(&b, STR("cluster.local"));
    ipc_put_u64(&b, 0x0a2b0000), ipc_put_u64(&b, 16), ipc_put_u64(&b, 0x0a2a0000), ipc_put_u64(&b, 16);
    assert_true(dns_zone_message(zone, IPC_DNS_RESET, sb_str(&b.sb)));
    put("default", "web", 1, 0x0a2b0032, "", NULL, 0);
    put("default", "db", 2, 0, "", hosts, 2);
    put("other", "out", 1, 0, "example.org", NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    zone = dns_zone_free(zone), mem = arena_free(mem);
    return 0;
}

static struct str question(const char *name, uint16_t type, const char *opt, size_t opt_len)
{
    struct dns_name n;
    struct sb out = SB(mem);
    const char head[DNS_HEADER] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, opt_len ? 1 : 0};
    assert_true(dns_name_of(mem, str_of(name), &n));
    const char tail[4] = {(char)(type >> 8), (char)type, 0, 1};
    sb_add(&out, str_mem(head, sizeof(head)));
    struct str wire = dns_name_wire(mem, &n);
    char *at = (char *)(uintptr_t)wire.ptr;
    for (size_t i = 0; name[i]; i++) /* the spelling as it was given: byte i + 1, behind the first length */
        if (name[i] != '.')
            at[i + 1] = name[i];
    sb_add(&out, wire);
    sb_add(&out, str_mem(tail, sizeof(tail)));
    sb_add(&out, str_mem(opt, opt_len));
    return sb_str(&out);
}

static struct str ask(struct str message, size_t max, enum dns_verdict *ret, struct dns_name *target)
{
    struct dns_query q;
    struct str m = STR_NULL;
    *ret = dns_parse_query(mem, message, &q)
               ? dns_zone_answer(zone, mem, &q, max ? max : q.udp_max, /* turn= */ 0, &m, target)
               : DNS_IGNORE;
    return m;
}

struct row {
    const char *name;
    uint16_t type;
    int rcode, answers, authorities; /* rcode -1: forwarded; -2: an ExternalName */
};

static void check(const struct row *r)
{
    enum dns_verdict v;
    struct dns_name target;
    struct str m = ask(question(r->name, r->type, NULL, 0), 0, &v, &target);
    print_message("%s %d\n", r->name, r->type);
    assert_int_equal(v, r->rcode == -1 ? DNS_FORWARD : r->rcode == -2 ? DNS_CHASE : DNS_ANSWER);
    if (v != DNS_ANSWER)
        return;
    assert_int_equal(m.ptr[0] << 8 | m.ptr[1], 0x1234);
    assert_int_equal((uint8_t)m.ptr[2] & 0x87, 0x85); /* answer, authoritative, RD */
    assert_int_equal(dns_rcode(m), r->rcode);
    assert_int_equal(m.ptr[7], r->answers);
    assert_int_equal(m.ptr[9], r->authorities);
}

static void test_answers(void **state)
{
    static const struct row rows[] = {
        {"web.default.svc.cluster.local", DNS_A, 0, 1, 0},
        {"WEB.Default.SVC.cluster.LOCAL", DNS_A, 0, 1, 0},
        {"web.default.svc.cluster.local", DNS_AAAA, 0, 0, 1}, /* NODATA */
        {"none.default.svc.cluster.local", DNS_A, DNS_NXDOMAIN, 0, 1},
        {"web.other.svc.cluster.local", DNS_A, DNS_NXDOMAIN, 0, 1},
        {"default.svc.cluster.local", DNS_A, 0, 0, 1}, /* an empty non-terminal */
        {"nowhere.svc.cluster.local", DNS_A, DNS_NXDOMAIN, 0, 1},
        {"svc.cluster.local", DNS_A, 0, 0, 1},
        {"cluster.local", DNS_SOA, 0, 1, 0},
        {"cluster.local", DNS_A, 0, 0, 1},
        {"db.default.svc.cluster.local", DNS_A, 0, 2, 0},
        {"db-0.db.default.svc.cluster.local", DNS_A, 0, 1, 0},
        {"10-42-0-6.db.default.svc.cluster.local", DNS_A, 0, 1, 0},
        {"10-42-0-5.db.default.svc.cluster.local", DNS_A, DNS_NXDOMAIN, 0, 1}, /* it has a name */
        {"db-1.db.default.svc.cluster.local", DNS_A, DNS_NXDOMAIN, 0, 1},
        {"_http._tcp.web.default.svc.cluster.local", DNS_SRV, 0, 1, 0},
        {"_http._tcp.db.default.svc.cluster.local", DNS_SRV, 0, 2, 0},
        {"_http._tcp.web.default.svc.cluster.local", DNS_A, 0, 0, 1},
        {"_http._udp.web.default.svc.cluster.local", DNS_SRV, DNS_NXDOMAIN, 0, 1},
        {"_tcp.web.default.svc.cluster.local", DNS_SRV, 0, 0, 1},
        {"10-42-0-9.default.pod.cluster.local", DNS_A, 0, 1, 0},
        {"10-42-0-999.default.pod.cluster.local", DNS_A, DNS_NXDOMAIN, 0, 1},
        {"50.0.43.10.in-addr.arpa", DNS_PTR, 0, 1, 0},
        {"5.0.42.10.in-addr.arpa", DNS_PTR, 0, 1, 0},
        {"99.0.43.10.in-addr.arpa", DNS_PTR, DNS_NXDOMAIN, 0, 1}, /* of our range: not told to others */
        {"4.4.8.8.in-addr.arpa", DNS_PTR, -1, 0, 0},
        {"dns-version.cluster.local", DNS_TXT, 0, 1, 0},
        {"out.other.svc.cluster.local", DNS_A, -2, 0, 0},
        {"out.other.svc.cluster.local", DNS_CNAME, 0, 1, 0},
        {"example.org", DNS_A, -1, 0, 0},
        {"notcluster.local", DNS_A, -1, 0, 0},
    };
    struct ipc_body empty = IPC_BODY(mem);
    dns_zone_message(zone, IPC_DNS_SYNCED, sb_str(&empty.sb));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check(&rows[i]);
    put("default", "web", 0, 0, "", NULL, 0); /* gone */
    check(&(struct row){"web.default.svc.cluster.local", DNS_A, DNS_NXDOMAIN, 0, 1});
    put("other", "out", 0, 0, "", NULL, 0);
    check(&(struct row){"other.svc.cluster.local", DNS_A, DNS_NXDOMAIN, 0, 1});
}

static void test_before_the_list(void **state)
{
    enum dns_verdict v;
    struct dns_name t;
    assert_int_equal(dns_rcode(ask(question("none.default.svc.cluster.local", DNS_A, NULL, 0), 0, &v, &t)),
                     DNS_SERVFAIL);
    assert_int_equal(dns_rcode(ask(question("web.default.svc.cluster.local", DNS_A, NULL, 0), 0, &v, &t)), 0);
}

static void test_keeps_the_spelling(void **state)
{
    enum dns_verdict v;
    struct dns_name t;
    struct str q = question("WeB.default.svc.cluster.local", DNS_A, NULL, 0);
    struct str m = ask(q, 0, &v, &t);
    assert_memory_equal(m.ptr + DNS_HEADER, q.ptr + DNS_HEADER, q.len - DNS_HEADER);
}

static void test_truncates_and_edns(void **state)
{
    enum dns_verdict v;
    struct dns_name t;
    struct given_host hosts[100];
    for (int i = 0; i < 100; i++)
        hosts[i] = (struct given_host){0x0a2a0000u + (unsigned)i, ""};
    put("default", "big", 2, 0, "", hosts, 100); /* 16 bytes each */
    struct str m = ask(question("big.default.svc.cluster.local", DNS_A, NULL, 0), 0, &v, &t);
    assert_true(m.len <= 512 && (m.ptr[2] & 2) && m.ptr[7] == 0);
    static const char opt[] = {0, 0, 41, 4, 0xd0 - 256, 0, 0, 0, 0, 0, 0},
                      opt_v1[] = {0, 0, 41, 4, 0, 0, 1, 0, 0, 0, 0};
    m = ask(question("big.default.svc.cluster.local", DNS_A, opt, sizeof(opt)), 0, &v, &t);
    assert_true(m.len <= 1232 && (m.ptr[2] & 2) && m.ptr[11] == 1); /* 1,600 bytes do not fit either */
    m = ask(question("big.default.svc.cluster.local", DNS_A, NULL, 0), DNS_MESSAGE_MAX, &v, &t);
    assert_true(!(m.ptr[2] & 2) && m.ptr[7] == 100);
    m = ask(question("web.default.svc.cluster.local", DNS_A, opt_v1, sizeof(opt_v1)), 0, &v, &t);
    assert_int_equal(dns_rcode(m), 0); /* BADVERS is 16: the rest stands in OPT */
    assert_int_equal(m.ptr[m.len - 6], 1);
}

static void test_malformed(void **state)
{
    enum dns_verdict v;
    struct dns_name t;
    static const struct {
        struct str message;
        int rcode; /* -1: no answer at all */
    } rows[] = {
        {{"", 0}, -1},
        {{"\1\2\1\0\0\1", 6}, -1},
        {{"\1\2\x81\0\0\1\0\0\0\0\0\0", 12}, -1},                        /* an answer */
        {{"\1\2\1\0\0\1\0\0\0\0\0\0", 12}, DNS_FORMERR},                 /* no question */
        {{"\1\2\1\0\0\2\0\0\0\0\0\0\0\0\1\0\1", 17}, DNS_FORMERR},       /* two */
        {{"\1\2\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", 18}, DNS_FORMERR}, /* a pointer to itself */
        {{"\1\2\1\0\0\1\0\0\0\0\0\0\x3f"
          "ab\0\0\1\0\1",
          20},
         DNS_FORMERR},                                                     /* a label beyond the end */
        {{"\1\2\x29\0\0\1\0\0\0\0\0\0\0\0\1\0\1", 17}, DNS_NOTIMP},        /* UPDATE */
        {{"\1\2\1\0\0\1\0\0\0\0\0\1\0\0\1\0\1\0\0\x29", 20}, DNS_FORMERR}, /* half an OPT */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str m = ask(rows[i].message, 0, &v, &t);
        assert_int_equal(v, rows[i].rcode < 0 ? DNS_IGNORE : DNS_ANSWER);
        if (v == DNS_ANSWER)
            assert_int_equal(dns_rcode(m), rows[i].rcode);
    }
    assert_false(dns_zone_message(zone, IPC_DNS_SERVICE, STR("short")));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(test_answers), T(test_before_the_list), T(test_keeps_the_spelling),
                                       T(test_truncates_and_edns), T(test_malformed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
