"""Pods run images of the cluster's own registry with nothing configured anywhere; only those that their namespace may have."""
import base64
import hashlib
import http.client
import json

from cluster import SLEEP, cluster, need, ns, shell  # noqa: F401
from test_node_registry import MANIFEST, image

HOST = 'kubernetes.default.svc'


def push(cluster, name, tag, text):
    """As the admin, by raw HTTP. The manifest's digest."""
    need('busybox', 'zstd')
    api = cluster.api
    c = http.client.HTTPSConnection(api.host, api.port, timeout=30)
    c.sock = api.tls.wrap_socket(api.lab.connect(api.host, api.port), server_hostname=api.host)

    def put(method, path, body, kind='application/octet-stream'):
        c.request(method, f'/v2/{name}/{path}', body, {'Content-Type': kind})
        r = c.getresponse()
        said = r.read()
        assert r.status == 201, (r.status, said)
    manifest, blobs = image(text)
    for digest, b in blobs.items():
        put('POST', f'blobs/uploads/?digest={digest}', b)
    put('PUT', f'manifests/{tag}', manifest, MANIFEST)
    c.close()
    return 'sha256:' + hashlib.sha256(manifest).hexdigest()


def container(image, **more):
    return {'name': 'c', 'image': image, 'imagePullPolicy': 'Always', **more}


def waiting(ns, name, reason):
    def look(p):
        states = [s.get('state', {}).get('waiting', {}) for s in p.get('status', {}).get('containerStatuses', [])]
        return any(s.get('reason') == reason for s in states)
    return ns.wait('pods', name, look)


def test_a_pod_runs_what_its_namespace_owns(ns):
    digest = push(ns.cluster, ns.name + '/app/text', 'v1', 'hello\n')
    ns.pod('by-tag', container(f'{HOST}/{ns.name}/app/text:v1'), restartPolicy='Never')
    ns.pod('by-digest', container(f'{HOST}.cluster.local:443/{ns.name}/app/text@{digest}'), restartPolicy='Never')
    for name in ('by-tag', 'by-digest'):
        pod = ns.phase(name, 'Succeeded')
        assert ns.log(name) == 'new\nhello\n'
        assert pod['status']['containerStatuses'][0]['imageID'].endswith('@' + digest)


def test_what_another_namespace_owns_needs_a_right(ns):
    push(ns.cluster, 'default/secret', 'v1', 'secret\n')
    ns.pod('denied', container(f'{HOST}/default/secret:v1'), restartPolicy='Never')
    waiting(ns, 'denied', 'ErrImagePull')
    assert any('pull access denied' in text for _, text in ns.events('denied')), ns.events('denied')
    rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/default'
    role = {'metadata': {'name': ns.name}, 'rules': [{'apiGroups': ['sampan.dev'], 'resources': ['repositories'],
                                                      'resourceNames': ['secret'], 'verbs': ['get']}]}
    ns.api.call('POST', rbac + '/roles', role)
    ns.api.call('POST', rbac + '/rolebindings', {
        'metadata': {'name': ns.name}, 'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'Role', 'name': ns.name},
        'subjects': [{'kind': 'ServiceAccount', 'name': 'default', 'namespace': ns.name}]})
    ns.pod('allowed', container(f'{HOST}/default/secret:v1'), restartPolicy='Never')
    ns.phase('allowed', 'Succeeded')


def test_a_pull_secret_speaks_for_itself(ns):
    push(ns.cluster, 'default/other', 'v1', 'other\n')
    answer = ns.api.call('POST', '/api/v1/namespaces/default/serviceaccounts/default/token',
                         {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenRequest', 'spec': {}})
    auths = {'auths': {HOST: {'username': 'any', 'password': answer['status']['token']}}}
    ns.create({'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 'pull'}, 'type': 'kubernetes.io/dockerconfigjson',
               'data': {'.dockerconfigjson': base64.b64encode(json.dumps(auths).encode()).decode()}})
    ns.pod('p', container(f'{HOST}/default/other:v1'), restartPolicy='Never', imagePullSecrets=[{'name': 'pull'}])
    ns.phase('p', 'Succeeded')


def test_a_pod_pushes_by_the_same_name(ns):
    """With what every pod has: the cluster's CA, its token, and the Service of the API server."""
    need('curl')
    rbac = f'/apis/rbac.authorization.k8s.io/v1/namespaces/{ns.name}'
    ns.api.call('POST', rbac + '/roles', {'metadata': {'name': 'push'}, 'rules': [
        {'apiGroups': ['sampan.dev'], 'resources': ['repositories'], 'verbs': ['create']}]})
    ns.api.call('POST', rbac + '/rolebindings', {
        'metadata': {'name': 'push'}, 'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'Role', 'name': 'push'},
        'subjects': [{'kind': 'ServiceAccount', 'name': 'default', 'namespace': ns.name}]})
    ns.pod('p', shell(SLEEP))
    ns.ready('p')
    pid, digest = str(ns.container_pid('p')), 'sha256:' + hashlib.sha256(b'from a pod').hexdigest()
    have = f'/proc/{pid}/root/var/run/secrets/kubernetes.io/serviceaccount'
    where = ['--cacert', have + '/ca.crt', '-u', 'any:' + ns.lab.run('cat', have + '/token').stdout,
             '--connect-to', f'{HOST}:443:10.96.0.1:443']
    said = ns.lab.run('nsenter', '-t', pid, '-n', 'curl', '-sS', *where, '--data-binary', 'from a pod', '-w', '%{http_code}',
                      f'https://{HOST}/v2/{ns.name}/made/blobs/uploads/?digest={digest}')
    assert said.stdout == '201', said
