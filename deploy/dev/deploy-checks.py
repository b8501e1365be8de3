"""What check-deploy looks into files for: deploy-checks.py CHECK ARGUMENT...; says what is wrong and ends with 1."""
import json
import pathlib
import re
import sys
import tomllib

PROBLEMS = []


def expect(condition, problem):
    if not condition:
        PROBLEMS.append(problem)


def metrics_of_contract(root):
    """Names in backticks of the reference, with what a histogram is read by; process_* are the platform's own."""
    text = (root / 'docs/reference/metrics.md').read_text()
    names = set(re.findall(r'`(tallyport_[a-z0-9_]+)', text))
    expect(len(names) > 10, 'docs/reference/metrics.md names hardly any metric')
    histograms = {name for name in names if name.endswith('_seconds')}
    return names | {name + suffix for name in histograms for suffix in ('_bucket', '_count', '_sum')}


def metrics_used(expression):
    bare = re.sub(r'"(\\.|[^"\\])*"', '""', expression)
    return set(re.findall(r'\b(?:tallyport|process)_[a-z0-9_]+', bare))


def labels_of_contract(root):
    """By metric, the labels of its row of the reference; what Prometheus adds itself beside them."""
    text = (root / 'docs/reference/metrics.md').read_text()
    rows = re.findall(r'^\| `(tallyport_[a-z0-9_]+)` \| [a-z]+ \|([^|]*)\|', text, re.M)
    expect(len(rows) > 10, 'docs/reference/metrics.md: hardly any row has labels')
    return {name: set(re.findall(r'`([a-z_]+)`', labels)) | {'instance', 'job', 'le'} for name, labels in rows}


def labels_exist(expression, labels, where):
    """What is matched and what is summed by must be there, or the sum is of nothing."""
    named = set()
    for name, matched in re.findall(r'(tallyport_[a-z0-9_]+)(?:\{([^}]*)\})?', expression):
        has = labels.get(re.sub(r'_(bucket|count|sum)$', '', name), set())
        named |= has
        for label in re.findall(r'([a-z_]+)\s*(?:=~|!~|!=|=)', matched):
            expect(label in has, f'{where}: {name} has no label `{label}`')
    for by in re.findall(r'by \(([^)]*)\)', expression):
        for label in (label.strip() for label in by.split(',')):
            expect(not named or label in named, f'{where}: nothing in it has a label `{label}`')


def known(used, contract, where):
    for name in sorted(used):
        expect(name in contract or name.startswith('process_'), f'{where}: `{name}` is not in docs/reference/metrics.md')


def alerts(root):
    """Rules without a YAML library: the file keeps one key a line."""
    root = pathlib.Path(root)
    contract = metrics_of_contract(root)
    operations = (root / 'docs/operations.md').read_text()
    anchors = {re.sub(r'[^a-z0-9 -]', '', line.lstrip('# ').lower()).replace(' ', '-')
               for line in operations.splitlines() if line.startswith('#')}
    text = (root / 'deploy/alerts/tallyport.rules.yaml').read_text()
    rules = re.split(r'^      - alert: ', text, flags=re.M)[1:]
    labels = labels_of_contract(root)
    cases = (root / 'deploy/alerts/tallyport.tests.yaml').read_text()
    tried = set(re.findall(r'^        alertname: (\S+)$', cases, re.M))
    expect(len(rules) >= 10, 'fewer than 10 rules')
    for rule in rules:
        name = rule.split('\n', 1)[0].strip()
        expression = re.search(r'expr: (.*?)\n        (?:for|labels):', rule, re.S)
        expect(expression, f'{name}: no expr')
        if expression:
            known(metrics_used(expression[1]), contract, name)
            labels_exist(expression[1], labels, name)
        expect(name in tried, f'{name}: deploy/alerts/tallyport.tests.yaml never has it fire')
        for key in ('summary:', 'description:', 'runbook_url:', 'severity:'):
            expect(key in rule, f'{name}: no {key[:-1]}')
        link = re.search(r'runbook_url: docs/operations\.md#(\S+)', rule)
        expect(link and link[1] in anchors, f'{name}: its runbook is no section of docs/operations.md')


