"""Deployments, Jobs, Services, cluster DNS, namespaces and the garbage collector, with pods that serve and finish."""
import re
import subprocess
import time

import pytest

from cluster import SLEEP, cluster, eventually, is_ready, ns, shell  # noqa: F401

NODE = '10.88.0.1'


def deployment(name, replicas=2, script=None, **more):
    """Pods that answer every GET on 8080 with VERSION and their name."""
    script = script or ('mkdir -p /tmp/w; echo $VERSION $HOSTNAME > /tmp/w/index.html; trap "sleep 0.3; exit 0" TERM; '
                        'httpd -p 8080 -h /tmp/w; while :; do sleep 0.1; done')
    container = shell(script, 'web', env=[{'name': 'VERSION', 'value': 'v1'}], ports=[{'name': 'http', 'containerPort': 8080}],
                      readinessProbe={'httpGet': {'path': '/', 'port': 'http'}, 'periodSeconds': 1})
    return {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': name}, 'spec': dict({
        'replicas': replicas, 'selector': {'matchLabels': {'app': name}},
        'template': {'metadata': {'labels': {'app': name}}, 'spec': {'containers': [container], 'terminationGracePeriodSeconds': 5}}}, **more)}


def service(name, port=80, target=8080, **spec):
    return {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': name}, 'spec': dict({
        'selector': {'app': name}, 'ports': [{'name': 'http', 'port': port, 'targetPort': target}]}, **spec)}


def job(name, script, **spec):
    pod = {'containers': [shell(script)], 'restartPolicy': spec.pop('restart', 'Never'), 'terminationGracePeriodSeconds': 1}
    return {'apiVersion': 'batch/v1', 'kind': 'Job', 'metadata': {'name': name}, 'spec': dict({'template': {'spec': pod}}, **spec)}


def available(n):
    return lambda d: d.get('status', {}).get('availableReplicas', 0) == n and d['status'].get('replicas') == n \
        and d['status'].get('updatedReplicas') == n and d['status'].get('observedGeneration') == d['metadata']['generation']


def has_condition(obj, kind, status='True'):
    return any(c['type'] == kind and c['status'] == status for c in obj.get('status', {}).get('conditions', []))


def set_version(ns, name, version):
    container = {'name': 'web', 'env': [{'name': 'VERSION', 'value': version}]}
    ns.patch('deployments', name, {'spec': {'template': {'spec': {'containers': [container]}}}}, kind='strategic-merge')


def fetch(ns, address, port=80):
    try:
        code, text = ns.lab.http(address, port, timeout=3)
        return text.strip() if code == 200 else ''
    except OSError:
        return ''


# Deployments

def test_deployment_makes_its_pods_and_the_service_reaches_all(ns):
    ns.create(deployment('web', 3), service('web'))
    ns.wait('deployments', 'web', available(3))
    ip = ns.get('services', 'web')['spec']['clusterIP']
    names = {p['metadata']['name'] for p in ns.items('pods')}
    seen = set()
    eventually(lambda: seen.add((fetch(ns, ip) or '- -').split()[1]) or names <= seen, 15, lambda: f'{seen} of {names}')


def test_rolling_update_loses_no_request(ns):
    ns.create(deployment('web', 3, strategy={'type': 'RollingUpdate', 'rollingUpdate': {'maxUnavailable': 0, 'maxSurge': 1}}), service('web'))
    ns.wait('deployments', 'web', available(3))
    ip = ns.get('services', 'web')['spec']['clusterIP']
    eventually(lambda: fetch(ns, ip), 10)
    script = f'''while [ ! -e /run/stop-{ns.name} ]; do curl -s --max-time 5 -w '%{{http_code}}\\n' http://{ip}/ | tr '\\n' ' '; echo; done'''
    loop = ns.lab.start('sh', '-c', script, stdout=subprocess.PIPE, text=True)
    try:
        set_version(ns, 'web', 'v2')
        ns.wait('deployments', 'web', available(3), 60)
        eventually(lambda: len(ns.items('pods')) == 3, 30)
    finally:
        ns.lab.run('touch', f'/run/stop-{ns.name}')
    lines = [line.split() for line in loop.communicate(timeout=20)[0].splitlines()]
    assert len(lines) > 50
    lost = [line for line in lines if line[-1] != '200']
    assert not lost, f'{len(lost)} of {len(lines)}: {lost[:3]}'
    assert lines[0][0] == 'v1' and lines[-1][0] == 'v2'


