"""Certificate requests from asking to using, bootstrap tokens, and roles that are sums of others: as users and machines
that join see them."""
import base64
import hashlib
import hmac
import json
import subprocess

from conftest import eventually
from wire import find_binary

CSR = '/apis/certificates.k8s.io/v1/certificatesigningrequests'
RBAC = '/apis/rbac.authorization.k8s.io/v1'
SECRETS = '/api/v1/namespaces/kube-system/secrets'
INFO = '/api/v1/namespaces/kube-public/configmaps/cluster-info'
KUBELET, CLIENT = 'kubernetes.io/kube-apiserver-client-kubelet', 'kubernetes.io/kube-apiserver-client'


def request(tmp_path, subject):
    """A key and a request for it, by openssl: (path of the key, base64 of the request)."""
    key, csr = str(tmp_path / 'key'), str(tmp_path / 'csr')
    subprocess.run(['openssl', 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key,
                    '-subj', subject, '-out', csr], check=True, capture_output=True)
    with open(csr, 'rb') as f:
        return key, base64.b64encode(f.read()).decode()


def csr_of(name, pem, signer, *usages, **spec):
    return {'metadata': {'name': name}, 'spec': {'request': pem, 'signerName': signer, 'usages': list(usages), **spec}}


def conditions(server, name):
    return {c['type']: c for c in server.get(f'{CSR}/{name}').json()['status'].get('conditions', [])}


def certificate(server, name):
    return server.get(f'{CSR}/{name}').json()['status'].get('certificate')


def login(server, tmp_path, key, cert):
    """kubectl's view of a user with this certificate."""
    path = str(tmp_path / 'crt')
    with open(path, 'wb') as f:
        f.write(base64.b64decode(cert))
    return ['--server', f'https://127.0.0.1:{server.port}', '--certificate-authority', server.dir + '/ca.crt',
            '--client-certificate', path, '--client-key', key]


def test_a_user_asks_and_an_administrator_approves(kubectl, server, ns, tmp_path):
    key, pem = request(tmp_path, '/O=devs/CN=ann')
    name = ns
    assert server.post(CSR, csr_of(name, pem, CLIENT, 'client auth', expirationSeconds=3600)).code == 201
    row = [r for r in kubectl.table('get', 'csr') if r['NAME'] == name][0]
    assert row['SIGNERNAME'] == CLIENT and row['REQUESTOR'] == 'kubernetes-admin' and row['CONDITION'] == 'Pending'
    spec = server.get(f'{CSR}/{name}').json()['spec']
    assert spec['username'] == 'kubernetes-admin' and 'system:masters' in spec['groups']
    assert spec['extra']['authentication.kubernetes.io/credential-id'][0].startswith('X509SHA256=')
    kubectl('certificate', 'approve', name)
    cert = eventually(lambda: certificate(server, name))
    assert [r['CONDITION'] for r in kubectl.table('get', 'csr') if r['NAME'] == name] == ['Approved,Issued']
    flags = login(server, tmp_path, key, cert)
    text = subprocess.run([kubectl.path] + flags + ['get', 'pods', '-n', ns], env={'HOME': str(tmp_path)}, text=True,
                          capture_output=True).stderr
    assert 'User "ann" cannot list resource "pods"' in text
    shown = subprocess.run(['openssl', 'x509', '-noout', '-text', '-in', str(tmp_path / 'crt')], text=True,
                           capture_output=True, check=True).stdout
    assert 'TLS Web Client Authentication' in shown and 'Server' not in shown and 'CA:FALSE' in shown
    assert server.delete(f'{CSR}/{name}').code == 200


def test_what_is_refused(server, ns, tmp_path):
    _, masters = request(tmp_path, '/O=system:masters/CN=ann')
    _, plain = request(tmp_path, '/O=devs/CN=ann')
    r = server.post(CSR, csr_of(ns, masters, CLIENT, 'client auth'))
    assert r.status() == (403, 'Forbidden', f'certificatesigningrequests.certificates.k8s.io "{ns}" is forbidden: use of '
                          f'{CLIENT} signer with system:masters group is not allowed')
    for body, field, text in (
            (csr_of(ns, base64.b64encode(b'nonsense').decode(), CLIENT, 'client auth'), 'spec.request',
             'PEM block type must be CERTIFICATE REQUEST'),
            (csr_of(ns, plain, CLIENT), 'spec.usages', 'Required value'),
            (csr_of(ns, plain, CLIENT, 'client auth', 'flying'), 'spec.usages[1]', 'Unsupported value: "flying"'),
            (csr_of(ns, plain, CLIENT, 'client auth', 'client auth'), 'spec.usages[1]', 'Duplicate value: "client auth"'),
            (csr_of(ns, plain, 'nodomain', 'client auth'), 'spec.signerName',
             "must be a fully qualified domain and path of the form 'example.com/signer-name'"),
            (csr_of(ns, plain, 'kubernetes.io/legacy-unknown', 'client auth'), 'spec.signerName',
             'the legacy signerName is not allowed via this API version'),
            (csr_of(ns, plain, CLIENT, 'client auth', expirationSeconds=599), 'spec.expirationSeconds',
             'may not specify a duration less than 600 seconds (10 minutes)')):
        causes = {c['field']: c['message'] for c in server.post(CSR, body).json()['details']['causes']}
        assert text in causes.get(field, ''), (field, causes)


