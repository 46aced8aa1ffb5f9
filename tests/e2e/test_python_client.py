"""The official Python client against the API: typed objects, watches, paging, patches, errors, reviews, tokens."""
import json
import threading
import time

import pytest

kubernetes = pytest.importorskip('kubernetes')
from kubernetes import client, config, dynamic, utils, watch  # noqa: E402
from kubernetes.client.rest import ApiException  # noqa: E402

from conftest import eventually  # noqa: E402


@pytest.fixture(scope='module')
def api(server):
    return config.new_client_from_config(server.kubeconfig())


@pytest.fixture
def core(api):
    return client.CoreV1Api(api)


@pytest.fixture
def apps(api):
    return client.AppsV1Api(api)


def meta(name, **more):
    return client.V1ObjectMeta(name=name, **more)


def config_map(name, data=None, **more):
    return client.V1ConfigMap(metadata=meta(name, **more), data=data)


def pod(name, node=None, **labels):
    return client.V1Pod(metadata=meta(name, labels=labels), spec=client.V1PodSpec(
        node_name=node, containers=[client.V1Container(name='main', image='example.com/a')]))


def deployment(name, replicas=1):
    labels = {'app': name}
    return client.V1Deployment(metadata=meta(name), spec=client.V1DeploymentSpec(
        replicas=replicas, selector=client.V1LabelSelector(match_labels=labels),
        template=client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels), spec=pod(name).spec)))


def refused(code, call, *args, **kw):
    """The Status of a call that must fail with this code."""
    with pytest.raises(ApiException) as e:
        call(*args, **kw)
    status = json.loads(e.value.body)
    assert (e.value.status, status['kind'], status['code']) == (code, 'Status', code), e.value
    return status


def unless_conflict(change):
    """Read and write again, as long as a controller was faster."""
    for _ in range(20):
        try:
            return change()
        except ApiException as e:
            if e.status != 409:
                raise
    raise AssertionError('conflicts without end')


def test_version(api):
    v = client.VersionApi(api).get_code()
    assert (v.major, v.minor) == ('1', '36') and '+sampan.' in v.git_version


def test_discovery(api):
    groups = {g.name: g.preferred_version.version for g in client.ApisApi(api).get_api_versions().groups}
    assert groups['apps'] == 'v1' and groups['autoscaling'] == 'v2' and '' not in groups
    resources = {r.name: r for r in client.CoreV1Api(api).get_api_resources().resources}
    assert resources['pods'].namespaced and resources['pods'].short_names == ['po'] and 'watch' in resources['pods'].verbs
    assert {'pods/log', 'pods/exec', 'pods/status', 'services/proxy'} <= set(resources)


def test_create_read_replace_delete(core, ns):
    made = core.create_namespaced_config_map(ns, config_map('a', {'k': '1'}, labels={'x': 'y'}))
    assert made.metadata.uid and made.metadata.resource_version and made.metadata.creation_timestamp.tzinfo
    assert made.metadata.managed_fields is None or made.metadata.managed_fields
    read = core.read_namespaced_config_map('a', ns)
    assert read.data == {'k': '1'} and read.metadata.resource_version == made.metadata.resource_version
    read.data['k'] = '2'
    put = core.replace_namespaced_config_map('a', ns, read)
    assert int(put.metadata.resource_version) > int(made.metadata.resource_version)
    assert put.metadata.uid == made.metadata.uid
    same = core.replace_namespaced_config_map('a', ns, put)
    assert same.metadata.resource_version == put.metadata.resource_version  # nothing changed: nothing written
    gone = core.delete_namespaced_config_map('a', ns)
    assert gone.status == 'Success' and gone.details.name == 'a' and gone.details.uid == made.metadata.uid
    refused(404, core.read_namespaced_config_map, 'a', ns)


def test_conflicts(core, ns):
    old = core.create_namespaced_config_map(ns, config_map('a'))
    core.patch_namespaced_config_map('a', ns, {'data': {'k': '1'}})
    old.data = {'k': '2'}
    s = refused(409, core.replace_namespaced_config_map, 'a', ns, old)
    assert s['reason'] == 'Conflict' and s['details'] == {'name': 'a', 'kind': 'configmaps'}
    assert refused(409, core.create_namespaced_config_map, ns, config_map('a'))['reason'] == 'AlreadyExists'
    s = refused(409, core.delete_namespaced_config_map, 'a', ns, body=client.V1DeleteOptions(
        preconditions=client.V1Preconditions(uid='nosuch')))
    assert s['reason'] == 'Conflict' and 'Precondition failed: UID in precondition: nosuch, UID in object meta: ' in s['message']
    s = refused(409, core.delete_namespaced_config_map, 'a', ns, body=client.V1DeleteOptions(
        preconditions=client.V1Preconditions(resource_version=old.metadata.resource_version)))
    assert 'ResourceVersion in precondition' in s['message']