def test_rollback_and_history(ns):
    ns.create(deployment('web', 1))
    ns.wait('deployments', 'web', available(1))
    set_version(ns, 'web', 'v2')
    ns.wait('deployments', 'web', available(1), 40)
    assert re.findall(r'^(\d+)', ns.kubectl('rollout', 'history', 'deployment/web').stdout, re.M) == ['1', '2']
    ns.kubectl('rollout', 'undo', 'deployment/web')
    d = ns.wait('deployments', 'web', lambda d: available(1)(d) and d['metadata']['annotations']['deployment.kubernetes.io/revision'] == '3', 40)
    assert d['spec']['template']['spec']['containers'][0]['env'][0]['value'] == 'v1'
    assert len(ns.items('replicasets')) == 2


def test_scale_up_down_and_to_nothing(ns):
    ns.create(deployment('web', 1))
    ns.wait('deployments', 'web', available(1))
    ns.patch('deployments', 'web', {'spec': {'replicas': 4}}, 'scale')
    ns.wait('deployments', 'web', available(4))
    ns.patch('deployments', 'web', {'spec': {'replicas': 0}}, 'scale')
    ns.wait('deployments', 'web', lambda d: not d['status'].get('replicas'))
    eventually(lambda: not ns.items('pods'), 20, lambda: str([p['metadata']['name'] for p in ns.items('pods')]))


def test_paused_deployment_waits(ns):
    ns.create(deployment('web', 1))
    ns.wait('deployments', 'web', available(1))
    ns.kubectl('rollout', 'pause', 'deployment/web')
    set_version(ns, 'web', 'v2')
    ns.wait('deployments', 'web', lambda d: d['status']['observedGeneration'] == d['metadata']['generation'])
    assert len(ns.items('replicasets')) == 1
    ns.kubectl('rollout', 'resume', 'deployment/web')
    ns.wait('deployments', 'web', lambda d: available(1)(d) and d['status'].get('updatedReplicas') == 1 and len(ns.items('replicasets')) == 2, 40)


def test_pod_of_a_deployment_that_is_deleted_comes_back(ns):
    ns.create(deployment('web', 2))
    ns.wait('deployments', 'web', available(2))
    old = {p['metadata']['name'] for p in ns.items('pods')}
    victim = sorted(old)[0]
    ns.delete('pods', victim)
    eventually(lambda: len({p['metadata']['name'] for p in ns.items('pods') if is_ready(p)} - {victim}) == 2, 30)


def test_deployment_that_makes_no_progress_says_so(ns):
    d = deployment('web', 1, script='exit 1', progressDeadlineSeconds=2)
    ns.create(d)
    d = ns.wait('deployments', 'web', lambda d: has_condition(d, 'Progressing', 'False'), 20)
    assert [c['reason'] for c in d['status']['conditions'] if c['type'] == 'Progressing'] == ['ProgressDeadlineExceeded']


def test_recreate_ends_the_old_before_the_new(ns):
    ns.create(deployment('web', 2, strategy={'type': 'Recreate'}))
    ns.wait('deployments', 'web', available(2))
    set_version(ns, 'web', 'v2')
    versions = set()

    def look():
        live = {p['spec']['containers'][0]['env'][0]['value'] for p in ns.items('pods') if p['status'].get('phase') == 'Running'}
        versions.add(tuple(sorted(live)))
        return live == {'v2'} and available(2)(ns.get('deployments', 'web'))
    eventually(look, 40)
    assert ('v1', 'v2') not in versions


# Jobs

def test_job_runs_its_completions_in_parallel(ns):
    ns.create(job('j', 'sleep 0.2', completions=4, parallelism=2))
    most = 0

    def look():
        nonlocal most
        j = ns.get('jobs', 'j')
        most = max(most, j.get('status', {}).get('active', 0))
        return has_condition(j, 'Complete') and j
    j = eventually(look, 40)
    assert j['status']['succeeded'] == 4 and most <= 2
    assert all(p['status']['phase'] == 'Succeeded' for p in ns.items('pods'))