def dashboard(root):
    root = pathlib.Path(root)
    contract = metrics_of_contract(root)
    board = json.loads((root / 'deploy/dashboards/tallyport.json').read_text())
    expect(board['schemaVersion'] >= 39, 'schemaVersion is old')
    variables = {variable['name']: variable for variable in board['templating']['list']}
    expect(variables.get('datasource', {}).get('type') == 'datasource', 'no variable for the data source')
    panels = board['panels']
    ids = [panel['id'] for panel in panels]
    expect(len(ids) == len(set(ids)), 'two panels of one id')
    rows = {panel['title'] for panel in panels if panel['type'] == 'row'}
    expect({'Log', 'Gateway', 'Recorder', 'Query'} <= rows, f'rows: {sorted(rows)}')
    used, labels = set(), labels_of_contract(root)
    for panel in panels:
        for target in panel.get('targets', []):
            used |= metrics_used(target['expr'])
            labels_exist(target['expr'], labels, panel['title'])
            expect(target['datasource']['uid'] == '${datasource}', f'{panel["title"]}: a data source of its own')
    known(used, contract, 'dashboard')
    shown = {re.sub(r'_(bucket|count|sum)$', '', name) for name in used}
    for name in sorted(name for name in contract if not re.search(r'_(bucket|count|sum)$', name)):
        expect(name in shown, f'dashboard: `{name}` is shown nowhere')


def units(root):
    root = pathlib.Path(root)
    for unit in sorted((root / 'deploy/systemd').glob('*.service')):
        text = unit.read_text()
        # Of a template, one instance: blue.
        name = unit.name.replace('@.', '@blue.')
        config = re.search(r'--config /etc/tallyport/(\S+)', text)
        file = root / 'deploy/systemd' / (config[1].replace('%i', 'blue') if config else 'none')
        expect(file.is_file(), f'{unit.name}: no example of {file.name}')
        expect('RestartPreventExitStatus=2 4' in text, f'{unit.name}: starts again where that does not help')
        if not file.is_file():
            continue
        drain = tomllib.loads(file.read_text()).get('gateway', {}).get('drain_seconds', 30)
        stop = int(re.search(r'TimeoutStopSec=(\d+)s', text)[1])
        # As each says of itself: cli/src/services/gateway.rs, query/src/service.rs, recorder/src/config.rs, and 15 s of an appender.
        most = {'gateway': drain + 75, 'query': 40, 'recorder': 40}
        roles = [role for role in most if role in unit.name] or list(most)
        longest = sum(most[role] for role in roles)
        expect(stop >= longest, f'{unit.name}: is killed after {stop} s, and may take {longest} s')
        for named in re.findall(r'/run/credentials/([^/"]+)/', file.read_text()):
            expect(named == name, f'{file.name}: names credentials of {named}, is read by {name}')
        socket = tomllib.loads(file.read_text()).get('gateway', {}).get('takeover_socket')
        if socket:
            runtime = re.search(r'^RuntimeDirectory=(\S+)$', text, re.M)
            held = runtime and socket.startswith(f'/run/{runtime[1]}/') and 'RuntimeDirectoryPreserve=yes' in text
            expect(held, f'{unit.name}: {socket} is in no runtime directory of it that stays')


    for unit in sorted((root / 'deploy/systemd').glob('*.socket')):
        served = tomllib.loads((root / f'deploy/systemd/{unit.stem.removeprefix("tallyport-")}.toml').read_text())['query']
        held = re.findall(r'^ListenStream=(\S+)$', unit.read_text(), re.M)
        expect(held == [served['http'], served['pgwire']], f'{unit.name}: listens on {held}, which is not what {served} says')


