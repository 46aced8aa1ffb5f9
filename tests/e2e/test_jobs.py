"""Jobs with their policies, by kubectl and real containers: per-index back-off, failure and success policies, suspension,
ttl, and a server that is killed while pods end."""
import http.client
import json
import time

from cluster import SLEEP, cluster, eventually, ns, shell  # noqa: F401


def job(name, script, **spec):
    pod = {'containers': [shell(script)], 'restartPolicy': 'Never', 'terminationGracePeriodSeconds': 1}
    return {'apiVersion': 'batch/v1', 'kind': 'Job', 'metadata': {'name': name}, 'spec': dict({'template': {'spec': pod}}, **spec)}


def apply(ns, obj):
    ns.kubectl('apply', '-f', '-', input=json.dumps(obj))


def condition(j, kind):
    return next((c for c in j.get('status', {}).get('conditions', []) if c['type'] == kind and c['status'] == 'True'), None)


def wait_for(ns, name, kind, timeout=60):
    """As a user waits; the Job then."""
    ns.kubectl('wait', '--for=condition=' + kind, 'job/' + name, f'--timeout={timeout}s', timeout=timeout + 10)
    return ns.get('jobs', name)


def test_one_index_fails_and_the_others_are_done(ns):
    script = 'echo try of $JOB_COMPLETION_INDEX on $HOSTNAME; [ $JOB_COMPLETION_INDEX != 1 ]'
    apply(ns, job('j', script, completions=3, parallelism=3, completionMode='Indexed', backoffLimitPerIndex=1))
    j = wait_for(ns, 'j', 'Failed')
    assert j['status']['failedIndexes'] == '1' and j['status']['completedIndexes'] == '0,2'
    assert j['status']['succeeded'] == 2 and j['status']['failed'] == 2
    assert condition(j, 'Failed')['reason'] == 'FailedIndexes'
    assert condition(j, 'Failed')['message'] == 'Job has failed indexes'
    tries = [p for p in ns.items('pods') if p['metadata']['labels']['batch.kubernetes.io/job-completion-index'] == '1']
    counts = sorted(p['metadata']['annotations']['batch.kubernetes.io/job-index-failure-count'] for p in tries)
    assert counts == ['0', '1'] and all(p['metadata']['name'].startswith('j-1-') for p in tries)
    made = sorted(p['metadata']['creationTimestamp'] for p in tries)
    began, again = (time.mktime(time.strptime(t, '%Y-%m-%dT%H:%M:%SZ')) for t in made)
    assert again - began >= 10
    assert ns.log(tries[0]['metadata']['name']) == 'try of 1 on j-1\n'
    assert ('FailedIndexes', 'Job has failed indexes') in ns.events('j')


def test_exit_code_that_fails_the_job_at_once(ns):
    rules = [{'action': 'Ignore', 'onExitCodes': {'operator': 'In', 'values': [7]}},
             {'action': 'FailJob', 'onExitCodes': {'containerName': 'c', 'operator': 'In', 'values': [42]}}]
    apply(ns, job('j', 'exit 42', backoffLimit=6, podFailurePolicy={'rules': rules}))
    j = wait_for(ns, 'j', 'Failed')
    pod = ns.items('pods')[0]['metadata']['name']
    said = f'Container c for pod {ns.name}/{pod} failed with exit code 42 matching FailJob rule at index 1'
    for kind in 'FailureTarget', 'Failed':
        assert condition(j, kind)['reason'] == 'PodFailurePolicy' and condition(j, kind)['message'] == said
    assert j['status']['failed'] == 1 and len(ns.items('pods')) == 1
    assert ('PodFailurePolicy', said) in ns.events('j')


def test_success_policy_ends_what_still_runs(ns):
    script = f'[ $JOB_COMPLETION_INDEX = 0 ] && exit 0; {SLEEP}'
    apply(ns, job('j', script, completions=3, parallelism=3, completionMode='Indexed',
                  successPolicy={'rules': [{'succeededIndexes': '0', 'succeededCount': 1}]}))
    j = wait_for(ns, 'j', 'Complete')
    for kind in 'SuccessCriteriaMet', 'Complete':
        assert condition(j, kind)['reason'] == 'SuccessPolicy' and condition(j, kind)['message'] == 'Matched rules at index 0'
    assert j['status']['completedIndexes'] == '0' and j['status']['succeeded'] == 1 and not j['status'].get('failed')
    assert not j['status'].get('active') and j['status']['terminating'] == 0
    assert [p['status']['phase'] for p in ns.items('pods')] == ['Succeeded']


