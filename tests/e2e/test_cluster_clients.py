"""Unchanged clients against a cluster that runs containers: kubectl of several versions (logs, exec, attach, port-forward, cp,
run, wait), and Helm."""
import glob
import os
import re
import shutil
import subprocess

import pytest

from cluster import ROOT, SLEEP, cluster, container_of, eventually, ns, shell  # noqa: F401
from conftest import KUBECTLS

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(params=sorted(KUBECTLS, key=lambda v: [int(n) for n in re.findall(r'\d+', v)]))
def kubectl(request, cluster, ns):
    """kubectl of each version that is found, in the test's namespace."""
    def run(*argv, **kw):
        return cluster.lab.run(KUBECTLS[request.param], '-n', ns.name, *argv, **kw)
    run.command = [KUBECTLS[request.param], '-n', ns.name]
    return run


def test_logs_follow_tail_previous_and_timestamps(kubectl, ns):
    ns.pod('a', shell('for i in 1 2 3; do echo line $i; done; sleep 1; echo last'), restartPolicy='Never')
    ns.phase('a', 'Running')
    assert kubectl('logs', '-f', 'a').stdout.splitlines() == ['line 1', 'line 2', 'line 3', 'last']
    assert kubectl('logs', '--tail=2', 'a').stdout.splitlines() == ['line 3', 'last']
    assert re.match(r'\d{4}-\d\d-\d\dT\S+ line 1', kubectl('logs', '--timestamps', 'a').stdout)
    ns.pod('b', shell('echo run; exit 1'))
    ns.wait('pods', 'b', lambda p: container_of(p)['restartCount'] >= 1)
    assert kubectl('logs', '-p', 'b').stdout == 'run\n'


def test_exec_gives_output_exit_code_and_takes_input(kubectl, ns):
    ns.pod('a', shell(SLEEP))
    ns.ready('a')
    assert kubectl('exec', 'a', '--', 'sh', '-c', 'echo out; echo err >&2').stdout == 'out\n'
    assert kubectl('exec', 'a', '--', 'sh', '-c', 'exit 7', check=False).returncode == 7
    text = 'x' * 300000 + '\n'
    assert kubectl('exec', '-i', 'a', '--', 'cat', input=text).stdout == text


def test_attach_reads_and_writes_the_container(kubectl, ns):
    ns.pod('a', shell('read x; echo got $x; sleep 1', stdin=True, stdinOnce=True), restartPolicy='Never')
    ns.phase('a', 'Running')
    assert 'got word' in kubectl('attach', '-i', 'a', input='word\n', check=False).stdout + ns.log('a')


def test_port_forward_to_a_pod(kubectl, ns):
    ns.pod('a', shell('mkdir /tmp/w; echo through > /tmp/w/index.html; httpd -f -p 8080 -h /tmp/w'))
    ns.ready('a')
    forward = ns.lab.start(*kubectl.command, 'port-forward', 'pod/a', '18080:8080', stdout=subprocess.PIPE, text=True)
    try:
        assert 'Forwarding from' in forward.stdout.readline()
        for _ in range(3):
            assert ns.lab.http('127.0.0.1', 18080) == (200, 'through\n')
    finally:
        forward.terminate()
        forward.wait(10)


def test_cp_both_ways(kubectl, ns):
    ns.pod('a', shell(SLEEP))
    ns.ready('a')
    data = os.urandom(200000)
    with open(ns.lab.path('/run/sent'), 'wb') as f:
        f.write(data)
    kubectl('cp', '/run/sent', 'a:/tmp/there')
    kubectl('cp', 'a:/tmp/there', '/run/back')
    with open(ns.lab.path('/run/back'), 'rb') as f:
        assert f.read() == data


def test_run_wait_get_describe_delete(kubectl, ns):
    kubectl('run', 'a', '--image=test/busybox:1', '--image-pull-policy=Never', '--restart=Never', '--', 'sleep', '100')
    kubectl('wait', '--for=condition=Ready', 'pod/a', '--timeout=20s')
    assert re.search(r'^a +1/1 +Running +0 ', kubectl('get', 'pods').stdout, re.M)
    assert 'lab' in kubectl('get', 'pod', 'a', '-o', 'wide').stdout
    text = kubectl('describe', 'pod', 'a').stdout
    assert 'Started container a' in text and 'Successfully assigned' in text
    kubectl('delete', 'pod', 'a', '--grace-period=1')
    assert not ns.exists('pods', 'a')


def test_apply_rollout_and_expose(kubectl, ns):
    kubectl('create', 'deployment', 'web', '--image=sampan.dev/shop:v1')
    patch = '{"spec":{"template":{"spec":{"containers":[{"name":"shop","imagePullPolicy":"Never","args":["web"]}]}}}}'
    kubectl('patch', 'deployment', 'web', '-p', patch)
    kubectl('scale', 'deployment', 'web', '--replicas=2')
    kubectl('rollout', 'status', 'deployment/web', '--timeout=30s')
    kubectl('expose', 'deployment', 'web', '--port=80', '--target-port=8080')
    ip = ns.get('services', 'web')['spec']['clusterIP']

    def healthy():
        try:
            return ns.lab.http(ip, 80, '/healthz') == (200, 'ok\n')
        except OSError:
            return False
    eventually(healthy, 15)
    kubectl('delete', 'deployment,service', 'web')


# Helm

HELMS = sorted(glob.glob(ROOT + '/build-clients/*/helm')) or [shutil.which('helm')]


@pytest.fixture(params=HELMS, ids=lambda p: os.path.basename(os.path.dirname(p)) if p else 'none')
def helm(request, cluster, ns):
    if not request.param:
        pytest.skip('no helm: tools/fetch-clients')
    # Helm 4 applies by the server where it may; that is an issue of its own.
    version = cluster.lab.run(request.param, 'version', '--short').stdout
    more = ['--server-side=false'] if version.startswith('v4') else []

    def run(*argv, **kw):
        return cluster.lab.run(request.param, '-n', ns.name, *argv, *(more if argv[0] in ('install', 'upgrade', 'rollback') else []), timeout=90, **kw)
    return run


def test_helm_installs_upgrades_rolls_back_and_uninstalls(helm, ns):
    helm('install', 'fruit', HERE + '/chart', '--wait', '--timeout', '60s')
    ip = ns.get('services', 'fruit')['spec']['clusterIP']

    def says(text):
        try:
            return ns.lab.http(ip, 80) == (200, text)
        except OSError:
            return False
    eventually(lambda: says('hello'), 10)
    assert ns.get('deployments', 'fruit')['status']['availableReplicas'] == 2
    helm('upgrade', 'fruit', HERE + '/chart', '--set', 'greeting=good day,replicas=1', '--wait', '--timeout', '60s')
    eventually(lambda: says('good day'), 20)
    helm('rollback', 'fruit', '1', '--wait', '--timeout', '60s')
    eventually(lambda: says('hello'), 20)
    assert len(helm('history', 'fruit').stdout.splitlines()) == 4
    helm('uninstall', 'fruit', '--wait', '--timeout', '60s')
    eventually(lambda: not ns.items('pods') and not ns.items('deployments') and not ns.exists('services', 'fruit'), 20)


def test_helm_tells_a_hook_that_fails(helm, ns):
    done = helm('install', 'bad', HERE + '/chart', '--set', 'image=nowhere.test/none:1', '--wait', '--timeout', '5s', check=False)
    assert done.returncode != 0 and ('timed out' in done.stderr or 'pre-install' in done.stderr or 'deadline' in done.stderr), done.stderr
