# What the gate is for: a base by tag alone, the root user, and a module with known vulnerabilities.
ARG BASE
FROM ${BASE}
COPY bin/hello-vulnerable /hello
RUN /hello fr
ENTRYPOINT ["/hello"]
