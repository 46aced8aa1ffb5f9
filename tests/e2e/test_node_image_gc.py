"""Images that nobody uses go when the disk of the images is nearly full. Source: kubelet images/image_gc_manager.go."""
import pytest

from cluster import SHOP, SLEEP, Cluster, eventually, is_ready, shell


class Small(Cluster):
    """Its images lie on a disk of 64 MB."""

    def import_images(self):
        self.lab.run('sh', '-c', 'mkdir -p /var/lib/sampan/agent && mount -t tmpfs -o size=64m small /var/lib/sampan/agent')
        super().import_images()


@pytest.fixture(scope='module')
def small():
    c = Small()
    try:
        yield c
    finally:
        c.stop()


def test_unused_images_go_when_the_disk_is_full(small):
    ns = small.namespace()
    ns.pod('a', shell(SLEEP))
    ns.ready('a')

    def images():
        return small.lab.run(small.sampan, 'image', 'ls').stdout
    assert SHOP in images()
    small.lab.run('sh', '-c', 'touch -d "10 minutes ago" /var/lib/sampan/agent/images/meta/*.json; touch /var/lib/sampan/agent/images/meta; '
                  'dd if=/dev/zero of=/var/lib/sampan/agent/filler bs=1M count=56 2>/dev/null || true')
    eventually(lambda: SHOP not in images(), 45, images)
    assert 'busybox' in images() and is_ready(ns.get('pods', 'a'))
    said = eventually(lambda: [e for e in small.api.call('GET', '/api/v1/events')['items'] if e['reason'] == 'FreeDiskSpaceFailed'], 40)
    assert said[0]['involvedObject']['kind'] == 'Node' and said[0]['type'] == 'Warning'
    assert said[0]['message'].startswith('Failed to garbage collect required amount of images. Attempted to free ')
    layers = small.lab.run('sh', '-c', 'ls /var/lib/sampan/agent/images/layers | wc -l; ls /var/lib/sampan/agent/images/incoming').stdout
    assert layers.split() == ['1'], layers
