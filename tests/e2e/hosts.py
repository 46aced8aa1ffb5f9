"""Several hosts in one network: labs (tests/lab/run) whose devices end in a switch of their own, which leads nowhere else.

The switch is a bridge in a network namespace that nothing else lives in, so no host filters what others say to each other. A
link can be cut and joined; a host can be killed with all its processes."""
import os
import subprocess

from cluster import Cluster, Lab, eventually, find_sampan, images, is_ready, path_of

SERVER = '10.88.0.1'


class Switch:
    def __init__(self):
        self.proc = subprocess.Popen(['unshare', '--net', '--', 'sh', '-c', 'echo ready; exec sleep infinity'],
                                     stdout=subprocess.PIPE, text=True)
        assert self.proc.stdout.readline() == 'ready\n', 'no switch'
        self.run('ip', 'link', 'add', 'bridge0', 'type', 'bridge', 'stp_state', '0', 'forward_delay', '0')
        self.run('ip', 'link', 'set', 'bridge0', 'up')
        self.ports = {}

    def run(self, *argv):
        subprocess.run(['nsenter', '-t', str(self.proc.pid), '-n', '--'] + list(argv), check=True, capture_output=True)

    def plug(self, lab):
        """The far end of the lab's device comes here."""
        port = f'port{len(self.ports)}'
        subprocess.run(['nsenter', '-t', str(lab.pid), '-n', '--', 'ip', 'link', 'set', 'wire0', 'netns', str(self.proc.pid),
                        'name', port], check=True, capture_output=True)
        self.run('ip', 'link', 'set', port, 'master', 'bridge0', 'up')
        self.ports[lab] = port

    def cut(self, lab):
        self.run('ip', 'link', 'set', self.ports[lab], 'down')

    def join(self, lab):
        self.run('ip', 'link', 'set', self.ports[lab], 'up')

    def stop(self):
        self.proc.kill()
        self.proc.wait()


class Host:
    """A machine that is to be a node: its lab, and an agent that can be started and ended."""

    def __init__(self, switch, name, address):
        self.name, self.address, self.sampan = name, address, find_sampan()
        self.lab, self.agent = Lab(name, address), None
        self.lab.run('ip', 'route', 'add', 'default', 'dev', 'host0')
        switch.plug(self.lab)
        for tar in images():
            self.lab.run(self.sampan, 'image', 'import', tar)

    def log_path(self):
        return os.path.join(self.lab.dir, 'agent.log')

    def log(self):
        with open(self.log_path()) as f:
            return f.read()

    def start(self, *argv):
        with open(self.log_path(), 'a') as log:
            self.agent = self.lab.start(self.sampan, 'agent', '--cgroup-parent', self.lab.parent, *argv, stdout=log,
                                        stderr=log)

    def end(self, timeout=20):
        self.agent.terminate()
        code = self.agent.wait(timeout)  # nsenter's; the agent itself may take a moment longer
        eventually(lambda: not any(f'{self.sampan} agent' in args for args in self.lab.processes().values()), timeout)
        return code

    def stop(self):
        if self.agent and self.agent.poll() is None:
            self.end()
        self.lab.stop()


class Two:
    """A cluster on one host, and a second host that has joined it as n2."""

    def __init__(self):
        self.switch, self.hosts = Switch(), []
        self.cluster = Cluster(before_up=lambda c: self.switch.plug(c.lab))
        self.second = self.host('n2', '10.88.0.2')
        self.second.start(*self.join_words())
        self.node_is_ready('n2')

    def host(self, name, address):
        h = Host(self.switch, name, address)
        self.hosts.append(h)
        return h

    def join_words(self):
        """What `sampan token create` says to type, without `sampan agent`."""
        words = self.cluster.lab.run(self.cluster.sampan, 'token', 'create').stdout.split()
        assert words[:2] == ['sampan', 'agent'], words
        return words[2:]

    def node(self, name):
        return self.cluster.api.call('GET', path_of('nodes', name=name))

    def node_is_ready(self, name, timeout=30):
        def look():
            code, _ = self.cluster.api.request('GET', path_of('nodes', name=name))
            return code == 200 and is_ready(self.node(name))
        eventually(look, timeout, lambda: f'node {name} is not Ready\n' + ''.join(h.log()[-3000:] for h in self.hosts))

    def stop(self):
        try:
            for h in self.hosts:
                h.stop()
            self.cluster.stop()
        finally:
            self.switch.stop()
