"""Pods from their creation to their end: phases, restarts, init containers and sidecars, termination, hooks, probes."""
import json

import pytest

from cluster import SLEEP, cluster, container_of, eventually, is_ready, ns, shell, state_of  # noqa: F401


def test_pod_runs_and_gets_an_address(ns):
    ns.pod('a', shell(SLEEP))
    p = ns.ready('a')
    assert p['status']['phase'] == 'Running'
    assert p['status']['podIP'].startswith('10.244.0.')
    assert p['status']['podIPs'] == [{'ip': p['status']['podIP']}]
    assert p['status']['hostIP'] == '10.88.0.1'
    assert p['status']['qosClass'] == 'BestEffort'
    assert {c['type']: c['status'] for c in p['status']['conditions']} == {
        'PodScheduled': 'True', 'PodReadyToStartContainers': 'True', 'Initialized': 'True', 'ContainersReady': 'True', 'Ready': 'True'}
    assert {'Scheduled', 'Created', 'Started'} <= {r for r, _ in eventually(
        lambda: 'Started' in {r for r, _ in ns.events('a')} and ns.events('a'), 10)}


def test_pod_that_ends_well_is_succeeded(ns):
    log = ns.run('a', 'echo out; echo err >&2')
    p = ns.get('pods', 'a')
    assert p['status']['phase'] == 'Succeeded'
    assert sorted(log.split()) == ['err', 'out']
    kind, t = state_of(p)
    assert (kind, t['exitCode'], t['reason']) == ('terminated', 0, 'Completed')
    assert t['startedAt'] <= t['finishedAt']


def test_a_pod_that_has_ended_is_never_said_to_run_again(ns):
    first = ns.pod('a', shell('true'), restartPolicy='Never')['metadata']['resourceVersion']
    ns.phase('a', 'Succeeded')
    eventually(lambda: not ns.lab.run('sh', '-c', 'ls /run/sampan/agent/pods').stdout)  # it is taken apart
    lines = ns.api.call('GET', f'/api/v1/namespaces/{ns.name}/pods?watch=true&timeoutSeconds=1&resourceVersion={first}')
    phases = [json.loads(line)['object']['status']['phase'] for line in lines.splitlines()]
    assert phases == sorted(phases), phases  # Pending, Running, Succeeded


def test_pod_that_ends_badly_is_failed_and_tells_its_exit_code(ns):
    ns.run('a', 'exit 7')
    p = ns.get('pods', 'a')
    kind, t = state_of(p)
    assert (p['status']['phase'], t['exitCode'], t['reason']) == ('Failed', 7, 'Error')


def test_container_that_a_signal_ends_has_128_and_its_number(ns):
    ns.run('a', 'sh -c "kill -9 \\$PPID"; sleep 5', spec={'shareProcessNamespace': True})
    kind, t = state_of(ns.get('pods', 'a'))
    assert (kind, t['exitCode']) == ('terminated', 137), t


@pytest.mark.parametrize('command,words', [
    ('/no/such/thing', 'exec: "/no/such/thing": stat /no/such/thing: no such file or directory'),
    ('nothing', 'exec: "nothing": executable file not found in $PATH'), ('/tmp', 'exec: "/tmp": is a directory')])
def test_command_that_does_not_exist_is_told(ns, command, words):
    ns.pod('a', dict(shell(''), command=[command]), restartPolicy='Never')
    kind, t = state_of(ns.phase('a', 'Failed'))
    assert kind == 'terminated' and (t['exitCode'], t['reason'], t['startedAt']) == (128, 'StartError', '1970-01-01T00:00:00Z')
    assert t['message'].startswith('failed to create containerd task: failed to create shim task: OCI runtime create failed: ')
    assert t['message'].endswith(words + ': unknown'), t
    eventually(lambda: ('Failed', 'Error: ' + t['message']) in ns.events('a'), 10, lambda: ns.events('a'))


def test_command_that_does_not_exist_is_tried_again(ns):
    ns.pod('a', dict(shell(''), command=['nothing']))
    p = ns.wait('pods', 'a', lambda p: state_of(p)[1].get('reason') == 'CrashLoopBackOff')
    assert container_of(p)['lastState']['terminated']['reason'] == 'StartError'


