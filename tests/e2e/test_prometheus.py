"""Debian's Prometheus against server and agents: scraped with a service account's token and the cluster's CA, on the
kubelet's port and through the API server's proxy. Skipped where it is not installed.

Debian builds Prometheus without discovery by Kubernetes' API, so the test does what `role: node` and `role: endpoints`
would: it reads nodes and the kubernetes service's slice with the same token, and hands the targets over by file."""
import http.client
import json
import ssl
import urllib.parse

import pytest

from cluster import SLEEP, cluster, eventually, find_tool, ns, shell  # noqa: F401 (fixtures)

PORT = 19090
JOB = """
- job_name: {job}
  scheme: https
  tls_config: {{ca_file: /run/prom.ca}}
  authorization: {{credentials_file: /run/prom.token}}
  metrics_path: {path}
  file_sd_configs: [{{files: [/run/prom.{targets}.json]}}]
"""


def discover(ns, token):
    """{kind: targets}, by the rights of the service account alone."""
    tls = ssl.create_default_context(cadata=ns.lab.read('/run/prom.ca'))
    c = http.client.HTTPSConnection(ns.api.host, ns.api.port, timeout=10)
    c.sock = tls.wrap_socket(ns.lab.connect(ns.api.host, ns.api.port), server_hostname=ns.api.host)

    def get(path):
        c.request('GET', path, headers={'Authorization': 'Bearer ' + token})
        return json.loads(c.getresponse().read())
    nodes = get('/api/v1/nodes')['items']
    found = {'nodes': [], 'proxy': [], 'servers': []}
    for n in nodes:
        address = [a['address'] for a in n['status']['addresses'] if a['type'] == 'InternalIP'][0]
        labels = {'kubernetes_io_os': n['metadata']['labels']['kubernetes.io/os'], 'instance': n['metadata']['name']}
        port = n['status']['daemonEndpoints']['kubeletEndpoint']['Port']
        found['nodes'].append({'targets': [f'{address}:{port}'], 'labels': labels})
        path = f'/api/v1/nodes/{n["metadata"]["name"]}/proxy/metrics/resource'
        found['proxy'].append({'targets': [f'{ns.api.host}:{ns.api.port}'],
                               'labels': dict(labels, __metrics_path__=path)})
    endpoints = get('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes')
    found['servers'] += [{'targets': [f'{a}:{p["port"]}' for p in endpoints['ports'] for a in e['addresses']]}
                         for e in endpoints['endpoints']]
    return found


def config_of(ns):
    rbac = '/apis/rbac.authorization.k8s.io/v1/'
    ns.create({'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': {'name': 'prometheus'}})
    ns.api.call('POST', rbac + 'clusterroles', {'metadata': {'name': ns.name}, 'rules': [
        {'apiGroups': [''], 'resources': ['nodes'], 'verbs': ['get', 'list', 'watch']},
        {'apiGroups': ['discovery.k8s.io'], 'resources': ['endpointslices'], 'verbs': ['get', 'list', 'watch']},
        {'apiGroups': [''], 'resources': ['nodes/metrics', 'nodes/proxy'], 'verbs': ['get']},
        {'nonResourceURLs': ['/metrics'], 'verbs': ['get']}]})
    ns.api.call('POST', rbac + 'clusterrolebindings', {
        'metadata': {'name': ns.name}, 'subjects': [{'kind': 'ServiceAccount', 'name': 'prometheus', 'namespace': ns.name}],
        'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': ns.name}})
    token = ns.kubectl('create', 'token', 'prometheus').stdout.strip()
    ns.lab.run('tee', '/run/prom.token', input=token)
    ns.lab.run('tee', '/run/prom.ca', input=ns.get('configmaps', 'kube-root-ca.crt')['data']['ca.crt'])
    for kind, targets in discover(ns, token).items():
        ns.lab.run('tee', f'/run/prom.{kind}.json', input=json.dumps(targets))
    jobs = [('apiservers', '/metrics', 'servers'), ('nodes', '/metrics', 'nodes'), ('cadvisor', '/metrics/cadvisor', 'nodes'),
            ('resource', '/metrics/resource', 'nodes'), ('resource-by-proxy', '/unused', 'proxy')]
    return 'global: {scrape_interval: 1s}\nscrape_configs:' + ''.join(
        JOB.format(job=job, path=path, targets=targets) for job, path, targets in jobs)


@pytest.fixture
def prometheus(ns):
    """ask(path, **query): the data of Prometheus' own API."""
    tool = find_tool('prometheus')
    if not tool:
        pytest.skip('not installed: prometheus')
    ns.lab.run('tee', '/run/prom.yml', input=config_of(ns))
    log = ns.lab.path('/run/prom.log')
    with open(log, 'w') as out:
        process = ns.lab.start(tool, '--config.file=/run/prom.yml', '--storage.tsdb.path=/run/prom.data',
                               f'--web.listen-address=127.0.0.1:{PORT}', stdout=out, stderr=out)

    def ask(path, **query):
        try:
            code, body = ns.lab.http('127.0.0.1', PORT, f'/api/v1/{path}?' + urllib.parse.urlencode(query))
            return json.loads(body)['data'] if code == 200 else None
        except OSError:
            return None
    yield ask
    process.terminate()
    process.wait(30)


def test_prometheus_scrapes_server_and_agents(ns, prometheus):
    ns.pod('held', shell('dd if=/dev/urandom of=/dev/shm/f bs=1M count=30 2>/dev/null; ' + SLEEP))
    ns.ready('held')
    seen = {}

    def targets():
        data = prometheus('targets', state='active') or {'activeTargets': []}
        seen['targets'] = [(t['labels']['job'], t['health'], t['scrapeUrl'], t['lastError']) for t in data['activeTargets']]
        return sorted(t[:2] for t in seen['targets'])
    want = [(job, 'up') for job in ('apiservers', 'cadvisor', 'nodes', 'resource', 'resource-by-proxy')]
    eventually(lambda: targets() == want, 40, lambda: f'{seen}\n{ns.lab.read("/run/prom.log")[-2000:]}')

    def value(query):
        result = (prometheus('query', query=query) or {}).get('result')
        return float(result[0]['value'][1]) if result else -1
    where = f'namespace="{ns.name}",pod="held",container="c"'
    for job in ('cadvisor', 'resource', 'resource-by-proxy'):
        assert eventually(lambda: 30 << 20 <= value(f'container_memory_working_set_bytes{{{where},job="{job}"}}') < 60 << 20, 20,
                          lambda: value(f'container_memory_working_set_bytes{{{where}}}'))
    assert eventually(lambda: value(f'rate(container_cpu_usage_seconds_total{{{where},job="cadvisor"}}[10s])') >= 0, 20)
    assert value('sum(apiserver_request_total{job="apiservers",verb="LIST"})') > 0
    assert value('kubelet_running_pods{job="nodes"}') >= 1
    assert value(f'kubelet_node_name{{node="{ns.cluster.node}",kubernetes_io_os="linux"}}') == 1
