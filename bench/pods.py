#!/usr/bin/python3
"""Figures of a whole node, measured in the lab (bench/run starts it there): tests/lab/run bench/pods.py BUILD [--idle SECONDS]

Prints one JSON object a line. Time to Running is from sending the POST to a watcher's event. Peers run beside it: crun and podman,
where installed. Nothing but the standard library."""
import argparse
import base64
import concurrent.futures
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
IMAGE = "sampan.dev/shop:v1"
PODS = "/api/v1/namespaces/default/pods"


def figure(name, value, unit, target, met, peer=None, peer_value=None):
    ratio = round(peer_value / value, 2) if peer_value and value else None
    print(json.dumps({"group": "cluster", "name": name, "value": round(value, 3), "unit": unit, "target": target, "peer": peer,
                      "peer_value": peer_value and round(peer_value, 3), "ratio": ratio, "met": bool(met)}), flush=True)


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


class Cluster:
    def __init__(self, build):
        self.sampan = os.path.join(build, "src/cli/sampan")
        self.parent = os.environ["SAMPAN_CGROUP_PARENT"]
        self.work = tempfile.mkdtemp()
        shop, tar = self.work + "/shop", self.work + "/shop.tar"
        subprocess.check_call(["musl-gcc", "-static", "-O2", "-D_GNU_SOURCE", "-o", shop, ROOT + "/examples/shop/shop.c"])
        subprocess.check_call([ROOT + "/examples/shop/pack.py", tar, IMAGE, "/shop", shop + "=/shop"])
        self.shop = shop
        begun = time.time()
        subprocess.check_call([self.sampan, "up", "--background", "--cgroup-parent", self.parent], stdout=subprocess.DEVNULL)
        self.up_s = time.time() - begun
        subprocess.check_call([self.sampan, "image", "import", tar], stdout=subprocess.DEVNULL)
        self.kubeconfig = "/var/lib/sampan/server/admin.kubeconfig"
        text = open(self.kubeconfig).read()
        pem = b"".join(base64.b64decode(re.search(key + r"-data: (\S+)", text).group(1)) for key in ("client-certificate", "client-key"))
        with open(self.work + "/admin.pem", "wb") as f:
            f.write(pem)
        self.tls = ssl.create_default_context(cadata=base64.b64decode(re.search(r"authority-data: (\S+)", text).group(1)).decode())
        self.tls.load_cert_chain(self.work + "/admin.pem")

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", 6443, context=self.tls, timeout=120)

    def call(self, connection, method, path, body=None):
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        data = reply.read()
        if reply.status >= 300:
            raise RuntimeError(f"{method} {path}: {reply.status} {data[:300]}")
        return json.loads(data)

    def down(self):
        subprocess.call([self.sampan, "down", "--purge", "--cgroup-parent", self.parent], stdout=subprocess.DEVNULL)
        shutil.rmtree(self.work, ignore_errors=True)


def pod(name):
    container = {"name": "c", "image": IMAGE, "imagePullPolicy": "Never", "args": ["web"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"bench": "pods"}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}


