"""/metrics and /metrics/slis: Kubernetes' names and labels, text that Prometheus takes, and figures that are true.

    SAMPAN_BIN=build pytest tests/e2e/test_metrics.py"""
import collections
import os
import re
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import find_tool  # noqa: E402
from wire import Server, Watch, config_map  # noqa: E402

CM = '/api/v1/namespaces/default/configmaps'
SAMPLE = re.compile(r'^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_][a-z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')
SUFFIX = re.compile(r'_(bucket|sum|count)$')


@pytest.fixture(scope='module')
def cp():
    s = Server()
    yield s
    s.remove()


def samples(text):
    """{name: {labels: value}}; fails on what Prometheus would refuse, and on what promtool complains of."""
    found, types = collections.defaultdict(dict), {}
    for line in text.splitlines():
        if line.startswith('# TYPE '):
            _, _, name, kind = line.split(' ')
            assert name not in types, name
            types[name] = kind
            assert (kind == 'counter') == name.endswith('_total'), line
        elif not line.startswith('# HELP '):
            name, labels, value = SAMPLE.match(line).groups()
            labels = tuple(sorted(LABEL.findall(labels or '')))
            assert labels not in found[name], line
            assert types.get(name) or types[SUFFIX.sub('', name)] == 'histogram', line
            found[name][labels] = float(value)
    return found


def scrape(cp, path='/metrics'):
    r = cp.get(path)
    assert r.code == 200 and r.headers['Content-Type'] == 'text/plain; version=0.0.4; charset=utf-8'
    return samples(r.body.decode())


def total(found, family, **labels):
    return sum(v for have, v in found[family].items() if set(labels.items()) <= set(have))


def test_prometheus_takes_it(cp):
    promtool = find_tool('promtool')
    if not promtool:
        pytest.skip('promtool is not here (tools/fetch-clients, or Debian\'s prometheus)')
    for path in ('/metrics', '/metrics/slis'):
        done = subprocess.run([promtool, 'check', 'metrics'], input=cp.get(path).body, capture_output=True, timeout=20)
        assert done.returncode == 0 and not done.stderr, done


def test_histograms_add_up(cp):
    found = scrape(cp)
    buckets = collections.defaultdict(list)
    for name in [n for n in found if n.endswith('_bucket')]:
        for labels, value in found[name].items():
            rest = tuple(kv for kv in labels if kv[0] != 'le')
            buckets[name[:-7], rest].append((float(dict(labels)['le']), value))
    assert len(buckets) > 20
    for (name, labels), rows in buckets.items():
        assert rows == sorted(rows) and [v for _, v in rows] == sorted(v for _, v in rows), (name, labels)
        assert rows[-1] == (float('inf'), found[name + '_count'][labels])


def test_requests_are_counted_where_they_belong(cp):
    at = {'group': '', 'version': 'v1', 'resource': 'configmaps', 'component': 'apiserver'}
    before = scrape(cp)
    assert cp.post(CM, config_map('counted')).code == 201
    assert cp.post(CM + '?dryRun=All', config_map('not')).code == 201
    assert cp.get(CM + '/counted').code == 200
    assert cp.get(CM + '/none').code == 404
    assert cp.get(CM + '/none', headers={'Impersonate-User': 'bob'}).code == 403
    assert cp.get(CM, who=None).code == 401
    after = scrape(cp)

    def more(name, **labels):
        return total(after, name, **at, **labels) - total(before, name, **at, **labels)
    n = 'apiserver_request_total'
    assert more(n, verb='POST', code='201', dry_run='') == 1 and more(n, verb='POST', code='201', dry_run='All') == 1
    assert more(n, verb='GET', code='200', scope='resource') == 1 and more(n, verb='GET', code='404') == 1
    assert more(n, verb='GET', code='403') == 1 and more(n, verb='LIST', code='401', scope='namespace') == 1
    for h in ('apiserver_request_duration_seconds', 'apiserver_request_sli_duration_seconds'):
        assert more(h + '_count', verb='GET') == 3 and 0 < more(h + '_sum', verb='GET') < 5
    assert more('apiserver_storage_objects') == 0
    for name, labels in (('apiserver_storage_objects', {'resource': 'configmaps'}),
                         ('apiserver_resource_objects', {'group': '', 'resource': 'configmaps'})):
        assert total(after, name, **labels) - total(before, name, **labels) == 1
    assert total(after, 'apiserver_storage_objects', resource='clusterroles.rbac.authorization.k8s.io') > 20


