"""What a container's spec asks of the node, each once on a real container."""
import glob
import json
import os
import socket
import time

from cluster import SLEEP, cluster, container_of, eventually, ns, shell, state_of # noqa: F401 (fixtures)

GRPC = r'''
import socket, struct
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", 5051)); s.listen(8)
def frame(kind, flags, stream, body): return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body
def read(c, n):
    b = b""
    while len(b) < n:
        part = c.recv(n - len(b))
        if not part: raise OSError
        b += part
    return b
while True:
    c, _ = s.accept()
    try:
        read(c, 24); c.sendall(frame(4, 0, 0, b""))
        while True:
            h = read(c, 9); n = int.from_bytes(h[:3], "big"); body = read(c, n); kind, flags = h[3], h[4]
            stream = int.from_bytes(h[5:9], "big") & 0x7fffffff
            if kind == 4 and not flags & 1: c.sendall(frame(4, 1, 0, b""))
            if kind == 0 and flags & 1:
                status = 1 if b"good" in body else 2
                t = b"application/grpc"
                c.sendall(frame(1, 4, stream, b"\x88\x0f\x10" + bytes([len(t)]) + t) + frame(0, 0, stream, b"\0\0\0\0\2\x08" + bytes([status])) +
                          frame(1, 5, stream, b"\0\x0bgrpc-status\x010"))
    except OSError: pass
    c.close()
'''
MOUNT_V = [{'name': 'v', 'mountPath': '/v'}]
EMPTY_V = [{'name': 'v', 'emptyDir': {}}]


def ended(ns, name, timeout=30, container=None):
    p = ns.wait('pods', name, lambda p: p['status'].get('phase') in ('Succeeded', 'Failed'), timeout)
    return state_of(p, container)[1]


def test_post_start_exec_runs_before_ready_and_failure_kills(ns):
    ns.pod('ok', shell('sleep 1000', lifecycle={'postStart': {'exec': {'command': ['/bin/sh', '-c', 'sleep 1; echo x > /tmp/hook']}}}))
    p = ns.ready('ok')
    assert os.path.exists(ns.lab.path(f'/proc/{ns.container_pid("ok")}/root/tmp/hook')) or \
        ns.lab.run('cat', f'/proc/{ns.container_pid("ok")}/root/tmp/hook').stdout == 'x\n', p
    ns.pod('bad', shell(SLEEP.replace('exit 0', 'exit 7'), lifecycle={'postStart': {'exec': {'command': ['/bin/false']}}}), restartPolicy='Never')
    ns.phase('bad', 'Failed')
    assert 'FailedPostStartHook' in [r for r, _ in ns.events('bad')]


def test_post_start_http_get_reaches_the_pod(ns):
    ns.pod('h', shell('mkdir /tmp/w; echo fine > /tmp/w/index.html; httpd -f -p 8080 -h /tmp/w',
                      lifecycle={'postStart': {'httpGet': {'path': '/missing', 'port': 8080}}}), restartPolicy='Never')
    eventually(lambda: 'FailedPostStartHook' in [r for r, _ in ns.events('h')], 20, lambda: ns.events('h'))


def test_hook_that_waits_for_an_answer_ends_with_its_pod(ns, cluster):
    # the answer comes when the pod is long forgotten; the sanitizers judge
    with ns.lab.network():
        silent = socket.create_server(('127.0.0.1', 5052))
    with silent:
        ns.pod('w', shell(SLEEP, lifecycle={'postStart': {'httpGet': {'host': '127.0.0.1', 'port': 5052}}}))
        silent.settimeout(20)
        asker, _ = silent.accept()
        with asker:
            ns.delete('pods', 'w', gracePeriodSeconds=0)
            eventually(lambda: not glob.glob(ns.lab.path(f'/var/log/pods/{ns.name}_w_*')), 10)
            asker.sendall(b'HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n')
    ns.pod('after', shell(SLEEP))
    ns.ready('after')
    assert not cluster.reports(), cluster.reports()


def test_post_start_sleep(ns):
    start = time.monotonic()
    ns.pod('s', shell(SLEEP, lifecycle={'postStart': {'sleep': {'seconds': 2}}}), terminationGracePeriodSeconds=3)
    ns.ready('s')
    assert time.monotonic() - start >= 2