def test_suspend_and_resume_then_gone_by_ttl(ns):
    apply(ns, job('j', '[ -e /tmp/x ] || sleep 3', backoffLimit=0, ttlSecondsAfterFinished=3))
    ns.wait('jobs', 'j', lambda j: j.get('status', {}).get('ready') == 1)
    ns.kubectl('patch', 'job', 'j', '-p', '{"spec":{"suspend":true}}')
    j = wait_for(ns, 'j', 'Suspended')
    assert condition(j, 'Suspended')['reason'] == 'JobSuspended'
    eventually(lambda: not ns.items('pods'))
    j = ns.get('jobs', 'j')
    assert 'startTime' not in j['status'] and not j['status'].get('failed') and not condition(j, 'Failed')
    ns.kubectl('patch', 'job', 'j', '-p', '{"spec":{"suspend":false}}')
    j = wait_for(ns, 'j', 'Complete')
    assert j['status']['succeeded'] == 1 and condition(j, 'Complete')['reason'] == 'CompletionsReached'
    reasons = [r for r, _ in ns.events('j')]
    assert all(r in reasons for r in ('SuccessfulCreate', 'SuccessfulDelete', 'Suspended', 'Resumed', 'Completed'))
    ns.gone('jobs', 'j', 20)
    eventually(lambda: not ns.items('pods'), 20)


def test_killed_server_counts_each_pod_once(cluster, ns):  # noqa: F811
    apply(ns, job('j', 'sleep 0.$((RANDOM % 9)); [ $((RANDOM % 4)) != 0 ]', completions=16, parallelism=4,
                  completionMode='Indexed', backoffLimitPerIndex=0, maxFailedIndexes=16))

    def ended(least):
        try:
            j = ns.get('jobs', 'j')
        except (OSError, AssertionError, ValueError, http.client.HTTPException):  # the server is away
            return None
        s = j.get('status', {})
        over = condition(j, 'Failed') or condition(j, 'Complete')
        return j if over or s.get('succeeded', 0) + s.get('failed', 0) >= least else None
    for least in 1, 4, 8, 12:
        eventually(lambda: ended(least), 60)
        cluster.kill(cluster.process('server'))
    j = eventually(lambda: ended(100), 90)
    pods = ns.items('pods')
    phases = [p['status']['phase'] for p in pods]
    assert j['status'].get('succeeded', 0) == phases.count('Succeeded') and j['status'].get('failed', 0) == phases.count('Failed')
    assert len(pods) == 16 and not any(p['metadata'].get('finalizers') for p in pods)
    assert j['status']['uncountedTerminatedPods'] == {}


# CronJobs

def test_cronjob_makes_jobs_and_one_by_hand(ns):
    template = job('x', 'echo tick')['spec']
    apply(ns, {'apiVersion': 'batch/v1', 'kind': 'CronJob', 'metadata': {'name': 'tick'}, 'spec': {
        'schedule': '@every 1s', 'timeZone': 'Etc/UTC', 'jobTemplate': {'metadata': {'labels': {'a': 'b'}}, 'spec': template}}})
    c = ns.wait('cronjobs', 'tick', lambda c: c.get('status', {}).get('lastSuccessfulTime'))
    assert c['status']['lastScheduleTime']
    made = ns.items('jobs', 'a=b')[0]['metadata']
    assert made['name'].startswith('tick-') and made['ownerReferences'][0]['kind'] == 'CronJob'
    assert 'batch.kubernetes.io/cronjob-scheduled-timestamp' in made['annotations']
    ns.kubectl('create', 'job', 'by-hand', '--from=cronjob/tick')
    wait_for(ns, 'by-hand', 'Complete')
    events = ns.events('tick')
    assert ('SuccessfulCreate', 'Created job ' + made['name']) in events
    assert ('SawCompletedJob', f'Saw completed job: {made["name"]}, status: Complete') in events
    assert ('UnexpectedJob', 'Saw a job that the controller did not create or forgot: by-hand') in events
    ns.kubectl('delete', 'cronjob', 'tick')
    eventually(lambda: not ns.items('jobs') and not ns.items('pods'))
