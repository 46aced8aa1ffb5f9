"""kubectl, several versions of it, against the API: what it prints, and what it prints when something is wrong."""
import json
import os
import re
import textwrap
import time

from conftest import eventually


def yaml(text, **names):
    return textwrap.dedent(text).format(**names)


WEB = '''
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: web
      labels: {{app: web}}
    spec:
      replicas: {replicas}
      selector: {{matchLabels: {{app: web}}}}
      template:
        metadata: {{labels: {{app: web}}}}
        spec:
          containers:
          - name: main
            image: example.com/web:{tag}
            ports: [{{containerPort: 80}}]
          - name: side
            image: example.com/side:1
    ---
    apiVersion: v1
    kind: Service
    metadata:
      name: web
    spec:
      selector: {{app: web}}
      ports: [{{port: 80, targetPort: 80}}]
    '''
POD = '''
    apiVersion: v1
    kind: Pod
    metadata:
      name: {name}
      labels: {{role: {role}}}
    spec:
      {more}
      containers: [{{name: main, image: example.com/a}}]
    '''


def get(kubectl, *words):
    return json.loads(kubectl('get', *words, '-o', 'json'))


# ---- what the server says of itself

def test_version(kubectl):
    v = json.loads(kubectl('version', '-o', 'json'))['serverVersion']
    assert v['major'] == '1' and v['minor'].rstrip('+') == '36'
    assert re.fullmatch(r'v1\.36\.\d+\+sampan\..*', v['gitVersion'])


def test_health_by_raw_paths(kubectl):
    assert kubectl('get', '--raw', '/readyz') == 'ok'
    assert '[+]ping ok' in kubectl('get', '--raw', '/livez?verbose')
    assert kubectl('cluster-info').count('is running at') >= 1


def test_api_resources(kubectl):
    rows = kubectl('api-resources', '--no-headers').splitlines()
    names = {r.split()[0]: r for r in reversed(rows)}  # of a name that two groups have the first, the core's
    for name in ('pods', 'services', 'deployments', 'cronjobs', 'networkpolicies', 'leases', 'roles', 'endpointslices'):
        assert name in names, names.keys()
    assert re.search(r'^deployments +deploy +apps/v1 +true +Deployment$', names['deployments'])
    assert re.search(r'^nodes +no +v1 +false +Node$', names['nodes'])
    assert 'deployments.apps' in kubectl('api-resources', '--namespaced', '--verbs=list', '-o', 'name').split()
    assert 'configmaps' not in kubectl('api-resources', '--namespaced=false', '-o', 'name').split()


def test_api_versions(kubectl):
    versions = kubectl('api-versions').split()
    assert {'v1', 'apps/v1', 'batch/v1', 'rbac.authorization.k8s.io/v1', 'networking.k8s.io/v1'} <= set(versions)
    assert 'extensions/v1beta1' not in versions


def test_explain(kubectl):
    text = kubectl('explain', 'deployment.spec.replicas')
    assert re.search(r'replicas\s+<integer>', text)
    assert re.search(r'^KIND: +Deployment$', text, re.M)
    tree = kubectl('explain', 'pod.spec.containers', '--recursive')
    for field in ('livenessProbe', 'terminationGracePeriodSeconds', 'readOnlyRootFilesystem', 'valueFrom'):
        assert field in tree
    assert 'does not exist' in kubectl.fails('explain', 'pod.spec.nosuch')


# ---- objects come, change and go

def test_create_get_delete(kubectl):
    assert kubectl('create', 'configmap', 'a', '--from-literal=k=v', '--from-literal=l=w') == 'configmap/a created\n'
    assert get(kubectl, 'cm', 'a')['data'] == {'k': 'v', 'l': 'w'}
    row, = [r for r in kubectl.table('get', 'configmaps') if r['NAME'] == 'a']
    assert row['DATA'] == '2' and re.fullmatch(r'\d+s', row['AGE'])
    assert kubectl('get', 'cm', 'a', '-o', 'jsonpath={.data.k}') == 'v'
    assert kubectl('get', 'cm', 'a', '-o', 'name') == 'configmap/a\n'
    assert 'k: v' in kubectl('get', 'cm/a', '-o', 'yaml')
    assert kubectl('delete', 'cm', 'a') == f'configmap "a" deleted' + (f' from {kubectl.ns} namespace' if kubectl.minor >= 34 else '') + '\n'
    assert 'NotFound' in kubectl.fails('get', 'cm', 'a')


