"""What the end-to-end tests of the API share. They are run by ./check, or by hand:
SAMPAN_BIN=build /usr/bin/python3 -m pytest tests/e2e -k 'not cluster'

server   `sampan server` on a loopback port with a directory of its own, one a module; its exit code and log are judged too
kubectl  a function that runs kubectl against it; a test that takes it runs once for each version found on this machine
ns       an empty namespace of the test's own"""
import contextlib
import glob
import itertools
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

if os.environ.get('SAMPAN_BIN') and not os.environ.get('SAMPAN'):  # the build directory, or the one that holds the binary
    for path in (os.environ['SAMPAN_BIN'] + '/src/cli/sampan', os.environ['SAMPAN_BIN'] + '/sampan'):
        if os.access(path, os.X_OK):
            os.environ['SAMPAN'] = os.path.abspath(path)

from wire import Server, find_binary  # noqa: E402


def find_kubectls():
    """{version: path}: of build-clients/ (tools/fetch-clients), kubectl.VERSION beside kubectl and in PATH, else kubectl."""
    found = {}
    plain = shutil.which('kubectl')
    dirs = os.environ.get('PATH', '').split(':') + ([os.path.dirname(os.path.realpath(plain))] if plain else [])
    for path in [p for d in dirs for p in sorted(glob.glob(d + '/kubectl.1.*'))]:
        found[path.rpartition('kubectl.')[2]] = path
    # The oldest and the newest of a long row are enough.
    between = sorted(found, key=lambda v: int(v.split('.')[1]))[1:-1]
    found = {v: p for v, p in found.items() if v not in between}
    for path in glob.glob(ROOT + '/build-clients/*/kubectl'):
        found[os.path.basename(os.path.dirname(path))] = path
    return found or ({'any': plain} if plain else {})


def pytest_configure(config):
    config.addinivalue_line('markers', 'memory: bounds memory; strict on a binary without sanitizers (./check --long)')


KUBECTLS = find_kubectls()
NUMBERS = itertools.count(1)


class Kubectl:
    """kubectl('get', 'pods') gives what it printed, and fails with its error text; kubectl.fails(...) gives that text."""

    def __init__(self, version, path, server):
        self.path, self.server, self.ns = path, server, None
        self.minor = int(version.split('.')[1]) if version != 'any' else 20
        self.home = os.path.join(server.root, 'home-' + version)

    def command(self, *words):
        return [self.path] + (['--namespace', self.ns] if self.ns else []) + list(words)

    def environment(self):
        return dict(os.environ, KUBECONFIG=self.server.kubeconfig(), HOME=self.home)

    def run(self, *words, stdin=None, timeout=60, env=None):
        return subprocess.run(self.command(*words), input=stdin, env=dict(self.environment(), **(env or {})), text=True,
                              capture_output=True, timeout=timeout)

    def __call__(self, *words, **kw):
        r = self.run(*words, **kw)
        assert r.returncode == 0, f'{" ".join(words)}: {r.stderr}{r.stdout}'
        return r.stdout

    def fails(self, *words, **kw):
        r = self.run(*words, **kw)
        assert r.returncode != 0, f'{" ".join(words)} should fail: {r.stdout}'
        return r.stderr

    def start(self, *words):
        return subprocess.Popen(self.command(*words), env=self.environment(), text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)

    def table(self, *words):
        """Rows of `get` as dicts, by the names of the columns."""
        lines = self(*words).splitlines()
        starts = [m.start() for m in re.finditer(r'(?:^|(?<=   )|(?<=  ))\S', lines[0])]
        cut = list(zip(starts, starts[1:] + [None]))
        return [{lines[0][a:b].strip(): line[a:b].strip() for a, b in cut} for line in lines[1:]]


@contextlib.contextmanager
def served(*args):
    """A server with these options; its exit code and log are judged at the end."""
    if not find_binary():
        pytest.skip('no sampan binary: set SAMPAN_BIN')
    s = Server(args=list(args))
    try:
        yield s
        code = s.stop()
        log = s.log()
        assert 'Sanitizer' not in log and 'runtime error' not in log, log[-6000:]
        assert code == 0, log[-3000:]
    finally:
        s.remove()


@pytest.fixture(scope='module')
def server():
    with served() as s:
        yield s


@pytest.fixture
def ns(server, request):
    name = re.sub('[^a-z0-9]+', '-', request.node.name.lower().removeprefix('test_'))[:40].strip('-') + f'-{next(NUMBERS)}'
    r = server.post('/api/v1/namespaces', {'metadata': {'name': name}})
    assert r.code == 201, r
    eventually(lambda: server.get(f'/api/v1/namespaces/{name}/serviceaccounts/default').code == 200)  # pods want it
    yield name
    server.delete('/api/v1/namespaces/' + name)


@pytest.fixture(params=sorted(KUBECTLS, key=lambda v: [int(n) for n in v.split('.')] if v != 'any' else [0]) or
                [pytest.param('none', marks=pytest.mark.skip(reason='no kubectl on this machine'))])
def kubectl(request, server, ns):
    k = Kubectl(request.param, KUBECTLS[request.param], server)
    k.ns = ns
    return k


def eventually(check, timeout=10):
    """What check() gives, as soon as it is true."""
    end = time.time() + timeout
    while True:
        got = check()
        if got or time.time() > end:
            assert got, 'not in time'
            return got
        time.sleep(0.05)
