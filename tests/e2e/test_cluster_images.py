"""Images: what is present, what is pulled from a real registry on the lab's loopback, and what lies."""
import json
import os

import pytest

from cluster import busybox_entries, cluster, eventually, need, ns, packer, shell, state_of  # noqa: F401

REGISTRY = '127.0.0.1:5000'
CONFIG = f'''version: 0.1
storage: {{filesystem: {{rootdirectory: /run/registry}}, delete: {{enabled: true}}}}
http: {{addr: {REGISTRY}}}
'''


@pytest.fixture(scope='module')
def registry(cluster):
    need('docker-registry', 'skopeo', 'curl')
    with open(cluster.lab.path('/run/registry.yml'), 'w') as f:
        f.write(CONFIG)
    with open(cluster.lab.path('/run/registry.log'), 'w') as log:
        daemon = cluster.lab.start('docker-registry', 'serve', '/run/registry.yml', stdout=log, stderr=log)
    eventually(lambda: cluster.lab.run('curl', '-sf', f'http://{REGISTRY}/v2/', check=False).returncode == 0, 20, lambda: 'no registry')
    yield Registry(cluster)
    daemon.terminate()
    daemon.wait(10)


class Registry:
    def __init__(self, cluster):
        self.lab = cluster.lab

    def push(self, tar, name):
        self.lab.run('skopeo', '--insecure-policy', 'copy', '-q', '--dest-tls-verify=false', f'oci-archive:{tar}', f'docker://{REGISTRY}/{name}')
        head = self.lab.run('curl', '-sfI', '-H', 'Accept: application/vnd.oci.image.manifest.v1+json',
                            f'http://{REGISTRY}/v2/{name.replace(":", "/manifests/")}').stdout
        return [line.split()[1] for line in head.splitlines() if line.lower().startswith('docker-content-digest')][0]

    def blob_path(self, digest):
        return self.lab.path(f'/run/registry/docker/registry/v2/blobs/sha256/{digest[7:9]}/{digest[7:]}/data')

    def manifest(self, name):
        return json.loads(self.lab.run('curl', '-sf', '-H', 'Accept: application/vnd.oci.image.manifest.v1+json',
                                       f'http://{REGISTRY}/v2/{name.replace(":", "/manifests/")}').stdout)


def variant(tmp_path, name, **files):
    """An image of busybox and the given files, distinct from all others."""
    entries = busybox_entries()
    for path, text in files.items():
        at = tmp_path / path
        at.write_text(text)
        entries.append((str(at), '/' + path))
    out = str(tmp_path / 'image.tar')
    packer().pack(out, name, None, entries)
    return out


def test_never_pulled_image_that_is_absent_is_told(ns):
    ns.pod('a', shell('true', image='nowhere.test/none:1'))
    p = ns.wait('pods', 'a', lambda p: state_of(p)[0] == 'waiting' and 'Image' in state_of(p)[1]['reason'])
    assert state_of(p)[1] == {'reason': 'ErrImageNeverPull', 'message': 'Container image "nowhere.test/none:1" is not present with pull policy of Never'}
    eventually(lambda: ('ErrImageNeverPull', 'Container image "nowhere.test/none:1" is not present with pull policy of Never') in ns.events('a'), 10)


def test_image_that_cannot_be_pulled_backs_off(ns):
    ns.pod('a', shell('true', image='127.0.0.1:1/none:1', imagePullPolicy='Always'))
    seen = set()

    def both():
        seen.add(state_of(ns.get('pods', 'a'))[1].get('reason'))
        return {'ErrImagePull', 'ImagePullBackOff'} <= seen
    eventually(both, 40, lambda: str(seen))
    eventually(lambda: {'Pulling', 'Failed', 'BackOff'} <= {r for r, _ in ns.events('a')}, 15, lambda: str(ns.events('a')))
    p = ns.wait('pods', 'a', lambda p: state_of(p)[1].get('reason') == 'ImagePullBackOff')
    assert state_of(p)[1]['message'].startswith('Back-off pulling image "127.0.0.1:1/none:1"')


def test_name_that_is_no_name_is_told(ns):
    ns.pod('a', shell('true', image='Not A Name:?', imagePullPolicy='IfNotPresent'))
    p = ns.wait('pods', 'a', lambda p: state_of(p)[1].get('reason') == 'InvalidImageName')
    assert 'Not A Name:?' in state_of(p)[1]['message']


