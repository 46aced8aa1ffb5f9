"""The registry in the server, by raw HTTP as the OCI distribution spec writes it, and with skopeo, podman and buildah."""
import base64
import hashlib
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time

import pytest

from conftest import eventually, served
from wire import Server, memory_slack

MANIFEST, INDEX = 'application/vnd.oci.image.manifest.v1+json', 'application/vnd.oci.image.index.v1+json'
CONFIG, LAYER = 'application/vnd.oci.image.config.v1+json', 'application/vnd.oci.image.layer.v1.tar'
GRACE_S = 3


def digest(b):
    return 'sha256:' + hashlib.sha256(b).hexdigest()


def descriptor(b, kind):
    return {'mediaType': kind, 'digest': digest(b), 'size': len(b)}


def manifest_of(config, layers, **more):
    return json.dumps({'schemaVersion': 2, 'mediaType': MANIFEST, 'config': descriptor(config, CONFIG),
                       'layers': [descriptor(b, LAYER) for b in layers], **more}).encode()


class Repo:
    """One repository by raw HTTP, as admin unless told otherwise."""

    def __init__(self, server, name, **who):
        self.server, self.name, self.who = server, name, who

    def call(self, method, path, body=None, **more):
        return self.server.request(method, f'/v2/{self.name}/{path}', body, **{**self.who, **more})

    def push_blob(self, b):
        r = self.call('POST', f'blobs/uploads/?digest={digest(b)}', b, content_type='application/octet-stream')
        assert r.code == 201, r
        return digest(b)

    def push(self, tag, config=b'{}', layers=(b'layer',), **more):
        for b in (config, *layers):
            self.push_blob(b)
        m = manifest_of(config, layers, **more)
        r = self.call('PUT', f'manifests/{tag or digest(m)}', m, content_type=MANIFEST)
        assert r.code == 201 and r.headers['Docker-Content-Digest'] == digest(m), r
        return m

    def begin(self):
        r = self.call('POST', 'blobs/uploads/')
        assert r.code == 202 and r.headers['Range'] == '0-0', r
        return r.headers['Location'].removeprefix(f'/v2/{self.name}/')

    def has(self, b):
        return self.call('HEAD', f'blobs/{digest(b)}').code == 200


def code_of(r, status):
    assert r.code == status, r
    return r.json()['errors'][0]['code']


@pytest.fixture(scope='module')
def server():
    with served('--registry-grace', str(GRACE_S)) as s:
        eventually(lambda: s.get('/api/v1/namespaces/default/serviceaccounts/default').code == 200)
        yield s


@pytest.fixture
def repo(server, request):
    return Repo(server, 'default/' + request.node.originalname.replace('_', '-'))


