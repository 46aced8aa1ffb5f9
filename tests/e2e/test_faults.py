"""Bad input and faults: strangers' bytes, slow and greedy clients, full and read-only disks, kill -9, damage, and
people who ask for more than they may. Each gets a clear error, and nobody else is affected.

    SAMPAN_BIN=build/src/cli/sampan pytest tests/e2e/test_faults.py
SAMPAN_LONG=1: 1,000 kills, a minute of writers."""
import base64
import concurrent.futures
import http.client
import json
import os
import random
import re
import signal
import socket
import sqlite3
import ssl
import struct
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from wire import Server, Watch, config_map, drain, find_binary, memory_slack  # noqa: E402

LONG = bool(os.environ.get('SAMPAN_LONG'))
CM = '/api/v1/namespaces/default/configmaps'
RBAC = '/apis/rbac.authorization.k8s.io/v1'
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason='needs root for a mount namespace')


@pytest.fixture(scope='module')
def shared():
    s = Server(node='a')
    yield s
    s.remove()


@pytest.fixture
def cp(shared):
    """The shared control plane, which must be well after each attack."""
    yield shared
    assert shared.get('/readyz', who=None).code == 200
    assert shared.get(CM).code == 200


@pytest.fixture
def own():
    """Control planes of the test's own."""
    made = []

    def make(**more):
        made.append(Server(**more))
        return made[-1]
    yield make
    for s in made:
        s.remove()


# ---- HTTP/1.1

@pytest.mark.parametrize('name,data,code', [
    ('garbage', b'\x00\x01\x02garbage\r\n\r\n', 400),
    ('no method', b'G@T / HTTP/1.1\r\nHost: x\r\n\r\n', 400),
    ('version', b'GET / HTTP/9.9\r\nHost: x\r\n\r\n', 505),
    ('no host', b'GET /version HTTP/1.1\r\n\r\n', 400),
    ('two lengths', b'POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd', 400),
    ('length and chunks', b'POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n'
                          b'0\r\n\r\n', 400),
    ('bad chunk', b'POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n', 400),
    ('negative length', b'POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n', 400),
    ('huge length', b'POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n', 400),
    ('NUL in a header', b'GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n', 400),
    ('space in the path', b'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n', 400),
    ('long header', b'GET / HTTP/1.1\r\nHost: x\r\nX: ' + b'a' * 200000 + b'\r\n\r\n', 431),
    ('many headers', b'GET / HTTP/1.1\r\nHost: x\r\n' + b'X: a\r\n' * 2000 + b'\r\n', 431),
    ('body over the limit', b'POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 3145729\r\n\r\n', 413),
])
def test_malformed_http1(cp, name, data, code):
    answer = cp.say(data.replace(b'%b', CM.encode()))
    head, _, body = answer.partition(b'\r\n\r\n')
    assert head.split(b' ')[:2] == [b'HTTP/1.1', str(code).encode()], answer[:300]
    status = json.loads(body)
    assert status['kind'] == 'Status' and status['code'] == code


def test_every_prefix_of_a_request_is_survived(cp):
    whole = b'POST ' + CM.encode() + b' HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n'
    for cut in range(1, len(whole), 7):
        with cp.raw() as s:
            s.sendall(whole[:cut])


def test_flipped_bytes_of_a_request_are_survived(cp):
    rng = random.Random(7)
    body = json.dumps(config_map('flip')).encode()
    whole = b'POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b' % (
        CM.encode(), len(body), body)
    for _ in range(60):
        sent = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            sent[rng.randrange(len(sent))] = rng.randrange(256)
        with cp.raw() as s:
            s.sendall(bytes(sent))
            drain(s, 0.05)


# ---- HTTP/2

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
SETTINGS = b'\0\0\0\4\0\0\0\0\0'


def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + bytes([kind, flags]) + struct.pack('>I', stream) + payload


@pytest.mark.parametrize('name,frames', [
    ('no preface', b'GET / HTTP/1.1\r\n\r\n'),
    ('over the frame size', b'\xff\xff\xff\0\0\0\0\0\1' + b'x' * 100),
    ('data on stream 0', frame(0, 0, 0, b'x')),
    ('data on an idle stream', frame(0, 0, 5, b'x')),
    ('header block of garbage', frame(1, 5, 1, b'\xff' * 64)),
    ('even stream', frame(1, 5, 2, b'\x82')),
    ('padding over the frame', frame(1, 0xd, 1, b'\xff\x82')),
    ('settings of 5 bytes', frame(4, 0, 0, b'12345')),
    ('window of nothing', frame(8, 0, 0, b'\0\0\0\0')),
    ('window over 2^31', frame(8, 0, 0, b'\x7f\xff\xff\xff') * 3),
    ('continuation of nothing', frame(9, 4, 1, b'\x82')),
    ('continuation without end', frame(1, 1, 1, b'\x82') + frame(9, 0, 1, b'\x40\x01a\x01b') * 5000),
    ('settings flood', frame(4, 0, 0) * 20000),
    ('ping flood', frame(6, 0, 0, b'12345678') * 20000),
    ('rapid reset', b''.join(frame(1, 5, i, b'\x82\x84\x87\x41\x01x') + frame(3, 0, i, b'\0\0\0\x08')
                             for i in range(1, 20001, 2))),
    ('big header list', frame(1, 1, 1, b'\x40\x01a\x7f\x80\x7f' + b'x' * 16255)
     + frame(9, 0, 1, b'\x40\x01a\x7f\x80\x7f' + b'x' * 16255) * 40),
])
def test_malformed_http2(cp, name, frames):
    with cp.raw(alpn=['h2']) as s:
        assert s.selected_alpn_protocol() == 'h2'
        try:
            s.sendall((b'' if name == 'no preface' else PREFACE + SETTINGS) + frames)
        except OSError:
            pass  # closed before all was sent
        answer = drain(s, 2)
    if name not in ('settings flood', 'ping flood'):  # those may be acknowledged, up to a limit
        assert b'\x07' in answer or not answer or b'\x03' in answer  # GOAWAY, RST_STREAM or just closed


