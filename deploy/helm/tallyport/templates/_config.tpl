{{/*
The configuration file of a role: what `config` says but for the sections that other roles read, and what the chart sets.
A section that is not known here goes to every role; the binary says whether it knows it. dict "root" $ "role" "gateway".
*/}}
{{- define "tallyport.config" -}}
{{- include "tallyport.config.refuse" .root }}
{{- $values := .root.Values }}
{{- $sections := dict "gateway" (list "console" "gateway" "issuers" "masking" "targets" "trust_domains") "recorder" (list "lake" "recorder") "query" (list "issuers" "lake" "query" "trust_domains") }}
{{- $file := dict }}
{{- range $name, $section := $values.config }}
{{- if or (has $name (index $sections $.role)) (not (has $name (concat $sections.gateway $sections.recorder $sections.query))) }}
{{- $_ := set $file $name $section }}
{{- end }}
{{- end }}
{{- if ne .role "recorder" }}
{{- $_ := set $file .role (merge (include (printf "tallyport.config.%s" .role) $values | fromYaml) (deepCopy (index $file .role | default dict))) }}
{{- $_ := set $file "policy" (dict "path" "/etc/tallyport/policy") }}
{{- end }}
{{- $_ := set $file .role (index $file .role | default dict) }}
{{- /* The pod's name takes its place. */}}
{{- $_ := set $file "node" "set-by-TALLYPORT_NODE" }}
{{- if and (eq .role "gateway") (or $values.masking.text $values.masking.existingConfigMap) }}
{{- $_ := set $file "masking" (dict "path" "/etc/tallyport/masking/masking.toml") }}
{{- end }}
{{- $telemetry := merge (include "tallyport.config.telemetry" $values | fromYaml) (deepCopy ($file.telemetry | default dict)) }}
{{- if $telemetry }}{{ $_ := set $file "telemetry" $telemetry }}{{ end }}
{{- $text := include "tallyport.table" (dict "name" "" "keys" $file) | trim }}
{{- if and (contains "/etc/tallyport/secrets/" $text) (not (index $values .role).secrets.existingSecret) }}
{{- fail (printf "set %s.secrets.existingSecret: what %s reads of config names %s" .role .role (regexFind "/etc/tallyport/secrets/[^\"&?, ]*" $text)) }}
{{- end }}
{{- if and (contains "/etc/tallyport/ca/" $text) (not $values.caConfigMap) }}
{{- fail (printf "set caConfigMap: what %s reads of config names %s" .role (regexFind "/etc/tallyport/ca/[^\"&?, ]*" $text)) }}
{{- end }}
{{- $text }}
{{- end }}

{{/* What the chart sets of a section, as YAML. */}}
{{- define "tallyport.config.gateway" -}}
listen: 0.0.0.0:8443
cert: /etc/tallyport/tls/tls.crt
key: /etc/tallyport/tls/tls.key
{{- end }}
{{- define "tallyport.config.query" -}}
{{- if .query.tls.existingSecret -}}
http: 0.0.0.0:8444
pgwire: 0.0.0.0:5433
cert: /etc/tallyport/tls/tls.crt
key: /etc/tallyport/tls/tls.key
{{- else -}}
http: 127.0.0.1:8444
pgwire: 127.0.0.1:5433
{{- end }}
{{- end }}
{{- define "tallyport.config.telemetry" -}}
{{- if .telemetry.enabled }}
listen: 0.0.0.0:{{ .telemetry.port }}
{{- end }}
{{- with .telemetry.otlpEndpoint }}
otlp_endpoint: {{ toRawJson . }}
{{- end }}
{{- end }}

