#!/usr/bin/python3
"""Power cuts under writes: `sampan server` in a guest whose disk forgets what was not flushed.

power_cut.py [--cuts N] [--seconds S] [--seed X] [--control none|unsafe|nosync]

Each boot checks what the cut before left: every write that was acknowledged is there with its content (the guest says
so on a serial line at once), nothing that was not asked for is, revisions go on, the database and its rows' checksums
are sound. Then writers start, and at a random moment, sometimes while the server still starts, the power is gone:
nbdkit, whose cache is the disk's, is killed, then qemu. No more cuts after S seconds. The last line says how many.

--control is the proof that this finds what it looks for; it must lose acknowledged writes, and fails if it does not:
unsafe: a disk that ignores flushes; nosync: a server whose fsync does nothing, on a good disk."""
import argparse
import itertools
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'e2e')]

import guest  # noqa: E402
import wire  # noqa: E402

CM = '/api/v1/namespaces/default/configmaps'
WRITERS, LIVE = 4, 62  # LIVE: how many operations after its creation a ConfigMap is deleted
BOOT_SECONDS, DISK_BYTES, CUTS_OF_A_DISK = 120, 512 << 20, 20
STATE = '/var/lib/sampan'  # in the guest: on the disk
NOSYNC = 'int fsync(int f) { return 0 * f; } int fdatasync(int f) { return 0 * f; } int sync_file_range() { return 0; }'


# ---- what writer `me` does as its operation k, and what must be stored then: a function, so that both sides know it


def operation(me, k):
    """(method, name, number that its content says)"""
    if k % 3 == 0:
        return 'POST', f'made-{me}-{k}', k
    if k % 3 == 2 and k > LIVE:
        return 'DELETE', f'made-{me}-{k - LIVE}', None
    return 'PUT', f'counter-{me}', k


def content(name, k):
    return {'count': str(k), 'text': f'{name} {k} ' * (1 + k * 7 % 60)}


def after(me, k):
    """{name: content} after operations 1 to k."""
    found = {}
    for n in range(max(1, k - 2 * LIVE), k + 1):
        method, name, number = operation(me, n)
        if method == 'DELETE':
            found.pop(name, None)
        else:
            found[name] = content(name, number)
    for name in [n for n in found if n.startswith('made-') and int(n.split('-')[2]) + LIVE <= k]:
        found.pop(name)
    return found


def done(stored, me, acked):
    """How far writer `me` got: `acked`, or one further, which was on its way; None: neither is what is stored."""
    mine = {n: d for n, d in stored.items() if n.split('-')[1] == str(me)}
    return next((k for k in (acked, acked + 1) if after(me, k) == mine), None)


# ---- in the guest


def say(**what):
    os.write(1, json.dumps(what).encode() + b'\n')  # it is out there when this returns


def write_on(server, me, k, stop):
    conn = server.connect()
    for k in itertools.count(k + 1):
        if stop and k > stop:
            return
        method, name, number = operation(me, k)
        body = None if method == 'DELETE' else wire.config_map(name, data=content(name, number))
        path = CM if method == 'POST' else f'{CM}/{name}'
        reply = server.request(method, path, body, conn=conn)
        if method == 'PUT' and reply.code == 404:
            reply = server.post(CM, body, conn=conn)
        if reply.code not in (200, 201):
            say(bad=f'{method} {name}: {reply}')
            return
        say(writer=me, k=k, rev=int(reply.json()['metadata'].get('resourceVersion', 0)))


