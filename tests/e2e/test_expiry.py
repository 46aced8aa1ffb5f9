"""What has an end: history (a watch or a page that asks for what is forgotten gets 410 and can go on), and Events.

    SAMPAN_BIN=build pytest tests/e2e/test_expiry.py"""
import os
import sys
import time
from urllib.parse import quote

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from conftest import served  # noqa: E402
from wire import Server, Watch, config_map  # noqa: E402

NS = '/api/v1/namespaces/default'
CM = NS + '/configmaps'
HISTORY_BYTES = 64 << 20  # that much of the past is kept


@pytest.fixture(scope='module')
def cp():
    with served('--event-ttl', '2s') as s:
        yield s


@pytest.fixture(scope='module')
def past(cp):
    """A revision and a continue token from before more changes than history keeps."""
    for i in range(6):
        assert cp.post(CM, config_map(f'page-{i}')).code == 201
    page = cp.get(CM + '?limit=3').json()['metadata']
    assert page['continue'] and page['remainingItemCount'] >= 3
    assert cp.get(f'{CM}?limit=3&continue={quote(page["continue"])}').code == 200  # not yet
    conn = cp.connect()
    assert cp.put(CM + '/page-0', config_map('page-0', data={'a': 'x' * 1000000}), conn=conn).code == 200
    for i in range(HISTORY_BYTES // 1000000 + 2):
        patch = {'data': {'n': str(i)}}
        assert cp.request('PATCH', CM + '/page-0', patch, conn=conn,
                          content_type='application/merge-patch+json').code == 200
    assert cp.delete(CM + '/page-5').code == 200
    return page


def test_a_watch_of_what_is_forgotten(cp, past):
    w = Watch(cp, f'{CM}?watch=1&resourceVersion={past["resourceVersion"]}')
    assert w.reply.status == 200  # as an event in the stream, which client-go's reflector looks for
    event = w.next()
    status = event['object']
    assert event['type'] == 'ERROR' and status['kind'] == 'Status' and status['status'] == 'Failure'
    assert (status['code'], status['reason']) == (410, 'Expired')
    assert status['message'].startswith(f'too old resource version: {past["resourceVersion"]} (')
    assert w.next() is None  # and that is its end
    # what client-go does then: list anew, watch from there
    fresh = cp.get(CM).json()
    assert 'page-5' not in {o['metadata']['name'] for o in fresh['items']}
    w = Watch(cp, f'{CM}?watch=1&resourceVersion={fresh["metadata"]["resourceVersion"]}')
    assert cp.post(CM, config_map('after')).code == 201
    event = w.next()
    assert event['type'] == 'ADDED' and event['object']['metadata']['name'] == 'after'
    w.close()


def test_the_python_client_lists_anew(cp, past):
    client = pytest.importorskip('kubernetes.client')
    config = pytest.importorskip('kubernetes.config')
    watch = pytest.importorskip('kubernetes.watch')
    api = client.CoreV1Api(config.new_client_from_config(cp.kubeconfig()))
    with pytest.raises(client.ApiException) as e:
        for _ in watch.Watch().stream(api.list_namespaced_config_map, 'default', timeout_seconds=5,
                                      resource_version=past['resourceVersion']):
            pass
    assert e.value.status == 410 and 'Expired: too old resource version' in e.value.reason


def test_a_page_of_what_is_forgotten(cp, past):
    r = cp.get(f'{CM}?limit=3&continue={quote(past["continue"])}')
    assert r.status() == (
        410, 'Expired',
        'The provided continue parameter is too old to display a consistent list result. You can start a new list '
        'without the continue parameter, or use the continue token in this response to retrieve the remainder of the '
        'results. Continuing with the provided token results in an inconsistent list - objects that were created, '
        'modified, or deleted between the time the first chunk was returned and now may show up in the list.')
    go_on = r.json()['metadata']['continue']
    assert go_on and go_on != past['continue']
    rest = cp.get(f'{CM}?limit=100&continue={quote(go_on)}')
    assert rest.code == 200
    names = [o['metadata']['name'] for o in rest.json()['items']]
    assert 'page-4' in names and 'page-5' not in names  # the present, from the same place on
    assert int(rest.json()['metadata']['resourceVersion']) > int(past['resourceVersion'])


def test_an_exact_revision_that_is_forgotten(cp, past):
    r = cp.get(f'{CM}?resourceVersionMatch=Exact&resourceVersion={past["resourceVersion"]}')
    assert r.status() == (410, 'Expired', 'The resourceVersion for the provided list is too old.')
    assert cp.get(f'{CM}?resourceVersionMatch=NotOlderThan&resourceVersion={past["resourceVersion"]}').code == 200


def test_kubectl_pages_over_it(cp, past):
    out = cp.kubectl('get', 'configmaps', '--chunk-size=2', '-o', 'name')
    assert out.returncode == 0 and 'configmap/page-4\n' in out.stdout


def test_events_are_forgotten(cp):
    began = time.time()
    now = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(began))
    event = {'apiVersion': 'v1', 'kind': 'Event', 'metadata': {'name': 'e'}, 'type': 'Normal', 'reason': 'Seen',
             'message': 'm', 'involvedObject': {'kind': 'Pod', 'namespace': 'default', 'name': 'p'},
             'firstTimestamp': now, 'lastTimestamp': now}
    assert cp.post(NS + '/events', event).code == 201
    w = Watch(cp, f'{NS}/events?watch=1&resourceVersion=0&fieldSelector=metadata.name%3De', timeout=15)
    assert w.next()['type'] == 'ADDED'
    assert w.next()['type'] == 'DELETED'
    assert 1 <= time.time() - began < 12
    assert cp.get(NS + '/events/e').code == 404


@pytest.mark.parametrize('wrong', ['0', 'soon', '1', '-5s', '3s1h'])
def test_a_wrong_event_ttl(tmp_path, wrong):
    s = Server(root=str(tmp_path), ready=False, args=['--event-ttl', wrong])
    assert s.proc.wait(20) == 2 and 'event-ttl' in s.log()