def test_edit_through_an_editor(kubectl):
    kubectl('create', 'configmap', 'a', '--from-literal=k=old')
    assert kubectl('edit', 'cm', 'a', env={'KUBE_EDITOR': 'sed -i s/old/new/'}) == 'configmap/a edited\n'
    assert get(kubectl, 'cm', 'a')['data'] == {'k': 'new'}


def test_replace(kubectl):
    kubectl('create', 'configmap', 'a', '--from-literal=k=1')
    first = get(kubectl, 'cm', 'a')
    first['data'] = {'k': '2'}
    assert kubectl('replace', '-f', '-', stdin=json.dumps(first)) == 'configmap/a replaced\n'
    first["data"] = {"k": "3"}  # still the old resourceVersion
    err = kubectl.fails('replace', '-f', '-', stdin=json.dumps(first))
    assert 'Operation cannot be fulfilled on configmaps "a": the object has been modified; ' \
           'please apply your changes to the latest version and try again' in err
    kubectl('replace', '--force', '-f', '-', stdin=json.dumps(dict(first, metadata={'name': 'a'})))
    again = get(kubectl, 'cm', 'a')
    assert again['data'] == {'k': '3'} and again['metadata']['uid'] != first['metadata']['uid']


def test_generate_name(kubectl):
    body = json.dumps({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'generateName': 'x-'}})
    names = {kubectl('create', '-f', '-', '-o', 'name', stdin=body).strip() for _ in range(3)}
    assert len(names) == 3 and all(re.fullmatch(r'configmap/x-[a-z0-9]{5}', n) for n in names)


def test_apply_creates_configures_and_leaves_alone(kubectl):
    assert kubectl('apply', '-f', '-', stdin=yaml(WEB, replicas=2, tag=1)) == 'deployment.apps/web created\nservice/web created\n'
    assert kubectl('apply', '-f', '-', stdin=yaml(WEB, replicas=2, tag=1)) == 'deployment.apps/web unchanged\nservice/web unchanged\n'
    assert kubectl('apply', '-f', '-', stdin=yaml(WEB, replicas=3, tag=2)) == 'deployment.apps/web configured\nservice/web unchanged\n'
    d = get(kubectl, 'deploy', 'web')
    assert d['spec']['replicas'] == 3
    assert [c['image'] for c in d['spec']['template']['spec']['containers']] == ['example.com/web:2', 'example.com/side:1']
    assert d['metadata']['generation'] == 2
    # A container that is taken out of the file goes; what others set (an annotation here) stays.
    kubectl('annotate', 'deploy', 'web', 'mine=1')
    less = yaml(WEB, replicas=3, tag=2).replace('      - name: side\n        image: example.com/side:1\n', '')
    assert 'deployment.apps/web configured' in kubectl('apply', '-f', '-', stdin=less)
    d = get(kubectl, 'deploy', 'web')
    assert [c['name'] for c in d['spec']['template']['spec']['containers']] == ['main']
    assert d['metadata']['annotations']['mine'] == '1'
    assert 'deployment.apps "web" deleted' in kubectl('delete', '-f', '-', stdin=less)


def test_apply_prunes_what_left_the_file(kubectl):
    two = ''.join(f'---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {n}, labels: {{set: x}}}}\n' for n in 'ab')
    kubectl('apply', '-f', '-', stdin=two)
    out = kubectl('apply', '-f', '-', '--prune', '-l', 'set=x', *(['--prune-whitelist', 'core/v1/ConfigMap'] if kubectl.minor < 26
                  else ['--prune-allowlist', 'core/v1/ConfigMap']), stdin=two.split('---\n')[1])
    assert 'configmap/b pruned' in out
    assert 'NotFound' in kubectl.fails('get', 'cm', 'b')


