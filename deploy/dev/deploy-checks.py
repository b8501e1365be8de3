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
    expect(len(rules) >= 10, 'fewer than 10 rules')
    for rule in rules:
        name = rule.split('\n', 1)[0].strip()
        expression = re.search(r'expr: (.*?)\n        (?:for|labels):', rule, re.S)
        expect(expression, f'{name}: no expr')
        if expression:
            known(metrics_used(expression[1]), contract, name)
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
    used = set()
    for panel in panels:
        for target in panel.get('targets', []):
            used |= metrics_used(target['expr'])
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
        expect(stop >= drain + 20, f'{unit.name}: is killed after {stop} s, while sessions drain for {drain} s and the recorder for 20 s')
        for named in re.findall(r'/run/credentials/([^/"]+)/', file.read_text()):
            expect(named == name, f'{file.name}: names credentials of {named}, is read by {name}')
        socket = tomllib.loads(file.read_text()).get('gateway', {}).get('takeover_socket')
        if socket:
            runtime = re.search(r'^RuntimeDirectory=(\S+)$', text, re.M)
            held = runtime and socket.startswith(f'/run/{runtime[1]}/') and 'RuntimeDirectoryPreserve=yes' in text
            expect(held, f'{unit.name}: {socket} is in no runtime directory of it that stays')


def containers(root):
    root = pathlib.Path(root)
    text = (root / 'deploy/containers/Containerfile').read_text()
    toolchain = tomllib.loads((root / 'rust-toolchain.toml').read_text())['toolchain']['channel']
    expect(f'rust:{toolchain}-' in text and f'RUSTUP_TOOLCHAIN={toolchain}\n' in text, f'built with another Rust than {toolchain}')
    expect(re.search(r'^USER 65532', text, re.M), 'it runs as root')
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
    realm = json.loads((secrets / 'realm.json').read_text())
    expect({client['clientId'] for client in realm['clients']} == {'support-agent', 'auditor'}, 'other clients in the realm')


def helm(rendered, out, telemetry):
    import yaml
    out = pathlib.Path(out)
    documents = [document for document in yaml.safe_load_all(pathlib.Path(rendered).read_text()) if document]
    by_kind = {}
    for document in documents:
        by_kind.setdefault(document['kind'], {})[document['metadata']['name']] = document
    expect(set(by_kind['Deployment']) == {'site-tallyport-gateway', 'site-tallyport-query'}, 'other deployments')
    expect(set(by_kind['StatefulSet']) == {'site-tallyport-recorder'}, 'other stateful sets')
    for kind in ('Service', 'ConfigMap', 'ServiceAccount', 'PodDisruptionBudget', 'NetworkPolicy', 'PodMonitor', 'PrometheusRule'):
        expect(kind in by_kind, f'no {kind}')
    maps = by_kind['ConfigMap']
    for document in [*by_kind['Deployment'].values(), *by_kind['StatefulSet'].values()]:
        name, spec = document['metadata']['name'], document['spec']['template']['spec']
        labels = document['spec']['template']['metadata']['labels']
        expect(document['spec']['selector']['matchLabels'].items() <= labels.items(), f'{name}: selects other pods')
        pod, container = spec['securityContext'], spec['containers'][0]
        own = container['securityContext']
        expect(pod['runAsNonRoot'] and pod['seccompProfile']['type'] == 'RuntimeDefault', f'{name}: {pod}')
        expect(own['readOnlyRootFilesystem'] and own['capabilities']['drop'] == ['ALL'] and not own['allowPrivilegeEscalation'], f'{name}: {own}')
        expect(spec['automountServiceAccountToken'] is False, f'{name} gets a token of the cluster')
        expect(spec['terminationGracePeriodSeconds'] >= 60 + 20, f'{name}: is killed while it drains')
        volumes = {volume['name']: volume for volume in spec['volumes']}
        for mount in container['volumeMounts']:
            expect(mount['name'] in volumes, f'{name}: no volume {mount["name"]}')
        for volume in volumes.values():
            named = volume.get('configMap', {}).get('name')
            expect(not named or named in maps or named == 'tallyport-ca', f'{name}: no config map {named}')
        ports = {port['name'] for port in container['ports']}
        probes = [probe for kind in ('startupProbe', 'livenessProbe', 'readinessProbe') for probe in [container.get(kind)] if probe]
        expect(len(probes) == 3 or telemetry == 'false', f'{name}: {len(probes)} probes')
        for probe in probes:
            expect((probe.get('httpGet') or probe['tcpSocket'])['port'] in ports, f'{name}: a probe of no port of its own')
    for service in by_kind['Service'].values():
        expect({port['protocol'] for port in service['spec']['ports']} <= {'UDP', 'TCP'}, 'protocols of a service')
    gateway = by_kind['Service']['site-tallyport-gateway']['spec']['ports']
    expect(sorted(port['protocol'] for port in gateway) == ['TCP', 'UDP'], 'the gateway is not reached over QUIC and TCP')
    for group in by_kind['PrometheusRule']['site-tallyport']['spec']['groups']:
        for rule in group['rules']:
            expect(rule['annotations']['runbook_url'].startswith('https://'), f'{rule["alert"]}: runbook without its base')
    out.mkdir(exist_ok=True)
    for role in ('gateway', 'recorder', 'query'):
        (out / f'{role}.toml').write_text(maps[f'site-tallyport-{role}']['data'][f'{role}.toml'])
    for folder, name in (('policy', 'site-tallyport-policy'), ('masking', 'site-tallyport-masking')):
        (out / folder).mkdir(exist_ok=True)
        for file, text in maps[name]['data'].items():
            (out / folder / file).write_text(text)


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


CHECKS = [alerts, dashboard, units, containers, compose, helm, cyclonedx, deb]
named = {check.__name__: check for check in CHECKS}
named[sys.argv[1]](*sys.argv[2:])
for problem in PROBLEMS:
    print(problem, file=sys.stderr)
sys.exit(1 if PROBLEMS else 0)