@pytest.mark.parametrize('terminal', [False, True])
def test_exec_of_what_does_not_exist(ns, terminal):
    ns.pod('a', shell(SLEEP))
    ns.ready('a')
    done = ns.kubectl('exec', *(['-it'] if terminal else []), 'a', '--', 'nothing', check=False)
    assert done.returncode == 1 and 'error: Internal error occurred: error executing command in container: failed to exec in ' \
        'container: failed to start exec "' in done.stderr, done
    assert 'OCI runtime exec failed: exec failed: unable to start container process: exec: "nothing": executable file not ' \
        'found in $PATH: unknown' in done.stderr, done
    assert ns.kubectl('exec', 'a', '--', 'sh', '-c', 'exit 127', check=False).returncode == 127


def test_probe_that_cannot_ask_does_not_count(ns):
    ns.pod('a', shell(SLEEP, livenessProbe={'exec': {'command': ['nothing']}, 'periodSeconds': 1, 'failureThreshold': 1}))
    said = eventually(lambda: [m for r, m in ns.events('a') if r == 'Unhealthy'], 10, lambda: ns.events('a'))
    assert said[0].startswith('Liveness probe errored and resulted in unknown state: '), said
    assert container_of(ns.ready('a'))['restartCount'] == 0


def test_restart_always_backs_off_and_counts(ns):
    ns.pod('a', shell('exit 0'))
    p = ns.wait('pods', 'a', lambda p: container_of(p)['restartCount'] >= 1
                and state_of(p)[0] == 'waiting' and state_of(p)[1].get('reason') == 'CrashLoopBackOff', 30)
    assert p['status']['phase'] == 'Running'
    assert 'back-off 10s restarting failed container=c pod=a_' in state_of(p)[1]['message'] or \
        'back-off 20s restarting failed container=c pod=a_' in state_of(p)[1]['message']
    assert container_of(p)['lastState']['terminated']['exitCode'] == 0
    eventually(lambda: 'BackOff' in {r for r, _ in ns.events('a')}, 10)


def test_restart_on_failure_restarts_until_it_succeeds(ns):
    ns.pod('a', shell('test -f /v/x && exit 0; touch /v/x; exit 3', volumeMounts=[{'name': 'v', 'mountPath': '/v'}]),
           restartPolicy='OnFailure', volumes=[{'name': 'v', 'emptyDir': {}}])
    p = ns.phase('a', 'Succeeded')
    assert container_of(p)['restartCount'] == 1
    assert container_of(p)['lastState']['terminated']['exitCode'] == 3


def test_init_containers_run_in_order_before_the_others(ns):
    mount = {'volumeMounts': [{'name': 'v', 'mountPath': '/v'}]}
    ns.pod('a', shell('echo main >> /v/l; cat /v/l', **mount), restartPolicy='Never', volumes=[{'name': 'v', 'emptyDir': {}}],
           initContainers=[shell('sleep 0.3; echo one >> /v/l', 'one', **mount), shell('echo two >> /v/l', 'two', **mount)])
    p = ns.phase('a', 'Succeeded')
    assert ns.log('a', 'c').split() == ['one', 'two', 'main']
    assert [c['state']['terminated']['reason'] for c in p['status']['initContainerStatuses']] == ['Completed'] * 2


def test_init_container_that_fails_fails_the_pod_and_the_rest_never_runs(ns):
    ns.pod('a', shell('true'), restartPolicy='Never', initContainers=[shell('exit 4', 'one'), shell('true', 'two')])
    p = ns.phase('a', 'Failed')
    assert container_of(p, 'one', 'initContainerStatuses')['state']['terminated']['exitCode'] == 4
    assert state_of(p, 'two', 'initContainerStatuses')[1]['reason'] == 'PodInitializing'
    assert state_of(p)[1]['reason'] == 'PodInitializing'
    assert any(c['type'] == 'Initialized' and c['status'] == 'False' for c in p['status']['conditions'])


def test_sidecar_starts_first_stays_and_ends_last(ns):
    mount = {'volumeMounts': [{'name': 'v', 'mountPath': '/v'}]}
    side = shell("trap 'echo side-end >> /v/l; cat /v/l; exit 0' TERM; echo side >> /v/l; while :; do sleep 0.1; done", 'side',
                 restartPolicy='Always', startupProbe={'exec': {'command': ['grep', 'side', '/v/l']}, 'periodSeconds': 1}, **mount)
    ns.pod('a', shell('echo main >> /v/l', **mount), restartPolicy='Never', initContainers=[side], terminationGracePeriodSeconds=5,
           volumes=[{'name': 'v', 'emptyDir': {}}])
    p = ns.phase('a', 'Succeeded')
    assert ns.log('a', 'side').split() == ['side', 'main', 'side-end']
    assert container_of(p, 'side', 'initContainerStatuses')['state']['terminated']['exitCode'] == 0