def test_diff(kubectl):
    kubectl('apply', '-f', '-', stdin=yaml(WEB, replicas=2, tag=1))
    assert kubectl('diff', '-f', '-', stdin=yaml(WEB, replicas=2, tag=1)) == ''
    r = kubectl.run('diff', '-f', '-', stdin=yaml(WEB, replicas=5, tag=1))
    assert r.returncode == 1 and '+  replicas: 5' in r.stdout, r


def test_patches(kubectl):
    kubectl('apply', '-f', '-', stdin=yaml(WEB, replicas=1, tag=1))
    images = lambda: {c['name']: c['image'] for c in get(kubectl, 'deploy', 'web')['spec']['template']['spec']['containers']}
    strategic = {'spec': {'template': {'spec': {'containers': [{'name': 'side', 'image': 'example.com/side:2'}]}}}}
    assert kubectl('patch', 'deploy', 'web', '-p', json.dumps(strategic)) == 'deployment.apps/web patched\n'
    assert images() == {'main': 'example.com/web:1', 'side': 'example.com/side:2'}
    assert kubectl('patch', 'deploy', 'web', '-p', json.dumps(strategic)) == 'deployment.apps/web patched (no change)\n'
    merge = {'spec': {'template': {'spec': {'containers': [{'name': 'only', 'image': 'x'}]}}}, 'metadata': {'labels': {'app': None}}}
    kubectl('patch', 'deploy', 'web', '--type=merge', '-p', json.dumps(merge))
    assert images() == {'only': 'x'} and 'labels' not in get(kubectl, 'deploy', 'web')['metadata']
    ops = [{'op': 'test', 'path': '/spec/replicas', 'value': 1}, {'op': 'replace', 'path': '/spec/replicas', 'value': 4}]
    kubectl('patch', 'deploy', 'web', '--type=json', '-p', json.dumps(ops))
    assert get(kubectl, 'deploy', 'web')['spec']['replicas'] == 4
    assert 'The request is invalid' in kubectl.fails('patch', 'deploy', 'web', '--type=json', '-p', json.dumps(ops))


def test_label_annotate_set_scale(kubectl):
    kubectl('apply', '-f', '-', stdin=yaml(WEB, replicas=1, tag=1))
    assert 'labeled' in kubectl('label', 'deploy', 'web', 'tier=front')
    assert "already has a value" in kubectl.fails('label', 'deploy', 'web', 'tier=back')
    kubectl('label', 'deploy', 'web', 'tier=back', '--overwrite')
    assert kubectl('get', 'deploy', '-l', 'tier=back', '-L', 'tier', '--no-headers').split()[-1] == 'back'
    assert kubectl('scale', 'deploy', 'web', '--replicas=5') == 'deployment.apps/web scaled\n'
    assert 'error: ' in kubectl.fails('scale', 'deploy', 'web', '--replicas=6', '--current-replicas=4')
    kubectl('set', 'image', 'deploy/web', 'main=example.com/web:9')
    kubectl('set', 'env', 'deploy/web', 'A=b')
    kubectl('set', 'resources', 'deploy/web', '--limits=cpu=200m')
    d = get(kubectl, 'deploy', 'web')
    main = d['spec']['template']['spec']['containers'][0]
    assert d['spec']['replicas'] == 5 and main['image'] == 'example.com/web:9'
    assert main['env'] == [{'name': 'A', 'value': 'b'}] and main['resources']['limits'] == {'cpu': '200m'}
    eventually(lambda: len(get(kubectl, 'rs', '-l', 'app=web')['items']) >= 2)
    eventually(lambda: 'web' in kubectl('rollout', 'history', 'deploy/web') and
               len(kubectl('rollout', 'history', 'deploy/web').splitlines()) >= 4)
    kubectl('rollout', 'undo', 'deploy/web', '--to-revision=1')
    eventually(lambda: 'env' not in get(kubectl, 'deploy', 'web')['spec']['template']['spec']['containers'][0])


def test_expose_and_service_tables(kubectl):
    kubectl('apply', '-f', '-', stdin=yaml(WEB, replicas=1, tag=1))
    assert kubectl('expose', 'deploy', 'web', '--name=np', '--type=NodePort', '--port=8080', '--target-port=80') == 'service/np exposed\n'
    row, = [r for r in kubectl.table('get', 'svc', '-o', 'wide') if r['NAME'] == 'np']
    assert row['TYPE'] == 'NodePort' and re.fullmatch(r'8080:3\d{4}/TCP', row['PORT(S)'])
    assert re.fullmatch(r'10\.96\.\d+\.\d+', row['CLUSTER-IP']) and row['EXTERNAL-IP'] == '<none>'
    assert row['SELECTOR'] == 'app=web'


