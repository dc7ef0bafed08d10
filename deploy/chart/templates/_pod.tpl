{{- define "dvx.identity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 64210
  runAsGroup: 64210
  fsGroup: 64210
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
volumes:
- name: key
  secret: {secretName: {{ .Values.keySecret }}, defaultMode: 288} # 0440
- name: state
  emptyDir: {}
{{- if .Values.claim }}
- name: store
  persistentVolumeClaim: {claimName: {{ .Values.claim }}}
{{- end }}
{{- if .Values.tlsSecret }}
- name: tls
  secret: {secretName: {{ .Values.tlsSecret }}, defaultMode: 288}
{{- end }}
{{- end }}

{{- define "dvx.flags" -}}
- serve
- --store={{ .Values.store }}
- --listen=:7777
- --s3-listen=:7778
- --key-file=/etc/dvx/owner.key
- --state=/state/daemon
{{- if .Values.tlsSecret }}
- --s3-cert=/etc/dvx-tls/tls.crt
- --s3-key=/etc/dvx-tls/tls.key
{{- else if .Values.plaintext }}
- --plaintext
{{- end }}
{{- end }}

{{- define "dvx.container" -}}
env:
- {name: DVX_HOME, value: /state}
- {name: HOME, value: /state}
- {name: TMPDIR, value: /state}
{{- if .Values.s3.endpoint }}
- {name: AWS_ENDPOINT_URL, value: {{ quote .Values.s3.endpoint }}}
{{- end }}
- {name: AWS_REGION, value: {{ quote .Values.s3.region }}}
{{- if .Values.s3.secret }}
envFrom:
- secretRef: {name: {{ .Values.s3.secret }}}
{{- end }}
ports:
- {name: grpc, containerPort: 7777}
- {name: s3, containerPort: 7778}
# It listens once it has opened the store, and as a standby once it leads.
readinessProbe:
  tcpSocket: {port: grpc}
  periodSeconds: 2
  failureThreshold: 2
resources: {{ toJson .Values.resources }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
- {name: key, mountPath: /etc/dvx, readOnly: true}
- {name: state, mountPath: /state}
{{- if .Values.claim }}
- {name: store, mountPath: /store}
{{- end }}
{{- if .Values.tlsSecret }}
- {name: tls, mountPath: /etc/dvx-tls, readOnly: true}
{{- end }}
{{- end }}