def test_indexed_job_tells_each_pod_its_index(ns):
    ns.create(job('j', 'echo index $JOB_COMPLETION_INDEX', completions=3, parallelism=3, completionMode='Indexed'))
    j = ns.wait('jobs', 'j', lambda j: j.get('status', {}).get('succeeded') == 3)
    assert j['status']['completedIndexes'] == '0-2'
    assert sorted(ns.log(p['metadata']['name']).strip() for p in ns.items('pods')) == ['index 0', 'index 1', 'index 2']


def test_job_gives_up_after_its_backoff_limit(ns):
    ns.create(job('j', 'exit 1', backoffLimit=0))
    j = ns.wait('jobs', 'j', lambda j: has_condition(j, 'Failed'))
    assert [c['reason'] for c in j['status']['conditions'] if c['type'] == 'Failed'] == ['BackoffLimitExceeded']
    assert j['status']['failed'] == 1


def test_job_past_its_deadline_ends_its_pods(ns):
    ns.create(job('j', SLEEP, activeDeadlineSeconds=1))
    j = ns.wait('jobs', 'j', lambda j: has_condition(j, 'Failed'))
    assert [c['reason'] for c in j['status']['conditions'] if c['type'] == 'Failed'] == ['DeadlineExceeded']


def test_finished_job_is_removed_after_its_ttl(ns):
    ns.create(job('j', 'true', ttlSecondsAfterFinished=1))
    ns.wait('jobs', 'j', lambda j: j.get('status', {}).get('succeeded') == 1)
    ns.gone('jobs', 'j', 20)
    eventually(lambda: not ns.items('pods'), 20)


def test_suspended_job_starts_when_resumed(ns):
    ns.create(job('j', 'true', suspend=True))
    j = ns.wait('jobs', 'j', lambda j: j.get('status', {}).get('conditions'))
    assert [c['type'] for c in j['status']['conditions']] == ['Suspended'] and not ns.items('pods')
    ns.patch('jobs', 'j', {'spec': {'suspend': False}})
    ns.wait('jobs', 'j', lambda j: j.get('status', {}).get('succeeded') == 1)


# Services

def test_node_port_answers_on_the_node(ns):
    ns.create(deployment('web', 1), service('web', type='NodePort'))
    ns.wait('deployments', 'web', available(1))
    port = ns.get('services', 'web')['spec']['ports'][0]['nodePort']
    assert 30000 <= port <= 32767
    eventually(lambda: fetch(ns, NODE, port).startswith('v1 web-'), 10)


def test_session_affinity_keeps_a_client_at_one_pod(ns):
    ns.create(deployment('web', 3), service('web', sessionAffinity='ClientIP'))
    ns.wait('deployments', 'web', available(3))
    ip = ns.get('services', 'web')['spec']['clusterIP']
    eventually(lambda: fetch(ns, ip), 10)
    assert len({fetch(ns, ip) for _ in range(20)}) == 1


def test_service_without_endpoints_refuses(ns):
    ns.create(service('web'))
    ip = ns.get('services', 'web')['spec']['clusterIP']

    def refused():
        try:
            ns.lab.connect(ip, 80, 2).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    eventually(refused, 10)


def test_pod_that_is_not_ready_gets_no_traffic(ns):
    ns.create(service('a', port=80, target=8080))
    ns.pod('a', shell('touch /tmp/ok; mkdir /tmp/w; echo hi > /tmp/w/index.html; httpd -p 8080 -h /tmp/w; '
                      'sleep 3; rm /tmp/ok; sleep 3; touch /tmp/ok; ' + SLEEP,
                      readinessProbe={'exec': {'command': ['cat', '/tmp/ok']}, 'periodSeconds': 1, 'failureThreshold': 1}))
    ip = ns.get('services', 'a')['spec']['clusterIP']
    ready = lambda: [e['conditions']['ready'] for s in ns.items('endpointslices') for e in s.get('endpoints') or []]  # noqa: E731
    eventually(lambda: ready() == [True] and fetch(ns, ip) == 'hi', 10)
    eventually(lambda: ready() == [False] and not fetch(ns, ip), 10)
    eventually(lambda: ready() == [True] and fetch(ns, ip) == 'hi', 10)