def test_errors_name_every_mistake(core, ns):
    bad = pod('p')
    bad.spec.containers[0].ports = [client.V1ContainerPort(container_port=0), client.V1ContainerPort(container_port=99999)]
    bad.spec.restart_policy = 'Sometimes'
    s = refused(422, core.create_namespaced_pod, ns, bad)
    assert s['reason'] == 'Invalid' and s['details']['kind'] == 'Pod' and s['details']['name'] == 'p'
    causes = {c['field']: (c['reason'], c['message']) for c in s['details']['causes']}
    assert causes['spec.containers[0].ports[1].containerPort'] == (
        'FieldValueInvalid', 'Invalid value: 99999: must be between 1 and 65535, inclusive')
    assert causes['spec.restartPolicy'][0] == 'FieldValueNotSupported'
    assert 'spec.containers[0].ports[0].containerPort' in causes
    s = refused(400, core.create_namespaced_config_map, ns, {'metadata': {'name': 'x', 'namespace': 'other'}})
    assert s['message'] == 'the namespace of the provided object does not match the namespace sent on the request'
    s = refused(400, core.create_namespaced_config_map, ns, {'metadata': {'name': 'x'}, 'data': {'k': 5}})
    assert s['reason'] == 'BadRequest' and 'json: cannot unmarshal number into Go struct field' in s['message']
    s = refused(404, core.read_namespaced_pod, 'nosuch', ns)
    assert s['message'] == 'pods "nosuch" not found' and s['reason'] == 'NotFound'
    s = refused(404, core.create_namespaced_config_map, 'nosuch-namespace', config_map('a'))
    assert s['message'] == 'namespaces "nosuch-namespace" not found'


def test_patch_kinds(server, api, apps, ns):
    d = deployment('web')
    d.spec.template.spec.containers.append(client.V1Container(name='side', image='s:1'))
    apps.create_namespaced_deployment(ns, d)
    images = lambda d: {c.name: c.image for c in d.spec.template.spec.containers}  # noqa: E731
    patch = lambda kind, body: api.call_api(  # noqa: E731
        f'/apis/apps/v1/namespaces/{ns}/deployments/web', 'PATCH', body=body, response_type='V1Deployment',
        header_params={'Content-Type': kind, 'Accept': 'application/json'}, auth_settings=['BearerToken'], _return_http_data_only=True)
    spec = lambda *containers: {'spec': {'template': {'spec': {'containers': list(containers)}}}}  # noqa: E731
    assert images(patch('application/strategic-merge-patch+json', spec({'name': 'side', 'image': 's:2'}))) == \
        {'main': 'example.com/a', 'side': 's:2'}
    assert images(patch('application/strategic-merge-patch+json', spec({'name': 'side', '$patch': 'delete'}))) == \
        {'main': 'example.com/a'}
    assert images(patch('application/merge-patch+json', spec({'name': 'only', 'image': 'o'}))) == {'only': 'o'}
    d = patch('application/json-patch+json', [{'op': 'replace', 'path': '/spec/replicas', 'value': 3}])
    assert d.spec.replicas == 3
    r = server.request('PATCH', f'/apis/apps/v1/namespaces/{ns}/deployments/web', {}, content_type='application/x-nosuch')
    assert r.status()[:2] == (415, 'UnsupportedMediaType')


