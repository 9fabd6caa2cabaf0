# The container action: one static program, runc, the certificates of public authorities, and nothing else.
#
# GO_IMAGE is Go and gcc on Debian. A release names it by digest:
#   --build-arg GO_IMAGE=docker.io/library/golang:1.26-bookworm@sha256:…
# With the same GO_IMAGE and SOURCE_DATE_EPOCH, two builds of one commit give the same image.
ARG GO_IMAGE=docker.io/library/golang:1.26-bookworm

FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS sealyard
ENV GOCACHE=/cache/build GOMODCACHE=/cache/mod CGO_ENABLED=0 GOFLAGS=-buildvcs=false
WORKDIR /src
COPY . .
ARG TARGETOS TARGETARCH
RUN --mount=type=cache,target=/cache GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags '-s -w' -o /out/sealyard .

FROM ${GO_IMAGE} AS rest
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libseccomp-dev
ENV GOCACHE=/cache/build GOMODCACHE=/cache/mod
WORKDIR /src
COPY tools/tools.sh tools/
RUN --mount=type=cache,target=/cache tools/tools.sh runc
WORKDIR /out
RUN install -D -t . /src/.tools/bin/runc && \
    install -D -m 644 -t etc/ssl/certs /etc/ssl/certs/ca-certificates.crt && \
    printf 'root:x:0:0::/:/sbin/nologin\nnobody:x:65534:65534::/:/sbin/nologin\n' >etc/passwd && \
    install -d -m 1777 tmp

FROM scratch
LABEL org.opencontainers.image.title=sealyard \
      org.opencontainers.image.description="Build an image, prove what it is, decide, and only then let anyone see it" \
      org.opencontainers.image.source=https://github.com/sealyard/sealyard \
      org.opencontainers.image.licenses=Apache-2.0
COPY --from=rest /out /
COPY --from=sealyard /out /
ENV PATH=/
ENTRYPOINT ["/sealyard", "action"]