def containers(root):
    root = pathlib.Path(root)
    text = (root / 'deploy/containers/Containerfile').read_text()
    toolchain = tomllib.loads((root / 'rust-toolchain.toml').read_text())['toolchain']['channel']
    expect(f'rust:{toolchain}-' in text and f'RUSTUP_TOOLCHAIN={toolchain}\n' in text, f'built with another Rust than {toolchain}')
    expect(re.search(r'^USER 65532', text, re.M), 'it runs as root')
    # One version everywhere: what is released is what the files name.
    version = tomllib.loads((root / 'Cargo.toml').read_text())['workspace']['package']['version']
    chart = (root / 'deploy/helm/tallyport/Chart.yaml').read_text()
    for key in ('version', 'appVersion'):
        said = re.search(rf'^{key}: "?([^"\n]+)', chart, re.M)
        expect(said and said[1] == version, f'Chart.yaml: {key} is not {version}')
    tags = set(re.findall(r'image: tallyport-[a-z]+:(\S+)', (root / 'deploy/compose/compose.yaml').read_text()))
    expect(tags == {version}, f'compose.yaml: images of {sorted(tags)}, not of {version}')
    last = re.findall(r'^FROM (\S+)', text, re.M)[-1]
    expect(last.startswith('docker.io/library/debian:'), f'{last}: does it have `sleep`, which the chart runs before a pod ends?')
    expect('deploy/release/build' in text, 'it does not build as a release is built')
    ignored = (root / '.dockerignore').read_text().split('\n')
    for path in ('.git', 'target', 'deploy/compose/secrets'):
        expect(path in ignored, f'.dockerignore: {path} would go into the build')


def compose(root, secrets):
    import yaml
    root, secrets = pathlib.Path(root), pathlib.Path(secrets)
    here = root / 'deploy/compose'
    site = yaml.safe_load((here / 'compose.yaml').read_text())
    services = site['services']
    for kind in ('secrets', 'configs'):
        for name, given in site[kind].items():
            file = given['file']
            path = secrets / file.removeprefix('secrets/') if file.startswith('secrets/') else here / file
            expect(path.is_file(), f'{kind}.{name}: {file} is not there, and init does not make it')
    for name, service in services.items():
        for kind in ('secrets', 'configs'):
            for used in service.get(kind, []):
                used = used['source'] if isinstance(used, dict) else used
                expect(used in site[kind], f'{name}: {kind} has no {used}')
        for other, how in service.get('depends_on', {}).items():
            expect(other in services, f'{name} depends on {other}, which is not there')
            if how['condition'] == 'service_healthy':
                expect('healthcheck' in services.get(other, {}), f'{name} waits for the health of {other}, which has no check')
        for volume in service.get('volumes', []):
            source = volume.split(':')[0]
            path = secrets / source.removeprefix('./secrets/') if source.startswith('./secrets/') else here / source
            expect(source in site['volumes'] or path.exists(), f'{name}: volume {source} is not there')
        for file in service.get('env_file', []):
            expect((secrets / file.removeprefix('secrets/')).is_file(), f'{name}: {file} is not made by init')
        expect('ALL' in service.get('cap_drop', []), f'{name} keeps capabilities')
        expect('no-new-privileges:true' in service.get('security_opt', []), f'{name} may gain privileges')
        expect(re.search(r':[^:/]+$', service['image']) and not service['image'].endswith(':latest'), f'{name}: no version of its image')
    for name in ('gateway', 'recorder', 'query', 'agent', 'auditor'):
        expect(services[name].get('read_only') is True, f'{name}: its root can be written')
        expect(str(services[name].get('user', '')).startswith('65532'), f'{name} runs as root')
    inside = {name: str(service.get('command', '')) for name, service in services.items()}
    for name in ('gateway', 'recorder', 'query'):
        expect(f'/etc/tallyport/{name}.toml' in inside[name], f'{name}: another configuration')
        for path in re.findall(r'/run/secrets/([\w.-]+)', (here / f'config/{name}.toml').read_text()):
            expect(path in services[name].get('secrets', []), f'{name}: its configuration names the secret {path}, which it does not get')
    # The site's own authority vouches for its issuer, and no other knows it.
    agent, auditor = services['agent']['command'], services['auditor']['environment']
    trusts = '/run/secrets/ca.pem'
    expect('--issuer-ca' in agent and agent[agent.index('--issuer-ca') + 1] == trusts, 'agent: does not trust its issuer')
    expect(auditor.get('TALLYPORT_ISSUER_CA') == trusts, 'auditor: does not trust its issuer')
    realm = json.loads((secrets / 'realm.json').read_text())
    expect({client['clientId'] for client in realm['clients']} == {'support-agent', 'auditor'}, 'other clients in the realm')