{{/* What cannot be: without it the pods would end with exit code 2, or do something else than the values say. */}}
{{- define "tallyport.config.refuse" -}}
{{- $config := .Values.config }}
{{- $log := required "set config.log.url to kafka://HOST:PORT,..." ($config.log | default dict).url }}
{{- if hasPrefix "embedded:" $log }}{{ fail "config.log.url: the embedded log belongs to one process; use kafka://" }}{{ end }}
{{- $asked := or .Values.gateway.enabled .Values.query.enabled }}
{{- if and $asked (not (or $config.issuers $config.trust_domains (and (not .Values.query.enabled) ($config.gateway | default dict).saml))) }}
{{- fail "set config.issuers, or config.trust_domains: who is trusted to issue tokens (config.gateway.saml is enough for a gateway, not for the query service)" }}
{{- end }}
{{- if regexMatch "[?&]sasl\\.password=" $log }}{{ fail "config.log.url: no secret belongs into values; use sasl.password_file=/etc/tallyport/secrets/NAME" }}{{ end }}
{{- range $option, $_ := ($config.lake | default dict).options }}
{{- if regexMatch "(?i)(secret|password|account_key|access_key$|sas_key|sas_token|session_token|private_key|service_account_key)" $option }}
{{- fail (printf "config.lake.options.%s: no secret belongs into values; use recorder.secrets.lakeExistingSecret and query.secrets.lakeExistingSecret" $option) }}
{{- end }}
{{- end }}
{{- if or .Values.recorder.enabled .Values.query.enabled }}
{{- $lake := required "set config.lake.url to s3://BUCKET/PREFIX" ($config.lake | default dict).url }}
{{- if hasPrefix "file:" $lake }}{{ fail "config.lake.url: the pods have no directory in common; use s3://" }}{{ end }}
{{- end }}
{{- range $rule := list
  (list "node" "it is the pod's name")
  (list "policy" "use policy.files or policy.existingConfigMap")
  (list "masking" "use masking.text or masking.existingConfigMap")
  (list "gateway.listen" "the chart sets it; the Service has gateway.service.port")
  (list "gateway.cert" "use gateway.tls.existingSecret")
  (list "gateway.key" "use gateway.tls.existingSecret")
  (list "gateway.takeover_socket" "pods have no socket in common; a rollout takes its place")
  (list "query.http" "the chart sets it; the Service has query.service.httpPort")
  (list "query.pgwire" "the chart sets it; the Service has query.service.pgwirePort")
  (list "query.cert" "use query.tls.existingSecret")
  (list "query.key" "use query.tls.existingSecret")
  (list "telemetry.listen" "use telemetry.enabled and telemetry.port")
  (list "telemetry.otlp_endpoint" "use telemetry.otlpEndpoint") }}
{{- $at := $config }}
{{- range $part := splitList "." (first $rule) }}{{ $at = ternary $at dict (kindIs "map" $at) }}{{ $at = index $at $part }}{{ end }}
{{- if not (kindIs "invalid" $at) }}{{ fail (printf "config.%s: %s" (first $rule) (last $rule)) }}{{ end }}
{{- end }}
{{- with include "tallyport.config.inClear" (dict "path" "config" "value" $config) | trim }}
{{- fail (printf "%s: no secret belongs into values; use {file: /etc/tallyport/secrets/NAME}" .) }}
{{- end }}
{{- end }}

{{/* Where a secret is written out, as { value = ... }: dict "path" "config" "value" (dict ...). */}}
{{- define "tallyport.config.inClear" -}}
{{- $path := .path }}
{{- if kindIs "map" .value }}
{{- /* Whatever it holds: where a secret may be, nothing else has a `value`. */}}
{{- $isSecret := regexMatch "\\.(secret|password|token|token_key|client_secret|client_key|key|(headers|env)\\.[^.]+)$" $path }}
{{- if and (hasKey .value "value") (or $isSecret (and (eq (len .value) 1) (kindIs "string" .value.value))) }} {{ $path }}{{ end }}
{{- range $key, $value := .value }}{{ include "tallyport.config.inClear" (dict "path" (printf "%s.%s" $path $key) "value" $value) }}{{ end }}
{{- else if kindIs "slice" .value }}
{{- range $index, $value := .value }}{{ include "tallyport.config.inClear" (dict "path" (printf "%s[%d]" $path $index) "value" $value) }}{{ end }}
{{- end }}
{{- end }}