def test_verdicts_stay(kubectl, server, ns, tmp_path):
    _, pem = request(tmp_path, '/O=devs/CN=ann')
    assert server.post(CSR, csr_of(ns, pem, 'example.org/mine', 'client auth')).code == 201
    kubectl('certificate', 'deny', ns)
    assert 'already Denied' in (text := kubectl.fails('certificate', 'approve', ns)) or 'mutually exclusive' in text
    obj = server.get(f'{CSR}/{ns}').json()
    obj['status']['conditions'] = []
    r = server.put(f'{CSR}/{ns}/approval', obj)
    assert r.code == 422 and 'updates may not remove a condition of type "Denied"' in r.status()[2]
    obj['spec']['signerName'] = 'example.org/other'
    assert server.put(f'{CSR}/{ns}', obj).json()['spec']['signerName'] == 'example.org/mine'
    assert server.delete(f'{CSR}/{ns}').code == 200


def test_a_signer_that_cannot_says_why(server, kubectl, ns, tmp_path):
    _, pem = request(tmp_path, '/O=devs/CN=ann')
    assert server.post(CSR, csr_of(ns, pem, KUBELET, 'client auth', 'digital signature')).code == 201
    kubectl('certificate', 'approve', ns)
    failed = eventually(lambda: conditions(server, ns).get('Failed'))
    assert failed['reason'] == 'SignerValidationFailure' and failed['message'] == 'subject organization is not system:nodes'
    assert not certificate(server, ns)
    assert server.delete(f'{CSR}/{ns}').code == 200


def test_approving_takes_a_permission_on_the_signer(server, ns, tmp_path):
    _, pem = request(tmp_path, '/O=devs/CN=ann')
    names = {'metadata': {'name': ns}}
    assert server.post(CSR, csr_of(ns, pem, 'example.org/mine', 'client auth')).code == 201
    rules = [{'apiGroups': ['certificates.k8s.io'], 'resources': ['certificatesigningrequests',
              'certificatesigningrequests/approval'], 'verbs': ['get', 'update']}]
    assert server.post(RBAC + '/clusterroles', {**names, 'rules': rules}).code == 201
    assert server.post(RBAC + '/clusterrolebindings', {**names, 'subjects': [{'kind': 'User', 'name': 'eve', 'apiGroup':
                       'rbac.authorization.k8s.io'}], 'roleRef': {'kind': 'ClusterRole', 'name': ns, 'apiGroup':
                       'rbac.authorization.k8s.io'}}).code == 201
    obj = server.get(f'{CSR}/{ns}').json()
    obj['status']['conditions'] = [{'type': 'Approved', 'status': 'True', 'reason': 'Mine'}]
    eve = {'Impersonate-User': 'eve'}
    r = server.put(f'{CSR}/{ns}/approval', obj, headers=eve)
    assert r.status()[:2] == (403, 'Forbidden') and \
        'user not permitted to approve requests with signerName "example.org/mine"' in r.status()[2]
    rules.append({'apiGroups': ['certificates.k8s.io'], 'resources': ['signers'], 'resourceNames': ['example.org/*'],
                  'verbs': ['approve']})
    assert server.put(RBAC + '/clusterroles/' + ns, {**names, 'rules': rules}).code == 200
    assert server.put(f'{CSR}/{ns}/approval', obj, headers=eve).code == 200
    for path in (CSR, RBAC + '/clusterroles', RBAC + '/clusterrolebindings'):
        assert server.delete(f'{path}/{ns}').code == 200


# ---- bootstrap tokens

def sampan(server, *words):
    return subprocess.run([find_binary(), 'token', *words, '--data-dir', server.dir], text=True, capture_output=True)


