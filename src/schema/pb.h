/* schema/pb.h - what encoding and decoding of protobuf share. Private to this folder. */
#ifndef SAMPAN_SCHEMA_PB_H
#define SAMPAN_SCHEMA_PB_H

#include "base/str.h"

#define PB_MAGIC STR("k8s\0")

/* The envelope: runtime.Unknown. false: not one. */
struct pb_envelope {
    struct str api_version, kind, raw, content_type;
};
bool pb_unwrap(struct str bytes, struct pb_envelope *ret);

#endif
