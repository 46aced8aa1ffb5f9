"""What node, pods and containers use: from the kubelet's endpoint the Summary and Prometheus' text, from the server
metrics.k8s.io and `kubectl top`; who may read it."""
import http.client
import json
import re
import signal
import ssl
import time

import pytest

from cluster import SLEEP, cluster, container_of, eventually, find_tool, ns, shell # noqa: F401 (fixtures)
from conftest import KUBECTLS


def read(ns, path):
    return ns.kubectl('get', '--raw', f'/api/v1/nodes/{ns.cluster.node}/proxy{path}').stdout


def families(text):
    """{name: {labels: value}}; every line must be well-formed."""
    found = {}
    for line in text.splitlines():
        if line.startswith('#'):
            assert re.match(r'# (HELP|TYPE) [a-z_]+ \S', line), line
            continue
        m = re.match(r'([a-z_]+)(?:\{(.*)\})? (\S+)(?: \d{13})?$', line)
        assert m, line
        found.setdefault(m[1], {})[m[2] or ''] = float(m[3])
    return found


def of(family, **labels):
    hits = [v for k, v in family.items() if all(f'{n}="{w}"' in k for n, w in labels.items())]
    assert len(hits) == 1, (labels, hits)
    return hits[0]


def test_usage_is_what_was_used(ns):
    ns.pod('a', shell('dd if=/dev/urandom of=/dev/shm/f bs=1M count=40; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; touch /tmp/done; ' + SLEEP,
                      resources={'limits': {'memory': '100Mi'}}), shell(SLEEP, 'quiet'))
    ns.ready('a')
    eventually(lambda: ns.kubectl('exec', 'a', '-c', 'c', '--', 'ls', '/tmp/done', check=False).returncode == 0, 40)
    where = {'namespace': ns.name, 'pod': 'a'}
    summary = json.loads(read(ns, '/stats/summary'))
    pod = [p for p in summary['pods'] if p['podRef']['namespace'] == ns.name][0]
    busy, quiet = sorted(pod['containers'], key=lambda c: c['name'])
    assert (busy['name'], quiet['name']) == ('c', 'quiet') and pod['podRef']['uid'] == ns.get('pods', 'a')['metadata']['uid']
    assert 40 << 20 <= busy['memory']['workingSetBytes'] <= busy['memory']['usageBytes'] < 100 << 20
    assert busy['memory']['availableBytes'] == (100 << 20) - busy['memory']['workingSetBytes']
    assert busy['cpu']['usageCoreNanoSeconds'] > 1e8 > 0 < quiet['cpu']['usageCoreNanoSeconds'] < busy['cpu']['usageCoreNanoSeconds']
    assert pod['cpu']['usageCoreNanoSeconds'] >= busy['cpu']['usageCoreNanoSeconds']
    assert pod['network']['name'] == 'eth0'
    node = summary['node']
    assert node['nodeName'] == ns.cluster.node and node['fs']['capacityBytes'] >= node['fs']['availableBytes']
    assert node['memory']['workingSetBytes'] > busy['memory']['workingSetBytes']
    resource = families(read(ns, '/metrics/resource'))
    assert of(resource['container_cpu_usage_seconds_total'], container='c', **where) >= busy['cpu']['usageCoreNanoSeconds'] / 1e9
    assert of(resource['container_memory_working_set_bytes'], container='c', **where) > 40 << 20
    assert of(resource['pod_memory_working_set_bytes'], **where) > 40 << 20
    assert resource['resource_scrape_error'] == {'': 0} and resource['node_cpu_usage_seconds_total'][''] > 1
    cadvisor = families(read(ns, '/metrics/cadvisor'))
    cid = container_of(ns.get('pods', 'a'), 'c')['containerID'].split('//')[1]
    assert of(cadvisor['container_cpu_usage_seconds_total'], container='c', name=cid, cpu='total', **where) > 0.1
    assert of(cadvisor['container_memory_usage_bytes'], container='', **where) > 40 << 20
    assert of(cadvisor['container_network_receive_bytes_total'], interface='eth0', **where) >= 0
    assert cadvisor['machine_memory_bytes'][''] > 1 << 28
    own = families(read(ns, '/metrics'))
    assert own['kubelet_running_pods'][''] >= 1 and own['kubelet_node_name'] == {f'node="{ns.cluster.node}"': 1}
    if find_tool('promtool'):
        for path in ('/metrics', '/metrics/resource', '/metrics/cadvisor'):
            r = ns.lab.run(find_tool('promtool'), 'check', 'metrics', input=read(ns, path), check=False)
            assert 'error' not in r.stderr.lower(), r.stderr