ROLES = ('gateway', 'recorder', 'query')
CHART = 'deploy/helm/tallyport'
ASKED = {'issuers', 'trust_domains'}
SECTIONS = {'gateway': ASKED | {'console', 'gateway', 'targets'}, 'recorder': {'lake', 'recorder'}, 'query': ASKED | {'lake', 'query'}}
TLS = {'cert': '/etc/tallyport/tls/tls.crt', 'key': '/etc/tallyport/tls/tls.key'}


def by_kind(rendered):
    import yaml
    kinds = {}
    for document in yaml.safe_load_all(pathlib.Path(rendered).read_text()):
        if document:
            kinds.setdefault(document['kind'], {})[document['metadata']['name']] = document
    return kinds


def workloads(kinds):
    """What makes the pods of each role."""
    made = kinds['Deployment'] | kinds['StatefulSet']
    expect(set(made) == {f'site-tallyport-{role}' for role in ROLES}, f'workloads: {sorted(made)}')
    expect(set(kinds['StatefulSet']) == {'site-tallyport-recorder'}, 'other stateful sets')
    return {role: made[f'site-tallyport-{role}'] for role in ROLES}


def merged(under, over):
    if isinstance(under, dict) and isinstance(over, dict):
        return under | {key: merged(under.get(key), value) for key, value in over.items()}
    return over


def values_of(file, telemetry):
    import yaml
    values = yaml.safe_load(pathlib.Path(CHART, 'values.yaml').read_text())
    values = merged(values, yaml.safe_load(pathlib.Path(file).read_text()))
    values['telemetry']['enabled'] = telemetry == 'true'
    return values


def expected_config(role, values):
    """The configuration file that these values mean: all that they say, but what others read; and what the chart sets."""
    foreign = set().union(*(SECTIONS[other] for other in ROLES)) - SECTIONS[role]
    config = {key: value for key, value in values['config'].items() if key not in foreign}
    config['node'] = 'set-by-TALLYPORT_NODE'
    if role != 'recorder':
        config['policy'] = {'path': '/etc/tallyport/policy'}
    if role == 'gateway':
        config['gateway'] = config['gateway'] | TLS | {'listen': '0.0.0.0:8443'}
        config['masking'] = {'path': '/etc/tallyport/masking/masking.toml'}
    if role == 'query':
        config['query'] = config['query'] | TLS | {'http': '0.0.0.0:8444', 'pgwire': '0.0.0.0:5433'}
    telemetry = config.pop('telemetry', {})
    if values['telemetry']['enabled']:
        telemetry = telemetry | {'listen': '0.0.0.0:9464'}
    if values['telemetry']['otlpEndpoint']:
        telemetry = telemetry | {'otlp_endpoint': values['telemetry']['otlpEndpoint']}
    return config | ({'telemetry': telemetry} if telemetry else {})


