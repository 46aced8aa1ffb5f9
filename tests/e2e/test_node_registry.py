"""Pulls from a real registry (Debian's docker-registry) on the lab's loopback: credentials, compressions, indexes, lies."""
import base64
import crypt
import gzip
import hashlib
import http.client
import io
import json
import os
import subprocess
import sys
import tarfile

import pytest

from cluster import cluster, eventually, need, ns, state_of # noqa: F401

PORT, AUTH_PORT, LIAR_PORT, BEARER_PORT, TOKEN_PORT = 5000, 5001, 5002, 5010, 5011
MANIFEST, INDEX = 'application/vnd.oci.image.manifest.v1+json', 'application/vnd.oci.image.index.v1+json'
USER, PASSWORD = 'puller', 'se:cret'


def digest(b):
    return 'sha256:' + hashlib.sha256(b).hexdigest()


def layer(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if isinstance(content, tuple):
                info.type, info.linkname = tarfile.SYMTYPE, content[0]
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def compress(tar, how):
    if how == 'zstd':
        return subprocess.run(['zstd', '-qc'], input=tar, capture_output=True, check=True).stdout
    return gzip.compress(tar) if how == 'gzip' else tar


def image(text, arch='amd64'):
    """Blobs and manifest of three layers: busybox by gzip, a file by zstd, a file uncompressed."""
    with open('/bin/busybox', 'rb') as f:
        busybox = f.read()
    layers = [(layer({'bin/busybox': busybox, 'bin/sh': ('busybox',), 'bin/cat': ('busybox',), 'bin/sleep': ('busybox',)}), 'gzip'),
              (layer({'a': b'old', 'text': text.encode()}), 'zstd'), (layer({'a': b'new\n'}), '')]
    blobs = {}
    packed = [(compress(tar, how), how) for tar, how in layers]
    for b, _ in packed:
        blobs[digest(b)] = b
    config = json.dumps({'architecture': arch, 'os': 'linux', 'config': {'Cmd': ['/bin/cat', '/a', '/text']},
                         'rootfs': {'type': 'layers', 'diff_ids': [digest(tar) for tar, _ in layers]}}).encode()
    blobs[digest(config)] = config
    manifest = json.dumps({'schemaVersion': 2, 'mediaType': MANIFEST,
                           'config': {'mediaType': 'application/vnd.oci.image.config.v1+json', 'digest': digest(config), 'size': len(config)},
                           'layers': [{'mediaType': 'application/vnd.oci.image.layer.v1.tar' + ('+' + how if how else ''),
                                       'digest': digest(b), 'size': len(b)} for b, how in packed]}).encode()
    return manifest, blobs


class Registry:
    """docker-registry in the lab, and a client that fills it."""

    def __init__(self, cluster, port, auth=False, more='', token=None):
        need('docker-registry', 'zstd', 'busybox')
        self.lab, self.port = cluster.lab, port
        self.headers = {}
        where = cluster.lab.dir
        config = f'version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {where}/registry-{port}}}}}\n' \
                 f'http: {{addr: "127.0.0.1:{port}"}}\n'
        if auth:
            with open(where + '/htpasswd', 'w') as f:
                f.write(f'{USER}:{crypt.crypt(PASSWORD, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n')
            config += f'auth: {{htpasswd: {{realm: lab, path: {where}/htpasswd}}}}\n'
            self.headers['Authorization'] = 'Basic ' + base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()
        if token:
            self.headers['Authorization'] = 'Bearer ' + token
        with open(f'{where}/registry-{port}.yml', 'w') as f:
            f.write(config + more)
        self.proc = cluster.lab.start('docker-registry', 'serve', f'{where}/registry-{port}.yml', stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
        eventually(self.answers, 10)

    def answers(self):
        try:
            return self.request('GET', '/v2/')[0] == 200
        except OSError:
            return False

    def request(self, method, path, body=None, **headers):
        c = http.client.HTTPConnection('127.0.0.1', self.port, timeout=10)
        c.sock = self.lab.connect('127.0.0.1', self.port)
        c.request(method, path, body, dict(self.headers, **headers))
        r = c.getresponse()
        r.read()
        c.close()
        return r.status, r.headers

    def push(self, name, tag, manifest, blobs=(), kind=MANIFEST):
        for d in blobs:
            _, h = self.request('POST', f'/v2/{name}/blobs/uploads/')
            to = '/' + h['Location'].split('/', 3)[3]
            code, _ = self.request('PUT', to + ('&' if '?' in to else '?') + 'digest=' + d, blobs[d],
                                   **{'Content-Type': 'application/octet-stream'})
            assert code == 201, code
        code, _ = self.request('PUT', f'/v2/{name}/manifests/{tag}', manifest, **{'Content-Type': kind})
        assert code == 201, code

    def stop(self):
        self.proc.kill()
        self.proc.wait()


@pytest.fixture(scope='module')
def registry(cluster):
    r = Registry(cluster, PORT)
    yield r
    r.stop()


@pytest.fixture(scope='module')
def guarded(cluster):
    r = Registry(cluster, AUTH_PORT, auth=True)
    r.push('private/app', '1', *image('private\n'))
    yield r
    r.stop()


def run(ns, name, image_name, **spec):
    ns.pod(name, {'name': 'c', 'image': image_name, 'imagePullPolicy': 'Always'}, restartPolicy='Never', **spec)


def test_layers_of_three_compressions(ns, registry):
    registry.push('a/three', '1', *image('three\n'))
    run(ns, 'p', f'localhost:{PORT}/a/three:1')
    p = ns.phase('p', 'Succeeded')
    assert ns.log('p') == 'new\nthree\n'
    assert p['status']['containerStatuses'][0]['imageID'].startswith(f'localhost:{PORT}/a/three@sha256:')


def test_index_gives_this_platform(ns, registry):
    entries = []
    for arch in ('s390x', 'amd64', 'arm64'):
        manifest, blobs = image(arch + '\n', arch)
        registry.push('a/multi', digest(manifest), manifest, blobs)
        entries.append({'mediaType': MANIFEST, 'digest': digest(manifest), 'size': len(manifest),
                        'platform': {'os': 'linux', 'architecture': arch}})
    index = json.dumps({'schemaVersion': 2, 'mediaType': INDEX, 'manifests': entries}).encode()
    registry.push('a/multi', '1', index, kind=INDEX)
    run(ns, 'p', f'localhost:{PORT}/a/multi:1')
    ns.phase('p', 'Succeeded')
    assert ns.log('p').splitlines()[1] in ('amd64', 'arm64')
    run(ns, 'd', f'localhost:{PORT}/a/multi@{digest(index)}')
    ns.phase('d', 'Succeeded')
    registry.push('a/other', '1', json.dumps({'schemaVersion': 2, 'mediaType': INDEX, 'manifests': []}).encode(), kind=INDEX)
    run(ns, 'none', f'localhost:{PORT}/a/other:1')
    eventually(lambda: [m for r, m in ns.events('none') if r == 'Failed'], 10, lambda: ns.events('none'))


def test_what_is_not_there(ns, registry):
    run(ns, 'p', f'localhost:{PORT}/no/such:1')
    ns.wait('pods', 'p', lambda p: state_of(p)[1].get('reason') == 'ImagePullBackOff')
    assert [m for r, m in ns.events('p') if r == 'Failed' and 'not found' in m], ns.events('p')


def config_secret(ns, name, kind, auth, key=f'localhost:{AUTH_PORT}'):
    old = kind == 'dockercfg'
    text = json.dumps({key: auth} if old else {'auths': {key: auth}})
    ns.create({'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': name}, 'type': 'kubernetes.io/' + kind,
               'stringData': {'.' + kind: text}})


GOOD = {'auth': base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}


def test_without_credentials_is_refused(ns, guarded):
    run(ns, 'p', f'localhost:{AUTH_PORT}/private/app:1')
    eventually(lambda: [m for r, m in ns.events('p') if r == 'Failed' and 'authorization' in m], 15, lambda: ns.events('p'))


@pytest.mark.parametrize('kind,auth,key', [
    ('dockerconfigjson', GOOD, f'localhost:{AUTH_PORT}'), ('dockercfg', {'username': USER, 'password': PASSWORD}, f'localhost:{AUTH_PORT}'),
    ('dockerconfigjson', GOOD, f'http://localhost:{AUTH_PORT}/v1/'), ('dockerconfigjson', GOOD, f'local*:{AUTH_PORT}/private')])
def test_pull_secret(ns, guarded, kind, auth, key):
    config_secret(ns, 's', kind, auth, key)
    run(ns, 'p', f'localhost:{AUTH_PORT}/private/app:1', imagePullSecrets=[{'name': 's'}])
    ns.phase('p', 'Succeeded')
    assert ns.log('p') == 'new\nprivate\n'


def test_the_next_credentials_are_tried(ns, guarded):
    config_secret(ns, 'wrong', 'dockerconfigjson', {'username': USER, 'password': 'no'}, f'localhost:{AUTH_PORT}/private')
    config_secret(ns, 'right', 'dockerconfigjson', GOOD)
    run(ns, 'p', f'localhost:{AUTH_PORT}/private/app:1', imagePullSecrets=[{'name': n} for n in ('none', 'wrong', 'right')])
    ns.phase('p', 'Succeeded')
    assert 'FailedToRetrieveImagePullSecret' in [r for r, _ in ns.events('p')]


def test_service_account_brings_the_secret(ns, guarded):
    config_secret(ns, 's', 'dockerconfigjson', GOOD)
    ns.create({'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': {'name': 'sa'}, 'imagePullSecrets': [{'name': 's'}]})
    run(ns, 'p', f'localhost:{AUTH_PORT}/private/app:1', serviceAccountName='sa')
    ns.phase('p', 'Succeeded')


# Gives USER:PASSWORD what the scope asks for, and strangers nothing but a pull of open/*. Source: distribution's token specification.
TOKENS = r'''
import base64, http.server, json, subprocess, sys, time, urllib.parse
where, port, want = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def b64(b): return base64.urlsafe_b64encode(b).rstrip(b"=")
der = b"".join(open(where + "/token.crt", "rb").read().split(b"-----")[2].split()).decode()
def token(access):
    now = int(time.time())
    head = b64(json.dumps({"typ": "JWT", "alg": "RS256", "x5c": [der]}).encode())
    body = b64(json.dumps({"iss": "lab", "aud": "registry.lab", "sub": "", "exp": now + 300, "nbf": now - 5, "iat": now, "jti": "1",
                           "access": access}).encode())
    sign = subprocess.run(["openssl", "dgst", "-sha256", "-sign", where + "/token.key"], input=head + b"." + body, capture_output=True)
    return (head + b"." + body + b"." + b64(sign.stdout)).decode()
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        q = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        said = self.headers.get("Authorization", "")
        known = said == "Basic " + base64.b64encode(want.encode()).decode()
        open(where + "/token.log", "a").write(json.dumps([known, bool(said), q]) + "\n")
        access = []
        for scope in q.get("scope", []):
            kind, name, actions = scope.split(":")
            if known or name.startswith("open/"):
                access.append({"type": kind, "name": name, "actions": actions.split(",") if known else ["pull"]})
        code = 401 if said and not known else 200
        body = json.dumps({"token": token(access)} if code == 200 else {"errors": [{"code": "UNAUTHORIZED"}]}).encode()
        self.send_response(code); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
if port:
    http.server.ThreadingHTTPServer(("127.0.0.1", port), H).serve_forever()
print(token([{"type": "repository", "name": n, "actions": ["pull", "push"]} for n in ("secret/app", "open/app")]))
'''


@pytest.fixture(scope='module')
def bearer(cluster):
    where = cluster.lab.dir
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=lab', '-days', '2', '-keyout',
                    where + '/token.key', '-out', where + '/token.crt'], check=True, capture_output=True)
    argv = ['/usr/bin/python3', '-c', TOKENS, where]
    token = subprocess.run(argv + ['0', ''], check=True, capture_output=True, text=True).stdout.strip()
    server = cluster.lab.start(*argv, str(TOKEN_PORT), f'{USER}:{PASSWORD}')
    r = Registry(cluster, BEARER_PORT, token=token, more='auth: {token: {realm: "http://127.0.0.1:%d/token", service: registry.lab, '
                 'issuer: lab, rootcertbundle: %s/token.crt}}\n' % (TOKEN_PORT, where))
    r.push('secret/app', '1', *image('secret\n'))
    r.push('open/app', '1', *image('open\n'))
    r.asked = lambda: [json.loads(line) for line in open(where + '/token.log')]
    yield r
    r.stop()
    server.kill()
    server.wait()


