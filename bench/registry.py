#!/usr/bin/python3
"""bench/registry.py BUILD [--dir DIR] [--mb N]: push and pull of one blob against Debian's docker-registry, both over TLS with the
same client (curl), in turns; CPU time and memory of the servers. Prints one JSON object a figure, for bench/run."""
import argparse
import base64
import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time

ROUNDS = 3


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def memory_kib(pid, what):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(what + r":\s+(\d+)", f.read()).group(1))


def cpu_s(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def forget_peak(pid):
    with open("/proc/%d/clear_refs" % pid, "w") as f:
        f.write("5")


class Registry:
    def __init__(self, root, port, command, env=None):
        self.port, self.tls = port, []
        self.log = open(root + "/log-%d" % port, "w")
        self.proc = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=env)

    def curl(self, *words):
        r = subprocess.run(["curl", "-sS", "--fail-with-body", *self.tls, *words], capture_output=True, text=True)
        if r.returncode:
            sys.exit("curl %s: %s%s" % (" ".join(words), r.stdout, r.stderr))
        return r.stdout

    def url(self, path):
        return "https://127.0.0.1:%d%s" % (self.port, path)

    def wait(self, path):
        for _ in range(200):
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    if not path or subprocess.run(["curl", "-sf", *self.tls, self.url(path)], stdout=subprocess.DEVNULL).returncode == 0:
                        return
            except OSError:
                pass
            time.sleep(0.05)
        sys.exit("no registry on port %d" % self.port)

    def push(self, path, digest):
        head = self.curl("-X", "POST", "-D", "-", "-o", "/dev/null", self.url("/v2/default/bench/blobs/uploads/"))
        at = re.search(r"(?im)^location: (\S+)", head).group(1)
        at = at if at.startswith("https") else self.url(at)
        began = time.monotonic()
        self.curl("--http1.1", "-T", path, "-H", "Expect:", "-H", "Content-Type: application/octet-stream",
                  at + ("&" if "?" in at else "?") + "digest=" + digest)
        return time.monotonic() - began

    def pull(self, digest):
        began = time.monotonic()
        self.curl("--http1.1", "-o", "/dev/null", self.url("/v2/default/bench/blobs/" + digest))
        return time.monotonic() - began

    def stop(self):
        self.proc.terminate()
        self.proc.wait()


def sampan(root, build):
    port = free_port()
    s = Registry(root, port, [build + "/src/cli/sampan", "server", "--data-dir", root + "/sampan", "--listen", "127.0.0.1:%d" % port])
    s.wait(None)
    with open(root + "/sampan/admin.kubeconfig") as f:
        text = f.read()
    for name in ("certificate", "key"):
        with open(root + "/" + name, "wb") as f:
            f.write(base64.b64decode(re.search("client-%s-data: (\\S+)" % name, text).group(1)))
    s.tls = ["--cacert", root + "/sampan/ca.crt", "--cert", root + "/certificate", "--key", root + "/key"]
    s.wait("/api/v1/namespaces/default")
    return s


def docker(root):
    port = free_port()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-keyout", root + "/d.key", "-out", root + "/d.crt", "-subj", "/CN=d", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, capture_output=True)
    with open(root + "/docker.yml", "w") as f:
        f.write("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s/docker}}\n"
                "http: {addr: '127.0.0.1:%d', tls: {certificate: %s/d.crt, key: %s/d.key}}\n" % (root, port, root, root))
    s = Registry(root, port, ["docker-registry", "serve", root + "/docker.yml"])
    s.tls = ["--cacert", root + "/d.crt"]
    s.wait("/v2/")
    return s


def figure(name, value, unit, target, met, peer="", peer_value=0, ratio=0):
    print(json.dumps({"group": "second", "name": name, "value": value, "unit": unit, "target": target, "met": met, "peer": peer,
                      "peer_value": peer_value, "ratio": ratio}), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("build")
    p.add_argument("--dir", default=tempfile.gettempdir())
    p.add_argument("--mb", type=int, default=500)
    o = p.parse_args()
    root = tempfile.mkdtemp(prefix="sampan-bench-", dir=o.dir)
    servers = []
    try:
        ours = sampan(root, os.path.abspath(o.build))
        servers.append(ours)
        peer = docker(root) if shutil.which("docker-registry") else None
        servers += [peer] if peer else []
        idle = memory_kib(ours.proc.pid, "VmRSS")
        forget_peak(ours.proc.pid)
        best = {s: [1e9, 1e9] for s in servers}
        cpu = {s: cpu_s(s.proc.pid) for s in servers}
        for n in range(ROUNDS):  # each round another content, so that nobody has it already
            path = root + "/blob"
            sums = hashlib.sha256()
            with open(path, "wb") as f:
                for _ in range(o.mb):
                    piece = os.urandom(1 << 20)
                    sums.update(piece)
                    f.write(piece)
            digest = "sha256:" + sums.hexdigest()
            for s in servers if n % 2 == 0 else servers[::-1]:
                os.sync()
                best[s][0] = min(best[s][0], s.push(path, digest))
                best[s][1] = min(best[s][1], s.pull(digest))
        cpu = {s: cpu_s(s.proc.pid) - cpu[s] for s in servers}
        for i, what in enumerate(("push", "pull")):
            rate, theirs = o.mb / best[ours][i], o.mb / best[peer][i] if peer else 0
            ratio = rate / theirs if peer else 0
            figure("registry %s of %d MB" % (what, o.mb), rate, "MiB/s", ">= 1 x peer", bool(peer) and ratio >= 1, "docker-registry",
                   theirs, ratio)
        if peer:
            figure("registry CPU of %d pushes and pulls" % ROUNDS, cpu[ours], "s", None, True, "docker-registry", cpu[peer],
                   cpu[ours] / cpu[peer])
        more = (memory_kib(ours.proc.pid, "VmHWM") - idle) / 1024
        figure("registry memory above idle, peak", more, "MiB", "<= 8", more <= 8)
    finally:
        for s in servers:
            s.stop()
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
