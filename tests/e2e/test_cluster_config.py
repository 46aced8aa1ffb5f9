"""What a container finds around it: environment, volumes, its own credentials, limits and privileges."""
import json
import re

import pytest

from cluster import SLEEP, cluster, container_of, eventually, ns, shell, state_of  # noqa: F401


def config(name, **data):
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': name}, 'data': data}


def secret(name, **data):
    return {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': name}, 'stringData': data}


def mounted(script, volume, **more):
    """A container with the one volume at /v, and the pod's volumes."""
    return shell(script, volumeMounts=[dict({'name': 'v', 'mountPath': '/v'}, **more)]), [dict({'name': 'v'}, **volume)]


# Environment

def test_env_in_all_its_forms(ns):
    ns.create(config('c', one='1', two='2'))
    ns.create(secret('s', password='open sesame'))
    field = lambda name, path: {'name': name, 'valueFrom': {'fieldRef': {'fieldPath': path}}}  # noqa: E731
    resource = lambda name, r, **k: {'name': name, 'valueFrom': {'resourceFieldRef': dict({'resource': r}, **k)}}  # noqa: E731
    log = ns.run('a', 'env', spec={'nodeSelector': {'kubernetes.io/os': 'linux'}}, resources={
        'requests': {'cpu': '100m', 'memory': '16Mi'}, 'limits': {'cpu': '500m', 'memory': '64Mi'}},
        envFrom=[{'configMapRef': {'name': 'c'}, 'prefix': 'P_'}, {'secretRef': {'name': 's'}},
                 {'configMapRef': {'name': 'absent', 'optional': True}}],
        env=[{'name': 'PLAIN', 'value': 'x y'}, {'name': 'REF', 'value': '$(PLAIN)/$(P_one)/$$(PLAIN)/$(NONE)'},
             {'name': 'KEY', 'valueFrom': {'configMapKeyRef': {'name': 'c', 'key': 'two'}}},
             {'name': 'SECRET', 'valueFrom': {'secretKeyRef': {'name': 's', 'key': 'password'}}},
             {'name': 'MAYBE', 'valueFrom': {'configMapKeyRef': {'name': 'c', 'key': 'three', 'optional': True}}},
             field('POD', 'metadata.name'), field('NS', 'metadata.namespace'), field('IP', 'status.podIP'), field('HOST', 'status.hostIP'),
             field('NODE', 'spec.nodeName'), field('SA', 'spec.serviceAccountName'), field('LABEL', "metadata.labels['app']"),
             resource('CPU', 'limits.cpu', divisor='1m'), resource('MEM', 'requests.memory', divisor='1Mi'), resource('CORES', 'limits.cpu')])
    env = dict(line.split('=', 1) for line in log.splitlines() if '=' in line)
    want = {'P_one': '1', 'P_two': '2', 'password': 'open sesame', 'PLAIN': 'x y', 'REF': 'x y/1/$(PLAIN)/$(NONE)', 'KEY': '2',
            'SECRET': 'open sesame', 'POD': 'a', 'NS': ns.name, 'HOST': '10.88.0.1', 'NODE': 'lab', 'SA': 'default', 'LABEL': 'a', 'CPU': '500',
            'MEM': '16', 'CORES': '1', 'HOSTNAME': 'a', 'KUBERNETES_SERVICE_PORT': '443', 'KUBERNETES_SERVICE_HOST': '10.96.0.1'}
    assert {k: env.get(k) for k in want} == want
    assert 'MAYBE' not in env
    assert env['IP'] == ns.get('pods', 'a')['status']['podIP']


def test_service_links_of_the_namespace_are_in_the_environment(ns):
    ns.create({'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'my-db'}, 'spec': {'ports': [{'name': 'sql', 'port': 5432}]}})
    ip = ns.get('services', 'my-db')['spec']['clusterIP']
    # Given to pods that start after the node has seen the Service.
    for i in range(20):
        if 'MY_DB' in (log := ns.run(f'a{i}', 'env')):
            break
    env = dict(line.split('=', 1) for line in log.splitlines() if '=' in line)
    assert env['MY_DB_SERVICE_HOST'] == ip and env['MY_DB_SERVICE_PORT_SQL'] == '5432' and env['MY_DB_PORT_5432_TCP_ADDR'] == ip
    assert 'MY_DB' not in ns.run('b', 'env', spec={'enableServiceLinks': False})


def test_missing_config_map_holds_the_container_until_it_is_there(ns):
    ns.pod('a', shell('echo $X', env=[{'name': 'X', 'valueFrom': {'configMapKeyRef': {'name': 'late', 'key': 'x'}}}]), restartPolicy='Never')
    ns.wait('pods', 'a', lambda p: state_of(p)[1].get('reason') == 'CreateContainerConfigError')
    assert state_of(ns.get('pods', 'a'))[1]['message'] == 'configmap "late" not found'
    ns.create(config('late', x='here'))
    ns.phase('a', 'Succeeded', 30)
    assert ns.log('a') == 'here\n'


# Volumes

def test_empty_dir_outlives_its_containers_and_is_shared(ns):
    ns.pod('a', *[shell(s, n, volumeMounts=[{'name': 'v', 'mountPath': '/v'}]) for n, s in
                  (('one', 'test -f /v/x && cat /v/x && exit 0; echo kept > /v/x; exit 1'),
                   ('two', 'until test -f /v/x; do sleep 0.1; done; cat /v/x'))],
           restartPolicy='OnFailure', volumes=[{'name': 'v', 'emptyDir': {}}])
    ns.phase('a', 'Succeeded')
    assert ns.log('a', 'one') == ns.log('a', 'two') == 'kept\n'


def test_empty_dir_of_memory_is_a_tmpfs_with_its_limit(ns):
    c, v = mounted('df -k /v | tail -1; grep " /v " /proc/mounts', {'emptyDir': {'medium': 'Memory', 'sizeLimit': '8Mi'}})
    ns.pod('a', c, volumes=v, restartPolicy='Never')
    ns.phase('a', 'Succeeded')
    assert ns.log('a').split()[1] == '8192' and ' tmpfs ' in ns.log('a')


def test_config_map_volume_with_items_modes_and_live_update(ns, cluster):
    ns.create(config('c', one='1', two='2'))
    c, v = mounted('cat /v/*; stat -Lc %a /v/a/first; while :; do cat /v/a/first > /h/seen; sleep 0.1; done', {'configMap': {
        'name': 'c', 'defaultMode': 0o440, 'items': [{'key': 'one', 'path': 'a/first', 'mode': 0o400}, {'key': 'two', 'path': 'second'}]}})
    c['volumeMounts'].append({'name': 'h', 'mountPath': '/h'})
    ns.pod('a', c, volumes=v + [{'name': 'h', 'hostPath': {'path': '/run/live', 'type': 'DirectoryOrCreate'}}])
    ns.ready('a')
    eventually(lambda: '400' in ns.log('a'))
    assert '2' in ns.log('a')
    ns.patch('configmaps', 'c', {'data': {'one': 'changed'}})
    eventually(lambda: cluster.lab.read('/run/live/seen') == 'changed', 20)


def test_config_map_that_is_too_late_mounts_when_it_comes(ns):
    c, v = mounted('cat /v/x', {'configMap': {'name': 'late'}})
    ns.pod('a', c, volumes=v, restartPolicy='Never')
    eventually(lambda: any(r == 'FailedMount' and 'configmap "late" not found' in m for r, m in ns.events('a')), 20, lambda: str(ns.events('a')))
    ns.create(config('late', x='now'))
    ns.phase('a', 'Succeeded')
    assert ns.log('a') == 'now'


def test_secret_volume_is_on_tmpfs_with_its_mode(ns):
    ns.create(secret('s', key='hush'))
    c, v = mounted('cat /v/key; stat -Lc " %a %u" /v/key; grep " /v " /proc/mounts', {'secret': {'secretName': 's', 'defaultMode': 0o400}})
    ns.pod('a', c, volumes=v, restartPolicy='Never')
    ns.phase('a', 'Succeeded')
    assert ns.log('a').startswith('hush 400 0') and ' tmpfs ' in ns.log('a') and ' ro,' in ns.log('a')


def test_optional_secret_that_is_absent_is_an_empty_volume(ns):
    c, v = mounted('ls /v; echo done', {'secret': {'secretName': 'absent', 'optional': True}})
    ns.pod('a', c, volumes=v, restartPolicy='Never')
    ns.phase('a', 'Succeeded')
    assert ns.log('a') == 'done\n'


def test_host_path_reads_and_writes_the_machine_and_checks_its_type(ns, cluster):
    cluster.lab.run('sh', '-c', 'mkdir -p /run/host; echo hello > /run/host/file')
    c, v = mounted('cat /v/file; echo back > /v/answer', {'hostPath': {'path': '/run/host', 'type': 'Directory'}})
    ns.pod('a', c, volumes=v, restartPolicy='Never')
    ns.phase('a', 'Succeeded')
    assert ns.log('a') == 'hello\n' and cluster.lab.read('/run/host/answer') == 'back\n'
    c, v = mounted('true', {'hostPath': {'path': '/run/host/file', 'type': 'Directory'}})
    ns.pod('b', c, volumes=v)
    eventually(lambda: any('hostPath type check failed: /run/host/file is not a directory' in m for _, m in ns.events('b')), 20,
               lambda: str(ns.events('b')))


def test_read_only_mounts_refuse_writes(ns):
    c, v = mounted('touch /v/x || echo refused', {'emptyDir': {}}, readOnly=True)
    ns.pod('a', c, volumes=v, restartPolicy='Never')
    ns.phase('a', 'Succeeded')
    assert 'refused' in ns.log('a')


def test_sub_path_mounts_one_file_or_directory_and_expands_variables(ns):
    ns.create(config('c', key='value', other='x'))
    ns.pod('a', shell('cat /etc/my.conf; ls /d; echo $N > /d/made; ls /all', env=[{'name': 'N', 'value': 'sub'}], volumeMounts=[
        {'name': 'c', 'mountPath': '/etc/my.conf', 'subPath': 'key'}, {'name': 'e', 'mountPath': '/d', 'subPathExpr': '$(N)/deep'},
        {'name': 'e', 'mountPath': '/all'}]), restartPolicy='Never', volumes=[{'name': 'c', 'configMap': {'name': 'c'}}, {'name': 'e', 'emptyDir': {}}])
    ns.phase('a', 'Succeeded')
    assert ns.log('a').split() == ['valuesub'] or ns.log('a') == 'valuesub\n'


def test_sub_path_that_leads_out_of_its_volume_is_refused(ns, cluster):
    cluster.lab.run('sh', '-c', 'echo outside > /run/outside')
    mount = [{'name': 'v', 'mountPath': '/v'}]
    ns.pod('a', shell('cat /x', volumeMounts=[{'name': 'v', 'mountPath': '/x', 'subPath': 'link'}]), restartPolicy='Never',
           initContainers=[shell('ln -s /run/outside /v/link', 'make', volumeMounts=mount)], volumes=[{'name': 'v', 'emptyDir': {}}])
    ns.wait('pods', 'a', lambda p: state_of(p)[1].get('reason') in ('CreateContainerConfigError', 'CreateContainerError', 'StartError')
            or p['status']['phase'] == 'Failed')
    assert 'outside\n' not in ns.log('a', 'c')


def test_downward_api_volume_follows_labels(ns, cluster):
    c, v = mounted('while :; do cat /v/labels > /h/labels; cat /v/name > /h/name; sleep 0.1; done', {'downwardAPI': {'items': [
        {'path': 'labels', 'fieldRef': {'fieldPath': 'metadata.labels'}}, {'path': 'name', 'fieldRef': {'fieldPath': 'metadata.name'}}]}})
    c['volumeMounts'].append({'name': 'h', 'mountPath': '/h'})
    ns.pod('a', c, volumes=v + [{'name': 'h', 'hostPath': {'path': '/run/down', 'type': 'DirectoryOrCreate'}}])
    ns.ready('a')
    eventually(lambda: cluster.lab.run('cat', '/run/down/labels', check=False).stdout == 'app="a"')
    assert cluster.lab.read('/run/down/name') == 'a'
    ns.patch('pods', 'a', {'metadata': {'labels': {'tier': 'web'}}})
    eventually(lambda: cluster.lab.read('/run/down/labels') == 'app="a"\ntier="web"', 20)


def test_service_account_token_works_from_inside(ns, cluster):
    ns.api.call('POST', f'/apis/rbac.authorization.k8s.io/v1/namespaces/{ns.name}/rolebindings', {
        'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'RoleBinding', 'metadata': {'name': 'view'},
        'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': 'view'},
        'subjects': [{'kind': 'ServiceAccount', 'name': 'default', 'namespace': ns.name}]})
    ns.pod('a', shell(SLEEP))
    ns.ready('a')
    pid = ns.container_pid('a')
    # The container has no TLS client: curl of the lab, in the network and with the files that the container sees.
    files = f'/proc/{pid}/root/var/run/secrets/kubernetes.io/serviceaccount'
    assert cluster.lab.run('ls', files).stdout.split() == ['ca.crt', 'namespace', 'token']
    assert cluster.lab.read(files + '/namespace') == ns.name
    token = cluster.lab.read(files + '/token')

    def ask(path):
        answer = cluster.lab.run('nsenter', '-t', str(pid), '-n', 'curl', '-s', '--max-time', '5', '--cacert', files + '/ca.crt',
                                 '-H', 'Authorization: Bearer ' + token, 'https://10.96.0.1:443' + path)
        return json.loads(answer.stdout)
    assert ask(f'/api/v1/namespaces/{ns.name}/pods/a')['metadata']['name'] == 'a'
    refused = ask('/api/v1/nodes')
    assert refused['code'] == 403 and f'system:serviceaccount:{ns.name}:default' in refused['message']


def test_pod_that_wants_no_token_has_none(ns):
    log = ns.run('a', 'ls /var/run/secrets/kubernetes.io 2>&1; true', spec={'automountServiceAccountToken': False})
    assert 'No such file' in log


def test_projected_volume_with_audience_and_expiry(ns):
    ns.create(config('c', k='v'))
    c, v = mounted('cat /v/t; echo; cat /v/k', {'projected': {'sources': [
        {'serviceAccountToken': {'audience': 'vault', 'expirationSeconds': 600, 'path': 't'}}, {'configMap': {'name': 'c'}}]}})
    ns.pod('a', c, volumes=v, restartPolicy='Never')
    ns.phase('a', 'Succeeded')
    token, value = ns.log('a').split()
    import base64
    body = token.split('.')[1]
    claims = json.loads(base64.urlsafe_b64decode(body + '=' * (-len(body) % 4)))
    assert claims['aud'] == ['vault'] and claims['kubernetes.io']['pod']['name'] == 'a' and value == 'v'
    assert claims['exp'] - claims['iat'] in (600, 607)


# Resources

def cgroup_file(cluster, ns, name, controller, file):
    pid = ns.container_pid(name)
    paths = dict(reversed(line.split(':', 2)[1:]) if False else line.split(':', 2)[1:] for line in cluster.lab.read(f'/proc/{pid}/cgroup').splitlines())
    if '' in paths and controller not in paths and controller + ',cpuacct' not in paths:
        return cluster.lab.read('/sys/fs/cgroup' + paths[''] + '/' + {'cpu.cfs_quota_us': 'cpu.max', 'memory.limit_in_bytes': 'memory.max'}.get(file, file))
    key = next(k for k in paths if controller in k.split(','))
    return cluster.lab.read(f'/sys/fs/cgroup/{controller}{paths[key]}/{file}')


def test_memory_beyond_the_limit_is_oom_killed(ns):
    ns.pod('a', shell('x=$(dd if=/dev/zero bs=1M count=64 2>/dev/null | tr "\\0" x); echo survived', resources={'limits': {'memory': '16Mi'}}),
           restartPolicy='Never')
    kind, t = state_of(ns.phase('a', 'Failed'))
    assert (t['reason'], t['exitCode']) == ('OOMKilled', 137)


def test_limits_are_in_the_cgroup(ns, cluster):
    ns.pod('a', shell(SLEEP, resources={'requests': {'cpu': '250m', 'memory': '32Mi'}, 'limits': {'cpu': '500m', 'memory': '64Mi'}}))
    p = ns.ready('a')
    assert p['status']['qosClass'] == 'Burstable'
    assert cgroup_file(cluster, ns, 'a', 'memory', 'memory.limit_in_bytes').strip() == str(64 << 20)
    assert cgroup_file(cluster, ns, 'a', 'cpu', 'cpu.cfs_quota_us').split()[0] == '50000'
    if not cluster.lab.run('test', '-f', '/sys/fs/cgroup/cgroup.controllers', check=False).returncode == 0:
        assert cgroup_file(cluster, ns, 'a', 'cpu', 'cpu.shares').strip() == '256'


# Privileges

def test_user_group_and_fs_group(ns):
    c, v = mounted('id -u; id -g; id -G; stat -c "%g %a" /v; touch /v/x; stat -c %u:%g /v/x', {'emptyDir': {}})
    ns.pod('a', c, volumes=v, restartPolicy='Never', securityContext={'runAsUser': 1000, 'runAsGroup': 2000, 'fsGroup': 3000, 'supplementalGroups': [4000]})
    ns.phase('a', 'Succeeded')
    lines = ns.log('a').splitlines()
    assert lines[:2] == ['1000', '2000'] and set(lines[2].split()) == {'2000', '3000', '4000'}
    assert lines[3] == '3000 2777' and lines[4] == '1000:3000'


def test_read_only_root_file_system(ns):
    assert 'Read-only file system' in ns.run('a', 'touch /x 2>&1; true', securityContext={'readOnlyRootFilesystem': True})


def test_capabilities_and_no_new_privileges(ns):
    show = 'grep -E "CapEff|NoNewPrivs" /proc/self/status'
    plain = ns.run('a', show).split()
    dropped = ns.run('b', show, securityContext={'capabilities': {'drop': ['ALL'], 'add': ['NET_BIND_SERVICE']}, 'allowPrivilegeEscalation': False}).split()
    assert int(plain[1], 16) & 1 << 0 and not int(plain[1], 16) & 1 << 21 and plain[3] == '0'
    assert int(dropped[1], 16) == 1 << 10 and dropped[3] == '1'


def test_privileged_container_has_all_of_them(ns):
    log = ns.run('a', 'grep CapEff /proc/self/status; ls /dev | wc -l', securityContext={'privileged': True})
    assert int(log.split()[1], 16) & 1 << 21


def test_default_seccomp_profile_refuses_what_it_should(ns):
    log = ns.run('a', 'unshare -n true 2>&1; grep Seccomp: /proc/self/status', securityContext={'seccompProfile': {'type': 'RuntimeDefault'}})
    assert re.search('Operation not permitted|Function not implemented', log) and log.split()[-1] == '2'


def test_run_as_non_root_refuses_an_image_of_root(ns):
    ns.pod('a', shell('true', securityContext={'runAsNonRoot': True}))
    p = ns.wait('pods', 'a', lambda p: state_of(p)[1].get('reason') == 'CreateContainerConfigError')
    assert state_of(p)[1]['message'].startswith('container has runAsNonRoot and image will run as root (pod: "a_')


def test_what_the_kernel_tells_is_masked(ns):
    log = ns.run('a', 'cat /proc/kcore 2>/dev/null | head -c 4 | wc -c; echo x > /proc/sys/kernel/domainname || echo refused')
    assert log.split()[0] == '0' and 'refused' in log


def test_dns_config_and_host_aliases(ns):
    log = ns.run('a', 'cat /etc/resolv.conf /etc/hosts', spec={'dnsPolicy': 'None', 'hostAliases': [{'ip': '10.9.9.9', 'hostnames': ['foo.local']}],
                 'dnsConfig': {'nameservers': ['10.1.1.1'], 'searches': ['x.test'], 'options': [{'name': 'ndots', 'value': '2'}]}})
    for line in ('nameserver 10.1.1.1', 'search x.test', 'options ndots:2', '10.9.9.9\tfoo.local'):
        assert line in log, log
    log = ns.run('b', 'cat /etc/resolv.conf')
    assert f'search {ns.name}.svc.cluster.local svc.cluster.local cluster.local' in log and 'nameserver 10.96.0.10' in log and 'ndots:5' in log


def test_sysctls_of_the_pod(ns):
    assert ns.run('a', 'cat /proc/sys/net/ipv4/ip_local_port_range', spec={'securityContext': {'sysctls': [
        {'name': 'net.ipv4.ip_local_port_range', 'value': '2000 3000'}]}}).split() == ['2000', '3000']
