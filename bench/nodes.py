#!/usr/bin/python3
"""Figures of a cluster of several hosts (bench/run runs it): bench/nodes.py BUILD [--rounds N] [--cycles N]

Prints one JSON object a line, group `second`. The hosts are those of tests/e2e/hosts.py: labs whose devices end in one switch."""
import argparse
import json
import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT + "/tests/e2e")


def figure(name, value, unit, target, met):
    print(json.dumps({"group": "second", "name": name, "value": round(value, 3), "unit": unit, "target": target, "peer": None,
                      "peer_value": None, "ratio": None, "met": bool(met)}), flush=True)


def is_ready(obj):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in obj.get("status", {}).get("conditions", []))


def until(look, seconds):
    end = time.monotonic() + seconds
    while not look():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


def join(two, host, words, name):
    """Seconds from starting the agent to the Node's Ready, seen by a client that asks every 10 ms."""
    from cluster import path_of
    begun = time.monotonic()
    host.start("--node-name", name, *words)

    def look():
        code, node = two.cluster.api.request("GET", path_of("nodes", name=name))
        return code == 200 and is_ready(node if isinstance(node, dict) else json.loads(node))
    until(look, 30)
    return time.monotonic() - begun


def traces(lab):
    """What pods leave on a machine when they leave something."""
    def lines(*argv):
        return len(lab.run(*argv, check=False).stdout.splitlines())
    return {"mounts": lines("cat", "/proc/self/mounts"), "links": lines("ip", "-o", "link"), "routes": lines("ip", "route"),
            "namespaces": lines("lsns", "-n"), "rules": lines("nft", "list", "ruleset"), "processes": lines("ps", "-e"),
            "cgroups": lines("sh", "-c", f"find /sys/fs/cgroup/*/{lab.parent} -type d"),
            "files": lines("sh", "-c", "find /run/sampan /var/lib/kubelet /var/log -xdev; "
                                       "find /var/lib/sampan/agent -xdev -not -path '*/images/*'")}


def settled(lab, before):
    """Pods that are gone from the API are taken apart by and by: what is left when that has come to its end."""
    last = traces(lab)
    for _ in range(30):
        time.sleep(1)
        now = traces(lab)
        if now == last and (not before or all(now[k] <= before[k] for k in now)):
            break
        last = now
    return last


def cycle(cluster, ns):
    from cluster import BUSYBOX, path_of
    names = [f"p{i}" for i in range(10)]
    for n in names:
        ns.pod(n, {"name": "c", "image": BUSYBOX, "command": ["sleep", "1000"]}, terminationGracePeriodSeconds=0)
    for n in names:
        ns.phase(n, "Running")
    for n in names:
        cluster.api.call("DELETE", path_of("pods", ns.name, n))
    until(lambda: not ns.items("pods"), 60)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build")
    p.add_argument("--rounds", type=int, default=5, help="machines that join, one after another; the slowest counts")
    p.add_argument("--cycles", type=int, default=100, help="of creating and deleting 10 pods")
    o = p.parse_args()
    os.environ["SAMPAN_BIN"] = os.path.abspath(o.build)
    from hosts import Two

    two = Two()
    try:
        seconds = []
        for i in range(o.rounds):
            host = two.host(f"j{i}", f"10.88.0.{20 + i}")
            seconds.append(join(two, host, two.join_words(), f"j{i}"))
            host.end()
            two.cluster.kubectl("delete", "node", f"j{i}")
        figure("node_join_to_ready", max(seconds), "s", "<=2", max(seconds) <= 2)
        cluster = two.cluster
        cluster.kubectl("cordon", "n2")
        ns = cluster.namespace()
        cycle(cluster, ns)  # what the first pod makes for all
        before = settled(cluster.lab, None)
        for _ in range(o.cycles):
            cycle(cluster, ns)
        after = settled(cluster.lab, before)
        left = {k: after[k] - before[k] for k in before if after[k] > before[k]}
        if left:
            print(f"left behind: {left}", file=sys.stderr)
        figure(f"left_after_{o.cycles}_cycles", sum(left.values()), "things", "0", not left)
    finally:
        two.stop()


if __name__ == "__main__":
    main()
