/* schema/convert.h - conversions named in kinds/ (to_stored, from_stored). In place; apiVersion is the caller's. */
#ifndef SAMPAN_SCHEMA_CONVERT_H
#define SAMPAN_SCHEMA_CONVERT_H

#include "doc/doc.h"

void event_to_core(struct arena *mem, struct doc *e);
void event_from_core(struct arena *mem, struct doc *e);
/* What v1 can't say is kept in annotations, so nothing is lost on the way there and back. */
void hpa_v1_to_v2(struct arena *mem, struct doc *hpa);
void hpa_v2_to_v1(struct arena *mem, struct doc *hpa);

#endif
