"""What is left of pods when they are gone: nothing; and what the agent does about processes that were killed under it."""
import glob
import os

from cluster import SLEEP, cluster, container_of, eventually, find_tool, ns, shell # noqa: F401 (fixtures)


def traces(ns):
    """Everything on the machine that belongs to pods."""
    lab = ns.lab
    found = {}
    for where in ('/var/lib/kubelet/pods', '/var/log/pods', '/var/log/containers', '/run/sampan/agent/pods', '/run/sampan/agent/containers',
                  '/run/sampan/agent/exits', '/run/sampan/agent/crun', '/run/sampan/agent/socks', '/var/lib/sampan/agent/containers'):
        try:
            found[where] = os.listdir(lab.path(where))
        except FileNotFoundError:
            found[where] = []
    found['mounts'] = [line.split()[1] for line in lab.run('cat', '/proc/mounts').stdout.splitlines()
                       if '/kubelet/' in line or '/run/sampan/' in line]
    found['cgroups'] = [d for base in glob.glob('/sys/fs/cgroup/*') + ['/sys/fs/cgroup']
                        for d in glob.glob(f'{base}/{lab.parent}/kubepods/**/pod*', recursive=True)]
    found['links'] = [line.split(':')[1].strip() for line in lab.run('ip', '-o', 'link', 'show', 'type', 'veth').stdout.splitlines()
                      if not any(own in line for own in ('wire0', 'host0'))] # the lab's own
    found['processes'] = [a for a in lab.processes().values() if 'conmon' in a.split()[0] or 'sampan-init' in a]
    return {k: v for k, v in found.items() if v}


def nothing_left(ns):
    eventually(lambda: not traces(ns), 3, lambda: traces(ns))


def test_twenty_cycles_of_ten_pods_leave_nothing(ns):
    ns.create({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'cm'}, 'data': {'k': 'v'}})
    eventually(lambda: not traces(ns), 10, lambda: traces(ns))
    volumes = [{'name': 'e', 'emptyDir': {}}, {'name': 'm', 'emptyDir': {'medium': 'Memory'}}, {'name': 'c', 'configMap': {'name': 'cm'}}]
    mounts = [{'name': 'e', 'mountPath': '/e'}, {'name': 'm', 'mountPath': '/m'}, {'name': 'c', 'mountPath': '/c', 'subPath': 'k'}]
    for cycle in range(20):
        names = [f'p{cycle}-{i}' for i in range(10)]
        for name in names:
            ns.pod(name, shell(SLEEP, volumeMounts=mounts), volumes=volumes, shareProcessNamespace=cycle % 2 == 1)
        for name in names:
            ns.ready(name)
        for name in names:
            ns.delete('pods', name)
        for name in names:
            ns.gone('pods', name)
    nothing_left(ns)


def test_a_killed_monitor_is_noticed(ns):
    ns.pod('p', shell(SLEEP))
    p = ns.ready('p')
    old = container_of(p)['containerID'].split('//')[1]
    monitor = [pid for pid, args in ns.lab.processes().items() if 'conmon' in args.split()[0] and old in args][0]
    ns.cluster.kill(monitor)
    p = ns.wait('pods', 'p', lambda p: container_of(p)['restartCount'] == 1 and container_of(p)['ready'], 15)
    assert container_of(p)['lastState']['terminated']['exitCode'] == 137
    assert old not in ' '.join(ns.lab.processes().values())


def test_a_broken_record_ends_its_containers(ns):
    ns.pod('p', shell(SLEEP))
    uid = ns.ready('p')['metadata']['uid']
    old = container_of(ns.get('pods', 'p'))['containerID'].split('//')[1]
    agent = ns.cluster.process('agent')
    with open(ns.lab.path(f'/run/sampan/agent/pods/{uid}/pod.json'), 'w') as f:
        f.write('{"version": 1, "pod": {"me')
    ns.cluster.kill(agent)
    p = ns.wait('pods', 'p', lambda p: container_of(p)['ready'] and old not in container_of(p)['containerID'], 30)
    assert old not in ' '.join(ns.lab.processes().values()), p
    ns.delete('pods', 'p')
    ns.gone('pods', 'p')


def test_exec_with_a_terminal(ns):
    ns.pod('p', shell(SLEEP))
    ns.ready('p')
    assert find_tool('kubectl')
    done = ns.lab.run('script', '-qec', f'{find_tool("kubectl")} -n {ns.name} exec -it p -- sh -c "tty; exit 3"', '/dev/null', check=False)
    assert '/dev/pts/' in done.stdout and done.returncode == 3, done.stdout + ns.cluster.log()
    done = ns.lab.run('script', '-qec', f'{find_tool("kubectl")} -n {ns.name} exec -it p -- /no/such', '/dev/null', check=False)
    assert done.returncode != 0, done.stdout


def test_agent_stops_clean(ns):
    ns.pod('p', shell(SLEEP))
    ns.ready('p')
    old = ns.cluster.process('agent')
    ns.cluster.kill(old, 15)
    eventually(lambda: old not in ns.lab.processes(), 10)
    assert 'handle still open' not in ns.lab.read('/run/sampan/up.log')
    ns.wait('pods', 'p', lambda p: container_of(p)['restartCount'] == 0 and container_of(p)['ready'], 10)