def pod_is_confined(role, document):
    spec = document['spec']['template']['spec']
    pod, container = spec['securityContext'], spec['containers'][0]
    own = container['securityContext']
    expect(pod['runAsNonRoot'] and pod['seccompProfile']['type'] == 'RuntimeDefault', f'{role}: {pod}')
    expect(own['readOnlyRootFilesystem'] and own['capabilities']['drop'] == ['ALL'] and not own['allowPrivilegeEscalation'], f'{role}: {own}')
    expect(spec['automountServiceAccountToken'] is False, f'{role} gets a token of the cluster')


def pod_has_its_own(role, document, values, kinds):
    """Volumes, Secrets and an account of its own; nothing of another role."""
    spec, given = document['spec']['template']['spec'], values[role]
    container = spec['containers'][0]
    volumes = {volume['name']: volume for volume in spec['volumes']}
    expect(('policy' in volumes) == (role != 'recorder'), f'{role}: volumes {sorted(volumes)}')
    for mount in container['volumeMounts']:
        expect(mount['name'] in volumes, f'{role}: no volume {mount["name"]}')
    for volume in volumes.values():
        named = volume.get('configMap', {}).get('name')
        expect(not named or named in kinds['ConfigMap'] or named == 'tallyport-ca', f'{role}: no config map {named}')
    secrets = {volume['secret']['secretName'] for volume in volumes.values() if 'secret' in volume}
    secrets |= {source['secretRef']['name'] for source in container.get('envFrom', [])}
    allowed = {given['secrets']['existingSecret'], given['secrets'].get('lakeExistingSecret', ''), given.get('tls', {}).get('existingSecret', '')}
    expect(secrets == allowed - {''}, f'{role}: gets the secrets {sorted(secrets)}')
    account = f'site-tallyport-{role}'
    expect(spec['serviceAccountName'] == account, f'{role}: runs as {spec["serviceAccountName"]}')
    annotations = kinds['ServiceAccount'].get(account, {}).get('metadata', {}).get('annotations', {})
    expect(annotations == given['serviceAccount']['annotations'], f'{role}: its account has {annotations}')
    expect(document['metadata'].get('annotations', {}) == given['workloadAnnotations'], f'{role}: annotations of what makes it')


def pod_starts_and_ends(role, document, values):
    labels = document['spec']['template']['metadata']['labels']
    expect(document['spec']['selector']['matchLabels'].items() <= labels.items(), f'{role}: selects other pods')
    expect(set(labels) == {f'app.kubernetes.io/{name}' for name in ('name', 'instance', 'component')}, f'{role}: a new chart restarts it: {labels}')
    spec = document['spec']['template']['spec']
    container = spec['containers'][0]
    ports = {port['name'] for port in container['ports']}
    probes = {kind: container[kind] for kind in ('startupProbe', 'livenessProbe', 'readinessProbe') if kind in container}
    expect(len(probes) == 3 or not values['telemetry']['enabled'], f'{role}: {len(probes)} probes')
    for probe in probes.values():
        expect((probe.get('httpGet') or probe['tcpSocket'])['port'] in ports, f'{role}: a probe of no port of its own')
    if values['telemetry']['enabled']:
        ready = '/readyz?without=targets,stopping' if role == 'gateway' else '/readyz'
        said = probes['readinessProbe']['httpGet']['path']
        expect(said == ready, f'{role}: is ready by {said}')
    # The recorder has no clients that would come to it.
    hook = 0 if role == 'recorder' else values[role]['preStopSeconds']
    said = container.get('lifecycle', {}).get('preStop', {}).get('exec', {}).get('command', [])
    expect(said == (['sleep', str(hook)] if hook else []), f'{role}: before SIGTERM it does {said}')
    drain = values['config']['gateway']['drain_seconds'] if role == 'gateway' else 30
    stop = spec['terminationGracePeriodSeconds']
    record = 75 if role == 'gateway' else 30
    expect(stop == hook + drain + record, f'{role}: is killed after {stop} s, while it waits for {hook} s and drains for {drain} s')