def test_tables_of_work(kubectl):
    kubectl('apply', '-f', '-', stdin=yaml(WEB, replicas=2, tag=1))
    eventually(lambda: len(get(kubectl, 'pods')['items']) == 2)
    row, = kubectl.table('get', 'deploy', '-o', 'wide')
    assert (row['NAME'], row['READY'], row['CONTAINERS'], row['SELECTOR']) == ('web', '0/2', 'main,side', 'app=web')
    assert row['IMAGES'] == 'example.com/web:1,example.com/side:1'
    for row in kubectl.table('get', 'pods', '-o', 'wide'):
        assert (row['READY'], row['STATUS'], row['RESTARTS'], row['NODE'], row['IP']) == ('0/2', 'Pending', '0', '<none>', '<none>')
    row, = kubectl.table('get', 'rs')
    assert (row['DESIRED'], row['CURRENT'], row['READY']) == ('2', '2', '0')
    out = kubectl('get', 'all')
    assert 'deployment.apps/web' in out and 'service/web' in out and 'replicaset.apps/web-' in out and 'pod/web-' in out


def test_describe(kubectl):
    kubectl('apply', '-f', '-', stdin=yaml(WEB, replicas=1, tag=1))
    eventually(lambda: get(kubectl, 'pods')['items'])
    assert 'ScalingReplicaSet' in eventually(lambda: (lambda t: 'ScalingReplicaSet' in t and t)(kubectl('describe', 'deploy', 'web')))
    text = kubectl('describe', 'pods')
    assert re.search(r'Controlled By: +ReplicaSet/web-', text) and re.search(r'Image: +example.com/web:1', text)
    assert re.search(r'Endpoints: ', kubectl('describe', 'svc', 'web'))


# ---- selecting, paging, watching

def test_label_selectors(kubectl):
    for name, role in (('a', 'front'), ('b', 'back'), ('c', 'back')):
        kubectl('create', '-f', '-', stdin=yaml(POD, name=name, role=role, more='nodeName: nowhere'))
    names = lambda selector: [p['metadata']['name'] for p in get(kubectl, 'pods', '-l', selector)['items']]
    assert names('role=back') == ['b', 'c']
    assert names('role!=back') == ['a']
    assert names('role in (front,side)') == ['a']
    assert names('role notin (front),role') == ['b', 'c']
    assert names('!role') == []
    assert 'unable to parse requirement' in kubectl.fails('get', 'pods', '-l', 'role=a=b') + kubectl.fails('get', 'pods', '-l', 'a in b')


def test_field_selectors(kubectl):
    for name in 'ab':
        kubectl('create', '-f', '-', stdin=yaml(POD, name=name, role='x', more=f'nodeName: node-{name}'))
    names = lambda selector: [p['metadata']['name'] for p in get(kubectl, 'pods', '--field-selector', selector)['items']]
    assert names('metadata.name=a') == ['a']
    assert names('spec.nodeName!=node-a') == ['b']
    assert names('status.phase=Pending,spec.nodeName=node-b') == ['b']
    assert 'field label not supported: spec.nosuch' in kubectl.fails('get', 'pods', '--field-selector', 'spec.nosuch=1')


def test_paging(kubectl):
    for i in range(5):
        kubectl('create', 'configmap', f'p{i}')
    out = kubectl('get', 'cm', '--chunk-size=2', '--no-headers')
    assert [line.split()[0] for line in out.splitlines() if re.match(r'p\d ', line)] == [f'p{i}' for i in range(5)]
    r = kubectl.run('get', 'cm', '--chunk-size=2', '-v=6')
    assert r.stderr.count('limit=2') >= 3 and 'continue=' in r.stderr


