"""Ephemeral containers: kubectl debug into a pod that runs. Source: KEP-277."""
from cluster import BUSYBOX, SLEEP, cluster, container_of, eventually, is_ready, ns, shell, state_of # noqa: F401 (fixtures)

KIND = 'ephemeralContainerStatuses'


def debug(ns, pod, name, script, *more, check=True):
    return ns.kubectl('debug', pod, '-i', '--image', BUSYBOX, '--image-pull-policy=Never', '-c', name, *more, '--', 'sh',
                      input=script + '\n', check=check)


def test_debug_sees_the_target_and_is_never_restarted(ns):
    ns.pod('a', shell('exec sleep 54321', volumeMounts=[{'name': 'v', 'mountPath': '/v'}]), shell(SLEEP, 'other'),
           volumes=[{'name': 'v', 'emptyDir': {}}])
    uid = ns.ready('a')['metadata']['uid']
    out = debug(ns, 'a', 'look', 'sleep 1; ps -o args; hostname; exit 3', '--target=c').stdout
    assert 'sleep 54321' in out and 'while :' not in out and out.splitlines()[-1] == 'a', out
    p = ns.wait('pods', 'a', lambda p: state_of(p, 'look', KIND)[0] == 'terminated')
    status = container_of(p, 'look', KIND)
    assert (status['state']['terminated']['exitCode'], status['ready'], status['restartCount']) == (3, False, 0)
    assert 'started' not in status and is_ready(p) and p['metadata']['uid'] == uid
    assert ('Started', 'Started container look') in ns.events('a')
    fields = {e['involvedObject'].get('fieldPath') for e in ns.items('events')}
    assert 'spec.ephemeralContainers{look}' in fields, fields
    # another one, in a namespace of its own, and the first stays as it ended
    out = debug(ns, 'a', 'again', 'sleep 1; ps -o args; exit').stdout
    assert 'sleep 54321' not in out
    p = ns.wait('pods', 'a', lambda p: state_of(p, 'again', KIND)[0] == 'terminated')
    assert len(p['status'][KIND]) == 2 and container_of(p, 'look', KIND) == status
    assert ns.kubectl('logs', 'a', '-c', 'look').stdout == ns.log('a', 'look') != ''


def test_debug_runs_on_when_the_agent_comes_again(ns, cluster):
    ns.pod('a', shell(SLEEP))
    ns.ready('a')
    pod = ns.get('pods', 'a')
    pod['spec']['ephemeralContainers'] = [shell('while :; do sleep 0.2; done', 'stay')]
    ns.api.call('PUT', f'/api/v1/namespaces/{ns.name}/pods/a/ephemeralcontainers', pod)
    before = container_of(ns.wait('pods', 'a', lambda p: state_of(p, 'stay', KIND)[0] == 'running'), 'stay', KIND)
    agent = cluster.process('agent')
    cluster.kill(agent)
    eventually(lambda: cluster.find('agent') not in (None, agent))
    ns.pod('b', shell(SLEEP))
    ns.ready('b')
    assert container_of(ns.get('pods', 'a'), 'stay', KIND) == before
    assert ns.kubectl('exec', 'a', '-c', 'stay', '--', 'echo', 'alive').stdout == 'alive\n'
    ns.delete('pods', 'a')
    ns.gone('pods', 'a')


def test_image_of_a_debugger_that_is_not_there(ns):
    ns.pod('a', shell(SLEEP))
    ns.ready('a')
    pod = ns.get('pods', 'a')
    pod['spec']['ephemeralContainers'] = [dict(shell('true', 'x', image='127.0.0.1:1/none:1', imagePullPolicy='Always'))]
    ns.api.call('PUT', f'/api/v1/namespaces/{ns.name}/pods/a/ephemeralcontainers', pod)
    p = ns.wait('pods', 'a', lambda p: state_of(p, 'x', KIND)[1].get('reason') == 'ErrImagePull')
    assert is_ready(p)


def test_debug_of_the_node(ns, cluster):
    out = ns.kubectl('debug', 'node/' + cluster.node, '-i', '--image', BUSYBOX, '--image-pull-policy=Never', '--', 'sh',
                     input='sleep 1; ps -o args; ls /host/var/lib/sampan; ip addr show host0; ipcs | head -3; exit\n').stdout
    assert 'sampan agent' in out and 'agent' in out and '10.88.0.1' in out, out
    p = [p for p in ns.items('pods') if p['metadata']['name'].startswith('node-debugger')][0]
    assert p['spec']['hostPID'] and p['spec']['hostIPC'] and p['spec']['hostNetwork']
    ns.phase(p['metadata']['name'], 'Succeeded')


def test_sidecar_that_ends_early_does_not_hold_the_next_back(ns):
    mount = {'volumeMounts': [{'name': 'v', 'mountPath': '/v'}]}
    side = shell('echo side >> /v/l; sleep 0.5; exit 1', 'side', restartPolicy='Always', **mount)
    ns.pod('a', shell('cat /v/l', **mount), initContainers=[side, shell('sleep 2; echo one >> /v/l', 'one', **mount),
                                                          shell('echo two >> /v/l', 'two', **mount)],
           restartPolicy='Never', volumes=[{'name': 'v', 'emptyDir': {}}])
    p = ns.phase('a', 'Succeeded', 8)  # the sidecar waits 10 s for its third run
    assert ns.log('a', 'c').split() == ['side', 'side', 'one', 'two']
    assert container_of(p, 'side', 'initContainerStatuses')['restartCount'] == 1
