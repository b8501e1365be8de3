{{- define "tallyport.fullname" -}}
{{- if contains "tallyport" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-tallyport" (.Release.Name | trunc 30) }}{{ end }}
{{- end }}

{{/* Each role has its own, as cloud roles are bound to it. */}}
{{- define "tallyport.serviceAccount" -}}
{{- $account := (index .root.Values .role).serviceAccount }}
{{- $account.name | default (ternary (printf "%s-%s" (include "tallyport.fullname" .root) .role) "default" $account.create) }}
{{- end }}

{{/* Labels of everything; with a role: dict "root" $ "role" "gateway". */}}
{{- define "tallyport.labels" -}}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "tallyport.selector" . }}
{{- end }}

{{- define "tallyport.selector" -}}
app.kubernetes.io/name: tallyport
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .role }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "tallyport.image" -}}
{{- $own := (index .root.Values .role).image -}}
{{ .root.Values.image.repository }}-{{ .role }}{{ if $own.digest }}@{{ $own.digest }}{{ else }}:{{ $own.tag | default .root.Values.image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* The pod of a role: dict "root" $ "role" "gateway". */}}
{{- define "tallyport.pod" -}}
{{- $values := index .root.Values .role }}
{{- $tls := and (ne .role "recorder") $values.tls.existingSecret }}
metadata:
  # Not the chart's version: a new chart alone restarts nothing.
  labels: {{- include "tallyport.selector" . | nindent 4 }}
  annotations:
    # The file is read at the start.
    checksum/config: {{ include "tallyport.config" . | sha256sum }}
    {{- with $values.annotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "tallyport.serviceAccount" . }}
  automountServiceAccountToken: false
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 4 }}
  # The hook, then: sessions drain for gateway.drain_seconds and their ends go on record, 75 s where the log takes nothing; recorder and
  # query take up to 40 s.
  terminationGracePeriodSeconds: {{ include "tallyport.stopSeconds" . }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
  {{- with index $values $key }}
  {{ $key }}: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - name: {{ .role }}
      image: {{ include "tallyport.image" . | quote }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: [{{ .role }}, --config, /etc/tallyport/config/{{ .role }}.toml, --log-json]
      securityContext: {{- toYaml .root.Values.securityContext | nindent 8 }}
      env:
        - name: TALLYPORT_NODE
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- with $values.extraEnv }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with $values.secrets.lakeExistingSecret }}
      envFrom:
        - secretRef: {name: {{ . }}}
      {{- end }}
      ports: {{- include "tallyport.ports" . | nindent 8 }}
      {{- include "tallyport.probes" . | nindent 6 }}
      {{- if $values.preStopSeconds }}
      # It serves on until no node sends it anything new: after SIGTERM it refuses that at once.
      lifecycle: {preStop: {exec: {command: [sleep, {{ int $values.preStopSeconds | quote }}]}}}
      {{- end }}
      resources: {{- toYaml $values.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/tallyport/config, readOnly: true}
        - {name: state, mountPath: /var/lib/tallyport}
        - {name: tmp, mountPath: /tmp}
        {{- if $tls }}
        - {name: tls, mountPath: /etc/tallyport/tls, readOnly: true}
        {{- end }}
        {{- include "tallyport.optional" (dict "root" .root "role" .role "what" "mount") | nindent 8 }}
  volumes:
    - {name: config, configMap: {name: {{ include "tallyport.fullname" .root }}-{{ .role }}}}
    - {name: state, emptyDir: {}}
    - {name: tmp, emptyDir: {}}
    {{- if $tls }}
    - {name: tls, secret: {secretName: {{ $values.tls.existingSecret }}, defaultMode: 0440}}
    {{- end }}
    {{- include "tallyport.optional" (dict "root" .root "role" .role "what" "volume") | nindent 4 }}
{{- end }}

{{/* Volumes that a role has where it needs them or the values name them, and their mounts. */}}
{{- define "tallyport.optional" -}}
{{- $mount := eq .what "mount" }}
{{- with (index .root.Values .role).secrets.existingSecret }}
- {{ if $mount }}{name: secrets, mountPath: /etc/tallyport/secrets, readOnly: true}{{ else }}{name: secrets, secret: {secretName: {{ . }}, defaultMode: 0440}}{{ end }}
{{- end }}
{{- with .root.Values.caConfigMap }}
- {{ if $mount }}{name: ca, mountPath: /etc/tallyport/ca, readOnly: true}{{ else }}{name: ca, configMap: {name: {{ . }}}}{{ end }}
{{- end }}
{{- if ne .role "recorder" }}
- {{ if $mount }}{name: policy, mountPath: /etc/tallyport/policy, readOnly: true}{{ else }}{name: policy, configMap: {name: {{ .root.Values.policy.existingConfigMap | default (printf "%s-policy" (include "tallyport.fullname" .root)) }}}}{{ end }}
{{- end }}
{{- $masking := .root.Values.masking }}
{{- if and (eq .role "gateway") (or $masking.text $masking.existingConfigMap) }}
- {{ if $mount }}{name: masking, mountPath: /etc/tallyport/masking, readOnly: true}{{ else }}{name: masking, configMap: {name: {{ $masking.existingConfigMap | default (printf "%s-masking" (include "tallyport.fullname" .root)) }}}}{{ end }}
{{- end }}
{{- end }}

{{- define "tallyport.ports" -}}
{{- if eq .role "gateway" }}
- {name: quic, containerPort: 8443, protocol: UDP}
- {name: https, containerPort: 8443, protocol: TCP}
{{- else if eq .role "query" }}
- {name: http, containerPort: 8444, protocol: TCP}
- {name: pgwire, containerPort: 5433, protocol: TCP}
{{- end }}
{{- if or .root.Values.telemetry.enabled (eq .role "recorder") }}
- {name: telemetry, containerPort: {{ .root.Values.telemetry.port }}, protocol: TCP}
{{- end }}
{{- end }}

{{/*
Readiness follows what the role needs; liveness only whether it answers: a log that fails is not mended by a restart.
A gateway stays in its Service while targets are out, since it answers for more than these. And while it drains: nothing new is
sent to a pod that ends, but a pod that is not ready loses the QUIC connections that it has.
*/}}
{{- define "tallyport.probes" -}}
{{- if .root.Values.telemetry.enabled }}
{{- $ready := ternary "/readyz?without=targets,stopping" "/readyz" (eq .role "gateway") }}
startupProbe: {httpGet: {path: /healthz, port: telemetry}, periodSeconds: 2, failureThreshold: 60}
livenessProbe: {httpGet: {path: /healthz, port: telemetry}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
readinessProbe: {httpGet: {path: {{ $ready | quote }}, port: telemetry}, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 3}
{{- else if eq .role "gateway" }}
readinessProbe: {tcpSocket: {port: https}, periodSeconds: 5}
{{- else if and (eq .role "query") .root.Values.query.tls.existingSecret }}
readinessProbe: {tcpSocket: {port: http}, periodSeconds: 5}
{{- end }}
{{- end }}

{{/* How long a pod may take to end, as deploy/systemd has it. */}}
{{- define "tallyport.stopSeconds" -}}
{{- $values := .root.Values }}
{{- $drain := 30 }}
{{- $record := 30 }}
{{- if eq .role "gateway" }}
{{- $record = 75 }}
{{- $said := ($values.config.gateway | default dict).drain_seconds }}
{{- if not (kindIs "invalid" $said) }}{{ $drain = int $said }}{{ end }}
{{- end }}
{{- add $drain $record ((index $values .role).preStopSeconds | default 0) }}
{{- end }}
