{{/* What NOTES.txt says of values that do nothing. A list as text: one remark for each line. */}}

{{/* Values of MetalLB's chart without a meaning here (files/ignored.yaml), where they ask for something. */}}
{{- define "metallb.ignoredValues" -}}
{{- $values := .Values.AsMap -}}
{{- range .Files.Get "files/ignored.yaml" | fromYamlArray }}
{{- $entry := . }}
{{- $wanted := false }}
{{- range $entry.asks }}
{{- if include "metallb.asks" (dict "values" $values "path" (splitList "." .)) }}
{{- $wanted = true }}
{{- end }}
{{- end }}
{{- if $wanted }}
- {{ printf "%s: %s" $entry.path $entry.why | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Not empty when something other than nothing is found below a path. */}}
{{- define "metallb.asks" -}}
{{- $key := first .path -}}
{{- if and (kindIs "map" .values) (hasKey .values $key) -}}
{{- $value := index .values $key -}}
{{- if rest .path -}}
{{- include "metallb.asks" (dict "values" $value "path" (rest .path)) -}}
{{- else -}}
{{- include "metallb.something" (dict "value" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Not empty when a value holds anything but nulls, empty texts, zeros, `false` and empty maps and lists. */}}
{{- define "metallb.something" -}}
{{- if kindIs "map" .value -}}
{{- range $_, $inner := .value -}}
{{- include "metallb.something" (dict "value" $inner) -}}
{{- end -}}
{{- else if .value -}}
true
{{- end -}}
{{- end -}}

{{/* Values that neither this chart nor MetalLB's knows, such as misspelt ones: files/known.yaml has them all. */}}
{{- define "metallb.unknownValues" -}}
{{- $known := .Files.Get "files/known.yaml" | fromYaml -}}
{{- include "metallb.unknownBelow" (dict "path" "" "values" .Values.AsMap "known" $known) -}}
{{- end -}}

{{- define "metallb.unknownBelow" -}}
{{- $here := . -}}
{{- range $key, $value := .values }}
{{- $path := printf "%s%s" $here.path $key }}
{{- if not (hasKey $here.known $key) }}
- {{ printf "%s: there is no such value; next to it there are %s" $path (keys $here.known | sortAlpha | join ", ") | quote }}
{{- else }}
{{- $inner := index $here.known $key }}
{{- if and (kindIs "map" $inner) (kindIs "map" $value) }}
{{- include "metallb.unknownBelow" (dict "path" (printf "%s." $path) "values" $value "known" $inner) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Values that do something else than they did. */}}
{{- define "metallb.changedValues" -}}
{{- range $component := list "controller" "speaker" }}
{{- if include "metallb.foreignImage" (dict "root" $ "component" $component) }}
- {{ printf "%s.image: %s is MetalLB's own image and does not know this chart's flags and roles; %s is run in its place" $component (index $.Values $component).image.repository (include "metallb.image" (dict "root" $ "component" $component)) | quote }}
{{- end }}
{{- $image := (index $.Values $component).image }}
{{- if and $image.tag (not $image.repository) }}
- {{ printf "%s.image.tag: %s has no effect without %s.image.repository; the tag of both images is image.tag, and %s is run" $component $image.tag $component (include "metallb.image" (dict "root" $ "component" $component)) | quote }}
{{- end }}
{{- end }}
{{- if and .Values.controller.enabled (ne .Values.controller.strategy.type "Recreate") }}
- {{ printf "controller.strategy.type: %s; while MetalLB's own controller is replaced, both may give out addresses for a moment, as it takes no lease; Recreate avoids that" .Values.controller.strategy.type | quote }}
{{- end }}
{{- end -}}