# ---- TLS

def drip_a_handshake(cp):
    """A client's hello, a byte every 200 ms; how long the server listened to that."""
    out = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname='localhost')
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    began = time.time()
    with socket.create_connection(('127.0.0.1', cp.port), timeout=15) as s:
        try:
            for byte in out.read():
                s.sendall(bytes([byte]))
                s.settimeout(0.2)
                try:
                    if s.recv(100) == b'':
                        break
                except TimeoutError:
                    pass
        except OSError:
            pass
    return time.time() - began


def test_tls_garbage_and_silence(cp):
    socks = []
    for data in (b'\x16\x03\x01\xff\xff' + b'\xff' * 1000, b'GET / HTTP/1.1\r\n\r\n', b'\0' * 5000, os.urandom(3000),
                 b'\x16\x03\x01\x00\x05\x01\x00\x00\x01'):
        s = socket.create_connection(('127.0.0.1', cp.port), timeout=15)
        s.sendall(data)
        socks.append(s)
    silent = socket.create_connection(('127.0.0.1', cp.port), timeout=15)
    began = time.time()
    dripped = []
    threads = [threading.Thread(target=lambda: dripped.append(drip_a_handshake(cp))) for _ in range(30)]
    for t in threads:
        t.start()
    assert cp.get('/readyz').code == 200
    assert silent.recv(1) == b'' and time.time() - began < 13  # the handshake has 10 s
    for t in threads:
        t.join(20)
    assert len(dripped) == 30 and max(dripped) < 13, dripped  # and a byte now and then does not stretch it
    for s in socks:
        drain(s, 0.1)
        s.close()


# ---- paths, selectors, options

@pytest.mark.parametrize('path,code,reason,message', [
    ('/api/v1/%zz', 400, 'BadRequest', 'invalid URL escape'),
    ('/api/v1/pods?labelSelector=a%3D%3D%3Db', 400, 'BadRequest',
     "unable to parse requirement: found '=', expected: identifier"),
    ('/api/v1/pods?labelSelector=a+in+(', 400, 'BadRequest', 'unable to parse requirement'),
    ('/api/v1/pods?labelSelector=-', 400, 'BadRequest', ''),
    ('/api/v1/pods?fieldSelector=foo%3Dbar', 400, 'BadRequest', 'field label not supported: foo'),
    ('/api/v1/pods?fieldSelector=foo', 400, 'BadRequest', "invalid selector: 'foo'; can't understand 'foo'"),
    ('/api/v1/pods?continue=abc', 400, 'BadRequest', 'continue key is not valid'),
    ('/api/v1/pods?continue=' + 'A' * 6000, 400, 'BadRequest', 'continue key is not valid'),
    ('/api/v1/pods?continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi8uLi8ifQ', 400, 'BadRequest',
     'continue key is not valid'),
    ('/api/v1/pods?limit=x', 400, 'BadRequest', 'strconv.ParseInt: parsing "x": invalid syntax'),
    ('/api/v1/pods?resourceVersion=x', 400, 'BadRequest', 'invalid syntax'),
    ('/api/v1/pods?resourceVersion=99999999', 504, 'Timeout', 'Too large resource version: 99999999, current: '),
    ('/api/v1/pods?resourceVersionMatch=Exact', 422, 'Invalid', 'resourceVersionMatch is forbidden unless'),
    ('/api/v1/pods?watch=1&labelSelector=%3D', 400, 'BadRequest', "found '='"),
    ('/api/v1/pods?watch=1&resourceVersion=x', 422, 'Invalid', 'invalid syntax'),
    ('/api/v1/namespaces/default/pods/x', 404, 'NotFound', 'pods "x" not found'),
    ('/api/v1/namespaces/default/pods/' + 'a' * 5000, 404, 'NotFound', 'not found'),
])
def test_bad_paths_and_options(cp, path, code, reason, message):
    got = cp.get(path).status()
    assert got[:2] == (code, reason) and message in got[2], got


@pytest.mark.parametrize('path', ['/api/v1/nope', '/apis/nope/v1/x', '/api/v2', '/nope', '/api/v1//pods',
                                  '/api/v1/namespaces/default/pods/x/nope'])
def test_paths_that_name_nothing(cp, path):
    r = cp.get(path)
    assert (r.code, r.body) == (404, b'404 page not found\n')


@pytest.mark.parametrize('path', ['/api/v1/namespaces/../secrets', '/api/v1/namespaces/%2e%2e/secrets',
                                  '/api/v1/namespaces/kube-system%2f..%2fdefault/secrets', '//api/v1/secrets'])
def test_no_path_reaches_what_another_may_not(cp, path):
    r = cp.get(path, headers={'Impersonate-User': 'bob'})
    assert r.code in (403, 404), r


# ---- bodies

def bomb():
    rows = [b'a: &a [x,x,x,x,x,x,x,x,x]']
    for i in range(9):
        rows.append(b'%c: &%c [%b]' % (98 + i, 98 + i, b','.join([b'*%c' % (97 + i)] * 9)))
    return b'\n'.join(rows)


JSON, YAML, PB = 'application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'
HEAD = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"}'


