"""A control plane of its own for a test that breaks things, and bare TLS to talk to it: no client library that would
repair or refuse what a test wants to send."""
import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time


def find_binary():
    """The binary under test: $SAMPAN; $SAMPAN_BIN, a build directory or a binary; else the newest build here."""
    given = os.environ.get('SAMPAN') or os.environ.get('SAMPAN_BIN')
    if given:
        inside = os.path.join(given, 'src', 'cli', 'sampan')
        return inside if os.path.isdir(given) and os.path.exists(inside) else given
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
    built = [os.path.join(root, d, 'src', 'cli', 'sampan') for d in os.listdir(root) if d.startswith('build')]
    built = [b for b in built if os.access(b, os.X_OK)]
    return max(built, key=os.path.getmtime) if built else shutil.which('sampan')


def memory_slack():
    """A sanitizer puts walls around memory and keeps what is freed: with it only the order of a limit can be tested. Who
    uses this is marked pytest.mark.memory: ./check --long runs those on a release build too, where limits are limits."""
    with open(find_binary(), 'rb') as f:
        return 12 if b'__asan_init' in f.read() else 1


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Reply:
    def __init__(self, code, body, headers):
        self.code, self.body, self.headers = code, body, headers

    def json(self):
        return json.loads(self.body)

    def status(self):
        """(code, reason, message) of a Status; fails when it is none, or when the HTTP code says something else."""
        d = self.json()
        assert d['kind'] == 'Status' and d['apiVersion'] == 'v1' and d['code'] == self.code, d
        return self.code, d.get('reason', ''), d.get('message', '')

    def __repr__(self):
        return f'{self.code} {self.body[:400]!r}'


