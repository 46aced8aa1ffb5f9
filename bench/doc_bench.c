/* Reads and writes one pod with doc/ and, in the same run and in turns, with json-c. Prints one JSON object a figure,
 * as bench/run gathers them. Usage: bench_doc POD.json [MILLISECONDS] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "doc/doc.h"

#ifdef HAVE_JSON_C
#include <json-c/json.h>
#endif

enum { ROUNDS = 9, BATCH = 50 };

/* One thing to measure; touches the text once. */
struct job {
    void (*run)(struct job *job);
    struct str text;
    struct arena *mem;
    const struct doc *doc;
    void *peer;
    uint64_t sink; /* keeps the compiler honest */
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* MB (10^6 bytes) a second over about `seconds`. */
static double rate(struct job *job, double seconds)
{
    double start = now_s(), took;
    size_t runs = 0;
    do {
        for (int i = 0; i < BATCH; i++)
            job->run(job);
        runs += BATCH;
        took = now_s() - start;
    } while (took < seconds);
    return (double)job->text.len * (double)runs / took / 1e6;
}

static void parse_ours(struct job *job)
{
    job->sink += doc_parse(job->mem, job->text, NULL, NULL)->count;
    arena_reset(job->mem);
}

static void print_ours(struct job *job)
{
    job->sink += doc_json(job->mem, job->doc).len;
    arena_reset(job->mem);
}

#ifdef HAVE_JSON_C
static void parse_peer(struct job *job)
{
    struct json_tokener *tok = job->peer;
    json_tokener_reset(tok);
    struct json_object *o = json_tokener_parse_ex(tok, job->text.ptr, (int)job->text.len);
    job->sink += o != NULL;
    json_object_put(o);
}

static void print_peer(struct job *job)
{
    size_t len = 0;
    json_object_to_json_string_length(job->peer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    job->sink += len;
}
#endif

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Medians of rounds that alternate between the two, so that a slow second of the machine hits both. */
static void compare(const char *name, struct job *ours, struct job *peer, double seconds)
{
    double a[ROUNDS], b[ROUNDS] = {0};
    for (int i = 0; i < ROUNDS; i++) {
        a[i] = rate(ours, seconds / ROUNDS);
        b[i] = peer->run ? rate(peer, seconds / ROUNDS) : 0;
    }
    qsort(a, ROUNDS, sizeof *a, by_value);
    qsort(b, ROUNDS, sizeof *b, by_value);
    double value = a[ROUNDS / 2], other = b[ROUNDS / 2];
    printf("{\"group\":\"cluster\",\"name\":\"%s\",\"value\":%.1f,\"unit\":\"MB/s\",\"target\":\">=500 and >=5x peer\","
           "\"peer\":\"json-c\",",
           name, value);
    if (peer->run)
        printf("\"peer_value\":%.1f,\"ratio\":%.2f,\"met\":%s}\n", other, value / other,
               value >= 500 && value >= 5 * other ? "true" : "false");
    else
        printf("\"peer_value\":null,\"ratio\":null,\"met\":%s}\n", value >= 500 ? "true" : "false");
}

static struct str read_file(struct arena *mem, const char *path)
{
    FILE *f = fopen(path, "rb");
    struct sb all = SB(mem);
    size_t n;
    if (!f) {
        perror(path);
        exit(1);
    }
    while ((n = fread(sb_room(&all, 65536), 1, 65536, f)) > 0)
        all.len += n;
    fclose(f);
    return str_trim(sb_str(&all));
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s POD.json [MILLISECONDS]\n", argv[0]);
        return 2;
    }
    cleanup_arena struct arena *keep = arena_new(), *mem = arena_new();
    double seconds = argc > 2 ? atof(argv[2]) / 1e3 : 1;
    struct str text = read_file(keep, argv[1]);
    const struct doc *doc = doc_parse(keep, text, NULL, NULL);
    if (!doc || !str_eq(doc_json(keep, doc), text)) {
        fprintf(stderr, "%s: not the compact JSON that doc/ writes\n", argv[1]);
        return 1;
    }
    struct job parse = {.run = parse_ours, .text = text, .mem = mem}, parse_p = {.text = text};
    struct job print = {.run = print_ours, .text = text, .mem = mem, .doc = doc}, print_p = {.text = text};
#ifdef HAVE_JSON_C
    parse_p.run = parse_peer;
    parse_p.peer = json_tokener_new();
    print_p.run = print_peer;
    print_p.peer = json_tokener_parse(str_z(keep, text));
#endif
    compare("json_parse", &parse, &parse_p, seconds);
    compare("json_print", &print, &print_p, seconds);
#ifdef HAVE_JSON_C
    json_tokener_free(parse_p.peer);
    json_object_put(print_p.peer);
#endif
    return 0;
}
