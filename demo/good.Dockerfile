# The tests of the program run in a pinned base; what ships is the program alone, for two platforms.
ARG BASE
FROM --platform=$BUILDPLATFORM ${BASE} AS check
COPY bin/hello-linux-amd64 /hello
RUN /hello de > /checked && cat /checked

FROM scratch
ARG TARGETOS TARGETARCH
COPY --from=check /checked /checked
COPY bin/hello-${TARGETOS}-${TARGETARCH} /hello
USER 65532:65532
ENTRYPOINT ["/hello"]