def token_of(server, ns='default'):
    eventually(lambda: server.get(f'/api/v1/namespaces/{ns}/serviceaccounts/default').code == 200)
    r = server.post(f'/api/v1/namespaces/{ns}/serviceaccounts/default/token',
                    {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenRequest', 'spec': {}})
    assert r.code == 201, r
    return r.json()['status']['token']


# ---- blobs

def test_chunked_upload_with_wrong_offsets(repo):
    at, parts = repo.begin(), [os.urandom(70000), os.urandom(1), os.urandom(300000)]
    whole, sent = b''.join(parts), 0
    for p in parts:
        r = repo.call('PATCH', at, p, headers={'Content-Range': f'{sent + 5}-{sent + 4 + len(p)}'})
        assert code_of(r, 416) == 'BLOB_UPLOAD_INVALID'
        r = repo.call('PATCH', at, p, headers={'Content-Range': f'{sent}-{sent + len(p) - 1}'})
        sent += len(p)
        assert r.code == 202 and r.headers['Range'] == f'0-{sent - 1}', r
        assert repo.call('GET', at).headers['Range'] == f'0-{sent - 1}'
    r = repo.call('PUT', f'{at}?digest={digest(whole)}')
    assert r.code == 201 and r.headers['Location'].endswith('/blobs/' + digest(whole)), r
    assert repo.call('GET', f'blobs/{digest(whole)}').body == whole
    assert code_of(repo.call('PATCH', at, b'more'), 404) == 'BLOB_UPLOAD_UNKNOWN'


def test_last_chunk_with_put_and_cancel(repo):
    at, b = repo.begin(), os.urandom(5000)
    assert repo.call('PATCH', at, b[:3000]).code == 202
    assert repo.call('PUT', f'{at}?digest={digest(b)}', b[3000:]).code == 201
    at = repo.begin()
    assert repo.call('DELETE', at).code == 204
    assert repo.call('GET', at).code == 404


def test_ranges_and_head(repo):
    b = os.urandom(600001)
    repo.push_blob(b)
    r = repo.call('HEAD', f'blobs/{digest(b)}')
    assert r.code == 200 and int(r.headers['Content-Length']) == len(b) and not r.body
    for text, want in (('bytes=5-9', b[5:10]), ('bytes=600000-', b[-1:]), ('bytes=-7', b[-7:]), ('bytes=0-999999999', b)):
        r = repo.call('GET', f'blobs/{digest(b)}', headers={'Range': text})
        assert r.code == 206 and r.body == want, text
    assert repo.call('GET', f'blobs/{digest(b)}', headers={'Range': 'bytes=600001-'}).code == 416
    assert repo.call('GET', f'blobs/{digest(b)}', headers={'Range': 'nonsense'}).body == b
    repo.push_blob(b'')
    assert repo.call('GET', f'blobs/{digest(b"")}').body == b''


def test_lies_about_digests(repo):
    r = repo.call('POST', f'blobs/uploads/?digest={digest(b"one")}', b'two')
    assert code_of(r, 400) == 'DIGEST_INVALID'
    assert not repo.has(b'one') and not repo.has(b'two')
    for bad in ('sha256:abc', 'sha512:' + 'a' * 128, 'sha256:' + 'G' * 64, '../../../etc/passwd'):
        assert code_of(repo.call('POST', f'blobs/uploads/?digest={bad}', b'x'), 400) == 'DIGEST_INVALID'
        assert repo.call('GET', f'blobs/{bad}').code in (400, 404)
    m = manifest_of(b'{}', [])
    repo.push_blob(b'{}')
    assert code_of(repo.call('PUT', f'manifests/{digest(b"other")}', m, content_type=MANIFEST), 400) == 'DIGEST_INVALID'


def test_client_vanishes_and_goes_on(server, repo):
    at, b = repo.begin(), os.urandom(2 << 20)
    with server.raw() as s:
        s.sendall(f'PATCH /v2/{repo.name}/{at} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(b)}\r\n\r\n'.encode() + b[:1 << 20])
    r = eventually(lambda: (lambda r: r if r.headers['Range'] != '0-0' else None)(repo.call('GET', at)))
    time.sleep(0.2)  # what was on its way may still be written
    have = int(repo.call('GET', at).headers['Range'].partition('-')[2]) + 1
    assert 0 < have <= 1 << 20, r
    r = repo.call('PUT', f'{at}?digest={digest(b)}', b[have:], headers={'Content-Range': f'{have}-{len(b) - 1}'})
    assert r.code == 201, r


def test_mount(server, repo):
    b = os.urandom(1000)
    repo.push_blob(b)
    other = Repo(server, repo.name + '/copy')
    r = other.call('POST', f'blobs/uploads/?mount={digest(b)}&from={repo.name}')
    assert r.code == 201 and other.has(b)
    r = other.call('POST', f'blobs/uploads/?mount={digest(b"none")}&from={repo.name}')
    assert r.code == 202, 'what is not there is uploaded'
    token = token_of(server, 'kube-public')  # may not read default's: learns nothing of what it holds
    server.post('/apis/rbac.authorization.k8s.io/v1/namespaces/kube-public/rolebindings', {
        'metadata': {'name': 'push'}, 'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': 'cluster-admin'},
        'subjects': [{'kind': 'ServiceAccount', 'name': 'default', 'namespace': 'kube-public'}]})
    r = Repo(server, 'kube-public/x', token=token).call('POST', f'blobs/uploads/?mount={digest(b)}&from={repo.name}')
    assert r.code == 202, r


# ---- manifests

def test_manifests_tags_and_delete(repo):
    one, two = repo.push('v1'), repo.push('v2', layers=(b'another',))
    r = repo.call('GET', 'manifests/v1', headers={'Accept': MANIFEST})
    assert r.body == one and r.headers['Content-Type'] == MANIFEST and r.headers['Docker-Content-Digest'] == digest(one)
    assert int(repo.call('HEAD', 'manifests/v1').headers['Content-Length']) == len(one)
    assert code_of(repo.call('GET', 'manifests/v1', headers={'Accept': INDEX}), 404) == 'MANIFEST_UNKNOWN'
    for i in range(5):
        repo.push(f't{i}')
    assert repo.call('GET', 'tags/list').json() == {'name': repo.name, 'tags': ['t0', 't1', 't2', 't3', 't4', 'v1', 'v2']}
    r = repo.call('GET', 'tags/list?n=2')
    assert r.json()['tags'] == ['t0', 't1'] and r.headers['Link'] == f'</v2/{repo.name}/tags/list?n=2&last=t1>; rel="next"'
    r = repo.call('GET', 'tags/list?n=9&last=t4')
    assert r.json()['tags'] == ['v1', 'v2'] and not r.headers['Link']
    assert repo.call('DELETE', 'manifests/t0').code == 202  # a tag: the manifest stays
    assert repo.call('GET', f'manifests/{digest(one)}').code == 200
    assert repo.call('DELETE', f'manifests/{digest(one)}').code == 202
    assert code_of(repo.call('GET', 'manifests/v1'), 404) == 'MANIFEST_UNKNOWN'
    assert repo.call('GET', 'tags/list').json()['tags'] == ['v2']
    assert repo.call('GET', 'manifests/v2').body == two
    assert repo.call('DELETE', f'blobs/{digest(b"another")}').code == 202 and not repo.has(b'another')


@pytest.mark.parametrize('change, kind, code', [
    ({'layers': [descriptor(b'missing', LAYER)]}, MANIFEST, 'MANIFEST_BLOB_UNKNOWN'),
    ({'manifests': []}, MANIFEST, 'MANIFEST_INVALID'),  # CVE-2021-41190: two types at once
    ({'mediaType': INDEX}, INDEX, 'MANIFEST_INVALID'),
    ({}, INDEX, 'MANIFEST_INVALID'),  # Content-Type says another thing
    ({'mediaType': 'text/plain'}, 'text/plain', 'MANIFEST_INVALID'),
    ({'schemaVersion': 1}, MANIFEST, 'MANIFEST_INVALID'),
    ({'config': {'digest': 'sha256:1', 'size': 2}}, MANIFEST, 'MANIFEST_INVALID'),
    ({'layers': 'x'}, MANIFEST, 'MANIFEST_INVALID'),
])
def test_bad_manifests(server, change, kind, code):
    repo = Repo(server, 'default/bad')
    repo.push_blob(b'{}')
    m = json.dumps({**json.loads(manifest_of(b'{}', [])), **change}).encode()
    r = repo.call('PUT', 'manifests/x', m, content_type=kind)
    assert code_of(r, 404 if code == 'MANIFEST_BLOB_UNKNOWN' else 400) == code


def test_manifest_too_large(repo):
    r = repo.call('PUT', 'manifests/x', b' ' * (4 << 20) + b'{}', content_type=MANIFEST)
    assert code_of(r, 413) == 'SIZE_INVALID'


def test_index_and_referrers(repo):
    one = repo.push(None)
    index = json.dumps({'schemaVersion': 2, 'mediaType': INDEX, 'manifests': [descriptor(one, MANIFEST)]}).encode()
    assert repo.call('PUT', 'manifests/all', index, content_type=INDEX).code == 201
    about = {'subject': descriptor(one, MANIFEST), 'annotations': {'a': 'b'}}
    sig = manifest_of(b'{}', [], artifactType='x/sig', **about)
    r = repo.call('PUT', f'manifests/{digest(sig)}', sig, content_type=MANIFEST)
    assert r.code == 201 and r.headers['OCI-Subject'] == digest(one), r
    repo.push('sbom', artifactType='x/sbom', **about)
    r = repo.call('GET', f'referrers/{digest(one)}')
    assert r.headers['Content-Type'] == INDEX and len(r.json()['manifests']) == 2
    r = repo.call('GET', f'referrers/{digest(one)}?artifactType=x/sig')
    assert r.headers['OCI-Filters-Applied'] == 'artifactType'
    assert r.json()['manifests'] == [{**descriptor(sig, MANIFEST), 'artifactType': 'x/sig', 'annotations': {'a': 'b'}}]
    r = repo.call('GET', f'referrers/{digest(one)}?n=1')
    assert len(r.json()['manifests']) == 1 and 'rel="next"' in r.headers['Link']
    assert repo.call('DELETE', f'manifests/{digest(sig)}').code == 202
    assert len(repo.call('GET', f'referrers/{digest(one)}').json()['manifests']) == 1
    assert repo.call('GET', f'referrers/{digest(b"nobody")}').json()['manifests'] == []


def test_names(server):
    for name in ('default', 'default/UPPER', 'default/a..b', 'default/-a', 'default/../x', 'default/' + 'a' * 255):
        assert code_of(server.get(f'/v2/{name}/tags/list'), 400) == 'NAME_INVALID', name
    assert code_of(server.get('/v2/nowhere/x/tags/list'), 404) == 'NAME_UNKNOWN'
    assert code_of(server.get('/v2/default/never/tags/list'), 404) == 'NAME_UNKNOWN'
    assert server.get('/v2/what').code == 404
    assert server.request('PATCH', '/v2/default/x/manifests/y', b'z').code == 405


# ---- who may

def test_who_may(server, repo):
    m = repo.push('v1')
    r = server.get('/v2/', who=None)
    assert code_of(r, 401) == 'UNAUTHORIZED'
    assert r.headers['WWW-Authenticate'] == f'Bearer realm="https://127.0.0.1:{server.port}/v2/token",service="sampan"'
    assert server.get('/v2/').code == 200
    r = server.get(f'/v2/{repo.name}/manifests/v1', who=None)
    assert code_of(r, 401) == 'UNAUTHORIZED' and f'scope="repository:{repo.name}:pull"' in r.headers['WWW-Authenticate']
    own, other = token_of(server), token_of(server, 'kube-system')
    assert server.get(f'/v2/{repo.name}/manifests/v1', token=own).body == m
    basic = {'Authorization': 'Basic ' + base64.b64encode(b'any:' + own.encode()).decode()}
    assert server.get(f'/v2/{repo.name}/manifests/v1', who=None, headers=basic).body == m
    assert server.get('/v2/token?service=sampan', who=None, headers=basic).json()['token'] == own
    bad = {'Authorization': 'Basic ' + base64.b64encode(b'any:thing').decode()}
    assert server.get('/v2/token', who=None, headers=bad).code == 401
    assert code_of(server.get(f'/v2/{repo.name}/manifests/v1', token=other), 403) == 'DENIED'
    assert code_of(server.post(f'/v2/{repo.name}/blobs/uploads/', b'', token=own), 403) == 'DENIED'  # pulling is all
    rules = [{'apiGroups': ['sampan.dev'], 'resources': ['repositories'], 'verbs': ['create']}]
    role = {'metadata': {'name': 'push'}, 'rules': rules}
    assert server.post('/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles', role).code == 201
    binding = {'metadata': {'name': 'push'}, 'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'Role', 'name': 'push'},
               'subjects': [{'kind': 'ServiceAccount', 'name': 'default', 'namespace': 'default'}]}
    assert server.post('/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings', binding).code == 201
    mine = Repo(server, repo.name, token=own)
    mine.push('v2', layers=(b'mine',))
    m = manifest_of(b'{}', [b'mine'], annotations={'moved': 'yes'})
    assert code_of(mine.call('PUT', 'manifests/v1', m, content_type=MANIFEST), 403) == 'DENIED'  # v1 is there: update
    assert mine.call('DELETE', 'manifests/v2').code == 403


def test_quota_and_a_new_namespace_of_an_old_name(server):
    def make(**annotations):
        r = server.post('/api/v1/namespaces', {'metadata': {'name': 'small', 'annotations': annotations}})
        assert r.code == 201, r
    make(**{'sampan.dev/registry-bytes': '10k'})
    repo = Repo(server, 'small/app')
    repo.push('v1', layers=(os.urandom(8000),))
    r = repo.call('POST', f'blobs/uploads/?digest={digest(b"x" * 4000)}', b'x' * 4000)
    assert code_of(r, 403) == 'DENIED' and 'quota' in r.json()['errors'][0]['message']
    assert repo.call('GET', 'manifests/v1').code == 200
    assert server.delete('/api/v1/namespaces/small').code in (200, 202)
    eventually(lambda: server.get('/api/v1/namespaces/small').code == 404)
    make()
    assert repo.call('GET', 'manifests/v1').code == 404
    repo.push('v1', layers=(b'y' * 20000,))


# ---- collection

def blobs_on_disk(server):
    return {name for _, _, names in os.walk(server.file('registry', 'blobs')) for name in names}


def test_collection_under_pushes(server, repo):
    """What is deleted goes; what is pushed meanwhile, slowly and sharing layers with what goes, stays."""
    garbage = os.urandom(3000)
    old = repo.push('old', layers=(garbage, b'shared' * 100))
    stop, failures, pushed = threading.Event(), [], []

    def pusher(n):
        rnd = random.Random(n)
        mine = Repo(server, f'{repo.name}/{n}')
        while not stop.is_set():
            layers = [rnd.randbytes(2000), b'shared' * 100]
            try:
                for b in (b'{}', *layers):
                    if not mine.has(b):  # as clients do
                        mine.push_blob(b)
                time.sleep(rnd.random() * GRACE_S / 2)
                m = manifest_of(b'{}', layers)
                r = mine.call('PUT', f'manifests/t{len(pushed)}', m, content_type=MANIFEST)
                assert r.code == 201, r
                pushed.append((mine, m, layers))
                if rnd.random() < 0.3:
                    mine, m, layers = pushed.pop(0)
                    assert mine.call('DELETE', f'manifests/{digest(m)}').code == 202
            except Exception as e:  # noqa: BLE001
                failures.append(e)
                return
    threads = [threading.Thread(target=pusher, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    assert repo.call('DELETE', f'manifests/{digest(old)}').code == 202
    try:
        eventually(lambda: digest(garbage)[7:] not in blobs_on_disk(server), timeout=8 * GRACE_S)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not failures, failures
    assert pushed
    for mine, m, layers in pushed:
        assert mine.call('GET', f'manifests/{digest(m)}').body == m
        for b in layers:
            assert mine.call('GET', f'blobs/{digest(b)}').body == b


def test_untagged_manifests_go_where_wanted(server):
    r = server.post('/api/v1/namespaces', {'metadata': {'name': 'tidy', 'annotations': {'sampan.dev/registry-untagged-seconds': '0'}}})
    assert r.code == 201, r
    repo = Repo(server, 'tidy/app')
    child = repo.push(None)
    index = json.dumps({'schemaVersion': 2, 'mediaType': INDEX, 'manifests': [descriptor(child, MANIFEST)]}).encode()
    assert repo.call('PUT', 'manifests/v1', index, content_type=INDEX).code == 201
    loose = repo.push(None, layers=(b'loose',))
    path = [os.path.join(d, digest(loose)[7:]) for d, dirs, _ in os.walk(server.file('registry', 'repos')) if d.endswith('/_manifests')]
    path = next(p for p in path if os.path.exists(p))
    eventually(lambda: not os.path.exists(path), timeout=8 * GRACE_S)
    assert repo.call('GET', f'manifests/{digest(child)}').code == 200


# ---- faults

def test_killed_in_the_middle_of_pushes():
    s = Server()
    try:
        kept, stop = [], threading.Event()

        def pusher(n):
            repo, i = Repo(s, f'default/app{n}'), 0
            while not stop.is_set():
                i += 1
                try:
                    layer = os.urandom(200000)
                    kept.append((repo, f't{i}', repo.push(f't{i}', layers=(layer,)), layer))
                except (OSError, AssertionError, Exception):  # noqa: B014 the server is gone: nothing was promised
                    time.sleep(0.05)
        threads = [threading.Thread(target=pusher, args=(n,)) for n in range(3)]
        for t in threads:
            t.start()
        partial = None
        for _ in range(4):
            s.wait_ready()
            if not partial:
                half = os.urandom(100000)
                partial = Repo(s, 'default/half'), half
                at = partial[0].begin()
                assert partial[0].call('PATCH', at, half[:50000]).code == 202
            time.sleep(0.4)
            s.kill()
            s.start()
        stop.set()
        for t in threads:
            t.join()
        assert len(kept) > 5
        for repo, tag, m, layer in kept:
            assert repo.call('GET', f'manifests/{tag}').body == m
            assert repo.call('GET', f'blobs/{digest(layer)}').body == layer
        for name in blobs_on_disk(s):  # nothing half is a blob
            with open(s.file('registry', 'blobs', 'sha256', name[:2], name), 'rb') as f:
                assert hashlib.sha256(f.read()).hexdigest() == name
        repo, half = partial
        assert repo.call('PUT', f'{at}?digest={digest(half)}', half[50000:]).code == 201  # hashed again
        assert s.stop() == 0, s.log()[-2000:]
    finally:
        s.remove()


def test_full_disk(tmp_path):
    """A tmpfs of 4 MB: the push that does not fit is told so, and what was there stays."""
    if os.geteuid():
        pytest.skip('needs root for a mount namespace')
    data = tmp_path / 'data'
    data.mkdir()
    (data / 'registry').mkdir()
    s = Server(root=str(tmp_path), wrap=['unshare', '-m', 'sh', '-c', f'mount -t tmpfs -o size=4m none {data}/registry && exec "$0" "$@"'])
    try:
        repo = Repo(s, 'default/app')
        m = repo.push('v1', layers=(os.urandom(1 << 20),))
        big = os.urandom(6 << 20)
        at = repo.begin()
        r = repo.call('PATCH', at, big)
        assert r.code == 507 and 'No space left' in r.json()['errors'][0]['message'], r
        assert repo.call('GET', 'manifests/v1').body == m
        assert repo.call('DELETE', at).code == 204
        repo.push('v2', layers=(os.urandom(1 << 20),))
        assert s.stop() == 0, s.log()[-2000:]
    finally:
        s.remove()


# ---- peers

def oci_layout(where, layers=3, size=300000):
    """An image for skopeo, as a directory."""
    blobs = where / 'blobs' / 'sha256'
    blobs.mkdir(parents=True)

    def put(b):
        (blobs / digest(b)[7:]).write_bytes(b)
        return b
    tars = []
    for i in range(layers):
        src = where / f'src{i}'
        src.mkdir()
        (src / f'file{i}').write_bytes(os.urandom(size))
        tars.append(put(subprocess.run(['tar', '-C', src, '-cf', '-', '.'], capture_output=True, check=True).stdout))
    config = put(json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {'Cmd': ['/x']},
                             'rootfs': {'type': 'layers', 'diff_ids': [digest(t) for t in tars]}}).encode())
    m = put(manifest_of(config, tars))
    (where / 'oci-layout').write_text('{"imageLayoutVersion":"1.0.0"}')
    (where / 'index.json').write_text(json.dumps({'schemaVersion': 2, 'manifests': [
        {**descriptor(m, MANIFEST), 'annotations': {'org.opencontainers.image.ref.name': 'v1'}}]}))
    return m


def run(*words, env=None):
    r = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env)
    assert r.returncode == 0, f'{" ".join(map(str, words))}: {r.stderr}{r.stdout}'
    return r.stdout