def test_a_token_joins_and_nothing_more(server, tmp_path, ns):
    line = sampan(server, 'create', '--ttl', '1h', '--description', 'board').stdout.split()
    token, ca_hash = line[line.index('--token') + 1], line[line.index('--ca-hash') + 1]
    key = subprocess.run(['sh', '-c', 'openssl x509 -pubkey -noout -in "$0" | openssl pkey -pubin -outform der',
                          server.dir + '/ca.crt'], capture_output=True, check=True).stdout
    assert ca_hash == 'sha256:' + hashlib.sha256(key).hexdigest()
    assert token in sampan(server, 'list').stdout
    # What it reads before it trusts anybody, and how it knows that it may.
    ident, secret = token.split('.')
    data = eventually(lambda: (d := server.get(INFO, who=None).json()['data']).get('jws-kubeconfig-' + ident) and d)
    header, _, signature = data['jws-kubeconfig-' + ident].split('.')
    text = header + '.' + base64.urlsafe_b64encode(data['kubeconfig'].encode()).rstrip(b'=').decode()
    mine = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64encode(mine).rstrip(b'=').decode() == signature
    assert json.loads(base64.urlsafe_b64decode(header + '==')) == {'alg': 'HS256', 'kid': ident}
    # Nothing else is for strangers, and a wrong secret is nobody.
    for path in ('/api/v1/namespaces/kube-public/configmaps', '/api/v1/nodes', '/apis'):
        assert server.get(path, who=None).code == 401
    for wrong in (ident + '.0000000000000000', token + 'x', '000000.' + secret):
        assert server.get(CSR, token=wrong).code == 401
    assert server.get(SECRETS, token=token).code == 403
    _, other = request(tmp_path, '/O=system:masters/CN=x')
    assert server.post(CSR, csr_of(ns + '-m', other, CLIENT, 'client auth'), token=token).code == 403
    _, pem = request(tmp_path, '/O=system:nodes/CN=system:node:board')
    assert server.post(CSR, csr_of(ns, pem, KUBELET, 'client auth', 'digital signature'), token=token).code == 201
    eventually(lambda: certificate(server, ns))
    assert conditions(server, ns)['Approved']['message'] == \
        'Auto approving kubelet client certificate after SubjectAccessReview.'
    assert server.get(f'{CSR}/{ns}').json()['spec']['username'] == 'system:bootstrap:' + ident
    assert sampan(server, 'delete', ident).returncode == 0
    assert server.get(CSR, token=token).code == 401
    eventually(lambda: 'jws-kubeconfig-' + ident not in server.get(INFO).json()['data'])
    assert sampan(server, 'delete', ident).returncode == 1 and sampan(server, 'create', '--ttl', 'x').returncode == 2


def test_a_token_ends(server):
    token = sampan(server, 'create', '--ttl', '2s', '--quiet').stdout.strip()
    assert server.get(CSR, token=token).code == 200
    eventually(lambda: server.get(CSR, token=token).code == 401)
    eventually(lambda: server.get(f'{SECRETS}/bootstrap-token-{token[:6]}').code == 404)


# ---- roles

def test_aggregated_roles_are_sums(server, ns):
    rule = {'apiGroups': ['example.org'], 'resources': ['boats'], 'verbs': ['get']}
    label = {'sum-of': ns}
    body = {'metadata': {'name': ns}, 'rules': [], 'aggregationRule': {'clusterRoleSelectors': [{'matchLabels': label}]}}
    roles = RBAC + '/clusterroles'
    assert server.post(roles, body).code == 201
    rules = lambda name=ns: server.get(f'{roles}/{name}').json()['rules']  # noqa: E731
    assert server.post(roles, {'metadata': {'name': ns + '-a', 'labels': label}, 'rules': [rule]}).code == 201
    eventually(lambda: rules() == [rule])
    other = {**rule, 'verbs': ['list']}
    assert server.post(roles, {'metadata': {'name': ns + '-b', 'labels': label}, 'rules': [rule, other]}).code == 201
    eventually(lambda: rules() == [rule, other])
    body['rules'] = [{**rule, 'verbs': ['*']}]  # what somebody else writes there is put right
    assert server.put(f'{roles}/{ns}', body).code == 200
    eventually(lambda: rules() == [rule, other])
    for name in (ns + '-a', ns + '-b'):
        assert server.delete(f'{roles}/{name}').code == 200
    eventually(lambda: not rules())
    assert {'pods', 'pods/log'} <= {r for x in rules('admin') for r in x['resources']}
    assert server.delete(f'{roles}/{ns}').code == 200
