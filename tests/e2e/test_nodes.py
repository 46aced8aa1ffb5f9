"""A cluster of two machines: joining by token, pods and Services across them, streams through the agent's tunnel, names that
are taken, a node that dies."""
import json

import pytest

from cluster import BUSYBOX, eventually, is_ready, path_of
from hosts import SERVER, Two

@pytest.fixture(scope='module')
def two():
    t = Two()
    try:
        yield t
    finally:
        t.stop()


@pytest.fixture
def ns(two):
    return two.cluster.namespace()


def on(node):
    return {'nodeName': node}


def serve(ns, name, node, **more):
    """A pod that answers with its name on 8080."""
    script = f'while :; do echo {name} | nc -l -p 8080; done'
    ns.pod(name, {'name': 'c', 'image': BUSYBOX, 'command': ['sh', '-c', script]}, **on(node), **more)
    return ns.ready(name)['status']['podIP']


def ask(ns, pod, address, port=8080):
    done = ns.cluster.kubectl('-n', ns.name, 'exec', pod, '--', 'sh', '-c', f'nc -w 5 {address} {port} </dev/null', check=False)
    return done.stdout.strip() or done.stderr


def test_each_node_has_a_range_of_its_own(two):
    first, second = two.node(two.cluster.node), two.node('n2')
    ranges = {first['spec']['podCIDR'], second['spec']['podCIDR']}
    assert ranges == {'10.244.0.0/24', '10.244.1.0/24'}
    assert second['status']['addresses'][0] == {'type': 'InternalIP', 'address': '10.88.0.2'}
    requests = json.loads(two.cluster.kubectl('get', 'csr', '-o', 'json').stdout)['items']
    signers = {r['spec']['signerName'] for r in requests if r['status'].get('certificate')}
    assert signers == {'kubernetes.io/kube-apiserver-client-kubelet', 'kubernetes.io/kubelet-serving', 'sampan.dev/tunnel'}


def test_pods_reach_each_other_across_nodes(two, ns):
    here, there = serve(ns, 'here', two.cluster.node), serve(ns, 'there', 'n2')
    assert there.startswith(two.node('n2')['spec']['podCIDR'].rsplit('.', 1)[0] + '.')
    assert ask(ns, 'here', there) == 'there'
    assert ask(ns, 'there', here) == 'here'


def test_top_asks_both_nodes(two, ns):
    serve(ns, 'here', two.cluster.node), serve(ns, 'there', 'n2')

    def top(*what):
        return sorted(line.split()[0] for line in two.cluster.kubectl('top', *what, '--no-headers').stdout.splitlines())
    assert top('nodes') == sorted([two.cluster.node, 'n2'])
    assert top('pods', '-n', ns.name) == ['here', 'there']
    assert top('nodes', '-l', 'kubernetes.io/hostname=n2') == ['n2']


def test_services_and_names_lead_to_other_nodes(two, ns):
    serve(ns, 'far', 'n2', labels={'app': 'web'})
    serve(ns, 'near', two.cluster.node)
    serve(ns, 'beside', 'n2')
    ns.create({'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'web'},
               'spec': {'selector': {'app': 'web'}, 'type': 'NodePort', 'ports': [{'port': 80, 'targetPort': 8080}]}})
    port = ns.get('services', 'web')['spec']['ports'][0]['nodePort']
    for pod in ('near', 'beside'):
        eventually(lambda pod=pod: ask(ns, pod, 'web', 80) == 'far', 10, lambda pod=pod: ask(ns, pod, 'web', 80))
    assert ask(ns, 'near', '10.88.0.2', port) == 'far'
    assert ask(ns, 'beside', SERVER, port) == 'far'


def test_streams_go_through_the_tunnel(two, ns):
    ns.pod('far', {'name': 'c', 'image': BUSYBOX, 'command': ['sh', '-c', 'echo hello from far; sleep 1000']}, **on('n2'))
    ns.ready('far')
    kubectl = two.cluster.kubectl
    assert kubectl('-n', ns.name, 'exec', 'far', '--', 'hostname').stdout == 'far\n'
    assert kubectl('-n', ns.name, 'logs', 'far').stdout == 'hello from far\n'
    assert kubectl('get', '--raw', '/api/v1/nodes/n2/proxy/healthz').stdout == 'ok'


