"""A real one-node cluster in a lab (tests/lab/run) for tests that run containers.

Lab      namespaces that live as long as this process holds a pipe; commands run in them by nsenter, sockets are made in
         their network by setns, files are seen through /proc/PID/root. Nothing of a test reaches the machine's network.
Cluster  `sampan up` inside a lab, its API over bare TLS, kubectl, and images packed offline from busybox and the shop.

$SAMPAN_BIN names the directory that holds the binary; else the newest build beside the sources is taken."""
import base64
import contextlib
import ctypes
import glob
import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse

import pytest

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
KUBECONFIG = '/var/lib/sampan/server/admin.kubeconfig'
BUSYBOX, SHOP = 'test/busybox:1', 'sampan.dev/shop:v1'
CLONE_NEWNET = 0x40000000
GROUPS = {'pods': '', 'services': '', 'configmaps': '', 'secrets': '', 'nodes': '', 'namespaces': '', 'events': '',
          'endpoints': '', 'serviceaccounts': '', 'deployments': 'apps', 'replicasets': 'apps', 'jobs': 'batch',
          'cronjobs': 'batch', 'endpointslices': 'discovery.k8s.io', 'leases': 'coordination.k8s.io'}
KINDS = {'Pod': 'pods', 'Service': 'services', 'ConfigMap': 'configmaps', 'Secret': 'secrets', 'Namespace': 'namespaces',
         'Deployment': 'deployments', 'ReplicaSet': 'replicasets', 'Job': 'jobs', 'ServiceAccount': 'serviceaccounts'}


def find_sampan():
    where = os.environ.get('SAMPAN_BIN')
    if where:
        found = [p for p in (where + '/sampan', where + '/src/cli/sampan') if os.access(p, os.X_OK)]
    else:
        found = [p for p in glob.glob(ROOT + '/build*/src/cli/sampan') if os.access(p, os.X_OK)]
    if not found:
        pytest.skip('no sampan binary: set SAMPAN_BIN')
    return os.path.realpath(max(found, key=os.path.getmtime))


def find_tool(name):
    """kubectl or helm: those in build-clients/ first, then PATH; None: there is none."""
    found = sorted(p for p in glob.glob(f'{ROOT}/build-clients/**/{name}', recursive=True)
                   if os.path.isfile(p) and os.access(p, os.X_OK))
    return found[-1] if found else shutil.which(name)


def need(*tools):
    """Skip where a program isn't installed."""
    missing = [t for t in tools if not shutil.which(t)]
    if missing:
        pytest.skip('not installed: ' + ', '.join(missing))