def test_pre_stop_exec_comes_before_the_signal(ns):
    where = ns.lab.path('/run/prestop')
    os.makedirs(where, exist_ok=True)
    ns.pod('e', shell(f"trap 'echo term >> /h/e; exit 0' TERM; while :; do sleep 0.1; done",
                      lifecycle={'preStop': {'exec': {'command': ['/bin/sh', '-c', 'sleep 1; echo hook >> /h/e']}}},
                      volumeMounts=[{'name': 'h', 'mountPath': '/h'}]),
           volumes=[{'name': 'h', 'hostPath': {'path': '/run/prestop'}}], terminationGracePeriodSeconds=10)
    ns.ready('e')
    ns.delete('pods', 'e')
    ns.gone('pods', 'e')
    assert ns.lab.read('/run/prestop/e') == 'hook\nterm\n'


def test_pre_stop_sleep_holds_the_signal(ns):
    ns.pod('e', shell(SLEEP, lifecycle={'preStop': {'sleep': {'seconds': 2}}}), terminationGracePeriodSeconds=10)
    ns.ready('e')
    start = time.monotonic()
    ns.delete('pods', 'e')
    ns.gone('pods', 'e')
    assert 2 <= time.monotonic() - start < 6


def test_pre_stop_longer_than_grace_is_cut(ns):
    ns.pod('e', shell('trap "" TERM; while :; do sleep 1; done', lifecycle={'preStop': {'exec': {'command': ['/bin/sleep', '30']}}}),
           terminationGracePeriodSeconds=2)
    ns.ready('e')
    start = time.monotonic()
    ns.delete('pods', 'e')
    ns.gone('pods', 'e')
    assert time.monotonic() - start < 8


def test_grpc_probe(ns):
    server = ns.lab.start('/usr/bin/python3', '-c', GRPC)
    try:
        def probe(service):
            return {'grpc': {'port': 5051, 'service': service}, 'periodSeconds': 1, 'failureThreshold': 2}
        ns.pod('good', shell(SLEEP, readinessProbe=probe('good')), hostNetwork=True)
        ns.pod('bad', shell(SLEEP, readinessProbe=probe('bad')), hostNetwork=True)
        ns.ready('good')
        eventually(lambda: [m for r, m in ns.events('bad') if r == 'Unhealthy'], 10, lambda: ns.events('bad'))
        assert not container_of(ns.get('pods', 'bad'))['ready']
    finally:
        server.kill()
        server.wait()


def test_sidecars_start_in_order_and_stop_last(ns):
    note = 'echo {0} up >> /v/order; trap "echo {0} down >> /h/$HOSTNAME; exit 0" TERM; while :; do sleep 0.05; done'
    os.makedirs(ns.lab.path('/run/sidecar'), exist_ok=True)
    mounts = MOUNT_V + [{'name': 'h', 'mountPath': '/h'}]

    def side(name, **more):
        return shell(note.format(name), name, restartPolicy='Always', volumeMounts=mounts, **more)
    ns.pod('side', shell('echo main up >> /v/order; ' + note.format('main').split(';', 1)[1], 'main', volumeMounts=mounts),
           initContainers=[side('one', startupProbe={'exec': {'command': ['/bin/sh', '-c', 'sleep 0.5']}, 'periodSeconds': 1}),
                           shell('echo init >> /v/order', 'init', volumeMounts=mounts), side('two')],
           volumes=EMPTY_V + [{'name': 'h', 'hostPath': {'path': '/run/sidecar'}}], terminationGracePeriodSeconds=10)
    ns.ready('side')
    uid = ns.get('pods', 'side')['metadata']['uid']
    order = f'/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/v/order'
    eventually(lambda: len(ns.lab.read(order).splitlines()) == 4)
    assert ns.lab.read(order).split('\n')[:2] == ['one up', 'init'] and ns.lab.read(order).endswith('main up\n')
    ns.delete('pods', 'side')
    ns.gone('pods', 'side')
    assert ns.lab.read('/run/sidecar/side') == 'main down\ntwo down\none down\n'


def test_sidecar_ends_with_a_job_like_pod(ns):
    ns.pod('j', shell('sleep 1', 'main'), initContainers=[shell(SLEEP, 'side', restartPolicy='Always')], restartPolicy='Never')
    ns.phase('j', 'Succeeded')


def test_sidecar_restarts_beside_the_main_container(ns):
    ns.pod('j', shell(SLEEP, 'main'), initContainers=[shell('sleep 1; exit 3', 'side', restartPolicy='Always')], restartPolicy='Never')
    ns.wait('pods', 'j', lambda p: container_of(p, 'side', 'initContainerStatuses')['restartCount'] >= 1)