@pytest.fixture
def certs(server, tmp_path):
    d = tmp_path / 'certs'
    d.mkdir()
    shutil.copy(server.file('ca.crt'), d / 'ca.crt')
    return d


def pusher_token(server):
    server.post('/api/v1/namespaces', {'metadata': {'name': 'team'}})
    token = token_of(server, 'team')
    server.post('/apis/rbac.authorization.k8s.io/v1/namespaces/team/roles', {
        'metadata': {'name': 'push'}, 'rules': [{'apiGroups': ['sampan.dev'], 'resources': ['repositories'], 'verbs': ['*']}]})
    server.post('/apis/rbac.authorization.k8s.io/v1/namespaces/team/rolebindings', {
        'metadata': {'name': 'push'}, 'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'Role', 'name': 'push'},
        'subjects': [{'kind': 'ServiceAccount', 'name': 'default', 'namespace': 'team'}]})
    return token


def test_skopeo(server, certs, tmp_path):
    if not shutil.which('skopeo'):
        pytest.skip('no skopeo')
    token, m = pusher_token(server), oci_layout(tmp_path / 'in')
    at = f'docker://127.0.0.1:{server.port}/team/tool:v1'
    run('skopeo', '--insecure-policy', 'copy', '--preserve-digests', '--dest-cert-dir', certs, '--dest-creds', 'any:' + token, f'oci:{tmp_path}/in:v1', at)
    got = run('skopeo', 'inspect', '--raw', '--cert-dir', certs, '--creds', 'any:' + token, at)
    assert got.encode() == m
    run('skopeo', '--insecure-policy', 'copy', '--preserve-digests', '--src-cert-dir', certs, '--src-creds', 'any:' + token, at, f'oci:{tmp_path}/out:v1')
    for name in os.listdir(tmp_path / 'in/blobs/sha256'):
        assert (tmp_path / 'out/blobs/sha256' / name).read_bytes() == (tmp_path / 'in/blobs/sha256' / name).read_bytes()
    # into another repository: mounted, or found there
    run('skopeo', '--insecure-policy', 'copy', '--src-cert-dir', certs, '--dest-cert-dir', certs, '--src-creds', 'any:' + token,
        '--dest-creds', 'any:' + token, at, at.replace('/tool:', '/copy/tool:'))
    assert json.loads(run('skopeo', 'list-tags', '--cert-dir', certs, '--creds', 'any:' + token, at.rpartition(':')[0]))['Tags'] == ['v1']
    run('skopeo', 'delete', '--cert-dir', certs, '--creds', 'any:' + token, at)
    r = subprocess.run(['skopeo', 'inspect', '--cert-dir', certs, '--creds', 'any:' + token, at], capture_output=True, text=True)
    assert r.returncode and 'unknown' in r.stderr, r.stderr
    r = subprocess.run(['skopeo', '--insecure-policy', 'copy', '--dest-cert-dir', certs, '--dest-creds', 'any:' + token,
                        f'oci:{tmp_path}/in:v1', at.replace('/team/', '/default/')], capture_output=True, text=True)
    assert r.returncode and 'Forbidden' in r.stderr, r.stderr