def test_who_may_read_usage(ns):
    api = ns.api
    for name, resource in (('stats', 'nodes/stats'), ('metrics', 'nodes/metrics')):
        ns.create({'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': {'name': name}})
        rbac = '/apis/rbac.authorization.k8s.io/v1/'
        api.call('POST', rbac + 'clusterroles', {'metadata': {'name': f'{ns.name}-{name}'}, 'rules': [
            {'apiGroups': [''], 'resources': [resource], 'verbs': ['get']}]})
        api.call('POST', rbac + 'clusterrolebindings', {'metadata': {'name': f'{ns.name}-{name}'}, 'subjects': [
            {'kind': 'ServiceAccount', 'name': name, 'namespace': ns.name}],
            'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': f'{ns.name}-{name}'}})

    def code(path, token=None):
        c = http.client.HTTPSConnection('127.0.0.1', 10250, timeout=10)
        context = ssl._create_unverified_context()
        c.sock = context.wrap_socket(ns.lab.connect('127.0.0.1', 10250), server_hostname='127.0.0.1')
        c.request('GET', path, headers={'Authorization': 'Bearer ' + token} if token else {})
        r = c.getresponse()
        r.read()
        c.close()
        return r.status
    tokens = {n: ns.kubectl('create', 'token', n).stdout.strip() for n in ('stats', 'metrics')}
    assert code('/stats/summary') == 401
    assert [code('/stats/summary', tokens[n]) for n in ('stats', 'metrics')] == [200, 403]
    assert [code('/metrics/cadvisor', tokens[n]) for n in ('stats', 'metrics')] == [403, 200]
    assert code('/metrics/resource', tokens['metrics']) == 200 and code('/metrics/none', tokens['metrics']) == 404


METRICS = '/apis/metrics.k8s.io/v1beta1'
BUSY = shell('dd if=/dev/urandom of=/dev/shm/f bs=1M count=50 2>/dev/null; while :; do :; done',
             resources={'limits': {'cpu': '200m', 'memory': '100Mi'}})


def milli(text):
    return {'n': 1e-6, 'u': 1e-3, 'm': 1}[text[-1]] * int(text[:-1]) if not text.isdigit() else int(text) * 1000


def mebi(text):
    return {'Ki': 2.0 ** -10, 'Mi': 1, 'Gi': 1024}[text[-2:]] * int(text[:-2]) if not text.isdigit() else int(text) / 2 ** 20


def rows(text):
    return [line.split() for line in text.splitlines()]


def test_a_node_that_does_not_answer_is_left_out(cluster):
    """In time, with its pods; and is back as soon as it answers."""
    agent, began = cluster.process('agent'), time.monotonic()
    cluster.kill(agent, signal.SIGSTOP)
    try:
        assert cluster.api.call('GET', METRICS + '/nodes')['items'] == []
        assert cluster.api.request('GET', f'{METRICS}/nodes/{cluster.node}')[1]['message'] == \
            f'nodemetrics.metrics.k8s.io "{cluster.node}" not found'
        assert 2 <= time.monotonic() - began < 10  # two seconds each
    finally:
        cluster.kill(agent, signal.SIGCONT)
    eventually(lambda: [n['metadata']['name'] for n in cluster.api.call('GET', METRICS + '/nodes')['items']] == [cluster.node], 20)


@pytest.fixture(scope='module')
def used(cluster):
    """A namespace with pods of known use, as soon as they have it."""
    ns = cluster.namespace('used')
    ns.pod('busy', BUSY, shell(SLEEP, 'quiet'), labels={'app': 'busy', 'tier': 'x'})
    ns.pod('other', shell(SLEEP), labels={'app': 'other'})
    ns.ready('busy'), ns.ready('other')
    eventually(lambda: ns.kubectl('exec', 'busy', '-c', 'c', '--', 'sh', '-c', '[ $(stat -c %s /dev/shm/f) = 52428800 ]',
                                  check=False).returncode == 0, 60)
    yield ns
    cluster.remove_namespace(ns)


