/* node/runtime/apparmor.h - AppArmor profiles of containers, where the kernel has AppArmor switched on.
 *
 * Source: securityContext.appArmorProfile; kubelet's pkg/security/apparmor, containerd's apparmor_linux.go. */
#ifndef SAMPAN_NODE_RUNTIME_APPARMOR_H
#define SAMPAN_NODE_RUNTIME_APPARMOR_H

#include "base/arena.h"
#include "base/str.h"

#define APPARMOR_DEFAULT "sampan-default" /* what type RuntimeDefault means here */

bool apparmor_enabled(void);
/* Load our profile, in place of an older one. Waits for apparmor_parser. 0; -ENOENT: it isn't installed; -EIO: refused.
 */
int apparmor_load(void);
void apparmor_unload(void); /* safe without */
bool apparmor_is_loaded(struct arena *mem, struct str name);

#endif