def test_image_is_pulled_from_a_registry_and_runs(ns, registry, tmp_path):
    digest = registry.push(variant(tmp_path, 'one:1', hello='from the registry\n'), 'one:1')
    ns.pod('a', shell('cat /hello', image=f'{REGISTRY}/one:1', imagePullPolicy='IfNotPresent'), restartPolicy='Never')
    p = ns.phase('a', 'Succeeded')
    assert ns.log('a') == 'from the registry\n'
    assert p['status']['containerStatuses'][0]['imageID'] == f'{REGISTRY}/one@{digest}'
    messages = [m for _, m in eventually(lambda: 'Pulled' in {r for r, _ in ns.events('a')} and ns.events('a'), 10)]
    assert f'Pulling image "{REGISTRY}/one:1"' in messages
    assert any(m.startswith(f'Successfully pulled image "{REGISTRY}/one:1" in ') for m in messages)


def test_image_by_digest(ns, registry, tmp_path):
    digest = registry.push(variant(tmp_path, 'two:1', two='2'), 'two:1')
    ns.pod('a', shell('cat /two', image=f'{REGISTRY}/two@{digest}', imagePullPolicy='IfNotPresent'), restartPolicy='Never')
    ns.phase('a', 'Succeeded')
    assert ns.log('a') == '2' or ns.log('a') == '2\n'


def test_pull_always_takes_the_newest_and_if_not_present_the_present_one(ns, registry, tmp_path):
    run = lambda name, policy: (ns.pod(name, shell('cat /which', image=f'{REGISTRY}/moving:1', imagePullPolicy=policy), restartPolicy='Never'),  # noqa: E731
                                ns.phase(name, 'Succeeded'), ns.log(name).strip())[2]
    registry.push(variant(tmp_path, 'moving:1', which='old\n'), 'moving:1')
    assert run('a', 'IfNotPresent') == 'old'
    registry.push(variant(tmp_path, 'moving:1', which='new\n'), 'moving:1')
    assert run('b', 'IfNotPresent') == 'old'
    assert run('c', 'Always') == 'new'


def test_layer_that_lies_about_its_digest_is_refused(ns, registry, tmp_path):
    registry.push(variant(tmp_path, 'liar:1', lie='x' * 4096), 'liar:1')
    layer = registry.manifest('liar:1')['layers'][0]['digest']
    path = registry.blob_path(layer)
    with open(path, 'r+b') as f:
        f.seek(os.path.getsize(path) // 2)
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 0xff]))
    ns.pod('a', shell('cat /lie', image=f'{REGISTRY}/liar:1', imagePullPolicy='IfNotPresent'), restartPolicy='Never')
    p = ns.wait('pods', 'a', lambda p: state_of(p)[1].get('reason') in ('ErrImagePull', 'ImagePullBackOff'))
    assert p['status']['phase'] == 'Pending'
    assert any(layer in m for _, m in eventually(lambda: [e for e in ns.events('a') if e[0] == 'Failed'], 10)), ns.events('a')
    # Once it is mended the pod goes on by itself.
    with open(path, 'r+b') as f:
        f.seek(os.path.getsize(path) // 2)
        f.write(byte)
    ns.phase('a', 'Succeeded', 60)


def test_image_of_a_missing_tag_is_not_found(ns, registry):
    ns.pod('a', shell('true', image=f'{REGISTRY}/one:absent', imagePullPolicy='IfNotPresent'))
    ns.wait('pods', 'a', lambda p: state_of(p)[1].get('reason') in ('ErrImagePull', 'ImagePullBackOff'))
    assert any('not found' in m for _, m in eventually(lambda: [e for e in ns.events('a') if e[0] == 'Failed'], 10)), ns.events('a')


def test_imported_image_is_listed(cluster):
    text = cluster.lab.run(cluster.sampan, 'image', 'ls').stdout
    assert 'docker.io/test/busybox:1' in text and 'sampan.dev/shop:v1' in text


def test_import_of_what_is_no_image_fails_with_a_word(cluster, tmp_path):
    (tmp_path / 'x.tar').write_bytes(b'not a tar' * 1000)
    done = cluster.lab.run(cluster.sampan, 'image', 'import', str(tmp_path / 'x.tar'), check=False)
    assert done.returncode != 0 and 'x.tar' in done.stderr


def test_node_status_names_its_images(cluster):
    node = cluster.api.call('GET', f'/api/v1/nodes/{cluster.node}')
    eventually(lambda: any('docker.io/test/busybox:1' in i['names'] for i in
                           cluster.api.call('GET', f'/api/v1/nodes/{cluster.node}')['status'].get('images', [])), 20, lambda: str(node['status'].get('images')))