def inside(acked, writes):
    """The guest's part: copy the store out, start the server, list, write until the power goes (or `writes` each)."""
    os.makedirs(STATE + '/data', exist_ok=True)
    for name in ('sampan.db', 'sampan.db-wal'):
        if os.path.exists(f'{STATE}/data/{name}'):
            shutil.copyfile(f'{STATE}/data/{name}', f'/run/guest/{name}')
    say(starting=True)
    env = dict(os.environ, LD_PRELOAD='/run/guest/nosync.so', ASAN_OPTIONS='verify_asan_link_order=0') \
        if os.path.exists('/run/guest/nosync.so') else None
    server = wire.Server(root=STATE, ready=False, env=env)
    try:
        server.wait_ready(BOOT_SECONDS)
        listed = server.get(CM).json()
        stored = {o['metadata']['name']: o.get('data', {}) for o in listed['items']}
        stored.pop('kube-root-ca.crt', None)
        with open('/run/guest/stored', 'w') as f:  # too long for the line
            json.dump(stored, f)
        say(stored=True, rev=int(listed['metadata']['resourceVersion']))
        at = [done(stored, me, k) for me, k in enumerate(acked)]
        if None in at:
            return
        threads = [threading.Thread(target=write_on, args=(server, me, k, writes and k + writes))
                   for me, k in enumerate(at)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    except AssertionError as e:
        say(bad=str(e))
    server.kill(15, timeout=60)


# ---- out here


class Disk:
    """An image behind nbdkit, whose cache is lost when it is killed."""

    def __init__(self, folder):
        self.image, self.socket, self.proc = folder + '/image', folder + '/nbd', None
        self.drive = f'if=virtio,format=raw,cache=none,file=nbd+unix:///?socket={self.socket}'
        guest.make_disk(self.image, DISK_BYTES)

    def power_on(self, cache):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        command = ['nbdkit', '-f', '-U', self.socket, '--filter=cache', 'file', self.image, f'cache={cache}']
        self.proc = subprocess.Popen(command, env=dict(os.environ, TMPDIR=os.path.dirname(self.image)))
        while not os.path.exists(self.socket):
            if self.proc.poll() is not None:
                raise guest.Missing('nbdkit does not start')
            time.sleep(0.01)

    def cut(self):
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()


CRC_TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
    CRC_TABLE.append(byte)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


class Machine:
    """The guest, its disk, and what was acknowledged so far."""

    def __init__(self, folder):
        self.disk, self.cache = Disk(folder), 'writeback'
        self.guest = guest.Guest(drive=self.disk.drive, memory='1G')
        self.job = self.guest.dir + '/job'
        self.odds = (0.5, 0.25)  # of a cut before the server is ready: the first time, later
        self.acked, self.rev, self.writes, self.seen_id, self.problems, self.loss = [0] * WRITERS, 0, 0, 0, [], False

    def boot(self, rng, writes=0):
        """Check what is there; with writes == 0: write until the power is cut. Returns how far it came."""
        self.disk.power_on(self.cache)
        command = ['/usr/bin/python3', '-B', os.path.abspath(__file__), '--inside', str(writes), *map(str, self.acked)]
        proc = self.guest.start(command, stdout=subprocess.PIPE)
        moment, came = None, 'nowhere'
        early = not writes and rng.random() < self.odds[self.rev > 0]
        watchdog = threading.Timer(BOOT_SECONDS, proc.kill)
        watchdog.start()
        for line in proc.stdout:  # until qemu is gone
            if not line.endswith(b'}\n'):
                self.problems += [] if moment else [f'from the guest: {line}']
                continue
            message = json.loads(line)
            if 'starting' in message and early:
                came, moment = 'starting', self.cut_after(rng.uniform(0, 3))
            if 'writer' in message and not writes and not moment:
                came, moment = 'writing', self.cut_after(rng.uniform(0.05, 3))
            if self.take(message):
                came = 'refused'
                break
        watchdog.cancel()
        self.power_off()
        if came == 'nowhere' and not (writes and self.guest.finish(1) == 0):
            self.problems.append('the guest did not get there: ' + self.guest.console())
        return came

    def spoil(self, how):
        self.odds = (0, 0)  # only acknowledged writes can be lost
        if how == 'unsafe':
            self.cache = 'unsafe'
        else:
            subprocess.run(['cc', '-shared', '-fPIC', '-w', '-x', 'c', '-o', self.job + '/nosync.so', '-'],
                           input=NOSYNC, text=True, check=True)

    def cut_after(self, seconds):
        timer = threading.Timer(seconds, self.power_off)
        timer.start()
        return timer

    def power_off(self):
        self.disk.cut()
        self.guest.kill()

    def take(self, message):
        """Note what the guest says; true: what it has is wrong."""
        before = len(self.problems)
        if 'bad' in message:
            self.problems.append(message['bad'])
        elif 'starting' in message:
            self.check_database()
        elif 'stored' in message:
            if message['rev'] < self.rev:
                self.problems.append(f'revision {message["rev"]} after {self.rev}')
            with open(self.job + '/stored') as f:
                stored = json.load(f)
            at = [done(stored, me, k) for me, k in enumerate(self.acked)]
            self.problems += [self.differs(stored, me) for me, k in enumerate(at) if k is None]
            self.loss = None in at
            self.rev = max(self.rev, message['rev'])
            self.floor = self.rev
            self.acked = [k or a for k, a in zip(at, self.acked)]
        else:
            self.acked[message['writer']] = message['k']
            self.writes += 1
            if 0 < message['rev'] <= self.floor:
                self.problems.append(f'revision {message["rev"]} was handed out again')
            self.rev = max(self.rev, message['rev'])
        return len(self.problems) > before

    def differs(self, stored, me):
        want = after(me, self.acked[me])
        mine = {n: d for n, d in stored.items() if n.split('-')[1] == str(me)}
        wrong = sorted(n for n in want.keys() | mine.keys() if want.get(n) != mine.get(n))
        return f'writer {me}, {self.acked[me]} writes acknowledged, differs in {len(wrong)} objects: ' + ', '.join(
            f'{n} {mine.get(n, {}).get("count")} for {want.get(n, {}).get("count")}' for n in wrong[:4])

    def check_database(self):
        """What the cut left, before the server saw it: SQLite's own check, and the checksum of each new row."""
        path = self.job + '/sampan.db'
        if not os.path.exists(path):
            if any(self.acked):
                self.problems.append('no database')
                self.loss = True
            return
        try:
            db = sqlite3.connect(path)
            verdict = db.execute('PRAGMA integrity_check').fetchone()[0]
            if verdict != 'ok':
                self.problems.append(f'integrity_check: {verdict}')
            rows = db.execute('SELECT id, kind, crc, key, value FROM log WHERE id > ?', (self.seen_id,))
            for n, kind, crc, key, value in rows:
                if crc32c(n.to_bytes(8, 'little') + bytes([kind]) + key + value) != crc:
                    self.problems.append(f'row {n}: checksum')
            self.seen_id = db.execute('SELECT max(id) FROM log').fetchone()[0] or 0
            db.close()
        except sqlite3.Error as e:
            if any(self.acked) or 'no such table' not in str(e):  # cut while the first start made it
                self.problems.append(f'database: {e}')
        for end in ('', '-wal', '-shm'):
            if os.path.exists(path + end):
                os.unlink(path + end)


class Tally:
    """What the cuts of all disks come to."""

    def __init__(self):
        self.began, self.cuts, self.early, self.writes, self.problems, self.loss = time.monotonic(), 0, 0, 0, [], False

    def seconds(self):
        return time.monotonic() - self.began


def one_disk(tally, count, seconds, rng, control):
    """Up to `count` cuts of one disk, new at first, and a boot that ends in peace."""
    with tempfile.TemporaryDirectory(prefix='sampan-power-') as folder:
        machine = Machine(folder)
        with machine.guest:
            try:
                if control != 'none':  # what it has then is safe; what follows is not
                    machine.boot(rng, writes=5)
                    machine.spoil(control)
                for _ in range(count):
                    if machine.problems or tally.seconds() > seconds:
                        break
                    came = machine.boot(rng)
                    tally.cuts += came in ('starting', 'writing')
                    tally.early += came == 'starting'
                    print(f'{tally.seconds():.0f} s: boot {tally.cuts} until {came}, '
                          f'{tally.writes + machine.writes} writes acknowledged', flush=True)
                if not machine.problems:
                    machine.boot(rng, writes=5)
            finally:
                machine.power_off()
    tally.writes += machine.writes
    tally.problems += machine.problems
    tally.loss = machine.loss


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--cuts', type=int, default=3)
    p.add_argument('--seconds', type=float, default=3600)
    p.add_argument('--seed', default=os.environ.get('SAMPAN_SEED', '1'))
    p.add_argument('--control', choices=('none', 'unsafe', 'nosync'), default='none')
    p.add_argument('--inside', nargs='+', type=int, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.inside:
        inside(a.inside[1:], a.inside[0])
        return
    os.environ['SAMPAN_BIN'] = os.path.realpath(wire.find_binary())
    try:
        guest.need_tools('nbdkit', 'cc')
        rng, t = random.Random(a.seed), Tally()
        while t.cuts < a.cuts and t.seconds() < a.seconds and not t.problems:
            one_disk(t, min(CUTS_OF_A_DISK, a.cuts - t.cuts), a.seconds, rng, a.control)
    except guest.Missing as e:
        print(f'skipped: {e}')
        sys.exit(77)
    print(*t.problems, sep='\n')
    verdict = f', {len(t.problems)} problems'
    if a.control != 'none':
        verdict = f', {a.control}: acknowledged writes ' + ('lost, as they must be' if t.loss else 'NOT lost')
    print(f'{t.cuts} power cuts, {t.early} of them while the server started, {t.writes} writes acknowledged{verdict}')
    sys.exit(bool(t.problems) if a.control == 'none' else not t.loss)


if __name__ == '__main__':
    main()