def test_sorting_and_custom_columns(kubectl):
    for name, size in (('a', '3'), ('b', '1'), ('c', '2')):
        kubectl('create', 'configmap', name, '--from-literal=size=' + size)
    out = kubectl('get', 'cm', 'a', 'b', 'c', '--sort-by=.data.size', '-o', 'custom-columns=N:.metadata.name,S:.data.size')
    assert [line.split() for line in out.splitlines()] == [['N', 'S'], ['b', '1'], ['c', '2'], ['a', '3']]


def test_watch_shows_changes(kubectl):
    kubectl('create', 'configmap', 'a')
    w = kubectl.start('get', 'cm', '-w', '--no-headers', '-o', 'custom-columns=N:.metadata.name,S:.data.k')
    try:
        lines = []
        def until(text):
            while True:
                line = w.stdout.readline()
                assert line, lines
                lines.append(line.split())
                if lines[-1] == text:
                    return
        until(['a', '<none>'])
        kubectl('patch', 'cm', 'a', '-p', '{"data":{"k":"1"}}')
        until(['a', '1'])
        kubectl('create', 'configmap', 'b', '--from-literal=k=2')
        until(['b', '2'])
    finally:
        w.kill()
        w.wait()


def test_wait(kubectl):
    kubectl('create', '-f', '-', stdin=yaml(POD, name='a', role='x', more='schedulerName: nobody'))
    w = kubectl.start('wait', '--for=delete', 'pod/a', '--timeout=20s')
    time.sleep(0.5)
    kubectl('delete', 'pod', 'a')
    assert w.wait(20) == 0
    kubectl('create', '-f', '-', stdin=yaml(POD, name='b', role='x', more='schedulerName: nobody'))
    assert 'timed out waiting for the condition' in kubectl.fails('wait', '--for=condition=Ready', 'pod/b', '--timeout=1s')


# ---- deleting

def test_delete_is_graceful_where_a_pod_is_bound(kubectl):
    kubectl('create', '-f', '-', stdin=yaml(POD, name='a', role='x', more='nodeName: nowhere'))
    kubectl('delete', 'pod', 'a', '--wait=false', '--grace-period=60')
    p = get(kubectl, 'pod', 'a')
    assert p['metadata']['deletionGracePeriodSeconds'] == 60 and p['metadata']['deletionTimestamp']
    row, = kubectl.table('get', 'pods')
    assert row['STATUS'] == 'Terminating'
    kubectl('delete', 'pod', 'a', '--grace-period=0', '--force')
    assert 'NotFound' in kubectl.fails('get', 'pod', 'a')


def test_delete_waits_for_finalizers(kubectl):
    kubectl('create', '-f', '-', stdin='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","finalizers":["example.com/x"]}}')
    d = kubectl.start('delete', 'cm', 'a')
    eventually(lambda: 'deletionTimestamp' in get(kubectl, 'cm', 'a')['metadata'])
    assert d.poll() is None
    kubectl('patch', 'cm', 'a', '--type=merge', '-p', '{"metadata":{"finalizers":null}}')
    assert d.wait(20) == 0
    assert 'NotFound' in kubectl.fails('get', 'cm', 'a')


def test_delete_all_and_cascades(kubectl):
    kubectl('apply', '-f', '-', stdin=yaml(WEB, replicas=2, tag=1))
    eventually(lambda: len(get(kubectl, 'pods')['items']) == 2)
    kubectl('delete', 'deploy', '--all')
    eventually(lambda: not get(kubectl, 'rs')['items'] and not get(kubectl, 'pods')['items'])
    kubectl('apply', '-f', '-', stdin=yaml(WEB, replicas=1, tag=1))
    eventually(lambda: get(kubectl, 'rs')['items'])
    kubectl('delete', 'deploy', 'web', '--cascade=orphan')
    time.sleep(1)
    rs, = get(kubectl, 'rs')['items']
    assert not rs['metadata'].get('ownerReferences')


def test_namespace_goes_with_all_it_holds(kubectl, server):
    kubectl.ns = None
    name = 'gone' + str(kubectl.minor)
    kubectl('create', 'namespace', name)
    kubectl('create', 'configmap', 'a', '-n', name)
    kubectl('delete', 'namespace', name, '--timeout=30s')
    assert 'NotFound' in kubectl.fails('get', 'namespace', name)
    assert f'namespaces "{name}" not found' in kubectl.fails('create', 'configmap', 'a', '-n', name)