def test_active_deadline(ns):
    ns.pod('d', shell(SLEEP), activeDeadlineSeconds=2)
    p = ns.phase('d', 'Failed', 15)
    assert p['status']['reason'] == 'DeadlineExceeded', p['status']
    assert p['status']['message'] == 'Pod was active on the node longer than the specified deadline'


def test_oom_killed(ns):
    ns.pod('o', shell("tail /dev/zero", resources={'limits': {'memory': '24Mi'}}), restartPolicy='Never')
    s = ended(ns, 'o', 60)
    assert s['reason'] == 'OOMKilled' and s['exitCode'] == 137, s


def test_shared_process_namespace(ns):
    ns.pod('s', shell(SLEEP, 'a'), shell('while :; do ps -o pid,args; sleep 0.5; done', 'b'), shareProcessNamespace=True)
    ns.ready('s')
    text = eventually(lambda: ns.log('s', 'b'))
    eventually(lambda: '1 ' in ns.log('s', 'b') and 'init' in ns.log('s', 'b') and 'trap' in ns.log('s', 'b'), 10, lambda: text)
    ns.delete('pods', 's')
    ns.gone('pods', 's')


def test_host_path_types(ns):
    lab = ns.lab
    lab.run('sh', '-c', 'mkdir -p /run/hp/dir; echo f > /run/hp/file')

    def pod(name, path, kind):
        ns.pod(name, shell('ls -ld /v', volumeMounts=MOUNT_V), volumes=[{'name': 'v', 'hostPath': {'path': path, 'type': kind}}],
               restartPolicy='Never')
    good = {'d': ('dir', 'Directory'), 'f': ('file', 'File'), 'dc': ('new/dir', 'DirectoryOrCreate'), 'fc': ('newfile', 'FileOrCreate'),
            'any': ('other', '')}
    for name, (path, kind) in good.items():
        pod(name, '/run/hp/' + path, kind)
    pod('char', '/dev/null', 'CharDevice')
    for name in list(good) + ['char']:
        ns.phase(name, 'Succeeded')
    pod('bad', '/run/hp/file', 'Directory')
    pod('gone', '/run/hp/none', 'Directory')
    for name in ('bad', 'gone'):
        eventually(lambda: [m for r, m in ns.events(name) if r == 'FailedMount' and 'hostPath type check failed' in m], 10,
                   lambda: ns.events(name))


def test_sub_path_and_expr(ns):
    ns.pod('p', shell('cat /one; echo mine > /two/f; ls /v; echo $((1 + 1)) > /v/x; ls /v/sub-p', env=[
        {'name': 'NAME', 'valueFrom': {'fieldRef': {'fieldPath': 'metadata.name'}}}],
        volumeMounts=[{'name': 'c', 'mountPath': '/one', 'subPath': 'key'}, {'name': 'v', 'mountPath': '/two', 'subPathExpr': 'sub-$(NAME)'},
                      {'name': 'v', 'mountPath': '/v'}]), volumes=EMPTY_V + [{'name': 'c', 'configMap': {'name': 'cm'}}],
        restartPolicy='Never')
    ns.create({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'cm'}, 'data': {'key': 'value\n'}})
    ns.phase('p', 'Succeeded', 40)
    assert ns.log('p') == 'value\nsub-p\nf\n'