class Server:
    """`sampan server` in a directory; starts in the constructor, keeps its port and directory over restarts."""

    def __init__(self, root=None, wrap=(), ready=True, args=(), node=None, env=None):
        self.root = root or tempfile.mkdtemp(prefix='sampan-e2e-')
        self.dir = os.path.join(self.root, 'data')
        self.port, self.wrap, self.args, self.node, self.env = free_port(), list(wrap), list(args), node, env
        self.log_path = os.path.join(self.root, 'log')
        self.proc, self.contexts = None, {}
        self.start(ready)

    def command(self):
        c = self.wrap + [find_binary(), 'server', '--data-dir', self.dir, '--listen', f'127.0.0.1:{self.port}']
        return c + (['--node-name', self.node] if self.node else []) + self.args

    def start(self, ready=True, timeout=20):
        self.contexts = {}
        with open(self.log_path, 'ab') as log:
            self.proc = subprocess.Popen(self.command(), stdout=log, stderr=log, env=self.env)
        if ready:
            self.wait_ready(timeout)

    def wait_ready(self, timeout=20):
        end = time.time() + timeout
        while True:
            try:
                if self.get('/readyz', who=None, timeout=2).code == 200:
                    return
            except OSError:
                pass
            except http.client.HTTPException:
                pass
            if self.proc.poll() is not None or time.time() > end:
                raise AssertionError(f'not ready (exit {self.proc.poll()}): {self.log()[-2000:]}')
            time.sleep(0.005)

    def log(self):
        with open(self.log_path, errors='replace') as f:
            return f.read()

    def kill(self, number=signal.SIGKILL, timeout=10):
        self.proc.send_signal(number)
        return self.proc.wait(timeout)

    def stop(self):
        if self.proc and self.proc.poll() is None:
            self.kill(signal.SIGTERM)
        return self.proc.returncode if self.proc else None

    def remove(self):
        if self.proc and self.proc.poll() is None:
            self.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def rss_kib(self):
        with open(f'/proc/{self.proc.pid}/status') as f:
            return int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1))

    def fds(self):
        return len(os.listdir(f'/proc/{self.proc.pid}/fd'))

    # ---- identities

    def file(self, *names):
        """A file of the data directory, as the server's own mount namespace shows it."""
        path = os.path.join(self.dir, *names)
        return f'/proc/{self.proc.pid}/root{path}' if self.wrap else path

    def kubeconfig(self):
        return self.file('admin.kubeconfig')

    def admin_pair(self):
        """Paths of the admin's certificate and key, taken out of the kubeconfig."""
        crt, key = os.path.join(self.root, 'admin.crt'), os.path.join(self.root, 'admin.key')
        with open(self.kubeconfig()) as f:
            text = f.read()
        for path, field in ((crt, 'client-certificate-data'), (key, 'client-key-data')):
            part = f'{path}.{threading.get_ident()}'  # another thread may be reading it
            with open(part, 'wb') as out:
                out.write(base64.b64decode(re.search(field + r': (\S+)', text).group(1)))
            os.replace(part, path)
        return crt, key

    def context(self, who='admin', alpn=None):
        """who: 'admin', 'node', 'tunnel' (certificates of this machine), None (nobody) or a (crt, key) pair."""
        key = (who, tuple(alpn or ()))
        if key not in self.contexts:
            ctx = ssl.create_default_context(cafile=self.file('ca.crt'))
            if who == 'admin':
                ctx.load_cert_chain(*self.admin_pair())
            elif isinstance(who, str):
                ctx.load_cert_chain(*[self.file('agent', who + end) for end in ('.crt', '.key')])
            elif who:
                ctx.load_cert_chain(*who)
            if alpn:
                ctx.set_alpn_protocols(alpn)
            self.contexts[key] = ctx
        return self.contexts[key]

    # ---- requests

    def connect(self, who='admin', timeout=20):
        return http.client.HTTPSConnection('127.0.0.1', self.port, context=self.context(who), timeout=timeout)

    def request(self, method, path, body=None, who='admin', token=None, headers=None, conn=None, timeout=20,
                content_type='application/json'):
        h = dict(headers or {})
        if token:
            h['Authorization'], who = 'Bearer ' + token, None
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if body is not None:
            h.setdefault('Content-Type', content_type)
        c = conn or self.connect(who, timeout)
        try:
            c.request(method, path, body, h)
            r = c.getresponse()
            return Reply(r.status, r.read(), r.headers)
        finally:
            if not conn:
                c.close()

    def get(self, path, **more):
        return self.request('GET', path, **more)

    def post(self, path, body, **more):
        return self.request('POST', path, body, **more)

    def put(self, path, body, **more):
        return self.request('PUT', path, body, **more)

    def delete(self, path, **more):
        return self.request('DELETE', path, **more)

    def raw(self, who='admin', alpn=None, timeout=20):
        """A TLS socket on which nothing has been said yet."""
        s = socket.create_connection(('127.0.0.1', self.port), timeout=timeout)
        return self.context(who, alpn).wrap_socket(s, server_hostname='localhost')

    def say(self, data, who='admin', timeout=20):
        """Send bytes as they are; everything that comes back until the server closes or says no more for a while."""
        with self.raw(who, timeout=timeout) as s:
            try:
                s.sendall(data)
            except OSError:
                pass  # it may have answered and closed before it read everything
            return drain(s)

    def kubectl(self, *words, stdin=None, timeout=60):
        e = dict(os.environ, KUBECONFIG=self.kubeconfig(), HOME=self.root)
        return subprocess.run(['kubectl', *words], input=stdin, env=e, capture_output=True, text=True, timeout=timeout)


def drain(s, quiet=1.0):
    """What arrives until the other side closes, or nothing came for `quiet` seconds."""
    s.settimeout(quiet)
    got = b''
    try:
        while True:
            part = s.recv(65536)
            if not part:
                break
            got += part
    except OSError:
        pass
    return got


class Watch:
    """A watch over bare HTTP/1.1: next() gives events, or None at its end."""

    def __init__(self, server, path, who='admin', timeout=10):
        self.conn = server.connect(who, timeout)
        self.conn.request('GET', path)
        self.reply = self.conn.getresponse()

    def next(self):
        try:
            line = self.reply.readline()
        except (OSError, http.client.HTTPException):
            return None
        return json.loads(line) if line else None

    def close(self):
        self.conn.close()


def config_map(name, ns='default', data=None, **meta):
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': name, 'namespace': ns, **meta},
            'data': data or {}}
