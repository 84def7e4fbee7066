{{- /* Made by `cargo xtask helm --write` from deploy/kubernetes. */ -}}
{{- define "graywave.data.api" -}}
{{- $settings := include "graywave.settings.api" . | fromYaml -}}
{{- toYaml (mergeOverwrite $settings .Values.api.settings) -}}
{{- end }}
{{- define "graywave.hash.api" -}}
{{- include "graywave.data.api" . | sha256sum | trunc 10 -}}
{{- end }}
{{- define "graywave.settings.api" -}}
GRAYWAVE__API__BODY_BUDGET_BYTES: '268435456'
GRAYWAVE__API__INSECURE: 'true'
GRAYWAVE__API__REQUEST_TIMEOUT_MS: '60000'
GRAYWAVE__DATABASE__MAX_CONNECTIONS: '20'
{{- end }}
{{- define "graywave.data.common" -}}
{{- $settings := include "graywave.settings.common" . | fromYaml -}}
{{- toYaml (mergeOverwrite $settings .Values.common.settings) -}}
{{- end }}
{{- define "graywave.hash.common" -}}
{{- include "graywave.data.common" . | sha256sum | trunc 10 -}}
{{- end }}
{{- define "graywave.settings.common" -}}
GRAYWAVE__TELEMETRY__FORMAT: json
GRAYWAVE__TELEMETRY__HEALTH_LISTEN: 0.0.0.0:9101
GRAYWAVE__TELEMETRY__LISTEN: 0.0.0.0:9100
{{- if .Values.collector.enabled }}
GRAYWAVE__TELEMETRY__OTLP_ENDPOINT: http://opentelemetry-collector.observability:4317
{{- end }}
{{- end }}
{{- define "graywave.data.scheduler" -}}
{{- $settings := include "graywave.settings.scheduler" . | fromYaml -}}
{{- toYaml (mergeOverwrite $settings .Values.scheduler.settings) -}}
{{- end }}
{{- define "graywave.hash.scheduler" -}}
{{- include "graywave.data.scheduler" . | sha256sum | trunc 10 -}}
{{- end }}
{{- define "graywave.settings.scheduler" -}}
GRAYWAVE__ADMIN__CERT_FILE: /etc/graywave/admin/tls.crt
GRAYWAVE__ADMIN__KEY_FILE: /etc/graywave/admin/tls.key
GRAYWAVE__ADMIN__LISTEN: 0.0.0.0:9091
GRAYWAVE__API__BODY_BUDGET_BYTES: '134217728'
GRAYWAVE__DATABASE__MAX_CONNECTIONS: '20'
GRAYWAVE__ENROLMENT__ISSUER_CERT_FILE: /etc/graywave/issuer/tls.crt
GRAYWAVE__ENROLMENT__ISSUER_KEY_FILE: /etc/graywave/issuer/tls.key
GRAYWAVE__ORDERS__CERT_FILE: /etc/graywave/orders/tls.crt
GRAYWAVE__ORDERS__KEY_FILE: /etc/graywave/orders/tls.key
GRAYWAVE__TLS__CA_FILE: /etc/graywave/ca/ca.crt
GRAYWAVE__TLS__CERT_FILE: /etc/graywave/tls/tls.crt
GRAYWAVE__TLS__KEY_FILE: /etc/graywave/tls/tls.key
{{- end }}
{{- define "graywave.data.worker" -}}
{{- $settings := include "graywave.settings.worker" . | fromYaml -}}
{{- toYaml (mergeOverwrite $settings .Values.worker.settings) -}}
{{- end }}
{{- define "graywave.hash.worker" -}}
{{- include "graywave.data.worker" . | sha256sum | trunc 10 -}}
{{- end }}
{{- define "graywave.settings.worker" -}}
GRAYWAVE__TLS__CA_FILE: /etc/graywave/ca/ca.crt
GRAYWAVE__TLS__CERT_FILE: /etc/graywave/tls/tls.crt
GRAYWAVE__TLS__KEY_FILE: /etc/graywave/tls/tls.key
GRAYWAVE__WORKER__DRAIN_TIMEOUT_MS: '570000'
GRAYWAVE__WORKER__ENROLMENT: 'true'
GRAYWAVE__WORKER__SCHEDULER_URLS: https://graywave-scheduler:9090
{{- end }}