# ---- dry runs and mistakes

def test_dry_run(kubectl):
    assert kubectl('create', 'configmap', 'a', '--dry-run=server') == 'configmap/a created (server dry run)\n'
    assert 'NotFound' in kubectl.fails('get', 'cm', 'a')
    kubectl('create', 'configmap', 'a')
    assert 'server dry run' in kubectl('delete', 'cm', 'a', '--dry-run=server')
    kubectl('get', 'cm', 'a')
    assert 'configmaps "a" already exists' in kubectl.fails('create', 'configmap', 'a', '--dry-run=server')
    assert 'created (dry run)' in kubectl('create', 'configmap', 'b', '--dry-run=client')
    out = kubectl('create', 'deployment', 'd', '--image=x', '--dry-run=server', '-o', 'yaml')
    assert 'uid: ' in out and 'terminationMessagePath: /dev/termination-log' in out


def test_errors_are_told_in_kubernetes_words(kubectl):
    kubectl('create', 'configmap', 'a')
    ns = kubectl.ns
    same = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}'
    assert 'Error from server (AlreadyExists): error when creating "STDIN": configmaps "a" already exists' \
        in kubectl.fails('create', '-f', '-', stdin=same)
    assert 'Error from server (NotFound): pods "nosuch" not found' in kubectl.fails('get', 'pod', 'nosuch')
    assert 'Error from server (NotFound): deployments.apps "nosuch" not found' in kubectl.fails('get', 'deploy', 'nosuch')
    assert 'the server doesn\'t have a resource type "nosuch"' in kubectl.fails('get', 'nosuch')
    bad = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"A_B"}}'
    assert 'The ConfigMap "A_B" is invalid: metadata.name: Invalid value: "A_B": a lowercase RFC 1123 subdomain must consist of' \
        in kubectl.fails('create', '-f', '-', stdin=bad)
    pod = yaml(POD, name='p', role='x', more='restartPolicy: Sometimes')
    assert 'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"' \
        in kubectl.fails('create', '-f', '-', '--validate=false', stdin=pod).replace('"Always", "OnFailure", "Never"', '"Always", "Never", "OnFailure"')
    two = '{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"ports":[{"port":0},{"port":70000}]}}'
    err = kubectl.fails('create', '-f', '-', stdin=two)
    assert '* spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive' in err
    assert '* spec.ports[1].port: Invalid value: 70000: must be between 1 and 65535, inclusive' in err
    kubectl('apply', '-f', '-', stdin=yaml(WEB, replicas=1, tag=1))
    assert 'field is immutable' in kubectl.fails('patch', 'deploy', 'web', '-p', '{"spec":{"selector":{"matchLabels":{"x":"y"}}}}')
    assert 'namespaces "nosuch" not found' in kubectl.fails('create', 'configmap', 'x', '-n', 'nosuch')
    kubectl.ns = ns


def test_unknown_fields_are_refused(kubectl):
    typo = yaml(WEB, replicas=1, tag=1).replace('replicas:', 'replica:')
    err = kubectl.fails('apply', '-f', '-', stdin=typo)
    assert re.search(r'unknown field "(spec\.)?replica"', err), err
    if kubectl.minor >= 25:
        r = kubectl.run('apply', '-f', '-', '--validate=warn', stdin=typo)
        assert r.returncode == 0 and 'Warning: unknown field "spec.replica"' in r.stderr, r


def test_removed_groups_stay_removed(kubectl):
    old = '{"apiVersion":"extensions/v1beta1","kind":"Ingress","metadata":{"name":"i"}}'
    err = kubectl.fails('create', '-f', '-', stdin=old)
    assert 'no matches for kind "Ingress" in version "extensions/v1beta1"' in err, err


# ---- who may do what

