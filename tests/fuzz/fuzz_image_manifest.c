/* Indexes, manifests, configs, references and the message that describes an image: all bytes of strangers. */
#include "node/image/info.h"
#include "node/image/ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct str text = str_dup(mem, str_mem((const char *)data, size)), digest;
    struct image_info *info = arena_new_of(mem, struct image_info);
    struct image_ref ref;
    if (image_is_index(mem, text))
        image_index_pick(mem, text, STR("amd64"), &digest, &err);
    if (image_read_manifest(mem, text, info, &err) == 0)
        image_read_config(mem, text, info, &err);
    image_ref_parse(mem, text, &ref);
    struct ipc_reader r = IPC_READER(text);
    image_get(&r, mem, info);
    struct strv names;
    image_from_json(mem, text, info, &names);
    return 0;
}