@pytest.mark.parametrize('name,body,kind,code,reason,message', [
    ('empty', b'', JSON, 400, 'BadRequest', ''),
    ('cut off', b'{"a":', JSON, 400, 'BadRequest', 'unexpected end of JSON input'),
    ('array', b'[]', JSON, 400, 'BadRequest', 'cannot unmarshal'),
    ('null', b'null', JSON, 400, 'BadRequest', ''),
    ('wrong type', HEAD + b',"data":{"a":1}}', JSON, 400, 'BadRequest',
     'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field '
     'ConfigMap.data of type string'),
    ('wrong kind', b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"}}', JSON, 400, 'BadRequest', 'Pod'),
    ('wrong version', b'{"kind":"ConfigMap","apiVersion":"v2","metadata":{"name":"x"}}', JSON, 400, 'BadRequest',
     'the API version in the data (v2) does not match the expected API version (v1)'),
    ('no name', b'{"kind":"ConfigMap","apiVersion":"v1"}', JSON, 422, 'Invalid',
     'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'),
    ('not UTF-8', HEAD + b',"data":{"a":"\xff"}}', JSON, 400, 'BadRequest', ''),
    ('depth', HEAD + b',"x":' + b'[' * 10000 + b']' * 10000 + b'}', JSON, 400, 'BadRequest', 'exceeded max depth'),
    ('too large for the server', HEAD + b',"data":{"a":"' + b'x' * (3 << 20) + b'"}}', JSON, 413,
     'RequestEntityTooLarge', 'Request entity too large: limit is 3145728'),
    ('too large for a ConfigMap', HEAD + b',"data":{"a":"' + b'x' * (2 << 20) + b'"}}', JSON, 422, 'Invalid',
     'ConfigMap "x" is invalid: []: Too long: may not be more than 1048576 bytes'),
    ('media type', b'{}', 'text/plain', 415, 'UnsupportedMediaType',
     'the body of the request was in an unknown format - accepted media types include: '),
    ('YAML cut off', b'a: [', YAML, 400, 'BadRequest', 'yaml: line'),
    ('YAML bomb', bomb(), YAML, 400, 'BadRequest', 'excessive aliasing'),
    ('YAML depth', b'[' * 20000, YAML, 400, 'BadRequest', ''),
    ('no protobuf', b'abc', PB, 400, 'BadRequest', 'does not appear to be a protobuf message'),
    ('empty protobuf', b'k8s\0', PB, 400, 'BadRequest', ''),
    ('protobuf cut off', b'k8s\0\x0a\xff', PB, 400, 'BadRequest', ''),
    ('protobuf that nests', b'k8s\0' + b'\x12\x7f' * 5000, PB, 400, 'BadRequest', ''),
])
def test_bad_bodies(cp, name, body, kind, code, reason, message):
    began = time.time()
    got = cp.post(CM, body, content_type=kind).status()
    assert got[:2] == (code, reason) and message in got[2], got
    assert time.time() - began < 2


def test_a_hundred_thousand_keys(cp):
    began = time.time()
    r = cp.post(CM, config_map('keys', data={f'k{i}': '' for i in range(100000)}))
    assert r.code == 201 and len(r.json()['data']) == 100000
    assert time.time() - began < 3
    began = time.time()
    status = cp.post(CM + '?fieldValidation=Strict', {**config_map('unknown'), **{f'k{i}': 1 for i in range(100000)}})
    assert status.status()[0] == 400 and len(status.body) < 20000
    assert time.time() - began < 3
    twice = HEAD + b',"data":{' + b','.join([b'"a":"1"'] * 100000) + b'}}'
    assert cp.post(CM + '?fieldValidation=Strict', twice).status()[0] == 400
    head = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:'
    for text in (head + '\n' + ''.join(f'  k{i}: v{i}\n' for i in range(150000)),
                 head + ' {' + ',\n'.join(f'k{i}: v{i}' for i in range(150000)) + '}\n'):  # lines at column 0: as go-yaml
        r = cp.post(CM, text, content_type=YAML)
        assert r.code == 201 and len(r.json()['data']) == 150000
        assert cp.delete(CM + '/yaml').code == 200
    assert cp.delete(CM + '/keys').code == 200


@pytest.mark.parametrize('kind,body,code', [
    ('application/json', b'{}', 415),
    ('application/json-patch+json', b'{}', 400),
    ('application/json-patch+json', b'[{"op":"remove","path":"/x/y"}]', 422),
    ('application/json-patch+json', json.dumps([{'op': 'test', 'path': '/kind', 'value': 'x'}] * 10001).encode(), 413),
    ('application/json-patch+json', b'[{"op":"copy","from":"","path":"/data"}]', 0),
    ('application/merge-patch+json', b'[]', 400),
    ('application/strategic-merge-patch+json', b'"x', 400),
    ('application/merge-patch+json', b'{"metadata":{"name":"other"}}', 400),
    ('application/merge-patch+json', b'{"metadata":{"resourceVersion":"1"}}', 409),
])
def test_bad_patches(cp, kind, body, code):
    r = cp.request('PATCH', CM + '/kube-root-ca.crt', body, content_type=kind)
    assert r.status()[0] in ([code] if code else [400, 422]), r


# ---- slow and greedy clients

def test_slow_clients_do_not_hold_others_up(cp):
    slow = []
    for i in range(100):
        s = cp.raw()
        s.sendall(b'POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n' % CM.encode() + (b'\r\n{' if i % 2 else b''))
        slow.append(s)
    times = []
    for _ in range(40):
        for s in slow[:10]:
            s.sendall(b'x' if slow.index(s) % 2 else b'X: y\r\n')
        began = time.time()
        assert cp.get(CM + '/kube-root-ca.crt').code == 200
        times.append(time.time() - began)
    assert sorted(times)[20] < 0.2
    if LONG:  # a header has 32 s, a body 60
        time.sleep(62)
        assert all(drain(s, 0.2)[:12] in (b'HTTP/1.1 408', b'') for s in slow)
    for s in slow:
        s.close()


@pytest.mark.memory
def test_watchers_that_never_read(own):
    cp = own()
    assert cp.post(CM, config_map('big')).code == 201
    deaf = []
    for _ in range(50):
        s = cp.raw()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(b'GET %b?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n' % CM.encode())
        deaf.append(s)
    seen = []
    w = Watch(cp, CM + '?watch=1&resourceVersion=0', timeout=20)
    reader = threading.Thread(target=lambda: [seen.append(e) for e in iter(w.next, None)], daemon=True)
    reader.start()
    before, conn = cp.rss_kib(), cp.connect()
    rounds = 200
    for i in range(rounds):  # 20 MB of events for each of 50 watchers
        assert cp.put(CM + '/big', config_map('big', data={'a': str(i) + 'x' * 100000}), conn=conn).code == 200
    end = time.time() + 10
    while time.time() < end and not (seen and seen[-1]['object']['data'].get('a', '').startswith(f'{rounds - 1}x')):
        time.sleep(0.05)
    assert seen[-1]['object']['data']['a'].startswith(f'{rounds - 1}x')
    grown = cp.rss_kib() - before
    # history keeps 20 MB, each deaf watcher what fits its queue; unbounded it would be a gigabyte
    assert grown < (100 << 10) * memory_slack(), f'{grown} KiB more'
    w.close()
    for s in deaf:
        s.close()


@pytest.mark.memory
def test_clients_that_hold_memory(own):
    """Answers that nobody reads, requests ahead of their answers, bodies without end, strangers with megabytes."""
    cp = own()
    conn = cp.connect()
    for i in range(100):
        assert cp.post(CM, config_map(f'c{i}', data={'a': 'x' * 20000}), conn=conn).code == 201
    before = cp.rss_kib()

    def hold(count, data, who='admin'):
        held = []
        for _ in range(count):
            s = cp.raw(who)
            s.settimeout(0.5)
            try:
                s.sendall(data)
            except OSError:
                pass
            held.append(s)
        assert cp.get('/readyz').code == 200
        grown = (cp.rss_kib() - before) / memory_slack()
        for s in held:
            s.close()
        return grown
    ask = b'GET %b HTTP/1.1\r\nHost: x\r\n\r\n' % CM.encode()
    assert hold(100, ask) < 60 << 10  # 200 MB of answers
    assert hold(10, ask * 5000) < 60 << 10
    body = b'POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n' % CM.encode() + b'x' * 2999999
    assert hold(100, body, who=None) < 60 << 10  # strangers wait for no 3 MB
    assert hold(120, body) < 330 << 10  # 360 MB of known people's: 256 MB at once
    assert cp.post(CM, config_map('after', data={'a': 'x' * 900000})).code == 201


@pytest.mark.memory
def test_a_thousand_watchers(own):
    cp = own()
    before = cp.rss_kib()
    watchers = []
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        def open_one(_):
            s = cp.raw()
            s.sendall(b'GET %b?watch=1&resourceVersion=0&fieldSelector=metadata.name%%3Dx HTTP/1.1\r\nHost: x\r\n\r\n'
                      % CM.encode())
            s.settimeout(20)
            while b'\r\n\r\n' not in s.recv(4096):
                pass
            return s
        watchers = list(pool.map(open_one, range(1000)))
    each = (cp.rss_kib() - before) / 1000
    assert cp.post(CM, config_map('x')).code == 201
    for s in watchers:
        assert b'"ADDED"' in s.recv(4096)
    for s in watchers:
        s.close()
    print(f'{each:.1f} KiB a TLS watcher')
    assert each < 40 * memory_slack()
    assert cp.get('/readyz').code == 200


def test_many_writers(own):
    """Hundreds of clients write what others write too: conflicts, and no other error."""
    cp, seconds, count = own(), 60 if LONG else 8, 500
    for i in range(20):
        assert cp.post(CM, config_map(f'shared-{i}', data={'n': '0'})).code == 201
    end, bad, done, conflicts = time.time() + seconds + 4, [], [0] * count, [0] * count

    def write(me):
        rng = random.Random(me)
        try:
            conn = cp.connect(timeout=60)
            while time.time() < end:
                path = f'{CM}/shared-{rng.randrange(20)}'
                o = cp.get(path, conn=conn).json()
                o['data']['n'] = str(int(o['data']['n']) + 1)
                r = cp.put(path, o, conn=conn)
                if r.code == 200:
                    done[me] += 1
                elif r.code == 409 and r.status()[1] == 'Conflict':
                    conflicts[me] += 1
                else:
                    bad.append(r)
        except Exception as e:  # noqa: BLE001: whatever it is, it is a failure
            bad.append(e)
    threads = [threading.Thread(target=write, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not bad, bad[:3]
    total = sum(int(cp.get(f'{CM}/shared-{i}').json()['data']['n']) for i in range(20))
    print(f'{sum(done)} writes, {sum(conflicts)} conflicts')
    assert total == sum(done)  # no update was lost


def test_out_of_descriptors(own):
    cp = own(wrap=['sh', '-c', 'ulimit -n 200; exec "$@"', 'sh'])
    conn = cp.connect()
    assert cp.get('/readyz', conn=conn).code == 200
    idle = [socket.create_connection(('127.0.0.1', cp.port), timeout=10) for _ in range(400)]
    for i in range(20):  # who is in stays in, and can write
        assert cp.post(CM, config_map(f'fd-{i}'), conn=conn).code == 201
    began = time.time()  # who comes now gets in when the idle ones have been sent away: a handshake has 10 s
    assert cp.get('/readyz', timeout=40).code == 200
    print(f'in again after {time.time() - began:.1f} s')
    for s in idle:
        s.close()
    assert cp.get('/readyz').code == 200


# ---- stopping, killing

def test_stops_within_three_seconds(own):
    cp = own()
    watches = [Watch(cp, CM + '?watch=1') for _ in range(20)]
    idle = cp.connect()
    assert cp.get('/readyz', conn=idle).code == 200
    began = time.time()
    assert cp.kill(signal.SIGTERM) == 0
    assert time.time() - began < 3
    for w in watches:
        while w.next():
            pass


def test_two_servers_on_one_directory(own):
    cp = own()
    second = subprocess.run([find_binary(), 'server', '--data-dir', cp.dir, '--listen', '127.0.0.1:0'],
                            capture_output=True, text=True, timeout=20)
    assert second.returncode != 0
    assert 'another server' in second.stderr and cp.dir in second.stderr
    assert cp.post(CM, config_map('still')).code == 201


def test_a_directory_of_another_version(own):
    cp = own()
    cp.stop()
    db = sqlite3.connect(os.path.join(cp.dir, 'sampan.db'))
    db.execute('PRAGMA user_version=4711')
    db.close()
    cp.start(ready=False)
    assert cp.proc.wait(20) != 0
    assert 'version 4711' in cp.log() and '--data-dir' in cp.log()


class Writers:
    """Two clients at about 25 writes a second each, and what was acknowledged to them."""

    def __init__(self, cp):
        self.cp, self.lock, self.end = cp, threading.Lock(), False
        self.acked, self.maybe, self.max_rev, self.bad, self.count = {}, {}, 0, [], 0
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(2)]
        for t in self.threads:
            t.start()

    def run(self, me):
        conn, n = None, 0
        while not self.end:
            n += 1
            name, text = (f'w{me}-{n}', f'made {n}') if n % 2 else (f'counter-{me}', f'count {n}')
            exists = name in self.acked or name in self.maybe
            try:
                conn = conn or self.cp.connect(timeout=5)
                floor = self.max_rev
                body = config_map(name, data={'text': text})
                r = self.cp.put(f'{CM}/{name}', body, conn=conn) if exists else self.cp.post(CM, body, conn=conn)
                if exists and r.code == 404:
                    r = self.cp.post(CM, body, conn=conn)
            except Exception:  # noqa: BLE001: the server died: what it did is not known
                conn = None
                self.maybe.setdefault(name, set()).add(text)
                time.sleep(0.01)
                continue
            self.note(r, name, text, floor)
            time.sleep(0.035)

    def note(self, r, name, text, floor):
        if r.code not in (200, 201):
            if r.code not in (409, 503):  # the last try had arrived; the server is going away
                self.bad.append(r)
            self.maybe.setdefault(name, set()).add(text)
            return
        rev = int(r.json()['metadata']['resourceVersion'])
        with self.lock:
            self.count += 1
            if rev <= floor:
                self.bad.append(f'revision {rev} after {floor}')
            self.max_rev = max(self.max_rev, rev)
            self.acked[name] = text
            self.maybe.pop(name, None)

    def stop(self):
        self.end = True
        for t in self.threads:
            t.join()


class Follower(threading.Thread):
    """A watch that goes on from its last revision over every death of the server, and lists again on 410."""

    def __init__(self, cp):
        super().__init__(daemon=True)
        self.cp, self.end, self.state, self.rev, self.bad = cp, False, {}, 0, []
        self.resumed = self.expired = 0
        self.start()

    def relist(self):
        d = self.cp.get(CM).json()
        rev = int(d['metadata']['resourceVersion'])
        if rev < self.rev:
            self.bad.append(f'list at {rev} after {self.rev}')
        self.state = {o['metadata']['name']: o['data'].get('text') for o in d['items']}
        self.rev = rev

    def take(self, e):
        if e['type'] == 'ERROR':
            return e['object']['code']
        rev = int(e['object']['metadata']['resourceVersion'])
        if rev < self.rev:
            self.bad.append(f'event of {rev} after {self.rev}')
        self.rev = rev
        if e['type'] == 'DELETED':
            self.state.pop(e['object']['metadata']['name'], None)
        elif e['type'] != 'BOOKMARK':
            self.state[e['object']['metadata']['name']] = e['object'].get('data', {}).get('text')
        return 0

    def run(self):
        while not self.end:
            try:
                if not self.rev:
                    self.relist()
                w = Watch(self.cp, f'{CM}?watch=1&timeoutSeconds=300&resourceVersion={self.rev}', timeout=3)
                if w.reply.status == 410:
                    self.expired += 1
                    self.relist()
                    continue
                if w.reply.status != 200:
                    time.sleep(0.02)
                    continue
                self.resumed += 1
                for e in iter(w.next, None):
                    if self.take(e) == 410:
                        self.expired += 1
                        self.relist()
                        break
            except Exception:  # noqa: BLE001: it is dead just now
                time.sleep(0.01)


def test_killed_at_any_moment(own):
    cp, rng = own(), random.Random(os.environ.get('SAMPAN_SEED', '1'))
    writers, follower = Writers(cp), Follower(cp)
    kills = 1000 if LONG else 20
    for _ in range(kills):
        time.sleep(rng.uniform(0.02, 0.6))
        cp.kill()
        cp.start()
    time.sleep(0.5)
    writers.stop()
    d = cp.get(CM).json()
    stored = {o['metadata']['name']: o.get('data', {}).get('text') for o in d['items']}
    lost = {n: (t, stored.get(n)) for n, t in writers.acked.items()
            if stored.get(n) != t and stored.get(n) not in writers.maybe.get(n, ())}
    assert not lost, lost
    assert not writers.bad, writers.bad[:5]
    assert int(d['metadata']['resourceVersion']) >= writers.max_rev
    time.sleep(0.5)
    follower.end = True
    print(f'{kills} kills, {writers.count} writes acknowledged, watch resumed {follower.resumed} times, '
          f'410 {follower.expired} times')
    assert not follower.bad, follower.bad[:5]
    ours = {n: t for n, t in stored.items() if n[0] in 'wc'}
    assert {n: t for n, t in follower.state.items() if n[0] in 'wc'} == ours


# ---- the disk

def in_namespace(cp, script):
    subprocess.run(['nsenter', '-t', str(cp.proc.pid), '-m', 'sh', '-c', script], check=True, timeout=20)


def refused(r):
    code, reason, message = r.status()
    assert code in (500, 503, 507) and message, r
    return message


@pytest.fixture
def small_disk(tmp_path):
    """A directory with room for 3 MB, and the words that run a command where it can be seen."""
    data = str(tmp_path / 'data')
    os.mkdir(data)
    holder = subprocess.Popen(['unshare', '-m', 'sh', '-c', f'mount -t tmpfs -o size=3m tmpfs {data} && echo && '
                               'exec sleep 1000'], stdout=subprocess.PIPE)
    assert holder.stdout.read(1)
    yield data, ['nsenter', '-t', str(holder.pid), '-m', '--']
    holder.kill()
    holder.wait()


@needs_root
def test_full_disk(own, tmp_path, small_disk):
    data, inside = small_disk
    cp = own(root=str(tmp_path), wrap=inside)
    assert cp.post(CM, config_map('before', data={'a': 'b'})).code == 201
    seen = []
    w = Watch(cp, CM + '?watch=1&resourceVersion=0', timeout=60)
    reader = threading.Thread(target=lambda: seen.extend(iter(w.next, None)), daemon=True)
    reader.start()
    in_namespace(cp, f'dd if=/dev/zero of={data}/filler bs=4k 2>/dev/null; truncate -s -300K {data}/filler')
    acknowledged, lost = {'before'}, set()
    for i in range(400):
        r = cp.post(CM, config_map(f'fill-{i}', data={'a': 'x' * 20000}))
        (acknowledged if r.code == 201 else lost).add(f'fill-{i}')
        if len(lost) == 3:
            break
    assert len(acknowledged) > 3
    assert r.status() == (503, 'ServiceUnavailable', 'the write is not durable: no space left for sampan.db: make room, '
                          'the next write tries again')
    assert r.headers['Retry-After'] == '1'
    refused(cp.put(CM + '/before', config_map('before', data={'a': 'c'})))
    assert cp.get(CM + '/before').json()['data'] == {'a': 'b'}  # who reads is served
    assert all(cp.get(f'{CM}/{n}').code == 404 for n in lost)  # what was refused is not there
    in_namespace(cp, f'rm {data}/filler')
    end = time.time() + 10
    while time.time() < end and cp.post(CM, config_map('after')).code != 201:
        time.sleep(0.2)
    assert cp.get(CM + '/after').code == 200
    assert cp.get('/readyz').code == 200
    cp.kill()
    reader.join(10)
    cp.start()

    def ours(names):
        return {n for n in names if n in ('before', 'after') or n.startswith('fill-')}
    assert ours(o['metadata']['name'] for o in cp.get(CM).json()['items']) == acknowledged | {'after'}
    assert ours(e['object']['metadata']['name'] for e in seen) == acknowledged | {'after'}


@needs_root
def test_read_only_disk(own, tmp_path):
    """A file system that turned read-only under a server that starts on it: it serves, and heals when it can."""
    first = own(root=str(tmp_path))
    assert first.post(CM, config_map('before', data={'a': 'b'})).code == 201
    first.stop()
    first.wrap = ['unshare', '-m', 'sh', '-c', f'mount --bind {first.dir} {first.dir} && '
                  f'mount -o remount,bind,ro {first.dir} && exec "$@"', 'sh']
    first.start(ready=False)
    end = time.time() + 10
    while True:
        try:
            if first.get('/livez', who=None).code == 200:
                break
        except OSError:
            pass
        assert time.time() < end and first.proc.poll() is None, first.log()[-1500:]
        time.sleep(0.05)
    assert first.get(CM + '/before').json()['data'] == {'a': 'b'}
    assert 'read-only' in refused(first.post(CM, config_map('no'))).lower()
    in_namespace(first, f'mount -o remount,bind,rw {first.dir}')
    end = time.time() + 10
    while time.time() < end and first.post(CM, config_map('after')).code != 201:
        time.sleep(0.2)
    assert first.get(CM + '/after').code == 200
    first.wait_ready()


def test_a_damaged_page(own):
    cp = own()
    marks = [f'mark-{i:03}' for i in range(200)]
    conn = cp.connect()
    for m in marks:
        assert cp.post(CM, config_map(m, data={'a': m + 'x' * 1500}), conn=conn).code == 201
    cp.stop()
    path = os.path.join(cp.dir, 'sampan.db')
    with open(path, 'r+b') as f:
        data = f.read()
        at = data.rfind(b'mark-100x') // 4096 * 4096
        assert at > 0
        f.seek(at)
        f.write(os.urandom(4096))
    cp.start(ready=False)
    end = time.time() + 15
    while True:
        try:
            r = cp.get('/readyz?verbose')
            break
        except OSError:
            assert time.time() < end and cp.proc.poll() is None, cp.log()[-2000:]
            time.sleep(0.05)
    assert r.code == 500 and b'sampan store repair' in r.body, r
    lost = re.findall(r'mark-\d+', r.body.decode())
    assert lost and all(n in cp.log() for n in lost)
    assert b'mark' not in cp.get('/readyz?verbose', who=None).body  # names are not for strangers
    assert cp.get(CM + '/mark-000').code == 200
    assert 'repair' in refused(cp.post(CM, config_map('no')))
    cp.kill()
    fixed = subprocess.run([find_binary(), 'store', 'repair', '--data-dir', cp.dir], capture_output=True, text=True)
    assert fixed.returncode == 0, fixed
    assert all(n in fixed.stdout for n in lost)
    cp.start()
    assert cp.post(CM, config_map('again')).code == 201
    left = {o['metadata']['name'] for o in cp.get(CM).json()['items']}
    assert set(marks) - left == set(lost)


def test_a_torn_tail(own):
    cp = own()
    for i in range(20):
        assert cp.post(CM, config_map(f't-{i}', data={'a': 'x' * 500})).code == 201
    cp.kill()
    wal = os.path.join(cp.dir, 'sampan.db-wal')
    with open(wal, 'r+b') as f:  # half of what follows is what a power cut leaves
        f.seek(0, 2)
        f.write(os.urandom(3000))
    cp.start()
    assert cp.get(CM + '/t-19').code == 200
    assert cp.post(CM, config_map('after')).code == 201


# ---- who may what

def test_strangers(cp):
    for path in ('/livez', '/readyz', '/healthz'):
        assert cp.get(path, who=None).code == 200
    for path in ('/api/v1/pods', '/metrics', '/apis', '/api/v1/namespaces/kube-system/secrets'):
        assert cp.get(path, who=None).status()[:2] == (401, 'Unauthorized')
    for token in ('abc', 'a.b.c', '.' * 100, 'e30.e30.', 'A' * 20000):
        assert cp.get('/api/v1/pods', token=token).status() == (401, 'Unauthorized', 'Unauthorized')


def make_pod(name, node=None, secret=None, account=None):
    spec = {'containers': [{'name': 'c', 'image': 'i'}]}
    if node:
        spec['nodeName'] = node
    if secret:
        spec['volumes'] = [{'name': 's', 'secret': {'secretName': secret}}]
    if account:
        spec['serviceAccountName'] = account
    return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name}, 'spec': spec}


