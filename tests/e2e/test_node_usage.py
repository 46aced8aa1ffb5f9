"""What node, pods and containers use, from the kubelet's endpoint: the Summary and Prometheus' text; who may read it."""
import json
import re
import shutil
import ssl
import http.client

from cluster import SLEEP, cluster, container_of, eventually, ns, shell # noqa: F401 (fixtures)


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
    if shutil.which('promtool'):
        for path in ('/metrics', '/metrics/resource', '/metrics/cadvisor'):
            r = ns.lab.run('promtool', 'check', 'metrics', input=read(ns, path), check=False)
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