def test_labels_fields_and_paging(core, ns):
    for i in range(7):
        core.create_namespaced_pod(ns, pod(f'p{i}', node='n1' if i % 2 else 'n2', parity=str(i % 2)))
    names = lambda l: [p.metadata.name for p in l.items]  # noqa: E731
    assert names(core.list_namespaced_pod(ns, label_selector='parity=1')) == ['p1', 'p3', 'p5']
    assert names(core.list_namespaced_pod(ns, field_selector='spec.nodeName=n2')) == ['p0', 'p2', 'p4', 'p6']
    assert names(core.list_pod_for_all_namespaces(field_selector=f'metadata.namespace={ns},spec.nodeName=n1')) == ['p1', 'p3', 'p5']
    first = core.list_namespaced_pod(ns, limit=3)
    assert names(first) == ['p0', 'p1', 'p2'] and first.metadata.remaining_item_count == 4
    core.delete_namespaced_pod('p4', ns, grace_period_seconds=0)  # the pages are of one moment: it is still there
    second = core.list_namespaced_pod(ns, limit=3, _continue=first.metadata._continue)
    assert names(second) == ['p3', 'p4', 'p5']
    assert second.metadata.resource_version == first.metadata.resource_version
    third = core.list_namespaced_pod(ns, limit=3, _continue=second.metadata._continue)
    assert names(third) == ['p6'] and not third.metadata._continue
    s = refused(400, core.list_namespaced_pod, ns, limit=3, _continue='nonsense')
    assert s['message'].startswith('invalid continue token: continue key is not valid: ')
    refused(400, core.list_namespaced_pod, ns, label_selector='a=b=c')


def test_watch_from_a_list_and_resume(core, ns):
    core.create_namespaced_config_map(ns, config_map('a'))
    listed = core.list_namespaced_config_map(ns)
    core.patch_namespaced_config_map('a', ns, {'data': {'k': '1'}})
    core.create_namespaced_config_map(ns, config_map('b'))
    core.delete_namespaced_config_map('a', ns)

    def events(rev, count):
        got, w = [], watch.Watch()
        for e in w.stream(core.list_namespaced_config_map, ns, resource_version=rev, timeout_seconds=10):
            if e['object'].metadata.name == 'kube-root-ca.crt':
                continue
            got.append((e['type'], e['object'].metadata.name, e['object'].metadata.resource_version))
            if len(got) == count:
                w.stop()
        return got
    got = events(listed.metadata.resource_version, 3)
    assert [e[:2] for e in got] == [('MODIFIED', 'a'), ('ADDED', 'b'), ('DELETED', 'a')]
    revs = [int(e[2]) for e in got]
    assert revs == sorted(set(revs))
    assert events(got[0][2], 2) == got[1:]  # goes on where the first event was


def test_watch_sees_what_happens_later(core, ns):
    seen, ready = [], threading.Event()

    def follow():
        w = watch.Watch()
        ready.set()
        for e in w.stream(core.list_namespaced_pod, ns, label_selector='role=x', timeout_seconds=15):
            seen.append((e['type'], e['object'].metadata.name))
            if e['type'] == 'DELETED':
                w.stop()
    t = threading.Thread(target=follow)
    t.start()
    ready.wait()
    core.create_namespaced_pod(ns, pod('a', role='x'))
    core.create_namespaced_pod(ns, pod('b', role='y'))
    eventually(lambda: ('ADDED', 'a') in seen)
    core.patch_namespaced_pod('a', ns, {'metadata': {'labels': {'role': 'y'}}})  # leaves the selection
    t.join(15)
    assert [e for e in seen if e[0] != 'MODIFIED'] == [('ADDED', 'a'), ('DELETED', 'a')]


def test_status_and_scale(apps, ns):
    apps.create_namespaced_deployment(ns, deployment('web', 2))
    scale = apps.read_namespaced_deployment_scale('web', ns)
    assert scale.spec.replicas == 2 and scale.status.selector == 'app=web'

    def scale_to_5():
        s = apps.read_namespaced_deployment_scale('web', ns)
        s.spec.replicas = 5
        return apps.replace_namespaced_deployment_scale('web', ns, s)

    def replace_with_status():  # which is not written through the object
        d = apps.read_namespaced_deployment('web', ns)
        assert d.spec.replicas == 5
        d.status.replicas = 77
        return apps.replace_namespaced_deployment('web', ns, d)
    assert unless_conflict(scale_to_5).spec.replicas == 5
    assert unless_conflict(replace_with_status).status.replicas != 77
    eventually(lambda: apps.read_namespaced_deployment_status('web', ns).status.observed_generation == 2)


def test_node_status_patch(core):
    core.create_node(client.V1Node(metadata=meta('py-node')))
    try:
        core.patch_node_status('py-node', {'status': {'capacity': {'cpu': '4', 'memory': '1048576Ki'}}})
        n = core.read_node('py-node')
        assert n.status.capacity == {'cpu': '4', 'memory': '1Gi'} and n.status.allocatable in (None, n.status.capacity)
        core.patch_node('py-node', {'status': {'capacity': {'cpu': '8'}}})
        assert core.read_node('py-node').status.capacity['cpu'] == '4'
    finally:
        core.delete_node('py-node')