def test_a_node_sees_and_does_only_its_own(cp):
    ns = '/api/v1/namespaces/default'
    for n in ('used', 'other'):
        cp.post(ns + '/secrets', {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': n}})
    cp.post('/api/v1/nodes', {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': 'a'}})
    cp.post('/api/v1/nodes', {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': 'b'}})
    assert cp.post(ns + '/pods', make_pod('on-a', 'a', 'used')).code == 201
    assert cp.post(ns + '/pods', make_pod('on-b', 'b', 'other')).code == 201
    may = [('GET', ns + '/secrets/used'), ('GET', ns + '/pods/on-a'), ('GET', '/api/v1/nodes/a'),
           ('GET', '/api/v1/pods?fieldSelector=spec.nodeName%3Da'), ('GET', '/api/v1/services'),
           ('GET', ns + '/secrets?fieldSelector=metadata.name%3Dused')]
    may_not = [('GET', ns + '/secrets/other', 'no relationship found'), ('GET', ns + '/secrets', 'by name'),
               ('GET', '/api/v1/secrets', 'by name'), ('GET', '/api/v1/nodes/b', ''), ('GET', ns + '/pods/on-b', ''),
               ('GET', '/api/v1/pods', 'spec.nodeName'), ('GET', '/api/v1/pods?fieldSelector=spec.nodeName%3Db', ''),
               ('DELETE', ns + '/pods/on-b', ''), ('DELETE', '/api/v1/nodes/a', ''), ('DELETE', '/api/v1/nodes/b', ''),
               ('GET', RBAC + '/clusterroles', ''), ('DELETE', ns + '/secrets/used', ''),
               ('GET', '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/b', '')]
    for method, path in may:
        assert cp.request(method, path, who='node').code == 200, path
    for method, path, why in may_not:
        r = cp.request(method, path, who='node')
        assert r.status()[:2] == (403, 'Forbidden') and why in r.status()[2], (path, r)
    status = {'status': {'phase': 'Running'}}
    patch = {'content_type': 'application/merge-patch+json', 'who': 'node'}
    assert cp.request('PATCH', ns + '/pods/on-a/status', status, **patch).code == 200
    assert cp.request('PATCH', ns + '/pods/on-b/status', status, **patch).code == 403
    assert cp.request('PATCH', ns + '/pods/on-a', {'metadata': {'labels': {'x': 'y'}}}, **patch).code == 403
    assert cp.post('/api/v1/nodes', {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': 'c'}}, who='node').code == 403
    token = {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenRequest', 'spec': {}}
    assert cp.post(ns + '/serviceaccounts/nobody/token', token, who='node').code == 403
    for n in ('on-a', 'on-b'):
        cp.delete(f'{ns}/pods/{n}?gracePeriodSeconds=0')


def test_forbidden_in_kubernetes_words(cp):
    bob = {'headers': {'Impersonate-User': 'bob'}}
    assert cp.get('/api/v1/namespaces/default/pods', **bob).status()[2] == (
        'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"')
    assert cp.get('/apis/apps/v1/deployments', **bob).status()[2] == (
        'deployments.apps is forbidden: User "bob" cannot list resource "deployments" in API group "apps" at the '
        'cluster scope')
    assert cp.get('/api/v1/namespaces/default/pods/x/log', **bob).status()[2] == (
        'pods "x" is forbidden: User "bob" cannot get resource "pods/log" in API group "" in the namespace "default"')
    assert cp.get('/metrics', **bob).status()[2] == 'forbidden: User "bob" cannot get path "/metrics"'


def test_a_serving_certificate_is_no_identity(cp):
    """The kubelet's own certificate says system:node:a too, but for serving only."""
    with pytest.raises((OSError, http.client.HTTPException)):
        cp.get('/api/v1/nodes/a', who='kubelet')


def test_impersonation(cp):
    r = cp.get('/api/v1/pods', headers={'Impersonate-User': 'bob', 'Impersonate-Group': 'system:masters'})
    assert r.code == 200
    r = cp.get('/api/v1/pods', who='node', headers={'Impersonate-User': 'bob'})
    assert r.status()[2] == ('users "bob" is forbidden: User "system:node:a" cannot impersonate resource "users" in API '
                             'group "" at the cluster scope')
    assert cp.get('/api/v1/pods', headers={'Impersonate-Group': 'x'}).code == 400
    review = {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'SelfSubjectReview'}
    r = cp.post('/apis/authentication.k8s.io/v1/selfsubjectreviews', review,
                headers={'Impersonate-User': 'bob', 'Impersonate-Extra-Scopes': 'a', 'Impersonate-Uid': '7'})
    info = r.json()['status']['userInfo']
    assert info['username'] == 'bob' and info['uid'] == '7' and info['extra'] == {'scopes': ['a']}


def test_tokens_bound_to_a_pod(cp):
    ns = '/api/v1/namespaces/default'
    assert cp.post(ns + '/pods', make_pod('bound')).code == 201
    uid = cp.get(ns + '/pods/bound').json()['metadata']['uid']

    def ask(**spec):
        return cp.post(ns + '/serviceaccounts/default/token',
                       {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenRequest', 'spec': spec})
    ref = {'apiVersion': 'v1', 'kind': 'Pod', 'name': 'bound', 'uid': uid}
    token = ask(boundObjectRef=ref).json()['status']['token']
    me = '/apis/authentication.k8s.io/v1/selfsubjectreviews'
    review = {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'SelfSubjectReview'}
    info = cp.post(me, review, token=token).json()['status']['userInfo']
    assert info['username'] == 'system:serviceaccount:default:default'
    assert info['extra']['authentication.kubernetes.io/pod-name'] == ['bound']
    head, body, signature = token.split('.')
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b'=').decode()
    claims = json.loads(base64.urlsafe_b64decode(body + '=='))
    claims['sub'] = 'system:serviceaccount:kube-system:default'
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()
    for bad in (f'{none}.{body}.', f'{none}.{body}.{signature}', f'{head}.{forged}.{signature}',
                f'{head}.{body}.' + 'A' * len(signature), f'{head}.{body}'):
        assert cp.post(me, review, token=bad).code == 401
    other = ask(audiences=['elsewhere']).json()['status']['token']
    assert cp.post(me, review, token=other).code == 401
    assert ask(boundObjectRef={**ref, 'uid': 'x'}).code == 409
    assert ask(boundObjectRef={**ref, 'name': 'nope'}).code == 404
    assert ask(expirationSeconds=5).status()[:2] == (422, 'Invalid')
    cp.delete(ns + '/pods/bound?gracePeriodSeconds=0')
    assert cp.post(me, review, token=token).code == 401


def rule(groups, resources, verbs, **more):
    return {'apiGroups': groups, 'resources': resources, 'verbs': verbs, **more}


def test_nobody_grants_what_they_do_not_hold(cp):
    ns = RBAC + '/namespaces/default'
    v1 = {'apiVersion': 'rbac.authorization.k8s.io/v1'}

    def role(name, *rules, kind='Role'):
        return {**v1, 'kind': kind, 'metadata': {'name': name}, 'rules': list(rules)}

    def binding(name, to, user='eve', kind='RoleBinding', ref='Role'):
        return {**v1, 'kind': kind, 'metadata': {'name': name},
                'subjects': [{'kind': 'User', 'name': user, 'apiGroup': 'rbac.authorization.k8s.io'}],
                'roleRef': {'kind': ref, 'name': to, 'apiGroup': 'rbac.authorization.k8s.io'}}
    writes = rule(['rbac.authorization.k8s.io'], ['*'], ['create', 'update', 'patch', 'delete', 'get'])
    assert cp.post(RBAC + '/clusterroles', role('writer', writes, rule([''], ['pods'], ['get', 'list']),
                                                kind='ClusterRole')).code == 201
    assert cp.post(RBAC + '/clusterrolebindings',
                   binding('writer', 'writer', kind='ClusterRoleBinding', ref='ClusterRole')).code == 201
    eve = {'headers': {'Impersonate-User': 'eve'}}
    assert cp.post(ns + '/roles', role('fine', rule([''], ['pods'], ['get'])), **eve).code == 201
    r = cp.post(ns + '/roles', role('evil', rule([''], ['pods', 'secrets'], ['get', 'delete'])), **eve)
    assert r.status() == (403, 'Forbidden',
                          'roles.rbac.authorization.k8s.io "evil" is forbidden: user "eve" '
                          '(groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently '
                          'held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}\n'
                          '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete"]}')
    r = cp.post(RBAC + '/clusterrolebindings',
                binding('evil', 'cluster-admin', kind='ClusterRoleBinding', ref='ClusterRole'), **eve)
    assert r.code == 403 and '{NonResourceURLs:["*"], Verbs:["*"]}' in r.status()[2]
    assert cp.post(ns + '/rolebindings', binding('evil', 'admin', ref='ClusterRole'), **eve).code == 403
    assert cp.post(ns + '/rolebindings', binding('none', 'nope'), **eve).status()[:2] == (404, 'NotFound')
    assert cp.post(ns + '/rolebindings', binding('fine', 'fine', 'mallory'), **eve).code == 201
    patch = {'rules': [rule(['*'], ['*'], ['*'])]}
    assert cp.request('PATCH', ns + '/roles/fine', patch, content_type='application/merge-patch+json', **eve).code == 403
    assert cp.request('PATCH', ns + '/roles/fine', {'metadata': {'finalizers': ['a.b/c']}},
                      content_type='application/merge-patch+json', **eve).code == 200
    r = cp.post(RBAC + '/clusterroles', {**role('sum', kind='ClusterRole'), 'aggregationRule': {
        'clusterRoleSelectors': [{'matchLabels': {'a': 'b'}}]}}, **eve)
    assert r.code == 403 and 'must have cluster-admin privileges to use the aggregationRule' in r.status()[2]
    # the two ways around
    more = role('more', rule(['rbac.authorization.k8s.io'], ['roles'], ['escalate']),
                rule(['rbac.authorization.k8s.io'], ['clusterroles'], ['bind'], resourceNames=['view']))
    assert cp.post(ns + '/roles', more).code == 201
    assert cp.post(ns + '/rolebindings', binding('more', 'more')).code == 201
    assert cp.post(ns + '/roles', role('evil', rule([''], ['secrets'], ['get'])), **eve).code == 201
    assert cp.post(ns + '/rolebindings', binding('view', 'view', ref='ClusterRole'), **eve).code == 201
    assert cp.post(ns + '/rolebindings', binding('edit', 'edit', ref='ClusterRole'), **eve).code == 403


# ---- unchanged clients see the same

def test_kubectl_and_the_python_client_show_our_errors(cp):
    out = cp.kubectl('get', 'pod', 'nope')
    assert out.returncode == 1 and out.stderr == 'Error from server (NotFound): pods "nope" not found\n'
    out = cp.kubectl('create', 'configmap', 'Bad_Name', '--validate=false')
    assert out.returncode == 1 and 'is invalid: metadata.name: Invalid value: "Bad_Name"' in out.stderr
    client = pytest.importorskip('kubernetes.client')
    config = pytest.importorskip('kubernetes.config')
    api = client.CoreV1Api(config.new_client_from_config(cp.kubeconfig()))
    with pytest.raises(client.ApiException) as e:
        api.create_namespaced_config_map('default', config_map('x', data={'a': 'x' * (3 << 20)}))
    assert e.value.status == 413
    with pytest.raises(client.ApiException) as e:
        api.list_namespaced_pod('default', label_selector='===')
    assert e.value.status == 400 and json.loads(e.value.body)['reason'] == 'BadRequest'