def test_watches_are_long_running(cp):
    at = {'resource': 'configmaps', 'verb': 'WATCH', 'scope': 'namespace'}
    watches = [Watch(cp, CM + '?watch=1&resourceVersion=0') for _ in range(3)]
    sent = total(scrape(cp), 'apiserver_watch_events_total', resource='configmaps')
    assert total(scrape(cp), 'apiserver_longrunning_requests', **at) == 3
    assert cp.post(CM, config_map('seen')).code == 201
    for w in watches:
        while w.next()['object']['metadata']['name'] != 'seen':
            pass
    assert total(scrape(cp), 'apiserver_watch_events_total', resource='configmaps') >= sent + 3
    for w in watches:
        w.close()
    end = time.time() + 5
    while total(scrape(cp), 'apiserver_longrunning_requests', **at) and time.time() < end:
        time.sleep(0.02)
    found = scrape(cp)
    assert total(found, 'apiserver_longrunning_requests', **at) == 0
    assert total(found, 'apiserver_current_inflight_requests', request_kind='readOnly') == 1  # the scrape itself


def test_controllers_and_scheduler(cp):
    pod = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'p'},
           'spec': {'containers': [{'name': 'c', 'image': 'i'}], 'tolerations': [{'operator': 'Exists'}]}}
    job = {'apiVersion': 'batch/v1', 'kind': 'Job', 'metadata': {'name': 'j'},
           'spec': {'suspend': True, 'template': {'spec': {**pod['spec'], 'restartPolicy': 'Never'}}}}
    result = {'result': 'unschedulable', 'profile': 'default-scheduler'}
    assert cp.post('/apis/batch/v1/namespaces/default/jobs', job).code == 201
    assert cp.post('/api/v1/namespaces/default/pods', pod).code == 201
    end = time.time() + 10
    while not total(scrape(cp), 'scheduler_schedule_attempts_total', **result) and time.time() < end:
        time.sleep(0.02)
    found = scrape(cp)
    assert total(found, 'scheduler_pending_pods', queue='unschedulable') == 1
    assert total(found, 'scheduler_scheduling_attempt_duration_seconds_count', **result) == 1
    assert total(found, 'workqueue_adds_total', name='job') >= 1
    for name in ('workqueue_depth', 'workqueue_unfinished_work_seconds',
                 'workqueue_longest_running_processor_seconds', 'workqueue_retries_total'):
        assert (('name', 'job'),) in found[name], name
    for name in ('workqueue_queue_duration_seconds', 'workqueue_work_duration_seconds'):
        assert found[name + '_count'][('name', 'job'),] >= 1
    node = {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': 'n'},
            'status': {'allocatable': {'cpu': '4', 'memory': '4Gi', 'pods': '10'}}}
    assert cp.post('/api/v1/nodes', node).code == 201
    end = time.time() + 20
    while not total(scrape(cp), 'scheduler_schedule_attempts_total', result='scheduled') and time.time() < end:
        time.sleep(0.05)
    found = scrape(cp)
    assert total(found, 'scheduler_schedule_attempts_total', result='scheduled') == 1
    assert total(found, 'scheduler_pending_pods') == 0
    assert total(found, 'scheduler_pod_scheduling_sli_duration_seconds_count') == 1
    assert total(found, 'scheduler_pod_scheduling_attempts_sum') >= 2


def test_process_and_build(cp):
    found = scrape(cp)
    assert abs(found['process_resident_memory_bytes'][()] / 1024 / cp.rss_kib() - 1) < 0.5
    assert abs(found['process_start_time_seconds'][()] - time.time()) < 300
    assert 3 < found['process_open_fds'][()] <= cp.fds() + 3 < found['process_max_fds'][()]
    assert 0 < found['process_cpu_seconds_total'][()] < 300
    assert found['process_virtual_memory_bytes'][()] > found['process_resident_memory_bytes'][()]
    (labels, one), = found['kubernetes_build_info'].items()
    version = cp.get('/version').json()
    assert one == 1 and dict(labels)['git_version'] == version['gitVersion'] and dict(labels)['minor'] == version['minor']
    gates = {dict(k)['name']: v for k, v in found['kubernetes_feature_enabled'].items()}
    assert len(gates) > 50 and set(gates.values()) == {0, 1}
    assert found['apiserver_storage_size_bytes'][('storage_cluster_id', 'sampan'),] > 4096


def test_slis(cp):
    for _ in range(3):
        assert cp.get('/livez', who=None).code == 200
    first = scrape(cp, '/metrics/slis')
    assert cp.get('/livez?verbose', who=None).code == 200
    found = scrape(cp, '/metrics/slis')
    assert total(found, 'kubernetes_healthcheck', name='ping', type='livez') == 1
    at = {'name': 'ping', 'type': 'livez', 'status': 'success'}
    n = 'kubernetes_healthchecks_total'
    assert total(found, n, **at) == total(first, n, **at) + 1 >= 4
    assert cp.get('/metrics/slis', headers={'Impersonate-User': 'bob'}).code == 403


def test_strangers_do_not_make_series(cp):
    count = sum(map(len, scrape(cp).values()))
    conn = cp.connect()
    for i in range(300):
        cp.get(f'/apis/group{i}/v1/things{i}/x', conn=conn)
        cp.get(f'/nope/{i}', conn=conn)
        cp.get(f'{CM}/x/sub{i}', conn=conn)
        cp.request(f'VERB{i}', CM, conn=conn)
    assert sum(map(len, scrape(cp).values())) < count + 400
