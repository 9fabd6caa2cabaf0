# What a repository of acme ships: the program, tried in a base image. STAGE is what it starts from.
ARG BASE
ARG STAGE=scratch
FROM ${BASE} AS check
COPY bin/hello-vulnerable /hello
RUN /hello de

FROM ${STAGE}
COPY --from=check /hello /hello
LABEL org.opencontainers.image.source=https://git.example/acme/hello
USER 65532:65532
ENTRYPOINT ["/hello"]