def test_bearer_token_for_anybody(ns, bearer):
    run(ns, 'p', f'localhost:{BEARER_PORT}/open/app:1')
    ns.phase('p', 'Succeeded')
    known, said, query = bearer.asked()[-1]
    assert not said and query == {'service': ['registry.lab'], 'scope': ['repository:open/app:pull']}, query


def test_bearer_token_for_who_may(ns, bearer):
    config_secret(ns, 's', 'dockerconfigjson', GOOD, f'localhost:{BEARER_PORT}')
    run(ns, 'p', f'localhost:{BEARER_PORT}/secret/app:1', imagePullSecrets=[{'name': 's'}])
    ns.phase('p', 'Succeeded')
    assert ns.log('p') == 'new\nsecret\n'


@pytest.mark.parametrize('secret', [None, {'username': USER, 'password': 'wrong'}])
def test_bearer_token_refused(ns, bearer, secret):
    if secret:
        config_secret(ns, 's', 'dockerconfigjson', secret, f'localhost:{BEARER_PORT}')
    name = f'localhost:{BEARER_PORT}/secret/app:1'
    run(ns, 'p', name, **({'imagePullSecrets': [{'name': 's'}]} if secret else {}))
    p = ns.wait('pods', 'p', lambda p: state_of(p)[1].get('reason') == 'ErrImagePull')
    why = state_of(p)[1]['message']
    assert why.startswith(f'failed to pull and unpack image "{name}": ') and 'authoriz' in why, why
    p = ns.wait('pods', 'p', lambda p: state_of(p)[1].get('reason') == 'ImagePullBackOff')
    assert state_of(p)[1]['message'] == f'Back-off pulling image "{name}": ErrImagePull: {why}'
    said = eventually(lambda: ('Failed', 'Error: ImagePullBackOff') in ns.events('p') and ns.events('p'), 10, lambda: ns.events('p'))
    for event in (('Pulling', f'Pulling image "{name}"'), ('Failed', f'Failed to pull image "{name}": {why}'),
                  ('Failed', 'Error: ErrImagePull'), ('BackOff', f'Back-off pulling image "{name}"')):
        assert event in said, (event, said)