def helm(rendered, out, values_file, telemetry):
    out, values, kinds = pathlib.Path(out), values_of(values_file, telemetry), by_kind(rendered)
    for kind in ('Service', 'PodDisruptionBudget', 'NetworkPolicy'):
        expect(kind in kinds, f'no {kind}')
    for role, document in workloads(kinds).items():
        pod_is_confined(role, document)
        pod_has_its_own(role, document, values, kinds)
        pod_starts_and_ends(role, document, values)
    for service in kinds['Service'].values():
        expect({port['protocol'] for port in service['spec']['ports']} <= {'UDP', 'TCP'}, 'protocols of a service')
    gateway = kinds['Service']['site-tallyport-gateway']['spec']['ports']
    expect(sorted(port['protocol'] for port in gateway) == ['TCP', 'UDP'], 'the gateway is not reached over QUIC and TCP')
    for kind, wanted in (('PodMonitor', 'podMonitor'), ('PrometheusRule', 'prometheusRule')):
        wanted = values['monitoring'][wanted]['enabled'] and (kind != 'PodMonitor' or telemetry == 'true')
        expect((kind in kinds) == wanted, f'{kind}: {"none" if wanted else "one that is not asked for"}')
    for group in kinds.get('PrometheusRule', {}).get('site-tallyport', {}).get('spec', {}).get('groups', []):
        for rule in group['rules']:
            expect(rule['annotations']['runbook_url'].startswith('https://'), f'{rule["alert"]}: runbook without its base')
    out.mkdir(exist_ok=True)
    maps = kinds['ConfigMap']
    for role in ROLES:
        text = maps[f'site-tallyport-{role}']['data'][f'{role}.toml']
        (out / f'{role}.toml').write_text(text)
        said, meant = tomllib.loads(text), expected_config(role, values)
        for key in sorted(said.keys() | meant.keys()):
            # As JSON, for which 1 and 1.0 are two things.
            one, other = (json.dumps(config.get(key), sort_keys=True) for config in (said, meant))
            expect(one == other, f'{role}.toml: {key} is {one}, and the values mean {other}')
    for folder, name in (('policy', 'site-tallyport-policy'), ('masking', 'site-tallyport-masking')):
        (out / folder).mkdir(exist_ok=True)
        for file, text in maps[name]['data'].items():
            (out / folder / file).write_text(text)


def helm_sections(root, *values_files):
    """Every section of the reference, and every table in one, is in a values file that is checked."""
    import yaml
    given = [yaml.safe_load(pathlib.Path(file).read_text())['config'] for file in values_files]
    text = pathlib.Path(root, 'docs/reference/configuration-keys.md').read_text()
    keys = [key.split('.') for key in re.findall(r'^\| `([^`]+)` \|', text, re.M)]
    expect(len(keys) > 100, 'docs/reference/configuration-keys.md names hardly any key')
    sections = {tuple(key[:2] if len(key) > 2 and '[' not in key[0] else key[:1]) for key in keys if len(key) > 1}
    # These the chart has values of its own for.
    for section in sorted(sections - {('policy',), ('masking',), ('query',)}):
        found = given
        for part in section:
            found = [config[part.split('[')[0]] for config in found if config.get(part.split('[')[0])]
        expect(found, f'no values file has [{".".join(section)}]')


def helm_documented(root, values_file):
    """The steps of docs/install.md make every Secret and ConfigMap that the example names, with the files that it names."""
    import yaml
    text = pathlib.Path(root, 'docs/install.md').read_text().replace('\\\n', ' ')
    made = {name: rest for name, rest in re.findall(r'create (?:secret tls|secret generic|configmap) (\S+)(.*)', text)}
    values = yaml.safe_load(pathlib.Path(values_file).read_text())
    for role in ROLES:
        named = set(values[role].get('secrets', {}).values()) | {values[role].get('tls', {}).get('existingSecret')}
        expect(named - {None} <= made.keys(), f'docs/install.md does not make all of {sorted(named - {None})}')
    said = json.dumps(values['config'])
    for folder, owners in (('secrets', ['tallyport-gateway']), ('ca', [values['caConfigMap']])):
        for file in re.findall(rf'/etc/tallyport/{folder}/([^"&?, ]+)', said):
            expect(any(f'--from-file={file}' in made.get(owner, '') for owner in owners), f'docs/install.md puts {file} nowhere')