def test_pod_under_termination_gets_sigterm_and_is_gone_when_it_ends(ns):
    ns.pod('a', shell("trap 'echo bye > /h/term; exit 0' TERM; while :; do sleep 0.05; done", volumeMounts=[{'name': 'h', 'mountPath': '/h'}]),
           terminationGracePeriodSeconds=30, volumes=[{'name': 'h', 'hostPath': {'path': '/run/term', 'type': 'DirectoryOrCreate'}}])
    ns.ready('a')
    ns.delete('pods', 'a')
    assert ns.get('pods', 'a')['metadata']['deletionGracePeriodSeconds'] == 30
    ns.gone('pods', 'a', 5)
    assert ns.lab.read('/run/term/term') == 'bye\n'


def test_pod_that_ignores_sigterm_is_killed_after_its_grace(ns):
    ns.pod('a', shell("trap '' TERM; while :; do sleep 0.1; done"), terminationGracePeriodSeconds=2)
    ns.ready('a')
    import time
    t = time.monotonic()
    ns.delete('pods', 'a')
    ns.gone('pods', 'a', 10)
    assert 1.5 < time.monotonic() - t < 6


def test_delete_with_no_grace_ends_the_processes_too(ns, cluster):
    ns.pod('a', shell("trap '' TERM; exec sleep 98765"), terminationGracePeriodSeconds=60)
    ns.ready('a')
    ns.delete('pods', 'a', gracePeriodSeconds=0)
    assert not ns.exists('pods', 'a')
    eventually(lambda: not any('sleep 98765' in a for a in cluster.lab.processes().values()), 10)


def test_hooks_run_after_start_and_before_stop(ns):
    mount = {'volumeMounts': [{'name': 'h', 'mountPath': '/h'}]}
    ns.pod('a', shell("trap 'echo term >> /h/l; exit 0' TERM; while :; do sleep 0.05; done", lifecycle={
        'postStart': {'exec': {'command': ['sh', '-c', 'echo post >> /h/l']}},
        'preStop': {'exec': {'command': ['sh', '-c', 'echo pre >> /h/l; sleep 0.5; echo pre2 >> /h/l']}}}, **mount),
        terminationGracePeriodSeconds=10, volumes=[{'name': 'h', 'hostPath': {'path': '/run/hooks', 'type': 'DirectoryOrCreate'}}])
    ns.ready('a')
    ns.delete('pods', 'a')
    ns.gone('pods', 'a', 15)
    assert ns.lab.read('/run/hooks/l').split() == ['post', 'pre', 'pre2', 'term']


def test_post_start_that_fails_restarts_the_container(ns):
    ns.pod('a', shell(SLEEP, lifecycle={'postStart': {'exec': {'command': ['sh', '-c', 'exit 9']}}}))
    ns.wait('pods', 'a', lambda p: container_of(p)['restartCount'] >= 1 or state_of(p)[1].get('reason') in
            ('PostStartHookError', 'CrashLoopBackOff'))
    eventually(lambda: 'FailedPostStartHook' in {r for r, _ in ns.events('a')}, 10, lambda: str(ns.events('a')))


def test_active_deadline_ends_the_pod(ns):
    ns.pod('a', shell(SLEEP), activeDeadlineSeconds=2)
    p = ns.phase('a', 'Failed', 15)
    assert p['status']['reason'] == 'DeadlineExceeded'
    assert p['status']['message'] == 'Pod was active on the node longer than the specified deadline'


def test_termination_message_from_its_file_and_from_the_log(ns):
    ns.pod('f', shell('echo -n because > /dev/termination-log; exit 1'), restartPolicy='Never')
    ns.pod('l', shell('echo one; echo two; exit 1', terminationMessagePolicy='FallbackToLogsOnError'), restartPolicy='Never')
    assert state_of(ns.phase('f', 'Failed'))[1]['message'] == 'because'
    assert state_of(ns.phase('l', 'Failed'))[1]['message'] == 'one\ntwo\n'


