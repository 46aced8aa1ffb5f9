"""What test_guest.py has done inside the guest, under systemd: steps.py STEP SAMPAN [ARGS]; ends with an error where something
is not as it should be."""
import glob
import json
import os
import shutil
import subprocess
import sys
import time

KUBECONFIG = '/var/lib/sampan/server/admin.kubeconfig'
PODS = 10


def run(*argv, check=True, input=None):
    done = subprocess.run(argv, capture_output=True, text=True, input=input)
    assert not check or done.returncode == 0, f'{argv}: {done.returncode}\n{done.stdout}{done.stderr}'
    return done.stdout.strip()


def kubectl(*argv, **kw):
    found = sorted(glob.glob(os.environ['SAMPAN_KUBECTLS'])) if os.environ.get('SAMPAN_KUBECTLS') else []
    return run(found[-1] if found else shutil.which('kubectl'), '--kubeconfig', KUBECONFIG, *argv, **kw)


def eventually(look, seconds, what):
    end = time.monotonic() + seconds
    while True:
        got = look()
        if got:
            return got
        assert time.monotonic() < end, f'{what}: not in {seconds} s\n' + run('journalctl', '-b', '-n', '40', '--no-pager', check=False)
        time.sleep(0.3)


def pods():
    return json.loads(kubectl('get', 'pods', '-o', 'json'))['items']


def pids():
    """{container: the process that it is}"""
    return {os.path.basename(os.path.dirname(p)): read(p) for p in glob.glob('/run/sampan/agent/containers/*/pid')}


def read(path):
    with open(path) as f:
        return f.read()


def is_running(pod):
    return pod['status'].get('phase') == 'Running' and all(c['ready'] for c in pod['status'].get('containerStatuses', []))


def all_running():
    found = pods()
    return len(found) == PODS and all(map(is_running, found)) and found


def started(pod):
    return pod['status']['containerStatuses'][0]['state'].get('running', {}).get('startedAt', '')


def deployment():
    return {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'd'}, 'spec': {
        'replicas': PODS, 'selector': {'matchLabels': {'app': 'd'}}, 'template': {'metadata': {'labels': {'app': 'd'}}, 'spec': {
            'terminationGracePeriodSeconds': 2,
            'containers': [{'name': 'c', 'image': 'test/busybox:1', 'command': ['/bin/sh', '-c', "trap 'exit 0' TERM; sleep 9999 & wait"],
                            'resources': {'limits': {'memory': '16Mi'}}}]}}}}


def users(unit):
    return run('ps', '-o', 'user=', '-p', run('systemctl', 'show', '-P', 'MainPID', unit))


def install(sampan, images):
    before = traces()
    with open('/var/lib/sampan/before', 'w') as f:
        json.dump(before, f)
    run(sampan, 'image', 'import', images)
    run(sampan, 'up', '--install')
    assert users('sampan-server') == 'sampan' and users('sampan-agent') == 'root'
    run(sampan, 'up', '--install')  # again is as good
    kubectl('apply', '-f', '-', input=json.dumps(deployment()))
    eventually(all_running, 90, 'pods run')
    held = pids()
    assert len(held) == PODS
    for pid in held.values():
        assert '0::/system.slice/sampan-pods.service/kubepods/burstable/pod' in read(f'/proc/{pid}/cgroup')
    run('systemctl', 'restart', 'sampan-agent')
    run('systemctl', 'kill', '--kill-whom=main', '--signal=KILL', 'sampan-agent', 'sampan-server')
    eventually(lambda: run('systemctl', 'is-active', 'sampan-agent', check=False) == 'active', 30, 'the agent is back')
    eventually(all_running, 30, 'pods run on')
    assert pids() == held, 'containers did not live on'
    assert sum(c['restartCount'] for p in pods() for c in p['status']['containerStatuses']) == 0
    for unit in ('sampan-server', 'sampan-agent'):
        print(run('systemd-analyze', 'security', '--no-pager', unit, check=False).splitlines()[-1])
    with open('/var/lib/sampan/uids', 'w') as f:
        f.write(' '.join(sorted(p['metadata']['uid'] for p in pods())))


def booted(sampan):
    """After a boot, nobody typed anything."""
    start = time.monotonic()
    eventually(lambda: run('systemctl', 'is-active', 'sampan-agent', check=False) == 'active', 60, 'the agent runs')
    agent = time.monotonic()
    with open('/proc/stat') as f:
        boot = int(f.read().split('btime ')[1].split()[0])
    new = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(boot))
    found = eventually(lambda: all_running() and all(started(p) > new for p in pods()) and pods(), 120, 'every pod runs again')
    with open('/var/lib/sampan/uids') as f:
        assert f.read().split() == sorted(p['metadata']['uid'] for p in found), 'other pods than before'
    print(f'{PODS} pods running {time.monotonic() - agent:.1f} s after the agent ({agent - start:.1f} s)')


def purge(sampan):
    run('/usr/local/bin/sampan', 'down', '--purge')
    run('systemctl', 'daemon-reload')
    left = {k: sorted(set(v) - set(BEFORE.get(k, []))) for k, v in traces().items()}
    assert not any(left.values()), left


def traces():
    """Whatever could be of us."""
    return {
        'files': [f for pattern in ('/etc/systemd/system/**/sampan*', '/usr/local/**/sampan*', '/var/lib/sampan/*', '/run/sampan*',
                                    '/var/log/pods*', '/var/log/containers*', '/var/lib/kubelet*', '/etc/apparmor.d/*sampan*')
                  for f in glob.glob(pattern, recursive=True) if f != '/var/lib/sampan/before'],
        'units': run('systemctl', 'list-units', '--all', '--plain', '--no-legend', 'sampan*').split(),
        'users': [u for u in run('getent', 'passwd', 'sampan', check=False).split() + run('getent', 'group', 'sampan', check=False).split()],
        'cgroups': [d for d in glob.glob('/sys/fs/cgroup/**/*', recursive=True) if 'sampan' in d or 'kubepods' in d],
        'processes': [line for line in run('ps', '-eo', 'comm=').splitlines() if line in ('sampan', 'conmon', 'crun')],
        'tables': run('nft', 'list', 'tables').splitlines(), 'links': [line.split()[0] for line in run('ip', '-br', 'link').splitlines()],
        'mounts': [m for m in run('mount').splitlines() if 'sampan/' in m or 'kubelet' in m]}


if __name__ == '__main__':
    BEFORE = json.load(open('/var/lib/sampan/before')) if os.path.exists('/var/lib/sampan/before') else {}
    globals()[sys.argv[1]](*sys.argv[2:])