{{/* The keys of a table, then its tables: dict "name" "gateway" "keys" (dict ...); the file itself has no name. */}}
{{- define "tallyport.table" -}}
{{- range $key := keys .keys | sortAlpha }}
{{- $value := index $.keys $key }}
{{- if eq "value" (include "tallyport.form" (dict "name" $.name "value" $value)) }}
{{ include "tallyport.key" $key }} = {{ include "tallyport.toml" $value }}
{{- end }}
{{- end }}
{{- range $key := keys .keys | sortAlpha }}
{{- $value := index $.keys $key }}
{{- $form := include "tallyport.form" (dict "name" $.name "value" $value) }}
{{- $name := list $.name (include "tallyport.key" $key) | join "." | trimPrefix "." }}
{{- if eq $form "table" }}

[{{ $name }}]
{{- include "tallyport.table" (dict "name" $name "keys" $value) }}
{{- else if eq $form "tables" }}
{{- range $value }}

[[{{ $name }}]]
{{- include "tallyport.table" (dict "name" $name "keys" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* How a value is written: a section or a map of maps as `table`, a list of maps as `tables`, null as `none`. */}}
{{- define "tallyport.form" -}}
{{- if kindIs "map" .value -}}
{{- $deep := not .name }}{{ range .value }}{{ if or (kindIs "map" .) (and (kindIs "slice" .) (has "map" (include "tallyport.kinds" . | splitList " "))) }}{{ $deep = true }}{{ end }}{{ end -}}
{{ ternary "table" "value" $deep }}
{{- else if and (kindIs "slice" .value) (eq "map" (include "tallyport.kinds" .value)) -}}
tables
{{- else if kindIs "invalid" .value -}}
none
{{- else -}}
value
{{- end -}}
{{- end }}

{{- define "tallyport.kinds" -}}
{{- $kinds := list }}{{ range . }}{{ $kinds = append $kinds (kindOf .) }}{{ end }}{{ $kinds | uniq | join " " }}
{{- end }}

{{/* A value as TOML on one line. Helm reads every number of values as a float: whole ones are written without a point. */}}
{{- define "tallyport.toml" -}}
{{- if kindIs "map" . -}}
{{- $pairs := list }}
{{- range $key := keys . | sortAlpha }}
{{- $value := index $ $key }}
{{- if not (kindIs "invalid" $value) }}{{ $pairs = append $pairs (printf "%s = %s" (include "tallyport.key" $key) (include "tallyport.toml" $value)) }}{{ end }}
{{- end -}}
{{ if $pairs }}{ {{ join ", " $pairs }} }{{ else }}{}{{ end }}
{{- else if kindIs "slice" . -}}
[ {{- range $index, $item := . }}{{ if $index }}, {{ end }}{{ include "tallyport.toml" $item }}{{ end -}} ]
{{- else if kindIs "string" . -}}
{{ include "tallyport.string" . }}
{{- else if kindIs "float64" . -}}
{{- if or (gt . 9007199254740992.0) (lt . -9007199254740992.0) }}{{ fail (printf "config: %v is larger than Helm keeps whole" .) }}{{ end -}}
{{- if eq (float64 (int64 .)) . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else if kindIs "invalid" . -}}
{{ fail "config: a list holds null, which TOML does not have" }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end }}

{{- define "tallyport.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ include "tallyport.string" . }}{{ end -}}
{{- end }}

{{/* JSON's escapes are TOML's but for one character, which JSON leaves as it is. */}}
{{- define "tallyport.string" -}}
{{ toRawJson . | replace "\x7f" "\\u007f" }}
{{- end }}