class Watcher(threading.Thread):
    """Notes when each pod is first seen Running."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.seen, self.changed = {}, threading.Condition()
        self.connection = cluster.connect()
        self.connection.request("GET", PODS + "?watch=1")
        self.reply = self.connection.getresponse()
        self.start()

    def run(self):
        for line in self.lines():
            event = json.loads(line)
            name, phase = event["object"]["metadata"]["name"], event["object"].get("status", {}).get("phase")
            if phase == "Running" and name not in self.seen:
                with self.changed:
                    self.seen[name] = time.time()
                    self.changed.notify_all()

    def lines(self):
        try:
            yield from self.reply
        except OSError: # closed by us, or idle for longer than the connection's patience
            return

    def wait(self, name, seconds=30):
        with self.changed:
            if not self.changed.wait_for(lambda: name in self.seen, seconds):
                raise RuntimeError(name + " does not run")
        return self.seen[name]


def delete_all(cluster):
    connection = cluster.connect()
    cluster.call(connection, "DELETE", PODS + "?labelSelector=bench%3Dpods&gracePeriodSeconds=0")
    end = time.time() + 60
    while cluster.call(connection, "GET", PODS + "?labelSelector=bench%3Dpods")["items"]:
        if time.time() > end:
            raise RuntimeError("pods do not go")
        time.sleep(0.05)


def one_by_one(cluster, watcher, count):
    connection, took = cluster.connect(), []
    for i in range(count):
        begun = time.time()
        cluster.call(connection, "POST", PODS, pod(f"one-{i}"))
        took.append((watcher.wait(f"one-{i}") - begun) * 1000)
    delete_all(cluster)
    return took


def kept_up(cluster, watcher, rate, seconds):
    """rate pods a second for some seconds, each deleted a second after it ran: do they all run, and how soon?"""
    took = []
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        local = threading.local()

        def run(i):
            if not hasattr(local, "connection"):
                local.connection = cluster.connect()
            begun = time.time()
            cluster.call(local.connection, "POST", PODS, pod(f"many-{i}"))
            took.append((watcher.wait(f"many-{i}", 60) - begun) * 1000)
            cluster.call(local.connection, "DELETE", f"{PODS}/many-{i}?gracePeriodSeconds=0")

        begun, jobs = time.time(), []
        for i in range(rate * seconds):
            time.sleep(max(0, begun + i / rate - time.time()))
            jobs.append(pool.submit(run, i))
        for job in jobs:
            job.result()
    delete_all(cluster)
    return len(took) / (time.time() - begun), took


def apply_deployment(cluster, watcher):
    """kubectl apply of a one-container Deployment to its container Running, less what kubectl itself takes for a dry run of it."""
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bench"},
                "spec": {"selector": {"matchLabels": {"bench": "pods"}}, "template": {"metadata": {"labels": {"bench": "pods"}}, "spec": pod("x")["spec"]}}}
    path = cluster.work + "/deployment.json"
    with open(path, "w") as f:
        json.dump(manifest, f)
    kubectl = ["kubectl", "--kubeconfig", cluster.kubeconfig]
    own = []
    for _ in range(3):
        begun = time.time()
        subprocess.check_call(kubectl + ["apply", "--dry-run=server", "-f", path], stdout=subprocess.DEVNULL)
        own.append(time.time() - begun)
    begun, known = time.time(), set(watcher.seen)
    subprocess.check_call(kubectl + ["apply", "-f", path], stdout=subprocess.DEVNULL)
    with watcher.changed:
        watcher.changed.wait_for(lambda: set(watcher.seen) - known, 30)
    first = min(watcher.seen[name] for name in set(watcher.seen) - known)
    subprocess.check_call(kubectl + ["delete", "-f", path, "--wait=true"], stdout=subprocess.DEVNULL)
    return (first - begun - min(own)) * 1000


def peers(cluster):
    bundle = cluster.work + "/bundle"
    os.makedirs(bundle + "/rootfs")
    shutil.copy(cluster.shop, bundle + "/rootfs/shop")
    subprocess.check_call(["crun", "spec"], cwd=bundle)
    spec = json.load(open(bundle + "/config.json"))
    spec["process"].update(args=["/shop"], terminal=False)
    json.dump(spec, open(bundle + "/config.json", "w"))
    script = "mount --make-rprivate / && (umount /sys/fs/cgroup/unified 2>/dev/null || true) && exec crun --cgroup-manager=disabled run -b {} {}"

    def median(command, count=10):
        took = []
        for i in range(count):
            begun = time.time()
            subprocess.call(command(i), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            took.append((time.time() - begun) * 1000)
        return percentile(took, 0.5)

    crun = median(lambda i: ["unshare", "-m", "sh", "-c", script.format(bundle, f"peer-{i}")])
    podman = None
    if shutil.which("podman"):
        subprocess.call(["podman", "--root", cluster.work + "/podman", "load", "-q", "-i", cluster.work + "/shop.tar"], stdout=subprocess.DEVNULL)
        podman = median(lambda i: ["podman", "--root", cluster.work + "/podman", "run", "--rm", "--network=none", "--cgroups=disabled", IMAGE], 5)
    return crun, podman


def processes(cluster):
    """pid -> (what, rss kB, anonymous kB, cpu ticks, bytes written) of server, agent and helpers."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline").read().split("\0")
            if not words[0].endswith(("sampan", "sampan-net")) or len(words) < 2:
                continue
            status, stat = open(f"/proc/{pid}/status").read(), open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            number = {k: int(re.search(k + r":\s+(\d+)", status).group(1)) for k in ("VmRSS", "RssAnon", "PPid")}
            written = int(re.search(r"\nwrite_bytes: (\d+)", open(f"/proc/{pid}/io").read()).group(1))
            found[int(pid)] = {"what": words[1], "rss": number["VmRSS"], "anon": number["RssAnon"], "parent": number["PPid"],
                               "ticks": int(stat[11]) + int(stat[12]), "written": written}
        except (OSError, AttributeError, IndexError):
            continue
    return found