def helm_secrets(out, role_file):
    """Makes the files that a role's file names below secrets and ca, as its Secret and the ConfigMap would have them."""
    import base64, hashlib, shutil
    out, text = pathlib.Path(out), pathlib.Path(role_file).read_text()
    for folder, name in set(re.findall(r'/etc/tallyport/(secrets|ca)/([^"&?, ]+)', text)):
        (out / folder).mkdir(exist_ok=True)
        # Keys and certificates are those of the directory; a webhook's secret has a form.
        made = {'.key': 'tls/server.key', '.crt': 'tls/server.pem', '.pem': 'tls/server.pem'}.get(pathlib.Path(name).suffix)
        if made:
            shutil.copy(out / made, out / folder / name)
        else:
            random = base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()
            (out / folder / name).write_text(('whsec_' if name.endswith('.secret') else '') + random)


def helm_unknown(rendered, role):
    """What check-deploy puts into [later]. The library that reads YAML here does not take one of its characters: cut out by hand."""
    import textwrap
    text = re.search(rf'^  {role}.toml: \|\n((?:    .*\n)+)', pathlib.Path(rendered).read_text(), re.M)[1]
    later = tomllib.loads(textwrap.dedent(text)).get('later')
    meant = {'a.b': {'ü "c" \\ # \x07\x7f': [10000000000, -1, 0.25, 1e-7, True, ['x', []], {}, {}]}}
    expect(json.dumps(later) == json.dumps(meant), f'{role}.toml: [later] is {later}')


def helm_same_pods(one, other, *roles):
    """The pods of these roles are the same in two renderings: nothing restarts them."""
    one, other = workloads(by_kind(one)), workloads(by_kind(other))
    for role in ROLES:
        same = one[role]['spec'] == other[role]['spec']
        expect(same == (role in roles), f'{role}: {"restarts" if not same else "does not change"}')


def cyclonedx(file):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    text = pathlib.Path(file).read_text()
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    expect(wrong is None, f'{file}: {wrong}')
    bill = json.loads(text)
    refs = {component['bom-ref'] for component in bill['components']} | {bill['metadata']['component']['bom-ref']}
    for dependency in bill['dependencies']:
        expect({dependency['ref'], *dependency['dependsOn']} <= refs, f'{file}: {dependency["ref"]} depends on what is not listed')


def deb(root):
    root = pathlib.Path(root)
    cli = root / 'cli'
    package = tomllib.loads((cli / 'Cargo.toml').read_text())['package']['metadata']['deb']
    files = [source for source, *_ in package['assets'] if not source.startswith('target/')]
    for source in [*files, package['license-file'][0], package['maintainer-scripts']]:
        expect((cli / source).exists(), f'cli/Cargo.toml: {source} is not there')
    installed = {place + (pathlib.Path(source).name if place.endswith('/') else '') for source, place, _ in package['assets']}
    for unit in (root / 'deploy/systemd').glob('*.service'):
        expect(f'usr/lib/systemd/system/{unit.name}' in installed, f'{unit.name} is not in the package')
    for conf in package['conf-files']:
        expect(conf.lstrip('/') in installed, f'{conf} is no file of the package')


CHECKS = [alerts, dashboard, units, containers, compose, helm, helm_sections, helm_documented, helm_secrets, helm_unknown, helm_same_pods, cyclonedx, deb]
named = {check.__name__: check for check in CHECKS}
named[sys.argv[1]](*sys.argv[2:])
for problem in PROBLEMS:
    print(problem, file=sys.stderr)
sys.exit(1 if PROBLEMS else 0)