def test_kubectl_top_of_every_version(used):
    ns = used
    for version, path in sorted(KUBECTLS.items()):
        def top(*argv):
            return rows(ns.lab.run(path, 'top', *argv, '--no-headers').stdout)
        # An answer may be of the 15 s before, when nothing was busy yet.
        eventually(lambda: milli(top('nodes')[0][1]) >= 100, 40, lambda: top('nodes'))
        (node, cpu, percent, memory, part), = top('nodes')
        assert node == ns.cluster.node and mebi(memory) > 50 and percent[-1] == part[-1] == '%', version
        pods = {r[0]: r[1:] for r in top('pods', '-n', ns.name)}
        assert sorted(pods) == ['busy', 'other']
        assert 100 <= milli(pods['busy'][0]) <= 260 and 50 <= mebi(pods['busy'][1]) < 60, (version, pods)
        all_containers = [r for r in top('pods', '-A', '--containers') if r[0] == ns.name]
        assert sorted(r[1:3] for r in all_containers) == [['busy', 'c'], ['busy', 'quiet'], ['other', 'c']]
        assert top('pods', '-n', ns.name, '-l', 'app=other')[0][0] == 'other'
        assert top('pod', 'busy', '-n', ns.name)[0][0] == 'busy'
        assert [r[0] for r in top('pods', '-n', ns.name, '--sort-by=cpu')] == ['busy', 'other'], version
        assert [r[0] for r in top('pods', '-n', ns.name, '--sort-by=memory')] == ['busy', 'other'], version
        table = rows(ns.lab.run(path, '-n', ns.name, 'get', 'podmetrics').stdout)
        assert table[0] == ['NAME', 'CPU', 'MEMORY', 'WINDOW'] and [r[0] for r in table[1:]] == ['busy', 'other'], version
        assert rows(ns.lab.run(path, 'get', 'nodemetrics').stdout)[1][0] == node


def test_the_metrics_api(used):
    ns = used
    base = f'{METRICS}/namespaces/{ns.name}/pods'
    one = ns.api.call('GET', base + '/busy')
    assert list(one) == ['kind', 'apiVersion', 'metadata', 'timestamp', 'window', 'containers'] and one['kind'] == 'PodMetrics'
    assert one['metadata']['labels'] == {'app': 'busy', 'tier': 'x'} and 'resourceVersion' not in one['metadata']
    c, quiet = one['containers']
    assert (c['name'], quiet['name']) == ('c', 'quiet') and milli(quiet['usage']['cpu']) < 50
    assert 100 <= milli(c['usage']['cpu']) <= 260 and 50 <= mebi(c['usage']['memory']) < 60
    assert re.fullmatch(r'[\d.]+m?s', one['window'])
    assert ns.api.call('GET', base + '/busy')['containers'] == one['containers']  # asked again at once: not of the node
    found = ns.api.call('GET', base + '?labelSelector=tier')
    assert found['kind'] == 'PodMetricsList' and found['metadata'] == {} and [p['metadata']['name'] for p in found['items']] == ['busy']
    assert [p['metadata']['name'] for p in ns.api.call('GET', base + '?fieldSelector=metadata.name%3Dother')['items']] == ['other']
    assert {p['metadata']['namespace'] for p in ns.api.call('GET', METRICS + '/pods')['items']} >= {ns.name}
    node = ns.api.call('GET', f'{METRICS}/nodes/{ns.cluster.node}')
    assert node['kind'] == 'NodeMetrics' and node['metadata']['labels']['kubernetes.io/hostname'] == ns.cluster.node
    assert ns.api.call('GET', METRICS + '/nodes?labelSelector=nothing')['items'] == []
    for path, code, message in ((base + '/none', 404, 'pods "none" not found'),
                                (METRICS + '/nodes/none', 404, 'nodes "none" not found'),
                                (base + '?watch=true', 405, 'the server does not allow this method on the requested resource')):
        status, answer = ns.api.request('GET', path)
        assert (status, answer['message']) == (code, message)
    ns.pod('waiting', shell(SLEEP), nodeSelector={'no': 'where'})
    status, answer = ns.api.request('GET', base + '/waiting')
    assert (status, answer['message']) == (404, f'podmetrics.metrics.k8s.io "{ns.name}/waiting" not found')
    resources = ns.api.call('GET', METRICS)['resources']
    assert [(r['name'], r['kind'], r['verbs']) for r in resources] == [('nodes', 'NodeMetrics', ['get', 'list']), ('pods', 'PodMetrics', ['get', 'list'])]
    assert ns.kubectl('auth', 'can-i', 'list', 'pods.metrics.k8s.io', '--as', 'x', check=False).stdout.strip() == 'no'
    ns.kubectl('create', 'rolebinding', 'v', '--clusterrole=view', '--user=x')
    assert eventually(lambda: ns.kubectl('auth', 'can-i', 'list', 'pods.metrics.k8s.io', '--as', 'x', check=False).stdout.strip() == 'yes', 5)