class Lab:
    def __init__(self, host='lab', address='10.88.0.1'):
        if os.geteuid() != 0:
            pytest.skip('needs root, to make namespaces')
        need('crun', 'conmon', 'nsenter')
        self.dir = tempfile.mkdtemp(prefix='sampan-lab-')
        os.chmod(self.dir, 0o777)
        # Not by stdin, which is /dev/null for what the lab starts. The end of this process closes it, however it comes.
        end, self.hold = os.pipe()
        self.proc = subprocess.Popen([ROOT + '/tests/lab/run', 'bash', '-c', f'echo ready; cat <&{end}'], pass_fds=[end],
                                     env=dict(os.environ, SAMPAN_LAB_HOST=host, SAMPAN_LAB_ADDRESS=address),
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        os.close(end)
        assert self.proc.stdout.readline() == 'ready\n', 'the lab does not start'
        self.parent = f'sampan-lab-{self.proc.pid}'
        self.pid = self.find_init()
        self.enter = ['nsenter', '-t', str(self.pid), '-m', '-n', '-p', '-u', '-i', '--']

    def find_init(self):
        """Process 1 of the lab, by the pid it has out here."""
        for below in children(self.proc.pid):
            for pid in [below] + children(below):
                with open(f'/proc/{pid}/status') as f:
                    ids = [line.split()[1:] for line in f if line.startswith('NSpid')][0]
                if len(ids) > 1 and ids[-1] == '1':
                    return pid
        raise AssertionError('the lab has no first process')

    def environment(self):
        return dict(os.environ, SAMPAN_CGROUP_PARENT=self.parent, KUBECONFIG=KUBECONFIG, HOME='/run', **sanitizers(self.dir))

    def run(self, *argv, check=True, timeout=60, input=None, text=True):
        done = subprocess.run(self.enter + list(argv), capture_output=True, text=text, timeout=timeout,
                              input=input if input is not None else ('' if text else b''), env=self.environment())
        assert not check or done.returncode == 0, f'{argv} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}'
        return done

    def start(self, *argv, **kw):
        """A process that goes on. The caller ends it, which ends nsenter and by that the process; the lab's end does too."""
        kw.setdefault('stdin', subprocess.DEVNULL)
        return subprocess.Popen(self.enter + ['setpriv', '--pdeathsig', 'TERM'] + list(argv), env=self.environment(), **kw)

    def path(self, inside):
        return f'/proc/{self.pid}/root{inside}'

    def read(self, inside):
        with open(self.path(inside)) as f:
            return f.read()

    @contextlib.contextmanager
    def network(self):
        libc = ctypes.CDLL(None, use_errno=True)
        with open('/proc/thread-self/ns/net') as here, open(f'/proc/{self.pid}/ns/net') as there:
            assert libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                assert libc.setns(here.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    def connect(self, host, port, timeout=30, source=None):
        with self.network():
            return socket.create_connection((host, port), timeout=timeout, source_address=(source, 0) if source else None)

    def udp(self, host, port, text, timeout=1):
        """The answer to a datagram; None: there was none in time."""
        with self.network():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with s:
            s.settimeout(timeout)
            try:
                s.sendto(text, (host, port))
                return s.recv(65536)
            except OSError:
                return None

    def http(self, host, port, path='/', timeout=5, source=None):
        """(code, body) of a GET; raises OSError as the socket does."""
        c = http.client.HTTPConnection(host, port, timeout=timeout)
        c.sock = self.connect(host, port, timeout, source)
        try:
            c.request('GET', path, headers={'Connection': 'close'})
            r = c.getresponse()
            return r.status, r.read().decode()
        except http.client.HTTPException as e:
            raise OSError(f'cut: {e!r}') from e
        finally:
            c.close()

    def processes(self):
        """{pid inside: command line} of everything in the lab."""
        found = {}
        for line in self.run('ps', '-eo', 'pid,args').stdout.splitlines()[1:]:
            pid, args = line.split(None, 1)
            found[int(pid)] = args
        return found

    def stop(self):
        os.close(self.hold)
        try:
            self.proc.wait(30)
        except subprocess.TimeoutExpired:
            self.proc.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def children(pid):
    with open(f'/proc/{pid}/task/{pid}/children') as f:
        return [int(p) for p in f.read().split()]


def sanitizers(log_dir):
    """Reports go to files, so that a test run can look whether there are any."""
    common = f'log_path={log_dir}/report:print_stacktrace=1'
    return {'ASAN_OPTIONS': common + ':detect_leaks=0:disable_coredump=1', 'UBSAN_OPTIONS': common + ':halt_on_error=0'}


def parse(body):
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors='replace')


class Api:
    """The cluster's API by one kept connection."""

    def __init__(self, lab):
        self.lab, self.conn = lab, None
        config = lab.run('cat', KUBECONFIG).stdout
        # The file is ours and flat: every wanted value stands on a line of its own.
        value = {k.strip(): v.strip().strip('"') for k, _, v in (line.partition(':') for line in config.splitlines())}
        self.host, self.port = '127.0.0.1', int(value['server'].rsplit(':', 1)[1])
        self.tls = ssl.create_default_context(cadata=decode(value['certificate-authority-data']).decode())
        pair = os.path.join(lab.dir, 'client.pem')
        with open(pair, 'wb') as f:
            f.write(decode(value['client-certificate-data']) + b'\n' + decode(value['client-key-data']))
        self.tls.load_cert_chain(pair)

    def connect(self):
        self.conn = http.client.HTTPSConnection(self.host, self.port, timeout=30)
        self.conn.sock = self.tls.wrap_socket(self.lab.connect(self.host, self.port), server_hostname=self.host)

    def request(self, method, path, body=None, content_type='application/json'):
        data = json.dumps(body) if body is not None else None
        for last in (False, True):
            try:
                if not self.conn:
                    self.connect()
                self.conn.request(method, path, data, {'Content-Type': content_type} if data else {})
                r = self.conn.getresponse()
                return r.status, parse(r.read())
            except (http.client.HTTPException, OSError):
                self.conn = None
                if last:
                    raise

    def call(self, *args, **kw):
        code, answer = self.request(*args, **kw)
        assert code < 300, f'{args[0]} {args[1]}: {code} {answer}'
        return answer


def decode(text):
    return base64.b64decode(text)


def path_of(resource, ns=None, name=None, sub=None):
    group = GROUPS[resource]
    parts = [f'/apis/{group}/v1' if group else '/api/v1']
    parts += ['namespaces', ns] if ns else []
    parts += [resource] + ([name] if name else []) + ([sub] if sub else [])
    return '/'.join(parts)


class Namespace:
    """What a test does, within a namespace of its own."""

    def __init__(self, cluster, name):
        self.cluster, self.name, self.api, self.lab = cluster, name, cluster.api, cluster.lab

    def create(self, *objects):
        made = [self.api.call('POST', path_of(KINDS[o['kind']], self.name), o) for o in objects]
        return made[0] if len(made) == 1 else made

    def get(self, resource, name=None, selector=None):
        path = path_of(resource, self.name, name) + ('?labelSelector=' + urllib.parse.quote(selector) if selector else '')
        return self.api.call('GET', path)

    def items(self, resource, selector=None):
        return self.get(resource, selector=selector)['items']

    def exists(self, resource, name):
        return self.api.request('GET', path_of(resource, self.name, name))[0] != 404

    def patch(self, resource, name, body, sub=None, kind='merge'):
        return self.api.call('PATCH', path_of(resource, self.name, name, sub), body, f'application/{kind}-patch+json')

    def delete(self, resource, name, **options):
        return self.api.call('DELETE', path_of(resource, self.name, name), options or None)

    def events(self, name=None):
        return [(e['reason'], e.get('message', '')) for e in self.items('events')
                if not name or e['involvedObject'].get('name') == name]

    def wait(self, resource, name, want, timeout=30):
        """The object as soon as want(object) holds; the last one seen is in the failure."""
        seen = {}

        def look():
            code, seen['last'] = self.api.request('GET', path_of(resource, self.name, name))
            return seen['last'] if code == 200 and want(seen['last']) else None
        return eventually(look, timeout, lambda: f'{resource}/{name}: {json.dumps(seen["last"].get("status"))}\n'
                          f'events: {self.events(name)}')

    def gone(self, resource, name, timeout=30):
        eventually(lambda: not self.exists(resource, name), timeout, lambda: f'{resource}/{name} is still there: '
                   f'{self.api.request("GET", path_of(resource, self.name, name))[1]}')

    def pod(self, name, *containers, **spec):
        labels = spec.pop('labels', None) or {'app': name}
        spec.setdefault('terminationGracePeriodSeconds', 1)
        return self.create({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name, 'labels': labels},
                            'spec': dict(spec, containers=list(containers))})

    def phase(self, name, phase, timeout=30):
        return self.wait('pods', name, lambda p: p.get('status', {}).get('phase') == phase, timeout)

    def ready(self, name, timeout=30):
        return self.wait('pods', name, is_ready, timeout)

    def run(self, name, script, timeout=30, **more):
        """Run a pod of one container to its end; its log."""
        spec = more.pop('spec', {})
        self.pod(name, shell(script, **more), **dict({'restartPolicy': 'Never'}, **spec))
        self.wait('pods', name, lambda p: p.get('status', {}).get('phase') in ('Succeeded', 'Failed'), timeout)
        return self.log(name)

    def log(self, name, container=None):
        """The log as the node keeps it: the newest file of the container, without the CRI prefix."""
        uid = self.get('pods', name)['metadata']['uid']
        where = self.lab.path(f'/var/log/pods/{self.name}_{name}_{uid}')
        files = sorted(glob.glob(f'{where}/{container or "*"}/*.log'), key=os.path.getmtime)
        text = ''
        if files:
            with open(files[-1]) as f:
                for line in f:
                    _, _, tag, rest = line.split(' ', 3)
                    text += rest if tag == 'F' else rest[:-1]
        return text

    def kubectl(self, *argv, **kw):
        return self.cluster.kubectl('-n', self.name, *argv, **kw)

    def container_pid(self, name, container=None):
        """The lab's pid of a container's first process."""
        status = [c for c in self.get('pods', name)['status']['containerStatuses'] if container in (None, c['name'])][0]
        return self.cluster.pid_of(status['containerID'].split('//')[1])


