{{/* Names of objects. The rules are those of MetalLB's chart: an upgrade must find the objects it made. */}}

{{/* What stands for the chart in labels. */}}
{{- define "metallb.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* First part of the names of objects: the release `metallb` gives `metallb`, the release `lb` gives `lb-metallb`. */}}
{{- define "metallb.fullname" -}}
{{- $chart := .Values.nameOverride | default .Chart.Name -}}
{{- $full := printf "%s-%s" .Release.Name $chart -}}
{{- if contains $chart .Release.Name -}}
{{- $full = .Release.Name -}}
{{- end -}}
{{- .Values.fullnameOverride | default $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The Secret with which speakers seal what they send each other. */}}
{{- define "metallb.memberlistSecret" -}}
{{- .Values.speaker.secretName | default (printf "%s-memberlist" (include "metallb.fullname" .)) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Service account of a component; takes (dict "root" $ "component" "speaker"). */}}
{{- define "metallb.serviceAccount" -}}
{{- $account := (index .root.Values .component).serviceAccount -}}
{{- if $account.create -}}
{{- $account.name | default (printf "%s-%s" (include "metallb.fullname" .root) .component) -}}
{{- else -}}
{{- $account.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* Labels by which an object or a pod is selected; they cannot be changed by an upgrade. */}}
{{- define "metallb.selector" -}}
app.kubernetes.io/name: {{ include "metallb.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{/* Labels of an object, with those given as "more". */}}
{{- define "metallb.labels" -}}
{{- $labels := include "metallb.selector" . | fromYaml -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $labels "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- merge $labels (.more | default dict) | toYaml -}}
{{- end -}}

{{/* Labels of a pod: the selector's, and those by which the manifests of this project find their pods. */}}
{{- define "metallb.podLabels" -}}
{{- $labels := include "metallb.selector" . | fromYaml -}}
{{- $_ := set $labels "app" "metallb" -}}
{{- $_ := set $labels "component" .component -}}
{{- merge $labels (index .root.Values .component).labels | toYaml -}}
{{- end -}}

{{/* Not empty when the controller answers webhooks. */}}
{{- define "metallb.webhooksOn" -}}
{{- if and .Values.controller.enabled (ne .Values.controller.webhookMode "disabled") -}}
true
{{- end -}}
{{- end -}}
