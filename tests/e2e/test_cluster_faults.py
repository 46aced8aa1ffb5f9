"""What survives: kill -9 of the agent, the server, a monitor, a container; the node's own objects; and what is left behind."""
import re
import time

import pytest

from cluster import SLEEP, Cluster, container_of, eventually, is_ready, ns, path_of, shell, state_of  # noqa: F401


@pytest.fixture(scope='module')
def cluster():
    """As that of cluster.py, but it knows how the machine looked before."""
    def look(c):
        c.clean = traces(c)
    c = Cluster(look)
    try:
        yield c
    finally:
        c.stop()


READY = {'readinessProbe': {'exec': {'command': ['true']}, 'periodSeconds': 1}}


def node(cluster):
    return cluster.api.call('GET', path_of('nodes', name=cluster.node))


def restarted(cluster, what, old):
    """Wait for another process of that name."""
    def look():
        return cluster.find(what) not in (None, old)
    eventually(look, 40, lambda: cluster.log())


# The node

def test_node_tells_its_conditions_labels_addresses_and_capacity(cluster):
    n = node(cluster)
    assert {c['type']: c['status'] for c in n['status']['conditions']} == {
        'MemoryPressure': 'False', 'DiskPressure': 'False', 'PIDPressure': 'False', 'Ready': 'True'}
    labels = n['metadata']['labels']
    assert labels['kubernetes.io/hostname'] == 'lab' and labels['kubernetes.io/os'] == 'linux' and labels['kubernetes.io/arch'] in ('amd64', 'arm64')
    assert {a['type']: a['address'] for a in n['status']['addresses']} == {'InternalIP': '10.88.0.1', 'Hostname': 'lab'}
    assert int(n['status']['capacity']['cpu']) >= 1 and n['status']['allocatable']['pods'] == '110'
    info = n['status']['nodeInfo']
    assert info['kubeletVersion'].startswith('v1.36.') and info['osImage'] and info['kernelVersion'] and info['containerRuntimeVersion']
    assert not n['spec'].get('taints')


def test_node_renews_its_lease(cluster):
    lease = lambda: cluster.api.call('GET', '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/lab')['spec']  # noqa: E731
    first = lease()
    assert first['holderIdentity'] == 'lab' and first['leaseDurationSeconds'] == 40
    eventually(lambda: lease()['renewTime'] > first['renewTime'], 15)