LIAR = r'''
import http.server, sys, os
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        path = sys.argv[1] + "/" + self.path.replace("/", "_")
        body = open(path, "rb").read() if os.path.exists(path) else b""
        self.send_response(200 if body or self.path == "/v2/" else 404)
        self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json"); self.send_header("Content-Length", str(len(body)))
        self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), H).serve_forever()
'''


@pytest.mark.parametrize('which', ['layer', 'config', 'long'])
def test_a_registry_that_lies(ns, cluster, which):
    need('zstd', 'busybox')
    manifest, blobs = image(f'lie {which}\n')
    m = json.loads(manifest)
    victim = (m['config'] if which == 'config' else m['layers'][1])['digest']
    blob = blobs[victim]
    blobs[victim] = blob + b'x' if which == 'long' else blob[:-1] + bytes([blob[-1] ^ 1])
    where = f'{cluster.lab.dir}/liar-{which}'
    os.mkdir(where)
    for d in blobs:
        with open(f'{where}/_v2_lie_{which}_blobs_{d}', 'wb') as f:
            f.write(blobs[d])
    with open(f'{where}/_v2_lie_{which}_manifests_1', 'wb') as f:
        f.write(manifest)
    port = LIAR_PORT + ['layer', 'config', 'long'].index(which)
    server = cluster.lab.start(sys.executable, '-c', LIAR, where, str(port))
    try:
        run(ns, 'p', f'localhost:{port}/lie/{which}:1')
        words = 'longer than' if which == 'long' else 'digest'
        eventually(lambda: [t for r, t in ns.events('p') if r == 'Failed' and words in t], 20, lambda: ns.events('p'))
        assert state_of(ns.get('pods', 'p'))[0] == 'waiting'
    finally:
        server.kill()
        server.wait()