def shell(script, name='c', image=BUSYBOX, **more):
    """A container that runs a shell script."""
    return dict({'name': name, 'image': image, 'imagePullPolicy': 'Never', 'command': ['/bin/sh', '-c', script]}, **more)


SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def is_ready(obj):
    return any(c['type'] == 'Ready' and c['status'] == 'True' for c in obj.get('status', {}).get('conditions', []))


def container_of(pod, name=None, kind='containerStatuses'):
    found = [c for c in pod.get('status', {}).get(kind, []) if name in (None, c['name'])]
    return found[0] if found else {'state': {}, 'lastState': {}, 'restartCount': 0, 'ready': False}


def state_of(pod, name=None, kind='containerStatuses'):
    """('running'|'waiting'|'terminated'|'', its details)"""
    state = container_of(pod, name, kind).get('state') or {}
    return next(iter(state.items()), ('', {}))


def eventually(look, timeout=30, why=lambda: 'not in time'):
    """Wait until look() is true; its value."""
    end = time.monotonic() + timeout
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(why())
        time.sleep(0.05)


class Cluster:
    def __init__(self, before_up=None):
        self.sampan = find_sampan()
        self.lab = Lab()
        self.count = 0
        try:
            self.import_images()
            if before_up:
                before_up(self)
            self.up()
        except BaseException:
            self.lab.stop()
            raise

    def import_images(self):
        for tar in images():
            self.lab.run(self.sampan, 'image', 'import', tar)

    def up(self):
        done = self.lab.run(self.sampan, 'up', '--background', '--cgroup-parent', self.lab.parent, check=False, timeout=90)
        assert done.returncode == 0, f'{done.stdout}{done.stderr}\n{self.log()}'
        self.api = Api(self.lab)
        self.node = self.api.call('GET', path_of('nodes'))['items'][0]['metadata']['name']
        eventually(lambda: is_ready(self.api.call('GET', path_of('nodes', name=self.node))), 30, lambda: 'the node is not Ready')

    def log(self):
        try:
            return self.lab.read('/run/sampan/up.log')[-4000:]
        except OSError:
            return ''

    def down(self, *more):
        return self.lab.run(self.sampan, 'down', '--cgroup-parent', self.lab.parent, *more, timeout=60)

    def kubectl(self, *argv, check=True, **kw):
        tool = find_tool('kubectl')
        if not tool:
            pytest.skip('no kubectl')
        return self.lab.run(tool, *argv, check=check, **kw)

    def namespace(self, prefix='t'):
        self.count += 1
        name = f'{prefix}-{self.count}'
        self.api.call('POST', path_of('namespaces'),
                      {'apiVersion': 'v1', 'kind': 'Namespace', 'metadata': {'name': name}})
        ns = Namespace(self, name)
        eventually(lambda: ns.exists('serviceaccounts', 'default'), 10, lambda: 'no service account')
        return ns

    def remove_namespace(self, ns, wait=False):
        self.api.request('DELETE', path_of('namespaces', name=ns.name))
        if wait:
            eventually(lambda: self.api.request('GET', path_of('namespaces', name=ns.name))[0] == 404, 60,
                       lambda: f'{self.api.request("GET", path_of("namespaces", name=ns.name))}')

    def find(self, what):
        """The lab's pid of the server or the agent, the child of `sampan up`, not one of its own; None: it is down just now."""
        rows = [line.split(None, 2) for line in self.lab.run('ps', '-eo', 'pid,ppid,args').stdout.splitlines()[1:]]
        parents = {pid for pid, _, args in rows if args.split()[:2] in ([self.sampan, 'up'], ['sampan', 'up'])}
        for pid, ppid, args in rows:
            if args.startswith(f'sampan {what} ') and ppid in parents:
                return int(pid)
        return None

    def process(self, what):
        pid = self.find(what)
        assert pid, f'no {what} is running'
        return pid

    def kill(self, pid, number=signal.SIGKILL):
        """Gone already is as good."""
        self.lab.run('kill', f'-{int(number)}', str(pid), check=False)

    def pid_of(self, container_id):
        for pid, args in self.lab.processes().items():
            if 'conmon' in args.split()[0] and container_id in args:
                below = self.lab.run('ps', '-o', 'pid=', '--ppid', str(pid)).stdout.split()
                return int(below[0])
        raise AssertionError(f'no process of container {container_id}: {self.lab.processes()}')

    def reports(self):
        """What the sanitizers had to say."""
        text = ''
        for name in glob.glob(self.lab.dir + '/report*'):
            with open(name) as f:
                text += f.read()
        return text

    def stop(self):
        try:
            self.down('--purge')
            assert not self.reports(), self.reports()
        finally:
            self.lab.stop()


