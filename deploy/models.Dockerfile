# The exported models as an image of their own, which an init container copies into the server's pod.
#   docker build -f deploy/models.Dockerfile --build-context models=model_repository -t mobilebert-models:2 .
# Write the tag of deploy/kubernetes for it: kustomize edit set image mobilebert-models=REGISTRY/mobilebert-models:2
FROM docker.io/library/busybox:1.37.0
COPY --from=models . /models
USER 1000:1000