def test_can_i(kubectl, server):
    assert kubectl('auth', 'can-i', '*', '*') == 'yes\n'
    kubectl('create', 'serviceaccount', 'bob')
    bob = f'--as=system:serviceaccount:{kubectl.ns}:bob'
    r = kubectl.run('auth', 'can-i', 'list', 'pods', bob)
    assert r.returncode == 1 and r.stdout.startswith('no')
    err = kubectl.fails('get', 'pods', bob)
    assert f'pods is forbidden: User "system:serviceaccount:{kubectl.ns}:bob" cannot list resource "pods" in API group "" ' \
           f'in the namespace "{kubectl.ns}"' in err
    kubectl('create', 'role', 'reader', '--verb=get,list', '--resource=pods')
    kubectl('create', 'rolebinding', 'bob', '--role=reader', f'--serviceaccount={kubectl.ns}:bob')
    assert kubectl('auth', 'can-i', 'list', 'pods', bob) == 'yes\n'
    assert kubectl.run('auth', 'can-i', 'list', 'pods', bob, '-n', 'default').returncode == 1
    assert kubectl.run('auth', 'can-i', 'delete', 'pods', bob).returncode == 1
    kubectl('get', 'pods', bob)
    assert re.search(r'pods +\[\] +\[\] +\[get list\]', kubectl('auth', 'can-i', '--list', bob))
    row, = kubectl.table('get', 'rolebindings', '-o', 'wide')
    assert row['ROLE'] == 'Role/reader' and row['SERVICEACCOUNTS'] == kubectl.ns + '/bob'


def test_tokens(kubectl, server):
    kubectl('create', 'serviceaccount', 'bob')
    if kubectl.minor >= 24:
        token = kubectl('create', 'token', 'bob', '--duration=20m').strip()
    else:
        token = server.post(f'/api/v1/namespaces/{kubectl.ns}/serviceaccounts/bob/token',
                            {'spec': {'expirationSeconds': 1200}}).json()['status']['token']
    nobody = os.path.join(server.root, 'nobody')
    with open(nobody, 'w') as f:
        f.write('apiVersion: v1\nkind: Config\n')
    base = ['--kubeconfig', nobody, '--server', f'https://127.0.0.1:{server.port}', '--certificate-authority',
            os.path.join(server.dir, 'ca.crt')]
    err = kubectl.fails('get', 'pods', '--token', token, *base)
    assert f'User "system:serviceaccount:{kubectl.ns}:bob" cannot list resource "pods"' in err
    if kubectl.minor >= 28:
        assert f'system:serviceaccount:{kubectl.ns}:bob' in kubectl('auth', 'whoami', '--token', token, *base)
    kubectl('create', 'rolebinding', 'bob', '--clusterrole=view', f'--serviceaccount={kubectl.ns}:bob')
    kubectl('get', 'pods', '--token', token, *base)
    assert 'cannot list resource "secrets"' in kubectl.fails('get', 'secrets', '--token', token, *base)
    assert 'must be logged in' in kubectl.fails('get', 'pods', '--token', token[:-4] + 'AAAA', *base)


def test_nodes(kubectl):
    name = 'n' + str(kubectl.minor)
    kubectl.ns = None
    kubectl('create', '-f', '-', stdin=json.dumps({'apiVersion': 'v1', 'kind': 'Node', 'metadata': {
        'name': name, 'labels': {'node-role.kubernetes.io/worker': ''}}}))
    try:
        kubectl('cordon', name)
        row, = [r for r in kubectl.table('get', 'nodes') if r['NAME'] == name]
        assert row['STATUS'].endswith(',SchedulingDisabled') and row['ROLES'] == 'worker'
        kubectl('uncordon', name)
        kubectl('taint', 'nodes', name, 'a=b:NoSchedule')
        assert {'key': 'a', 'value': 'b', 'effect': 'NoSchedule'} in get(kubectl, 'node', name)['spec']['taints']
        kubectl('taint', 'nodes', name, 'a-')
        assert 'a' not in [t['key'] for t in get(kubectl, 'node', name)['spec'].get('taints', [])]
    finally:
        kubectl('delete', 'node', name)


def test_every_kind_lists(kubectl):
    kinds = kubectl('api-resources', '--verbs=list', '-o', 'name').split()
    assert len(kinds) > 40
    out = kubectl('get', ','.join(kinds), '-A', '-o', 'wide')
    for column in ('DATA', 'CLUSTER-IP', 'CREATED AT', 'ROLE', 'GLOBAL-DEFAULT', 'PARENTREF', 'CIDRS', 'SECRETS'):
        assert column in out, (column, out[:3000])