def idle(cluster, watcher, seconds):
    connection = cluster.connect()
    for i in range(10):
        cluster.call(connection, "POST", PODS, pod(f"idle-{i}"))
    for i in range(10):
        watcher.wait(f"idle-{i}")
    watcher.connection.sock.close()
    connection.close()
    time.sleep(10)
    before = processes(cluster)
    time.sleep(seconds)
    after = processes(cluster)
    server = [p for p in after.values() if p["what"] == "server"]
    agents = {pid: p for pid, p in after.items() if p["what"] == "agent"}
    main = [p for p in agents.values() if p["parent"] not in agents]
    ticks = sum(p["ticks"] - before[pid]["ticks"] for pid, p in after.items() if pid in before)
    written = sum(p["written"] - before[pid]["written"] for pid, p in after.items() if pid in before)
    cpu = ticks / os.sysconf("SC_CLK_TCK") / seconds * 100
    figure("idle_server_rss", server[0]["rss"] / 1024, "MB", "<=14", server[0]["rss"] <= 14 * 1024)
    figure("idle_server_anon", server[0]["anon"] / 1024, "MB", "<=5", server[0]["anon"] <= 5 * 1024)
    figure("idle_agent_rss", main[0]["rss"] / 1024, "MB", "<=12", main[0]["rss"] <= 12 * 1024)
    anon = sum(p["anon"] for p in agents.values())
    figure("idle_agent_anon_all", anon / 1024, "MB", "<=6", anon <= 6 * 1024)
    figure(f"idle_cpu_10_pods_{seconds}s", cpu, "% of a core", "<=0.5", cpu <= 0.5)
    budget = 200e3 * seconds / 300
    figure(f"idle_written_10_pods_{seconds}s", written / 1000, "kB", f"<={budget / 1000:.0f}", written <= budget)
    delete_all(cluster)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("build")
    options.add_argument("--idle", type=int, default=300)
    a = options.parse_args()
    cluster = Cluster(a.build)
    try:
        watcher = Watcher(cluster)
        idle(cluster, watcher, a.idle)
        watcher = Watcher(cluster)
        crun, podman = peers(cluster)
        took = one_by_one(cluster, watcher, 100)
        figure("pod_create_to_running_p50", percentile(took, 0.5), "ms", "<=60", percentile(took, 0.5) <= 60, "crun run", crun)
        figure("pod_create_to_running_p99", percentile(took, 0.99), "ms", "<=150", percentile(took, 0.99) <= 150, "podman run", podman)
        rate, took = kept_up(cluster, watcher, 30, 10)
        figure("pods_30_a_second_kept_up", rate, "pods/s", ">=29", rate >= 29)
        figure("pods_30_a_second_p99", percentile(took, 0.99), "ms", "<=150", percentile(took, 0.99) <= 150)
        took = sorted(apply_deployment(cluster, watcher) for _ in range(5))
        figure("apply_deployment_to_running", took[2], "ms over kubectl", "<=150", took[2] <= 150)
        figure("up_to_ready", cluster.up_s * 1000, "ms", "", True)
    finally:
        cluster.down()


if __name__ == "__main__":
    main()