def test_endpoints_follow_the_pods(ns):
    ns.create(deployment('web', 2), service('web'))
    ns.wait('deployments', 'web', available(2))
    ips = lambda: sorted(p['status']['podIP'] for p in ns.items('pods') if is_ready(p))  # noqa: E731
    eventually(lambda: sorted(a['ip'] for s in ns.get('endpoints', 'web').get('subsets', []) for a in s['addresses']) == ips(), 10)
    assert sorted(a for s in ns.items('endpointslices') for e in s['endpoints'] for a in e['addresses']) == ips()


def test_pod_reaches_itself_through_its_service(ns):
    ns.create(service('a'))
    ns.pod('a', shell('mkdir /tmp/w; echo self > /tmp/w/index.html; httpd -p 8080 -h /tmp/w; '
                      'for i in $(seq 50); do tool get $A 80 && break; sleep 0.2; done; ' + SLEEP,
                      env=[{'name': 'A', 'value': ns.get('services', 'a')['spec']['clusterIP']}]))
    eventually(lambda: ns.log('a').endswith('self\n'), 20, lambda: ns.log('a'))


def test_udp_service(ns):
    ns.create({'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'u'}, 'spec': {
        'selector': {'app': 'u'}, 'ports': [{'port': 53, 'targetPort': 5353, 'protocol': 'UDP'}]}})
    ns.pod('u', shell('exec tool udp-echo 5353'))
    ns.ready('u')
    ip = ns.get('services', 'u')['spec']['clusterIP']
    eventually(lambda: ns.lab.udp(ip, 53, b'ping') == b'ping', 20)


# DNS

@pytest.fixture(scope='module')
def named(cluster):
    """A namespace with a Service, a headless one with two pods that have names, and a pod to ask from."""
    n = cluster.namespace('dns')
    n.create(service('web'), service('head', clusterIP='None'))
    serve = 'mkdir /tmp/w; echo ok > /tmp/w/index.html; httpd -p 8080 -h /tmp/w; ' + SLEEP
    for i in range(2):
        n.pod(f'head-{i}', shell(serve), labels={'app': 'head'}, hostname=f'head-{i}', subdomain='head')
    n.pod('web', shell(serve))
    n.pod('client', shell(SLEEP))
    for name in ('head-0', 'head-1', 'web', 'client'):
        n.ready(name)
    n.pid = n.container_pid('client')
    yield n
    cluster.remove_namespace(n)


def inside(n, *argv):
    """A command in the client pod's own file system and network."""
    return n.lab.run('nsenter', '-t', str(n.pid), '-a', '--', *argv, check=False, timeout=20)


def dig(n, *what):
    """Answers of cluster DNS, asked from the client pod's network with a full resolver."""
    return n.lab.run('nsenter', '-t', str(n.pid), '-n', '--', 'dig', '+short', '+time=2', '+tries=2', '@10.96.0.10', *what, check=False).stdout.split('\n')[:-1]


def test_dns_name_of_a_service_resolves_from_a_pod_short_and_long(named):
    ip = named.get('services', 'web')['spec']['clusterIP']
    for name in ('web', f'web.{named.name}', f'web.{named.name}.svc', f'web.{named.name}.svc.cluster.local', f'web.{named.name}.svc.cluster.local.'):
        eventually(lambda: inside(named, 'tool', 'get', name, '80').stdout == 'ok\n', 10, lambda: f'{name} {inside(named, "tool", "resolve", name)}')
    assert dig(named, f'web.{named.name}.svc.cluster.local') == [ip]


def test_dns_of_a_headless_service_gives_its_pods_and_their_names(named):
    ips = sorted(named.get('pods', f'head-{i}')['status']['podIP'] for i in range(2))
    name = f'head.{named.name}.svc.cluster.local'
    eventually(lambda: sorted(dig(named, name)) == ips, 10, lambda: str(dig(named, name)))
    assert dig(named, f'head-0.{name}') == [named.get('pods', 'head-0')['status']['podIP']]
    srv = sorted(dig(named, 'SRV', f'_http._tcp.{name}'))
    assert [s.split()[2:] for s in srv] == [['8080', f'head-{i}.{name}.'] for i in range(2)]


