{{/* What a definition carries besides its name. */}}
{{- define "crds.metadata" -}}
{{- if .Values.keep -}}
annotations:
  helm.sh/resource-policy: keep
{{- end }}
labels:
  app.kubernetes.io/name: {{ .Chart.Name }}
  app.kubernetes.io/instance: {{ .Release.Name }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Versions of BGPPeer are converted by the controller, which also adds its caBundle here. */}}
{{- define "crds.conversion" -}}
conversion:
  strategy: Webhook
  webhook:
    conversionReviewVersions: [v1]
    clientConfig:
      service:
        namespace: {{ .Release.Namespace }}
        name: metallb-webhook-service
        path: /convert
{{- end -}}
