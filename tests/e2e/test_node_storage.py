"""Limits of local storage: emptyDir.sizeLimit on disk, limits of ephemeral-storage. Source: kubelet eviction/helpers.go."""
from cluster import SLEEP, cluster, eventually, is_ready, ns, shell # noqa: F401 (fixtures)

WRITE = 'dd if=/dev/zero of={} bs=1M count={} 2>/dev/null; ' + SLEEP
V = {'volumeMounts': [{'name': 'v', 'mountPath': '/v'}]}


def limit(size):
    return {'resources': {'limits': {'ephemeral-storage': size}, 'requests': {'ephemeral-storage': '1Ki'}}}


def test_pods_beyond_their_limits_are_evicted(ns):
    ns.pod('dir', shell(WRITE.format('/v/f', 3), **V), volumes=[{'name': 'v', 'emptyDir': {'sizeLimit': '1Mi'}}],
           terminationGracePeriodSeconds=30)
    ns.pod('fits', shell(WRITE.format('/v/f', 3), **V), volumes=[{'name': 'v', 'emptyDir': {'sizeLimit': '5Mi'}}])
    ns.pod('root', shell(WRITE.format('/f', 3), **limit('1Mi')), shell(SLEEP, 'b', **limit('1Gi')))
    ns.pod('all', shell(WRITE.format('/v/f', 3), **limit('1Mi'), **V), volumes=[{'name': 'v', 'emptyDir': {}}])
    for name, why in (('dir', 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '),
                      ('root', 'Container c exceeded its local ephemeral storage limit "1Mi". '),
                      ('all', 'Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ')):
        s = ns.phase(name, 'Failed', 20)['status']
        assert (s['reason'], s['message']) == ('Evicted', why), s
        c = [c for c in s['conditions'] if c['type'] == 'DisruptionTarget'][0]
        assert (c['status'], c['reason'], c['message']) == ('True', 'TerminationByKubelet', why), c
        eventually(lambda: ('Evicted', why) in ns.events(name), 5, lambda: ns.events(name))
    assert is_ready(ns.get('pods', 'fits'))
