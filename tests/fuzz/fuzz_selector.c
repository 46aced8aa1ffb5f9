/* Whatever parses as a selector of labels or fields prints to a selector that prints the same. Schedules ride along. */
#include <stdlib.h>

#include "schema/labels.h"
#include "schema/rules/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct arena *mem, struct selector *(*parse)(struct arena *, struct str, struct err *),
                  struct str text)
{
    struct err err = ERR(mem);
    struct selector *s = parse(mem, text, &err);
    if (!s) {
        if (err.reason != ERR_BAD_REQUEST || !err.message.len)
            abort();
        return;
    }
    struct str printed = selector_str(mem, s);
    struct selector *again = parse(mem, printed, NULL);
    if (!again || !str_eq(selector_str(mem, again), printed))
        abort();
    selector_matches(s, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text = str_mem((const char *)data, size);
    struct cron cron;
    check(mem, selector_parse, text);
    check(mem, field_selector_parse, text);
    cron_parse(mem, text, &cron);
    return 0;
}
