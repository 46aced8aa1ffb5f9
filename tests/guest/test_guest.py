"""The guest's tests, run by ./check (smoke) and ./check --long (the boot too): by hand
SAMPAN_BIN=BUILD /usr/bin/python3 -m pytest -s tests/guest"""
import os
import shutil
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, ROOT + '/tests/e2e']

import cluster  # noqa: E402
import guest  # noqa: E402


@pytest.fixture(scope='module', autouse=True)
def images(tmp_path_factory):
    """Packed out here: compilers are slow in there."""
    where = tmp_path_factory.mktemp('images')
    for path in cluster.images():
        shutil.copy(path, where)
    os.environ['SAMPAN_TEST_IMAGES'] = str(where)
    os.environ['SAMPAN_BIN'] = os.path.dirname(cluster.find_sampan())
    return str(where)


@pytest.fixture(scope='module')
def machine():
    try:
        guest.need_tools('apparmor_parser')
        with guest.Guest() as g:
            yield g
    except guest.Missing as e:
        pytest.skip(f'no guest: {e}')


def passes(g, seconds, *command, **kw):
    code, out = g.run(list(command), seconds, **kw)
    print(out)
    assert code == 0, out


@pytest.mark.parametrize('cgroup', ['v2', pytest.param('v1', marks=pytest.mark.skipif(
    not os.environ.get('SAMPAN_LONG'), reason='long'))])
def test_pods_in_pure_cgroups(machine, cgroup):
    passes(machine, 240, '/usr/bin/python3', '-m', 'pytest', '-p', 'no:cacheprovider', '-q', '-ra', 'tests/e2e/test_node_cgroups.py',
           cgroup=cgroup)


@pytest.mark.skipif(not os.environ.get('SAMPAN_LONG'), reason='long')
def test_installed_services_come_back_after_a_reboot(machine, images):
    step = ['/usr/bin/python3', HERE + '/steps.py']
    sampan = cluster.find_sampan()
    passes(machine, 600, *step, 'install', sampan, images + '/busybox.tar', systemd=True)
    passes(machine, 400, *step, 'booted', sampan, systemd=True)
    passes(machine, 400, *step, 'purge', sampan, systemd=True)