def test_dns_srv_of_a_service_gives_its_port(named):
    name = f'web.{named.name}.svc.cluster.local'
    assert [s.split()[2:] for s in dig(named, 'SRV', f'_http._tcp.{name}')] == [['80', name + '.']]


def test_dns_of_a_pod_by_its_address(named):
    ip = named.get('pods', 'web')['status']['podIP']
    assert dig(named, f'{ip.replace(".", "-")}.{named.name}.pod.cluster.local') == [ip]


def test_dns_ptr_of_a_service_and_of_a_named_pod(named):
    ip = named.get('services', 'web')['spec']['clusterIP']
    assert dig(named, '-x', ip) == [f'web.{named.name}.svc.cluster.local.']
    assert dig(named, '-x', named.get('pods', 'head-1')['status']['podIP']) == [f'head-1.head.{named.name}.svc.cluster.local.']


def test_dns_of_kubernetes_itself(named):
    assert dig(named, 'kubernetes.default.svc.cluster.local') == ['10.96.0.1']


@pytest.mark.parametrize('name', ['absent.svc.cluster.local', 'web.no-such-ns.svc.cluster.local'])
def test_dns_names_of_the_cluster_that_do_not_exist(named, name):
    text = named.lab.run('nsenter', '-t', str(named.pid), '-n', '--', 'dig', '+time=2', '+tries=2', '@10.96.0.10', name, check=False).stdout
    assert 'status: NXDOMAIN' in text


def test_dns_external_names_without_a_way_out_are_no_answer_and_soon(named):
    t = time.monotonic()
    text = named.lab.run('nsenter', '-t', str(named.pid), '-n', '--', 'dig', '+time=8', '+tries=1', '@10.96.0.10', 'example.org', check=False).stdout
    assert re.search('status: (NXDOMAIN|SERVFAIL|REFUSED)', text), text
    assert time.monotonic() - t < 8


def test_dns_external_name_service_is_a_cname(named):
    named.create({'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'out'}, 'spec': {'type': 'ExternalName', 'externalName': 'db.example.org'}})
    eventually(lambda: dig(named, 'CNAME', f'out.{named.name}.svc.cluster.local') == ['db.example.org.'], 10)


def test_dns_over_tcp(named):
    assert dig(named, '+tcp', 'kubernetes.default.svc.cluster.local') == ['10.96.0.1']


# Namespaces and garbage

def test_namespace_deletion_removes_everything_in_it(cluster):
    n = cluster.namespace('doomed')
    n.create(deployment('web', 2), service('web'), job('j', 'true'),
             {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'c'}}, {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 's'}})
    n.wait('deployments', 'web', available(2))
    cluster.remove_namespace(n, wait=True)
    for resource in ('pods', 'deployments', 'replicasets', 'jobs', 'services', 'configmaps', 'secrets', 'endpointslices', 'serviceaccounts', 'events'):
        assert n.items(resource) == [], resource
    assert not [a for a in cluster.lab.processes().values() if f'_{n.name}_' in a]


def test_children_of_a_deleted_owner_are_collected(ns):
    ns.create(deployment('web', 1))
    ns.wait('deployments', 'web', available(1))
    ns.delete('deployments', 'web', propagationPolicy='Background')
    eventually(lambda: not ns.items('replicasets') and not ns.items('pods'), 20)


def test_foreground_deletion_keeps_the_owner_until_its_children_are_gone(ns):
    ns.create(deployment('web', 1))
    ns.wait('deployments', 'web', available(1))
    ns.delete('deployments', 'web', propagationPolicy='Foreground')
    assert ns.get('deployments', 'web')['metadata']['finalizers'] == ['foregroundDeletion']
    ns.gone('deployments', 'web', 20)
    assert not ns.items('replicasets') and not ns.items('pods')


def test_orphans_stay_and_lose_their_owner(ns):
    ns.create(deployment('web', 1))
    ns.wait('deployments', 'web', available(1))
    ns.delete('deployments', 'web', propagationPolicy='Orphan')
    ns.gone('deployments', 'web', 20)
    assert [r['metadata'].get('ownerReferences') for r in ns.items('replicasets')] == [None]
    assert len(ns.items('pods')) == 1
