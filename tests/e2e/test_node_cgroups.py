"""What the kernel holds a pod to, in whatever control groups it has: hybrid or v1 on this machine, v2 with AppArmor in a guest
(tests/guest)."""
import glob
import os

import pytest
from cluster import SLEEP, cluster, eventually, ns, shell, state_of  # noqa: F401 (fixtures)

V2 = os.path.exists('/sys/fs/cgroup/cgroup.controllers')
APPARMOR = os.path.exists('/sys/kernel/security/apparmor/profiles')
# v1's file: its controller, and what v2 has instead of it
FILES = {'cpu.shares': ('cpu', 'cpu.weight'), 'cpu.cfs_quota_us': ('cpu', 'cpu.max'), 'memory.limit_in_bytes': ('memory', 'memory.max'),
         'pids.max': ('pids', 'pids.max')}


def place(cluster, path, controller=''):
    return f'/sys/fs/cgroup/{"" if V2 else controller + "/"}{cluster.lab.parent}/{path}'


def value(cluster, path, file):
    controller, v2 = FILES.get(file, ('memory', file))
    with open(place(cluster, path, controller) + '/' + (v2 if V2 else file)) as f:
        return f.read().strip()


def weight(shares):
    """cpu.weight of v2, as kubelet (getCPUWeight) and crun 1.8 compute it."""
    return str(1 + (shares - 2) * 9999 // 262142) if V2 else str(shares)


def paths(ns, name, qos):
    """The pod's cgroup and its container's, below our parent."""
    pod = ns.get('pods', name)
    above = f'kubepods/{qos}pod{pod["metadata"]["uid"]}'
    return above, above + '/' + pod['status']['containerStatuses'][0]['containerID'].split('//')[1]


def resources(**which):
    return {kind: {'cpu': cpu, 'memory': memory} for kind, (cpu, memory) in which.items()}


def test_burstable_pod_has_its_limits(ns, cluster):
    ns.pod('b', shell(SLEEP, resources=resources(requests=('250m', '32Mi'), limits=('500m', '64Mi'))))
    ns.ready('b')
    for path in paths(ns, 'b', 'burstable/'):
        assert value(cluster, path, 'cpu.shares') == weight(256)
        assert value(cluster, path, 'cpu.cfs_quota_us').split()[0] == '50000'
        assert value(cluster, path, 'memory.limit_in_bytes') == str(64 << 20)
        assert value(cluster, path, 'pids.max') == 'max'
    if V2:
        assert value(cluster, paths(ns, 'b', 'burstable/')[1], 'memory.oom.group') == '1'
        assert value(cluster, paths(ns, 'b', 'burstable/')[1], 'memory.high') == 'max'


def test_guaranteed_and_best_effort_pods_lie_where_kubelet_puts_them(ns, cluster):
    ns.pod('g', shell(SLEEP, resources=resources(limits=('100m', '32Mi'))))
    ns.pod('e', shell(SLEEP))
    ns.ready('g'), ns.ready('e')
    assert value(cluster, paths(ns, 'g', '')[1], 'cpu.shares') == weight(102)
    for path in paths(ns, 'e', 'besteffort/'):
        assert value(cluster, path, 'cpu.shares') == weight(2)
        assert value(cluster, path, 'cpu.cfs_quota_us').split()[0] in ('-1', 'max')


def test_too_much_memory_is_told_and_nothing_is_left(ns, cluster):
    ns.pod('o', shell('exec tail -c 90m /dev/zero', resources={'limits': {'memory': '24Mi'}}),
           restartPolicy='Never')
    kind, t = state_of(ns.phase('o', 'Failed', 60))
    assert kind == 'terminated' and (t['reason'], t['exitCode']) == ('OOMKilled', 137), t
    uid = ns.get('pods', 'o')['metadata']['uid']
    ns.delete('pods', 'o')
    ns.gone('pods', 'o')
    pattern = '/sys/fs/cgroup/**/*pod' + uid
    eventually(lambda: not glob.glob(pattern, recursive=True), 10, lambda: glob.glob(pattern, recursive=True))


def test_a_container_sees_its_own_cgroup_only(ns):
    text = ns.run('c', 'cat /proc/self/cgroup; for f in $(find /sys/fs/cgroup -name cgroup.procs); do\n'
                  '(: >>$f) 2>/dev/null && echo writable; done; true')
    assert 'writable' not in text and (not V2 or text == '0::/\n'), text


# ---- AppArmor


def profile_of(ns, name):
    return ns.lab.read(f'/proc/{ns.container_pid(name)}/attr/current').strip()


def aa(kind, **more):
    return {'appArmorProfile': dict({'type': kind}, **more)}


@pytest.mark.skipif(APPARMOR, reason='the kernel has AppArmor')
def test_profile_without_apparmor_is_refused(ns):
    ns.pod('a', shell(SLEEP, securityContext=aa('RuntimeDefault')))
    status = ns.phase('a', 'Failed')['status']
    assert (status['reason'], status['message']) == (
        'AppArmor', 'Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host')


@pytest.mark.skipif(not APPARMOR, reason='the kernel has no AppArmor')
def test_apparmor_profiles(ns, cluster):
    cluster.lab.run('apparmor_parser', '-Kr', input='profile test-local flags=(attach_disconnected) { file, capability, network, umount,\n'
                    'signal, deny /tmp/closed w, }')
    script = 'echo 1 > /tmp/closed; mount -t tmpfs x /tmp 2>&1; ' + SLEEP
    admin = {'capabilities': {'add': ['SYS_ADMIN']}}
    wanted = {'plain': (admin, 'sampan-default (enforce)'), 'default': (aa('RuntimeDefault'), 'sampan-default (enforce)'),
              'open': (aa('Unconfined'), 'unconfined'), 'local': (aa('Localhost', localhostProfile='test-local'), 'test-local (enforce)'),
              'priv': ({'privileged': True}, 'unconfined')}
    for name, (context, _) in wanted.items():
        ns.pod(name, shell(script, securityContext=context))
    ns.pod('none', shell(SLEEP, securityContext=aa('Localhost', localhostProfile='no-such')))
    for name, (_, profile) in wanted.items():
        ns.ready(name, 60)
        assert profile_of(ns, name) == profile, name
    assert 'denied' in ns.log('plain').lower() and 'closed' in ns.log('local') and 'closed' not in ns.log('open')
    where = ns.wait('pods', 'none', lambda p: state_of(p)[0] == 'waiting' and state_of(p)[1].get('message'))
    assert 'apparmor profile not found no-such' in state_of(where)[1]['message'], where
    cluster.lab.run('apparmor_parser', '-R', input='profile test-local { }')
