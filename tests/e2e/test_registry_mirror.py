"""The pull-through cache: Debian's docker-registry as upstream, and one that counts and lies."""
import http.client
import http.server
import json
import subprocess
import threading
import time

import pytest

from conftest import eventually, served
from test_registry import MANIFEST, Repo, code_of, digest, manifest_of, token_of
from wire import free_port

LAYER = b'layer' * 50000
PEER, COUNTER = 'peer.example', 'counter.example'


class Counter(http.server.BaseHTTPRequestHandler):
    """Blobs by digest, slowly and only with a token; "lies" is answered with something else."""
    protocol_version = 'HTTP/1.1'
    content, asked = {}, []

    def log_message(self, *args):
        pass

    def do_GET(self):
        if self.path.startswith('/token'):
            assert 'scope=repository%3Aapp%3Apull' in self.path, self.path
            return self.answer(200, b'{"token":"let me"}')
        if self.headers['Authorization'] != 'Bearer let me':
            realm = f'http://127.0.0.1:{self.server.server_port}/token'
            return self.answer(401, b'no', {'WWW-Authenticate': f'Bearer realm="{realm}",service="x"'})
        what = self.path.rpartition('/')[2]
        if self.command == 'GET':
            self.asked.append(what)
            time.sleep(0.5)
        body = self.content.get(what)
        return self.answer(200 if body is not None else 404, body or b'')

    do_HEAD = do_GET

    def answer(self, code, body, headers=None):
        self.send_response(code)
        for k, v in (headers or {}).items():
            self.send_header(k, v)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command == 'GET':
            self.wfile.write(body)


@pytest.fixture(scope='module')
def upstream(tmp_path_factory):
    """docker-registry with app:v1; gives its port and its process."""
    root, port = tmp_path_factory.mktemp('upstream'), free_port()
    (root / 'config.yml').write_text(f'version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}/data}}}}\n'
                                     f'http: {{addr: "127.0.0.1:{port}"}}\n')
    try:
        proc = subprocess.Popen(['docker-registry', 'serve', root / 'config.yml'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        pytest.skip('no docker-registry')

    def call(method, path, body=None, kind='application/octet-stream'):
        c = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
        c.request(method, path, body, {'Content-Type': kind})
        r = c.getresponse()
        r.read()
        c.close()
        return r

    def answers():
        try:
            return call('GET', '/v2/').status == 200
        except OSError:
            return False
    eventually(answers)
    for b in (b'{}', LAYER):
        at = call('POST', '/v2/app/blobs/uploads/').headers['Location']
        at = at.partition(f':{port}')[2] if at.startswith('http') else at
        assert call('PUT', at + ('&' if '?' in at else '?') + 'digest=' + digest(b), b).status == 201
    assert call('PUT', '/v2/app/manifests/v1', manifest_of(b'{}', [LAYER]), MANIFEST).status == 201
    yield port, proc
    proc.terminate()
    proc.wait()


@pytest.fixture(scope='module')
def server(upstream):
    counter = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Counter)
    threading.Thread(target=counter.serve_forever, daemon=True).start()
    mirrors = f'{PEER}=http://127.0.0.1:{upstream[0]},{COUNTER}=http://127.0.0.1:{counter.server_port}'
    try:
        with served('--registry-mirrors', mirrors) as s:
            yield s
    finally:
        counter.shutdown()


def test_many_wait_for_one_fetch_and_lies_are_not_kept(server):
    repo, b = Repo(server, COUNTER + '/app'), b'content' * 1000
    Counter.content.update({digest(b): b, digest(b'truth'): b'lie'})
    assert server.get('/v2/').code == 200  # the client's certificate is a file now, before many want it
    got = []
    threads = [threading.Thread(target=lambda: got.append(repo.call('GET', f'blobs/{digest(b)}').body)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [b] * 8 and Counter.asked == [digest(b)]
    assert repo.call('GET', f'blobs/{digest(b)}', headers={'Range': 'bytes=1-3'}).body == b[1:4]
    assert Counter.asked == [digest(b)], 'it is here now'
    r = repo.call('GET', f'blobs/{digest(b"truth")}')
    assert code_of(r, 502) == 'DIGEST_INVALID'
    assert code_of(repo.call('GET', f'blobs/{digest(b"nowhere")}'), 404) == 'BLOB_UNKNOWN'


def test_who_may(server):
    assert server.get(f'/v2/{PEER}/app/manifests/v1', who=None).code == 401
    assert server.get(f'/v2/{PEER}/app/manifests/v1', token=token_of(server)).code == 200
    assert server.post(f'/v2/{PEER}/app/blobs/uploads/', b'').code == 403
    assert code_of(server.get('/v2/other.example/app/manifests/v1'), 404) == 'NAME_UNKNOWN'


def test_an_image_of_docker_registry_that_goes_away(server, upstream):
    repo = Repo(server, PEER + '/app')
    assert code_of(repo.call('GET', 'manifests/v2'), 404) == 'MANIFEST_UNKNOWN'
    want = manifest_of(b'{}', [LAYER])
    r = repo.call('GET', 'manifests/v1')
    assert r.body == want and r.headers['Docker-Content-Digest'] == digest(want)
    for d in json.loads(want)['layers']:
        assert digest(repo.call('GET', f'blobs/{d["digest"]}').body) == d['digest']
    upstream[1].terminate()
    upstream[1].wait()
    assert repo.call('GET', 'manifests/v1').body == want
    assert repo.call('GET', f'manifests/{digest(want)}').body == want
    assert repo.call('GET', f'blobs/{digest(LAYER)}').body == LAYER
    assert code_of(repo.call('GET', f'blobs/{digest(b"{}")}'), 502) == 'UNKNOWN'