@pytest.mark.parametrize('tool', ['podman', 'buildah'])
def test_podman_and_buildah(server, certs, tmp_path, tool, request):
    if not shutil.which(tool) or os.geteuid():
        pytest.skip('no ' + tool)
    token = pusher_token(server)
    oci_layout(tmp_path / 'in')
    env = dict(os.environ, HOME=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path))
    runroot = tempfile.mkdtemp(prefix='run-')  # podman wants it short
    request.addfinalizer(lambda: shutil.rmtree(runroot, ignore_errors=True))
    store = [tool, '--root', tmp_path / 'root', '--runroot', runroot, '--storage-driver', 'vfs']
    at = f'127.0.0.1:{server.port}/team/{tool}:v1'
    policy = tmp_path / 'policy.json'
    policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    login = ['--cert-dir', certs, '--creds', 'any:' + token]
    name = run(*store, 'pull', '-q', '--signature-policy', policy, f'oci:{tmp_path}/in:v1', env=env).split()[-1]
    run(*store, 'push', '-q', '--signature-policy', policy, *login, name, 'docker://' + at, env=env)
    run(*store, 'rmi', '-f', name, env=env)
    run(*store, 'pull', '-q', '--signature-policy', policy, *login, at, env=env)
    assert f'/team/{tool}' in run(*store, 'images', env=env)