def test_status_shows_a_healthy_cluster(cluster):
    done = cluster.lab.run(cluster.sampan, 'status', check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_cordoned_node_takes_no_pods(cluster, ns):
    cluster.kubectl('cordon', cluster.node)
    try:
        ns.pod('a', shell('true'))
        p = ns.wait('pods', 'a', lambda p: p['status'].get('conditions'))
        assert '1 node(s) were unschedulable' in p['status']['conditions'][0]['message']
    finally:
        cluster.kubectl('uncordon', cluster.node)
    eventually(lambda: ns.get('pods', 'a')['spec'].get('nodeName'), 20)


# kill -9

def test_containers_go_on_when_the_agent_is_killed(cluster, ns):
    ns.pod('stays', shell(SLEEP, **READY))
    ns.pod('ends', shell('sleep 2; exit 3'), restartPolicy='Never')
    ns.pod('leaves', shell(SLEEP))
    before = ns.ready('stays')
    ns.phase('ends', 'Running'), ns.ready('leaves')
    pid, agent = ns.container_pid('stays'), cluster.process('agent')
    cluster.kill(agent)
    ns.delete('pods', 'leaves')
    restarted(cluster, 'agent', agent)
    p = ns.phase('ends', 'Failed')
    assert state_of(p)[1]['exitCode'] == 3
    ns.gone('pods', 'leaves')
    eventually(lambda: is_ready(node(cluster)), 20)
    after = ns.ready('stays')
    assert ns.container_pid('stays') == pid
    assert container_of(after)['restartCount'] == 0 and container_of(after)['containerID'] == container_of(before)['containerID']
    assert after['status']['podIP'] == before['status']['podIP']
    ns.pod('new', shell('true'), restartPolicy='Never')
    ns.phase('new', 'Succeeded')


def test_container_that_ends_while_there_is_no_agent_is_restarted_by_the_next(cluster, ns):
    ns.pod('a', shell(SLEEP))
    ns.ready('a')
    pid, agent = ns.container_pid('a'), cluster.process('agent')
    cluster.kill(agent), cluster.kill(pid)
    p = ns.wait('pods', 'a', lambda p: container_of(p)['restartCount'] == 1 and is_ready(p), 40)
    assert container_of(p)['lastState']['terminated']['exitCode'] == 137


def test_agent_killed_again_and_again_while_pods_start_leaves_none_behind(cluster, ns):
    for i in range(2):
        for j in range(6):
            ns.pod(f'p{i}{j}', shell(SLEEP))
        time.sleep(0.05 + 0.1 * i)
        agent = cluster.process('agent')
        cluster.kill(agent)
        restarted(cluster, 'agent', agent)
    for i in range(2):
        for j in range(6):
            ns.ready(f'p{i}{j}', 60)
    uids = {p['metadata']['uid'] for p in ns.items('pods')}
    monitors = lambda: [a for a in cluster.lab.processes().values() if re.match(r'\S*conmon ', a) and any(u in a for u in uids)]  # noqa: E731
    eventually(lambda: len(monitors()) == 12, 10, lambda: '\n'.join(monitors()))


def test_nothing_is_lost_when_the_server_is_killed(cluster, ns):
    ns.pod('a', shell(SLEEP))
    ns.ready('a')
    pid, server, agent = ns.container_pid('a'), cluster.process('server'), cluster.process('agent')
    made = []
    for i in range(50):
        ns.create({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': f'c{i}'}, 'data': {'i': str(i)}})
        made.append(f'c{i}')
    cluster.kill(server)
    restarted(cluster, 'server', server)
    eventually(lambda: healthy(cluster), 30)
    kept = {c['metadata']['name'] for c in ns.items('configmaps')}
    assert set(made) <= kept
    assert ns.container_pid('a') == pid and cluster.process('agent') == agent
    assert container_of(ns.get('pods', 'a'))['restartCount'] == 0
    ns.pod('b', shell('true'), restartPolicy='Never')
    ns.phase('b', 'Succeeded')


def healthy(cluster):
    try:
        return cluster.api.request('GET', '/readyz')[0] == 200
    except OSError:
        return False


def test_killed_monitor_costs_its_container_a_restart_at_most(cluster, ns):
    ns.pod('a', shell(SLEEP))
    p = ns.ready('a')
    cid = container_of(p)['containerID'].split('//')[1]
    monitor = [pid for pid, a in cluster.lab.processes().items() if re.match(r'\S*conmon ', a) and cid in a]
    pid = ns.container_pid('a')
    cluster.kill(monitor[0])
    cluster.kill(pid)
    p = ns.wait('pods', 'a', lambda p: container_of(p)['restartCount'] >= 1 and is_ready(p), 40)
    assert container_of(p)['containerID'].split('//')[1] != cid


def test_killed_monitor_alone_leaves_no_second_copy_of_the_container(cluster, ns):
    ns.pod('a', shell('exec sleep 43210'))
    p = ns.ready('a')
    cid = container_of(p)['containerID'].split('//')[1]
    monitor = [pid for pid, a in cluster.lab.processes().items() if re.match(r'\S*conmon ', a) and cid in a]
    cluster.kill(monitor[0])
    time.sleep(1)
    eventually(lambda: is_ready(ns.get('pods', 'a')) and sum('sleep 43210' == a for a in cluster.lab.processes().values()) == 1, 40,
               lambda: f"{ns.get('pods', 'a')['status']} {cluster.lab.processes()}")
    ns.delete('pods', 'a')
    ns.gone('pods', 'a')
    assert not [a for a in cluster.lab.processes().values() if a == 'sleep 43210']


def test_killed_container_is_restarted_and_tells_why(cluster, ns):
    ns.pod('a', shell(SLEEP))
    ns.ready('a')
    cluster.kill(ns.container_pid('a'))
    p = ns.wait('pods', 'a', lambda p: container_of(p)['restartCount'] == 1 and is_ready(p), 30)
    assert container_of(p)['lastState']['terminated']['exitCode'] == 137


def test_killed_net_helper_comes_back_and_probes_go_on(cluster, ns):
    ns.pod('a', shell('mkdir /tmp/w; echo ok > /tmp/w/index.html; httpd -p 8080 -h /tmp/w; ' + SLEEP,
                      readinessProbe={'httpGet': {'path': '/', 'port': 8080}, 'periodSeconds': 1, 'failureThreshold': 3}))
    ns.ready('a')
    rows = [line.split(None, 3) for line in cluster.lab.run('ps', '-eo', 'pid,ppid,user,args').stdout.splitlines()[1:]]
    helpers = [int(pid) for pid, ppid, user, args in rows if int(ppid) == cluster.process('agent') and user == 'nobody']
    assert helpers, rows
    for h in helpers:
        cluster.kill(h)
    time.sleep(5)
    assert is_ready(ns.get('pods', 'a'))
    assert ns.lab.run('dig', '+short', '+time=2', '@10.96.0.10', 'kubernetes.default.svc.cluster.local').stdout == '10.96.0.1\n'


# What is left behind

def traces(cluster):
    """Everything that pods make on a machine, by kind."""
    sh = lambda script: sorted(cluster.lab.run('sh', '-c', script).stdout.split('\n')[:-1])  # noqa: E731
    return {
        'mounts': sorted(line.split()[1] for line in cluster.lab.run('cat', '/proc/self/mounts').stdout.splitlines()),
        'namespaces': sh("lsns -n -t net -o NS,TYPE,COMMAND"),
        'links': sorted(re.sub(r'[@:].*', '', line.split()[1]) for line in sh('ip -o link')),
        'routes': [r for r in sh('ip route show table all') if not re.search('fe80|ff00', r)], # those come late
        'cgroups': sh(f'find /sys/fs/cgroup -path "*{cluster.lab.parent}*" -type d 2>/dev/null; true'), # other labs' come and go
        'processes': sorted(a for a in cluster.lab.processes().values() if not re.match(r'(ps|sh|cat|bash|nsenter|find|lsns) ', a)),
        'kubelet': sh('find /var/lib/kubelet/pods /var/log/pods /var/log/containers -mindepth 1 2>/dev/null; true'),
        'run': sh('find /run/sampan/agent -mindepth 1 -not -name "*.sock" 2>/dev/null; true'),
        'state': sh('find /var/lib/sampan/agent/containers -mindepth 1 -maxdepth 1 2>/dev/null; true'),
        'nft': sh('nft -s list tables'),
        'pods in nft': [line for line in sh('nft list ruleset') if '10.244.0.' in line and '10.244.0.0' not in line],
    }


def test_twenty_rounds_of_ten_pods_leave_nothing(cluster):
    n = cluster.namespace('rounds')
    c = [shell('exec sleep 1000', v, volumeMounts=[{'name': 'v', 'mountPath': '/v'}]) for v in ('one',)]
    volumes = [{'name': 'v', 'emptyDir': {'medium': 'Memory'}}]
    eventually(lambda: not cluster.api.call('GET', path_of('pods'))['items'], 60, lambda: 'pods of other tests')
    before = None
    for i in range(20):
        for j in range(10):
            n.pod(f'p{j}', *c, volumes=volumes, terminationGracePeriodSeconds=0 if i % 2 else 1)
        if i < 3:
            for j in range(10):
                n.ready(f'p{j}', 60)
        else:
            eventually(lambda: sum(p['status'].get('phase') == 'Running' for p in n.items('pods')) >= (i % 4) * 3, 60)
        n.api.call('DELETE', path_of('pods', n.name), {'gracePeriodSeconds': 0} if i % 2 else None)
        eventually(lambda: not n.items('pods'), 60, lambda: str([p['metadata']['name'] for p in n.items('pods')]))
        if i == 0:
            before = traces_settled(cluster)
    after = traces_settled(cluster, before)
    for kind, was in before.items():
        assert after[kind] == was, f'{kind}: {sorted(set(after[kind]) ^ set(was))}'
    cluster.remove_namespace(n, wait=True)


def traces_settled(cluster, want=None):
    """Traces once they are as wanted, or have stopped to change."""
    seen = None
    for _ in range(40):
        now = traces(cluster)
        if now == (want or seen):
            return now
        seen = now
        time.sleep(0.5)
    return seen


def test_down_leaves_no_trace_and_up_finds_everything_again(cluster):
    n = cluster.namespace('kept')
    n.pod('a', shell(SLEEP, volumeMounts=[{'name': 'v', 'mountPath': '/v'}]), volumes=[{'name': 'v', 'emptyDir': {'medium': 'Memory'}}])
    n.pod('b', shell(SLEEP), hostNetwork=True)
    n.pod('c', shell(SLEEP), shareProcessNamespace=True)
    for name in 'abc':
        n.ready(name)
    cluster.down()
    now = traces(cluster)
    for kind, was in cluster.clean.items():
        assert now[kind] == was, f'{kind}: {sorted(set(now[kind]) ^ set(was))}'
    cluster.down()
    cluster.up()
    for name in 'abc':
        n.wait('pods', name, lambda p: is_ready(p) and container_of(p)['restartCount'] >= 0, 60)
    assert len([a for a in cluster.lab.processes().values() if re.match(r'\S*conmon ', a)]) == 3
    cluster.remove_namespace(n, wait=True)


def test_up_twice_is_refused(cluster):
    done = cluster.lab.run(cluster.sampan, 'up', '--background', '--cgroup-parent', cluster.lab.parent, check=False)
    assert done.returncode != 0 and 'already running' in done.stderr


def test_killed_parent_can_be_started_again(cluster, ns):
    ns.pod('a', shell(SLEEP))
    ns.ready('a')
    pid = ns.container_pid('a')
    parent = int(cluster.lab.read('/run/sampan/up.pid'))
    cluster.kill(parent)
    eventually(lambda: not [a for a in cluster.lab.processes().values() if a.startswith('sampan server ') or a.startswith('sampan agent ')], 30)
    assert cluster.lab.run('kill', '-0', str(pid), check=False).returncode == 0
    cluster.up()
    p = ns.ready('a')
    assert ns.container_pid('a') == pid and container_of(p)['restartCount'] == 0