_images = []


def packer():
    spec = importlib.util.spec_from_file_location('pack', ROOT + '/examples/shop/pack.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def busybox_entries():
    """Busybox with its applets, and the few files that programs expect."""
    need('busybox')
    binary = shutil.which('busybox')
    applets = subprocess.run([binary, '--list'], capture_output=True, text=True, check=True).stdout.split()
    return [(binary, '/bin/busybox'), ('', '/tmp')] + [('->/bin/busybox', '/bin/' + a) for a in applets if a != 'busybox']


def images():
    """Archives of busybox (with /bin/tool, see image/tool.c) and of the shop, packed once a run; or, where packing is slow,
    those in $SAMPAN_TEST_IMAGES."""
    ready = sorted(glob.glob(os.environ.get('SAMPAN_TEST_IMAGES', '/nowhere') + '/*.tar'))
    if not _images and ready:
        _images.extend(ready)
    if not _images:
        need('musl-gcc')
        where = tempfile.mkdtemp(prefix='sampan-images-')
        for name, source in (('shop', 'examples/shop/shop.c'), ('tool', 'tests/e2e/image/tool.c')):
            subprocess.run(['musl-gcc', '-static', '-O2', '-D_GNU_SOURCE', '-o', f'{where}/{name}', f'{ROOT}/{source}'], check=True)
        packer().pack(where + '/busybox.tar', BUSYBOX, None, busybox_entries() + [(where + '/tool', '/bin/tool')])
        packer().pack(where + '/shop.tar', SHOP, ['/shop'], [(where + '/shop', '/shop'), ('', '/tmp')])
        _images.extend([where + '/busybox.tar', where + '/shop.tar'])
        import atexit
        atexit.register(shutil.rmtree, where, ignore_errors=True)
    return _images


@pytest.fixture(scope='module')
def cluster():
    c = Cluster()
    try:
        yield c
    finally:
        c.stop()


@pytest.fixture
def ns(cluster):
    n = cluster.namespace()
    yield n
    cluster.remove_namespace(n)