@pytest.mark.parametrize('version', ['--http1.1', '--http2'])
def test_curl_learns_why_and_pushes(server, repo, tmp_path, version):
    """Over both versions: an answer that comes before the body is one; a body of unknown length goes through."""
    if not shutil.which('curl'):
        pytest.skip('no curl')
    crt, key = server.admin_pair()
    b = os.urandom(8 << 20)
    (tmp_path / 'blob').write_bytes(b)

    def put(url, identity):
        with open(tmp_path / 'blob', 'rb') as f:
            return subprocess.run(['curl', '-sS', version, '--cacert', server.file('ca.crt'), *identity, '-T', '-', '-o', tmp_path / 'said',
                                   '-w', '%{http_code}', f'https://127.0.0.1:{server.port}/v2/{repo.name}/{url}'], stdin=f,
                                  capture_output=True, text=True, timeout=60)
    known = ['--cert', crt, '--key', key]
    r = put('blobs/uploads/' + '0' * 32 + '?digest=' + digest(b), known)
    assert (r.stdout, r.stderr) == ('404', '') and b'BLOB_UPLOAD_UNKNOWN' in (tmp_path / 'said').read_bytes()
    r = put('manifests/x', [])
    assert (r.stdout, r.stderr) == ('401', '')
    r = put(repo.begin() + '?digest=' + digest(b), known)
    assert r.stdout == '201' and repo.has(b), r


@pytest.mark.memory
def test_memory_while_pushing(server, repo):
    """A blob of 64 MB each way costs the server no memory to speak of."""
    if memory_slack() > 1:
        pytest.skip('a sanitizer keeps what was freed')
    before, b = server.rss_kib(), os.urandom(64 << 20)
    repo.push_blob(b)
    assert digest(repo.call('GET', f'blobs/{digest(b)}').body) == digest(b)
    assert server.rss_kib() - before < 8192