def test_fs_group_and_ids(ns):
    ns.create({'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 's'}, 'stringData': {'k': 'x'}})
    log = ns.run('g', 'id -u; id -g; id -G; ls -nd /v; ls -nL /s/k; echo x > /v/f; ls -n /v/f',
                 volumeMounts=MOUNT_V + [{'name': 's', 'mountPath': '/s'}],
                 spec={'securityContext': {'runAsUser': 1000, 'runAsGroup': 3000, 'fsGroup': 2000, 'supplementalGroups': [4000]},
                       'volumes': EMPTY_V + [{'name': 's', 'secret': {'secretName': 's', 'defaultMode': 0o400}}]})
    lines = [line.split() for line in log.splitlines()]
    assert lines[:2] == [['1000'], ['3000']] and set(lines[2]) == {'3000', '2000', '4000'}, log
    assert lines[3][0] == 'drwxrwsrwx' and lines[3][3] == '2000', log
    assert lines[4][0] == '-r--r-----' and lines[4][3] == '2000', log
    assert lines[5][2:4] == ['1000', '2000'], log


def test_seccomp_runtime_default(ns):
    log = ns.run('s', 'grep -E "^Seccomp:|^NoNewPrivs" /proc/self/status; unshare -U true && echo made',
                 securityContext={'seccompProfile': {'type': 'RuntimeDefault'}, 'allowPrivilegeEscalation': False,
                                  'capabilities': {'drop': ['ALL']}})
    assert 'Seccomp:\t2' in log and 'NoNewPrivs:\t1' in log and 'made' not in log, log


def test_seccomp_denies_with_eperm(ns):
    log = ns.run('s', 'unshare -U true 2>&1; unshare -n true 2>&1; mount -t tmpfs x /tmp 2>&1; grep Seccomp: /proc/self/status',
                 securityContext={'seccompProfile': {'type': 'RuntimeDefault'}})
    assert log.count('Operation not permitted') + log.count('permission denied') == 3 and 'implemented' not in log, log


def test_seccomp_profile_of_the_node(ns):
    os.makedirs(ns.lab.path('/var/lib/kubelet/seccomp/profiles'), exist_ok=True)
    with open(ns.lab.path('/var/lib/kubelet/seccomp/profiles/no-mkdir.json'), 'w') as f:
        json.dump({'defaultAction': 'SCMP_ACT_ALLOW', 'archMap': [], 'syscalls': [
            {'names': ['mkdir', 'mkdirat'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 28, 'comment': '', 'includes': {}}]}, f)

    def profile(name):
        return {'seccompProfile': {'type': 'Localhost', 'localhostProfile': name}}
    assert 'No space left' in ns.run('l', 'mkdir /tmp/x 2>&1', securityContext=profile('profiles/no-mkdir.json'))
    ns.pod('none', shell('true'), securityContext=profile('profiles/none.json'), restartPolicy='Never')
    p = ns.wait('pods', 'none', lambda p: state_of(p)[1].get('reason') == 'CreateContainerError')
    path = '/var/lib/kubelet/seccomp/profiles/none.json'
    assert state_of(p)[1]['message'].endswith(f'cannot load seccomp profile "{path}": open {path}: no such file or directory')


def test_privileged(ns):
    log = ns.run('p', 'grep CapEff /proc/self/status; mount -t tmpfs none /tmp && echo mounted; ls /dev | wc -l',
                 securityContext={'privileged': True})
    assert 'mounted' in log, log


def test_sysctls(ns):
    log = ns.run('s', 'cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shm_rmid_forced',
                 spec={'securityContext': {'sysctls': [{'name': 'net.ipv4.ip_local_port_range', 'value': '20000 30000'},
                                                       {'name': 'kernel.shm_rmid_forced', 'value': '1'}]}})
    assert log.split() == ['20000', '30000', '1'], log


def test_unsafe_sysctl_is_forbidden(ns):
    ns.pod('u', shell('true'), securityContext={'sysctls': [{'name': 'kernel.msgmax', 'value': '65536'}]}, restartPolicy='Never')
    p = ns.phase('u', 'Failed')
    assert p['status']['reason'] == 'SysctlForbidden', p['status']


def test_empty_dir_in_memory_has_its_size(ns):
    log = ns.run('m', 'grep " /v " /proc/mounts; dd if=/dev/zero of=/v/f bs=1M count=20 2>&1; true', volumeMounts=MOUNT_V,
                 spec={'volumes': [{'name': 'v', 'emptyDir': {'medium': 'Memory', 'sizeLimit': '8Mi'}}]})
    assert 'tmpfs' in log and 'size=8192k' in log and 'No space left' in log, log


def test_termination_message_falls_back_to_logs(ns):
    ns.pod('t', shell('echo the reason; exit 4', terminationMessagePolicy='FallbackToLogsOnError'), restartPolicy='Never')
    s = ended(ns, 't')
    assert s['message'] == 'the reason\n' and s['exitCode'] == 4, s
    ns.pod('f', shell('echo log; echo -n file > /dev/termination-log; exit 4', terminationMessagePolicy='FallbackToLogsOnError'),
           restartPolicy='Never')
    assert ended(ns, 'f')['message'] == 'file'


def test_read_only_root_and_capabilities(ns):
    log = ns.run('r', 'touch /x 2>&1; chown 5 /tmp 2>&1; grep CapEff /proc/self/status', securityContext={
        'readOnlyRootFilesystem': True, 'capabilities': {'drop': ['ALL'], 'add': ['NET_ADMIN']}})
    assert 'Read-only' in log and 'CapEff:\t0000000000001000' in log, log