def test_delete_propagation(core, apps, ns):
    owned = lambda: core.list_namespaced_pod(ns).items  # noqa: E731
    apps.create_namespaced_deployment(ns, deployment('web', 2))
    eventually(lambda: len(owned()) == 2)
    apps.delete_namespaced_deployment('web', ns, propagation_policy='Foreground')
    eventually(lambda: not owned() and not apps.list_namespaced_replica_set(ns).items and not apps.list_namespaced_deployment(ns).items)
    apps.create_namespaced_deployment(ns, deployment('web', 1))
    eventually(lambda: len(owned()) == 1)
    apps.delete_namespaced_deployment('web', ns, propagation_policy='Orphan')
    eventually(lambda: not apps.list_namespaced_deployment(ns).items)
    time.sleep(0.5)
    assert len(owned()) == 1
    s = refused(422, apps.delete_namespaced_deployment, 'web', ns, body={'propagationPolicy': 'Sideways'})
    assert 'Sideways' in s['message']


def test_delete_collection(core, ns):
    for i in range(4):
        core.create_namespaced_config_map(ns, config_map(f'c{i}', labels={'odd': str(i % 2)}))
    core.delete_collection_namespaced_config_map(ns, label_selector='odd=1')
    assert {c.metadata.name for c in core.list_namespaced_config_map(ns, label_selector='odd').items} == {'c0', 'c2'}


def test_dry_run_and_field_validation(core, ns):
    made = core.create_namespaced_config_map(ns, config_map('a'), dry_run='All')
    assert made.metadata.uid
    refused(404, core.read_namespaced_config_map, 'a', ns)
    s = refused(422, core.create_namespaced_config_map, ns, config_map('a'), dry_run='Some')
    assert 'dryRun: Unsupported value: ["Some"]: supported values: "All"' in s['message']


def test_secrets_and_services(core, ns):
    s = core.create_namespaced_secret(ns, client.V1Secret(metadata=meta('s'), string_data={'k': 'v'}))
    assert s.data == {'k': 'dg=='} and s.type == 'Opaque' and s.string_data is None
    s = core.create_namespaced_service(ns, client.V1Service(metadata=meta('web'), spec=client.V1ServiceSpec(
        selector={'app': 'web'}, ports=[client.V1ServicePort(port=80, target_port='http')])))
    assert s.spec.cluster_ip.startswith('10.96.') and s.spec.cluster_i_ps == [s.spec.cluster_ip]
    assert s.spec.ports[0].protocol == 'TCP' and s.spec.session_affinity == 'None'
    again = client.V1Service(metadata=meta('other'), spec=client.V1ServiceSpec(
        cluster_ip=s.spec.cluster_ip, ports=[client.V1ServicePort(port=80)]))
    assert 'provided IP is already allocated' in refused(422, core.create_namespaced_service, ns, again)['message']


def test_events(core, ns):
    core.create_namespaced_event(ns, client.CoreV1Event(metadata=meta('e'), reason='Tested', type='Normal', message='m', count=1,
                                 involved_object=client.V1ObjectReference(kind='Pod', name='p', namespace=ns)))
    found = core.list_namespaced_event(ns, field_selector='involvedObject.name=p,reason=Tested')
    assert [e.message for e in found.items] == ['m']