def test_a_name_that_is_taken_is_refused(two):
    third = two.host('n3', '10.88.0.3')
    third.start('--node-name', 'n2', *two.join_words())
    assert third.agent.wait(20) == 1, third.log()
    assert 'a node "n2" is part of the cluster and Ready: choose another name' in third.log()
    assert is_ready(two.node('n2'))


def test_a_wrong_hash_or_token_is_refused(two):
    host = two.host('n4', '10.88.0.4')
    words = two.join_words()
    wrong = [w.replace('sha256:', 'sha256:00')[:71] if w.startswith('sha256:') else w for w in words]
    host.start(*wrong)
    assert host.agent.wait(20) == 1 and "the server's CA is not the one that --ca-hash names" in host.log()
    at = words.index('--token') + 1
    host.start(*words[:at], 'abcdef.0123456789abcdef', *words[at + 1:])
    assert host.agent.wait(20) == 1 and 'the server refused: Unauthorized' in host.log(), host.log()


def test_the_agent_comes_back_as_the_same_node(two, ns):
    address = serve(ns, 'stays', 'n2')
    before = two.node('n2')
    two.second.end()
    two.second.start('--server', f'10.88.0.99:6443,{SERVER}:6443', '--token', 'spent.0000000000000000', '--ca-hash', 'sha256:00')
    serve(ns, 'new', 'n2')
    after = two.node('n2')
    assert (after['metadata']['uid'], after['spec']['podCIDR']) == (before['metadata']['uid'], before['spec']['podCIDR'])
    assert 'tunnel open  server=10.88.0.1:6443' in two.second.log()
    pod = ns.get('pods', 'stays')
    assert (pod['status']['podIP'], pod['status']['containerStatuses'][0]['restartCount']) == (address, 0)
    serve(ns, 'asks', two.cluster.node)
    assert ask(ns, 'asks', address) == 'stays'


def test_a_deleted_node_has_no_route(two):
    def routes():
        return two.cluster.lab.run('ip', 'route').stdout
    third = two.host('n5', '10.88.0.5')
    third.start(*two.join_words())
    two.node_is_ready('n5')
    cidr = two.node('n5')['spec']['podCIDR']
    eventually(lambda: f'{cidr} via 10.88.0.5' in routes(), 5, routes)
    third.end()
    two.cluster.kubectl('delete', 'node', 'n5')
    eventually(lambda: cidr not in routes(), 5, routes)


def test_pods_of_a_dead_node_move(two, ns):
    host = two.host('n6', '10.88.0.6')
    host.start(*two.join_words())
    two.node_is_ready('n6')
    gone = [{'key': f'node.kubernetes.io/{why}', 'operator': 'Exists', 'effect': 'NoExecute', 'tolerationSeconds': 0}
            for why in ('unreachable', 'not-ready')]
    two.cluster.kubectl('cordon', two.cluster.node, 'n2')
    ns.create({'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'web'}, 'spec': {
        'replicas': 2, 'selector': {'matchLabels': {'app': 'web'}}, 'template': {'metadata': {'labels': {'app': 'web'}}, 'spec': {
            'terminationGracePeriodSeconds': 1, 'tolerations': gone,
            'containers': [{'name': 'c', 'image': BUSYBOX, 'command': ['sleep', '1000']}]}}}})

    def nodes():
        return sorted(p['spec'].get('nodeName', '') for p in ns.items('pods', 'app=web')
                      if is_ready(p) and 'deletionTimestamp' not in p['metadata'])
    eventually(lambda: nodes() == ['n6', 'n6'], 20, nodes)
    two.cluster.kubectl('uncordon', two.cluster.node, 'n2')
    two.switch.cut(host.lab)
    eventually(lambda: len(nodes()) == 2 and 'n6' not in nodes(), 90, nodes)  # 50 s of grace
    assert not is_ready(two.node('n6'))
    two.switch.join(host.lab)
    eventually(lambda: is_ready(two.node('n6')) and len(ns.items('pods', 'app=web')) == 2, 40,
               lambda: f'{nodes()} {is_ready(two.node("n6"))} {len(ns.items("pods"))} ' + host.log()[-3000:])