def test_containers_of_a_pod_share_network_and_hostname_but_not_files(ns):
    ns.pod('a', shell('touch /tmp/mine; httpd -f -p 8080 -h /etc', 'one'),
           shell('sleep 0.5; hostname; wget -qO- http://127.0.0.1:8080/hostname; ls /tmp', 'two'), restartPolicy='Never',
           hostname='alice', subdomain='wonder')
    ns.wait('pods', 'a', lambda p: state_of(p, 'two')[0] == 'terminated')
    assert ns.log('a', 'two').split() == ['alice', 'alice']


def test_host_network_pod_has_the_nodes_address(ns):
    ns.pod('a', shell(SLEEP), hostNetwork=True)
    p = ns.ready('a')
    assert p['status']['podIP'] == '10.88.0.1'


def test_pod_that_fits_nowhere_stays_pending_and_says_why(ns):
    ns.pod('a', shell('true', resources={'requests': {'cpu': '1000'}}))
    p = ns.wait('pods', 'a', lambda p: p['status'].get('conditions'))
    c = p['status']['conditions'][0]
    assert (c['type'], c['status'], c['reason']) == ('PodScheduled', 'False', 'Unschedulable')
    assert c['message'].startswith('0/1 nodes are available: 1 Insufficient cpu.')
    eventually(lambda: 'FailedScheduling' in {r for r, _ in ns.events('a')}, 10)


# Probes

def test_liveness_probe_that_fails_restarts_the_container(ns):
    ns.pod('a', shell('touch /tmp/ok; ' + SLEEP, livenessProbe={'exec': {'command': ['sh', '-c', 'test $(awk \'{print int($1)}\' /proc/uptime) -lt 0']},
                                                                 'periodSeconds': 1, 'failureThreshold': 1}))
    p = ns.wait('pods', 'a', lambda p: container_of(p)['restartCount'] >= 1, 20)
    assert container_of(p)['lastState']['terminated']['exitCode'] in (0, 137, 143)
    events = dict(eventually(lambda: {'Unhealthy', 'Killing'} <= {r for r, _ in ns.events('a')} and ns.events('a'), 10))
    assert events['Unhealthy'].startswith('Liveness probe failed')
    assert events['Killing'] == 'Container c failed liveness probe, will be restarted'


@pytest.mark.parametrize('kind', ['exec', 'http', 'tcp'])
def test_readiness_probe_decides_whether_the_pod_is_ready(ns, kind):
    script = {'exec': 'sleep 1.5; touch /tmp/ok; ' + SLEEP,
              'http': 'mkdir /tmp/w; httpd -p 8080 -h /tmp/w; sleep 1.5; echo ok > /tmp/w/healthz; ' + SLEEP,
              'tcp': 'sleep 1.5; httpd -p 8080 -h /tmp; ' + SLEEP}[kind]
    handler = {'exec': {'exec': {'command': ['cat', '/tmp/ok']}}, 'http': {'httpGet': {'path': '/healthz', 'port': 'web'}},
               'tcp': {'tcpSocket': {'port': 8080}}}[kind]
    ns.pod('a', shell(script, ports=[{'name': 'web', 'containerPort': 8080}],
                      readinessProbe=dict(handler, periodSeconds=1, failureThreshold=1)))
    p = ns.phase('a', 'Running')
    assert not is_ready(p)
    ready = [c for c in p['status']['conditions'] if c['type'] == 'Ready'][0]
    assert (ready['reason'], ready['message']) == ('ContainersNotReady', 'containers with unready status: [c]')
    ns.ready('a', 15)
    assert container_of(ns.get('pods', 'a'))['restartCount'] == 0


def test_startup_probe_holds_the_others_back(ns):
    ns.pod('a', shell('sleep 2.5; touch /tmp/up; ' + SLEEP, startupProbe={'exec': {'command': ['cat', '/tmp/up']}, 'periodSeconds': 1, 'failureThreshold': 20},
                      livenessProbe={'exec': {'command': ['cat', '/tmp/up']}, 'periodSeconds': 1, 'failureThreshold': 1}))
    assert container_of(ns.phase('a', 'Running'))['started'] is False
    p = ns.ready('a', 15)
    assert container_of(p)['started'] is True and container_of(p)['restartCount'] == 0


def test_startup_probe_that_never_succeeds_restarts(ns):
    ns.pod('a', shell(SLEEP, startupProbe={'exec': {'command': ['false']}, 'periodSeconds': 1, 'failureThreshold': 2}))
    ns.wait('pods', 'a', lambda p: container_of(p)['restartCount'] >= 1, 20)
