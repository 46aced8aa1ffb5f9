"""Rotation of container logs: files as kubelet names them, nothing lost for who follows, old runs removed whole.
Source: kubelet container_log_manager.go (10Mi, 5 files)."""
import glob
import os
import subprocess
import threading

from cluster import eventually, find_tool, need, ns, cluster, shell # noqa: F401 (fixtures)

MIB = 1 << 20


def write(first, last):
    return f"awk 'BEGIN {{ for (i = {first}; i <= {last}; i++) printf \"line-%07d-%080d\\n\", i, 0 }}'"


def files(ns, name, container='c'):
    uid = ns.get('pods', name)['metadata']['uid']
    where = ns.lab.path(f'/var/log/pods/{ns.name}_{name}_{uid}/{container}')
    return sorted(glob.glob(where + '/*'))


def names(ns, name):
    return [os.path.basename(f) for f in files(ns, name)]


def lines(path):
    """Whole lines: P parts joined. The last one may still be on its way from conmon."""
    with open(path) as f:
        whole = (line.split(' ', 3) for line in f if line.endswith('\n'))
        text = ''.join(t if tag == 'F' else t[:-1] for _, _, tag, t in whole)
    return text.split('\n')


def numbers(text_lines):
    return [int(line.split('-')[1]) for line in text_lines if line.startswith('line-')]


def test_rotates_and_loses_nothing(ns):
    ns.pod('r', shell(f'{write(1, 100000)}; until [ -e /tmp/go ]; do sleep 0.1; done; {write(100001, 100010)}; sleep 1000'))
    ns.ready('r')
    log, gaps, stop = files(ns, 'r')[0], [], threading.Event()

    def watch():
        while not stop.is_set():
            if not os.path.exists(log):
                gaps.append(1)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        eventually(lambda: len(files(ns, 'r')) == 2, 30, lambda: f'not rotated: {names(ns, "r")}')
    finally:
        stop.set()
        watcher.join()
    assert not gaps, 'there was no 0.log for a moment'
    rotated = [f for f in files(ns, 'r') if not f.endswith('.log')][0]
    assert os.path.basename(rotated).startswith('0.log.20'), names(ns, 'r')
    assert os.path.getsize(rotated) > 10 * MIB
    pid = ns.container_pid('r')
    eventually(lambda: os.stat(rotated).st_nlink == 1, 10, lambda: 'conmon keeps the old file')
    ns.lab.run('touch', f'/proc/{pid}/root/tmp/go')
    eventually(lambda: 100010 in numbers(sum((lines(f) for f in files(ns, 'r')), [])), 10, lambda: names(ns, 'r'))
    seen = sorted(numbers(sum((lines(f) for f in files(ns, 'r')), [])))
    assert seen == list(range(1, 100011))


def test_keeps_five_files(ns):
    # the next round is written when the one before has been rotated, so that each is one file: six rotated ones, of which four stay
    rounds = 6
    ns.pod('k', shell(f'n=0; while [ $n -lt {rounds} ]; do until [ -e /tmp/go-$n ]; do sleep 0.1; done; {write(1, 100000)}; ' +
                      'n=$((n + 1)); done; sleep 1000'))
    ns.ready('k')
    pid, seen = ns.container_pid('k'), set()
    for n in range(rounds):
        ns.lab.run('touch', f'/proc/{pid}/root/tmp/go-{n}')

        def rotated():
            seen.update(name for name in names(ns, 'k') if name != '0.log')
            return len(seen) > n
        eventually(rotated, 40, lambda: f'round {n}: {names(ns, "k")}')
    eventually(lambda: names(ns, 'k') == ['0.log'] + sorted(seen)[-4:], 15, lambda: f'{names(ns, "k")} of {sorted(seen)}')


def test_follow_goes_through_rotation(ns):
    need('nsenter')
    tool = find_tool('kubectl')
    if not tool:
        import pytest
        pytest.skip('no kubectl')
    ns.pod('f', shell('until [ -e /tmp/go ]; do sleep 0.1; done; ' + write(1, 120000) + '; sleep 3; ' + write(120001, 130000)),
           restartPolicy='Never')
    ns.ready('f')
    follow = ns.lab.start(tool, '-n', ns.name, 'logs', '-f', 'f', stdout=subprocess.PIPE, text=True)
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(follow.stdout.read().splitlines()))
    reader.start()
    ns.lab.run('touch', f'/proc/{ns.container_pid("f")}/root/tmp/go')
    ns.phase('f', 'Succeeded', 60)
    reader.join(30)
    assert not reader.is_alive(), 'logs -f does not end with the container'
    follow.wait(10)
    assert len(files(ns, 'f')) >= 2, names(ns, 'f')
    assert numbers(seen) == list(range(1, 130001))


def test_previous_and_removal_of_older_runs(ns):
    script = ('n=$(cat /v/n 2>/dev/null || echo 0); echo $((n + 1)) > /v/n; echo run $n; ' +
              f'if [ $n -lt 2 ]; then {write(1, 100000)}; sleep 2.5; exit 1; fi; sleep 1000')
    ns.pod('p', shell(script, volumeMounts=[{'name': 'v', 'mountPath': '/v'}]), volumes=[{'name': 'v', 'emptyDir': {}}])
    ns.wait('pods', 'p', lambda p: p['status'].get('containerStatuses') and
            p['status']['containerStatuses'][0]['restartCount'] == 2 and
            'running' in p['status']['containerStatuses'][0]['state'], 60)
    eventually(lambda: 'run 2' in ns.log('p'), 5)
    left = names(ns, 'p')
    assert '2.log' in left and '1.log' in left and not [n for n in left if n.startswith('0.log')], left
    assert '1.log.20' in ' '.join(left), left
    ns.kubectl('logs', '--previous', 'p')
    ns.delete('pods', 'p')
    ns.gone('pods', 'p')
