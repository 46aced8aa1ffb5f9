"""Behaviours of the API that no single module shows: seen in the real server, compared with Kubernetes'."""
import time

from conftest import eventually

FLOW = '/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas'
CONFIG_MAP = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n'


def revision(server):
    return int(server.get('/api/v1/namespaces?limit=1').json()['metadata']['resourceVersion'])


def test_a_service_without_pods_is_written_once(server, ns):
    r = server.post(f'/api/v1/namespaces/{ns}/services', {'metadata': {'name': 'idle'}, 'spec': {
        'selector': {'app': 'none'}, 'ports': [{'port': 80}]}})
    assert r.code == 201, r
    slices = f'/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices'
    eventually(lambda: server.get(slices).json()['items'])
    time.sleep(0.5)
    before = revision(server)
    time.sleep(0.5)
    assert revision(server) == before
    assert server.get(slices).json()['items'][0]['metadata']['generation'] == 1


def test_flow_schemas_are_there_and_come_back(server):
    names = {i['metadata']['name'] for i in server.get(FLOW).json()['items']}
    assert {'exempt', 'probes', 'system-nodes', 'global-default', 'catch-all'} <= names
    assert server.delete(FLOW + '/probes').code == 200
    eventually(lambda: server.get(FLOW + '/probes').code == 200)


def test_server_side_apply_is_refused_as_an_unknown_media_type(server, kubectl):
    r = kubectl.run('apply', '--server-side', '-f', '-', stdin=CONFIG_MAP)
    assert r.returncode != 0 and 'accepted media types include' in r.stderr, r.stderr