def test_reviews(api, ns):
    auth = client.AuthorizationV1Api(api)
    ask = lambda user, verb, resource: auth.create_subject_access_review(client.V1SubjectAccessReview(  # noqa: E731
        spec=client.V1SubjectAccessReviewSpec(user=user, resource_attributes=client.V1ResourceAttributes(
            namespace=ns, verb=verb, resource=resource)))).status.allowed
    assert not ask('alice', 'get', 'pods')
    rbac = client.RbacAuthorizationV1Api(api)
    rbac.create_namespaced_role(ns, client.V1Role(metadata=meta('r'), rules=[
        client.V1PolicyRule(api_groups=[''], resources=['pods'], verbs=['get'])]))
    rbac.create_namespaced_role_binding(ns, {'metadata': {'name': 'b'}, 'roleRef': {
        'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'Role', 'name': 'r'}, 'subjects': [{'kind': 'User', 'name': 'alice'}]})
    assert ask('alice', 'get', 'pods') and not ask('alice', 'list', 'pods') and not ask('bob', 'get', 'pods')
    own = auth.create_self_subject_access_review(client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(
        resource_attributes=client.V1ResourceAttributes(verb='*', resource='*', group='*'))))
    assert own.status.allowed
    rules = auth.create_self_subject_rules_review(client.V1SelfSubjectRulesReview(spec={'namespace': ns})).status
    assert any('*' in r.verbs for r in rules.resource_rules)


def test_account_token(server, api, core, ns):
    core.create_namespaced_service_account(ns, client.V1ServiceAccount(metadata=meta('bob')))
    body = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600)) \
        if hasattr(client, 'AuthenticationV1TokenRequest') else {'spec': {'expirationSeconds': 600}}
    status = core.create_namespaced_service_account_token('bob', ns, body).status
    assert status.expiration_timestamp and status.token.count('.') == 2
    c = client.Configuration()
    c.host, c.ssl_ca_cert = f'https://127.0.0.1:{server.port}', server.dir + '/ca.crt'
    c.api_key = {'authorization': 'Bearer ' + status.token}
    bob = client.CoreV1Api(client.ApiClient(c))
    s = refused(403, bob.list_namespaced_pod, ns)
    assert s['reason'] == 'Forbidden' and f'User "system:serviceaccount:{ns}:bob" cannot list resource "pods"' in s['message']
    review = client.AuthenticationV1Api(api).create_token_review(client.V1TokenReview(
        spec=client.V1TokenReviewSpec(token=status.token))).status
    assert review.authenticated and review.user.username == f'system:serviceaccount:{ns}:bob'
    assert f'system:serviceaccounts:{ns}' in review.user.groups
    core.delete_namespaced_service_account('bob', ns)
    eventually(lambda: refused(401, bob.list_namespaced_pod, ns))


def test_eviction_and_binding(core, ns):
    core.create_namespaced_pod(ns, pod('a'))
    core.create_namespaced_binding(ns, client.V1Binding(metadata=meta('a'), target=client.V1ObjectReference(
        kind='Node', name='nowhere')), _preload_content=False)
    assert core.read_namespaced_pod('a', ns).spec.node_name == 'nowhere'
    core.create_namespaced_pod_eviction('a', ns, {'metadata': {'name': 'a'}, 'deleteOptions': {'gracePeriodSeconds': 0}})
    refused(404, core.read_namespaced_pod, 'a', ns)


def test_a_binding_is_judged_and_brings_its_labels(core, ns):
    core.create_namespaced_pod(ns, pod('b'))
    uid = core.read_namespaced_pod('b', ns).metadata.uid

    def bind(**more):
        core.create_namespaced_binding(ns, client.V1Binding(
            metadata=client.V1ObjectMeta(name='b', **more),
            target=client.V1ObjectReference(kind='Node', name='nowhere')), _preload_content=False)
    s = refused(409, bind, uid='other')
    assert s['message'] == ('Operation cannot be fulfilled on pods/binding "b": Precondition failed: UID in '
                            f'precondition: other, UID in object meta: {uid}')
    bind(uid=uid, labels={'zone': 'a'}, annotations={'by': 'test'})
    p = core.read_namespaced_pod('b', ns)
    assert p.spec.node_name == 'nowhere' and p.metadata.labels['zone'] == 'a' and p.metadata.annotations['by'] == 'test'
    assert [c.status for c in p.status.conditions if c.type == 'PodScheduled'] == ['True']
    s = refused(409, bind)
    assert s['message'] == ('Operation cannot be fulfilled on pods/binding "b": pod b is already assigned to node '
                            '"nowhere"')


def test_dynamic_client(api, ns):
    d = dynamic.DynamicClient(api)
    maps = d.resources.get(api_version='v1', kind='ConfigMap')
    maps.create(body={'metadata': {'name': 'a'}, 'data': {'k': '1'}}, namespace=ns)
    assert maps.get(name='a', namespace=ns).data.k == '1'
    maps.patch(name='a', namespace=ns, body={'data': {'k': None}}, content_type='application/merge-patch+json')
    assert not maps.get(name='a', namespace=ns).data
    kinds = {r.kind for r in d.resources.search(group='apps')}
    assert {'Deployment', 'StatefulSet'} <= kinds


def test_create_from_yaml(api, apps, core, ns, tmp_path):
    f = tmp_path / 'all.yaml'
    f.write_text('''
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web}
  spec:
    selector: {matchLabels: {a: b}}
    template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}
''')
    utils.create_from_yaml(api, str(f), namespace=ns)
    assert apps.read_namespaced_deployment('web', ns).spec.replicas == 1
    core.read_namespaced_config_map('a', ns)
