{{/* What the pods of both components have in common. Each takes (dict "root" $ "component" "speaker"). */}}

{{/* Image with tag. MetalLB's own images are not run: they know neither these flags nor this chart's roles. */}}
{{- define "metallb.image" -}}
{{- $shared := .root.Values.image -}}
{{- $own := (index .root.Values .component).image -}}
{{- $ours := printf "%s/%s" $shared.registry .component -}}
{{- $tag := $shared.tag | default .root.Chart.AppVersion -}}
{{- if or (not $own.repository) (include "metallb.foreignImage" .) -}}
{{- printf "%s:%s" $ours $tag -}}
{{- else -}}
{{- printf "%s:%s" $own.repository ($own.tag | default $tag) -}}
{{- end -}}
{{- end -}}

{{/* Not empty when the image asked for is one of MetalLB's, as its chart's own values file does. */}}
{{- define "metallb.foreignImage" -}}
{{- if hasPrefix "quay.io/metallb/" ((index .root.Values .component).image.repository | default "") -}}
true
{{- end -}}
{{- end -}}

{{/* Metadata of the pod template. */}}
{{- define "metallb.podMetadata" -}}
{{- $annotations := dict -}}
{{- if .root.Values.prometheus.scrapeAnnotations -}}
{{- $annotations = include "metallb.scrapeAnnotations" .root | fromYaml -}}
{{- end -}}
{{- with merge (dict) (index .root.Values .component).podAnnotations $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
labels:
  {{- include "metallb.podLabels" . | nindent 2 }}
{{- end -}}

{{/* Annotations by which a Prometheus without the operator finds the pods. */}}
{{- define "metallb.scrapeAnnotations" -}}
prometheus.io/scrape: "true"
{{- if include "metallb.plainMetrics" . }}
prometheus.io/port: {{ .Values.prometheus.metricsPort | quote }}
{{- else }}
prometheus.io/port: {{ .Values.prometheus.secureMetricsPort | quote }}
prometheus.io/scheme: https
{{- end }}
{{- end -}}

{{/* Not empty when metrics are served over plain HTTP. */}}
{{- define "metallb.plainMetrics" -}}
{{- $ports := .Values.prometheus -}}
{{- if and $ports.metricsPort (ne (int $ports.metricsPort) (int $ports.secureMetricsPort)) -}}
true
{{- end -}}
{{- end -}}

{{/* Where and as whom the pod runs; the specification begins with it. */}}
{{- define "metallb.podHead" -}}
{{- $values := index .root.Values .component -}}
serviceAccountName: {{ include "metallb.serviceAccount" . }}
terminationGracePeriodSeconds: 10
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
nodeSelector:
  {{- merge (dict) $values.nodeSelector (dict "kubernetes.io/os" "linux") | toYaml | nindent 2 }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Image and command of the container. */}}
{{- define "metallb.containerHead" -}}
{{- $values := index .root.Values .component -}}
name: {{ .component }}
image: {{ include "metallb.image" . | quote }}
{{- with $values.image.pullPolicy | default .root.Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- with $values.command }}
command:
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Flags that both components take, as a list. */}}
{{- define "metallb.commonArgs" -}}
{{- $values := .root.Values -}}
- --port={{ $values.prometheus.metricsPort }}
{{- with (index $values .component).logLevel }}
- --log-level={{ . }}
{{- end }}
{{- if ne (int $values.prometheus.secureMetricsPort) 9120 }}
- --secure-port={{ $values.prometheus.secureMetricsPort }}
{{- end }}
{{- with $values.loadBalancerClass }}
- {{ printf "--lb-class=%s" . | quote }}
{{- end }}
{{- with include "metallb.tlsValue" (dict "root" .root "component" .component "key" "minVersion") }}
- --tls-min-version={{ . }}
{{- end }}
{{- with include "metallb.tlsValue" (dict "root" .root "component" .component "key" "cipherSuites") }}
- {{ printf "--tls-cipher-suites=%s" . | quote }}
{{- end }}
{{- with $values.tls.curvePreferences }}
- {{ printf "--tls-curve-preferences=%v" . | quote }}
{{- end }}
{{- if include "metallb.metricsSecret" . }}
- --metrics-cert-dir=/etc/metrics
{{- end }}
{{- end -}}

{{/* A value below `tls`. Before 0.16 MetalLB's chart had it for the controller alone, as `controller.tlsMinVersion`. */}}
{{- define "metallb.tlsValue" -}}
{{- $old := printf "tls%s" (title .key) -}}
{{- index .root.Values.tls .key | default (index .root.Values .component $old) | default "" -}}
{{- end -}}

{{/* Flags that the user adds. */}}
{{- define "metallb.extraArgs" -}}
{{- range (index .root.Values .component).extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Secret with the certificate for metrics. Before 0.16 MetalLB's chart had its name below `prometheus`. */}}
{{- define "metallb.metricsSecret" -}}
{{- $key := printf "%sMetricsTLSSecret" .component -}}
{{- index .root.Values.tls $key | default (index .root.Values.prometheus $key) | default "" -}}
{{- end -}}

{{/* Ports of metrics. */}}
{{- define "metallb.metricsPorts" -}}
{{- if include "metallb.plainMetrics" . }}
- name: monitoring
  containerPort: {{ .Values.prometheus.metricsPort }}
{{- end }}
{{- with .Values.prometheus.secureMetricsPort }}
- name: metricshttps
  containerPort: {{ . }}
{{- end }}
{{- end -}}

{{/* The three probes; takes "host" too. */}}
{{- define "metallb.probes" -}}
{{- $values := index .root.Values .component -}}
{{- $host := .host -}}
{{- range $name, $path := dict "startupProbe" "/healthz" "livenessProbe" "/healthz" "readinessProbe" "/readyz" }}
{{- $probe := index $values $name }}
{{- if $probe.enabled }}
{{ $name }}:
  httpGet:
    {{- with $host }}
    host: {{ . }}
    {{- end }}
    path: {{ $path }}
    port: 17472
  {{- pick $probe "initialDelaySeconds" "periodSeconds" "timeoutSeconds" "successThreshold" "failureThreshold" | toYaml | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Mount and volume of the certificate for metrics. */}}
{{- define "metallb.metricsMount" -}}
{{- if include "metallb.metricsSecret" . }}
- name: metrics-certs
  mountPath: /etc/metrics
  readOnly: true
{{- end }}
{{- end -}}

{{- define "metallb.metricsVolume" -}}
{{- with include "metallb.metricsSecret" . }}
- name: metrics-certs
  secret:
    secretName: {{ . }}
    defaultMode: 420
{{- end }}
{{- end -}}
